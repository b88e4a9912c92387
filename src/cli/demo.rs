//! `demo`: the whole thing on this machine, in well under two minutes, without anything to install.
//!
//! It starts the lab (a small data centre on loopback) as a process of its own, lets simulated users order all along, runs
//! the unchanged founding runbook against it, and counts at the end what the users were promised. What it starts it ends,
//! also on Ctrl-C, unless `--keep`. Start with [`run`]; `stage` sets up, `story` tells, `ending` counts.

mod ending;
mod mishap;
mod stage;
mod story;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::owner::{Owner, Serves, Wishes};
use crate::engine::clock::Clock;
use crate::engine::{NewRun, RunHandle, Told};
use crate::machine::fact::Actor;
use mishap::Mishap;
use stage::Stage;
use story::Story;

/// See a cutover, or an automatic way back, on a small data centre that runs on this machine.
///
/// Two platforms with real processes and disks, a load balancer, DNS, backups, and users who order all along. The
/// runbook is the shipped one, unchanged; only its times are shortened. Nothing outside this machine is touched.
///
///   bascule demo                    # the cutover is accepted, exit 0
///   bascule demo --fault latency    # the target gets slow: it goes back by itself, exit 3
///   bascule demo --keep             # leaves all running and prints what to try
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// What goes wrong once users are on the target.
    #[arg(long, value_enum)]
    fault: Option<Mishap>,
    /// Leave the data centre and its users running.
    #[arg(long)]
    keep: bool,
    /// A shorter window: for tests.
    #[arg(long)]
    fast: bool,
}

/// How long the demo may take before it says that something is wrong.
const PATIENCE: Duration = Duration::from_secs(100);
/// Users get a good moment on the target first, so that the bad one can be seen.
const GOOD_MOMENT: Duration = Duration::from_secs(3);
/// A demo has nobody who answers questions.
const NOBODY_ANSWERS: Duration = Duration::from_secs(20);

/// Shows.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let mut stop = Signals::new()?;
    let mut set_up = std::pin::pin!(Stage::set_up(ctx, args.fast));
    let stage = tokio::select! {
        stage = &mut set_up => stage?,
        () = stop.wait() => {
            // A data centre that is half there cannot be ended: it is finished first.
            set_up.await?.clear().await?;
            return Err(stopped());
        }
    };
    let shown = tokio::select! {
        shown = show(ctx, &args, &stage) => shown,
        () = stop.wait() => Err(stopped()),
    };
    match shown {
        Ok((exit, story)) if args.keep => {
            ending::what_to_try(ctx, &stage, &story).await?;
            Ok(exit)
        }
        Ok((exit, _)) => {
            stage.clear().await?;
            Ok(exit)
        }
        Err(error) => {
            // The first failure is the one to read; what could not be ended is said beside it.
            match stage.clear().await {
                Ok(()) => Err(error),
                Err(also) => Err(error.hint(format!("and {}", also.what))),
            }
        }
    }
}

fn stopped() -> CliError {
    CliError::new("stopped on your word").hint("everything that the demo started was ended")
}

/// The signals that mean stop.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let one = |kind| signal(kind).map_err(|error| CliError::new("cannot listen to signals").because(error));
        Ok(Self {
            interrupt: one(SignalKind::interrupt())?,
            terminate: one(SignalKind::terminate())?,
            hang_up: one(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Runs the runbook in an engine of its own and tells what happens.
async fn show(ctx: &Ctx, args: &Args, stage: &Stage) -> Result<(Exit, Story), CliError> {
    stage::introduce(ctx, stage, args.fault);
    let plan = stage.plan(ctx).await?;
    let failed = |error| CliError::new("the engine cannot start").because(error);
    // With its socket: `status` and `watch` in a second terminal see what goes on.
    let owner = Owner::start(&stage.state, Wishes::default(), Serves::Script).await?;
    let engine = owner.site().engine.clone();
    let stories = engine.stories();
    let new = NewRun {
        go_at: None,
        plan: Arc::new(plan),
        by: Actor::named("demo"),
        reason: Some("bascule demo".into()),
        trust_claimed_names: false,
    };
    let begun = engine.create(new).await.map_err(failed);
    let followed = match begun {
        Ok(run) => {
            tokio::time::timeout(PATIENCE, follow(ctx, args, stage, (run, stories, engine.clock().clone()))).await
        }
        Err(error) => Ok(Err(error)),
    };
    let ended = owner.stop().await.map_err(failed);
    let story = followed.map_err(|_late| {
        CliError::new(format!("the demo did not end within {} s", PATIENCE.as_secs()))
            .hint(format!("the journal of what happened is in {}", stage.state.display()))
    })??;
    ended?;
    let exit = ending::show(ctx, stage, &story).await?;
    Ok((exit, story))
}

/// Tells every event until the run rests.
async fn follow(
    ctx: &Ctx,
    args: &Args,
    stage: &Stage,
    (run, mut stories, clock): (RunHandle, broadcast::Receiver<Told>, Arc<dyn Clock>),
) -> Result<Story, CliError> {
    let plan =
        run.look(|run, _| run.plan.clone()).await.map_err(|gone| CliError::new("the run is gone").because(gone))?;
    let mut story = Story::new(ctx, run.name().to_string(), plan);
    let mut mishap = args.fault;
    let mut strike_at: Option<Instant> = None;
    let mut asked_at: Option<Instant> = None;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        let told = tokio::select! {
            told = stories.recv() => told,
            () = at(strike_at) => {
                strike_at = None;
                if let Some(mishap) = mishap.take() {
                    mishap.strike(stage).await?;
                    story.aside(mishap.sentence());
                }
                continue;
            }
            _ = tick.tick() => {
                // Figures that cannot be read now are read a moment later.
                if let Ok(seen) = bascule_lab::users_summary(&stage.lab.dir) {
                    story.pass(clock.now().steady, &seen);
                }
                continue;
            }
            // Criteria go on while a person is asked: they may still decide.
            () = at(asked_at) => return Ok(story),
        };
        match told {
            Ok(told) => story.tell(&told.record),
            // The log has what was missed; the story only gets shorter.
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return Ok(story),
        }
        if story.is_exposed() && mishap.is_some() {
            strike_at.get_or_insert_with(|| Instant::now() + GOOD_MOMENT);
        }
        if story.rests() {
            return Ok(story);
        }
        asked_at = story.asks().then(|| asked_at.unwrap_or_else(|| Instant::now() + NOBODY_ANSWERS));
    }
}

/// That time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A path in quotes where a shell needs them.
fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// How a person calls this program here: by its name where the shell finds it, else by its path.
fn called() -> String {
    let Ok(me) = program() else { return "bascule".to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("bascule")).find(|file| file.is_file());
    if found.and_then(|file| file.canonicalize().ok()) == me.canonicalize().ok() {
        return "bascule".to_owned();
    }
    let here = std::env::current_dir().ok();
    let below = here.as_ref().and_then(|here| me.strip_prefix(here).ok());
    quoted(below.unwrap_or(&me))
}

/// This program.
fn program() -> Result<PathBuf, CliError> {
    std::env::current_exe().map_err(|error| CliError::new("the program cannot find itself").because(error))
}
