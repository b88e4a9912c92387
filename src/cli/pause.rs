//! `pause`: starts nothing new.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// Start nothing new: no forward attempt, no commit.
///
/// What runs goes on, criteria are sampled, a rollback still works. `bascule resume` ends it.
///
///   bascule pause billing-db/3 --reason "storage team asked"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    who: WhoArgs,
}

/// Pauses.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision = Decision::new(VerbBody::Pause, "starts nothing new until `resume`", &args.who);
    decide::decide(ctx, args.run.name(), decision).await
}
