//! Group commit: the first append that waits writes and flushes for all that wait.
//!
//! An append is admitted and encoded by its own caller, so that the one who flushes only joins bytes. While a flush
//! runs, the appends that arrive form the next batch. No lock here is held across an await, and the only code that
//! blocks is [`Shared::flush`]. Start at [`append`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{oneshot, watch};

use super::error::StoreError;
use super::format::{self, Draft};
use super::history::{Place, RunState, cursor_at};
use super::log::Appended;
use super::record::{Cursor, Head, NewTransition, RunName};
use super::writer::{Failure, Reached, Then, Writer, check_size};

/// The most bytes that one flush writes, so that a flood cannot make one flush endless.
const BATCH_BYTES: usize = 32 << 20;

/// What appends, readers and the one who flushes share.
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Held for the whole of a flush. Taken before `state`, never after.
    pub(super) writer: Mutex<Writer>,
    /// Counts batches, for appends that wait for an earlier one of the same run.
    turns: watch::Sender<u64>,
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
    leading: bool,
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
}

impl Closing {
    pub(super) fn error(&self) -> StoreError {
        match self {
            Self::Ordered => StoreError::Closed { cause: "it was closed".into() },
            Self::Failed(cause) => StoreError::Closed { cause: Arc::clone(cause) },
        }
    }
}

/// Which reading of the disk an append was admitted after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading(u64);

/// An append that waits for its flush.
struct Pending {
    draft: Draft,
    head: Head,
    answer: oneshot::Sender<Appended>,
}

/// What the state says about an append.
enum Admission {
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
    pub(super) fn new(state: State, writer: Writer) -> Self {
        Self { state: Mutex::new(state), writer: Mutex::new(writer), turns: watch::Sender::new(0) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn admit(&self, new: &NewTransition) -> Admission {
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
    fn give_up(&self, run: &RunName, reading: Reading) {
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
    fn enqueue(&self, pending: Pending, reading: Reading) -> Result<Role, StoreError> {
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
        match writer.commit(&drafts) {
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
            let closing = Closing::Failed(describe(&failure.error).into());
            later = mem::take(&mut state.pending);
            state.pending_bytes = 0;
            state.closed = Some(closing);
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

    /// Flushes until nothing waits. Blocks.
    fn drain(&self) {
        while self.flush() == Flushed::Batch {}
    }

    fn has_pending(&self) -> bool {
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
        self.segments = read.segments;
        self.closed = read.closed;
        if let Some(news) = &self.news {
            news.send_replace(cursor);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Lead,
    Follow,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    Batch,
    Idle,
}

/// An error and its causes on one line.
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Appends one transition. See [`super::RunLog::append`].
pub(super) async fn append(shared: &Arc<Shared>, new: NewTransition) -> Appended {
    let (before, reading) = loop {
        match shared.admit(&new) {
            Admission::Go(head, reading) => break (head, reading),
            Admission::Answered(appended) => return appended,
            // The sender lives in `shared`, so this ends only with a turn.
            Admission::Wait(mut turns) => turns.changed().await.unwrap_or(()),
        }
    };
    let core = format::encode_core(&new.after(before.hash));
    if let Err(error) = check_size(&core) {
        shared.give_up(&new.run, reading);
        return Appended::NotWritten(error);
    }
    let head = Head {
        run: new.run,
        version: new.expected + 1,
        epoch: new.epoch,
        hash: core.hash,
        at_ms: new.at_ms,
        is_final: new.is_final,
        cursor: Cursor::START,
    };
    let (answer, answered) = oneshot::channel();
    match shared.enqueue(Pending { draft: Draft::Transition(core), head, answer }, reading) {
        Err(error) => return Appended::NotWritten(error),
        Ok(Role::Lead) => lead(shared),
        Ok(Role::Follow) => {}
    }
    answered.await.unwrap_or_else(|_| {
        Appended::InDoubt(StoreError::Closed { cause: "the runtime ended during the flush".into() })
    })
}

/// Flushes one batch here and leaves the rest, if any, to a thread of its own.
///
/// Flushing on the caller's thread saves two hand-offs a step, which is most of what a chain of steps costs beside the
/// flush itself. A flood must not keep this caller from its own work, hence one batch only.
fn lead(shared: &Arc<Shared>) {
    let Ok(runtime) = Handle::try_current() else { return shared.drain() };
    if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(|| shared.flush());
        if !shared.has_pending() {
            return;
        }
    }
    let rest = Rest(Some(Arc::clone(shared)));
    drop(runtime.spawn_blocking(move || rest.run()));
}

/// What is left to flush. If the runtime ends before it can run, the next append leads again.
struct Rest(Option<Arc<Shared>>);

impl Rest {
    fn run(mut self) {
        if let Some(shared) = self.0.take() {
            shared.drain();
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.state().leading = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::RealDisk;
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
        let shared = Shared::new(State::new(HashMap::new(), BTreeMap::new(), None), writer);
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
