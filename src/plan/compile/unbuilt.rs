//! Keys that documents may have already and that nothing acts upon yet: they are told, never silently ignored.
//!
//! When one of them is built, its line here goes. Start with [`check`].

use super::context::Context;
use super::expand::{Body, Draft};
use crate::runbook::codes;
use crate::runbook::model::LockClaim;
use crate::runbook::problem::Problem;
use crate::runbook::source::Span;

/// One warning for each such key, at its first place.
pub(super) fn check(cx: &mut Context<'_>, drafts: &[Draft<'_>]) {
    let approvals = || {
        drafts.iter().filter_map(|draft| match &draft.body {
            Body::Approval(def) => Some(*def),
            Body::Action(_) | Body::Manual(..) => None,
        })
    };
    let takes = |claims: &[LockClaim]| claims.iter().filter_map(|claim| claim.take.map(|take| take.span)).next();
    let defs = || drafts.iter().filter_map(|draft| draft.def());
    let runbook = cx.input.runbook;
    let found: [(&str, Option<Span>, &str); 5] = [
        (
            "remindEvery",
            approvals().find_map(|def| def.remind_every.as_ref().map(|every| every.span)),
            "nobody is reminded: `bascule status` and `bascule watch` show what waits for whom",
        ),
        (
            "escalate",
            approvals().find_map(|def| def.escalate.first().map(|rung| rung.to.span)),
            "nobody else is told: the question waits for its roles until it expires",
        ),
        (
            "take",
            takes(&runbook.locks).or_else(|| defs().find_map(|def| takes(&def.locks.as_ref()?.value))),
            "capacities cannot be declared yet, so every claim is exclusive",
        ),
        (
            "rehearsal",
            defs().find_map(|def| def.rehearsal.as_ref().map(|rehearsal| rehearsal.span)),
            "there is no `rehearse` yet",
        ),
        ("targetCluster", runbook.target_cluster.as_ref().map(|cluster| cluster.span), "no view shows it"),
    ];
    for (key, place, instead) in found {
        let Some(place) = place else { continue };
        let problem =
            Problem::warning(codes::NOT_BUILT_YET, format!("`{key}` is read, and not acted upon yet: {instead}"))
                .at(place, "without effect in this version");
        cx.problem(problem);
    }
}
