//! What a picture of a run is made of, and its report page.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Site;
use super::events::Reader;
use super::problem::Problem;
use super::runs;
use crate::plan::step::NeedKind;

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
    let Some(page) = site.report else {
        return Err(Problem::not_found("this owner makes no report page").hint("`bascule report` writes one"));
    };
    let (run, _) = runs::run_now(&site, &name).await?;
    let view = runs::view(&site, &name).await?;
    let mut reader = Reader::new(site.engine.log().clone(), name, 0);
    let mut events = Vec::new();
    loop {
        let page = reader.next().await?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    let html = page(&run.plan, &view, &events).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response())
}
