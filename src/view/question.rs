//! An open question, complete: whoever is woken by it needs to read nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::service::{DataView, ServiceView};
use super::{ChangeView, Times, answers, words};
use crate::machine::Now;
use crate::machine::fact::{Direction, Millis};
use crate::machine::question::{Former, Question, QuestionKind};
use crate::machine::run::Run;
use crate::plan::PlanHash;

/// One legal answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerView {
    /// Counts from 1.
    pub number: u32,
    /// In a few words.
    pub label: String,
    /// To be typed.
    pub command: String,
    /// What follows.
    pub effect: String,
    /// How long that takes: `12m 00s`, `at least 3m 00s`, `unknown`, `at once`.
    pub duration: String,
    /// Until when it can be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_possible_at: Option<Millis>,
    /// The same where it is no time of day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_possible: Option<String>,
}

/// An open question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuestionView {
    /// Counts the run's questions from 1.
    pub question: u32,
    /// `unknownOutcome`, `gateUnmet`, …
    pub kind: String,
    /// Since when.
    pub asked_at: Millis,
    /// What happened, in one sentence.
    pub what: String,
    /// More of it: one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The step that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The criterion that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<String>,
    /// Service up or down, since when.
    pub service: ServiceView,
    /// Data at stake.
    pub data: String,
    /// The last moment to start back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_back_at: Option<Millis>,
    /// What was tried.
    pub tried: String,
    /// The legal answers.
    pub answers: Vec<AnswerView>,
    /// What silence does.
    pub silence: String,
    /// Who may answer.
    pub who: String,
}

/// All open questions, oldest first.
pub(super) fn all(run: &Run, now: Now, times: &Times) -> Vec<QuestionView> {
    run.questions.values().map(|question| one(run, question, now, times)).collect()
}

fn one(run: &Run, question: &Question, now: Now, times: &Times) -> QuestionView {
    let kind = &question.kind;
    let (what, details) = what(run, kind);
    let turn_back_at = ChangeView::of(run, times).and_then(|change| change.turn_back_at);
    QuestionView {
        question: question.id,
        kind: word(kind).to_owned(),
        asked_at: question.asked,
        what,
        details,
        step: kind.step().map(ToString::to_string),
        criterion: match kind {
            QuestionKind::Tripped { criterion, .. } | QuestionKind::Blind { criterion } => Some(criterion.to_string()),
            QuestionKind::UnknownOutcome { .. }
            | QuestionKind::StepFailed { .. }
            | QuestionKind::PartialEffect { .. }
            | QuestionKind::CheckInconclusive { .. }
            | QuestionKind::ValueUnknown { .. }
            | QuestionKind::OutOfTime { .. }
            | QuestionKind::PostCheckFailed { .. }
            | QuestionKind::GateUnmet { .. }
            | QuestionKind::AwayTooLong { .. }
            | QuestionKind::StaleCheck { .. }
            | QuestionKind::Denied { .. }
            | QuestionKind::Irreversible { .. }
            | QuestionKind::PastIrreversible { .. }
            | QuestionKind::LateStepFailed { .. }
            | QuestionKind::UndoByHand { .. }
            | QuestionKind::LateEffect { .. }
            | QuestionKind::StartWindowEnded { .. }
            | QuestionKind::TurnBack { .. }
            | QuestionKind::RequirementRolledBack { .. }
            | QuestionKind::PluginChanged { .. }
            | QuestionKind::Amendment { .. } => None,
        },
        service: ServiceView::of(run, now),
        data: DataView::of(run, now).text,
        turn_back_at,
        tried: tried(run, kind),
        answers: answers::of(run, now, question, times),
        silence: silence(run, now),
        who: who(run, kind),
    }
}

/// The word for a kind of question, as it stands in the log.
pub(super) fn word(kind: &QuestionKind) -> &'static str {
    match kind {
        QuestionKind::UnknownOutcome { .. } => "unknownOutcome",
        QuestionKind::StepFailed { .. } => "stepFailed",
        QuestionKind::PartialEffect { .. } => "partialEffect",
        QuestionKind::CheckInconclusive { .. } => "checkInconclusive",
        QuestionKind::ValueUnknown { .. } => "valueUnknown",
        QuestionKind::OutOfTime { .. } => "outOfTime",
        QuestionKind::Tripped { .. } => "tripped",
        QuestionKind::Blind { .. } => "blind",
        QuestionKind::PostCheckFailed { .. } => "postCheckFailed",
        QuestionKind::GateUnmet { .. } => "gateUnmet",
        QuestionKind::AwayTooLong { .. } => "awayTooLong",
        QuestionKind::StaleCheck { .. } => "staleCheck",
        QuestionKind::Denied { .. } => "denied",
        QuestionKind::Irreversible { .. } => "irreversible",
        QuestionKind::PastIrreversible { .. } => "pastIrreversible",
        QuestionKind::LateStepFailed { .. } => "lateStepFailed",
        QuestionKind::UndoByHand { .. } => "undoByHand",
        QuestionKind::LateEffect { .. } => "lateEffect",
        QuestionKind::StartWindowEnded { .. } => "startWindowEnded",
        QuestionKind::TurnBack { .. } => "turnBack",
        QuestionKind::RequirementRolledBack { .. } => "requirementRolledBack",
        QuestionKind::PluginChanged { .. } => "pluginChanged",
        QuestionKind::Amendment { .. } => "amendment",
    }
}

