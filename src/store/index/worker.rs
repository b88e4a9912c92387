//! The thread that owns sled: opens it, folds pages in, answers queries, and builds the index anew when it is broken.
//!
//! No other thread may call into sled, and nothing here may ever call `flush_async`, which hangs for ever when two
//! callers meet. Start at [`Worker::run`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot, watch};

use super::lookup::{Lookup, guarded, meta_key};
use super::{Change, IndexError, IndexNews, Progress, Projection, StoredHead, Tree};
use crate::store::error::{StoreError, is_full};
use crate::store::format;
use crate::store::record::{Cursor, Transition};

/// sled's page cache. Its own default is 1 GiB.
pub(super) const CACHE_BYTES: u64 = 32 << 20;
/// sled reclaims space only from its periodic flush, so there has to be one.
const FLUSH_EVERY_MS: u64 = 500;

/// How often a process builds the index anew before it gives up, so that nothing can make it do so for ever.
const REBUILDS_MAX: u32 = 3;

/// A query with the answer's way back inside.
pub(super) type Query = Box<dyn FnOnce(Result<&Lookup<'_>, IndexError>) + Send>;

/// What the thread is asked.
pub(super) enum Request {
    Fold(Vec<(Cursor, Transition)>, oneshot::Sender<Result<Cursor, IndexError>>),
    /// A query, and the cursor up to which its caller wants everything folded in.
    Query(Cursor, Query),
    Rebuild(String, oneshot::Sender<Result<(), IndexError>>),
    Cursor(oneshot::Sender<Result<Cursor, IndexError>>),
    GiveUp(String, oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

pub(super) struct Worker {
    dir: PathBuf,
    layout: u32,
    projection: Projection,
    folded: watch::Sender<Progress>,
    news: watch::Sender<IndexNews>,
    /// How often it was built anew by this process.
    rebuilds: u32,
    /// Queries that came while the index was being built anew and behind what they want.
    early: Vec<(Cursor, Query)>,
}

/// An open index.
struct Open {
    db: sled::Db,
    cursor: Cursor,
}

/// Why folding stopped.
enum Broken {
    /// What sled holds cannot be used.
    Index(String),
    /// The disk is full; sled itself is fine.
    Full(String),
}

impl Worker {
    pub(super) fn new(
        dir: PathBuf,
        layout: u32,
        projection: Projection,
        folded: watch::Sender<Progress>,
        news: watch::Sender<IndexNews>,
    ) -> Self {
        Self { dir, layout, projection, folded, news, rebuilds: 0, early: Vec::new() }
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        // What is there already is opened at once; making a new one can wait until somebody asks, because a run's first
        // steps need the processor more.
        let mut first = None;
        if !self.dir.exists() {
            first = queue.blocking_recv();
            if first.is_none() {
                return;
            }
        }
        let mut state = self.open();
        while let Some(request) = first.take().or_else(|| queue.blocking_recv()) {
            match request {
                Request::Fold(page, answer) => {
                    let folded = self.fold(&mut state, &page);
                    answer.send(folded).ok();
                    for (at, query) in std::mem::take(&mut self.early) {
                        self.query(&mut state, at, query);
                    }
                }
                Request::Query(at, query) => self.query(&mut state, at, query),
                Request::Rebuild(cause, answer) => {
                    self.replace(&mut state, &cause);
                    answer.send(state.as_ref().map(|_| ()).map_err(Clone::clone)).ok();
                }
                Request::Cursor(answer) => {
                    let cursor = state.as_ref().map(|open| open.cursor).map_err(Clone::clone);
                    answer.send(cursor).ok();
                }
                Request::GiveUp(why, answer) => {
                    let given_up = std::mem::replace(&mut state, Err(self.unavailable(&why)));
                    close(given_up);
                    self.tell(&state);
                    for (at, query) in std::mem::take(&mut self.early) {
                        self.query(&mut state, at, query);
                    }
                    answer.send(()).ok();
                }
                Request::Close(answer) => {
                    close(state);
                    answer.send(()).ok();
                    return;
                }
            }
        }
        close(state);
    }

    fn unavailable(&self, cause: &str) -> IndexError {
        IndexError::Unavailable { dir: self.dir.clone(), cause: cause.into() }
    }

    /// Opens sled; a broken one is set aside first.
    fn open(&mut self) -> Result<Open, IndexError> {
        let opened = match self.try_open() {
            Ok(open) => Ok(open),
            Err(Broken::Full(cause)) => Err(self.unavailable(&cause)),
            Err(Broken::Index(cause)) => self.start_anew(&cause),
        };
        self.tell(&opened);
        opened
    }

    /// Lets those who wait know where the index stands.
    fn tell(&self, state: &Result<Open, IndexError>) {
        drop(self.folded.send_replace(state.as_ref().map(|open| open.cursor).map_err(Clone::clone)));
    }

    fn start_anew(&mut self, cause: &str) -> Result<Open, IndexError> {
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            return Err(self.unavailable(cause));
        }
        let aside = set_aside(&self.dir).map_err(|error| self.unavailable(&error.to_string()))?;
        self.news.send_modify(|news| {
            news.set_aside = aside.map(|path| (path, cause.to_owned()));
            news.rebuilt = true;
        });
        self.try_open().map_err(|broken| match broken {
            Broken::Index(cause) | Broken::Full(cause) => self.unavailable(&cause),
        })
    }

    fn try_open(&self) -> Result<Open, Broken> {
        let config = sled::Config::new()
            .path(&self.dir)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .mode(sled::Mode::HighThroughput);
        let mut full = None;
        let opened = guarded(|| {
            config.open().inspect_err(|cause| {
                if let sled::Error::Io(cause) = cause
                    && is_full(cause)
                {
                    full = Some(cause.to_string());
                }
            })
        });
        if let Some(cause) = full {
            return Err(Broken::Full(cause));
        }
        let db = opened.map_err(Broken::Index)?;
        let layout = guarded(|| db.get(meta_key("layout"))).map_err(Broken::Index)?;
        let cursor = guarded(|| db.get(meta_key("cursor"))).map_err(Broken::Index)?;
        match layout {
            Some(found) if *found == self.layout.to_be_bytes() => {
                let bytes = cursor.and_then(|bytes| <[u8; 8]>::try_from(&*bytes).ok());
                Ok(Open {
                    db,
                    cursor: bytes.map_or(Cursor::START, |bytes| Cursor::from_u64(u64::from_be_bytes(bytes))),
                })
            }
            found => {
                // Another layout, or none: everything in it is of no use.
                let anew = || {
                    db.clear()?;
                    db.insert(meta_key("layout"), &self.layout.to_be_bytes())?;
                    Ok::<(), sled::Error>(())
                };
                guarded(anew).map_err(Broken::Index)?;
                if found.is_some() {
                    self.news.send_modify(|news| news.rebuilt = true);
                }
                Ok(Open { db, cursor: Cursor::START })
            }
        }
    }

    fn fold(
        &mut self,
        state: &mut Result<Open, IndexError>,
        page: &[(Cursor, Transition)],
    ) -> Result<Cursor, IndexError> {
        let open = state.as_mut().map_err(|error| error.clone())?;
        let projection = &mut self.projection;
        match guarded(|| Ok::<_, String>(fold_page(&open.db, projection, page))) {
            Ok(Ok(cursor)) => {
                open.cursor = cursor.unwrap_or(open.cursor);
                self.tell(state);
            }
            Ok(Err(cause)) => self.replace(state, &cause),
            Err(cause) => {
                // The projection panicked, and would again.
                let broken = std::mem::replace(state, Err(self.unavailable(&cause)));
                close(broken);
                self.tell(state);
            }
        }
        state.as_ref().map(|open| open.cursor).map_err(Clone::clone)
    }

    fn query(&mut self, state: &mut Result<Open, IndexError>, at: Cursor, query: Query) {
        let failure = match state.as_ref() {
            Err(error) => {
                query(Err(error.clone()));
                None
            }
            Ok(open) if open.cursor < at => {
                self.early.push((at, query));
                None
            }
            Ok(open) => {
                let lookup = Lookup::new(&open.db);
                // If the query itself panics, its answer is lost, and that is all.
                let asked = guarded(|| {
                    query(Ok(&lookup));
                    Ok::<(), sled::Error>(())
                });
                drop(asked);
                lookup.failure()
            }
        };
        if let Some(cause) = failure {
            self.replace(state, &cause);
        }
    }

    /// Gives up the open index and begins a new one.
    fn replace(&mut self, state: &mut Result<Open, IndexError>, cause: &str) {
        let broken = std::mem::replace(state, Err(IndexError::Closed));
        close(broken);
        *state = self.start_anew(cause);
        self.tell(state);
    }
}

/// Folds transitions in, one after the other, and writes them as one batch. `None` for an empty page.
fn fold_page(
    db: &sled::Tree,
    projection: &mut Projection,
    page: &[(Cursor, Transition)],
) -> Result<Option<Cursor>, String> {
    let Some((last, _)) = page.last() else { return Ok(None) };
    let lookup = Lookup::new(db);
    for (cursor, transition) in page {
        let key = transition.run.as_str().as_bytes().to_vec();
        let known = lookup.get(Tree::Heads, &key);
        let known: Option<StoredHead> = match known.as_deref().map(serde_json::from_slice) {
            Some(Err(cause)) => return Err(format!("a head cannot be read: {cause}")),
            Some(Ok(head)) => Some(head),
            None => None,
        };
        let hash = format::hash_of(transition);
        if let Some(known) = &known {
            if known.version > transition.version || (known.version == transition.version && known.hash == hash) {
                // Handed out once more after a restart.
                continue;
            }
            if known.version + 1 != transition.version || known.hash != transition.prev {
                return Err(format!("run {} does not follow from what is folded in", transition.run));
            }
        }
        let head = StoredHead {
            version: transition.version,
            epoch: transition.epoch,
            hash,
            at_ms: transition.at_ms,
            is_final: transition.is_final,
            cursor: *cursor,
        };
        for change in projection(transition, &lookup) {
            let tree = match &change {
                Change::Put { tree, .. } | Change::Delete { tree, .. } => *tree,
            };
            if tree != Tree::Heads {
                lookup.change(change);
            }
        }
        let value = serde_json::to_vec(&head).map_err(|cause| cause.to_string())?;
        lookup.change(Change::Put { tree: Tree::Heads, key, value });
    }
    lookup.write(*last).map(|()| Some(*last))
}

/// Flushes and closes. sled's drop may panic on a broken store, too.
fn close(state: Result<Open, IndexError>) {
    if let Ok(open) = state {
        let closed = guarded(|| {
            let flushed = open.db.flush();
            drop(open);
            flushed.map(drop)
        });
        // The index is built anew from the log if this failed; there is nothing else to do.
        drop(closed);
    }
}

/// See [`super::set_aside`].
pub(super) fn set_aside(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    let failed = |doing| move |cause: io::Error| StoreError::io(doing, dir, cause);
    if !dir.try_exists().map_err(failed("looking for"))? {
        return Ok(None);
    }
    let prefix = format!("{name}.broken-");
    let mut numbers = Vec::new();
    for entry in fs::read_dir(parent).map_err(failed("listing what is beside"))? {
        let entry = entry.map_err(failed("listing what is beside"))?.file_name();
        numbers.extend(entry.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    let next = numbers.last().map_or(1, |last| last + 1);
    numbers.pop();
    for old in numbers {
        // Only evidence of an earlier failure; keeping it is better than failing here.
        fs::remove_dir_all(parent.join(format!("{prefix}{old}"))).ok();
    }
    let target = parent.join(format!("{prefix}{next}"));
    fs::rename(dir, &target).map_err(failed("setting aside"))?;
    Ok(Some(target))
}
