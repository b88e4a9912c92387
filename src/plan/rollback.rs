//! The way back: which undo, in which order, and what blocks what.
//!
//! SEMANTICS §8 in code. `restore` brings users back through four stages, fence → data → source up
//! → traffic; `cleanup` removes what was built and starts only when the rollback checks pass. The
//! same function answers `plan` (as if all steps had succeeded) and a run (with what was applied).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

mod line;
mod nodes;
#[cfg(test)]
mod tests;

use super::sealed::{Plan, StepIx};
use super::step::Section;
use nodes::{Nodes, Part};

/// The four stages of a restore. Their order wins over every other edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Users' and background writes on the target stop.
    Fence,
    /// The target's writes come home.
    Data,
    /// The source's application runs again.
    SourceUp,
    /// Users go to the source.
    Traffic,
}

/// A step whose effect may stand, and when it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// The step.
    pub step: StepIx,
    /// Grows with time: the sequence number of the event that ended (or began) it. Never a clock.
    pub completed: u64,
}

/// One action of a rollback: the undo of a step, or a fence step that is performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoNode {
    /// The step that is undone; for the fence: performed.
    pub step: StepIx,
    /// Its stage, if it has one.
    pub stage: Option<Stage>,
    /// Actions that end before it starts, however they end. Of a crowd that stands behind one step
    /// without an undo only the last is named: all of it comes earlier in the vector anyway.
    pub after: Vec<StepIx>,
    /// Actions that must have succeeded, been waived, or had nothing to do.
    pub blocked_by: Vec<StepIx>,
}

/// Why an edge was dropped: the stages win.
pub const STAGES_WIN: &str = "users come back in the order fence, data, source, traffic";
/// Why an edge was dropped: restore never waits for clean-up.
pub const NO_WAITING: &str = "bringing users back does not wait for clean-up";
/// Why an edge was dropped: `undo.needs` closed a circle. The compiler refuses such plans.
pub const CIRCLE: &str = "the undos would wait for each other";

/// A reverse edge that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedEdge {
    /// The undo that would have waited.
    pub undo: StepIx,
    /// For this one.
    pub after: StepIx,
    /// Why it does not: [`STAGES_WIN`], [`NO_WAITING`] or [`CIRCLE`].
    pub because: &'static str,
}

/// Both parts of a rollback, each in the order in which it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RollbackOrder {
    /// Brings users back.
    pub restore: Vec<UndoNode>,
    /// Removes what was built.
    pub cleanup: Vec<UndoNode>,
    /// Edges that the stages, or the parting of restore and clean-up, overruled.
    pub dropped: Vec<DroppedEdge>,
}

/// The order in which `applied` is taken back. `possibly_exposed` adds the fence.
///
/// Steps without an undo action are left out, and bridged: what stood on both sides of one keeps
/// its order. Ties go to the step that was completed last. Both vectors are in the order in which
/// a rollback performs them, one at a time.
#[must_use]
pub fn order(plan: &Plan, applied: &[Applied], possibly_exposed: bool) -> RollbackOrder {
    let nodes = Nodes::of(plan, applied, possibly_exposed);
    let mut dropped = Vec::new();
    let restore = line::arrange(plan, &nodes, Part::Restore, &mut dropped);
    let cleanup = line::arrange(plan, &nodes, Part::Cleanup, &mut dropped);
    dropped.sort_by_key(|edge| (edge.undo, edge.after));
    dropped.dedup();
    RollbackOrder { restore, cleanup, dropped }
}

/// As if every step had succeeded in the order of the plan, after exposure.
#[must_use]
pub fn complete(plan: &Plan) -> RollbackOrder {
    let applied: Vec<Applied> = plan
        .dag()
        .order()
        .iter()
        .filter(|ix| plan.step(**ix).section.is_undone())
        .enumerate()
        .map(|(at, ix)| Applied { step: *ix, completed: at as u64 })
        .collect();
    order(plan, &applied, true)
}

/// Which actions of a way back each action blocks, and where each stands in the order of both parts.
#[derive(Debug)]
pub struct Blocks {
    by: BTreeMap<StepIx, Vec<StepIx>>,
    place: BTreeMap<StepIx, usize>,
}

impl Blocks {
    /// Of a way back.
    #[must_use]
    pub fn of(order: &RollbackOrder) -> Self {
        let mut blocks = Self { by: BTreeMap::new(), place: BTreeMap::new() };
        for (at, node) in order.restore.iter().chain(&order.cleanup).enumerate() {
            blocks.place.insert(node.step, at);
            for by in &node.blocked_by {
                blocks.by.entry(*by).or_default().push(node.step);
            }
        }
        blocks
    }

    /// What waits for good if this action fails, directly or not, in the order in which it would have run: `most` of
    /// it. That no clean-up starts after a failed restore is the same for all of them and not told here.
    #[must_use]
    pub fn held_back(&self, failed: StepIx, most: usize) -> Vec<StepIx> {
        let mut seen = BTreeSet::from([failed]);
        let mut next = VecDeque::from([failed]);
        while let Some(step) = next.pop_front().filter(|_| seen.len() <= most) {
            let blocked = self.by.get(&step).into_iter().flatten();
            next.extend(blocked.copied().filter(|blocked| seen.insert(*blocked)));
        }
        let mut held: Vec<StepIx> = seen.into_iter().filter(|step| *step != failed).collect();
        held.sort_by_key(|step| self.place.get(step));
        held.truncate(most);
        held
    }
}

/// The stage of a step's undo, or of a fence step.
#[must_use]
pub fn stage(plan: &Plan, ix: StepIx) -> Option<Stage> {
    let step = plan.step(ix);
    match step.section {
        Section::Fence => Some(Stage::Fence),
        Section::Prepare | Section::Cutover => {
            // Traffic wins: a step that exposes and moves data is the last thing that users need.
            if step.exposes {
                Some(Stage::Traffic)
            } else if step.moves_data {
                Some(Stage::Data)
            } else if step.takes_source_down {
                Some(Stage::SourceUp)
            } else {
                None
            }
        }
        Section::PreCheck | Section::PostCheck | Section::Ready | Section::RollbackCheck | Section::Commit => None,
    }
}
