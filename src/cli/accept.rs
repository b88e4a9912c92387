//! `accept`: takes the target as it is.

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// Accept the target as it is, although the window is open or the gate is not met.
///
/// The engine no longer goes back by itself; the source is kept, and `bascule rollback` still works. Asks for the
/// application's name; a script gives it with `--application`.
///
///   bascule accept billing-db/3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Accepts.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision = Decision::dangerous(
        VerbBody::Accept,
        "accepts the target: the engine no longer goes back by itself",
        &args.danger,
    );
    decide::decide(ctx, args.run.name(), decision).await
}
