//! What an executor may ask of the engine: [`CheckCx`] to look, [`ExecCx`] to act.

use std::ops::Deref;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{ATTEMPT_VARIABLE, IdempotencyKey};

/// Where a line of an attempt's log came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Standard output of a child.
    Out,
    /// Standard error of a child.
    Err,
    /// The executor's own words.
    Note,
}

/// How far an attempt is. Lossy: the newest replaces those that nobody has read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Done so far, in `unit`.
    pub done: u64,
    /// All there is to do, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// `bytes`, `files`, `requests`, …
    pub unit: String,
}

/// What an attempt tells the engine while it runs.
#[derive(Debug)]
pub enum Report {
    /// A handle of remote work; `recorded` is answered once it is durable.
    Handle {
        /// What a later attempt needs to find the work again.
        value: Value,
        /// Answered by the engine.
        recorded: oneshot::Sender<()>,
    },
    /// How far it is.
    Progress(Progress),
    /// Bytes for the attempt's log.
    Log {
        /// Where they came from.
        stream: Stream,
        /// At most a few KiB at a time.
        bytes: Vec<u8>,
    },
}

/// The engine could not make a handle durable: stop, and say that the outcome is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the engine could not record the handle of remote work")]
pub struct HandleRefused;

/// What the engine gives an attempt. Built by the engine and by tests only.
#[derive(Debug)]
pub struct Setup {
    /// The name under which all attempts of this action count as one.
    pub key: IdempotencyKey,
    /// Counts the attempts of the step from 1.
    pub attempt: u32,
    /// Value of [`ATTEMPT_VARIABLE`] for child processes.
    pub attempt_id: String,
    /// The handle of work to re-attach to.
    pub attached: Option<Value>,
    /// When the engine will interrupt the attempt.
    pub deadline: Option<Instant>,
    /// Cancelled when the attempt must stop.
    pub cancel: CancellationToken,
    /// A folder of this attempt, for files handed to children.
    pub scratch: std::path::PathBuf,
}

/// To look, never to act.
#[derive(Debug, Clone)]
pub struct CheckCx {
    deadline: Option<Instant>,
    cancel: CancellationToken,
    reports: mpsc::Sender<Report>,
}

impl CheckCx {
    /// A context and the end on which its reports arrive.
    #[must_use]
    pub fn new(deadline: Option<Instant>, cancel: CancellationToken) -> (Self, mpsc::Receiver<Report>) {
        let (reports, inbox) = mpsc::channel(256);
        (Self { deadline, cancel, reports }, inbox)
    }

    /// Resolves when the attempt must stop.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Whether the attempt must stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// When the engine will interrupt the attempt.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Appends bytes to the attempt's log; waits while the log is behind.
    pub async fn log(&self, stream: Stream, bytes: impl Into<Vec<u8>>) {
        // A log that nobody reads any more is no reason to fail a step.
        drop(self.reports.send(Report::Log { stream, bytes: bytes.into() }).await);
    }

    /// Appends a line of the executor's own to the attempt's log.
    pub async fn note(&self, line: &str) {
        self.log(Stream::Note, format!("{line}\n")).await;
    }
}

/// To act.
#[derive(Debug)]
pub struct ExecCx {
    check: CheckCx,
    key: IdempotencyKey,
    attempt: u32,
    attempt_id: String,
    attached: Option<Value>,
    scratch: std::path::PathBuf,
}

impl ExecCx {
    /// A context and the end on which its reports arrive.
    #[must_use]
    pub fn new(setup: Setup) -> (Self, mpsc::Receiver<Report>) {
        let (check, inbox) = CheckCx::new(setup.deadline, setup.cancel);
        let cx = Self {
            check,
            key: setup.key,
            attempt: setup.attempt,
            attempt_id: setup.attempt_id,
            attached: setup.attached,
            scratch: setup.scratch,
        };
        (cx, inbox)
    }

    /// The name under which all attempts of this action count as one.
    #[must_use]
    pub fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// Counts the attempts of the step from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The handle of work that goes on since before an interruption.
    #[must_use]
    pub fn attached(&self) -> Option<&Value> {
        self.attached.as_ref()
    }

    /// A folder of this attempt for files handed to children. It may not exist yet.
    #[must_use]
    pub fn scratch(&self) -> &std::path::Path {
        &self.scratch
    }

    /// Variables that every child process must carry.
    #[must_use]
    pub fn child_environment(&self) -> Vec<(String, String)> {
        vec![
            (ATTEMPT_VARIABLE.to_owned(), self.attempt_id.clone()),
            ("BASCULE_RUN".to_owned(), self.key.run.clone()),
            ("BASCULE_STEP".to_owned(), self.key.step.clone()),
            ("BASCULE_DIRECTION".to_owned(), self.key.direction.as_str().to_owned()),
            ("BASCULE_KEY".to_owned(), self.key.to_string()),
        ]
    }

    /// Tells how far the attempt is. Never waits; may be lost.
    pub fn progress(&self, progress: Progress) {
        // Full or closed: the next one tells more.
        drop(self.check.reports.try_send(Report::Progress(progress)));
    }

    /// Makes the handle of remote work durable. Call it before waiting for the work.
    ///
    /// # Errors
    /// The engine is going down or its store fails: end with [`crate::Outcome::Unknown`].
    pub async fn handle(&self, value: Value) -> Result<(), HandleRefused> {
        let (recorded, answer) = oneshot::channel();
        self.check.reports.send(Report::Handle { value, recorded }).await.map_err(|_| HandleRefused)?;
        answer.await.map_err(|_| HandleRefused)
    }
}

impl Deref for ExecCx {
    type Target = CheckCx;

    fn deref(&self) -> &CheckCx {
        &self.check
    }
}
