//! Users, their data, the window and the clock: what everybody on the bridge asks first.

use serde::{Deserialize, Serialize};

use super::words;
use crate::machine::fact::{CriterionState, Millis};
use crate::machine::run::Run;
use crate::machine::run_state::RunState;
use crate::machine::state::{Forward, Status, UndoState};
use crate::machine::window::{Expired, Window};
use crate::machine::{Now, ends_at_the_source, may_act, what_to_undo};
use crate::plan::estimate::{History, Length, step_length, way_back};
use crate::plan::policy::{DataAnswer, WindowFrom};
use crate::plan::rollback::{Stage, complete};
use crate::plan::{Section, StepIx};

/// Where users are served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// `atSource`, `down`, `atTarget`, `unsure`, `backAtSource`.
    pub at: String,
    /// One sentence without times.
    pub text: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_at: Option<Millis>,
    /// Measured from the first step that takes the source down until users reached the target, or were back on a
    /// source that was never left, or until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_ms: Option<i64>,
    /// Users were being brought back from the target for so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt_ms: Option<i64>,
    /// It still counts.
    pub downtime_counts: bool,
    /// What the plan allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_budget_ms: Option<u64>,
}

impl ServiceView {
    /// Where users of a run are served.
    #[must_use]
    pub fn of(run: &Run, now: Now) -> Self {
        let (at, text, since) = place(run);
        let restored = run.rollback.as_ref().and_then(|rollback| rollback.restored);
        let ended = run.exposed.or(restored).or(run.up_since);
        let counts = run.down_since.is_some() && ended.is_none() && !run.state.is_final();
        let length = |from: Millis, to: Millis| to.saturating_sub(from).max(0);
        let brought_back = run.rollback.as_ref().filter(|_| run.exposed.is_some() && ends_at_the_source(run));
        let ends = restored.or_else(|| (!run.state.is_final()).then_some(now.steady)).unwrap_or(run.since);
        Self {
            at: at.to_owned(),
            text: text.to_owned(),
            since_at: since,
            downtime_ms: run
                .down_since
                .filter(|_| counts || ended.is_some())
                .map(|since| length(since, ended.unwrap_or(now.steady))),
            doubt_ms: brought_back.map(|rollback| length(rollback.decided, ends)),
            downtime_counts: counts,
            downtime_budget_ms: run.plan.policies.downtime_budget_ms,
        }
    }
}

fn place(run: &Run) -> (&'static str, &'static str, Option<Millis>) {
    if let Some(restored) = run.rollback.as_ref().and_then(|rollback| rollback.restored) {
        let text = if run.plan.section(Section::RollbackCheck).is_empty() {
            "service up: the source serves again; no check verified it"
        } else {
            "service up: the source serves again, verified"
        };
        return ("backAtSource", text, Some(restored));
    }
    if run.state == RunState::Stuck && run.possibly_exposed.is_some() {
        return ("unsure", "service in doubt: the way back to the source is stuck", None);
    }
    // Past an irreversible step a way back may leave users where they are.
    let going_back = run.rollback.is_some() && ends_at_the_source(run);
    if run.state == RunState::ClosedWithResidue && (run.possibly_exposed.is_some() || run.down_since.is_some()) {
        // Whoever closes a run goes on by hand, or did before: what its log knows of users is of that moment.
        let text = match (run.possibly_exposed, run.exposed) {
            (Some(_), _) if going_back => "service not known: users were being brought back when the run was closed",
            (Some(_), Some(_)) => "service not known: users were on the target when the run was closed",
            (Some(_), None) => "service not known: users may have been on the target when the run was closed",
            (None, _) => "service not known: the source was down when the run was closed",
        };
        return ("unsure", text, None);
    }
    match (run.exposed, run.down_since) {
        (Some(exposed), _) if !going_back => {
            let tripped = run.criteria.iter().any(|samples| samples.state == CriterionState::Tripped);
            let text = if tripped && !run.state.is_final() {
                "service in doubt: users are on the target, and a criterion tripped"
            } else {
                "service up: users are on the target"
            };
            ("atTarget", text, Some(exposed))
        }
        (Some(_), _) => ("unsure", "service in doubt: users are being brought back to the source", None),
        // From the intent of the exposing step on they may be on the target.
        (None, _) if run.possibly_exposed.is_some() && exposing_is_unknown(run) => {
            ("unsure", "service in doubt: nobody knows whether users reach the target", run.possibly_exposed)
        }
        (None, Some(down)) if run.up_since.is_none() => ("down", "service DOWN: the source was taken down", Some(down)),
        (None, _) if run.possibly_exposed.is_some() => {
            ("unsure", "service in doubt: nobody knows whether users reach the target", run.possibly_exposed)
        }
        (None, _) => ("atSource", "service up: the source serves, it was not taken down", None),
    }
}

