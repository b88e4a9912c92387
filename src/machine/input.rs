//! News: everything that can make a run decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::fact::{Actor, Direction, Failure, Left, LockScope, LogDigest, Millis, Work};
use super::unended::AttemptKey;
use crate::plan::{PlanHash, StepId, StepIx};

/// How a call ended, as the executor said it, before any expression was evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done.
    Succeeded {
        /// A JSON object.
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
    /// Nobody knows: the executor said so, panicked, or would not stop.
    Unknown {
        /// What is not known.
        failure: Failure,
        /// Whether something of it may still act.
        work: Work,
    },
}

impl Outcome {
    /// Nobody knows what it did, but it ended.
    #[must_use]
    pub fn unknown(failure: Failure) -> Self {
        Self::Unknown { failure, work: Work::Over }
    }

    /// Nobody knows what it did, and something of it may still act.
    #[must_use]
    pub fn adrift(failure: Failure) -> Self {
        Self::Unknown { failure, work: Work::MayGoOn }
    }
}

/// What a probe says, before any expression was evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeOutcome {
    /// The executor's own probe.
    Native(super::fact::Found),
    /// Another call; `done` is evaluated over its outputs.
    Call(Outcome),
}

/// A person's verb, already authenticated.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// The word for the cutover.
    Go,
    /// The same at a time by the wall clock; absent: not by itself.
    GoAt {
        /// When.
        at: Option<Millis>,
    },
    /// Ends every kind of stop.
    Resume,
    /// No new forward attempt.
    Pause,
    /// More time for a running step.
    Extend {
        /// The step.
        step: StepId,
        /// How much.
        by_ms: u64,
    },
    /// Other values for a step that is not done, or for its undo.
    Amend {
        /// The step.
        step: StepId,
        /// What is set.
        set: BTreeMap<String, Value>,
        /// The plan of which they were seen to differ.
        plan: PlanHash,
    },
    /// Another attempt of a failed step, or now instead of later.
    Retry {
        /// The step.
        step: StepId,
    },
    /// Goes on without a step.
    Skip {
        /// The step.
        step: StepId,
    },
    /// Goes on without a check.
    Waive {
        /// The check.
        step: StepId,
        /// In which role.
        role: Option<String>,
    },
    /// It happened.
    Happened {
        /// The step.
        step: StepId,
        /// Its outputs; of a step by hand the answers that it asks for.
        outputs: BTreeMap<String, Value>,
        /// In which role, where a step by hand is certain people's to do.
        role: Option<String>,
    },
    /// It did not happen.
    DidNotHappen {
        /// The step.
        step: StepId,
    },
    /// It failed.
    ItFailed {
        /// The step.
        step: StepId,
        /// What it left behind.
        left: Left,
    },
    /// Looks once more whether it happened.
    ProbeAgain {
        /// The step.
        step: StepId,
    },
    /// Yes.
    Approve {
        /// The approval, or the irreversible step.
        step: StepId,
        /// In which role.
        role: Option<String>,
    },
    /// No.
    Reject {
        /// The approval.
        step: StepId,
    },
    /// Ends a run that touched nothing, or only prepared.
    Cancel,
    /// Goes back.
    Rollback,
    /// Goes on with an interrupted rollback.
    ContinueRollback,
    /// Another try of an undo.
    UndoRetry {
        /// The step.
        step: StepId,
    },
    /// Goes on without an undo.
    UndoWaive {
        /// The step.
        step: StepId,
    },
    /// An undo was done by hand.
    UndoDone {
        /// The step.
        step: StepId,
    },
    /// Moves the window's deadline.
    WindowExtend {
        /// How much.
        by_ms: u64,
    },
    /// The way back goes.
    Commit,
    /// Takes the target as it is.
    Accept,
    /// Ends it as it stands.
    Close,
    /// After an irreversible step: forward again.
    ForwardAgain,
    /// Goes on past a question that needs no other answer.
    GoOn {
        /// The question.
        question: u32,
    },
    /// Writes something down.
    Note {
        /// What.
        text: String,
        /// Names of stored attachments.
        attachments: Vec<String>,
    },
    /// Takes charge, or hands it over.
    InCharge {
        /// To whom; absent: to nobody.
        who: Option<String>,
    },
    /// A trip asks for a while.
    Disarm {
        /// The criterion.
        criterion: String,
        /// For how long.
        for_ms: u64,
    },
    /// It is ours from now on.
    SignOff {
        /// In which role.
        role: String,
    },
    /// The wall clock is right.
    ConfirmClock,
}

