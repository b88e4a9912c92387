//! A transition in the making: the run with its new events folded in, not yet durable.

use std::sync::Arc;

use super::apply::Illegal;
use super::command::Command;
use super::event::{Event, Record};
use super::fact::{Actor, Millis};
use super::run::Run;

/// The time of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock. Only what people agreed on the wall clock looks at it.
    pub wall: Millis,
    /// Wall time when the engine started plus the time that has elapsed since: never jumps.
    pub steady: Millis,
}

/// What the run log has room for. A disk that fills up must leave room for the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Room {
    /// For the way back only, and little of it: nothing forwards, no checks, no samples.
    OnlyBack,
    /// For what was kept ahead: nothing forwards, no checks, samples seldom.
    Scarce,
    /// The disk is not full.
    #[default]
    Enough,
}

/// Events and the commands that they lead to, folded into the run as they are decided.
///
/// Either the journal makes them durable and hands out permits, or the draft is thrown away
/// together with the run, which is then read again from the log.
#[derive(Debug)]
pub struct Draft<'run> {
    run: &'run mut Run,
    now: Now,
    entropy: u64,
    room: Room,
    unattended: bool,
    records: Vec<Record>,
    commands: Vec<Command>,
    by: Option<Actor>,
    reason: Option<Arc<str>>,
}

impl<'run> Draft<'run> {
    /// An empty draft. `entropy` feeds the jitter of retries.
    pub fn new(run: &'run mut Run, now: Now, entropy: u64) -> Self {
        Self {
            run,
            now,
            entropy,
            room: Room::Enough,
            unattended: false,
            records: Vec::new(),
            commands: Vec::new(),
            by: None,
            reason: None,
        }
    }

    /// The same where the log has only so much room.
    #[must_use]
    pub fn with_room(mut self, room: Room) -> Self {
        self.room = room;
        self
    }

    /// The same where no engine executes the run: what is under way is of a dead one.
    #[must_use]
    pub fn unattended(mut self) -> Self {
        self.unattended = true;
        self
    }

    pub(super) fn is_unattended(&self) -> bool {
        self.unattended
    }

    pub(super) fn room(&self) -> Room {
        self.room
    }

    /// The run with everything that was decided so far.
    #[must_use]
    pub fn run(&self) -> &Run {
        self.run
    }

    /// The time of the input.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// What was decided.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Ends the draft: the records to write and the commands that they will permit.
    #[must_use]
    pub fn finish(self) -> (Vec<Record>, Vec<Command>) {
        (self.records, self.commands)
    }

    pub(super) fn author(&self) -> Option<Actor> {
        self.by.clone()
    }

    pub(super) fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    pub(super) fn reason(&self) -> Option<Arc<str>> {
        self.reason.clone()
    }

    pub(super) fn set_author(&mut self, by: Option<Actor>, reason: Option<Arc<str>>) {
        self.by = by;
        self.reason = reason;
    }

    /// Decides an event: folds it in and keeps its commands.
    pub(super) fn emit(&mut self, event: Event) -> Result<(), Illegal> {
        let record = Record { at: self.now.steady, by: self.by.clone(), reason: self.reason.clone(), event };
        self.commands.extend(self.run.apply(&record)?);
        self.records.push(record);
        Ok(())
    }

    /// A number below `below`, from the draft's entropy (xorshift; jitter needs no more).
    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.entropy ^= self.entropy << 13;
        self.entropy ^= self.entropy >> 7;
        self.entropy ^= self.entropy << 17;
        if below == 0 { 0 } else { self.entropy % below }
    }
}
