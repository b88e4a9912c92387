//! The application inside a machine: takes orders over HTTP and keeps them on its disk.
//!
//! `201` means on disk. It answers writes with 503 while it is quiesced or fenced; reads always work. Start with
//! [`router`]; the routes are listed in the lab's README.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::asked::{Asked, Params};
use crate::clock::now_ms;
use crate::disk::{self, Order};
use crate::faults::{Board, FaultKind};
use crate::orders::{OrderLog, Rejected};
use crate::refusal::{Refusal, no_route};
use crate::window::{Side, Window};

/// Longest order in bytes.
const ORDER_BYTES: usize = 16 * 1024;
/// Most orders in one answer.
const PAGE: usize = 1000;

/// The application and what it knows of where it runs.
pub(crate) struct App {
    pub application: String,
    pub vm: String,
    pub side: Side,
    pub uuid: String,
    pub disk_uuid: String,
    pub log: OrderLog,
    pub faults: Arc<Board>,
    pub window: Arc<Window>,
}

type Here = State<Arc<App>>;

/// All routes of the application.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(about))
        .route("/healthz", get(health))
        .route("/orders", get(list).post(take))
        .route("/orders/count", get(count))
        .route("/orders/{id}", get(one))
        .route("/checksum", get(checksum))
        .route("/smoke", get(smoke))
        .route("/stats", get(stats))
        .route("/metrics", get(metrics))
        .fallback(no_route)
        .with_state(app)
}

impl App {
    fn state(&self) -> Value {
        let (mode, orders) = self.log.with(|shelf| (shelf.mode, shelf.orders.len()));
        json!({
            "application": self.application, "vm": self.vm, "platform": self.side, "uuid": self.uuid,
            "diskUuid": self.disk_uuid, "status": mode.as_str(), "writable": mode.is_writable(), "orders": orders,
            "pid": std::process::id(),
        })
    }
}

async fn about(State(app): Here) -> Json<Value> {
    Json(app.state())
}

async fn health(State(app): Here) -> Response {
    let writable = app.log.with(|shelf| shelf.mode.is_writable());
    let status = if writable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(app.state())).into_response()
}

async fn take(State(app): Here, Asked(order): Asked<Map<String, Value>>) -> Result<Response, Refusal> {
    let id = order.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    if id.is_empty() || id.len() > 200 {
        return Err(Refusal::bad("bad_order", "an order needs an `id` of 1 to 200 characters", "send {\"id\": \"…\"}"));
    }
    let mut stored = order;
    stored.insert("at".to_owned(), json!(now_ms()));
    stored.insert("platform".to_owned(), json!(app.side));
    let raw = serde_json::to_string(&stored).map_err(|error| Refusal::broken("cannot write an order", &error))?;
    if raw.len() > ORDER_BYTES {
        return Err(Refusal::bad("bad_order", format!("the order has {} bytes", raw.len()), "at most 16 KiB"));
    }
    let answer = json!({ "id": id, "platform": app.side, "vm": app.vm });
    if app.faults.strike("vm", FaultKind::Lie).is_some() {
        return Ok((StatusCode::CREATED, Json(answer)).into_response());
    }
    match app.log.append(Order { id, raw }).await {
        Ok(true) => Ok((StatusCode::CREATED, Json(answer)).into_response()),
        Ok(false) => Ok((StatusCode::OK, Json(answer)).into_response()),
        Err(error @ Rejected::Stopped(_)) => {
            let code = if app.log.with(|shelf| shelf.mode.fenced) { "fenced" } else { "quiesced" };
            Err(Refusal::unavailable(code, error.to_string(), "try again: the application moves or comes back"))
        }
        Err(Rejected::DiskFull) => Err(Refusal::full(format!("the disk of {}", app.vm))),
        Err(error @ (Rejected::Disk(_) | Rejected::Ending)) => Err(Refusal::unavailable(
            "not_written",
            error.to_string(),
            "the order may be on disk: send it again with its id",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    from: usize,
    limit: Option<usize>,
}

async fn list(State(app): Here, Params(page): Params<Page>) -> Json<Value> {
    let limit = page.limit.unwrap_or(PAGE).min(PAGE);
    Json(app.log.with(|shelf| {
        let orders: Vec<Value> = shelf
            .orders
            .iter()
            .skip(page.from)
            .take(limit)
            .filter_map(|order| serde_json::from_str(&order.raw).ok())
            .collect();
        json!({ "total": shelf.orders.len(), "from": page.from, "orders": orders })
    }))
}

async fn one(State(app): Here, Path(id): Path<String>) -> Result<Response, Refusal> {
    let raw = app.log.with(|shelf| shelf.find(&id).map(|order| order.raw.clone()));
    let raw =
        raw.ok_or_else(|| Refusal::missing("no_such_order", format!("no order `{id}`"), "GET /orders lists them"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], raw).into_response())
}

async fn count(State(app): Here) -> Json<Value> {
    Json(json!({ "count": app.log.with(|shelf| shelf.orders.len()), "platform": app.side }))
}

async fn checksum(State(app): Here) -> Json<Value> {
    let (sha256, count) = app.log.with(|shelf| (disk::checksum(&shelf.orders), shelf.orders.len()));
    Json(json!({ "sha256": sha256, "count": count, "diskUuid": app.disk_uuid }))
}

/// Reads the whole disk again and compares it with what is in memory: does this machine really serve its data?
async fn smoke(State(app): Here) -> Result<Json<Value>, Refusal> {
    let path = app.log.path().to_owned();
    let before = app.log.with(|shelf| shelf.orders.len());
    let read = tokio::task::spawn_blocking(move || disk::read(&path)).await;
    let image = read
        .map_err(|error| Refusal::broken("the smoke test ended early", &error))?
        .map_err(|error| Refusal::unavailable("disk_unreadable", error.to_string(), "restore the image"))?;
    let same = app.log.with(|shelf| {
        let common = before.min(image.orders.len());
        common == before && image.orders.iter().zip(&shelf.orders).all(|(disk, memory)| disk == memory)
    });
    if !same {
        let message = format!("memory has {before} orders, the disk {}, and they differ", image.orders.len());
        return Err(Refusal::unavailable("disk_differs", message, "somebody wrote to a running machine's disk"));
    }
    let mut answer = app.state();
    answer["smoke"] = json!("passed");
    answer["diskFormat"] = json!(image.header.format);
    Ok(Json(answer))
}

async fn stats(State(app): Here) -> Json<Value> {
    Json(app.window.figures(Duration::from_secs(60), None).json())
}

async fn metrics(State(app): Here) -> Response {
    let figures = app.window.figures(Duration::from_secs(60), None);
    let (orders, writable) = app.log.with(|shelf| (shelf.orders.len(), u8::from(shelf.mode.is_writable())));
    let labels = format!("{{platform=\"{}\",vm=\"{}\"}}", app.side.as_str(), app.vm);
    let text = format!(
        "# TYPE app_orders gauge\napp_orders{labels} {orders}\n# TYPE app_writable gauge\napp_writable{labels} {writable}\n\
         # TYPE app_requests_last_minute gauge\napp_requests_last_minute{labels} {}\n\
         # TYPE app_errors_last_minute gauge\napp_errors_last_minute{labels} {}\n\
         # TYPE app_p95_ms gauge\napp_p95_ms{labels} {}\n",
        figures.requests,
        figures.errors,
        figures.p95_ms.map_or("NaN".to_owned(), |ms| ms.to_string()),
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
