//! Pre-checks, stale pre-checks, and whether the way back is open.

use super::apply::{Illegal, ms};
use super::decide::ask;
use super::draft::{Draft, Room};
use super::event::Event;
use super::fact::{Cause, Direction};
use super::forward;
use super::question::QuestionKind;
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status};
use crate::plan::step::Effect;
use crate::plan::{Section, StepIx, StepKind};

/// Runs the pre-checks; all passed leads on.
pub(super) fn checking(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if d.run().hold.as_ref().is_some_and(|hold| hold.restart) {
        // After a restart effects wait for a word; looking does not.
        forward::dispatch_looking(d, Section::PreCheck)?;
    } else {
        forward::dispatch(d, Section::PreCheck)?;
    }
    if d.run().state != RunState::Checking || !forward::is_done(d, Section::PreCheck) {
        return Ok(());
    }
    if !d.run().plan.section(Section::Prepare).is_empty() {
        return d.emit(Event::Moved { to: RunState::Preparing, because: Cause::Checked });
    }
    if d.run().waits_for_word {
        return d.emit(Event::Moved { to: RunState::Prepared, because: Cause::Checked });
    }
    recheck_after_waiting(d)?;
    if forward::is_done(d, Section::PreCheck) { forward::begin_cutover(d, Cause::Checked) } else { Ok(()) }
}

/// A check that always runs again before the cut does so if people were waited for since it passed.
fn recheck_after_waiting(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let checks = d.run().plan.section(Section::PreCheck);
    let asked = checks.clone().filter(|ix| !matches!(d.run().plan.step(*ix).kind, StepKind::Action(_)));
    let Some(answered) = asked.filter_map(|ix| d.run().step(ix).ended).max() else { return Ok(()) };
    for ix in checks {
        let record = d.run().step(ix);
        let passed = matches!(record.status, Status::Forward(Forward::Succeeded));
        let before = record.passed.is_some_and(|at| at < answered);
        if passed && before && d.run().plan.step(ix).check.recheck {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: false })?;
        }
    }
    Ok(())
}

/// Pre-checks that are too old after an interruption or a hold run again before the next effect.
pub(super) fn recheck_stale(d: &mut Draft<'_>, everything: bool) -> Result<(), Illegal> {
    let now = d.now().steady;
    let stale: Vec<StepIx> = d
        .run()
        .plan
        .section(Section::PreCheck)
        .filter(|ix| {
            let record = d.run().step(*ix);
            let policy = &d.run().plan.step(*ix).check;
            let passed = matches!(record.status, Status::Forward(Forward::Succeeded));
            let old = match (policy.valid_for_ms, record.passed) {
                (Some(valid_for), Some(at)) => now >= at.saturating_add(ms(valid_for)),
                (Some(_), None) => true,
                (None, _) => false,
            };
            passed && (old || everything && policy.recheck)
        })
        .collect();
    for ix in stale {
        let step = d.run().plan.step(ix).id.clone();
        d.emit(Event::Readied { step, new_generation: false })?;
    }
    Ok(())
}

/// A pre-check that had passed fails now: nothing was done → refused; otherwise a question.
pub(super) fn stale_failed(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    match d.run().state {
        RunState::Preparing => retry_later(d, ix),
        RunState::Prepared => {
            retry_later(d, ix)?;
            if !d.run().go {
                return Ok(());
            }
            // It stays prepared; the word must be given again.
            d.emit(Event::Moved { to: RunState::Prepared, because: Cause::StaleCheck { step } })
        }
        RunState::CuttingOver if d.run().first_effect.is_none() => {
            forward::refuse_before_effect(d, Cause::StaleCheck { step })
        }
        RunState::CuttingOver | RunState::Deciding => match d.run().left {
            None | Some(RunState::CuttingOver) => ask(d, QuestionKind::StaleCheck { step }),
            // Nothing forward waits for it any more.
            Some(_) => retry_later(d, ix),
        },
        RunState::Created
        | RunState::Checking
        | RunState::Observing
        | RunState::Accepted
        | RunState::Committing
        | RunState::RollingBack
        | RunState::Stuck
        | RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => Ok(()),
    }
}

