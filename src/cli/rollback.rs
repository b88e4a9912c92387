//! `rollback`: goes back.

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// Go back: users to the source first, then what was built is removed.
///
/// Asks for the application's name; a script gives it with `--application`. `--continue` goes on with a rollback that
/// was interrupted for so long that a person must look first.
///
///   bascule rollback billing-db/3 --reason "error rate" --application billing-db
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// Go on with an interrupted rollback.
    #[arg(long = "continue")]
    go_on: bool,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Rolls back.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision = if args.go_on {
        Decision::dangerous(VerbBody::ContinueRollback, "runs the undos that are left, in order", &args.danger)
    } else {
        Decision::dangerous(VerbBody::Rollback, "takes back what was done", &args.danger)
    };
    decide::decide(ctx, args.run.name(), decision).await
}
