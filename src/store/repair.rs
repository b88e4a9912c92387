//! What a person can do about a damaged journal, and about an old one.
//!
//! [`repair`] writes decisions into the journal, after everything that was damaged; it never changes a line that
//! stands there. [`prune`] is the only code that removes segments. Both need the directory's owner, so no engine can
//! run beside them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, read_all};
use super::error::StoreError;
use super::format::{self, Draft, Header, Line, Repair, Rewrite};
use super::history::{self, History, RunState};
use super::index;
use super::journal_file::{JournalOptions, dir_in};
use super::pruned::{self, PrunedRun, PrunedSegment};
use super::reader::Reader;
use super::record::{Hash, RunName};
use super::scan::{Scanned, Tail, scan};
use super::segment::{self, Item, Parsed};
use super::snapshot::Snapshot;
use super::state_dir::StateDir;
use super::writer::Writer;

/// What to believe of a stopped run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The run.
    pub run: RunName,
    /// The last version that is believed; 0 forgets the run. What stands after it stays in the journal and is ignored.
    pub believe: u64,
    /// Whether to leave the believed transitions where they are.
    pub keep: Keep,
    /// Who decided, and why; it stays in the journal.
    pub reason: String,
}

/// Where the believed transitions of a repaired run are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Where they stand.
    InPlace,
    /// Written again to a new segment, so that nothing depends on the damaged one any more.
    Rewritten,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// The runs, each with the version that it stands at now.
    pub runs: Vec<(RunName, u64)>,
    /// Runs that are still stopped.
    pub still_stopped: Vec<RunName>,
    /// Why the log was not compared with the index, if it was not: then nobody knows of a loss that only it could tell.
    pub not_compared: Option<String>,
}

