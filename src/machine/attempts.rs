//! What the end of an attempt means.

use std::sync::Arc;

use serde_json::Value;

use super::apply::Illegal;
use super::books::{asks_at_deadline, may_stand};
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, Direction, End, Failure, Found, Interruption, Left, LogDigest, Resolution, Work};
use super::input::{Outcome, ProbeOutcome};
use super::judge::{self, Judged};
use super::large::recorded;
use super::question::QuestionKind;
use super::state::{Attempt, Forward, Status, UndoState};
use super::{checks, eval, failures, undoing, window_rules};
use crate::plan::step::Effect;
use crate::plan::{Section, StepIx, StepKind};

/// The news of an attempt's end.
pub(super) struct Ended {
    pub(super) step: StepIx,
    pub(super) direction: Direction,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    pub(super) verify: Option<Outcome>,
    pub(super) log: Option<LogDigest>,
}

/// The attempt under way, if it is this one.
fn current(d: &Draft<'_>, ix: StepIx, direction: Direction, number: u32) -> Option<Attempt> {
    under_way(d, ix, direction).filter(|attempt| attempt.number == number)
}

/// The attempt of a step that is under way.
pub(super) fn under_way(d: &Draft<'_>, ix: StepIx, direction: Direction) -> Option<Attempt> {
    let attempt = match (&d.run().step(ix).status, direction) {
        (Status::Forward(forward), Direction::Forward) => forward.attempt(),
        (Status::Undo { state, .. }, Direction::Undo) => state.attempt(),
        (Status::Forward(_), Direction::Undo) | (Status::Undo { .. }, Direction::Forward) => None,
    };
    attempt.cloned()
}

/// Takes the end of an attempt in and decides what follows.
pub(super) fn ended(d: &mut Draft<'_>, news: Ended) -> Result<(), Illegal> {
    let Ended { step: ix, direction, attempt, outcome, verify, log } = news;
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let judged = judge::end(d, ix, direction, outcome, verify);
    let Some(live) = current(d, ix, direction, attempt) else { return late(d, ix, direction, attempt, judged) };
    let Judged { end, outputs } = judged;
    let succeeded = matches!(end, End::Succeeded { .. });
    let goes_on = matches!(end, End::Unknown { work: Work::MayGoOn, .. });
    let left = match &end {
        End::Failed { left, .. } | End::Cancelled { left } => *left,
        End::Succeeded { .. } | End::Unknown { .. } => Left::Possible,
    };
    d.emit(Event::AttemptEnded { step: step.id.clone(), attempt, direction, end, log })?;
    if d.run().state.is_final() {
        // The run was closed beside it: that is how it ended, and nothing follows.
        return Ok(());
    }
    close(d, None, |kind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step.id))?;
    if direction == Direction::Undo && goes_on {
        // Not even what is repeatable is repeated beside itself.
        return undoing::ask_about_part(d, ix);
    }
    if direction == Direction::Undo {
        return undoing::undo_ended(d, ix, left);
    }
    if succeeded {
        return succeeded_with(d, ix, outputs);
    }
    if d.run().rollback.is_some() && !matches!(step.section, Section::Fence | Section::RollbackCheck) {
        // Settling: what it left behind is undone; nobody tries again.
        return Ok(());
    }
    if live.interrupted.is_some() { failures::interrupted(d, ix) } else { failures::failed(d, ix) }
}

pub(super) fn forward_succeeded(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    succeeded_with(d, ix, None)
}

/// `outputs`: all that the attempt returned; without them what is recorded of it counts.
fn succeeded_with(d: &mut Draft<'_>, ix: StepIx, outputs: Option<Arc<Value>>) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if let StepKind::Action(call) = &step.kind {
        let outputs = outputs.or_else(|| d.run().step(ix).outputs.clone()).unwrap_or_default();
        for (name, expression) in &step.check.baseline {
            if let Ok(value) = eval::value(d.run(), expression, call, &outputs) {
                d.emit(Event::BaselineCaptured { name: name.clone(), value })?;
            }
        }
    }
    let about = step.id.clone();
    close(d, None, |kind| {
        kind.step() == Some(&about)
            && matches!(
                kind,
                QuestionKind::OutOfTime { .. }
                    | QuestionKind::StaleCheck { .. }
                    | QuestionKind::CheckInconclusive { .. }
                    | QuestionKind::PostCheckFailed { .. }
            )
    })?;
    match step.section {
        Section::Ready => checks::judge_way_back(d),
        Section::Cutover if plan.exposing() == Some(ix) => window_rules::open_at_exposure(d),
        Section::PreCheck
        | Section::Prepare
        | Section::Cutover
        | Section::PostCheck
        | Section::Fence
        | Section::RollbackCheck
        | Section::Commit => Ok(()),
    }
}

