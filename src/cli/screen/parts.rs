//! The head of a run's picture: what, where users are, how long the way back is open.

use super::line::{Line, Look};
use super::{Canvas, command, paragraph, span, state_look};
use crate::cli::{call, text, when};
use crate::view::{RunView, words};

/// Name, state, time.
pub(super) fn title(view: &RunView, canvas: &Canvas) -> Line {
    let summary = &view.summary;
    let state = summary.state.replace('_', " ").to_uppercase();
    // A long name gives way to the state, not the state to a long name.
    let clock = canvas.zone.clock(view.now_at);
    let room = canvas.columns.saturating_sub(text::width(&state) + text::width(&clock) + 4).max(8);
    let mut line =
        Line::of(Look::Strong, text::cut(&summary.run, room)).add(Look::Plain, "  ").add(state_look(view), state);
    if let Some(hold) = &view.hold {
        let why = if hold.restart { "  HELD after an interruption" } else { "  HELD" };
        line = line.add(Look::Warn, why);
    }
    line.right(Look::Dim, &clock, canvas.columns)
}

/// What it does, since when, why.
pub(super) fn doing(view: &RunView, canvas: &Canvas) -> Line {
    let summary = &view.summary;
    let since = span(view.now_at.saturating_sub(summary.since_at).max(0));
    let mut text = summary.doing.clone();
    if summary.cutover_steps > 0 && summary.state == "cutting_over" {
        text = format!("{text}: {} of {}", summary.cutover_done, summary.cutover_steps);
    }
    let mut line = Line::of(Look::Plain, text);
    let because = match &view.rollback {
        Some(rollback) => Some(&rollback.because),
        None => view.because.as_ref().filter(|_| summary.is_final),
    };
    if let Some(because) = because {
        line = line.add(Look::Dim, format!("{}{because}", canvas.glyphs.dot));
    }
    let when = if summary.is_final { canvas.zone.full(summary.since_at) } else { format!("for {since}") };
    line.add(Look::Dim, format!("{}{when}", canvas.glyphs.dot))
}

/// Users: served where, since when, without for how long. On a second line what the first has no room for.
pub(super) fn service(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let service = &view.service;
    let look = match service.at.as_str() {
        "down" => Look::Bad,
        "unsure" => Look::Warn,
        "atTarget" | "backAtSource" => Look::Good,
        _ => Look::Plain,
    };
    let mut line = Line::of(look, &service.text);
    if let Some(since) = service.since_at {
        let near = canvas.zone.near(since, view.now_at);
        line = line.add(Look::Plain, format!(", since {near} ({})", when::ago(since, view.now_at)));
    }
    let mut more: Vec<(Look, String)> = Vec::new();
    if let Some(downtime) = service.downtime_ms {
        let budget = service.downtime_budget_ms.map(|ms| format!(" of {} planned", words::span_u(ms)));
        let over = service.downtime_budget_ms.is_some_and(|budget| downtime.unsigned_abs() > budget);
        let text = format!("downtime {}{}", span(downtime), budget.unwrap_or_default());
        more.push((if over { Look::Bad } else { Look::Dim }, text));
    }
    if let Some(doubt) = service.doubt_ms {
        more.push((Look::Dim, format!("{} {}", way(view), span(doubt))));
    }
    let mut lines = vec![line];
    for (look, text) in more {
        let last = lines.pop().unwrap_or_default();
        let longer = last.clone().add(Look::Dim, canvas.glyphs.dot).add(look, &text);
        if longer.width() <= canvas.columns {
            lines.push(longer);
        } else {
            lines.extend([last, Line::of(look, format!("  {text}"))]);
        }
    }
    lines
}

pub(super) fn way(view: &RunView) -> &'static str {
    let is_back = view.rollback.as_ref().is_some_and(|rollback| rollback.restored_at.is_some());
    if is_back { "back after" } else { "going back for" }
}

/// Whether the run needs an engine and has none.
pub(super) fn is_unwatched(view: &RunView) -> bool {
    !view.summary.executed && !view.summary.is_final && view.summary.state != "accepted"
}

/// The window, and whether the way back was seen open. Absent where neither means anything yet.
pub(super) fn window(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let Some(window) = view.window.as_ref() else { return Vec::new() };
    let mut line = match (window.open, window.left_ms, window.deadline_at) {
        (true, Some(left), Some(deadline)) => {
            let near = canvas.zone.near(deadline, view.now_at);
            let look = if left < 300_000 { Look::Warn } else { Look::Strong };
            Line::of(Look::Plain, "window open until ").add(look, near).add(look, format!(" ({} left)", span(left)))
        }
        (_, _, Some(deadline)) if !view.summary.is_final && view.rollback.is_none() => {
            let near = canvas.zone.near(deadline, view.now_at);
            let when = if deadline > view.now_at { "closed before its end at" } else { "over since" };
            Line::of(Look::Plain, format!("window {when} {near}: nothing rolls back by itself"))
        }
        _ if view.summary.is_final || view.rollback.is_some() => return Vec::new(),
        _ => Line::of(Look::Dim, format!("window {} from {}", words::span_u(window.length_ms), from(&window.from))),
    };
    if let Some(way_back) = way_back(view, canvas) {
        line = line.add(Look::Dim, canvas.glyphs.dot).join(way_back);
    }
    if !window.open {
        return vec![line];
    }
    let trip = format!("a trip is {}", trip(view));
    let longer = line.clone().add(Look::Dim, canvas.glyphs.dot).add(Look::Dim, &trip);
    if longer.width() <= canvas.columns {
        return vec![longer];
    }
    let mut lines = vec![line];
    lines.extend(paragraph(Look::Dim, &trip, 2, canvas.columns));
    lines
}

