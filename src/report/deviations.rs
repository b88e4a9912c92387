//! Everything that did not go as planned, and who let it.
//!
//! What one event tells stands in [`of_event`]; what shows only over a length of time (retries, holds, absences,
//! overruns) is gathered in functions of its own. Never judged here: whether it mattered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::hours::Hours;
use super::service::{self, ServiceSpan};
use super::story::{Outcome, Story};
use crate::machine::RunState;
use crate::machine::event::{Event, Record};
use crate::machine::fact::{Actor, CriterionState, Direction, Interruption, LockScope, Millis, Resolution, SkipCause};
use crate::machine::state::{Forward, UndoState};
use crate::plan::{Section, StepIx};
use crate::view::words::{self, span, span_u};

/// Something that did not go as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deviation {
    /// When, or since when.
    pub at: Millis,
    /// `rollback`, `retries`, `hold`, …
    pub kind: String,
    /// One sentence.
    pub what: String,
    /// How long it lasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<i64>,
    /// Who decided it; absent: nobody did, it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// All of them, by time.
pub(super) fn deviations(account: &Account, story: &Story, spans: &[ServiceSpan], hours: &Hours) -> Vec<Deviation> {
    // Of one moment, what happened stands before what people did about it.
    let mut all = failures(account, story);
    all.extend(account.events.iter().filter_map(|(_, record)| of_event(story, record, hours)));
    all.extend(retries(account, story));
    all.extend(holds(story));
    all.extend(absences(story, hours));
    all.extend(overruns(story));
    all.extend(way_back_lost(account, story));
    all.extend(lock_waits(account));
    all.extend(budget(story, spans));
    all.extend(change_window(story, hours));
    all.sort_by_key(|deviation| deviation.at);
    all
}

fn found(at: Millis, kind: &str, what: impl Into<String>) -> Deviation {
    Deviation { at, kind: kind.to_owned(), what: what.into(), lasted_ms: None, who: None, why: None }
}

fn who(by: Option<&Actor>) -> Option<String> {
    by.map(words::actor)
}

/// What a single event tells.
fn of_event(story: &Story, record: &Record, hours: &Hours) -> Option<Deviation> {
    let (kind, what) = sentence(story, &record.event, hours)?;
    let why = record.reason.as_deref().map(str::to_owned);
    Some(Deviation { who: who(record.by.as_ref()), why, ..found(record.at, kind, what) })
}

