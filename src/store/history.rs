//! The runs of a journal, folded from its lines in log order.
//!
//! One fold serves the start, the repair and the verification; it never reads a file and never guesses: a run that
//! cannot be followed without a gap stops here, with the reason. Start at [`History::take`] and [`History::finish`].

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::damage::{Cause, Damage, RepairNote, Spared, StoppedRun};
use super::format::{Record, Repair, Rewrite};
use super::log::RunEntry;
use super::pruned::PrunedRun;
use super::reader::Reader;
use super::record::{Cursor, Head, RunName};

/// Where a transition's line stands, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
}

impl Place {
    /// The cursor after the line.
    pub(super) fn cursor(self) -> Cursor {
        cursor_at(self.segment, u64::from(self.offset) + u64::from(self.len) + 1)
    }
}

/// The cursor that stands for an offset of a segment.
pub(super) fn cursor_at(segment: u32, offset: u64) -> Cursor {
    Cursor(u64::from(segment) << 32 | offset.min(u64::from(u32::MAX)))
}

/// The segment and the offset that a cursor stands for.
pub(super) fn place_of(cursor: Cursor) -> (u32, u64) {
    ((cursor.0 >> 32) as u32, cursor.0 & u64::from(u32::MAX))
}

/// One run, as far as it can be believed.
#[derive(Debug, Clone)]
pub(super) struct RunState {
    pub(super) head: Head,
    /// The version of `places[0]`; greater than 1 after pruning.
    pub(super) first: u64,
    /// One place a version, up to the head.
    pub(super) places: Vec<Place>,
    /// Why the run stops.
    pub(super) stopped: Option<Arc<StoppedRun>>,
    /// Whether an append of this run is under way.
    pub(super) busy: bool,
    /// How many damages had been met when the run's last believable transition was.
    sound_after: usize,
    broken: Option<Break>,
    unconnected: u64,
}

/// Where the chain of a run breaks.
#[derive(Debug, Clone, Copy)]
struct Break {
    version: u64,
    place: Place,
    /// How many damages had been met before it.
    damages: usize,
}

impl RunState {
    /// A run that does not exist yet.
    pub(super) fn new(run: RunName) -> Self {
        Self {
            head: Head::none(run),
            first: 1,
            places: Vec::new(),
            stopped: None,
            busy: false,
            sound_after: 0,
            broken: None,
            unconnected: 0,
        }
    }

    /// The place of a version, if it can be read.
    pub(super) fn place(&self, version: u64) -> Option<Place> {
        let index = version.checked_sub(self.first)?;
        self.places.get(usize::try_from(index).ok()?).copied()
    }

    /// Why damage leaves it alone; `None` if it is stopped, or nothing is damaged.
    pub(super) fn spared(&self, damages: &[Damage]) -> Option<Spared> {
        let last = damages.last().filter(|_| self.stopped.is_none() && self.head.version > 0)?;
        if self.sound_after < damages.len() {
            return Some(Spared::OverBefore);
        }
        let first = self.places.first().filter(|_| self.first == 1);
        let after = first.is_some_and(|place| (place.segment, u64::from(place.offset)) >= (last.segment, last.to));
        Some(if after { Spared::CreatedAfter } else { Spared::ChainFits })
    }

    /// The run as callers see it.
    pub(super) fn entry(&self) -> RunEntry {
        RunEntry { head: self.head.clone(), first: self.first, stopped: self.stopped.clone() }
    }

    /// Whether a head is in the run's history.
    fn holds(&self, reader: &Reader, head: &Head) -> bool {
        match head.version.cmp(&self.head.version) {
            Ordering::Greater => false,
            Ordering::Equal => head.hash == self.head.hash,
            // The next transition names the hash of the one before it. One that was pruned, or cannot be read now,
            // is no evidence of anything.
            Ordering::Less => match self.place(head.version + 1).map(|place| reader.transition(place)) {
                Some(Ok(Some(next))) => next.prev == head.hash,
                Some(Ok(None) | Err(_)) | None => true,
            },
        }
    }

    /// Stops the run, and says why.
    pub(super) fn stop(&mut self, cause: Cause) -> Arc<StoppedRun> {
        let stopped = Arc::new(StoppedRun {
            run: self.head.run.clone(),
            believable: self.head.version,
            cause,
            unconnected: self.unconnected,
        });
        self.stopped = Some(Arc::clone(&stopped));
        stopped
    }
}

/// Stops every run whose head elsewhere is ahead of the log, or not in its history. See `JournalFile::compare`.
pub(super) fn compare(runs: &mut HashMap<RunName, RunState>, reader: &Reader, heads: &[Head]) -> Vec<Arc<StoppedRun>> {
    let mut stopped = Vec::new();
    for head in heads.iter().filter(|head| head.version > 0) {
        let run = runs.entry(head.run.clone()).or_insert_with(|| RunState::new(head.run.clone()));
        if run.stopped.is_none() && !run.holds(reader, head) {
            stopped.push(run.stop(Cause::HeadElsewhere(Box::new(head.clone()))));
        }
    }
    stopped
}

/// What a transition's line did to the fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It continues its run.
    Fits,
    /// It is the head once more, as after a move to a new segment.
    Repeated,
    /// It does not continue its run.
    Unconnected,
}

