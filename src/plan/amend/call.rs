//! Parameters: found where the author bound them, set with the type that they have, and never with a new edge.
//!
//! A definition of a catalog has parameters, which its step, probe, proof and undo share; a step that is written in the
//! runbook has `with` alone. A name means the parameter first, as in a runbook.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{CannotAmend, Side, calls_of, nothing_to_set, undo_of};
use crate::plan::sealed::{Plan, StepIx};
use crate::plan::step::{Call, Step, StepId, StepKind};
use crate::runbook::expr::{self, Path, Scope};
use crate::runbook::problem::nearest;
use crate::runbook::template::{self, Template};

/// Sets parameters of the calls of one step.
pub(super) struct Calls<'a> {
    pub(super) plan: &'a Plan,
    pub(super) ix: StepIx,
    pub(super) side: Side,
    /// Names of secrets that the new values refer to.
    pub(super) secrets: &'a mut Vec<String>,
}

/// The call whose `with` a side means.
fn own(step: &Step, side: Side) -> Option<&Call> {
    match (side, &step.kind) {
        (Side::Forward, StepKind::Action(call)) => Some(call),
        (Side::Forward, StepKind::Approval(_) | StepKind::Manual(_)) => None,
        (Side::Undo, _) => step.undo_action().and_then(|undo| undo.call.as_ref()),
    }
}

/// A value as it is in the plan.
pub(super) fn get<'s>(step: &'s Step, side: Side, path: &[String]) -> Option<&'s Value> {
    let call = own(step, side)?;
    let (name, rest) = path.split_first()?;
    let mut value = call.params.get(name).or_else(|| call.with.get(name))?;
    for part in rest {
        value = match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            Value::Object(fields) => fields.get(part)?,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
    }
    Some(value)
}

