//! Puts one part of a rollback in order, in time linear in the edges of the plan.
//!
//! Start with [`arrange`]. Reverse edges run along the plan's own, so a step that takes no part is
//! kept as a *bridge*: it costs nothing and carries order from one side to the other without an
//! edge for each pair. Every action has a *slot*: the latest stage that must end before it. An
//! edge into a stage from an action with a later slot contradicts the stages and is dropped; what
//! is left cannot be circular, because slots never fall along an edge and stages raise them.

use std::collections::BinaryHeap;
use std::rc::Rc;

use super::super::sealed::{Plan, StepIx};
use super::super::step::Section;
use super::nodes::{Nodes, Part};
use super::{CIRCLE, DroppedEdge, NO_WAITING, STAGES_WIN, Stage, UndoNode};

/// Above this many actions behind one bridge only the last is named in `after`.
const CROWD: usize = 16;

/// "Comes after `from`": an action or a bridge.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: StepIx,
    blocks: bool,
}

/// One part of a rollback, being put in order.
struct Line<'a> {
    plan: &'a Plan,
    nodes: &'a Nodes,
    part: Part,
    /// What each action or bridge comes after.
    edges: Vec<Vec<Edge>>,
    /// Actions and bridges, each after its edges.
    sorted: Vec<StepIx>,
    /// The latest stage that ends before, 0 for none; an action of a stage has that stage's.
    slots: Vec<usize>,
}

/// Orders one part; edges that could not be kept are added to `dropped`.
pub(super) fn arrange(plan: &Plan, nodes: &Nodes, part: Part, dropped: &mut Vec<DroppedEdge>) -> Vec<UndoNode> {
    if nodes.is_empty(part) {
        return Vec::new();
    }
    let edges = (0..plan.steps.len()).map(|ix| edges_of(plan, nodes, part, ix)).collect();
    let mut line = Line { plan, nodes, part, edges, sorted: Vec::new(), slots: Vec::new() };
    line.report_cleanup(dropped);
    line.sort(dropped);
    line.fill_slots();
    let order = line.order(dropped);
    line.describe(&order, dropped)
}

/// What an action or a bridge comes after: reverse edges, or what its author wrote instead.
fn edges_of(plan: &Plan, nodes: &Nodes, part: Part, ix: StepIx) -> Vec<Edge> {
    if nodes.is_fence(ix) {
        // The fence is performed, not undone: its edges keep their direction.
        let fence = plan.section(Section::Fence);
        let parents = plan.dag().parents(ix).filter(|(parent, _)| fence.contains(parent));
        return parents.map(|(parent, kind)| Edge { from: parent, blocks: kind.blocks() }).collect();
    }
    if let Some(needs) = needs_of(plan, nodes, part, ix) {
        let named = needs.iter().filter_map(|id| plan.find(id));
        return named.filter(|from| nodes.is_in(*from, part)).map(|from| Edge { from, blocks: true }).collect();
    }
    let children = plan.dag().children(ix).filter(|(child, _)| !nodes.is_fence(*child));
    children
        .map(|(child, kind)| {
            // A restore passes a clean-up by; what the clean-up would have blocked is not held back.
            let passed_by = part == Part::Restore && nodes.is_in(child, Part::Cleanup);
            Edge { from: child, blocks: kind.blocks() && !passed_by }
        })
        .collect()
}

fn needs_of<'a>(plan: &'a Plan, nodes: &Nodes, part: Part, ix: StepIx) -> Option<&'a [super::super::step::StepId]> {
    let undo = plan.step(ix).undo_action().filter(|_| nodes.is_in(ix, part))?;
    undo.needs.as_deref()
}

fn rank(stage: Stage) -> usize {
    match stage {
        Stage::Fence => 1,
        Stage::Data => 2,
        Stage::SourceUp => 3,
        Stage::Traffic => 4,
    }
}

