//! Group commit: the first append that waits writes and flushes for all that wait.
//!
//! An append is admitted and encoded by its own caller, so that the one who flushes only joins bytes. While a flush
//! runs, the appends that arrive form the next batch. No lock here is held across an await, and the only code that
//! blocks is [`Shared::flush`] and [`Shared::drain`]. Start at [`Shared::admit`]; who flushes is decided in `lead.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bascule_plugin::on_one_line;
use tokio::sync::{oneshot, watch};

use super::error::StoreError;
use super::format::Draft;
use super::history::{Place, RunState, cursor_at};
use super::log::Appended;
use super::record::{Cursor, Head, NewTransition, RunName};
use super::writer::{Failure, Reached, Then, Writer};

/// The most bytes that one flush writes, so that a flood cannot make one flush endless.
const BATCH_BYTES: usize = 32 << 20;

/// What appends, readers and the one who flushes share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Held for the whole of a flush. Taken before `state`, never after.
    pub(super) writer: Mutex<Writer>,
    /// The most bytes of a transition.
    pub(super) largest: usize,
    /// Counts batches, for appends that wait for an earlier one of the same run.
    turns: watch::Sender<u64>,
    /// How long the last batch took, in microseconds.
    took_us: AtomicU64,
    /// How many appends it served.
    served: AtomicUsize,
}

/// What can be asked without touching the disk.
pub(super) struct State {
    pub(super) runs: HashMap<RunName, RunState>,
    /// The byte after the last readable line of every segment on the disk.
    pub(super) segments: BTreeMap<u32, u64>,
    pub(super) claimed: HashSet<RunName>,
    pub(super) closed: Option<Closing>,
    /// What can still be written while the disk is full; `None` if it is not.
    pub(super) room_left: Option<u64>,
    /// Gone once the journal is closed in order, so that followers end.
    pub(super) news: Option<watch::Sender<Cursor>>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// Whether somebody is flushing, or is about to.
    pub(super) leading: bool,
    /// Counts how often everything was read from the disk, so that an append that was admitted before is not mistaken
    /// for one that was admitted since.
    reading: u64,
}

/// Why nothing can be appended.
#[derive(Debug, Clone)]
pub(super) enum Closing {
    /// It was asked to close.
    Ordered,
    /// A write or a flush failed, so what is on the disk has to be read again first.
    Failed(Arc<str>),
    /// Somebody else may own it.
    Lost,
}

impl Closing {
    pub(super) fn error(&self) -> StoreError {
        match self {
            Self::Ordered => StoreError::Closed { cause: "it was closed".into() },
            Self::Failed(cause) => StoreError::Closed { cause: Arc::clone(cause) },
            Self::Lost => StoreError::Closed { cause: "this process lost the state directory".into() },
        }
    }
}

/// A flush that took longer is waited for where it holds up no other task.
const QUICK: Duration = Duration::from_millis(2);

/// How long somebody who gathers sleeps before looking again.
const GLANCE: Duration = Duration::from_micros(20);

/// Which reading of the disk an append was admitted after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading(u64);

/// An append that waits for its flush.
pub(super) struct Pending {
    pub(super) draft: Draft,
    pub(super) head: Head,
    pub(super) answer: oneshot::Sender<Appended>,
}

