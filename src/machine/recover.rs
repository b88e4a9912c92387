//! After an interruption. Replay made the state; this decides what the dead attempts mean.

use super::apply::Illegal;
use super::checks;
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::fact::{AttemptName, Direction, Failure, Interruption, LockScope, Millis};
use super::input::NewOwner;
use super::question::QuestionKind;
use super::run::{Locks, Run};
use super::run_state::RunState;
use super::state::UndoState;
use super::timers::Timer;
use super::unended::AttemptKey;
use super::{attempts, eval, failures, rollback, undoing, window_rules};
use crate::plan::policy::OnWindowClose;
use crate::plan::step::{Effect, Probe, UndoAction};
use crate::plan::{Section, StepIx, StepKind};

/// A wall clock that is off by more than this has jumped, whoever looks.
pub const CLOCK_JUMP_MS: Millis = 5_000;

/// A new owner took the run; every former attempt is dead, its processes ended, but for those that it names.
pub(super) fn recovered(
    d: &mut Draft<'_>,
    owner: NewOwner,
    away_ms: Option<u64>,
    unended: &[AttemptKey],
) -> Result<(), Illegal> {
    let asked_for_locks = matches!(d.run().locks, Locks::Requested | Locks::Awaited(_));
    // Of smaller differences an engine tells nobody, either.
    let ahead = Some(d.now().wall - d.now().steady).filter(|ahead| ahead.abs() > CLOCK_JUMP_MS).unwrap_or(0);
    // A run that goes on keeps what it knows; how the clock was set while no engine was there is a jump like any other.
    let known = if away_ms.is_some() { d.run().clock_offset } else { ahead };
    let clock_offset_ms = Some(known).filter(|known| *known != 0);
    let NewOwner { epoch, host, pid, place } = owner;
    let name = |(ix, direction, attempt): &AttemptKey| AttemptName {
        step: d.run().plan.step(*ix).id.clone(),
        direction: *direction,
        attempt: *attempt,
    };
    let unended = unended.iter().map(name).collect();
    d.emit(Event::Owned { epoch, host, pid, away_ms, clock_offset_ms, place, unended })?;
    let Some(away_ms) = away_ms else { return Ok(()) };
    if d.run().state.is_final() {
        return Ok(());
    }
    let jumped = ahead - known;
    if jumped.abs() > CLOCK_JUMP_MS {
        d.emit(Event::ClockJumped { by_ms: jumped })?;
    }
    if asked_for_locks {
        // Nobody remembers the request: the queue died with its engine.
        d.emit(Event::LocksRequested { scope: LockScope::Run })?;
    }
    hold(d, away_ms)?;
    let going_back = d.run().state == RunState::RollingBack;
    let lost: Vec<(StepIx, Direction)> = d.run().probing.iter().copied().collect();
    dead_attempts(d)?;
    for (ix, direction) in lost {
        lost_probe(d, ix, direction)?;
    }
    if going_back && away_ms > d.run().plan.policies.auto_continue_within_ms {
        probe_undos(d, away_ms)?;
        return ask(d, QuestionKind::AwayTooLong { away_ms });
    }
    deadline_passed(d)?;
    if matches!(d.run().state, RunState::Preparing | RunState::CuttingOver | RunState::Prepared) {
        checks::recheck_stale(d, true)?;
    }
    Ok(())
}

/// New forward effects wait for `resume`, unless the plan lets them go on by themselves.
fn hold(d: &mut Draft<'_>, away_ms: u64) -> Result<(), Illegal> {
    let by_itself = d.run().plan.policies.resume_within_ms.is_some_and(|within| away_ms <= within);
    if !by_itself && d.run().hold.is_none() && effects_may_follow(d.run()) {
        d.emit(Event::Held { restart: true })?;
    }
    Ok(())
}

/// Whether something forward may follow without a person's word, once no question is open any more.
fn effects_may_follow(run: &Run) -> bool {
    let state = run.stands_in();
    let closes = matches!(state, RunState::Observing | RunState::Accepted);
    state.starts_steps()
        || state == RunState::Prepared
        || (closes && run.plan.policies.on_window_close == OnWindowClose::Commit)
}

fn dead_attempts(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let dead: Vec<(StepIx, Direction)> = d.run().live.iter().copied().collect();
    for (ix, direction) in dead {
        if attempts::under_way(d, ix, direction).is_none() {
            continue;
        }
        let failure = if d.run().is_unended(ix, direction) {
            Failure::new("its engine died, and it may still run where nobody here may end it")
        } else {
            Failure::new("the engine died while it was running")
        };
        died_with_its_engine(d, ix, direction, failure.clone())?;
        let has_effect = direction == Direction::Undo || d.run().plan.step(ix).effect != Effect::None;
        if has_effect && d.run().is_unended(ix, direction) {
            out_of_sight(d, ix, direction, failure)?;
            continue;
        }
        match direction {
            Direction::Forward => dead_forward(d, ix)?,
            Direction::Undo => dead_undo(d, ix)?,
        }
    }
    Ok(())
}

/// Nobody knows what came of an attempt whose engine died.
pub(super) fn died_with_its_engine(
    d: &mut Draft<'_>,
    ix: StepIx,
    direction: Direction,
    failure: Failure,
) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    if let Some(attempt) = attempts::under_way(d, ix, direction) {
        let (attempt, why) = (attempt.number, Interruption::EngineDied);
        d.emit(Event::Interrupted { step: step.clone(), attempt, direction, why })?;
    }
    close(d, None, |kind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step))?;
    d.emit(Event::OutcomeUnknown { step, direction, failure })
}