/// All runs.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) runs: HashMap<RunName, RunState>,
    /// Damage before the end, in log order.
    pub(super) damages: Vec<Damage>,
    /// Decisions of earlier repairs.
    pub(super) repairs: Vec<RepairNote>,
    /// Transitions that stood in the journal twice.
    pub(super) repeated: usize,
    /// Names that were read in damaged bytes, with the index of the damage.
    names: Vec<(String, usize)>,
}

impl History {
    /// Notes damage, and the run names that can still be read in it.
    pub(super) fn damage(&mut self, damage: Damage, names: Vec<String>) {
        let index = self.damages.len();
        self.damages.push(damage);
        self.names.extend(names.into_iter().map(|name| (name, index)));
    }

    /// Folds in one transition.
    pub(super) fn take(&mut self, record: &Record<'_>, place: Place) -> Taken {
        let damages = self.damages.len();
        if !self.runs.contains_key(record.run) {
            let run = RunName::trusted(record.run);
            self.runs.insert(run.clone(), RunState::new(run));
        }
        let run = self.runs.get_mut(record.run).expect("it was inserted if it was missing");
        if run.broken.is_some() {
            run.unconnected += 1;
            return Taken::Unconnected;
        }
        let hash = record.hash();
        let follows = record.version == run.head.version + 1 && record.prev == run.head.hash;
        if follows && record.epoch >= run.head.epoch {
            run.head.version = record.version;
            run.head.epoch = record.epoch;
            run.head.hash = hash;
            run.head.at_ms = record.at_ms;
            run.head.is_final = record.is_final;
            run.head.cursor = place.cursor();
            run.places.push(place);
            run.sound_after = damages;
            return Taken::Fits;
        }
        if record.version == run.head.version && hash == run.head.hash {
            self.repeated += 1;
            return Taken::Repeated;
        }
        run.broken = Some(Break { version: record.version, place, damages });
        run.unconnected = 1;
        Taken::Unconnected
    }

    /// Folds in a decision.
    pub(super) fn decide(&mut self, repair: &Repair, segment: u32) {
        self.repairs.push(RepairNote {
            run: repair.repair.clone(),
            believed: repair.believe,
            reason: repair.reason.clone(),
            segment,
        });
        let damages = self.damages.len();
        let run = self.runs.entry(repair.repair.clone()).or_insert_with(|| RunState::new(repair.repair.clone()));
        run.sound_after = damages;
        run.unconnected = 0;
        if repair.believe == 0 {
            *run = RunState { sound_after: damages, ..RunState::new(repair.repair.clone()) };
            return;
        }
        if let Some(Rewrite { from, prev }) = repair.rewritten {
            // The believed transitions follow, from version 1 or from the first that was not pruned.
            *run = RunState { first: from, sound_after: damages, ..RunState::new(repair.repair.clone()) };
            run.head.version = from - 1;
            run.head.hash = prev;
            return;
        }
        if run.head.version < repair.believe {
            // More was lost since the decision; the break stays, or the missing versions make one.
            return;
        }
        let kept = usize::try_from((repair.believe + 1).saturating_sub(run.first)).unwrap_or(usize::MAX);
        run.places.truncate(kept);
        run.broken = None;
        let Repair { epoch, hash, at_ms, is_final, .. } = *repair;
        let cursor = run.places.last().map_or(Cursor::START, |place| place.cursor());
        run.head = Head { run: repair.repair.clone(), version: repair.believe, epoch, hash, at_ms, is_final, cursor };
    }

    /// Folds in what a pruned segment held of a run.
    pub(super) fn skip(&mut self, pruned: &PrunedRun) {
        let damages = self.damages.len();
        let run = self.runs.entry(pruned.run.clone()).or_insert_with(|| RunState::new(pruned.run.clone()));
        if run.broken.is_some() || run.head.version + 1 != pruned.from || run.head.hash != pruned.prev {
            run.unconnected += pruned.to + 1 - pruned.from;
            return;
        }
        let PrunedRun { epoch, hash, at_ms, is_final, .. } = *pruned;
        let run_name = pruned.run.clone();
        run.head = Head { run: run_name, version: pruned.to, epoch, hash, at_ms, is_final, cursor: Cursor::START };
        run.places.clear();
        run.first = pruned.to + 1;
        run.sound_after = damages;
    }

    /// Decides which runs stop, and says why. Call once, after the last line.
    pub(super) fn finish(&mut self) -> Vec<Arc<StoppedRun>> {
        for (name, index) in std::mem::take(&mut self.names) {
            if !self.runs.contains_key(name.as_str()) {
                let run = RunName::trusted(&name);
                let state = self.runs.entry(run.clone()).or_insert_with(|| RunState::new(run));
                state.stop(Cause::NameOnly(self.damages[index].clone()));
            }
        }
        for run in self.runs.values_mut().filter(|run| run.stopped.is_none()) {
            if let Some(Break { version, place, damages }) = run.broken {
                let damage = self.damages.get(run.sound_after..damages).and_then(|met| met.first()).cloned();
                let (segment, offset) = (place.segment, u64::from(place.offset));
                run.stop(Cause::ChainBroken { version, segment, offset, damage });
            } else if run.head.version > 0 && !run.head.is_final && run.sound_after < self.damages.len() {
                let damage = self.damages[run.sound_after].clone();
                run.stop(Cause::MayHaveLost(damage));
            }
        }
        let mut stopped: Vec<_> = self.runs.values().filter_map(|run| run.stopped.clone()).collect();
        stopped.sort_by(|a, b| a.run.cmp(&b.run));
        stopped
    }
}
