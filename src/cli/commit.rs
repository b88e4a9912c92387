//! `commit`: the way back goes.

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// Commit an accepted run: the commit steps run, the way back goes.
///
/// Asks for the application's name; a script gives it with `--application`.
///
///   bascule commit billing-db/3 --application billing-db
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Commits.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision =
        Decision::dangerous(VerbBody::Commit, "makes the cutover final: there is no way back after it", &args.danger);
    decide::decide(ctx, args.run.name(), decision).await
}
