//! What of the log can be queried: rows that the index in sled keeps, folded from transitions.
//!
//! A row says what lists, schedulers and estimates need, without reading a run's history: how each
//! run stands, its open questions, deadlines and locks, and how long steps took. It depends on the
//! log alone, so that a rebuilt index is the same. [`LAYOUT`] counts up whenever it changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::machine::fact::{Direction, End, LockScope, Millis};
use crate::machine::{Event, Record, RunState};
use crate::plan::History;
use crate::store::index::{Change, Lookup, Projection, Tree};
use crate::store::{RunName, Transition};

/// The shape of the rows. An index of another layout is built anew.
pub const LAYOUT: u32 = 1;

/// How many durations of a step are kept, newest last.
const DURATIONS: usize = 20;

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRow {
    /// `application/number`.
    pub run: String,
    /// The hash of its plan.
    pub plan: String,
    /// Where it stands.
    pub state: RunState,
    /// Since when.
    pub since: Millis,
    /// When it was created.
    pub created: Millis,
    /// Its newest event.
    pub updated: Millis,
    /// Events so far.
    pub sequence: u64,
    /// Open questions.
    pub questions: u32,
    /// Forward work waits for `resume`.
    pub held: bool,
    /// The window's deadline, once it opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Millis>,
}

/// An attempt that has not ended.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    at: Millis,
}

/// The key of a run's row.
fn row_key(run: &str) -> Vec<u8> {
    format!("run/{run}").into_bytes()
}

/// The prefix of all runs' rows.
const ROWS: &[u8] = b"run/";

fn begun_key(run: &str, step: &str, direction: Direction) -> Vec<u8> {
    format!("begun/{run}/{step}/{direction:?}").into_bytes()
}

fn duration_key(application: &str, step: &str, direction: Direction) -> Vec<u8> {
    let way = match direction {
        Direction::Forward => "forward",
        Direction::Undo => "undo",
    };
    format!("{application}/{way}/{step}").into_bytes()
}

/// The projection of the index.
#[must_use]
pub fn projection() -> Projection {
    Box::new(project)
}

fn project(transition: &Transition, lookup: &Lookup<'_>) -> Vec<Change> {
    // A record that this program does not know changes no row: the log stays the truth.
    let Ok(records) = serde_json::from_str::<Vec<Record>>(transition.payload.as_str()) else { return Vec::new() };
    let run = &transition.run;
    let mut row = lookup.get(Tree::Views, &row_key(run.as_str())).and_then(|row| serde_json::from_slice(&row).ok());
    let mut changes = Vec::new();
    for record in &records {
        if let Event::Created { plan, .. } = &record.event {
            row = Some(RunRow {
                run: run.as_str().to_owned(),
                plan: plan.as_str().to_owned(),
                state: RunState::Created,
                since: record.at,
                created: record.at,
                updated: record.at,
                sequence: 0,
                questions: 0,
                held: false,
                window: None,
            });
        }
        if let Some(row) = &mut row {
            take(row, record);
            beside(row, run, record, lookup, &mut changes);
        }
    }
    if let Some(row) = row {
        changes.push(put(Tree::Views, row_key(run.as_str()), &row));
    }
    changes
}

fn put<T: Serialize>(tree: Tree, key: Vec<u8>, value: &T) -> Change {
    let value = serde_json::to_vec(value).expect("a row has only string keys and finite numbers");
    Change::Put { tree, key, value }
}

/// What an event says of the run as a whole.
#[expect(clippy::wildcard_enum_match_arm, reason = "a row tells less than the log")]
fn take(row: &mut RunRow, record: &Record) {
    row.sequence += 1;
    row.updated = record.at;
    match &record.event {
        Event::Moved { to, .. } => {
            row.state = *to;
            row.since = record.at;
        }
        Event::Asked { .. } => row.questions += 1,
        Event::Closed { .. } => row.questions = row.questions.saturating_sub(1),
        Event::Held { .. } => row.held = true,
        Event::Resumed => row.held = false,
        Event::WindowOpened { deadline } | Event::WindowExtended { deadline } => row.window = Some(*deadline),
        _ => {}
    }
}

