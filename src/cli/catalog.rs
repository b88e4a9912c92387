//! `catalog`: the catalogs inside this program.

use serde::Serialize;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::inputs::shipped::{self, Shipped};
use super::text::{columns, counted, wrap};
use crate::runbook::problem::nearest;
use crate::runbook::{Catalog, Documents};

/// List the catalogs inside this program, or print one.
///
/// A catalog says how the names in a runbook are done on a pair of platforms. `show` prints the document:
/// save it, change it, and name it with `catalogs:` or `--catalog`.
///
///   bascule catalog
///   bascule catalog pextra-cloud > catalog/mine.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// The name of one: prints it, as `show` does. Without a name all are listed.
    name: Option<String>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Every catalog with its platforms, and how far it was tried.
    List,
    /// Print one: the document itself.
    Show {
        /// Its name.
        name: String,
    },
}

/// A catalog, for lists.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: &'static str,
    source_platform: Option<String>,
    target_platform: Option<String>,
    verified: Option<String>,
    description: Option<String>,
    steps: Vec<String>,
    criteria: Vec<String>,
    params: Vec<String>,
}

/// Lists or shows.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    match (args.what, args.name) {
        (Some(What::Show { name }), _) | (None, Some(name)) => show(ctx, &name),
        (Some(What::List), _) | (None, None) => list(ctx),
    }
}

fn list(ctx: &Ctx) -> Result<Exit, CliError> {
    let rows: Vec<Row> = shipped::ALL.iter().filter_map(row).collect();
    if ctx.ui.json {
        ctx.ui.json_data(&rows)?;
        return Ok(Exit::Done);
    }
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            ctx.ui.line("");
        }
        ctx.ui.data(&paragraph(row));
    }
    Ok(Exit::Done)
}

fn row(shipped: &Shipped) -> Option<Row> {
    let mut documents = Documents::new();
    let file = documents.add(shipped.name, shipped.text.as_bytes());
    let Catalog { platforms, verified, description, params, steps, criteria, .. } = documents.catalog(file)?;
    let text = |text: crate::runbook::Text| text.value.to_string();
    let (source, target) =
        platforms.map_or((None, None), |platforms| (platforms.source_platform, platforms.target_platform));
    Some(Row {
        name: shipped.name,
        source_platform: source.map(text),
        target_platform: target.map(text),
        verified: verified.map(text),
        description: description.map(text),
        steps: steps.names().map(str::to_owned).collect(),
        criteria: criteria.names().map(str::to_owned).collect(),
        params: params.iter().map(|(name, _)| name.value.to_string()).collect(),
    })
}

fn paragraph(row: &Row) -> String {
    let platforms = match (&row.source_platform, &row.target_platform) {
        (Some(from), Some(to)) => format!("{from} → {to}"),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("to {to}"),
        (None, None) => format!("only where it is named: --catalog {}", row.name),
    };
    let mut text = format!("{}  ({platforms})\n", row.name);
    for line in row.description.iter().flat_map(|line| wrap(line, columns().saturating_sub(2))) {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&format!("  verified: {}\n", row.verified.as_deref().unwrap_or("nobody says how far")));
    text.push_str(&format!(
        "  {}, {}, {}\n",
        counted(row.steps.len(), "step", "steps"),
        counted(row.criteria.len(), "criterion", "criteria"),
        counted(row.params.len(), "parameter", "parameters")
    ));
    text
}

fn show(ctx: &Ctx, name: &str) -> Result<Exit, CliError> {
    let Some(shipped) = shipped::find(name) else {
        let names = || shipped::ALL.iter().map(|one| one.name);
        let error = CliError::usage(format!("no shipped catalog is named `{name}`"));
        return Err(match nearest(name, names()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("the shipped ones are {}", names().collect::<Vec<_>>().join(", "))),
        });
    };
    match (ctx.ui.json, row(shipped)) {
        (true, Some(row)) => ctx.ui.json_data(&row)?,
        (true | false, _) => ctx.ui.data(shipped.text),
    }
    Ok(Exit::Done)
}