impl Calls<'_> {
    pub(super) fn set(&mut self, step: &mut Step, path: &[String], value: &Value) -> Result<(), CannotAmend> {
        let Some((name, rest)) = path.split_first() else { return Err(nothing_to_set(step)) };
        if self.side == Side::Undo && undo_of(step)?.call.is_none() {
            let why = format!("the undo of `{}` has no parameters: it is given those of the step", step.id);
            return Err(CannotAmend::new(why, "leave out `--undo` to change those of the step"));
        }
        let Some(call) = own(step, self.side) else { return Err(nothing_to_set(step)) };
        if call.params.contains_key(name) {
            let before = get(step, self.side, path).cloned();
            let value = self.parameter(name, before.as_ref(), value)?;
            for call in calls_of(step, self.side).into_iter().filter(|call| call.params.contains_key(name)) {
                let slot = Arc::make_mut(&mut call.params).entry(name.clone()).or_insert(Value::Null);
                put(slot, rest, &value).map_err(|why| no_place(path, &why))?;
            }
            return Ok(());
        }
        if !call.params.is_empty() && call.with.get(name).is_none() {
            return Err(unknown(step, call, name));
        }
        self.uses_what_is_there(call, value)?;
        let call = match self.side {
            Side::Undo => undo_of(step)?.call.as_mut(),
            Side::Forward => match &mut step.kind {
                StepKind::Action(call) => Some(call),
                StepKind::Approval(_) | StepKind::Manual(_) => None,
            },
        };
        let Some(call) = call else { return Ok(()) };
        let with = Arc::make_mut(&mut call.with);
        put(with, path, value).map_err(|why| no_place(path, &why))
    }

    /// A parameter is bound before the run, to a value of the type that it has.
    fn parameter(&self, name: &str, before: Option<&Value>, value: &Value) -> Result<Value, CannotAmend> {
        let template = Template::parse(value.clone())
            .map_err(|(_, error)| CannotAmend::new(format!("`{name}`: {error}"), "mend the placeholder"))?;
        let bound = if template.is_constant() {
            value.clone()
        } else {
            let scope =
                Scope::new().with("inputs", Value::Object(self.plan.inputs.as_ref().clone().into_iter().collect()));
            let resolved = template.resolve(&scope).map_err(|error| {
                let hint =
                    "a parameter of a catalog's definition is bound before the run: only `inputs` are known there";
                CannotAmend::new(format!("`{name}`: {error}"), hint)
            })?;
            if !resolved.secrets.is_empty() {
                let hint = "secrets stand in `with` or `env` of the definition";
                return Err(CannotAmend::new(format!("`{name}` is a parameter, and cannot be a secret"), hint));
            }
            (*resolved.value).clone()
        };
        match before.filter(|before| kind(before) != kind(&bound) && !before.is_null()) {
            Some(before) => Err(CannotAmend::new(
                format!("`{name}` must be {}, and is {}", kind(before), kind(&bound)),
                "text that looks like a number stands in quotes: --set 'with.NAME=\"42\"'",
            )),
            None => Ok(bound),
        }
    }

    /// New values use what the plan has, and only what comes before: an edge would be another shape.
    fn uses_what_is_there(&mut self, call: &Call, value: &Value) -> Result<(), CannotAmend> {
        let template = Template::parse(value.clone()).map_err(|(at, error)| {
            let place = if at.is_empty() { String::new() } else { format!("{at}: ") };
            CannotAmend::new(format!("{place}{error}"), "a placeholder is written `${{ inputs.NAME }}`")
        })?;
        for path in template.expressions().flat_map(|compiled| expr::references(compiled.as_str())) {
            self.is_there(call, &path)?;
        }
        collect_secrets(value, self.secrets);
        Ok(())
    }

    fn is_there(&self, call: &Call, path: &Path) -> Result<(), CannotAmend> {
        let Some(name) = path.segments.first().map(|segment| segment.name.as_str()) else { return Ok(()) };
        let plan = self.plan;
        match path.root.as_str() {
            "inputs" if !plan.inputs.contains_key(name) => {
                Err(missing(&format!("the plan has no input `{name}`"), name, plan.inputs.keys().map(String::as_str)))
            }
            "params" if !call.params.contains_key(name) => {
                Err(missing(&format!("there is no parameter `{name}`"), name, call.params.keys().map(String::as_str)))
            }
            "steps" => {
                let before = plan.dag().ancestors(self.ix);
                let known = plan.find(&StepId::from(name));
                let is_own = self.side == Side::Undo && known == Some(self.ix);
                if known.is_some_and(|ix| is_own || before.contains(&ix)) {
                    return Ok(());
                }
                let names = before.iter().map(|ix| plan.step(*ix).id.as_str());
                let why =
                    format!("`{name}` does not come before `{}`: its outputs cannot be used", plan.step(self.ix).id);
                Err(missing(&why, name, names))
            }
            "result" => {
                Err(CannotAmend::new("`result` has no value here", "it is what a call returned: of conditions only"))
            }
            _ => Ok(()),
        }
    }
}

fn missing<'n>(why: &str, name: &str, known: impl Iterator<Item = &'n str>) -> CannotAmend {
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bascule status` and `bascule graph RUN` show what the plan has".to_owned(),
    };
    CannotAmend::new(why, hint)
}

fn unknown(step: &Step, call: &Call, name: &str) -> CannotAmend {
    let own = call.with.as_object().into_iter().flat_map(Map::keys);
    let names: Vec<&str> = call.params.keys().chain(own).map(String::as_str).collect();
    let near = nearest(name, names.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    CannotAmend::new(format!("`{}` has no parameter `{name}`", step.id), format!("{near}it takes {}", names.join(", ")))
}

fn no_place(path: &[String], why: &str) -> CannotAmend {
    CannotAmend::new(format!("`with.{}`: {why}", path.join(".")), "set the whole value instead")
}

/// Puts a value at a path inside of another; maps on the way are made.
fn put(into: &mut Value, path: &[String], value: &Value) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else {
        *into = value.clone();
        return Ok(());
    };
    if into.is_null() {
        *into = Value::Object(Map::new());
    }
    match into {
        Value::Object(fields) => put(fields.entry(name.clone()).or_insert(Value::Null), rest, value),
        Value::Array(items) => {
            let length = items.len();
            let item = name.parse::<usize>().ok().and_then(|at| items.get_mut(at));
            let item = item.ok_or_else(|| format!("the list has {length} entries, counted from 0, and no `{name}`"))?;
            put(item, rest, value)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(format!("there is nothing inside of {}", kind(into)))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

fn collect_secrets(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.extend(template::outline(text).1.into_iter().map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| collect_secrets(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect_secrets(field, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
