//! `confirm-clock`: the wall clock is right.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// Say that the wall clock is right, after it jumped.
///
/// What depends on it, such as the end of a window, waits for this; criteria and rollback do not.
///
///   bascule confirm-clock billing-db/3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    who: WhoArgs,
}

/// Confirms.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision = Decision::new(VerbBody::ConfirmClock, "lets what depends on the wall clock go on", &args.who);
    decide::decide(ctx, args.run.name(), decision).await
}
