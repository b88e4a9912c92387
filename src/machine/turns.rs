//! Where each turn of a rollback stands: an index of the steps' values, kept by `apply`.
//!
//! A rollback of ten thousand steps asks after each undo for the next one. This answers without
//! walking the line. It never decides anything: start with [`Line::next`].

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::run::{Run, Turn};
use super::state::{Forward, Status, UndoState};
use crate::plan::StepIx;

/// Where a turn stands, for a fence step, a rollback check and an undo alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its turn has not come.
    Waiting,
    /// Something is under way, or follows by itself.
    Live,
    /// What it blocks may start.
    Well,
    /// Nothing follows by itself.
    Badly,
}

/// Where a step stands in the rollback.
pub(super) fn standing(run: &Run, ix: StepIx) -> Standing {
    match &run.step(ix).status {
        Status::Undo { state, .. } => match state {
            UndoState::Pending => Standing::Waiting,
            UndoState::Undoing(_)
            | UndoState::Backoff { .. }
            | UndoState::Waiting { .. }
            | UndoState::Unknown { probing: true, .. } => Standing::Live,
            UndoState::Undone { .. } | UndoState::Waived => Standing::Well,
            UndoState::Failed { .. } | UndoState::Unknown { probing: false, .. } => Standing::Badly,
        },
        Status::Forward(forward) => match forward {
            Forward::Pending | Forward::Ready => Standing::Waiting,
            Forward::Running(_)
            | Forward::Backoff { .. }
            | Forward::Waiting { .. }
            | Forward::Unknown { probing: true, .. } => Standing::Live,
            Forward::Succeeded | Forward::Skipped { .. } => Standing::Well,
            Forward::Failed { .. } | Forward::Unknown { probing: false, .. } | Forward::NotRun => Standing::Badly,
        },
    }
}

/// One of the two parts of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Brings users back.
    Restore,
    /// Removes what was built.
    Cleanup,
}

/// The turns of both parts, restore first, by where they stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    places: HashMap<StepIx, usize>,
    restore: usize,
    waiting: BTreeSet<usize>,
    live: BTreeSet<usize>,
    badly: BTreeSet<usize>,
    /// Waiting behind something that ended badly, directly or not.
    blocked: BTreeSet<usize>,
}

impl Line {
    /// The index of the turns of a run's rollback, as its steps stand now.
    pub(super) fn of(run: &Run, restore: &[Turn], cleanup: &[Turn]) -> Self {
        let turns = restore.iter().chain(cleanup);
        let places = turns.enumerate().map(|(place, turn)| (turn.step, place)).collect();
        let mut line = Self { places, restore: restore.len(), ..Self::default() };
        for (place, turn) in restore.iter().chain(cleanup).enumerate() {
            line.put(place, standing(run, turn.step));
        }
        line.block(restore, cleanup);
        line
    }

    fn put(&mut self, place: usize, at: Standing) {
        match at {
            Standing::Waiting => self.waiting.insert(place),
            Standing::Live => self.live.insert(place),
            Standing::Badly => self.badly.insert(place),
            Standing::Well => false,
        };
    }

    /// Takes in that a step changed. `badly` changes seldom, so the walk over all turns is rare.
    pub(super) fn note(&mut self, ix: StepIx, at: Standing, restore: &[Turn], cleanup: &[Turn]) {
        let Some(&place) = self.places.get(&ix) else { return };
        self.waiting.remove(&place);
        self.live.remove(&place);
        let was_bad = self.badly.remove(&place);
        self.put(place, at);
        if was_bad != (at == Standing::Badly) {
            self.block(restore, cleanup);
        }
    }

    /// Both parts are in an order in which what blocks comes before what it blocks.
    fn block(&mut self, restore: &[Turn], cleanup: &[Turn]) {
        self.blocked.clear();
        if self.badly.is_empty() {
            return;
        }
        for (place, turn) in restore.iter().chain(cleanup).enumerate() {
            let stops = |on: &StepIx| {
                self.places.get(on).is_some_and(|on| self.badly.contains(on) || self.blocked.contains(on))
            };
            if turn.blocked_by.iter().any(stops) {
                self.blocked.insert(place);
            }
        }
    }

    fn range(&self, part: Part) -> Range<usize> {
        match part {
            Part::Restore => 0..self.restore,
            Part::Cleanup => self.restore..usize::MAX,
        }
    }

    /// Whether something of the rollback is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.live.is_empty()
    }

    /// The first turn of a part that may be taken, as a place in that part.
    pub(super) fn next(&self, part: Part) -> Option<usize> {
        let range = self.range(part);
        let start = range.start;
        self.waiting.range(range).find(|place| !self.blocked.contains(place)).map(|place| place - start)
    }

    /// Whether every turn of a part went well or was waived.
    pub(super) fn is_well(&self, part: Part) -> bool {
        let range = self.range(part);
        self.waiting.range(range.clone()).next().is_none()
            && self.badly.range(range.clone()).next().is_none()
            && self.live.range(range).next().is_none()
    }

    /// Whether a step is a turn of the restore.
    pub(super) fn restores(&self, ix: StepIx) -> bool {
        self.places.get(&ix).is_some_and(|place| *place < self.restore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(step: StepIx, blocked_by: &[StepIx]) -> Turn {
        Turn { step, stage: None, after: vec![], blocked_by: blocked_by.to_vec() }
    }

    #[test]
    fn what_ended_badly_blocks_what_stands_behind_it_and_nothing_else() {
        let turns = [turn(7, &[]), turn(5, &[7]), turn(3, &[5]), turn(1, &[])];
        let places = turns.iter().enumerate().map(|(place, turn)| (turn.step, place)).collect();
        let mut line = Line { places, restore: 4, waiting: (0..4).collect(), ..Line::default() };
        assert_eq!(line.next(Part::Restore), Some(0));
        line.note(7, Standing::Badly, &turns, &[]);
        assert_eq!(line.next(Part::Restore), Some(3));
        line.note(1, Standing::Well, &turns, &[]);
        assert_eq!(line.next(Part::Restore), None);
        assert!(!line.is_well(Part::Restore));
        line.note(7, Standing::Well, &turns, &[]);
        assert_eq!(line.next(Part::Restore), Some(1));
    }
}
