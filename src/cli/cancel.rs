//! `cancel`: ends a run that cut nothing over.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target::RunArg;
use crate::server::wire::VerbBody;

/// End a run before its cutover has begun: its preparation is undone.
///
/// Later it is refused, because it would leave the cutover half done; `bascule rollback` takes that back.
///
///   bascule cancel billing-db/3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    who: WhoArgs,
}

/// Cancels.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let decision =
        Decision::new(VerbBody::Cancel, "ends the run; its preparation is undone, nothing was cut over", &args.who);
    decide::decide(ctx, args.run.name(), decision).await
}
