//! `logs`: what an attempt wrote.

use std::io::{IsTerminal as _, Write as _};

use futures_util::StreamExt as _;

use super::Ctx;
use super::client::Runs;
use super::error::CliError;
use super::exit::Exit;
use super::look::{Files, Source};
use super::signals::Signals;
use super::{target, text};
use crate::engine::attempt_log;
use crate::machine::fact::Direction;
use crate::store::RunName;
use crate::view::RunView;

/// Show what an attempt of a step wrote.
///
/// The newest attempt unless `--attempt` names another; without a step, which attempts there are. Secrets never
/// reach a log.
///
///   bascule logs billing-db/3
///   bascule logs billing-db/3 final_data_sync --follow
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open; only a run lists the attempts.
    #[arg(value_name = "[RUN] STEP", num_args = 0..=2)]
    words: Vec<String>,
    /// Until the attempt ends.
    #[arg(long)]
    follow: bool,
    /// Of the undo.
    #[arg(long)]
    undo: bool,
    /// Which attempt, counted from 1.
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
}

/// Shows.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let (run, step) = match args.words.as_slice() {
        [] => return list(ctx, &source.run(&target::seen(&source, None).await?).await?),
        [run] if run.contains('/') || is_application(&source, run).await? => {
            return list(ctx, &source.run(&target::seen(&source, Some(run)).await?).await?);
        }
        words => target::run_and(words, "step")?,
    };
    let name = target::seen(&source, run).await?;
    let mut sink = if ctx.ui.json { Sink::Kept(Vec::new()) } else { Sink::Out };
    match &source {
        Source::Owner(client, _) => {
            let mut offset = 0_u64;
            let mut signals = Signals::leaving();
            loop {
                let mut query = vec![("offset", offset.to_string()), ("undo", args.undo.to_string())];
                query.extend(args.attempt.map(|attempt| ("attempt", attempt.to_string())));
                if args.follow {
                    query.push(("follow", "true".to_owned()));
                }
                let mut bytes = client.log(&name, step, &query).await?;
                let before = offset;
                loop {
                    let chunk = tokio::select! {
                        chunk = bytes.next() => chunk,
                        () = signals.next() => break,
                    };
                    match chunk {
                        Some(Ok(chunk)) => {
                            offset += chunk.len() as u64;
                            if !sink.take(&chunk) {
                                return Ok(Exit::Done);
                            }
                        }
                        Some(Err(error)) => return Err(CliError::new("the log ends early").because(error)),
                        None => break,
                    }
                }
                // A long log comes in parts; a followed one in one.
                if args.follow || offset == before {
                    break;
                }
            }
        }
        Source::Files(files) => from_files(files, &name, step, &args, &mut sink)?,
    }
    let digest = digest(&source, &name, step, &args).await;
    let missing = digest.as_ref().and_then(|(_, log)| log.get("cut")?.as_u64()).filter(|cut| *cut > 0);
    if let Sink::Kept(bytes) = sink {
        let attempt = digest.map(|(attempt, _)| attempt).or(args.attempt.map(u64::from));
        ctx.ui.json_data(&serde_json::json!({
            "run": name.as_str(),
            "step": step,
            "direction": if args.undo { "undo" } else { "forward" },
            "attempt": attempt,
            "missingBytes": missing.unwrap_or(0),
            "text": String::from_utf8_lossy(&bytes),
        }))?;
    } else if let Some(missing) = missing {
        ctx.ui.say(&format!("{missing} bytes are missing: the log was longer than is kept, or the disk was full"));
    }
    Ok(Exit::Done)
}

/// Where a log goes.
enum Sink {
    /// To standard output, as it comes.
    Out,
    /// Into one JSON value.
    Kept(Vec<u8>),
}

impl Sink {
    /// False once nobody reads.
    fn take(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Out => write(bytes),
            Self::Kept(kept) => {
                kept.extend_from_slice(bytes);
                true
            }
        }
    }
}

