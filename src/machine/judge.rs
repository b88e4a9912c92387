//! From an executor's words to a judgement: outcome, verification, the conditions of the plan.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::eval;
use super::fact::{Direction, End, Failure, Found, Left, Work};
use super::input::Outcome;
use super::large::recorded;
use crate::plan::step::{Expr, Probe};
use crate::plan::{Call, StepIx, StepKind};
use crate::runbook::expr::Truth;

/// What came of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    /// What is recorded.
    pub(super) end: End,
    /// All that it returned, for what is still to be judged; the record may name a file instead.
    pub(super) outputs: Option<Arc<Value>>,
}

/// Puts the executor's words, the verification and the `pass` condition together.
pub(super) fn end(
    d: &Draft<'_>,
    ix: StepIx,
    direction: Direction,
    outcome: Outcome,
    verify: Option<Outcome>,
) -> Judged {
    match judged(d, ix, direction, outcome, verify) {
        Ok(outputs) => Judged { end: End::Succeeded { outputs: recorded(&outputs) }, outputs: Some(outputs) },
        Err(end) => Judged { end, outputs: None },
    }
}

fn judged(
    d: &Draft<'_>,
    ix: StepIx,
    direction: Direction,
    outcome: Outcome,
    verify: Option<Outcome>,
) -> Result<Arc<Value>, End> {
    let plan = &d.run().plan;
    let step = plan.step(ix);
    let outputs = match outcome {
        Outcome::Succeeded { outputs } => outputs,
        Outcome::Failed { failure, left } => return Err(End::Failed { failure, left }),
        Outcome::Cancelled { left } => return Err(End::Cancelled { left }),
        Outcome::Unknown { failure, work } => return Err(End::Unknown { failure, work }),
    };
    let verification = match direction {
        Direction::Forward => step.verify.as_ref(),
        Direction::Undo => step.undo_action().and_then(|undo| undo.verify.as_ref()),
    };
    if let Some(verification) = verification {
        let missing = || Outcome::unknown(Failure::new("nobody verified it"));
        match looked(d, verify.unwrap_or_else(missing), verification.pass.as_ref(), &verification.call) {
            Looked::Passed => {}
            Looked::Failed(failure) => {
                let message = format!("it ended well, but `verify` says otherwise: {failure}").into();
                return Err(End::Failed { failure: Failure { message, ..failure }, left: Left::Possible });
            }
            Looked::Inconclusive(failure) => {
                let message = format!("it ended well, but could not be verified: {failure}").into();
                return Err(End::Unknown { failure: Failure { message, ..failure }, work: Work::Over });
            }
        }
    }
    let StepKind::Action(call) = &step.kind else {
        // What a person answered, and what was verified now.
        return Ok(d.run().step(ix).outputs.clone().unwrap_or(outputs));
    };
    if let (Some(pass), Direction::Forward) = (&step.check.pass, direction) {
        match eval::judge(d.run(), pass, call, &outputs) {
            Truth::True => {}
            Truth::False => {
                let message = format!("`{}` is false: {}", pass.as_str(), brief(&outputs));
                return Err(End::Failed { failure: Failure::new(message), left: Left::Possible });
            }
            Truth::Unknown(why) => {
                let failure = Failure::new(format!("`{}` has no value: {why}", pass.as_str()));
                return Err(End::Unknown { failure, work: Work::Over });
            }
        }
    }
    Ok(outputs)
}

/// What came of a call that only looks.
enum Looked {
    /// As it must be.
    Passed,
    /// Not as it must be.
    Failed(Failure),
    /// It could not be measured.
    Inconclusive(Failure),
}

fn looked(d: &Draft<'_>, outcome: Outcome, pass: Option<&Expr>, call: &Call) -> Looked {
    match outcome {
        Outcome::Succeeded { outputs } => match pass.map(|pass| eval::judge(d.run(), pass, call, &outputs)) {
            None | Some(Truth::True) => Looked::Passed,
            Some(Truth::False) => {
                let pass = pass.map_or("", |pass| pass.as_str());
                Looked::Failed(Failure::new(format!("`{pass}` is false: {}", brief(&outputs))))
            }
            Some(Truth::Unknown(why)) => Looked::Inconclusive(Failure::new(why)),
        },
        Outcome::Failed { failure, .. } => Looked::Failed(failure),
        Outcome::Cancelled { .. } => Looked::Inconclusive(Failure::new("it was stopped")),
        Outcome::Unknown { failure, .. } => Looked::Inconclusive(failure),
    }
}

/// A value for a message: short, whole characters.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 160 { text } else { text.chars().take(159).chain(['…']).collect() }
}

/// `done` over what the probing call returned.
pub(super) fn probe_call(d: &Draft<'_>, ix: StepIx, outcome: Outcome) -> Found {
    let Some(Probe::Call { call, done }) = &d.run().plan.step(ix).probe else {
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
        Outcome::Failed { failure, .. } | Outcome::Unknown { failure, .. } => Found::CannotTell { failure },
        Outcome::Cancelled { .. } => Found::CannotTell { failure: Failure::new("the probe was stopped") },
    }
}

/// What an executor's own probe says. Of an undo without a call of its own it looked at the step:
/// what stands is not undone yet.
pub(super) fn native_probe(d: &Draft<'_>, ix: StepIx, direction: Direction, found: Found) -> Found {
    let of_step = d.run().plan.step(ix).undo_action().is_some_and(|undo| undo.call.is_none());
    if direction == Direction::Forward || !of_step {
        return found;
    }
    match found {
        Found::Done { .. } | Found::Partial { .. } => Found::NotStarted,
        Found::NotStarted => Found::Done { outputs: Arc::new(Value::Object(serde_json::Map::new())) },
        Found::InProgress { .. } => {
            Found::CannotTell { failure: Failure::new("the step itself still seems to be under way") }
        }
        Found::CannotTell { failure } => Found::CannotTell { failure },
    }
}
