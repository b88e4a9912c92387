//! What is due when: one time per subject, the earliest at hand.

use std::collections::{BTreeMap, BTreeSet};

use super::fact::{Direction, Millis};
use crate::plan::StepIx;

/// What a time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// An attempt runs out of time.
    Deadline(StepIx, Direction),
    /// A step takes longer than its estimate.
    Estimate(StepIx),
    /// The next attempt begins.
    Backoff(StepIx, Direction),
    /// An approval expires.
    Approval(StepIx),
    /// A post-check must have passed.
    By(StepIx),
    /// A check is repeated.
    Repeat(StepIx),
    /// A criterion is sampled.
    Sample(usize),
    /// A criterion becomes blind.
    MaxAge(usize),
    /// A criterion is armed again.
    Disarm(usize),
    /// The window closes.
    Window,
    /// What runs is not waited for any longer.
    Settle,
    /// The start window ends.
    StartBy,
    /// The way back is checked.
    Ready,
    /// The turn-back time.
    TurnBack,
}

/// One time per subject.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    by_subject: BTreeMap<Timer, Millis>,
    by_time: BTreeSet<(Millis, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Millis) {
        self.clear(timer);
        self.by_subject.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.by_subject.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(super) fn clear_all(&mut self) {
        self.by_subject.clear();
        self.by_time.clear();
    }

    /// The earliest time.
    #[must_use]
    pub fn next(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Everything that is due, earliest first.
    #[must_use]
    pub fn all_due(&self, now: Millis) -> Vec<(Timer, Millis)> {
        self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(at, timer)| (*timer, *at)).collect()
    }

    /// When a subject is due.
    #[must_use]
    pub fn get(&self, timer: Timer) -> Option<Millis> {
        self.by_subject.get(&timer).copied()
    }
}
