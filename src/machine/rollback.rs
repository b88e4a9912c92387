//! The way back: decided, settled, ordered, restored, checked, cleaned up.

use super::apply::{Illegal, ms};
use super::checks;
use super::decide::{ask, close};
use super::draft::{Draft, Now};
use super::eval;
use super::event::Event;
use super::fact::{Cause, Direction, Failure, Interruption, LockScope, Ordered};
use super::failures;
use super::forward;
use super::question::QuestionKind;
use super::run::{Run, Turn};
use super::state::{Forward, RunState, Status, StepLocks, UndoState};
use crate::plan::policy::DataAnswer;
use crate::plan::rollback::{Applied, order};
use crate::plan::step::{Effect, Undo};
use crate::plan::{RollbackOrder, Section, Stage, StepIx, UndoNode};

/// Whether a trip or a failure may go back by itself now; otherwise why not.
///
/// # Errors
/// Why a person must decide instead.
pub fn may_act(run: &Run, now: Now) -> Result<(), String> {
    if run.irreversible.is_some() {
        return Err("an irreversible step was passed".to_owned());
    }
    if run.commit_intended {
        return Err("the commit has begun".to_owned());
    }
    let Some(since) = run.possibly_exposed else { return Ok(()) };
    if !run.window_open(now.steady) {
        return Err("the rollback window is over".to_owned());
    }
    let writes = now.steady.saturating_sub(since);
    match &run.plan.policies.data {
        DataAnswer::ReverseSync | DataAnswer::Stateless => Ok(()),
        DataAnswer::AcceptLoss { up_to_ms, .. } if writes <= ms(*up_to_ms) => Ok(()),
        DataAnswer::AcceptLoss { up_to_ms, .. } => Err(format!(
            "{} of users' writes would be lost; the runbook accepts {}",
            minutes(writes),
            minutes(ms(*up_to_ms))
        )),
        DataAnswer::Unanswered => {
            Err(format!("the plan has no answer for {} of users' writes on the target", minutes(writes)))
        }
    }
}

fn minutes(ms: i64) -> String {
    if ms < 60_000 { format!("{} s", ms / 1000) } else { format!("{} min", ms / 60_000) }
}

/// Decides to go back: no new forward attempt from here on; what runs is stopped.
pub(super) fn decide(d: &mut Draft<'_>, because: Cause, ends: RunState) -> Result<(), Illegal> {
    let settle_by = d.now().steady.saturating_add(ms(d.run().plan.policies.settle_within_ms));
    close(d, Some("roll back"), |_| true)?;
    d.emit(Event::RollbackDecided { because: because.clone(), settle_by, ends })?;
    if d.run().state != RunState::RollingBack {
        d.emit(Event::Moved { to: RunState::RollingBack, because })?;
    }
    stop_live(d)
}

/// Asks every forward attempt to stop.
pub(super) fn stop_live(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let live: Vec<(StepIx, u32)> = d
        .run()
        .live
        .iter()
        .filter(|(_, direction)| *direction == Direction::Forward)
        .filter_map(|(ix, _)| {
            d.run().forward(*ix).attempt().filter(|a| a.interrupted.is_none()).map(|a| (*ix, a.number))
        })
        .collect();
    for (ix, attempt) in live {
        let step = d.run().plan.step(ix).id.clone();
        d.emit(Event::Interrupted { step, attempt, direction: Direction::Forward, why: Interruption::Stopping })?;
    }
    Ok(())
}

/// Takes the next turn of a rollback, if one can be taken.
pub(super) fn advance(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let Some(rollback) = &d.run().rollback else {
        return Err(Illegal::Needs { event: "a turn of a rollback", needs: "a decision" });
    };
    if !rollback.ordered {
        return settle(d);
    }
    if rollback.restored.is_none() {
        match take_turn(d, Part::Restore)? {
            Turned::Busy => return Ok(()),
            Turned::Blocked => {
                return d.emit(Event::Moved { to: RunState::Stuck, because: Cause::NothingProceeds });
            }
            Turned::Ended { .. } => {}
        }
        if !check_restored(d)? {
            return Ok(());
        }
    }
    match take_turn(d, Part::Cleanup)? {
        Turned::Busy => Ok(()),
        // A failed clean-up is residue for the morning; it keeps nobody awake.
        Turned::Blocked | Turned::Ended { .. } => finish(d),
    }
}

