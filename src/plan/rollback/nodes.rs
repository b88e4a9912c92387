//! What takes part in a rollback, and in which of its two parts.

use super::super::sealed::{Plan, StepIx};
use super::super::step::Section;
use super::{Applied, Stage, stage};

/// One of the two parts of a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Brings users back.
    Restore,
    /// Removes what was built.
    Cleanup,
}

/// What a rollback does with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing: it was not applied, or has no undo. Order passes through it.
    Bridge,
    /// Undone in the restore.
    Restore,
    /// Undone in the clean-up.
    Cleanup,
    /// Performed, first thing of the restore.
    Fence,
}

/// The roles of all steps of a plan in one rollback.
#[derive(Debug)]
pub(super) struct Nodes {
    roles: Vec<Role>,
    completed: Vec<u64>,
}

impl Nodes {
    pub(super) fn of(plan: &Plan, applied: &[Applied], possibly_exposed: bool) -> Self {
        let mut roles = vec![Role::Bridge; plan.steps.len()];
        let mut completed = vec![0; plan.steps.len()];
        for done in applied {
            let step = plan.step(done.step);
            let Some(undo) = step.undo_action().filter(|_| step.section.is_undone()) else { continue };
            roles[done.step] = if undo.cleanup { Role::Cleanup } else { Role::Restore };
            completed[done.step] = completed[done.step].max(done.completed);
        }
        if possibly_exposed {
            for ix in plan.section(Section::Fence) {
                roles[ix] = Role::Fence;
            }
        }
        Self { roles, completed }
    }

    pub(super) fn is_in(&self, ix: StepIx, part: Part) -> bool {
        match self.roles[ix] {
            Role::Bridge => false,
            Role::Restore | Role::Fence => part == Part::Restore,
            Role::Cleanup => part == Part::Cleanup,
        }
    }

    pub(super) fn is_empty(&self, part: Part) -> bool {
        !(0..self.roles.len()).any(|ix| self.is_in(ix, part))
    }

    pub(super) fn is_fence(&self, ix: StepIx) -> bool {
        self.roles[ix] == Role::Fence
    }

    pub(super) fn is_bridge(&self, ix: StepIx) -> bool {
        self.roles[ix] == Role::Bridge
    }

    /// The stage that an action has in its part: the clean-up has none.
    pub(super) fn stage(&self, plan: &Plan, ix: StepIx) -> Option<Stage> {
        match self.roles[ix] {
            Role::Bridge | Role::Cleanup => None,
            Role::Restore | Role::Fence => stage(plan, ix),
        }
    }

    /// The largest comes first among actions that could all come next: the fence in the order of
    /// its list, then what was completed last.
    pub(super) fn priority(&self, ix: StepIx) -> (bool, u64, StepIx) {
        let fence = self.is_fence(ix);
        (fence, self.completed[ix], if fence { usize::MAX - ix } else { ix })
    }
}
