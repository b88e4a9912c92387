//! One call of an executor: its context, its log, its end. Panics end here.

use std::sync::Arc;
use std::time::Duration;

use bascule_plugin::{CheckCx, ExecCx, Executor, IdempotencyKey, Report, Setup};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::attempt_log::{self, AttemptLog};
use super::convert;
use super::handle::Message;
use super::processes;
use super::secrets::{Redactor, SecretSources};
use crate::machine::Input;
use crate::machine::command::{Action, Sample};
use crate::machine::fact::{Direction, Failure, Found, Left, LogDigest, Resolved};
use crate::machine::input::Outcome;
use crate::store::RunName;

/// How long an attempt that was told to stop may take before it is ended.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// How long a native probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(120);

/// What an attempt works with.
pub(super) struct Means {
    pub(super) executor: Result<Arc<dyn Executor>, Failure>,
    pub(super) verifier: Option<Result<Arc<dyn Executor>, Failure>>,
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
    let (exec, inbox) = ExecCx::new(Setup {
        key: IdempotencyKey {
            run: run.as_str().to_owned(),
            step: action.id.as_str().to_owned(),
            direction: convert::direction(action.direction),
            generation: action.generation,
        },
        attempt: action.attempt,
        attempt_id: attempt_id.clone(),
        attached: action.attached.clone(),
        // The run's task watches the deadline and stops the attempt; two watches would disagree.
        deadline: None,
        cancel: means.cancel.clone(),
        scratch: attempt_log::folder(&cx.state, run, &action.id).join(&label),
    });
    let log = AttemptLog::new(attempt_log::path(&cx.state, run, &action.id, &label), redactor.clone());
    let place = Place { run: run.clone(), action: action.clone(), inbox: means.inbox };
    let reader = read_reports(cx.clone(), inbox, log, place);
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
    let (outcome, log) = tokio::join!(guarded(call, &means.cancel, &attempt_id), reader);
    cx.attempts().remove(&attempt_id);
    let outcome = keep(cx, clean(outcome, &redactor)).await;
    let verify = match (&outcome, means.verifier, &action.verify) {
        (Outcome::Succeeded { .. }, Some(Ok(verifier)), Some(call)) => {
            let name = format!("{}-{label}", "verify");
            let look = Look {
                label: name,
                step: action.id.as_str().to_owned(),
                call: call.clone(),
                timeout: None,
                cancel: means.cancel.clone(),
            };
            Some(self::look(cx, run, verifier, &look).await)
        }
        (Outcome::Succeeded { .. }, Some(Err(failure)), _) => Some(Outcome::Unknown { failure }),
        (
            Outcome::Succeeded { .. } | Outcome::Failed { .. } | Outcome::Cancelled { .. } | Outcome::Unknown { .. },
            _,
            _,
        ) => None,
    };
    Ended { outcome, verify, log }
}

/// What an attempt is called in ids and files.
pub(super) fn label(direction: Direction, number: u32) -> String {
    format!("{}-{number}", convert::direction(direction).as_str())
}

/// Puts the secrets into the parameters, at the last moment.
async fn fill(secrets: &SecretSources, with: &mut Arc<Value>, call: &Resolved) -> Result<Redactor, Failure> {
    if call.secrets.is_empty() {
        return Ok(Redactor::default());
    }
    secrets
        .fill(Arc::make_mut(with), &call.secrets)
        .await
        .map_err(|error| convert::failure_of("a secret is missing", &error))
}

/// Runs a call in a task of its own, so that a panic or a hang ends there.
async fn guarded<F>(call: F, cancel: &CancellationToken, attempt_id: &str) -> Outcome
where
    F: Future<Output = bascule_plugin::Outcome> + Send + 'static,
{
    let mut task = tokio::spawn(call);
    let ended = tokio::select! {
        ended = &mut task => ended,
        () = cancel.cancelled() => match tokio::time::timeout(STOP_GRACE, &mut task).await {
            Ok(ended) => ended,
            Err(_) => {
                task.abort();
                let gone = processes::end(attempt_id, |_| false).await;
                let message = match gone {
                    Ok(_) => format!("it did not stop within {} s and was ended", STOP_GRACE.as_secs()),
                    Err(survivors) => survivors.to_string(),
                };
                return Outcome::Unknown { failure: Failure::new(message) };
            }
        },
    };
    match ended {
        Ok(outcome) => convert::outcome(outcome),
        Err(error) => {
            // Nothing may run on behind an executor that is gone.
            let survivors = processes::end(attempt_id, |_| false)
                .await
                .err()
                .map(|survivors| format!("; {survivors}"))
                .unwrap_or_default();
            let panic = error.try_into_panic().ok();
            let words = panic.as_ref().and_then(|panic| {
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
            });
            let message = format!("the executor panicked: {}{survivors}", words.unwrap_or("without a word"));
            Outcome::Unknown { failure: Failure::new(message) }
        }
    }
}