fn retry_later(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let at = d.now().steady.saturating_add(ms(retry_every(d, ix)));
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::RetryPlanned { step, direction: Direction::Forward, at })
}

/// The pause before a failed pre-check runs again.
pub(super) fn retry_every(d: &Draft<'_>, ix: StepIx) -> u64 {
    d.run().plan.step(ix).check.retry_every_ms.unwrap_or(60_000)
}

/// The pause between two runs of a post-check.
pub(super) fn every(d: &Draft<'_>, ix: StepIx) -> u64 {
    d.run().plan.step(ix).check.every_ms.unwrap_or(30_000)
}

/// What only looks goes on while people decide: readiness checks, and post-checks after exposure.
pub(super) fn keep_looking(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if matches!(d.run().left, Some(RunState::CuttingOver | RunState::Observing)) {
        forward::dispatch_looking(d, Section::Ready)?;
    }
    if d.run().left == Some(RunState::Observing) {
        forward::dispatch_looking(d, Section::PostCheck)?;
    }
    Ok(())
}

/// Begins a round of readiness checks.
pub(super) fn ready_round(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if d.room() != Room::Enough {
        return Ok(());
    }
    let before = d.run().sequence;
    for ix in d.run().plan.section(Section::Ready) {
        let idle = match &d.run().step(ix).status {
            Status::Forward(Forward::Succeeded | Forward::Failed { .. } | Forward::Unknown { .. }) => true,
            Status::Forward(
                Forward::Pending
                | Forward::Ready
                | Forward::Running(_)
                | Forward::Backoff { .. }
                | Forward::Waiting { .. }
                | Forward::Skipped { .. }
                | Forward::NotRun,
            )
            | Status::Undo { .. } => false,
        };
        if idle {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: false })?;
        }
    }
    if d.run().sequence == before {
        // All of them are waived, or under way: what is known stands until the next round.
        let open = d.run().way_back.is_none_or(|(open, _)| open);
        return d.emit(Event::WayBack { open });
    }
    Ok(())
}

/// After a readiness check ended: is the way back open?
pub(super) fn judge_way_back(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let run = d.run();
    if run.rollback.is_some() {
        return Ok(());
    }
    let mut open = true;
    for ix in run.plan.section(Section::Ready) {
        match run.forward(ix) {
            Forward::Succeeded | Forward::Skipped { .. } => {}
            // One that waits for another that failed cannot pass either.
            Forward::Failed { .. } | Forward::Unknown { .. } | Forward::Pending | Forward::NotRun => open = false,
            Forward::Ready | Forward::Running(_) | Forward::Backoff { .. } | Forward::Waiting { .. } => return Ok(()),
        }
    }
    d.emit(Event::WayBack { open })
}

/// Runs the readiness checks that are due. Where none of them is left to run, as their `when` skips all of them, that is
/// the answer.
pub(super) fn look_at_way_back(d: &mut Draft<'_>) -> Result<(), Illegal> {
    forward::dispatch_looking(d, Section::Ready)?;
    let open_question = d.run().way_back.is_none() && !d.run().plan.section(Section::Ready).is_empty();
    if open_question && d.run().state == RunState::CuttingOver { judge_way_back(d) } else { Ok(()) }
}

/// Whether a step may change something.
pub(super) fn has_effect(d: &Draft<'_>, ix: StepIx) -> bool {
    d.run().plan.step(ix).effect != Effect::None
}

impl Run {
    /// Whether the cutover begins nothing because of its way back: before exposure it has to have been seen open, once
    /// before the first effect and at the last look.
    #[must_use]
    pub fn waits_for_way_back(&self) -> bool {
        let looked_at = !self.plan.section(Section::Ready).is_empty();
        looked_at && self.possibly_exposed.is_none() && self.way_back.is_none_or(|(open, _)| !open)
    }

    /// Whether something of a step may stand: it succeeded, is unknown, or left something behind.
    #[must_use]
    pub fn may_stand(&self, ix: StepIx) -> bool {
        super::books::may_stand(self, ix)
    }
}
