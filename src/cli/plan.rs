//! `plan`: what a run would do, and how it would go back. Contacts nothing, reads no secret.

mod back;
mod source;
mod table;

use serde::Serialize;
use serde_json::Value;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::inputs::{self, Desk, InputArgs};
use crate::runbook::render;
use crate::view::PlanView;

/// Show what a run of a runbook would do, step by step, and how it would go back.
///
/// Touches nothing: documents in, plan out. Exit 8 if inputs are missing; the plan is drawn all the same.
///
///   bascule plan runbook.yaml -f lab.yaml
///   bascule plan runbook.yaml --explain final_data_sync
///   bascule plan runbook.yaml --json | jq .rollback.restore
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// Show where each value of one step comes from.
    #[arg(long, value_name = "STEP")]
    explain: Option<String>,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    plan: PlanView,
    warnings: Value,
}

/// Plans.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    if let Some(step) = &args.explain {
        return source::explain(ctx, &args.inputs, step);
    }
    let (planned, history) = Desk::new().plan(ctx, &args.inputs).await?;
    let view = PlanView::of(&planned.plan, &history);
    let is_complete = view.missing.is_empty();
    if ctx.ui.json {
        let problems = render::to_json(&planned.problems, &planned.sources);
        let warnings = problems.get("problems").cloned().unwrap_or_default();
        ctx.ui.json_data(&Answer { plan: view, warnings })?;
    } else {
        ctx.ui.data(&table::plan(&view));
        inputs::show(ctx, &planned.sources, &planned.problems);
    }
    Ok(if is_complete { Exit::Done } else { Exit::NotVerified })
}
