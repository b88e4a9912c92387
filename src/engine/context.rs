//! What all runs of an engine share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};

use bascule_plugin::Progress;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::complaints::Complaints;
use super::handle::RunHandle;
use super::locks::{Holder, Locks};
use super::registry::Registry;
use super::secrets::SecretSources;
use crate::machine::fact::Millis;
use crate::machine::{Input, Record};
use crate::store::{Hash, Head, RunLog, RunName, StateDir, StoreError};
use crate::telemetry::Exporter;

/// How far running attempts are: lossy, never in the log.
#[derive(Debug, Default)]
pub struct Progresses {
    by_step: Mutex<HashMap<(RunName, String), Progress>>,
}

impl Progresses {
    pub(super) fn set(&self, run: &RunName, step: &str, progress: Progress) {
        let mut by_step = self.by_step.lock().unwrap_or_else(PoisonError::into_inner);
        by_step.insert((run.clone(), step.to_owned()), progress);
    }

    pub(super) fn clear(&self, run: &RunName, step: &str) {
        let mut by_step = self.by_step.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_step.is_empty() {
            by_step.remove(&(run.clone(), step.to_owned()));
        }
    }

    /// The progress of all running steps of a run.
    #[must_use]
    pub fn of(&self, run: &RunName) -> BTreeMap<String, Progress> {
        let by_step = self.by_step.lock().unwrap_or_else(PoisonError::into_inner);
        by_step.iter().filter(|((of, _), _)| of == run).map(|((_, step), p)| (step.clone(), p.clone())).collect()
    }
}

/// Files named by their content.
#[derive(Clone)]
pub(super) struct BlobFiles {
    blobs: Arc<crate::store::Blobs>,
}

impl BlobFiles {
    pub(super) fn new(blobs: crate::store::Blobs) -> Self {
        Self { blobs: Arc::new(blobs) }
    }

    /// Stores bytes; durable when it returns.
    ///
    /// # Errors
    /// What the disk said.
    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<String, StoreError> {
        let blobs = self.blobs.clone();
        match tokio::task::spawn_blocking(move || blobs.put(&bytes)).await {
            Ok(put) => put.map(|hash| hash.to_string()),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Reads bytes back.
    ///
    /// # Errors
    /// Damaged, or what the disk said.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match Hash::from_hex(name.as_bytes()) {
            Some(hash) => self.blobs.get(&hash),
            None => Ok(None),
        }
    }
}

/// One event, told once it is durable.
#[derive(Debug, Clone)]
pub struct Told {
    /// Of which run.
    pub run: RunName,
    /// What.
    pub record: Record,
}

/// What all runs of an engine share.
pub struct Context {
    /// Keeps the directory owned until the engine has stopped, or nothing of it is left.
    pub(super) owned: Mutex<Option<StateDir>>,
    pub(super) state: PathBuf,
    pub(super) state_id: Arc<str>,
    pub(super) registry: Registry,
    pub(super) secrets: SecretSources,
    pub(super) locks: Locks,
    pub(super) progress: Progresses,
    pub(super) blobs: BlobFiles,
    pub(super) log: Arc<dyn RunLog>,
    pub(super) clock: Arc<dyn Clock>,
    /// Attempts, probes, samples and what else goes on beside the runs.
    pub(super) tasks: TaskTracker,
    /// The runs' own tasks.
    pub(super) drivers: TaskTracker,
    /// Runs are left as they are.
    pub(super) shutdown: CancellationToken,
    /// Nobody waits for anything any more.
    pub(super) over: CancellationToken,
    /// The directory may be somebody else's now.
    pub(super) lost: CancellationToken,
    pub(super) runs: Mutex<BTreeMap<RunName, RunHandle>>,
    /// Runs that are open and that this engine does not execute, with the reason.
    pub(super) given_up: Mutex<BTreeMap<RunName, String>>,
    /// When runs that are not over had an engine last.
    pub(super) seen: Mutex<BTreeMap<RunName, Millis>>,
    /// How far the wall clock is ahead, as the runs were told. Changed only while `runs` is held.
    pub(super) clock_told: AtomicI64,
    pub(super) attempts: Mutex<BTreeSet<String>>,
    pub(super) stories: broadcast::Sender<Told>,
    pub(super) sayings: broadcast::Sender<String>,
    pub(super) complaints: Complaints,
    pub(super) exporter: Option<Exporter>,
}

impl Context {
    pub(super) fn runs(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunName, RunHandle>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs that are open and that this engine does not execute, with the reason.
    pub(super) fn given_up(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunName, String>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When runs that are not over had an engine last.
    pub(super) fn seen(&self) -> std::sync::MutexGuard<'_, BTreeMap<RunName, Millis>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the same news to every run, without waiting for any.
    pub(super) fn tell_all(&self, input: &Input) {
        let inboxes: Vec<_> = self.runs().values().map(|handle| handle.inbox.clone()).collect();
        for inbox in inboxes {
            let input = input.clone();
            self.beside(async move { super::perform::tell(&inbox, input).await });
        }
    }

    /// Does something beside the runs, until it is done or the engine is over.
    pub(super) fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        self.tasks.spawn(async move {
            if over.run_until_cancelled(work).await.is_none() {
                tracing::debug!("the engine is over: what was under way was ended before, or is of no use to anybody");
            }
        });
    }

    /// Attempts that this engine makes now, by id.
    pub(super) fn attempts(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that people at this engine should read; never needed for correctness.
    pub(super) fn say(&self, line: String) {
        // Nobody listens: then nobody misses it; the log of the process has it too.
        drop(self.sayings.send(line));
    }

    /// Events became durable; the log of their run stands at `head` now.
    pub(super) fn story(&self, head: &Head, records: &[Record]) {
        if let Some(exporter) = &self.exporter {
            exporter.told(head.run.as_str(), format!("{}:{}", head.version, head.hash), records);
        }
        if self.stories.receiver_count() > 0 {
            for record in records {
                drop(self.stories.send(Told { run: head.run.clone(), record: record.clone() }));
            }
        }
    }

    /// Tells runs that their locks were given.
    pub(super) fn tell_granted(&self, granted: Vec<Holder>) {
        for holder in granted {
            let scope = holder.scope();
            let inbox = self.runs().get(&holder.run).map(|handle| handle.inbox.clone());
            if let Some(inbox) = inbox {
                self.beside(async move { super::perform::tell(&inbox, Input::LocksGranted { scope }).await });
            }
        }
    }
}
