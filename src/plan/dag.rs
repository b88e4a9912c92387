//! The graph of a plan: petgraph behind names of ours.
//!
//! Steps are the nodes, in the order of [`super::PlanBody::steps`]; an edge leads from a step to
//! one that needs it. Every order given here is reproducible: ties go to declaration order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::sealed::{PlanError, StepIx};
use super::step::{NeedKind, Step, StepId};

/// Steps that wait for each other, in the order in which each needs the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<StepId>);

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the steps need each other in a circle: ")?;
        for step in &self.0 {
            write!(f, "`{step}` needs ")?;
        }
        match self.0.first() {
            Some(first) => write!(f, "`{first}`"),
            None => Ok(()),
        }
    }
}

/// The graph.
#[derive(Debug)]
pub struct Dag {
    graph: DiGraph<(), NeedKind, u32>,
    order: Vec<StepIx>,
}

impl Dag {
    pub(super) fn build(steps: &[Arc<Step>], index: &HashMap<StepId, StepIx>) -> Result<Self, PlanError> {
        let edges = steps.iter().map(|step| step.needs.len()).sum();
        let mut graph = DiGraph::with_capacity(steps.len(), edges);
        for _ in steps {
            graph.add_node(());
        }
        for (to, step) in steps.iter().enumerate() {
            for need in &step.needs {
                let Some(&from) = index.get(&need.step) else {
                    return Err(PlanError::UnknownNeed { step: step.id.clone(), needs: need.step.clone() });
                };
                graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), need.kind);
            }
        }
        match topological(&graph) {
            Some(order) => Ok(Self { graph, order }),
            None => Err(PlanError::Cycle(find_cycle(&graph, steps))),
        }
    }

    /// All steps, each after what it needs; ties in declaration order.
    #[must_use]
    pub fn order(&self) -> &[StepIx] {
        &self.order
    }

    /// What a step needs, and why.
    pub fn parents(&self, ix: StepIx) -> impl Iterator<Item = (StepIx, NeedKind)> + '_ {
        self.neighbours(ix, Direction::Incoming)
    }

    /// What needs a step, and why.
    pub fn children(&self, ix: StepIx) -> impl Iterator<Item = (StepIx, NeedKind)> + '_ {
        self.neighbours(ix, Direction::Outgoing)
    }

    /// How many steps a step needs.
    #[must_use]
    pub fn parent_count(&self, ix: StepIx) -> usize {
        self.graph.neighbors_directed(NodeIndex::new(ix), Direction::Incoming).count()
    }

    /// Everything that a step needs, directly or not.
    #[must_use]
    pub fn ancestors(&self, ix: StepIx) -> Vec<StepIx> {
        let mut seen = vec![false; self.graph.node_count()];
        let mut stack: Vec<StepIx> = self.parents(ix).map(|(parent, _)| parent).collect();
        let mut found = Vec::new();
        while let Some(next) = stack.pop() {
            if std::mem::replace(&mut seen[next], true) {
                continue;
            }
            found.push(next);
            stack.extend(self.parents(next).map(|(parent, _)| parent));
        }
        found.sort_unstable();
        found
    }

    fn neighbours(&self, ix: StepIx, way: Direction) -> impl Iterator<Item = (StepIx, NeedKind)> + '_ {
        use petgraph::visit::EdgeRef as _;
        self.graph.edges_directed(NodeIndex::new(ix), way).map(move |edge| {
            let other = match way {
                Direction::Incoming => edge.source(),
                Direction::Outgoing => edge.target(),
            };
            (other.index(), *edge.weight())
        })
    }
}

/// Kahn's algorithm with a heap on declaration order, so that a plan is always the same.
fn topological(graph: &DiGraph<(), NeedKind, u32>) -> Option<Vec<StepIx>> {
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|node| graph.neighbors_directed(node, Direction::Incoming).count()).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, needs)| **needs == 0).map(|(ix, _)| Reverse(ix)).collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(Reverse(ix)) = ready.pop() {
        order.push(ix);
        for child in graph.neighbors_directed(NodeIndex::new(ix), Direction::Outgoing) {
            waiting[child.index()] -= 1;
            if waiting[child.index()] == 0 {
                ready.push(Reverse(child.index()));
            }
        }
    }
    (order.len() == waiting.len()).then_some(order)
}

/// One circle, walked from the step that is declared first in it.
fn find_cycle(graph: &DiGraph<(), NeedKind, u32>, steps: &[Arc<Step>]) -> Cycle {
    let knot = tarjan_scc(graph)
        .into_iter()
        .filter(|knot| knot.len() > 1 || knot.iter().any(|node| graph.contains_edge(*node, *node)))
        .min_by_key(|knot| knot.iter().map(|node| node.index()).min());
    let Some(knot) = knot else { return Cycle(Vec::new()) };
    let Some(start) = knot.iter().copied().min() else { return Cycle(Vec::new()) };
    let knot: HashSet<NodeIndex> = knot.into_iter().collect();
    // Walk "needs" inside the knot until a step repeats: that stretch is a circle.
    let mut path = vec![start];
    let mut walked = HashSet::from([start]);
    loop {
        let here = path[path.len() - 1];
        let next = graph
            .neighbors_directed(here, Direction::Incoming)
            .filter(|parent| knot.contains(parent))
            .min()
            .expect("a strongly connected component has an edge into each of its nodes");
        if !walked.insert(next) {
            let at = path.iter().position(|node| *node == next).unwrap_or(0);
            return Cycle(path[at..].iter().map(|node| steps[node.index()].id.clone()).collect());
        }
        path.push(next);
    }
}
