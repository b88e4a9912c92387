//! The documents as types, each value with the place where it was written.
//!
//! The reader makes them, the plan's compiler uses them up; nothing here decides anything. Every optional
//! key is an `Option`: defaults belong to the compiler, so that `plan --explain` can tell what was
//! written from what was assumed. Start with [`Runbook`], then [`Entry`], then [`StepDef`].

mod data;
mod document;
mod merge;
mod step;

pub use data::{Bindings, Data, DataValue, Names};
pub use document::{
    Catalog, CatalogFor, Change, CriteriaList, DataOnRollback, Defaults, OnRestart, Overlay, Person, Requirement,
    Runbook, Settings, Site, StepList,
};
pub use step::{
    ApprovalDef, CriterionDef, CriterionEntry, Entry, EscalationDef, LockClaim, ManualDef, ParamDef, ProbeDef,
    RatioDef, RehearsalDef, RetryDef, SignOffDef, StepDef, UndoAction, UndoDef, VerifyDef,
};

/// Milliseconds: every duration of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);