fn from(from: &str) -> &str {
    if from == "exposure" { "exposure on" } else { "the end of the cutover on" }
}

fn trip(view: &RunView) -> String {
    if view.data.trip == "automatic" { "automatic".to_owned() } else { format!("asked: {}", view.data.trip) }
}

fn way_back(view: &RunView, canvas: &Canvas) -> Option<Line> {
    let way_back = view.way_back.as_ref()?;
    match (way_back.checked, way_back.open, way_back.seen_at) {
        (true, Some(true), Some(seen)) => {
            Some(Line::of(Look::Good, format!("way back: verified {}", canvas.zone.near(seen, view.now_at))))
        }
        (true, Some(false), Some(seen)) => {
            Some(Line::of(Look::Bad, format!("WAY BACK LOST since {}", canvas.zone.near(seen, view.now_at))))
        }
        (true, _, _) => None,
        (false, _, _) => Some(Line::of(Look::Dim, "way back: not verified")),
    }
}

/// The change window and the turn-back time, beside the projected end.
pub(super) fn change(view: &RunView, canvas: &Canvas) -> Option<Line> {
    let mut parts = Vec::new();
    if let Some(change) = &view.change {
        let id = change.id.as_deref().unwrap_or("change window");
        if let Some(until) = change.until_at {
            parts.push((Look::Plain, format!("{id} until {}", canvas.zone.near(until, view.now_at))));
        }
        let is_over = view.summary.is_final || view.rollback.is_some();
        match change.turn_back_at {
            Some(at) if !is_over => {
                let look = if at <= view.now_at { Look::Bad } else { Look::Plain };
                parts.push((look, format!("turn back by {}", canvas.zone.near(at, view.now_at))));
            }
            None if !is_over && change.until_at.is_some() => {
                parts.push((Look::Warn, "turn-back time unknown".to_owned()))
            }
            Some(_) | None => {}
        }
    }
    if let Some(ends) = view.times.cutover_ends_at {
        let about = if view.times.cutover_end_open { "not before" } else { "about" };
        parts.push((Look::Plain, format!("cutover ends {about} {}", canvas.zone.near(ends, view.now_at))));
    }
    if parts.is_empty() {
        return None;
    }
    let mut line = Line::new();
    for (at, (look, text)) in parts.into_iter().enumerate() {
        if at > 0 {
            line = line.add(Look::Dim, canvas.glyphs.dot);
        }
        line = line.add(look, text);
    }
    Some(line)
}

/// What everybody must know beside that.
pub(super) fn warnings(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let mut lines = Vec::new();
    if is_unwatched(view) {
        let line = Line::of(Look::Bad, "NO ENGINE is running: nothing is done or watched; ");
        lines.extend(command(line, &format!("bascule resume {}", view.summary.run), 2, canvas.columns));
    }
    if !view.may_run.is_empty() {
        let text = format!(
            "{} may still run: its engine died. `bascule resume {}` looks for it and ends it",
            view.may_run.join(", "),
            view.summary.run
        );
        lines.extend(paragraph(Look::Bad, &call::in_words(&text), 0, canvas.columns));
    }
    for complaint in &view.complaints {
        lines.extend(paragraph(Look::Bad, complaint, 0, canvas.columns));
    }
    if view.clock_in_doubt {
        let text = format!("the wall clock is in doubt: `bascule confirm-clock {}`", view.summary.run);
        lines.extend(paragraph(Look::Bad, &call::in_words(&text), 0, canvas.columns));
    }
    if let Some(ahead) = view.clock_ahead_ms {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let text = format!("the wall clock is {} {way} the times shown here", words::span(ahead.abs()));
        lines.extend(paragraph(Look::Warn, &text, 0, canvas.columns));
    }
    if let Some(at) = view.go_at {
        let when = format!("begins by itself at {}: ", canvas.zone.near(at, view.now_at));
        let line = Line::of(Look::Plain, when);
        let back = format!("bascule go {} --not-by-itself", view.summary.run);
        lines.extend(command(line, &back, 2, canvas.columns));
        if is_unwatched(view) {
            lines.extend(paragraph(Look::Bad, "without an engine at that time it does not begin", 0, canvas.columns));
        }
    }
    if let Some(at) = view.go_missed_at {
        let text = format!("it should have begun by itself at {}, and could not", canvas.zone.near(at, view.now_at));
        lines.extend(paragraph(Look::Bad, &text, 0, canvas.columns));
    }
    if let Some(hold) = view.hold.as_ref().filter(|_| view.summary.executed) {
        let who = hold.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let line = Line::of(Look::Warn, format!("held{who}: nothing new starts; "));
        lines.extend(command(line, &format!("bascule resume {}", view.summary.run), 2, canvas.columns));
    }
    if !view.locks_held_by.is_empty() {
        lines.push(Line::of(Look::Warn, format!("waits for locks that {} holds", view.locks_held_by.join(", "))));
    }
    if let Some(who) = &view.in_charge {
        lines.push(Line::of(Look::Dim, format!("in charge: {who}")));
    }
    lines
}
