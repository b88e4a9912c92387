//! Yes and no: approvals, and the word that lets an irreversible step pass.

use super::apply::Illegal;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Actor, Wait};
use super::input::Reply;
use super::question::QuestionKind;
use super::run::Run;
use super::state::{Forward, Status};
use super::ticks::{self, Answer};
use super::verbs_amend;
use super::verbs_step::answered;
use crate::plan::{Approval, StepIx, StepKind};

/// The name that counts for four-eyes rules.
pub(super) fn counted(actor: &Actor, trust_claimed: bool) -> &str {
    match (&actor.claimed, trust_claimed) {
        (Some(claimed), true) => claimed,
        (Some(_) | None, _) => &actor.name,
    }
}

fn waits_for_approval(d: &Draft<'_>, ix: StepIx) -> bool {
    matches!(d.run().step(ix).status, Status::Forward(Forward::Waiting { on: Wait::Approval { .. }, .. }))
}

impl Run {
    /// Who may let a step pass, and how many of them: an approval's own rules, or for an irreversible step those of the
    /// approval that names it. `None`: the runbook names nobody.
    #[must_use]
    pub fn rules_of_passing(&self, ix: StepIx) -> Option<&Approval> {
        let names = |step: &Approval| step.names.contains(&self.plan.step(ix).id);
        match &self.plan.step(ix).kind {
            StepKind::Approval(approval) => Some(approval),
            StepKind::Action(_) | StepKind::Manual(_) => self.plan.steps.iter().find_map(|step| match &step.kind {
                StepKind::Approval(approval) => Some(approval).filter(|approval| names(approval)),
                StepKind::Action(_) | StepKind::Manual(_) => None,
            }),
        }
    }
}

/// One person says yes: to an approval, or to the question before an irreversible step.
pub(super) fn approve(d: &mut Draft<'_>, ix: StepIx, role: Option<String>) -> Result<Reply, Illegal> {
    if let Some(question) = verbs_amend::proposed(d.run(), ix) {
        return verbs_amend::agree(d, &question);
    }
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let asked_irreversible = d
        .run()
        .questions
        .values()
        .any(|question| matches!(&question.kind, QuestionKind::Irreversible { step: asked } if *asked == step.id));
    if !asked_irreversible && !matches!(step.kind, StepKind::Approval(_)) {
        return Ok(Reply::refused(
            format!("`{}` is not an approval", step.id),
            "`bascule status` lists what waits for one",
        ));
    }
    if !asked_irreversible && !waits_for_approval(d, ix) {
        return Ok(Reply::refused(
            format!("`{}` does not wait for an approval now", step.id),
            "`bascule status` shows where it stands",
        ));
    }
    let quorum = match d.run().rules_of_passing(ix) {
        Some(rules) => match may_say_yes(d, ix, rules, role.as_deref()) {
            Ok(()) => rules.quorum as usize,
            Err(refused) => return Ok(refused),
        },
        None => 1,
    };
    let complete = d.run().step(ix).approvals.len() + 1 >= quorum;
    if asked_irreversible && complete {
        d.emit(Event::IrreversibleApproved { step: step.id.clone() })?;
    } else {
        d.emit(Event::Approved { step: step.id.clone(), role, complete })?;
    }
    if complete {
        answered(d, ix, "approve")?;
    }
    Ok(Reply::Done)
}

/// Whether the one who speaks may say yes.
fn may_say_yes(d: &Draft<'_>, ix: StepIx, rules: &Approval, role: Option<&str>) -> Result<(), Reply> {
    let id = &d.run().plan.step(ix).id;
    if !rules.roles.is_empty() && !role.is_some_and(|role| rules.roles.iter().any(|known| known == role)) {
        let who = role.map_or_else(|| "a yes without a role".to_owned(), |role| format!("`{role}`"));
        let hint = format!("say in which role with `--role`: {}", rules.roles.join(", "));
        return Err(Reply::refused(format!("{who} may not give `{id}`"), hint));
    }
    let trust = d.run().trust_claimed_names;
    let Some(actor) = d.author() else {
        return Err(Reply::refused("an approval needs a name", "this is a bug: please report it"));
    };
    if actor.channel.as_deref() == Some("telephone") && !rules.relayed {
        let hint = "they must answer themselves; `relayed: allowed` lets somebody else write it down";
        return Err(Reply::refused(format!("`{id}` may not be relayed by telephone"), hint));
    }
    let name = counted(&actor, trust);
    if rules.not_requester && d.run().requester.as_ref().is_some_and(|requester| counted(requester, trust) == name) {
        let hint = "somebody else must approve; until users can log in, names count only with `--trust-claimed-names`";
        return Err(Reply::refused(format!("`{name}` started the run and may not approve it"), hint));
    }
    if d.run().step(ix).approvals.iter().any(|before| counted(before, trust) == name) {
        return Err(Reply::refused(format!("`{name}` has approved already"), "another person must"));
    }
    Ok(())
}

/// One person says no.
pub(super) fn reject(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    if let Some(question) = verbs_amend::proposed(d.run(), ix) {
        return verbs_amend::decline(d, &question);
    }
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
