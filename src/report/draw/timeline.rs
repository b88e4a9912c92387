//! The run to scale: states, users, window, engines, every attempt, every sample.

use super::super::hours::Hours;
use super::super::service::{Served, ServiceSpan};
use super::super::story::{Outcome, Story, Try};
use super::axis::Axis;
use super::{Area, WIDTH, fit, line, picture, rect, text, text_width};
use crate::machine::RunState;
use crate::machine::fact::{CriterionState, Direction, Millis, Verdict};
use crate::plan::StepIx;
use crate::view::words::{self, span};

/// The widest column of names.
const NAMES: f64 = 214.0;
const RIGHT: f64 = 992.0;
const ROW: f64 = 19.0;

/// More rows than this are no picture any more.
const MOST_STEPS: usize = 120;

/// A drawn part of a run.
#[derive(Debug, Clone)]
pub(in crate::report) struct Timeline {
    /// What it shows.
    pub(in crate::report) title: String,
    /// What it leaves out, if anything.
    pub(in crate::report) note: String,
    /// The drawing.
    pub(in crate::report) svg: String,
}

/// The whole run, and its cutover enlarged where that is a small part of it.
pub(in crate::report) fn timelines(story: &Story, spans: &[ServiceSpan], hours: &Hours) -> Vec<Timeline> {
    let whole = (story.begin, story.end);
    let mut all = vec![one(story, spans, hours, "The whole run", whole)];
    let parts = [("The cutover, enlarged", cutover(story)), ("The way back, enlarged", way_back(story))];
    for (title, part) in parts {
        let Some((from, to)) = part else { continue };
        let margin = (to - from) / 25 + 200;
        let part = ((from - margin).max(story.begin), (to + margin).min(story.end));
        // What fills a third of the whole can be read there.
        if (part.1 - part.0).saturating_mul(3) < whole.1 - whole.0 {
            all.push(one(story, spans, hours, title, part));
        }
    }
    all
}

/// From the start of the cutover until users were on the target, or the run turned back.
fn cutover(story: &Story) -> Option<(Millis, Millis)> {
    let from = story.first(RunState::CuttingOver)?;
    let decided = story.run.rollback.as_ref().map(|rollback| rollback.decided);
    let reached = story.first(RunState::Observing).or(story.run.exposed);
    let to = [reached, decided].into_iter().flatten().min().unwrap_or(story.end);
    Some((from, to.max(from)))
}

/// From the decision to go back until it ended.
fn way_back(story: &Story) -> Option<(Millis, Millis)> {
    let from = story.run.rollback.as_ref()?.decided;
    let last = story.tries.iter().filter(|tried| tried.from >= from).map(|tried| tried.to).max();
    Some((from, last.unwrap_or(story.end).max(from)))
}

fn one(story: &Story, spans: &[ServiceSpan], hours: &Hours, title: &str, range: (Millis, Millis)) -> Timeline {
    let axis = Axis::new(range, (names_width(story), RIGHT));
    let events = milestones(story);
    let shown: Vec<&(Millis, &str)> = events.iter().filter(|(at, _)| axis.shows(*at, *at)).collect();
    let (steps, left_out) = steps_in(story, &axis);
    let mut lanes = String::new();
    let top = flags_height(&axis, &shown) + 16.0;
    let mut y = top + 2.0;
    y = state_lane(&mut lanes, story, &axis, y);
    y = service_lane(&mut lanes, spans, &axis, y);
    y = window_lane(&mut lanes, story, &axis, hours, y);
    y = engine_lane(&mut lanes, story, &axis, y);
    y += 5.0;
    for ix in steps {
        step_lane(&mut lanes, story, &axis, ix, y);
        y += ROW;
    }
    y += 5.0;
    for ix in 0..story.samples.len() {
        let sampled = story.samples[ix].iter().any(|sample| axis.shows(sample.planned, sample.planned));
        if sampled {
            criterion_lane(&mut lanes, story, &axis, ix, y);
            y += ROW;
        }
    }
    let mut body = String::new();
    axis.draw(&mut body, hours, top, y);
    flags(&mut body, &axis, &shown, top, y);
    body.push_str(&lanes);
    let note = match left_out {
        0 => String::new(),
        n => format!("{n} steps more are not drawn; the tables have all of them"),
    };
    Timeline { title: title.to_owned(), note, svg: picture(title, y + 6.0, &body) }
}

/// As wide as the longest name needs, within limits.
fn names_width(story: &Story) -> f64 {
    let steps = story.tries.iter().map(|tried| story.run.plan.step(tried.step).id.as_str());
    let criteria = story.run.plan.criteria.iter().map(|criterion| &*criterion.id);
    let widest = steps.chain(criteria).map(text_width).fold(text_width("rollback window"), f64::max);
    (widest + 12.0).min(NAMES)
}

