//! The books of what people say of a step: that they did it by hand, or what is the case with it.
//!
//! It must never judge whether they may say so; that is [`super::verbs_step`]. Start with [`resolved`].

use std::sync::Arc;

use serde_json::Value;

use super::apply::{Illegal, find, refuse};
use super::books::{begin_generation, forget_effects, idle, leave_undo, mark_effects, set_forward, set_undo, succeed};
use super::command::Command;
use super::fact::{Direction, Failure, Left, Millis, Resolution, Wait};
use super::run::Run;
use super::state::{Forward, Status, UndoState};
use super::timers::Timer;
use super::unended;
use crate::plan::step::Effect;
use crate::plan::{StepId, StepIx};

/// Exposure that is found late counts from its intent: users may have been there all the while.
pub(super) fn exposed_since(run: &Run, ix: StepIx, at: Millis) -> Millis {
    if run.plan.exposing() == Some(ix) { run.possibly_exposed.unwrap_or(at) } else { at }
}

/// Work by hand is done, as far as a person can tell: what verifies it may run.
pub(super) fn answered(run: &mut Run, step: &StepId, outputs: &Arc<Value>) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    let Status::Forward(Forward::Waiting { on: Wait::Person, .. }) = run.steps[ix].status else {
        return Err(refuse(run, ix, "answered"));
    };
    run.steps[ix].outputs = Some(outputs.clone());
    run.steps[ix].answered = true;
    set_forward(run, ix, Forward::Ready);
    Ok(vec![])
}

pub(super) fn resolved(
    run: &mut Run,
    step: &StepId,
    resolution: &Resolution,
    at: Millis,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    if run.steps[ix].status.is_live() {
        return Err(refuse(run, ix, "resolved"));
    }
    run.timers.clear(Timer::Backoff(ix, Direction::Forward));
    run.steps[ix].unsettled = false;
    run.steps[ix].attached = None;
    unended::said(run, ix);
    if run.partial.contains(&ix) {
        // Whatever was to be taken back: a person says what is the case now.
        leave_undo(run, ix, Forward::NotRun);
    }
    if let Status::Undo { of, .. } = &mut run.steps[ix].status {
        let to = match resolution {
            Resolution::Happened { outputs } => {
                **of = Forward::Succeeded;
                run.steps[ix].outputs = Some(outputs.clone());
                UndoState::Pending
            }
            Resolution::DidNotHappen => {
                run.steps[ix].touched = false;
                UndoState::Undone { note: Some("it did not happen".to_owned()) }
            }
            Resolution::Failed { .. } => UndoState::Pending,
        };
        set_undo(run, ix, to)?;
        return Ok(vec![]);
    }
    match resolution {
        Resolution::Happened { outputs } => {
            run.steps[ix].outputs = Some(outputs.clone());
            run.steps[ix].touched |= run.plan.step(ix).effect != Effect::None;
            mark_effects(run, ix, at);
            succeed(run, ix, at, exposed_since(run, ix, at));
        }
        Resolution::DidNotHappen => {
            begin_generation(run, ix);
            let to = idle(run, ix);
            set_forward(run, ix, to);
        }
        Resolution::Failed { left } => {
            run.steps[ix].touched = *left == Left::Possible;
            let failure = Failure::new("it is known to have failed");
            set_forward(run, ix, Forward::Failed { failure, left: *left });
        }
    }
    forget_effects(run, ix);
    Ok(vec![])
}
