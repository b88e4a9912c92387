//! The run log of one machine: a journal of newline-delimited JSON in numbered segments, flushed with fdatasync.
//!
//! This file opens the journal and implements [`RunLog`] for it; the work is in `scan.rs` (what can be believed),
//! `writer.rs` (one batch, one flush), `commit.rs` (who flushes) and `reader.rs`. It must never act on a line that it
//! has not proven durable, and never repair by guessing. Start at [`JournalFile::open`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bascule_plugin::on_one_line;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use super::commit::{Closing, Flushed, Shared, State, lock};
use super::damage::{Cause, OpenReport, StoppedRun};
use super::disk::{Created, Disk, RealDisk};
use super::error::StoreError;
use super::format::{Draft, MAX_LINE};
use super::history::{self, Place, RunState, place_of};
use super::lead;
use super::log::{Appended, Durability, Lease, RunEntry, RunLog};
use super::reader::Reader;
use super::record::{Cursor, Head, NewTransition, RunName, Transition};
use super::scan::{Scanned, Tail, TailLine, scan, scan_from};
use super::state_dir::StateDir;
use super::writer::{Failure, Sizes, Writer};

/// How a journal is opened.
#[derive(Clone)]
pub struct JournalOptions {
    /// The files it writes; tests put failing and recording ones here.
    pub disk: Arc<dyn Disk>,
    /// How large segments are and grow.
    pub sizes: Sizes,
    /// The most bytes of a transition, as a line of a segment: never more than a line may have in the format.
    pub largest: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { disk: Arc::new(RealDisk), sizes: Sizes::default(), largest: MAX_LINE }
    }
}

/// The journal of a state directory.
pub struct JournalFile {
    shared: Arc<Shared>,
    reader: Arc<Reader>,
    options: JournalOptions,
    dir: PathBuf,
    /// Keeps the directory owned as long as the journal is used.
    _owned: Option<StateDir>,
}

/// The journal's directory in a state directory.
pub(super) fn dir_in(state_dir: &Path) -> PathBuf {
    state_dir.join("journal")
}

impl JournalFile {
    /// Opens the journal of an owned state directory, in `journal/`; creates it if needed. Blocks.
    ///
    /// An unfinished flush at the end is cut, and intact lines that were not proven durable are written again to a new
    /// segment. Runs that are touched by damage before that stop, and the report says why.
    ///
    /// # Errors
    /// When the journal cannot be read or was written by a newer release. A disk that is only full does not prevent
    /// reading: the report then says that nothing can be appended.
    pub fn open(owned: StateDir, options: JournalOptions) -> Result<(Self, OpenReport), StoreError> {
        let path = owned.path().to_owned();
        Self::open_at(&path, Some(owned), options)
    }

    /// As [`JournalFile::open`], where the caller keeps the directory owned for longer than the journal is open, or on a
    /// disk that this process cannot lock, such as a recorded one.
    ///
    /// # Errors
    /// As [`JournalFile::open`].
    pub fn open_unlocked(state_dir: &Path, options: JournalOptions) -> Result<(Self, OpenReport), StoreError> {
        Self::open_at(state_dir, None, options)
    }

    fn open_at(
        state_dir: &Path,
        owned: Option<StateDir>,
        options: JournalOptions,
    ) -> Result<(Self, OpenReport), StoreError> {
        let dir = dir_in(state_dir);
        let disk = &options.disk;
        let created = disk.create_dir(&dir).map_err(|cause| StoreError::io("creating the journal", &dir, cause))?;
        if created == Created::New {
            disk.sync_dir(state_dir).map_err(|cause| StoreError::io("flushing", state_dir, cause))?;
        }
        let scanned = scan(&**disk, &dir)?;
        let Opened { state, writer, report } = go_on(&options, &dir, scanned)?;
        let reader = Arc::new(Reader::new(Arc::clone(disk), dir.clone()));
        let shared = Arc::new(Shared::new(state, writer, options.largest.min(MAX_LINE)));
        Ok((Self { shared, reader, options, dir, _owned: owned }, report))
    }

