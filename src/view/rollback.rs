//! The way back: both parts, undo by undo, and what stays.

use serde::{Deserialize, Serialize};

use super::step::{forward_word, undo_detail, undo_word};
use super::{FailureView, ProgressMap, ProgressView, words};
use crate::machine::Now;
use crate::machine::fact::Millis;
use crate::machine::run::{Run, Turn};
use crate::machine::state::{Forward, Status, UndoState};
use crate::plan::estimate::{History, undo_length};
use crate::plan::{Section, StepIx};

/// One undo of an ordered rollback, or a fence step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UndoView {
    /// Whose undo; for the fence: what is performed.
    pub step: String,
    /// `fence`, `data`, `source up`, `traffic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// `pending`, `undoing`, `backoff`, `undone`, `failed`, `unknown`, `waived`; of the fence the step's words.
    pub state: String,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The newest attempt.
    pub attempt: u32,
    /// Automatic attempts that the plan allows.
    pub attempts: u32,
    /// Since when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<i64>,
    /// How long it was planned to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// When the next attempt begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Millis>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// End before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Must have gone well before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// What a person does instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// Something that stays applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftView {
    /// Of which step.
    pub step: String,
    /// Why.
    pub why: String,
    /// How to remove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// The way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RollbackView {
    /// Why.
    pub because: String,
    /// Since when.
    pub decided_at: Millis,
    /// What runs is waited for until then, before anything is undone.
    pub settle_by_at: Millis,
    /// Whether the undos are ordered: everything that ran has stopped, or its time was up.
    pub ordered: bool,
    /// The final state that it leads to.
    pub ends: String,
    /// Brings users back, in order.
    pub restore: Vec<UndoView>,
    /// Proves that the source serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// When the source served again; by [`Self::checks`], if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Millis>,
    /// Removes what was built, in order.
    pub cleanup: Vec<UndoView>,
    /// Stays applied by the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<LeftView>,
}

impl RollbackView {
    pub(super) fn of(run: &Run, now: Now, progress: &ProgressMap) -> Option<Self> {
        let rollback = run.rollback.as_ref()?;
        let name = |ix: StepIx| run.plan.step(ix).id.to_string();
        let undos = |turns: &[Turn]| turns.iter().map(|turn| undo(run, turn, now, progress)).collect();
        Some(Self {
            because: words::cause(&rollback.because),
            decided_at: rollback.decided,
            settle_by_at: rollback.settle_by,
            ordered: rollback.ordered,
            ends: rollback.ends.word().to_owned(),
            restore: undos(&rollback.restore),
            checks: run.plan.section(Section::RollbackCheck).map(name).collect(),
            restored_at: rollback.restored,
            cleanup: undos(&rollback.cleanup),
            stays: rollback
                .stays
                .iter()
                .map(|(ix, why)| LeftView { step: name(*ix), why: why.clone(), by_hand: by_hand(run, *ix) })
                .collect(),
        })
    }
}

fn by_hand(run: &Run, ix: StepIx) -> Option<String> {
    run.plan.step(ix).undo_action().and_then(|undo| undo.by_hand.clone())
}

fn undo(run: &Run, turn: &Turn, now: Now, progress: &ProgressMap) -> UndoView {
    let step = run.plan.step(turn.step);
    let record = run.step(turn.step);
    let fence = step.section == Section::Fence;
    let (state, detail, attempt, until, failure) = match &record.status {
        Status::Forward(forward) => {
            let (until, failure) = match forward {
                Forward::Backoff { until } => (Some(*until), record.last_failure.as_ref()),
                Forward::Failed { failure, .. } | Forward::Unknown { failure, .. } => (None, Some(failure)),
                Forward::Pending
                | Forward::Ready
                | Forward::Running(_)
                | Forward::Waiting { .. }
                | Forward::Succeeded
                | Forward::Skipped { .. }
                | Forward::NotRun => (None, None),
            };
            (forward_word(forward), String::new(), forward.attempt(), until, failure)
        }
        Status::Undo { state, .. } => {
            let (until, failure) = match state {
                UndoState::Backoff { until } => (Some(*until), record.last_failure.as_ref()),
                UndoState::Failed { failure } | UndoState::Unknown { failure, .. } => (None, Some(failure)),
                UndoState::Pending
                | UndoState::Undoing(_)
                | UndoState::Waiting { .. }
                | UndoState::Undone { .. }
                | UndoState::Waived => (None, None),
            };
            (undo_word(state), undo_detail(state), state.attempt(), until, failure)
        }
    };
    let names = |places: &[StepIx]| places.iter().map(|ix| run.plan.step(*ix).id.to_string()).collect();
    UndoView {
        step: step.id.to_string(),
        stage: turn.stage.map(|stage| words::stage(stage).to_owned()),
        state: state.to_owned(),
        detail,
        attempt: if fence { record.attempts } else { record.undo_attempts },
        attempts: step.undo_action().map_or(step.retry.attempts, |undo| undo.retry.attempts),
        started_at: attempt.map(|attempt| attempt.started),
        elapsed_ms: attempt.map(|attempt| now.steady.saturating_sub(attempt.started).max(0)),
        estimate_ms: undo_length(&run.plan, &History::default(), turn.step).known_ms(),
        retry_at: until,
        progress: attempt.and_then(|_| progress.get(step.id.as_str()).cloned()),
        after: names(&turn.after),
        blocked_by: names(&turn.blocked_by),
        failure: failure.map(FailureView::of),
        by_hand: by_hand(run, turn.step),
    }
}

/// What stays applied once the run is over, as the log recorded it.
pub(super) fn leftovers(run: &Run) -> Vec<LeftView> {
    if !run.state.is_final() {
        return Vec::new();
    }
    let left = |(ix, why): &(StepIx, String)| LeftView {
        step: run.plan.step(*ix).id.to_string(),
        why: why.clone(),
        by_hand: by_hand(run, *ix),
    };
    run.residue.iter().map(left).collect()
}
