//! What is due.

use super::apply::Illegal;
use super::decide::ask;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, Direction, Interruption, Millis};
use super::forward;
use super::question::QuestionKind;
use super::run::Run;
use super::state::{Forward, RunState, Status};
use super::timers::Timer;
use super::{checks, criteria, failures, window_rules};
use crate::plan::step::OnTimeout;
use crate::plan::{StepIx, StepKind};

/// Handles everything that is due. Each subject once: whatever it decides moves its timer.
pub(super) fn tick(d: &mut Draft<'_>) -> Result<(), Illegal> {
    for (timer, at) in d.run().timers.all_due(d.now().steady) {
        // What was decided for the one before may have overtaken this one.
        if d.run().timers.get(timer) == Some(at) {
            one(d, timer, at)?;
        }
    }
    Ok(())
}

fn one(d: &mut Draft<'_>, timer: Timer, at: Millis) -> Result<(), Illegal> {
    match timer {
        Timer::Deadline(ix, direction) => deadline(d, ix, direction),
        Timer::Estimate(ix) => {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Overrun { step })
        }
        Timer::Backoff(ix, _) => {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: false })
        }
        Timer::Approval(ix) => approval_expired(d, ix),
        Timer::By(ix) => {
            let passed = matches!(d.run().forward(ix), Forward::Succeeded | Forward::Skipped { .. });
            if passed { Ok(()) } else { failures::post_check_overdue(d, ix) }
        }
        Timer::Repeat(ix) => {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: false })
        }
        Timer::Sample(ix) => criteria::due(d, ix, at),
        Timer::MaxAge(ix) => criteria::blind(d, ix),
        Timer::Disarm(ix) => criteria::arm(d, ix),
        Timer::Window => window_rules::expired(d, at),
        // `advance` looks at the clock itself.
        Timer::Settle => Ok(()),
        Timer::StartBy => start_by(d),
        Timer::Ready => checks::ready_round(d),
        Timer::TurnBack => turn_back(d),
    }
}

fn deadline(d: &mut Draft<'_>, ix: StepIx, direction: Direction) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let attempt = match (&d.run().step(ix).status, direction) {
        (Status::Forward(forward), Direction::Forward) => forward.attempt().map(|attempt| attempt.number),
        (Status::Undo { state, .. }, Direction::Undo) => state.attempt().map(|attempt| attempt.number),
        (Status::Forward(_), Direction::Undo) | (Status::Undo { .. }, Direction::Forward) => None,
    };
    let Some(attempt) = attempt else { return Ok(()) };
    if direction == Direction::Forward && step.on_timeout == OnTimeout::Ask && !step.section.is_check() {
        return ask(d, QuestionKind::OutOfTime { step: step.id.clone() });
    }
    d.emit(Event::Interrupted { step: step.id.clone(), attempt, direction, why: Interruption::Timeout })
}

fn approval_expired(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::Denied { step: step.clone(), expired: true })?;
    after_denial(d, ix, true)
}

/// *No* before the first effect refuses the run; after it a person decides.
pub(super) fn after_denial(d: &mut Draft<'_>, ix: StepIx, expired: bool) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let StepKind::Approval(_) = step.kind else { return Ok(()) };
    let because =
        if expired { Cause::Expired { step: step.id.clone() } } else { Cause::Denied { step: step.id.clone() } };
    if d.run().first_effect.is_none() {
        return forward::refuse_before_effect(d, because);
    }
    ask(d, QuestionKind::Denied { step: step.id.clone(), expired })
}

fn start_by(d: &mut Draft<'_>) -> Result<(), Illegal> {
    match d.run().state {
        RunState::Checking | RunState::Preparing | RunState::Prepared | RunState::Deciding
            if d.run().first_effect.is_none() =>
        {
            forward::refuse_before_effect(d, Cause::StartWindowEnded)
        }
        RunState::Created
        | RunState::Checking
        | RunState::Preparing
        | RunState::Prepared
        | RunState::CuttingOver
        | RunState::Observing
        | RunState::Accepted
        | RunState::Committing
        | RunState::Deciding
        | RunState::RollingBack
        | RunState::Stuck
        | RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => Ok(()),
    }
}

fn turn_back(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let Some(until) = d.run().plan.policies.change.as_ref().and_then(|change| change.until_ms) else { return Ok(()) };
    if d.run().turn_back_waived || d.run().state != RunState::CuttingOver {
        return Ok(());
    }
    d.emit(Event::TurnBackReached)?;
    ask(d, QuestionKind::TurnBack { until })
}

impl Run {
    /// When the run wants to be told that time passed; `None`: never.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Millis> {
        self.timers.next()
    }
}
