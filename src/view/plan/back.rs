//! Both parts of the way back: what blocks what, and what stays applied.

use serde::{Deserialize, Serialize};

use super::LengthView;
use crate::plan::estimate::undo_length;
use crate::plan::rollback::{self, Blocks, Stage, UndoNode};
use crate::plan::step::Effect;
use crate::plan::{History, Plan, Section, StepIx, StepKind, Undo};

/// An action of the way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedUndoView {
    /// Counts the actions of both parts from 1.
    pub number: usize,
    /// Whose undo; for the fence: what is performed.
    pub step: String,
    /// Performed, not undone: a step of the fence.
    #[serde(default)]
    pub performed: bool,
    /// `fence`, `data`, `source up`, `traffic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// What performs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// How long it takes.
    pub length: LengthView,
    /// Moved aside instead of deleted.
    #[serde(default)]
    pub keep: bool,
    /// Not repeated after an interruption.
    #[serde(default)]
    pub once: bool,
    /// Must have gone well before it.
    pub blocked_by: Vec<String>,
    /// What is not done if it fails for good, directly or not: at most fifty names.
    pub holds_back: Vec<String>,
    /// How a person does it without the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_hand: Option<String>,
}

/// What stays applied after a complete rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaysView {
    /// The step.
    pub step: String,
    /// Why.
    pub why: String,
}

/// The way back after a complete cutover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackView {
    /// Brings users back, in order.
    pub restore: Vec<PlannedUndoView>,
    /// Prove that the source serves; only then the clean-up starts.
    pub checks: Vec<String>,
    /// Removes what was built, in order.
    pub cleanup: Vec<PlannedUndoView>,
    /// Stays applied even if everything goes well.
    pub stays: Vec<StaysView>,
    /// Edges that the stages overruled: `undo of A does not wait for that of B: …`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
}

impl BackView {
    pub(super) fn of(plan: &Plan, history: &History) -> Self {
        let order = rollback::complete(plan);
        let name = |ix: StepIx| plan.step(ix).id.to_string();
        let blocks = Blocks::of(&order);
        let view = |(at, node)| undo(plan, history, &blocks, (at, node));
        let restored = order.restore.len();
        Self {
            restore: order.restore.iter().enumerate().map(view).collect(),
            checks: plan.section(Section::RollbackCheck).map(name).collect(),
            cleanup: order.cleanup.iter().enumerate().map(|(at, node)| view((restored + at, node))).collect(),
            stays: stays(plan),
            dropped: order
                .dropped
                .iter()
                .map(|edge| {
                    format!(
                        "the undo of {} does not wait for that of {}: {}",
                        name(edge.undo),
                        name(edge.after),
                        edge.because
                    )
                })
                .collect(),
        }
    }
}

fn undo(plan: &Plan, history: &History, blocks: &Blocks, (at, node): (usize, &UndoNode)) -> PlannedUndoView {
    let step = plan.step(node.step);
    let action = step.undo_action().filter(|_| step.section.is_undone());
    let own = match &step.kind {
        StepKind::Action(call) => Some(call.uses.to_string()),
        StepKind::Approval(_) | StepKind::Manual(_) => None,
    };
    let name = |ix: &StepIx| plan.step(*ix).id.to_string();
    PlannedUndoView {
        number: at + 1,
        step: step.id.to_string(),
        performed: action.is_none(),
        stage: node.stage.map(|stage| stage_word(stage).to_owned()),
        executor: action.and_then(|action| action.call.as_ref()).map(|call| call.uses.to_string()).or(own),
        length: undo_length(plan, history, node.step).into(),
        keep: action.is_some_and(|action| action.cleanup && action.keep),
        once: action.is_some_and(|action| action.effect == Effect::Once),
        blocked_by: node.blocked_by.iter().map(name).collect(),
        holds_back: blocks.held_back(node.step, NAMED).iter().map(name).collect(),
        by_hand: action.and_then(|action| action.by_hand.clone()),
    }
}

/// How many held-back actions are named per undo; a plan of thousands of steps must stay readable, and small.
const NAMED: usize = 50;

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Fence => "fence",
        Stage::Data => "data",
        Stage::SourceUp => "source up",
        Stage::Traffic => "traffic",
    }
}

fn stays(plan: &Plan) -> Vec<StaysView> {
    let mut found = Vec::new();
    for ix in plan.section(Section::Prepare).chain(plan.section(Section::Cutover)) {
        let step = plan.step(ix);
        let why = match &step.undo {
            Undo::Nothing { reason: Some(reason) } => format!("no undo: {reason}"),
            Undo::Nothing { reason: None } if step.effect != Effect::None => "no undo".to_owned(),
            Undo::Irreversible => "it cannot be taken back".to_owned(),
            Undo::Nothing { reason: None } | Undo::Action(_) => continue,
        };
        // People's steps have no effect of their own that a machine could list.
        if matches!(step.kind, StepKind::Approval(_)) {
            continue;
        }
        found.push(StaysView { step: step.id.to_string(), why });
    }
    found
}
