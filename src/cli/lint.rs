//! `lint`: all problems of all documents at once, from the files alone.

use serde::Serialize;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::inputs::{self, Desk, ExtraArgs, Linted};
use super::text::counted;
use crate::runbook::{Problem, codes, render};

/// Check documents: runbooks, catalogs, overlays, sites. Touches nothing but the files.
///
/// Every problem of every file is shown, with its line, a caret and what to do. Exit 9 if one is an error.
///
///   bascule lint runbook.yaml
///   bascule lint runbooks/*.yaml -f lab.yaml --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The documents; `-` reads one from standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Warnings are errors: for pipelines.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    extra: ExtraArgs,
}

/// What is printed with `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    files: Vec<Linted>,
    #[serde(flatten)]
    problems: serde_json::Value,
}

/// Lints.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let mut desk = Desk::new();
    let mut files = Vec::with_capacity(args.files.len());
    for file in &args.files {
        files.push(desk.lint(file, &args.extra)?);
    }
    let (sources, problems) = desk.finish();
    if ctx.ui.json {
        ctx.ui.json_data(&Answer { files, problems: render::to_json(&problems, &sources) })?;
    } else {
        inputs::show(ctx, &sources, &problems);
        if !problems.has_errors() {
            files.iter().for_each(|file| ctx.ui.line(&sentence(file)));
        }
    }
    // What is not built, or not verifiable, yet is no mistake of who wrote it.
    let blames = |problem: &Problem| ![codes::NOT_BUILT_YET, codes::CLAIMED_NAMES].contains(&problem.code);
    let is_refused = problems.has_errors() || args.strict && problems.iter().any(blames);
    Ok(if is_refused { Exit::InvalidDocument } else { Exit::Done })
}

fn sentence(file: &Linted) -> String {
    let Linted { file: name, kind, steps, criteria, missing, not_verified } = file;
    let mut text = format!("{name}: a sound {kind}");
    if kind == "runbook" {
        text.push_str(&format!(
            ", {}, {}",
            counted(*steps, "step", "steps"),
            counted(*criteria, "criterion", "criteria")
        ));
        if !missing.is_empty() {
            text.push_str(&format!("; inputs that come later: {}", missing.join(", ")));
        }
        if !not_verified.is_empty() {
            text.push_str(&format!("; not verified: {}", not_verified.join(", ")));
        }
    }
    text
}
