//! What is damaged, whom it stops and why, and what each way out would lose.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::super::Ctx;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::look;
use super::super::when::Zone;
use crate::machine::fact::Millis;
use crate::store::damage::{Cause, RepairNote, StoppedRun};
use crate::store::disk::RealDisk;
use crate::store::{Blobs, Replay, RunName, Snapshot, StateDir, TakeOver, index};
use crate::view::RunSummary;

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// A journal as it stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Inspection {
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    segments: usize,
    runs: usize,
    transitions: u64,
    /// Nothing is damaged.
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
    damaged: Vec<String>,
    stopped: Vec<Stopped>,
    untouched: Vec<Untouched>,
    decided_before: Vec<Decided>,
}

/// A run that nothing acts for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    run: String,
    why: String,
    /// The last version that is intact.
    intact: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    intact_at: Option<Millis>,
    /// What the run was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<String>,
    /// Later transitions that are intact but cannot be connected.
    unconnected: u64,
    ways_out: Vec<WayOut>,
}

/// Something that a person can do about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WayOut {
    command: String,
    effect: String,
    loses: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Untouched {
    run: String,
    why: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Decided {
    run: String,
    believed: u64,
    reason: String,
}

/// Looks, and explains.
pub(super) fn run(ctx: &Ctx) -> Result<Exit, CliError> {
    let mut snapshot = read(&ctx.state)?;
    compare(ctx, &mut snapshot);
    let found = inspect(&ctx.state, &snapshot);
    let exit = if found.stopped.is_empty() { Exit::Done } else { Exit::PersonNeeded };
    if ctx.ui.json {
        ctx.ui.json_data(&found)?;
        return Ok(exit);
    }
    tell(ctx, &found);
    Ok(exit)
}

/// Compares with what the index knows. sled lets one process in, so an owner keeps everybody else out, and a directory
/// that is only readable cannot be compared.
pub(super) fn compare(ctx: &Ctx, snapshot: &mut Snapshot) {
    if snapshot.owner().is_some() {
        return;
    }
    let heads = StateDir::own(&ctx.state, TakeOver::No)
        .map_err(|error| error.to_string())
        .and_then(|owned| index::evidence::heads(&owned));
    match heads {
        Ok(heads) => snapshot.compare(&heads),
        Err(why) => ctx.ui.say(&format!("not compared with what the index knows: {why}")),
    }
}

/// The journal, read without owning it.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(state: &Path) -> Result<Snapshot, CliError> {
    if !crate::cli::look::has_journal(state)? {
        return Err(CliError::new(format!("there is no journal in {}", state.display()))
            .hint("name the state directory with --state, or BASCULE_STATE"));
    }
    Snapshot::read(state)
        .map_err(|error| CliError::new(format!("the journal in {} cannot be read", state.display())).because(error))
}

fn inspect(state: &Path, snapshot: &Snapshot) -> Inspection {
    let report = snapshot.report();
    let untouched =
        |(run, why): (RunName, crate::store::damage::Spared)| Untouched { run: run.to_string(), why: why.to_string() };
    let decided = |RepairNote { run, believed, reason, .. }: &RepairNote| Decided {
        run: run.to_string(),
        believed: *believed,
        reason: reason.clone(),
    };
    Inspection {
        state: state.display().to_string(),
        owner: snapshot.owner().map(ToString::to_string),
        segments: report.segments,
        runs: report.runs,
        transitions: report.transitions,
        sound: report.corruption.is_empty() && report.stopped.is_empty(),
        cut: report.cut.as_ref().map(ToString::to_string),
        damaged: report.corruption.iter().map(ToString::to_string).collect(),
        stopped: report.stopped.iter().map(|run| stopped(state, snapshot, run)).collect(),
        untouched: snapshot.spared().into_iter().map(untouched).collect(),
        decided_before: report.repairs.iter().map(decided).collect(),
    }
}

fn stopped(state: &Path, snapshot: &Snapshot, stopped: &StoppedRun) -> Stopped {
    let name = &stopped.run;
    let head = snapshot.runs().into_iter().find(|entry| entry.head.run == *name).map(|entry| entry.head);
    let intact_at = head.filter(|head| head.version > 0).map(|head| head.at_ms);
    Stopped {
        run: name.to_string(),
        why: why(stopped),
        intact: stopped.believable,
        intact_at,
        then: summary_at(state, snapshot, name, stopped.believable).map(|then| words(&then)),
        unconnected: stopped.unconnected,
        ways_out: ways_out(stopped),
    }
}

/// What a run is at a version; `None` if it cannot be folded that far.
pub(super) fn summary_at(state: &Path, snapshot: &Snapshot, name: &RunName, version: u64) -> Option<RunSummary> {
    let blobs = Blobs::reading(Arc::new(RealDisk), state);
    let mut replay = Replay::new(name, |hash| look::plan(&blobs, hash));
    let mut next = 1;
    while next <= version {
        let most = usize::try_from(version + 1 - next).unwrap_or(PAGE).min(PAGE);
        let page = snapshot.transitions(name, next, most).ok().filter(|page| !page.is_empty())?;
        replay.take(&page).ok()?;
        next = page.last()?.version + 1;
    }
    replay.finish().ok().map(|run| RunSummary::of(&run))
}

/// `cutting over: 3 of 8 cutover steps done`.
pub(super) fn words(run: &RunSummary) -> String {
    let state = run.state.replace('_', " ");
    match run.state.as_str() {
        "cutting_over" => format!("{state}: {} of {} cutover steps done", run.cutover_done, run.cutover_steps),
        _ => format!("{state}: {}", run.doing),
    }
}

