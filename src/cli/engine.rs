//! The hidden verb `engine`: the owner of a state directory as a process of its own. `run`, `go` and `resume` start it.

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::outlet_args::OutletArgs;
use super::owner::{Left, Owner, Serves, StartError, Wishes, is_held};
use super::voice::Voice;
use crate::store::TakeOver;

/// Execute the runs of the state directory until none has work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// No other machine uses the state directory.
    #[arg(long)]
    take_over: bool,
    /// The receiver of spans.
    #[arg(long)]
    otlp: Option<String>,
    #[command(flatten)]
    outlets: OutletArgs,
}

/// Serves.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    // A session of its own: neither Ctrl-C nor the end of the terminal reaches it. A process that leads a group
    // already, as under a supervisor, keeps what it has.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "no session of its own");
    }
    let take_over = if args.take_over { TakeOver::Yes } else { TakeOver::No };
    let wishes = Wishes { take_over, otlp: args.otlp, outlets: args.outlets.outlets() };
    let owner = match Owner::start(&ctx.state, wishes, Serves::People).await {
        Ok(owner) => owner,
        // Another one was quicker, which is as good.
        Err(StartError::Engine(error)) if is_held(&error) => return Ok(Exit::Done),
        Err(error) => return Err(error.into()),
    };
    let left = owner.stay(&Voice::new(ctx.ui)).await;
    owner.stop().await.map_err(|error| CliError::new("the engine could not end cleanly").because(error))?;
    Ok(match left {
        Left::Idle => Exit::Done,
        Left::Interrupted | Left::Lost => Exit::Interrupted,
    })
}
