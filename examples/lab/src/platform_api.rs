//! What a platform answers when it is looked at: machines, disks, capacity, network, a guest checked from outside.
//!
//! Nothing here changes anything; what does is in `platform_deeds`. Start with [`router`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::asked::Params;
use crate::disk::{self, Image};
use crate::faults::FaultKind;
use crate::platform::Platform;
use crate::platform_deeds as deeds;
use crate::refusal::{Refusal, no_route};
use crate::storage::{CHUNK, off_loop};
use crate::window::Side;

pub(crate) type Here = State<Arc<Platform>>;

/// Most orders in one answer.
const PAGE: usize = 1000;
/// A peer that takes longer to accept a connection is not reachable.
const REACH_LIMIT: Duration = Duration::from_secs(1);

/// All routes of a platform.
pub(crate) fn router(platform: Arc<Platform>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/capacity", get(capacity))
        .route("/storage-profiles", get(profiles))
        .route("/network-policy", get(network_policy))
        .route("/vms", get(list).post(deeds::create))
        .route("/vms/{vm}", get(one).delete(deeds::delete))
        .route("/vms/{vm}/disk", get(export))
        .route("/vms/{vm}/disk/info", get(disk_info))
        .route("/vms/{vm}/orders", get(orders))
        .route("/vms/{vm}/guest-check", get(guest_check))
        .route("/vms/{vm}/app/{*path}", get(through))
        .route("/vms/{vm}/snapshots", get(snapshots).post(deeds::snapshot))
        .route("/vms/{vm}/snapshots/{name}", delete(deeds::drop_snapshot))
        .route("/vms/{vm}/power-on", post(deeds::power_on))
        .route("/vms/{vm}/power-off", post(deeds::power_off))
        .route("/vms/{vm}/attach", post(deeds::attach))
        .route("/vms/{vm}/detach", post(deeds::detach))
        .route("/vms/{vm}/quiesce", post(deeds::quiesce))
        .route("/vms/{vm}/unquiesce", post(deeds::unquiesce))
        .route("/vms/{vm}/fence", post(deeds::fence))
        .route("/vms/{vm}/unfence", post(deeds::unfence))
        .route("/vms/{vm}/sync", post(deeds::sync))
        .route("/vms/{vm}/convert", post(deeds::convert))
        .route("/vms/{vm}/reverse-sync", post(deeds::reverse_sync))
        .route("/vms/{vm}/move-aside", post(deeds::move_aside))
        .fallback(no_route)
        .with_state(platform)
}

async fn health(State(platform): Here) -> Json<Value> {
    let names = platform.names();
    let on = names.iter().filter(|name| platform.guest(name).is_some()).count();
    Json(json!({ "platform": platform.side, "status": "ok", "vms": names.len(), "vmsOn": on }))
}

async fn capacity(State(platform): Here) -> Result<Json<Value>, Refusal> {
    let room =
        rustix::fs::statvfs(&platform.dir).map_err(|error| Refusal::broken("cannot ask for free space", &error))?;
    let full = platform.desk.faults.is_on(platform.side.as_str(), FaultKind::DiskFull);
    let free = if full { 0 } else { room.f_bavail.saturating_mul(room.f_frsize) };
    Ok(Json(json!({ "platform": platform.side, "freeBytes": free })))
}

async fn profiles(State(platform): Here) -> Json<Value> {
    Json(json!({ "profiles": platform.kind.profiles }))
}

/// The rules for the application's network, each peer tried with a real connection.
async fn network_policy(State(platform): Here) -> Json<Value> {
    let peers = platform.peers.get().map(Vec::as_slice).unwrap_or_default();
    let mut rules = vec![json!({ "direction": "in", "peer": "lb", "port": "application", "action": "allow" })];
    let mut unreachable = Vec::new();
    for peer in peers {
        let reachable = is_reachable(peer.address).await;
        if !reachable {
            unreachable.push(peer.name);
        }
        rules.push(json!({
            "direction": "out", "peer": peer.name, "address": peer.address.to_string(), "action": "allow",
            "reachable": reachable,
        }));
    }
    let validated = !peers.is_empty() && unreachable.is_empty();
    Json(json!({ "platform": platform.side, "validated": validated, "unreachable": unreachable, "rules": rules }))
}

async fn is_reachable(address: SocketAddr) -> bool {
    matches!(tokio::time::timeout(REACH_LIMIT, tokio::net::TcpStream::connect(address)).await, Ok(Ok(_)))
}

async fn list(State(platform): Here) -> Json<Value> {
    let views: Vec<Value> = platform.names().iter().filter_map(|name| platform.view(name).ok()).collect();
    Json(json!({ "platform": platform.side, "vms": views }))
}

