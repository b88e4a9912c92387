//! The end of an engine: runs are left as they are, and the next engine is told what still ran.

use std::sync::PoisonError;
use std::time::Duration;

use super::adopt::Engine;
use super::error::EngineError;
use super::processes::{self, Hunt};
use super::{attempt_log, options, queries};

/// How long the runs' tasks may take to write down what they know. A disk that hangs does not hold the process.
const DRIVERS: Duration = Duration::from_secs(10);
/// How long everything else may take to notice that it is over.
const REST: Duration = Duration::from_secs(2);

impl Engine {
    /// Leaves all runs as they are, waits for their tasks, ends what their attempts still run, closes the log.
    ///
    /// # Errors
    /// What the log said.
    pub async fn stop(&self) -> Result<(), EngineError> {
        self.cx.shutdown.cancel();
        let folders = self.cx.runs().keys().map(|run| attempt_log::run_folder(&self.cx.state, run)).collect();
        self.cx.drivers.close();
        if tokio::time::timeout(DRIVERS, self.cx.drivers.wait()).await.is_err() {
            tracing::warn!("runs were left in the middle of a write: the next engine reads what became of it");
        }
        // Attempts that would not stop are ended like those of a dead engine.
        let mine = |id: &str| !self.cx.attempts().contains(id);
        let notes = Some(attempt_log::spare_notes(&self.cx.state));
        drop(processes::end(Hunt { prefix: format!("{}/", self.cx.state_id), folders, notes }, mine).await);
        self.cx.over.cancel();
        let told = *self.cx.log.news().borrow();
        let closed = self.cx.log.close().await;
        queries::last_look(&self.index, told).await;
        self.cx.tasks.close();
        if tokio::time::timeout(REST, self.cx.tasks.wait()).await.is_err() {
            tracing::warn!("something of this engine did not end in time");
        }
        options::last_words(self.cx.clone()).await;
        // Another engine may come, also in this process, where something of this one may still linger.
        self.cx.owned.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(closed?)
    }
}
