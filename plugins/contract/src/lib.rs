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
mod causes;
mod context;
mod executor;
mod key;
mod outcome;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use by_hand::ByHand;
pub use causes::{causes, on_one_line};
pub use context::{CheckCx, DeadlineMover, ExecCx, FullDisk, HandleRefused, Progress, Report, Setup, Stop, Stream};
pub use executor::{Description, Executor, Role, Validation};
pub use key::{Direction, IdempotencyKey};
pub use outcome::{Effect, Failure, Left, Outcome, ProbeAnswer, Work};

/// The version of this contract. A plan pins it together with each built-in executor's name.
pub const CONTRACT_VERSION: u32 = 1;

/// The longest time that an executor may take for an attempt to stop. With the time that the engine then needs to end
/// processes by force it is less than that after which a run counts the end as not proved.
pub const STOP_LIMIT: std::time::Duration = std::time::Duration::from_secs(57);

/// The variable that every child process of an attempt carries: `<state id>/<run>/<step>/<attempt>`.
///
/// After a crash the engine finds the processes of dead attempts by it and ends them before it
/// does anything else.
pub const ATTEMPT_VARIABLE: &str = "BASCULE_ATTEMPT";

/// What stands before the name of a secret in the engine's environment.
pub const SECRET_PREFIX: &str = "BASCULE_SECRET_";

/// The variable that names a folder with a file per secret.
pub const SECRETS_DIR: &str = "BASCULE_SECRETS_DIR";

/// The variable that names a program which prints the secret that it is asked for.
pub const SECRETS_COMMAND: &str = "BASCULE_SECRETS_COMMAND";

/// Whether a variable of the engine holds a secret of some run, or says where secrets are. A child of an attempt gets
/// those that its step names, and no others.
#[must_use]
pub fn is_secret_variable(name: &std::ffi::OsStr) -> bool {
    name == SECRETS_DIR || name == SECRETS_COMMAND || name.as_encoded_bytes().starts_with(SECRET_PREFIX.as_bytes())
}
