//! Requests of the last minutes: how many, how many failed, how slow.
//!
//! Bounded in time and number. Start with [`Window`].

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One of the two platforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Where the application comes from.
    Source,
    /// Where it goes.
    Target,
}

impl Side {
    /// Both, source first.
    pub const BOTH: [Self; 2] = [Self::Source, Self::Target];

    /// The word used in addresses and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// Samples older than this are forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Samples beyond this are forgotten, oldest first.
const SAMPLES: usize = 200_000;

/// One answered request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    at: Instant,
    side: Option<Side>,
    ms: f64,
    ok: bool,
}

/// Figures of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Figures {
    pub requests: usize,
    pub errors: usize,
    /// Absent without requests.
    pub p95_ms: Option<f64>,
    pub p50_ms: Option<f64>,
}

impl Figures {
    pub(crate) fn json(&self) -> Value {
        #[expect(clippy::cast_precision_loss, reason = "at most 200,000 samples are kept")]
        let rate = (self.requests > 0).then(|| self.errors as f64 / self.requests as f64);
        json!({ "requests": self.requests, "errors": self.errors, "errorRate": rate, "p50Ms": self.p50_ms, "p95Ms": self.p95_ms })
    }
}

/// The samples of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Window {
    samples: Mutex<VecDeque<Sample>>,
}

impl Window {
    /// Adds a request that was answered now.
    pub(crate) fn record(&self, side: Option<Side>, took: Duration, ok: bool) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        while samples.len() >= SAMPLES || samples.front().is_some_and(|old| at.duration_since(old.at) > MEMORY) {
            samples.pop_front();
        }
        samples.push_back(Sample { at, side, ms: took.as_secs_f64() * 1000.0, ok });
    }

    /// Figures of the last `span`, of one side or of all.
    pub(crate) fn figures(&self, span: Duration, side: Option<Side>) -> Figures {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let recent = samples
            .iter()
            .rev()
            .take_while(|one| now.duration_since(one.at) <= span)
            .filter(|one| side.is_none() || one.side == side);
        let mut errors = 0;
        let mut times: Vec<f64> = recent.inspect(|one| errors += usize::from(!one.ok)).map(|one| one.ms).collect();
        times.sort_by(f64::total_cmp);
        Figures { requests: times.len(), errors, p95_ms: percentile(&times, 95), p50_ms: percentile(&times, 50) }
    }
}

/// Nearest rank: the smallest value that at least `percent` % of the values do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).map(|ms| (ms * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 95), Some(95.0));
        assert_eq!(percentile(&hundred[..1], 95), Some(1.0));
        assert_eq!(percentile(&[], 95), None);
    }

    #[test]
    fn a_window_counts_each_side_alone() {
        let window = Window::default();
        window.record(Some(Side::Source), Duration::from_millis(10), true);
        window.record(Some(Side::Target), Duration::from_millis(500), false);
        let target = window.figures(Duration::from_secs(60), Some(Side::Target));
        assert_eq!((target.requests, target.errors, target.p95_ms), (1, 1, Some(500.0)));
        assert_eq!(window.figures(Duration::from_secs(60), None).requests, 2);
        assert_eq!(window.figures(Duration::from_secs(60), None).json()["errorRate"], 0.5);
    }
}
