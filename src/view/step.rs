//! One step, as people see it: what it does now, since when, until when, and what it waits for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ProgressMap, ProgressView, words};
use crate::machine::Now;
use crate::machine::fact::{Direction, Failure, Interruption, Millis, Wait};
use crate::machine::run::Run;
use crate::machine::state::{Attempt, Forward, Status, UndoState};
use crate::machine::timers::Timer;
use crate::plan::step::{Effect, OnTimeout};
use crate::plan::{Section, StepIx, StepKind};

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureView {
    /// A lower-case fragment, with its causes.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What it left behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

impl FailureView {
    pub(super) fn of(failure: &Failure) -> Self {
        Self { message: failure.to_string(), hint: failure.hint.clone(), left: None }
    }
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// For what, in one line.
    pub text: String,
    /// `locks`, `approval`, `person`, `retry`.
    pub on: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_at: Option<Millis>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<Millis>,
    /// Who holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
    /// What happens if nobody acts.
    pub silence: String,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// Its name.
    pub step: String,
    /// `preChecks`, `cutoverSteps`, …
    pub section: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The executor; `approval` or `manual` where people act.
    pub uses: String,
    /// Steps that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// `pending`, `ready`, `running`, `backoff`, `waiting`, `succeeded`, `failed`, `unknown`, `skipped`, `notRun`.
    pub status: String,
    /// The state of its undo, once it is on its way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// One line about its status; empty where the word says all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The newest attempt.
    pub attempt: u32,
    /// Automatic attempts that the plan allows.
    pub attempts: u32,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_started_at: Option<Millis>,
    /// When the attempt under way began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When its newest attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// Of the attempt under way; otherwise from the first attempt to the last end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<i64>,
    /// How long it was planned to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// It takes longer than its estimate.
    pub overrun: bool,
    /// When the time of the attempt under way is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Millis>,
    /// People are asked then, and nothing is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deadline_asks: bool,
    /// Most of that time is used up, and people were told so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time_short: bool,
    /// When the attempt under way will be done if it goes on as fast as so far; absent: nobody can say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_end_at: Option<Millis>,
    /// How far the attempt under way is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitView>,
    /// What whoever does it by hand is asked for: its name, and its type as the runbook spells it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answer: BTreeMap<String, String>,
    /// The newest failure, while it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// Who approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_by: Vec<String>,
    /// Users lose the source while and after it runs.
    pub takes_source_down: bool,
    /// It copies the application's data.
    pub moves_data: bool,
    /// It is the first moment any user can reach the target.
    pub exposes: bool,
    /// Passing it cannot be taken back.
    pub irreversible: bool,
}

impl StepView {
    pub(super) fn of(run: &Run, ix: StepIx, now: Now, progress: &ProgressMap) -> Self {
        let step = run.plan.step(ix);
        let record = run.step(ix);
        let forward = run.forward(ix);
        let live = forward.attempt();
        let elapsed = match (live, record.first_started, record.ended) {
            (Some(attempt), _, _) => Some(now.steady.saturating_sub(attempt.started).max(0)),
            // A check that is repeated has no length; of a step that was taken back the end is the undo's.
            (None, _, _) if step.section.is_check() && record.attempts > 1 || run.undo(ix).is_some() => None,
            (None, Some(first), Some(ended)) => Some(ended.saturating_sub(first).max(0)),
            (None, Some(_) | None, _) => None,
        };
        Self {
            step: step.id.to_string(),
            section: step.section.key().to_owned(),
            description: step.origin.description.clone(),
            uses: match &step.kind {
                StepKind::Action(call) => call.uses.to_string(),
                StepKind::Approval(_) => "approval".to_owned(),
                StepKind::Manual(_) => "manual".to_owned(),
            },
            needs: step.needs.iter().map(|need| need.step.to_string()).collect(),
            status: forward_word(forward).to_owned(),
            undo: run.undo(ix).map(|undo| undo_word(undo).to_owned()),
            detail: detail(run, ix),
            attempt: record.attempts,
            attempts: step.retry.attempts,
            first_started_at: record.first_started,
            started_at: live.map(|attempt| attempt.started),
            ended_at: record.ended,
            elapsed_ms: elapsed,
            estimate_ms: step.estimate_ms,
            overrun: record.overrun && live.is_some(),
            deadline_at: live.and_then(|attempt| attempt.deadline),
            deadline_asks: live.is_some() && run.asks_at_deadline(ix, Direction::Forward),
            time_short: live.is_some() && run.time_is_short(ix, Direction::Forward),
            expected_end_at: live.and_then(|attempt| {
                progress.get(step.id.as_str()).and_then(|known| expected_end(attempt.started, known, now))
            }),
            progress: live.and_then(|_| progress.get(step.id.as_str()).cloned()),
            waiting: waiting(run, ix, forward),
            answer: match &step.kind {
                StepKind::Manual(manual) => manual.answer.clone(),
                StepKind::Action(_) | StepKind::Approval(_) => BTreeMap::new(),
            },
            failure: failure(run, ix, forward),
            approved_by: record.approvals.iter().map(words::actor).collect(),
            takes_source_down: step.takes_source_down,
            moves_data: step.moves_data,
            exposes: step.exposes,
            irreversible: step.is_irreversible(),
        }
    }
}

/// When something will be done that goes on as fast as so far.
fn expected_end(started: Millis, progress: &ProgressView, now: Now) -> Option<Millis> {
    let (done, total) = (progress.done.filter(|done| *done > 0)?, progress.total?);
    let elapsed = u128::try_from(now.steady.saturating_sub(started)).ok()?;
    let left = elapsed * u128::from(total.saturating_sub(done)) / u128::from(done);
    now.steady.checked_add(Millis::try_from(left).ok()?)
}

/// The word for a step on its way forward.
pub(super) fn forward_word(forward: &Forward) -> &'static str {
    match forward {
        Forward::Pending => "pending",
        Forward::Ready => "ready",
        Forward::Running(_) => "running",
        Forward::Backoff { .. } => "backoff",
        Forward::Waiting { .. } => "waiting",
        Forward::Succeeded => "succeeded",
        Forward::Failed { .. } => "failed",
        Forward::Unknown { .. } => "unknown",
        Forward::Skipped { .. } => "skipped",
        Forward::NotRun => "notRun",
    }
}

