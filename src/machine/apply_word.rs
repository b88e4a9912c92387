//! The books of what people say of a step: that they did it by hand, or what is the case with it.
//!
//! It must never judge whether they may say so; that is [`super::verbs_step`]. Start with [`resolved`].

use std::sync::Arc;

use serde_json::Value;

use super::apply::{Illegal, find, literal, refuse};
use super::books::{begin_generation, forget_effects, idle, leave_undo, mark_effects, set_forward, set_undo, succeed};
use super::command::Command;
use super::event::{Event, Record};
use super::fact::{Direction, Failure, Left, Millis, Resolution, Wait};
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status, UndoState};
use super::timers::Timer;
use super::unended;
use crate::plan::amend::{Key, Side};
use crate::plan::step::Effect;
use crate::plan::{Section, StepId, StepIx, StepKind};

/// Exposure that is found late counts from its intent: users may have been there all the while.
pub(super) fn exposed_since(run: &Run, ix: StepIx, at: Millis) -> Millis {
    if run.plan.exposing() == Some(ix) { run.possibly_exposed.unwrap_or(at) } else { at }
}

/// The step has other values, and the run another plan of the same shape.
pub(super) fn amended(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    let Event::Amended { revision, plan: hash, step, set, of } = &record.event else {
        return Err(Illegal::Needs { event: record.event.word(), needs: "a handler" });
    };
    let ix = find(run, step)?;
    let refused = |_| Illegal::Needs { event: "amended", needs: "values that the step takes" };
    let plan = run.plan.amended_as(ix, set, Some(hash)).map_err(refused)?;
    let steps = &mut run.steps[ix];
    if steps.attempts > 0
        && steps.call.is_none()
        && let StepKind::Action(call) = &run.plan.step(ix).kind
    {
        // What may stand of it was done with the values of before: an undo that is given them must still get those.
        steps.call = Some(literal(call));
    }
    steps.amended |= set.keys().any(|key| Key::parse(key).is_ok_and(|key| key.side == Side::Forward));
    (steps.undo_call, steps.undo_verify) = (None, None);
    run.plan = Arc::new(plan);
    run.revision = *revision;
    of.asked_anew.iter().try_for_each(|step| asked_anew(run, step))?;
    Ok(vec![])
}

/// A yes to the plan of before counts no more.
fn asked_anew(run: &mut Run, step: &StepId) -> Result<(), Illegal> {
    let ix = find(run, step)?;
    run.steps[ix].approvals.clear();
    run.steps[ix].passed_irreversible = false;
    if let (StepKind::Approval(_), Status::Forward(Forward::Succeeded | Forward::Waiting { .. })) =
        (&run.plan.step(ix).kind, &run.steps[ix].status)
    {
        run.timers.clear(Timer::Approval(ix));
        let before_checks = matches!(run.stands_in(), RunState::Checking | RunState::Created);
        if run.plan.step(ix).section == Section::PreCheck && !before_checks {
            run.rechecking.insert(ix);
        }
        let to = idle(run, ix);
        set_forward(run, ix, to);
    }
    Ok(())
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
