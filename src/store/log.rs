//! The contract of a run log, whatever keeps it: [`RunLog`], and how to follow one with [`Watch`].
//!
//! Written so that a replicated log can implement it later, one message a transition. Its callers must therefore never
//! assume more than stands here: a refusal may be spurious, an answer may be lost, a cursor is opaque. Start at
//! [`RunLog::append`] and [`settle`].

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::damage::{OpenReport, StoppedRun};
use super::error::StoreError;
use super::format;
use super::record::{Cursor, Head, NewTransition, RunName, Transition};

/// What became of an append.
#[derive(Debug, Clone)]
#[must_use = "only `Done` means that the transition is in the log"]
pub enum Appended {
    /// It is durable. This is the run's head now.
    Done(Head),
    /// It was refused, because the run is not at the expected version, or a greater epoch owns it.
    ///
    /// A log on several machines may refuse although nothing changed. If this head still is what the caller expected,
    /// the same append may be tried again.
    Conflict(Head),
    /// Nothing of it is in the log, and nothing of it will appear there.
    NotWritten(StoreError),
    /// It may be in the log or not. Read the head ([`settle`] does) before doing anything else with the run.
    InDoubt(StoreError),
}

/// What stands in the log after an append in doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The transition is there, and this is the head after it.
    Mine(Head),
    /// It is not there, and the run is still where it was. The same append may be tried again.
    Absent(Head),
    /// The run went on without it: another owner appended.
    Other(Head),
}

/// Finds out whether `new`, appended after a transition with the hash of `before`, is in the log.
///
/// # Errors
/// When the log cannot be read; then nothing is known yet.
pub async fn settle(log: &dyn RunLog, new: &NewTransition, before: &Head) -> Result<Settled, StoreError> {
    let head = log.head(&new.run).await?;
    if head.version == new.expected && head.hash == before.hash {
        return Ok(Settled::Absent(head));
    }
    let mine = format::hash_of(&new.after(before.hash));
    let found = if head.version == new.expected + 1 {
        Some(head.hash)
    } else {
        let page = log.read(&new.run, new.expected + 1, 1).await?;
        page.first().map(format::hash_of)
    };
    Ok(if found == Some(mine) { Settled::Mine(head) } else { Settled::Other(head) })
}

/// A run as the log knows it.
#[derive(Debug, Clone)]
pub struct RunEntry {
    /// How far it has come.
    pub head: Head,
    /// The first version that can still be read; greater than 1 after pruning.
    pub first: u64,
    /// Why it stops until repaired, if it does.
    pub stopped: Option<Arc<StoppedRun>>,
}

/// The right to append to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunName,
    /// The epoch that the owner's appends carry. It is greater than every epoch in the log, and the owner's first
    /// append makes it known: the log is the fence, the lease only says who may try.
    pub epoch: u64,
}

/// What *done* promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed with fdatasync on this machine: it survives a power loss.
    Synced,
    /// Kept in memory: it ends with the process.
    Memory,
    /// Flushed on so many machines.
    Replicated {
        /// Copies that have it when an append is answered.
        copies: u8,
    },
}

/// An append-only log of transitions, ordered within each run, with compare-and-set.
#[async_trait]
pub trait RunLog: Send + Sync {
    /// Appends one transition if the run is at the expected version and no greater epoch owns it.
    ///
    /// Dropping the future neither stops nor undoes the append.
    async fn append(&self, new: NewTransition) -> Appended;

    /// Reads at most `limit` transitions of a run, in order, from version `from` (counted from 1).
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a stopped run, [`StoreError::Pruned`], or what the disk answered.
    async fn read(&self, run: &RunName, from: u64, limit: usize) -> Result<Vec<Transition>, StoreError>;

    /// How far a run has come; version 0 if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a stopped run, [`StoreError::Closed`] while the log is closed.
    async fn head(&self, run: &RunName) -> Result<Head, StoreError>;

    /// All runs, stopped ones included, in the order of their names.
    ///
    /// # Errors
    /// What the log answered.
    async fn runs(&self) -> Result<Vec<RunEntry>, StoreError>;