/// What is asked, in one sentence.
pub fn sentence(kind: &QuestionKind) -> String {
    match kind {
        QuestionKind::UnknownOutcome { step, direction: Direction::Forward, .. } => {
            format!("nobody knows whether `{step}` happened")
        }
        QuestionKind::UnknownOutcome { step, direction: Direction::Undo, .. } => {
            format!("nobody knows whether `{step}` was taken back")
        }
        QuestionKind::StepFailed { step, .. } => format!("step `{step}` failed for good"),
        QuestionKind::PartialEffect { step, .. } => format!("only a part of `{step}` happened"),
        QuestionKind::CheckInconclusive { step, .. } => format!("check `{step}` can not be measured"),
        QuestionKind::ValueUnknown { step, .. } => format!("a value that `{step}` needs is unknown"),
        QuestionKind::OutOfTime { step } => format!("`{step}` has used up its time and goes on"),
        QuestionKind::Tripped { criterion, .. } => {
            format!("criterion `{criterion}` tripped and does not act by itself")
        }
        QuestionKind::Blind { criterion } => format!("criterion `{criterion}` sees nothing"),
        QuestionKind::PostCheckFailed { step, .. } => format!("post-check `{step}` had not passed in time"),
        QuestionKind::GateUnmet { unwatched: false, .. } => "the window is over and the gate is not met".to_owned(),
        QuestionKind::GateUnmet { unwatched: true, .. } => "the window ended while nobody watched".to_owned(),
        QuestionKind::AwayTooLong { away_ms } => {
            format!("the rollback was interrupted for {}: somebody may have repaired by hand", words::span_u(*away_ms))
        }
        QuestionKind::StaleCheck { step } => format!("pre-check `{step}` had passed and fails now"),
        QuestionKind::Denied { step, expired: false } => format!("`{step}` was denied"),
        QuestionKind::Denied { step, expired: true } => format!("nobody answered `{step}` in time"),
        QuestionKind::Irreversible { step } => format!("the next step, `{step}`, cannot be taken back"),
        QuestionKind::PastIrreversible { step } => {
            format!("the way back is done as far as irreversible `{step}` allows")
        }
        QuestionKind::LateStepFailed { step } => format!("step `{step}` failed for good"),
        QuestionKind::UndoByHand { step, .. } => format!("`{step}` must be taken back by hand"),
        QuestionKind::LateEffect { step } => format!("a result of `{step}` came too late and reports an effect"),
        QuestionKind::StartWindowEnded { .. } => "the start window ended while nobody watched".to_owned(),
        QuestionKind::TurnBack { .. } => {
            "the turn-back time came: later the source will not serve before the change window ends".to_owned()
        }
        QuestionKind::RequirementRolledBack { app } => format!("`{app}`, which this application needs, went back"),
        QuestionKind::PluginChanged { executor } => format!("plugin `{executor}` is not the one that the plan pinned"),
        QuestionKind::Amendment { step, .. } => format!("other values are proposed for `{step}`"),
    }
}

fn what(run: &Run, kind: &QuestionKind) -> (String, Vec<String>) {
    let details = match kind {
        QuestionKind::UnknownOutcome { failure, .. } | QuestionKind::CheckInconclusive { failure, .. } => {
            std::iter::once(failure.to_string()).chain(failure.hint.clone()).collect()
        }
        QuestionKind::StepFailed { step, why } => {
            let mut details = failure_of(run, step);
            details.push(format!("not rolled back by itself: {why}"));
            details
        }
        QuestionKind::PostCheckFailed { step, why } => {
            let mut details = failure_of(run, step);
            details.push(format!("not rolled back by itself: {why}"));
            details
        }
        QuestionKind::PartialEffect { found, .. } => vec![format!("found: {found}")],
        QuestionKind::ValueUnknown { why, .. } | QuestionKind::Tripped { why, .. } => vec![why.to_string()],
        QuestionKind::UndoByHand { instructions, .. } => vec![instructions.to_string()],
        QuestionKind::Blind { criterion } => blind(run, criterion),
        QuestionKind::Amendment { set, plan, of, .. } => amendment(set, plan, of),
        QuestionKind::GateUnmet { gaps, .. } => gaps.iter().map(words::gap).collect(),
        QuestionKind::StaleCheck { step } | QuestionKind::LateStepFailed { step } => failure_of(run, step),
        QuestionKind::OutOfTime { .. }
        | QuestionKind::AwayTooLong { .. }
        | QuestionKind::Denied { .. }
        | QuestionKind::Irreversible { .. }
        | QuestionKind::PastIrreversible { .. }
        | QuestionKind::LateEffect { .. }
        | QuestionKind::StartWindowEnded { .. }
        | QuestionKind::TurnBack { .. }
        | QuestionKind::RequirementRolledBack { .. }
        | QuestionKind::PluginChanged { .. } => Vec::new(),
    };
    (sentence(kind), details)
}

