//! Why an engine does not start, or a run does not.

use std::path::PathBuf;

use super::handle::Gone;
use super::processes::NotEnded;
use crate::machine::Illegal;
use crate::plan::PlanHash;
use crate::store::{CommitError, ReadError, RunName, StoreError};

/// Why an engine does not start, or a run does not.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its first transition could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Processes of dead attempts.
    #[error(transparent)]
    NotEnded(#[from] NotEnded),
    /// The machine refused its own event.
    #[error("a bug in bascule: please report it")]
    Bug(#[from] Illegal),
    /// A plan that lacks inputs.
    #[error("the plan lacks inputs: {}; give them with `--set inputs.NAME=VALUE` or in an overlay (`-f`)", .0.join(", "))]
    MissingInputs(Vec<String>),
    /// The run's task is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The stored plan is damaged.
    #[error("the plan {0} of a run cannot be read from the state directory")]
    Plan(PlanHash, #[source] crate::plan::PlanError),
    /// This engine stopped acting for an open run.
    #[error("this engine does not execute run {run}: {why}")]
    GivenUp {
        /// The run.
        run: RunName,
        /// Why.
        why: String,
    },
    /// A new run's first transition may be in the log or not.
    #[error("run {0} may exist or not: the engine went down before its log could tell; `bascule status` does")]
    MayExist(RunName),
    /// The stored plan is gone.
    #[error("the plan {0} of a run is missing from the state directory")]
    NoPlan(PlanHash),
    /// A file of the state directory.
    #[error("{path} cannot be {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// `read`, `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
