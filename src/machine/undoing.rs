//! One undo: whether it is needed, who does it, what its end means.
//!
//! It must never decide which undo comes next; that is [`super::rollback::advance`]. Start with [`start_turn`].

use super::apply::{Illegal, ms};
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::fact::{Direction, Failure, Found, Left, LockScope};
use super::question::QuestionKind;
use super::run::Run;
use super::state::{Status, StepLocks, UndoState};
use super::{checks, eval, failures, forward};
use crate::plan::rollback::stage;
use crate::plan::{Section, Stage, StepIx, StepKind};

/// Whether the undo of a step may do anything: an unfinished target must never overwrite a good source.
pub(super) fn is_needed(run: &Run, ix: StepIx) -> bool {
    let Some(rollback) = &run.rollback else { return false };
    let brings_home = rollback.line.restores(ix) && stage(&run.plan, ix) == Some(Stage::Data);
    !brings_home || run.possibly_exposed.is_some()
}

pub(super) fn not_needed(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if d.run().possibly_exposed.is_some() {
        return Ok(());
    }
    let turns = d.run().rollback.as_ref().map(|rollback| rollback.restore.clone()).unwrap_or_default();
    for turn in turns.iter().filter(|turn| turn.stage == Some(Stage::Data)) {
        nothing_to_bring_home(d, turn.step)?;
    }
    Ok(())
}

fn nothing_to_bring_home(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    let why = "nothing to bring home: no user could reach the target".to_owned();
    d.emit(Event::UndoNotNeeded { step, why })
}

/// Starts the fence step or the undo of a step.
pub(super) fn start_turn(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if step.section == Section::Fence {
        return forward::start(d, ix);
    }
    if d.run().rollback.is_some() && !is_needed(d.run(), ix) {
        // It came out meanwhile that nobody was exposed.
        return nothing_to_bring_home(d, ix);
    }
    let Some(undo) = step.undo_action() else {
        return d.emit(Event::UndoNotNeeded { step: step.id.clone(), why: "it has no undo".to_owned() });
    };
    if undo.call.is_none() && matches!(step.kind, StepKind::Manual(_)) {
        return by_hand(d, ix);
    }
    if let Some(why) = must_be_kept(d.run(), ix) {
        return d.emit(Event::UndoFailed { step: step.id.clone(), failure: Failure::new(why) });
    }
    let call = undo.call.as_ref().map(|call| eval::resolve(d.run(), call)).transpose();
    let verify = undo.verify.as_ref().map(|verify| eval::resolve(d.run(), &verify.call)).transpose();
    let (call, verify) = match (call, verify) {
        (Ok(call), Ok(verify)) => (call.flatten(), verify.flatten()),
        (Err(why), _) | (_, Err(why)) => {
            let failure = Failure::new(format!("the parameters of the undo have no value: {why}"));
            d.emit(Event::UndoFailed { step: step.id.clone(), failure })?;
            return ask_about_part(d, ix);
        }
    };
    if !step.locks.is_empty() {
        match d.run().step(ix).locks {
            StepLocks::None => return d.emit(Event::LocksRequested { scope: LockScope::Step(step.id.clone()) }),
            StepLocks::Requested => return Ok(()),
            StepLocks::Held => {}
        }
    }
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

/// Why an undo that deletes must not run: users may have written there, and nobody brought it home.
fn must_be_kept(run: &Run, ix: StepIx) -> Option<&'static str> {
    let deletes = run.plan.step(ix).undo_action().is_some_and(|undo| undo.cleanup && !undo.keep);
    let rollback = run.rollback.as_ref().filter(|_| deletes && run.possibly_exposed.is_some())?;
    let mut home = rollback.restore.iter().filter(|turn| turn.stage == Some(Stage::Data)).peekable();
    let came_home =
        home.peek().is_some() && home.all(|turn| matches!(run.undo(turn.step), Some(UndoState::Undone { .. })));
    if came_home { None } else { Some("kept: users may have written to it, and their data was not brought home") }
}

