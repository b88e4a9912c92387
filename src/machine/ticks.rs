//! What is due.

use super::apply::Illegal;
use super::books::asks_at_deadline;
use super::decide::ask;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, Direction, Millis};
use super::forward;
use super::question::QuestionKind;
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, UndoState};
use super::timers::Timer;
use super::{attempts, checks, criteria, failures, verbs_by_hand, window_rules};
use crate::plan::{StepIx, StepKind};

/// How late the tick at a time may be and still count as having watched it.
const WATCHED_WITHIN_MS: Millis = 10_000;

/// Whether an engine was there when a time came: what ends a run does not happen behind people's backs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// An engine looked.
    Yes,
    /// Nobody did, or the wall clock was in doubt.
    No,
}

/// Handles everything that is due. Each subject once: whatever it decides moves its timer.
pub(super) fn tick(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let now = d.now().steady;
    let run = d.run();
    let due = run.timers.due(now, run.clock_offset, |timer| run.is_paused(timer));
    let mut before = d.run().timers.clone_subjects(&due);
    for (timer, at) in due {
        // What was decided for the one before may have overtaken this one.
        if d.run().timers.get(timer) != before.remove(&timer) || d.run().is_paused(timer) {
            continue;
        }
        let watched = if now.saturating_sub(at) <= WATCHED_WITHIN_MS { Watched::Yes } else { Watched::No };
        one(d, timer, at, watched)?;
    }
    Ok(())
}

fn one(d: &mut Draft<'_>, timer: Timer, at: Millis, watched: Watched) -> Result<(), Illegal> {
    match timer {
        Timer::Deadline(ix, Direction::Forward) if verbs_by_hand::waits(d.run(), ix) => {
            verbs_by_hand::overdue(d, ix, watched)
        }
        Timer::Deadline(ix, direction) => attempts::out_of_time(d, ix, direction),
        Timer::Estimate(ix) => {
            let step = d.run().plan.step(ix).id.clone();
            let left_ms = left_ms(d, ix, Direction::Forward);
            d.emit(Event::Overrun { step, left_ms })
        }
        Timer::Short(ix, direction) => {
            let step = d.run().plan.step(ix).id.clone();
            let left_ms = left_ms(d, ix, direction).unwrap_or(0);
            d.emit(Event::TimeShort { step, direction, left_ms })
        }
        Timer::Backoff(ix, _) | Timer::Repeat(ix) => {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: false })
        }
        Timer::Approval(ix) => approval_expired(d, ix, watched),
        Timer::By(ix) => {
            let passed = matches!(d.run().forward(ix), Forward::Succeeded | Forward::Skipped { .. });
            if passed { Ok(()) } else { failures::post_check_overdue(d, ix, watched) }
        }
        Timer::Sample(ix) => criteria::due(d, ix, at),
        Timer::MaxAge(ix) => criteria::blind(d, ix),
        Timer::Disarm(ix) => criteria::arm(d, ix),
        Timer::Window => window_rules::expired(d, watched),
        // `advance` looks at the clock itself.
        Timer::Settle => Ok(()),
        Timer::StartBy => start_by(d, watched),
        Timer::Ready => checks::ready_round(d),
        Timer::TurnBackNear => d.emit(Event::TurnBackNear),
        Timer::TurnBack => turn_back(d),
        Timer::GoAt => go_at(d, watched),
    }
}

/// How long it is until the deadline of a step.
fn left_ms(d: &Draft<'_>, ix: StepIx, direction: Direction) -> Option<u64> {
    let deadline = d.run().timers.get(Timer::Deadline(ix, direction))?;
    Some(u64::try_from(deadline.saturating_sub(d.now().steady)).unwrap_or(0))
}

fn approval_expired(d: &mut Draft<'_>, ix: StepIx, watched: Watched) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::Denied { step, expired: true })?;
    after_denial(d, ix, Answer::Expired(watched))
}

/// How an approval came to *no*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// A person said so.
    No,
    /// Nobody answered in time.
    Expired(Watched),
}

