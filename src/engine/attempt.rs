//! One attempt: its context, its log, its handle, its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bascule_plugin::{ExecCx, Executor, FullDisk, IdempotencyKey, Report, STOP_LIMIT, Setup, Stream};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Context;
pub(super) use super::attempt_log::label;
use super::attempt_log::{self, AttemptLog};
use super::convert;
use super::guard::{Watch, guarded};
use super::handle::{Decided, Message};
pub(super) use super::look::{Look, Standpoint, filled, look_from, probe_from};
use super::processes;
use super::secrets::{Redactor, SecretSources};
use crate::machine::command::Action;
use crate::machine::fact::{Direction, Failure, Left, LogDigest, Resolved};
use crate::machine::input::Outcome;
use crate::machine::{Input, PROOF_MS, large};
use crate::store::RunName;

/// The end of an attempt is not called unproved while it may still stop, or is being ended by force.
const _: () = assert!(STOP_LIMIT.saturating_add(processes::BY_FORCE).as_millis() < PROOF_MS.unsigned_abs() as u128);

/// How long the last words of an attempt that was given up are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An executor, or why there is none.
type MaybeExecutor = Result<Arc<dyn Executor>, Failure>;

/// What an attempt works with.
pub(super) struct Means {
    pub(super) executor: MaybeExecutor,
    pub(super) verifier: Option<MaybeExecutor>,
    pub(super) cancel: CancellationToken,
    pub(super) inbox: mpsc::Sender<Message>,
}

/// How an attempt ended.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) verify: Option<Outcome>,
    pub(super) log: Option<LogDigest>,
}

impl Ended {
    fn untouched(failure: Failure) -> Self {
        Self { outcome: Outcome::Failed { failure, left: Left::Nothing }, verify: None, log: None }
    }
}

/// Makes the attempt that was permitted.
pub(super) async fn make(cx: &Arc<Context>, run: &RunName, action: &Action, means: Means) -> Ended {
    if action.call.uses.is_empty() {
        return look_at_work_by_hand(cx, run, action, means).await;
    }
    let executor = match means.executor {
        Ok(executor) => executor,
        Err(failure) => return Ended::untouched(failure),
    };
    let mut with = action.call.with.clone();
    let redactor = match fill(&cx.secrets, &mut with, &action.call).await {
        Ok(redactor) => redactor,
        Err(failure) => return Ended::untouched(failure),
    };
    let label = label(action.direction, action.attempt);
    let attempt_id = format!("{}/{}/{}/{label}", cx.state_id, run.as_str(), action.id);
    let scratch = attempt_log::folder(&cx.state, run, &action.id).join(&label);
    let grace = executor.stops_within(&with).min(STOP_LIMIT);
    let (exec, inbox) = ExecCx::new(Setup {
        key: key(run, action),
        attempt: action.attempt,
        attempt_id: attempt_id.clone(),
        attached: action.attached.clone(),
        // The run's task watches the deadline and stops the attempt; two watches would disagree.
        deadline: None,
        cancel: means.cancel.clone(),
        scratch: scratch.clone(),
    });
    let notes = attempt_log::spare_notes(&cx.state);
    let exec = exec.with_full_disk(FullDisk { notes: Some(notes.clone()), goes_on: !action.is_used });
    let log = AttemptLog::new(attempt_log::path(&cx.state, run, &action.id, &label), redactor.clone());
    let is_remote = Arc::new(AtomicBool::new(action.attached.is_some()));
    let place = Place {
        run: run.clone(),
        action: action.clone(),
        inbox: means.inbox,
        redactor: redactor.clone(),
        is_remote: is_remote.clone(),
    };
    let (native, outputs) = (action.native && action.direction == Direction::Undo, action.outputs.clone());
    let call = {
        let with = with.clone();
        async move {
            if native {
                executor.undo(&exec, &with, outputs.as_deref()).await
            } else {
                executor.execute(&exec, &with).await
            }
        }
    };
    cx.attempts().insert(attempt_id.clone());
    let watch = Watch {
        cancel: &means.cancel,
        attempt_id: &attempt_id,
        scratch: &scratch,
        notes: Some(&notes),
        grace,
        is_remote: &is_remote,
    };
    let (outcome, log) = told(guarded(call, watch), read_reports(cx.clone(), inbox, log, place)).await;
    cx.attempts().remove(&attempt_id);
    // Nothing may be in it; what children left there on purpose stays.
    // One call that mostly finds nothing: handing it to another thread would cost more than the step.
    std::fs::remove_dir(&scratch).ok();
    let outcome = clean(outcome, &redactor);
    keep(cx, &outcome).await;
    let verify = match &outcome {
        Outcome::Succeeded { .. } => verified(cx, run, action, (means.verifier, means.cancel)).await,
        Outcome::Failed { .. } | Outcome::Cancelled { .. } | Outcome::Unknown { .. } => None,
    };
    Ended { outcome, verify, log }
}

