//! What is left of a way back, with its parameters filled in: for people who finish it without an engine.
//!
//! Decides nothing and changes nothing. Start at [`left_of_way_back`].

use std::sync::Arc;

use super::apply::literal;
use super::eval;
use super::fact::{Resolved, SkipCause, Wait};
use super::rollback::{Orders, what_to_undo};
use super::run::{Run, Turn};
use super::state::{Forward, Status, UndoState};
use super::turns::{Standing, standing};
use crate::plan::rollback::{complete, stage};
use crate::plan::{Call, Section, Stage, StepIx, StepKind, UndoNode};

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is to be done.
    No,
    /// Somebody, or something, may be at it, or nobody knows what came of it.
    MayGoOn,
    /// It failed.
    Badly,
    /// It is done.
    Yes,
    /// A person went on without it.
    Waived,
    /// No user could reach the target: nothing is to be brought home, and doing it would harm.
    NotNeeded,
}

/// One action of the way back.
#[derive(Debug, Clone)]
pub struct HandTurn {
    /// Whose.
    pub step: StepIx,
    /// Its stage; absent: it takes its place by what it rests on.
    pub stage: Option<Stage>,
    /// Must have gone well before it.
    pub blocked_by: Vec<StepIx>,
    /// Where it stands.
    pub done: Done,
    /// What is called, or why its parameters have no value. Absent: a person does it.
    pub call: Option<Result<Resolved, String>>,
    /// The step's executor takes it back itself: the call is the step's.
    pub native: bool,
    /// What proves it.
    pub verify: Option<Result<Resolved, String>>,
}

/// Both parts of the way back as they stand: as ordered, or as they would be ordered now.
#[derive(Debug, Clone)]
pub struct HandWayBack {
    /// Brings users back, in order.
    pub restore: Vec<HandTurn>,
    /// Prove that the source serves.
    pub checks: Vec<HandTurn>,
    /// Removes what was built, in order.
    pub cleanup: Vec<HandTurn>,
    /// Stays applied, with the reason.
    pub stays: Vec<(StepIx, String)>,
}

/// The whole way back, for somebody who finds users on the target although nothing that is known here sent them there:
/// the engine may have gone on after it was last heard of. Nothing, where that cannot be.
#[must_use]
pub fn way_back_if_exposed_since(run: &Run) -> Option<HandWayBack> {
    let may_go_on = run.rollback.is_none() && run.possibly_exposed.is_none() && !run.state.is_final();
    let order = may_go_on.then(|| complete(&run.plan))?;
    let all = |nodes: &[UndoNode]| {
        let turns = nodes.iter().map(|of| HandTurn { done: Done::No, ..turn(run, of.step, &of.blocked_by) });
        turns.collect()
    };
    Some(HandWayBack { restore: all(&order.restore), checks: vec![], cleanup: all(&order.cleanup), stays: vec![] })
}

/// What would be done to go back from here.
#[must_use]
pub fn left_of_way_back(run: &Run) -> HandWayBack {
    let checks = run.plan.section(Section::RollbackCheck).map(|ix| turn(run, ix, &[])).collect();
    match &run.rollback {
        Some(rollback) if rollback.ordered => {
            let all = |turns: &[Turn]| turns.iter().map(|of| turn(run, of.step, &of.blocked_by)).collect();
            let (restore, cleanup) = (all(&rollback.restore), all(&rollback.cleanup));
            HandWayBack { restore, checks, cleanup, stays: rollback.stays.clone() }
        }
        Some(_) | None => {
            let Orders { order, stays } = what_to_undo(run);
            let all = |nodes: &[UndoNode]| nodes.iter().map(|of| turn(run, of.step, &of.blocked_by)).collect();
            HandWayBack { restore: all(&order.restore), checks, cleanup: all(&order.cleanup), stays }
        }
    }
}

fn turn(run: &Run, ix: StepIx, blocked_by: &[StepIx]) -> HandTurn {
    let step = run.plan.step(ix);
    let blocked_by = blocked_by.to_vec();
    let stage = stage(&run.plan, ix);
    let verified = |verify: Option<&Call>| verify.map(|call| resolved(run, call));
    if !step.section.is_undone() {
        let call = match &step.kind {
            StepKind::Action(call) => Some(known(run.step(ix).call.as_ref(), run, call)),
            StepKind::Approval(_) | StepKind::Manual(_) => None,
        };
        let verify = verified(step.verify.as_ref().map(|verify| &verify.call));
        return HandTurn { step: ix, stage, blocked_by, done: done(run, ix), call, native: false, verify };
    }
    let undo = step.undo_action();
    let record = run.step(ix);
    let (call, native) = match (undo.and_then(|undo| undo.call.as_ref()), &step.kind) {
        (Some(call), _) => (Some(known(record.undo_call.as_ref(), run, call)), false),
        (None, StepKind::Action(call)) => (Some(known(record.call.as_ref(), run, call)), true),
        (None, StepKind::Approval(_) | StepKind::Manual(_)) => (None, false),
    };
    let is_needed = stage != Some(Stage::Data) || run.possibly_exposed.is_some();
    let done = if is_needed { done(run, ix) } else { Done::NotNeeded };
    let verify = verified(undo.and_then(|undo| undo.verify.as_ref()).map(|verify| &verify.call));
    HandTurn { step: ix, stage, blocked_by, done, call, native, verify }
}

