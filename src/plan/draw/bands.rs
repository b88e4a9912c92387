//! What each band of the SVG holds.

use std::collections::HashMap;

use super::flow::Edge;
use super::shapes::{Badge, Node, Shape};
use super::{Look, State, words};
use crate::plan::estimate::{self, Estimates};
use crate::plan::lint;
use crate::plan::phases;
use crate::plan::rollback::{self, RollbackOrder, UndoNode};
use crate::plan::sealed::{Plan, StepIx};
use crate::plan::step::{Effect, Section, StepKind};
use crate::runbook::duration;
use crate::runbook::model::Millis;
use crate::runbook::words::spelling;

/// A phase.
pub(super) struct Band {
    pub(super) title: &'static str,
    pub(super) note: String,
    /// Reached by going on; else by going back.
    pub(super) is_forward: bool,
    pub(super) content: Content,
}

/// What stands in it.
pub(super) enum Content {
    Steps { nodes: Vec<Node>, edges: Vec<Edge> },
    Criteria { lines: Vec<String>, criteria: Vec<CriterionCell> },
}

/// A criterion.
pub(super) struct CriterionCell {
    pub(super) name: String,
    pub(super) rule: String,
    pub(super) action: &'static str,
    pub(super) tooltip: String,
    pub(super) state: Option<State>,
}