/// A result of an attempt that counts no more: recorded, never applied. If it is the answer of the
/// attempt that nobody could prove stopped, it is the evidence that was missing. If it reports an
/// effect otherwise, it raises a question, repeats the undo, or alarms.
fn late(d: &mut Draft<'_>, ix: StepIx, direction: Direction, attempt: u32, judged: Judged) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let record = d.run().step(ix);
    let newest = direction == Direction::Forward && attempt == record.attempts;
    let unknown = matches!(record.status, Status::Forward(Forward::Unknown { .. }));
    let proves = if newest && (record.unsettled || unknown) { Proves::ItsEnd } else { Proves::Nothing };
    d.emit(Event::LateResult { step: step.id.clone(), attempt, direction, end: judged.end.clone() })?;
    // That nobody knows whether it still goes on is what was known before.
    let says_nothing = matches!(judged.end, End::Unknown { work: Work::MayGoOn, .. });
    if d.run().state.is_final() || step.effect == Effect::None || says_nothing {
        return Ok(());
    }
    match direction {
        Direction::Undo => late_undo(d, ix, attempt, &judged.end),
        Direction::Forward => late_forward(d, ix, proves, judged),
    }
}

/// What a late answer proves beside what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proves {
    /// It is of an attempt that others followed.
    Nothing,
    /// It is of the very attempt whose end, or outcome, nobody knew.
    ItsEnd,
}

/// `proves`: it is the answer of the very attempt that nobody could prove stopped.
fn late_forward(d: &mut Draft<'_>, ix: StepIx, proves: Proves, judged: Judged) -> Result<(), Illegal> {
    let Judged { end, outputs } = judged;
    let step = d.run().plan.step(ix).id.clone();
    let effect = match &end {
        End::Succeeded { .. } | End::Unknown { .. } => true,
        End::Failed { left, .. } | End::Cancelled { left } => *left == Left::Possible,
    };
    // What it says of itself says nothing of the attempts before it.
    let stands = effect || d.run().step(ix).touched_before;
    match &d.run().step(ix).status {
        Status::Forward(Forward::Unknown { .. }) if proves == Proves::ItsEnd => settled_late(d, ix, end, outputs),
        // It ended, so it can be undone now.
        Status::Undo { state: UndoState::Unknown { .. }, .. } if proves == Proves::ItsEnd => {
            let resolution = match end {
                End::Succeeded { outputs } => Resolution::Happened { outputs },
                End::Failed { .. } | End::Cancelled { .. } | End::Unknown { .. } if stands => {
                    Resolution::Failed { left: Left::Possible }
                }
                End::Failed { .. } | End::Cancelled { .. } | End::Unknown { .. } => Resolution::DidNotHappen,
            };
            d.emit(Event::Resolved { step, resolution })
        }
        // Its undo came too early: once more.
        Status::Undo { state: UndoState::Undone { .. }, .. } if effect && undoing::is_needed(d.run(), ix) => {
            d.emit(Event::UndoReadied { step })
        }
        // An undo that is still to come, or that was told to repeat itself, sees to it.
        Status::Undo { .. } => Ok(()),
        Status::Forward(_) if effect => ask(d, QuestionKind::LateEffect { step }),
        Status::Forward(_) => Ok(()),
    }
}

/// The own late answer of an attempt whose outcome nobody knew.
fn settled_late(d: &mut Draft<'_>, ix: StepIx, end: End, all: Option<Arc<Value>>) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    let resolution = match end {
        End::Succeeded { outputs } => Resolution::Happened { outputs },
        End::Failed { .. } | End::Cancelled { .. } if d.run().step(ix).touched_before => {
            Resolution::Failed { left: Left::Possible }
        }
        End::Failed { left, .. } | End::Cancelled { left } => Resolution::Failed { left },
        // It ended, and still nobody knows: the question stands.
        End::Unknown { .. } => return Ok(()),
    };
    let happened = matches!(resolution, Resolution::Happened { .. });
    d.emit(Event::Resolved { step: step.clone(), resolution })?;
    close(d, None, |kind| kind.step() == Some(&step))?;
    if happened {
        return succeeded_with(d, ix, all);
    }
    if d.run().rollback.is_some() { Ok(()) } else { failures::failed(d, ix) }
}

