//! One attempt of an executor in a world, cut short or not.
//!
//! A [`Trial`] plays the engine for one step: it numbers attempts, hands out contexts, answers
//! handles, and can stop looking at an attempt (an interruption) or cancel it after a given number
//! of polls. It must never judge; [`super::checks`] does.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    ATTEMPT_VARIABLE, CheckCx, Direction, ExecCx, Executor, IdempotencyKey, Outcome, ProbeAnswer, Report, Setup,
};

use super::{Subject, World};

/// How many await points of an attempt are tried; attempts in these worlds have fewer.
pub(super) const POINTS: usize = 400;

/// How an attempt is disturbed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Disturb {
    /// Not at all.
    No,
    /// Nobody polls it again after so many polls, from that very moment.
    Drop(usize),
    /// The same, but what it has in flight goes on for a moment first.
    DropLater(usize),
    /// It is cancelled after so many polls, at that very moment.
    Cancel(usize),
    /// The same, but what it has in flight goes on for a moment first.
    CancelLater(usize),
}

/// The ways to disturb an attempt, each at any point.
pub(super) const DISTURBANCES: [fn(usize) -> Disturb; 4] =
    [Disturb::Drop, Disturb::DropLater, Disturb::Cancel, Disturb::CancelLater];

/// Long enough for a packet to arrive and a child to start.
const MOMENT: Duration = Duration::from_millis(2);

/// What an attempt does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action<'a> {
    /// Performs the step.
    Step,
    /// Takes it back.
    Undo(Option<&'a Value>),
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) struct Ended {
    /// Nothing if nobody waited for it.
    pub(super) outcome: Option<Outcome>,
    /// Whether the disturbance came before its end.
    pub(super) disturbed: bool,
    /// Whether it ended in time after it was cancelled.
    pub(super) prompt: bool,
}

/// A step in a fresh world, and its attempts.
pub(super) struct Trial {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) world: Box<dyn World>,
    pub(super) with: Value,
    prompt: Duration,
    id: String,
    attempts: AtomicU32,
    generation: AtomicU32,
    handle: Arc<Mutex<Option<Value>>>,
    scratch: PathBuf,
}

