//! `pause`: starts nothing new.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use crate::server::wire::VerbBody;

/// Start nothing new: no forward attempt, no commit.
///
/// What runs goes on, criteria are sampled, a rollback still works. `bascule resume` ends it.
///
///   bascule pause billing-db/3 --reason "storage team asked"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// `application/number`, or an application for its open or newest run; may be left out while one run is open.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Pauses.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision = Decision::new(VerbBody::Pause, "starts nothing new until `resume`", &args.who);
    decide::decide(ctx, args.run.as_deref(), decision).await
}
