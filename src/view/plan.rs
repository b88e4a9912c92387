//! What a plan looks like before anything runs: the steps, the way back, the times, what a trip will do.
//!
//! Read by `plan`, its `--json`, the report and the server. Nothing of a step's parameters is shown: inputs may be
//! internal names. Start with [`PlanView::of`].

mod back;
mod phases;
mod steps;

use serde::{Deserialize, Serialize};

pub use back::{BackView, PlannedUndoView, StaysView};
pub use phases::{Does, PhaseView};
pub use steps::{PlannedCriterionView, PlannedStepView};

use crate::plan::estimate::{self, Estimates};
use crate::plan::policy::{OnWindowClose, WindowFrom};
use crate::plan::step::spelling;
use crate::plan::{DataAnswer, History, Length, Plan, lint};

/// A length of time, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LengthView {
    /// What is known of it adds up to this.
    pub at_least_ms: u64,
    /// A part of it is unknown: it is longer.
    pub open: bool,
}

impl From<Length> for LengthView {
    fn from(length: Length) -> Self {
        Self { at_least_ms: length.at_least_ms, open: length.is_open }
    }
}

/// A catalog that gave definitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogView {
    /// As it was named.
    pub name: String,
    /// SHA-256 of its text.
    pub sha256: String,
    /// How far it was tried, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
}

/// An input that the plan needs and nobody gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingView {
    /// Its name.
    pub name: String,
    /// `string`, `url`, `integer`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The steps and criteria that wait for it.
    pub needed_by: Vec<String>,
}

/// What is estimated, if nothing goes wrong and nothing has to wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTimesView {
    /// The preparation.
    pub prepare: LengthView,
    /// From the start of the cutover until users can reach the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_exposure: Option<LengthView>,
    /// The whole cutover.
    pub cutover: LengthView,
    /// From the first step that takes the source down until exposure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<LengthView>,
    /// From a decision to go back after a complete cutover until the source serves, verified.
    pub until_source_serves: LengthView,
    /// From the same moment until everything that was built is removed.
    pub until_clean: LengthView,
    /// The steps that decide how long the cutover takes.
    pub critical_path: Vec<String>,
    /// Steps of which nobody knows how long they, or their undos (`undo NAME`), take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// The rollback window and the limits around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedWindowView {
    /// How long it is open.
    pub length_ms: u64,
    /// `exposure` or `cutoverEnd`.
    pub from: String,
    /// `accept` or `commit`.
    pub on_close: String,
    /// How often the way back is seen to be open, from the first effect on.
    pub ready_every_ms: u64,
    /// How long users may be without service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_budget_ms: Option<u64>,
    /// How long the source is kept after acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_source_ms: Option<u64>,
    /// The approved change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<PlannedChangeView>,
}

/// The approved change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedChangeView {
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Start of the change window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_at: Option<i64>,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<i64>,
    /// An IANA zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// A plan, as people and programs see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// The plan's SHA-256.
    pub hash: String,
    /// What moves.
    pub application: String,
    /// The label of a wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u64>,
    /// Where it comes from.
    pub source_platform: String,
    /// The cluster that it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_cluster: Option<String>,
    /// Where it goes.
    pub target_platform: String,
    /// Where definitions came from.
    pub catalogs: Vec<CatalogView>,
    /// Locks of the whole run.
    pub locks: Vec<String>,
    /// Applications that must stand first: `billing-db (accepted)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Names of secrets; never values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// All steps in the order in which they run, list by list.
    pub steps: Vec<PlannedStepView>,
    /// The rollback criteria.
    pub criteria: Vec<PlannedCriterionView>,
    /// What the gate asks of people: `operations: we own it from now on`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sign_offs: Vec<String>,
    /// The way back.
    pub rollback: BackView,
    /// What a trip or a failure does, phase by phase.
    pub phases: Vec<PhaseView>,
    /// `reverseSync`, `stateless`, `acceptLoss`, `unanswered`.
    pub data_answer: String,
    /// The same in one sentence.
    pub data_text: String,
    /// The window.
    pub window: PlannedWindowView,
    /// What is estimated.
    pub times: PlannedTimesView,
    /// Conditions of a safe end that nothing proves.
    pub not_proved: Vec<String>,
    /// What must be given before it can run.
    pub missing: Vec<MissingView>,
}

