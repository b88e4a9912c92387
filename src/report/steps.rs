//! Planned against actual: every step in its list, every undo in its part of the way back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::outcome::words_of;
use super::story::{Outcome, Story, Try};
use crate::machine::fact::{Direction, Millis};
use crate::plan::estimate::Estimates;
use crate::plan::{Length, Section, StepIx};
use crate::view::words::span_u;
use crate::view::{RunView, StepView, UndoView};

/// A list of steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepList {
    /// `Pre-checks`, `Cutover`, `Way back: users return`, …
    pub title: String,
    /// What was planned for the whole, in one line.
    pub note: String,
    /// Its steps.
    pub rows: Vec<StepRow>,
}

/// A step: what was planned, what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRow {
    /// Its name.
    pub step: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Place in the planned order of its list.
    pub planned_place: usize,
    /// Place in the order in which its list began; absent: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
    /// It began in another order than planned.
    pub moved: bool,
    /// Planned start, counted from the start of the list: `+2m 10s`.
    pub planned_start: String,
    /// Planned length.
    pub estimate: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// The same, counted from the start of the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// From the first attempt to the last end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<i64>,
    /// It took longer than planned.
    pub exceeds: bool,
    /// Attempts made.
    pub attempts: usize,
    /// `succeeded`, `undone`, `undo failed`, …
    pub state: String,
    /// Not as planned: failed, unknown, skipped, waived.
    pub amiss: bool,
    /// One line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remark: String,
}

/// All lists of a run, in the order in which they come.
pub(super) fn lists(story: &Story, view: &RunView, planned: &Estimates) -> Vec<StepList> {
    let sections = [
        (Section::PreCheck, "Pre-checks", "in parallel, before anything is touched".to_owned()),
        (Section::Prepare, "Preparation", format!("planned {}", words_of(planned.prepare))),
        (Section::Cutover, "Cutover", format!("planned {}", words_of(planned.cutover))),
        (Section::PostCheck, "Post-checks", "in parallel, each repeated until it passes".to_owned()),
        (Section::Ready, "Readiness of the way back", "repeated while there is a way back".to_owned()),
        (Section::Commit, "Commit", "the point of no return".to_owned()),
    ];
    let mut lists = Vec::new();
    for (section, title, note) in sections {
        let range = story.run.plan.section(section);
        let began = range.clone().any(|ix| story.tries_of(ix, Direction::Forward).next().is_some());
        // Commit steps and readiness checks whose time never came are no news.
        let quiet = matches!(section, Section::Commit | Section::Ready) && !began;
        if !range.is_empty() && !quiet {
            let rows = forward_rows(story, view, planned, &range.collect::<Vec<_>>());
            lists.push(StepList { title: title.to_owned(), note, rows });
        }
    }
    lists.extend(back(story, view, planned));
    lists
}

fn forward_rows(story: &Story, view: &RunView, planned: &Estimates, steps: &[StepIx]) -> Vec<StepRow> {
    let order = story.run.plan.dag().order();
    let rank: BTreeMap<StepIx, usize> = order.iter().enumerate().map(|(at, ix)| (*ix, at)).collect();
    let mut sorted = steps.to_vec();
    sorted.sort_by_key(|ix| (planned.steps[*ix].start.at_least_ms, rank.get(ix).copied().unwrap_or(usize::MAX)));
    let begun = begun(story, &sorted, Direction::Forward);
    let first = begun.first().and_then(|ix| first_start(story, *ix, Direction::Forward));
    let rows = sorted.iter().enumerate().map(|(at, &ix)| {
        let timing = planned.steps[ix];
        let estimate = Length::of(story.run.plan.step(ix).estimate_ms);
        let row = Row { ix, direction: Direction::Forward, place: at + 1, first };
        let mut made = row.make(story, &begun, estimate);
        made.planned_start = offset(timing.start);
        let step = &view.steps[ix];
        let waived = step.status == "skipped";
        made.amiss = waived || matches!(step.status.as_str(), "failed" | "unknown");
        made.state = state_word(step);
        made.remark = remark(step);
        made
    });
    mark_moved(rows.collect())
}

