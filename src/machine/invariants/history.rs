//! What always holds of how a run came about: each record is looked at beside the run as it was
//! before it. The watch folds the log itself, so it also proves that the log is the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::amended::amended;
use super::{Broken, broken, same};
use crate::machine::event::{Event, Record};
use crate::machine::fact::{Cause, Direction, End, Found, Left, Millis, Resolution};
use crate::machine::run::{Locks, Run};
use crate::machine::run_state::RunState;
use crate::machine::state::{Forward, Status, UndoState};
use crate::machine::window::Expired;
use crate::plan::policy::DataAnswer;
use crate::plan::step::Effect;
use crate::plan::{Plan, Section, StepIx, StepKind};

/// Watches one run.
///
/// 31. A step with effect `once` is not performed twice in a generation, unless the attempt before is
///     known to have left nothing, or a person said so.
/// 32. Nothing that may change the world is intended forwards while the run is held or asks something.
/// 33. The run's locks are held before anything of it runs.
/// 34. Only what the order of a rollback names is undone, and nothing before that order is written.
/// 35. Clean-up begins when the source is verified, or where nothing was cut over.
/// 36. The engine goes back by itself only inside the window, before anything irreversible, before
///     the commit, and with an answer for users' writes; from `deciding` only because of a trip.
/// 37. The window opens in the transition in which users can reach the target.
/// 38. Nothing ends because a process died: no recovery makes a run final, unless it was on its way
///     back and nothing was left to undo.
/// 39. Nothing ends because a clock ran out while nobody looked.
/// 40. Attempts are numbered without gaps.
/// 41. On the way back nothing runs forwards but the fence and what looks.
/// 42. Only a person moves the window's deadline.
/// 43. The engine accepts only with a gate that was judged and met, at the end of the window, with a
///     clock that nobody doubts.
/// 44. What could not be proved stopped is neither run again nor undone.
/// 45. A question is asked once.
/// 46. Stages in order: what begins in a stage has every earlier stage well behind it.
/// 47. Before exposure the cutover begins nothing unless its readiness checks, if it has any, have passed.
#[derive(Debug)]
pub struct Watch {
    shadow: Option<Run>,
    plan: Arc<Plan>,
    /// Steps with an attempt in this generation that may have done something.
    spent: BTreeMap<StepIx, u32>,
    /// The last judgement of the gate in this transition.
    judged: Option<bool>,
}

