//! What of a run's log is told to people elsewhere: how loud each event is, and what has to end before it is over.
//!
//! Pure. The level of an event here is not the one by which a view colours it: a view is read by somebody who looks, a
//! notice wakes somebody who does not. Start at [`heard`].

use serde::{Deserialize, Serialize};

use crate::machine::fact::{CriterionState, End, LockScope, Wait};
use crate::machine::question::QuestionKind;
use crate::machine::run::Run;
use crate::machine::state::{Forward, Status, UndoState};
use crate::machine::{Event, Now, Record, RunState};
use crate::view::{Level, ServiceView};

/// What waits for a person after an event. It is told again until it is over or somebody says that they saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Matter {
    /// A question.
    Question(u32),
    /// An approval, work by hand, an undo by hand.
    Step(String),
    /// A check that fails and is only tried again.
    Check(String),
    /// The way back cannot go on alone.
    Stuck,
    /// The wall clock is in doubt.
    Clock,
    /// The way back is lost.
    WayBack,
    /// Forward work waits after a restart.
    Held,
}

impl Matter {
    /// Whether it still waits.
    #[must_use]
    pub fn is_open(&self, run: &Run) -> bool {
        if run.state.is_final() {
            return false;
        }
        match self {
            Self::Question(id) => run.questions.contains_key(id),
            Self::Step(step) => any(run, step, |status, _| match status {
                Status::Forward(Forward::Waiting { on, .. }) => matches!(on, Wait::Approval { .. } | Wait::Person),
                Status::Undo { state, .. } => matches!(state, UndoState::Waiting { .. }),
                Status::Forward(_) => false,
            }),
            Self::Check(step) => any(run, step, |status, has_failed| {
                has_failed && matches!(status, Status::Forward(Forward::Backoff { .. }))
            }),
            Self::Stuck => run.state == RunState::Stuck,
            Self::Clock => run.clock_in_doubt,
            Self::WayBack => run.rollback.is_none() && matches!(run.way_back, Some((false, _))),
            Self::Held => run.hold.as_ref().is_some_and(|hold| hold.restart),
        }
    }

    /// Whether it is told more than once: whoever restarted an engine knows that forward work waits.
    #[must_use]
    pub fn is_told_again(&self) -> bool {
        *self != Self::Held
    }

    /// Whether events go on to say it while it goes on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        *self == Self::WayBack
    }

    /// The step that it is about.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Step(step) | Self::Check(step) => Some(step),
            Self::Question(_) | Self::Stuck | Self::Clock | Self::WayBack | Self::Held => None,
        }
    }
}

fn any(run: &Run, step: &str, is_so: impl Fn(&Status, bool) -> bool) -> bool {
    let found = run.plan.steps.iter().position(|known| known.id.as_str() == step);
    found.map(|ix| run.step(ix)).is_some_and(|record| is_so(&record.status, record.last_failure.is_some()))
}

/// An event that people elsewhere are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// How loud.
    pub level: Level,
    /// What waits for a person.
    pub matter: Option<Matter>,
}

/// What an event means to people elsewhere; the run is known up to the event at least.
#[must_use]
pub fn heard(run: &Run, now: Now, record: &Record) -> Option<Heard> {
    let (level, matter) = match of(&record.event)? {
        Kind::Told(level) => (level, None),
        Kind::Waits(level, matter) => (level, Some(matter)),
        Kind::Question { id, wakes } => {
            let level = if wakes || users_wait(run, now) { Level::Page } else { Level::Act };
            (level, Some(Matter::Question(id)))
        }
        Kind::WayBackLost => {
            let exposed = run.possibly_exposed.is_some_and(|since| since <= record.at);
            (if exposed { Level::Page } else { Level::Act }, Some(Matter::WayBack))
        }
        Kind::Check(step) => {
            // Later, as for a post-check, a first failure is nothing that anybody has to come for.
            let is_before = matches!(run.state, RunState::Checking | RunState::Prepared);
            let is_check = run.plan.steps.iter().any(|known| known.id.as_str() == step && known.section.is_check());
            (is_before && is_check).then_some((Level::Act, Some(Matter::Check(step))))?
        }
    };
    Some(Heard { level, matter })
}

/// Whether an event may be told at all, whatever its run is like.
#[must_use]
pub fn may_be_heard(event: &Event) -> bool {
    of(event).is_some()
}

/// Users are without the service, or nobody knows.
fn users_wait(run: &Run, now: Now) -> bool {
    matches!(ServiceView::of(run, now).at.as_str(), "down" | "unsure")
}

