//! `criteria`: disarms one for a while.

use clap::Subcommand;

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;
use crate::view::words;

/// Disarm a rollback criterion for a while: a trip then asks. It ends by itself and blocks the gate until then.
/// Needs a `--reason`.
///
///   bascule criteria disarm billing-db/3 latency --for 15m --reason "load test"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// A trip asks instead of acting, for a while.
    Disarm {
        /// The criterion, with its run before it unless one run is open.
        #[arg(value_name = "[RUN] CRITERION", num_args = 1..=2, required = true)]
        words: Vec<String>,
        /// For how long.
        #[arg(long = "for", value_name = "DURATION", value_parser = decide::duration)]
        length: u64,
        #[command(flatten)]
        who: WhoArgs,
    },
}

/// Disarms.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let Verb::Disarm { words, length, who } = &args.verb;
    let (run, criterion) = target::run_and(words, "criterion")?;
    let what = format!("lets {criterion} ask instead of act, for {}", words::span_u(*length));
    let body = VerbBody::Disarm { criterion: criterion.to_owned(), for_ms: *length };
    decide::decide(ctx, run, Decision::new(body, what, who)).await
}
