//! One event, for people and programs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{event_text, words};
use crate::machine::event::{Event, Record};
use crate::machine::fact::{Actor, CriterionState, End, Millis, Wait};
use crate::machine::run_state::RunState;

/// How loud an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Bookkeeping: samples, locks, owners. Shown when asked for.
    Detail,
    /// What a night's log should say.
    Info,
    /// A person must act.
    Act,
    /// A person must act now.
    Page,
}

impl Level {
    /// The word for it, for people and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Detail => "detail",
            Self::Info => "info",
            Self::Act => "act",
            Self::Page => "page",
        }
    }

    /// The level of which this is the word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Detail, Self::Info, Self::Act, Self::Page].into_iter().find(|level| level.word() == word)
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// `application/number`.
    pub run: String,
    /// Counts the run's events from 1.
    pub sequence: u64,
    /// Counts the run's transitions from 1.
    pub version: u64,
    /// Of the owner that wrote it.
    pub epoch: u64,
    /// When.
    pub at: Millis,
    /// Who; absent: the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// Why, in the person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its name: `attemptEnded`.
    pub event: String,
    /// How loud.
    pub level: Level,
    /// One line for people, without the time.
    pub text: String,
    /// The step that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The event as it stands in the log, without the parameters and outputs of calls.
    pub detail: Value,
}

impl EventView {
    /// The view of an event at its place in the log.
    #[must_use]
    pub fn of(run: &str, place: Place, record: &Record) -> Self {
        let detail = serde_json::to_value(&record.event).unwrap_or(Value::Null);
        Self {
            run: run.to_owned(),
            sequence: place.sequence,
            version: place.version,
            epoch: place.epoch,
            at: record.at,
            by: record.by.clone(),
            reason: record.reason.as_deref().map(str::to_owned),
            event: record.event.word().to_owned(),
            level: level(&record.event),
            text: match (&record.event, &record.by) {
                (Event::Resolved { step, resolution }, None) => event_text::settled(step, resolution),
                (event, _) => event_text::line(event),
            },
            step: event_text::step(&record.event).map(ToString::to_string),
            detail: without_values(detail),
        }
    }

    /// Who, for people.
    #[must_use]
    pub fn who(&self) -> Option<String> {
        self.by.as_ref().map(words::actor)
    }
}

/// Where an event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Counts the run's events from 1.
    pub sequence: u64,
    /// Counts the run's transitions from 1.
    pub version: u64,
    /// Of the owner that wrote it.
    pub epoch: u64,
}

/// Parameters and outputs of calls stay in the log: the surface never shows them.
fn without_values(mut detail: Value) -> Value {
    // `{"attemptIntended": {…}}`: the fields are one level down.
    if let Some(fields) =
        detail.as_object_mut().and_then(|outer| outer.values_mut().next()).and_then(Value::as_object_mut)
    {
        for key in ["call", "verify", "handle", "outputs"] {
            fields.remove(key);
        }
        for key in ["end", "found", "resolution"] {
            if let Some(inner) = fields.get_mut(key).and_then(Value::as_object_mut) {
                for value in inner.values_mut().filter_map(Value::as_object_mut) {
                    value.remove("outputs");
                    value.remove("handle");
                }
            }
        }
    }
    detail
}

#[expect(clippy::too_many_lines, reason = "one line per event")]
fn level(event: &Event) -> Level {
    match event {
        Event::Asked { .. } | Event::RollbackDecided { .. } => Level::Page,
        Event::Moved { to: RunState::Stuck, .. } | Event::TurnBackNear | Event::TurnBackReached => Level::Page,
        Event::WayBack { open: false } | Event::UndoFailed { .. } | Event::StoreGap { .. } => Level::Page,
        Event::Moved { to: RunState::Prepared, .. }
        | Event::GoMissed
        | Event::ClockJumped { .. }
        | Event::UndoLeftToPerson { .. }
        | Event::Overrun { .. }
        | Event::TimeShort { .. }
        | Event::OutcomeUnknown { .. }
        | Event::CriterionMoved { to: CriterionState::Tripped | CriterionState::Blind, .. }
        | Event::Denied { expired: true, .. } => Level::Act,
        Event::Waiting { on: Wait::Approval { .. } | Wait::Person, .. } => Level::Act,
        Event::AttemptEnded { end: End::Failed { .. } | End::Unknown { .. }, .. } => Level::Act,
        Event::LocksRequested { .. }
        | Event::LocksGranted { .. }
        | Event::HandleRecorded { .. }
        | Event::SamplePlanned { .. }
        | Event::Sampled { .. }
        | Event::Readied { .. }
        | Event::WayBack { open: true } => Level::Detail,
        Event::Created { .. }
        | Event::Owned { .. }
        | Event::Moved { .. }
        | Event::LocksAwaited { .. }
        | Event::LocksNarrowed
        | Event::Held { .. }
        | Event::Resumed
        | Event::GoGiven
        | Event::GoPlanned { .. }
        | Event::Closed { .. }
        | Event::Noted { .. }
        | Event::InCharge { .. }
        | Event::Amended { .. }
        | Event::AttemptIntended { .. }
        | Event::Interrupted { .. }
        | Event::AttemptEnded { end: End::Succeeded { .. } | End::Cancelled { .. }, .. }
        | Event::LateResult { .. }
        | Event::RetryPlanned { .. }
        | Event::ProbeIntended { .. }
        | Event::Probed { .. }
        | Event::Skipped { .. }
        | Event::Waiting { on: Wait::Locks { .. }, .. }
        | Event::Answered { .. }
        | Event::Resolved { .. }
        | Event::Extended { .. }
        | Event::Approved { .. }
        | Event::Denied { expired: false, .. }
        | Event::IrreversibleApproved { .. }
        | Event::BaselineCaptured { .. }
        | Event::WindowOpened { .. }
        | Event::WindowExtended { .. }
        | Event::WindowExpired { .. }
        | Event::GateJudged { .. }
        | Event::CriterionMoved {
            to: CriterionState::Waiting | CriterionState::Clear | CriterionState::Suspect, ..
        }
        | Event::Disarmed { .. }
        | Event::Armed { .. }
        | Event::SignedOff { .. }
        | Event::RollbackOrdered { .. }
        | Event::UndoNotNeeded { .. }
        | Event::PartialUndoOrdered { .. }
        | Event::TurnBackPlanned { .. }
        | Event::UndoWaived { .. }
        | Event::UndoDoneByHand { .. }
        | Event::UndoReadied { .. }
        | Event::ServiceRestored
        | Event::RollbackContinued
        | Event::ClockConfirmed
        | Event::TurnBackWaived
        | Event::ForwardAgain
        | Event::Residue { .. } => Level::Info,
    }
}
