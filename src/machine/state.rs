//! The states of the steps of a run. One nested value per step, never put together from collections. The states of the
//! run itself are in `run_state.rs`.

use std::sync::Arc;

use serde_json::Value;

use super::fact::{Actor, Failure, Left, Millis, Resolved, SkipCause, Wait};

/// One try that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Counts from 1.
    pub number: u32,
    /// Since when.
    pub started: Millis,
    /// When it is interrupted.
    pub deadline: Option<Millis>,
    /// How to find its remote work again.
    pub handle: Option<Value>,
    /// The engine stops it.
    pub interrupted: Option<super::fact::Interruption>,
}

/// What is to be done with a step, or was.
#[derive(Debug, Clone, PartialEq)]
pub enum Forward {
    /// Steps that it needs are not done.
    Pending,
    /// It may run.
    Ready,
    /// An attempt is under way.
    Running(Attempt),
    /// The next attempt begins then.
    Backoff {
        /// When.
        until: Millis,
    },
    /// For somebody or something.
    Waiting {
        /// For what.
        on: Wait,
        /// Since when.
        since: Millis,
    },
    /// Done.
    Succeeded,
    /// Not done.
    Failed {
        /// Why.
        failure: Failure,
        /// What it left behind.
        left: Left,
    },
    /// Nobody knows.
    Unknown {
        /// What is not known.
        failure: Failure,
        /// Somebody looks.
        probing: bool,
    },
    /// Nobody performs it.
    Skipped {
        /// Why.
        over: SkipCause,
    },
    /// The run went another way before it.
    NotRun,
}

impl Forward {
    /// Whether it stands for `needs`.
    #[must_use]
    pub fn satisfies(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped { .. })
    }

    /// Why it did not go well, of a step that failed or of which nobody knows.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, .. } | Self::Unknown { failure, .. } => Some(failure),
            Self::Pending
            | Self::Ready
            | Self::Running(_)
            | Self::Backoff { .. }
            | Self::Waiting { .. }
            | Self::Succeeded
            | Self::Skipped { .. }
            | Self::NotRun => None,
        }
    }

    /// The attempt under way.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Running(attempt) => Some(attempt),
            Self::Pending
            | Self::Ready
            | Self::Backoff { .. }
            | Self::Waiting { .. }
            | Self::Succeeded
            | Self::Failed { .. }
            | Self::Unknown { .. }
            | Self::Skipped { .. }
            | Self::NotRun => None,
        }
    }
}

/// What is to be done with an undo, or was.
#[derive(Debug, Clone, PartialEq)]
pub enum UndoState {
    /// Its turn has not come.
    Pending,
    /// An attempt is under way.
    Undoing(Attempt),
    /// The next attempt begins then.
    Backoff {
        /// When.
        until: Millis,
    },
    /// For a person, who takes it back by hand.
    Waiting {
        /// Since when.
        since: Millis,
    },
    /// Done, or nothing was to be done.
    Undone {
        /// Why nothing was to be done.
        note: Option<String>,
    },
    /// Failed for good.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Nobody knows; or the step could not be proved stopped.
    Unknown {
        /// What is not known.
        failure: Failure,
        /// Somebody looks.
        probing: bool,
    },
    /// A person goes on without it.
    Waived,
}

impl UndoState {
    /// Why a step stays applied if nothing more is done about its undo; `None`: it was taken back. The log, the screens
    /// and the report say it in these words.
    #[must_use]
    pub fn why_it_stays(&self) -> Option<String> {
        match self {
            Self::Undone { .. } => None,
            Self::Failed { failure } => Some(format!("its undo failed: {failure}")),
            Self::Unknown { failure, .. } => Some(format!("nobody knows whether it was undone: {failure}")),
            Self::Waived => Some("its undo was waived".to_owned()),
            Self::Waiting { .. } => Some("nobody took it back by hand".to_owned()),
            Self::Pending => Some("its undo did not run".to_owned()),
            Self::Undoing(_) | Self::Backoff { .. } => Some("its undo had not come to an end".to_owned()),
        }
    }

    /// The attempt under way.
    #[must_use]
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Undoing(attempt) => Some(attempt),
            Self::Pending
            | Self::Backoff { .. }
            | Self::Waiting { .. }
            | Self::Undone { .. }
            | Self::Failed { .. }
            | Self::Unknown { .. }
            | Self::Waived => None,
        }
    }

    /// Whether what it blocks may start.
    #[must_use]
    pub fn unblocks(&self) -> bool {
        matches!(self, Self::Undone { .. } | Self::Waived)
    }
}