struct Place {
    run: RunName,
    action: Action,
    inbox: mpsc::Sender<Message>,
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
            Report::Log { stream, bytes } => log.append(stream, &bytes).await,
            Report::Progress(progress) => cx.progress.set(&place.run, place.action.id.as_str(), progress),
            Report::Handle { value, recorded } => {
                let (done, answer) = oneshot::channel();
                let input = Input::Handle {
                    step: place.action.step,
                    direction: place.action.direction,
                    attempt: place.action.attempt,
                    handle: value,
                };
                let told = place.inbox.send(Message::News { input: Box::new(input), done: Some(done) }).await.is_ok();
                // Only a durable handle is answered; otherwise the executor hears of it by the drop.
                if told && answer.await.is_ok() {
                    // An executor that does not wait any more has ended.
                    recorded.send(()).unwrap_or_default();
                }
            }
        }
    }
    cx.progress.clear(&place.run, place.action.id.as_str());
    log.finish().await
}

/// Outcomes without secrets.
fn clean(outcome: Outcome, redactor: &Redactor) -> Outcome {
    if redactor.is_empty() {
        return outcome;
    }
    let failure = |failure: Failure| Failure {
        message: redactor.text(&failure.message).into(),
        causes: failure.causes.iter().map(|cause| redactor.text(cause)).collect(),
        hint: failure.hint.map(|hint| redactor.text(&hint)),
    };
    match outcome {
        Outcome::Succeeded { outputs } => {
            Outcome::Succeeded { outputs: Arc::new(redactor.value(Arc::unwrap_or_clone(outputs))) }
        }
        Outcome::Failed { failure: words, left } => Outcome::Failed { failure: failure(words), left },
        Outcome::Cancelled { left } => Outcome::Cancelled { left },
        Outcome::Unknown { failure: words } => Outcome::Unknown { failure: failure(words) },
    }
}

/// The largest outputs that enter an event; larger ones become a file that the event names.
const LARGEST_OUTPUTS: usize = 64 << 10;

async fn keep(cx: &Context, outcome: Outcome) -> Outcome {
    let Outcome::Succeeded { outputs } = outcome else { return outcome };
    let is_small = match &*outputs {
        Value::Object(fields) => fields.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    };
    if is_small {
        return Outcome::Succeeded { outputs };
    }
    let text = outputs.to_string();
    if text.len() <= LARGEST_OUTPUTS {
        return Outcome::Succeeded { outputs };
    }
    let bytes = text.len();
    match cx.blobs.put(text.into_bytes()).await {
        Ok(name) => Outcome::Succeeded { outputs: Arc::new(serde_json::json!({ "file": name, "bytes": bytes })) },
        // The size of bookkeeping can never fail a run: the step is done, its outputs are lost.
        Err(error) => {
            tracing::warn!(%error, "outputs of a step cannot be kept");
            Outcome::Succeeded { outputs: Arc::new(serde_json::json!({ "lost": error.to_string(), "bytes": bytes })) }
        }
    }
}

/// A call that only looks: a sample, a verification, a probing call.
pub(super) struct Look {
    label: String,
    step: String,
    call: Resolved,
    timeout: Option<Duration>,
    cancel: CancellationToken,
}

impl Look {
    pub(super) fn probe(action: &Action) -> Self {
        Self {
            label: format!("probe-{}", action.attempt),
            step: action.id.as_str().to_owned(),
            call: action.call.clone(),
            timeout: Some(PROBE_TIMEOUT),
            cancel: CancellationToken::new(),
        }
    }

    /// A call of a check without a run.
    pub(super) fn check(step: &str, label: &str, call: Resolved, timeout: Duration) -> Self {
        let cancel = CancellationToken::new();
        Self { label: label.to_owned(), step: step.to_owned(), call, timeout: Some(timeout), cancel }
    }

    pub(super) fn sample(sample: &Sample) -> Self {
        Self {
            label: "sample".to_owned(),
            step: sample.id.to_string(),
            call: sample.call.clone(),
            timeout: Some(Duration::from_millis(sample.timeout_ms)),
            cancel: CancellationToken::new(),
        }
    }
}

