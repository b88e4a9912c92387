//! The log of one attempt: a file, made with its first byte, capped, digested, read by offset.

use std::path::{Path, PathBuf};

use bascule_plugin::Stream;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::redact::{self, Redactor};
use crate::machine::fact::{Direction, LogDigest};
use crate::plan::StepId;
use crate::store::RunName;

/// Bytes kept from the start of a log.
const HEAD: u64 = 8 << 20;

/// Bytes kept from its end, once the start is full: the last words matter most.
const TAIL: usize = 1 << 20;

/// What an attempt is called in ids and files: `forward-3`, `undo-1`.
#[must_use]
pub fn label(direction: Direction, attempt: u32) -> String {
    format!("{}-{attempt}", super::convert::direction(direction).as_str())
}

/// Where the log of an attempt lies, below the state directory.
#[must_use]
pub fn path(state: &Path, run: &RunName, step: &StepId, attempt: &str) -> PathBuf {
    folder(state, run, step).join(format!("{attempt}.log"))
}

/// Where everything of a step lies.
#[must_use]
pub fn folder(state: &Path, run: &RunName, step: &StepId) -> PathBuf {
    run_folder(state, run).join(file_name(step.as_str()))
}

/// Where everything of a run lies.
#[must_use]
pub fn run_folder(state: &Path, run: &RunName) -> PathBuf {
    state.join("attempts").join(run.application()).join(run.number().to_string())
}

/// Where process groups are noted that a full disk leaves no other place for. No application begins with a dot.
#[must_use]
pub fn spare_notes(state: &Path) -> PathBuf {
    state.join("attempts").join(".groups")
}

/// Makes that file, while there is room; an engine without it starts all the same.
pub(super) fn prepare_spare_notes(state: &Path) {
    let made = std::fs::create_dir_all(state.join("attempts"))
        .and_then(|()| bascule_builtin::spare_notes::prepare(&spare_notes(state)));
    if let Err(error) = made {
        tracing::warn!(%error, "nothing is kept for noting process groups on a full disk");
    }
}

/// A step's name as a file name; names are checked when documents are read, this is the last guard.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '+' }).collect()
}

/// Writes the log of one attempt.
#[derive(Debug)]
pub(super) struct AttemptLog {
    path: PathBuf,
    file: Option<File>,
    broken: bool,
    redactor: Redactor,
    /// Each stream by itself: what one holds back is not torn by what comes on the other.
    out: redact::Stream,
    err: redact::Stream,
    digest: Sha256,
    bytes: u64,
    tail: std::collections::VecDeque<u8>,
    cut: u64,
}

impl AttemptLog {
    pub(super) fn new(path: PathBuf, redactor: Redactor) -> Self {
        Self {
            path,
            file: None,
            broken: false,
            out: redactor.stream(),
            err: redactor.stream(),
            redactor,
            digest: Sha256::new(),
            bytes: 0,
            tail: std::collections::VecDeque::new(),
            cut: 0,
        }
    }

    /// Appends bytes. A log that cannot be written never fails a step.
    pub(super) async fn append(&mut self, stream: Stream, bytes: &[u8]) {
        let marked;
        let bytes = if stream == Stream::Note {
            marked = [b"# ", bytes].concat();
            &marked
        } else {
            bytes
        };
        let clean = match stream {
            // A line of the executor's own is whole.
            Stream::Note => self.redactor.bytes(bytes),
            Stream::Out => self.out.push(bytes),
            Stream::Err => self.err.push(bytes),
        };
        self.write(&clean).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.broken {
            return;
        }
        let room = usize::try_from(HEAD.saturating_sub(self.bytes)).unwrap_or(usize::MAX).min(bytes.len());
        let (now, later) = bytes.split_at(room);
        self.put(now).await;
        if later.is_empty() {
            return;
        }
        self.tail.extend(later);
        while self.tail.len() > TAIL {
            let over = self.tail.len() - TAIL;
            self.cut += over as u64;
            self.tail.drain(..over);
        }
    }

    async fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.file.is_none() {
            self.file = create(&self.path).await;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(bytes).await.is_ok(),
            None => false,
        };
        if !written {
            tracing::warn!(path = %self.path.display(), "the log of an attempt cannot be written");
            self.broken = true;
            return;
        }
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Ends the log; `None` if nothing was written.
    pub(super) async fn finish(mut self) -> Option<LogDigest> {
        for rest in [self.out.finish(), self.err.finish()] {
            self.write(&rest).await;
        }
        if !self.tail.is_empty() {
            if self.cut > 0 {
                let line = format!("\n# {} bytes were cut here\n", self.cut);
                self.put(line.as_bytes()).await;
            }
            let tail: Vec<u8> = std::mem::take(&mut self.tail).into();
            self.put(&tail).await;
        }
        let mut file = self.file?;
        drop(file.flush().await);
        let sha256 = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(LogDigest { bytes: self.bytes, cut: self.cut, sha256 })
    }
}

async fn create(path: &Path) -> Option<File> {
    let folder = path.parent()?;
    tokio::fs::create_dir_all(folder).await.ok()?;
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(path).await.ok()
}