/// What differs, whose wish it is, and which plan it makes.
fn amendment(set: &BTreeMap<String, Value>, plan: &PlanHash, of: &Former) -> Vec<String> {
    let mut details = words::changes(set, of);
    if let Some(who) = &of.proposed_by {
        let why = of.proposed_because.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        details.push(format!("proposed by {}{why}", words::actor(who)));
    }
    let before = of.plan.as_ref().map(|plan| format!("{} → ", plan.short())).unwrap_or_default();
    details.push(format!("plan {before}{}", plan.short()));
    details
}

fn failure_of(run: &Run, step: &crate::plan::StepId) -> Vec<String> {
    let Some(ix) = run.plan.find(step) else { return Vec::new() };
    let failure = run.forward(ix).failure().or(run.step(ix).last_failure.as_ref());
    failure
        .map(|failure| std::iter::once(failure.to_string()).chain(failure.hint.clone()).collect())
        .unwrap_or_default()
}

fn blind(run: &Run, criterion: &str) -> Vec<String> {
    let Some(ix) = run.plan.criteria.iter().position(|known| &*known.id == criterion) else { return Vec::new() };
    let newest = run.criteria[ix].sparks.back();
    match newest.map(|spark| &spark.verdict) {
        Some(crate::machine::fact::Verdict::Inconclusive { because }) => vec![format!("newest sample: {because}")],
        Some(crate::machine::fact::Verdict::Pass | crate::machine::fact::Verdict::Fail) | None => Vec::new(),
    }
}

fn tried(run: &Run, kind: &QuestionKind) -> String {
    let Some(ix) = kind.step().and_then(|step| run.plan.find(step)) else {
        return "nothing: there is nothing that could be tried again".to_owned();
    };
    let record = run.step(ix);
    let back = record.undo_attempts;
    let times = |n: u32| if n == 1 { "once".to_owned() } else { format!("{n} times") };
    match (record.attempts, back) {
        (0, 0) => "not tried yet".to_owned(),
        (n, 0) => format!("performed {} of at most {}", times(n), run.plan.step(ix).retry.attempts.max(n)),
        (n, back) => format!("performed {}, taken back {}", times(n), times(back)),
    }
}

/// Who may answer.
fn who(run: &Run, kind: &QuestionKind) -> String {
    let anybody = "whoever may use this state directory; the name is recorded";
    if let QuestionKind::Amendment { of, .. } = kind {
        let proposer = of.proposed_by.as_ref().map_or_else(|| "the one who proposed it".to_owned(), words::actor);
        return format!("somebody else than {proposer}; a no may come from anybody");
    }
    let QuestionKind::Irreversible { step } = kind else { return anybody.to_owned() };
    let Some(ix) = run.plan.find(step) else { return anybody.to_owned() };
    let Some(rules) = run.rules_of_passing(ix) else {
        return format!("{anybody} (no approval of the runbook names `{step}`)");
    };
    let mut who = if rules.roles.is_empty() { anybody.to_owned() } else { rules.roles.join(" or ") };
    if rules.quorum > 1 {
        who = format!("{who}: {} different people, {} so far", rules.quorum, run.step(ix).approvals.len());
    }
    if rules.not_requester {
        who.push_str("; not the one who started the run");
    }
    who
}

fn silence(run: &Run, now: Now) -> String {
    let open = super::service::open_window(run).is_some_and(|window| window.deadline > now.steady);
    let guarded = open && run.exposed.is_some() && run.rollback.is_none() && !run.commit_intended;
    if guarded && crate::machine::may_act(run, now).is_ok() {
        "the run waits; a criterion that trips while the window is open still goes back by itself".to_owned()
    } else if guarded {
        "the run waits; criteria are sampled until the window is over, and a trip asks, too".to_owned()
    } else {
        "nothing: the run waits, nothing is done by itself".to_owned()
    }
}
