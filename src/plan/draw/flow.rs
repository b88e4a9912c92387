//! Where the boxes of one band go: layers from left to right, wrapped like text.
//!
//! Layers are the longest paths; the order inside a layer and its positions come from
//! rust-sugiyama, which is given the long edges cut into pieces so that they get room of their own.
//! Large graphs keep the order of their declaration: nobody reads their crossings.

use rust_sugiyama::configure::{Config, CrossingMinimization, RankingType};

/// Layers side by side.
pub(super) const COLUMNS: usize = 4;
/// Width of a box.
pub(super) const BOX_WIDTH: f64 = 198.0;
/// Height of a box.
pub(super) const BOX_HEIGHT: f64 = 58.0;
/// Between boxes above each other; marks stand in it.
pub(super) const GAP: f64 = 22.0;
/// Between columns; arrows stand in it.
pub(super) const COLUMN_GAP: f64 = 30.0;
/// Width of all columns.
pub(super) const WIDTH: f64 = COLUMNS as f64 * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP;

/// Above this many nodes crossings are not minimised.
const LARGE: usize = 240;
/// The room that a long edge gets beside the boxes that it passes.
const LANE: f64 = 10.0;

/// What an edge costs that crosses from one row to the next beside another one, in height.
const CROSSING_COST: f64 = 30.0;

/// A point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// An edge between two nodes, by their places in the list that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) blocks: bool,
}

/// A line to draw, from the right side of a box to the left side of another one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// Pairs of points: each piece leaves the first and enters the second horizontally.
    pub(super) pieces: Vec<Piece>,
    pub(super) blocks: bool,
}

/// A part of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Piece {
    /// From one column to the next.
    Step(Point, Point),
    /// Straight past a box of its column.
    Pass(Point, Point),
    /// From the last column to the first one of the next row; the channel's height between the rows.
    Wrap(Point, Point, f64),
}

/// Where everything goes, from the upper left corner.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Layout {
    /// Upper left corners, in the order of the nodes.
    pub(super) places: Vec<(f64, f64)>,
    pub(super) lines: Vec<Line>,
    pub(super) height: f64,
}

/// A node of the layered graph: a box, or a place where a long edge passes.
#[derive(Debug, Clone, Copy)]
struct Spot {
    layer: usize,
    /// Position inside the layer, of its middle.
    across: f64,
    is_box: bool,
}

/// Lays out `count` nodes.
pub(super) fn arrange(count: usize, edges: &[Edge]) -> Layout {
    let edges = reduced(count, edges);
    let mut linked = vec![false; count];
    for edge in &edges {
        linked[edge.from] = true;
        linked[edge.to] = true;
    }
    let single: Vec<usize> = (0..count).filter(|node| !linked[*node]).collect();
    let flowing: Vec<usize> = (0..count).filter(|node| linked[*node]).collect();
    let mut layout = Layout { places: vec![(0.0, 0.0); count], ..Layout::default() };
    grid(&single, &mut layout);
    if !flowing.is_empty() {
        flow(&flowing, &edges, &mut layout);
    }
    layout
}

/// Nodes without edges stand in rows.
fn grid(nodes: &[usize], layout: &mut Layout) {
    for (at, node) in nodes.iter().enumerate() {
        let (row, column) = (at / COLUMNS, at % COLUMNS);
        layout.places[*node] = (column_x(column), as_f64(row) * (BOX_HEIGHT + GAP));
        layout.height = as_f64(row) * (BOX_HEIGHT + GAP) + BOX_HEIGHT;
    }
}

fn column_x(column: usize) -> f64 {
    as_f64(column) * (BOX_WIDTH + COLUMN_GAP)
}

