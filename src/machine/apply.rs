//! The only place where a run changes: one record in, inert commands out.
//!
//! `apply` has no opinions. It keeps the books that `decide` reads, refuses what cannot be by
//! name, and never looks at a clock: every time is in the record. Live running, recovery,
//! simulation and every view use this one fold.

use super::apply_attempt as attempt;
use super::apply_rollback as rollback;
use super::apply_run as whole;
use super::apply_window as window;
use super::apply_word as word;
use super::books::{give_back_unused, note_turn, set_forward, succeed};
use super::command::Command;
use super::event::{Event, Record};
use super::fact::{Direction, Millis, Resolved};
use super::question::{Question, QuestionKind};
use super::run::{Hold, Run};
use super::run_state::RunState;
use super::state::{Forward, Status};
use super::timers::Timer;
use crate::plan::{Call, StepId, StepIx};

/// How long before the turn-back time people are woken.
const TURN_BACK_NEAR_MS: Millis = 10 * 60_000;

/// An event that cannot follow what was before: the log is damaged, or `decide` has a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The run cannot move like this.
    #[error("a run that is `{from}` cannot become `{to}`")]
    Move {
        /// Where it is.
        from: RunState,
        /// Where it was sent.
        to: RunState,
    },
    /// The plan has no such step.
    #[error("the plan has no step `{0}`")]
    Step(StepId),
    /// The plan has no such criterion.
    #[error("the plan has no criterion `{0}`")]
    Criterion(String),
    /// The step is elsewhere.
    #[error("step `{step}` cannot take `{event}` while it is {status}")]
    Status {
        /// Which.
        step: StepId,
        /// What came.
        event: &'static str,
        /// Where it is.
        status: String,
    },
    /// No such question is open.
    #[error("question {0} is not open")]
    Question(u32),
    /// The event needs something that is not there.
    #[error("`{event}` came without {needs}")]
    Needs {
        /// What came.
        event: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// The run ended before.
    #[error("the run is over; `{0}` cannot follow")]
    Over(&'static str),
    /// Deciding never came to rest.
    #[error("decisions follow each other without end; the last one was `{0}`")]
    Endless(&'static str),
}

impl Run {
    /// Takes one record in. The commands are wanted effects of this very event.
    ///
    /// # Errors
    /// The event cannot follow; the run is unchanged or must be thrown away.
    pub fn apply(&mut self, record: &Record) -> Result<Vec<Command>, Illegal> {
        if self.state.is_final() && !may_follow_the_end(&record.event) {
            return Err(Illegal::Over(record.event.word()));
        }
        self.sequence += 1;
        self.updated = record.at;
        let mut commands = take_in(self, record)?;
        if self.rollback.as_ref().is_some_and(|rollback| rollback.ordered)
            && let Some(step) = record.event.step()
        {
            let ix = find(self, step)?;
            note_turn(self, ix);
        }
        if !self.locking.is_empty() {
            give_back_unused(self, &mut commands);
        }
        Ok(commands)
    }
}

/// What may still be written of a run that is over: nothing that changes where it stands.
fn may_follow_the_end(event: &Event) -> bool {
    matches!(
        event,
        Event::Noted { .. }
            | Event::LateResult { .. }
            | Event::Owned { .. }
            | Event::InCharge { .. }
            | Event::AttemptEnded { .. }
    )
}

#[expect(clippy::too_many_lines, reason = "one line per event")]
fn take_in(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    match &record.event {
        Event::Created { .. } => Err(Illegal::Needs { event: "created", needs: "a run that does not exist yet" }),
        Event::Moved { to, because } => whole::moved(run, record, *to, because),
        Event::LocksRequested { scope } => whole::locks_requested(run, scope, record.at),
        Event::LocksGranted { scope } => whole::locks_granted(run, scope),
        Event::LocksNarrowed => Ok(whole::locks_narrowed(run)),
        Event::LocksAwaited { scope, held_by } => whole::locks_awaited(run, scope, held_by, record.at),
        Event::AttemptIntended { .. }
        | Event::HandleRecorded { .. }
        | Event::Interrupted { .. }
        | Event::AttemptEnded { .. }
        | Event::LateResult { .. }
        | Event::RetryPlanned { .. }
        | Event::Readied { .. }
        | Event::OutcomeUnknown { .. }
        | Event::ProbeIntended { .. }
        | Event::Probed { .. }
        | Event::Extended { .. } => attempt::apply(run, record),
        Event::Amended { .. } => word::amended(run, record),
        Event::Answered { step, outputs } => word::answered(run, step, outputs),
        Event::Resolved { step, resolution } => word::resolved(run, step, resolution, record.at),
        Event::WindowOpened { .. }
        | Event::WindowExtended { .. }
        | Event::WindowExpired { .. }
        | Event::GateJudged { .. }
        | Event::SamplePlanned { .. }
        | Event::Sampled { .. }
        | Event::CriterionMoved { .. }
        | Event::Disarmed { .. }
        | Event::Armed { .. } => window::apply(run, record),
        Event::RollbackDecided { .. }
        | Event::RollbackOrdered { .. }
        | Event::PartialUndoOrdered { .. }
        | Event::UndoNotNeeded { .. }
        | Event::UndoWaived { .. }
        | Event::UndoDoneByHand { .. }
        | Event::UndoLeftToPerson { .. }
        | Event::UndoReadied { .. }
        | Event::UndoFailed { .. }
        | Event::ServiceRestored
        | Event::RollbackContinued
        | Event::ForwardAgain => rollback::apply(run, record),
        Event::Skipped { .. }
        | Event::Waiting { .. }
        | Event::Overrun { .. }
        | Event::TimeShort { .. }
        | Event::Approved { .. }
        | Event::Denied { .. }
        | Event::IrreversibleApproved { .. } => step_event(run, record).map(|()| vec![]),
        Event::Owned { .. }
        | Event::Held { .. }
        | Event::Resumed
        | Event::GoGiven
        | Event::GoPlanned { .. }
        | Event::GoMissed
        | Event::Asked { .. }
        | Event::Closed { .. }
        | Event::InCharge { .. }
        | Event::Noted { .. }
        | Event::StoreGap { .. }
        | Event::BaselineCaptured { .. }
        | Event::SignedOff { .. }
        | Event::WayBack { .. }
        | Event::ClockJumped { .. }
        | Event::ClockConfirmed
        | Event::TurnBackPlanned { .. }
        | Event::TurnBackNear
        | Event::TurnBackReached
        | Event::TurnBackWaived
        | Event::Residue { .. } => run_event(run, record).map(|()| vec![]),
    }
}

/// Events about the whole run that ask for nothing.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller sends only these")]
fn run_event(run: &mut Run, record: &Record) -> Result<(), Illegal> {
    match &record.event {
        Event::Owned { .. } => whole::owned(run, record)?,
        Event::Held { restart } => {
            run.hold = Some(Hold { restart: *restart, by: record.by.clone(), since: record.at });
        }
        Event::Resumed => run.hold = None,
        Event::GoGiven => whole::go_given(run),
        Event::GoPlanned { at } => whole::go_planned(run, *at),
        Event::GoMissed => whole::go_missed(run),
        Event::Asked { question, kind } => {
            if let Some(timer) = asked_timer(run, kind) {
                run.timers.clear(timer);
            }
            run.asked = run.asked.max(*question);
            if let QuestionKind::RequirementRolledBack { app } = kind {
                run.heard.insert(app.clone(), record.at);
            }
            run.questions.insert(*question, Question { id: *question, kind: kind.clone(), asked: record.at });
        }
        Event::Closed { question, .. } => {
            run.questions.remove(question).ok_or(Illegal::Question(*question))?;
        }
        Event::InCharge { who } => run.in_charge.clone_from(who),
        Event::Noted { .. } | Event::StoreGap { .. } => {}
        Event::BaselineCaptured { name, value } => {
            run.baseline.insert(name.clone(), value.clone());
        }
        Event::SignedOff { role } => {
            run.signed_off.insert(role.clone(), record.by.clone());
        }
        Event::WayBack { open } => whole::way_back(run, *open, record.at),
        Event::ClockJumped { by_ms } => {
            run.clock_in_doubt = true;
            run.clock_offset = run.clock_offset.saturating_add(*by_ms);
        }
        Event::ClockConfirmed => run.clock_in_doubt = false,
        Event::TurnBackPlanned { at } => {
            run.turn_back = Some(*at);
            run.timers.set(Timer::TurnBack, *at);
            run.timers.set(Timer::TurnBackNear, at.saturating_sub(TURN_BACK_NEAR_MS));
        }
        Event::TurnBackNear => run.timers.clear(Timer::TurnBackNear),
        Event::TurnBackReached => run.timers.clear_turn_back(),
        Event::TurnBackWaived => run.turn_back_waived = true,
        Event::Residue { left } => {
            run.residue =
                left.iter().map(|(step, why)| Ok((find(run, step)?, why.clone()))).collect::<Result<_, Illegal>>()?;
        }
        other => return Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
    Ok(())
}

/// Events about one step beside its attempts.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller sends only these")]
fn step_event(run: &mut Run, record: &Record) -> Result<(), Illegal> {
    match &record.event {
        Event::Skipped { step, over } => whole::skipped(run, step, over, record.at)?,
        Event::Waiting { step, on } => whole::waiting(run, step, on, record.at)?,
        Event::Overrun { step, .. } => {
            let ix = find(run, step)?;
            run.steps[ix].overrun = true;
            run.timers.clear(Timer::Estimate(ix));
        }
        Event::TimeShort { step, direction, .. } => run.timers.clear(Timer::Short(find(run, step)?, *direction)),
        Event::Approved { step, complete, .. } => {
            let ix = find(run, step)?;
            run.steps[ix].approvals.extend(record.by.clone());
            if *complete {
                run.timers.clear(Timer::Approval(ix));
                succeed(run, ix, record.at, record.at);
            }
        }
        Event::Denied { step, .. } => {
            let ix = find(run, step)?;
            run.timers.clear(Timer::Approval(ix));
            // Should it be asked again, everybody is asked again.
            run.steps[ix].approvals.clear();
            set_forward(run, ix, Forward::NotRun);
        }
        Event::IrreversibleApproved { step } => {
            let ix = find(run, step)?;
            run.steps[ix].passed_irreversible = true;
            run.steps[ix].approvals.extend(record.by.clone());
        }
        other => return Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
    Ok(())
}

/// The timer that a question makes pointless: it was told.
fn asked_timer(run: &Run, kind: &QuestionKind) -> Option<Timer> {
    use QuestionKind as Q;
    let ix = kind.step().and_then(|step| run.plan.find(step));
    match kind {
        Q::OutOfTime { .. } => ix.map(|ix| match run.step(ix).status {
            Status::Forward(_) => Timer::Deadline(ix, Direction::Forward),
            Status::Undo { .. } => Timer::Deadline(ix, Direction::Undo),
        }),
        Q::PostCheckFailed { .. } => ix.map(Timer::By),
        Q::StartWindowEnded { .. } => Some(Timer::StartBy),
        Q::UnknownOutcome { .. }
        | Q::StepFailed { .. }
        | Q::PartialEffect { .. }
        | Q::CheckInconclusive { .. }
        | Q::ValueUnknown { .. }
        | Q::StaleCheck { .. }
        | Q::Denied { .. }
        | Q::Irreversible { .. }
        | Q::PastIrreversible { .. }
        | Q::LateStepFailed { .. }
        | Q::UndoByHand { .. }
        | Q::LateEffect { .. }
        | Q::Tripped { .. }
        | Q::Blind { .. }
        | Q::GateUnmet { .. }
        | Q::AwayTooLong { .. }
        | Q::TurnBack { .. }
        | Q::RequirementRolledBack { .. }
        | Q::PluginChanged { .. }
        | Q::Amendment { .. } => None,
    }
}

/// The place of a named step.
pub(super) fn find(run: &Run, step: &StepId) -> Result<StepIx, Illegal> {
    run.plan.find(step).ok_or_else(|| Illegal::Step(step.clone()))
}

/// Refuses an event for a step that is elsewhere.
pub(super) fn refuse(run: &Run, ix: StepIx, event: &'static str) -> Illegal {
    Illegal::Status { step: run.plan.step(ix).id.clone(), event, status: format!("{:?}", run.step(ix).status) }
}

/// A call that holds no expressions, as it stands in the plan.
pub(super) fn literal(call: &Call) -> Resolved {
    Resolved { uses: call.uses.clone(), with: call.with.clone(), secrets: Vec::new() }
}

/// Milliseconds of a plan as signed ones; no plan holds a duration that long.
pub(super) fn ms(duration: u64) -> Millis {
    Millis::try_from(duration).unwrap_or(Millis::MAX)
}