/// The own late answer of an undo that nobody could prove stopped.
fn late_undo(d: &mut Draft<'_>, ix: StepIx, attempt: u32, end: &End) -> Result<(), Illegal> {
    let record = d.run().step(ix);
    let waits = matches!(record.status, Status::Undo { state: UndoState::Unknown { probing: false, .. }, .. });
    if !waits || attempt != record.undo_attempts || record.unsettled {
        return Ok(());
    }
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let repeatable = step.undo_action().is_some_and(|undo| !undo.is_once());
    if repeatable || !matches!(end, End::Cancelled { .. } | End::Unknown { .. }) {
        undoing::undo_is_known(d, ix)?;
    }
    match end {
        End::Succeeded { .. } => {
            let why = "its late answer says that it was undone".to_owned();
            d.emit(Event::UndoNotNeeded { step: step.id.clone(), why })
        }
        End::Failed { .. } | End::Cancelled { .. } | End::Unknown { .. } if repeatable => {
            d.emit(Event::UndoReadied { step: step.id.clone() })
        }
        End::Failed { failure, .. } => d.emit(Event::UndoFailed { step: step.id.clone(), failure: failure.clone() }),
        End::Cancelled { .. } | End::Unknown { .. } => Ok(()),
    }
}

/// Remote work can be found again.
pub(super) fn handle(
    d: &mut Draft<'_>,
    ix: StepIx,
    direction: Direction,
    attempt: u32,
    handle: Value,
) -> Result<(), Illegal> {
    if d.run().state.is_final() || current(d, ix, direction, attempt).is_none() {
        return Ok(());
    }
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::HandleRecorded { step, attempt, direction, handle })
}

/// A probe answered.
pub(super) fn probed(
    d: &mut Draft<'_>,
    ix: StepIx,
    direction: Direction,
    outcome: ProbeOutcome,
) -> Result<(), Illegal> {
    if d.run().state.is_final() || !d.run().probing.contains(&(ix, direction)) {
        return Ok(());
    }
    let found = match outcome {
        ProbeOutcome::Native(found) => judge::native_probe(d, ix, direction, found),
        ProbeOutcome::Call(outcome) => judge::probe_call(d, ix, outcome),
    };
    let step = d.run().plan.step(ix).id.clone();
    let (found, outputs) = match found {
        Found::Done { outputs } => (Found::Done { outputs: recorded(&outputs) }, Some(outputs)),
        other @ (Found::NotStarted | Found::InProgress { .. } | Found::Partial { .. } | Found::CannotTell { .. }) => {
            (other, None)
        }
    };
    d.emit(Event::Probed { step: step.clone(), direction, found: found.clone() })?;
    if direction == Direction::Undo {
        return undoing::undo_probed(d, ix, &found);
    }
    match found {
        Found::Done { .. } => {
            close(d, None, |kind| kind.step() == Some(&step))?;
            succeeded_with(d, ix, outputs)
        }
        Found::NotStarted | Found::InProgress { .. } => failures::not_started(d, ix),
        Found::Partial { found } => failures::partial(d, ix, found),
        Found::CannotTell { failure } => {
            if d.run().rollback.is_some() {
                return Ok(());
            }
            ask(d, QuestionKind::UnknownOutcome { step, direction, failure })
        }
    }
}

/// The deadline of an attempt passed, or the time in which its end had to be proved.
pub(super) fn out_of_time(d: &mut Draft<'_>, ix: StepIx, direction: Direction) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let Some(attempt) = under_way(d, ix, direction) else { return Ok(()) };
    if attempt.interrupted.is_some() {
        return unproved(d, ix, direction);
    }
    if asks_at_deadline(d.run(), ix, direction) {
        return ask(d, QuestionKind::OutOfTime { step: step.id.clone() });
    }
    let (step, attempt) = (step.id.clone(), attempt.number);
    d.emit(Event::Interrupted { step, attempt, direction, why: Interruption::Timeout })
}

/// An attempt was told to stop and its end could not be proved: neither run again nor undone.
fn unproved(d: &mut Draft<'_>, ix: StepIx, direction: Direction) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let failure = Failure::new("it was told to stop, and nobody could prove that it did");
    close(d, None, |kind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step.id))?;
    d.emit(Event::OutcomeUnknown { step: step.id.clone(), direction, failure: failure.clone() })?;
    if direction == Direction::Undo {
        return undoing::ask_about_part(d, ix);
    }
    if step.effect == Effect::None {
        return if d.run().rollback.is_some() && step.section != Section::RollbackCheck {
            Ok(())
        } else {
            failures::failed(d, ix)
        };
    }
    if d.run().rollback.is_some() || !may_stand(d.run(), ix) {
        return Ok(());
    }
    ask(d, QuestionKind::UnknownOutcome { step: step.id.clone(), direction, failure })
}

/// A question or cause that names a step.
pub(super) fn step_failed(d: &Draft<'_>, ix: StepIx) -> Cause {
    Cause::StepFailed { step: d.run().plan.step(ix).id.clone() }
}
