//! Yes and no: approvals, and the word that lets an irreversible step pass.

use super::apply::Illegal;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Actor, Wait};
use super::input::Reply;
use super::question::QuestionKind;
use super::state::{Forward, Status};
use super::ticks::{self, Answer};
use super::verbs_step::answered;
use crate::plan::{StepIx, StepKind};

/// The name that counts for four-eyes rules.
fn counted(actor: &Actor, trust_claimed: bool) -> &str {
    match (&actor.claimed, trust_claimed) {
        (Some(claimed), true) => claimed,
        (Some(_) | None, _) => &actor.name,
    }
}

fn waits_for_approval(d: &Draft<'_>, ix: StepIx) -> bool {
    matches!(d.run().step(ix).status, Status::Forward(Forward::Waiting { on: Wait::Approval { .. }, .. }))
}

/// One person says yes.
pub(super) fn approve(d: &mut Draft<'_>, ix: StepIx, role: Option<String>) -> Result<Reply, Illegal> {
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
    let waits = waits_for_approval(d, ix);
    if !waits {
        return Ok(Reply::refused(
            format!("`{}` does not wait for an approval now", step.id),
            "`bascule status` shows where it stands",
        ));
    }
    if !approval.roles.is_empty() && !role.as_ref().is_some_and(|role| approval.roles.contains(role)) {
        let who = role.as_deref().map_or_else(|| "a yes without a role".to_owned(), |role| format!("`{role}`"));
        let hint = format!("say in which role with `--role`: {}", approval.roles.join(", "));
        return Ok(Reply::refused(format!("{who} may not give `{}`", step.id), hint));
    }
    let trust = d.run().trust_claimed_names;
    let Some(actor) = d.author() else {
        return Ok(Reply::refused("an approval needs a name", "this is a bug: please report it"));
    };
    if actor.channel.as_deref() == Some("telephone") && !approval.relayed {
        let hint = "they must answer themselves; `relayed: allowed` lets somebody else write it down";
        return Ok(Reply::refused(format!("`{}` may not be relayed by telephone", step.id), hint));
    }
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

/// One person says no.
pub(super) fn reject(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let waits = waits_for_approval(d, ix);
    if !waits || !matches!(step.kind, StepKind::Approval(_)) {
        return Ok(Reply::refused(
            format!("`{}` does not wait for an approval", step.id),
            "`bascule status` shows what does",
        ));
    }
    d.emit(Event::Denied { step: step.id.clone(), expired: false })?;
    ticks::after_denial(d, ix, Answer::No)?;
    Ok(Reply::Done)
}
