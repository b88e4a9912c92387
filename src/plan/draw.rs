//! Pictures of a plan: an SVG of our own for people, Mermaid and DOT for their tools.
//!
//! A picture shows the phases as bands, marks what matters (exposure, what takes the source down,
//! what cannot be taken back, who is asked) and the way back with its order. With a [`Look`] that
//! holds states the same picture shows a run. PURE: text out, nothing else.
//! Start with [`svg()`], then `flow` (where boxes go) and `shapes` (what they look like).

mod bands;
mod dot;
mod flow;
mod mermaid;
mod shapes;
mod style;
mod svg;
mod words;

use std::collections::BTreeMap;

use super::estimate::History;
use super::step::StepId;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::{pages, svg};
pub use words::route;

/// What became of a step or an undo, for its colour and its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not its turn yet.
    Pending,
    /// Something must come first: a lock, an approval, a person, a timer.
    Waiting,
    /// At work.
    Running,
    /// Done; for an undo: undone.
    Succeeded,
    /// Not done.
    Failed,
    /// Nobody knows.
    Unknown,
    /// Passed over.
    Skipped,
    /// It was done, and taken back.
    Undone,
    /// The run ended before its turn.
    NotRun,
}

impl State {
    /// The word that is shown; pending shows none.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Undone => "undone",
            Self::NotRun => "not run",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
            Self::Undone => "undone",
            Self::NotRun => "not-run",
        }
    }

    /// As `#rrggbb`, for Mermaid and DOT; light enough for black text.
    fn colour(self) -> &'static str {
        match self {
            Self::Pending | Self::NotRun => "#ffffff",
            Self::Waiting => "#fff3c4",
            Self::Running => "#cfe3ff",
            Self::Succeeded => "#d3f0d9",
            Self::Failed => "#ffd4d0",
            Self::Unknown => "#ead9f7",
            Self::Skipped => "#eeeeee",
            Self::Undone => "#ffe3c2",
        }
    }
}

/// What a picture shows beside the plan itself. The default shows the plan alone.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// States of steps; those that are absent show none.
    pub steps: BTreeMap<StepId, State>,
    /// States of undos, by the step that is undone.
    pub undos: BTreeMap<StepId, State>,
    /// States of criteria, by name.
    pub criteria: BTreeMap<String, State>,
    /// Measured times, which win over estimates.
    pub history: History,
}
