//! Criteria with a sparkline, and what the gate lacks.

use super::line::{Line, Look};
use super::{Canvas, span};
use crate::cli::text;
use crate::view::{CriterionView, RunView};

/// Cells of a sparkline.
const SPARKS: usize = 14;

/// All criteria, once they mean anything.
pub(super) fn criteria(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let widest = view.criteria.iter().map(|criterion| text::width(&criterion.criterion)).max().unwrap_or(0);
    let cells = widest.clamp(8, (canvas.columns / 2).max(12));
    view.criteria.iter().map(|criterion| one(criterion, view, canvas, cells)).collect()
}

/// Whether a line per criterion says something: they are live, or were.
pub(super) fn are_live(view: &RunView) -> bool {
    view.criteria.iter().any(|criterion| criterion.live || !criterion.samples.is_empty())
}

fn one(criterion: &CriterionView, view: &RunView, canvas: &Canvas, cells: usize) -> Line {
    let look = match criterion.state.as_str() {
        "clear" => Look::Good,
        "suspect" => Look::Warn,
        "tripped" | "blind" => Look::Bad,
        _ => Look::Dim,
    };
    let line = Line::of(Look::Plain, "  ")
        .cell(Look::Plain, &criterion.criterion, cells)
        .add(Look::Plain, "  ")
        .cell(look, &criterion.state, 8)
        .join(sparkline(criterion, canvas))
        .add(Look::Plain, " ");
    line.add(remark_look(criterion), remark(criterion, view, canvas))
}

fn sparkline(criterion: &CriterionView, canvas: &Canvas) -> Line {
    let newest = criterion.samples.len().saturating_sub(SPARKS);
    let mut line = Line::of(Look::Plain, " ".repeat(SPARKS - (criterion.samples.len() - newest)));
    for sample in &criterion.samples[newest..] {
        line = match sample.verdict.as_str() {
            "pass" => line.add(Look::Good, canvas.glyphs.pass),
            "fail" => line.add(Look::Bad, canvas.glyphs.fail),
            _ => line.add(Look::Dim, canvas.glyphs.blank),
        };
    }
    line
}

fn remark_look(criterion: &CriterionView) -> Look {
    if criterion.disarmed_until_at.is_some() || criterion.trips_at.is_some() { Look::Bad } else { Look::Dim }
}

fn remark(criterion: &CriterionView, view: &RunView, canvas: &Canvas) -> String {
    if let Some(until) = criterion.disarmed_until_at {
        return format!("DISARMED until {}: a trip asks", canvas.zone.near(until, view.now_at));
    }
    if let Some(at) = criterion.trips_at.filter(|_| criterion.state == "suspect") {
        if at <= view.now_at {
            // Samples that said nothing put it off.
            return "trips with the next fail".to_owned();
        }
        return format!("trips at {} if nothing changes", canvas.zone.clock(at));
    }
    if let Some(at) = criterion.starts_at {
        return format!("first sample in {}", span(at.saturating_sub(view.now_at).max(0)));
    }
    if criterion.state == "blind" {
        let why = criterion.samples.last().and_then(|sample| sample.because.clone());
        return why.unwrap_or_else(|| "no sample is young enough".to_owned());
    }
    if criterion.since_gap < criterion.min_samples {
        let gap = if criterion.since_gap < criterion.measured { " since the last gap" } else { "" };
        return format!("{} of {} samples{gap}", criterion.since_gap, criterion.min_samples);
    }
    match criterion.action.as_str() {
        "observeOnly" => format!("{}, observed only", criterion.rule),
        "ask" => format!("{}, asks", criterion.rule),
        _ => criterion.rule.clone(),
    }
}

/// What the gate lacks.
pub(super) fn gate(view: &RunView, canvas: &Canvas) -> Option<Line> {
    if view.gaps.is_empty() || !view.questions.is_empty() {
        return None;
    }
    let text = match view.gaps.as_slice() {
        [only] => format!("the gate lacks: {only}"),
        [first, rest @ ..] => format!("the gate lacks: {first} and {} more", rest.len()),
        [] => return None,
    };
    Some(Line::of(Look::Dim, text).cut(canvas.columns))
}
