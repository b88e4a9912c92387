//! `close`: ends a run as it stands.

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// End a run as it stands, whatever is left applied: the report lists it.
///
/// Asks for the application's name; a script gives it with `--application`. Needs a `--reason`, which the report shows.
///
///   bascule close billing-db/3 --reason "repaired by hand, CHG0042"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Closes.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision =
        Decision::dangerous(VerbBody::Close, "ends the run as it stands: nothing more is done or undone", &args.danger);
    decide::decide(ctx, args.run.name(), decision).await
}