impl PlanView {
    /// The view of a plan.
    #[must_use]
    pub fn of(plan: &Plan, history: &History) -> Self {
        let times = estimate::estimate(plan, history);
        let pins = plan.catalogs.iter().map(|pin| CatalogView {
            name: pin.name.clone(),
            sha256: pin.sha256.clone(),
            verified: pin.verified.clone(),
        });
        let missing = plan.missing.iter().map(|input| MissingView {
            name: input.name.clone(),
            kind: input.kind.clone(),
            needed_by: input.needed_by.clone(),
        });
        let requires = plan.requires.iter().map(|one| format!("{} ({})", one.app, one.state));
        let (data_answer, data_text) = data(plan);
        Self {
            hash: plan.hash().to_string(),
            application: plan.application.clone(),
            wave: plan.wave,
            source_platform: plan.source_platform.clone(),
            source_cluster: plan.source_cluster.clone(),
            target_platform: plan.target_platform.clone(),
            catalogs: pins.collect(),
            locks: plan.locks.iter().map(steps::claim).collect(),
            requires: requires.collect(),
            secrets: plan.secrets.iter().cloned().collect(),
            steps: steps::all(plan, history),
            criteria: plan.criteria.iter().map(|one| steps::criterion(plan, one)).collect(),
            sign_offs: plan.sign_offs.iter().map(|one| format!("{}: {}", one.role, one.what)).collect(),
            rollback: BackView::of(plan, history),
            phases: phases::all(plan),
            data_answer: data_answer.to_owned(),
            data_text,
            window: window(plan),
            times: times_of(plan, &times),
            not_proved: lint::unproved(plan).into_iter().map(|proof| spelling(proof).to_owned()).collect(),
            missing: missing.collect(),
        }
    }
}

fn data(plan: &Plan) -> (&'static str, String) {
    match &plan.policies.data {
        DataAnswer::ReverseSync => {
            let moving = plan.steps.iter().filter(|step| step.moves_data && step.undo_action().is_some());
            let names: Vec<&str> = moving.map(|step| step.id.as_str()).collect();
            ("reverseSync", format!("the undo of {} brings users' writes home", names.join(" and ")))
        }
        DataAnswer::Stateless => ("stateless", "users write nothing that must be kept".to_owned()),
        DataAnswer::AcceptLoss { up_to_ms, reason } => {
            ("acceptLoss", format!("losing up to {} of writes was accepted: {reason}", super::words::span_u(*up_to_ms)))
        }
        DataAnswer::Unanswered => {
            ("unanswered", "nobody says what happens to users' writes on the way back".to_owned())
        }
    }
}

fn window(plan: &Plan) -> PlannedWindowView {
    let policies = &plan.policies;
    PlannedWindowView {
        length_ms: policies.window_ms,
        from: match policies.window_from {
            WindowFrom::Exposure => "exposure",
            WindowFrom::CutoverEnd => "cutoverEnd",
        }
        .to_owned(),
        on_close: match policies.on_window_close {
            OnWindowClose::Accept => "accept",
            OnWindowClose::Commit => "commit",
        }
        .to_owned(),
        ready_every_ms: policies.ready_every_ms,
        downtime_budget_ms: policies.downtime_budget_ms,
        keep_source_ms: policies.keep_source_ms,
        change: policies.change.as_ref().map(|change| PlannedChangeView {
            id: change.id.clone(),
            from_at: change.from_ms,
            until_at: change.until_ms,
            zone: change.zone.clone(),
        }),
    }
}

fn times_of(plan: &Plan, times: &Estimates) -> PlannedTimesView {
    let name = |ix: usize| plan.step(ix).id.to_string();
    let unknown = times.unknown.iter().map(|one| match one.is_undo {
        true => format!("undo {}", name(one.step)),
        false => name(one.step),
    });
    PlannedTimesView {
        prepare: times.prepare.into(),
        until_exposure: times.until_exposure.map(LengthView::from),
        cutover: times.cutover.into(),
        downtime: times.downtime.map(LengthView::from),
        until_source_serves: times.until_source_serves.into(),
        until_clean: times.until_clean.into(),
        critical_path: times.critical_path.iter().map(|ix| name(*ix)).collect(),
        unknown: unknown.collect(),
    }
}
