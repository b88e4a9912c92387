//! What `perform` needs to carry an intent out.

use std::sync::Arc;

use super::apply::literal;
use super::command::Action;
use super::fact::{Direction, Resolved};
use super::run::Run;
use crate::plan::step::Probe;
use crate::plan::{StepIx, StepKind};

/// The attempt that was just intended. `handle` finds remote work again.
pub(super) fn attempt_action(
    run: &Run,
    ix: StepIx,
    direction: Direction,
    attempt: u32,
    handle: Option<serde_json::Value>,
) -> Action {
    let step = run.plan.step(ix);
    let record = run.step(ix);
    let own = |kind: &StepKind| match kind {
        StepKind::Action(call) => literal(call),
        // Nothing is called for what a person did by hand: the attempt only verifies it. Of an approval none is intended.
        StepKind::Approval(_) | StepKind::Manual(_) => {
            Resolved { uses: "".into(), with: Arc::new(serde_json::Value::Null), secrets: vec![] }
        }
    };
    let forward = record.call.clone().unwrap_or_else(|| own(&step.kind));
    let deadline = match direction {
        Direction::Forward => run.forward(ix).attempt().and_then(|attempt| attempt.deadline),
        Direction::Undo => run.undo(ix).and_then(|undo| undo.attempt()).and_then(|attempt| attempt.deadline),
    };
    let (call, native, verify, outputs, generation) = match direction {
        Direction::Forward => {
            let verify = record.verify.clone().or_else(|| step.verify.as_ref().map(|verify| literal(&verify.call)));
            (forward, false, verify, None, record.generation)
        }
        Direction::Undo => {
            let undo = step.undo_action();
            let call = undo.and_then(|undo| undo.call.as_ref());
            let native = call.is_none();
            let call = record.undo_call.clone().unwrap_or_else(|| call.map_or(forward, literal));
            let verify = record
                .undo_verify
                .clone()
                .or_else(|| undo.and_then(|undo| undo.verify.as_ref()).map(|verify| literal(&verify.call)));
            (call, native, verify, record.outputs.clone(), record.undo_generation)
        }
    };
    let id = step.id.clone();
    let is_used = direction == Direction::Forward && !step.section.is_check();
    Action {
        step: ix,
        id,
        direction,
        attempt,
        generation,
        deadline,
        call,
        native,
        verify,
        outputs,
        attached: handle,
        is_used,
    }
}

/// The look whether an attempt happened: another call, or the executor's own probe. Of an undo
/// without a call of its own the step itself is looked at.
pub(super) fn probe_action(run: &Run, ix: StepIx, direction: Direction, call: Option<&Resolved>) -> Action {
    let record = run.step(ix);
    let attempt = match direction {
        Direction::Forward => record.attempts,
        Direction::Undo => record.undo_attempts,
    };
    let mut action = attempt_action(run, ix, direction, attempt, record.attached.clone());
    action.deadline = None;
    action.verify = None;
    action.native = true;
    if let Some(call) = call {
        action.call = call.clone();
        action.native = false;
    } else if let (Some(Probe::Call { call, .. }), Direction::Forward) = (&run.plan.step(ix).probe, direction) {
        action.call = literal(call);
        action.native = false;
    }
    action
}
