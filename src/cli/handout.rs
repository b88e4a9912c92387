//! `handout`: the page from which a person finishes a run without Bascule.

use std::path::PathBuf;

use super::error::CliError;
use super::exit::Exit;
use super::look::{Files, Source};
use super::{Ctx, report, target};
use crate::outlets::handout;

/// Write the page from which a person finishes a run by hand.
///
/// What is done, what may still be going on, and each action that is left of the way back, with its parameters filled in:
/// as lines of shell, or as the words of the plan's author. It holds no secrets. Print it before the night, or let
/// `run --handout DIR` keep it current on another machine. On a terminal the page goes to APPLICATION-NUMBER-by-hand.html,
/// otherwise to standard output.
///
///   bascule handout billing-db/3 -o /mnt/share/by-hand.html
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// `application/number`, or an application for its open or newest run.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Where the page goes; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let name = target::seen(&source, args.run.as_deref()).await?;
    // With an owner or without: what is durable stands in the journal, and reading it disturbs nobody.
    let files = Files::open(&ctx.state)?;
    let page = handout::page(&files.run(&name)?, files.now());
    if ctx.ui.json {
        ctx.ui.json_data(&page)?;
        return Ok(Exit::Done);
    }
    let html = page.html().map_err(|error| CliError::new(error.to_string()).because(error))?;
    let usual = format!("{}-by-hand.html", name.as_str().replace('/', "-"));
    if let Some(path) = report::put(ctx, args.output, &usual, &html)? {
        ctx.ui.say(&format!("how to finish run {name} by hand is in {}", path.display()));
    }
    Ok(Exit::Done)
}