impl Trial {
    pub(super) async fn fresh(subject: &dyn Subject) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let world = subject.fresh().await;
        let with = world.with();
        let id = format!("conformance-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self {
            executor: subject.executor(),
            world,
            with,
            prompt: subject.prompt(),
            scratch: std::env::temp_dir().join(format!("bascule-{id}")),
            id,
            attempts: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            handle: Arc::default(),
        }
    }

    /// The next attempt that is performed starts a new generation.
    pub(super) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.forget_handle();
    }

    fn forget_handle(&self) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The handle that was recorded last.
    pub(super) fn handle(&self) -> Option<Value> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Performs or takes back the step with other parameters.
    pub(super) async fn run_with(&self, action: Action<'_>, with: &Value, disturb: Disturb) -> Ended {
        let cancel = CancellationToken::new();
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let (cx, inbox) = ExecCx::new(Setup {
            key: self.key(action),
            attempt,
            attempt_id: self.attempt_id(attempt),
            attached: match action {
                Action::Step => self.handle(),
                Action::Undo(_) => None,
            },
            deadline: None,
            cancel: cancel.clone(),
            scratch: self.scratch.join(attempt.to_string()),
        });
        let engine = tokio::spawn(answer(inbox, Arc::clone(&self.handle)));
        let ended = {
            let attempt = async {
                match action {
                    Action::Step => self.executor.execute(&cx, with).await,
                    Action::Undo(outputs) => self.executor.undo(&cx, with, outputs).await,
                }
            };
            self.watch(attempt, disturb, &cancel).await
        };
        drop(cx);
        // It ends when the context is gone, and only its own panic could be reported here.
        drop(engine.await);
        if let Some(Outcome::Cancelled { .. } | Outcome::Failed { .. }) = ended.outcome {
            // The remote work has ended, so there is nothing to attach to.
            self.forget_handle();
        }
        ended
    }

    /// Performs or takes back the step.
    pub(super) async fn run(&self, action: Action<'_>, disturb: Disturb) -> Ended {
        self.run_with(action, &self.with, disturb).await
    }

    /// Asks whether the step happened.
    pub(super) async fn probe(&self) -> ProbeAnswer {
        let (cx, inbox) = CheckCx::new(None, CancellationToken::new());
        let engine = tokio::spawn(answer(inbox, Arc::clone(&self.handle)));
        let found = self.executor.probe(&cx, &self.with, self.handle().as_ref()).await;
        drop(cx);
        drop(engine.await);
        found
    }

    async fn watch(
        &self,
        attempt: impl Future<Output = Outcome>,
        disturb: Disturb,
        cancel: &CancellationToken,
    ) -> Ended {
        let mut attempt = pin!(attempt);
        let (points, cancels, later) = match disturb {
            Disturb::No => {
                return Ended { outcome: Some(attempt.await), disturbed: false, prompt: true };
            }
            Disturb::Drop(points) => (points, false, false),
            Disturb::DropLater(points) => (points, false, true),
            Disturb::Cancel(points) => (points, true, false),
            Disturb::CancelLater(points) => (points, true, true),
        };
        if let Some(outcome) = polled(attempt.as_mut(), points).await {
            return Ended { outcome: Some(outcome), disturbed: false, prompt: true };
        }
        if later {
            // An attempt is disturbed in the middle of whatever it does, which tells nobody: only time passes.
            tokio::time::sleep(MOMENT).await;
        }
        if !cancels {
            return Ended { outcome: None, disturbed: true, prompt: true };
        }
        cancel.cancel();
        let outcome = tokio::time::timeout(self.prompt, attempt).await.ok();
        let prompt = outcome.is_some();
        Ended { outcome, disturbed: true, prompt }
    }

    /// The processes of this step's attempts that are still there after a moment to go away.
    pub(super) async fn left_running(&self) -> Vec<u32> {
        let mark = format!("{ATTEMPT_VARIABLE}={}/", self.id);
        let (mut running, mut quiet, start) = (Vec::new(), false, Instant::now());
        while !quiet && start.elapsed() < self.prompt {
            running = processes_with(&mark);
            quiet = running.is_empty() && !is_starting_a_process();
            // The system tells nobody that processes of others ended: it is asked, no longer than `prompt`.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running
    }

    fn attempt_id(&self, attempt: u32) -> String {
        format!("{}/conformance/1/step/{attempt}", self.id)
    }

    fn key(&self, action: Action<'_>) -> IdempotencyKey {
        IdempotencyKey {
            run: "conformance/1".to_owned(),
            step: "step".to_owned(),
            direction: match action {
                Action::Step => Direction::Forward,
                Action::Undo(_) => Direction::Undo,
            },
            generation: self.generation.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Most executors never make the folder.
        drop(std::fs::remove_dir_all(&self.scratch));
    }
}

/// Polls a future until it ends or waits for the `points`-th time.
async fn polled<F: Future>(mut future: std::pin::Pin<&mut F>, points: usize) -> Option<F::Output> {
    let mut left = points;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Plays the engine's side of a context: handles are durable at once.
async fn answer(mut inbox: mpsc::Receiver<Report>, handle: Arc<Mutex<Option<Value>>>) {
    while let Some(report) = inbox.recv().await {
        match report {
            Report::Handle { value, recorded } => {
                *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                // The attempt may have been dropped meanwhile.
                recorded.send(()).ok();
            }
            Report::Progress(_) | Report::Log { .. } => {}
        }
    }
}

/// Processes whose environment holds a variable that begins with `mark`. The environment of a
/// zombie is empty, so the dead do not count. Empty where there is no `/proc`.
fn processes_with(mark: &str) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|var| var.starts_with(mark.as_bytes())))
        })
        .collect()
}

/// Whether a child of this process is being started: for a moment it has no environment, and
/// nobody can say whose it is.
fn is_starting_a_process() -> bool {
    let me = std::process::id().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    entries.flatten().any(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent.
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let lives = !matches!(fields.next(), None | Some("Z" | "X"));
        let ours = fields.next() == Some(me.as_str());
        lives && ours && std::fs::read(entry.path().join("environ")).is_ok_and(|environ| environ.is_empty())
    })
}
