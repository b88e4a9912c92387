//! Boxes, lines, marks and badges of the SVG.

use std::fmt::Write as _;

use super::State;
use super::flow::{BOX_HEIGHT, BOX_WIDTH, Line, Piece, Point};
use super::words::xml;

/// How many characters of a name fit into one line of a box.
const FIT: usize = 25;

/// The outline of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Does something.
    Action,
    /// Only looks.
    Check,
    /// People decide.
    Approval,
    /// Removes what was built.
    Cleanup,
}

/// When a step is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Badge {
    /// From 1.
    pub(super) number: usize,
    /// Only after users are back.
    pub(super) is_cleanup: bool,
}

/// A box.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    /// Shown when a pointer rests on it: the whole name and what it does.
    pub(super) tooltip: String,
    pub(super) subtitle: String,
    pub(super) marks: Vec<&'static str>,
    pub(super) badge: Option<Badge>,
    pub(super) shape: Shape,
    pub(super) state: Option<State>,
}

/// Two decimals at most, no `-0`.
pub(super) fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded == 0.0 { "0".to_owned() } else { format!("{rounded}") }
}

fn text(out: &mut String, class: &str, at: Point, content: &str) {
    let (x, y) = (number(at.x), number(at.y));
    write!(out, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", xml(content)).expect("text can grow");
}

pub(super) fn label(out: &mut String, class: &str, x: f64, y: f64, content: &str) {
    text(out, class, Point { x, y }, content);
}

/// A box with all that is on it.
pub(super) fn node(out: &mut String, node: &Node, (x, y): (f64, f64)) {
    write!(out, "<g><title>{}</title>", xml(&node.tooltip)).expect("text can grow");
    outline(out, node, x, y);
    let lines = fit(&node.name);
    let first = if lines.len() > 1 { y + 20.0 } else { y + 25.0 };
    for (line, shown) in (0_u8..).zip(&lines) {
        label(out, "mono", x + 12.0, first + 14.0 * f64::from(line), shown);
    }
    label(out, "sub", x + 12.0, y + BOX_HEIGHT - 9.0, &shorten(&node.subtitle, 30));
    let mut right = x + BOX_WIDTH - 9.0;
    if let Some(badge) = node.badge {
        self::badge(out, badge, right - 8.0, y + BOX_HEIGHT - 12.0);
        right -= 22.0;
    }
    if let Some(word) = node.state.map(State::word).filter(|word| !word.is_empty()) {
        label(out, "word end", right, y + BOX_HEIGHT - 9.0, word);
    }
    marks(out, &node.marks, x + 10.0, y);
    out.push_str("</g>");
}

fn outline(out: &mut String, node: &Node, x: f64, y: f64) {
    let strong = node.marks.contains(&"exposes") || node.marks.contains(&"irreversible");
    let mut class = "box".to_owned();
    if let Some(state) = node.state {
        write!(class, " s-{}", state.class()).expect("text can grow");
    }
    if strong {
        class.push_str(" box-strong");
    }
    let radius = match node.shape {
        Shape::Action => 4.0,
        Shape::Check => 16.0,
        Shape::Cleanup => {
            class.push_str(" box-cleanup");
            4.0
        }
        Shape::Approval => {
            octagon(out, &class, x, y);
            return;
        }
    };
    rect(out, &class, (x, y, BOX_WIDTH, BOX_HEIGHT), radius);
    if node.marks.contains(&"irreversible") {
        rect(out, "inner", (x + 4.0, y + 4.0, BOX_WIDTH - 8.0, BOX_HEIGHT - 8.0), 2.0);
    }
    if node.marks.contains(&"source down") {
        rect(out, "down", (x, y, 5.0, BOX_HEIGHT), 0.0);
    }
}

pub(super) fn rect(out: &mut String, class: &str, (x, y, width, height): (f64, f64, f64, f64), radius: f64) {
    let (x, y, width, height, radius) = (number(x), number(y), number(width), number(height), number(radius));
    write!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>")
        .expect("text can grow");
}

fn octagon(out: &mut String, class: &str, x: f64, y: f64) {
    let cut = 12.0;
    let (right, bottom) = (x + BOX_WIDTH, y + BOX_HEIGHT);
    let corners = [
        (x + cut, y),
        (right - cut, y),
        (right, y + cut),
        (right, bottom - cut),
        (right - cut, bottom),
        (x + cut, bottom),
        (x, bottom - cut),
        (x, y + cut),
    ];
    let points: Vec<String> = corners.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y))).collect();
    write!(out, "<polygon class=\"{class}\" points=\"{}\"/>", points.join(" ")).expect("text can grow");
}

/// Marks stand on the upper edge of a box.
fn marks(out: &mut String, marks: &[&str], mut x: f64, y: f64) {
    for mark in marks {
        let is_dark = matches!(*mark, "exposes" | "irreversible");
        x += pill(out, mark, x, y - 7.5, is_dark) + 5.0;
    }
}

