//! The plan's own picture with what became of it.

use std::collections::BTreeMap;

use super::super::story::Story;
use crate::machine::fact::CriterionState;
use crate::machine::state::{Forward, UndoState};
use crate::plan::StepIx;
use crate::plan::draw::{Look, State, svg};

/// Larger plans are drawn by `bascule graph`, on a page of their own.
const MOST_STEPS: usize = 250;

/// The picture; `None` where the plan is too large for a page.
pub(in crate::report) fn picture(story: &Story) -> Option<String> {
    let run = &story.run;
    if run.plan.steps.len() > MOST_STEPS {
        return None;
    }
    Some(svg(&run.plan, &look(story)))
}

/// What became of each step, undo and criterion.
pub(in crate::report) fn look(story: &Story) -> Look {
    let run = &story.run;
    let mut look = Look::default();
    for ix in 0..run.plan.steps.len() {
        let id = run.plan.step(ix).id.clone();
        let undo = run.undo(ix);
        let forward = match undo {
            Some(UndoState::Undone { .. }) => State::Undone,
            Some(_) | None => forward(story, ix),
        };
        look.steps.insert(id.clone(), forward);
        if let Some(undo) = undo {
            look.undos.insert(id, back(undo, story.is_over()));
        }
    }
    look.criteria = criteria(story);
    look
}

fn forward(story: &Story, ix: StepIx) -> State {
    match story.run.forward(ix) {
        Forward::Pending | Forward::Ready if story.is_over() => State::NotRun,
        Forward::Pending | Forward::Ready => State::Pending,
        Forward::Running(_) => State::Running,
        Forward::Backoff { .. } | Forward::Waiting { .. } => State::Waiting,
        Forward::Succeeded => State::Succeeded,
        Forward::Failed { .. } => State::Failed,
        Forward::Unknown { .. } => State::Unknown,
        Forward::Skipped { .. } => State::Skipped,
        Forward::NotRun => State::NotRun,
    }
}

fn back(undo: &UndoState, over: bool) -> State {
    match undo {
        UndoState::Pending if over => State::NotRun,
        UndoState::Pending => State::Pending,
        UndoState::Undoing(_) => State::Running,
        UndoState::Backoff { .. } | UndoState::Waiting { .. } => State::Waiting,
        UndoState::Undone { .. } => State::Succeeded,
        UndoState::Failed { .. } => State::Failed,
        UndoState::Unknown { .. } => State::Unknown,
        UndoState::Waived => State::Skipped,
    }
}

fn criteria(story: &Story) -> BTreeMap<String, State> {
    let names = story.run.plan.criteria.iter().zip(&story.run.criteria);
    let shown = names.filter_map(|(criterion, samples)| {
        let state = match samples.state {
            CriterionState::Waiting | CriterionState::Clear | CriterionState::Suspect => return None,
            CriterionState::Tripped => State::Failed,
            CriterionState::Blind => State::Unknown,
        };
        Some((criterion.id.to_string(), state))
    });
    shown.collect()
}
