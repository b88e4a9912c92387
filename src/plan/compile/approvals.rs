//! Irreversible steps need somebody who lets them pass, by name; and who is told apart by what.

use super::context::Context;
use super::expand::{Body, Draft};
use crate::plan::sealed::Plan;
use crate::plan::step::{Section, StepId, StepKind};
use crate::runbook::codes;
use crate::runbook::problem::Problem;

/// Checks what approvals name, and that every irreversible step is named by one before it.
pub(super) fn check(cx: &mut Context<'_>, drafts: &[Draft<'_>], plan: &Plan) {
    check_names(cx, drafts, plan);
    check_claims(cx, drafts, plan);
    // The question before a commit step is one by itself: there an approval that names it only says who may answer.
    for draft in drafts.iter().filter(|draft| draft.section.is_undone() || draft.section == Section::Commit) {
        let Some(ix) = plan.find(&draft.id).filter(|ix| plan.step(*ix).is_irreversible()) else { continue };
        let before = plan.dag().ancestors(ix);
        // Everything else of the run is over when it commits.
        let in_time = |other: &usize| {
            before.contains(other) || draft.section == Section::Commit && plan.step(*other).section != Section::Commit
        };
        let lets_pass = |other: &usize| match &plan.step(*other).kind {
            StepKind::Approval(approval) => approval.names.contains(&draft.id),
            StepKind::Action(_) | StepKind::Manual(_) => false,
        };
        if (0..plan.steps.len()).filter(in_time).any(|other| lets_pass(&other)) {
            continue;
        }
        let name = &draft.name.value;
        let named = drafts.iter().find(|other| match &other.body {
            Body::Approval(def) => def.names.iter().flat_map(|names| &names.value).any(|named| named.value == *name),
            Body::Action(_) | Body::Manual(..) => false,
        });
        if draft.section == Section::Commit && named.is_none() {
            continue;
        }
        let mut problem = Problem::new(
            codes::IRREVERSIBLE_WITHOUT_APPROVAL,
            format!("`{name}` cannot be taken back, and nobody lets it pass"),
        )
        .note("past an irreversible step nothing rolls back by itself");
        problem = match named {
            Some(approval) => problem
                .also(approval.span(), "names it, and does not come before it")
                .help("move the approval above it"),
            None => {
                problem.help(format!("put an approval above it: `- {{ approval: …, roles: […], names: [{name}] }}`"))
            }
        };
        let problem = draft.blame(problem, "irreversible");
        cx.problem(problem);
    }
}

fn check_names(cx: &mut Context<'_>, drafts: &[Draft<'_>], plan: &Plan) {
    for draft in drafts {
        let Body::Approval(def) = &draft.body else { continue };
        for name in def.names.iter().flat_map(|names| &names.value) {
            if cx.lost.contains(&name.value) {
                continue;
            }
            let there = plan.find(&StepId::from(name.value.clone()));
            if there.is_some_and(|ix| plan.step(ix).is_irreversible()) {
                continue;
            }
            let message = match there {
                Some(_) => format!("`{}` is not irreversible", name.value),
                None => format!("no step is called `{}`", name.value),
            };
            let names = drafts.iter().map(|draft| &*draft.name.value);
            let mut problem = Problem::new(codes::UNKNOWN_NEED, message)
                .at(name.span, "nothing to let pass")
                .note("`names` lists the irreversible steps that an approval lets pass");
            if there.is_none() {
                problem = problem.suggest(&name.value, names);
            }
            cx.problem(problem);
        }
    }
}

/// Until users can log in, whoever shares a login is one person: four eyes would wait for ever.
fn check_claims(cx: &mut Context<'_>, drafts: &[Draft<'_>], plan: &Plan) {
    for draft in drafts {
        let Some(ix) = plan.find(&draft.id).filter(|_| draft.is_approval()) else { continue };
        let StepKind::Approval(approval) = &plan.step(ix).kind else { continue };
        let name = &draft.name.value;
        let wants = match (approval.quorum, approval.not_requester) {
            (0 | 1, false) => continue,
            (0 | 1, true) => "somebody else than who starts the run".to_owned(),
            (quorum, _) => format!("{quorum} different people"),
        };
        let mut problem = Problem::warning(
            codes::CLAIMED_NAMES,
            format!("`{name}` wants {wants}, and nobody verifies names yet"),
        )
        .at(draft.span(), "one login never passes it")
        .help("start the run with `--trust-claimed-names`: then names given with `--as` count, and the log says so");
        let before = plan.dag().ancestors(ix);
        let down = plan.section(Section::Cutover).find(|at| before.contains(at) && plan.step(*at).takes_source_down);
        if let Some(down) = down.filter(|_| plan.exposing().is_none_or(|exposing| !before.contains(&exposing))) {
            let down = &plan.step(down).id;
            problem = problem.note(format!("it stands after `{down}`: users are without service while it waits"));
        }
        cx.problem(problem);
    }
}