    /// While the disk is full: how many bytes of what was kept ahead can still be written. `None` if it is not full. An
    /// operator should hear of this before it reaches 0.
    #[must_use]
    pub fn room_left(&self) -> Option<u64> {
        self.shared.state().room_left
    }

    /// Compares heads that were kept elsewhere, as in the index or in a report, with the log, and stops every run whose
    /// head there is ahead of the log or is not in its history. Such a head is evidence that the log lost something.
    /// Reads a line of every run that is behind the log there. Blocks.
    pub fn compare(&self, heads: &[Head]) -> Vec<Arc<StoppedRun>> {
        history::compare(&mut self.shared.state().runs, &self.reader, heads)
    }

    /// Reads lines of a run; `None` if one of them moved meanwhile. Only a line that still stands where nothing can be
    /// read is damage, and stops the run.
    async fn read_places(
        &self,
        run: &RunName,
        from: u64,
        places: Vec<Place>,
    ) -> Result<Option<Vec<Transition>>, StoreError> {
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let read = |place| (place, reader.transition(place));
            places.into_iter().map(read).collect::<Vec<_>>()
        };
        let mut transitions = Vec::new();
        for (version, (place, read)) in (from..).zip(self.blocking(read).await?) {
            let found = read.as_ref().is_ok_and(|read| read.as_ref().is_some_and(|found| found.run == *run));
            if !found {
                let mut state = self.shared.state();
                let Some(known) = state.runs.get_mut(run) else { return Ok(None) };
                if known.place(version) != Some(place) {
                    return Ok(None);
                }
                let cause = Cause::Unreadable { segment: place.segment, offset: place.offset.into() };
                read?;
                return Err(StoreError::Corrupt(known.stop(cause)));
            }
            transitions.extend(read?);
        }
        Ok(Some(transitions))
    }

    /// Runs blocking work where it does not hold up other tasks.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
        match Handle::try_current() {
            Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
                Ok(tokio::task::block_in_place(work))
            }
            Ok(runtime) => {
                let ended = |_| StoreError::Closed { cause: "the runtime ended".into() };
                runtime.spawn_blocking(work).await.map_err(ended)
            }
            Err(_) => Ok(work()),
        }
    }
}

/// A journal that was read and can go on.
struct Opened {
    state: State,
    writer: Writer,
    report: OpenReport,
}

/// Goes on after a scan: moves what is not proven durable, and is ready to append.
fn go_on(options: &JournalOptions, dir: &Path, scanned: Scanned) -> Result<Opened, StoreError> {
    let Scanned { history, mut segments, tail, mut report, leftovers } = scanned;
    let mut runs = history.runs;
    let disk = &options.disk;
    for path in leftovers {
        disk.remove(&path).map_err(|cause| StoreError::io("removing what is not needed", &path, cause))?;
    }
    let mut writer = Writer::new(Arc::clone(disk), dir.to_owned(), options.sizes, &tail);
    let mut closed = None;
    if let Tail::Unclean { number, durable, lines } = tail {
        // A segment's name may be as little proven as its last lines.
        disk.sync_dir(dir).map_err(|cause| StoreError::io("flushing", dir, cause))?;
        report.moved = lines.iter().filter(|line| line.of.is_some()).count();
        match move_lines(&mut writer, lines) {
            Ok(moved) => {
                if let (Some(_), Some(end)) = (moved.first(), segments.get_mut(&number)) {
                    *end = (*end).min(durable);
                }
                for (run, version, place) in moved {
                    place_again(&mut runs, &run, version, place);
                    segments.insert(place.segment, u64::from(place.offset) + u64::from(place.len) + 1);
                }
            }
            Err(failure) => {
                let why = on_one_line(&failure.error);
                closed = Some(Closing::Failed(why.clone().into()));
                report.read_only = Some(why);
                report.moved = 0;
            }
        }
    }
    runs.retain(|_, run| run.head.version > 0 || run.stopped.is_some());
    let mut state = State::new(runs, segments, closed);
    if state.closed.is_none() {
        writer.make_room();
        state.room_left = writer.room_left();
    }
    Ok(Opened { state, writer, report })
}

