//! Steps in lines, and which of them are folded when there is little room.

use super::line::{Line, Look};
use super::{Canvas, Glyphs, span};
use crate::cli::text;
use crate::view::{ProgressView, RunView, StepView, words};

/// How much a step's line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// Over.
    Done,
    /// Not yet.
    Later,
    /// Next, or waiting.
    Near,
    /// Under way, failed, unknown.
    Now,
}

/// The lists that the state of the run is about, in the order of their steps.
fn shown(view: &RunView) -> Vec<&'static str> {
    match view.summary.state.as_str() {
        "created" | "checking" | "refused" | "cancelled" => vec!["preChecks"],
        "preparing" | "prepared" => vec!["preChecks", "prepareSteps"],
        "observing" | "accepted" => vec!["cutoverSteps", "postChecks"],
        "committing" | "committed" => vec!["postChecks", "commitSteps"],
        _ if view.questions.iter().any(|question| in_list(view, question.step.as_deref(), "prepareSteps")) => {
            vec!["prepareSteps", "cutoverSteps"]
        }
        _ if view.service.at == "atTarget" => vec!["cutoverSteps", "postChecks"],
        _ if view.left.as_deref() == Some("checking") => vec!["preChecks"],
        _ => vec!["preChecks", "cutoverSteps"],
    }
}

fn in_list(view: &RunView, step: Option<&str>, section: &str) -> bool {
    step.is_some_and(|id| view.steps.iter().any(|step| step.step == id && step.section == section))
}

/// The steps that matter now, in at most `room` lines.
pub(super) fn lines(view: &RunView, canvas: &Canvas, room: usize) -> Vec<Line> {
    let sections = shown(view);
    let steps: Vec<&StepView> = view.steps.iter().filter(|step| sections.contains(&step.section.as_str())).collect();
    let widest = steps.iter().map(|step| text::width(&step.step)).max().unwrap_or(0);
    let name_cells = widest.clamp(8, (canvas.columns / 2).max(12));
    if steps.len() <= room {
        return steps.iter().map(|step| line(step, view, canvas, name_cells)).collect();
    }
    let mut drawn = Vec::new();
    // A list that is over is one line from the start: what is under way should not move down the screen.
    for section in &sections {
        let of_section: Vec<&StepView> = steps.iter().copied().filter(|step| step.section == *section).collect();
        let over = of_section.iter().all(|step| weight(step) == Weight::Done);
        let is_last = sections.last() == Some(section);
        if over && !is_last && of_section.len() > 1 {
            let text = format!("{section}: {} done", of_section.len());
            drawn.push((Weight::Done, Line::of(Look::Good, canvas.glyphs.done).add(Look::Dim, format!(" {text}"))));
        } else {
            drawn.extend(of_section.iter().map(|step| (weight(step), line(step, view, canvas, name_cells))));
        }
    }
    fold(drawn, canvas.glyphs, room)
}

/// All steps of all lists, for `status`.
pub(super) fn all(view: &RunView, canvas: &Canvas) -> Vec<Line> {
    let mut lines = Vec::new();
    let widest = view.steps.iter().map(|step| text::width(&step.step)).max().unwrap_or(0);
    let name_cells = widest.clamp(8, (canvas.columns / 2).max(12));
    let mut section = "";
    for step in &view.steps {
        let untouched = matches!(step.status.as_str(), "pending" | "ready") && step.attempt == 0;
        let aside =
            matches!(step.section.as_str(), "rollbackFence" | "rollbackReady" | "rollbackChecks" | "commitSteps");
        if untouched && aside {
            continue;
        }
        if step.section != section {
            section = &step.section;
            lines.push(Line::of(Look::Strong, section));
        }
        lines.push(line(step, view, canvas, name_cells));
    }
    lines
}

