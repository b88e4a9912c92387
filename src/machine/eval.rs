//! Expressions over recorded values: three answers, never a guess.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fact::{Resolved, SecretAt};
use super::large;
use super::run::Run;
use crate::plan::step::Expr;
use crate::plan::{Call, Criterion, StepId, StepKind};
use crate::runbook::expr::{self, Scope, Segment, Truth};
use crate::runbook::template::{self, Template};

type Params = Arc<BTreeMap<String, Value>>;

/// The names that every expression of a run may use. Only outputs that are mentioned are copied.
fn scope(run: &Run, params: &Params, mentioned: impl Iterator<Item = StepId>) -> Scope {
    let object =
        |map: &BTreeMap<String, Value>| Value::Object(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    let mut steps = Map::new();
    for id in mentioned {
        if let Some(ix) = run.plan.find(&id)
            && let Some(outputs) = &run.step(ix).outputs
        {
            steps.insert(id.as_str().to_owned(), json!({ "outputs": **outputs }));
        }
    }
    Scope::new()
        .with("inputs", object(&run.plan.inputs))
        .with("params", object(params))
        .with("steps", Value::Object(steps))
        .with("baseline", object(&run.baseline))
        .with("run", json!({ "id": &*run.name, "application": run.plan.application, "plan": run.plan.hash().as_str() }))
}

/// The steps whose outputs an expression mentions.
fn mentioned(text: &str) -> Vec<StepId> {
    expr::references(text)
        .into_iter()
        .filter(|path| path.root == "steps")
        .filter_map(|path| path.segments.first().map(|Segment { name, .. }| StepId::from(name.as_str())))
        .collect()
}

/// Why an expression has no value, whatever it says: it mentions outputs that are in a file, because they are large.
fn in_a_file(run: &Run, text: &str) -> Option<String> {
    expr::references(text).into_iter().filter(|path| path.root == "steps").find_map(|path| {
        let mut names = path.segments.iter().map(|Segment { name, .. }| name.as_str());
        let id = StepId::from(names.next()?);
        let outputs = run.step(run.plan.find(&id)?).outputs.as_ref()?;
        let said = |what: &str, bytes: u64| {
            format!("`steps.{id}.outputs{what}` has {bytes} bytes; what is that large is kept in a file, and has no value here")
        };
        if names.next().is_some_and(|name| name != "outputs") {
            return None;
        }
        if let Some(bytes) = large::bytes_of_whole(outputs) {
            return Some(said("", bytes));
        }
        let wanted = names.next();
        let fields = outputs.as_object()?.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name));
        let mut large = fields.filter_map(|(name, field)| Some((name, large::bytes_of_field(field)?)));
        large.next().map(|(name, bytes)| said(&format!(".{name}"), bytes))
    })
}

fn truth(run: &Run, text: &str, scope: &Scope) -> Truth {
    if let Some(why) = in_a_file(run, text) {
        return Truth::Unknown(why);
    }
    match expr::compile(text) {
        Ok(compiled) => expr::decide(&compiled, scope),
        Err(error) => Truth::Unknown(error.to_string()),
    }
}

/// A condition of a step over the run's values.
pub(super) fn condition(run: &Run, condition: &Expr, kind: &StepKind) -> Truth {
    let none = Params::default();
    let params = match kind {
        StepKind::Action(call) => &call.params,
        StepKind::Approval(_) | StepKind::Manual(_) => &none,
    };
    truth(run, condition.as_str(), &scope(run, params, mentioned(condition.as_str()).into_iter()))
}

/// A condition over what a call returned.
pub(super) fn judge(run: &Run, condition: &Expr, call: &Call, result: &Arc<Value>) -> Truth {
    let scope = scope(run, &call.params, mentioned(condition.as_str()).into_iter()).with("result", result.clone());
    truth(run, condition.as_str(), &scope)
}

/// A value over what a call returned.
pub(super) fn value(run: &Run, expression: &Expr, call: &Call, result: &Arc<Value>) -> Result<Value, String> {
    let scope = scope(run, &call.params, mentioned(expression.as_str()).into_iter()).with("result", result.clone());
    if let Some(why) = in_a_file(run, expression.as_str()) {
        return Err(why);
    }
    let compiled = expr::compile(expression.as_str()).map_err(|error| error.to_string())?;
    expr::evaluate(&compiled, &scope).map_err(|unknown| unknown.reason)
}

/// A call with its expressions evaluated; `None`: it holds none, the plan's text is the value.
pub(super) fn resolve(run: &Run, call: &Call) -> Result<Option<Resolved>, String> {
    if is_literal(call) {
        return Ok(None);
    }
    let template = Template::parse(call.with.clone()).map_err(|(at, error)| format!("{at}: {error}"))?;
    if let Some(why) = template.expressions().find_map(|compiled| in_a_file(run, compiled.as_str())) {
        return Err(why);
    }
    let steps: Vec<StepId> = template.expressions().flat_map(|compiled| mentioned(compiled.as_str())).collect();
    let scope = scope(run, &call.params, steps.into_iter());
    let resolved = template.resolve(&scope).map_err(|unresolved| unresolved.to_string())?;
    if large::exceeds(&resolved.value, large::LARGEST_CALL) {
        let most = large::LARGEST_CALL >> 20;
        return Err(format!(
            "they are larger than the {most} MiB that the run log keeps; hand large values on in files"
        ));
    }
    let secrets = resolved.secrets.into_iter().map(|(at, name)| SecretAt { at, name }).collect();
    Ok(Some(Resolved { uses: call.uses.clone(), with: resolved.value, secrets }))
}

/// What a person is told, with its expressions evaluated as far as they have a value; the others stand as written.
pub(super) fn words(run: &Run, text: &str) -> String {
    let call = Call { with: Value::String(text.to_owned()).into(), uses: "".into(), params: Params::default() };
    match resolve(run, &call) {
        Ok(Some(resolved)) => resolved.with.as_str().map_or_else(|| resolved.with.to_string(), str::to_owned),
        Ok(None) | Err(_) => text.to_owned(),
    }
}

/// Whether a call is what the plan's text says, with nothing to evaluate.
pub(super) fn is_literal(call: &Call) -> bool {
    !has_placeholder(&call.with)
}

/// Whether any string inside has a placeholder.
fn has_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => template::has_placeholder(text),
        Value::Array(items) => items.iter().any(has_placeholder),
        Value::Object(fields) => fields.values().any(has_placeholder),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A measured value beside the limit that it is held against.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The name of what was measured: `result.p95`.
    pub what: String,
    /// How the value stands to the limit when it is bad: `>`, `>=`, `<` or `<=`.
    pub symbol: &'static str,
    /// The value.
    pub value: f64,
    /// The limit.
    pub limit: f64,
}

/// What a criterion holds against limits in a sample, for those who draw it. Empty where its condition has none.
#[must_use]
pub fn measured(run: &Run, criterion: &Criterion, result: &Arc<Value>) -> Vec<Measured> {
    let condition = criterion.trip.as_str();
    let Ok(compiled) = expr::compile(condition) else { return Vec::new() };
    let scope = scope(run, &criterion.call.params, mentioned(condition).into_iter()).with("result", result.clone());
    let limits = expr::comparisons(&compiled).into_iter();
    limits
        .filter_map(|limit| {
            let (value, against) = limit.numbers(&scope)?;
            Some(Measured { what: limit.what, symbol: limit.symbol, value, limit: against })
        })
        .collect()
}
