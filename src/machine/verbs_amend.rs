//! Other values for a step that is not done: by one person, or by two where the plan has approvals.
//!
//! Only values: a step that ran is never rewritten, and the shape of the plan stays what people agreed to. Start with
//! [`amend`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::apply::Illegal;
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::input::Reply;
use super::question::{Former, Question, QuestionKind};
use super::run::Run;
use super::state::{Forward, Status, StepLocks, UndoState};
use super::verbs_approval::counted;
use super::verbs_step::id;
use crate::plan::amend::{Key, Side};
use crate::plan::{PlanHash, Section, StepId, StepIx, StepKind};

/// Sets values, or proposes to.
pub(super) fn amend(
    d: &mut Draft<'_>,
    step: &StepId,
    set: BTreeMap<String, Value>,
    plan: &PlanHash,
) -> Result<Reply, Illegal> {
    let is_back = d.run().rollback.is_some();
    let found = d.run().plan.step_named(step.as_str(), |step| is_back != (step.section == Section::Ready));
    let ix = match found {
        Ok(ix) => ix,
        Err(unknown) => return Ok(Reply::refused(unknown.to_string(), unknown.hint())),
    };
    if d.run().plan.hash() != plan {
        let why = format!("the plan was amended meanwhile: it is {} now", d.run().plan.hash().short());
        return Ok(Reply::refused(why, "look at what differs now: say it once more"));
    }
    let (made, of) = match made(d.run(), ix, &set) {
        Ok(made) => made,
        Err(refused) => return Ok(refused),
    };
    let step = id(d, ix);
    if !wants_second(d.run()) {
        return take_effect(d, step, set, made, of);
    }
    let of = Former { proposed_by: d.author(), proposed_because: d.reason(), ..of };
    let again = |kind: &QuestionKind| matches!(kind, QuestionKind::Amendment { plan, .. } if *plan == made);
    if let Some(open) = d.run().questions.values().find(|open| again(&open.kind)) {
        let why = format!("this is proposed already: question {}", open.id);
        return Ok(Reply::refused(why, format!("`approve {} {step}` agrees to it", d.run().name)));
    }
    if proposed(d.run(), ix).is_some() {
        let hint = format!("`approve {run} {step}` or `reject {run} {step}` answers it first", run = d.run().name);
        return Ok(Reply::refused(format!("other values are proposed for `{step}` already"), hint));
    }
    ask(d, QuestionKind::Amendment { step, set, plan: made, of })?;
    Ok(Reply::Done)
}

/// Whether somebody else has to agree: where people approve the plan, nobody changes it alone.
fn wants_second(run: &Run) -> bool {
    run.plan.steps.iter().any(|step| matches!(step.kind, StepKind::Approval(_)))
}

/// What the values would make, if they may be set now.
fn made(run: &Run, ix: StepIx, set: &BTreeMap<String, Value>) -> Result<(PlanHash, Former), Reply> {
    let refused = |error: crate::plan::CannotAmend| Reply::refused(error.why, error.hint);
    if set.is_empty() {
        return Err(Reply::refused("nothing is set", "say what: `--set with.NAME=VALUE`"));
    }
    for key in set.keys() {
        let key = Key::parse(key).map_err(refused)?;
        may_amend(run, ix, key.side)?;
    }
    let plan = run.plan.amended(ix, set).map_err(refused)?;
    if plan.hash() == run.plan.hash() {
        let why = format!("`{}` has these values already: nothing would change", run.plan.step(ix).id);
        return Err(Reply::refused(why, "`bascule status` shows where it stands"));
    }
    let of = Former {
        plan: Some(run.plan.hash().clone()),
        values: run.plan.before(ix, set),
        asked_anew: not_passed(run),
        ..Former::default()
    };
    Ok((plan.hash().clone(), of))
}

/// Whether the values of a step, or of its undo, may still be changed.
fn may_amend(run: &Run, ix: StepIx, side: Side) -> Result<(), Reply> {
    let step = run.plan.step(ix);
    let (id, record) = (&step.id, run.step(ix));
    let no = |why: String, hint: &str| Err(Reply::refused(why, hint));
    let shown = "`bascule status` shows where it stands";
    let forward = match (&record.status, side) {
        (Status::Forward(_), Side::Undo) => return Ok(()),
        (Status::Undo { state, .. }, Side::Undo) => {
            return match state {
                UndoState::Pending
                | UndoState::Waiting { .. }
                | UndoState::Backoff { .. }
                | UndoState::Failed { .. } => Ok(()),
                UndoState::Undoing(_) => no(format!("the undo of `{id}` is running"), "wait for its end"),
                UndoState::Unknown { .. } => no(
                    format!("nobody knows whether `{id}` was undone"),
                    "`undo retry` or `undo done` says what follows",
                ),
                UndoState::Undone { .. } | UndoState::Waived => no(format!("the undo of `{id}` is over"), shown),
            };
        }
        (Status::Undo { .. }, Side::Forward) => {
            return no(format!("`{id}` is on its way back"), "`--undo` changes the values of its undo");
        }
        (Status::Forward(forward), Side::Forward) => forward,
    };
    if run.rollback.is_some() && !matches!(step.section, Section::Fence | Section::RollbackCheck) {
        return no(
            format!("the run is on its way back: `{id}` is not performed"),
            "`--undo` changes the values of its undo",
        );
    }
    if record.unsettled || record.attached.is_some() {
        let hint = "say what is the case first: `resolve STEP --happened | --did-not-happen`";
        return no(format!("work of `{id}` may go on elsewhere, with the values that it has"), hint);
    }
    match forward {
        Forward::Pending
        | Forward::Ready
        | Forward::Backoff { .. }
        | Forward::Failed { .. }
        | Forward::Waiting { .. } => Ok(()),
        Forward::Running(_) => {
            no(format!("`{id}` is running"), "`extend` gives it more time; other values need its end")
        }
        Forward::Unknown { .. } => no(
            format!("nobody knows whether `{id}` happened"),
            "say what is the case first: `resolve STEP --happened | --did-not-happen`, or `resolve STEP --probe`",
        ),
        Forward::Succeeded => no(format!("`{id}` is done"), "`--undo` changes the values of its undo"),
        Forward::Skipped { .. } => no(format!("`{id}` was skipped"), shown),
        Forward::NotRun => no(format!("`{id}` is not performed"), shown),
    }
}

