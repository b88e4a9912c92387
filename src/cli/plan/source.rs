//! `plan --explain STEP`: where each value of a step comes from.

use serde_json::{Value, json};

use super::super::Ctx;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::inputs::{Desk, InputArgs};
use super::super::style::{BOLD, DIM};
use super::super::text::{columns, fold, pad, width};
use crate::plan::Explanation;
use crate::plan::compile::explain::{Layer, Row, Source};
use crate::runbook::SourceMap;

/// Explains.
pub(super) fn explain(ctx: &Ctx, args: &InputArgs, step: &str) -> Result<Exit, CliError> {
    let (explanation, sources) = Desk::new().explain(ctx, args, step)?;
    if ctx.ui.json {
        ctx.ui.json_data(&data(&explanation, &sources))?;
    } else {
        ctx.ui.data(&text(&explanation));
    }
    Ok(Exit::Done)
}

fn text(explanation: &Explanation) -> String {
    let Explanation { step, listed, definition, rows } = explanation;
    let mut text = format!("{BOLD}{step}{BOLD:#}, listed in {}\n", place(listed));
    if let Some(definition) = definition {
        text.push_str(&format!("defined in {}\n", place(definition)));
    }
    text.push('\n');
    let keys = rows.iter().map(|row| width(&row.key)).max().unwrap_or(0);
    for Row { key, value, source } in rows {
        let room = columns().saturating_sub(keys + 2);
        let place = place(source);
        let value = value.replace('\n', " ");
        let indent = " ".repeat(keys + 2);
        // The place stands beside the value where both fit, and below it where they do not.
        if width(&value) + 3 + width(&place) <= room {
            text.push_str(&format!("{}  {value}   {DIM}{place}{DIM:#}\n", pad(key, keys)));
        } else {
            let value = fold(&value, room).join(&format!("\n{indent}"));
            let place = fold(&place, room).join(&format!("\n{indent}"));
            text.push_str(&format!("{}  {value}\n{indent}{DIM}{place}{DIM:#}\n", pad(key, keys)));
        }
    }
    text
}

fn place(source: &Source) -> String {
    match source {
        Source::Written { layer: Layer::Set, name, .. } => format!("--set {name}"),
        Source::Written { layer, name, line, .. } => format!("{} {name}:{line}", word(*layer)),
        Source::Assumed(why) => (*why).to_owned(),
    }
}

fn word(layer: Layer) -> &'static str {
    match layer {
        Layer::Runbook => "runbook",
        Layer::Catalog => "catalog",
        Layer::Overlay => "overlay",
        Layer::Set => "--set",
    }
}

fn data(explanation: &Explanation, sources: &SourceMap) -> Value {
    let from = |source: &Source| match source {
        Source::Written { layer, name, span, line } => {
            let column = sources.position(*span).column;
            json!({ "in": word(*layer), "name": name, "line": line, "column": column })
        }
        Source::Assumed(why) => json!({ "assumed": why }),
    };
    let rows: Vec<Value> = explanation
        .rows
        .iter()
        .map(|row| json!({ "key": row.key, "value": row.value, "from": from(&row.source) }))
        .collect();
    json!({
        "step": explanation.step.as_str(),
        "listed": from(&explanation.listed),
        "definition": explanation.definition.as_ref().map(from),
        "values": rows,
    })
}
