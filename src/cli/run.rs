//! `run`: compiles a runbook, hands the plan to an owner, watches it.

use std::sync::Arc;

use super::Ctx;
use super::client::ClientError;
use super::error::CliError;
use super::exit::Exit;
use super::foreground;
use super::inputs::{self, InputArgs};
use super::outlet_args::{OutletArgs, flags};
use super::owner::Wishes;
use super::spawn;
use super::watch::{self, Manner, Since};
use super::when::Zone;
use crate::engine::clock::{Clock as _, SystemClock};
use crate::machine::fact::Millis;
use crate::plan::Plan;
use crate::server::wire::{Health, NewRunRequest};
use crate::store::{RunName, TakeOver};

/// Execute a runbook: durably, with an automatic way back.
///
/// On a terminal the engine becomes a process of its own and this one only watches: Ctrl-C and a lost connection leave
/// the view, not the run. `bascule watch` shows it again. In a script, or with `--foreground`, the engine lives in this
/// process, prints a line per event and ends with the run's exit code.
///
///   bascule run runbook.yaml -f production.yaml --set inputs.vm=analytics-01
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    start: StartArgs,
    /// Why: it is written into the run's log.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The name of the person who starts it, where several share a login; recorded as claimed.
    #[arg(long = "as", value_name = "NAME")]
    claimed: Option<String>,
    /// Names given with `--as` count for four-eyes rules: nobody verifies them.
    #[arg(long)]
    trust_claimed_names: bool,
    /// Prepare, wait, and begin the cutover by itself then: RFC 3339, or a time of day of the change's zone, tomorrow's if
    /// it has passed. Pre-checks are repeated first. Needs an engine at that time; missed, the word has to be given.
    #[arg(long, value_name = "TIME")]
    go_at: Option<String>,
}

/// How an engine is started.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct StartArgs {
    /// Execute in this process instead of one of its own.
    #[arg(long)]
    pub foreground: bool,
    /// One plain line per event, also on a terminal.
    #[arg(long)]
    pub plain: bool,
    /// No other machine uses the state directory: take it, although it was last used elsewhere.
    #[arg(long)]
    pub take_over: bool,
    /// Send spans of runs, states, attempts, probes and undos to an OTLP/HTTP receiver; also from
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT. Whatever it does, runs go on.
    #[arg(long, value_name = "URL", value_parser = otlp_url)]
    pub otlp: Option<String>,
    #[command(flatten)]
    pub outlets: OutletArgs,
}

fn otlp_url(text: &str) -> Result<String, String> {
    crate::telemetry::check_url(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

impl StartArgs {
    /// Whether the engine lives in this process: without a terminal nobody could come back to another one.
    #[must_use]
    pub(super) fn is_foreground(&self, ctx: &Ctx) -> bool {
        self.foreground || !ctx.ui.is_terminal()
    }

    /// As the store wants it.
    #[must_use]
    pub(super) fn take_over(&self) -> TakeOver {
        if self.take_over { TakeOver::Yes } else { TakeOver::No }
    }

    /// What an owner that is started with them is told.
    #[must_use]
    pub(super) fn wishes(&self) -> Wishes {
        Wishes { take_over: self.take_over(), otlp: self.otlp.clone(), outlets: self.outlets.outlets() }
    }

    /// How events are shown.
    #[must_use]
    pub(super) fn manner(&self, ctx: &Ctx) -> Manner {
        if ctx.ui.json {
            Manner::Json
        } else if self.plain || !ctx.ui.is_terminal() || is_dumb() {
            Manner::Plain
        } else {
            Manner::Live
        }
    }
}

/// A terminal that cannot be drawn on.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Runs.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let planned = inputs::startable(ctx, &args.input).await?;
    let plan = Arc::new(planned.plan);
    let request = request(&plan, &args)?;
    // An owner that goes down between two questions is followed by another.
    for _ in 0..20 {
        if let Some((client, health)) = super::client::Client::find(&ctx.state).await? {
            match client.create(&request).await {
                Ok(created) => return created_elsewhere(ctx, &args, &created.run, &health).await,
                // Not one that was lost with its answer: it may have created the run.
                Err(ClientError::Leaving | ClientError::Nobody(_)) => {}
                Err(error) => return Err(error.into()),
            }
        } else if args.start.is_foreground(ctx) {
            match foreground::run(ctx, &args.start, &request).await {
                // Somebody else took the directory meanwhile: hand the run over.
                Err(foreground::Failed::Held) => {}
                Err(foreground::Failed::Other(error)) => return Err(*error),
                Ok(exit) => return Ok(exit),
            }
        } else {
            spawn::owner(ctx, &args.start.wishes()).await?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(CliError::new("no engine takes the run").hint("`engine.log` in the state directory says why they end"))
}

async fn created_elsewhere(ctx: &Ctx, args: &Args, run: &str, health: &Health) -> Result<Exit, CliError> {
    let name = RunName::parse(run).map_err(|error| CliError::new(error.to_string()))?;
    if args.start.foreground {
        ctx.ui.say("another process owns this state directory: it executes the run, this one watches");
    }
    let here = std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default();
    if health.folder != here {
        ctx.ui.say(&format!(
            "the engine was started in {}: relative paths of steps are seen from there, and its secrets are the ones it \
             was started with",
            health.folder
        ));
    }
    if args.start.otlp.is_some() {
        ctx.ui.say("that engine was started before: --otlp does not change where it sends its spans");
    }
    let outlets = args.start.outlets.outlets();
    let given: Vec<&str> = flags(&outlets).into_iter().map(|(flag, _)| flag).collect();
    if !given.is_empty() {
        let given = given.join(" and ");
        ctx.ui.say(&format!("that engine was started before: it keeps what it has, whatever {given} says"));
    }
    watch::follow(ctx, &name, args.start.manner(ctx), Since::Created).await
}

fn request(plan: &Plan, args: &Args) -> Result<NewRunRequest, CliError> {
    let text =
        String::from_utf8(plan.canonical()).map_err(|error| CliError::new("the plan is no text").because(error))?;
    let plan_json = serde_json::value::RawValue::from_string(text)
        .map_err(|error| CliError::new("the plan cannot be sent").because(error))?;
    Ok(NewRunRequest {
        plan_hash: plan.hash().to_string(),
        plan: plan_json,
        claimed: args.claimed.clone(),
        reason: args.reason.clone(),
        trust_claimed_names: args.trust_claimed_names,
        go_at: go_at(plan, args)?,
    })
}

fn go_at(plan: &Plan, args: &Args) -> Result<Option<Millis>, CliError> {
    let Some(text) = &args.go_at else { return Ok(None) };
    let zone = Zone::named(plan.policies.change.as_ref().and_then(|change| change.zone.as_deref()));
    let at = zone.moment(text, SystemClock::new().now().wall);
    at.map(Some).map_err(|why| CliError::usage(format!("`--go-at`: {why}")))
}
