//! What an engine says of itself: where it is, what it found, what is wrong with it now.

use std::sync::{Arc, PoisonError};

use tokio::sync::broadcast;

use super::adopt::{Adopted, Engine};
use super::clock::Clock;
use super::context::{Progresses, Told};
use super::registry::Registry;
use super::secrets::SecretSources;
use crate::machine::fact::Millis;
use crate::store::{OpenReport, RunLog};

impl Engine {
    /// When it began, before it took any run.
    #[must_use]
    pub fn started(&self) -> Millis {
        self.started
    }

    /// What was found when the journal was opened.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The runs that were open when the engine started.
    #[must_use]
    pub fn adopted(&self) -> &[Adopted] {
        &self.adopted
    }

    /// The dead attempts whose processes were ended at the start.
    #[must_use]
    pub fn ended_attempts(&self) -> &[String] {
        &self.ended
    }

    /// What else people should know of the start: runs that cannot be executed, a directory that moved.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Something that people at this engine should read; never needed for correctness.
    pub fn say(&self, line: String) {
        self.cx.say(line);
    }

    /// Something is wrong with the engine as a whole: said now, and shown by `status` until [`Engine::settle`].
    pub fn complain(&self, about: &str, words: String) {
        self.cx.complaints.raise(about, &words);
        self.say(words);
    }

    /// What was complained about is well again.
    pub fn settle(&self, about: &str, words: String) {
        self.cx.complaints.settle(about);
        self.say(words);
    }

    /// What is wrong with the engine as a whole now.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.cx.complaints.all()
    }

    /// What is wrong with one matter now.
    #[must_use]
    pub fn complaint(&self, about: &str) -> Option<String> {
        self.cx.complaints.of(about)
    }

    /// Where secrets come from.
    #[must_use]
    pub fn secrets(&self) -> &SecretSources {
        &self.cx.secrets
    }

    /// The executors that it has.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.cx.registry
    }

    /// The run log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn RunLog> {
        &self.cx.log
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> &std::path::Path {
        &self.cx.state
    }

    /// How far running attempts are.
    #[must_use]
    pub fn progress(&self) -> &Progresses {
        &self.cx.progress
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.cx.clock
    }

    /// Every event from now on, once it is durable. A slow reader misses some and reads the log.
    #[must_use]
    pub fn stories(&self) -> broadcast::Receiver<Told> {
        self.cx.stories.subscribe()
    }

    /// Returns when this engine lost its directory: it acts no more, and has to be stopped.
    pub async fn lost(&self) {
        self.cx.lost.cancelled().await;
    }

    /// Whether this engine lost its directory.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.cx.lost.is_cancelled()
    }

    /// Whether this engine still owns its directory.
    #[must_use]
    pub fn owns(&self) -> bool {
        let owned = self.cx.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.as_ref().is_some_and(|owned| owned.lost().is_none())
    }

    /// What people at this engine should read.
    #[must_use]
    pub fn sayings(&self) -> broadcast::Receiver<String> {
        self.cx.sayings.subscribe()
    }
}