/// What an event says of questions, deadlines, locks and durations.
#[expect(clippy::wildcard_enum_match_arm, reason = "most events say nothing of these")]
fn beside(row: &RunRow, run: &RunName, record: &Record, lookup: &Lookup<'_>, changes: &mut Vec<Change>) {
    let of_run = |what: &str| format!("{}/{what}", run.as_str()).into_bytes();
    match &record.event {
        Event::Asked { question, kind } => changes.push(put(Tree::Questions, of_run(&question.to_string()), kind)),
        Event::Closed { question, .. } => {
            changes.push(Change::Delete { tree: Tree::Questions, key: of_run(&question.to_string()) });
        }
        Event::WindowOpened { deadline } | Event::WindowExtended { deadline } => {
            changes.push(put(Tree::Timers, of_run("window"), deadline));
        }
        Event::LocksGranted { scope } => changes.push(put(Tree::Locks, of_run(&scope_name(scope)), &"held")),
        Event::LocksAwaited { scope, held_by } => changes.push(put(Tree::Locks, of_run(&scope_name(scope)), held_by)),
        Event::Moved { to, .. } if to.is_final() => {
            for tree in [Tree::Questions, Tree::Timers, Tree::Locks] {
                let rows = lookup.scan(tree, format!("{}/", run.as_str()).as_bytes(), usize::MAX);
                changes.extend(rows.into_iter().map(|(key, _)| Change::Delete { tree, key }));
            }
        }
        Event::AttemptIntended { step, direction, .. } => {
            let key = begun_key(&row.run, step.as_str(), *direction);
            changes.push(put(Tree::Views, key, &Begun { at: record.at }));
        }
        Event::AttemptEnded { step, direction, end, .. } => {
            let key = begun_key(&row.run, step.as_str(), *direction);
            if let (Some(begun), End::Succeeded { .. }) = (begun(changes, lookup, &key), end) {
                let took = u64::try_from(record.at.saturating_sub(begun)).unwrap_or(0);
                let slot = duration_key(run.application(), step.as_str(), *direction);
                let mut known: Vec<u64> = lookup
                    .get(Tree::Durations, &slot)
                    .and_then(|row| serde_json::from_slice(&row).ok())
                    .unwrap_or_default();
                known.push(took);
                let over = known.len().saturating_sub(DURATIONS);
                known.drain(..over);
                changes.push(put(Tree::Durations, slot, &known));
            }
            changes.push(Change::Delete { tree: Tree::Views, key });
        }
        _ => {}
    }
}

/// When an attempt began; its intent may be in the very transition that is folded in.
fn begun(changes: &[Change], lookup: &Lookup<'_>, wanted: &[u8]) -> Option<Millis> {
    let fresh = changes.iter().rev().find_map(|change| match change {
        Change::Put { tree: Tree::Views, key, value } if key == wanted => Some(value.clone()),
        Change::Put { .. } | Change::Delete { .. } => None,
    });
    let row = fresh.or_else(|| lookup.get(Tree::Views, wanted))?;
    serde_json::from_slice::<Begun>(&row).ok().map(|begun| begun.at)
}

fn scope_name(scope: &LockScope) -> String {
    match scope {
        LockScope::Run => "run".to_owned(),
        LockScope::Rest => "rest".to_owned(),
        LockScope::Step(step) => format!("step/{step}"),
    }
}

/// All runs, in the order of their names.
#[must_use]
pub fn rows(lookup: &Lookup<'_>) -> Vec<RunRow> {
    let found = lookup.scan(Tree::Views, ROWS, usize::MAX);
    found.into_iter().filter_map(|(_, row)| serde_json::from_slice(&row).ok()).collect()
}

/// How long a step took, newest last: direction, step, milliseconds.
pub type Took = (Direction, String, Vec<u64>);

/// The median of each step's newest durations.
#[must_use]
pub fn medians(found: Vec<Took>) -> History {
    let mut history = History::default();
    for (direction, step, mut took) in found {
        took.sort_unstable();
        let Some(median) = took.get(took.len() / 2).copied() else { continue };
        let of = match direction {
            Direction::Forward => &mut history.steps,
            Direction::Undo => &mut history.undos,
        };
        of.insert(step.as_str().into(), median);
    }
    history
}

/// The same durations as in the index, folded from records: for looking without an engine.
#[derive(Debug, Default)]
pub struct Stopwatch {
    begun: BTreeMap<(Direction, String), Millis>,
    took: BTreeMap<(Direction, String), Vec<u64>>,
}

impl Stopwatch {
    /// A run's records follow, from its first on.
    pub fn next_run(&mut self) {
        self.begun.clear();
    }

    /// Folds one record in.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other events say nothing of durations")]
    pub fn take(&mut self, record: &Record) {
        match &record.event {
            Event::AttemptIntended { step, direction, .. } => {
                self.begun.insert((*direction, step.to_string()), record.at);
            }
            Event::AttemptEnded { step, direction, end, .. } => {
                let key = (*direction, step.to_string());
                if let (Some(begun), End::Succeeded { .. }) = (self.begun.remove(&key), end) {
                    let known = self.took.entry(key).or_default();
                    known.push(u64::try_from(record.at.saturating_sub(begun)).unwrap_or(0));
                    let over = known.len().saturating_sub(DURATIONS);
                    known.drain(..over);
                }
            }
            _ => {}
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(self) -> Vec<Took> {
        self.took.into_iter().map(|((direction, step), took)| (direction, step, took)).collect()
    }
}

/// How long the steps of an application took, in the order of directions and names.
#[must_use]
pub fn durations(lookup: &Lookup<'_>, application: &str) -> Vec<Took> {
    let mut found = Vec::new();
    for (way, direction) in [("forward", Direction::Forward), ("undo", Direction::Undo)] {
        let prefix = format!("{application}/{way}/");
        for (key, row) in lookup.scan(Tree::Durations, prefix.as_bytes(), usize::MAX) {
            let step = key.get(prefix.len()..).and_then(|step| std::str::from_utf8(step).ok());
            if let (Some(step), Ok(took)) = (step, serde_json::from_slice(&row)) {
                found.push((direction, step.to_owned(), took));
            }
        }
    }
    found
}