fn fold(mut drawn: Vec<(Weight, Line)>, glyphs: Glyphs, room: usize) -> Vec<Line> {
    for (weight, mark, words) in [
        (Weight::Done, glyphs.done, "done"),
        (Weight::Later, glyphs.later, "to come"),
        (Weight::Near, glyphs.waits, "waiting"),
        (Weight::Now, glyphs.live, "more"),
    ] {
        if drawn.len() <= room {
            break;
        }
        // One line says how many are not shown; it takes a line itself.
        let over = drawn.len() - room + 1;
        let places: Vec<usize> =
            drawn.iter().enumerate().filter(|(_, (of, _))| *of == weight).map(|(at, _)| at).collect();
        if places.len() < 2 {
            continue;
        }
        // Of what is done the oldest go, of what is to come the farthest.
        let count = over.min(places.len());
        let gone: Vec<usize> = match weight {
            Weight::Done => places[..count].to_vec(),
            Weight::Later | Weight::Near | Weight::Now => places[places.len() - count..].to_vec(),
        };
        let first = gone[0];
        let text = Line::of(Look::Dim, format!("{mark} {} {words}", gone.len()));
        drawn =
            drawn
                .into_iter()
                .enumerate()
                .filter_map(|(at, line)| {
                    if at == first { Some((weight, text.clone())) } else { (!gone.contains(&at)).then_some(line) }
                })
                .collect();
    }
    drawn.truncate(room);
    drawn.into_iter().map(|(_, line)| line).collect()
}

fn weight(step: &StepView) -> Weight {
    match step.status.as_str() {
        "succeeded" | "skipped" | "notRun" => Weight::Done,
        "pending" => Weight::Later,
        "ready" | "waiting" => Weight::Near,
        _ => Weight::Now,
    }
}

fn mark(step: &StepView, glyphs: Glyphs) -> (Look, &'static str) {
    if step.undo.as_deref() == Some("undone") {
        return (Look::Warn, glyphs.back);
    }
    match step.status.as_str() {
        "succeeded" => (Look::Good, glyphs.done),
        "skipped" | "notRun" => (Look::Dim, glyphs.skipped),
        "running" => (Look::Live, glyphs.live),
        "failed" => (Look::Bad, glyphs.bad),
        "unknown" => (Look::Bad, glyphs.ask),
        "waiting" | "backoff" => (Look::Warn, glyphs.waits),
        _ => (Look::Dim, glyphs.later),
    }
}

/// `▶ final_data_sync    #2   3m 05s / 12m 00s  ━━━──── 42%  sending block 17`
fn line(step: &StepView, view: &RunView, canvas: &Canvas, name_cells: usize) -> Line {
    let (look, glyph) = mark(step, canvas.glyphs);
    let name_look = if matches!(step.status.as_str(), "pending" | "ready") { Look::Dim } else { Look::Plain };
    let name = text::cut(&step.step, name_cells);
    let mut line =
        Line::of(look, glyph).add(Look::Plain, " ").cell(name_look, &name, name_cells).add(Look::Plain, "  ");
    line = line.cell(if step.overrun { Look::Warn } else { Look::Dim }, &time(step), 15).add(Look::Plain, " ");
    let repeats =
        matches!(step.section.as_str(), "preChecks" | "postChecks" | "rollbackReady") && step.failure.is_none();
    if step.attempt > 1 && !repeats {
        line = line.add(Look::Warn, format!(" #{}", step.attempt));
    }
    if let Some(progress) = &step.progress {
        line = line.join(bar(progress, canvas.glyphs));
    }
    line.add(Look::Plain, " ").add(remark_look(step), remark(step, view, canvas))
}

/// `3m 05s / 12m 00s`, `~12m 00s`, `12s`.
fn time(step: &StepView) -> String {
    match (step.elapsed_ms, step.estimate_ms) {
        (Some(elapsed), Some(estimate)) if step.status == "running" => {
            format!("{} / {}", span(elapsed), words::span_u(estimate))
        }
        (Some(elapsed), _) => span(elapsed),
        // An estimate is about what is to come.
        (None, Some(estimate)) if matches!(step.status.as_str(), "pending" | "ready" | "running") => {
            format!("~{}", words::span_u(estimate))
        }
        (None, Some(_) | None) => String::new(),
    }
}

