//! Runs: listed, shown, created.

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Site;
use super::peer::Peer;
use super::problem::Problem;
use super::wire::{Health, Measured, NewRunRequest, RunCreated};
use crate::engine::projection::RunRow;
use crate::engine::{NewRun, attempt_log};
use crate::machine::fact::Direction;
use crate::machine::{Now, Run};
use crate::plan::{Plan, PlanHash};
use crate::store::{RunEntry, RunName};
use crate::view::{Over, ProgressMap, ProgressView, RunSummary, RunView};

/// How much of the end of a log is looked at for its last line.
const TAIL: u64 = 4096;

/// The owner.
pub(super) async fn health(State(site): State<Arc<Site>>) -> Json<Health> {
    Json(Health { complaints: site.engine.complaints(), ..site.health.clone() })
}

/// What `GET /v1/runs` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Only those that are not over.
    #[serde(default)]
    open: bool,
}

/// All runs, in the order of their names.
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<RunSummary>>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad(error.body_text()))?;
    let mut runs = Vec::new();
    // Without the index the log itself is read: slower, never wrong.
    let rows = site.engine.rows().await.unwrap_or_default();
    let rows: HashMap<&str, &RunRow> = rows.iter().map(|row| (row.run.as_str(), row)).collect();
    for entry in site.engine.log().runs().await? {
        if query.open && entry.head.is_final && entry.stopped.is_none() {
            continue;
        }
        let name = entry.head.run.as_str();
        // One run that cannot be read hides no other one.
        runs.push(match summary(&site, &entry, rows.get(name).copied()).await {
            Ok(summary) => summary,
            Err(problem) => RunSummary::unreadable(name, entry.head.at_ms, problem.detail),
        });
    }
    Ok(Json(runs))
}

async fn summary(site: &Site, entry: &RunEntry, row: Option<&RunRow>) -> Result<RunSummary, Problem> {
    let name = &entry.head.run;
    if let Some(stopped) = &entry.stopped {
        return Ok(RunSummary::damaged(name.as_str(), entry.head.at_ms, stopped.to_string()));
    }
    if let Some(handle) = site.engine.live(name)
        && let Ok(summary) = handle.look(|run, _| RunSummary { executed: true, ..RunSummary::of(run) }).await
    {
        return Ok(summary);
    }
    if let Some(row) = row.filter(|row| entry.head.is_final && row.state.is_final()) {
        let plan = site.engine.plan(&PlanHash::from(row.plan.clone()))?;
        let over = Over {
            run: &row.run,
            state: row.state,
            since: row.since,
            created: row.created,
            updated: row.updated,
            plan: &plan,
        };
        if let Some(summary) = RunSummary::over(&over) {
            return Ok(summary);
        }
    }
    let (run, _) = site.engine.read(name).await?;
    Ok(RunSummary::of(&run))
}

/// How long the steps of an application took. An index that cannot answer knows nothing.
pub(super) async fn history(State(site): State<Arc<Site>>, Path(application): Path<String>) -> Json<Measured> {
    Json(Measured::of(site.engine.history(&application).await.unwrap_or_default()))
}

/// The name of a run from a path.
pub(super) fn name(application: &str, number: &str) -> Result<RunName, Problem> {
    let text = format!("{application}/{number}");
    RunName::parse(&text).map_err(|error| Problem::bad(error.to_string()))
}

/// A run as it is now, from its task or from the log.
pub(super) async fn run_now(site: &Site, name: &RunName) -> Result<(Run, Now), Problem> {
    if let Some(handle) = site.engine.live(name)
        && let Ok(found) = handle.look(|run, now| (run.clone(), now)).await
    {
        return Ok(found);
    }
    let (run, _) = site.engine.read(name).await?;
    Ok((run, site.engine.clock().now()))
}

/// One run.
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    Path((application, number)): Path<(String, String)>,
) -> Result<Json<RunView>, Problem> {
    let name = name(&application, &number)?;
    Ok(Json(view(&site, &name).await?))
}

/// The view of a run, with progress and the last lines of what runs.
pub(super) async fn view(site: &Site, name: &RunName) -> Result<RunView, Problem> {
    let (run, now) = run_now(site, name).await?;
    let progress = progress(site, name, &run).await;
    let mut view = RunView::of(&run, now, &progress);
    view.summary.executed = !run.state.is_final();
    view.complaints = site.engine.complaints();
    Ok(view)
}

async fn progress(site: &Site, name: &RunName, run: &Run) -> ProgressMap {
    if run.live.is_empty() {
        return ProgressMap::new();
    }
    let known = site.engine.progress().of(name);
    let mut wanted = Vec::new();
    for (ix, direction) in &run.live {
        let record = run.step(*ix);
        let id = &run.plan.step(*ix).id;
        let attempt = match direction {
            Direction::Forward => record.attempts,
            Direction::Undo => record.undo_attempts,
        };
        let label = attempt_log::label(*direction, attempt);
        wanted.push((id.to_string(), attempt_log::path(site.engine.state_dir(), name, id, &label)));
    }
    let read = tokio::task::spawn_blocking(move || {
        wanted.into_iter().map(|(step, path)| (step, last_line(&path))).collect::<Vec<_>>()
    });
    let lines = read.await.unwrap_or_default();
    lines
        .into_iter()
        .map(|(step, last_line)| {
            let view = match known.get(&step) {
                Some(progress) => ProgressView {
                    done: Some(progress.done),
                    total: progress.total,
                    unit: progress.unit.clone(),
                    last_line,
                },
                None => ProgressView { last_line, ..ProgressView::default() },
            };
            (step, view)
        })
        .collect()
}

/// The last line of a file that says something.
fn last_line(path: &FilePath) -> Option<String> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim_end().to_owned())
}

/// Creates a run: durable when its name is told.
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Json<NewRunRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<RunCreated>), Problem> {
    if site.closing.is_cancelled() {
        return Err(Problem::leaving());
    }
    let Json(request) = body.map_err(|error| rejected(&error))?;
    let hash = PlanHash::from(request.plan_hash);
    let plan = Plan::read(request.plan.get().as_bytes(), &hash)
        .map_err(|error| Problem::of(StatusCode::UNPROCESSABLE_ENTITY, &error))?;
    let new = NewRun {
        plan: Arc::new(plan),
        by: peer.actor(request.claimed, None),
        reason: request.reason.map(Into::into),
        trust_claimed_names: request.trust_claimed_names,
        go_at: request.go_at,
    };
    let engine = site.engine.clone();
    let handle = site.gate.inside(async move { engine.create(new).await }).await?;
    Ok((StatusCode::CREATED, Json(RunCreated { run: handle.name().to_string() })))
}

/// A body that cannot be read.
pub(super) fn rejected(error: &JsonRejection) -> Problem {
    Problem::new(error.status(), error.body_text())
}
