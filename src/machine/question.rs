//! Decisions that only a person can take.
//!
//! A question says what happened and what may be answered. What silence does is always the same:
//! louder notices, nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::{Actor, Direction, Failure, Gap, Millis};
use crate::plan::{PlanHash, StepId};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum QuestionKind {
    /// Nobody knows whether a step, or its undo, happened.
    UnknownOutcome {
        /// The step.
        step: StepId,
        /// Performing or taking back.
        direction: Direction,
        /// What is not known.
        failure: Failure,
    },
    /// A step failed for good, and the plan says to ask, or may not go back by itself.
    StepFailed {
        /// The step.
        step: StepId,
        /// Why it is not rolled back by itself.
        why: Arc<str>,
    },
    /// A part of a step happened.
    PartialEffect {
        /// The step.
        step: StepId,
        /// What was found.
        found: String,
    },
    /// A check can not be measured.
    CheckInconclusive {
        /// The check.
        step: StepId,
        /// Why not.
        failure: Failure,
    },
    /// `when` or an input of a step has no value.
    ValueUnknown {
        /// The step.
        step: StepId,
        /// What has no value, and why.
        why: Arc<str>,
    },
    /// A step that moves data takes longer than its time; nothing was cancelled.
    OutOfTime {
        /// The step.
        step: StepId,
    },
    /// A criterion tripped and may not act by itself.
    Tripped {
        /// The criterion.
        criterion: Arc<str>,
        /// Why it does not act.
        why: Arc<str>,
    },
    /// A criterion sees nothing.
    Blind {
        /// The criterion.
        criterion: Arc<str>,
    },
    /// A post-check had not passed at its `by`, and the plan may not go back by itself.
    PostCheckFailed {
        /// The check.
        step: StepId,
        /// Why it does not act.
        why: Arc<str>,
    },
    /// The window is over and the gate is not met.
    GateUnmet {
        /// What is missing.
        gaps: Vec<Gap>,
        /// Whether nobody was there when the deadline passed.
        unwatched: bool,
    },
    /// A rollback was interrupted for so long that somebody may have repaired by hand.
    AwayTooLong {
        /// How long.
        away_ms: u64,
    },
    /// A pre-check that had passed fails now, after something was done.
    StaleCheck {
        /// The check.
        step: StepId,
    },
    /// An approval was denied or expired after something was done.
    Denied {
        /// The approval.
        step: StepId,
        /// Nobody answered in time.
        expired: bool,
    },
    /// The next step cannot be taken back and no approval names it.
    Irreversible {
        /// The step.
        step: StepId,
    },
    /// The way back is done as far as an irreversible step allows.
    PastIrreversible {
        /// The step.
        step: StepId,
    },
    /// A preparation or commit step failed for good.
    LateStepFailed {
        /// The step.
        step: StepId,
    },
    /// Only a person can take a step back: everything behind it waits.
    UndoByHand {
        /// The step.
        step: StepId,
        /// What to do.
        instructions: Arc<str>,
    },
    /// A result that came too late reports an effect.
    LateEffect {
        /// The step.
        step: StepId,
    },
    /// `startBy` passed while nobody looked.
    StartWindowEnded {
        /// When.
        by: Millis,
    },
    /// The turn-back time came.
    TurnBack {
        /// End of the change window.
        until: Millis,
    },
    /// An application that this one needs went back.
    RequirementRolledBack {
        /// Its name.
        app: String,
    },
    /// A plugin is not the one that the plan pinned.
    PluginChanged {
        /// The executor.
        executor: String,
    },
    /// Somebody wants other values for a step. The plan has approvals, so somebody else must agree.
    Amendment {
        /// The step.
        step: StepId,
        /// What is to be set.
        set: BTreeMap<String, Value>,
        /// The plan that it would make.
        plan: PlanHash,
        /// What it would take the place of, and who wants it.
        of: Former,
    },
}

/// What an amendment takes the place of.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Former {
    /// The plan before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanHash>,
    /// The values before; absent: it had none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Value>,
    /// Approvals, and words that let an irreversible step pass, that were given for the plan before and that nothing had
    /// passed yet: they are asked for anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked_anew: Vec<StepId>,
    /// Who wanted it, where somebody else agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<Actor>,
    /// Why they wanted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_because: Option<Arc<str>>,
}

/// An open question.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Counts the run's questions from 1.
    pub id: u32,
    /// What.
    pub kind: QuestionKind,
    /// Since when.
    pub asked: Millis,
}

impl QuestionKind {
    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::UnknownOutcome { step, .. }
            | Self::StepFailed { step, .. }
            | Self::PartialEffect { step, .. }
            | Self::CheckInconclusive { step, .. }
            | Self::ValueUnknown { step, .. }
            | Self::OutOfTime { step }
            | Self::PostCheckFailed { step, .. }
            | Self::StaleCheck { step }
            | Self::Denied { step, .. }
            | Self::Irreversible { step }
            | Self::PastIrreversible { step }
            | Self::LateStepFailed { step }
            | Self::UndoByHand { step, .. }
            | Self::LateEffect { step }
            | Self::Amendment { step, .. } => Some(step),
            Self::Tripped { .. }
            | Self::Blind { .. }
            | Self::GateUnmet { .. }
            | Self::AwayTooLong { .. }
            | Self::StartWindowEnded { .. }
            | Self::TurnBack { .. }
            | Self::RequirementRolledBack { .. }
            | Self::PluginChanged { .. } => None,
        }
    }
}
