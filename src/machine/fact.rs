//! The vocabulary of events: who, how an attempt ended, why a run moved, what is missing.
//!
//! Everything here is part of the record format: add, never change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::StepId;

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// What stands in a record in the place of a secret.
pub const MASK: &str = "[redacted]";

/// Who caused an event. Absent in a record: the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The authenticated name: on the socket, the peer's user.
    pub name: String,
    /// The name given with `--as`; nobody verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// How they came: `socket`, `telephone`, `tcp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// What they called their request: whoever lost the answer finds what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

impl Actor {
    /// Somebody whose name is all that is known.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), claimed: None, channel: None, request: None }
    }
}

/// Performing a step or taking it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Performing.
    Forward,
    /// Taking back.
    Undo,
}

/// What a failed or cancelled attempt left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Left {
    /// Nothing can have happened.
    Nothing,
    /// Something may have happened.
    Possible,
}

/// Whether an attempt whose outcome nobody knows has at least ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// It ended.
    #[default]
    Over,
    /// Its end is not proved: it is neither run again nor undone.
    MayGoOn,
}

impl Work {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    fn is_over(&self) -> bool {
        *self == Self::Over
    }
}

/// Why something failed, for the person who must act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A lower-case fragment.
    pub message: Arc<str>,
    /// Outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with a message alone.
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hint: None }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// Done, and verified where the step says how.
    Succeeded {
        /// What successors may use.
        outputs: Arc<Value>,
    },
    /// Not done.
    Failed {
        /// Why.
        failure: Failure,
        /// What it left behind.
        left: Left,
    },
    /// Stopped because it was told to.
    Cancelled {
        /// What it left behind.
        left: Left,
    },
    /// Nobody knows.
    Unknown {
        /// What is not known.
        failure: Failure,
        /// Whether something of it may still act.
        #[serde(default, skip_serializing_if = "Work::is_over")]
        work: Work,
    },
}

/// The log of an attempt: a file, named here by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogDigest {
    /// Bytes kept.
    pub bytes: u64,
    /// Bytes that are missing: cut at the size cap, or refused by a full disk.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u64,
    /// Of the bytes kept.
    pub sha256: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Where a secret belongs in the parameters of a call. The value itself is never written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretAt {
    /// A JSON pointer into `with`.
    pub at: String,
    /// The secret's name.
    pub name: String,
}

/// A call with all its expressions evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// The executor.
    pub uses: Arc<str>,
    /// Its parameters; `null` where a secret belongs.
    pub with: Arc<Value>,
    /// The secrets' places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretAt>,
}

/// What a probe found, after its expressions were evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Found {
    /// It happened.
    Done {
        /// The outputs that it would have given.
        outputs: Arc<Value>,
    },
    /// It did not happen.
    NotStarted,
    /// It goes on elsewhere.
    InProgress {
        /// How to re-attach.
        handle: Value,
    },
    /// A part of it happened.
    Partial {
        /// What.
        found: String,
    },
    /// The probe could not find out.
    CannotTell {
        /// Why not.
        failure: Failure,
    },
}

/// Why an attempt was interrupted by the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Interruption {
    /// Its deadline passed.
    Timeout,
    /// The engine died, or its machine.
    EngineDied,
    /// A rollback or a cancel stops it.
    Stopping,
    /// A person asked.
    Asked,
}

/// What a waiting step waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wait {
    /// Locks that others hold.
    Locks {
        /// Claimed names.
        claims: Vec<String>,
        /// `run (step)` that hold them.
        held_by: Vec<String>,
    },
    /// An approval.
    Approval {
        /// Then the answer is no.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Millis>,
    },
    /// Work by hand.
    Person,
}

/// What a locks event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LockScope {
    /// The locks of the run.
    Run,
    /// Those of the run that it gives back while it is prepared: all but its application's.
    Rest,
    /// The locks of one attempt of a step.
    Step(StepId),
}

/// Why the run changed its state, or went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Nothing was missing.
    Started,
    /// Something needed is missing.
    Missing {
        /// What, and how to give it.
        what: Vec<String>,
    },
    /// Pre-checks passed, approvals given.
    Checked,
    /// The preparation is done.
    Prepared,
    /// The word was given.
    Go,
    /// All cutover steps are done.
    CutoverDone,
    /// The gate is met.
    GateMet,
    /// `startBy` passed.
    StartWindowEnded,
    /// An approval was denied.
    Denied {
        /// The approval.
        step: StepId,
    },
    /// An approval expired.
    Expired {
        /// The approval.
        step: StepId,
    },
    /// A pre-check that had passed fails now.
    StaleCheck {
        /// The check.
        step: StepId,
    },
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
    },
    /// A post-check had not passed at its `by`.
    PostCheckFailed {
        /// The check.
        step: StepId,
    },
    /// A criterion tripped.
    Tripped {
        /// The criterion.
        criterion: Arc<str>,
    },
    /// A person decided.
    Person,
    /// Questions are open.
    Questions,
    /// The last question was answered.
    Answered,
    /// The restore is verified and the clean-up ended.
    WentBack,
    /// Nothing of the restore can proceed.
    NothingProceeds,
    /// An undo was retried, waived or marked done.
    UndoResolved,
    /// The commit steps are done, or there are none.
    CommitDone,
    /// An irreversible step stops the way back.
    PastIrreversible,
    /// An application that this one needs went back.
    RequirementRolledBack {
        /// Its name.
        app: String,
    },
}

/// What a criterion's sample says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The trip condition is false.
    Pass,
    /// The trip condition is true.
    Fail,
    /// It could not be measured.
    Inconclusive {
        /// Why not.
        because: Arc<str>,
    },
}

/// The state of a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CriterionState {
    /// Not live yet, or no sample yet.
    #[default]
    Waiting,
    /// The newest measured sample passed, or fails do not count yet.
    Clear,
    /// Fails have begun.
    Suspect,
    /// The trip rule is met.
    Tripped,
    /// No measured sample is young enough.
    Blind,
}

/// A missing condition of the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Gap {
    /// A post-check has not passed.
    PostCheck(StepId),
    /// A criterion is not clear.
    Criterion {
        /// The criterion.
        id: Arc<str>,
        /// Its state.
        state: CriterionState,
    },
    /// A criterion has too few samples, or its last one is stale.
    Samples {
        /// The criterion.
        id: Arc<str>,
        /// Measured.
        have: u32,
        /// Needed.
        need: u32,
    },
    /// A criterion is disarmed.
    Disarmed(Arc<str>),
    /// A sign-off is missing.
    SignOff(String),
}

/// What a step that nobody performed stands on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SkipCause {
    /// `when` was false.
    WhenFalse,
    /// A person skipped it.
    Person,
    /// A role waived the check.
    Waived,
}

/// What a person says of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resolution {
    /// It happened.
    Happened {
        /// Outputs that the person gives.
        outputs: Arc<Value>,
    },
    /// It did not happen: a new generation begins.
    DidNotHappen,
    /// It failed.
    Failed {
        /// What it left behind.
        left: Left,
    },
}

/// One undo of an ordered rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ordered {
    /// Whose undo; for the fence: what is performed.
    pub step: StepId,
    /// Its stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<crate::plan::Stage>,
    /// End before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<StepId>,
    /// Must have gone well before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_by: Vec<StepId>,
}

/// An attempt, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptName {
    /// Its step.
    pub step: StepId,
    /// Performing or taking back.
    pub direction: Direction,
    /// Counts the step's attempts in this direction from 1.
    pub attempt: u32,
}
