//! A run in full, for `status`: nothing folded, ends with the legal commands.

use super::asks::{self, Detail};
use super::line::{Line, Look};
use super::{Canvas, back, checks, command, needs, paragraph, parts, steps};
use crate::cli::{call, text};
use crate::view::{RunView, words};

/// All lines.
#[must_use]
pub fn whole(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let mut lines = vec![parts::title(view, canvas), parts::doing(view, canvas)];
    lines.extend(parts::service(view, canvas));
    lines.extend(parts::window(view, canvas));
    lines.extend(parts::change(view, canvas));
    lines.push(Line::of(Look::Dim, format!("data: {}", view.data.text)));
    let over = view.summary.is_final || matches!(view.summary.state.as_str(), "committing");
    if !over && view.rollback.is_none() {
        let text = match view.times.back_ms {
            Some(_) => format!("if it goes back now, the source serves after {}", view.times.back()),
            None if !view.times.back_at_source => {
                "past an irreversible step going back does not bring users to the source".to_owned()
            }
            None => "nobody knows how long going back takes: the plan lacks estimates for it".to_owned(),
        };
        lines.push(Line::of(Look::Dim, text));
    }
    lines.extend(parts::warnings(view, canvas));
    let plan = view.plan.get(..12).unwrap_or(&view.plan);
    let who = view.requester.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
    let created = canvas.zone.full(view.summary.created_at);
    let revision = if view.revision > 0 { format!(" (revision {})", view.revision) } else { String::new() };
    lines.push(Line::of(Look::Dim, format!("created {created}{who}, plan {plan}{revision}, {} events", view.sequence)));
    section(&mut lines, asks::questions(view, canvas, Detail::Full));
    section(&mut lines, needs::needs(view, canvas, usize::MAX));
    section(&mut lines, back::rollback(view, canvas));
    section(&mut lines, steps::all(view, canvas));
    if !view.criteria.is_empty() {
        lines.push(Line::new());
        lines.push(Line::of(Look::Strong, "criteria"));
        lines.extend(checks::criteria(view, canvas));
    }
    section(&mut lines, view.gaps.iter().map(|gap| Line::of(Look::Plain, format!("the gate lacks: {gap}"))).collect());
    for wanted in &view.sign_offs {
        let by = wanted.by.as_ref().map(|by| format!(", given by {by}")).unwrap_or_default();
        let mark = if wanted.given { canvas.glyphs.done } else { canvas.glyphs.later };
        lines.push(Line::of(Look::Plain, format!("{mark} sign-off of {}: {}{by}", wanted.role, wanted.what)));
    }
    section(&mut lines, back::leftovers(view, canvas));
    section(&mut lines, next(view, canvas));
    lines
}

fn section(lines: &mut Vec<Line>, part: Vec<Line>) {
    if !part.is_empty() {
        lines.push(Line::new());
        lines.extend(part);
    }
}

fn next(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let widest = view
        .next
        .iter()
        .map(|next| text::width(&call::typed(&next.command)))
        .max()
        .unwrap_or(0)
        .min(canvas.columns / 2);
    let mut lines = vec![Line::of(Look::Strong, "what you can do now")];
    if parts::is_unwatched(view) {
        let head = Line::of(Look::Plain, "  ");
        lines.extend(command(head, &format!("bascule resume {}", view.summary.run), 2, canvas.columns));
        lines.extend(paragraph(
            Look::Dim,
            "starts an engine, which goes on from here; what else is decided now waits for one",
            6,
            canvas.columns,
        ));
    }
    let resumes = |command: &str| parts::is_unwatched(view) && command.starts_with("bascule resume ");
    for next in view.next.iter().filter(|next| !resumes(&next.command)) {
        let head = Line::of(Look::Plain, "  ");
        let one = head.clone().add(Look::Command, text::pad(&call::typed(&next.command), widest));
        let with_effect = one.add(Look::Dim, format!("  {}", next.effect));
        if with_effect.width() <= canvas.columns {
            lines.push(with_effect);
        } else {
            lines.extend(command(head, &next.command, 2, canvas.columns));
            lines.extend(paragraph(Look::Dim, &next.effect, 6, canvas.columns));
        }
    }
    lines
}

/// Five plain lines to read aloud.
#[must_use]
pub fn brief(view: &RunView, canvas: &Canvas) -> Vec<String> {
    let summary = &view.summary;
    let since = canvas.zone.near(summary.since_at, view.now_at);
    let what = format!("{}: {}, since {since}.", summary.run, summary.doing);
    let mut service = view.service.text.clone();
    if let Some(at) = view.service.since_at {
        service = format!("{service}, since {}", canvas.zone.near(at, view.now_at));
    }
    if let Some(downtime) = view.service.downtime_ms {
        service = format!("{service}; downtime {}", words::span(downtime));
    }
    if let Some(doubt) = view.service.doubt_ms {
        service = format!("{service}; {} {}", parts::way(view), words::span(doubt));
    }
    let back = match (&view.rollback, &view.window) {
        (Some(rollback), _) => match rollback.restored_at {
            Some(at) => format!("Going back: service restored at {}.", canvas.zone.near(at, view.now_at)),
            None => format!("Going back since {}.", canvas.zone.near(rollback.decided_at, view.now_at)),
        },
        (None, Some(window)) => match (window.open, window.deadline_at) {
            (true, Some(at)) => format!(
                "{} until {}, {} left; data: {}.",
                if view.data.trip == "automatic" { "Automatic way back" } else { "The window is open, a trip asks," },
                canvas.zone.near(at, view.now_at),
                words::span(window.left_ms.unwrap_or(0)),
                view.data.text
            ),
            (_, _) if !view.times.back_at_source => {
                "No window is open; past an irreversible step going back does not bring users to the source.".to_owned()
            }
            (_, _) if view.times.back_ms.is_none() => {
                "No window is open; nobody knows how long going back takes.".to_owned()
            }
            (_, _) => format!("No window is open; going back would take {}.", view.times.back()),
        },
        (None, None) => "No window.".to_owned(),
    };
    let running: Vec<&str> =
        view.steps.iter().filter(|step| step.status == "running").map(|step| step.step.as_str()).collect();
    let unwatched = parts::is_unwatched(view);
    let now = match (view.questions.as_slice(), running.as_slice(), &view.hold) {
        _ if unwatched => "No engine is running: nothing is done or watched.".to_owned(),
        ([first], _, _) => format!("A person must decide: {}.", first.what),
        ([first, rest @ ..], _, _) => format!("{} decisions are open; first: {}.", rest.len() + 1, first.what),
        ([], _, Some(_)) => "Held: nothing new starts.".to_owned(),
        ([], [], None) => "Nothing runs at this moment.".to_owned(),
        ([], running, None) => format!("Running: {}.", running.join(", ")),
    };
    if unwatched {
        let next = format!("Next: `bascule resume {}` starts an engine, which goes on from here.", summary.run);
        return vec![what, format!("{service}."), back, now, next];
    }
    let next = match (view.questions.first().and_then(|question| question.answers.first()), view.next.first()) {
        (Some(answer), _) => format!("First answer: {}, with `{}`.", answer.label, answer.command),
        (None, Some(next)) => format!("Next: `{}` {}.", next.command, next.effect),
        (None, None) => "Nothing to do.".to_owned(),
    };
    vec![what, format!("{service}."), back, now, next]
}

/// An open question, complete.
#[must_use]
pub fn question(view: &RunView, number: u64, canvas: &Canvas) -> Vec<Line> {
    asks::question(view, number, canvas, Detail::Full)
}
