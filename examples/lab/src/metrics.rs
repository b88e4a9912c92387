//! The metrics page: what users met at the load balancer, and which signals each platform sends.
//!
//! Latency and errors are measured where users are, per backend. Signals are scraped over HTTP like anybody's: a
//! platform that does not answer goes silent here. Start with [`Traffic`] and [`router`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::asked::Params;
use crate::http::get_json;
use crate::platform_api::side_of;
use crate::refusal::{Refusal, no_route};
use crate::window::{Side, Window};

/// Upper bounds of the latency histogram, in milliseconds.
const BUCKETS: [f64; 9] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
/// How often the platforms are scraped.
const SCRAPE_EVERY: Duration = Duration::from_millis(500);
/// Signals older than this are silence.
const FRESH: Duration = Duration::from_secs(5);
/// What a monitored platform with a running machine sends.
const EXPECTED: [&str; 4] = ["platform_up", "app_orders", "app_writable", "app_p95_ms"];

#[derive(Debug, Default, Clone)]
struct Series {
    by_status: BTreeMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    sum_ms: f64,
}

/// What passed through the load balancer.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    window: Window,
    series: Mutex<BTreeMap<&'static str, Series>>,
}

impl Traffic {
    /// Adds a request that was answered now; no side means that no backend had a weight.
    pub(crate) fn record(&self, side: Option<Side>, took: Duration, status: u16) {
        self.window.record(side, took, status < 500);
        let ms = took.as_secs_f64() * 1000.0;
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let one = series.entry(side.map_or("none", Side::as_str)).or_default();
        *one.by_status.entry(status).or_default() += 1;
        one.sum_ms += ms;
        for (count, bound) in one.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(ms <= bound);
        }
    }

    fn text(&self) -> String {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::from("# TYPE lab_requests_total counter\n");
        for (backend, one) in &series {
            for (status, count) in &one.by_status {
                line(
                    &mut text,
                    format_args!("lab_requests_total{{backend=\"{backend}\",status=\"{status}\"}} {count}"),
                );
            }
        }
        text.push_str("# TYPE lab_request_duration_ms histogram\n");
        for (backend, one) in &series {
            let total: u64 = one.by_status.values().sum();
            for (bound, count) in BUCKETS.iter().zip(one.buckets) {
                line(
                    &mut text,
                    format_args!("lab_request_duration_ms_bucket{{backend=\"{backend}\",le=\"{bound}\"}} {count}"),
                );
            }
            line(
                &mut text,
                format_args!("lab_request_duration_ms_bucket{{backend=\"{backend}\",le=\"+Inf\"}} {total}"),
            );
            line(&mut text, format_args!("lab_request_duration_ms_sum{{backend=\"{backend}\"}} {}", one.sum_ms));
            line(&mut text, format_args!("lab_request_duration_ms_count{{backend=\"{backend}\"}} {total}"));
        }
        text
    }
}

fn line(text: &mut String, args: std::fmt::Arguments<'_>) {
    text.push_str(&args.to_string());
    text.push('\n');
}

#[derive(Debug, Clone)]
struct Scrape {
    at: Instant,
    signals: BTreeSet<String>,
    vms_on: u64,
}

/// The monitoring system.
pub(crate) struct Monitor {
    pub traffic: Arc<Traffic>,
    apis: [(Side, String); 2],
    client: reqwest::Client,
    scrapes: Mutex<BTreeMap<Side, Scrape>>,
}

impl Monitor {
    pub(crate) fn new(traffic: Arc<Traffic>, source: String, target: String) -> std::io::Result<Self> {
        Ok(Self {
            traffic,
            apis: [(Side::Source, source), (Side::Target, target)],
            client: crate::http::background_client(Duration::from_secs(2)).map_err(std::io::Error::other)?,
            scrapes: Mutex::new(BTreeMap::new()),
        })
    }

