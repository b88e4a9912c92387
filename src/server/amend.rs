//! What the machine cannot know of an amendment: whether executors take the values.

use std::collections::BTreeMap;

use serde_json::Value;

use super::problem::Problem;
use crate::engine::registry;
use crate::machine::Run;
use crate::plan::{Section, StepId, compile};

/// Holds new values against what the executors of the step take, as when the plan was made. What is wrong otherwise the
/// machine says.
///
/// # Errors
/// The first value that an executor does not take.
pub fn check(run: &Run, step: &StepId, set: &BTreeMap<String, Value>) -> Result<(), Problem> {
    let is_back = run.rollback.is_some();
    let named = run.plan.step_named(step.as_str(), |step| is_back != (step.section == Section::Ready));
    let Ok(ix) = named else { return Ok(()) };
    let Ok(made) = run.plan.amended(ix, set) else { return Ok(()) };
    let executors = registry::known(&registry::executors());
    let found = compile::not_taken(&run.plan, &made, ix, &executors);
    let Some(first) = found.into_iter().next() else { return Ok(()) };
    let mut advice = first.help;
    advice.extend(first.notes);
    let hint =
        if advice.is_empty() { "`bascule executors` shows what each takes".to_owned() } else { advice.join("; ") };
    Err(Problem::refused(first.message).hint(hint))
}
