//! The steps and criteria of a plan.

use serde::{Deserialize, Serialize};

use super::super::words::span_u;
use super::LengthView;
use crate::plan::criteria::Criterion;
use crate::plan::estimate::step_length;
use crate::plan::phases;
use crate::plan::policy::{Approval, LockClaim};
use crate::plan::step::{NeedKind, Step, spelling};
use crate::plan::{CriterionAction, History, Plan, StepIx, StepKind, TripRule, Undo};

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStepView {
    /// Counts the steps of the plan from 1, in the order in which they run.
    pub number: usize,
    /// Its name.
    pub id: String,
    /// The key of its list: `cutoverSteps`.
    pub section: String,
    /// What performs it; absent for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// People decide: who, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// A person performs it: the instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<String>,
    /// `none`, `idempotent`, `probe`, `once`.
    pub effect: String,
    /// How long it takes.
    pub length: LengthView,
    /// Locks taken per attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<String>,
    /// What comes before it where that is not simply the step above (or nothing, in a list of checks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Vec<String>>,
    /// False skips it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Users lose the source.
    #[serde(default)]
    pub takes_source_down: bool,
    /// It copies the application's data.
    #[serde(default)]
    pub moves_data: bool,
    /// Users can reach the target from here on.
    #[serde(default)]
    pub exposes: bool,
    /// It cannot be taken back.
    #[serde(default)]
    pub irreversible: bool,
    /// `none`, `own`, or the executor of the undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Why there is none, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_undo_because: Option<String>,
    /// The catalog that defines it; absent: the runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A criterion of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCriterionView {
    /// Its name.
    pub id: String,
    /// What samples it.
    pub executor: String,
    /// Distance of samples.
    pub every_ms: u64,
    /// Time after exposure before the first sample counts.
    pub warm_up_ms: u64,
    /// True is a bad sample.
    pub trip: String,
    /// `3 in a row`, `for 10m`, `3 of 10`.
    pub rule: String,
    /// `rollback`, `ask` or `observe`.
    pub action: String,
    /// What its trip will do, given what the plan answers: `goes back`, `asks`, `only shown`.
    #[serde(default)]
    pub on_trip: String,
    /// The catalog that defines it; absent: the runbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
}

/// `host:esx-07`, or `datastore:ds1 (take 800)`.
pub(super) fn claim(claim: &LockClaim) -> String {
    match claim.take {
        Some(take) => format!("{} (take {take})", claim.name),
        None => claim.name.clone(),
    }
}

/// All steps in the order in which they run, list by list.
pub(super) fn all(plan: &Plan, history: &History) -> Vec<PlannedStepView> {
    let mut order: Vec<StepIx> = plan.dag().order().to_vec();
    order.sort_by_key(|ix| plan.step(*ix).section);
    let mut above = None;
    let mut views = Vec::with_capacity(order.len());
    for (at, ix) in order.into_iter().enumerate() {
        views.push(view(plan, history, ix, (at + 1, above)));
        above = Some(ix);
    }
    views
}

fn view(plan: &Plan, history: &History, ix: StepIx, (number, above): (usize, Option<StepIx>)) -> PlannedStepView {
    let step = plan.step(ix);
    let (executor, approval, manual) = match &step.kind {
        StepKind::Action(call) => (Some(call.uses.to_string()), None, None),
        StepKind::Approval(approval) => (None, Some(who(approval)), None),
        StepKind::Manual(manual) => (None, None, Some(manual.instructions.clone())),
    };
    let (undo, no_undo_because) = undo(step);
    PlannedStepView {
        number,
        id: step.id.to_string(),
        section: step.section.key().to_owned(),
        executor,
        approval,
        manual,
        effect: spelling(step.effect).to_owned(),
        length: step_length(plan, history, ix).into(),
        locks: step.locks.iter().map(claim).collect(),
        after: after(plan, ix, above),
        when: step.when.as_ref().map(|expr| expr.as_str().to_owned()),
        takes_source_down: step.takes_source_down,
        moves_data: step.moves_data,
        exposes: step.exposes,
        irreversible: step.is_irreversible(),
        undo,
        no_undo_because,
        catalog: step.origin.catalog.clone(),
        description: step.origin.description.clone(),
    }
}

fn undo(step: &Step) -> (Option<String>, Option<String>) {
    match &step.undo {
        Undo::Nothing { reason: None } => (None, None),
        Undo::Nothing { reason } => (Some("none".to_owned()), reason.clone()),
        Undo::Irreversible => (Some("none".to_owned()), None),
        Undo::Action(action) => {
            let uses = action.call.as_ref().map_or_else(|| "own".to_owned(), |call| call.uses.to_string());
            (Some(uses), None)
        }
    }
}

/// What its place in the list does not say.
fn after(plan: &Plan, ix: StepIx, above: Option<StepIx>) -> Option<Vec<String>> {
    let step = plan.step(ix);
    let is_plain = match step.needs.as_slice() {
        [] => step.section.is_check() || above.is_none_or(|above| plan.step(above).section != step.section),
        [one] => {
            matches!(one.kind, NeedKind::Implied | NeedKind::Barrier)
                && above.is_some_and(|above| plan.step(above).id == one.step)
        }
        _several => false,
    };
    (!is_plain).then(|| step.needs.iter().map(|need| need.step.to_string()).collect())
}

fn who(approval: &Approval) -> String {
    let mut text = match approval.quorum {
        1 => approval.roles.join(" or "),
        quorum => format!("{quorum} of {}", approval.roles.join(" or ")),
    };
    if approval.not_requester {
        text.push_str(", not who starts the run");
    }
    if let Some(expires) = approval.expires_ms {
        text.push_str(&format!("; no answer within {} means no", span_u(expires)));
    }
    text
}

/// A criterion.
pub(super) fn criterion(plan: &Plan, criterion: &Criterion) -> PlannedCriterionView {
    PlannedCriterionView {
        id: criterion.id.to_string(),
        executor: criterion.call.uses.to_string(),
        every_ms: criterion.every_ms,
        warm_up_ms: criterion.warm_up_ms,
        trip: criterion.trip.as_str().to_owned(),
        rule: match criterion.rule {
            TripRule::Consecutive(1) => "once".to_owned(),
            TripRule::Consecutive(times) => format!("{times} in a row"),
            TripRule::SustainedForMs(length) => format!("for {}", span_u(length)),
            TripRule::Ratio { fail, of } => format!("{fail} of {of}"),
        },
        action: match (criterion.observe_only, criterion.action) {
            (true, CriterionAction::Rollback | CriterionAction::Ask) => "observe",
            (false, CriterionAction::Rollback) => "rollback",
            (false, CriterionAction::Ask) => "ask",
        }
        .to_owned(),
        on_trip: phases::on_trip(plan, criterion).to_owned(),
        catalog: criterion.origin.catalog.clone(),
    }
}
