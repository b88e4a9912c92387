//! Pre-checks, stale pre-checks, and whether the way back is open.

use super::apply::{Illegal, ms};
use super::decide::ask;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, Left};
use super::forward;
use super::question::QuestionKind;
use super::run::Run;
use super::state::{Forward, RunState, Status};
use crate::plan::step::Effect;
use crate::plan::{Section, StepIx};

/// Runs the pre-checks; all passed leads on.
pub(super) fn checking(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if let Some(step) = denied(d) {
        return d.emit(Event::Moved { to: RunState::Refused, because: step });
    }
    forward::dispatch(d, Section::PreCheck)?;
    if d.run().state != RunState::Checking || d.run().open.get(&Section::PreCheck).is_some_and(|open| *open > 0) {
        return Ok(());
    }
    let has_preparation = !d.run().plan.section(Section::Prepare).is_empty();
    let to = if has_preparation { RunState::Preparing } else { RunState::CuttingOver };
    d.emit(Event::Moved { to, because: Cause::Checked })
}

/// An approval of a list that was denied before anything was touched.
fn denied(d: &Draft<'_>) -> Option<Cause> {
    let run = d.run();
    run.plan.section(Section::PreCheck).find_map(|ix| {
        let step = run.plan.step(ix);
        let asked = matches!(step.kind, crate::plan::StepKind::Approval(_));
        (asked && matches!(run.step(ix).status, Status::Forward(Forward::NotRun)))
            .then(|| Cause::Denied { step: step.id.clone() })
    })
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
        RunState::Prepared => {
            // It stays prepared; the word must be given again.
            let at = d.now().steady.saturating_add(ms(retry_every(d, ix)));
            d.emit(Event::RetryPlanned { step, direction: super::fact::Direction::Forward, at })
        }
        RunState::CuttingOver if d.run().first_effect.is_none() => {
            forward::refuse_before_effect(d, Cause::StaleCheck { step })
        }
        RunState::Created
        | RunState::Checking
        | RunState::Preparing
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
        | RunState::ClosedWithResidue => ask(d, QuestionKind::StaleCheck { step }),
    }
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
    forward::dispatch_looking(d, Section::Ready)?;
    if d.run().left == Some(RunState::Observing) {
        forward::dispatch_looking(d, Section::PostCheck)?;
    }
    Ok(())
}

/// Begins a round of readiness checks.
pub(super) fn ready_round(d: &mut Draft<'_>) -> Result<(), Illegal> {
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
    Ok(())
}

/// After a readiness check ended: is the way back open?
pub(super) fn judge_way_back(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let run = d.run();
    let mut open = true;
    for ix in run.plan.section(Section::Ready) {
        match &run.step(ix).status {
            Status::Forward(Forward::Succeeded | Forward::Skipped { .. }) => {}
            Status::Forward(Forward::Failed { .. } | Forward::Unknown { .. }) => open = false,
            Status::Forward(
                Forward::Pending
                | Forward::Ready
                | Forward::Running(_)
                | Forward::Backoff { .. }
                | Forward::Waiting { .. }
                | Forward::NotRun,
            )
            | Status::Undo { .. } => return Ok(()),
        }
    }
    d.emit(Event::WayBack { open })
}

/// Whether a step may change something.
pub(super) fn has_effect(d: &Draft<'_>, ix: StepIx) -> bool {
    d.run().plan.step(ix).effect != Effect::None
}

/// Whether something of a step may stand.
pub(super) fn may_stand(d: &Draft<'_>, ix: StepIx) -> bool {
    d.run().may_stand(ix)
}

impl Run {
    /// Whether something of a step may stand: it succeeded, is unknown, or left something behind.
    #[must_use]
    pub fn may_stand(&self, ix: StepIx) -> bool {
        let record = self.step(ix);
        self.plan.step(ix).effect != Effect::None
            && (record.touched
                || match self.forward(ix) {
                    Forward::Succeeded | Forward::Unknown { .. } | Forward::Failed { left: Left::Possible, .. } => true,
                    Forward::Pending
                    | Forward::Ready
                    | Forward::Running(_)
                    | Forward::Backoff { .. }
                    | Forward::Waiting { .. }
                    | Forward::Failed { left: Left::Nothing, .. }
                    | Forward::Skipped { .. }
                    | Forward::NotRun => false,
                })
    }
}
