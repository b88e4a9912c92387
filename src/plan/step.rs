//! One node of the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::policy::{Approval, LockClaim, Manual};
pub use crate::runbook::expr::Expr;
pub use crate::runbook::words::{Effect, OnTimeout, Proof, Section, spelling};

/// A step's name, unique in its plan. Fence, readiness and rollback checks carry their section as a
/// prefix (`fence:stop_target_writes`), because a catalog may use one definition in several places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(Arc<str>);

impl StepId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for StepId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<Arc<str>> for StepId {
    fn from(name: Arc<str>) -> Self {
        Self(name)
    }
}

impl From<String> for StepId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An executor and its parameters; strings of `with` may hold `${{ … }}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The executor's name.
    pub uses: Arc<str>,
    /// Its parameters, a JSON object, before evaluation.
    pub with: Arc<Value>,
    /// Bound parameters of the catalog definition: `${{ params.… }}`.
    #[serde(default, skip_serializing_if = "no_params")]
    pub params: Arc<BTreeMap<String, Value>>,
}

fn no_params(params: &Arc<BTreeMap<String, Value>>) -> bool {
    params.is_empty()
}

/// What kind of node a step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepKind {
    /// An executor performs it.
    Action(Call),
    /// People decide: a barrier in its list.
    Approval(Approval),
    /// A person performs it.
    Manual(Manual),
}

/// How to find out whether an interrupted attempt happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Probe {
    /// The executor knows by itself.
    Native,
    /// Another call, and what its `result` must be for *done*.
    Call {
        /// The call; only looks.
        call: Call,
        /// True: done. False: not started. Unknown: cannot tell.
        done: Expr,
    },
}

/// A call whose success proves something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verify {
    /// The call; only looks.
    pub call: Call,
    /// What its `result` must be; absent: success is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Expr>,
}

/// How a step is taken back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Undo {
    /// Nothing to take back: the step only looks, or its author says why.
    Nothing {
        /// The author's reason; absent for steps with effect `none`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It cannot be taken back; passing it needs an approval that names it.
    Irreversible,
    /// An action takes it back.
    Action(UndoAction),
}

/// The reverse action of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UndoAction {
    /// Absent: the step's own executor undoes, given the step's parameters and outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// Removes what was built; starts only when users are back.
    pub cleanup: bool,
    /// A clean-up that moves aside instead of deleting.
    pub keep: bool,
    /// Undos are repeatable unless this says `once`.
    pub effect: Effect,
    /// Undos that end first, of steps; replaces the reverse edges. `None`: the reverse edges count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Vec<StepId>>,
    /// How long it takes, if anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// When an attempt is interrupted.
    pub timeout_ms: u64,
    /// Attempts and backoff; 5 attempts unless written.
    pub retry: Retry,
    /// What must hold after it, read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// What a person does by hand if the tool is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

impl UndoAction {
    /// Whether nothing may follow an attempt that may have done something: undos are repeatable, `once` is the stated
    /// exception.
    #[must_use]
    pub fn is_once(&self) -> bool {
        self.effect == Effect::Once
    }
}

/// Attempts and the pauses between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// In all, the first included. At least 1.
    pub attempts: u32,
    /// The first pause; doubles.
    pub backoff_ms: u64,
    /// The longest pause.
    pub max_backoff_ms: u64,
}

/// Why a step comes after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NeedKind {
    /// The author wrote it in `needs`: it also blocks undos.
    Written,
    /// The step stands below it: orders, never blocks.
    Implied,
    /// An approval in the list stands between: orders, never blocks.
    Barrier,
    /// It uses the other's outputs: it also blocks undos.
    Outputs,
}

impl NeedKind {
    /// Whether a failed undo of the later step holds back the undo of the earlier one.
    #[must_use]
    pub fn blocks(self) -> bool {
        match self {
            Self::Written | Self::Outputs => true,
            Self::Implied | Self::Barrier => false,
        }
    }
}

/// An edge of the DAG, kept by the step that comes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Need {
    /// The step that comes before.
    pub step: StepId,
    /// Why.
    pub kind: NeedKind,
}

/// What only a check says of itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckPolicy {
    /// What its `result` must be; absent: success is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<Expr>,
    /// How long a pass counts; a pre-check older than this runs again before the next effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for_ms: Option<u64>,
    /// Pause before a failed pre-check runs again (1 min unless written).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_every_ms: Option<u64>,
    /// Pause between samples of a post-check or readiness check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// Time after exposure by which a post-check must have passed; failing it rolls back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_ms: Option<u64>,
    /// Runs again at `go` and before the cut, whatever its age.
    #[serde(default)]
    pub recheck: bool,
    /// Roles that may waive it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivable_by: Vec<String>,
    /// Values captured before the cut: name → expression over `result`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline: BTreeMap<String, Expr>,
    /// The condition of a safe end that it proves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proves: Option<Proof>,
}

/// Where a definition came from, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The catalog that defines it, if it is not inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// How far the catalog was tried: its `verified` line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `source`, `target` or `neutral`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<String>,
    /// `operational`, `backup`, `identity` or `compute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
}

/// A node of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// The list in which it stands.
    pub section: Section,
    /// Where its definition came from.
    pub origin: Origin,
    /// What performs it.
    pub kind: StepKind,
    /// What comes before it, without duplicates, in declaration order.
    pub needs: Vec<Need>,
    /// Evaluated once when the step becomes ready; false skips it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expr>,
    /// What it does to the world.
    pub effect: Effect,
    /// When an attempt runs out of time.
    pub timeout_ms: u64,
    /// What happens then.
    pub on_timeout: OnTimeout,
    /// Automatic attempts.
    pub retry: Retry,
    /// How an interrupted attempt is judged; required for effect `probe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// Belongs to the attempt: if it fails, the attempt failed with a possible effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verify>,
    /// The way back.
    pub undo: Undo,
    /// Users lose the source while and after it runs.
    #[serde(default)]
    pub takes_source_down: bool,
    /// It copies the application's data.
    #[serde(default)]
    pub moves_data: bool,
    /// It is the first moment any user can reach the target.
    #[serde(default)]
    pub exposes: bool,
    /// A partial result may be undone and tried again without asking.
    #[serde(default)]
    pub retry_partial: bool,
    /// Refreshed this often while the run is prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_fresh_ms: Option<u64>,
    /// How long it takes, if anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_ms: Option<u64>,
    /// Step-scope locks, taken all or none per attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockClaim>,
    /// What only checks say.
    #[serde(default)]
    pub check: CheckPolicy,
    /// Other values for a rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Value>,
}

impl Step {
    /// Whether passing it cannot be taken back.
    #[must_use]
    pub fn is_irreversible(&self) -> bool {
        matches!(self.undo, Undo::Irreversible)
    }

    /// The action that takes it back, if there is one.
    #[must_use]
    pub fn undo_action(&self) -> Option<&UndoAction> {
        match &self.undo {
            Undo::Action(action) => Some(action),
            Undo::Nothing { .. } | Undo::Irreversible => None,
        }
    }
}
