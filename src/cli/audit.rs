//! `audit`: proves that a run log is what it was, and takes it elsewhere.

mod export;
mod files;
mod verify;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;

/// Prove that the run log is what it was, or take it elsewhere.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Verify(verify::Args),
    Export(export::Args),
}

/// Verifies or exports.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    match args.what {
        What::Verify(args) => verify::run(ctx, &args),
        What::Export(args) => export::run(ctx, args).await,
    }
}
