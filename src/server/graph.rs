//! What a picture of a run is made of, and its report page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Site;
use super::problem::Problem;
use super::runs;
use crate::engine::EngineError;
use crate::plan::step::NeedKind;
use crate::report::{Account, Report};

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// Steps and what they need.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GraphView {
    run: String,
    nodes: Vec<NodeView>,
    edges: Vec<EdgeView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeView {
    step: String,
    section: &'static str,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EdgeView {
    from: String,
    to: String,
    kind: NeedKind,
}

/// Steps and needs.
pub(super) async fn graph(
    State(site): State<Arc<Site>>,
    Path((application, number)): Path<(String, String)>,
) -> Result<Json<GraphView>, Problem> {
    let name = runs::name(&application, &number)?;
    let (run, now) = runs::run_now(&site, &name).await?;
    let view = crate::view::RunView::of(&run, now, &crate::view::ProgressMap::new());
    let nodes = view.steps.iter().zip(&run.plan.steps).map(|(step, of_plan)| NodeView {
        step: step.step.clone(),
        section: of_plan.section.key(),
        status: step.status.clone(),
        undo: step.undo.clone(),
    });
    let edges = run.plan.steps.iter().flat_map(|step| {
        step.needs.iter().map(|need| EdgeView { from: need.step.to_string(), to: step.id.to_string(), kind: need.kind })
    });
    Ok(Json(GraphView { run: name.to_string(), nodes: nodes.collect(), edges: edges.collect() }))
}

/// The report page.
pub(super) async fn report(
    State(site): State<Arc<Site>>,
    Path((application, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let name = runs::name(&application, &number)?;
    let (run, _) = runs::run_now(&site, &name).await?;
    let log = site.engine.log();
    let head = log.head(&name).await.map_err(EngineError::from)?;
    let mut account = Account::new(head, run.plan.clone(), site.engine.clock().now().wall);
    let mut next = 1;
    while next <= account.head.version {
        let page = log.read(&name, next, PAGE).await.map_err(EngineError::from)?;
        account.take(&page).map_err(EngineError::from)?;
        match page.last() {
            Some(last) => next = last.version + 1,
            None => break,
        }
    }
    // A long run is a long page: not in the way of the engine's tasks.
    let made = tokio::task::spawn_blocking(move || Report::of(&account).and_then(|report| report.html()));
    let html = made.await.map_err(|error| Problem::internal(error.to_string()))?;
    let html = html.map_err(|error| Problem::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}
