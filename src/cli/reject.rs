//! `reject`: says no to an approval.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;

/// Say no to an approval. Before the first effect the run is refused; after it a person decides.
///
///   bascule reject billing-db/3 go_no_go --reason "backup is late"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Rejects.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let what = format!("answers {step} with no");
    let body = VerbBody::Reject { step: step.to_owned() };
    decide::decide(ctx, run, Decision::new(body, what, &args.who)).await
}
