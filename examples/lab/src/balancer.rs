//! The load balancer: users connect to its data door, it proxies each request to one side by weights.
//!
//! It tries one backend per request and never repeats a request by itself: a user must know what was not answered.
//! Weights are set and read back through its API. Start with [`Balancer`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::metrics::Traffic;
use crate::once::{Call, Caller, Desk, Done};
use crate::platform::{Platform, write_whole};
use crate::refusal::{Refusal, no_route};
use crate::window::Side;

/// A backend that takes longer is answered for with 504.
const BACKEND_LIMIT: Duration = Duration::from_secs(20);
/// How long the health of a backend is waited for when somebody looks.
const HEALTH_LIMIT: Duration = Duration::from_secs(1);

/// How requests are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weights {
    pub source: u32,
    pub target: u32,
}

impl Weights {
    fn of(self, side: Side) -> u32 {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }
}

/// Smooth weighted round robin: the same share in every stretch of requests.
#[derive(Debug)]
struct Turn {
    weights: Weights,
    credit: [i64; 2],
}

impl Turn {
    fn next(&mut self) -> Option<Side> {
        let shares = Side::BOTH.map(|side| i64::from(self.weights.of(side)));
        let total: i64 = shares.iter().sum();
        if total == 0 {
            return None;
        }
        for (credit, share) in self.credit.iter_mut().zip(shares) {
            *credit += share;
        }
        let pick = usize::from(self.credit[1] > self.credit[0]);
        self.credit[pick] -= total;
        Some(Side::BOTH[pick])
    }
}

/// The load balancer of the application.
pub(crate) struct Balancer {
    vm: String,
    source: Arc<Platform>,
    target: Arc<Platform>,
    client: reqwest::Client,
    desk: Arc<Desk>,
    traffic: Arc<Traffic>,
    file: PathBuf,
    turn: Mutex<Turn>,
}