/// `+2m 10s`, counted from the start of the list.
fn offset(start: Length) -> String {
    match (start.is_open, start.at_least_ms) {
        (true, 0) => "unknown".to_owned(),
        (true, known) => format!("> +{}", span_u(known)),
        (false, known) => format!("+{}", span_u(known)),
    }
}

/// Steps that began, in that order.
fn begun(story: &Story, steps: &[StepIx], direction: Direction) -> Vec<StepIx> {
    let starts = steps.iter().filter_map(|ix| first_start(story, *ix, direction).map(|at| (at, *ix)));
    let mut starts: Vec<(Millis, usize, StepIx)> = starts
        .map(|(at, ix)| {
            let index = story.tries.iter().position(|tried| tried.step == ix && tried.direction == direction);
            (at, index.unwrap_or(usize::MAX), ix)
        })
        .collect();
    starts.sort_unstable();
    starts.into_iter().map(|(_, _, ix)| ix).collect()
}

fn first_start(story: &Story, ix: StepIx, direction: Direction) -> Option<Millis> {
    story.tries_of(ix, direction).next().map(|tried| tried.from)
}

/// What all rows have in common.
struct Row {
    ix: StepIx,
    direction: Direction,
    place: usize,
    first: Option<Millis>,
}

impl Row {
    fn make(&self, story: &Story, begun: &[StepIx], estimate: Length) -> StepRow {
        let step = story.run.plan.step(self.ix);
        let tries: Vec<&Try> = story.tries_of(self.ix, self.direction).collect();
        let started_at = tries.first().map(|tried| tried.from);
        let ended = tries.iter().filter(|tried| tried.outcome != Outcome::Open).map(|tried| tried.to).max();
        // A check that is repeated on a rhythm took what its newest attempt took, not the whole night.
        let repeats =
            matches!(step.section, Section::PostCheck | Section::Ready) && self.direction == Direction::Forward;
        let from = if repeats { tries.last().map(|tried| tried.from) } else { started_at };
        let took_ms = from.zip(ended).map(|(from, to)| to.saturating_sub(from).max(0));
        let over =
            |took: i64| estimate.known_ms().is_some_and(|planned| u64::try_from(took).is_ok_and(|took| took > planned));
        StepRow {
            step: step.id.to_string(),
            description: step.origin.description.clone(),
            planned_place: self.place,
            place: begun.iter().position(|ix| *ix == self.ix).map(|at| at + 1),
            moved: false,
            planned_start: String::new(),
            estimate: words_of(estimate),
            started_at,
            start_ms: started_at.zip(self.first).map(|(at, first)| at.saturating_sub(first)),
            took_ms,
            exceeds: took_ms.is_some_and(over),
            attempts: tries.iter().filter(|tried| !tried.is_wait).count(),
            state: String::new(),
            amiss: false,
            remark: String::new(),
        }
    }
}

/// Steps that run side by side have no order: only a step that began before one planned to end first is marked.
fn mark_moved(mut rows: Vec<StepRow>) -> Vec<StepRow> {
    let mut newest: Option<(i64, String)> = None;
    for row in &mut rows {
        let Some(start) = row.start_ms else { continue };
        let later_by_plan = newest.as_ref().is_some_and(|(at, planned)| start < *at && *planned != row.planned_start);
        row.moved = later_by_plan;
        if newest.as_ref().is_none_or(|(at, _)| start > *at) {
            newest = Some((start, row.planned_start.clone()));
        }
    }
    rows
}

fn state_word(step: &StepView) -> String {
    match step.undo.as_deref() {
        Some("undone") => "undone".to_owned(),
        Some("failed") => "undo failed".to_owned(),
        Some("unknown") => "undo unknown".to_owned(),
        Some("waived") => "undo waived".to_owned(),
        Some("undoing") => "being undone".to_owned(),
        Some(_) => format!("{}, to be undone", step.status),
        None if step.status == "notRun" => "not run".to_owned(),
        None => step.status.clone(),
    }
}

