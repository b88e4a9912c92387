//! One criterion: its state, when it would trip, its newest samples.

use serde::{Deserialize, Serialize};

use super::words;
use crate::machine::Now;
use crate::machine::fact::{CriterionState, Millis, Verdict};
use crate::machine::run::Run;
use crate::plan::{CriterionAction, TripRule};

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SampleView {
    /// When it was due.
    pub planned_at: Millis,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// Why it is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CriterionView {
    /// Its name.
    pub criterion: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `waiting`, `clear`, `suspect`, `tripped`, `blind`.
    pub state: String,
    /// It is being sampled now.
    pub live: bool,
    /// The condition of a fail.
    pub trip: String,
    /// When fails trip: `3 in a row`.
    pub rule: String,
    /// `rollback`, `ask` or `observeOnly`.
    pub action: String,
    /// Distance of samples.
    pub every_ms: u64,
    /// When it trips if every further sample fails; absent: fails have not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trips_at: Option<Millis>,
    /// When the first sample is due; absent once one was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Millis>,
    /// A trip asks until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disarmed_until_at: Option<Millis>,
    /// Passes and fails so far.
    pub measured: u32,
    /// Those since the last stretch without any that was longer than the criterion's `maxAge`.
    pub since_gap: u32,
    /// So many of these are needed before the gate can be met.
    pub min_samples: u32,
    /// Age of the newest pass or fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<i64>,
    /// The newest samples, oldest first.
    pub samples: Vec<SampleView>,
    /// What was measured last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_result: Option<serde_json::Value>,
}

impl CriterionView {
    pub(super) fn of(run: &Run, ix: usize, now: Now) -> Self {
        let criterion = &run.plan.criteria[ix];
        let samples = &run.criteria[ix];
        let next = run.timers.get(crate::machine::timers::Timer::Sample(ix));
        let suspect = matches!(samples.state, CriterionState::Suspect | CriterionState::Tripped);
        Self {
            criterion: criterion.id.to_string(),
            description: criterion.origin.description.clone(),
            state: words::criterion_state(samples.state).to_owned(),
            live: next.is_some(),
            trip: criterion.trip.as_str().to_owned(),
            rule: rule(criterion.rule),
            action: match (criterion.observe_only, criterion.action) {
                (true, _) => "observeOnly",
                (false, CriterionAction::Rollback) => "rollback",
                (false, CriterionAction::Ask) => "ask",
            }
            .to_owned(),
            every_ms: criterion.every_ms,
            trips_at: samples.trips_at(criterion).filter(|_| suspect && next.is_some()),
            starts_at: next.filter(|_| samples.sparks.is_empty()),
            disarmed_until_at: samples.disarmed_until,
            measured: samples.measured,
            since_gap: samples.since_gap,
            min_samples: criterion.min_samples,
            age_ms: samples.last_measured.map(|at| now.steady.saturating_sub(at).max(0)),
            samples: samples
                .sparks
                .iter()
                .map(|spark| {
                    let (verdict, because) = match &spark.verdict {
                        Verdict::Pass => ("pass", None),
                        Verdict::Fail => ("fail", None),
                        Verdict::Inconclusive { because } => ("inconclusive", Some(because.to_string())),
                    };
                    SampleView { planned_at: spark.planned, verdict: verdict.to_owned(), because }
                })
                .collect(),
            last_result: samples.last_result.as_deref().cloned(),
        }
    }
}

fn rule(rule: TripRule) -> String {
    match rule {
        TripRule::Consecutive(1) => "1 fail".to_owned(),
        TripRule::Consecutive(n) => format!("{n} fails in a row"),
        TripRule::SustainedForMs(ms) => format!("fails for {}", words::span_u(ms)),
        TripRule::Ratio { fail, of } => format!("{fail} of {of} fail"),
    }
}
