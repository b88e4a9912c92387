//! What can go wrong in the store, each with the place and the next step.
//!
//! Errors are cheap to clone, because one failed flush answers every append that waited for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::damage::StoppedRun;
use super::record::RunName;
use super::state_dir::Owner;

/// A value that cannot enter the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// Not `application/number`.
    #[error(
        "`{0}` is no run name: it is `application/number`, the application has 1 to 120 bytes without spaces, quotes, \
         `/`, `\\`, `?`, `#`, `%` and does not begin with a dot, the number counts from 1"
    )]
    RunName(String),
    /// Not 64 hexadecimal digits.
    #[error("`{0}` is no SHA-256: it has 64 lower-case hexadecimal digits")]
    Hash(String),
    /// Not a JSON array on one line.
    #[error("the events are no JSON array on one line: {0}")]
    Payload(String),
}

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Another process owns the state directory.
    #[error("{dir} is in use by {owner}; talk to that process, or end it first")]
    Held {
        /// The state directory.
        dir: PathBuf,
        /// The process that holds it.
        owner: Box<Owner>,
    },
    /// Somebody else owns the run.
    #[error("run {run} is owned by {by}")]
    Claimed {
        /// The run.
        run: RunName,
        /// Its owner.
        by: String,
    },
    /// The lease on a run ended, or was taken over.
    #[error("the lease on run {run} with epoch {epoch} is lost; stop acting for it and read its head")]
    LeaseLost {
        /// The run.
        run: RunName,
        /// The epoch of the lease.
        epoch: u64,
    },
    /// The state directory is on a file system whose locks and flushes cannot be trusted.
    #[error(
        "{dir} is on {kind}, where locks and flushes do not hold what they promise; use a local disk, or pass --take-over \
         if no other machine can reach it"
    )]
    NetworkFileSystem {
        /// The state directory.
        dir: PathBuf,
        /// What it is on, in words.
        kind: String,
    },
    /// Others could have changed what is in the state directory.
    #[error(
        "{dir} is no private directory: {why}; look what is in it, then `chmod 700` it as its owner, or name a directory \
         that does not exist yet"
    )]
    NotPrivate {
        /// The state directory.
        dir: PathBuf,
        /// Whose it is, or who may change it.
        why: String,
    },
    /// The state directory was last used elsewhere.
    #[error(
        "{dir} was last used on another machine, by {owner}; make sure that no engine runs there, then pass --take-over"
    )]
    OtherMachine {
        /// The state directory.
        dir: PathBuf,
        /// Who used it last.
        owner: Box<Owner>,
    },
    /// Part of the run's history is damaged or missing.
    #[error("{0}")]
    Corrupt(Arc<StoppedRun>),
    /// The transitions were removed after the retention.
    #[error("transitions of run {run} before version {first} were pruned; see journal/pruned.ndjson")]
    Pruned {
        /// The run.
        run: RunName,
        /// The first version that is still there.
        first: u64,
    },
    /// The journal closed after a failure and was not opened again yet.
    #[error("the journal is closed: {cause}; when the disk works again, reopen it")]
    Closed {
        /// What closed it.
        cause: Arc<str>,
    },
    /// A batch may or may not have reached the disk.
    #[error("{}: {doing} failed; what was being written may or may not be on the disk, and the journal is closed", path.display())]
    FlushFailed {
        /// What was being done.
        doing: &'static str,
        /// The segment.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// No room, and nothing of the transition reached the disk.
    #[error("no room for {needed} more bytes in {}; nothing was written, free some space and try again", dir.display())]
    DiskFull {
        /// The journal's directory.
        dir: PathBuf,
        /// The bytes that were wanted.
        needed: u64,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// The transition is larger than a line of the log may be: the same can never be written.
    #[error(
        "a transition of {size} bytes is larger than the {limit} that the run log takes at once; keep what is that large in files"
    )]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A file of the store could not be read or written.
    #[error("{}: {doing} failed", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// The journal was written by a newer release.
    #[error("{} has record format {found}, this release reads up to {known}; use a newer release", path.display())]
    Format {
        /// The segment.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known format.
        known: u32,
    },
    /// A value that cannot enter the log.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// A content-addressed file does not hold what its name says.
    #[error("{} does not hold what its name says: it was changed or damaged; restore it from a copy", path.display())]
    BlobDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A decision for `repair` cannot be carried out.
    #[error("run {run} cannot be repaired like this: {why}")]
    BadDecision {
        /// The run.
        run: RunName,
        /// Why not, and what is possible.
        why: String,
    },
    /// A test told the log to fail.
    #[error("injected: {0}")]
    Injected(Arc<str>),
}

impl StoreError {
    /// Wraps the system's answer with what was being done and where.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source: Arc::new(source) }
    }
}

/// Whether `error` says that there is no room, on the device or in a quota.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
