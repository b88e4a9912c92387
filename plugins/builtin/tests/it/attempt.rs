//! Runs one attempt of an executor as the engine would, and collects what it reports.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bascule_builtin::registry::builtin;
use bascule_plugin::{
    CheckCx, Direction, ExecCx, Executor, IdempotencyKey, Outcome, Progress, Report, Role, Setup, Stream, Validation,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// An attempt that can be arranged before it runs.
pub(crate) struct Attempt {
    executor: Arc<dyn Executor>,
    pub(crate) cancel: CancellationToken,
    pub(crate) attached: Option<Value>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) generation: u32,
    /// The token is cancelled once the log holds this text.
    pub(crate) cancel_on: Option<&'static str>,
    scratch: TempDir,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    pub(crate) log: Log,
    pub(crate) took: Duration,
    /// Names of files that are left in the attempt's folder.
    pub(crate) files: Vec<String>,
}

/// What it reported. The log is cut, as a real one would be.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) text: String,
    pub(crate) out_bytes: u64,
    pub(crate) largest_chunk: usize,
    pub(crate) progress: Vec<Progress>,
    pub(crate) handles: Vec<Value>,
}

impl Attempt {
    pub(crate) fn of(name: &str) -> Self {
        Self {
            executor: Arc::clone(builtin().get(name).expect("the executor is registered")),
            cancel: CancellationToken::new(),
            attached: None,
            deadline: None,
            generation: 0,
            cancel_on: None,
            scratch: TempDir::new().expect("a folder for the attempt"),
        }
    }

    pub(crate) async fn execute(self, with: Value) -> Seen {
        let executor = Arc::clone(&self.executor);
        self.run(Direction::Forward, async move |cx| executor.execute(cx, &with).await).await
    }

    pub(crate) async fn undo(self, with: Value, outputs: Option<Value>) -> Seen {
        let executor = Arc::clone(&self.executor);
        self.run(Direction::Undo, async move |cx| executor.undo(cx, &with, outputs.as_ref()).await).await
    }

    async fn run(self, direction: Direction, act: impl AsyncFnOnce(&ExecCx) -> Outcome) -> Seen {
        let (cx, mut inbox) = ExecCx::new(Setup {
            key: IdempotencyKey {
                run: "shop/1".to_owned(),
                step: "step".to_owned(),
                direction,
                generation: self.generation,
            },
            attempt: 1,
            attempt_id: format!("test-{}/shop/1/step/1", std::process::id()),
            attached: self.attached,
            deadline: self.deadline,
            cancel: self.cancel.clone(),
            scratch: self.scratch.path().join("attempt"),
        });
        let (cancel, cancel_on) = (self.cancel, self.cancel_on);
        let log = Arc::new(Mutex::new(Log::default()));
        let engine = tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                while let Some(report) = inbox.recv().await {
                    let mut log = log.lock().expect("no test panics with the log");
                    log.take(report);
                    if cancel_on.is_some_and(|text| log.text.contains(text)) {
                        cancel.cancel();
                    }
                }
            }
        });
        let start = Instant::now();
        let outcome = act(&cx).await;
        let took = start.elapsed();
        drop(cx);
        engine.await.expect("the log is read to its end");
        let log = std::mem::take(&mut *log.lock().expect("no test panics with the log"));
        let folder = std::fs::read_dir(self.scratch.path().join("attempt"));
        let names =
            folder.into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Seen { outcome, log, took, files: names.collect() }
    }
}

impl Log {
    fn take(&mut self, report: Report) {
        match report {
            Report::Handle { value, recorded } => {
                self.handles.push(value);
                recorded.send(()).expect("the attempt waits for its handle");
            }
            Report::Progress(progress) => self.progress.push(progress),
            Report::Log { stream, bytes } => {
                if stream == Stream::Out {
                    self.out_bytes += bytes.len() as u64;
                }
                self.largest_chunk = self.largest_chunk.max(bytes.len());
                if self.text.len() < 64 * 1024 {
                    self.text.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
}

impl Seen {
    /// The outputs of a success.
    pub(crate) fn outputs(self) -> Value {
        let Outcome::Succeeded { outputs } = self.outcome else {
            panic!("it did not succeed: {:?}; its log: {}", self.outcome, self.log.text);
        };
        outputs
    }

    /// What a failure says, with its causes and advice, and what it left.
    pub(crate) fn failure(self) -> (String, bascule_plugin::Left) {
        let Outcome::Failed { failure, left } = self.outcome else {
            panic!("it did not fail: {:?}; its log: {}", self.outcome, self.log.text);
        };
        (format!("{failure}; {}", failure.hint.as_deref().unwrap_or_default()), left)
    }
}

/// Validates parameters in a context without a reader.
pub(crate) async fn validate(name: &str, with: &Value, role: Role) -> Validation {
    let (cx, _inbox) = CheckCx::new(None, CancellationToken::new());
    builtin().get(name).expect("the executor is registered").validate(&cx, with, role).await
}

/// Why parameters are refused.
pub(crate) async fn refusal(name: &str, with: &Value) -> String {
    let found = validate(name, with, Role::Step).await;
    let Validation::Refused(failure) = found else { panic!("it was not refused: {found:?}") };
    failure.to_string()
}