/// Moments that people ask for.
fn milestones(story: &Story) -> Vec<(Millis, &'static str)> {
    let run = &story.run;
    let rollback = run.rollback.as_ref();
    let mut all: Vec<(Millis, &'static str)> = [
        (run.down_since, "source down"),
        (run.exposed, "exposed"),
        (rollback.map(|rollback| rollback.decided), "rollback decided"),
        (rollback.and_then(|rollback| rollback.restored), "service restored"),
        (story.first(RunState::Accepted), "accepted"),
        (story.first(RunState::Committed), "committed"),
    ]
    .into_iter()
    .filter_map(|(at, word)| Some((at?, word)))
    .collect();
    all.sort_by_key(|(at, _)| *at);
    all
}

/// The line on which each flag's word stands, so that words do not cover each other.
fn flag_lines(axis: &Axis, shown: &[&(Millis, &str)]) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let mut lines = Vec::new();
    for (at, word) in shown {
        let x = axis.x(*at);
        let free = ends.iter().position(|end| *end < x).unwrap_or(ends.len());
        let end = x + text_width(word) + 10.0;
        match ends.get_mut(free) {
            Some(known) => *known = end,
            None => ends.push(end),
        }
        lines.push(free);
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "a handful of lines")]
fn flags_height(axis: &Axis, shown: &[&(Millis, &str)]) -> f64 {
    flag_lines(axis, shown).into_iter().max().map_or(0.0, |most| (most + 1) as f64 * 13.0)
}

#[expect(clippy::cast_precision_loss, reason = "a handful of lines")]
fn flags(out: &mut String, axis: &Axis, shown: &[&(Millis, &str)], top: f64, bottom: f64) {
    let base = top - 16.0;
    for ((at, word), row) in shown.iter().zip(flag_lines(axis, shown)) {
        let (x, y) = (axis.x(*at), base - 3.0 - row as f64 * 13.0);
        line(out, "flag", (x, y - 7.0), (x, bottom));
        let fits = x + text_width(word) + 4.0 < WIDTH;
        let (class, place) = if fits { ("flag-word", x + 3.0) } else { ("flag-word end", x - 3.0) };
        text(out, class, (place, y), word);
    }
}

fn label(out: &mut String, axis: &Axis, words: &str, y: f64) {
    text(out, "lane", (axis.left - 6.0, y + 13.5), &fit(words, axis.left - 8.0));
}

fn bar(axis: &Axis, from: Millis, to: Millis, y: f64) -> Area {
    let x = axis.x(from);
    Area { x, y: y + 2.0, width: axis.x(to) - x, height: ROW - 4.0 }
}

fn inside(out: &mut String, class: &str, area: Area, words: &str) {
    if text_width(words) + 6.0 < area.width {
        text(out, class, (area.x + 4.0, area.y + 11.5), words);
    }
}

fn state_lane(out: &mut String, story: &Story, axis: &Axis, y: f64) -> f64 {
    label(out, axis, "state", y);
    for band in story.bands.iter().filter(|band| axis.shows(band.from, band.to)) {
        let area = bar(axis, band.from, band.to, y);
        let word = words::state(band.state);
        let loud = matches!(band.state, RunState::Deciding | RunState::Stuck);
        let class = if loud { "s-loud" } else { "s-state" };
        rect(out, class, area, &format!("{word}, {}", span(band.to.saturating_sub(band.from))));
        inside(out, if loud { "on-dark" } else { "in" }, area, &word);
    }
    y + ROW
}

fn service_lane(out: &mut String, spans: &[ServiceSpan], axis: &Axis, y: f64) -> f64 {
    label(out, axis, "users", y);
    for one in spans.iter().filter(|one| axis.shows(one.from_at, one.to_at)) {
        let area = bar(axis, one.from_at, one.to_at, y);
        let class = match one.served {
            Served::AtSource | Served::BackAtSource => "s-source",
            Served::Nowhere => "s-loud",
            Served::AtTarget => "s-target",
            Served::InDoubt => "s-hatch",
        };
        rect(out, class, area, &format!("{}, {}", one.served.words(), span(one.to_at.saturating_sub(one.from_at))));
        match one.served {
            Served::Nowhere => inside(out, "on-dark", area, one.served.words()),
            Served::AtSource | Served::BackAtSource | Served::AtTarget => inside(out, "in", area, one.served.words()),
            Served::InDoubt => {}
        }
    }
    y + ROW
}

fn window_lane(out: &mut String, story: &Story, axis: &Axis, hours: &Hours, y: f64) -> f64 {
    let Some(window) = &story.run.window else { return y };
    label(out, axis, "rollback window", y);
    let closed = story.run.rollback.as_ref().map(|rollback| rollback.decided).or(story.first(RunState::Accepted));
    let until = closed.unwrap_or(story.end).min(window.deadline);
    let area = bar(axis, window.opened, until, y);
    let word = format!("until {}", hours.time(window.deadline));
    rect(out, "s-window", area, &word);
    inside(out, "in", area, &word);
    y + ROW
}