/// Waits for running attempts, up to the deadline; then fixes the order.
fn settle(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let settle_by = d.run().rollback.as_ref().map_or(0, |rollback| rollback.settle_by);
    let probing = d
        .run()
        .plan
        .section(Section::Cutover)
        .chain(d.run().plan.section(Section::Prepare))
        .any(|ix| matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { probing: true, .. })));
    if forward::effect_under_way(d) || probing {
        if d.now().steady < settle_by {
            return Ok(());
        }
        let live: Vec<StepIx> =
            d.run().live.iter().filter(|(_, way)| *way == Direction::Forward).map(|(ix, _)| *ix).collect();
        for ix in live {
            let step = d.run().plan.step(ix).id.clone();
            let failure = Failure::new("it could not be proved stopped in time");
            d.emit(Event::OutcomeUnknown { step, direction: Direction::Forward, failure })?;
        }
    }
    let Orders { order, stays } = what_to_undo(d.run());
    let name = |nodes: &[UndoNode]| nodes.iter().map(|node| ordered(d.run(), node)).collect();
    let (restore, cleanup) = (name(&order.restore), name(&order.cleanup));
    let stays = stays.into_iter().map(|(ix, why)| (d.run().plan.step(ix).id.clone(), why)).collect();
    d.emit(Event::RollbackOrdered { restore, cleanup, stays })?;
    not_needed(d)
}

/// What a rollback takes back as things stand.
#[derive(Debug, Clone)]
pub struct Orders {
    /// Both parts, in order.
    pub order: RollbackOrder,
    /// Had an effect and stays applied, with the reason.
    pub stays: Vec<(StepIx, String)>,
}

/// What a rollback would take back if it were decided now and everything that runs had stopped.
#[must_use]
pub fn what_to_undo(run: &Run) -> Orders {
    let plan = &run.plan;
    let mut kept: std::collections::BTreeSet<StepIx> = std::collections::BTreeSet::new();
    if let Some(passed) = run.irreversible {
        kept.insert(passed);
        kept.extend(plan.dag().ancestors(passed));
    }
    let mut applied = Vec::new();
    let mut stays = Vec::new();
    for section in [Section::Prepare, Section::Cutover] {
        for ix in plan.section(section) {
            if !run.may_stand(ix) {
                continue;
            }
            let step = plan.step(ix);
            if kept.contains(&ix) {
                stays.push((ix, "it stands before or at an irreversible step".to_owned()));
            } else {
                match &step.undo {
                    Undo::Action(_) => applied.push(Applied { step: ix, completed: run.step(ix).completed }),
                    Undo::Nothing { reason: Some(reason) } => stays.push((ix, reason.clone())),
                    Undo::Nothing { reason: None } => {}
                    Undo::Irreversible => stays.push((ix, "it cannot be taken back".to_owned())),
                }
            }
        }
    }
    Orders { order: order(plan, &applied, run.possibly_exposed.is_some()), stays }
}

fn ordered(run: &Run, node: &UndoNode) -> Ordered {
    let names = |places: &[StepIx]| places.iter().map(|ix| run.plan.step(*ix).id.clone()).collect();
    Ordered {
        step: run.plan.step(node.step).id.clone(),
        stage: node.stage,
        after: names(&node.after),
        blocked_by: names(&node.blocked_by),
    }
}

/// An unfinished target must never overwrite a good source.
fn not_needed(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if d.run().possibly_exposed.is_some() {
        return Ok(());
    }
    let turns = d.run().rollback.as_ref().map(|rollback| rollback.restore.clone()).unwrap_or_default();
    for turn in turns.iter().filter(|turn| turn.stage == Some(Stage::Data)) {
        let step = d.run().plan.step(turn.step).id.clone();
        let why = "nothing to bring home: no user could reach the target".to_owned();
        d.emit(Event::UndoNotNeeded { step, why })?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Restore,
    Cleanup,
}

enum Turned {
    /// Something is under way, or was started.
    Busy,
    /// Something is left and nothing can proceed.
    Blocked,
    /// Every turn went well or was waived.
    Ended,
}

/// Where a turn stands, for a fence step and for an undo alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Live,
    Well,
    Badly,
}

