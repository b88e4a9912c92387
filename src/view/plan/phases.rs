//! What a trip or a failure will do, phase by phase: by itself, or a question.

use serde::{Deserialize, Serialize};

use super::super::words::span_u;
use crate::plan::policy::{OnFailure, OnWindowClose};
use crate::plan::step::Effect;
use crate::plan::{DataAnswer, Plan, Section};

/// What the engine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Does {
    /// It goes back by itself.
    Automatic,
    /// A person decides.
    Asks,
    /// Nothing is watched any more; a person may still go back.
    OnlyAPerson,
    /// There is no way back.
    NoWayBack,
}

/// A phase of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseView {
    /// `before exposure`, …
    pub phase: String,
    /// What a trip or a failure does.
    pub does: Does,
    /// Why, and what it means, in one or two sentences.
    pub text: String,
}

fn phase(phase: &str, does: Does, text: impl Into<String>) -> PhaseView {
    PhaseView { phase: phase.to_owned(), does, text: text.into() }
}

/// All phases of a run of this plan.
pub(super) fn all(plan: &Plan) -> Vec<PhaseView> {
    let mut phases = vec![before(plan)];
    if plan.exposing().is_some() {
        phases.extend(in_window(plan));
        phases.push(after_window(plan));
    }
    let commit = plan.section(Section::Commit);
    if !commit.is_empty() {
        let names: Vec<&str> = commit.map(|ix| plan.step(ix).id.as_str()).collect();
        let text = format!("`bascule commit` runs {}; a step that fails asks", names.join(", "));
        phases.push(phase("commit", Does::NoWayBack, text));
    }
    phases
}

fn before(plan: &Plan) -> PhaseView {
    let irreversible = plan.section(Section::Cutover).find(|ix| plan.step(*ix).is_irreversible());
    let once = plan.section(Section::Cutover).filter(|ix| plan.step(*ix).effect == Effect::Once).count();
    let (does, mut text) = match plan.policies.on_failure {
        OnFailure::Rollback => {
            (Does::Automatic, "a step that fails for good goes back; the source's data is never overwritten".to_owned())
        }
        OnFailure::Ask => (Does::Asks, "`onFailure: ask`: a step that fails for good asks".to_owned()),
    };
    if once > 0 {
        text.push_str(&format!("; {once} with effect `once`: if interrupted, it asks whether it happened"));
    }
    if let Some(ix) = irreversible {
        text.push_str(&format!("; past {} everything asks", plan.step(ix).id));
    }
    phase("before exposure", does, text)
}

fn in_window(plan: &Plan) -> Vec<PhaseView> {
    let window = span_u(plan.policies.window_ms);
    let name = format!("window, {window}");
    if let Some(ix) = plan.section(Section::Cutover).find(|ix| plan.step(*ix).is_irreversible()) {
        let text = format!("{} cannot be taken back: every trip asks", plan.step(ix).id);
        return vec![phase(&name, Does::Asks, text)];
    }
    match &plan.policies.data {
        DataAnswer::ReverseSync => {
            vec![phase(&name, Does::Automatic, "writes on the target are stopped, brought home, then users go back")]
        }
        DataAnswer::Stateless => vec![phase(&name, Does::Automatic, "no writes to bring home: users go back at once")],
        DataAnswer::AcceptLoss { up_to_ms, .. } if *up_to_ms >= plan.policies.window_ms => {
            vec![phase(&name, Does::Automatic, "the loss of users' writes on the target was accepted")]
        }
        DataAnswer::AcceptLoss { up_to_ms, .. } => {
            let most = span_u(*up_to_ms);
            vec![
                phase(
                    &format!("first {most}"),
                    Does::Automatic,
                    format!("the loss of up to {most} of writes was accepted"),
                ),
                phase(&format!("until {window}"), Does::Asks, "more writes would be lost than was accepted"),
            ]
        }
        DataAnswer::Unanswered => {
            vec![phase(&name, Does::Asks, "nobody says what happens to users' writes on the target")]
        }
    }
}

fn after_window(plan: &Plan) -> PhaseView {
    match plan.policies.on_window_close {
        OnWindowClose::Accept => phase(
            "accepted",
            Does::OnlyAPerson,
            "criteria are no longer sampled; `bascule rollback` still goes back; the source is kept",
        ),
        OnWindowClose::Commit => {
            phase("window closed", Does::NoWayBack, "`onWindowClose: commit`: the way back is given up by itself")
        }
    }
}
