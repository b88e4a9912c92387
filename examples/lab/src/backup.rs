//! The backup service: copies disks of running machines through their platform's API, on a schedule and on request.
//!
//! A job succeeded only if its copy was read back and has the checksum of what was sent. Failed jobs are listed with
//! their reason and keep no file. Start with [`Backup`].

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::asked::{Asked, Params};
use crate::clock::now_ms;
use crate::disk;
use crate::faults::FaultKind;
use crate::http::get_json;
use crate::ledger::{Deed, EntryKind};
use crate::machine::new_uuid;
use crate::once::{Call, Caller, Desk, Done};
use crate::platform::write_whole;
use crate::platform_api::side_of;
use crate::refusal::{Refusal, no_route};
use crate::storage::{export_whole, off_loop};
use crate::window::Side;

/// Jobs that are remembered.
const JOBS: usize = 500;
/// Copies that are kept per machine.
const COPIES: usize = 3;

/// One backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    id: String,
    platform: Side,
    vm: String,
    started_at: u64,
    ended_at: u64,
    succeeded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    orders: usize,
    scheduled: bool,
}

struct Copied {
    path: PathBuf,
    bytes: u64,
    sha256: String,
    orders: usize,
}

/// The backup service.
pub(crate) struct Backup {
    desk: Arc<Desk>,
    dir: PathBuf,
    apis: [(Side, String); 2],
    client: reqwest::Client,
    jobs: Mutex<VecDeque<Job>>,
}

impl Backup {
    /// Opens the service with the jobs that it knew.
    pub(crate) fn open(desk: Arc<Desk>, dir: &Path, source: String, target: String) -> std::io::Result<Self> {
        let dir = dir.join("backups");
        std::fs::create_dir_all(&dir)?;
        let jobs = match std::fs::read(dir.join("jobs.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(_new) => VecDeque::new(),
        };
        let client = crate::http::background_client(Duration::from_secs(10)).map_err(std::io::Error::other)?;
        let apis = [(Side::Source, source), (Side::Target, target)];
        Ok(Self { desk, dir, apis, client, jobs: Mutex::new(jobs) })
    }

    fn api(&self, side: Side) -> &str {
        let found = self.apis.iter().find(|(one, _)| *one == side);
        found.map_or("", |(_, api)| api)
    }

    /// Backs up every running machine every `every`, for the first time after `every`, until `stop`.
    pub(crate) async fn schedule(self: Arc<Self>, every: Duration, stop: CancellationToken) {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _now = tick.tick() => {}
            }
            for (side, api) in self.apis.clone() {
                let Ok(all) = get_json(&self.client, &format!("{api}/vms")).await else { continue };
                for machine in all["vms"].as_array().map(Vec::as_slice).unwrap_or_default() {
                    if let (Some(name), true) = (machine["name"].as_str(), machine["power"] == "on") {
                        // A failed job is in the list; the schedule goes on.
                        drop(self.run(side, name, Trigger::Schedule).await);
                    }
                }
            }
        }
    }

    /// Makes one backup and writes it into the list, failed or not.
    async fn run(&self, side: Side, vm: &str, trigger: Trigger) -> Result<Job, Refusal> {
        let started_at = now_ms();
        let id = new_uuid();
        let copied = self.copy(side, vm, &id).await;
        let mut job = Job {
            id,
            platform: side,
            vm: vm.to_owned(),
            started_at,
            ended_at: now_ms(),
            succeeded: copied.is_ok(),
            reason: None,
            path: None,
            bytes: 0,
            sha256: None,
            orders: 0,
            scheduled: trigger == Trigger::Schedule,
        };
        match copied {
            Ok(copied) => {
                job.path = Some(copied.path);
                job.bytes = copied.bytes;
                job.sha256 = Some(copied.sha256);
                job.orders = copied.orders;
            }
            Err(refusal) => job.reason = Some(refusal.message),
        }
        self.remember(&job)?;
        if job.succeeded && trigger == Trigger::Schedule {
            let deed = Deed { platform: "backup", action: "backup", vm: vm.to_owned(), key: None, attempt: None };
            let detail = json!({ "side": side, "job": job.id, "orders": job.orders });
            self.desk
                .ledger
                .append(EntryKind::Background, &deed, detail)
                .map_err(|error| Refusal::broken("cannot write the ledger", &error))?;
        }
        Ok(job)
    }

    async fn copy(&self, side: Side, vm: &str, id: &str) -> Result<Copied, Refusal> {
        let faults = &self.desk.faults;
        if faults.strike("backup-jobs", FaultKind::Errors).is_some() {
            return Err(Refusal::unavailable("backup_failed", "the backup was told to fail", "DELETE /faults"));
        }
        if faults.strike("backup-jobs", FaultKind::DiskFull).is_some() {
            return Err(Refusal::full("the backup store"));
        }
        let bytes = export_whole(&self.client, self.api(side), vm).await?;
        let path = self.dir.join(format!("{}-{vm}-{id}.img", side.as_str()));
        let file = path.clone();
        off_loop(move || {
            let failed = |source| disk::DiskError::Io { what: "write", path: file.clone(), source };
            std::fs::write(&file, &bytes).map_err(failed)?;
            let back = std::fs::read(&file).map_err(failed)?;
            if back != bytes {
                return Err(failed(std::io::Error::other("read back other bytes than were written")));
            }
            let orders = disk::parse(&back, &file)?.orders.len();
            Ok(Copied { bytes: back.len() as u64, sha256: disk::sha256(&back), orders, path: file })
        })
        .await
    }

    fn remember(&self, job: &Job) -> Result<(), Refusal> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.push_back(job.clone());
        while jobs.len() > JOBS {
            jobs.pop_front();
        }
        let same = |one: &&mut Job| one.platform == job.platform && one.vm == job.vm && one.path.is_some();
        for old in jobs.iter_mut().rev().filter(same).skip(COPIES) {
            if let Some(path) = old.path.take() {
                // A copy that cannot be deleted takes room and does no harm.
                drop(std::fs::remove_file(path));
            }
        }
        let failed = |error: &dyn std::error::Error| Refusal::broken("cannot write the list of jobs", error);
        let bytes = serde_json::to_vec(&*jobs).map_err(|error| failed(&error))?;
        write_whole(&self.dir.join("jobs.json"), &bytes).map_err(|error| failed(&error))
    }

    fn find(&self, ask: &Which) -> Result<Vec<Job>, Refusal> {
        let wanted = |word: &String| {
            side_of(word)
                .ok_or_else(|| Refusal::bad("no_such_side", format!("`{word}` is no side"), "source or target"))
        };
        let side = ask.platform.as_ref().map(wanted).transpose()?;
        let now = now_ms();
        let since = ask.within_hours.map_or(0, |hours| now.saturating_sub((hours * 3_600_000.0) as u64));
        let since = since.max(ask.since.unwrap_or(0));
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |job: &&Job| {
            side.is_none_or(|side| job.platform == side)
                && ask.vm.as_ref().is_none_or(|vm| *vm == job.vm)
                && job.ended_at >= since
        };
        Ok(jobs.iter().filter(fits).cloned().collect())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    Schedule,
    Request,
}

