//! Values that people set while a plan is executed, held against the executors as those of a runbook are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Executors, calls, executors};
use crate::plan::sealed::{Plan, StepIx};
use crate::plan::step::{Call, Probe, Step, StepKind, Undo};
use crate::runbook::expr::Scope;
use crate::runbook::model::Data;
use crate::runbook::problem::Problem;
use crate::runbook::source::{FileId, Span, Text};

/// What executors say of the calls of a step in a new plan, and did not say of it before.
#[must_use]
pub fn not_taken(before: &Plan, after: &Plan, ix: StepIx, executors: &Executors) -> Vec<Problem> {
    let known: BTreeSet<String> = problems(before, ix, executors).into_iter().map(|problem| problem.message).collect();
    let mut found = problems(after, ix, executors);
    found.retain(|problem| !known.contains(&problem.message));
    found
}

fn problems(plan: &Plan, ix: StepIx, executors: &Executors) -> Vec<Problem> {
    // They were not written in a file: no place is shown.
    let span = Span::new(FileId(0), 0..0);
    let mut found = Vec::new();
    for call in calls_of(plan.step(ix)) {
        let Some(info) = executors.get(&*call.uses) else { continue };
        let object = |map: &std::collections::BTreeMap<String, Value>| Value::Object(map.clone().into_iter().collect());
        let scope = Scope::new().with("inputs", object(&plan.inputs)).with("params", object(&call.params));
        let with = calls::with_known_values(&Data::of_json(&call.with, span), &scope);
        let uses = Text { value: call.uses.clone(), span };
        found.extend(executors::problems(&uses, Some(&with), &info.params));
    }
    found
}

fn calls_of(step: &Step) -> Vec<&Call> {
    let mut calls = Vec::new();
    if let StepKind::Action(call) = &step.kind {
        calls.push(call);
    }
    if let Some(Probe::Call { call, .. }) = &step.probe {
        calls.push(call);
    }
    calls.extend(step.verify.as_ref().map(|verify| &verify.call));
    if let Undo::Action(undo) = &step.undo {
        calls.extend(undo.call.as_ref());
        calls.extend(undo.verify.as_ref().map(|verify| &verify.call));
    }
    calls
}
