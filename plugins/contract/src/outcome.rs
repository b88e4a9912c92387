//! What an executor answers.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::causes::causes;
use crate::context::Stop;

/// What a step does to the world, declared by its author; decides what happens after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Reads only: runs again.
    None,
    /// Running it twice leaves the same world as running it once: runs again under the same key.
    Idempotent,
    /// Can be asked whether it happened: the probe decides.
    Probe,
    /// Nothing is known: after a crash the outcome is unknown and a person decides.
    Once,
}

impl Effect {
    /// The word used in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idempotent => "idempotent",
            Self::Probe => "probe",
            Self::Once => "once",
        }
    }
}

/// What a failed or cancelled attempt left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Left {
    /// Nothing can have happened: safe to try again, nothing to undo.
    Nothing,
    /// Something may have happened.
    Possible,
}

/// Whether an attempt whose outcome nobody knows has at least ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// It ended: nothing acts on.
    Over,
    /// Its end is not proved (a process that survives KILL, a job elsewhere that nobody can end): the
    /// engine neither runs the step again nor undoes it before somebody says what is the case.
    MayGoOn,
}

/// Why an attempt failed: for the person who must act on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, as a lower-case fragment with the names needed to act.
    pub message: String,
    /// Causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next, if the executor knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with a message alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hint: None }
    }

    /// A failure whose causes are the error and its sources.
    pub fn caused(message: impl Into<String>, error: &dyn std::error::Error) -> Self {
        Self { message: message.into(), causes: causes(error), hint: None }
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done; what successors may use.
    Succeeded {
        /// A JSON object.
        outputs: Value,
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
    /// It cannot be said whether the effect happened (an answer that never came).
    Unknown {
        /// What is not known, and why.
        failure: Failure,
        /// Whether something of it may still act. When in doubt: [`Work::MayGoOn`].
        work: Work,
    },
}

impl Outcome {
    /// Success with outputs.
    #[must_use]
    pub fn done(outputs: Value) -> Self {
        Self::Succeeded { outputs }
    }

    /// A failure that left nothing behind.
    #[must_use]
    pub fn untouched(failure: Failure) -> Self {
        Self::Failed { failure, left: Left::Nothing }
    }

    /// Stopped before anything was touched. `late` says what was not reached, if time ran out.
    #[must_use]
    pub fn stopped(stop: Stop, late: Failure) -> Self {
        match stop {
            Stop::Cancelled => Self::Cancelled { left: Left::Nothing },
            Stop::Deadline => Self::untouched(late),
        }
    }

    /// A failure that may have left something behind.
    #[must_use]
    pub fn possible(failure: Failure) -> Self {
        Self::Failed { failure, left: Left::Possible }
    }

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

/// What a probe says of an attempt whose end nobody saw.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeAnswer {
    /// It happened.
    Done {
        /// The outputs that the attempt would have given.
        outputs: Value,
    },
    /// It did not happen, and nothing is going on.
    NotStarted,
    /// It goes on elsewhere; `execute` with this handle re-attaches.
    InProgress {
        /// What `execute` needs to find it again.
        handle: Value,
    },
    /// Part of it happened, and nothing is going on: a job elsewhere that failed half-way.
    Partial {
        /// What was found.
        found: String,
    },
    /// The probe could not find out.
    CannotTell {
        /// Why not.
        failure: Failure,
    },
}
