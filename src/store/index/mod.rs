//! The durable state that is queried, in sled, folded from the run log.
//!
//! It is never the truth and can lose nothing: it is written after the log, catches up from its own cursor, and is
//! built anew when it cannot be opened or does not fit the log. What is folded in is the caller's business: a
//! [`Projection`] turns a transition into changes. sled never runs on the caller's thread, and opening it delays
//! nobody. Start at [`Index::start`], [`Index::follow`] and [`Index::query`].
//!
//! `docs/adr/0003-sled.md` says why sled is here and why it is not the log.

pub mod evidence;
mod lookup;
mod worker;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use self::lookup::Lookup;
use self::worker::{Request, Worker};
use super::error::StoreError;
use super::log::{PAGE, RunEntry, RunLog, Watch};
use super::record::{Cursor, Hash, Head, RunName, Transition};

/// How many requests may wait for the index's thread.
const QUEUE: usize = 64;

/// How long transitions are gathered before they are folded in, unless somebody waits for them.
const LULL: Duration = Duration::from_millis(100);

/// A part of the index. All parts share one sled tree, so that a page of transitions and the cursor behind it are
/// written as one atomic batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tree {
    /// How far each run has been folded in. Written by the index itself; a projection's changes to it are ignored.
    Heads,
    /// Views of runs, steps and events.
    Views,
    /// How long steps took.
    Durations,
}

impl Tree {
    /// The first byte of its keys. A number here never changes its meaning: 3, 4 and 5 were deadlines, locks and questions.
    fn tag(self) -> u8 {
        match self {
            Self::Heads => 1,
            Self::Views => 2,
            Self::Durations => 6,
        }
    }
}

/// One change of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets a value, of any size; 4 KiB and less is best.
    Put {
        /// Where.
        tree: Tree,
        /// Its key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes a value, if there is one.
    Delete {
        /// Where.
        tree: Tree,
        /// Its key.
        key: Vec<u8>,
    },
}

/// Turns a transition into changes. It sees the index as it is just before, with every earlier transition folded in.
/// It must depend on nothing else, or a rebuilt index differs from the one that it replaces.
pub type Projection = Box<dyn FnMut(&Transition, &Lookup<'_>) -> Vec<Change> + Send>;

/// Why the index cannot answer. The engine goes on without it: the log is the truth.
#[derive(Debug, Clone, Error)]
pub enum IndexError {
    /// It could not be opened or built.
    #[error("{} cannot be used: {cause}; remove the directory when the cause is gone, it is built anew", dir.display())]
    Unavailable {
        /// Its directory.
        dir: PathBuf,
        /// What sled answered.
        cause: Arc<str>,
    },
    /// It was closed.
    #[error("the index is closed")]
    Closed,
    /// The log that it follows cannot be read.
    #[error("the index cannot read the log")]
    Log(#[source] StoreError),
}

/// What happened to the index, beside the ordinary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexNews {
    /// Where a broken index was set aside, and why it was broken.
    pub set_aside: Option<(PathBuf, String)>,
    /// Whether it is being built from the log's beginning.
    pub rebuilt: bool,
}

/// The index of a state directory.
#[derive(Clone)]
pub struct Index {
    requests: mpsc::Sender<Request>,
    folded: watch::Receiver<Progress>,
    news: watch::Receiver<IndexNews>,
    /// Somebody waits for what is not folded in yet.
    wanted: Arc<Notify>,
}

/// How far the log is folded in, or why it will not be.
type Progress = Result<Cursor, IndexError>;

/// A head as the index keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredHead {
    version: u64,
    epoch: u64,
    hash: Hash,
    at_ms: i64,
    #[serde(rename = "final")]
    is_final: bool,
    cursor: Cursor,
}

impl StoredHead {
    fn into_head(self, run: RunName) -> Head {
        let Self { version, epoch, hash, at_ms, is_final, cursor } = self;
        Head { run, version, epoch, hash, at_ms, is_final, cursor }
    }
}

