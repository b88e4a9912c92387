//! What became of the run, in one sentence and a few figures.

use serde::{Deserialize, Serialize};

use super::hours::Hours;
use super::service::{self, ServiceSpan};
use super::story::Story;
use crate::machine::RunState;
use crate::machine::fact::Millis;
use crate::plan::estimate::{Estimates, Length};
use crate::view::RunView;
use crate::view::words::{self, span, span_u};

/// How the outcome is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Users are where the plan wanted them.
    Good,
    /// Users are where they were.
    Back,
    /// Somebody has to help.
    Bad,
    /// Nothing was touched.
    Untouched,
    /// It is not over.
    Open,
}

/// What became of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeView {
    /// `accepted`, `rolled_back`, …
    pub state: String,
    /// One or two words for a heading.
    pub word: String,
    /// How to take it.
    pub kind: Kind,
    /// One sentence.
    pub sentence: String,
}

/// A figure of the summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// As people read it.
    pub value: String,
    /// What was planned, or what it means.
    pub note: String,
    /// It is worse than what was planned or allowed.
    pub exceeds: bool,
}

/// The outcome.
pub(super) fn outcome(story: &Story, view: &RunView, spans: &[ServiceSpan], hours: &Hours) -> OutcomeView {
    let (word, kind) = heading(story.run.state);
    OutcomeView {
        state: story.run.state.word().to_owned(),
        word: word.to_owned(),
        kind,
        sentence: sentence(story, view, spans, hours),
    }
}

fn heading(state: RunState) -> (&'static str, Kind) {
    match state {
        RunState::Accepted => ("Accepted", Kind::Good),
        RunState::Committed => ("Committed", Kind::Good),
        RunState::RolledBack => ("Rolled back", Kind::Back),
        RunState::Refused => ("Refused", Kind::Untouched),
        RunState::Cancelled => ("Cancelled", Kind::Untouched),
        RunState::ClosedWithResidue => ("Closed with residue", Kind::Bad),
        RunState::Stuck => ("Stuck", Kind::Bad),
        RunState::Deciding => ("A person must decide", Kind::Bad),
        RunState::Created
        | RunState::Checking
        | RunState::Preparing
        | RunState::Prepared
        | RunState::CuttingOver
        | RunState::Observing
        | RunState::Committing
        | RunState::RollingBack => ("So far", Kind::Open),
    }
}

fn sentence(story: &Story, view: &RunView, spans: &[ServiceSpan], hours: &Hours) -> String {
    let run = &story.run;
    let (app, target) = (&run.plan.application, &run.plan.target_platform);
    let without = match service::downtime(spans) {
        Some(ms) => format!("after {} without service", span(ms)),
        None => "without an interruption by the plan".to_owned(),
    };
    let exposed = run.exposed.map(|at| hours.time(at)).unwrap_or_default();
    match run.state {
        RunState::Accepted => {
            let how = if is_by_person(story) { "a person accepted it" } else { "the gate was met" };
            format!("Users of {app} have been on {target} since {exposed}, {without}; {how}, and the source is kept.")
        }
        RunState::Committed => format!(
            "Users of {app} have been on {target} since {exposed}, {without}; it was committed at {}, so the way back is gone.",
            hours.time(run.since)
        ),
        RunState::RolledBack => rolled_back(story, view, hours),
        RunState::Refused => format!("{} {}", touched(story), because(story, "The cutover was refused")),
        RunState::Cancelled => format!("{} {}", touched(story), because(story, "The run was cancelled")),
        RunState::ClosedWithResidue => {
            let left = view.leftovers.len();
            let things = if left == 1 { "1 thing stays".to_owned() } else { format!("{left} things stay") };
            format!(
                "A person closed the run at {}. As far as its log knows, {things} applied; {}.",
                hours.time(run.since),
                service_now(view, hours)
            )
        }
        RunState::Stuck => format!(
            "The way back cannot go on by itself: {}. It is not over; {}.",
            stuck_on(view),
            service_now(view, hours)
        ),
        RunState::Deciding => {
            let asked = view.questions.first().map_or("a question is open", |question| question.what.as_str());
            format!("It is not over: {asked}; {}.", service_now(view, hours))
        }
        RunState::Created
        | RunState::Checking
        | RunState::Preparing
        | RunState::Prepared
        | RunState::CuttingOver
        | RunState::Observing
        | RunState::Committing
        | RunState::RollingBack => {
            format!("It is not over: {}; {}.", view.summary.doing, service_now(view, hours))
        }
    }
}

fn is_by_person(story: &Story) -> bool {
    story.run.because == Some(crate::machine::fact::Cause::Person)
}

/// Where users are, as a clause.
fn service_now(view: &RunView, hours: &Hours) -> String {
    let since = view.service.since_at.map(|at| format!(" since {}", hours.time(at))).unwrap_or_default();
    match view.service.at.as_str() {
        "down" => format!("users have been without service{since}"),
        "atTarget" => format!("users have been on the target{since}"),
        "backAtSource" => format!("the source has served users again{since}"),
        "atSource" => "the source serves users".to_owned(),
        _ if view.summary.is_final => view.service.text.clone(),
        _ => "nobody has verified where users are".to_owned(),
    }
}

