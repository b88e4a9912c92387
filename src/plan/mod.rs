//! The compiled runbook: a DAG in which every step is resolved, typed, ordered and knows its way back.
//!
//! A [`Plan`] is immutable and named by the SHA-256 of its canonical JSON. It is made by
//! `compile`, read by the machine, drawn by `draw`, and never touches files, clocks or sockets.
//! Start with [`step::Step`], then [`dag::Dag`], then [`rollback`].

pub mod amend;
mod by_hand;
pub mod compile;
pub mod criteria;
pub mod dag;
pub mod defaults;
pub mod draw;
pub mod estimate;
pub mod guesses;
pub mod lint;
mod names;
pub mod phases;
pub mod policy;
pub mod rollback;
pub mod sealed;
pub mod step;

pub use amend::CannotAmend;
pub use compile::explain;
pub use compile::explain::Explanation;
pub use compile::{CatalogRank, CatalogSource, Compiled, ExecutorInfo, Executors, Input, compile};
pub use criteria::{Criterion, CriterionAction, TripRule};
pub use dag::{Cycle, Dag};
pub use estimate::{Estimates, History, Length};
pub use names::NoSuchStep;
pub use policy::{Approval, DataAnswer, Policies};
pub use rollback::{Applied, RollbackOrder, Stage, UndoNode};
pub use sealed::{Plan, PlanBody, PlanError, PlanHash, StepIx};
pub use step::{Call, Section, Step, StepId, StepKind, Undo};
