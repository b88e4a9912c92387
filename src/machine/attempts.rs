//! What the end of an attempt means.

use std::sync::Arc;

use serde_json::Value;

use super::apply::Illegal;
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, Direction, End, Failure, Found, Interruption, Left, LogDigest, Resolution};
use super::input::{Outcome, ProbeOutcome};
use super::question::QuestionKind;
use super::state::{Attempt, Forward, RunState, Status, UndoState};
use super::{checks, eval, failures, rollback, window_rules};
use crate::plan::step::{Effect, Expr, Probe};
use crate::plan::{Call, Section, StepIx, StepKind};
use crate::runbook::expr::Truth;

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
    let attempt = match (&d.run().step(ix).status, direction) {
        (Status::Forward(forward), Direction::Forward) => forward.attempt(),
        (Status::Undo { state, .. }, Direction::Undo) => state.attempt(),
        (Status::Forward(_), Direction::Undo) | (Status::Undo { .. }, Direction::Forward) => None,
    };
    attempt.filter(|attempt| attempt.number == number).cloned()
}

/// Takes the end of an attempt in and decides what follows.
pub(super) fn ended(d: &mut Draft<'_>, news: Ended) -> Result<(), Illegal> {
    let Ended { step: ix, direction, attempt, outcome, verify, log } = news;
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let end = judge(d, ix, direction, outcome, verify);
    let Some(live) = current(d, ix, direction, attempt) else { return late(d, ix, direction, attempt, end) };
    let succeeded = matches!(end, End::Succeeded { .. });
    d.emit(Event::AttemptEnded { step: step.id.clone(), attempt, direction, end, log })?;
    if direction == Direction::Undo {
        return rollback::undo_ended(d, ix);
    }
    if succeeded {
        return forward_succeeded(d, ix);
    }
    if d.run().state == RunState::RollingBack && step.section.is_undone() {
        // Settling: what it left behind is undone; nobody tries again.
        return Ok(());
    }
    match live.interrupted {
        Some(Interruption::Stopping) => Ok(()),
        Some(Interruption::Timeout | Interruption::Asked | Interruption::EngineDied) => failures::interrupted(d, ix),
        None => failures::failed(d, ix),
    }
}

/// Puts the executor's words, the verification and the `pass` condition together.
fn judge(d: &Draft<'_>, ix: StepIx, direction: Direction, outcome: Outcome, verify: Option<Outcome>) -> End {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let outputs = match outcome {
        Outcome::Succeeded { outputs } => outputs,
        Outcome::Failed { failure, left } => return End::Failed { failure, left },
        Outcome::Cancelled { left } => return End::Cancelled { left },
        Outcome::Unknown { failure } => return End::Unknown { failure },
    };
    let verification = match direction {
        Direction::Forward => step.verify.as_ref(),
        Direction::Undo => step.undo_action().and_then(|undo| undo.verify.as_ref()),
    };
    if let (Some(verification), Some(verified)) = (verification, verify) {
        match check_outcome(d, verified, verification.pass.as_ref(), &verification.call) {
            Checked::Passed(_) => {}
            Checked::Failed(failure) => {
                let failure = Failure {
                    message: format!("it ended well, but `verify` says otherwise: {failure}").into(),
                    ..failure
                };
                return End::Failed { failure, left: Left::Possible };
            }
            Checked::Inconclusive(failure) => {
                let failure = Failure {
                    message: format!("it ended well, but could not be verified: {failure}").into(),
                    ..failure
                };
                return End::Unknown { failure };
            }
        }
    }
    let StepKind::Action(call) = &step.kind else { return End::Succeeded { outputs } };
    if let (Some(pass), Direction::Forward) = (&step.check.pass, direction) {
        match eval::judge(d.run(), pass, call, &outputs) {
            Truth::True => {}
            Truth::False => {
                let message = format!("`{}` is false: {}", pass.as_str(), brief(&outputs));
                return End::Failed { failure: Failure::new(message), left: Left::Possible };
            }
            Truth::Unknown(why) => {
                return End::Unknown { failure: Failure::new(format!("`{}` has no value: {why}", pass.as_str())) };
            }
        }
    }
    End::Succeeded { outputs }
}

/// What came of a call that only looks.
pub(super) enum Checked {
    /// As it must be.
    Passed(Arc<Value>),
    /// Not as it must be.
    Failed(Failure),
    /// It could not be measured.
    Inconclusive(Failure),
}

fn check_outcome(d: &Draft<'_>, outcome: Outcome, pass: Option<&Expr>, call: &Call) -> Checked {
    match outcome {
        Outcome::Succeeded { outputs } => match pass.map(|pass| eval::judge(d.run(), pass, call, &outputs)) {
            None | Some(Truth::True) => Checked::Passed(outputs),
            Some(Truth::False) => {
                let pass = pass.map_or("", |pass| pass.as_str());
                Checked::Failed(Failure::new(format!("`{pass}` is false: {}", brief(&outputs))))
            }
            Some(Truth::Unknown(why)) => Checked::Inconclusive(Failure::new(why)),
        },
        Outcome::Failed { failure, .. } => Checked::Failed(failure),
        Outcome::Cancelled { .. } => Checked::Inconclusive(Failure::new("it was stopped")),
        Outcome::Unknown { failure } => Checked::Inconclusive(failure),
    }
}