fn exposing_is_unknown(run: &Run) -> bool {
    let Some(ix) = run.plan.exposing() else { return false };
    run.forward(ix).failure().is_some() || run.rollback.is_some()
}

/// What a rollback means for what users wrote on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataView {
    /// `reverseSync`, `stateless`, `acceptLoss`, `unanswered`.
    pub answer: String,
    /// One sentence.
    pub text: String,
    /// Users may have written on the target since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_since_at: Option<Millis>,
    /// For so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_stake_ms: Option<i64>,
    /// What a trip or a failure does now: `automatic`, or why it asks.
    pub trip: String,
}

impl DataView {
    pub(super) fn of(run: &Run, now: Now) -> Self {
        // Once the way back is decided the fence stops them; a run that is over changes nothing any more.
        let until = match &run.rollback {
            Some(rollback) => rollback.decided,
            None if run.state.is_final() => run.since,
            None => now.steady,
        };
        let at_stake = run.possibly_exposed.map(|since| until.saturating_sub(since).max(0));
        let answer = match &run.plan.policies.data {
            DataAnswer::ReverseSync => "reverseSync",
            DataAnswer::Stateless => "stateless",
            DataAnswer::AcceptLoss { .. } => "acceptLoss",
            DataAnswer::Unanswered => "unanswered",
        };
        let trip = match may_act(run, now) {
            Ok(()) => "automatic".to_owned(),
            Err(why) => why,
        };
        Self {
            answer: answer.to_owned(),
            text: data_text(run, at_stake),
            written_since_at: run.possibly_exposed,
            at_stake_ms: at_stake,
            trip,
        }
    }
}

fn data_text(run: &Run, at_stake: Option<i64>) -> String {
    let Some(ms) = at_stake else { return "none: no user could write on the target yet".to_owned() };
    let wrote = format!("{} of users' writes on the target", words::span(ms));
    let keeps = run.commit_intended && run.plan.policies.data != DataAnswer::Stateless;
    if keeps {
        return format!("{wrote}: it keeps them, the way back is given up");
    }
    match &run.plan.policies.data {
        DataAnswer::Stateless => "none: the application keeps no data".to_owned(),
        DataAnswer::ReverseSync => match home(run) {
            Home::Not => format!("{wrote}; the way back brings them home"),
            Home::Yes => format!("{wrote} were brought home"),
            Home::Missed(step) => format!("{wrote} were NOT brought home: the undo of `{step}` did not end well"),
        },
        DataAnswer::AcceptLoss { up_to_ms, reason } => {
            format!("{wrote}; losing up to {} was accepted ({reason})", words::span_u(*up_to_ms))
        }
        DataAnswer::Unanswered if run.rollback.is_some() => {
            format!("{wrote}; the plan does not bring them home: look at the target before it is reused")
        }
        DataAnswer::Unanswered => format!("{wrote}; the plan does not bring them home: going back may lose them"),
    }
}

/// What became of the users' writes.
enum Home {
    /// Not yet, or nobody goes back.
    Not,
    /// Every undo that brings data home was done.
    Yes,
    /// One was not, and the run went on without it.
    Missed(String),
}

