//! The name under which all attempts of one action count as the same action.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether an attempt performs a step or takes it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Performs the step.
    Forward,
    /// Takes the step back.
    Undo,
}

impl Direction {
    /// The word used in keys, environments and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Undo => "undo",
        }
    }
}

/// (run, step, direction, generation): the same for all attempts of one action.
///
/// Only a person's *it did not happen* or a completed undo starts a new generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The run, as `application/number`.
    pub run: String,
    /// The step's id.
    pub step: String,
    /// Performing or taking back.
    pub direction: Direction,
    /// Counts the times that the action was known not to stand any more.
    pub generation: u32,
}

impl IdempotencyKey {
    /// The variables that tell a program which action it performs.
    #[must_use]
    pub fn environment(&self) -> [(String, String); 4] {
        [
            ("BASCULE_RUN".to_owned(), self.run.clone()),
            ("BASCULE_STEP".to_owned(), self.step.clone()),
            ("BASCULE_DIRECTION".to_owned(), self.direction.as_str().to_owned()),
            ("BASCULE_KEY".to_owned(), self.to_string()),
        ]
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.run, self.step, self.direction.as_str(), self.generation)
    }
}