fn because(story: &Story, what: &str) -> String {
    match &story.run.because {
        Some(crate::machine::fact::Cause::Person) | None => format!("{what} by a person."),
        Some(crate::machine::fact::Cause::WentBack) => match &story.run.rollback {
            Some(rollback) => format!("{what}: {}.", words::cause(&rollback.because)),
            None => format!("{what}."),
        },
        Some(cause) => format!("{what}: {}.", words::cause(cause)),
    }
}

fn touched(story: &Story) -> &'static str {
    match (story.run.first_effect.is_some(), story.run.prepared_effect) {
        (true, _) => "What the cutover had begun was taken back.",
        (false, true) => "Only the preparation had run, and it was taken back.",
        (false, false) => "Nothing was touched.",
    }
}

fn rolled_back(story: &Story, view: &RunView, hours: &Hours) -> String {
    let run = &story.run;
    let Some(rollback) = &run.rollback else { return "The run went back; the source serves.".to_owned() };
    let why = words::cause(&rollback.because);
    let app = &run.plan.application;
    let served = match rollback.restored {
        Some(at) => format!(
            "the source has served users again since {}{}, {} after the decision",
            hours.time(at),
            if is_checked(run) { ", verified" } else { ", which no check verified" },
            span(at.saturating_sub(rollback.decided))
        ),
        None => "the source serves".to_owned(),
    };
    let left = view.leftovers.len();
    let rest = match left {
        0 => String::new(),
        1 => " One thing stays applied and is listed below.".to_owned(),
        n => format!(" {n} things stay applied and are listed below."),
    };
    format!("{app} went back at {} because {why}; {served}.{rest}", hours.time(rollback.decided))
}

/// Whether the plan has a check that proves that the source serves.
fn is_checked(run: &crate::machine::Run) -> bool {
    !run.plan.section(crate::plan::Section::RollbackCheck).is_empty()
}

fn stuck_on(view: &RunView) -> String {
    let undos = view.rollback.iter().flat_map(|rollback| &rollback.restore);
    let failed: Vec<String> = undos
        .filter(|undo| matches!(undo.state.as_str(), "failed" | "unknown"))
        .map(|undo| format!("`{}`", undo.step))
        .collect();
    match failed.as_slice() {
        [] => "the checks that the source serves do not pass".to_owned(),
        [one] => format!("the undo of {one} failed"),
        many => format!("the undos of {} failed", many.join(", ")),
    }
}

/// The figures beside the sentence.
pub(super) fn figures(story: &Story, spans: &[ServiceSpan], planned: &Estimates, hours: &Hours) -> Vec<Figure> {
    let mut figures = Vec::new();
    let policies = &story.run.plan.policies;
    if let Some(ms) = service::downtime(spans) {
        let budget = policies.downtime_budget_ms;
        let allowed = budget.map(|ms| format!(", allowed {}", span_u(ms))).unwrap_or_default();
        let planned =
            planned.downtime.map_or_else(|| "not planned".to_owned(), |length| format!("planned {}", words_of(length)));
        let exceeds = budget.is_some_and(|budget| u64::try_from(ms).is_ok_and(|ms| ms > budget));
        figures.push(figure("Without service", &span(ms), format!("{planned}{allowed}"), exceeds));
    }
    if let Some(began) = story.first(RunState::CuttingOver) {
        let ended = story.run.exposed;
        if let Some(at) = ended {
            let took = at.saturating_sub(began);
            let planned_ms = planned.until_exposure.unwrap_or(Length::UNKNOWN);
            let note = format!("planned {}; users on the target at {}", words_of(planned_ms), hours.time(at));
            figures.push(figure("Until users were on the target", &span(took), note, is_over(took, planned_ms)));
        }
    }
    if let Some(rollback) = &story.run.rollback {
        let (value, note) = match rollback.restored {
            Some(at) => (span(at.saturating_sub(rollback.decided)), format!("service restored at {}", hours.time(at))),
            None if story.is_over() => ("–".to_owned(), "nothing had to be restored".to_owned()),
            None => ("not yet".to_owned(), format!("decided at {}", hours.time(rollback.decided))),
        };
        let took = rollback.restored.map(|at| at.saturating_sub(rollback.decided));
        let exceeds = took.is_some_and(|took| is_over(took, planned.until_source_serves));
        let note = format!("{note}; planned {}", words_of(planned.until_source_serves));
        figures.push(figure("From the decision until service", &value, note, exceeds));
    }
    let whole = story.end.saturating_sub(story.begin);
    let note = format!("{} to {}", hours.time(story.begin), hours.time(story.end));
    figures.push(figure("The whole run", &span(whole), note, false));
    figures
}

fn figure(name: &str, value: &str, note: String, exceeds: bool) -> Figure {
    Figure { name: name.to_owned(), value: value.to_owned(), note, exceeds }
}

fn is_over(took: Millis, planned: Length) -> bool {
    planned.known_ms().is_some_and(|planned| u64::try_from(took).is_ok_and(|took| took > planned))
}

/// `3m 00s`, `more than 3m 00s`, `unknown`.
pub(super) fn words_of(length: Length) -> String {
    match (length.is_open, length.at_least_ms) {
        (true, 0) => "unknown".to_owned(),
        (true, known) => format!("more than {}", span_u(known)),
        (false, known) => span_u(known),
    }
}