fn home(run: &Run) -> Home {
    let Some(rollback) = &run.rollback else { return Home::Not };
    let mut data = rollback.restore.iter().filter(|turn| turn.stage == Some(Stage::Data)).peekable();
    if data.peek().is_none() {
        return Home::Not;
    }
    let over = run.state.is_final() || rollback.restored.is_some();
    for turn in data {
        match &run.step(turn.step).status {
            Status::Undo { state: UndoState::Undone { .. }, .. } => {}
            Status::Undo { state: UndoState::Waived, .. } => {
                return Home::Missed(run.plan.step(turn.step).id.to_string());
            }
            Status::Undo { .. } | Status::Forward(_) if over => {
                return Home::Missed(run.plan.step(turn.step).id.to_string());
            }
            Status::Undo { .. } | Status::Forward(_) => return Home::Not,
        }
    }
    Home::Yes
}

/// What is estimated, as far as it is known. An unknown part makes the rest a lower limit, never nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// When the cutover steps are done; absent where nothing of it is known, or they are not running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutover_ends_at: Option<Millis>,
    /// A step of unknown length is among them: it is later.
    pub cutover_end_open: bool,
    /// From a decision to go back now until the source serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_ms: Option<u64>,
    /// An undo of unknown length is among them: it is longer.
    pub back_open: bool,
    /// How long the whole way back was planned to take after a complete cutover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_back_ms: Option<u64>,
    /// Going back ends with users on the source; not past an irreversible step that keeps what sent them away.
    pub back_at_source: bool,
}

impl Times {
    pub(super) fn of(run: &Run, now: Now) -> Self {
        let history = History::default();
        let known = |length: Length| (length.at_least_ms > 0 || !length.is_open).then_some(length.at_least_ms);
        let ends_at_source = ends_at_the_source(run);
        let back = if run.state.is_final() || run.commit_intended || run.rollback.is_some() || !ends_at_source {
            Length::UNKNOWN
        } else {
            way_back(&run.plan, &history, &what_to_undo(run).order).0
        };
        let planned = way_back(&run.plan, &history, &complete(&run.plan)).0;
        let cutover = cutover_left(run, now, &history);
        Self {
            cutover_ends_at: cutover
                .and_then(known)
                .map(|left| now.steady.saturating_add(i64::try_from(left).unwrap_or(i64::MAX))),
            cutover_end_open: cutover.is_some_and(|left| left.is_open),
            back_ms: known(back),
            back_open: back.is_open,
            planned_back_ms: planned.known_ms(),
            back_at_source: ends_at_source,
        }
    }

    /// `12m 00s`, `at least 12m 00s` or `unknown`.
    #[must_use]
    pub fn back(&self) -> String {
        match (self.back_ms, self.back_open) {
            (Some(ms), false) => words::span_u(ms),
            (Some(ms), true) => format!("at least {}", words::span_u(ms)),
            (None, _) if !self.back_at_source => {
                "never: past an irreversible step users are not brought back".to_owned()
            }
            (None, _) => "unknown".to_owned(),
        }
    }
}

/// What is left of the cutover, along its longest path.
fn cutover_left(run: &Run, now: Now, history: &History) -> Option<Length> {
    let section = run.plan.section(Section::Cutover);
    let going = run.rollback.is_none() && run.stands_in() == RunState::CuttingOver;
    if !going || section.is_empty() {
        return None;
    }
    let mut ends = vec![Length::default(); run.plan.steps.len()];
    for &ix in run.plan.dag().order() {
        if !section.contains(&ix) {
            continue;
        }
        let start =
            run.plan.dag().parents(ix).fold(Length::default(), |latest, (parent, _)| latest.beside(ends[parent]));
        ends[ix] = start.then(step_left(run, ix, now, history));
    }
    Some(section.fold(Length::default(), |latest, ix| latest.beside(ends[ix])))
}

