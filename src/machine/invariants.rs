//! What always holds of a run. Numbered: a failing history names the number.
//!
//! [`check`] looks at one state, [`Watch`] at how states follow each other, [`same()`] compares a run
//! with what its log says. Tests ask them after every transition.

mod amended;
mod history;
mod same;

pub use history::Watch;
pub use same::same;

use super::fact::{Direction, Wait};
use super::run::{Locks, Run};
use super::run_state::{Ending, RunState};
use super::state::{Forward, Status, StepLocks, UndoState};
use super::timers::Timer;
use super::turns::Line;
use crate::plan::step::Effect;
use crate::plan::{Section, Stage, StepIx};

/// A sentence that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {number} does not hold: {what}")]
pub struct Broken {
    /// Its number.
    pub number: u32,
    /// What was found.
    pub what: String,
}

fn broken(number: u32, what: impl Into<String>) -> Result<(), Broken> {
    Err(Broken { number, what: what.into() })
}

/// Checks all of them. Linear in the plan.
///
/// 1. The sets beside the steps (ready, live, probing, locking, partial) say what the steps say.
/// 2. `open` counts the steps of a section that are not done.
/// 3. What a step waits for is counted rightly.
/// 4. A step never runs in both directions at once.
/// 5. The attempt under way is the newest one.
/// 6. An attempt under way has a deadline that somebody watches, or is asked about.
/// 7. Nothing runs forwards before what it needs.
/// 8. In a cutover that has begun every pre-check passed once or was waived.
/// 9. Never an undo beside a live forward attempt that may change something.
/// 10. (Held by [`Watch`], 46.)
/// 11. A target that no user could reach never overwrites the source.
/// 12. One undo at a time.
/// 13. `deciding` knows where it came from, and has a question.
/// 14. A final run waits for no time, holds no lock, asks nothing.
/// 15. A final state tells the truth: rolled back means verified, refused and cancelled mean that
///     nothing was cut over, accepted and committed mean that users can reach the target.
/// 16. Whoever may have reached the target is counted: exposed, or not known not to be, is possibly exposed.
/// 17. The index of a rollback says what its steps say.
/// 18. Criteria are sampled from exposure until acceptance or rollback, and never else.
/// 19. No silence: an open run has something under way, a time, a question, or waits for a person or
///     a lock that it names.
/// 20. A step that waits for locks has asked for them.
/// 21. Nothing is left lying: a step that failed for good, or of which nobody knows, is asked about.
///
/// # Errors
/// The first one that does not hold.
pub fn check(run: &Run) -> Result<(), Broken> {
    sets(run)?;
    counts(run)?;
    attempts(run)?;
    order_forward(run)?;
    way_back(run)?;
    states(run)?;
    exposure(run)?;
    left_lying(run)?;
    silence(run)
}

fn name(run: &Run, ix: StepIx) -> &str {
    run.plan.step(ix).id.as_str()
}

fn sets(run: &Run) -> Result<(), Broken> {
    for (ix, record) in run.steps.iter().enumerate() {
        let (forward, undo) = match &record.status {
            Status::Forward(forward) => (Some(forward), None),
            Status::Undo { state, .. } => (None, Some(state)),
        };
        let agree = |what: &str, is: bool, listed: bool| match is == listed {
            true => Ok(()),
            false => broken(1, format!("`{}` and the {what} set disagree", name(run, ix))),
        };
        agree("ready", matches!(forward, Some(Forward::Ready)), run.ready.contains(&ix))?;
        let (here, back) = ((ix, Direction::Forward), (ix, Direction::Undo));
        agree("live", matches!(forward, Some(Forward::Running(_))), run.live.contains(&here))?;
        agree("live", matches!(undo, Some(UndoState::Undoing(_))), run.live.contains(&back))?;
        let looks = matches!(forward, Some(Forward::Unknown { probing: true, .. }));
        agree("probing", looks, run.probing.contains(&here))?;
        let looks = matches!(undo, Some(UndoState::Unknown { probing: true, .. }));
        agree("probing", looks, run.probing.contains(&back))?;
        agree("locking", record.locks != StepLocks::None, run.locking.contains(&ix))?;
        if run.partial.contains(&ix) && undo.is_none() {
            return broken(1, format!("`{}` is not taken back, but the partial set says so", name(run, ix)));
        }
        let waits = matches!(forward, Some(Forward::Waiting { on: Wait::Locks { .. }, .. }));
        if waits && record.locks != StepLocks::Requested {
            return broken(20, format!("`{}` waits for locks that it has not asked for", name(run, ix)));
        }
    }
    Ok(())
}