impl Watch {
    /// Watches from the first record on.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { shadow: None, plan, spent: BTreeMap::new(), judged: None }
    }

    /// The run as its log says.
    #[must_use]
    pub fn shadow(&self) -> Option<&Run> {
        self.shadow.as_ref()
    }

    /// Takes the records of one transition in and compares the run with its log.
    ///
    /// # Errors
    /// What does not hold.
    pub fn transition(&mut self, records: &[Record], run: &Run) -> Result<(), Broken> {
        self.judged = None;
        let going_back = self.shadow.as_ref().is_some_and(|before| before.rollback.is_some());
        for record in records {
            self.record(record)?;
        }
        opens_at_exposure(&self.plan, records, run)?;
        let recovers = records.iter().any(|record| matches!(record.event, Event::Owned { away_ms: Some(_), .. }));
        let ends = records.iter().any(|record| matches!(record.event, Event::Moved { to, .. } if to.is_final()));
        if recovers && ends && !going_back {
            return broken(38, "the run ended because an engine came back");
        }
        match &self.shadow {
            Some(shadow) => same(run, shadow),
            None => broken(30, "nothing was recorded"),
        }
    }

    /// Says that the last transition came from a time that nobody watched.
    ///
    /// # Errors
    /// It ended the run.
    #[expect(clippy::wildcard_enum_match_arm, reason = "an invariant looks at few events")]
    pub fn unwatched(&self, records: &[Record]) -> Result<(), Broken> {
        for record in records {
            let ends = match &record.event {
                Event::Moved { to, .. } => to.is_final(),
                Event::RollbackDecided { because, .. } => !matches!(because, Cause::Tripped { .. }),
                _ => false,
            };
            if ends {
                return broken(39, "a time that nobody watched ended the run");
            }
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an invariant looks at few events")]
    fn record(&mut self, record: &Record) -> Result<(), Broken> {
        let Some(before) = &self.shadow else {
            let run = Run::begin(self.plan.clone(), record).map_err(|illegal| replay(&illegal))?;
            self.shadow = Some(run);
            return Ok(());
        };
        match &record.event {
            Event::AttemptIntended { step, attempt, direction, .. } => {
                let ix = self.plan.find(step).unwrap_or_default();
                intended(before, ix, *attempt, *direction)?;
                if *direction == Direction::Forward && before.step(ix).attached.is_none() {
                    self.performed_again(ix, step.as_str())?;
                }
            }
            Event::RollbackDecided { because, .. } if record.by.is_none() => decided(before, because, record.at)?,
            Event::WindowExtended { .. } if record.by.is_none() => {
                return broken(42, "the engine moved the window's deadline");
            }
            Event::GateJudged { gaps } => self.judged = Some(gaps.is_empty()),
            Event::Moved { to: RunState::Accepted, .. } if record.by.is_none() => {
                let over = before.window.as_ref().is_some_and(|window| window.expired.is_some());
                if self.judged != Some(true) || !over || before.clock_in_doubt {
                    return broken(43, "the engine accepted without a gate that was met");
                }
            }
            Event::Asked { kind, .. } if before.questions.values().any(|question| question.kind == *kind) => {
                return broken(45, format!("{kind:?} is asked twice"));
            }
            _ => {}
        }
        let is_amendment = matches!(record.event, Event::Amended { .. });
        let former = self.shadow.as_ref().filter(|_| is_amendment).cloned();
        self.note(record);
        let Some(shadow) = &mut self.shadow else { return Ok(()) };
        shadow.apply(record).map_err(|illegal| replay(&illegal))?;
        former.map_or(Ok(()), |former| amended(&former, shadow, &record.event))
    }

    /// 31.
    fn performed_again(&mut self, ix: StepIx, id: &str) -> Result<(), Broken> {
        // What a person did by hand is only verified.
        let performs = matches!(self.plan.step(ix).kind, StepKind::Action(_));
        if self.plan.step(ix).effect != Effect::Once || !performs {
            return Ok(());
        }
        let spent = self.spent.entry(ix).or_insert(0);
        *spent += 1;
        if *spent > 1 {
            return broken(31, format!("`{id}` was performed twice in a generation"));
        }
        Ok(())
    }

    /// What makes it lawful to perform a step once more.
    #[expect(clippy::wildcard_enum_match_arm, reason = "an invariant looks at few events")]
    fn note(&mut self, record: &Record) {
        let Some(ix) = record.event.step().and_then(|step| self.plan.find(step)) else {
            if matches!(record.event, Event::ForwardAgain)
                && let Some(before) = &self.shadow
            {
                // New keys for what was undone.
                self.spent.retain(|ix, _| !matches!(before.undo(*ix), Some(UndoState::Undone { .. })));
            }
            return;
        };
        let lawful = match &record.event {
            Event::AttemptEnded { direction: Direction::Forward, end, .. } => match end {
                End::Failed { left, .. } | End::Cancelled { left } => *left == Left::Nothing,
                End::Succeeded { .. } | End::Unknown { .. } => false,
            },
            Event::Readied { new_generation, .. } => record.by.is_some() || *new_generation,
            // A person's word, or the attempt's own late answer that it left nothing.
            Event::Resolved { resolution, .. } => {
                record.by.is_some() || *resolution == Resolution::Failed { left: Left::Nothing }
            }
            // Re-attaching to remote work performs nothing.
            Event::Probed { found: Found::InProgress { .. }, .. } => true,
            _ => false,
        };
        if lawful {
            self.spent.remove(&ix);
        }
    }
}

fn replay(illegal: &crate::machine::Illegal) -> Broken {
    Broken { number: 30, what: format!("the log does not replay: {illegal}") }
}

fn intended(before: &Run, ix: StepIx, attempt: u32, direction: Direction) -> Result<(), Broken> {
    let step = before.plan.step(ix);
    let record = before.step(ix);
    let id = &step.id;
    if before.locks != Locks::Held {
        return broken(33, format!("`{id}` ran before the run held its locks"));
    }
    // Work elsewhere that has a handle is found again, which performs nothing.
    let attaches = direction == Direction::Forward && record.attached.is_some();
    if record.unsettled && step.effect != Effect::None && !attaches {
        return broken(44, format!("`{id}` may still run, and is run again or undone"));
    }
    in_order(before, ix)?;
    match direction {
        Direction::Forward => {
            if attempt != record.attempts + 1 {
                return broken(40, format!("attempt {attempt} of `{id}` follows attempt {}", record.attempts));
            }
            let looks = step.section.is_check() || step.section == Section::Fence;
            if !looks && (before.hold.is_some() || !before.questions.is_empty() || before.left.is_some()) {
                return broken(32, format!("`{id}` was begun while the run was held or asked something"));
            }
            if step.section == Section::Cutover && !before.holds_the_rest() {
                return broken(33, format!("`{id}` was begun before the run held all its locks again"));
            }
            if step.section == Section::Cutover && before.waits_for_way_back() {
                return broken(47, format!("`{id}` was begun although nobody had seen the way back open"));
            }
            let restores = matches!(step.section, Section::Fence | Section::RollbackCheck);
            if before.rollback.is_some() && !restores {
                return broken(41, format!("`{id}` was begun on the way back"));
            }
        }
        Direction::Undo => {
            if attempt != record.undo_attempts + 1 {
                return broken(40, format!("undo {attempt} of `{id}` follows undo {}", record.undo_attempts));
            }
            let Some(rollback) = &before.rollback else {
                return if before.partial.contains(&ix) { Ok(()) } else { broken(34, format!("`{id}` was undone")) };
            };
            let cleans = rollback.cleanup.iter().any(|turn| turn.step == ix);
            if !rollback.ordered || !cleans && !rollback.restore.iter().any(|turn| turn.step == ix) {
                return broken(34, format!("`{id}` was undone before, or beside, the order of the rollback"));
            }
            if cleans && rollback.restored.is_none() && before.first_effect.is_some() {
                return broken(35, format!("`{id}` was cleaned up before the source was verified"));
            }
        }
    }
    Ok(())
}

/// 46.
fn in_order(before: &Run, ix: StepIx) -> Result<(), Broken> {
    let Some(rollback) = &before.rollback else { return Ok(()) };
    let turns = &rollback.restore;
    let Some(stage) = turns.iter().find(|turn| turn.step == ix).and_then(|turn| turn.stage) else { return Ok(()) };
    for earlier in turns.iter().filter(|turn| turn.stage.is_some_and(|other| other < stage)) {
        let well = match &before.step(earlier.step).status {
            Status::Undo { state, .. } => state.unblocks(),
            Status::Forward(forward) => forward.satisfies(),
        };
        if !well {
            let (late, early) = (&before.plan.step(ix).id, &before.plan.step(earlier.step).id);
            return broken(46, format!("`{late}` began although `{early}` did not end well"));
        }
    }
    Ok(())
}

/// 36. What a rollback without a person's word needs.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other cause is the finding")]
fn decided(before: &Run, because: &Cause, at: Millis) -> Result<(), Broken> {
    match because {
        Cause::StepFailed { .. }
        | Cause::PostCheckFailed { .. }
        | Cause::Tripped { .. }
        | Cause::RequirementRolledBack { .. } => {}
        // Before the first effect, and only to undo the preparation.
        _ if before.first_effect.is_none() => return Ok(()),
        _ => return broken(36, format!("the engine went back because of {because:?}")),
    }
    if before.irreversible.is_some() || before.commit_intended {
        return broken(36, "the engine went back past a point of no return");
    }
    let trip = matches!(because, Cause::Tripped { .. });
    if before.state == RunState::Deciding && !trip && !before.questions.is_empty() {
        return broken(36, "the engine went back while people decide");
    }
    let Some(since) = before.possibly_exposed else { return Ok(()) };
    if let Some(window) = &before.window
        && (window.expired.is_some() || at >= window.deadline)
    {
        return broken(36, "the engine went back after the window");
    }
    let answered = match &before.plan.policies.data {
        DataAnswer::ReverseSync | DataAnswer::Stateless => true,
        DataAnswer::AcceptLoss { up_to_ms, .. } => u64::try_from(at - since).unwrap_or(0) <= *up_to_ms,
        DataAnswer::Unanswered => false,
    };
    if answered { Ok(()) } else { broken(36, "the engine went back without an answer for users' writes") }
}

/// 37.
#[expect(clippy::wildcard_enum_match_arm, reason = "an invariant looks at few events")]
fn opens_at_exposure(plan: &Plan, records: &[Record], run: &Run) -> Result<(), Broken> {
    let exposes = |record: &Record| match &record.event {
        Event::AttemptEnded { step, direction: Direction::Forward, end: End::Succeeded { .. }, .. } => {
            plan.find(step) == plan.exposing() && plan.exposing().is_some()
        }
        _ => false,
    };
    let from_exposure = plan.policies.window_from == crate::plan::policy::WindowFrom::Exposure;
    let stands = plan.exposing().is_some_and(|ix| matches!(run.step(ix).status, Status::Forward(Forward::Succeeded)));
    let open = run.rollback.is_none() && !run.state.is_final();
    if from_exposure && open && stands && records.iter().any(exposes) && run.window.is_none() {
        return broken(37, "users can reach the target, and no window is open");
    }
    let closed = run.window.as_ref().is_some_and(|window| window.expired == Some(Expired::Watched));
    if closed && run.exposed.is_none() {
        return broken(37, "a window closed that never opened");
    }
    Ok(())
}