#[expect(clippy::cast_precision_loss, reason = "a picture has fewer than 2^52 rows")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Without edges that say nothing new: those whose end is also reached another way.
fn reduced(count: usize, edges: &[Edge]) -> Vec<Edge> {
    if count > LARGE {
        return edges.to_vec();
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in edges {
        children[edge.from].push(edge.to);
    }
    let reaches = |from: usize, to: usize, without: usize| {
        let mut seen = vec![false; count];
        let mut open: Vec<usize> = children[from].iter().copied().filter(|child| *child != without).collect();
        while let Some(node) = open.pop() {
            if node == to {
                return true;
            }
            if !std::mem::replace(&mut seen[node], true) {
                open.extend(&children[node]);
            }
        }
        false
    };
    edges.iter().copied().filter(|edge| !reaches(edge.from, edge.to, edge.to)).collect()
}

fn flow(nodes: &[usize], edges: &[Edge], layout: &mut Layout) {
    let mut local = vec![usize::MAX; layout.places.len()];
    for (at, node) in nodes.iter().enumerate() {
        local[*node] = at;
    }
    let edges: Vec<Edge> =
        edges.iter().map(|edge| Edge { from: local[edge.from], to: local[edge.to], blocks: edge.blocks }).collect();
    let layers = layers(nodes.len(), &edges);
    let mut spots: Vec<Spot> = layers.iter().map(|layer| Spot { layer: *layer, across: 0.0, is_box: true }).collect();
    let chains = cut_long_edges(&edges, &mut spots);
    place_across(&mut spots, &chains);
    let rows = Rows::of(&spots, &chains, if layout.height > 0.0 { layout.height + GAP } else { 0.0 });
    for (at, node) in nodes.iter().enumerate() {
        layout.places[*node] = rows.corner(&spots[at]);
    }
    layout.lines = chains.iter().zip(&edges).map(|(chain, edge)| rows.line(&spots, chain, edge.blocks)).collect();
    layout.height = rows.height;
}

/// Longest paths from the start; what nothing comes before stands right before what needs it.
fn layers(count: usize, edges: &[Edge]) -> Vec<usize> {
    let mut waiting = vec![0_usize; count];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); count];
    for edge in edges {
        waiting[edge.to] += 1;
        children[edge.from].push(edge.to);
    }
    let is_start: Vec<bool> = waiting.iter().map(|needs| *needs == 0).collect();
    let mut layers: Vec<usize> = vec![0; count];
    let mut open: Vec<usize> = (0..count).filter(|node| is_start[*node]).collect();
    while let Some(node) = open.pop() {
        for &child in &children[node] {
            layers[child] = layers[child].max(layers[node] + 1);
            waiting[child] -= 1;
            if waiting[child] == 0 {
                open.push(child);
            }
        }
    }
    for node in (0..count).filter(|node| is_start[*node]) {
        let first = children[node].iter().map(|child| layers[*child]).min();
        layers[node] = first.map_or(0, |first| first.saturating_sub(1));
    }
    layers
}

/// Each edge as a chain of spots, one per layer.
fn cut_long_edges(edges: &[Edge], spots: &mut Vec<Spot>) -> Vec<Vec<usize>> {
    let cut = |edge: &Edge| {
        let mut chain = vec![edge.from];
        for layer in spots[edge.from].layer + 1..spots[edge.to].layer {
            chain.push(spots.len());
            spots.push(Spot { layer, across: 0.0, is_box: false });
        }
        chain.push(edge.to);
        chain
    };
    edges.iter().map(cut).collect()
}

/// Fills the positions inside of layers.
fn place_across(spots: &mut [Spot], chains: &[Vec<usize>]) {
    if spots.len() > LARGE {
        return stack(spots);
    }
    let size = |spot: &Spot| if spot.is_box { BOX_HEIGHT } else { LANE };
    let index = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let vertices: Vec<(u32, (f64, f64))> =
        spots.iter().enumerate().map(|(at, spot)| (index(at), (size(spot), 1.0))).collect();
    let links: Vec<(u32, u32)> =
        chains.iter().flat_map(|chain| chain.windows(2)).map(|pair| (index(pair[0]), index(pair[1]))).collect();
    let config = Config {
        minimum_length: 1,
        vertex_spacing: GAP,
        dummy_vertices: true,
        dummy_size: 0.5,
        ranking_type: RankingType::MinimizeEdgeLength,
        c_minimization: CrossingMinimization::Barycenter,
        transpose: true,
    };
    let mut below = 0.0;
    for (part, _, _) in rust_sugiyama::from_vertices_and_edges(&vertices, &links, &config) {
        let top = part.iter().map(|(at, (x, _))| x - size(&spots[*at]) / 2.0).fold(f64::INFINITY, f64::min);
        let end = part.iter().map(|(at, (x, _))| x + size(&spots[*at]) / 2.0).fold(f64::NEG_INFINITY, f64::max);
        let mut bottom = below;
        // Either way up has as few crossings: what is declared first stands above.
        let is_upside_down = is_upside_down(&part);
        for (at, (x, _)) in &part {
            let across = if is_upside_down { end - x + below } else { x - top + below };
            bottom = f64::max(bottom, across + size(&spots[*at]) / 2.0);
            spots[*at].across = across;
        }
        below = bottom + GAP;
    }
    part_overlaps(spots);
}

/// Whether most pairs of neighbours stand against the order of their declaration.
fn is_upside_down(part: &[(usize, (f64, f64))]) -> bool {
    let mut order: Vec<(usize, f64, f64)> = part.iter().map(|(at, (x, y))| (*at, *y, *x)).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    let pairs = order.windows(2).filter(|pair| (pair[0].1 - pair[1].1).abs() < 0.5);
    let balance: i64 = pairs.map(|pair| if pair[0].0 < pair[1].0 { 1 } else { -1 }).sum();
    balance < 0
}

/// Boxes of one layer that came too close are moved apart, in their order.
fn part_overlaps(spots: &mut [Spot]) {
    let mut order: Vec<usize> = (0..spots.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&spots[*a], &spots[*b]);
        a.layer.cmp(&b.layer).then(a.across.total_cmp(&b.across))
    });
    let half = |spot: &Spot| if spot.is_box { BOX_HEIGHT / 2.0 } else { LANE / 2.0 };
    for pair in order.windows(2) {
        let (before, spot) = (spots[pair[0]], spots[pair[1]]);
        if before.layer == spot.layer {
            let gap = if before.is_box && spot.is_box { GAP } else { LANE };
            spots[pair[1]].across = spot.across.max(before.across + half(&before) + gap + half(&spot));
        }
    }
}