/// Writes the lines of an unclean tail to a new segment, durable when this returns.
fn move_lines(writer: &mut Writer, lines: Vec<TailLine>) -> Result<Vec<(RunName, u64, Place)>, Failure> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let (drafts, names): (Vec<Draft>, Vec<_>) = lines.into_iter().map(|line| (line.draft, line.of)).unzip();
    let places = writer.commit(&drafts)?;
    let moved = names.into_iter().zip(places);
    Ok(moved.filter_map(|(of, place)| of.map(|(run, version)| (run, version, place))).collect())
}

fn place_again(runs: &mut HashMap<RunName, RunState>, run: &RunName, version: u64, place: Place) {
    let Some(run) = runs.get_mut(run) else { return };
    let Some(index) = version.checked_sub(run.first).and_then(|index| usize::try_from(index).ok()) else { return };
    if let Some(slot) = run.places.get_mut(index) {
        *slot = place;
        if run.head.version == version {
            run.head.cursor = place.cursor();
        }
    }
}

#[async_trait]
impl RunLog for JournalFile {
    async fn append(&self, new: NewTransition) -> Appended {
        lead::append(&self.shared, new).await
    }

    async fn read(&self, run: &RunName, from: u64, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let from = from.max(1);
        loop {
            let places: Vec<Place> = {
                let state = self.shared.state();
                let Some(found) = state.runs.get(run) else { return Ok(Vec::new()) };
                if let Some(stopped) = &found.stopped {
                    return Err(StoreError::Corrupt(Arc::clone(stopped)));
                }
                if from < found.first {
                    return Err(StoreError::Pruned { run: run.clone(), first: found.first });
                }
                (from..).map_while(|version| found.place(version)).take(limit).collect()
            };
            match self.read_places(run, from, places).await? {
                Some(transitions) => return Ok(transitions),
                // The journal was opened again meanwhile, and its lines stand elsewhere now.
                None => tokio::task::yield_now().await,
            }
        }
    }

    async fn head(&self, run: &RunName) -> Result<Head, StoreError> {
        let state = self.shared.state();
        if let Some(closing @ (Closing::Failed(_) | Closing::Lost)) = &state.closed {
            return Err(closing.error());
        }
        match state.runs.get(run) {
            None => Ok(Head::none(run.clone())),
            Some(found) => match &found.stopped {
                Some(stopped) => Err(StoreError::Corrupt(Arc::clone(stopped))),
                None => Ok(found.head.clone()),
            },
        }
    }

    async fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        let state = self.shared.state();
        let known = state.runs.values().filter(|run| run.head.version > 0 || run.stopped.is_some());
        let mut entries: Vec<RunEntry> = known.map(RunState::entry).collect();
        drop(state);
        entries.sort_by(|a, b| a.head.run.cmp(&b.head.run));
        Ok(entries)
    }

    async fn page(&self, after: Cursor, limit: usize) -> Result<Vec<(Cursor, Transition)>, StoreError> {
        let (shared, reader) = (Arc::clone(&self.shared), Arc::clone(&self.reader));
        self.blocking(move || read_page(&shared, &reader, after, limit)).await?
    }

    fn news(&self) -> watch::Receiver<Cursor> {
        let state = self.shared.state();
        match &state.news {
            Some(news) => news.subscribe(),
            // Already closed: its sender is gone, which is what the receiver has to see.
            None => watch::channel(Cursor::START).1,
        }
    }

    async fn claim(&self, run: &RunName) -> Result<Lease, StoreError> {
        let mut state = self.shared.state();
        if let Some(closing) = &state.closed {
            return Err(closing.error());
        }
        let epoch = match state.runs.get(run) {
            None => 1,
            Some(found) => match &found.stopped {
                Some(stopped) => return Err(StoreError::Corrupt(Arc::clone(stopped))),
                None => found.head.epoch + 1,
            },
        };
        if !state.claimed.insert(run.clone()) {
            return Err(StoreError::Claimed { run: run.clone(), by: "this process".into() });
        }
        Ok(Lease { run: run.clone(), epoch })
    }

    async fn renew(&self, lease: &Lease) -> Result<(), StoreError> {
        let state = self.shared.state();
        let overtaken = state.runs.get(&lease.run).is_some_and(|run| run.head.epoch > lease.epoch);
        if overtaken || !state.claimed.contains(&lease.run) {
            return Err(StoreError::LeaseLost { run: lease.run.clone(), epoch: lease.epoch });
        }
        Ok(())
    }

    async fn release(&self, lease: Lease) {
        self.shared.state().claimed.remove(&lease.run);
    }

    async fn reopen(&self) -> Result<OpenReport, StoreError> {
        let (shared, reader) = (Arc::clone(&self.shared), Arc::clone(&self.reader));
        let (options, dir) = (self.options.clone(), self.dir.clone());
        self.blocking(move || reopen(&shared, &reader, &options, &dir)).await?
    }

    async fn close(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        self.blocking(move || close(&shared)).await?
    }

    fn abandon(&self) {
        self.shared.abandon();
    }

    fn durability(&self) -> Durability {
        Durability::Synced
    }

    fn room_left(&self) -> Option<u64> {
        Self::room_left(self)
    }

    async fn make_room(&self) {
        let shared = Arc::clone(&self.shared);
        let look = move || {
            let mut writer = lock(&shared.writer);
            if shared.state().closed.is_none() {
                writer.make_room();
                shared.state().room_left = writer.room_left();
            }
        };
        // A runtime that ends needs no room.
        self.blocking(look).await.ok();
    }
}