    /// Scrapes both platforms until `stop`, each on its own: one that hangs does not silence the other.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let both = self.apis.clone().map(|(side, api)| {
            let monitor = Arc::clone(&self);
            async move {
                let mut tick = tokio::time::interval(SCRAPE_EVERY);
                tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    tick.tick().await;
                    if let Ok(scrape) = monitor.scrape(&api).await {
                        monitor.scrapes.lock().unwrap_or_else(PoisonError::into_inner).insert(side, scrape);
                    }
                }
            }
        });
        let [source, target] = both;
        tokio::select! {
            () = stop.cancelled() => {}
            () = async { tokio::join!(source, target); } => {}
        }
    }

    async fn scrape(&self, api: &str) -> Result<Scrape, Refusal> {
        get_json(&self.client, &format!("{api}/healthz")).await?;
        let mut signals = BTreeSet::from(["platform_up".to_owned()]);
        let all = get_json(&self.client, &format!("{api}/vms")).await?;
        let mut vms_on = 0;
        for machine in all["vms"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let Some(address) = machine["address"].as_str() else { continue };
            vms_on += 1;
            let answer = self.client.get(format!("http://{address}/metrics")).send().await;
            let Ok(answer) = answer else { continue };
            let Ok(page) = answer.text().await else { continue };
            let names = page.lines().filter(|line| !line.starts_with('#'));
            signals.extend(names.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned));
        }
        Ok(Scrape { at: Instant::now(), signals, vms_on })
    }

    fn signals(&self, side: Side) -> Value {
        let scrape = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner).get(&side).cloned();
        let age = scrape.as_ref().map(|scrape| scrape.at.elapsed());
        let fresh = age.is_some_and(|age| age < FRESH);
        let seen = scrape.as_ref().filter(|_| fresh).map(|scrape| scrape.signals.clone()).unwrap_or_default();
        let missing: Vec<&str> = EXPECTED.into_iter().filter(|name| !seen.contains(*name)).collect();
        json!({
            "platform": side, "scraping": fresh, "ageMs": age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            "vmsOn": scrape.map(|scrape| scrape.vms_on), "signals": seen, "present": missing.is_empty(), "missing": missing,
        })
    }
}

type Here = State<Arc<Monitor>>;

/// All routes of the metrics page.
pub(crate) fn router(monitor: Arc<Monitor>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/metrics", get(page))
        .route("/metrics/window", get(recent))
        .route("/signals", get(signals))
        .fallback(no_route)
        .with_state(monitor)
}

async fn page(State(here): Here) -> Response {
    let mut text = here.traffic.text();
    text.push_str("# TYPE lab_platform_signals gauge\n");
    for side in Side::BOTH {
        let count = here.signals(side)["signals"].as_array().map_or(0, Vec::len);
        line(&mut text, format_args!("lab_platform_signals{{platform=\"{}\"}} {count}", side.as_str()));
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recent {
    seconds: Option<f64>,
    backend: Option<String>,
}

fn side(word: &str) -> Result<Side, Refusal> {
    side_of(word).ok_or_else(|| Refusal::bad("no_such_side", format!("`{word}` is no side"), "source or target"))
}

/// Figures of the last seconds (5), of one backend or of all, and of each.
async fn recent(State(here): Here, Params(ask): Params<Recent>) -> Result<Json<Value>, Refusal> {
    let seconds = ask.seconds.unwrap_or(5.0);
    if !(seconds > 0.0 && seconds <= 900.0) {
        return Err(Refusal::bad("bad_span", format!("{seconds} s is no span"), "from above 0 to 900"));
    }
    let span = Duration::from_secs_f64(seconds);
    let only = ask.backend.as_deref().map(side).transpose()?;
    let mut answer = here.traffic.window.figures(span, only).json();
    answer["seconds"] = json!(seconds);
    answer["backend"] = json!(only);
    for side in Side::BOTH {
        answer["backends"][side.as_str()] = here.traffic.window.figures(span, Some(side)).json();
    }
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    platform: String,
}

async fn signals(State(here): Here, Params(ask): Params<Which>) -> Result<Json<Value>, Refusal> {
    Ok(Json(here.signals(side(&ask.platform)?)))
}