/// What the state says about an append.
pub(super) enum Admission {
    /// It may go on, after a transition with this head.
    Go(Head, Reading),
    /// It was answered.
    Answered(Appended),
    /// Another append of the run is under way.
    Wait(watch::Receiver<u64>),
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one of these is held is our own bug; the state is changed in single steps, so it stays usable.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(state: State, writer: Writer, largest: usize) -> Self {
        Self {
            largest,
            state: Mutex::new(state),
            writer: Mutex::new(writer),
            turns: watch::Sender::new(0),
            took_us: AtomicU64::new(0),
            served: AtomicUsize::new(0),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn admit(&self, new: &NewTransition) -> Admission {
        let mut state = self.state();
        if let Some(closing) = &state.closed {
            return Admission::Answered(Appended::NotWritten(closing.error()));
        }
        let reading = Reading(state.reading);
        let Some(run) = state.runs.get_mut(&new.run) else {
            if new.expected > 0 {
                return Admission::Answered(Appended::Conflict(Head::none(new.run.clone())));
            }
            let mut run = RunState::new(new.run.clone());
            run.busy = true;
            let head = run.head.clone();
            state.runs.insert(new.run.clone(), run);
            return Admission::Go(head, reading);
        };
        if let Some(stopped) = &run.stopped {
            return Admission::Answered(Appended::NotWritten(StoreError::Corrupt(Arc::clone(stopped))));
        }
        if run.busy {
            return Admission::Wait(self.turns.subscribe());
        }
        if run.head.version != new.expected || run.head.epoch > new.epoch {
            return Admission::Answered(Appended::Conflict(run.head.clone()));
        }
        run.busy = true;
        Admission::Go(run.head.clone(), reading)
    }

    /// Ends an admitted append that is not queued.
    pub(super) fn give_up(&self, run: &RunName, reading: Reading) {
        let mut state = self.state();
        if Reading(state.reading) == reading {
            state.give_up(run);
        }
        drop(state);
        self.turns.send_modify(|turn| *turn += 1);
    }

    /// Queues an admitted append. The first to do so leads.
    ///
    /// Between its admission and now the journal may have closed, and even been read again. Then nothing may be
    /// written for it: its predecessor may be another one by now.
    pub(super) fn enqueue(&self, pending: Pending, reading: Reading) -> Result<Role, StoreError> {
        let mut state = self.state();
        let same = Reading(state.reading) == reading;
        if state.closed.is_some() || !same {
            let cause = || StoreError::Closed { cause: "it was opened again meanwhile".into() };
            let error = state.closed.as_ref().map_or_else(cause, Closing::error);
            drop(state);
            self.give_up(&pending.head.run, reading);
            return Err(error);
        }
        state.pending_bytes += pending.draft.max_len();
        state.pending.push(pending);
        Ok(if mem::replace(&mut state.leading, true) { Role::Follow } else { Role::Lead })
    }

    /// Takes the next batch; without one the caller stops leading.
    fn next_batch(&self) -> Vec<Pending> {
        let mut state = self.state();
        if state.pending.is_empty() {
            state.leading = false;
            return Vec::new();
        }
        if state.pending_bytes <= BATCH_BYTES {
            state.pending_bytes = 0;
            return mem::take(&mut state.pending);
        }
        let mut bytes = 0;
        let count = state.pending.iter().take_while(|pending| {
            bytes += pending.draft.max_len();
            bytes <= BATCH_BYTES
        });
        let count = count.count().max(1);
        let rest = state.pending.split_off(count);
        let batch = mem::replace(&mut state.pending, rest);
        state.pending_bytes = state.pending.iter().map(|pending| pending.draft.max_len()).sum();
        batch
    }

    /// Writes and flushes one batch and answers it. Blocks. `Idle` means that nothing waits, and nobody leads now.
    pub(super) fn flush(&self) -> Flushed {
        let mut writer = lock(&self.writer);
        let batch = self.next_batch();
        if batch.is_empty() {
            return Flushed::Idle;
        }
        let (drafts, waiting): (Vec<Draft>, Vec<(Head, oneshot::Sender<Appended>)>) =
            batch.into_iter().map(|pending| (pending.draft, (pending.head, pending.answer))).unzip();
        let started = Instant::now();
        let written = writer.commit(&drafts);
        self.note(started.elapsed(), drafts.len());
        match written {
            Ok(places) => self.done(waiting, &places, writer.room_left()),
            Err(failure) => self.failed(waiting, &failure),
        }
        drop(writer);
        self.turns.send_modify(|turn| *turn += 1);
        Flushed::Batch
    }

    fn done(&self, waiting: Vec<(Head, oneshot::Sender<Appended>)>, places: &[Place], room_left: Option<u64>) {
        let mut answers = Vec::with_capacity(waiting.len());
        let mut state = self.state();
        state.room_left = room_left;
        for ((mut head, answer), place) in waiting.into_iter().zip(places) {
            head.cursor = place.cursor();
            if let Some(run) = state.runs.get_mut(&head.run) {
                run.head = head.clone();
                run.places.push(*place);
                run.busy = false;
            }
            answers.push((answer, head));
        }
        if let Some(last) = places.last() {
            state.segments.insert(last.segment, u64::from(last.offset) + u64::from(last.len) + 1);
            if let Some(news) = &state.news {
                news.send_replace(last.cursor());
            }
        }
        drop(state);
        for (answer, head) in answers {
            // A caller that went away does not need its answer; the transition is in the log all the same.
            answer.send(Appended::Done(head)).ok();
        }
    }

    fn failed(&self, waiting: Vec<(Head, oneshot::Sender<Appended>)>, failure: &Failure) {
        let mut state = self.state();
        let mut later = Vec::new();
        if failure.then == Then::Close {
            let closing = Closing::Failed(on_one_line(&failure.error).into());
            later = mem::take(&mut state.pending);
            state.pending_bytes = 0;
            if !matches!(state.closed, Some(Closing::Lost)) {
                state.closed = Some(closing);
            }
        }
        let names = waiting.iter().map(|(head, _)| &head.run).chain(later.iter().map(|pending| &pending.head.run));
        for name in names {
            state.give_up(name);
        }
        let closed = state.closed.as_ref().map(Closing::error);
        drop(state);
        for (_, answer) in waiting {
            let error = failure.error.clone();
            let appended = match failure.reached {
                Reached::Nothing => Appended::NotWritten(error),
                Reached::Unknown => Appended::InDoubt(error),
            };
            answer.send(appended).ok();
        }
        for pending in later {
            let error = closed.clone().unwrap_or_else(|| failure.error.clone());
            pending.answer.send(Appended::NotWritten(error)).ok();
        }
    }

    /// Writes nothing any more. What waits is answered, except for a batch that is being flushed.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.closed = Some(Closing::Lost);
        let waiting = mem::take(&mut state.pending);
        state.pending_bytes = 0;
        for pending in &waiting {
            state.give_up(&pending.head.run);
        }
        drop(state);
        for pending in waiting {
            pending.answer.send(Appended::NotWritten(Closing::Lost.error())).ok();
        }
    }

    /// Flushes until nothing waits. Blocks.
    pub(super) fn drain(&self) {
        loop {
            self.gather();
            if self.flush() == Flushed::Idle {
                return;
            }
        }
    }

    /// Remembers how long a batch took and how many it served.
    fn note(&self, took: Duration, served: usize) {
        self.took_us.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.served.store(served, Ordering::Relaxed);
    }

    pub(super) fn is_quick(&self) -> bool {
        Duration::from_micros(self.took_us.load(Ordering::Relaxed)) < QUICK
    }

    /// Where the last flush served many, the next one waits a moment for as many again, at most half as long as a
    /// flush takes: runs that were answered together will append together.
    #[expect(
        clippy::disallowed_methods,
        reason = "a millisecond at most, on a thread that is about to block for a flush"
    )]
    fn gather(&self) {
        let wanted = self.served.load(Ordering::Relaxed) / 2;
        let patience = Duration::from_micros(self.took_us.load(Ordering::Relaxed)).min(QUICK) / 2;
        let since = Instant::now();
        while wanted > 1 && self.state().pending.len() < wanted && since.elapsed() < patience {
            std::thread::sleep(GLANCE);
        }
    }

    pub(super) fn has_pending(&self) -> bool {
        let mut state = self.state();
        if state.pending.is_empty() {
            state.leading = false;
        }
        !state.pending.is_empty()
    }
}