impl Line<'_> {
    fn is_action(&self, ix: StepIx) -> bool {
        self.nodes.is_in(ix, self.part)
    }

    fn rank(&self, ix: StepIx) -> Option<usize> {
        if self.is_action(ix) { self.nodes.stage(self.plan, ix).map(rank) } else { None }
    }

    /// How many different slots there are, and therefore how many copies a bridge needs.
    fn slot_count(&self) -> usize {
        match self.part {
            Part::Restore => 5,
            Part::Cleanup => 1,
        }
    }

    /// A restore never waits for clean-up: says which edges that costs.
    fn report_cleanup(&self, dropped: &mut Vec<DroppedEdge>) {
        if self.part == Part::Cleanup || self.nodes.is_empty(Part::Cleanup) {
            return;
        }
        let mut behind: Vec<Rc<[StepIx]>> = vec![Rc::from([]); self.edges.len()];
        for &ix in self.plan.dag().order().iter().rev() {
            let written = needs_of(self.plan, self.nodes, self.part, ix);
            let found: Vec<StepIx> = match written {
                Some(needs) => needs.iter().filter_map(|id| self.plan.find(id)).collect(),
                None => self.plan.dag().children(ix).map(|(child, _)| child).collect(),
            };
            let mut waits: Vec<StepIx> = Vec::new();
            for from in found {
                if self.nodes.is_in(from, Part::Cleanup) {
                    waits.push(from);
                } else if written.is_none() && self.nodes.is_bridge(from) {
                    waits.extend_from_slice(&behind[from]);
                }
            }
            waits.sort_unstable();
            waits.dedup();
            waits.truncate(CROWD);
            if self.is_action(ix) {
                dropped.extend(waits.into_iter().map(|after| DroppedEdge { undo: ix, after, because: NO_WAITING }));
            } else {
                behind[ix] = waits.into();
            }
        }
    }

    /// Sorts actions and bridges by their edges, those into actions of a stage left aside: what
    /// comes before them does not change their slot. A circle is cut where `undo.needs` closes it.
    fn sort(&mut self, dropped: &mut Vec<DroppedEdge>) {
        let count = self.edges.len();
        let mut later: Vec<Vec<StepIx>> = vec![Vec::new(); count];
        let mut waiting = vec![0_usize; count];
        for ix in (0..count).filter(|ix| self.rank(*ix).is_none()) {
            waiting[ix] = self.edges[ix].len();
            for edge in &self.edges[ix] {
                later[edge.from].push(ix);
            }
        }
        let mut needy = self.needy();
        let mut done = vec![false; count];
        let mut ready: Vec<StepIx> = (0..count).filter(|ix| waiting[*ix] == 0).collect();
        loop {
            while let Some(ix) = ready.pop() {
                done[ix] = true;
                self.sorted.push(ix);
                release(&later[ix], &mut waiting, &mut ready);
            }
            let Some(cut) = needy.pop() else { return };
            if done[cut] {
                continue;
            }
            for lost in self.cut(cut, |from| done[from], dropped) {
                later[lost].retain(|next| *next != cut);
            }
            waiting[cut] = 0;
            ready.push(cut);
        }
    }

    /// Actions whose author wrote `undo.needs`, the first to be cut last. Only they can close a
    /// circle. A compiled plan has none; a stored one must be undone whatever it says.
    fn needy(&self) -> Vec<StepIx> {
        let written = |ix: &StepIx| needs_of(self.plan, self.nodes, self.part, *ix).is_some();
        let mut needy: Vec<StepIx> = (0..self.edges.len()).filter(written).collect();
        needy.sort_by_key(|ix| self.nodes.priority(*ix));
        needy
    }

    /// Drops the edges of an action that have not ended; gives their other ends.
    fn cut(&mut self, ix: StepIx, done: impl Fn(StepIx) -> bool, dropped: &mut Vec<DroppedEdge>) -> Vec<StepIx> {
        let limit = self.limit(ix);
        let within = |from: StepIx| self.rank(ix).is_none() || self.slots.get(from).is_none_or(|slot| *slot <= limit);
        let (lost, kept): (Vec<Edge>, Vec<Edge>) =
            self.edges[ix].iter().partition(|edge| !done(edge.from) && within(edge.from));
        dropped.extend(lost.iter().map(|edge| DroppedEdge { undo: ix, after: edge.from, because: CIRCLE }));
        self.edges[ix] = kept;
        lost.into_iter().map(|edge| edge.from).collect()
    }

    fn fill_slots(&mut self) {
        self.slots = (0..self.edges.len()).map(|ix| self.rank(ix).unwrap_or(0)).collect();
        for &ix in &self.sorted {
            if self.rank(ix).is_none() {
                self.slots[ix] = self.edges[ix].iter().map(|edge| self.slots[edge.from]).max().unwrap_or(0);
            }
        }
    }

    /// The slot up to which an action honours what comes before it.
    fn limit(&self, ix: StepIx) -> usize {
        self.rank(ix).unwrap_or(self.slot_count() - 1)
    }

    /// Kahn's algorithm over actions, bridges and stages. A bridge has one copy per slot, and the
    /// copy `s` stands for "all actions behind it whose slot is at most s have ended".
    fn order(&mut self, dropped: &mut Vec<DroppedEdge>) -> Vec<StepIx> {
        let slots = self.slot_count();
        let Graph { mut later, mut waiting } = self.graph();
        let mut needy = self.needy();
        let mut heap = BinaryHeap::new();
        let mut open: Vec<usize> = (0..waiting.len()).filter(|node| waiting[*node] == 0).collect();
        let mut order = Vec::new();
        let mut ended = vec![false; self.edges.len()];
        loop {
            while let Some(node) = open.pop() {
                let ix = node / slots;
                if ix < self.edges.len() && self.is_action(ix) {
                    // The other copies of an action stand for nothing.
                    if node % slots == 0 {
                        heap.push((self.nodes.priority(ix), ix));
                    }
                } else {
                    release(&later[node], &mut waiting, &mut open);
                }
            }
            if let Some((_, ix)) = heap.pop() {
                ended[ix] = true;
                order.push(ix);
                release(&later[ix * slots], &mut waiting, &mut open);
                continue;
            }
            // Nothing can come next: all have come, or needs inside one stage close a circle.
            let Some(cut) = needy.pop() else { return order };
            if ended[cut] {
                continue;
            }
            let lost = self.cut(cut, |from| ended[from], dropped);
            waiting[cut * slots] -= lost.len();
            for from in lost {
                later[from * slots].retain(|next| *next != cut * slots);
            }
            if waiting[cut * slots] == 0 {
                open.push(cut * slots);
            }
        }
    }

    fn graph(&self) -> Graph {
        let (count, slots) = (self.edges.len(), self.slot_count());
        // After the copies of steps stand the stages: "all actions up to this stage have ended".
        let stage = |rank: usize| count * slots + rank;
        let mut graph = Graph::with_nodes(stage(slots));
        for rank in 1..slots {
            graph.add(stage(rank - 1), stage(rank));
        }
        for ix in 0..count {
            if !self.is_action(ix) {
                for slot in 1..slots {
                    graph.add(ix * slots + slot - 1, ix * slots + slot);
                }
                for edge in &self.edges[ix] {
                    if self.is_action(edge.from) {
                        graph.add(edge.from * slots, ix * slots + self.slots[edge.from]);
                    } else {
                        (0..slots).for_each(|slot| graph.add(edge.from * slots + slot, ix * slots + slot));
                    }
                }
                continue;
            }
            if let Some(rank) = self.rank(ix) {
                graph.add(stage(rank - 1), ix * slots);
                graph.add(ix * slots, stage(rank));
            }
            for edge in &self.edges[ix] {
                if !self.is_action(edge.from) {
                    graph.add(edge.from * slots + self.limit(ix), ix * slots);
                } else if self.slots[edge.from] <= self.limit(ix) {
                    graph.add(edge.from * slots, ix * slots);
                }
            }
        }
        graph
    }

    /// Says for each action what it comes after and what blocks it.
    fn describe(&self, order: &[StepIx], dropped: &mut Vec<DroppedEdge>) -> Vec<UndoNode> {
        let mut place = vec![0; self.edges.len()];
        for (at, ix) in order.iter().enumerate() {
            place[*ix] = at;
        }
        let seen = self.behind_bridges(&place);
        let blocking = self.blocking_behind_bridges();
        let stages = self.stage_members(order);
        let mut nodes = Vec::with_capacity(order.len());
        for &ix in order {
            let limit = self.limit(ix);
            let mut after = Vec::new();
            let mut blocked_by = self.rank(ix).map(|rank| stages[rank - 1].to_vec()).unwrap_or_default();
            for edge in &self.edges[ix] {
                let all = &seen[edge.from * self.slot_count() + self.slot_count() - 1];
                let lost = all.iter().filter(|from| self.slots[**from] > limit);
                dropped.extend(lost.map(|from| DroppedEdge { undo: ix, after: *from, because: STAGES_WIN }));
                after.extend_from_slice(&seen[edge.from * self.slot_count() + limit]);
                if edge.blocks {
                    blocked_by.extend(blocking[edge.from].iter().filter(|from| self.slots[**from] <= limit));
                }
            }
            after.extend_from_slice(&blocked_by);
            for list in [&mut after, &mut blocked_by] {
                list.sort_unstable_by_key(|from| place[*from]);
                list.dedup();
            }
            nodes.push(UndoNode { step: ix, stage: self.nodes.stage(self.plan, ix), after, blocked_by });
        }
        nodes
    }

    /// Per step and slot the actions that an edge from it stands for: itself, or those behind a bridge.
    fn behind_bridges(&self, place: &[usize]) -> Vec<Rc<[StepIx]>> {
        let slots = self.slot_count();
        let mut seen: Vec<Rc<[StepIx]>> = vec![Rc::from([]); self.edges.len() * slots];
        for &ix in &self.sorted {
            for slot in 0..slots {
                let at = ix * slots + slot;
                if self.is_action(ix) {
                    if self.slots[ix] <= slot {
                        seen[at] = Rc::from([ix]);
                    }
                } else if let [only] = self.edges[ix].as_slice() {
                    seen[at] = Rc::clone(&seen[only.from * slots + slot]);
                } else {
                    let mut all: Vec<StepIx> = Vec::new();
                    for edge in &self.edges[ix] {
                        all.extend_from_slice(&seen[edge.from * slots + slot]);
                    }
                    all.sort_unstable_by_key(|from| place[*from]);
                    all.dedup();
                    if all.len() > CROWD {
                        all.drain(..all.len() - 1);
                    }
                    seen[at] = all.into();
                }
            }
        }
        seen
    }

    /// Per step the actions behind it over edges that all block.
    fn blocking_behind_bridges(&self) -> Vec<Rc<[StepIx]>> {
        let mut blocking: Vec<Rc<[StepIx]>> = vec![Rc::from([]); self.edges.len()];
        for &ix in &self.sorted {
            if self.is_action(ix) {
                blocking[ix] = Rc::from([ix]);
                continue;
            }
            let mut sources = self.edges[ix].iter().filter(|edge| edge.blocks && !blocking[edge.from].is_empty());
            let (first, second) = (sources.next(), sources.next());
            blocking[ix] = match (first, second) {
                (None, _) => continue,
                (Some(only), None) => Rc::clone(&blocking[only.from]),
                (Some(one), Some(two)) => {
                    let mut all: Vec<StepIx> = blocking[one.from].to_vec();
                    all.extend_from_slice(&blocking[two.from]);
                    sources.for_each(|edge| all.extend_from_slice(&blocking[edge.from]));
                    all.sort_unstable();
                    all.dedup();
                    all.into()
                }
            };
        }
        blocking
    }

    /// Per stage the actions that block the next one: its own, or of an empty stage the last before it.
    fn stage_members(&self, order: &[StepIx]) -> Vec<Rc<[StepIx]>> {
        let mut members: Vec<Vec<StepIx>> = vec![Vec::new(); self.slot_count()];
        for &ix in order {
            if let Some(rank) = self.rank(ix) {
                members[rank].push(ix);
            }
        }
        let mut shared: Vec<Rc<[StepIx]>> = Vec::with_capacity(members.len());
        for own in members {
            let bridged = if own.is_empty() { shared.last().cloned() } else { None };
            shared.push(bridged.unwrap_or_else(|| own.into()));
        }
        shared
    }
}

/// Nodes with what they release, and how many they wait for.
struct Graph {
    later: Vec<Vec<usize>>,
    waiting: Vec<usize>,
}

impl Graph {
    fn with_nodes(count: usize) -> Self {
        Self { later: vec![Vec::new(); count], waiting: vec![0; count] }
    }

    fn add(&mut self, before: usize, after: usize) {
        self.later[before].push(after);
        self.waiting[after] += 1;
    }
}

fn release(later: &[usize], waiting: &mut [usize], open: &mut Vec<usize>) {
    for &next in later {
        waiting[next] -= 1;
        if waiting[next] == 0 {
            open.push(next);
        }
    }
}