/// The word for a step on its way back.
pub(super) fn undo_word(undo: &UndoState) -> &'static str {
    match undo {
        UndoState::Pending => "pending",
        UndoState::Undoing(_) => "undoing",
        UndoState::Backoff { .. } => "backoff",
        UndoState::Waiting { .. } => "waiting",
        UndoState::Undone { .. } => "undone",
        UndoState::Failed { .. } => "failed",
        UndoState::Unknown { .. } => "unknown",
        UndoState::Waived => "waived",
    }
}

fn detail(run: &Run, ix: StepIx) -> String {
    let record = run.step(ix);
    let forward = match &record.status {
        Status::Forward(forward) => forward,
        Status::Undo { state, .. } => return undo_detail(state),
    };
    match forward {
        Forward::Running(attempt) if !record.answered || attempt.interrupted.is_some() => running_detail(attempt),
        Forward::Running(_) => "a person says that it was done; it is being verified".to_owned(),
        Forward::Backoff { .. } => {
            record.last_failure.as_ref().map(|failure| format!("will be tried again: {failure}")).unwrap_or_default()
        }
        Forward::Waiting { on, .. } => wait_text(run, ix, on),
        Forward::Failed { failure, .. } if run.plan.step(ix).effect == Effect::None => failure.to_string(),
        Forward::Failed { failure, left } => format!("{failure}; {}", words::left(*left)),
        Forward::Unknown { failure, probing: true } => format!("being looked at: {failure}"),
        Forward::Unknown { failure, probing: false } => failure.to_string(),
        Forward::Skipped { over } => words::skipped(over).to_owned(),
        Forward::Ready if run.hold.is_some() && !run.plan.step(ix).section.is_check() => {
            "held: waits for `resume`".to_owned()
        }
        Forward::Ready if record.answered => "a person says that it was done; it is verified next".to_owned(),
        Forward::Ready if run.plan.step(ix).section == Section::Cutover && run.waits_for_way_back() => {
            waits_for_way_back(run)
        }
        Forward::Pending | Forward::Ready | Forward::Succeeded | Forward::NotRun => String::new(),
    }
}

/// Which readiness check keeps the cutover from beginning anything.
fn waits_for_way_back(run: &Run) -> String {
    if run.way_back.is_none() {
        return "waits until the way back is verified".to_owned();
    }
    let fails = run.plan.section(Section::Ready).filter(|ix| !run.forward(*ix).satisfies());
    let names: Vec<String> = fails.map(|ix| format!("`{}`", run.plan.step(ix).id)).collect();
    format!("waits: the way back is lost ({} must pass, or be waived)", names.join(", "))
}

fn running_detail(attempt: &Attempt) -> String {
    match attempt.interrupted {
        Some(why @ Interruption::Stopping) => format!("is to be stopped: {}", words::interruption(why)),
        Some(why) => format!("being stopped: {}", words::interruption(why)),
        None => String::new(),
    }
}