fn standing(run: &Run, ix: StepIx) -> Standing {
    match &run.step(ix).status {
        Status::Undo { state, .. } => match state {
            UndoState::Pending => Standing::Waiting,
            UndoState::Undoing(_) | UndoState::Backoff { .. } | UndoState::Unknown { probing: true, .. } => {
                Standing::Live
            }
            UndoState::Undone { .. } | UndoState::Waived => Standing::Well,
            UndoState::Failed { .. } | UndoState::Unknown { probing: false, .. } => Standing::Badly,
        },
        Status::Forward(forward) => match forward {
            Forward::Pending | Forward::Ready => Standing::Waiting,
            Forward::Running(_)
            | Forward::Backoff { .. }
            | Forward::Waiting { .. }
            | Forward::Unknown { probing: true, .. } => Standing::Live,
            Forward::Succeeded | Forward::Skipped { .. } => Standing::Well,
            Forward::Failed { .. } | Forward::Unknown { probing: false, .. } | Forward::NotRun => Standing::Badly,
        },
    }
}

/// One at a time, in order; what a failed undo does not block goes on.
fn take_turn(d: &mut Draft<'_>, part: Part) -> Result<Turned, Illegal> {
    let run = d.run();
    let Some(rollback) = &run.rollback else { return Ok(Turned::Ended) };
    let turns = match part {
        Part::Restore => &rollback.restore,
        Part::Cleanup => &rollback.cleanup,
    };
    let mut badly = false;
    let mut next: Option<Turn> = None;
    for turn in turns {
        match standing(run, turn.step) {
            Standing::Live => return Ok(Turned::Busy),
            Standing::Badly => badly = true,
            Standing::Well => {}
            Standing::Waiting => {
                let ended = |ix: &StepIx| {
                    matches!(standing(run, *ix), Standing::Well | Standing::Badly) || is_blocked(run, turns, *ix)
                };
                let free = turn.after.iter().all(ended)
                    && turn.blocked_by.iter().all(|ix| standing(run, *ix) == Standing::Well);
                if free && next.is_none() {
                    next = Some(turn.clone());
                } else if !free {
                    badly = true;
                }
            }
        }
    }
    match next {
        Some(turn) => {
            start_turn(d, turn.step)?;
            Ok(Turned::Busy)
        }
        None if badly => Ok(Turned::Blocked),
        None => Ok(Turned::Ended),
    }
}

/// Whether a waiting turn can never start as things stand: something that blocks it ended badly.
fn is_blocked(run: &Run, turns: &[Turn], ix: StepIx) -> bool {
    turns.iter().find(|turn| turn.step == ix).is_some_and(|turn| {
        turn.blocked_by.iter().any(|on| standing(run, *on) == Standing::Badly || is_blocked(run, turns, *on))
    })
}

/// Starts the fence step or the undo of a step.
fn start_turn(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    if d.run().plan.step(ix).section == Section::Fence {
        return forward::start(d, ix);
    }
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if !step.locks.is_empty() {
        match d.run().step(ix).locks {
            StepLocks::None => return d.emit(Event::LocksRequested { scope: LockScope::Step(step.id.clone()) }),
            StepLocks::Requested => return Ok(()),
            StepLocks::Held => {}
        }
    }
    let Some(undo) = step.undo_action() else {
        return d.emit(Event::UndoNotNeeded { step: step.id.clone(), why: "it has no undo".to_owned() });
    };
    let call = undo.call.as_ref().map(|call| eval::resolve(d.run(), call)).transpose();
    let verify = undo.verify.as_ref().map(|verify| eval::resolve(d.run(), &verify.call)).transpose();
    let (call, verify) = match (call, verify) {
        (Ok(call), Ok(verify)) => (call.flatten(), verify.flatten()),
        (Err(why), _) | (_, Err(why)) => {
            let failure = Failure::new(format!("the parameters of the undo have no value: {why}"));
            return d.emit(Event::UndoFailed { step: step.id.clone(), failure });
        }
    };
    let record = d.run().step(ix);
    d.emit(Event::AttemptIntended {
        step: step.id.clone(),
        attempt: record.undo_attempts + 1,
        direction: Direction::Undo,
        generation: record.undo_generation,
        deadline: Some(d.now().steady.saturating_add(ms(undo.timeout_ms))),
        call,
        verify,
    })
}