/// `None`: as planned, or told over its whole length by another function.
#[expect(clippy::too_many_lines, reason = "one line per event")]
fn sentence(story: &Story, event: &Event, hours: &Hours) -> Option<(&'static str, String)> {
    Some(match event {
        Event::Skipped { step, over: SkipCause::Person } => ("skipped", format!("`{step}` was skipped")),
        Event::Skipped { step, over: SkipCause::Waived } => ("waived", format!("check `{step}` was waived")),
        Event::OutcomeUnknown { step, direction, failure } => {
            // A check that is asked again has no outcome to worry about.
            story.run.plan.find(step).filter(|ix| !story.run.plan.step(*ix).section.is_check())?;
            let what = match direction {
                Direction::Forward => "had happened",
                Direction::Undo => "had been undone",
            };
            ("unknown outcome", format!("for a while nobody knew whether `{step}` {what}: {failure}"))
        }
        Event::Resolved { step, resolution } => {
            let said = match resolution {
                Resolution::Happened { .. } => "it happened",
                Resolution::DidNotHappen => "it did not happen",
                Resolution::Failed { .. } => "it failed",
            };
            ("said by a person", format!("`{step}`: {said}"))
        }
        Event::LateResult { step, .. } => {
            ("late result", format!("a result of `{step}` came when it did not count any more; it was not applied"))
        }
        Event::Amended { step, revision, plan, set, of } => {
            let what = words::changes(set, of).join("; ");
            let before = of.plan.as_ref().map(|plan| format!("{} → ", plan.short())).unwrap_or_default();
            let proposed = of.proposed_by.as_ref().map(|who| {
                let why = of.proposed_because.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
                format!("; proposed by {}{why}", words::actor(who))
            });
            let revision = format!("revision {revision} of the plan, {before}{}", plan.short());
            ("amended", format!("`{step}` was changed: {what} [{revision}]{}", proposed.unwrap_or_default()))
        }
        Event::GoMissed => {
            ("begin", "the time at which it would have begun by itself came while nobody could".to_owned())
        }
        Event::Denied { step, expired: false } => ("denied", format!("`{step}` was denied")),
        Event::Denied { step, expired: true } => {
            ("denied", format!("nobody answered `{step}` in time: the answer is no"))
        }
        Event::UndoFailed { step, failure } => {
            ("undo failed", format!("the undo of `{step}` failed for good: {failure}"))
        }
        Event::PartialUndoOrdered { step } => {
            ("partial effect", format!("a part of `{step}` had happened; it was taken back before another try"))
        }
        Event::UndoWaived { step } => ("undo waived", format!("the run went on without undoing `{step}`")),
        Event::UndoDoneByHand { step } => ("by hand", format!("`{step}` was undone by hand")),
        Event::RollbackDecided { because, .. } => {
            ("rollback", format!("the run turned back: {}", words::cause(because)))
        }
        Event::WindowExtended { deadline } => {
            ("window", format!("the rollback window was extended to {}", hours.time(*deadline)))
        }
        Event::WindowExpired { watched: false } => {
            ("window", "the rollback window ended while nobody watched".to_owned())
        }
        Event::GateJudged { gaps } if !gaps.is_empty() => {
            ("gate", format!("the gate was not met: {}", gaps.iter().map(words::gap).collect::<Vec<_>>().join("; ")))
        }
        Event::CriterionMoved { criterion, to: CriterionState::Tripped } => {
            ("criterion", format!("`{criterion}` tripped"))
        }
        Event::CriterionMoved { criterion, to: CriterionState::Blind } => {
            ("criterion", format!("`{criterion}` saw nothing"))
        }
        Event::Extended { step, deadline } => {
            ("more time", format!("`{step}` got more time, until {}", hours.time(*deadline)))
        }
        Event::Disarmed { criterion, until } => {
            ("criterion", format!("`{criterion}` was disarmed until {}", hours.time(*until)))
        }
        Event::ClockJumped { by_ms } => ("clock", format!("the wall clock jumped by {}", span(*by_ms))),
        Event::ClockConfirmed => ("clock", "the wall clock was said to be right".to_owned()),
        Event::StoreGap { gap_ms } => {
            ("store", format!("the log could not be written for {}; criteria were blind", span_u(*gap_ms)))
        }
        Event::TurnBackReached => ("turn-back time", "the turn-back time passed".to_owned()),
        Event::TurnBackWaived => ("turn-back time", "a person went on past the turn-back time".to_owned()),
        Event::ForwardAgain => ("forward again", "steps that had been undone ran again".to_owned()),
        Event::Interrupted { step, why: Interruption::Timeout, .. } => {
            ("out of time", format!("`{step}` was stopped because its time was up"))
        }
        Event::Interrupted {
            step,
            direction,
            why: why @ (Interruption::EngineDied | Interruption::Stopping | Interruption::Asked),
            ..
        } => {
            story.run.plan.find(step).filter(|ix| !story.run.plan.step(*ix).section.is_check())?;
            let what = match direction {
                Direction::Forward => format!("`{step}`"),
                Direction::Undo => format!("the undo of `{step}`"),
            };
            ("cut off", format!("{what} was cut off while it ran: {}", words::interruption(*why)))
        }
        Event::Moved { to: RunState::ClosedWithResidue, .. } => {
            ("closed", "a person ended the run as it stood".to_owned())
        }
        Event::Created { .. }
        | Event::Owned { .. }
        | Event::Moved { .. }
        | Event::LocksRequested { .. }
        | Event::LocksGranted { .. }
        | Event::LocksAwaited { .. }
        | Event::Held { .. }
        | Event::Resumed
        | Event::GoGiven
        | Event::GoPlanned { .. }
        | Event::Asked { .. }
        | Event::Closed { .. }
        | Event::Noted { .. }
        | Event::InCharge { .. }
        | Event::AttemptIntended { .. }
        | Event::HandleRecorded { .. }
        | Event::AttemptEnded { .. }
        | Event::RetryPlanned { .. }
        | Event::Readied { .. }
        | Event::ProbeIntended { .. }
        | Event::Probed { .. }
        | Event::Skipped { over: SkipCause::WhenFalse, .. }
        | Event::Waiting { .. }
        | Event::Overrun { .. }
        | Event::LocksNarrowed
        | Event::TimeShort { .. }
        | Event::Answered { .. }
        | Event::Approved { .. }
        | Event::IrreversibleApproved { .. }
        | Event::BaselineCaptured { .. }
        | Event::WindowOpened { .. }
        | Event::WindowExpired { watched: true }
        | Event::GateJudged { .. }
        | Event::SamplePlanned { .. }
        | Event::Sampled { .. }
        | Event::CriterionMoved {
            to: CriterionState::Waiting | CriterionState::Clear | CriterionState::Suspect, ..
        }
        | Event::Armed { .. }
        | Event::SignedOff { .. }
        | Event::WayBack { .. }
        | Event::RollbackOrdered { .. }
        | Event::UndoNotNeeded { .. }
        | Event::UndoLeftToPerson { .. }
        | Event::UndoReadied { .. }
        | Event::TurnBackPlanned { .. }
        | Event::TurnBackNear
        | Event::ServiceRestored
        | Event::RollbackContinued
        | Event::Residue { .. } => return None,
    })
}

