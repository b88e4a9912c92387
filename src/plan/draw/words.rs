//! Short texts about a plan that all pictures share, and the escaping of text.

use crate::plan::criteria::{Criterion, TripRule};
use crate::plan::estimate::Length;
use crate::plan::policy::{DataAnswer, OnWindowClose, WindowFrom};
use crate::plan::rollback::Stage;
use crate::plan::sealed::Plan;
use crate::plan::step::{Section, Step, StepKind};
use crate::runbook::duration;
use crate::runbook::model::Millis;

/// Text for XML: markup is escaped, what XML cannot hold is left out.
pub(super) fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            other if other.is_control() => {}
            // Marks that turn the direction of writing could make a name look like another one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => {}
            other => safe.push(other),
        }
    }
    safe
}

/// The heading of a list.
pub(super) fn heading(section: Section) -> &'static str {
    match section {
        Section::PreCheck => "Pre-checks",
        Section::Prepare => "Preparation",
        Section::Cutover => "Cutover",
        Section::PostCheck => "Post-checks",
        Section::Fence => "Fence",
        Section::Ready => "Ready to go back",
        Section::RollbackCheck => "Rollback checks",
        Section::Commit => "Commit",
    }
}

/// A step's name without the prefix of its list, which its band says already.
pub(super) fn name(step: &Step) -> &str {
    let id = step.id.as_str();
    id.strip_prefix(step.section.id_prefix()).unwrap_or(id)
}

/// What performs it, and how long it takes.
pub(super) fn subtitle(step: &Step, length: Length) -> String {
    let who = match &step.kind {
        StepKind::Action(call) => call.uses.to_string(),
        StepKind::Approval(approval) => {
            let roles = if approval.roles.is_empty() { "anybody".to_owned() } else { approval.roles.join(" or ") };
            if approval.quorum > 1 { format!("{} of {roles}", approval.quorum) } else { roles }
        }
        StepKind::Manual(manual) if manual.roles.is_empty() => "a person".to_owned(),
        StepKind::Manual(manual) => manual.roles.join(" or "),
    };
    match length.known_ms() {
        Some(known) => format!("{who} · {}", duration::format(Millis(known))),
        None => who,
    }
}

/// `42m`, `more than 40m`; absent if nobody knows.
pub(super) fn length(length: Length) -> Option<String> {
    match (length.is_open, length.at_least_ms) {
        (true, 0) => None,
        (true, known) => Some(format!("more than {}", duration::format(Millis(known)))),
        (false, known) => Some(duration::format(Millis(known))),
    }
}

/// `takes 42m`.
pub(super) fn takes(time: Length) -> String {
    length(time).map_or("nobody knows how long it takes".to_owned(), |time| format!("takes {time}"))
}

/// `the source serves after 42m`.
pub(super) fn after(what: &str, time: Length) -> String {
    length(time).map_or(format!("nobody knows when {what}"), |time| format!("{what} after {time}"))
}

/// Where it comes from and where it goes, as far as the runbook says.
#[must_use]
pub fn route(plan: &Plan, arrow: &str) -> Option<String> {
    let cluster = plan.source_cluster.as_ref().map(|cluster| format!(" ({cluster})")).unwrap_or_default();
    let from = format!("{}{cluster}", plan.source_platform);
    match (from.trim(), plan.target_platform.as_str()) {
        ("", "") => None,
        (from, "") => Some(format!("from {from}")),
        ("", to) => Some(format!("to {to}")),
        (from, to) => Some(format!("{from} {arrow} {to}")),
    }
}

/// `shop: attic to cellar`.
pub(super) fn title(plan: &Plan) -> String {
    match (plan.source_platform.as_str(), plan.target_platform.as_str()) {
        ("", "") => plan.application.clone(),
        (from, "") => format!("{}: from {from}", plan.application),
        ("", to) => format!("{}: to {to}", plan.application),
        (from, to) => format!("{}: {from} to {to}", plan.application),
    }
}

/// The marks of a step, the most important first.
pub(super) fn marks(step: &Step) -> Vec<&'static str> {
    let by_kind = match step.kind {
        StepKind::Action(_) => None,
        StepKind::Approval(_) => Some("approval"),
        StepKind::Manual(_) => Some("by hand"),
    };
    let marks = [
        step.exposes.then_some("exposes"),
        step.is_irreversible().then_some("irreversible"),
        step.takes_source_down.then_some("source down"),
        step.moves_data.then_some("moves data"),
        by_kind,
    ];
    marks.into_iter().flatten().collect()
}

pub(super) fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Fence => "fence",
        Stage::Data => "data",
        Stage::SourceUp => "source up",
        Stage::Traffic => "traffic",
    }
}

/// `every 10s · 3 fails in a row`.
pub(super) fn rule(criterion: &Criterion) -> String {
    let every = duration::format(Millis(criterion.every_ms));
    let rule = match criterion.rule {
        TripRule::Consecutive(1) => "one fail".to_owned(),
        TripRule::Consecutive(times) => format!("{times} fails in a row"),
        TripRule::SustainedForMs(length) => format!("fails for {}", duration::format(Millis(length))),
        TripRule::Ratio { fail, of } => format!("{fail} of {of} fail"),
    };
    format!("every {every} · {rule}")
}

/// The window in one sentence.
pub(super) fn window(plan: &Plan) -> String {
    let policies = &plan.policies;
    let from = match policies.window_from {
        WindowFrom::Exposure => "from exposure",
        WindowFrom::CutoverEnd => "from the end of the cutover",
    };
    let end = match policies.on_window_close {
        OnWindowClose::Accept => "then accepted if the gate is met",
        OnWindowClose::Commit => "then committed if the gate is met",
    };
    let kept = policies.keep_source_ms.map(|kept| format!(", source kept {}", duration::format(Millis(kept))));
    format!("{} {from}, {end}{}", duration::format(Millis(policies.window_ms)), kept.unwrap_or_default())
}

/// What a trip after exposure does about users' writes, in one sentence.
pub(super) fn data(plan: &Plan) -> String {
    match &plan.policies.data {
        DataAnswer::ReverseSync => "after exposure a trip goes back by itself; users' writes come home".to_owned(),
        DataAnswer::Stateless => "after exposure a trip goes back by itself; there are no writes to lose".to_owned(),
        DataAnswer::AcceptLoss { up_to_ms, .. } => format!(
            "after exposure a trip goes back by itself and loses up to {} of writes; beyond that it asks",
            duration::format(Millis(*up_to_ms))
        ),
        DataAnswer::Unanswered => "after exposure a trip asks: nobody said what happens to users' writes".to_owned(),
    }
}