/// *No* before the first effect refuses the run, unless it expired while nobody looked; after it, and
/// then, a person decides.
pub(super) fn after_denial(d: &mut Draft<'_>, ix: StepIx, answer: Answer) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let StepKind::Approval(_) = step.kind else { return Ok(()) };
    let untouched = d.run().first_effect.is_none();
    let because = match answer {
        Answer::No if untouched => Cause::Denied { step: step.id.clone() },
        Answer::Expired(Watched::Yes) if untouched => Cause::Expired { step: step.id.clone() },
        Answer::No | Answer::Expired(_) => {
            let expired = answer != Answer::No;
            return ask(d, QuestionKind::Denied { step: step.id.clone(), expired });
        }
    };
    forward::refuse_before_effect(d, because)
}

/// The start window ended before the pre-checks passed.
fn start_by(d: &mut Draft<'_>, watched: Watched) -> Result<(), Illegal> {
    match watched {
        Watched::Yes => forward::refuse_before_effect(d, Cause::StartWindowEnded),
        Watched::No => {
            let by = d.run().plan.policies.start_by_ms.unwrap_or_default();
            ask(d, QuestionKind::StartWindowEnded { by })
        }
    }
}

/// The time came at which the cutover begins by itself. If nobody was there, or people decide, the word has to be given.
fn go_at(d: &mut Draft<'_>, watched: Watched) -> Result<(), Illegal> {
    if watched == Watched::No || d.run().state != RunState::Prepared {
        return d.emit(Event::GoMissed);
    }
    // A person named the time: what only a restart holds back needs no second word.
    if d.run().hold.as_ref().is_some_and(|hold| hold.restart) {
        d.emit(Event::Resumed)?;
    }
    forward::give_go(d)
}

/// The last moment to start back came.
pub(super) fn turn_back(d: &mut Draft<'_>) -> Result<(), Illegal> {
    d.emit(Event::TurnBackReached)?;
    let until = d.run().plan.policies.change.as_ref().and_then(|change| change.until_ms);
    let cutting = d.run().stands_in() == RunState::CuttingOver;
    match until {
        Some(until) if cutting && !d.run().turn_back_waived => ask(d, QuestionKind::TurnBack { until }),
        Some(_) | None => Ok(()),
    }
}

impl Run {
    /// Whether people are asked when the time of a step is up, and nothing is stopped.
    #[must_use]
    pub fn asks_at_deadline(&self, ix: StepIx, direction: Direction) -> bool {
        asks_at_deadline(self, ix, direction)
    }

    /// Whether most of the time until a deadline that asks is used up, and was told to be.
    #[must_use]
    pub fn time_is_short(&self, ix: StepIx, direction: Direction) -> bool {
        let open = self.timers.get(Timer::Deadline(ix, direction)).is_some();
        let interrupted = match direction {
            Direction::Forward => self.forward(ix).attempt(),
            Direction::Undo => self.undo(ix).and_then(UndoState::attempt),
        }
        .is_some_and(|attempt| attempt.interrupted.is_some());
        open && !interrupted
            && asks_at_deadline(self, ix, direction)
            && self.timers.get(Timer::Short(ix, direction)).is_none()
    }

    /// When the run wants to be told that time passed, as steady time; `None`: never.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Millis> {
        self.timers.earliest(self.clock_offset, |timer| self.is_paused(timer))
    }

    /// Whether a time that came does nothing yet: people agreed on it by a wall clock that is in doubt
    /// now, or a person decides first.
    pub(super) fn is_paused(&self, timer: Timer) -> bool {
        match timer {
            Timer::Approval(_) | Timer::StartBy | Timer::TurnBackNear | Timer::TurnBack | Timer::GoAt => {
                self.clock_in_doubt
            }
            Timer::Settle => self.state == RunState::Deciding,
            Timer::Deadline(..)
            | Timer::Short(..)
            | Timer::Estimate(_)
            | Timer::Backoff(..)
            | Timer::By(_)
            | Timer::Repeat(_)
            | Timer::Sample(_)
            | Timer::MaxAge(_)
            | Timer::Disarm(_)
            | Timer::Window
            | Timer::Ready => false,
        }
    }
}