/// Retries of one step, in one direction, with what had failed.
fn retries(account: &Account, story: &Story) -> Vec<Deviation> {
    let mut by_step: BTreeMap<(StepIx, Direction), (Millis, usize)> = BTreeMap::new();
    for (_, record) in &account.events {
        let Event::RetryPlanned { step, direction, .. } = &record.event else { continue };
        let Some(ix) = story.run.plan.find(step) else { continue };
        // These are repeated until they pass: that is their plan.
        if matches!(story.run.plan.step(ix).section, Section::PostCheck | Section::Ready) {
            continue;
        }
        by_step.entry((ix, *direction)).or_insert((record.at, 0)).1 += 1;
    }
    let told = by_step.into_iter().map(|((ix, direction), (at, count))| {
        let step = &story.run.plan.step(ix).id;
        let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
        let what = match direction {
            Direction::Forward => format!("`{step}` was tried again {times}"),
            Direction::Undo => format!("the undo of `{step}` was tried again {times}"),
        };
        let failures = story.tries_of(ix, direction).filter_map(|tried| tried.failure.as_deref());
        Deviation { why: distinct(failures), ..found(at, "retries", what) }
    });
    told.collect()
}

/// Steps and undos whose last attempt failed and was not followed by another.
fn failures(account: &Account, story: &Story) -> Vec<Deviation> {
    let told = |step: &crate::plan::StepId| {
        let failed = |record: &Record| matches!(&record.event, Event::UndoFailed { step: known, .. } if known == step);
        account.events.iter().any(|(_, record)| failed(record))
    };
    let mut all = Vec::new();
    for ix in 0..story.run.plan.steps.len() {
        let step = &story.run.plan.step(ix).id;
        let waits = matches!(story.run.forward(ix), Forward::Backoff { .. });
        let waits_back = matches!(story.run.undo(ix), Some(UndoState::Backoff { .. }));
        for (direction, waits) in [(Direction::Forward, waits), (Direction::Undo, waits_back)] {
            let last = story.tries_of(ix, direction).last().filter(|tried| tried.outcome == Outcome::Failed && !waits);
            let Some(last) = last else { continue };
            let (kind, name) = match direction {
                Direction::Forward => ("failed", format!("`{step}`")),
                Direction::Undo if told(step) => continue,
                Direction::Undo => ("undo failed", format!("the undo of `{step}`")),
            };
            let why = last.failure.as_deref().unwrap_or("without a reason");
            all.push(found(last.to, kind, format!("{name} failed: {why}")));
        }
    }
    all
}

/// The first two different reasons.
fn distinct<'a>(failures: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut all: Vec<&str> = Vec::new();
    for failure in failures {
        if !all.contains(&failure) {
            all.push(failure);
        }
    }
    let more = all.len().saturating_sub(2);
    let text = all.iter().take(2).copied().collect::<Vec<_>>().join("; ");
    match (text.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(text),
        (false, more) => Some(format!("{text}; and {more} other reasons")),
    }
}

fn holds(story: &Story) -> impl Iterator<Item = Deviation> + '_ {
    story.holds.iter().map(|held| {
        let end = match (&held.to, &held.ended_by) {
            (Some(_), Some(by)) => format!("; {} let it go on", words::actor(by)),
            (Some(_), None) => String::new(),
            (None, _) => "; nobody let it go on".to_owned(),
        };
        let what = if held.restart {
            format!("forward work waited for `resume` after the interruption{end}")
        } else {
            format!("the run was held{end}")
        };
        let lasted = held.to.unwrap_or(story.end).saturating_sub(held.from);
        Deviation {
            lasted_ms: Some(lasted),
            who: who(held.by.as_ref()),
            why: held.reason.clone(),
            ..found(held.from, "hold", what)
        }
    })
}

fn absences<'a>(story: &'a Story, hours: &'a Hours) -> impl Iterator<Item = Deviation> + 'a {
    story.absences.iter().map(|absence| {
        let blind =
            if absence.window_open { "; no criterion was sampled and nothing would have gone back" } else { "" };
        let what = format!(
            "no engine executed the run, which was {}, until one on {} took it over at {}{blind}",
            words::state(absence.state),
            absence.host,
            hours.time(absence.to)
        );
        let lasted = absence.to.saturating_sub(absence.from);
        Deviation { lasted_ms: Some(lasted), ..found(absence.from, "interruption", what) }
    })
}