/// What was called already, else what would be.
fn known(before: Option<&Resolved>, run: &Run, call: &Call) -> Result<Resolved, String> {
    before.map_or_else(|| resolved(run, call), |before| Ok(before.clone()))
}

fn resolved(run: &Run, call: &Call) -> Result<Resolved, String> {
    Ok(eval::resolve(run, call)?.unwrap_or_else(|| literal(call)))
}

fn done(run: &Run, ix: StepIx) -> Done {
    // A step that is not on its way back yet stands as what it did, not as its undo.
    let begun = !run.plan.step(ix).section.is_undone() || run.undo(ix).is_some();
    if !begun {
        return Done::No;
    }
    if run.step(ix).unsettled || matches!(run.undo(ix), Some(UndoState::Unknown { .. })) {
        return Done::MayGoOn;
    }
    match standing(run, ix) {
        Standing::Waiting => Done::No,
        Standing::Live => Done::MayGoOn,
        Standing::Badly => Done::Badly,
        Standing::Well if waived(run, ix) => Done::Waived,
        Standing::Well => Done::Yes,
    }
}

fn waived(run: &Run, ix: StepIx) -> bool {
    match &run.step(ix).status {
        Status::Undo { state, .. } => *state == UndoState::Waived,
        Status::Forward(forward) => matches!(forward, Forward::Skipped { over: SkipCause::Waived }),
    }
}

/// Whether a person was asked to do a step, and has not said yet what came of it.
#[must_use]
pub fn asked(run: &Run, ix: StepIx) -> bool {
    let waits = |forward: &Forward| matches!(forward, Forward::Waiting { on: Wait::Person, .. });
    matches!(run.plan.step(ix).kind, StepKind::Manual(_)) && waits(run.forward(ix))
}

/// Forward attempts that may still be under way, and steps of which nobody knows whether they happened.
#[must_use]
pub fn unsettled(run: &Run) -> Vec<StepIx> {
    let open = |ix: &StepIx| match &run.step(*ix).status {
        Status::Forward(_) if asked(run, *ix) => true,
        Status::Forward(forward) => match forward {
            Forward::Running(_) | Forward::Unknown { .. } => true,
            Forward::Pending
            | Forward::Ready
            | Forward::Backoff { .. }
            | Forward::Waiting { .. }
            | Forward::Succeeded
            | Forward::Failed { .. }
            | Forward::Skipped { .. }
            | Forward::NotRun => run.step(*ix).unsettled,
        },
        Status::Undo { state: UndoState::Unknown { .. }, .. } => true,
        Status::Undo { .. } => run.step(*ix).unsettled,
    };
    let sections = [Section::Prepare, Section::Cutover, Section::Commit];
    sections.into_iter().flat_map(|section| run.plan.section(section)).filter(open).collect()
}

/// What the author of the plan tells a person to do instead of an action of the way back.
#[must_use]
pub fn instructions(run: &Run, ix: StepIx) -> Option<String> {
    let step = run.plan.step(ix);
    let text = match (&step.kind, step.undo_action().filter(|_| step.section.is_undone())) {
        (_, Some(undo)) => undo.by_hand.as_deref(),
        (StepKind::Manual(manual), None) => Some(manual.instructions.as_str()),
        (StepKind::Action(_) | StepKind::Approval(_), None) => None,
    };
    text.map(|text| eval::words(run, text))
}

/// A call's parameters for people: each secret stands as what `placeholder` makes of its name.
#[must_use]
pub fn for_people(call: &Resolved, placeholder: impl Fn(&str) -> String) -> Arc<serde_json::Value> {
    if call.secrets.is_empty() {
        return call.with.clone();
    }
    let mut with = (*call.with).clone();
    for secret in &call.secrets {
        if let Some(place) = with.pointer_mut(&secret.at) {
            *place = placeholder(&secret.name).into();
        }
    }
    Arc::new(with)
}