fn engine_lane(out: &mut String, story: &Story, axis: &Axis, y: f64) -> f64 {
    if story.absences.is_empty() && story.holds.is_empty() {
        return y;
    }
    label(out, axis, "engine", y);
    rect(
        out,
        "s-source",
        bar(axis, story.begin.max(axis.from), story.end.min(axis.to), y),
        "an engine executed the run",
    );
    for held in &story.holds {
        let to = held.to.unwrap_or(story.end);
        if axis.shows(held.from, to) {
            let area = bar(axis, held.from, to, y);
            rect(out, "s-held", area, &format!("held, {}", span(to.saturating_sub(held.from))));
            inside(out, "in", area, "held");
        }
    }
    for absence in story.absences.iter().filter(|absence| axis.shows(absence.from, absence.to)) {
        let area = bar(axis, absence.from, absence.to, y);
        rect(out, "s-loud", area, &format!("no engine, {}", span(absence.to.saturating_sub(absence.from))));
        inside(out, "on-dark", area, "no engine");
    }
    y + ROW
}

/// The steps with attempts that can be seen, in the order in which they began, and how many are left out.
fn steps_in(story: &Story, axis: &Axis) -> (Vec<StepIx>, usize) {
    let mut steps: Vec<StepIx> = Vec::new();
    for tried in story.tries.iter().filter(|tried| axis.shows(tried.from, tried.to)) {
        if !steps.contains(&tried.step) {
            steps.push(tried.step);
        }
        if steps.len() > MOST_STEPS * 4 {
            break;
        }
    }
    let left_out = steps.len().saturating_sub(MOST_STEPS);
    steps.truncate(MOST_STEPS);
    (steps, left_out)
}

fn step_lane(out: &mut String, story: &Story, axis: &Axis, ix: StepIx, y: f64) {
    label(out, axis, story.run.plan.step(ix).id.as_str(), y);
    let mut end: Option<(f64, i64)> = None;
    for tried in story.tries.iter().filter(|tried| tried.step == ix && axis.shows(tried.from, tried.to)) {
        let area = bar(axis, tried.from, tried.to, y);
        let took = tried.to.saturating_sub(tried.from);
        rect(out, class(tried), area, &format!("{}, {}", tooltip(tried), span(took)));
        end = Some((area.x + area.width, took));
    }
    if let Some((x, took)) = end
        && took >= 1_000
    {
        let word = span(took);
        if x + text_width(&word) + 6.0 < WIDTH {
            text(out, "took", (x + 4.0, y + 13.5), &word);
        }
    }
}

fn class(tried: &Try) -> &'static str {
    match (tried.outcome, tried.direction, tried.is_wait) {
        (Outcome::Failed, _, _) => "t-failed",
        (Outcome::Unknown, _, _) => "t-unknown",
        (Outcome::Done | Outcome::Stopped | Outcome::Open, _, true) => "t-wait",
        (Outcome::Stopped, _, false) => "t-stopped",
        (Outcome::Done, Direction::Forward, false) => "t-done",
        (Outcome::Done, Direction::Undo, false) => "t-undone",
        (Outcome::Open, _, false) => "t-open",
    }
}

fn tooltip(tried: &Try) -> &'static str {
    match (tried.outcome, tried.direction, tried.is_wait) {
        (Outcome::Done, _, true) => "a person said yes",
        (Outcome::Open, _, true) => "waits for a person",
        (Outcome::Done, Direction::Forward, false) => "done",
        (Outcome::Done, Direction::Undo, false) => "undone",
        (Outcome::Failed, Direction::Forward, _) => "failed",
        (Outcome::Failed, Direction::Undo, _) => "undo failed",
        (Outcome::Stopped, _, _) => "stopped",
        (Outcome::Unknown, _, _) => "outcome unknown",
        (Outcome::Open, _, false) => "not ended",
    }
}

fn criterion_lane(out: &mut String, story: &Story, axis: &Axis, ix: usize, y: f64) {
    label(out, axis, &story.run.plan.criteria[ix].id, y);
    let seen = |at: &Millis| axis.shows(*at, *at);
    let mut newest: Option<(f64, u8)> = None;
    for sample in story.samples[ix].iter().filter(|sample| seen(&sample.planned)) {
        let x = axis.x(sample.planned);
        let (class, height, weight) = match sample.verdict {
            Verdict::Pass => ("k-pass", 5.0, 0),
            Verdict::Inconclusive { .. } => ("k-none", 5.0, 1),
            Verdict::Fail => ("k-fail", 13.0, 2),
        };
        // Samples that fall on one place are drawn once, the worst of them.
        if newest.is_some_and(|(known, worst)| x - known < 1.5 && weight <= worst) {
            continue;
        }
        newest = Some((x, weight));
        line(out, class, (x, y + 17.0), (x, y + 17.0 - height));
    }
    for (at, state) in story.moves[ix].iter().filter(|(at, _)| seen(at)) {
        let word = match state {
            CriterionState::Tripped => "tripped",
            CriterionState::Blind => "blind",
            CriterionState::Waiting | CriterionState::Clear | CriterionState::Suspect => continue,
        };
        let x = axis.x(*at);
        let fits = x + text_width(word) + 8.0 < WIDTH;
        let (class, place) = if fits { ("k-word", x + 4.0) } else { ("k-word end", x - 4.0) };
        text(out, class, (place, y + 13.5), word);
    }
}
