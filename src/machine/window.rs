//! The rollback window and what a run remembers of its criteria.
//!
//! State keeps only what the trip rule and the views need; all samples are in the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fact::{CriterionState, Millis, Resolved, Verdict};
use crate::plan::{Criterion, TripRule};

/// The time in which the engine goes back by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Since when.
    pub opened: Millis,
    /// Absolute; moved only by a person.
    pub deadline: Millis,
    /// The deadline passed: whether an observing engine saw it.
    pub expired: Option<Expired>,
    /// The event with which it passed: what the gate counts must be newer.
    pub expired_at: u64,
}

/// How a deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// An engine in `observing` was there: the post-checks run once more and the gate is judged.
    Watched,
    /// Nobody was, or the run was elsewhere: a person judges, or `observing` when it has samples.
    Unwatched,
}

/// One sample, as far as views need it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spark {
    /// When it was due.
    pub planned: Millis,
    /// What it said.
    pub verdict: Verdict,
}

/// How many samples a view may draw.
const SPARKS: usize = 32;

/// What a run remembers of a criterion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// The newest state.
    pub state: CriterionState,
    /// A sample is under way, due then.
    pub sampling: Option<Millis>,
    /// The evaluated call, if it differs from the plan's text.
    pub call: Option<Resolved>,
    /// Passes and fails so far.
    pub measured: u32,
    /// Those since the end of the last gap: what the gate holds against `minSamples`. A gap is a stretch longer than
    /// `maxAge` without either, whatever made it: no data, a full disk, no engine.
    pub since_gap: u32,
    /// When the newest pass or fail was due.
    pub last_measured: Option<Millis>,
    /// Fails in a row.
    pub fails: u32,
    /// The first and the newest of an unbroken run of fails.
    pub failing: Option<(Millis, Millis)>,
    /// Passes (false) and fails (true), newest last, as many as a ratio looks at.
    pub recent: VecDeque<bool>,
    /// A trip asks until then.
    pub disarmed_until: Option<Millis>,
    /// The newest samples.
    pub sparks: VecDeque<Spark>,
    /// What was measured last.
    pub last_result: Option<Arc<serde_json::Value>>,
}

impl Samples {
    /// Takes a sample in: pure bookkeeping, no decision.
    pub(super) fn take(&mut self, criterion: &Criterion, planned: Millis, verdict: &Verdict) {
        if self.sampling == Some(planned) {
            self.sampling = None;
        }
        if self.sparks.len() == SPARKS {
            self.sparks.pop_front();
        }
        self.sparks.push_back(Spark { planned, verdict: verdict.clone() });
        let failed = match verdict {
            Verdict::Pass => false,
            Verdict::Fail => true,
            // Neither resets nor extends: as if nobody had looked.
            Verdict::Inconclusive { .. } => return,
        };
        let since = self.last_measured.map(|before| planned.saturating_sub(before));
        // A planned time before the last one: the clock was set back while nobody looked, and nobody knows how long.
        let is_after_gap = since.is_some_and(|since| since < 0 || since > max_age(criterion));
        self.since_gap = if is_after_gap { 1 } else { self.since_gap.saturating_add(1) };
        self.measured = self.measured.saturating_add(1);
        self.last_measured = Some(planned);
        if let TripRule::Ratio { of, .. } = criterion.rule {
            while self.recent.len() >= of as usize {
                self.recent.pop_front();
            }
            self.recent.push_back(failed);
        }
        if !failed {
            self.fails = 0;
            self.failing = None;
            return;
        }
        self.fails = self.fails.saturating_add(1);
        self.failing = match self.failing {
            // A gap over twice the distance breaks the run: it begins anew with this sample.
            Some((first, newest)) if planned - newest <= gap(criterion) => Some((first, planned)),
            Some(_) | None => Some((planned, planned)),
        };
    }

    /// Whether the trip rule is met by what was taken in.
    #[must_use]
    pub fn trips(&self, criterion: &Criterion) -> bool {
        match criterion.rule {
            TripRule::Consecutive(n) => self.fails >= n,
            TripRule::SustainedForMs(ms) => self.failing.is_some_and(|(first, newest)| {
                newest > first && newest - first >= i64::try_from(ms).unwrap_or(i64::MAX)
            }),
            TripRule::Ratio { fail, .. } => self.recent.iter().filter(|failed| **failed).count() >= fail as usize,
        }
    }

    /// Whether fails have begun that may trip.
    #[must_use]
    pub fn suspicious(&self, criterion: &Criterion) -> bool {
        match criterion.rule {
            TripRule::Consecutive(_) | TripRule::SustainedForMs(_) => self.fails > 0,
            TripRule::Ratio { .. } => self.recent.iter().any(|failed| *failed),
        }
    }

    /// When the rule will be met if every further sample fails; `None`: fails have not begun.
    #[must_use]
    pub fn trips_at(&self, criterion: &Criterion) -> Option<Millis> {
        let (first, newest) = self.failing?;
        let every = i64::try_from(criterion.every_ms).unwrap_or(i64::MAX);
        let more = |n: i64| newest.saturating_add(every.saturating_mul(n));
        match criterion.rule {
            TripRule::Consecutive(n) => Some(more(i64::from(n.saturating_sub(self.fails)))),
            TripRule::SustainedForMs(ms) => {
                let until = first.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
                let left = until.saturating_sub(newest).max(0);
                // The first planned sample at or after the moment.
                Some(more((left.saturating_add(every - 1)) / every.max(1)))
            }
            TripRule::Ratio { fail, .. } => {
                let have = self.recent.iter().filter(|failed| **failed).count();
                Some(more(i64::try_from((fail as usize).saturating_sub(have)).unwrap_or(0)))
            }
        }
    }
}

/// The longest distance of two samples between which the criterion counts as watched; never shorter than that of
/// their planned times.
fn max_age(criterion: &Criterion) -> Millis {
    i64::try_from(criterion.max_age_ms.max(criterion.every_ms)).unwrap_or(i64::MAX)
}

/// The longest distance of two fails that belong to one run of fails.
fn gap(criterion: &Criterion) -> Millis {
    i64::try_from(criterion.every_ms.saturating_mul(2)).unwrap_or(i64::MAX)
}
