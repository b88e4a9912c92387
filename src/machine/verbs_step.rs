//! What people may say of one step.

use std::sync::Arc;

use serde_json::Value;

use super::apply::{Illegal, ms};
use super::decide::close;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Actor, Resolution, SkipCause};
use super::input::{Reply, Verb};
use super::question::QuestionKind;
use super::state::{Forward, RunState, Status, UndoState};
use super::{failures, rollback, ticks, window_rules};
use crate::plan::{Section, StepId, StepIx, StepKind};

/// Handles a verb that names a step.
pub(super) fn verb(d: &mut Draft<'_>, verb: Verb) -> Result<Reply, Illegal> {
    let name = match &verb {
        Verb::Extend { step, .. }
        | Verb::Retry { step }
        | Verb::Skip { step }
        | Verb::Waive { step, .. }
        | Verb::Happened { step, .. }
        | Verb::DidNotHappen { step }
        | Verb::ItFailed { step, .. }
        | Verb::ProbeAgain { step }
        | Verb::Approve { step, .. }
        | Verb::Reject { step }
        | Verb::UndoRetry { step }
        | Verb::UndoWaive { step }
        | Verb::UndoDone { step } => step.clone(),
        Verb::Go
        | Verb::Resume
        | Verb::Pause
        | Verb::Cancel
        | Verb::Rollback
        | Verb::ContinueRollback
        | Verb::WindowExtend { .. }
        | Verb::Commit
        | Verb::Accept
        | Verb::Close
        | Verb::ForwardAgain
        | Verb::GoOn { .. }
        | Verb::Note { .. }
        | Verb::InCharge { .. }
        | Verb::Disarm { .. }
        | Verb::SignOff { .. }
        | Verb::ConfirmClock => return Ok(Reply::refused("the verb names no step", "this is a bug: please report it")),
    };
    let Some(ix) = d.run().plan.find(&name) else {
        return Ok(Reply::refused(format!("the plan has no step `{name}`"), "`bascule status` lists the steps"));
    };
    match verb {
        Verb::Extend { by_ms, .. } => extend(d, ix, by_ms),
        Verb::Retry { .. } => retry(d, ix),
        Verb::Skip { .. } => skip(d, ix),
        Verb::Waive { role, .. } => waive(d, ix, role),
        Verb::Happened { outputs, .. } => {
            let outputs = Arc::new(Value::Object(outputs.into_iter().collect()));
            resolve(d, ix, Resolution::Happened { outputs })
        }
        Verb::DidNotHappen { .. } => resolve(d, ix, Resolution::DidNotHappen),
        Verb::ItFailed { left, .. } => resolve(d, ix, Resolution::Failed { left }),
        Verb::ProbeAgain { .. } => probe_again(d, ix),
        Verb::Approve { role, .. } => approve(d, ix, role),
        Verb::Reject { .. } => reject(d, ix),
        Verb::UndoRetry { .. } => undo(d, ix, Event::UndoReadied { step: name }),
        Verb::UndoWaive { .. } => undo(d, ix, Event::UndoWaived { step: name }),
        Verb::UndoDone { .. } => undo(d, ix, Event::UndoDoneByHand { step: name }),
        Verb::Go
        | Verb::Resume
        | Verb::Pause
        | Verb::Cancel
        | Verb::Rollback
        | Verb::ContinueRollback
        | Verb::WindowExtend { .. }
        | Verb::Commit
        | Verb::Accept
        | Verb::Close
        | Verb::ForwardAgain
        | Verb::GoOn { .. }
        | Verb::Note { .. }
        | Verb::InCharge { .. }
        | Verb::Disarm { .. }
        | Verb::SignOff { .. }
        | Verb::ConfirmClock => Ok(Reply::Done),
    }
}

fn id(d: &Draft<'_>, ix: StepIx) -> StepId {
    d.run().plan.step(ix).id.clone()
}

fn answered(d: &mut Draft<'_>, ix: StepIx, answer: &str) -> Result<(), Illegal> {
    let step = id(d, ix);
    close(d, Some(answer), |kind| kind.step() == Some(&step))
}

fn going_forward(d: &Draft<'_>) -> Result<(), Reply> {
    if d.run().rollback.is_some() {
        return Err(Reply::refused("the run is on its way back", "`undo retry|waive|done STEP` helps it on"));
    }
    Ok(())
}

fn extend(d: &mut Draft<'_>, ix: StepIx, by_ms: u64) -> Result<Reply, Illegal> {
    let Some(attempt) = d.run().forward(ix).attempt().cloned() else {
        return Ok(Reply::refused(
            format!("`{}` is not running", id(d, ix)),
            "only a running step has a deadline to move",
        ));
    };
    let from = attempt.deadline.unwrap_or(d.now().steady).max(d.now().steady);
    let step = id(d, ix);
    d.emit(Event::Extended { step, deadline: from.saturating_add(ms(by_ms)) })?;
    answered(d, ix, "more time")?;
    Ok(Reply::Done)
}

