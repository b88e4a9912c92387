//! One line per event, as it stands in a night's log. Lengths, never times of day: the reader's zone is not known.

use super::{question, words};
use crate::machine::event::Event;
use crate::machine::fact::{Direction, End, Found, Interruption, LockScope, Resolution, Verdict, Wait, Work};
use crate::machine::question::QuestionKind;
use crate::plan::StepId;

/// The line.
#[expect(clippy::too_many_lines, reason = "one line per event")]
pub(super) fn line(event: &Event) -> String {
    match event {
        Event::Created { plan, .. } => format!("created, plan {}", plan.short()),
        Event::Owned { host, pid, away_ms: None, .. } => format!("taken by the engine on {host} (process {pid})"),
        Event::Owned { host, pid, away_ms: Some(away), .. } => {
            format!("taken over by the engine on {host} (process {pid}) after {}", words::span_u(*away))
        }
        Event::Moved { to, because } => format!("{}: {}", words::state(*to), words::cause(because)),
        Event::LocksRequested { scope } => format!("locks asked for{}", of(scope)),
        Event::LocksGranted { scope } => format!("locks held{}", of(scope)),
        Event::LocksNarrowed => "locks given back until the word is given, but that of the application".to_owned(),
        Event::LocksAwaited { scope, held_by } => {
            format!("waits for locks{} that {} holds", of(scope), held_by.join(", "))
        }
        Event::Held { restart: true } => "held after an interruption: forward work waits for `resume`".to_owned(),
        Event::Held { restart: false } => "held: nothing new starts".to_owned(),
        Event::Resumed => "forward work goes on".to_owned(),
        Event::GoGiven => "the word for the cutover was given".to_owned(),
        Event::Asked { question, kind: QuestionKind::Amendment { step, set, plan, of } } => {
            let what = words::changes(set, of).join("; ");
            let before = of.plan.as_ref().map(|plan| format!("{} → ", plan.short())).unwrap_or_default();
            format!("question {question}: other values for `{step}`: {what} (plan {before}{})", plan.short())
        }
        Event::Asked { question, kind } => format!("question {question}: {}", question::sentence(kind)),
        Event::Closed { question, answer: Some(answer) } => format!("question {question} answered: {answer}"),
        Event::Closed { question, answer: None } => format!("question {question} was overtaken by events"),
        Event::Noted { text, .. } => format!("note: {text}"),
        Event::InCharge { who: Some(who) } => format!("{who} is in charge"),
        Event::InCharge { who: None } => "nobody is in charge".to_owned(),
        Event::GoPlanned { at: Some(_) } => "the cutover begins by itself at the time that was named".to_owned(),
        Event::GoPlanned { at: None } => "the cutover does not begin by itself".to_owned(),
        Event::GoMissed => "the time to begin by itself came while nobody could: the word has to be given".to_owned(),
        Event::Amended { revision, plan, step, set, of } => {
            let what = words::changes(set, of).join("; ");
            let anew = if of.asked_anew.is_empty() {
                String::new()
            } else {
                let names: Vec<String> = of.asked_anew.iter().map(|step| format!("`{step}`")).collect();
                format!("; asked for anew: {}", names.join(", "))
            };
            let proposed = of.proposed_by.as_ref().map(words::actor);
            let proposed = proposed.map(|who| format!(", proposed by {who}")).unwrap_or_default();
            let before = of.plan.as_ref().map(|plan| format!("{} → ", plan.short())).unwrap_or_default();
            format!("`{step}` amended: {what} (revision {revision}, plan {before}{}{proposed}){anew}", plan.short())
        }
        Event::AttemptIntended { step, attempt, direction, .. } => match (direction, attempt) {
            (Direction::Forward, 1) => format!("{step}: started"),
            (Direction::Forward, n) => format!("{step}: attempt {n} started"),
            (Direction::Undo, 1) => format!("{step}: undo started"),
            (Direction::Undo, n) => format!("{step}: undo attempt {n} started"),
        },
        Event::HandleRecorded { step, .. } => format!("{step}: remote work can be found again"),
        // Without an engine it is the next one that stops it.
        Event::Interrupted { step, direction, why: why @ Interruption::Stopping, .. } => {
            format!("{step}: {}is to be stopped, {}", undo(*direction), words::interruption(*why))
        }
        Event::Interrupted { step, direction, why, .. } => {
            format!("{step}: {}being stopped, {}", undo(*direction), words::interruption(*why))
        }
        Event::AttemptEnded { step, direction, end: how, .. } => format!("{step}: {}{}", undo(*direction), end(how)),
        Event::LateResult { step, end: how, .. } => {
            format!("{step}: a result came too late and is not applied: {}", end(how))
        }
        Event::RetryPlanned { step, direction, .. } => format!("{step}: {}will be tried again", undo(*direction)),
        Event::Readied { step, new_generation: false } => format!("{step}: may run now"),
        Event::Readied { step, new_generation: true } => format!("{step}: may run anew"),
        Event::OutcomeUnknown { step, direction, failure } => {
            format!("{step}: {}outcome unknown: {failure}", undo(*direction))
        }
        Event::ProbeIntended { step, .. } => format!("{step}: looking whether it happened"),
        Event::Probed { step, found, .. } => format!("{step}: probe: {}", finding(found)),
        Event::Skipped { step, over } => format!("{step}: skipped, {}", words::skipped(over)),
        Event::Waiting { step, on } => format!("{step}: {}", wait(on)),
        Event::Answered { step, .. } => format!("{step}: a person says that it was done; its `verify` follows"),
        Event::Resolved { step, resolution } => format!("{step}: a person says: {}", resolved(resolution)),
        Event::Extended { step, .. } => format!("{step}: got more time"),
        Event::Overrun { step, left_ms: None } => format!("{step}: takes longer than estimated"),
        Event::Overrun { step, left_ms: Some(left) } => {
            format!("{step}: takes longer than estimated; its time is up in {}", words::span_u(*left))
        }
        Event::TimeShort { step, direction, left_ms } => {
            let undo = undo(*direction);
            format!(
                "{step}: {undo}most of its time is used up: {} are left (`extend` gives it more)",
                words::span_u(*left_ms)
            )
        }
        Event::Approved { step, complete: true, .. } => format!("{step}: approved"),
        Event::Approved { step, complete: false, .. } => format!("{step}: approved by one, more are needed"),
        Event::Denied { step, expired: false } => format!("{step}: denied"),
        Event::Denied { step, expired: true } => format!("{step}: nobody answered in time, so the answer is no"),
        Event::IrreversibleApproved { step } => format!("{step}: may pass, although it cannot be taken back"),
        Event::BaselineCaptured { name, .. } => format!("baseline `{name}` captured"),
        Event::WindowOpened { .. } => "rollback window open".to_owned(),
        Event::WindowExtended { .. } => "rollback window extended".to_owned(),
        Event::WindowExpired { watched: true } => "rollback window over: the gate is judged".to_owned(),
        Event::WindowExpired { watched: false } => "rollback window over; the gate was not judged".to_owned(),
        Event::GateJudged { gaps } if gaps.is_empty() => "gate met".to_owned(),
        Event::GateJudged { gaps } => {
            format!("gate not met: {}", gaps.iter().map(words::gap).collect::<Vec<_>>().join("; "))
        }
        Event::SamplePlanned { criterion, .. } => format!("{criterion}: sampled"),
        Event::Sampled { criterion, verdict, .. } => format!("{criterion}: {}", judged(verdict)),
        Event::CriterionMoved { criterion, to } => format!("{criterion}: {}", words::criterion_state(*to)),
        Event::Disarmed { criterion, .. } => format!("{criterion}: disarmed, a trip asks"),
        Event::Armed { criterion } => format!("{criterion}: armed again"),
        Event::SignedOff { role } => format!("{role} signed off"),
        Event::WayBack { open: true } => "way back verified".to_owned(),
        Event::WayBack { open: false } => "WAY BACK LOST: a readiness check fails".to_owned(),
        Event::RollbackDecided { because, .. } => format!("going back: {}", words::cause(because)),
        Event::RollbackOrdered { restore, cleanup, stays } => {
            format!(
                "way back ordered: {} to restore, {} to clean up, {} stay",
                restore.len(),
                cleanup.len(),
                stays.len()
            )
        }
        Event::UndoNotNeeded { step, why } => format!("{step}: nothing to undo: {why}"),
        Event::UndoWaived { step } => format!("{step}: a person goes on without it"),
        Event::UndoDoneByHand { step } => format!("{step}: undone by hand"),
        Event::UndoLeftToPerson { step } => format!("{step}: waits for a person who takes it back by hand"),
        Event::UndoReadied { step } => format!("{step}: undo will be tried again"),
        Event::UndoFailed { step, failure } => format!("{step}: undo failed: {failure}"),
        Event::ServiceRestored => "SERVICE RESTORED: the source serves again".to_owned(),
        Event::RollbackContinued => "the rollback goes on".to_owned(),
        Event::ClockJumped { by_ms } => format!("the wall clock jumped by {}", words::span(*by_ms)),
        Event::ClockConfirmed => "the wall clock was confirmed".to_owned(),
        Event::StoreGap { gap_ms } => format!("the log could not be written for {}", words::span_u(*gap_ms)),
        Event::PartialUndoOrdered { step } => {
            format!("{step}: what happened of it is taken back, then it is tried again")
        }
        Event::TurnBackPlanned { .. } => "the turn-back time is known".to_owned(),
        Event::TurnBackNear => "the turn-back time comes in ten minutes".to_owned(),
        Event::TurnBackReached => "turn-back time".to_owned(),
        Event::TurnBackWaived => "going on past the turn-back time".to_owned(),
        Event::ForwardAgain => "forward again".to_owned(),
        Event::Residue { left } if left.is_empty() => "nothing is left applied".to_owned(),
        Event::Residue { left } => {
            format!("left applied: {}", left.iter().map(|(step, _)| step.to_string()).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The same for what was settled without a person's word: by a late answer, a probe, or the default of a step by hand.
pub(super) fn settled(step: &StepId, resolution: &Resolution) -> String {
    format!("{step}: settled without a person's word: {}", resolved(resolution))
}

fn of(scope: &LockScope) -> String {
    match scope {
        LockScope::Run => String::new(),
        LockScope::Rest => " again for the cutover".to_owned(),
        LockScope::Step(step) => format!(" of {step}"),
    }
}

fn undo(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "",
        Direction::Undo => "undo ",
    }
}

fn end(end: &End) -> String {
    match end {
        End::Succeeded { .. } => "done".to_owned(),
        End::Failed { failure, left } => format!("FAILED: {failure}; {}", words::left(*left)),
        End::Cancelled { left } => format!("stopped; {}", words::left(*left)),
        End::Unknown { failure, work: Work::Over } => format!("outcome unknown: {failure}"),
        End::Unknown { failure, work: Work::MayGoOn } => format!("outcome unknown, and it may go on: {failure}"),
    }
}

fn finding(found: &Found) -> String {
    match found {
        Found::Done { .. } => "it happened".to_owned(),
        Found::NotStarted => "it did not happen".to_owned(),
        Found::InProgress { .. } => "it goes on elsewhere".to_owned(),
        Found::Partial { found } => format!("a part happened: {found}"),
        Found::CannotTell { failure } => format!("cannot tell: {failure}"),
    }
}

fn resolved(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::Happened { .. } => "it happened",
        Resolution::DidNotHappen => "it did not happen",
        Resolution::Failed { .. } => "it failed",
    }
}

fn judged(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".to_owned(),
        Verdict::Fail => "FAIL".to_owned(),
        Verdict::Inconclusive { because } => format!("inconclusive: {because}"),
    }
}

fn wait(on: &Wait) -> String {
    match on {
        Wait::Locks { held_by, .. } => format!("waits for locks that {} holds", held_by.join(", ")),
        Wait::Approval { .. } => "waits for an approval".to_owned(),
        Wait::Person => "waits for work by hand".to_owned(),
    }
}

/// The step that an event is about.
pub(super) fn step(event: &Event) -> Option<&StepId> {
    if let Event::Asked { kind, .. } = event { kind.step() } else { event.step() }
}