/// An attempt whose end is not proved is neither run again nor undone, nor is its undo repeated: what a probe says of
/// work that may still go on is true for no longer than it takes to say it. On the way back it stands unknown at its place.
fn out_of_sight(d: &mut Draft<'_>, ix: StepIx, direction: Direction, failure: Failure) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    match direction {
        Direction::Forward if d.run().rollback.is_some() => Ok(()),
        Direction::Undo if d.run().rollback.is_none() => undoing::ask_about_part(d, ix),
        Direction::Forward | Direction::Undo => ask(d, QuestionKind::UnknownOutcome { step, direction, failure }),
    }
}

fn dead_forward(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let id = step.id.clone();
    if matches!(step.section, Section::Fence | Section::RollbackCheck) {
        return d.emit(Event::Readied { step: id, new_generation: false });
    }
    if d.run().rollback.is_some() {
        // Remote work may go on: only its probe can prove the end. The rest is settled by its death.
        return if d.run().step(ix).unsettled { rollback::look_again(d, ix) } else { Ok(()) };
    }
    if step.section.is_check() || matches!(step.kind, StepKind::Manual(_)) {
        // It only looked.
        return d.emit(Event::Readied { step: id, new_generation: false });
    }
    match step.effect {
        Effect::None | Effect::Idempotent => d.emit(Event::Readied { step: id, new_generation: false }),
        Effect::Probe => failures::look(d, ix),
        // Its remote work is found again, which performs nothing anew.
        Effect::Once if d.run().step(ix).attached.is_some() => {
            d.emit(Event::Readied { step: id, new_generation: false })
        }
        Effect::Once => {
            let failure = Failure::new("the engine died while it was running");
            ask(d, QuestionKind::UnknownOutcome { step: id, direction: Direction::Forward, failure })
        }
    }
}

/// Undos are repeatable: again, with the same key. `once` is the stated exception.
fn dead_undo(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if step.undo_action().is_some_and(UndoAction::is_once) {
        if d.run().rollback.is_none() {
            return undoing::ask_about_part(d, ix);
        }
        // Nothing ends because a process died: the rest of the way back goes on, its end waits for an answer.
        let failure = Failure::new("the engine died while it was undone");
        return ask(d, QuestionKind::UnknownOutcome { step: step.id.clone(), direction: Direction::Undo, failure });
    }
    d.emit(Event::UndoReadied { step: step.id.clone() })
}

/// A probe that nobody answers any more is asked again.
fn lost_probe(d: &mut Draft<'_>, ix: StepIx, direction: Direction) -> Result<(), Illegal> {
    match direction {
        Direction::Forward if d.run().rollback.is_some() => rollback::look_again(d, ix),
        Direction::Forward => failures::look(d, ix),
        Direction::Undo => {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::ProbeIntended { step, direction, call: None })
        }
    }
}

/// After a long absence somebody may have repaired by hand: what can be looked at is looked at
/// before a person decides.
fn probe_undos(d: &mut Draft<'_>, away_ms: u64) -> Result<(), Illegal> {
    let Some(rollback) = &d.run().rollback else { return Ok(()) };
    let turns: Vec<StepIx> = rollback.restore.iter().chain(&rollback.cleanup).map(|turn| turn.step).collect();
    for ix in turns {
        let open = match d.run().undo(ix) {
            Some(UndoState::Pending | UndoState::Backoff { .. }) => true,
            Some(UndoState::Unknown { probing, .. }) => {
                !probing && !d.run().step(ix).unsettled && !d.run().is_unended(ix, Direction::Undo)
            }
            Some(
                UndoState::Undoing(_)
                | UndoState::Waiting { .. }
                | UndoState::Undone { .. }
                | UndoState::Failed { .. }
                | UndoState::Waived,
            )
            | None => false,
        };
        if !open || !can_look(d, ix) {
            continue;
        }
        let step = d.run().plan.step(ix).id.clone();
        if !matches!(d.run().undo(ix), Some(UndoState::Unknown { .. })) {
            let failure = Failure::new(format!("nobody was there for {} min", away_ms / 60_000));
            let direction = Direction::Undo;
            d.emit(Event::OutcomeUnknown { step: step.clone(), direction, failure })?;
        }
        d.emit(Event::ProbeIntended { step, direction: Direction::Undo, call: None })?;
    }
    Ok(())
}

/// Whether an executor can tell if an undo is done: the undo's own, or for a native undo the step's.
fn can_look(d: &Draft<'_>, ix: StepIx) -> bool {
    let plan = &d.run().plan;
    let step = plan.step(ix);
    let Some(undo) = step.undo_action() else { return false };
    match &undo.call {
        Some(call) => plan.executors.get(&*call.uses).is_some_and(|pin| pin.probes) && eval::is_literal(call),
        None => matches!(step.probe, Some(Probe::Native)),
    }
}

/// A deadline that passed while nobody looked closes nothing by itself.
fn deadline_passed(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let passed = d.run().timers.get(Timer::Window).is_some_and(|deadline| deadline <= d.now().steady);
    if !passed {
        return Ok(());
    }
    d.emit(Event::WindowExpired { watched: false })?;
    if d.run().state == RunState::Observing { window_rules::unwatched(d) } else { Ok(()) }
}