impl State {
    pub(super) fn new(runs: HashMap<RunName, RunState>, segments: BTreeMap<u32, u64>, closed: Option<Closing>) -> Self {
        let cursor = segments.last_key_value().map_or(Cursor::START, |(number, end)| cursor_at(*number, *end));
        Self {
            runs,
            segments,
            claimed: HashSet::new(),
            closed,
            room_left: None,
            news: Some(watch::Sender::new(cursor)),
            pending: Vec::new(),
            pending_bytes: 0,
            leading: false,
            reading: 0,
        }
    }

    /// Ends an append that changed nothing; a run that it would have created is gone again.
    fn give_up(&mut self, name: &RunName) {
        let Some(run) = self.runs.get_mut(name) else { return };
        run.busy = false;
        if run.head.version == 0 && run.stopped.is_none() {
            self.runs.remove(name);
        }
    }

    /// The cursor after the last readable line.
    pub(super) fn last(&self) -> Cursor {
        self.segments.last_key_value().map_or(Cursor::START, |(number, end)| cursor_at(*number, *end))
    }

    /// Takes over what was read from the disk again. Claims and followers stay.
    pub(super) fn refresh(&mut self, read: Self) {
        let cursor = read.last();
        self.reading += 1;
        self.runs = read.runs;
        self.room_left = read.room_left;
        self.segments = read.segments;
        self.closed = read.closed;
        if let Some(news) = &self.news {
            news.send_replace(cursor);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Lead,
    Follow,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    Batch,
    Idle,
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
    use super::super::format::{self, MAX_LINE};
    use super::super::record::Payload;
    use super::super::scan::Tail;
    use super::super::writer::Sizes;
    use super::*;

    /// The window between admission and queueing cannot be held open from outside.
    #[test]
    fn an_append_that_was_admitted_before_the_journal_closed_is_not_queued_after() {
        let dir = tempfile::tempdir().unwrap();
        let tail = Tail::Sealed { next: 1, after: None };
        let writer = Writer::new(Arc::new(RealDisk), dir.path().to_owned(), Sizes::default(), &tail);
        let shared = Shared::new(State::new(HashMap::new(), BTreeMap::new(), None), writer, MAX_LINE);
        let run = RunName::parse("app/1").unwrap();
        let payload = Payload::from_json("[]").unwrap();
        let new = NewTransition { run: run.clone(), expected: 0, epoch: 1, at_ms: 0, is_final: false, payload };
        let queue = |head: &Head, reading| {
            let draft = Draft::Transition(format::encode_core(&new.after(head.hash)));
            let (answer, _answered) = oneshot::channel();
            shared.enqueue(Pending { draft, head: head.clone(), answer }, reading)
        };
        let Admission::Go(head, reading) = shared.admit(&new) else { panic!("it is the first") };
        assert!(matches!(shared.admit(&new), Admission::Wait(_)), "one append of a run at a time");

        shared.state().closed = Some(Closing::Failed("a flush failed".into()));
        assert!(queue(&head, reading).is_err(), "closed");
        assert!(!shared.state().runs.contains_key(&run), "the run that it would have created is gone");

        shared.state().refresh(State::new(HashMap::new(), BTreeMap::new(), None));
        let Admission::Go(again, since) = shared.admit(&new) else { panic!("it is open again") };
        assert!(queue(&head, reading).is_err(), "admitted before the journal was read again");
        assert!(shared.state().runs.get(&run).is_some_and(|run| run.busy), "and leaves the new one alone");
        assert_eq!(queue(&again, since).unwrap(), Role::Lead);
    }
}
