//! Calls that only look: samples, verifications, probes. Their logs are kept only while they run.
//!
//! Start with [`look`].

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bascule_plugin::{CheckCx, ExecCx, Executor, FullDisk, IdempotencyKey, STOP_LIMIT, Setup};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::attempt::{clean, fill};
use super::guard::{Watch, guarded};
use super::secrets::{Redactor, SecretSources};
use super::{attempt_log, convert};
use crate::machine::command::{Action, Sample};
use crate::machine::fact::{Failure, Found, Resolved, Work};
use crate::machine::input::Outcome;
use crate::store::RunName;

/// How long a native probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(120);

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

    /// What proves an attempt, in the same attempt.
    pub(super) fn verification(action: &Action, attempt: &str, call: &Resolved, cancel: CancellationToken) -> Self {
        let step = action.id.as_str().to_owned();
        Self { label: format!("verify-{attempt}"), step, call: call.clone(), timeout: None, cancel }
    }

    /// Each sample has a name and a folder of its own: the one before it may still be ending.
    pub(super) fn sample(sample: &Sample) -> Self {
        Self {
            label: format!("sample-{}", sample.planned),
            step: sample.id.to_string(),
            call: sample.call.clone(),
            timeout: Some(Duration::from_millis(sample.timeout_ms)),
            cancel: CancellationToken::new(),
        }
    }
}

/// Makes a call that only looks; its log and its folder are kept only while it runs.
pub(super) async fn look(cx: &Arc<Context>, run: &RunName, executor: Arc<dyn Executor>, look: &Look) -> Outcome {
    let from = Standpoint {
        secrets: &cx.secrets,
        run: run.as_str(),
        attempt_id: format!("{}/{}/{}/{}", cx.state_id, run.as_str(), look.step, look.label),
        scratch: attempt_log::folder(&cx.state, run, &look.step.as_str().into()).join(&look.label),
        notes: Some(attempt_log::spare_notes(&cx.state)),
    };
    let (attempt_id, scratch) = (from.attempt_id.clone(), from.scratch.clone());
    cx.attempts().insert(attempt_id.clone());
    let outcome = look_from(from, executor, look).await;
    cx.attempts().remove(&attempt_id);
    match &outcome {
        // What goes on is found by what its folder says.
        Outcome::Unknown { work: Work::MayGoOn, .. } => {}
        Outcome::Unknown { work: Work::Over, .. }
        | Outcome::Succeeded { .. }
        | Outcome::Failed { .. }
        | Outcome::Cancelled { .. } => {
            // Most make none.
            tokio::fs::remove_dir_all(&scratch).await.ok();
        }
    }
    outcome
}

/// From where a call looks: a run, or a check without one.
pub(super) struct Standpoint<'a> {
    pub(super) secrets: &'a SecretSources,
    pub(super) run: &'a str,
    pub(super) attempt_id: String,
    pub(super) scratch: std::path::PathBuf,
    /// Where process groups are noted on a full disk.
    pub(super) notes: Option<std::path::PathBuf>,
}

/// As [`look`], without a run.
pub(super) async fn look_from(from: Standpoint<'_>, executor: Arc<dyn Executor>, look: &Look) -> Outcome {
    let cancel = look.cancel.clone();
    let late = || {
        let seconds = look.timeout.unwrap_or_default().as_secs_f64();
        Outcome::unknown(Failure::new(format!("it did not answer within {seconds} s")))
    };
    // The time counts from here: a source of secrets that hangs is a look that hangs.
    let watch = look.timeout.map(|timeout| {
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            cancel.cancel();
        })
    });
    let mut with = look.call.with.clone();
    let filled = tokio::select! {
        filled = fill(from.secrets, &mut with, &look.call) => filled,
        () = cancel.cancelled() => return late(),
    };
    let redactor = match filled {
        Ok(redactor) => redactor,
        Err(failure) => return Outcome::unknown(failure),
    };
    let (attempt_id, scratch) = (from.attempt_id, from.scratch);
    let grace = executor.stops_within(&with).min(STOP_LIMIT);
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
        scratch: scratch.clone(),
    });
    // Nobody uses what it returns but to look at it, and a look that is not made helps nobody.
    let exec = exec.with_full_disk(FullDisk { notes: from.notes.clone(), goes_on: true });
    let reader = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
    let call = async move { executor.execute(&exec, &with).await };
    let is_remote = AtomicBool::new(false);
    let watching = Watch {
        cancel: &cancel,
        attempt_id: &attempt_id,
        scratch: &scratch,
        notes: from.notes.as_deref(),
        grace,
        is_remote: &is_remote,
    };
    let outcome = guarded(call, watching).await;
    let is_late = watch.as_ref().is_some_and(|watch| watch.is_finished());
    if let Some(watch) = watch {
        watch.abort();
    }
    // Nobody reads what it says; a thread that nobody can end may never stop saying it.
    reader.abort();
    match clean(outcome, &redactor) {
        Outcome::Cancelled { .. } if is_late => late(),
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
