//! How long it takes: there, until users see the target, and back.
//!
//! A [`Length`] knows whether something in it is unknown, so that an unknown estimate never counts
//! as nothing. Start with [`estimate`].

use std::collections::BTreeMap;
use std::fmt;

use super::rollback::{self, RollbackOrder};
use super::sealed::{Plan, StepIx};
use super::step::{Section, StepId};
use crate::runbook::duration;
use crate::runbook::model::Millis;

/// A length of time, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Length {
    /// What is known of it adds up to this.
    pub at_least_ms: u64,
    /// Whether a part of it is unknown.
    pub is_open: bool,
}

impl Length {
    /// Something of which nothing is known.
    pub const UNKNOWN: Self = Self { at_least_ms: 0, is_open: true };

    /// A known length, or an unknown one.
    #[must_use]
    pub fn of(known_ms: Option<u64>) -> Self {
        match known_ms {
            Some(at_least_ms) => Self { at_least_ms, is_open: false },
            None => Self::UNKNOWN,
        }
    }

    /// The length, if all of it is known.
    #[must_use]
    pub fn known_ms(self) -> Option<u64> {
        (!self.is_open).then_some(self.at_least_ms)
    }

    /// One after the other.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self { at_least_ms: self.at_least_ms.saturating_add(next.at_least_ms), is_open: self.is_open || next.is_open }
    }

    /// Side by side.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        Self { at_least_ms: self.at_least_ms.max(other.at_least_ms), is_open: self.is_open || other.is_open }
    }
}

/// `42m`, `unknown`, or `unknown, at least 40m`.
impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.is_open, self.at_least_ms) {
            (false, known) => duration::format(Millis(known)),
            (true, 0) => "unknown".to_owned(),
            (true, known) => format!("unknown, at least {}", duration::format(Millis(known))),
        };
        f.pad(&text)
    }
}

/// Durations that were measured; they win over estimates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Of steps, in milliseconds.
    pub steps: BTreeMap<StepId, u64>,
    /// Of their undos, in milliseconds.
    pub undos: BTreeMap<StepId, u64>,
}

/// When a step runs, counted from the start of its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// At the earliest.
    pub start: Length,
    /// At the earliest.
    pub end: Length,
}

/// A step of which nobody knows how long it, or its undo, takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unknown {
    /// The step.
    pub step: StepIx,
    /// Whether it is the way back that is unknown.
    pub is_undo: bool,
}

/// What the estimates of a plan add up to, if nothing goes wrong and nothing has to wait.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Estimates {
    /// Of each step, in the order of the plan.
    pub steps: Vec<Timing>,
    /// The steps that decide how long the cutover takes, in order.
    pub critical_path: Vec<StepIx>,
    /// From the start of the preparation to its end.
    pub prepare: Length,
    /// From the start of the cutover until users can reach the target.
    pub until_exposure: Option<Length>,
    /// From the start of the cutover to its end.
    pub cutover: Length,
    /// From the start of the first step that takes the source down until users can reach the target.
    pub downtime: Option<Length>,
    /// From the decision to go back, after a complete cutover, until the source serves and was checked.
    pub until_source_serves: Length,
    /// From the same moment until everything that was built is removed.
    pub until_clean: Length,
    /// Whose length nobody knows, of what counts above.
    pub unknown: Vec<Unknown>,
}

/// Adds a plan up.
#[must_use]
pub fn estimate(plan: &Plan, history: &History) -> Estimates {
    estimate_with(plan, history, &rollback::complete(plan))
}

/// The same, for a caller that knows [`rollback::complete`] already.
pub(super) fn estimate_with(plan: &Plan, history: &History, back: &RollbackOrder) -> Estimates {
    let mut found = Estimates { steps: timings(plan, history), ..Estimates::default() };
    found.prepare = last_end(&found.steps, plan.section(Section::Prepare));
    found.cutover = last_end(&found.steps, plan.section(Section::Cutover));
    found.critical_path = critical_path(plan, &found.steps);
    found.until_exposure = plan.exposing().map(|ix| found.steps[ix].end);
    found.downtime = downtime(plan, history, &found.steps);
    let checked = last_end(&found.steps, plan.section(Section::RollbackCheck));
    (found.until_source_serves, found.until_clean) = undone(plan, history, back, checked);
    found.unknown = unknown(plan, history, back);
    found
}

