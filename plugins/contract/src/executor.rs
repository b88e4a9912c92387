//! The one trait that an executor implements.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::{ByHand, CheckCx, Effect, ExecCx, Failure, Outcome, ProbeAnswer};

/// What the engine, `bascule executors` and the documentation know of an executor.
#[derive(Debug, Clone)]
pub struct Description {
    /// The name used in `uses:`, such as `http.call`.
    pub name: &'static str,
    /// One sentence for lists.
    pub summary: &'static str,
    /// JSON Schema (draft 7) of `with`.
    pub params: Value,
    /// Name and meaning of each output. The name `*` stands for outputs whose names the step
    /// chooses.
    pub outputs: &'static [(&'static str, &'static str)],
    /// The effect of a step that declares none.
    pub effect: Effect,
    /// Whether [`Executor::probe`] can tell.
    pub probes: bool,
    /// Whether [`Executor::undo`] takes a step back without a second executor.
    pub undoes: bool,
}

/// Whether `validate` looks at a step or at the undo of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The parameters will be executed.
    Step,
    /// The parameters will be undone.
    Undo,
}

/// What `validate` found against the real system.
#[derive(Debug, Clone, PartialEq)]
pub enum Validation {
    /// All that can be known beforehand is as it must be.
    Verified,
    /// It would fail: why.
    Refused(Failure),
    /// It could not be verified: why not. Counts against the coverage of `bascule check`.
    NotVerified(String),
}

/// Performs steps of one kind. See the crate's documentation for the obligations.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Name, parameters, abilities. Constant.
    fn describe(&self) -> Description;

    /// The effect of a step with these parameters that declares none. Constant, and cheap to ask:
    /// a read among calls (`http.call` with GET) need not be treated as a change.
    fn effect(&self, _with: &Value) -> Effect {
        self.describe().effect
    }

    /// Whether attempts tell how far they are. A step that does is not stopped when its time is up:
    /// people are asked, because it may be nearly done. Constant.
    fn reports_progress(&self) -> bool {
        false
    }

    /// How long an attempt with these parameters may take to end after it was told to stop; after
    /// that it is ended by force, and counts as one that may go on. At most [`crate::STOP_LIMIT`].
    fn stops_within(&self, _with: &Value) -> Duration {
        Duration::from_secs(20)
    }

    /// Looks at the real system, changes nothing: could this work now?
    async fn validate(&self, cx: &CheckCx, with: &Value, role: Role) -> Validation;

    /// Performs the step. With [`ExecCx::attached`] it re-attaches to work that goes on.
    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome;

    /// After an interruption: did it happen? Changes nothing.
    async fn probe(&self, _cx: &CheckCx, _with: &Value, _handle: Option<&Value>) -> ProbeAnswer {
        ProbeAnswer::CannotTell { failure: Failure::new("this executor has no probe") }
    }

    /// Takes the step back. `outputs` are absent when nobody knows whether the step ran: the undo
    /// must cope. Repeatable.
    async fn undo(&self, _cx: &ExecCx, _with: &Value, _outputs: Option<&Value>) -> Outcome {
        Outcome::untouched(Failure::new("this executor has no undo of its own"))
    }

    /// The lines of shell with which a person does the same when there is no engine any more; see
    /// [`by_hand`](crate::by_hand). They may begin with `# ` to tell what no line can do. Nothing is looked at:
    /// the page that holds them was written before. `None`: there are no such lines.
    fn by_hand(&self, _task: ByHand<'_>) -> Option<String> {
        None
    }
}
