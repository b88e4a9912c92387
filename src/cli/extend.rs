//! `extend`: more time for a running step.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;
use crate::view::words;

/// Give a running step more time: its deadline moves, nothing is interrupted. Needs a `--reason`.
///
///   bascule extend billing-db/3 final_data_sync --by 30m --reason "slow link"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// How much more.
    #[arg(long, value_name = "DURATION", value_parser = decide::duration)]
    by: u64,
    #[command(flatten)]
    who: WhoArgs,
}

/// Extends.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let what = format!("moves the deadline of {step} by {}", words::span_u(args.by));
    let body = VerbBody::Extend { step: step.to_owned(), by_ms: args.by };
    decide::decide(ctx, run, Decision::new(body, what, &args.who)).await
}