/// Carries out decisions: all of them, or none. The index is set aside, because the log may be shorter now than what
/// was folded in; unless it knows more than the log of runs that were not decided about. Blocks.
///
/// # Errors
/// [`StoreError::BadDecision`] before anything is written, or what the disk answered.
pub fn repair(owned: &StateDir, options: &JournalOptions, decisions: &[Decision]) -> Result<Repaired, StoreError> {
    let dir = dir_in(owned.path());
    let snapshot = Snapshot::read_on(Arc::clone(&options.disk), owned.path(), None)?;
    let (Scanned { mut history, tail, .. }, reader) = snapshot.into_scanned();
    let mut drafts = Vec::new();
    let (mut evidence, not_compared) = match index::evidence::heads(owned) {
        Ok(heads) => (heads, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    for decision in decisions {
        // Believing all of a sound run changes nothing; it answers a head that is known elsewhere and not here.
        let allowed = |state: &&RunState| state.stopped.is_some() || state.head.version == decision.believe;
        // Of a run that only the index knows there is nothing to believe.
        let unknown = evidence.iter().find(|head| head.run == decision.run).map(|head| RunState::new(head.run.clone()));
        let state = history.runs.get(&decision.run).or(unknown.as_ref()).filter(allowed);
        let state = state.ok_or_else(|| bad(decision, "it is not stopped, so only all of it can be believed"))?;
        decide(decision, state, &reader, &mut drafts)?;
    }
    let decided: Vec<RunName> = decisions.iter().map(|decision| decision.run.clone()).collect();
    evidence.retain(|head| !decided.contains(&head.run));
    let undecided = history::compare(&mut history.runs, &reader, &evidence);
    if !drafts.is_empty() {
        let disk = Arc::clone(&options.disk);
        let mut writer = Writer::new(disk, dir, options.sizes, &tail);
        if let Tail::Unclean { lines, .. } = tail {
            let moved: Vec<Draft> = lines.into_iter().map(|line| line.draft).collect();
            drafts.splice(0..0, moved);
        }
        writer.commit_whole(&drafts).map_err(|failure| failure.error)?;
        writer.close()?;
        // What the index knows of runs that nobody decided about is needed until somebody does.
        if undecided.is_empty() || index::evidence::forget(owned, &decided).is_err() {
            index::set_aside(owned.path())?;
        }
    }
    for decision in decisions {
        history.runs.remove(&decision.run);
    }
    let stopped = history.runs.values().filter(|run| run.stopped.is_some()).map(|run| run.head.run.clone());
    let mut still_stopped: Vec<RunName> = stopped.collect();
    still_stopped.sort();
    Ok(Repaired { runs: decisions.iter().map(|d| (d.run.clone(), d.believe)).collect(), still_stopped, not_compared })
}

fn bad(decision: &Decision, why: &str) -> StoreError {
    StoreError::BadDecision { run: decision.run.clone(), why: why.into() }
}

fn decide(decision: &Decision, state: &RunState, reader: &Reader, drafts: &mut Vec<Draft>) -> Result<(), StoreError> {
    let Decision { run, believe, keep, reason } = decision;
    if *believe > state.head.version {
        let why = format!("version {believe} cannot be believed, the last intact one is {}", state.head.version);
        return Err(bad(decision, &why));
    }
    if *believe > 0 && *believe + 1 < state.first {
        return Err(bad(decision, &format!("versions before {} were pruned", state.first)));
    }
    let mut head = state.head.clone();
    if *believe < state.head.version && *believe > 0 {
        let unreadable = || bad(decision, &format!("version {believe} cannot be read"));
        let transition = state.place(*believe).map(|place| reader.transition(place)).transpose()?.flatten();
        let transition = transition.ok_or_else(unreadable)?;
        head.version = *believe;
        head.hash = format::hash_of(&transition);
        (head.epoch, head.at_ms, head.is_final) = (transition.epoch, transition.at_ms, transition.is_final);
    }
    let mut copies = Vec::new();
    if *keep == Keep::Rewritten && *believe > 0 {
        for version in state.first..=*believe {
            let unreadable = || bad(decision, &format!("version {version} cannot be read"));
            let transition = state.place(version).map(|place| reader.transition(place)).transpose()?.flatten();
            copies.push(transition.ok_or_else(unreadable)?);
        }
    }
    let rewritten = copies.first().map(|first| Rewrite { from: first.version, prev: first.prev });
    drafts.push(Draft::Repair(Box::new(Repair {
        repair: run.clone(),
        believe: *believe,
        epoch: head.epoch,
        hash: head.hash,
        at_ms: head.at_ms,
        is_final: head.is_final,
        rewritten,
        reason: reason.clone(),
        known: 0,
    })));
    drafts.extend(copies.iter().map(|transition| Draft::Transition(format::encode_core(transition))));
    Ok(())
}

/// What a pruning did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// The segments that were removed.
    pub removed: Vec<u32>,
    /// The bytes that they took.
    pub bytes: u64,
    /// The segment that could not be removed next, and the run that keeps it; `None` if only the last one is left,
    /// which is always kept.
    pub kept_by: Option<(u32, RunName)>,
}

/// What [`prune`] would remove. Changes nothing, needs no ownership. Blocks.
///
/// # Errors
/// What the disk answered.
pub fn prunable(
    state_dir: &Path,
    options: &JournalOptions,
    retention_ms: i64,
    now_ms: i64,
) -> Result<Pruned, StoreError> {
    Ok(judge(&options.disk, &dir_in(state_dir), retention_ms, now_ms)?.0)
}

/// Removes segments from the oldest on, as long as all their runs are final and ended at least `retention_ms` before
/// `now_ms`. A list of what they held stays, so that the chain of later transitions still connects. Blocks.
///
/// # Errors
/// What the disk answered. A crash in between leaves files that the next start removes.
pub fn prune(owned: &StateDir, options: &JournalOptions, retention_ms: i64, now_ms: i64) -> Result<Pruned, StoreError> {
    let (disk, dir) = (&options.disk, dir_in(owned.path()));
    let (result, removed) = judge(disk, &dir, retention_ms, now_ms)?;
    if result.removed.is_empty() {
        return Ok(result);
    }
    let mut list = pruned::load(&**disk, &dir)?;
    list.extend(removed);
    pruned::save(&**disk, &dir, &list)?;
    for number in &result.removed {
        let path = segment::path_of(&dir, *number);
        disk.remove(&path).map_err(|cause| StoreError::io("removing", &path, cause))?;
    }
    disk.sync_dir(&dir).map_err(|cause| StoreError::io("flushing", &dir, cause))?;
    Ok(result)
}

/// What may go, and what stays of it in the list.
fn judge(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    retention_ms: i64,
    now_ms: i64,
) -> Result<(Pruned, Vec<PrunedSegment>), StoreError> {
    let scanned = scan(&**disk, dir)?;
    let mut result = Pruned::default();
    let mut list = Vec::new();
    let numbers: Vec<u32> = scanned.segments.keys().copied().collect();
    for number in numbers.iter().take(numbers.len().saturating_sub(1)) {
        let path = segment::path_of(dir, *number);
        let file = disk.open_read(&path).map_err(|cause| StoreError::io("opening", &path, cause))?;
        let bytes = read_all(&*file).map_err(|cause| StoreError::io("reading", &path, cause))?;
        let used = scanned.segments.get(number).copied().unwrap_or(0);
        let parsed = Parsed::of(&bytes, used);
        if let Some(run) = keeper(&parsed, &scanned.history, retention_ms, now_ms) {
            result.kept_by = Some((*number, run));
            break;
        }
        list.push(summary(*number, &bytes, &parsed, &scanned.history));
        result.removed.push(*number);
        result.bytes += bytes.len() as u64;
    }
    Ok((result, list))
}

/// A run that keeps a segment from being removed.
fn keeper(parsed: &Parsed<'_>, history: &History, retention_ms: i64, now_ms: i64) -> Option<RunName> {
    let keeps = |name: &str| {
        history.runs.get(name).filter(|run| {
            let old = run.head.at_ms.saturating_add(retention_ms) <= now_ms;
            run.stopped.is_some() || (run.head.version > 0 && !(run.head.is_final && old))
        })
    };
    let names = parsed.items.iter().filter_map(|item| match item {
        Item::Line { line: Line::Transition(record), .. } => Some(record.run),
        Item::Line { line: Line::Repair(repair), .. } => Some(repair.repair.as_str()),
        Item::Line { line: Line::Header(_) | Line::Closed(_), .. } | Item::Bad { .. } => None,
    });
    names.filter_map(keeps).map(|run| run.head.run.clone()).next().or_else(|| {
        // Damaged bytes may have held transitions of any stopped run.
        let damaged = parsed.items.iter().any(|item| matches!(item, Item::Bad { .. }));
        let stopped = history.runs.values().filter(|run| damaged && run.stopped.is_some());
        stopped.map(|run| run.head.run.clone()).min()
    })
}

/// What stays of a segment: the believed transitions of each run in it.
fn summary(number: u32, bytes: &[u8], parsed: &Parsed<'_>, history: &History) -> PrunedSegment {
    let mut runs: BTreeMap<&str, PrunedRun> = BTreeMap::new();
    for item in &parsed.items {
        let Item::Line { line: Line::Transition(record), from, .. } = item else { continue };
        let place = history.runs.get(record.run).and_then(|run| run.place(record.version));
        if place.is_none_or(|place| place.segment != number || u64::from(place.offset) != *from) {
            continue;
        }
        let entry = runs.entry(record.run).or_insert_with(|| PrunedRun {
            run: RunName::trusted(record.run),
            from: record.version,
            to: record.version,
            prev: record.prev,
            hash: Hash::ZERO,
            epoch: 0,
            at_ms: 0,
            is_final: false,
        });
        entry.to = record.version;
        entry.hash = record.hash();
        (entry.epoch, entry.at_ms, entry.is_final) = (record.epoch, record.at_ms, record.is_final);
    }
    let end = usize::try_from(parsed.end).unwrap_or(usize::MAX).min(bytes.len());
    let after = parsed.header.as_ref().and_then(|header: &Header| header.after);
    let runs = runs.into_values().collect();
    PrunedSegment { pruned: number, length: parsed.end, sha256: Hash::of(&bytes[..end]), after, runs }
}