/// Steps and undos that took longer than planned, told or not.
fn overruns(story: &Story) -> Vec<Deviation> {
    let plan = &story.run.plan;
    let mut all = Vec::new();
    for ix in 0..plan.steps.len() {
        let step = plan.step(ix);
        let repeats = matches!(step.section, Section::PostCheck | Section::Ready);
        let estimates = [
            (Direction::Forward, step.estimate_ms.filter(|_| !repeats)),
            (Direction::Undo, step.undo_action().and_then(|undo| undo.estimate_ms)),
        ];
        for (direction, estimate) in estimates {
            let tries: Vec<_> = story.tries_of(ix, direction).collect();
            let (Some(first), Some(last), Some(estimate)) = (tries.first(), tries.last(), estimate) else { continue };
            let took = last.to.saturating_sub(first.from);
            if !u64::try_from(took).is_ok_and(|took| took > estimate) {
                continue;
            }
            let name = match direction {
                Direction::Forward => format!("`{}`", step.id),
                Direction::Undo => format!("the undo of `{}`", step.id),
            };
            let verb = if last.outcome == Outcome::Open { "has taken" } else { "took" };
            let what = format!("{name} {verb} {} instead of {}", span(took), span_u(estimate));
            all.push(Deviation { lasted_ms: Some(took), ..found(first.from, "overrun", what) });
        }
    }
    all
}

/// From a readiness check that failed until all passed again.
fn way_back_lost(account: &Account, story: &Story) -> Vec<Deviation> {
    let mut all: Vec<Deviation> = Vec::new();
    let mut lost: Option<Millis> = None;
    let mut end = |from: Millis, to: Millis, still: &str| {
        let what = format!("a check of the way back failed{still}: nobody could be sure that a rollback would work");
        all.push(Deviation { lasted_ms: Some(to.saturating_sub(from)), ..found(from, "way back", what) });
    };
    for (_, record) in &account.events {
        let Event::WayBack { open } = &record.event else { continue };
        match (open, lost) {
            (false, None) => lost = Some(record.at),
            (true, Some(from)) => {
                lost = None;
                end(from, record.at, "");
            }
            (false, Some(_)) | (true, None) => {}
        }
    }
    if let Some(from) = lost {
        end(from, story.end, " and did not pass again");
    }
    all
}

fn lock_waits(account: &Account) -> Vec<Deviation> {
    let mut waiting: BTreeMap<String, (Millis, Vec<String>)> = BTreeMap::new();
    let mut all = Vec::new();
    let of = |scope: &LockScope| match scope {
        LockScope::Run | LockScope::Rest => "the run".to_owned(),
        LockScope::Step(step) => format!("`{step}`"),
    };
    for (_, record) in &account.events {
        if let Event::LocksAwaited { scope, held_by } = &record.event {
            waiting.entry(of(scope)).or_insert_with(|| (record.at, held_by.clone()));
        } else if let Event::LocksGranted { scope } = &record.event
            && let Some((since, held_by)) = waiting.remove(&of(scope))
        {
            let what = format!("{} waited for locks that {} held", of(scope), held_by.join(", "));
            let lasted = record.at.saturating_sub(since);
            all.push(Deviation { lasted_ms: Some(lasted), ..found(since, "locks", what) });
        }
    }
    all
}

fn budget(story: &Story, spans: &[ServiceSpan]) -> Option<Deviation> {
    let allowed = story.run.plan.policies.downtime_budget_ms?;
    let took = service::downtime(spans)?;
    let down = story.run.down_since?;
    if u64::try_from(took).is_ok_and(|took| took <= allowed) {
        return None;
    }
    let what = format!("users were without service for {}, more than the allowed {}", span(took), span_u(allowed));
    Some(Deviation { lasted_ms: Some(took), ..found(down, "downtime", what) })
}

/// The cutover, or the way back, outside of the approved window.
fn change_window(story: &Story, hours: &Hours) -> Vec<Deviation> {
    let Some(change) = &story.run.plan.policies.change else { return Vec::new() };
    let mut all = Vec::new();
    let began = story.first(RunState::CuttingOver);
    if let (Some(began), Some(from)) = (began, change.from_ms)
        && began < from
    {
        let early = from.saturating_sub(began);
        let what = format!("the cutover began before the change window, which opened at {}", hours.time(from));
        all.push(Deviation { lasted_ms: Some(early), ..found(began, "change window", what) });
    }
    let restored = story.run.rollback.as_ref().map(|rollback| rollback.restored.unwrap_or(story.end));
    let exposed = story.run.exposed.or(began.map(|_| story.end));
    if let (Some(served), Some(until)) = (restored.or(exposed), change.until_ms)
        && served > until
    {
        let late = served.saturating_sub(until);
        let what = format!("users had service again after the change window, which ended at {}", hours.time(until));
        all.push(Deviation { lasted_ms: Some(late), ..found(until, "change window", what) });
    }
    all
}
