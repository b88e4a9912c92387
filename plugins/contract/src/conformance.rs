//! The checks that every executor must pass, for the tests of executors.
//!
//! An executor is given as a [`Subject`]: the executor, and small fresh worlds that it may change.
//! [`violations`] describes, validates, executes, repeats, interrupts at every await point,
//! cancels at every await point, probes and undoes it, each time in a fresh world, and compares
//! fingerprints of the worlds. The checks know nothing of any particular executor and must never
//! learn; what differs between executors is in their subjects.
//!
//! An interruption is a future that is dropped: what a kill of the engine leaves, except that
//! child processes are ended by the guard that a dropped future leaves behind, and at the next
//! start of the engine after a real kill.
//!
//! Start with [`violations`].

mod checks;
mod trial;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::{Effect, Executor};

/// A small world that an executor can change.
#[async_trait]
pub trait World: Send + Sync {
    /// Parameters with which a step succeeds in a fresh world.
    fn with(&self) -> Value;

    /// All that the executor can change, as text, once what is on its way has arrived: two worlds
    /// that a person would call the same have the same fingerprint, in whatever folder or on
    /// whatever port they live.
    async fn fingerprint(&self) -> String;
}

/// An executor with the worlds to try it in.
#[async_trait]
pub trait Subject: Send + Sync {
    /// What is tried, as `command: copies a file`.
    fn name(&self) -> String;

    /// The executor.
    fn executor(&self) -> Arc<dyn Executor>;

    /// A world in which nothing has happened yet.
    async fn fresh(&self) -> Box<dyn World>;

    /// The effect that the author of such a step declares. [`Effect::Once`] promises nothing of
    /// repetition, so those checks are left out.
    fn effect(&self, with: &Value) -> Effect {
        self.executor().effect(with)
    }

    /// Whether the step can be taken back; a step that destroys something cannot, whatever its
    /// executor is able to.
    fn undoes(&self) -> bool {
        self.executor().describe().undoes
    }

    /// Within which time a cancelled attempt must have ended, and its processes be gone. A subject
    /// whose undisturbed step takes longer than that shows that it is the cancel that ends it.
    fn prompt(&self) -> Duration {
        Duration::from_secs(5)
    }
}

/// A check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The subject's name.
    pub subject: String,
    /// The obligation that is not kept.
    pub check: &'static str,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.check, self.detail)
    }
}

/// Tries a subject in every way; an empty answer means that it conforms.
pub async fn violations(subject: &dyn Subject) -> Vec<Violation> {
    checks::all(subject)
        .await
        .into_iter()
        .map(|(check, detail)| Violation { subject: subject.name(), check, detail })
        .collect()
}

#[cfg(test)]
mod tests;
