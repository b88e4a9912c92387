//! `skip`: goes on without a step.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;

/// Go on without a step, as if it were done. The exposing step, approvals and checks cannot be skipped.
///
///   bascule skip billing-db/3 notify_users --reason "mail is down"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Skips.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let what = format!("goes on without {step}: what needs it treats it as done");
    let body = VerbBody::Skip { step: step.to_owned() };
    decide::decide(ctx, run, Decision::new(body, what, &args.who)).await
}