type Here = State<Arc<Backup>>;

/// All routes of the backup service.
pub(crate) fn router(backup: Arc<Backup>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/jobs", get(list).post(request))
        .route("/jobs/latest", get(latest))
        .fallback(no_route)
        .with_state(backup)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Which {
    platform: Option<String>,
    vm: Option<String>,
    within_hours: Option<f64>,
    since: Option<u64>,
}

async fn list(State(here): Here, Params(ask): Params<Which>) -> Result<Json<Value>, Refusal> {
    let jobs = here.find(&ask)?;
    let succeeded = jobs.iter().filter(|job| job.succeeded).count();
    Ok(Json(json!({ "count": jobs.len(), "succeeded": succeeded, "failed": jobs.len() - succeeded, "jobs": jobs })))
}

/// The last job and the last good one.
async fn latest(State(here): Here, Params(ask): Params<Which>) -> Result<Json<Value>, Refusal> {
    let jobs = here.find(&ask)?;
    let last = jobs.last();
    let good = jobs.iter().rev().find(|job| job.succeeded);
    let age = good.map(|job| now_ms().saturating_sub(job.ended_at) / 1000);
    let failed_since = jobs.iter().rev().take_while(|job| !job.succeeded).count();
    Ok(Json(json!({
        "found": last.is_some(), "succeeded": last.is_some_and(|job| job.succeeded), "job": last,
        "lastGood": good, "lastGoodAgeSeconds": age, "failedSince": failed_since,
    })))
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JobAsk {
    platform: Side,
    vm: String,
}

async fn request(State(here): Here, caller: Caller, Asked(ask): Asked<JobAsk>) -> Result<Json<Value>, Refusal> {
    let call = Call::new("backup", "backup", &ask.vm, caller).body(&ask);
    let desk = Arc::clone(&here.desk);
    desk.perform(call, async move {
        let job = here.run(ask.platform, &ask.vm, Trigger::Request).await?;
        match &job.reason {
            None => Ok(Done::effect(json!({ "side": job.platform, "job": job }))),
            Some(reason) => {
                let message = format!("the backup of {} failed: {reason}", ask.vm);
                Err(Refusal::unavailable("backup_failed", message, "GET /jobs lists it with its reason"))
            }
        }
    })
    .await
}
