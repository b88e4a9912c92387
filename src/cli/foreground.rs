//! An owner in this process: it serves its socket like any other, and the display reads it through that.

use tokio_util::sync::CancellationToken;

use super::Ctx;
use super::client::Client;
use super::error::CliError;
use super::exit::Exit;
use super::owner::{Left, Owner, Serves, StartError, is_held};
use super::run::StartArgs;
use super::voice::Voice;
use super::watch::{self, Beside};
use crate::server::wire::NewRunRequest;
use crate::store::RunName;

/// Why nothing ran here.
pub(super) enum Failed {
    /// Another process owns the directory.
    Held,
    /// Anything else.
    Other(Box<CliError>),
}

impl From<CliError> for Failed {
    fn from(error: CliError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// Executes a new run here, shows it, ends with its exit code.
///
/// # Errors
/// The directory is held, or the run cannot be created.
pub(super) async fn run(ctx: &Ctx, start: &StartArgs, request: &NewRunRequest) -> Result<Exit, Failed> {
    let owner = own(ctx, start).await?;
    let created = async {
        let client = Client::find(&ctx.state).await?;
        match client {
            Some((client, _)) => Ok(client.create(request).await?.run),
            None => Err(CliError::new("the engine in this process does not answer")),
        }
    };
    let name =
        match created.await.and_then(|run| RunName::parse(&run).map_err(|error| CliError::new(error.to_string()))) {
            Ok(name) => name,
            Err(error) => {
                drop(owner.stop().await);
                return Err(error.into());
            }
        };
    Ok(stay(ctx, owner, start, Some(&name)).await?)
}

/// The owner, in this process.
///
/// # Errors
/// As [`run`].
pub(super) async fn own(ctx: &Ctx, start: &StartArgs) -> Result<Owner, Failed> {
    let serves = if ctx.ui.is_interactive() { Serves::Person } else { Serves::Script };
    match Owner::start(&ctx.state, start.wishes(), serves).await {
        Ok(owner) => Ok(owner),
        Err(StartError::Engine(error)) if is_held(&error) => Err(Failed::Held),
        Err(error) => Err(CliError::from(error).into()),
    }
}

/// Serves until nothing is left to do; shows one run, or all.
///
/// # Errors
/// The log cannot be closed.
pub(super) async fn stay(
    ctx: &Ctx,
    owner: Owner,
    start: &StartArgs,
    shown: Option<&RunName>,
) -> Result<Exit, CliError> {
    let stopped = CancellationToken::new();
    let voice = Voice::new(ctx.ui);
    let beside =
        Beside { name: shown.cloned(), manner: start.manner(ctx), stopped: stopped.clone(), voice: voice.clone() };
    let view = watch::beside(ctx.clone(), beside);
    let view = tokio::spawn(view);
    let left = owner.stay(&voice).await;
    let exit = exit_of(&owner, shown, left).await;
    // What is durable is shown before the process ends.
    stopped.cancel();
    drop(view.await);
    owner.stop().await.map_err(|error| CliError::new("the engine could not end cleanly").because(error))?;
    if left == Left::Interrupted {
        let name = shown.map(|name| format!(" {name}")).unwrap_or_default();
        ctx.ui.say(&format!("interrupted: `bascule resume{name}` goes on from here"));
    }
    Ok(exit)
}

async fn exit_of(owner: &Owner, shown: Option<&RunName>, left: Left) -> Exit {
    let over = match shown {
        Some(name) => watch::exit_of_run(&owner.site().engine, name).await,
        None => None,
    };
    match (left, over) {
        (Left::Interrupted | Left::Lost, _) => Exit::Interrupted,
        (Left::Idle, Some(exit)) => exit,
        (Left::Idle, None) => Exit::Done,
    }
}
