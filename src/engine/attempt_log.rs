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
    /// Bytes that the disk refused, and why.
    lost: u64,
    refused: Option<String>,
    /// Of those, how many the log itself says are missing.
    told: u64,
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
            lost: 0,
            refused: None,
            told: 0,
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
        if bytes.is_empty() {
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
        if self.lost > self.told {
            // There may be room again: whoever reads the log must know that it has a hole.
            let line = format!("\n# {} bytes are missing here: {}\n", self.lost - self.told, self.why());
            if self.try_put(line.as_bytes()).await {
                self.told = self.lost;
                self.refused = None;
            } else {
                self.lost += bytes.len() as u64;
                return;
            }
        }
        let before = self.bytes;
        if !self.try_put(bytes).await {
            self.lost += bytes.len() as u64 - (self.bytes - before);
        }
    }

    /// Whether all of it is in the file; counts what is not.
    async fn try_put(&mut self, bytes: &[u8]) -> bool {
        let before = self.bytes;
        let written = self.write_out(bytes).await;
        if let Err(error) = &written {
            if self.refused.is_none() {
                tracing::warn!(path = %self.path.display(), %error, "the log of an attempt cannot be written");
            }
            self.refused = Some(error.to_string());
            // A part of it may have found room.
            let len = match &self.file {
                Some(file) => file.metadata().await.map_or(before, |data| data.len()),
                None => before,
            };
            self.bytes = len.clamp(before, before + bytes.len() as u64);
        } else {
            self.bytes += bytes.len() as u64;
        }
        let done = usize::try_from(self.bytes - before).unwrap_or(bytes.len());
        self.digest.update(&bytes[..done]);
        written.is_ok()
    }

    async fn write_out(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => create(&self.path).await?,
        };
        let file = self.file.insert(file);
        file.write_all(bytes).await?;
        // Only then it is known whether the disk took it.
        file.flush().await
    }

    fn why(&self) -> &str {
        self.refused.as_deref().unwrap_or("the disk refused them")
    }

    /// Why what comes now is missing in the log.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.refused.as_deref()
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
        if self.lost > self.told {
            let line = format!("\n# {} bytes are missing here: {}\n", self.lost - self.told, self.why());
            self.try_put(line.as_bytes()).await;
        }
        if self.file.is_none() && self.lost == 0 {
            return None;
        }
        let sha256 = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(LogDigest { bytes: self.bytes, cut: self.cut + self.lost, sha256 })
    }
}

async fn create(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true).mode(0o600);
    options.open(path).await
}
