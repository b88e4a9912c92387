//! Sends spans from a thread of its own: bounded in memory and in time, lossy, never in the way.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// Spans that are kept for a receiver that does not answer.
const KEPT: usize = 4096;

/// How long a span waits for company.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stop waits for what is left.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// A transition that became durable.
struct Told {
    run: String,
    head: String,
    records: Vec<Record>,
}

enum Item {
    Told(Box<Told>),
    Seed(Box<Projector>),
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
    /// Closes when the thread ends.
    thread: Mutex<Receiver<()>>,
}

impl Exporter {
    /// Begins to export to the OTLP/HTTP receiver at `url`; `/v1/traces` is added if it has no path.
    ///
    /// # Errors
    /// The URL is none, or there is no thread.
    pub fn start(url: &str) -> Result<Self, ExporterError> {
        let endpoint = endpoint(url)?;
        let (queue, items) = sync_channel(WAITING);
        let (ready, made) = sync_channel::<Result<(), String>>(1);
        let (alive, thread) = sync_channel::<()>(0);
        // The blocking client must be made and used where no runtime is.
        std::thread::Builder::new()
            .name("bascule-otlp".to_owned())
            .spawn(move || {
                match client(&endpoint) {
                    Ok(exporter) => {
                        drop(ready.send(Ok(())));
                        serve(&exporter, &items);
                    }
                    Err(why) => drop(ready.send(Err(why))),
                }
                drop(alive);
            })
            .map_err(ExporterError::Thread)?;
        match made.recv() {
            Ok(Ok(())) => Ok(Self { queue, thread: Mutex::new(thread) }),
            Ok(Err(why)) => Err(ExporterError::Setup { url: url.to_owned(), why }),
            Err(_) => Err(ExporterError::Setup { url: url.to_owned(), why: "its thread ended".to_owned() }),
        }
    }

    /// Events became durable in one transition; `head` is where the log stands now, as `version:hash`. Dropped when the
    /// receiver is too slow.
    pub fn told(&self, run: &str, head: String, records: &[Record]) {
        let told = Told { run: run.to_owned(), head, records: records.to_vec() };
        drop(self.queue.try_send(Item::Told(Box::new(told))));
    }

    /// A run that began before this engine did.
    pub fn adopted(&self, name: &str, run: &Run) {
        let mut projector = Projector::default();
        projector.seed(name, run);
        drop(self.queue.try_send(Item::Seed(Box::new(projector))));
    }

    /// Sends what is left, for a few seconds at most. Blocks.
    pub fn stop(&self) {
        drop(self.queue.try_send(Item::Stop));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent on it: it closes, or its time is up.
        thread.recv_timeout(LAST_WORDS).unwrap_or_default();
    }
}

/// Whether spans could be sent there, as far as its form tells.
///
/// # Errors
/// It is no URL of a receiver.
pub fn check_url(url: &str) -> Result<(), ExporterError> {
    endpoint(url).map(drop)
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
    let mut outbox = Outbox::default();
    loop {
        match items.recv_timeout(PATIENCE) {
            Ok(Item::Told(told)) => {
                let Told { run, head, records } = *told;
                outbox.add(records.iter().flat_map(|record| projector.take(&run, &head, record)).collect());
                if outbox.waiting.len() >= BATCH && !outbox.failing {
                    outbox.send(exporter);
                }
            }
            Ok(Item::Seed(seed)) => projector.merge(*seed),
            Ok(Item::Stop) | Err(RecvTimeoutError::Disconnected) => return outbox.send(exporter),
            Err(RecvTimeoutError::Timeout) => outbox.send(exporter),
        }
    }
}

/// Spans that wait for company, or for a receiver that works again.
#[derive(Default)]
struct Outbox {
    waiting: Vec<SpanData>,
    failing: bool,
}

impl Outbox {
    /// Takes spans in; the oldest go where there are too many.
    fn add(&mut self, spans: Vec<SpanData>) {
        self.waiting.extend(spans);
        let over = self.waiting.len().saturating_sub(KEPT);
        self.waiting.drain(..over);
    }

    /// Sends what waits, batch by batch, until one fails.
    fn send(&mut self, exporter: &SpanExporter) {
        while !self.waiting.is_empty() {
            let batch: Vec<SpanData> = self.waiting.iter().take(BATCH).cloned().collect();
            let count = batch.len();
            match (futures_executor::block_on(exporter.export(batch)), self.failing) {
                (Ok(()), was_failing) => {
                    self.waiting.drain(..count);
                    self.failing = false;
                    if was_failing {
                        tracing::info!("spans are exported again");
                    }
                }
                // Said once: a receiver that is down all night is no reason to fill a disk.
                (Err(error), false) => {
                    tracing::warn!(%error, "spans cannot be exported; runs go on without");
                    self.failing = true;
                    return;
                }
                (Err(_), true) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn a_receiver_without_a_path_gets_the_usual_one() {
        let of = |url: &str| endpoint(url).ok();
        assert_eq!(of("http://127.0.0.1:4318").as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
        assert_eq!(of("https://otlp.example/").as_deref(), Some("https://otlp.example/v1/traces"));
        assert_eq!(of("http://127.0.0.1:4318/custom").as_deref(), Some("http://127.0.0.1:4318/custom"));
        assert_eq!((of("127.0.0.1:4318"), of("http://"), of("grpc://x:4317")), (None, None, None));
    }
}
