//! The ledger: one line per effect, appended once it happened. What a test of "nothing twice, nothing lost" reads.
//!
//! It never says what was asked for, only what was done: a refused or repeated request leaves no line, a request with a
//! new key that found everything as it should be leaves a `noop`. Start with [`Entry`] and [`read_ledger`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::now_ms;

/// The ledger's name inside the lab's folder.
pub const LEDGER: &str = "ledger.ndjson";

/// What a line of the ledger stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EntryKind {
    /// The world changed because somebody asked.
    Effect,
    /// Somebody asked with a new key for what already was so.
    Noop,
    /// The lab did it by itself: a scheduled backup, a machine that died.
    Background,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts the lines from 1.
    pub seq: u64,
    /// When it had happened, in milliseconds since 1970.
    pub at: u64,
    /// Effect, no-op or background.
    pub kind: EntryKind,
    /// `source`, `target`, `lb`, `dns` or `backup`.
    pub platform: String,
    /// What was done, such as `power_on`.
    pub action: String,
    /// The machine, record or backend that it was done to.
    pub vm: String,
    /// The `Idempotency-Key` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The `Bascule-Attempt` of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The process that did it.
    pub pid: u32,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub detail: Value,
}

/// Why the ledger could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file cannot be read.
    #[error("cannot read the ledger {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is none of ours.
    #[error("line {line} of the ledger {path} is damaged")]
    Line {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads the ledger of the lab in `dir`. A line that is being written is left out.
///
/// # Errors
/// The file cannot be read or a whole line is damaged.
pub fn read_ledger(dir: &Path) -> Result<Vec<Entry>, LedgerError> {
    let path = dir.join(LEDGER);
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(&path).map_err(|source| LedgerError::Read { path: shown.clone(), source })?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .enumerate()
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|source| LedgerError::Line { path: shown.clone(), line: at + 1, source })
        })
        .collect()
}

/// Who did what, for [`Ledger::append`].
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub platform: &'static str,
    pub action: &'static str,
    pub vm: String,
    pub key: Option<String>,
    pub attempt: Option<String>,
}

/// The open ledger of the serving process, its only writer.
#[derive(Debug)]
pub(crate) struct Ledger {
    open: Mutex<(File, u64)>,
}

impl Ledger {
    /// Opens the ledger in `dir` and goes on counting.
    pub(crate) fn open(dir: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).read(true).open(dir.join(LEDGER))?;
        let last = read_ledger(dir).map_err(std::io::Error::other)?.last().map_or(0, |entry| entry.seq);
        Ok(Self { open: Mutex::new((file, last)) })
    }

    /// Writes a line with one write, so that readers see all of it or nothing.
    pub(crate) fn append(&self, kind: EntryKind, deed: &Deed, detail: Value) -> std::io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, seq) = &mut *open;
        let entry = Entry {
            seq: *seq + 1,
            at: now_ms(),
            kind,
            platform: deed.platform.to_owned(),
            action: deed.action.to_owned(),
            vm: deed.vm.clone(),
            key: deed.key.clone(),
            attempt: deed.attempt.clone(),
            pid: std::process::id(),
            detail,
        };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        file.write_all(&line)?;
        *seq += 1;
        Ok(())
    }
}
