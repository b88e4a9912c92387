//! What an engine needs to know, and whom it tells of what happens.

use std::path::PathBuf;
use std::sync::Arc;

use super::Context;
use super::clock::Clock;
use super::registry::{self, Registry};
use super::secrets::SecretSources;
use crate::store::{JournalOptions, TakeOver};
use crate::telemetry::Exporter;

/// What an engine needs to know.
pub struct EngineOptions {
    /// The state directory.
    pub state: PathBuf,
    /// Whether a directory of another machine may be taken.
    pub take_over: TakeOver,
    /// What steps may use. The program's own, unless it is embedded in another one that brings more.
    pub executors: Registry,
    /// Where secrets come from.
    pub secrets: SecretSources,
    /// The time; the system's clock outside of tests.
    pub clock: Option<Arc<dyn Clock>>,
    /// The receiver of spans, over OTLP/HTTP.
    pub otlp: Option<String>,
    /// The files that are written; tests and figures put disks of their own here.
    pub journal: JournalOptions,
}

impl EngineOptions {
    /// The defaults for a state directory.
    #[must_use]
    pub fn new(state: PathBuf) -> Self {
        Self {
            state,
            take_over: TakeOver::No,
            executors: registry::executors(),
            secrets: SecretSources::default(),
            clock: None,
            otlp: None,
            journal: JournalOptions::default(),
        }
    }
}

/// The exporter of spans. Without one that works, runs go on: it is a listener and nothing else.
pub(super) fn exporter(otlp: Option<&str>) -> Option<Exporter> {
    match Exporter::start(otlp?) {
        Ok(exporter) => Some(exporter),
        Err(error) => {
            tracing::warn!(%error, "no spans are exported");
            None
        }
    }
}

/// Lets the exporter send what is left, off the tasks of others.
pub(super) async fn last_words(cx: Arc<Context>) {
    let sent = tokio::task::spawn_blocking(move || cx.exporter.iter().for_each(Exporter::stop));
    if let Err(error) = sent.await {
        tracing::warn!(%error, "the exporter of spans did not end");
    }
}