/// What a person did is taken back by a person. Nothing overtakes it: the order stands.
fn by_hand(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let told = step.undo_action().and_then(|undo| undo.by_hand.as_deref());
    let told = told.unwrap_or("the plan gives no instructions: see what the step did");
    let instructions = eval::words(d.run(), told).into();
    d.emit(Event::UndoLeftToPerson { step: step.id.clone() })?;
    ask(d, QuestionKind::UndoByHand { step: step.id.clone(), instructions })
}

/// Takes back what was done in part, before the step is tried again: never beside a live attempt.
pub(super) fn take_back_parts(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let parts: Vec<StepIx> = d.run().partial.iter().copied().collect();
    for ix in parts {
        if matches!(d.run().undo(ix), Some(UndoState::Undone { .. })) {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: true })?;
        }
    }
    let waiting = d.run().partial.iter().copied().find(|ix| matches!(d.run().undo(*ix), Some(UndoState::Pending)));
    let busy = d.run().live.iter().any(|(ix, way)| *way == Direction::Undo || checks::has_effect(d, *ix));
    match waiting {
        Some(ix) if !busy => start_turn(d, ix),
        Some(_) | None => Ok(()),
    }
}

/// An attempt of an undo ended: a failed one is tried again. Undos are repeatable; of one that says
/// `once` only an attempt that left nothing is.
pub(super) fn undo_ended(d: &mut Draft<'_>, ix: StepIx, left: Left) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let Some(undo) = plan.step(ix).undo_action() else { return Ok(()) };
    let failed = matches!(
        d.run().step(ix).status,
        Status::Undo { state: UndoState::Failed { .. } | UndoState::Unknown { .. }, .. }
    );
    if !failed {
        return Ok(());
    }
    let tries = d.run().step(ix).undo_tries;
    let again = !undo.is_once() || left == Left::Nothing;
    if again && tries < undo.retry.attempts {
        let at = d.now().steady.saturating_add(failures::pause(d, undo.retry, tries));
        return d.emit(Event::RetryPlanned { step: plan.step(ix).id.clone(), direction: Direction::Undo, at });
    }
    ask_about_part(d, ix)
}

/// Asks about a part that could not be taken back; on the way back of the whole run nobody is asked.
pub(super) fn ask_about_part(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    if d.run().rollback.is_some() || !d.run().partial.contains(&ix) {
        return Ok(());
    }
    let step = d.run().plan.step(ix).id.clone();
    ask(d, QuestionKind::PartialEffect { step, found: "taking it back failed".to_owned() })
}

/// The probe of an undo answered: one that cannot tell is no reason not to repeat it.
pub(super) fn undo_probed(d: &mut Draft<'_>, ix: StepIx, found: &Found) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let repeatable = step.undo_action().is_some_and(|undo| !undo.is_once());
    match found {
        Found::Partial { .. } | Found::CannotTell { .. }
            if !repeatable || d.run().step(ix).unsettled || d.run().is_unended(ix, Direction::Undo) =>
        {
            return Ok(());
        }
        Found::Partial { .. } | Found::CannotTell { .. } => d.emit(Event::UndoReadied { step: step.id.clone() })?,
        Found::Done { .. } | Found::NotStarted | Found::InProgress { .. } => {}
    }
    undo_is_known(d, ix)
}

/// What nobody knew of an undo is known now.
#[expect(clippy::wildcard_enum_match_arm, reason = "few questions are about undos")]
pub(super) fn undo_is_known(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let about = d.run().plan.step(ix).id.clone();
    close(d, None, |kind| {
        let of_undo = match kind {
            QuestionKind::UnknownOutcome { direction, .. } => *direction == Direction::Undo,
            other => matches!(other, QuestionKind::PartialEffect { .. }),
        };
        of_undo && kind.step() == Some(&about)
    })
}

/// A fence step or a rollback check did not succeed: tried again as often as its `retry` says, which is as
/// often as an undo where nobody wrote one.
pub(super) fn looked_or_fenced(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let retry = d.run().plan.step(ix).retry;
    let tries = d.run().step(ix).tries;
    if tries < retry.attempts {
        let at = d.now().steady.saturating_add(failures::pause(d, retry, tries));
        let step = d.run().plan.step(ix).id.clone();
        return d.emit(Event::RetryPlanned { step, direction: Direction::Forward, at });
    }
    Ok(())
}