    /// Reads about `limit` transitions of all runs after a cursor, in log order. Empty means that none is there yet.
    ///
    /// # Errors
    /// What the disk answered.
    async fn page(&self, after: Cursor, limit: usize) -> Result<Vec<(Cursor, Transition)>, StoreError>;

    /// The cursor of the last durable transition, as it moves. The receiver closes with the log.
    fn news(&self) -> watch::Receiver<Cursor>;

    /// Claims a run: the answer's epoch is for the owner's appends.
    ///
    /// # Errors
    /// [`StoreError::Claimed`] if somebody else holds it, [`StoreError::Corrupt`] for a stopped run.
    async fn claim(&self, run: &RunName) -> Result<Lease, StoreError>;

    /// Renews a lease before it ends.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: stop acting for the run at once.
    async fn renew(&self, lease: &Lease) -> Result<(), StoreError>;

    /// Gives a run back.
    async fn release(&self, lease: Lease);

    /// After the log closed itself on a failure: reads everything again and goes on if that works.
    ///
    /// # Errors
    /// What still stands in the way. The log stays closed.
    async fn reopen(&self) -> Result<OpenReport, StoreError>;

    /// Finishes what is being appended and closes. Later appends are answered *not written*.
    ///
    /// # Errors
    /// What the disk answered; everything that was acknowledged is durable all the same.
    async fn close(&self) -> Result<(), StoreError>;

    /// Writes nothing any more, not even an end: somebody else may own what this log writes to. It stays so.
    fn abandon(&self) {}

    /// What *done* promises.
    fn durability(&self) -> Durability;

    /// While there is no more room: how many bytes can still be written of what was kept ahead. `None` if there is.
    fn room_left(&self) -> Option<u64> {
        None
    }

    /// Looks whether there is room again, and makes what is kept for a full disk. Costs a little; whoever holds appends
    /// back for lack of room has to ask, because nothing else will find out.
    async fn make_room(&self) {}
}

/// How many transitions a [`Watch`] reads at a time.
pub(super) const PAGE: usize = 256;

/// Follows all runs of a log from a cursor. It reads the log again rather than queueing, so a slow reader misses
/// nothing and holds nobody up.
pub struct Watch {
    log: Arc<dyn RunLog>,
    news: watch::Receiver<Cursor>,
    at: Cursor,
    ready: VecDeque<(Cursor, Transition)>,
}

impl Watch {
    /// Follows `log` from after `from`.
    #[must_use]
    pub fn new(log: Arc<dyn RunLog>, from: Cursor) -> Self {
        let news = log.news();
        Self { log, news, at: from, ready: VecDeque::new() }
    }

    /// The next transition and the cursor after it; waits for one. `None` when the log is closed and all is read.
    ///
    /// # Errors
    /// What reading the log answered; the same place is read again by the next call.
    pub async fn next(&mut self) -> Result<Option<(Cursor, Transition)>, StoreError> {
        loop {
            if let Some((cursor, transition)) = self.ready.pop_front() {
                return Ok(Some((cursor, transition)));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// All that is there, at least one transition; waits for it. Empty when the log is closed and all is read.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub async fn next_page(&mut self) -> Result<Vec<(Cursor, Transition)>, StoreError> {
        while self.ready.is_empty() && self.fill().await? {}
        Ok(self.ready.drain(..).collect())
    }

    /// Reads the next page, waiting for news if there is none. `false` when the log is closed and all is read.
    async fn fill(&mut self) -> Result<bool, StoreError> {
        loop {
            // Marked as seen before reading: what arrives during the read wakes the wait below.
            self.news.mark_unchanged();
            let closed = self.news.has_changed().is_err();
            let page = self.log.page(self.at, PAGE).await?;
            if let Some((cursor, _)) = page.last() {
                self.at = *cursor;
                self.ready.extend(page);
                return Ok(true);
            }
            if closed {
                return Ok(false);
            }
            if self.news.changed().await.is_err() {
                continue;
            }
        }
    }
}
