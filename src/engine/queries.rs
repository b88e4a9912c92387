//! What is asked of the index, and what it knows that the log does not.
//!
//! The index is never the truth: without it every question is answered from the log, slower. It must hold nobody up,
//! least of all a run. Start at [`Engine::rows`].

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::adopt::Engine;
use super::projection::{self, RunRow};
use crate::plan::History;
use crate::store::index::{Index, IndexError, Lookup};
use crate::store::{Cursor, JournalFile, StoppedRun};

/// How long a question waits for an index that is behind, as while it is built anew.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long an engine's start waits for what the index knows.
const OPENING: Duration = Duration::from_secs(5);

/// Why the index does not answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It cannot.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It is being built anew.
    #[error("the index is behind the log, because it is being built anew")]
    Behind,
}

impl Engine {
    /// How all runs stand, up to the last transition that anybody was told of.
    ///
    /// # Errors
    /// The index cannot be used or is behind; the log can be read.
    pub async fn rows(&self) -> Result<Vec<RunRow>, QueryError> {
        self.query(projection::rows).await
    }

    /// How long the steps of an application and their undos took: the median of each one's newest durations.
    ///
    /// # Errors
    /// The index cannot be used or is behind.
    pub async fn history(&self, application: &str) -> Result<History, QueryError> {
        let name = application.to_owned();
        let found = self.query(move |lookup| projection::durations(lookup, &name)).await?;
        Ok(projection::medians(found))
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Lookup<'_>) -> T + Send + 'static,
    ) -> Result<T, QueryError> {
        let told = *self.cx.log.news().borrow();
        match tokio::time::timeout(PATIENCE, self.index.query(told, query)).await {
            Ok(found) => Ok(found?),
            Err(_) => Err(QueryError::Behind),
        }
    }
}

/// The runs of which the index knows more than the log, or another history: the log lost something. They stop until
/// a person decides. The index is then left as it is and not used: it is the evidence, and `repair` sets it aside.
pub(super) async fn lost(index: &Index, log: &JournalFile) -> Vec<Arc<StoppedRun>> {
    let heads = match tokio::time::timeout(OPENING, index.heads()).await {
        Ok(Ok(heads)) => heads,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the index cannot be compared with the log");
            return Vec::new();
        }
        Err(_) => {
            tracing::warn!("the index opens too slowly to be compared with the log");
            return Vec::new();
        }
    };
    let stopped = log.compare(&heads);
    if !stopped.is_empty() {
        for run in &stopped {
            tracing::error!(%run, "the index knows more than the log");
        }
        index.give_up("it knows more than the log and is kept as evidence until `bascule repair`".to_owned()).await;
    }
    stopped
}

/// Keeps the index at the log's heels. It is never the truth: without it everything goes on.
pub(super) async fn follow(cx: Arc<Context>, index: Index) {
    // One that was closed is not needed any more.
    if let Err(error @ (IndexError::Unavailable { .. } | IndexError::Log(_))) = index.follow(cx.log.clone()).await {
        tracing::warn!(%error, "the index is not kept; queries read the log instead");
        // Whoever waits for it to catch up is told, too.
        index.give_up(error.to_string()).await;
    }
}

/// The engine ends: what is durable is folded in if that is quick, otherwise by the next engine.
pub(super) async fn last_look(index: &Index, told: Cursor) {
    drop(tokio::time::timeout(PATIENCE, index.wait_for(told)).await);
    index.close().await;
}