impl Balancer {
    /// Opens the balancer with the weights that it had, or everything on the source.
    pub(crate) fn open(
        vm: &str,
        platforms: [Arc<Platform>; 2],
        traffic: Arc<Traffic>,
        dir: &std::path::Path,
    ) -> std::io::Result<Self> {
        let file = dir.join("balancer.json");
        let weights = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(_new) => Weights { source: 100, target: 0 },
        };
        let [source, target] = platforms;
        let desk = Arc::clone(&source.desk);
        let client = crate::http::client(BACKEND_LIMIT).map_err(std::io::Error::other)?;
        let turn = Mutex::new(Turn { weights, credit: [0, 0] });
        Ok(Self { vm: vm.to_owned(), source, target, client, desk, traffic, file, turn })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Turn) -> T) -> T {
        look(&mut self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn address(&self, side: Side) -> Option<SocketAddr> {
        match side {
            Side::Source => self.source.address(&self.vm),
            Side::Target => self.target.address(&self.vm),
        }
    }

    fn set(&self, weights: Weights) -> Result<bool, Refusal> {
        let before = self.with(|turn| turn.weights);
        if before == weights {
            return Ok(false);
        }
        let failed = |error: &dyn std::error::Error| Refusal::broken("cannot write the weights", error);
        let bytes = serde_json::to_vec(&weights).map_err(|error| failed(&error))?;
        write_whole(&self.file, &bytes).map_err(|error| failed(&error))?;
        self.with(|turn| *turn = Turn { weights, credit: [0, 0] });
        Ok(true)
    }
}

/// The door for users: every path, every method.
pub(crate) fn data_router(balancer: Arc<Balancer>) -> Router {
    Router::new().fallback(proxy).with_state(balancer)
}

/// The door for operators.
pub(crate) fn api_router(balancer: Arc<Balancer>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/backends", get(backends))
        .route("/weights", put(set_weights).get(weights))
        .fallback(no_route)
        .with_state(balancer)
}

type Here = State<Arc<Balancer>>;

async fn proxy(State(here): Here, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let started = Instant::now();
    let side = here.with(Turn::next);
    let answer = match side {
        None => {
            Err(Refusal::unavailable("no_backend", "no backend has a weight", "PUT /weights at the balancer's API"))
        }
        Some(side) => forward(&here, side, (method, uri, headers, body)).await,
    };
    let mut answer = answer.unwrap_or_else(IntoResponse::into_response);
    if let Some(name) = side.and_then(|side| side.as_str().parse().ok()) {
        answer.headers_mut().insert("x-lab-backend", name);
    }
    here.traffic.record(side, started.elapsed(), answer.status().as_u16());
    answer
}

async fn forward(
    here: &Balancer,
    side: Side,
    (method, uri, headers, body): (Method, Uri, HeaderMap, Bytes),
) -> Result<Response, Refusal> {
    let down = || {
        let message = format!("the backend {} is down", side.as_str());
        Refusal::unavailable("backend_down", message, "power it on, or move the weights")
    };
    let address = here.address(side).ok_or_else(down)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = here.client.request(method, format!("http://{address}{path}")).body(body);
    for name in [header::CONTENT_TYPE, header::ACCEPT] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.map_err(|error| {
        if error.is_timeout() {
            return Refusal::late(format!("the backend {} did not answer in time", side.as_str()));
        }
        Refusal::upstream(format!("the backend {} broke off: {error}", side.as_str()), "the request may have been done")
    })?;
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
    let bytes = answer
        .bytes()
        .await
        .map_err(|error| Refusal::upstream(format!("the backend {} broke off: {error}", side.as_str()), "try again"))?;
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

async fn weights(State(here): Here) -> Json<Weights> {
    Json(here.with(|turn| turn.weights))
}

async fn set_weights(
    State(here): Here,
    caller: Caller,
    Asked(weights): Asked<Weights>,
) -> Result<Json<Value>, Refusal> {
    let call = Call::new("lb", "set_weights", &here.vm, caller).body(weights);
    let desk = Arc::clone(&here.desk);
    desk.perform(call, async move {
        let before = here.with(|turn| turn.weights);
        let changed = here.set(weights)?;
        Ok(Done { changed, detail: json!({ "source": weights.source, "target": weights.target, "before": before }) })
    })
    .await
}

/// Weights, and the health of each backend as it is now.
async fn backends(State(here): Here) -> Json<Value> {
    let weights = here.with(|turn| turn.weights);
    let mut all = serde_json::Map::new();
    for side in Side::BOTH {
        let address = here.address(side);
        let healthy = match address {
            Some(address) => is_healthy(&here.client, address).await,
            None => false,
        };
        let address = address.map(|address| address.to_string());
        let backend = json!({ "weight": weights.of(side), "address": address, "healthy": healthy });
        all.insert(side.as_str().to_owned(), backend);
    }
    Json(json!({ "backends": all, "weights": weights }))
}

async fn is_healthy(client: &reqwest::Client, address: SocketAddr) -> bool {
    let asked = client.get(format!("http://{address}/healthz")).timeout(HEALTH_LIMIT).send().await;
    asked.is_ok_and(|answer| answer.status().is_success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(source: u32, target: u32, n: usize) -> (usize, usize) {
        let mut turn = Turn { weights: Weights { source, target }, credit: [0, 0] };
        let picks: Vec<_> = (0..n).filter_map(|_| turn.next()).collect();
        let to_target = picks.iter().filter(|side| **side == Side::Target).count();
        (picks.len() - to_target, to_target)
    }

    #[test]
    fn requests_are_shared_by_weight_in_every_stretch() {
        assert_eq!(turns(3, 1, 4), (3, 1));
        assert_eq!(turns(100, 0, 10), (10, 0));
        assert_eq!(turns(0, 5, 10), (0, 10));
        assert_eq!(turns(90, 10, 100), (90, 10));
        assert_eq!(turns(0, 0, 10), (0, 0));
    }
}