/// What the run log says of an attempt's log once that has ended, with the number of the attempt.
async fn digest(source: &Source, name: &RunName, step: &str, args: &Args) -> Option<(u64, serde_json::Value)> {
    let direction = if args.undo { "undo" } else { "forward" };
    let events = source.events(name, 0).await.ok()?;
    let ended =
        events.iter().rev().filter(|event| event.event == "attemptEnded" && event.step.as_deref() == Some(step));
    let mut of = ended.filter_map(|event| event.detail.as_object()?.values().next());
    of.find_map(|detail| {
        let attempt = detail.get("attempt")?.as_u64()?;
        let is_meant = args.attempt.is_none_or(|meant| u64::from(meant) == attempt);
        let is_that_way = detail.get("direction").and_then(|way| way.as_str()).is_none_or(|way| way == direction);
        (is_meant && is_that_way).then(|| (attempt, detail.get("log").cloned().unwrap_or_default()))
    })
}

/// Whether a word is the name of an application, and not of a step.
async fn is_application(source: &Source, word: &str) -> Result<bool, CliError> {
    Ok(source.runs(Runs::All).await?.iter().any(|run| run.application == word))
}

/// Which attempts there are.
fn list(ctx: &Ctx, view: &RunView) -> Result<Exit, CliError> {
    let undone = |step: &str| {
        let undos = view.rollback.iter().flat_map(|rollback| rollback.restore.iter().chain(&rollback.cleanup));
        undos.filter(|undo| undo.step == step).map(|undo| undo.attempt).next().unwrap_or(0)
    };
    let made: Vec<(&str, u32, u32)> =
        view.steps.iter().map(|step| (step.step.as_str(), step.attempt, undone(&step.step))).collect();
    let made: Vec<_> = made.into_iter().filter(|(_, attempts, undos)| attempts + undos > 0).collect();
    if ctx.ui.json {
        let rows: Vec<_> = made
            .iter()
            .map(|(step, attempts, undos)| serde_json::json!({ "step": step, "attempts": attempts, "undoAttempts": undos }))
            .collect();
        ctx.ui.json_data(&rows)?;
        return Ok(Exit::Done);
    }
    let widest = made.iter().map(|(step, ..)| text::width(step)).max().unwrap_or(0);
    let count = |n: u32, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    for (step, attempts, undos) in &made {
        let undos = if *undos > 0 { format!(", {} (--undo)", count(*undos, "undo")) } else { String::new() };
        ctx.ui.line(&format!("{}  {}{undos}", text::pad(step, widest), count(*attempts, "attempt")));
    }
    ctx.ui.say(&format!("`bascule logs {} STEP` shows what the newest attempt of a step wrote", view.summary.run));
    Ok(Exit::Done)
}

fn from_files(files: &Files, name: &RunName, step: &str, args: &Args, sink: &mut Sink) -> Result<(), CliError> {
    let run = files.run(name)?;
    let ix = run
        .plan
        .step_named(step, |_| false)
        .map_err(|unknown| CliError::new(format!("{name}: {unknown}")).hint(unknown.hint()))?;
    let id = run.plan.step(ix).id.clone();
    let made = if args.undo { run.step(ix).undo_attempts } else { run.step(ix).attempts };
    let attempt = args.attempt.unwrap_or(made);
    if attempt == 0 || attempt > made {
        return Err(CliError::new(format!("`{step}` has made {made} attempts, not {}", attempt.max(1))));
    }
    let direction = if args.undo { Direction::Undo } else { Direction::Forward };
    let label = attempt_log::label(direction, attempt);
    let path = attempt_log::path(files.state(), name, &id, &label);
    match std::fs::read(&path) {
        Ok(bytes) => {
            sink.take(&bytes);
            Ok(())
        }
        // An attempt that wrote nothing has no file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CliError::new(format!("{} cannot be read", path.display())).because(error)),
    }
}

/// As it is: a log is data. On a terminal without what would command it. False once nobody reads.
fn write(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout().lock();
    let written = if out.is_terminal() { out.write_all(&harmless(bytes)) } else { out.write_all(bytes) };
    written.and_then(|()| out.flush()).is_ok()
}

/// Control characters but line ends and tabs become `?`; so do the C1 ones, which are two bytes in UTF-8.
fn harmless(bytes: &[u8]) -> Vec<u8> {
    let mut safe = bytes.to_vec();
    for at in 0..safe.len() {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let is_c1 = before == Some(0xc2) && (0x80..0xa0).contains(&bytes[at]);
        let is_control = (bytes[at] < 0x20 && !matches!(bytes[at], b'\n' | b'\t' | b'\r')) || bytes[at] == 0x7f;
        if is_control || is_c1 {
            safe[at] = b'?';
        }
        if is_c1 && let Some(before) = at.checked_sub(1) {
            safe[before] = b'?';
        }
    }
    safe
}
