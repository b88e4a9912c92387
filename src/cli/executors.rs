//! `executors`: what can perform a step.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::text::{columns, wrap};
use crate::engine;
use crate::plan::guesses;
use crate::runbook::problem::nearest;

/// List the executors, or explain one: parameters, outputs, what it can do.
///
///   bascule executors
///   bascule executors http.call
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Its name, as in `uses:`.
    name: Option<String>,
}

/// An executor, as data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: &'static str,
    summary: &'static str,
    effect: &'static str,
    probes: bool,
    undoes: bool,
    outputs: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<Value>,
}

impl Row {
    fn of(description: bascule_plugin::Description) -> Self {
        Self {
            name: description.name,
            summary: description.summary,
            effect: description.effect.as_str(),
            probes: description.probes,
            undoes: description.undoes,
            outputs: description.outputs.iter().copied().collect(),
            params: Some(description.params),
        }
    }
}

/// The pages of the built-in ones; a test holds the list to the registry.
const PAGES: &[(&str, &str)] = &[
    ("command", include_str!("../../docs/executors/command.md")),
    ("dns.check", include_str!("../../docs/executors/dns.check.md")),
    ("files.copy", include_str!("../../docs/executors/files.copy.md")),
    ("files.moveAside", include_str!("../../docs/executors/files.moveAside.md")),
    ("files.remove", include_str!("../../docs/executors/files.remove.md")),
    ("files.verify", include_str!("../../docs/executors/files.verify.md")),
    ("http.call", include_str!("../../docs/executors/http.call.md")),
    ("http.probe", include_str!("../../docs/executors/http.probe.md")),
    ("noop", include_str!("../../docs/executors/noop.md")),
    ("tcp.probe", include_str!("../../docs/executors/tcp.probe.md")),
    ("wait", include_str!("../../docs/executors/wait.md")),
];

/// Lists or explains.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let all = engine::registry::executors();
    let Some(name) = args.name else { return list(ctx, all.values().map(|one| Row::of(one.describe())).collect()) };
    let Some(executor) = all.get(name.as_str()) else {
        let error = CliError::usage(format!("there is no executor `{name}`"));
        let meant = guesses::meant(&name, all.keys().copied());
        let near = || nearest(&name, all.keys().copied()).map(|near| format!("did you mean `{near}`?"));
        return Err(match meant.or_else(near) {
            Some(hint) => error.hint(hint),
            None => error.hint("`bascule executors` lists them"),
        });
    };
    let row = Row::of(executor.describe());
    let page = PAGES.iter().find(|(of, _)| *of == name).map(|(_, page)| *page);
    match page {
        Some(page) if !ctx.ui.json => ctx.ui.data(page),
        Some(_) | None => ctx.ui.json_data(&row)?,
    }
    Ok(Exit::Done)
}

fn list(ctx: &Ctx, rows: Vec<Row>) -> Result<Exit, CliError> {
    if ctx.ui.json {
        let rows: Vec<Row> = rows.into_iter().map(|row| Row { params: None, ..row }).collect();
        ctx.ui.json_data(&rows)?;
        return Ok(Exit::Done);
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in &rows {
        let mut abilities = vec![format!("effect: {}", row.effect)];
        abilities.extend(row.probes.then(|| "can tell whether it happened".to_owned()));
        abilities.extend(row.undoes.then(|| "takes back its own steps".to_owned()));
        let indent = " ".repeat(width + 2);
        let lines = wrap(row.summary, columns().saturating_sub(width + 2));
        ctx.ui.line(&format!("{:<width$}  {}", row.name, lines.join(&format!("\n{indent}"))));
        ctx.ui.line(&format!("{indent}{}", abilities.join("; ")));
    }
    ctx.ui.say("`bascule executors NAME` explains one");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_executor_has_its_page() {
        let names: Vec<&str> = engine::registry::executors().into_keys().collect();
        assert_eq!(PAGES.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    }
}
