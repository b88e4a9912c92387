//! What `apply` asks for. Inert: only the journal turns a command into a permit.

use std::sync::Arc;

use serde_json::Value;

use super::fact::{Direction, LockScope, Millis, Resolved};
use crate::plan::policy::LockClaim;
use crate::plan::{StepId, StepIx};

/// An attempt, as `perform` needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// The step's place.
    pub step: StepIx,
    /// Its name.
    pub id: StepId,
    /// Performing or taking back.
    pub direction: Direction,
    /// Counts the step's attempts in this direction from 1.
    pub attempt: u32,
    /// Of the idempotency key.
    pub generation: u32,
    /// When it is interrupted.
    pub deadline: Option<Millis>,
    /// What is called; an empty name: nothing, because a person did it by hand, and `verify` looks whether it is so.
    pub call: Resolved,
    /// Whether the executor's own undo (or probe) is meant, not its `execute`.
    pub native: bool,
    /// What proves it, read back in the same attempt.
    pub verify: Option<Resolved>,
    /// The outputs of the step that is taken back.
    pub outputs: Option<Arc<Value>>,
    /// Remote work to find again.
    pub attached: Option<Value>,
    /// Whether steps after it may use what it returns: then it must not begin where that cannot be kept.
    pub is_used: bool,
}

/// A sample of a criterion, as `perform` needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The criterion's place.
    pub criterion: usize,
    /// Its name.
    pub id: Arc<str>,
    /// When it was due.
    pub planned: Millis,
    /// What is called.
    pub call: Resolved,
    /// When it is interrupted, counted from its start.
    pub timeout_ms: u64,
}

/// A wanted effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Makes an attempt.
    Perform(Box<Action>),
    /// Looks whether an attempt happened.
    Probe(Box<Action>),
    /// Samples a criterion.
    Sample(Box<Sample>),
    /// Stops an attempt, co-operatively first.
    Cancel {
        /// The step's place.
        step: StepIx,
        /// Performing or taking back.
        direction: Direction,
        /// Which attempt.
        attempt: u32,
    },
    /// Takes locks, all or none.
    AcquireLocks {
        /// For whom.
        scope: LockScope,
        /// Which.
        claims: Vec<LockClaim>,
        /// Undos stand before forward steps in every queue.
        direction: Direction,
    },
    /// Gives locks back.
    ReleaseLocks {
        /// Whose.
        scope: LockScope,
    },
}