fn key(run: &RunName, action: &Action) -> IdempotencyKey {
    IdempotencyKey {
        run: run.as_str().to_owned(),
        step: action.id.as_str().to_owned(),
        direction: convert::direction(action.direction),
        generation: action.generation,
    }
}

/// Waits for a call and takes its reports meanwhile: here, because a task of their own would cost more than most steps.
async fn told(
    call: impl Future<Output = Outcome>,
    reports: impl Future<Output = Option<LogDigest>> + Send + 'static,
) -> (Outcome, Option<LogDigest>) {
    let mut reports = Box::pin(reports);
    let mut call = std::pin::pin!(call);
    let outcome = tokio::select! {
        biased;
        // They end with the executor's context, which it may drop before it answers.
        log = &mut reports => return (call.await, log),
        outcome = &mut call => outcome,
    };
    let log = match &outcome {
        Outcome::Unknown { .. } => match tokio::time::timeout(LAST_WORDS, &mut reports).await {
            Ok(log) => log,
            Err(_) => {
                // A thread that nobody can end holds the other end: what it still tells is taken as long as it does.
                tokio::spawn(reports);
                None
            }
        },
        Outcome::Succeeded { .. } | Outcome::Failed { .. } | Outcome::Cancelled { .. } => reports.await,
    };
    (outcome, log)
}

/// A person did it: there is nothing to perform, only to look whether it is so.
async fn look_at_work_by_hand(cx: &Arc<Context>, run: &RunName, action: &Action, means: Means) -> Ended {
    let verify = verified(cx, run, action, (means.verifier, means.cancel)).await;
    let outcome = Outcome::Succeeded { outputs: Arc::new(Value::Object(serde_json::Map::new())) };
    Ended { outcome, verify, log: None }
}

/// What proves an attempt that ended well, read back in the same attempt.
async fn verified(
    cx: &Arc<Context>,
    run: &RunName,
    action: &Action,
    (verifier, cancel): (Option<MaybeExecutor>, CancellationToken),
) -> Option<Outcome> {
    match (verifier?, &action.verify) {
        (Ok(verifier), Some(call)) => {
            let look = Look::verification(action, &label(action.direction, action.attempt), call, cancel);
            Some(super::look::look(cx, run, verifier, &look).await)
        }
        (Ok(_), None) => None,
        (Err(failure), _) => Some(Outcome::unknown(failure)),
    }
}

/// Puts the secrets into the parameters, at the last moment.
pub(super) async fn fill(secrets: &SecretSources, with: &mut Arc<Value>, call: &Resolved) -> Result<Redactor, Failure> {
    if call.secrets.is_empty() {
        return Ok(Redactor::default());
    }
    secrets
        .fill(Arc::make_mut(with), &call.secrets)
        .await
        .map_err(|error| convert::failure_of("a secret is missing", &error))
}

struct Place {
    run: RunName,
    action: Action,
    inbox: mpsc::Sender<Message>,
    redactor: Redactor,
    is_remote: Arc<AtomicBool>,
}

impl Place {
    /// Says that the log is not whole, for as long as it is being written.
    fn note_trouble(&self, cx: &Context, why: Option<&str>) {
        let (run, step) = (&self.run, &self.action.id);
        let about = format!("the log of {run} {step}");
        let Some(why) = why else { return cx.complaints.settle(&about) };
        let words = format!(
            "run {run}: the log of `{step}` cannot be written ({why}): the step goes on, what it says meanwhile is missing \
             in `bascule logs`"
        );
        if cx.complaints.raise(&about, &words) {
            cx.say(words);
        }
    }

    /// Makes a handle durable. Only then it is answered; otherwise the executor hears of it by the drop.
    async fn record(&self, handle: Value) -> bool {
        let (done, answer) = oneshot::channel();
        let Action { step, direction, attempt, .. } = self.action;
        let input = Input::Handle { step, direction, attempt, handle };
        let told = self.inbox.send(Message::News { input: Box::new(input), done: Some(done) }).await.is_ok();
        // Without an event the run takes no handle any more: nobody would find the work by it.
        told && answer.await.is_ok_and(|Decided { events, .. }| events.is_some())
    }
}