/// How long a rollback of this order takes: until the source serves, and until all is clean.
#[must_use]
pub fn way_back(plan: &Plan, history: &History, back: &RollbackOrder) -> (Length, Length) {
    let checks = plan.section(Section::RollbackCheck);
    undone(plan, history, back, last_end(&timings(plan, history), checks))
}

fn undone(plan: &Plan, history: &History, back: &RollbackOrder, checked: Length) -> (Length, Length) {
    let add = |sum: Length, node: &rollback::UndoNode| sum.then(undo_length(plan, history, node.step));
    let restored = back.restore.iter().fold(Length::default(), add);
    let serves = restored.then(checked);
    (serves, back.cleanup.iter().fold(serves, add))
}

/// How long a step takes, measured or estimated.
#[must_use]
pub fn step_length(plan: &Plan, history: &History, ix: StepIx) -> Length {
    let step = plan.step(ix);
    Length::of(history.steps.get(&step.id).copied().or(step.estimate_ms))
}

/// How long it takes in a rollback: its undo, or for the fence the step itself.
#[must_use]
pub fn undo_length(plan: &Plan, history: &History, ix: StepIx) -> Length {
    let step = plan.step(ix);
    match step.undo_action().filter(|_| step.section.is_undone()) {
        Some(undo) => Length::of(history.undos.get(&step.id).copied().or(undo.estimate_ms)),
        None => step_length(plan, history, ix),
    }
}

fn timings(plan: &Plan, history: &History) -> Vec<Timing> {
    let mut steps = vec![Timing::default(); plan.steps.len()];
    for &ix in plan.dag().order() {
        let section = plan.step(ix).section;
        let parents = plan.dag().parents(ix).filter(|(parent, _)| plan.step(*parent).section == section);
        let start = parents.fold(Length::default(), |latest, (parent, _)| latest.beside(steps[parent].end));
        steps[ix] = Timing { start, end: start.then(step_length(plan, history, ix)) };
    }
    steps
}

fn last_end(steps: &[Timing], section: std::ops::Range<StepIx>) -> Length {
    section.fold(Length::default(), |latest, ix| latest.beside(steps[ix].end))
}

/// From the step that ends last back through the need that ended last, ties to the later declared.
fn critical_path(plan: &Plan, steps: &[Timing]) -> Vec<StepIx> {
    let ends_last = |ix: &StepIx| (steps[*ix].end.at_least_ms, *ix);
    let mut path = Vec::new();
    let mut next = plan.section(Section::Cutover).max_by_key(ends_last);
    while let Some(ix) = next {
        path.push(ix);
        let parents = plan.dag().parents(ix).map(|(parent, _)| parent);
        next = parents.filter(|parent| plan.step(*parent).section == Section::Cutover).max_by_key(ends_last);
    }
    path.reverse();
    path
}

/// What comes before the source goes down is no part of it: of that, nothing needs to be known.
fn downtime(plan: &Plan, history: &History, steps: &[Timing]) -> Option<Length> {
    let exposing = plan.exposing()?;
    let down = plan.section(Section::Cutover).filter(|ix| plan.step(*ix).takes_source_down);
    let first = down.min_by_key(|ix| steps[*ix].start.at_least_ms)?;
    let before = plan.dag().ancestors(first);
    let mut counts = plan.dag().ancestors(exposing);
    counts.push(exposing);
    counts.retain(|ix| plan.step(*ix).section == Section::Cutover && before.binary_search(ix).is_err());
    Some(Length {
        at_least_ms: steps[exposing].end.at_least_ms.saturating_sub(steps[first].start.at_least_ms),
        is_open: counts.into_iter().any(|ix| step_length(plan, history, ix).is_open),
    })
}

fn unknown(plan: &Plan, history: &History, back: &RollbackOrder) -> Vec<Unknown> {
    let forward = [Section::Prepare, Section::Cutover, Section::RollbackCheck].into_iter();
    let forward =
        forward.flat_map(|section| plan.section(section)).filter(|ix| step_length(plan, history, *ix).is_open);
    let undos = back.restore.iter().chain(&back.cleanup).map(|node| node.step);
    let undos = undos.filter(|ix| undo_length(plan, history, *ix).is_open);
    let mut all: Vec<Unknown> = forward.map(|step| Unknown { step, is_undo: false }).collect();
    all.extend(undos.map(|step| Unknown { step, is_undo: true }));
    all.sort_unstable();
    all
}
