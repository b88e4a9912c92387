//! Attempts of which nobody proved that they ended: what an engine that starts must hunt, and what keeps locks.
//!
//! An answer ends one, and so does a new owner that ended its processes. What a person says of the step, or a step that
//! moves on without it, ends none. It must never be guessed from a step's value. Start with [`Loose`].

use std::collections::BTreeSet;
use std::sync::Arc;

use super::apply::{Illegal, find};
use super::apply_run::release_after_the_end;
use super::command::Command;
use super::fact::{AttemptName, Direction, End, Work};
use super::run::Run;
use crate::plan::StepIx;

/// What is known of an attempt of which nobody proved that it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unended {
    /// Its answer is still to come.
    Awaited,
    /// It answered that something of it may still act.
    Adrift,
    /// Its engine died, and the next one could not see whether it ended.
    OutOfSight,
}

/// One attempt of a run: its step, its direction, its number.
pub type AttemptKey = (StepIx, Direction, u32);

/// An attempt of which nobody proved that it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// What is known of it.
    pub how: Unended,
    /// The id of the state directory in which it was begun; absent in the logs of older releases.
    pub place: Option<Arc<str>>,
}

impl Run {
    /// Whether the newest attempt of a step in one direction is not proved to have ended.
    #[must_use]
    pub fn is_unended(&self, ix: StepIx, direction: Direction) -> bool {
        let record = self.step(ix);
        let number = match direction {
            Direction::Forward => record.attempts,
            Direction::Undo => record.undo_attempts,
        };
        self.unended.contains_key(&(ix, direction, number))
    }

    /// Whether an attempt of this engine has not answered yet: its locks stay where they are.
    #[must_use]
    pub fn awaits_an_end(&self) -> bool {
        self.unended.values().any(|loose| loose.how == Unended::Awaited)
    }

    /// The same of one step.
    #[must_use]
    pub fn awaits_an_end_of(&self, ix: StepIx) -> bool {
        let of_step = (ix, Direction::Forward, 0)..=(ix, Direction::Undo, u32::MAX);
        self.unended.range(of_step).any(|(_, loose)| loose.how == Unended::Awaited)
    }
}

/// An attempt begins.
pub(super) fn begun(run: &mut Run, attempt: AttemptKey) {
    let loose = Loose { how: Unended::Awaited, place: run.place.clone() };
    run.unended.insert(attempt, loose);
}

/// An attempt answered, which proves that it ended unless it says that it may go on. A run that is over waited for that.
pub(super) fn answered(run: &mut Run, attempt: AttemptKey, end: &End) -> Vec<Command> {
    if matches!(end, End::Unknown { work: Work::MayGoOn, .. }) {
        if let Some(loose) = run.unended.get_mut(&attempt) {
            loose.how = Unended::Adrift;
        }
    } else {
        run.unended.remove(&attempt);
    }
    release_after_the_end(run)
}

/// The processes of dead attempts were ended before anything else. Only those named here, and work elsewhere, may go on.
pub(super) fn only_these_may_go_on(run: &mut Run, unended: &[AttemptName]) -> Result<(), Illegal> {
    let mut named = BTreeSet::new();
    for AttemptName { step, direction, attempt } in unended {
        named.insert((find(run, step)?, *direction, *attempt));
    }
    run.unended.retain(|key, loose| {
        loose.how = Unended::OutOfSight;
        named.contains(key)
    });
    for ix in 0..run.steps.len() {
        let goes_on = run.steps[ix].attached.is_some() || run.is_unended(ix, Direction::Forward);
        run.steps[ix].unsettled &= goes_on;
    }
    Ok(())
}

/// A person said what is the case with a step: what no engine could see of it is as they say.
pub(super) fn said(run: &mut Run, ix: StepIx) {
    run.unended.retain(|(of, ..), loose| *of != ix || loose.how != Unended::OutOfSight);
}
