//! A run on a screen of a given size: questions first, steps folded to what fits.

use super::asks::{self, Detail};
use super::line::{Line, Look};
use super::{Canvas, back, checks, needs, parts, steps};
use crate::view::RunView;

/// The lines of a screen, at most `rows`, none wider than the canvas.
#[must_use]
pub fn frame(view: &RunView, canvas: &Canvas, rows: usize, footer: Vec<Line>) -> Vec<Line> {
    let mut head = vec![parts::title(view, canvas), parts::doing(view, canvas)];
    head.extend(parts::service(view, canvas));
    head.extend(parts::window(view, canvas));
    head.extend(parts::change(view, canvas));
    head.extend(parts::warnings(view, canvas));
    let room = rows.saturating_sub(head.len() + footer.len());
    // As much of the questions as leaves room for a few steps.
    let asked = [Detail::Full, Detail::Middle].into_iter().map(|detail| asks::questions(view, canvas, detail));
    let asked = asked.into_iter().find(|lines| lines.len() + 5 <= room);
    let asked = asked.unwrap_or_else(|| asks::questions(view, canvas, Detail::Short));
    let criteria =
        if checks::are_live(view) && view.rollback.is_none() { checks::criteria(view, canvas) } else { vec![] };
    let gate = checks::gate(view, canvas);
    let mut body = Vec::new();
    push(&mut body, asked);
    push(&mut body, needs::needs(view, canvas, 4));
    let taken = body.len() + criteria.len() + gate.iter().len() + 2;
    let left = room.saturating_sub(taken).max(3);
    let going_back = back::rollback(view, canvas);
    if going_back.is_empty() {
        push(&mut body, steps::lines(view, canvas, left));
    } else {
        push(&mut body, window_of(going_back, left));
    }
    push(&mut body, criteria);
    body.extend(gate);
    push(&mut body, back::leftovers(view, canvas));
    body.truncate(room);
    let mut lines = head;
    lines.extend(body);
    lines.resize(rows.saturating_sub(footer.len()).max(1), Line::new());
    lines.extend(footer);
    lines.truncate(rows);
    lines.into_iter().map(|line| line.cut(canvas.columns)).collect()
}

/// A part of the screen, with an empty line before it.
fn push(body: &mut Vec<Line>, part: Vec<Line>) {
    if !part.is_empty() {
        body.push(Line::new());
        body.extend(part);
    }
}

/// As much of a long list as fits, with what is under way in sight.
fn window_of(lines: Vec<Line>, room: usize) -> Vec<Line> {
    if lines.len() <= room {
        return lines;
    }
    let count = lines.len();
    let kept = room.saturating_sub(1);
    let mut shown: Vec<Line> = lines.into_iter().skip(count - kept).collect();
    shown.insert(0, Line::of(Look::Dim, format!("{} lines above", count - kept)));
    shown
}