/// Takes an attempt's reports until it ends: log bytes, progress, handles.
async fn read_reports(
    cx: Arc<Context>,
    mut inbox: mpsc::Receiver<Report>,
    mut log: AttemptLog,
    place: Place,
) -> Option<LogDigest> {
    while let Some(report) = inbox.recv().await {
        match report {
            Report::Log { stream, bytes } => {
                log.append(stream, &bytes).await;
                place.note_trouble(&cx, log.trouble());
            }
            Report::Progress(mut progress) => {
                progress.unit = place.redactor.text(&progress.unit);
                cx.progress.set(&place.run, place.action.id.as_str(), progress);
            }
            Report::Handle { value, recorded } => {
                place.is_remote.store(true, Ordering::Release);
                let handle = place.redactor.value(value.clone());
                if handle != value {
                    // It will not be found again by this; a person is asked then. A secret in the log would be worse.
                    log.append(
                        Stream::Note,
                        b"the handle of the remote work holds a secret and is recorded without it\n",
                    )
                    .await;
                }
                if place.record(handle).await {
                    // An executor that does not wait any more has ended.
                    recorded.send(()).unwrap_or_default();
                }
            }
        }
    }
    cx.progress.clear(&place.run, place.action.id.as_str());
    place.note_trouble(&cx, None);
    log.finish().await
}

/// Outcomes without secrets.
pub(super) fn clean(outcome: Outcome, redactor: &Redactor) -> Outcome {
    if redactor.is_empty() {
        return outcome;
    }
    let failure = |failure: Failure| convert::clean(failure, redactor);
    match outcome {
        Outcome::Succeeded { outputs } => {
            Outcome::Succeeded { outputs: Arc::new(redactor.value(Arc::unwrap_or_clone(outputs))) }
        }
        Outcome::Failed { failure: words, left } => Outcome::Failed { failure: failure(words), left },
        Outcome::Cancelled { left } => Outcome::Cancelled { left },
        Outcome::Unknown { failure: words, work } => Outcome::Unknown { failure: failure(words), work },
    }
}

/// Keeps what is too large for an event in a file, which the event names by its content.
pub(super) async fn keep(cx: &Context, outcome: &Outcome) {
    let Outcome::Succeeded { outputs } = outcome else { return };
    keep_value(cx, outputs).await;
}

/// As [`keep`], of a value.
pub(super) async fn keep_value(cx: &Context, outputs: &Value) {
    for content in large::contents(outputs) {
        // The size of bookkeeping can never fail a run: what was done is done, and was judged on all of it.
        if let Err(error) = cx.blobs.put(content.into_bytes()).await {
            tracing::warn!(%error, "a large result cannot be kept; the log names a file that is not there");
            cx.say(format!("a large result cannot be kept: {error}; the log names a file that is not there"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::Reply;

    fn action() -> Action {
        Action {
            step: 0,
            id: "work".into(),
            direction: Direction::Forward,
            attempt: 1,
            generation: 1,
            deadline: None,
            call: Resolved { uses: "test".into(), with: Arc::new(json!({})), secrets: Vec::new() },
            native: false,
            verify: None,
            outputs: None,
            attached: None,
            is_used: true,
        }
    }

    /// Whether the executor is told that its handle is durable, if the run decides so.
    async fn acknowledged(events: Option<(u64, u64)>) -> bool {
        let (inbox, mut messages) = mpsc::channel(1);
        let run = RunName::new("shop", 1).expect("a name");
        let (redactor, is_remote) = (Redactor::default(), Arc::default());
        let place = Place { run, action: action(), inbox, redactor, is_remote };
        let decides = async {
            let Some(Message::News { done: Some(done), .. }) = messages.recv().await else { panic!("no handle came") };
            done.send(Decided { reply: Reply::Done, version: 7, events }).expect("the attempt waits");
        };
        tokio::join!(place.record(json!({ "job": 7 })), decides).0
    }

    #[tokio::test]
    async fn only_a_handle_that_was_recorded_is_acknowledged() {
        assert!(acknowledged(Some((3, 3))).await);
        assert!(!acknowledged(None).await, "the run took no handle any more: nobody would find the work by it");
    }
}
