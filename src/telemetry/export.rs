//! Sends spans from a thread of its own: bounded in memory and in time, lossy, never in the way.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::spans::Projector;
use crate::machine::{Record, Run};

/// What the thread may fall behind before events are dropped.
const WAITING: usize = 8192;

/// Spans per request, at most.
const BATCH: usize = 256;

/// How long a span waits for company.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for what is left.
const LAST_WORDS: Duration = Duration::from_secs(3);

enum Item {
    Record(String, Box<Record>),
    Seed(Box<dyn FnOnce(&mut Projector) + Send>),
    Stop,
}

/// Why nothing will be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The URL is none, or the client cannot be made.
    #[error(
        "spans cannot be exported to {url}: {why}; give an http:// or https:// URL of an OTLP receiver, such as http://127.0.0.1:4318"
    )]
    Setup {
        /// As given.
        url: String,
        /// What the exporter says.
        why: String,
    },
    /// No thread.
    #[error("the thread that exports spans cannot be started")]
    Thread(#[source] std::io::Error),
}

/// Exports the spans of an engine's runs.
#[derive(Debug)]
pub struct Exporter {
    queue: SyncSender<Item>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    /// Begins to export to the OTLP/HTTP receiver at `url`; `/v1/traces` is added if it has no path.
    ///
    /// # Errors
    /// The URL is none.
    pub fn start(url: &str) -> Result<Self, ExporterError> {
        let endpoint = endpoint(url)?;
        let (queue, items) = sync_channel(WAITING);
        let (ready, made) = sync_channel::<Result<(), String>>(1);
        // The blocking client must be made and used where no runtime is.
        let thread = std::thread::Builder::new()
            .name("bascule-otlp".to_owned())
            .spawn(move || match client(&endpoint) {
                Ok(exporter) => {
                    drop(ready.send(Ok(())));
                    serve(&exporter, &items);
                }
                Err(why) => drop(ready.send(Err(why))),
            })
            .map_err(ExporterError::Thread)?;
        match made.recv() {
            Ok(Ok(())) => Ok(Self { queue, thread: Mutex::new(Some(thread)) }),
            Ok(Err(why)) => Err(ExporterError::Setup { url: url.to_owned(), why }),
            Err(_) => Err(ExporterError::Setup { url: url.to_owned(), why: "its thread ended".to_owned() }),
        }
    }

    /// An event became durable. Dropped when the receiver is too slow.
    pub fn told(&self, run: &str, record: &Record) {
        drop(self.queue.try_send(Item::Record(run.to_owned(), Box::new(record.clone()))));
    }

    /// A run that began before this engine did.
    pub fn adopted(&self, name: &str, run: &Run) {
        let mut projector = Projector::default();
        projector.seed(name, run);
        let seed = move |all: &mut Projector| all.merge(projector);
        drop(self.queue.try_send(Item::Seed(Box::new(seed))));
    }

    /// Sends what is left, for a few seconds at most.
    pub fn stop(&self) {
        drop(self.queue.try_send(Item::Stop));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let until = Instant::now() + LAST_WORDS;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        if thread.is_finished() {
            drop(thread.join());
        }
    }
}

fn endpoint(url: &str) -> Result<String, ExporterError> {
    let setup = |why: &str| ExporterError::Setup { url: url.to_owned(), why: why.to_owned() };
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .ok_or_else(|| setup("it is no http URL"))?;
    if rest.is_empty() {
        return Err(setup("it names no host"));
    }
    let has_path = rest.split_once('/').is_some_and(|(_, path)| !path.is_empty());
    Ok(if has_path { url.to_owned() } else { format!("{}/v1/traces", url.trim_end_matches('/')) })
}

fn client(endpoint: &str) -> Result<SpanExporter, String> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(
            reqwest::blocking::Client::builder()
                .timeout(TIMEOUT)
                .no_proxy()
                .build()
                .map_err(|error| error.to_string())?,
        )
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|error| error.to_string())?;
    exporter.set_resource(
        &Resource::builder()
            .with_service_name("bascule")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build(),
    );
    Ok(exporter)
}

fn serve(exporter: &SpanExporter, items: &Receiver<Item>) {
    let mut projector = Projector::default();
    let mut waiting: Vec<SpanData> = Vec::new();
    let mut silent = true;
    loop {
        let (stop, idle) = match items.recv_timeout(PATIENCE) {
            Ok(Item::Record(run, record)) => {
                waiting.extend(projector.take(&run, &record));
                (false, false)
            }
            Ok(Item::Seed(seed)) => {
                seed(&mut projector);
                (false, false)
            }
            Ok(Item::Stop) | Err(RecvTimeoutError::Disconnected) => (true, true),
            Err(RecvTimeoutError::Timeout) => (false, true),
        };
        if waiting.len() >= BATCH || idle && !waiting.is_empty() {
            let sent = futures_executor::block_on(exporter.export(std::mem::take(&mut waiting)));
            // Once when it begins to fail, once when it works again: a receiver that is down all
            // night is no reason to fill a disk.
            match (sent, silent) {
                (Err(error), true) => {
                    tracing::warn!(%error, "spans cannot be exported; runs go on without");
                    silent = false;
                }
                (Ok(()), false) => {
                    tracing::info!("spans are exported again");
                    silent = true;
                }
                (Ok(()), true) | (Err(_), false) => {}
            }
        }
        if stop {
            return;
        }
    }
}