/// An attempt of an undo ended.
pub(super) fn undo_ended(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let Some(undo) = plan.step(ix).undo_action() else { return Ok(()) };
    let again = match &d.run().step(ix).status {
        Status::Undo { state: UndoState::Failed { .. }, .. } => true,
        // Undos are repeatable; `once` is the stated exception.
        Status::Undo { state: UndoState::Unknown { .. }, .. } => undo.effect != Effect::Once,
        Status::Forward(_) | Status::Undo { .. } => false,
    };
    let tries = d.run().step(ix).undo_tries;
    if again && tries < undo.retry.attempts {
        let at = d.now().steady.saturating_add(failures::pause(d, undo.retry, tries));
        return d.emit(Event::RetryPlanned { step: plan.step(ix).id.clone(), direction: Direction::Undo, at });
    }
    Ok(())
}

/// The probe of an interrupted undo answered; `advance` goes on from what it left.
pub(super) fn undo_probed(_d: &mut Draft<'_>, _ix: StepIx) -> Result<(), Illegal> {
    Ok(())
}

/// A fence step or a rollback check did not succeed: tried again, as undos are.
pub(super) fn looked_or_fenced(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let retry = d.run().plan.step(ix).retry;
    let tries = d.run().step(ix).tries;
    if tries < retry.attempts.max(5) {
        let at = d.now().steady.saturating_add(failures::pause(d, retry, tries));
        let step = d.run().plan.step(ix).id.clone();
        return d.emit(Event::RetryPlanned { step, direction: Direction::Forward, at });
    }
    Ok(())
}

/// Runs the rollback checks; true once the source is known to serve.
fn check_restored(d: &mut Draft<'_>) -> Result<bool, Illegal> {
    if d.run().first_effect.is_none() {
        return Ok(true);
    }
    forward::dispatch_looking(d, Section::RollbackCheck)?;
    let run = d.run();
    let mut badly = false;
    for ix in run.plan.section(Section::RollbackCheck) {
        match standing(run, ix) {
            Standing::Waiting | Standing::Live => return Ok(false),
            Standing::Badly => badly = true,
            Standing::Well => {}
        }
    }
    if badly {
        d.emit(Event::Moved { to: RunState::Stuck, because: Cause::NothingProceeds })?;
        return Ok(false);
    }
    d.emit(Event::ServiceRestored)?;
    Ok(true)
}

/// Both parts are over.
fn finish(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if let Some(passed) = d.run().irreversible {
        let step = d.run().plan.step(passed).id.clone();
        return ask(d, QuestionKind::PastIrreversible { step });
    }
    let ends = d.run().rollback.as_ref().map_or(RunState::RolledBack, |rollback| rollback.ends);
    d.emit(Event::Moved { to: ends, because: Cause::WentBack })
}

/// A person's word may have freed a turn.
pub(super) fn stuck(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let run = d.run();
    let Some(rollback) = &run.rollback else { return Ok(()) };
    let turns = &rollback.restore;
    let free = turns.iter().any(|turn| match standing(run, turn.step) {
        Standing::Waiting => turn.blocked_by.iter().all(|ix| standing(run, *ix) == Standing::Well),
        Standing::Live => true,
        Standing::Well | Standing::Badly => false,
    });
    let all_well = turns.iter().all(|turn| standing(run, turn.step) == Standing::Well);
    let checks_bad = run.plan.section(Section::RollbackCheck).any(|ix| standing(run, ix) == Standing::Badly);
    if free || all_well && !checks_bad {
        return d.emit(Event::Moved { to: RunState::RollingBack, because: Cause::UndoResolved });
    }
    Ok(())
}