/// Makes a call that only looks; its log is kept only while it runs.
pub(super) async fn look(cx: &Arc<Context>, run: &RunName, executor: Arc<dyn Executor>, look: &Look) -> Outcome {
    let from = Standpoint {
        secrets: &cx.secrets,
        run: run.as_str(),
        attempt_id: format!("{}/{}/{}/{}", cx.state_id, run.as_str(), look.step, look.label),
        scratch: attempt_log::folder(&cx.state, run, &look.step.as_str().into()).join(&look.label),
    };
    let attempt_id = from.attempt_id.clone();
    cx.attempts().insert(attempt_id.clone());
    let outcome = look_from(from, executor, look).await;
    cx.attempts().remove(&attempt_id);
    outcome
}

/// From where a call looks: a run, or a check without one.
pub(super) struct Standpoint<'a> {
    pub(super) secrets: &'a SecretSources,
    pub(super) run: &'a str,
    pub(super) attempt_id: String,
    pub(super) scratch: std::path::PathBuf,
}

/// As [`look`], without a run.
pub(super) async fn look_from(from: Standpoint<'_>, executor: Arc<dyn Executor>, look: &Look) -> Outcome {
    let mut with = look.call.with.clone();
    let redactor = match fill(from.secrets, &mut with, &look.call).await {
        Ok(redactor) => redactor,
        Err(failure) => return Outcome::Unknown { failure },
    };
    let attempt_id = from.attempt_id;
    let (exec, mut inbox) = ExecCx::new(Setup {
        key: IdempotencyKey {
            run: from.run.to_owned(),
            step: format!("{}/{}", look.step, look.label),
            direction: bascule_plugin::Direction::Forward,
            generation: 1,
        },
        attempt: 1,
        attempt_id: attempt_id.clone(),
        attached: None,
        deadline: None,
        cancel: look.cancel.clone(),
        scratch: from.scratch,
    });
    let reader = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let call = async move { executor.execute(&exec, &with).await };
    let cancel = look.cancel.clone();
    let watch = look.timeout.map(|timeout| {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            cancel.cancel();
        })
    });
    let outcome = guarded(call, &cancel, &attempt_id).await;
    let late = watch.as_ref().is_some_and(|watch| watch.is_finished());
    if let Some(watch) = watch {
        watch.abort();
    }
    drop(reader.await);
    match clean(outcome, &redactor) {
        Outcome::Cancelled { .. } if late => {
            let seconds = look.timeout.unwrap_or_default().as_secs_f64();
            Outcome::Unknown { failure: Failure::new(format!("it did not answer within {seconds} s")) }
        }
        other @ (Outcome::Succeeded { .. }
        | Outcome::Failed { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Unknown { .. }) => other,
    }
}

/// Asks the executor's own probe.
pub(super) async fn probe(cx: &Arc<Context>, executor: Arc<dyn Executor>, action: &Action) -> Found {
    probe_from(&cx.secrets, executor, &action.call, action.attached.clone()).await
}

/// As [`probe`], without a run.
pub(super) async fn probe_from(
    secrets: &SecretSources,
    executor: Arc<dyn Executor>,
    call: &Resolved,
    handle: Option<Value>,
) -> Found {
    let mut with = call.with.clone();
    let redactor = match fill(secrets, &mut with, call).await {
        Ok(redactor) => redactor,
        Err(failure) => return Found::CannotTell { failure },
    };
    let cancel = CancellationToken::new();
    let (check, mut inbox) = CheckCx::new(None, cancel.clone());
    let task = tokio::spawn(async move { executor.probe(&check, &with, handle.as_ref()).await });
    let reader = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let answer = tokio::time::timeout(PROBE_TIMEOUT, task).await;
    cancel.cancel();
    reader.abort();
    match answer {
        Ok(Ok(answer)) => convert::found(answer, &redactor),
        Ok(Err(_)) => Found::CannotTell { failure: Failure::new("the probe panicked") },
        Err(_) => {
            let message = format!("the probe did not answer within {} s", PROBE_TIMEOUT.as_secs());
            Found::CannotTell { failure: Failure::new(message) }
        }
    }
}

/// The parameters of a call with its secrets, and what must be redacted afterwards.
pub(super) async fn filled(secrets: &SecretSources, call: Resolved) -> Result<(Arc<Value>, Redactor), Failure> {
    let mut with = call.with.clone();
    let redactor = fill(secrets, &mut with, &call).await?;
    Ok((with, redactor))
}