impl Index {
    /// Starts the thread that owns `index/` in a state directory and returns at once; sled opens over there.
    ///
    /// An index that was written with another `layout` is built anew: count it up whenever the projection changes.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(state_dir: &Path, layout: u32, projection: Projection) -> Result<Self, StoreError> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let (folded_sender, folded) = watch::channel(Ok(Cursor::START));
        let (news_sender, news) = watch::channel(IndexNews::default());
        let dir = state_dir.join("index");
        let worker = Worker::new(dir.clone(), layout, projection, folded_sender, news_sender);
        let thread = std::thread::Builder::new().name("index".into()).spawn(move || worker.run(queue));
        thread.map_err(|cause| StoreError::io("starting the thread of", &dir, cause))?;
        Ok(Self { requests, folded, news, wanted: Arc::default() })
    }

    /// Folds in whatever the log has and gets, until the log closes. Spawn it once, beside the queries.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`], or when the log cannot be read.
    pub async fn follow(&self, log: Arc<dyn RunLog>) -> Result<(), IndexError> {
        self.rest(&*log).await;
        if let Some(why) = self.hole(&*log).await? {
            self.ask(|answer| Request::Rebuild(why, answer)).await??;
        }
        let mut at = self.cursor().await?;
        let mut watch = Watch::new(Arc::clone(&log), at);
        loop {
            let page = watch.next_page().await.map_err(IndexError::Log)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            let wanted = *last;
            let is_full = page.len() >= PAGE;
            at = self.fold(page).await?;
            if at == wanted && !is_full {
                // Folding few transitions at a time costs several times as much as folding many.
                self.lull().await;
            }
            if at != wanted {
                // It was built anew, or found that it does not fit the log.
                watch = Watch::new(Arc::clone(&log), at);
            }
        }
    }

    /// Lets a new log's first run have the processor.
    async fn rest(&self, log: &dyn RunLog) {
        if *log.news().borrow() == Cursor::START {
            self.lull().await;
        }
    }

    /// Waits until it is worth folding again, or somebody waits for it.
    async fn lull(&self) {
        tokio::select! {
            () = tokio::time::sleep(LULL) => {}
            () = self.wanted.notified() => {}
        }
    }

    /// Compares the heads with those of the log. sled can open with a part of its content missing and not know it.
    async fn hole(&self, log: &dyn RunLog) -> Result<Option<String>, IndexError> {
        let at = self.cursor().await?;
        let folded = self.heads().await?.into_iter().map(|head| (head.run.clone(), head));
        let folded: HashMap<RunName, Head> = folded.collect();
        let runs = log.runs().await.map_err(IndexError::Log)?;
        let differs = |entry: &RunEntry| {
            let found = folded.get(&entry.head.run).map(|head| (head.version, head.hash));
            entry.stopped.is_none()
                && entry.head.cursor > Cursor::START
                && entry.head.cursor <= at
                && found != Some((entry.head.version, entry.head.hash))
        };
        let found = runs.iter().find(|entry| differs(entry));
        Ok(found.map(|entry| format!("it should have run {} at version {}", entry.head.run, entry.head.version)))
    }

    /// Folds in transitions that follow the index's cursor, and says where it is now: after the last of them, or back
    /// at [`Cursor::START`] if it has to be built anew.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`].
    pub async fn fold(&self, page: Vec<(Cursor, Transition)>) -> Result<Cursor, IndexError> {
        self.ask(|answer| Request::Fold(page, answer)).await?
    }

    /// The cursor up to which the log is folded in. Waits until sled is open.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`].
    pub async fn cursor(&self) -> Result<Cursor, IndexError> {
        self.ask(Request::Cursor).await?
    }

    /// The heads up to which runs were folded in. Compared with the log *before* following it, they are evidence that
    /// the log lost something; see `JournalFile::compare`.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`].
    pub async fn heads(&self) -> Result<Vec<Head>, IndexError> {
        let found = self.query(Cursor::START, |lookup| lookup.scan(Tree::Heads, b"", usize::MAX)).await?;
        Ok(heads_of(found))
    }

    /// Waits until everything up to `cursor` is folded in.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`] or [`IndexError::Closed`] if that will not happen any more.
    pub async fn wait_for(&self, cursor: Cursor) -> Result<(), IndexError> {
        let mut folded = self.folded.clone();
        if folded.borrow().as_ref().is_ok_and(|at| *at < cursor) {
            self.wanted.notify_one();
        }
        let reached = folded.wait_for(|at| at.as_ref().map_or(true, |at| *at >= cursor)).await;
        let progress = reached.map_err(|_| IndexError::Closed)?;
        progress.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Runs `query` on the index's thread once everything up to `at` is folded in: the caller then sees at least what
    /// it was told of.
    ///
    /// # Errors
    /// [`IndexError::Unavailable`], [`IndexError::Closed`].
    pub async fn query<T: Send + 'static>(
        &self,
        at: Cursor,
        query: impl FnOnce(&Lookup<'_>) -> T + Send + 'static,
    ) -> Result<T, IndexError> {
        self.wait_for(at).await?;
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |lookup: Result<&Lookup<'_>, IndexError>| {
            answer.send(lookup.map(query)).ok();
        });
        self.requests.send(Request::Query(at, run)).await.map_err(|_| IndexError::Closed)?;
        answered.await.map_err(|_| IndexError::Closed)?
    }

    /// What happened to the index, beside the ordinary, as it happens.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<IndexNews> {
        self.news.clone()
    }

    /// Closes sled and leaves its directory as it is: from now on every question is answered with `why`.
    pub async fn give_up(&self, why: String) {
        drop(self.ask(|answer| Request::GiveUp(why, answer)).await);
    }

    /// Closes sled in order and waits for it. Not closing costs nothing but catching up at the next start.
    pub async fn close(&self) {
        let closed = self.ask(Request::Close).await;
        drop(closed);
        // Who follows the log finds out now, and lets go of it.
        self.wanted.notify_one();
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, IndexError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| IndexError::Closed)?;
        answered.await.map_err(|_| IndexError::Closed)
    }
}

/// Heads from their rows.
fn heads_of(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Head> {
    let head = |(key, value): (Vec<u8>, Vec<u8>)| {
        let run = RunName::parse(std::str::from_utf8(&key).ok()?).ok()?;
        let stored: StoredHead = serde_json::from_slice(&value).ok()?;
        Some(stored.into_head(run))
    };
    rows.into_iter().filter_map(head).collect()
}

/// Renames an index that does not fit the log any more, so that the next start builds it anew, and says to what. The
/// one that was set aside before is kept, older ones are removed.
///
/// # Errors
/// What the disk answered.
pub fn set_aside(state_dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    worker::set_aside(&state_dir.join("index"))
}
