//! Expressions over recorded values: three answers, never a guess.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fact::{Resolved, SecretAt};
use super::run::Run;
use crate::plan::step::Expr;
use crate::plan::{Call, StepId};
use crate::runbook::expr::{self, Scope, Truth};
use crate::runbook::template;

/// The names that every expression of a run may use. Only outputs that are mentioned are copied.
fn scope(run: &Run, params: Option<&Arc<std::collections::BTreeMap<String, Value>>>, mentioned: &[StepId]) -> Scope {
    let mut scope = Scope::default();
    scope.set("inputs", Value::Object(run.plan.inputs.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
    if let Some(params) = params {
        scope.set("params", Value::Object(params.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
    }
    let mut steps = Map::new();
    for id in mentioned {
        if let Some(ix) = run.plan.find(id)
            && let Some(outputs) = &run.step(ix).outputs
        {
            steps.insert(id.as_str().to_owned(), json!({ "outputs": **outputs }));
        }
    }
    scope.set("steps", Value::Object(steps));
    scope.set("baseline", Value::Object(run.baseline.iter().map(|(k, v)| (k.clone(), v.clone())).collect()));
    scope.set(
        "run",
        json!({ "id": &*run.name, "application": run.plan.application, "plan": run.plan.hash().as_str() }),
    );
    scope
}

/// The steps whose outputs a text mentions.
fn mentioned(text: &str) -> Vec<StepId> {
    expr::mentioned_steps(text).into_iter().map(StepId::from).collect()
}

/// A condition over the run's values.
pub(super) fn condition(run: &Run, condition: &Expr, params: &Arc<std::collections::BTreeMap<String, Value>>) -> Truth {
    let scope = scope(run, Some(params), &mentioned(condition.as_str()));
    expr::truth(condition.as_str(), &scope)
}

/// A condition over what a call returned.
pub(super) fn judge(run: &Run, condition: &Expr, call: &Call, result: &Value) -> Truth {
    let mut scope = scope(run, Some(&call.params), &mentioned(condition.as_str()));
    scope.set("result", result.clone());
    expr::truth(condition.as_str(), &scope)
}

/// A value over what a call returned.
pub(super) fn value(run: &Run, expression: &Expr, call: &Call, result: &Value) -> Result<Value, String> {
    let mut scope = scope(run, Some(&call.params), &mentioned(expression.as_str()));
    scope.set("result", result.clone());
    expr::value(expression.as_str(), &scope)
}

/// A call with its expressions evaluated; `None`: it holds none, the plan's text is the value.
pub(super) fn resolve(run: &Run, call: &Call) -> Result<Option<Resolved>, String> {
    if !template::has_placeholder(&call.with) {
        return Ok(None);
    }
    let steps: Vec<StepId> = template::mentioned_steps(&call.with).into_iter().map(StepId::from).collect();
    let scope = scope(run, Some(&call.params), &steps);
    let resolved = template::resolve(&call.with, &scope)?;
    let secrets = resolved.secrets.into_iter().map(|(at, name)| SecretAt { at, name }).collect();
    Ok(Some(Resolved { uses: call.uses.clone(), with: Arc::new(resolved.value), secrets }))
}
