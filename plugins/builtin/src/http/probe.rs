//! `http.probe`: asks an address n times and says how it answered. A measurement: a service that
//! is down is a result, not a failure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bascule_plugin::{ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Outcome, Role, Validation};
use futures_util::StreamExt;
use futures_util::stream;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Clients, Request, read_ca_file, read_headers, read_url};
use crate::params;
use crate::period::Period;

/// Probes an address.
#[derive(Debug, Default)]
pub(crate) struct HttpProbe(Clients);

/// The parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Params {
    /// The address, with `http://` or `https://`.
    url: String,
    /// How many requests to make; 10 unless given.
    #[schemars(range(min = 1, max = 100_000))]
    requests: Option<usize>,
    /// How many of them at the same time; 1 unless given.
    #[schemars(range(min = 1, max = 1000))]
    concurrency: Option<usize>,
    /// Header fields.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The time for each request, to the end of its answer; `5s` unless given.
    timeout: Option<Period>,
    /// Whether an answer that points elsewhere is followed; `false` unless given.
    #[serde(default)]
    follow_redirects: bool,
    /// The absolute path of certificates (PEM) that are trusted besides the system's.
    ca_file: Option<PathBuf>,
    /// What must be measured for the step to succeed; without it every measurement does.
    expect: Option<Expect>,
}

/// Limits that make a measurement a check.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Expect {
    /// The status that every request must be answered with.
    status: Option<u16>,
    /// The highest 95th percentile of the time to answer, in milliseconds.
    p95_ms: Option<f64>,
    /// The highest part of requests, from 0 to 1, that may fail.
    error_rate: Option<f64>,
}

impl Params {
    fn read(with: &Value) -> Result<(Self, Request), Failure> {
        let params: Self = params::read(with)?;
        if !(1..=100_000).contains(&params.requests()) {
            return Err(params::wrong("`requests` must be from 1 to 100000"));
        }
        if !(1..=1000).contains(&params.concurrency.unwrap_or(1)) {
            return Err(params::wrong("`concurrency` must be from 1 to 1000"));
        }
        let rate = params.expect.as_ref().and_then(|expect| expect.error_rate);
        if rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            return Err(params::wrong("`errorRate` must be from 0 to 1"));
        }
        let request = Request {
            method: Method::GET,
            url: read_url("url", &params.url)?,
            headers: read_headers(&params.headers)?,
            body: None,
            timeout: params.timeout.map_or(Duration::from_secs(5), |timeout| timeout.0),
            follow_redirects: params.follow_redirects.into(),
            ca_file: read_ca_file(params.ca_file.as_deref())?,
        };
        Ok((params, request))
    }

    fn requests(&self) -> usize {
        self.requests.unwrap_or(10)
    }
}

/// How the requests were answered.
#[derive(Debug, Default)]
struct Measured {
    requests: usize,
    failed: usize,
    statuses: BTreeMap<u16, usize>,
    errors: BTreeMap<String, usize>,
    /// Milliseconds to the end of each answer.
    times_ms: Vec<f64>,
}

impl Measured {
    fn take(&mut self, result: Result<(u16, Duration), String>) {
        self.requests += 1;
        match result {
            Ok((status, time)) => {
                *self.statuses.entry(status).or_default() += 1;
                self.times_ms.push(time.as_secs_f64() * 1000.0);
                self.failed += usize::from(status >= 400);
            }
            Err(kind) => {
                *self.errors.entry(kind).or_default() += 1;
                self.failed += 1;
            }
        }
    }

    /// The status of most answers, of equally many the worst; 0 if nothing was answered.
    fn status(&self) -> u16 {
        let most = self.statuses.iter().max_by_key(|(status, count)| (**count, **status));
        most.map_or(0, |(status, _)| *status)
    }

    fn error_rate(&self) -> f64 {
        ratio(self.failed, self.requests)
    }

    fn outputs(&mut self) -> Value {
        self.times_ms.sort_by(f64::total_cmp);
        let time = |part| percentile(&self.times_ms, part);
        let statuses: BTreeMap<_, _> = self.statuses.iter().map(|(status, n)| (status.to_string(), *n)).collect();
        json!({
            "requests": self.requests, "answered": self.times_ms.len(), "status": self.status(),
            "statuses": statuses, "errors": self.errors, "errorRate": self.error_rate(),
            "p50": time(50), "p95": time(95), "p99": time(99), "max": time(100),
        })
    }

    /// What came instead of a status: `2 × 503, 1 without an answer (timeout)`.
    fn others(&self, status: u16) -> String {
        let statuses = self.statuses.iter().filter(|(other, _)| **other != status);
        let answered = statuses.map(|(other, count)| format!("{count} × {other}"));
        let silent = self.errors.iter().map(|(kind, count)| format!("{count} without an answer ({kind})"));
        answered.chain(silent).collect::<Vec<_>>().join(", ")
    }

