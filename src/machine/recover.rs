//! After an interruption. Replay made the state; this decides what the dead attempts mean.

use super::apply::Illegal;
use super::checks;
use super::decide::ask;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Direction, End, Failure};
use super::failures;
use super::question::QuestionKind;
use super::state::{Forward, RunState, Status, UndoState};
use super::timers::Timer;
use super::window_rules;
use crate::plan::step::Effect;
use crate::plan::{Section, StepIx};

/// A new owner took the run; every former attempt is dead, its processes ended.
pub(super) fn recovered(
    d: &mut Draft<'_>,
    epoch: u64,
    host: String,
    pid: u32,
    away_ms: Option<u64>,
) -> Result<(), Illegal> {
    d.emit(Event::Owned { epoch, host, pid, away_ms })?;
    let Some(away_ms) = away_ms else { return Ok(()) };
    if d.run().state.is_final() {
        return Ok(());
    }
    hold(d, away_ms)?;
    let going_back = d.run().state == RunState::RollingBack;
    dead_attempts(d)?;
    lost_probes(d)?;
    if going_back && d.run().state == RunState::RollingBack && away_ms > d.run().plan.policies.auto_continue_within_ms {
        probe_undos(d)?;
        return ask(d, QuestionKind::AwayTooLong { away_ms });
    }
    deadline_passed(d)?;
    if matches!(d.run().state, RunState::CuttingOver | RunState::Prepared) {
        checks::recheck_stale(d, true)?;
    }
    Ok(())
}

/// New forward effects wait for `resume`, unless the plan lets them go on by themselves.
fn hold(d: &mut Draft<'_>, away_ms: u64) -> Result<(), Illegal> {
    let by_itself = d.run().plan.policies.resume_within_ms.is_some_and(|within| away_ms <= within);
    let forward = match d.run().state {
        RunState::Preparing | RunState::CuttingOver | RunState::Committing | RunState::Deciding => true,
        // Pre-checks only look; the later states act on nothing forward.
        RunState::Created
        | RunState::Checking
        | RunState::Prepared
        | RunState::Observing
        | RunState::Accepted
        | RunState::RollingBack
        | RunState::Stuck
        | RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => false,
    };
    if forward && !by_itself && d.run().hold.is_none() {
        d.emit(Event::Held { restart: true })?;
    }
    Ok(())
}

fn dead_attempts(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let dead: Vec<(StepIx, Direction)> = d.run().live.iter().copied().collect();
    for (ix, direction) in dead {
        let step = d.run().plan.step(ix).id.clone();
        let failure = Failure::new("the engine died while it was running");
        let remote = d.run().step(ix).status.attempt_handle().is_some();
        let settling = d.run().state == RunState::RollingBack && d.run().plan.step(ix).section.is_undone();
        if direction == Direction::Forward && settling && !remote {
            // Its processes are gone: it is settled, and the undo must cope with what it left.
            let attempt = d.run().forward(ix).attempt().map_or(0, |attempt| attempt.number);
            d.emit(Event::AttemptEnded { step, attempt, direction, end: End::Unknown { failure }, log: None })?;
            continue;
        }
        d.emit(Event::OutcomeUnknown { step, direction, failure })?;
        match direction {
            Direction::Forward => dead_forward(d, ix)?,
            Direction::Undo => dead_undo(d, ix)?,
        }
    }
    Ok(())
}

fn dead_forward(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if d.run().state == RunState::RollingBack && step.section.is_undone() {
        // Remote work may go on: only its probe can prove the end.
        return if step.probe.is_some() { failures::look(d, ix) } else { Ok(()) };
    }
    if step.section.is_check() || step.section == Section::Fence {
        return d.emit(Event::Readied { step: step.id.clone(), new_generation: false });
    }
    match step.effect {
        Effect::None | Effect::Idempotent => d.emit(Event::Readied { step: step.id.clone(), new_generation: false }),
        Effect::Probe => failures::look(d, ix),
        Effect::Once => {
            let failure = Failure::new("the engine died while it was running");
            ask(d, QuestionKind::UnknownOutcome { step: step.id.clone(), direction: Direction::Forward, failure })
        }
    }
}

/// Undos are repeatable: again, with the same key. `once` is the stated exception.
fn dead_undo(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if step.undo_action().is_some_and(|undo| undo.effect == Effect::Once) {
        return Ok(());
    }
    d.emit(Event::UndoReadied { step: step.id.clone() })
}

/// A probe that nobody answers any more is asked again.
fn lost_probes(d: &mut Draft<'_>) -> Result<(), Illegal> {
    for ix in 0..d.run().steps.len() {
        if matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { probing: true, .. })) {
            failures::look(d, ix)?;
        }
    }
    Ok(())
}

/// After a long absence somebody may have repaired by hand: look at what can be looked at.
fn probe_undos(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let unknown: Vec<StepIx> = (0..d.run().steps.len())
        .filter(|ix| matches!(d.run().step(*ix).status, Status::Undo { state: UndoState::Unknown { .. }, .. }))
        .collect();
    for ix in unknown {
        let step = d.run().plan.step(ix).id.clone();
        d.emit(Event::ProbeIntended { step, direction: Direction::Undo, call: None })?;
    }
    Ok(())
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