/// The plain way: every layer from top to bottom in the order of declaration.
fn stack(spots: &mut [Spot]) {
    let mut filled: Vec<f64> = vec![0.0; spots.iter().map(|spot| spot.layer + 1).max().unwrap_or(0)];
    for spot in spots {
        let (size, gap) = if spot.is_box { (BOX_HEIGHT, GAP) } else { (LANE, 2.0) };
        spot.across = filled[spot.layer] + size / 2.0;
        filled[spot.layer] += size + gap;
    }
}

/// Layers in rows of [`COLUMNS`].
struct Rows {
    /// Row and column of each layer.
    cells: Vec<(usize, usize)>,
    /// Upper edge of each row, and the smallest position in it.
    tops: Vec<(f64, f64)>,
    height: f64,
}

impl Rows {
    fn of(spots: &[Spot], chains: &[Vec<usize>], top: f64) -> Self {
        let count = spots.iter().map(|spot| spot.layer + 1).max().unwrap_or(0);
        let layers = extents(count, spots);
        let cells = wrap(&layers, &crossings(count, spots, chains));
        let mut rows = vec![(f64::INFINITY, f64::NEG_INFINITY); cells.last().map_or(0, |(row, _)| row + 1)];
        for ((row, _), (low, high)) in cells.iter().zip(layers) {
            rows[*row] = (f64::min(rows[*row].0, low), f64::max(rows[*row].1, high));
        }
        let mut tops = Vec::with_capacity(rows.len());
        let mut y = top;
        for (low, high) in rows {
            tops.push((y, low));
            y += high - low + GAP + 6.0;
        }
        Self { cells, tops, height: y - GAP - 6.0 }
    }

    fn middle(&self, spot: &Spot) -> f64 {
        let (top, low) = self.tops[self.cells[spot.layer].0];
        top + spot.across - low
    }

    fn corner(&self, spot: &Spot) -> (f64, f64) {
        (column_x(self.cells[spot.layer].1), self.middle(spot) - BOX_HEIGHT / 2.0)
    }

    fn line(&self, spots: &[Spot], chain: &[usize], blocks: bool) -> Line {
        let mut pieces = Vec::with_capacity(chain.len() * 2);
        for pair in chain.windows(2) {
            let (from, to) = (&spots[pair[0]], &spots[pair[1]]);
            let ((row, column), (next_row, next_column)) = (self.cells[from.layer], self.cells[to.layer]);
            let start = Point { x: column_x(column) + BOX_WIDTH, y: self.middle(from) };
            let end = Point { x: column_x(next_column), y: self.middle(to) };
            if !from.is_box {
                pieces.push(Piece::Pass(Point { x: column_x(column), y: start.y }, start));
            }
            pieces.push(if row == next_row {
                Piece::Step(start, end)
            } else {
                Piece::Wrap(start, end, self.tops[next_row].0 - (GAP + 6.0) / 2.0 - 3.0)
            });
        }
        Line { pieces, blocks }
    }
}

/// How many edges cross from each layer to the next one.
fn crossings(count: usize, spots: &[Spot], chains: &[Vec<usize>]) -> Vec<usize> {
    let mut crossing = vec![0; count];
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        crossing[spots[pair[0]].layer] += 1;
    }
    crossing
}

/// Where rows end: the page stays short, and few edges cross from one row to the next.
fn wrap(extents: &[(f64, f64)], crossing: &[usize]) -> Vec<(usize, usize)> {
    let count = extents.len();
    // best[layer]: what this layer and all behind it cost, and how many of them stand in the first row.
    let mut best: Vec<(f64, usize)> = vec![(f64::INFINITY, 1); count];
    for start in (0..count).rev() {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for columns in 1..=COLUMNS.min(count - start) {
            let (first, last) = extents[start + columns - 1];
            (low, high) = (low.min(first), high.max(last));
            let crossed = as_f64(crossing[start + columns - 1].saturating_sub(1)) * CROSSING_COST;
            let rest = best.get(start + columns).map_or(0.0, |(rest, _)| rest + crossed);
            // Of rows that cost the same the fuller one is taken.
            let cost = (high - low) + GAP + rest;
            if cost <= best[start].0 + 0.5 {
                best[start] = (cost, columns);
            }
        }
    }
    let mut cells = Vec::with_capacity(count);
    let mut row = 0;
    while let Some((_, columns)) = best.get(cells.len()) {
        cells.extend((0..*columns).map(|column| (row, column)));
        row += 1;
    }
    cells
}

/// The first and the last position of each layer.
fn extents(count: usize, spots: &[Spot]) -> Vec<(f64, f64)> {
    let mut extents = vec![(f64::INFINITY, f64::NEG_INFINITY); count];
    for spot in spots {
        let half = if spot.is_box { BOX_HEIGHT / 2.0 } else { LANE / 2.0 };
        let extent = &mut extents[spot.layer];
        *extent = (extent.0.min(spot.across - half), extent.1.max(spot.across + half));
    }
    extents
}
