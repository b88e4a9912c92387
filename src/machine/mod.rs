//! The pure core: what a run is, what may happen to it, and what follows.
//!
//! No async, no clock, no randomness, no I/O, no logging: time and entropy come in with the input.
//!
//! - [`event`] and [`fact`]: what is written. [`run_state`], [`state`] and [`run`]: what is known.
//! - [`Run::apply`] is bookkeeping and the only place where state changes; it returns inert
//!   [`command`]s.
//! - [`mod@decide`] is policy: from state and inputs to events, folded into a [`Draft`] as they come.
//! - [`invariants`] says what always holds; tests and debug builds ask it.
//!
//! Start with [`decide::decide`], then the state that interests you: [`checks`],
//! [`forward`], [`window`], [`rollback`].

pub mod answers;
mod apply;
mod apply_attempt;
mod apply_rollback;
mod apply_run;
mod apply_window;
mod apply_word;
mod attempts;
mod books;
pub mod by_hand;
mod checks;
pub mod command;
mod criteria;
pub mod decide;
mod draft;
pub mod dry;
mod eval;
pub mod event;
mod event_word;
pub mod fact;
mod failures;
mod forward;
pub mod input;
pub mod invariants;
mod judge;
pub mod large;
mod perform;
pub mod question;
mod record;
mod recover;
mod rollback;
pub mod run;
pub mod run_state;
mod start;
pub mod state;
mod ticks;
pub mod timers;
mod turns;
mod undoing;
pub mod unended;
mod verbs;
mod verbs_amend;
mod verbs_approval;
mod verbs_by_hand;
mod verbs_go;
mod verbs_step;
pub mod window;
mod window_rules;

pub use apply::Illegal;
pub use apply_attempt::PROOF_MS;
pub use command::Command;
pub use decide::{decide, note_down};
pub use draft::{Draft, Now, Room};
pub use eval::{Measured, measured};
pub use event::{Event, Record};
pub use input::{Input, Reply, Verb};
pub use recover::CLOCK_JUMP_MS;
pub use rollback::{Orders, ends_at_the_source, may_act, what_to_undo};
pub use run::Run;
pub use run_state::{Ending, RunState};
pub use verbs::{may_accept, may_roll_back};
pub use window_rules::gaps;