/// What can be said of an event alone.
enum Kind {
    Told(Level),
    Waits(Level, Matter),
    /// `wakes`: whatever users have.
    Question {
        id: u32,
        wakes: bool,
    },
    WayBackLost,
    /// The first failure of something that may be a check.
    Check(String),
}

#[expect(clippy::too_many_lines, reason = "one line per event")]
fn of(event: &Event) -> Option<Kind> {
    use Level::{Act, Info, Page};
    Some(match event {
        Event::Asked { question, kind } => {
            let wakes = matches!(kind, QuestionKind::TurnBack { .. } | QuestionKind::Tripped { .. });
            Kind::Question { id: *question, wakes }
        }
        Event::Moved { to: RunState::Stuck, .. } => Kind::Waits(Page, Matter::Stuck),
        Event::RollbackDecided { ends: RunState::RolledBack, .. } | Event::TurnBackNear => Kind::Told(Page),
        Event::ClockJumped { .. } => Kind::Waits(Page, Matter::Clock),
        Event::WayBack { open: false } => Kind::WayBackLost,
        Event::Waiting { step, on: Wait::Approval { .. } | Wait::Person } | Event::UndoLeftToPerson { step } => {
            Kind::Waits(Act, Matter::Step(step.to_string()))
        }
        Event::AttemptEnded { step, attempt: 1, end: End::Failed { .. }, .. } => Kind::Check(step.to_string()),
        Event::Held { restart: true } => Kind::Waits(Act, Matter::Held),
        Event::Moved { to: RunState::Prepared, .. }
        | Event::Overrun { .. }
        | Event::TimeShort { .. }
        | Event::UndoFailed { .. }
        | Event::StoreGap { .. }
        | Event::GoMissed => Kind::Told(Act),
        // Told by the question, or by the decision to go back, of the same moment.
        Event::Moved { to: RunState::Deciding | RunState::RollingBack, .. } => return None,
        Event::Created { .. }
        // Only what was prepared is undone.
        | Event::RollbackDecided { .. }
        | Event::Owned { away_ms: Some(_), .. }
        | Event::Moved { .. }
        | Event::LocksAwaited { scope: LockScope::Run | LockScope::Rest, .. }
        | Event::Held { restart: false }
        | Event::Resumed
        | Event::GoGiven
        | Event::GoPlanned { .. }
        | Event::Closed { .. }
        | Event::InCharge { .. }
        | Event::Amended { .. }
        | Event::Extended { .. }
        | Event::Approved { .. }
        | Event::Denied { .. }
        | Event::IrreversibleApproved { .. }
        | Event::WindowOpened { .. }
        | Event::WindowExtended { .. }
        | Event::WindowExpired { .. }
        | Event::CriterionMoved {
            to: CriterionState::Suspect | CriterionState::Tripped | CriterionState::Blind, ..
        }
        | Event::Disarmed { .. }
        | Event::Armed { .. }
        | Event::SignedOff { .. }
        | Event::UndoWaived { .. }
        | Event::UndoDoneByHand { .. }
        | Event::ServiceRestored
        | Event::RollbackContinued
        | Event::ClockConfirmed
        // Where it has to be decided upon, a question says so.
        | Event::TurnBackReached
        | Event::TurnBackWaived
        | Event::ForwardAgain
        | Event::Residue { .. } => Kind::Told(Info),
        Event::Owned { away_ms: None, .. }
        | Event::LocksRequested { .. }
        | Event::LocksGranted { .. }
        | Event::LocksNarrowed
        | Event::LocksAwaited { scope: LockScope::Step(_), .. }
        | Event::Noted { .. }
        | Event::AttemptIntended { .. }
        | Event::HandleRecorded { .. }
        | Event::Interrupted { .. }
        | Event::AttemptEnded { .. }
        | Event::LateResult { .. }
        | Event::RetryPlanned { .. }
        | Event::Readied { .. }
        | Event::OutcomeUnknown { .. }
        | Event::ProbeIntended { .. }
        | Event::Probed { .. }
        | Event::Skipped { .. }
        | Event::Waiting { on: Wait::Locks { .. }, .. }
        | Event::Answered { .. }
        | Event::Resolved { .. }
        | Event::BaselineCaptured { .. }
        | Event::GateJudged { .. }
        | Event::SamplePlanned { .. }
        | Event::Sampled { .. }
        | Event::CriterionMoved { to: CriterionState::Waiting | CriterionState::Clear, .. }
        | Event::WayBack { open: true }
        | Event::RollbackOrdered { .. }
        | Event::PartialUndoOrdered { .. }
        | Event::UndoNotNeeded { .. }
        | Event::UndoReadied { .. }
        | Event::TurnBackPlanned { .. } => return None,
    })
}