/// A step's one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// On the way forward.
    Forward(Forward),
    /// On the way back.
    Undo {
        /// What was to be taken back.
        of: Box<Forward>,
        /// How far.
        state: UndoState,
    },
}

impl Status {
    /// Whether an attempt is under way.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self {
            Self::Forward(forward) => forward.attempt().is_some(),
            Self::Undo { state, .. } => state.attempt().is_some(),
        }
    }
}

/// Where a step stands with its locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepLocks {
    /// Not asked for.
    #[default]
    None,
    /// Asked for, or waited for.
    Requested,
    /// Held.
    Held,
}

/// Everything that is known of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// Its one value.
    pub status: Status,
    /// Steps that it needs and that are not done.
    pub waits_for: u32,
    /// Attempts made, forwards.
    pub attempts: u32,
    /// Attempts of the present generation that ended: what `retry.attempts` limits. One that died with
    /// its engine does not count.
    pub tries: u32,
    /// `when` and the parameters of this generation were evaluated.
    pub evaluated: bool,
    /// They were changed since: the next attempt evaluates them anew, with the same key.
    pub amended: bool,
    /// Attempts made, backwards.
    pub undo_attempts: u32,
    /// Undo attempts since the last time a person readied it.
    pub undo_tries: u32,
    /// Of the idempotency key, forwards.
    pub generation: u32,
    /// Of the idempotency key, backwards.
    pub undo_generation: u32,
    /// What successors may use.
    pub outputs: Option<Arc<Value>>,
    /// The evaluated call, if it differs from the plan's text.
    pub call: Option<Resolved>,
    /// The evaluated `verify`, likewise.
    pub verify: Option<Resolved>,
    /// The evaluated calls of the undo, likewise.
    pub undo_call: Option<Resolved>,
    /// Likewise.
    pub undo_verify: Option<Resolved>,
    /// First intent.
    pub first_started: Option<Millis>,
    /// Last end.
    pub ended: Option<Millis>,
    /// Sequence number of the event that ended, or else began, it: the order of undoing.
    pub completed: u64,
    /// Whether an effect may have happened in this generation.
    pub touched: bool,
    /// Whether an effect may have happened before the last attempt.
    pub touched_before: bool,
    /// When a check last passed.
    pub passed: Option<Millis>,
    /// The last failure of an attempt, while another follows.
    pub last_failure: Option<Failure>,
    /// The overrun was told.
    pub overrun: bool,
    /// Who approved.
    pub approvals: Vec<Actor>,
    /// A person lets it pass although it is irreversible.
    pub passed_irreversible: bool,
    /// Remote work to find again with the next attempt.
    pub attached: Option<Value>,
    /// Its step-scope locks.
    pub locks: StepLocks,
    /// Its last attempt could not be proved stopped: neither run again nor undone without a word.
    pub unsettled: bool,
    /// Something of it came to light while its undo ran: the undo is repeated.
    pub undo_again: bool,
    /// Inconclusive results in a row, of a check.
    pub inconclusive: u32,
    /// A person said that they did it by hand; what they answered stands among the outputs, and is verified.
    pub answered: bool,
}

impl StepRecord {
    /// A step that nothing happened to yet.
    #[must_use]
    pub(super) fn new(waits_for: u32) -> Self {
        Self {
            status: Status::Forward(if waits_for == 0 { Forward::Ready } else { Forward::Pending }),
            waits_for,
            attempts: 0,
            tries: 0,
            evaluated: false,
            amended: false,
            undo_attempts: 0,
            undo_tries: 0,
            generation: 1,
            undo_generation: 1,
            outputs: None,
            call: None,
            verify: None,
            undo_call: None,
            undo_verify: None,
            first_started: None,
            ended: None,
            completed: 0,
            touched: false,
            touched_before: false,
            passed: None,
            last_failure: None,
            overrun: false,
            approvals: Vec::new(),
            passed_irreversible: false,
            attached: None,
            locks: StepLocks::None,
            unsettled: false,
            undo_again: false,
            inconclusive: 0,
            answered: false,
        }
    }
}
