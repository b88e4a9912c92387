//! What happens when something fails or trips, phase by phase: *automatic* or *asks*.
//!
//! The machine decides on the night; this says beforehand what it will decide, for `plan`.

use super::criteria::{Criterion, CriterionAction};
use super::policy::{DataAnswer, OnFailure};
use super::rollback;
use super::sealed::{Plan, StepIx};
use super::step::Section;
use crate::runbook::duration;
use crate::runbook::model::Millis;

/// What a failure or a trip does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing was touched: it is retried, and refused at the end of the start window.
    Waits,
    /// The engine goes back by itself.
    Automatic(String),
    /// A person decides: why.
    Asks(String),
}

/// A stretch of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// When it begins: `pre-checks`, or the name of the step with whose intent it begins.
    pub from: String,
    /// What a failure or a trip in it does.
    pub answer: Answer,
}

/// All phases in which the answer differs from the one before, in the order of a run.
#[must_use]
pub fn phases(plan: &Plan) -> Vec<Phase> {
    let mut phases = Vec::new();
    if !plan.section(Section::PreCheck).is_empty() {
        phases.push(Phase { from: "pre-checks".to_owned(), answer: Answer::Waits });
    }
    if !plan.section(Section::Prepare).is_empty() {
        let answer = Answer::Asks("the preparation is undone only when a person cancels".to_owned());
        phases.push(Phase { from: "preparation".to_owned(), answer });
    }
    phases.push(Phase { from: "cutover".to_owned(), answer: before_exposure(plan) });
    let irreversible = |ix: &StepIx| plan.step(*ix).is_irreversible();
    let turns = plan.dag().order().iter().copied().filter(|ix| plan.step(*ix).section == Section::Cutover);
    for ix in turns.filter(|ix| irreversible(ix) || plan.exposing() == Some(*ix)) {
        let is_final = irreversible(&ix);
        let answer = if is_final { past(plan, ix) } else { after_exposure(plan) };
        phases.push(Phase { from: plan.step(ix).id.to_string(), answer });
        if is_final {
            break;
        }
    }
    if let Some(first) = plan.section(Section::Commit).next() {
        let answer = Answer::Asks("the commit has begun: there is no way back".to_owned());
        phases.push(Phase { from: plan.step(first).id.to_string(), answer });
    }
    phases
}

fn before_exposure(plan: &Plan) -> Answer {
    match plan.policies.on_failure {
        OnFailure::Rollback => Answer::Automatic("users have not seen the target: nothing is lost".to_owned()),
        OnFailure::Ask => Answer::Asks("`onFailure: ask`".to_owned()),
    }
}

fn after_exposure(plan: &Plan) -> Answer {
    if rollback::complete(plan).restore.is_empty() {
        return Answer::Asks("nothing brings users back".to_owned());
    }
    match &plan.policies.data {
        DataAnswer::ReverseSync => Answer::Automatic("users' writes come home first".to_owned()),
        DataAnswer::Stateless => Answer::Automatic("there are no writes to lose".to_owned()),
        DataAnswer::AcceptLoss { up_to_ms, .. } => {
            let up_to = duration::format(Millis(*up_to_ms));
            Answer::Automatic(format!("up to {up_to} of writes are lost; beyond that it asks"))
        }
        DataAnswer::Unanswered => Answer::Asks("nobody said what happens to users' writes".to_owned()),
    }
}

/// What a trip of a criterion inside the window does, in the words of every table and picture.
#[must_use]
pub fn on_trip(plan: &Plan, criterion: &Criterion) -> &'static str {
    match (criterion.observe_only, criterion.action) {
        (true, _) => "only shown",
        (false, CriterionAction::Ask) => "asks",
        (false, CriterionAction::Rollback) => in_window(plan),
    }
}

/// The same for any criterion that may go back.
fn in_window(plan: &Plan) -> &'static str {
    if plan.section(Section::Cutover).any(|ix| plan.step(ix).is_irreversible()) {
        return "asks";
    }
    match (after_exposure(plan), &plan.policies.data) {
        (Answer::Asks(_) | Answer::Waits, _) => "asks",
        (Answer::Automatic(_), DataAnswer::AcceptLoss { up_to_ms, .. }) if *up_to_ms < plan.policies.window_ms => {
            "goes back, later asks"
        }
        (Answer::Automatic(_), _) => "goes back",
    }
}

fn past(plan: &Plan, ix: StepIx) -> Answer {
    Answer::Asks(format!("`{}` cannot be taken back", plan.step(ix).id))
}