pub(super) fn undo_detail(state: &UndoState) -> String {
    match state {
        UndoState::Undoing(attempt) => running_detail(attempt),
        UndoState::Undone { note } => note.clone().unwrap_or_default(),
        UndoState::Failed { failure } => failure.to_string(),
        UndoState::Unknown { failure, probing: true } => format!("being looked at: {failure}"),
        UndoState::Unknown { failure, probing: false } => failure.to_string(),
        UndoState::Waived => "a person goes on without it".to_owned(),
        UndoState::Waiting { .. } => "waits for a person who takes it back by hand".to_owned(),
        UndoState::Pending | UndoState::Backoff { .. } => String::new(),
    }
}

fn wait_text(run: &Run, ix: StepIx, on: &Wait) -> String {
    let step = run.plan.step(ix);
    match on {
        Wait::Locks { claims, held_by } if held_by.is_empty() => format!("waits for {}", claims.join(", ")),
        Wait::Locks { claims, held_by } => format!("waits for {}, held by {}", claims.join(", "), held_by.join(", ")),
        Wait::Approval { .. } => match &step.kind {
            StepKind::Approval(approval) => {
                let given = run.step(ix).approvals.len();
                let roles = if approval.roles.is_empty() { "anybody".to_owned() } else { approval.roles.join(" or ") };
                format!("waits for approval by {roles} ({given} of {})", approval.quorum)
            }
            StepKind::Action(_) | StepKind::Manual(_) => "waits for approval".to_owned(),
        },
        Wait::Person => match &step.kind {
            StepKind::Manual(manual) => {
                let answer =
                    if manual.answer.is_empty() { String::new() } else { format!("; answer {}", manual.asks_for()) };
                let who =
                    if manual.roles.is_empty() { String::new() } else { format!("; by {}", manual.roles.join(" or ")) };
                format!("by hand: {}{answer}{who}", manual.instructions.trim_end().trim_end_matches('.'))
            }
            StepKind::Action(_) | StepKind::Approval(_) => "waits for a person".to_owned(),
        },
    }
}

fn waiting(run: &Run, ix: StepIx, forward: &Forward) -> Option<WaitView> {
    let none = "nothing: it waits";
    let view = |on: &str, text: String, silence: &str| WaitView {
        text,
        on: on.to_owned(),
        since_at: None,
        until_at: None,
        held_by: Vec::new(),
        silence: silence.to_owned(),
    };
    match forward {
        Forward::Backoff { until } => Some(WaitView {
            until_at: Some(*until),
            ..view("retry", "will be tried again".to_owned(), "it is tried again then")
        }),
        Forward::Waiting { on, since } => {
            let text = wait_text(run, ix, on);
            let base = match on {
                Wait::Locks { held_by, .. } => {
                    WaitView { held_by: held_by.clone(), ..view("locks", text, "it starts when they are given back") }
                }
                Wait::Approval { expires } => {
                    let silence = if expires.is_some() { "the answer is no when it expires" } else { none };
                    WaitView { until_at: *expires, ..view("approval", text, silence) }
                }
                Wait::Person => {
                    let until_at = run.timers.get(Timer::Deadline(ix, Direction::Forward));
                    WaitView { until_at, ..view("person", text, until_at.map_or(none, |_| by_hand_silence(run, ix))) }
                }
            };
            Some(WaitView { since_at: Some(*since), ..base })
        }
        Forward::Pending
        | Forward::Ready
        | Forward::Running(_)
        | Forward::Succeeded
        | Forward::Failed { .. }
        | Forward::Unknown { .. }
        | Forward::Skipped { .. }
        | Forward::NotRun => None,
    }
}

/// What happens if nobody says in time that a step was done by hand.
fn by_hand_silence(run: &Run, ix: StepIx) -> &'static str {
    let step = run.plan.step(ix);
    let has_default = matches!(&step.kind, StepKind::Manual(manual) if manual.default.is_some());
    match (has_default, step.on_timeout) {
        (true, _) => "the runbook's default answer counts then",
        (false, OnTimeout::Fail) => "it counts as failed then",
        (false, OnTimeout::Ask) => "people are asked louder then; nothing else",
    }
}

fn failure(run: &Run, ix: StepIx, forward: &Forward) -> Option<FailureView> {
    match forward {
        Forward::Failed { failure, .. } if run.plan.step(ix).effect == Effect::None => Some(FailureView::of(failure)),
        Forward::Failed { failure, left } => {
            Some(FailureView { left: Some(words::left(*left).to_owned()), ..FailureView::of(failure) })
        }
        Forward::Unknown { failure, .. } => Some(FailureView::of(failure)),
        Forward::Running(_) | Forward::Backoff { .. } | Forward::Ready => {
            run.step(ix).last_failure.as_ref().map(FailureView::of)
        }
        Forward::Pending | Forward::Waiting { .. } | Forward::Succeeded | Forward::Skipped { .. } | Forward::NotRun => {
            None
        }
    }
}