/// Reads on until about `limit` transitions that belong to the believed history are found, or nothing is left.
fn read_page(
    shared: &Shared,
    reader: &Reader,
    after: Cursor,
    limit: usize,
) -> Result<Vec<(Cursor, Transition)>, StoreError> {
    let (from, mut offset) = place_of(after);
    let segments: Vec<(u32, u64)> = shared.state().segments.range(from..).map(|(n, end)| (*n, *end)).collect();
    let mut found = Vec::new();
    for (number, end) in segments {
        if number > from {
            offset = 0;
        }
        while offset < end && found.len() < limit {
            let chunk = reader.chunk(number, offset, end)?;
            offset = chunk.end;
            let state = shared.state();
            // Lines that a repair set aside, or that never fitted, stand in the segment but not in the history.
            let believed = chunk.transitions.into_iter().filter(|(place, transition)| {
                state.runs.get(&transition.run).and_then(|run| run.place(transition.version)) == Some(*place)
            });
            found.extend(believed.map(|(place, transition)| (place.cursor(), transition)));
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

fn reopen(shared: &Shared, reader: &Reader, options: &JournalOptions, dir: &Path) -> Result<OpenReport, StoreError> {
    // Held throughout, so that nothing is flushed while the disk is read.
    let mut writer = lock(&shared.writer);
    let closed = shared.state().closed.clone();
    match closed {
        Some(Closing::Failed(_)) => {}
        Some(closing @ (Closing::Ordered | Closing::Lost)) => return Err(closing.error()),
        None => return Ok(OpenReport::default()),
    }
    let scanned = scan_from(&*options.disk, dir, writer.flushed())?;
    let opened = go_on(options, dir, scanned)?;
    reader.forget();
    *writer = opened.writer;
    let mut state = shared.state();
    state.refresh(opened.state);
    match &state.closed {
        Some(closing) => Err(closing.error()),
        None => Ok(opened.report),
    }
}

fn close(shared: &Shared) -> Result<(), StoreError> {
    let before = {
        let mut state = shared.state();
        state.closed.replace(Closing::Ordered)
    };
    if matches!(before, Some(Closing::Ordered)) {
        return Ok(());
    }
    if matches!(before, Some(Closing::Lost)) {
        let mut state = shared.state();
        state.closed = before;
        state.news = None;
        return Ok(());
    }
    // What was admitted before is still flushed.
    while shared.flush() == Flushed::Batch {}
    let mut writer = lock(&shared.writer);
    shared.state().news = None;
    match before {
        // After a failure nothing is written to the segment again; the next start reads it.
        Some(Closing::Failed(_) | Closing::Ordered | Closing::Lost) => Ok(()),
        None => writer.close(),
    }
}
