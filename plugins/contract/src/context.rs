//! What an executor may ask of the engine: [`CheckCx`] to look, [`ExecCx`] to act.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
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

/// The engine could not make a handle durable: stop waiting, and end with [`crate::Outcome::adrift`].
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

/// What an attempt may do where the disk is too full for its folder.
#[derive(Debug, Clone, Default)]
pub struct FullDisk {
    /// A file with room for the notes of process groups that cannot be written to their folders.
    pub notes: Option<std::path::PathBuf>,
    /// Whether nobody needs what the attempt returns: then it goes on without a file for it.
    pub goes_on: bool,
}

/// Why an attempt must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The engine, or a person through it, said so.
    Cancelled,
    /// Its time is over.
    Deadline,
}

/// The engine's end of an attempt's deadline: `extend` moves it while the attempt runs.
#[derive(Debug, Clone)]
pub struct DeadlineMover(Arc<watch::Sender<Option<Instant>>>);

impl DeadlineMover {
    /// The deadline that counts from now on; `None` lets the attempt run.
    pub fn set(&self, deadline: Option<Instant>) {
        self.0.send_replace(deadline);
    }
}

/// To look, never to act.
#[derive(Debug, Clone)]
pub struct CheckCx {
    deadline: DeadlineMover,
    cancel: CancellationToken,
    reports: mpsc::Sender<Report>,
}

impl CheckCx {
    /// A context and the end on which its reports arrive.
    #[must_use]
    pub fn new(deadline: Option<Instant>, cancel: CancellationToken) -> (Self, mpsc::Receiver<Report>) {
        let (reports, inbox) = mpsc::channel(256);
        let deadline = DeadlineMover(Arc::new(watch::Sender::new(deadline)));
        (Self { deadline, cancel, reports }, inbox)
    }

    /// The end with which the engine moves the deadline.
    #[must_use]
    pub fn deadline_mover(&self) -> DeadlineMover {
        self.deadline.clone()
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

    /// When the engine will interrupt the attempt. It may be moved while the attempt runs.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        *self.deadline.0.borrow()
    }

    /// Why the attempt must stop, if it must stop now: for work between two await points.
    #[must_use]
    pub fn must_stop(&self) -> Option<Stop> {
        if self.cancel.is_cancelled() {
            return Some(Stop::Cancelled);
        }
        self.deadline().is_some_and(|at| Instant::now() >= at).then_some(Stop::Deadline)
    }

    /// Resolves when the attempt must stop, because it was told to or because its deadline, as
    /// it then stands, has passed.
    pub async fn stopped(&self) -> Stop {
        let mut moved = self.deadline.0.subscribe();
        loop {
            let deadline = *moved.borrow_and_update();
            let passed = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Stop::Cancelled,
                () = passed => return Stop::Deadline,
                // The sender lives as long as this context, so this is always a new deadline.
                _ = moved.changed() => {}
            }
        }
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
    full_disk: FullDisk,
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
            full_disk: FullDisk::default(),
        };
        (cx, inbox)
    }

    /// The same, prepared for a disk that is full.
    #[must_use]
    pub fn with_full_disk(mut self, full_disk: FullDisk) -> Self {
        self.full_disk = full_disk;
        self
    }

    /// What may be done where the disk is too full for the attempt's folder.
    #[must_use]
    pub fn full_disk(&self) -> &FullDisk {
        &self.full_disk
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

    /// The id of this attempt, as its children carry it.
    #[must_use]
    pub fn attempt_id(&self) -> &str {
        &self.attempt_id
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
        let attempt = (ATTEMPT_VARIABLE.to_owned(), self.attempt_id.clone());
        std::iter::once(attempt).chain(self.key.environment()).collect()
    }

    /// Tells how far the attempt is. Never waits; may be lost.
    pub fn progress(&self, progress: Progress) {
        // Full or closed: the next one tells more.
        drop(self.check.reports.try_send(Report::Progress(progress)));
    }

    /// Makes the handle of remote work durable. Call it before waiting for the work.
    ///
    /// # Errors
    /// The engine is going down or its store fails: end with [`crate::Outcome::adrift`].
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_attempt_stops_at_its_deadline() {
        let deadline = Instant::now() + Duration::from_millis(20);
        let (cx, _inbox) = CheckCx::new(Some(deadline), CancellationToken::new());
        assert_eq!(cx.stopped().await, Stop::Deadline);
        assert!(Instant::now() >= deadline, "it stopped before its deadline");
    }

    #[tokio::test]
    async fn a_moved_deadline_counts_while_the_attempt_runs() {
        let start = Instant::now();
        let (cx, _inbox) = CheckCx::new(Some(start + Duration::from_secs(3600)), CancellationToken::new());
        let mover = cx.deadline_mover();
        let sooner = start + Duration::from_millis(20);
        let (stop, ()) = tokio::join!(cx.stopped(), async { mover.set(Some(sooner)) });
        assert_eq!(stop, Stop::Deadline);
        assert!(start.elapsed() < Duration::from_secs(60), "it waited for the old deadline");
        assert_eq!(cx.deadline(), Some(sooner));
    }

    #[tokio::test]
    async fn a_cancelled_attempt_stops_although_its_deadline_is_far() {
        let cancel = CancellationToken::new();
        let (cx, _inbox) = CheckCx::new(None, cancel.clone());
        cancel.cancel();
        assert_eq!(cx.stopped().await, Stop::Cancelled);
    }
}