fn counts(run: &Run) -> Result<(), Broken> {
    for (ix, record) in run.steps.iter().enumerate() {
        let waits = run.plan.dag().parents(ix).filter(|(parent, _)| !satisfies(run, *parent)).count();
        if waits != record.waits_for as usize {
            return broken(3, format!("`{}` waits for {waits} steps, not {}", name(run, ix), record.waits_for));
        }
    }
    for section in Section::ALL {
        let open = run.plan.section(section).filter(|ix| !satisfies(run, *ix)).count();
        if run.open.get(&section).copied().unwrap_or(0) != open {
            return broken(2, format!("{} has {open} open steps", section.key()));
        }
    }
    Ok(())
}

fn satisfies(run: &Run, ix: StepIx) -> bool {
    match &run.step(ix).status {
        Status::Forward(forward) => forward.satisfies(),
        Status::Undo { .. } => false,
    }
}

fn attempts(run: &Run) -> Result<(), Broken> {
    for (ix, direction) in &run.live {
        let record = run.step(*ix);
        let (attempt, newest) = match direction {
            Direction::Forward => (run.forward(*ix).attempt(), record.attempts),
            Direction::Undo => (run.undo(*ix).and_then(UndoState::attempt), record.undo_attempts),
        };
        if *direction == Direction::Forward && run.live.contains(&(*ix, Direction::Undo)) {
            return broken(4, format!("`{}` runs forwards and backwards", name(run, *ix)));
        }
        let Some(attempt) = attempt else {
            return broken(1, format!("`{}` is live without an attempt", name(run, *ix)));
        };
        if attempt.number != newest {
            return broken(5, format!("attempt {} of `{}` is not the newest", attempt.number, name(run, *ix)));
        }
        let timed = run.timers.get(Timer::Deadline(*ix, *direction)).is_some();
        let id = &run.plan.step(*ix).id;
        let asked = run.questions.values().any(|question| question.kind.step() == Some(id));
        if attempt.deadline.is_some() && !timed && !asked && !run.state.is_final() {
            return broken(6, format!("nobody watches the deadline of `{}`", name(run, *ix)));
        }
    }
    Ok(())
}

fn order_forward(run: &Run) -> Result<(), Broken> {
    for (ix, _) in run.live.iter().filter(|(_, way)| *way == Direction::Forward) {
        for (parent, _) in run.plan.dag().parents(*ix) {
            let repeated = run.plan.step(parent).section.is_check() || run.step(parent).passed.is_some();
            if !satisfies(run, parent) && run.rollback.is_none() && !repeated {
                return broken(7, format!("`{}` runs before `{}`", name(run, *ix), name(run, parent)));
            }
        }
    }
    if run.first_effect.is_some() && run.state == RunState::CuttingOver {
        let passed =
            |ix: StepIx| run.forward(ix).satisfies() || run.rechecking.contains(&ix) || run.step(ix).passed.is_some();
        if let Some(ix) = run.plan.section(Section::PreCheck).find(|ix| !passed(*ix)) {
            return broken(8, format!("the cutover began although `{}` never passed", name(run, ix)));
        }
    }
    Ok(())
}

fn way_back(run: &Run) -> Result<(), Broken> {
    let mut undoing = run.live.iter().filter(|(_, way)| *way == Direction::Undo);
    if let Some((one, _)) = undoing.next() {
        if undoing.next().is_some() {
            return broken(12, "two undos run at once");
        }
        let beside =
            run.live.iter().find(|(ix, way)| *way == Direction::Forward && run.plan.step(*ix).effect != Effect::None);
        if let Some((ix, _)) = beside {
            return broken(9, format!("`{}` is undone while `{}` runs", name(run, *one), name(run, *ix)));
        }
    }
    let Some(rollback) = &run.rollback else { return Ok(()) };
    if rollback.ordered && rollback.line != Line::of(run, &rollback.restore, &rollback.cleanup) {
        return broken(17, "the index of the rollback and its steps disagree");
    }
    for turn in &rollback.restore {
        let begun = run.live.iter().any(|(ix, _)| *ix == turn.step);
        let Some(stage) = turn.stage.filter(|_| begun) else { continue };
        if stage == Stage::Data && run.possibly_exposed.is_none() {
            return broken(11, format!("`{}` overwrites a source that users never left", name(run, turn.step)));
        }
    }
    Ok(())
}