fn remark(step: &StepView) -> String {
    let marks = [
        (step.takes_source_down, "takes the source down"),
        (step.moves_data, "moves data"),
        (step.exposes, "exposes"),
        (step.irreversible, "irreversible"),
    ];
    let mut parts: Vec<String> = marks.iter().filter(|(is, _)| *is).map(|(_, word)| (*word).to_owned()).collect();
    if let Some(failure) = step.failure.as_ref().filter(|_| step.status == "failed" || step.status == "unknown") {
        parts.push(failure.message.clone());
    } else if !step.detail.is_empty() {
        parts.push(step.detail.clone());
    }
    if !step.approved_by.is_empty() {
        parts.push(format!("approved by {}", step.approved_by.join(", ")));
    }
    parts.join(" · ")
}

fn back(story: &Story, view: &RunView, planned: &Estimates) -> Vec<StepList> {
    let Some(rollback) = &view.rollback else { return Vec::new() };
    let find = |name: &str| story.run.plan.find(&name.into());
    let direction = |ix: StepIx| match story.run.plan.step(ix).section {
        Section::Fence | Section::RollbackCheck => Direction::Forward,
        Section::PreCheck
        | Section::Prepare
        | Section::Cutover
        | Section::PostCheck
        | Section::Ready
        | Section::Commit => Direction::Undo,
    };
    let rows = |undos: &[UndoView], start: Length| -> Vec<StepRow> {
        let steps: Vec<StepIx> = undos.iter().filter_map(|undo| find(&undo.step)).collect();
        let mut order: Vec<(Millis, StepIx)> =
            steps.iter().filter_map(|ix| first_start(story, *ix, direction(*ix)).map(|at| (at, *ix))).collect();
        order.sort_by_key(|(at, _)| *at);
        let begun: Vec<StepIx> = order.iter().map(|(_, ix)| *ix).collect();
        let mut before = start;
        let made = undos.iter().zip(&steps).enumerate().map(|(at, (undo, &ix))| {
            let row = Row { ix, direction: direction(ix), place: at + 1, first: Some(rollback.decided_at) };
            let estimate = Length::of(undo.estimate_ms);
            let mut made = undo_row(row.make(story, &begun, estimate), undo);
            // One after the other: that is the order of the way back.
            made.planned_start = offset(before);
            before = before.then(estimate);
            made
        });
        made.collect()
    };
    let mut restore = rows(&rollback.restore, Length::default());
    let restored = rollback.restore.iter().fold(Length::default(), |sum, undo| sum.then(Length::of(undo.estimate_ms)));
    let checks: Vec<StepIx> = story.run.plan.section(Section::RollbackCheck).collect();
    for ix in checks {
        let row = Row { ix, direction: Direction::Forward, place: restore.len() + 1, first: Some(rollback.decided_at) };
        let mut made = row.make(story, &[ix], Length::of(story.run.plan.step(ix).estimate_ms));
        made.place = made.started_at.map(|_| restore.len() + 1);
        let step = &view.steps[ix];
        made.planned_start = offset(restored);
        (made.state, made.remark) = (state_word(step), remark(step));
        made.amiss = matches!(step.status.as_str(), "failed" | "unknown" | "backoff");
        restore.push(made);
    }
    let mut lists = Vec::new();
    if !restore.is_empty() {
        let note = format!("planned {} until the source serves", words_of(planned.until_source_serves));
        lists.push(StepList { title: "Way back: users return".to_owned(), note, rows: restore });
    }
    let cleanup = rows(&rollback.cleanup, planned.until_source_serves);
    if !cleanup.is_empty() {
        let note = "removes what was built, once users are back".to_owned();
        lists.push(StepList { title: "Way back: clean-up".to_owned(), note, rows: cleanup });
    }
    lists
}

fn undo_row(mut row: StepRow, undo: &UndoView) -> StepRow {
    row.state = match undo.state.as_str() {
        "pending" => "not begun".to_owned(),
        other => other.to_owned(),
    };
    row.amiss = matches!(undo.state.as_str(), "failed" | "unknown" | "waived");
    let stage = undo.stage.as_ref().map(|stage| format!("stage {stage}"));
    let failure = undo.failure.as_ref().map(|failure| failure.message.clone());
    let detail = Some(undo.detail.clone()).filter(|detail| !detail.is_empty() && failure.is_none());
    row.remark = [stage, detail, failure].into_iter().flatten().collect::<Vec<_>>().join(" · ");
    row
}