/// What people said yes to of the plan before, and what nothing has passed yet.
fn not_passed(run: &Run) -> Vec<StepId> {
    let said_yes = |ix: &StepIx| {
        let record = run.step(*ix);
        match &run.plan.step(*ix).kind {
            StepKind::Approval(_) => match &record.status {
                Status::Forward(Forward::Succeeded) => !is_passed(run, *ix),
                Status::Forward(Forward::Waiting { .. }) => !record.approvals.is_empty(),
                Status::Forward(_) | Status::Undo { .. } => false,
            },
            StepKind::Action(_) | StepKind::Manual(_) => {
                (record.passed_irreversible || !record.approvals.is_empty()) && is_untouched(run, *ix)
            }
        }
    };
    (0..run.steps.len()).filter(said_yes).map(|ix| run.plan.step(ix).id.clone()).collect()
}

/// Whether anything below an approval began, or was come to, in its list or in a later one: then it was passed, and stands.
fn is_passed(run: &Run, approval: StepIx) -> bool {
    let own = run.plan.step(approval).section;
    let later = [Section::Prepare, Section::Cutover, Section::PostCheck, Section::Commit];
    let mut later = later.into_iter().filter(|section| *section > own && own <= Section::Commit);
    if later.any(|section| run.plan.section(section).any(|ix| !is_untouched(run, ix))) {
        return true;
    }
    let mut seen = vec![false; run.steps.len()];
    let mut open = vec![approval];
    while let Some(next) = open.pop() {
        for (below, _) in run.plan.dag().children(next) {
            if !is_untouched(run, below) {
                return true;
            }
            if !std::mem::replace(&mut seen[below], true) {
                open.push(below);
            }
        }
    }
    false
}

/// Whether the run has not come to a step yet.
fn is_untouched(run: &Run, ix: StepIx) -> bool {
    let (record, id) = (run.step(ix), &run.plan.step(ix).id);
    let is_asked = run.questions.values().any(|open| {
        open.kind.step() == Some(id)
            && !matches!(open.kind, QuestionKind::Amendment { .. } | QuestionKind::Irreversible { .. })
    });
    let idle = matches!(record.status, Status::Forward(Forward::Pending | Forward::Ready));
    idle && record.attempts == 0 && record.locks == StepLocks::None && !is_asked
}

/// The amendment that is proposed for a step.
pub(super) fn proposed(run: &Run, ix: StepIx) -> Option<Question> {
    let id = &run.plan.step(ix).id;
    let about = |open: &&Question| matches!(&open.kind, QuestionKind::Amendment { step, .. } if step == id);
    run.questions.values().find(about).cloned()
}

/// A second person says yes.
pub(super) fn agree(d: &mut Draft<'_>, question: &Question) -> Result<Reply, Illegal> {
    let QuestionKind::Amendment { step, set, plan, of } = question.kind.clone() else {
        return Ok(Reply::refused("nothing is proposed", "`bascule status` lists the open questions"));
    };
    let trust = d.run().trust_claimed_names;
    let (Some(author), Some(proposer)) = (d.author(), of.proposed_by.clone()) else {
        return Ok(Reply::refused("agreeing needs a name", "this is a bug: please report it"));
    };
    let name = counted(&author, trust);
    if counted(&proposer, trust) == name {
        let hint = "somebody else must agree; until users can log in, names count only with `--trust-claimed-names`";
        return Ok(Reply::refused(format!("`{name}` proposed it and may not agree to it alone"), hint));
    }
    let Some(ix) = d.run().plan.find(&step) else {
        return Ok(Reply::refused(format!("the plan has no step `{step}`"), "`reject` it"));
    };
    // What was approved since is told from what stands now.
    match made(d.run(), ix, &set) {
        Ok((now, fresh)) if now == plan => {
            let of = Former { asked_anew: fresh.asked_anew, ..of };
            d.emit(Event::Closed { question: question.id, answer: Some("approve".to_owned()) })?;
            take_effect(d, step, set, plan, of)
        }
        Ok(_) => {
            let hint = format!("`reject {} {step}`, and propose it for the plan as it is", d.run().name);
            Ok(Reply::refused("the plan is not the one for which it was proposed", hint))
        }
        Err(refused) => Ok(refused),
    }
}

/// Somebody says no; whoever proposed it may, too.
pub(super) fn decline(d: &mut Draft<'_>, question: &Question) -> Result<Reply, Illegal> {
    d.emit(Event::Closed { question: question.id, answer: Some("reject".to_owned()) })?;
    Ok(Reply::Done)
}

/// From here on the run executes the new plan. What else was proposed was for the one before.
fn take_effect(
    d: &mut Draft<'_>,
    step: StepId,
    set: BTreeMap<String, Value>,
    plan: PlanHash,
    of: Former,
) -> Result<Reply, Illegal> {
    let revision = d.run().revision + 1;
    d.emit(Event::Amended { revision, plan, step, set, of })?;
    close(d, None, |kind| matches!(kind, QuestionKind::Amendment { .. }))?;
    Ok(Reply::Done)
}