fn step_left(run: &Run, ix: StepIx, now: Now, history: &History) -> Length {
    let forward = run.forward(ix);
    if forward.satisfies() {
        return Length::default();
    }
    let length = step_length(&run.plan, history, ix);
    let elapsed = match forward {
        Forward::Running(attempt) => u64::try_from(now.steady.saturating_sub(attempt.started)).unwrap_or(0),
        Forward::Pending
        | Forward::Ready
        | Forward::Backoff { .. }
        | Forward::Waiting { .. }
        | Forward::Succeeded
        | Forward::Failed { .. }
        | Forward::Unknown { .. }
        | Forward::Skipped { .. }
        | Forward::NotRun => 0,
    };
    Length { at_least_ms: length.at_least_ms.saturating_sub(elapsed), is_open: length.is_open }
}

/// The approved change and how it stands with its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Start of the change window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_at: Option<Millis>,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_at: Option<Millis>,
    /// The last moment to start back so that the source serves before the end; absent where it is unknown how
    /// long the way back takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_back_at: Option<Millis>,
}

impl ChangeView {
    pub(super) fn of(run: &Run, times: &Times) -> Option<Self> {
        let change = run.plan.policies.change.as_ref()?;
        let back = times.planned_back_ms.or(times.back_ms.filter(|_| !times.back_open));
        let turn_back = |until: i64| back.map(|ms| until.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)));
        Some(Self {
            id: change.id.clone(),
            from_at: change.from_ms,
            until_at: change.until_ms,
            turn_back_at: change.until_ms.and_then(turn_back),
        })
    }
}

/// The rollback window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowView {
    /// `exposure` or `cutoverEnd`: from when it counts.
    pub from: String,
    /// How long it was planned.
    pub length_ms: u64,
    /// Since when; absent: it opens with its `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Millis>,
    /// Absolute; moved only by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Millis>,
    /// The engine still goes back by itself.
    pub open: bool,
    /// Until the deadline, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<i64>,
    /// `watched` or `unwatched`, once the deadline passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<String>,
}

/// The window while automatic rollback is possible in it.
pub(super) fn open_window(run: &Run) -> Option<&Window> {
    let closed = run.state.is_final()
        || run.rollback.is_some()
        || matches!(run.state, RunState::Accepted | RunState::Committing)
        || run.commit_intended;
    run.window.as_ref().filter(|window| !closed && window.expired.is_none())
}

impl WindowView {
    pub(super) fn of(run: &Run, now: Now) -> Option<Self> {
        let policies = &run.plan.policies;
        let open = open_window(run).is_some_and(|window| now.steady < window.deadline);
        Some(Self {
            from: match policies.window_from {
                WindowFrom::Exposure => "exposure".to_owned(),
                WindowFrom::CutoverEnd => "cutoverEnd".to_owned(),
            },
            length_ms: policies.window_ms,
            opened_at: run.window.as_ref().map(|window| window.opened),
            deadline_at: run.window.as_ref().map(|window| window.deadline),
            open,
            left_ms: run.window.as_ref().filter(|_| open).map(|window| window.deadline.saturating_sub(now.steady)),
            expired: run.window.as_ref().and_then(|window| window.expired).map(|expired| match expired {
                Expired::Watched => "watched".to_owned(),
                Expired::Unwatched => "unwatched".to_owned(),
            }),
        })
    }
}

/// Whether the way back was seen open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayBackView {
    /// The plan has checks for it.
    pub checked: bool,
    /// All of them passed; absent: not seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// When that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Millis>,
}

impl WayBackView {
    pub(super) fn of(run: &Run) -> Option<Self> {
        if run.commit_intended || run.state.is_final() {
            return None;
        }
        Some(Self {
            checked: !run.plan.section(Section::Ready).is_empty(),
            open: run.way_back.map(|(open, _)| open),
            seen_at: run.way_back.map(|(_, at)| at),
        })
    }
}
