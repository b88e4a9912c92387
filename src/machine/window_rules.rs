//! The window, its gate, and what follows its end.

use super::apply::{Illegal, ms};
use super::decide::ask;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, CriterionState, Gap, Millis};
use super::forward;
use super::question::QuestionKind;
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status};
use super::ticks::Watched;
use super::window::Expired;
use crate::plan::policy::{OnWindowClose, WindowFrom};
use crate::plan::{Section, StepKind};

/// The exposing step succeeded: the window opens in the same transition, counted from exposure.
pub(super) fn open_at_exposure(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if d.run().plan.policies.window_from != WindowFrom::Exposure || d.run().window.is_some() {
        return Ok(());
    }
    let from = d.run().exposed.unwrap_or(d.now().steady);
    open(d, from)
}

/// The cutover is done: a window that counts from here opens.
pub(super) fn open_at_cutover_end(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if d.run().window.is_some() {
        return Ok(());
    }
    let from = d.now().steady;
    open(d, from)
}

fn open(d: &mut Draft<'_>, from: Millis) -> Result<(), Illegal> {
    let deadline = from.saturating_add(ms(d.run().plan.policies.window_ms));
    d.emit(Event::WindowOpened { deadline })
}

/// The deadline passed.
pub(super) fn expired(d: &mut Draft<'_>, on_time: Watched) -> Result<(), Illegal> {
    let observing = d.run().state == RunState::Observing;
    let watched = on_time == Watched::Yes && observing;
    d.emit(Event::WindowExpired { watched })?;
    if observing && !watched { unwatched(d) } else { Ok(()) }
}

/// Nobody saw the deadline pass: nothing closes by itself.
pub(super) fn unwatched(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let gaps = gaps(d.run(), d.now().steady);
    ask(d, QuestionKind::GateUnmet { gaps, unwatched: true })
}

/// Every post-check that ended before the deadline, once more now.
fn once_more(d: &mut Draft<'_>, expired_at: u64) -> Result<(), Illegal> {
    for ix in d.run().plan.section(Section::PostCheck) {
        let record = d.run().step(ix);
        let repeat = match &record.status {
            Status::Forward(forward) => match forward {
                // Sequence numbers, not times: a clock that was set back must not repeat it for ever.
                Forward::Succeeded | Forward::Backoff { .. } => record.completed < expired_at,
                Forward::Failed { .. }
                | Forward::Unknown { .. }
                | Forward::Pending
                | Forward::Ready
                | Forward::Running(_)
                | Forward::Waiting { .. }
                | Forward::Skipped { .. }
                | Forward::NotRun => false,
            },
            Status::Undo { .. } => false,
        };
        if repeat && matches!(d.run().plan.step(ix).kind, StepKind::Action(_)) {
            let step = d.run().plan.step(ix).id.clone();
            d.emit(Event::Readied { step, new_generation: false })?;
        }
    }
    Ok(())
}

/// Post-checks run; at the end of the window the gate is judged.
pub(super) fn observing(d: &mut Draft<'_>) -> Result<(), Illegal> {
    forward::dispatch_looking(d, Section::Ready)?;
    forward::dispatch_looking(d, Section::PostCheck)?;
    let Some(window) = d.run().window.clone() else { return Ok(()) };
    let Some(expired) = window.expired else { return Ok(()) };
    if d.run().state != RunState::Observing || d.run().clock_in_doubt {
        return Ok(());
    }
    once_more(d, window.expired_at)?;
    forward::dispatch_looking(d, Section::PostCheck)?;
    if looking(d.run()) {
        return Ok(());
    }
    let gaps = gaps(d.run(), d.now().steady);
    if expired == Expired::Unwatched && samples_will_come(d.run(), &gaps) {
        return Ok(());
    }
    d.emit(Event::GateJudged { gaps: gaps.clone() })?;
    if gaps.is_empty() {
        return d.emit(Event::Moved { to: RunState::Accepted, because: Cause::GateMet });
    }
    ask(d, QuestionKind::GateUnmet { gaps, unwatched: expired == Expired::Unwatched })
}

/// Whether what the gate lacks are samples of criteria that can see: a blind one was asked about, and
/// waiting for it would be silence.
fn samples_will_come(run: &Run, gaps: &[Gap]) -> bool {
    run.plan.criteria.iter().zip(&run.criteria).any(|(criterion, samples)| {
        let lacks = gaps.iter().any(|gap| matches!(gap, Gap::Samples { id, .. } if *id == criterion.id));
        lacks && samples.state != CriterionState::Blind
    })
}

/// Whether a post-check has not answered yet.
fn looking(run: &Run) -> bool {
    run.plan.section(Section::PostCheck).any(|ix| match &run.step(ix).status {
        Status::Forward(forward) => match forward {
            Forward::Ready | Forward::Running(_) => true,
            // A person's approval or work among the post-checks is a gap, not a reason to wait.
            Forward::Pending
            | Forward::Backoff { .. }
            | Forward::Waiting { .. }
            | Forward::Succeeded
            | Forward::Failed { .. }
            | Forward::Unknown { .. }
            | Forward::Skipped { .. }
            | Forward::NotRun => false,
        },
        Status::Undo { .. } => false,
    })
}

/// What the gate lacks now.
#[must_use]
pub fn gaps(run: &Run, now: Millis) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for ix in run.plan.section(Section::PostCheck) {
        if !run.forward(ix).satisfies() {
            gaps.push(Gap::PostCheck(run.plan.step(ix).id.clone()));
        }
    }
    for (criterion, samples) in run.plan.criteria.iter().zip(&run.criteria) {
        if criterion.observe_only {
            continue;
        }
        let id = criterion.id.clone();
        let fresh = samples.last_measured.is_some_and(|at| now.saturating_sub(at) <= ms(criterion.max_age_ms));
        if samples.disarmed_until.is_some() {
            gaps.push(Gap::Disarmed(id));
        } else if samples.since_gap < criterion.min_samples || !fresh {
            gaps.push(Gap::Samples { id, have: samples.since_gap, need: criterion.min_samples });
        } else if samples.state != CriterionState::Clear {
            gaps.push(Gap::Criterion { id, state: samples.state });
        }
    }
    for sign_off in &run.plan.sign_offs {
        if !run.signed_off.contains_key(&sign_off.role) {
            gaps.push(Gap::SignOff(sign_off.role.clone()));
        }
    }
    gaps
}

/// The engine no longer acts by itself, unless the plan says to commit.
pub(super) fn accepted(d: &mut Draft<'_>) -> Result<(), Illegal> {
    forward::dispatch_looking(d, Section::Ready)?;
    let by_itself = d.run().plan.policies.on_window_close == OnWindowClose::Commit
        && d.run().because == Some(Cause::GateMet)
        && d.run().hold.is_none()
        && d.run().questions.is_empty()
        && !d.run().clock_in_doubt;
    if by_itself { commit(d) } else { Ok(()) }
}

/// Begins the commit, or ends it where there is nothing to do.
pub(super) fn commit(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let because = d.run().because.clone().unwrap_or(Cause::Person);
    let because = if because == Cause::GateMet { Cause::GateMet } else { Cause::Person };
    if d.run().plan.section(Section::Commit).is_empty() {
        return d.emit(Event::Moved { to: RunState::Committed, because: Cause::CommitDone });
    }
    d.emit(Event::Moved { to: RunState::Committing, because })
}
