//! The contract between the engine and the code that performs a step.
//!
//! An executor sees only this crate: never a run, a plan, the journal or the engine. It gets a
//! [`CheckCx`] where nothing may change and an [`ExecCx`] where it may act, and answers with an
//! [`Outcome`] that says what happened to the world, not only whether the call returned.
//!
//! Obligations of an executor, in the order in which they save a weekend:
//!
//! 1. Say `effect: None` of a failure only if nothing can have happened. When in doubt: `Possible`.
//! 2. Read back what you changed where the system allows, and check the identity of what you
//!    reached (a VM's UUID, a system identifier), not only that something answered.
//! 3. Be repeatable under the same [`IdempotencyKey`]; an undo always is.
//! 4. Stop soon after [`CheckCx::cancelled`]; say what was left behind, and never that an attempt
//!    ended whose end is not proved: [`Outcome::adrift`] keeps the engine from running the step
//!    again, or undoing it, beside work that goes on.
//! 5. Start every child process with [`ExecCx::child_environment`], in a process group of its own.
//! 6. Record a handle ([`ExecCx::handle`]) before waiting for remote work.
//!
//! Start with [`Executor`]; `bascule-builtin` has one file per executor to learn from.

pub mod by_hand;
mod context;
mod executor;
mod key;
mod outcome;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use by_hand::ByHand;
pub use context::{CheckCx, DeadlineMover, ExecCx, FullDisk, HandleRefused, Progress, Report, Setup, Stop, Stream};
pub use executor::{Description, Executor, Role, Validation};
pub use key::{Direction, IdempotencyKey};
pub use outcome::{Effect, Failure, Left, Outcome, ProbeAnswer, Work};

/// The version of this contract. A plan pins it together with each built-in executor's name.
pub const CONTRACT_VERSION: u32 = 1;

/// The longest time that an executor may take for an attempt to stop: less than the minute after
/// which a run counts its end as not proved.
pub const STOP_LIMIT: std::time::Duration = std::time::Duration::from_secs(57);

/// The variable that every child process of an attempt carries: `<state id>/<run>/<step>/<attempt>`.
///
/// After a crash the engine finds the processes of dead attempts by it and ends them before it
/// does anything else.
pub const ATTEMPT_VARIABLE: &str = "BASCULE_ATTEMPT";
