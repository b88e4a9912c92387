//! Expressions of a plan before there is a run: what dry runs need of the machine. Decides nothing.

use std::sync::Arc;

use serde_json::Value;

use super::apply::Illegal;
use super::eval;
use super::event::{Event, Record};
use super::fact::Resolved;
use super::run::Run;
use crate::plan::step::Expr;
use crate::plan::{Call, Plan};
use crate::runbook::expr::Truth;

/// A plan, as if a run of it had just been created: no step has outputs.
#[derive(Debug)]
pub struct Dry(Run);

impl Dry {
    /// Of a plan.
    ///
    /// # Errors
    /// A bug of ours.
    pub fn new(plan: Arc<Plan>) -> Result<Self, Illegal> {
        let event = Event::Created {
            application: plan.application.clone(),
            number: 0,
            plan: plan.hash().clone(),
            trust_claimed_names: false,
            go_at: None,
        };
        let created = Record { at: 0, by: None, reason: None, event };
        Run::begin(plan, &created).map(Self)
    }

    /// A call with its expressions evaluated.
    ///
    /// # Errors
    /// What has no value yet, such as the outputs of a step that has not run.
    pub fn resolve(&self, call: &Call) -> Result<Resolved, String> {
        let evaluated = eval::resolve(&self.0, call)?;
        let as_written = || Resolved { uses: call.uses.clone(), with: call.with.clone(), secrets: Vec::new() };
        Ok(evaluated.unwrap_or_else(as_written))
    }

    /// A condition over what a call returned.
    #[must_use]
    pub fn judge(&self, condition: &Expr, call: &Call, result: &Arc<Value>) -> Truth {
        eval::judge(&self.0, condition, call, result)
    }
}
