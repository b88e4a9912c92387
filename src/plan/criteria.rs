//! Named, sampled conditions that say "go back".

use serde::{Deserialize, Serialize};

use super::step::{Call, Expr, Origin};
pub use crate::runbook::words::CriterionAction;

/// When failing samples trip a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TripRule {
    /// This many fails in a row.
    Consecutive(u32),
    /// An unbroken run of fails at least this long: two samples or more, no gap over twice `every`.
    SustainedForMs(u64),
    /// `fail` fails among the newest `of` samples.
    Ratio {
        /// Fails that trip.
        fail: u32,
        /// Samples looked at.
        of: u32,
    },
}

/// A rollback criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Criterion {
    /// Its name.
    pub id: std::sync::Arc<str>,
    /// Where its definition came from.
    pub origin: Origin,
    /// What is sampled; only looks.
    pub call: Call,
    /// Planned distance of samples.
    pub every_ms: u64,
    /// Time after exposure before the first sample counts.
    pub warm_up_ms: u64,
    /// When a sample is interrupted and counts as inconclusive.
    pub timeout_ms: u64,
    /// Over `result`: false or unknown makes the sample inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Expr>,
    /// Over `result`: true is a fail, false a pass, unknown inconclusive.
    pub trip: Expr,
    /// When fails trip.
    pub rule: TripRule,
    /// Samples needed before the gate can be met.
    pub min_samples: u32,
    /// Without a pass or fail younger than this it is blind.
    pub max_age_ms: u64,
    /// What a trip does.
    pub action: CriterionAction,
    /// Never acts.
    #[serde(default)]
    pub observe_only: bool,
}