fn why(stopped: &StoppedRun) -> String {
    match &stopped.cause {
        Cause::MayHaveLost(damage) => {
            format!(
                "it was open when the damage begins, and nothing intact of it follows: what it did later may have stood in {damage}"
            )
        }
        Cause::ChainBroken { version, segment, offset, damage } => {
            let break_at = format!(
                "version {version}, at byte {offset} of journal/{segment:06}.ndjson, does not follow from version {}",
                stopped.believable
            );
            match damage {
                Some(damage) => format!("{break_at}: what stood between them is damaged, {damage}"),
                None => format!("{break_at}, and nothing else is damaged: somebody edited the journal"),
            }
        }
        Cause::NameOnly(damage) => format!("only its name can still be read, in {damage}"),
        Cause::HeadElsewhere(head) => {
            format!("version {} was durable once, as the index knows, and the journal does not hold it", head.version)
        }
        Cause::Unreadable { segment, offset } => {
            format!("byte {offset} of journal/{segment:06}.ndjson could be read at start and cannot be read now")
        }
    }
}

fn ways_out(stopped: &StoppedRun) -> Vec<WayOut> {
    let StoppedRun { run, believable, unconnected, .. } = stopped;
    let way = |command: String, effect: &str, loses: String| WayOut { command, effect: effect.to_owned(), loses };
    let mut ways = Vec::new();
    let gone = match unconnected {
        0 if matches!(stopped.cause, Cause::HeadElsewhere(_)) => {
            "what the journal lost: steps that it told of may be done again".to_owned()
        }
        0 => "what stood in the damaged bytes, if it was of this run".to_owned(),
        1 => {
            "what stood in the damaged bytes, and 1 later transition that is intact but cannot be connected".to_owned()
        }
        n => format!(
            "what stood in the damaged bytes, and {n} later transitions that are intact but cannot be connected"
        ),
    };
    if *believable > 0 {
        ways.push(way(
            format!("bascule repair --run {run} --believe {believable} --reason TEXT"),
            "everything that is intact counts; an engine then treats the run as after a crash: what was running is \
             probed or asked for, nothing is guessed",
            gone.clone(),
        ));
    }
    if *believable > 1 {
        ways.push(way(
            format!("bascule repair --run {run} --believe 1…{} --reason TEXT", believable - 1),
            "an earlier version counts, if a copy or a report shows that the later ones are wrong",
            format!("{gone}, and the intact transitions after the version: steps that they tell of may be done again"),
        ));
    }
    ways.push(way(
        format!("bascule repair --run {run} --believe 0 --reason TEXT"),
        "the run is forgotten, and its locks with it",
        "all of the run: nothing will undo what it did, and nobody will be asked".to_owned(),
    ));
    ways
}

fn tell(ctx: &Ctx, found: &Inspection) {
    let ui = ctx.ui;
    let count = |n: usize, noun: &str| if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") };
    ui.line(&format!(
        "{}: {}, {}, {} transitions that can be read",
        found.state,
        count(found.segments, "segment"),
        count(found.runs, "run"),
        found.transitions
    ));
    if let Some(owner) = &found.owner {
        ui.line(&format!("an engine is at work there ({owner}); what it writes just now is not shown"));
    }
    for decided in &found.decided_before {
        ui.line(&format!(
            "decided before: run {} is believed up to version {} ({})",
            decided.run, decided.believed, decided.reason
        ));
    }
    if let Some(cut) = &found.cut {
        ui.line(&format!("{cut}; nothing has to be decided about it"));
    }
    if found.sound {
        ui.line("nothing is damaged, and no run stops");
        return;
    }
    if !found.damaged.is_empty() {
        ui.line("\nDAMAGED");
        found.damaged.iter().for_each(|damage| ui.line(&format!("  {damage}")));
    }
    if !found.stopped.is_empty() {
        ui.line("\nSTOPPED: no engine acts for these runs until somebody says what to believe");
        found.stopped.iter().for_each(|stopped| tell_stopped(ctx, stopped));
    }
    if !found.untouched.is_empty() {
        ui.line("\nUNTOUCHED");
        found.untouched.iter().for_each(|run| ui.line(&format!("  {}: {}", run.run, run.why)));
    }
    if found.stopped.is_empty() {
        ui.line("\nno run stops: nothing has to be decided");
    } else {
        ui.say(
            "compare with what was kept elsewhere before you decide: `bascule audit verify --head RUN:VERSION:HASH`",
        );
        ui.say("with a head from a report, a copy of the journal, or an export");
    }
}

fn tell_stopped(ctx: &Ctx, stopped: &Stopped) {
    let ui = ctx.ui;
    ui.line(&format!("  {}", stopped.run));
    ui.line(&format!("    why     {}", stopped.why));
    let intact = match stopped.intact {
        0 => "nothing".to_owned(),
        1 => "version 1".to_owned(),
        n => format!("versions 1 to {n}"),
    };
    let at = stopped.intact_at.map(|at| format!(", the last of {}", Zone::system().full(at))).unwrap_or_default();
    let then = stopped.then.as_ref().map(|then| format!("; then it was {then}")).unwrap_or_default();
    ui.line(&format!("    intact  {intact}{at}{then}"));
    for (number, way) in (1..).zip(&stopped.ways_out) {
        ui.line(&format!("    {number}. {}", way.command));
        ui.line(&format!("         {}", way.effect));
        ui.line(&format!("         loses: {}", way.loses));
    }
}
