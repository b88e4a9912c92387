//! What is due to be told, by whom it was not heard yet: derived from the run log, never queued beside it.
//!
//! Pure: it sees neither a clock nor a disk. Per outlet a [`Ledger`] keeps how far each run was told, and a [`Book`] reads
//! on from there. What is in neither is still in the log, so that a crash makes a notice come twice, with the same id, and
//! never makes it not come. Start with [`Book::take`], [`Book::wants`] and [`pick`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::loud::{Heard, Matter, heard};
use crate::machine::fact::Millis;
use crate::machine::run::Run;
use crate::machine::{Event, Now, Record};
use crate::view::Level;

/// After this what waits for nobody is history.
pub const OLD_MS: Millis = 24 * 60 * 60 * 1000;

/// What a person must come for now is told again after this.
pub const PAGE_AGAIN_MS: Millis = 5 * 60 * 1000;

/// What a person should answer is told again after this.
pub const ACT_AGAIN_MS: Millis = 15 * 60 * 1000;

/// Notices that wait at once; the log holds the rest.
const MOST_DUE: usize = 200;

/// When something of this level is told again.
#[must_use]
pub fn again_ms(level: Level) -> Millis {
    if level == Level::Page { PAGE_AGAIN_MS } else { ACT_AGAIN_MS }
}

/// A place between two transitions of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Transitions before it.
    pub version: u64,
    /// Events before it.
    pub sequence: u64,
}

/// What an outlet was told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Since when it is told anything.
    pub since: Millis,
    /// How far, by run.
    #[serde(default)]
    pub runs: BTreeMap<String, Entry>,
    /// What was told of the engine itself and goes on.
    #[serde(default)]
    pub troubles: BTreeMap<String, Trouble>,
}

/// How far a run was told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Everything before it was told, given up, or is for nobody.
    #[serde(flatten)]
    pub done: Mark,
    /// The same beyond it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub told: BTreeSet<u64>,
    /// What was told and still waits for somebody, by the sequence of its event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<u64, Open>,
}

/// What was told and still waits for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// Before its transition.
    pub before: Mark,
    /// How loud.
    pub level: Level,
    /// What.
    pub matter: Matter,
    /// How often it was told again.
    pub repeat: u32,
    /// When it was told last.
    pub told_at: Millis,
    /// Somebody knows of it: it is not told again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acknowledged: bool,
    /// A try that failed waits until then.
    #[serde(skip)]
    pub not_before: Millis,
    /// Tries in a row that failed.
    #[serde(skip)]
    pub tries: u32,
}

/// Something that is wrong with the engine itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// Since when: a part of its id.
    pub since: Millis,
    /// How often it was told.
    pub told: u32,
    /// When it may be told next.
    pub next_at: Millis,
    /// Tries in a row that failed.
    #[serde(skip)]
    pub tries: u32,
}

/// What has not been told yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Due {
    before: Mark,
    at: Millis,
    heard: Heard,
    /// A person did something on the run since.
    acknowledged: bool,
    not_before: Millis,
    tries: u32,
}

/// What an outlet wants to hear, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The least level.
    pub least: Level,
    /// What happened before is known there, unless it still waits.
    pub since: Millis,
}

/// What could be told now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The event.
    pub sequence: u64,
    /// Before its transition.
    pub before: Mark,
    /// How often it was told before.
    pub repeat: u32,
    /// How loud.
    pub level: Level,
    /// Not before.
    pub when: Millis,
    /// Tries in a row that failed.
    pub tries: u32,
}

/// One run, as an outlet was told of it.
#[derive(Debug, Clone, Default)]
pub struct Book {
    entry: Entry,
    read: Mark,
    due: BTreeMap<u64, Due>,
}

impl Book {
    /// Goes on after what was told.
    #[must_use]
    pub fn new(entry: Entry) -> Self {
        Self { read: entry.done, entry, due: BTreeMap::new() }
    }

    /// How far the log was read.
    #[must_use]
    pub fn read(&self) -> Mark {
        self.read
    }

