//! `retry`: another attempt of a step.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;

/// Try a failed step again, or now instead of later; ask an approval once more.
///
///   bascule retry billing-db/3 convert_image
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Retries.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let what = format!("runs {step} again, with the same key");
    let body = VerbBody::Retry { step: step.to_owned() };
    decide::decide(ctx, run, Decision::new(body, what, &args.who)).await
}
