//! `notify`: whether those who should hear of a night do hear.

use clap::Subcommand;
use serde::Serialize;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::outlet_args::NotifyArgs;
use crate::engine::clock::{Clock as _, SystemClock};
use crate::engine::secrets::SecretSources;
use crate::outlets::{Outlets, notify};
use crate::view::Level;

/// Try the ways in which people are told of a run.
///
///   bascule notify test --notify-command ./page-me
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// What of it.
#[derive(Debug, Subcommand)]
enum Verb {
    Test(TestArgs),
}

/// Send a test notice of each level, and say what came of each.
///
/// To the program and the address that the state directory keeps, or to those given here, which are not kept. No run and
/// no engine is needed. It sends from this shell: a secret or a network that the engine does not have, it may have. Ends
/// with 1 if one of the notices was not heard, or if there is nobody to tell.
///
///   bascule notify test --webhook "$URL" --webhook-secret HOOK
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct TestArgs {
    #[command(flatten)]
    notify: NotifyArgs,
}

/// What came of one notice, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    outlet: &'a str,
    level: Level,
    delivered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

/// Tries.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let Verb::Test(args) = args.verb;
    let failed = |error| CliError::new("nobody can be told anything").because(error);
    let kept = Outlets::of(&ctx.state).map_err(failed)?;
    let outlets = args.notify.outlets().over(kept);
    if outlets.notify_command.is_none() && outlets.webhook.is_none() {
        return Err(CliError::new(format!("{} keeps nobody who hears notices", ctx.state.display()))
            .hint("`--notify-command PROG` and `--webhook URL` name somebody, here and at `bascule run`"));
    }
    let sources = SecretSources::from_environment(std::env::vars_os());
    let tested = notify::test(&outlets, sources, &ctx.state, SystemClock::new().now()).await.map_err(failed)?;
    let lines: Vec<Line<'_>> = tested
        .iter()
        .map(|tested| {
            let why = tested.failed.as_deref();
            Line { outlet: tested.what, level: tested.level, delivered: why.is_none(), why }
        })
        .collect();
    if ctx.ui.json {
        ctx.ui.json_data(&lines)?;
    } else {
        for line in &lines {
            let came_of = line.why.map_or_else(|| "heard".to_owned(), |why| format!("NOT HEARD: {why}"));
            ctx.ui.line(&format!("{}: {}: {came_of}", line.outlet, line.level.word()));
        }
    }
    Ok(if lines.iter().all(|line| line.delivered) { Exit::Done } else { Exit::Error })
}
