//! Keeps in the state directory what each outlet was told, in a file that is replaced as a whole.
//!
//! It is a little behind, so that it costs the journal's disk little: what it misses is told once more after a crash.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::outbox::{Ledger, OLD_MS};
use super::post::Post;
use super::write_whole;
use crate::engine::Engine;

/// What happens within is written once.
const PAUSE: Duration = Duration::from_secs(1);

/// What is complained about.
const WHAT: &str = "the outbox";

/// The file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Outbox {
    outlets: BTreeMap<String, Ledger>,
}

#[derive(Debug, Default)]
struct Kept {
    outbox: Outbox,
    is_fresh: bool,
}

/// What each outlet was told.
pub(super) struct Shelf {
    engine: Arc<Engine>,
    path: PathBuf,
    kept: Mutex<Kept>,
    soon: Notify,
}

impl Shelf {
    /// What earlier engines told these outlets. An outlet that is new begins now; where nobody knows what was told, all of
    /// the last day is told again.
    pub(super) fn open(engine: &Arc<Engine>, posts: &[Post]) -> Arc<Self> {
        let path = engine.state_dir().join("outbox.json");
        // What this engine did before it could tell anybody is news.
        let now = engine.started();
        let (mut outbox, since) = match read(&path) {
            Ok(Some(outbox)) => (outbox, now),
            Ok(None) => (Outbox::default(), now),
            Err(error) => {
                let path = path.display();
                engine.say(format!("{path} cannot be read: {error}; what was told in the last day is told once more"));
                (Outbox::default(), now - OLD_MS)
            }
        };
        let keys: Vec<String> = posts.iter().map(Post::key).collect();
        // One that was taken away and comes back is a new one.
        outbox.outlets.retain(|key, _| keys.contains(key));
        for key in keys {
            outbox.outlets.entry(key).or_insert_with(|| Ledger { since, ..Ledger::default() });
        }
        let kept = Mutex::new(Kept { outbox, is_fresh: true });
        Arc::new(Self { engine: engine.clone(), path, kept, soon: Notify::new() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an outlet was told.
    pub(super) fn ledger(&self, key: &str) -> Ledger {
        self.kept().outbox.outlets.get(key).cloned().unwrap_or_default()
    }

    /// An outlet was told more. Read, but not told: `is_told` may be false, then it is not worth a write of its own.
    pub(super) fn put(&self, key: &str, ledger: Ledger, is_told: Told) {
        let mut kept = self.kept();
        kept.outbox.outlets.insert(key.to_owned(), ledger);
        kept.is_fresh = true;
        drop(kept);
        if is_told == Told::Yes {
            self.soon.notify_one();
        }
    }

    /// Writes what is new, until it is told to stop.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut is_failing = false;
        // An outlet that begins now must have begun now for the next engine, too.
        self.soon.notify_one();
        while stop.run_until_cancelled(self.soon.notified()).await.is_some() {
            match self.write().await {
                Ok(()) if is_failing => {
                    is_failing = false;
                    self.engine.settle(WHAT, format!("{WHAT} is kept again"));
                }
                Ok(()) => {}
                Err(error) => {
                    if !is_failing {
                        let path = self.path.display();
                        let words =
                            format!("{WHAT} {path} cannot be kept: {error}; after a restart notices may come twice");
                        self.engine.complain(WHAT, words);
                    }
                    is_failing = true;
                    self.soon.notify_one();
                }
            }
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
    }

    /// Writes what is new, for the next engine.
    pub(super) async fn close(&self) {
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "what was told is not kept: it may be told once more");
        }
    }

    async fn write(&self) -> std::io::Result<()> {
        // What somebody else owns now is theirs to write.
        if !self.engine.owns() {
            return Ok(());
        }
        let outbox = {
            let mut kept = self.kept();
            if !std::mem::take(&mut kept.is_fresh) {
                return Ok(());
            }
            kept.outbox.clone()
        };
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write_whole(&path, &serde_json::to_vec(&outbox)?)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        if written.is_err() {
            self.kept().is_fresh = true;
        }
        written
    }
}

/// Whether somebody heard something since the file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Yes,
    No,
}

fn read(path: &std::path::Path) -> std::io::Result<Option<Outbox>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
