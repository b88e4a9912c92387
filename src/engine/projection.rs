//! What of the log can be queried: rows that the index in sled keeps, folded from transitions.
//!
//! A row says what lists and estimates need, without reading a run's history: how each run stands, and how long steps
//! took. It depends on the log alone, so that a rebuilt index is the same; and it holds nothing that nobody asks for.
//! [`LAYOUT`] counts up whenever it changes. Start with `project`; the rule of durations is `measure`.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::machine::fact::{Direction, End, Millis};
use crate::machine::{Event, Record, RunState};
use crate::plan::History;
use crate::store::index::{Change, Lookup, Projection, Tree};
use crate::store::{RunName, Transition, records};

/// The shape of the rows. An index of another layout is built anew.
pub const LAYOUT: u32 = 2;

/// How many durations of a step are kept, newest last.
const DURATIONS: usize = 20;

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRow {
    /// `application/number`.
    pub run: String,
    /// The hash of its plan, as it was amended last.
    pub plan: String,
    /// Where it stands.
    pub state: RunState,
    /// Since when.
    pub since: Millis,
    /// When it was created.
    pub created: Millis,
    /// Its newest event.
    pub updated: Millis,
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
    let Ok(records) = records(transition) else { return Vec::new() };
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
            });
        }
        if let Some(row) = &mut row {
            row.updated = record.at;
            if let Event::Amended { plan, .. } = &record.event {
                plan.as_str().clone_into(&mut row.plan);
            }
            if let Event::Moved { to, .. } = &record.event {
                row.state = *to;
                row.since = record.at;
            }
            measure(&mut Rows { run, lookup, changes: &mut changes }, record);
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

/// What is timed: one direction of a step.
type Slot = (Direction, String);

/// Where the rule of durations keeps what it knows of a run's attempts, and of those of its application.
trait Book {
    /// An attempt of this run began.
    fn begins(&mut self, slot: &Slot, at: Millis);
    /// It is over; answers when it began.
    fn ends(&mut self, slot: &Slot) -> Option<Millis>;
    /// The durations of the application's runs so far, newest last.
    fn known(&mut self, slot: &Slot) -> Vec<u64>;
    /// What they are now.
    fn keep(&mut self, slot: Slot, known: Vec<u64>);
}

/// The rule of durations: from the intent of an attempt to its end, if it succeeded; the newest [`DURATIONS`] of each
/// step count.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other events say nothing of durations")]
fn measure(book: &mut impl Book, record: &Record) {
    match &record.event {
        Event::AttemptIntended { step, direction, .. } => book.begins(&(*direction, step.to_string()), record.at),
        Event::AttemptEnded { step, direction, end, .. } => {
            let slot = (*direction, step.to_string());
            if let (Some(begun), End::Succeeded { .. }) = (book.ends(&slot), end) {
                let mut known = book.known(&slot);
                known.push(u64::try_from(record.at.saturating_sub(begun)).unwrap_or(0));
                known.drain(..known.len().saturating_sub(DURATIONS));
                book.keep(slot, known);
            }
        }
        _ => {}
    }
}

/// The index as a book.
struct Rows<'a, 'b> {
    run: &'a RunName,
    lookup: &'a Lookup<'b>,
    changes: &'a mut Vec<Change>,
}

impl Rows<'_, '_> {
    /// A value as it is after the changes so far: what is wanted may be in the very transition that is folded in.
    fn now<T: DeserializeOwned>(&self, wanted: Tree, key: &[u8]) -> Option<T> {
        let fresh = self.changes.iter().rev().find_map(|change| match change {
            Change::Put { tree, key: of, value } if *tree == wanted && of == key => Some(Some(value.clone())),
            Change::Delete { tree, key: of } if *tree == wanted && of == key => Some(None),
            Change::Put { .. } | Change::Delete { .. } => None,
        });
        let row = fresh.unwrap_or_else(|| self.lookup.get(wanted, key))?;
        serde_json::from_slice(&row).ok()
    }
}

impl Book for Rows<'_, '_> {
    fn begins(&mut self, (direction, step): &Slot, at: Millis) {
        self.changes.push(put(Tree::Views, begun_key(self.run.as_str(), step, *direction), &Begun { at }));
    }

    fn ends(&mut self, (direction, step): &Slot) -> Option<Millis> {
        let key = begun_key(self.run.as_str(), step, *direction);
        let begun = self.now::<Begun>(Tree::Views, &key).map(|begun| begun.at);
        self.changes.push(Change::Delete { tree: Tree::Views, key });
        begun
    }

    fn known(&mut self, (direction, step): &Slot) -> Vec<u64> {
        self.now(Tree::Durations, &duration_key(self.run.application(), step, *direction)).unwrap_or_default()
    }

    fn keep(&mut self, (direction, step): Slot, known: Vec<u64>) {
        self.changes.push(put(Tree::Durations, duration_key(self.run.application(), &step, direction), &known));
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
    begun: BTreeMap<Slot, Millis>,
    took: BTreeMap<Slot, Vec<u64>>,
}

impl Book for Stopwatch {
    fn begins(&mut self, slot: &Slot, at: Millis) {
        self.begun.insert(slot.clone(), at);
    }

    fn ends(&mut self, slot: &Slot) -> Option<Millis> {
        self.begun.remove(slot)
    }

    fn known(&mut self, slot: &Slot) -> Vec<u64> {
        self.took.remove(slot).unwrap_or_default()
    }

    fn keep(&mut self, slot: Slot, known: Vec<u64>) {
        self.took.insert(slot, known);
    }
}

impl Stopwatch {
    /// A run's records follow, from its first on.
    pub fn next_run(&mut self) {
        self.begun.clear();
    }

    /// Folds one record in.
    pub fn take(&mut self, record: &Record) {
        measure(self, record);
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
