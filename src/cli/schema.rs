//! `schema`: the JSON Schema of a kind of document, for editors.

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use crate::runbook::problem::nearest;
use crate::runbook::reference;
use crate::runbook::schema::{Kind, schema};

/// Print the JSON Schema of a kind of document: runbook, catalog, overlay, site.
///
/// Editors with yaml-language-server check and complete with it:
///
///   bascule schema runbook > runbook.schema.json
///   # first line of a runbook:
///   # yaml-language-server: $schema=runbook.schema.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// runbook, catalog, overlay or site.
    kind: String,
    /// Print the reference page instead: every key, type, default, meaning.
    #[arg(long)]
    reference: bool,
}

/// Prints.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let names = Kind::ALL.map(Kind::name);
    let Some(kind) = Kind::find(&args.kind) else {
        let error = CliError::usage(format!("there is no kind of document `{}`", args.kind));
        return Err(match nearest(&args.kind, names) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("the kinds are {}", names.join(", "))),
        });
    };
    if args.reference && ctx.ui.json {
        ctx.ui.json_data(&serde_json::json!({ "kind": kind.name(), "reference": reference::page(kind) }))?;
    } else if args.reference {
        ctx.ui.data(&reference::page(kind));
    } else {
        // A file that editors read is the same whoever looks at it.
        let text = serde_json::to_string_pretty(&schema(kind))
            .map_err(|error| CliError::new("the schema cannot be written").because(error))?;
        ctx.ui.line(&text);
    }
    Ok(Exit::Done)
}
