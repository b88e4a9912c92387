//! What an amendment may do to a plan, and to the run that executes it.

use super::{Broken, broken};
use crate::machine::event::Event;
use crate::machine::run::Run;
use crate::machine::state::{Forward, Status};
use crate::plan::step::{Call, Probe, Verify};
use crate::plan::{Plan, Step, StepKind};

/// 48. An amendment changes values of one step that is not done, never the shape of anything; the log names the new plan.
///
/// # Errors
/// What else it changed.
pub(super) fn amended(before: &Run, after: &Run, event: &Event) -> Result<(), Broken> {
    let Event::Amended { revision, plan: hash, step: id, set, of } = event else { return Ok(()) };
    let sealed =
        Plan::seal(after.plan.body().clone()).map_err(|error| Broken { number: 48, what: error.to_string() })?;
    if after.plan.hash() != hash || sealed.hash() != hash || of.plan.as_ref() != Some(before.plan.hash()) {
        return broken(48, format!("the log names another plan than the one that amending `{id}` makes"));
    }
    if after.revision != *revision || *revision != before.revision + 1 {
        return broken(48, format!("revision {revision} follows revision {}", before.revision));
    }
    let Some(ix) = before.plan.find(id) else { return broken(48, format!("`{id}` is no step")) };
    let mut expected = before.plan.body().clone();
    expected.steps[ix] = after.plan.steps[ix].clone();
    expected.secrets.clone_from(&after.plan.secrets);
    if expected != *after.plan.body() {
        return broken(48, format!("amending `{id}` changed something else"));
    }
    if without_values(before.plan.step(ix)) != without_values(after.plan.step(ix)) {
        return broken(48, format!("amending `{id}` changed its shape"));
    }
    let is_forward = set.keys().any(|key| !key.starts_with("undo."));
    let is_open = match &before.step(ix).status {
        Status::Forward(forward) => match forward {
            Forward::Pending
            | Forward::Ready
            | Forward::Backoff { .. }
            | Forward::Waiting { .. }
            | Forward::Failed { .. } => true,
            Forward::Running(_)
            | Forward::Succeeded
            | Forward::Unknown { .. }
            | Forward::Skipped { .. }
            | Forward::NotRun => false,
        },
        Status::Undo { .. } => false,
    };
    if is_forward && !is_open {
        return broken(48, format!("`{id}` was amended while it was running or done"));
    }
    if after.step(ix).generation != before.step(ix).generation {
        return broken(48, format!("amending `{id}` gave it another key"));
    }
    Ok(())
}

/// A step with every value that may be amended left out: what is left is its shape.
fn without_values(step: &Step) -> Step {
    let mut step = step.clone();
    step.timeout_ms = 0;
    (step.retry.attempts, step.retry.backoff_ms, step.retry.max_backoff_ms) = (0, 0, 0);
    if let StepKind::Action(call) = &mut step.kind {
        empty(call);
    }
    if let Some(Probe::Call { call, .. }) = &mut step.probe {
        empty(call);
    }
    let proof = |verify: &mut Option<Verify>| verify.iter_mut().for_each(|verify| empty(&mut verify.call));
    proof(&mut step.verify);
    if let crate::plan::Undo::Action(undo) = &mut step.undo {
        undo.timeout_ms = 0;
        (undo.retry.attempts, undo.retry.backoff_ms, undo.retry.max_backoff_ms) = (0, 0, 0);
        undo.call.iter_mut().for_each(empty);
        proof(&mut undo.verify);
    }
    step
}

fn empty(call: &mut Call) {
    call.with = std::sync::Arc::default();
    call.params = std::sync::Arc::default();
}