/// What is to be said of a step that takes long: when it will be done, and when people are asked.
fn overrun(step: &StepView, view: &RunView, canvas: &Canvas) -> String {
    let mut parts = Vec::new();
    if step.overrun {
        let done = step.expected_end_at.map(|at| format!(", done about {}", canvas.zone.near(at, view.now_at)));
        parts.push(format!("longer than estimated{}", done.unwrap_or_default()));
    }
    if let Some(at) = step.deadline_at.filter(|_| step.time_short) {
        parts.push(format!("its time is up at {}: `extend` gives it more", canvas.zone.near(at, view.now_at)));
    }
    parts.into_iter().map(|part| format!("{part}; ")).collect()
}

/// Cells of a progress bar.
const BAR: u64 = 8;

pub(super) fn bar(progress: &ProgressView, glyphs: Glyphs) -> Line {
    let Some(done) = progress.done else { return Line::new() };
    match progress.total.filter(|total| *total > 0) {
        Some(total) => {
            let full = usize::try_from(u128::from(done.min(total)) * u128::from(BAR) / u128::from(total)).unwrap_or(0);
            let percent = u128::from(done.min(total)) * 100 / u128::from(total);
            Line::of(Look::Live, format!(" {}", glyphs.full.repeat(full)))
                .add(Look::Dim, glyphs.empty.repeat(usize::try_from(BAR).unwrap_or(8) - full))
                .add(Look::Plain, format!(" {percent}%"))
        }
        None => Line::of(Look::Plain, format!(" {} {}", amount(done, &progress.unit), progress.unit)),
    }
}

fn amount(done: u64, unit: &str) -> String {
    if unit != "bytes" {
        return done.to_string();
    }
    match done {
        0..1_024 => done.to_string(),
        1_024..1_048_576 => format!("{}K", done >> 10),
        1_048_576..1_073_741_824 => format!("{}M", done >> 20),
        _ => format!("{}G", done >> 30),
    }
}

fn remark_look(step: &StepView) -> Look {
    match step.status.as_str() {
        "failed" | "unknown" => Look::Bad,
        "waiting" | "backoff" => Look::Warn,
        _ if step.overrun => Look::Warn,
        _ => Look::Dim,
    }
}

fn remark(step: &StepView, view: &RunView, canvas: &Canvas) -> String {
    if let Some(undo) = &step.undo {
        let why = if step.detail.is_empty() { String::new() } else { format!(": {}", step.detail) };
        let what = match undo.as_str() {
            "undone" | "undoing" => undo.clone(),
            other => format!("undo {other}"),
        };
        return format!("{what}{why}");
    }
    if let Some(waiting) = &step.waiting {
        let until = waiting.until_at.map(|at| {
            let left = at.saturating_sub(view.now_at);
            if left > 0 { format!(" in {}", span(left)) } else { String::new() }
        });
        return match waiting.on.as_str() {
            "retry" => {
                let why = step.failure.as_ref().map(|failure| format!(": {}", failure.message)).unwrap_or_default();
                format!("again{}{why}", until.unwrap_or_default())
            }
            "approval" => {
                let until = waiting.until_at.map(|at| format!(", until {}", canvas.zone.near(at, view.now_at)));
                format!("{}{}", waiting.text, until.unwrap_or_default())
            }
            _ => waiting.text.clone(),
        };
    }
    let overrun = overrun(step, view, canvas);
    if !step.detail.is_empty() {
        return format!("{overrun}{}", step.detail);
    }
    let last = step.progress.as_ref().and_then(|progress| progress.last_line.clone()).unwrap_or_default();
    format!("{overrun}{last}")
}