/// A value for a message: short, whole characters.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 160 { text } else { text.chars().take(159).chain(['…']).collect() }
}

fn forward_succeeded(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if let StepKind::Action(call) = &step.kind {
        let outputs = d.run().step(ix).outputs.clone().unwrap_or_default();
        for (name, expression) in &step.check.baseline {
            if let Ok(value) = eval::value(d.run(), expression, call, &outputs) {
                d.emit(Event::BaselineCaptured { name: name.clone(), value })?;
            }
        }
    }
    let about = step.id.clone();
    close(d, None, |kind| {
        kind.step() == Some(&about) && matches!(kind, QuestionKind::OutOfTime { .. } | QuestionKind::StaleCheck { .. })
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

/// A result of an attempt that counts no more: recorded, never applied. If it reports an effect,
/// it raises a question, repeats the undo, or alarms.
fn late(d: &mut Draft<'_>, ix: StepIx, direction: Direction, attempt: u32, end: End) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let effect = match &end {
        End::Succeeded { .. } | End::Unknown { .. } => true,
        End::Failed { left, .. } | End::Cancelled { left } => *left == Left::Possible,
    };
    let outputs = if let End::Succeeded { outputs } = &end { Some(outputs.clone()) } else { None };
    d.emit(Event::LateResult { step: step.id.clone(), attempt, direction, end })?;
    if direction == Direction::Undo || step.effect == Effect::None || d.run().state.is_final() {
        return Ok(());
    }
    let of_newest = attempt == d.run().step(ix).attempts;
    match &d.run().step(ix).status {
        // Its own late answer is evidence: it ended, so it can be undone now.
        Status::Undo { state: UndoState::Unknown { .. }, .. } if of_newest && d.run().step(ix).unsettled => {
            let resolution = match outputs {
                Some(outputs) => Resolution::Happened { outputs },
                None if effect => Resolution::Failed { left: Left::Possible },
                None => Resolution::DidNotHappen,
            };
            d.emit(Event::Resolved { step: step.id.clone(), resolution })
        }
        Status::Forward(Forward::Unknown { .. }) if of_newest => match outputs {
            Some(outputs) => {
                d.emit(Event::Resolved { step: step.id.clone(), resolution: Resolution::Happened { outputs } })?;
                let about = step.id.clone();
                close(d, None, |kind| kind.step() == Some(&about))?;
                forward_succeeded(d, ix)
            }
            None => Ok(()),
        },
        Status::Undo { state: UndoState::Undone { .. }, .. } if effect => {
            d.emit(Event::UndoReadied { step: step.id.clone() })
        }
        Status::Forward(_) | Status::Undo { .. } if effect => {
            ask(d, QuestionKind::LateEffect { step: step.id.clone() })
        }
        Status::Forward(_) | Status::Undo { .. } => Ok(()),
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
    if current(d, ix, direction, attempt).is_none() {
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
    let asked = match &d.run().step(ix).status {
        Status::Forward(Forward::Unknown { probing, .. }) => *probing && direction == Direction::Forward,
        Status::Undo { state: UndoState::Unknown { probing, .. }, .. } => *probing && direction == Direction::Undo,
        Status::Forward(_) | Status::Undo { .. } => false,
    };
    if !asked {
        return Ok(());
    }
    let found = match outcome {
        ProbeOutcome::Native(found) => found,
        ProbeOutcome::Call(outcome) => probe_call(d, ix, outcome),
    };
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::Probed { step: step.clone(), direction, found: found.clone() })?;
    if direction == Direction::Undo {
        return rollback::undo_probed(d, ix);
    }
    match found {
        Found::Done { .. } => {
            close(d, None, |kind| kind.step() == Some(&step))?;
            forward_succeeded(d, ix)
        }
        Found::NotStarted | Found::InProgress { .. } => failures::not_started(d, ix),
        Found::Partial { found } => failures::partial(d, ix, found),
        Found::CannotTell { failure } => {
            if d.run().state == RunState::RollingBack {
                return Ok(());
            }
            ask(d, QuestionKind::UnknownOutcome { step, direction, failure })
        }
    }
}

/// `done` over what the probing call returned.
fn probe_call(d: &Draft<'_>, ix: StepIx, outcome: Outcome) -> Found {
    let plan = d.run().plan.clone();
    let Some(Probe::Call { call, done }) = &plan.step(ix).probe else {
        return Found::CannotTell { failure: Failure::new("the step has no probe") };
    };
    match outcome {
        Outcome::Succeeded { outputs } => match eval::judge(d.run(), done, call, &outputs) {
            Truth::True => Found::Done { outputs },
            Truth::False => Found::NotStarted,
            Truth::Unknown(why) => {
                Found::CannotTell { failure: Failure::new(format!("`{}` has no value: {why}", done.as_str())) }
            }
        },
        Outcome::Failed { failure, .. } | Outcome::Unknown { failure } => Found::CannotTell { failure },
        Outcome::Cancelled { .. } => Found::CannotTell { failure: Failure::new("the probe was stopped") },
    }
}

/// A question or cause that names a step.
pub(super) fn step_failed(d: &Draft<'_>, ix: StepIx) -> Cause {
    Cause::StepFailed { step: d.run().plan.step(ix).id.clone() }
}
