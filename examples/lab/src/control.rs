//! The hand behind the lab: faults, users, the ledger and the proof over HTTP, and the word to stop.
//!
//! No runbook uses it; faults never strike it. Start with [`router`].

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::asked::{Asked, Params};
use crate::clock::now_ms;
use crate::faults::{Board, Fault, FaultKind};
use crate::ledger::read_ledger;
use crate::platform::Platform;
use crate::platform_api::side_of;
use crate::program::Program;
use crate::refusal::{Refusal, no_route};
use crate::site::Site;
use crate::users::{self, Crowd, UsersSummary};
use crate::verify::verify_orders;

/// How long users may take to end the order at hand.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// What the control door reaches.
pub(crate) struct Control {
    pub dir: PathBuf,
    pub faults: Arc<Board>,
    pub platforms: [Arc<Platform>; 2],
    pub program: Program,
    pub stop: CancellationToken,
    /// The users' process and its lifeline. Held across the wait for their end, so that nobody starts others meanwhile.
    pub users: Mutex<Option<(Child, ChildStdin)>>,
}

type Here = State<Arc<Control>>;

/// All routes of the control door.
pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/", get(site))
        .route("/faults", get(list_faults).post(add_fault).delete(clear_faults))
        .route("/users", get(show_users).post(start_users).delete(stop_users))
        .route("/ledger", get(ledger))
        .route("/verify", get(verify))
        .route("/stop", post(stop))
        .fallback(no_route)
        .with_state(control)
}

async fn site(State(here): Here) -> Result<Json<Site>, Refusal> {
    Site::read(&here.dir).map(Json).map_err(|error| Refusal::broken("cannot read lab.json", &error))
}

async fn list_faults(State(here): Here) -> Json<Value> {
    Json(json!({ "faults": here.faults.view() }))
}

async fn add_fault(State(here): Here, Asked(fault): Asked<Fault>) -> Result<Json<Fault>, Refusal> {
    fault.check().map_err(|error| Refusal::bad("bad_fault", error.to_string(), "see the lab's README"))?;
    let fault = here.faults.add(fault);
    push(&here).await?;
    Ok(Json(fault))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    target: Option<String>,
    kind: Option<FaultKind>,
}

async fn clear_faults(State(here): Here, Params(which): Params<Which>) -> Result<Json<Value>, Refusal> {
    let cleared = here.faults.clear(which.target.as_deref(), which.kind);
    push(&here).await?;
    Ok(Json(json!({ "cleared": cleared })))
}

async fn push(here: &Control) -> Result<(), Refusal> {
    for platform in &here.platforms {
        platform.push_faults().await?;
    }
    Ok(())
}

fn show(here: &Control) -> Result<UsersSummary, Refusal> {
    users::summary(&here.dir).map_err(|error| Refusal::broken("cannot read the users' notes", &error))
}

async fn show_users(State(here): Here) -> Result<Json<Value>, Refusal> {
    let running = here.users.lock().await.is_some();
    Ok(Json(json!({ "running": running, "summary": show(&here)? })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UsersAsk {
    writers: Option<u32>,
    every_ms: Option<u64>,
}

async fn start_users(State(here): Here, Asked(ask): Asked<UsersAsk>) -> Result<Json<Value>, Refusal> {
    let writers = ask.writers.unwrap_or(4);
    if !(1..=256).contains(&writers) {
        return Err(Refusal::bad("bad_users", format!("{writers} writers"), "from 1 to 256"));
    }
    let mut running = here.users.lock().await;
    if running.is_some() {
        return Err(Refusal::conflict("users_there", "there are users already", "DELETE /users first"));
    }
    let site = Site::read(&here.dir).map_err(|error| Refusal::broken("cannot read lab.json", &error))?;
    let crowd = Crowd {
        vip: site.url("vip").unwrap_or_default(),
        file: here.dir.join(users::USERS),
        tag: format!("u{}", now_ms()),
        writers,
        every_ms: ask.every_ms.unwrap_or(50),
    };
    let failed = |error: &dyn std::error::Error| Refusal::broken("cannot start the users", error);
    let mut child =
        here.program.command("users-process").stdout(Stdio::null()).spawn().map_err(|error| failed(&error))?;
    let mut stdin = child.stdin.take().ok_or_else(|| failed(&std::io::Error::other("no channel")))?;
    let mut line = serde_json::to_vec(&crowd).map_err(|error| failed(&error))?;
    line.push(b'\n');
    stdin.write_all(&line).await.map_err(|error| failed(&error))?;
    let pid = child.id();
    *running = Some((child, stdin));
    Ok(Json(json!({ "running": true, "pid": pid, "writers": writers })))
}

async fn stop_users(State(here): Here) -> Result<Json<UsersSummary>, Refusal> {
    here.send_users_home().await;
    show(&here).map(Json)
}

impl Control {
    /// Lets the users end the order at hand and waits until they are gone.
    pub(crate) async fn send_users_home(&self) {
        let mut running = self.users.lock().await;
        if let Some((mut child, stdin)) = running.take() {
            drop(stdin);
            if tokio::time::timeout(LEAVE_LIMIT, child.wait()).await.is_err() {
                // They may have left in this very moment.
                drop(child.kill().await);
            }
        }
    }
}

async fn ledger(State(here): Here) -> Result<Json<Value>, Refusal> {
    let entries = read_ledger(&here.dir).map_err(|error| Refusal::broken("cannot read the ledger", &error))?;
    Ok(Json(json!({ "entries": entries })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    side: String,
}

async fn verify(State(here): Here, Params(whose): Params<Whose>) -> Result<Json<Value>, Refusal> {
    let no_side = || Refusal::bad("no_such_side", format!("`{}` is no side", whose.side), "source or target");
    let side = side_of(&whose.side).ok_or_else(no_side)?;
    let report = verify_orders(&here.dir, side)
        .map_err(|error| Refusal::conflict("cannot_verify", error.to_string(), "is that disk there?"))?;
    Ok(Json(json!({ "kept": report.is_kept(), "report": report })))
}

async fn stop(State(here): Here) -> Json<Value> {
    here.stop.cancel();
    Json(json!({ "stopping": true }))
}
