//! Effects: the only module that spawns, reads the clock and touches executors.
//!
//! [`Engine`] owns a state directory and executes its open runs, one task each ([`driver`]). What
//! a task may do comes as permits from the journal; [`perform`] carries them out and every end
//! returns as an input. Nothing here decides anything about a run.

mod adopt;
mod attempt;
pub mod attempt_log;
pub mod check;
pub mod clock;
mod complaints;
mod context;
mod convert;
mod create;
mod dead;
mod driver;
mod error;
mod facts;
mod guard;
pub mod handle;
pub mod locks;
mod look;
mod options;
mod oversize;
mod perform;
mod place;
pub mod processes;
pub mod projection;
mod pulse;
mod queries;
mod redact;
pub mod registry;
pub mod repetitions;
mod requirements;
mod revive;
pub mod secrets;
mod shared_steps;
mod stop;
mod trouble;

pub use adopt::{Adopted, Engine};
pub use context::{Context, Progresses, Told};
pub use convert::effect;
pub use create::NewRun;
pub use error::EngineError;
pub use handle::{Decided, Gone, RunHandle};
pub use options::EngineOptions;
pub use place::place_of;
pub use pulse::{DISK, clock_of, may_have_left};
pub use queries::QueryError;
