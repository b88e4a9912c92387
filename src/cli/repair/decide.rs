//! A decision about stopped runs: shown, confirmed, written down.

use serde::Serialize;

use super::super::Ctx;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::inspect::{compare, read, summary_at, words};
use super::{Args, confirm, not_owned};
use crate::server::peer;
use crate::store::repair::{Decision, Keep, repair};
use crate::store::{JournalOptions, RunName, Snapshot, StateDir, TakeOver};
use crate::view::words::actor;

/// What was decided.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    believed: Vec<Believed>,
    still_stopped: Vec<String>,
    /// Why the log was not compared with the index, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_compared: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Believed {
    run: String,
    version: u64,
}

/// Decides.
pub(super) fn run(ctx: &Ctx, args: &Args) -> Result<Exit, CliError> {
    let decisions = decisions(args)?;
    let mut snapshot = read(&ctx.state)?;
    if let Some(owner) = snapshot.owner() {
        let held = crate::store::StoreError::Held { dir: ctx.state.clone(), owner: Box::new(owner.clone()) };
        return Err(not_owned(ctx, held));
    }
    compare(ctx, &mut snapshot);
    for decision in &decisions {
        show(ctx, &snapshot, decision)?;
    }
    confirm(ctx, args.yes)?;
    let owned = StateDir::own(&ctx.state, TakeOver::No).map_err(|error| not_owned(ctx, error))?;
    let done = repair(&owned, &JournalOptions::default(), &decisions).map_err(|error| {
        CliError::new("nothing was decided").because(error).hint("`bascule repair` shows what is intact")
    })?;
    let still = done.still_stopped;
    if ctx.ui.json {
        let believed = done.runs.iter().map(|(run, version)| Believed { run: run.to_string(), version: *version });
        let still_stopped = still.iter().map(ToString::to_string).collect();
        ctx.ui.json_data(&Answer { believed: believed.collect(), still_stopped, not_compared: done.not_compared })?;
    } else {
        for (run, version) in &done.runs {
            ctx.ui.line(&match version {
                0 => format!("run {run} is forgotten"),
                version => format!("run {run} is believed up to version {version}"),
            });
        }
        let open = done.runs.iter().find(|(_, version)| *version > 0);
        if let Some((run, _)) = open {
            ctx.ui.say(&format!("`bascule status {run}` shows it; `bascule resume` starts an engine for what is open"));
        }
        still.iter().for_each(|run| ctx.ui.say(&format!("run {run} still stops")));
        if let Some(why) = &done.not_compared {
            ctx.ui.say(&format!("the index cannot be read ({why}) and is set aside: whether the log lost a run that"));
            ctx.ui.say("only the index knew was not compared");
        }
    }
    Ok(if still.is_empty() { Exit::Done } else { Exit::PersonNeeded })
}

fn decisions(args: &Args) -> Result<Vec<Decision>, CliError> {
    if args.runs.len() != args.believe.len() {
        return Err(CliError::usage("every --run needs its --believe, in the same order"));
    }
    let Some(reason) = args.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) else {
        return Err(CliError::usage("a decision needs a --reason: it stays in the journal"));
    };
    let reason = format!("{reason} (decided by {})", actor(&peer::this_process(args.claimed.clone())));
    let keep = if args.rewrite { Keep::Rewritten } else { Keep::InPlace };
    let mut decisions: Vec<Decision> = Vec::new();
    for (run, believe) in args.runs.iter().zip(&args.believe) {
        let run = RunName::parse(run).map_err(|error| CliError::usage(error.to_string()))?;
        if decisions.iter().any(|known| known.run == run) {
            return Err(CliError::usage(format!("run {run} is named twice")));
        }
        decisions.push(Decision { run, believe: *believe, keep, reason: reason.clone() });
    }
    Ok(decisions)
}

/// What a decision keeps and what it loses.
fn show(ctx: &Ctx, snapshot: &Snapshot, decision: &Decision) -> Result<(), CliError> {
    let Decision { run, believe, .. } = decision;
    let entry = snapshot.runs().into_iter().find(|entry| entry.head.run == *run);
    let entry = entry.ok_or_else(|| {
        CliError::new(format!("the journal holds no run {run}")).hint("`bascule repair` lists the runs that stop")
    })?;
    let intact = entry.head.version;
    if *believe > intact {
        return Err(CliError::new(format!(
            "version {believe} of run {run} cannot be believed: the last intact one is {intact}"
        ))
        .hint("nothing can bring back what is damaged but a copy of the journal"));
    }
    let Some(stopped) = entry.stopped else {
        if *believe == intact {
            ctx.ui.say(&format!(
                "run {run} does not stop; this writes down that all of it, up to version {intact}, is believed"
            ));
            return Ok(());
        }
        return Err(CliError::new(format!(
            "run {run} does not stop, so only all of it can be believed: version {intact}"
        )));
    };
    if *believe == 0 {
        ctx.ui.say(&format!("run {run} will be forgotten: nothing will undo what it did, and nobody will be asked"));
        return Ok(());
    }
    let then = summary_at(&ctx.state, snapshot, run, *believe).map(|then| format!(", where it was {}", words(&then)));
    ctx.ui.say(&format!("run {run} will be believed up to version {believe}{}", then.unwrap_or_default()));
    if *believe < intact {
        ctx.ui.say(&format!(
            "  lost: versions {} to {intact}, which are intact; steps that they tell of may be done again",
            believe + 1
        ));
    }
    match stopped.unconnected {
        0 => {}
        1 => ctx.ui.say("  lost: 1 later transition that is intact but cannot be connected"),
        n => ctx.ui.say(&format!("  lost: {n} later transitions that are intact but cannot be connected")),
    }
    ctx.ui.say("  lost: what stood in the damaged bytes, if it was of this run");
    Ok(())
}
