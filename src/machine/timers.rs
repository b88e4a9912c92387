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
    /// The turn-back time comes soon.
    TurnBackNear,
    /// The turn-back time.
    TurnBack,
    /// The cutover may begin by itself.
    GoAt,
    /// Most of the time until a deadline that asks is used up. It goes with its deadline.
    Short(StepIx, Direction),
}

impl Timer {
    /// Whether people agreed on its time by the wall clock. All others count elapsed time.
    #[must_use]
    pub fn is_wall(self) -> bool {
        match self {
            Self::StartBy | Self::TurnBackNear | Self::TurnBack | Self::GoAt => true,
            Self::Deadline(..)
            | Self::Short(..)
            | Self::Estimate(_)
            | Self::Backoff(..)
            | Self::Approval(_)
            | Self::By(_)
            | Self::Repeat(_)
            | Self::Sample(_)
            | Self::MaxAge(_)
            | Self::Disarm(_)
            | Self::Window
            | Self::Settle
            | Self::Ready => false,
        }
    }
}

/// One time per subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timers {
    by_subject: BTreeMap<Timer, Millis>,
    /// Those that count elapsed time.
    by_time: BTreeSet<(Millis, Timer)>,
    /// Those that follow the wall clock.
    by_wall: BTreeSet<(Millis, Timer)>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Millis) {
        self.clear(timer);
        self.by_subject.insert(timer, at);
        let list = if timer.is_wall() { &mut self.by_wall } else { &mut self.by_time };
        list.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Timer::Deadline(ix, direction) = timer {
            self.clear(Timer::Short(ix, direction));
        }
        if let Some(at) = self.by_subject.remove(&timer) {
            let list = if timer.is_wall() { &mut self.by_wall } else { &mut self.by_time };
            list.remove(&(at, timer));
        }
    }

    /// Nothing is said of the turn-back time any more.
    pub(super) fn clear_turn_back(&mut self) {
        self.clear(Timer::TurnBackNear);
        self.clear(Timer::TurnBack);
    }

    pub(super) fn clear_all(&mut self) {
        *self = Self::default();
    }

    /// Nothing is waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    /// The earliest time of those that are not paused. `offset` is how far the wall clock is ahead.
    pub(super) fn earliest(&self, offset: Millis, paused: impl Fn(Timer) -> bool) -> Option<Millis> {
        let elapsed = self.by_time.iter().find(|(_, timer)| !paused(*timer)).map(|(at, _)| *at);
        let wall = self.by_wall.iter().find(|(_, timer)| !paused(*timer)).map(|(at, _)| at.saturating_sub(offset));
        match (elapsed, wall) {
            (Some(elapsed), Some(wall)) => Some(elapsed.min(wall)),
            (elapsed, wall) => elapsed.or(wall),
        }
    }

    /// Everything that is due and not paused, earliest first, as steady time.
    pub(super) fn due(&self, now: Millis, offset: Millis, paused: impl Fn(Timer) -> bool) -> Vec<(Timer, Millis)> {
        let elapsed = self.by_time.iter().take_while(|(at, _)| *at <= now).map(|(at, timer)| (*timer, *at));
        let wall = self.by_wall.iter().map(|(at, timer)| (*timer, at.saturating_sub(offset)));
        let wall = wall.take_while(|(_, at)| *at <= now);
        let mut due: Vec<(Timer, Millis)> = elapsed.chain(wall).filter(|(timer, _)| !paused(*timer)).collect();
        due.sort_by_key(|(timer, at)| (*at, *timer));
        due
    }

    /// The times of these subjects, to see later which of them were moved.
    pub(super) fn clone_subjects(&self, of: &[(Timer, Millis)]) -> BTreeMap<Timer, Millis> {
        of.iter().filter_map(|(timer, _)| Some((*timer, self.get(*timer)?))).collect()
    }

    /// When a subject is due: wall time for what people agreed on, else steady time.
    #[must_use]
    pub fn get(&self, timer: Timer) -> Option<Millis> {
        self.by_subject.get(&timer).copied()
    }
}