async fn one(State(platform): Here, Path(vm): Path<String>) -> Result<Json<Value>, Refusal> {
    platform.view(&vm).map(Json)
}

async fn snapshots(State(platform): Here, Path(vm): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({ "snapshots": platform.machine(&vm)?.snapshots })))
}

/// The image attached to a machine, read anew.
async fn attached(platform: &Platform, vm: &str) -> Result<Image, Refusal> {
    let path = platform.machine(vm)?.disk;
    let path = path.ok_or_else(|| Refusal::conflict("no_disk", format!("{vm} has no disk attached"), "attach one"))?;
    off_loop(move || disk::read(&path)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    #[serde(default)]
    from: usize,
    sha256: Option<String>,
}

/// Bytes of the disk from an offset, whole records only; refused if the caller's copy is no beginning of it.
async fn export(
    State(platform): Here,
    Path(vm): Path<String>,
    Params(span): Params<Span>,
) -> Result<Response, Refusal> {
    let path = platform.machine(&vm)?.disk;
    let path = path.ok_or_else(|| Refusal::conflict("no_disk", format!("{vm} has no disk attached"), "attach one"))?;
    let bytes = off_loop(move || {
        let length = disk::read(&path)?.length;
        let mut bytes =
            std::fs::read(&path).map_err(|source| disk::DiskError::Io { what: "read", path: path.clone(), source })?;
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(bytes)
    })
    .await?;
    let diverged = bytes.len() < span.from
        || span.sha256.is_some_and(|expected| disk::sha256(bytes.get(..span.from).unwrap_or_default()) != expected);
    if diverged {
        let message = format!("the first {} bytes of {vm} are not those of your copy", span.from);
        return Err(Refusal::conflict("diverged", message, "copy the whole disk"));
    }
    let end = bytes.len().min(span.from + CHUNK);
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes[span.from..end].to_vec()).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    first: Option<usize>,
}

async fn disk_info(
    State(platform): Here,
    Path(vm): Path<String>,
    Params(ask): Params<First>,
) -> Result<Json<Value>, Refusal> {
    let image = attached(&platform, &vm).await?;
    let first = ask.first.and_then(|count| image.orders.get(..count)).map(disk::checksum);
    Ok(Json(json!({
        "header": image.header, "bytes": image.length, "records": image.orders.len(),
        "sha256": disk::checksum(&image.orders), "firstSha256": first,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    from: usize,
    limit: Option<usize>,
}

/// The records on the disk, each as the text that it is.
async fn orders(
    State(platform): Here,
    Path(vm): Path<String>,
    Params(page): Params<Page>,
) -> Result<Json<Value>, Refusal> {
    let image = attached(&platform, &vm).await?;
    let limit = page.limit.unwrap_or(PAGE).min(PAGE);
    let records: Vec<&str> = image.orders.iter().skip(page.from).take(limit).map(|order| order.raw.as_str()).collect();
    Ok(Json(json!({ "total": image.orders.len(), "from": page.from, "records": records })))
}

/// Looks into the attached image without booting it: would this platform's firmware and kernel find what they need?
async fn guest_check(State(platform): Here, Path(vm): Path<String>) -> Result<Json<Value>, Refusal> {
    let image = attached(&platform, &vm).await?;
    let (kind, header) = (platform.kind, image.header);
    let checks = [
        ("format", header.format == kind.format),
        ("driver", header.drivers.iter().any(|driver| driver == kind.driver)),
        ("guestTools", header.guest_tools == kind.tools),
    ];
    let missing: Vec<&str> = checks.iter().filter(|(_, ok)| !ok).map(|(name, _)| *name).collect();
    Ok(Json(json!({
        "vm": vm, "ok": missing.is_empty(), "missing": missing, "format": header.format, "drivers": header.drivers,
        "guestTools": header.guest_tools, "diskUuid": header.uuid, "records": image.orders.len(),
    })))
}

/// The application seen from the platform's own network, past the load balancer.
async fn through(State(platform): Here, Path((vm, path)): Path<(String, String)>) -> Result<Response, Refusal> {
    platform.machine(&vm)?;
    let off = || Refusal::conflict("vm_off", format!("{vm} on {} is off", platform.side.as_str()), "power it on");
    let address = platform.address(&vm).ok_or_else(off)?;
    let url = format!("http://{address}/{path}");
    let failed = |error: reqwest::Error| Refusal::upstream(format!("no answer from {url}: {error}"), "is it healthy?");
    let answer = platform.client.get(&url).send().await.map_err(failed)?;
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = answer.bytes().await.map_err(failed)?;
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The API of a platform as the other one reaches it.
pub(crate) fn base(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Shown where a platform's name is needed in a path.
pub(crate) fn side_of(word: &str) -> Option<Side> {
    Side::BOTH.into_iter().find(|side| side.as_str() == word)
}