    fn judge(&self, expect: &Expect, outputs: &Value) -> Result<(), Failure> {
        let mut missed = Vec::new();
        if let Some(status) = expect.status
            && self.statuses.get(&status).copied().unwrap_or(0) < self.requests
        {
            missed.push(format!("not every answer was {status}: {}", self.others(status)));
        }
        if let Some(limit) = expect.p95_ms {
            match outputs["p95"].as_f64() {
                Some(p95) if p95 <= limit => {}
                Some(p95) => missed.push(format!("p95 is {p95} ms, allowed are {limit} ms")),
                None => missed.push("nothing was answered, so there is no p95".to_owned()),
            }
        }
        if let Some(limit) = expect.error_rate.filter(|limit| self.error_rate() > *limit) {
            missed.push(format!("the error rate is {}, allowed is {limit}", self.error_rate()));
        }
        if missed.is_empty() { Ok(()) } else { Err(Failure::new(missed.join("; "))) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The nearest-rank percentile: of n sorted values the one with the rank ceil(p / 100 * n),
/// counted from 1. It is always a value that was measured. Rounded to microseconds.
fn percentile(sorted_ms: &[f64], percent: usize) -> Option<f64> {
    let rank = (percent * sorted_ms.len()).div_ceil(100).max(1);
    sorted_ms.get(rank - 1).map(|ms| (ms * 1000.0).round() / 1000.0)
}

#[async_trait]
impl Executor for HttpProbe {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        let (_, request) = Params::read(task.with).ok()?;
        let line = super::by_hand::curl(&request);
        Some(format!("{line} -o /dev/null -w '%{{http_code}} after %{{time_total}} s\\n'"))
    }

    fn describe(&self) -> Description {
        Description {
            name: "http.probe",
            summary: "Measures how an HTTP address answers: status, time, errors.",
            params: params::schema::<Params>(),
            outputs: &[
                ("requests", "The requests that were made."),
                ("answered", "How many were answered, with whatever status."),
                ("status", "The status of most answers, of equally many the highest; 0 if there was none."),
                ("statuses", "The number of answers of each status."),
                ("errors", "The number of requests without an answer, by cause."),
                ("errorRate", "The part of requests without an answer or with a status of 400 and above, from 0 to 1."),
                ("p50", "The median of the time to the end of an answer, in milliseconds; null if there was none."),
                ("p95", "The 95th percentile of it, by nearest rank."),
                ("p99", "The 99th percentile of it, by nearest rank."),
                ("max", "The longest of it."),
            ],
            effect: Effect::None,
            probes: false,
            undoes: false,
        }
    }

    fn effect(&self, _with: &Value) -> Effect {
        Effect::None
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        Params::read(with).map_or_else(Validation::Refused, |_| Validation::Verified)
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let (params, request) = match Params::read(with) {
            Ok(read) => read,
            Err(failure) => return Outcome::untouched(failure),
        };
        let mut measured = Measured::default();
        let exchanges = stream::iter(0..params.requests())
            .map(|_| self.measure(&request))
            .buffer_unordered(params.concurrency.unwrap_or(1));
        tokio::pin!(exchanges);
        loop {
            tokio::select! {
                biased;
                stop = cx.stopped() => {
                    let (made, all) = (measured.requests, params.requests());
                    let late = Failure::new(format!("the deadline came after {made} of {all} requests"));
                    return Outcome::stopped(stop, late);
                }
                next = exchanges.next() => match next {
                    Some(result) => measured.take(result),
                    None => break,
                },
            }
        }
        let outputs = measured.outputs();
        match params.expect.as_ref().map_or(Ok(()), |expect| measured.judge(expect, &outputs)) {
            Ok(()) => Outcome::done(outputs),
            Err(failure) => Outcome::untouched(failure),
        }
    }
}

impl HttpProbe {
    async fn measure(&self, request: &Request) -> Result<(u16, Duration), String> {
        let start = Instant::now();
        match self.0.send(request).await {
            Ok(answer) => Ok((answer.status, start.elapsed())),
            Err(error) => Err(error.kind().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(percentile(&times, 50), Some(10.0));
        assert_eq!(percentile(&times, 95), Some(19.0));
        assert_eq!(percentile(&times, 99), Some(20.0));
        assert_eq!(percentile(&times, 100), Some(20.0));
        assert_eq!(percentile(&[7.0], 50), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn what_came_instead_is_said_in_words() {
        let mut measured = Measured::default();
        for result in [Ok(200), Ok(503), Ok(503), Err("timeout")] {
            measured.take(result.map(|status| (status, Duration::from_millis(1))).map_err(str::to_owned));
        }
        let expect = Expect { status: Some(200), p95_ms: None, error_rate: None };
        let outputs = measured.outputs();
        let failure = measured.judge(&expect, &outputs).expect_err("not all were 200");
        assert_eq!(failure.message, "not every answer was 200: 2 × 503, 1 without an answer (timeout)");
    }

    #[test]
    fn a_rate_counts_what_a_user_would_call_an_error() {
        let mut measured = Measured::default();
        for result in [Ok(200), Ok(302), Ok(404), Ok(503), Err("timeout")] {
            measured.take(result.map(|status| (status, Duration::from_millis(1))).map_err(str::to_owned));
        }
        let outputs = measured.outputs();
        assert_eq!(outputs["errorRate"], 0.6);
        assert_eq!(outputs["answered"], 4);
        assert_eq!(outputs["status"], 503, "of equally many the worst counts");
        assert_eq!(outputs["errors"], json!({"timeout": 1}));
    }
}
