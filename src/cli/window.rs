//! `window`: moves the deadline of the rollback window.

use clap::Subcommand;

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;
use crate::view::words;

/// Move the deadline of the rollback window: the only thing that moves it. Needs a `--reason`.
///
///   bascule window extend billing-db/3 --by 30m --reason "month end"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Move the deadline; criteria that tripped act again.
    Extend {
        #[command(flatten)]
        run: RunArg,
        /// How much later.
        #[arg(long, value_name = "DURATION", value_parser = decide::duration)]
        by: u64,
        #[command(flatten)]
        who: WhoArgs,
    },
}

/// Moves it.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let Verb::Extend { run, by, who } = &args.verb;
    let what = format!("moves the end of the rollback window by {}", words::span_u(*by));
    decide::decide(ctx, run.name(), Decision::new(VerbBody::WindowExtend { by_ms: *by }, what, who)).await
}