/// A small label in a frame; gives its width.
pub(super) fn pill(out: &mut String, word: &str, x: f64, y: f64, is_dark: bool) -> f64 {
    let width = pill_width(word);
    rect(out, if is_dark { "pill pill-dark" } else { "pill" }, (x, y, width, 15.0), 7.5);
    label(out, if is_dark { "pill-text on-dark" } else { "pill-text" }, x + width / 2.0, y + 10.6, word);
    width
}

/// Wide enough for the widest of the fonts that may be there.
pub(super) fn pill_width(word: &str) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "marks are short")]
    let letters = word.chars().count() as f64;
    letters * 5.7 + 13.0
}

/// The place of an undo in the way back.
pub(super) fn badge(out: &mut String, badge: Badge, x: f64, y: f64) {
    let class = if badge.is_cleanup { "badge badge-cleanup" } else { "badge" };
    let ink = if badge.is_cleanup { "badge-text" } else { "badge-text on-dark" };
    let radius = if badge.number > 99 { 11.0 } else { 8.5 };
    let (cx, cy) = (number(x), number(y));
    write!(out, "<circle class=\"{class}\" cx=\"{cx}\" cy=\"{cy}\" r=\"{radius}\"/>").expect("text can grow");
    label(out, ink, x, y + 3.6, &badge.number.to_string());
}

/// An arrow, moved to where its band begins.
pub(super) fn line(out: &mut String, line: &Line, (dx, dy): (f64, f64)) {
    let moved = |point: Point| Point { x: point.x + dx, y: point.y + dy };
    let mut path = String::new();
    let mut tip = Point { x: dx, y: dy };
    for (at, piece) in line.pieces.iter().enumerate() {
        let is_last = at + 1 == line.pieces.len();
        let (start, mut end) = match *piece {
            Piece::Step(start, end) | Piece::Pass(start, end) | Piece::Wrap(start, end, _) => {
                (moved(start), moved(end))
            }
        };
        tip = end;
        if is_last {
            end.x -= 6.0;
        }
        if at == 0 {
            write!(path, "M{} {}", number(start.x), number(start.y)).expect("text can grow");
        }
        match *piece {
            Piece::Pass(..) => write!(path, "L{} {}", number(end.x), number(end.y)).expect("text can grow"),
            Piece::Step(..) => step(&mut path, start, end),
            Piece::Wrap(_, _, channel) => wrap(&mut path, start, end, channel + dy),
        }
    }
    let (edge, arrow) = if line.blocks { ("edge edge-blocks", "tip tip-blocks") } else { ("edge", "tip") };
    write!(out, "<path class=\"{edge}\" d=\"{path}\"/>").expect("text can grow");
    let (x, y) = (number(tip.x), number(tip.y));
    write!(out, "<path class=\"{arrow}\" d=\"M{x} {y}l-8 -4v8z\"/>").expect("text can grow");
}

/// Leaves and enters horizontally.
fn step(path: &mut String, start: Point, end: Point) {
    if (start.y - end.y).abs() < 0.5 {
        write!(path, "L{} {}", number(end.x), number(end.y)).expect("text can grow");
        return;
    }
    let bend = ((end.x - start.x) / 2.0).max(10.0);
    let (x1, x2) = (number(start.x + bend), number(end.x - bend));
    write!(path, "C{x1} {} {x2} {} {} {}", number(start.y), number(end.y), number(end.x), number(end.y))
        .expect("text can grow");
}

/// Out to the right, back between the rows, in from the left.
fn wrap(path: &mut String, start: Point, end: Point, channel: f64) {
    let round = 7.0;
    let (right, left) = (start.x + 16.0, end.x - 12.0);
    let corner = |path: &mut String, (x, y): (f64, f64), (to_x, to_y): (f64, f64)| {
        write!(path, "Q{} {} {} {}", number(x), number(y), number(to_x), number(to_y)).expect("text can grow");
    };
    write!(path, "L{} {}", number(right - round), number(start.y)).expect("text can grow");
    corner(path, (right, start.y), (right, start.y + round));
    write!(path, "L{} {}", number(right), number(channel - round)).expect("text can grow");
    corner(path, (right, channel), (right - round, channel));
    write!(path, "L{} {}", number(left + round), number(channel)).expect("text can grow");
    corner(path, (left, channel), (left, channel + round));
    write!(path, "L{} {}", number(left), number(end.y - round)).expect("text can grow");
    corner(path, (left, end.y), (left + round, end.y));
    write!(path, "L{} {}", number(end.x), number(end.y)).expect("text can grow");
}

/// A name in at most two lines, broken where words end, cut with an ellipsis.
fn fit(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= FIT {
        return vec![name.to_owned()];
    }
    let ends = |c: &char| matches!(c, '_' | '-' | '.' | ':' | '/' | ' ');
    let at = chars[..FIT].iter().rposition(ends).filter(|at| *at >= FIT / 3).map_or(FIT, |at| at + 1);
    let first: String = chars[..at].iter().collect();
    let rest: String = chars[at..].iter().collect();
    vec![first.trim_end().to_owned(), shorten(&rest, FIT)]
}

/// At most this many characters.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}