impl Verb {
    /// Whether it is refused without a reason: it ends a run as it stands, or takes from what guards it, and whoever
    /// reads the log next morning must not have to guess why.
    #[must_use]
    pub fn wants_reason(&self) -> bool {
        match self {
            Self::Close
            | Self::Amend { .. }
            | Self::Extend { .. }
            | Self::WindowExtend { .. }
            | Self::Disarm { .. }
            | Self::Waive { .. }
            | Self::UndoWaive { .. } => true,
            Self::Go
            | Self::GoAt { .. }
            | Self::Resume
            | Self::Pause
            | Self::Retry { .. }
            | Self::Skip { .. }
            | Self::Happened { .. }
            | Self::DidNotHappen { .. }
            | Self::ItFailed { .. }
            | Self::ProbeAgain { .. }
            | Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Cancel
            | Self::Rollback
            | Self::ContinueRollback
            | Self::UndoRetry { .. }
            | Self::UndoDone { .. }
            | Self::Commit
            | Self::Accept
            | Self::ForwardAgain
            | Self::GoOn { .. }
            | Self::Note { .. }
            | Self::InCharge { .. }
            | Self::SignOff { .. }
            | Self::ConfirmClock => false,
        }
    }
}

/// An engine that takes a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOwner {
    /// Grows with each owner.
    pub epoch: u64,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The id of its state directory.
    pub place: Option<Arc<str>>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The run may start; what is missing was looked up.
    Begin {
        /// Missing executors, baselines, applications: with how to give them.
        missing: Vec<String>,
    },
    /// An engine took the run over from the log. Its former attempts are dead, but for those named here.
    Recovered {
        /// The new owner.
        owner: NewOwner,
        /// How long no engine was there; absent: the run is new.
        away_ms: Option<u64>,
        /// Attempts of which the engine could not prove that they ended.
        unended: Vec<AttemptKey>,
    },
    /// Time passed.
    Tick,
    /// An attempt ended.
    Ended {
        /// The step.
        step: StepIx,
        /// Performing or taking back.
        direction: Direction,
        /// Which attempt.
        attempt: u32,
        /// How.
        outcome: Outcome,
        /// What its `verify` said; absent where there is none or it was not reached.
        verify: Option<Outcome>,
        /// Its log.
        log: Option<LogDigest>,
    },
    /// Remote work can be found again.
    Handle {
        /// The step.
        step: StepIx,
        /// Performing or taking back.
        direction: Direction,
        /// Which attempt.
        attempt: u32,
        /// What the executor needs.
        handle: Value,
    },
    /// A probe answered.
    Probed {
        /// The step.
        step: StepIx,
        /// Performing or taking back.
        direction: Direction,
        /// What it says.
        outcome: ProbeOutcome,
    },
    /// A sample was taken.
    Sampled {
        /// The criterion's place.
        criterion: usize,
        /// When it was due.
        planned: Millis,
        /// What came of it.
        outcome: Outcome,
    },
    /// The locks were given.
    LocksGranted {
        /// For whom.
        scope: LockScope,
    },
    /// Others hold the locks.
    LocksAwaited {
        /// For whom.
        scope: LockScope,
        /// `run (step)` that hold them.
        held_by: Vec<String>,
    },
    /// An application that this one needs went back.
    RequirementRolledBack {
        /// Its name.
        app: String,
        /// When that was decided. What the run heard of since then is no news.
        decided: Millis,
    },
    /// An executor is not the one that the plan pinned. Nobody sends it yet: programs of their own are not built.
    PluginChanged {
        /// Its name.
        executor: String,
    },
    /// The wall clock jumped.
    ClockJumped {
        /// Forwards if positive.
        by_ms: i64,
    },
    /// The store writes again.
    StoreBack {
        /// How long it did not.
        gap_ms: u64,
    },
    /// A person decided.
    Verb {
        /// What.
        verb: Verb,
        /// Who.
        by: Actor,
        /// Why.
        reason: Option<Arc<str>>,
    },
}

/// What a verb gets back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Decided; it counts once it is durable.
    Done,
    /// Not legal now.
    Refused {
        /// Why.
        why: String,
        /// What is.
        hint: String,
    },
}

impl Reply {
    pub(super) fn refused(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { why: why.into(), hint: hint.into() }
    }
}
