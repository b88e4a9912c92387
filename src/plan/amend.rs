//! Other values for a step of a plan that is being executed: a new plan of the same shape.
//!
//! What may be set is closed: parameters, time and tries of a step and of its undo. Never structure, effect, conditions,
//! exposure, locks or the executor. The new plan follows from the old one and from what was set alone, so a log that
//! holds both replays without any file. Start with [`Plan::amended`].

mod call;
mod key;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::sealed::{Plan, PlanError, PlanHash, StepIx};
use super::step::{Probe, Retry, Step, StepKind, Undo, UndoAction};
use crate::runbook::duration;
use crate::runbook::model::Millis;
use call::Calls;
pub use key::{Field, Key, Side};

/// Why a value cannot be set, and what can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct CannotAmend {
    /// Why not.
    pub why: String,
    /// What to do instead.
    pub hint: String,
}

impl CannotAmend {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hint: hint.into() }
    }
}

impl Plan {
    /// The plan with other values of one step.
    ///
    /// # Errors
    /// A key that cannot be set, or a value that it does not take.
    pub fn amended(&self, ix: StepIx, set: &BTreeMap<String, Value>) -> Result<Self, CannotAmend> {
        self.amended_as(ix, set, None)
    }

    /// The same under the name that a log gives it. A later release may write the plan's text otherwise; its name
    /// stays what it was when people agreed to it.
    ///
    /// # Errors
    /// As [`Plan::amended`].
    pub fn amended_as(
        &self,
        ix: StepIx,
        set: &BTreeMap<String, Value>,
        name: Option<&PlanHash>,
    ) -> Result<Self, CannotAmend> {
        let mut body = self.body().clone();
        let mut secrets = Vec::new();
        let step = body.steps.get_mut(ix).map(Arc::make_mut).expect("a step's place belongs to its plan");
        for (key, value) in set {
            let key = Key::parse(key)?;
            match &key.field {
                Field::With(path) => {
                    let mut calls = Calls { plan: self, ix, side: key.side, secrets: &mut secrets };
                    calls.set(step, path, value)?;
                }
                Field::Timeout | Field::Attempts | Field::Backoff | Field::MaxBackoff => set_limit(step, &key, value)?,
            }
        }
        body.secrets.extend(secrets);
        let sealed = match name {
            Some(name) => Self::seal_as(body, name.clone()),
            None => Self::seal(body),
        };
        sealed.map_err(|error: PlanError| CannotAmend::new(error.to_string(), "this is a bug: please report it"))
    }

    /// What the values to be set are now; absent: not there.
    #[must_use]
    pub fn before(&self, ix: StepIx, set: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
        let step = self.step(ix);
        let known = |key: &String| {
            let parsed = Key::parse(key).ok()?;
            Some((key.clone(), value_of(step, &parsed)?))
        };
        set.keys().filter_map(known).collect()
    }
}

fn value_of(step: &Step, key: &Key) -> Option<Value> {
    let in_words = |ms: u64| Value::String(duration::format(Millis(ms)));
    let (timeout_ms, retry) = match key.side {
        Side::Forward => (step.timeout_ms, step.retry),
        Side::Undo => step.undo_action().map(|undo| (undo.timeout_ms, undo.retry))?,
    };
    match &key.field {
        Field::With(path) => call::get(step, key.side, path).cloned(),
        Field::Timeout => Some(in_words(timeout_ms)),
        Field::Attempts => Some(json!(retry.attempts)),
        Field::Backoff => Some(in_words(retry.backoff_ms)),
        Field::MaxBackoff => Some(in_words(retry.max_backoff_ms)),
    }
}

/// The undo of a step, where it has one whose values can be set.
fn undo_of(step: &mut Step) -> Result<&mut UndoAction, CannotAmend> {
    let why = match &step.undo {
        Undo::Irreversible => format!("`{}` cannot be taken back: it has no undo", step.id),
        Undo::Nothing { .. } => format!("`{}` has no undo", step.id),
        Undo::Action(_) => String::new(),
    };
    match &mut step.undo {
        Undo::Action(action) => Ok(action),
        Undo::Nothing { .. } | Undo::Irreversible => Err(CannotAmend::new(why, "leave out `--undo`")),
    }
}

fn set_limit(step: &mut Step, key: &Key, value: &Value) -> Result<(), CannotAmend> {
    let (timeout_ms, retry): (&mut u64, &mut Retry) = match key.side {
        Side::Forward if matches!(step.kind, StepKind::Action(_)) => (&mut step.timeout_ms, &mut step.retry),
        Side::Forward => return Err(nothing_to_set(step)),
        Side::Undo => {
            let undo = undo_of(step)?;
            (&mut undo.timeout_ms, &mut undo.retry)
        }
    };
    match &key.field {
        Field::Timeout => *timeout_ms = length(key, value, 1)?,
        Field::Backoff => retry.backoff_ms = length(key, value, 0)?,
        Field::MaxBackoff => retry.max_backoff_ms = length(key, value, 0)?,
        Field::Attempts => {
            let attempts = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
            retry.attempts = attempts.ok_or_else(|| {
                CannotAmend::new(format!("`{key}` must be a whole number from 1, and is {value}"), "write it as in 3")
            })?;
        }
        Field::With(_) => {}
    }
    Ok(())
}

fn length(key: &Key, value: &Value, least: u64) -> Result<u64, CannotAmend> {
    let hint = "write it as in 90s, 30m or 1h30m";
    let text =
        value.as_str().ok_or_else(|| CannotAmend::new(format!("`{key}` must be a duration, and is {value}"), hint))?;
    let length = duration::parse(text).map_err(|error| CannotAmend::new(format!("`{key}`: {error}"), hint))?;
    if length.0 < least {
        return Err(CannotAmend::new(format!("`{key}` is zero"), hint));
    }
    Ok(length.0)
}

/// What an approval or a step by hand says to who wants to set its parameters.
fn nothing_to_set(step: &Step) -> CannotAmend {
    match &step.kind {
        StepKind::Approval(_) => CannotAmend::new(
            format!("`{}` is an approval: it has no values", step.id),
            "`approve` or `reject` answers it",
        ),
        StepKind::Manual(_) | StepKind::Action(_) => CannotAmend::new(
            format!("`{}` is done by hand: it has no values", step.id),
            "`extend` gives the person more time; `--undo` changes what takes it back",
        ),
    }
}

/// The calls of a step that see its parameters.
fn calls_of(step: &mut Step, side: Side) -> Vec<&mut super::step::Call> {
    let mut calls = Vec::new();
    if side == Side::Forward {
        if let StepKind::Action(call) = &mut step.kind {
            calls.push(call);
        }
        if let Some(Probe::Call { call, .. }) = &mut step.probe {
            calls.push(call);
        }
        calls.extend(step.verify.as_mut().map(|verify| &mut verify.call));
    }
    if let Undo::Action(undo) = &mut step.undo {
        calls.extend(undo.call.as_mut());
        calls.extend(undo.verify.as_mut().map(|verify| &mut verify.call));
    }
    calls
}