    /// What a later engine has to know.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Nothing more is read before some of it was told.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.due.len() >= MOST_DUE
    }

    /// Nothing is to be told, now or later, unless something happens.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.due.is_empty() && self.entry.open.is_empty()
    }

    /// A transition that tells nobody anything.
    pub fn pass(&mut self, records: usize) {
        self.read = self.after(records);
        self.settle();
    }

    fn after(&self, records: usize) -> Mark {
        Mark { version: self.read.version + 1, sequence: self.read.sequence + records as u64 }
    }

    /// The next transition. `run` is known up to it at least. Answers how many notices are too old to be told.
    pub fn take(&mut self, run: &Run, now: Now, records: &[Record], rules: Rules) -> usize {
        let before = self.read;
        if records.iter().any(|record| record.by.is_some() && !matches!(record.event, Event::Created { .. })) {
            self.acknowledge(before);
        }
        let mut skipped = 0;
        for (sequence, record) in (before.sequence + 1..).zip(records) {
            if matches!(record.event, Event::WayBack { open: true }) {
                self.entry.open.retain(|_, open| open.matter != Matter::WayBack);
            }
            if self.entry.told.contains(&sequence) {
                continue;
            }
            let Some(heard) = heard(run, now, record).filter(|heard| heard.level >= rules.least) else { continue };
            match &heard.matter {
                // Nobody has to come any more: that it was answered is an event of its own.
                Some(matter) if !matter.is_open(run) => continue,
                Some(_) => {}
                None if record.at < rules.since => continue,
                None if record.at < now.steady - OLD_MS => {
                    skipped += 1;
                    continue;
                }
                None => {}
            }
            if !self.is_news(&heard) {
                continue;
            }
            let due = Due { before, at: record.at, heard, acknowledged: false, not_before: 0, tries: 0 };
            self.due.insert(sequence, due);
        }
        self.read = self.after(records.len());
        self.settle();
        skipped
    }

    /// Whether nobody was told of it. What waits anew, as after a second jump of the clock, takes the place of what waited
    /// before; what still waits, as a way back that is looked at again and again, is known.
    fn is_news(&mut self, heard: &Heard) -> bool {
        let Some(matter) = &heard.matter else { return true };
        let told = self.entry.open.values().map(|open| (Some(&open.matter), open.level));
        let due = self.due.values().map(|due| (due.heard.matter.as_ref(), due.heard.level));
        let is_known = told.chain(due).any(|(known, level)| known == Some(matter) && level >= heard.level);
        if is_known && matter.goes_on() {
            return false;
        }
        self.entry.open.retain(|_, open| open.matter != *matter);
        let same = |due: &Due| due.heard.matter.as_ref() == Some(matter);
        let older: Vec<u64> = self.due.iter().filter(|(_, due)| same(due)).map(|(sequence, _)| *sequence).collect();
        for sequence in older {
            self.due.remove(&sequence);
            self.entry.told.insert(sequence);
        }
        true
    }

    /// A person did something on the run after this: what waited then is known to somebody.
    fn acknowledge(&mut self, before: Mark) {
        for open in self.entry.open.values_mut().filter(|open| open.before < before) {
            open.acknowledged = true;
        }
        for due in self.due.values_mut().filter(|due| due.before < before) {
            due.acknowledged = true;
        }
    }

    /// The run moved on: what waits no more is not told any more. Answers how many became too old to be told.
    pub fn refresh(&mut self, run: &Run, now: Now) -> usize {
        let over = |matter: &Matter| !matter.is_open(run);
        self.entry.open.retain(|_, open| !over(&open.matter));
        let mut skipped = 0;
        self.due.retain(|_, due| match &due.heard.matter {
            Some(matter) => !over(matter),
            None if due.at < now.steady - OLD_MS => {
                skipped += 1;
                false
            }
            None => true,
        });
        self.settle();
        skipped
    }

    /// What could be told, now or later.
    pub fn wants(&self) -> impl Iterator<Item = Want> + '_ {
        let first = self.due.iter().map(|(sequence, due)| Want {
            sequence: *sequence,
            before: due.before,
            repeat: 0,
            level: due.heard.level,
            when: due.not_before,
            tries: due.tries,
        });
        let waiting = self.entry.open.iter().filter(|(_, open)| !open.acknowledged && open.matter.is_told_again());
        let again = waiting.map(|(sequence, open)| Want {
            sequence: *sequence,
            before: open.before,
            repeat: open.repeat + 1,
            level: open.level,
            when: open.not_before.max(open.told_at + again_ms(open.level)),
            tries: open.tries,
        });
        first.chain(again)
    }

    /// Whether it still is to be told, now or later.
    #[must_use]
    pub fn has(&self, sequence: u64) -> bool {
        self.due.contains_key(&sequence) || self.entry.open.contains_key(&sequence)
    }

    /// What waits for a person at an event.
    #[must_use]
    pub fn matter(&self, sequence: u64) -> Option<&Matter> {
        let due = self.due.get(&sequence).and_then(|due| due.heard.matter.as_ref());
        due.or_else(|| self.entry.open.get(&sequence).map(|open| &open.matter))
    }

    /// It was heard.
    pub fn delivered(&mut self, sequence: u64, now: Millis) {
        if let Some(due) = self.due.remove(&sequence) {
            self.entry.told.insert(sequence);
            if let Some(matter) = due.heard.matter {
                let (before, level, acknowledged) = (due.before, due.heard.level, due.acknowledged);
                let open =
                    Open { before, level, matter, repeat: 0, told_at: now, acknowledged, not_before: 0, tries: 0 };
                self.entry.open.insert(sequence, open);
            }
        } else if let Some(open) = self.entry.open.get_mut(&sequence) {
            open.repeat += 1;
            open.told_at = now;
            open.tries = 0;
        }
        self.settle();
    }

    /// It will never be heard.
    pub fn given_up(&mut self, sequence: u64) {
        if self.due.remove(&sequence).is_some() {
            self.entry.told.insert(sequence);
        }
        self.entry.open.remove(&sequence);
        self.settle();
    }

    /// It was not heard, and is tried again then.
    pub fn failed(&mut self, sequence: u64, again_at: Millis) {
        if let Some(due) = self.due.get_mut(&sequence) {
            due.tries += 1;
            due.not_before = again_at;
        } else if let Some(open) = self.entry.open.get_mut(&sequence) {
            open.tries += 1;
            open.not_before = again_at;
        }
    }

    /// Moves the mark as far as nothing waits before it.
    fn settle(&mut self) {
        self.entry.done = self.due.values().map(|due| due.before).min().unwrap_or(self.read);
        let done = self.entry.done.sequence;
        self.entry.told.retain(|sequence| *sequence > done);
    }
}

/// What is told next, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<K> {
    /// Now.
    Tell(K, Want),
    /// Nothing before then.
    Wait(Millis),
    /// Nothing, unless something happens.
    Nothing,
}

/// Chooses among what could be told: what never failed before what did, so that one notice that is not taken holds up
/// no other; then the loudest; then the earliest of a run.
pub fn pick<K>(wants: impl Iterator<Item = (K, Want)>, now: Millis) -> Next<K> {
    let mut best: Option<(K, Want)> = None;
    let mut earliest: Option<Millis> = None;
    let rank = |want: &Want| (want.tries, std::cmp::Reverse(want.level), want.sequence);
    for (key, want) in wants {
        if want.when > now {
            earliest = Some(earliest.map_or(want.when, |known| known.min(want.when)));
        } else if best.as_ref().is_none_or(|(_, known)| rank(&want) < rank(known)) {
            best = Some((key, want));
        }
    }
    match (best, earliest) {
        (Some((key, want)), _) => Next::Tell(key, want),
        (None, Some(when)) => Next::Wait(when),
        (None, None) => Next::Nothing,
    }
}