fn retry(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    if let Err(refused) = going_forward(d) {
        return Ok(refused);
    }
    let asked_value = d
        .run()
        .questions
        .values()
        .any(|question| matches!(&question.kind, QuestionKind::ValueUnknown { step, .. } if *step == id(d, ix)));
    let legal = match &d.run().step(ix).status {
        Status::Forward(forward) => match forward {
            Forward::Failed { .. } | Forward::Backoff { .. } | Forward::NotRun => true,
            Forward::Ready => asked_value,
            Forward::Unknown { .. } => {
                let hint = "say what is the case first: `resolve STEP --happened | --did-not-happen`, or `resolve STEP --probe`";
                return Ok(Reply::refused(
                    "nobody knows whether it happened: running it again might do it twice",
                    hint,
                ));
            }
            Forward::Pending
            | Forward::Running(_)
            | Forward::Waiting { .. }
            | Forward::Succeeded
            | Forward::Skipped { .. } => false,
        },
        Status::Undo { .. } => false,
    };
    if !legal {
        return Ok(Reply::refused(format!("`{}` has not failed", id(d, ix)), "`bascule status` shows where it stands"));
    }
    if !asked_value {
        let step = id(d, ix);
        d.emit(Event::Readied { step, new_generation: false })?;
    }
    answered(d, ix, "try again")?;
    Ok(Reply::Done)
}

fn skip(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    if let Err(refused) = going_forward(d) {
        return Ok(refused);
    }
    let step = d.run().plan.step(ix);
    if step.exposes {
        let hint = "`resolve STEP --happened` says that it was done by hand";
        return Ok(Reply::refused("the exposing step cannot be skipped: the window counts from it", hint));
    }
    if matches!(step.kind, StepKind::Approval(_)) {
        return Ok(Reply::refused("an approval cannot be skipped", "`approve` or `reject` answers it"));
    }
    if step.section.is_check() {
        return Ok(Reply::refused(
            "a check is waived, not skipped",
            "`waive STEP --reason …`, in a role that it names",
        ));
    }
    if d.run().step(ix).status.is_live() || d.run().forward(ix).satisfies() {
        return Ok(Reply::refused(
            format!("`{}` is running or done", id(d, ix)),
            "`bascule status` shows where it stands",
        ));
    }
    let step = id(d, ix);
    d.emit(Event::Skipped { step, over: SkipCause::Person })?;
    answered(d, ix, "skip")?;
    Ok(Reply::Done)
}

fn waive(d: &mut Draft<'_>, ix: StepIx, role: Option<String>) -> Result<Reply, Illegal> {
    let step = d.run().plan.step(ix).clone();
    if !step.section.is_check() {
        return Ok(Reply::refused("only checks are waived", "`skip STEP` goes on without a step"));
    }
    if step.section == Section::RollbackCheck {
        return undo(d, ix, Event::UndoWaived { step: step.id });
    }
    let allowed = role.as_ref().is_some_and(|role| step.check.waivable_by.contains(role));
    if !allowed {
        if step.check.waivable_by.is_empty() {
            let hint = "add `waivableBy: [role]` to the check, or mend what it found";
            return Ok(Reply::refused(format!("`{}` names no role that may waive it", step.id), hint));
        }
        let hint = format!("say in which role with `--role`: {}", step.check.waivable_by.join(", "));
        return Ok(Reply::refused(format!("`{}` can be waived by certain roles only", step.id), hint));
    }
    if d.run().step(ix).status.is_live() || d.run().forward(ix).satisfies() {
        return Ok(Reply::refused(format!("`{}` is running or passed", step.id), "wait for its result"));
    }
    d.emit(Event::Skipped { step: step.id.clone(), over: SkipCause::Waived })?;
    answered(d, ix, "waive")?;
    if step.section == Section::Ready {
        super::checks::judge_way_back(d)?;
    }
    Ok(Reply::Done)
}

fn resolve(d: &mut Draft<'_>, ix: StepIx, resolution: Resolution) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    let legal = match &d.run().step(ix).status {
        Status::Forward(forward) => match forward {
            Forward::Unknown { probing, .. } => !probing,
            Forward::Failed { .. } | Forward::Waiting { .. } | Forward::Ready | Forward::Backoff { .. } => true,
            Forward::Pending | Forward::Running(_) | Forward::Succeeded | Forward::Skipped { .. } | Forward::NotRun => {
                false
            }
        },
        Status::Undo { state, .. } => matches!(state, UndoState::Unknown { probing: false, .. }),
    };
    let approval = matches!(d.run().plan.step(ix).kind, StepKind::Approval(_));
    if !legal || approval || d.run().plan.step(ix).section.is_check() {
        let hint = "a step can be resolved while nobody knows its outcome, after it failed, or instead of running it";
        return Ok(Reply::refused(format!("`{step}` cannot be resolved now"), hint));
    }
    let happened = matches!(resolution, Resolution::Happened { .. });
    let failed = matches!(resolution, Resolution::Failed { .. });
    d.emit(Event::Resolved { step: step.clone(), resolution })?;
    answered(
        d,
        ix,
        if happened {
            "it happened"
        } else if failed {
            "it failed"
        } else {
            "it did not happen"
        },
    )?;
    if happened && d.run().plan.exposing() == Some(ix) && d.run().rollback.is_none() {
        window_rules::open_at_exposure(d)?;
    }
    if failed && d.run().rollback.is_none() {
        failures::failed(d, ix)?;
    }
    Ok(Reply::Done)
}