fn states(run: &Run) -> Result<(), Broken> {
    if (run.state == RunState::Deciding) != run.left.is_some() {
        return broken(13, "`deciding` and the state it left disagree");
    }
    if run.state == RunState::Deciding && run.questions.is_empty() {
        return broken(13, "nothing is asked in `deciding`");
    }
    if run.state.is_final() {
        if !run.timers.is_empty() {
            return broken(14, "a final run waits for a time");
        }
        let holds = run.locks != Locks::None || run.rest != Locks::None || !run.locking.is_empty();
        if holds && !run.awaits_an_end() {
            return broken(14, "a final run holds locks");
        }
        if !run.questions.is_empty() {
            return broken(14, "a final run asks something");
        }
    }
    match run.state.ending() {
        Some(Ending::Back) => {
            let restored = run.rollback.as_ref().is_some_and(|r| r.restored.is_some() || run.first_effect.is_none());
            if !restored {
                return broken(15, "rolled back without a verified source");
            }
        }
        Some(Ending::Untouched) => {
            if run.first_effect.is_some() {
                return broken(15, "refused or cancelled after the cutover began");
            }
        }
        Some(Ending::OnTarget) => {
            if run.exposed.is_none() && !run.plan.section(Section::Cutover).is_empty() {
                return broken(15, "accepted although no user can reach the target");
            }
        }
        Some(Ending::Residue) | None => {}
    }
    Ok(())
}

fn exposure(run: &Run) -> Result<(), Broken> {
    let unknown = run.plan.exposing().is_some_and(|ix| match &run.step(ix).status {
        Status::Forward(forward) => {
            matches!(forward, Forward::Running(_) | Forward::Succeeded | Forward::Unknown { .. })
                || run.step(ix).touched
        }
        Status::Undo { .. } => false,
    });
    if (run.exposed.is_some() || unknown) && run.possibly_exposed.is_none() {
        return broken(16, "users may have reached the target, and the run does not count them");
    }
    let live = run.exposed.is_some()
        && run.rollback.is_none()
        && matches!(run.state, RunState::CuttingOver | RunState::Observing | RunState::Deciding)
        && run.left != Some(RunState::Committing);
    for (c, criterion) in run.plan.criteria.iter().enumerate() {
        if run.timers.get(Timer::Sample(c)).is_some() != live {
            return broken(18, format!("`{}` is {}sampled", criterion.id, if live { "not " } else { "" }));
        }
    }
    Ok(())
}

fn left_lying(run: &Run) -> Result<(), Broken> {
    let forward = matches!(
        run.stands_in(),
        RunState::Preparing | RunState::Prepared | RunState::CuttingOver | RunState::Committing
    );
    if !forward || run.rollback.is_some() {
        return Ok(());
    }
    for section in [Section::Prepare, Section::Cutover, Section::Commit] {
        for ix in run.plan.section(section) {
            let lies = match &run.step(ix).status {
                Status::Forward(forward) => matches!(
                    forward,
                    Forward::Failed { .. } | Forward::Unknown { probing: false, .. } | Forward::NotRun
                ),
                Status::Undo { state, .. } => matches!(
                    state,
                    UndoState::Failed { .. } | UndoState::Unknown { probing: false, .. } | UndoState::Waived
                ),
            };
            let id = &run.plan.step(ix).id;
            if lies && !run.questions.values().any(|question| question.kind.step() == Some(id)) {
                return broken(21, format!("`{id}` is left lying: {:?}", run.step(ix).status));
            }
        }
    }
    Ok(())
}

fn silence(run: &Run) -> Result<(), Broken> {
    let acts = !run.live.is_empty() || !run.probing.is_empty() || run.wakes_at().is_some();
    let asks = !run.questions.is_empty() || run.hold.is_some() || run.clock_in_doubt;
    let waits = || {
        run.steps.iter().any(|record| matches!(record.status, Status::Forward(Forward::Waiting { .. })))
            || run.locking.iter().any(|ix| run.step(*ix).locks == StepLocks::Requested)
    };
    // A created run waits for the engine, which brings its beginning and its locks; the others for a person's word: `go`,
    // an undo.
    let rests =
        run.state.ending().is_some() || matches!(run.state, RunState::Created | RunState::Prepared | RunState::Stuck);
    if rests || acts || asks || waits() {
        return Ok(());
    }
    broken(19, format!("a run that is {} waits for nothing", run.state))
}
