//! The way back, undo by undo.

use super::line::{Line, Look};
use super::{Canvas, span, steps};
use crate::cli::text;
use crate::view::{LeftView, RollbackView, RunView, UndoView, words};

/// Both parts of a rollback; empty without one.
pub(super) fn rollback(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let Some(rollback) = &view.rollback else { return Vec::new() };
    let mut lines = Vec::new();
    if !rollback.ordered {
        let left = span(rollback.settle_by_at.saturating_sub(view.now_at).max(0));
        lines.push(Line::of(Look::Warn, format!("waiting up to {left} for running steps to stop")));
        return lines;
    }
    let all = rollback.restore.iter().chain(&rollback.cleanup);
    let cells = all.map(|undo| text::width(&undo.step)).max().unwrap_or(0).clamp(8, (canvas.columns / 2).max(12));
    if !rollback.restore.is_empty() {
        lines.push(head(view, canvas, "restore", restored(rollback, canvas)));
        lines.extend(rollback.restore.iter().map(|undo| line(undo, view, canvas, cells)));
    }
    if !rollback.cleanup.is_empty() {
        lines.push(head(view, canvas, "clean-up", String::new()));
        lines.extend(rollback.cleanup.iter().map(|undo| line(undo, view, canvas, cells)));
    }
    for stays in &rollback.stays {
        lines.push(left(stays, canvas));
    }
    lines
}

fn head(view: &RunView, canvas: &Canvas, name: &str, more: String) -> Line {
    let line = Line::of(Look::Strong, name);
    if more.is_empty() {
        return line;
    }
    let look = if view.summary.is_final { Look::Good } else { Look::Dim };
    line.add(Look::Dim, canvas.glyphs.dot).add(look, more)
}

fn restored(rollback: &RollbackView, canvas: &Canvas) -> String {
    let by = if rollback.checks.is_empty() { "not verified by any check" } else { "verified" };
    rollback.restored_at.map(|at| format!("service restored {}, {by}", canvas.zone.clock(at))).unwrap_or_default()
}

fn line(undo: &UndoView, view: &RunView, canvas: &Canvas, cells: usize) -> Line {
    let glyphs = canvas.glyphs;
    let (look, glyph) = match undo.state.as_str() {
        "undone" | "succeeded" | "skipped" => (Look::Good, glyphs.done),
        "undoing" | "running" => (Look::Live, glyphs.live),
        "failed" => (Look::Bad, glyphs.bad),
        "unknown" => (Look::Bad, glyphs.ask),
        "waived" => (Look::Warn, glyphs.skipped),
        "backoff" => (Look::Warn, glyphs.waits),
        _ => (Look::Dim, glyphs.later),
    };
    let time = match (undo.elapsed_ms, undo.estimate_ms) {
        (Some(elapsed), Some(estimate)) => format!("{} / {}", span(elapsed), words::span_u(estimate)),
        (Some(elapsed), None) => span(elapsed),
        (None, Some(estimate)) if undo.state == "pending" => format!("~{}", words::span_u(estimate)),
        (None, Some(_) | None) => String::new(),
    };
    let mut line = Line::of(look, glyph)
        .add(Look::Plain, " ")
        .cell(Look::Plain, &undo.step, cells)
        .add(Look::Plain, "  ")
        .cell(Look::Dim, undo.stage.as_deref().unwrap_or(""), 10)
        .cell(Look::Dim, &time, 15);
    if undo.attempt > 1 {
        line = line.add(Look::Warn, format!(" #{}", undo.attempt));
    }
    if let Some(progress) = &undo.progress {
        line = line.join(steps::bar(progress, glyphs));
    }
    line.add(Look::Plain, " ").add(remark_look(undo), remark(undo, view))
}

fn remark_look(undo: &UndoView) -> Look {
    match undo.state.as_str() {
        "failed" | "unknown" => Look::Bad,
        "backoff" | "waived" => Look::Warn,
        _ => Look::Dim,
    }
}

fn remark(undo: &UndoView, view: &RunView) -> String {
    if let Some(at) = undo.retry_at {
        let why = undo.failure.as_ref().map(|failure| format!(": {}", failure.message)).unwrap_or_default();
        return format!("again in {}{why}", span(at.saturating_sub(view.now_at).max(0)));
    }
    let blocked: Vec<&str> = undo
        .blocked_by
        .iter()
        .filter(|on| {
            let rollback = view.rollback.as_ref();
            let all = rollback.into_iter().flat_map(|rollback| rollback.restore.iter().chain(&rollback.cleanup));
            all.into_iter().any(|other| &other.step == *on && matches!(other.state.as_str(), "failed" | "unknown"))
        })
        .map(String::as_str)
        .collect();
    if undo.state == "pending" && !blocked.is_empty() {
        return format!("blocked by {}", blocked.join(", "));
    }
    if !undo.detail.is_empty() {
        return undo.detail.clone();
    }
    undo.progress.as_ref().and_then(|progress| progress.last_line.clone()).unwrap_or_default()
}

/// What stays applied at the end.
pub(super) fn leftovers(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    if view.leftovers.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::of(Look::Warn, "left applied")];
    for one in &view.leftovers {
        lines.push(left(one, canvas));
        if let Some(by_hand) = &one.by_hand {
            lines.extend(super::paragraph(Look::Plain, &format!("by hand: {by_hand}"), 4, canvas.columns));
        }
    }
    lines
}

fn left(left: &LeftView, canvas: &Canvas) -> Line {
    Line::of(Look::Warn, canvas.glyphs.skipped)
        .add(Look::Plain, format!(" {}", left.step))
        .add(Look::Dim, format!(": stays, {}", left.why))
}