fn probe_again(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    let unknown = matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { probing: false, .. }));
    if !unknown || d.run().plan.step(ix).probe.is_none() {
        let hint = "`resolve STEP --happened | --did-not-happen` says what a person found";
        return Ok(Reply::refused(format!("`{}` is not unknown, or has no probe", id(d, ix)), hint));
    }
    answered(d, ix, "look again")?;
    failures::look(d, ix)?;
    Ok(Reply::Done)
}

/// The name that counts for four-eyes rules.
fn counted(actor: &Actor, trust_claimed: bool) -> &str {
    match (&actor.claimed, trust_claimed) {
        (Some(claimed), true) => claimed,
        (Some(_) | None, _) => &actor.name,
    }
}

fn approve(d: &mut Draft<'_>, ix: StepIx, role: Option<String>) -> Result<Reply, Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let asked_irreversible = d
        .run()
        .questions
        .values()
        .any(|question| matches!(&question.kind, QuestionKind::Irreversible { step: asked } if *asked == step.id));
    if asked_irreversible {
        d.emit(Event::IrreversibleApproved { step: step.id.clone() })?;
        answered(d, ix, "approve")?;
        return Ok(Reply::Done);
    }
    let StepKind::Approval(approval) = &step.kind else {
        return Ok(Reply::refused(
            format!("`{}` is not an approval", step.id),
            "`bascule status` lists what waits for one",
        ));
    };
    let waits = matches!(d.run().step(ix).status, Status::Forward(Forward::Waiting { .. }));
    if !waits {
        return Ok(Reply::refused(
            format!("`{}` does not wait for an approval now", step.id),
            "`bascule status` shows where it stands",
        ));
    }
    if let Some(role) = &role
        && !approval.roles.is_empty()
        && !approval.roles.contains(role)
    {
        return Ok(Reply::refused(
            format!("`{role}` may not give `{}`", step.id),
            format!("roles: {}", approval.roles.join(", ")),
        ));
    }
    let trust = d.run().trust_claimed_names;
    let Some(actor) = d.author() else {
        return Ok(Reply::refused("an approval needs a name", "this is a bug: please report it"));
    };
    let name = counted(&actor, trust).to_owned();
    if approval.not_requester && d.run().requester.as_ref().is_some_and(|requester| counted(requester, trust) == name) {
        let hint = "somebody else must approve; until users can log in, names count only with `--trust-claimed-names`";
        return Ok(Reply::refused(format!("`{name}` started the run and may not approve it"), hint));
    }
    let given = &d.run().step(ix).approvals;
    if given.iter().any(|before| counted(before, trust) == name) {
        return Ok(Reply::refused(format!("`{name}` has approved already"), "another person must"));
    }
    let complete = given.len() + 1 >= approval.quorum as usize;
    d.emit(Event::Approved { step: step.id.clone(), role, complete })?;
    if complete {
        answered(d, ix, "approve")?;
    }
    Ok(Reply::Done)
}

fn reject(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let waits = matches!(d.run().step(ix).status, Status::Forward(Forward::Waiting { .. }));
    if !waits || !matches!(step.kind, StepKind::Approval(_)) {
        return Ok(Reply::refused(
            format!("`{}` does not wait for an approval", step.id),
            "`bascule status` shows what does",
        ));
    }
    d.emit(Event::Denied { step: step.id.clone(), expired: false })?;
    ticks::after_denial(d, ix, false)?;
    Ok(Reply::Done)
}

/// Another try, a waiver or a word for an undo, a fence step or a rollback check.
fn undo(d: &mut Draft<'_>, ix: StepIx, event: Event) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    if d.run().rollback.is_none() {
        return Ok(Reply::refused("the run is not on its way back", "`rollback` begins the way back"));
    }
    let section = d.run().plan.step(ix).section;
    let open = match &d.run().step(ix).status {
        Status::Undo { state, .. } => match state {
            UndoState::Failed { .. } | UndoState::Backoff { .. } | UndoState::Pending => true,
            // What may still run must not be undone beside it.
            UndoState::Unknown { .. } => !(matches!(event, Event::UndoReadied { .. }) && d.run().step(ix).unsettled),
            UndoState::Undoing(_) | UndoState::Undone { .. } | UndoState::Waived => false,
        },
        Status::Forward(forward) => {
            matches!(section, Section::Fence | Section::RollbackCheck)
                && matches!(forward, Forward::Failed { .. } | Forward::Unknown { .. } | Forward::Backoff { .. })
        }
    };
    if !open {
        let hint =
            "a step that could not be proved stopped is resolved first: `resolve STEP --happened | --did-not-happen`";
        return Ok(Reply::refused(format!("the undo of `{step}` is not waiting for a word"), hint));
    }
    d.emit(event)?;
    if matches!(d.run().state, RunState::Stuck) {
        rollback::stuck(d)?;
    }
    Ok(Reply::Done)
}
