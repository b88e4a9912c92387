//! `confirm-clock`: the wall clock is right.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use crate::server::wire::VerbBody;

/// Say that the wall clock is right, after it jumped.
///
/// What depends on it, such as the end of a window, waits for this; criteria and rollback do not.
///
///   bascule confirm-clock billing-db/3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// `application/number`, or an application for its open or newest run; may be left out while one run is open.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Confirms.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision = Decision::new(VerbBody::ConfirmClock, "lets what depends on the wall clock go on", &args.who);
    decide::decide(ctx, args.run.as_deref(), decision).await
}