/// Everything that the bands are read off.
pub(super) struct Sheet<'a> {
    pub(super) plan: &'a Plan,
    pub(super) look: &'a Look,
    pub(super) times: &'a Estimates,
    back: RollbackOrder,
    badges: HashMap<StepIx, Badge>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(plan: &'a Plan, look: &'a Look, times: &'a Estimates) -> Self {
        let back = rollback::complete(plan);
        let restore = back.restore.iter().map(|node| (node.step, false));
        let all = restore.chain(back.cleanup.iter().map(|node| (node.step, true)));
        let badges = all.enumerate().map(|(at, (step, is_cleanup))| (step, Badge { number: at + 1, is_cleanup }));
        Self { plan, look, times, badges: badges.collect(), back }
    }

    /// All bands, from top to bottom.
    pub(super) fn bands(&self) -> Vec<Band> {
        let mut bands = Vec::new();
        bands.extend(self.list(Section::PreCheck, "in parallel, before anything is touched".to_owned()));
        let prepare = format!("before the change window · {}", words::takes(self.times.prepare));
        bands.extend(self.list(Section::Prepare, prepare));
        bands.extend(self.list(Section::Cutover, self.cutover_note()));
        bands.extend(self.list(Section::PostCheck, "in parallel, each repeated until it passes".to_owned()));
        bands.push(self.window());
        bands.extend(self.list(Section::Commit, "the point of no return: only a person passes it".to_owned()));
        let every = duration::format(Millis(self.plan.policies.ready_every_ms));
        let ready = format!("looked at every {every}, from the first effect to the commit");
        bands.extend(self.list(Section::Ready, ready).map(|band| Band { is_forward: false, ..band }));
        bands.extend(self.restore());
        bands.extend(self.cleanup());
        bands
    }

    fn cutover_note(&self) -> String {
        let mut note = words::takes(self.times.cutover);
        // Of what nobody knows the whole of, the parts need not be said.
        if let Some(exposed) = self.times.until_exposure.and_then(words::length) {
            note.push_str(&format!(" · users on the target after {exposed}"));
        }
        if let Some(downtime) = self.times.downtime.and_then(words::length) {
            note.push_str(&format!(" · without service for {downtime}"));
        }
        note
    }

    fn list(&self, section: Section, note: String) -> Option<Band> {
        let range = self.plan.section(section);
        if range.is_empty() {
            return None;
        }
        let mut edges = Vec::new();
        for to in range.clone() {
            let parents = self.plan.dag().parents(to).filter(|(from, _)| range.contains(from));
            edges.extend(parents.map(|(from, kind)| Edge {
                from: from - range.start,
                to: to - range.start,
                blocks: kind.blocks(),
            }));
        }
        let nodes = range.map(|ix| self.step(ix)).collect();
        Some(Band { title: words::heading(section), note, is_forward: true, content: Content::Steps { nodes, edges } })
    }

    fn step(&self, ix: StepIx) -> Node {
        let step = self.plan.step(ix);
        let shape = match &step.kind {
            StepKind::Approval(_) => Shape::Approval,
            StepKind::Action(_) | StepKind::Manual(_) if step.effect == Effect::None => Shape::Check,
            StepKind::Action(_) | StepKind::Manual(_) => Shape::Action,
        };
        Node {
            name: words::name(step).to_owned(),
            tooltip: self.tooltip(ix),
            subtitle: words::subtitle(step, estimate::step_length(self.plan, &self.look.history, ix)),
            marks: words::marks(step),
            badge: self.badges.get(&ix).copied().filter(|_| step.section.is_undone()),
            shape,
            state: self.look.steps.get(&step.id).copied(),
        }
    }

    fn tooltip(&self, ix: StepIx) -> String {
        let step = self.plan.step(ix);
        let mut text = step.id.to_string();
        if let Some(description) = &step.origin.description {
            text.push_str(": ");
            text.push_str(description);
        }
        if let StepKind::Manual(manual) = &step.kind {
            text.push_str(": ");
            text.push_str(&manual.instructions);
        }
        text
    }

    fn window(&self) -> Band {
        let proved = lint::unproved(self.plan);
        let mut lines = vec![words::data(self.plan)];
        if !proved.is_empty() {
            let names: Vec<&str> = proved.into_iter().map(spelling).collect();
            lines.push(format!("not verified for a safe end: {}", names.join(", ")));
        }
        let criteria = self.plan.criteria.iter().map(|criterion| CriterionCell {
            name: criterion.id.to_string(),
            rule: words::rule(criterion),
            action: phases::on_trip(self.plan, criterion),
            tooltip: format!(
                "{}: {}",
                criterion.id,
                criterion.origin.description.as_deref().unwrap_or(criterion.trip.as_str())
            ),
            state: self.look.criteria.get(&*criterion.id).copied(),
        });
        Band {
            title: "Window and criteria",
            note: words::window(self.plan),
            is_forward: true,
            content: Content::Criteria { lines, criteria: criteria.collect() },
        }
    }

    fn restore(&self) -> Option<Band> {
        let mut nodes: Vec<Node> = self.back.restore.iter().map(|undo| self.undo(undo, Shape::Action)).collect();
        let mut edges = self.back_edges(&self.back.restore);
        if nodes.is_empty() {
            return None;
        }
        let last = nodes.len() - 1;
        for ix in self.plan.section(Section::RollbackCheck) {
            edges.push(Edge { from: last, to: nodes.len(), blocks: true });
            nodes.push(self.step(ix));
        }
        let serves = words::after("the source serves", self.times.until_source_serves);
        let note = format!("on a trip, a failure or a person's word · {serves}");
        let content = Content::Steps { nodes, edges };
        Some(Band { title: "Way back: users return", note, is_forward: false, content })
    }

    fn cleanup(&self) -> Option<Band> {
        let nodes: Vec<Node> = self.back.cleanup.iter().map(|undo| self.undo(undo, Shape::Cleanup)).collect();
        if nodes.is_empty() {
            return None;
        }
        let edges = self.back_edges(&self.back.cleanup);
        let clean = words::after("all is clean", self.times.until_clean);
        let note = format!("when users are back and that was checked · {clean}");
        let content = Content::Steps { nodes, edges };
        Some(Band { title: "Way back: clean-up", note, is_forward: false, content })
    }

    /// One at a time, in order; an arrow is strong where the earlier one must have succeeded.
    fn back_edges(&self, part: &[UndoNode]) -> Vec<Edge> {
        let pairs = part.windows(2).enumerate();
        pairs
            .map(|(at, pair)| Edge { from: at, to: at + 1, blocks: pair[1].blocked_by.contains(&pair[0].step) })
            .collect()
    }

    fn undo(&self, undo: &UndoNode, shape: Shape) -> Node {
        let step = self.plan.step(undo.step);
        let is_fence = step.section == Section::Fence;
        let length = estimate::undo_length(self.plan, &self.look.history, undo.step);
        let action = step.undo_action();
        let who = match action.and_then(|action| action.call.as_ref()) {
            Some(call) => call.uses.to_string(),
            None => words::subtitle(step, estimate::Length::UNKNOWN),
        };
        let time = length.known_ms().map_or("time unknown".to_owned(), |known| duration::format(Millis(known)));
        let states = if is_fence { &self.look.steps } else { &self.look.undos };
        Node {
            name: if is_fence { words::name(step).to_owned() } else { format!("undo {}", step.id) },
            tooltip: match action.and_then(|action| action.by_hand.as_ref()) {
                Some(by_hand) => format!("undo {}; by hand: {by_hand}", step.id),
                None => self.tooltip(undo.step),
            },
            subtitle: format!("{who} · {time}"),
            marks: undo.stage.map(words::stage).into_iter().collect(),
            badge: self.badges.get(&undo.step).copied(),
            shape,
            state: states.get(&step.id).copied(),
        }
    }
}
