//! When an attempt did not succeed: again, a look, a question, or back.

use super::apply::{Illegal, ms};
use super::attempts::step_failed;
use super::checks;
use super::decide::ask;
use super::draft::Draft;
use super::eval;
use super::event::Event;
use super::fact::{Cause, Direction, Failure, Left, Resolution};
use super::question::QuestionKind;
use super::rollback;
use super::run_state::RunState;
use super::state::{Forward, Status};
use super::ticks::Watched;
use super::undoing;
use crate::plan::policy::OnFailure;
use crate::plan::step::{Effect, Probe, Retry};
use crate::plan::{Section, StepIx};

/// How often a check may be inconclusive before a person is asked.
const INCONCLUSIVE_LIMIT: u32 = 3;

/// An attempt failed, or said that it does not know.
pub(super) fn failed(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    match step.section {
        // It stays unknown until a person says what is the case.
        Section::Fence if goes_on_unseen(d, ix) => return Ok(()),
        Section::PreCheck => return pre_check(d, ix),
        Section::PostCheck => return post_check(d, ix),
        Section::Ready => return checks::judge_way_back(d),
        Section::Fence | Section::RollbackCheck => return undoing::looked_or_fenced(d, ix),
        Section::Prepare | Section::Cutover | Section::Commit => {}
    }
    let (left, unknown) = match &d.run().step(ix).status {
        Status::Forward(Forward::Failed { left, .. }) => (*left, false),
        Status::Forward(_) | Status::Undo { .. } => (Left::Possible, true),
    };
    if left == Left::Nothing {
        return retry_or_fail(d, ix);
    }
    match step.effect {
        Effect::None | Effect::Idempotent => retry_or_fail(d, ix),
        Effect::Probe => look(d, ix),
        Effect::Once if unknown => ask_unknown(d, ix),
        Effect::Once => give_up(d, ix),
    }
}

/// A person says that it failed. What they say left something behind is not looked at again, nor
/// repeated, unless repeating does no harm: their word is the evidence.
pub(super) fn said_to_have_failed(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix);
    let possible = matches!(d.run().step(ix).status, Status::Forward(Forward::Failed { left: Left::Possible, .. }));
    let by_itself = matches!(step.section, Section::Prepare | Section::Cutover | Section::Commit);
    match step.effect {
        Effect::Probe | Effect::Once if possible && by_itself => give_up(d, ix),
        Effect::None | Effect::Idempotent | Effect::Probe | Effect::Once => failed(d, ix),
    }
}

/// An attempt was interrupted: as after a crash, the declared effect decides.
pub(super) fn interrupted(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if step.section.is_check() || step.section == Section::Fence {
        return failed(d, ix);
    }
    let nothing = matches!(d.run().step(ix).status, Status::Forward(Forward::Failed { left: Left::Nothing, .. }));
    match step.effect {
        Effect::None | Effect::Idempotent => retry_or_fail(d, ix),
        Effect::Probe | Effect::Once if nothing => retry_or_fail(d, ix),
        Effect::Probe => look(d, ix),
        Effect::Once => {
            let failure = last_failure(d, ix);
            let id = step.id.clone();
            if !matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { .. })) {
                d.emit(Event::OutcomeUnknown { step: id, direction: Direction::Forward, failure })?;
            }
            ask_unknown(d, ix)
        }
    }
}

/// Asks the probe; without one nobody can tell.
pub(super) fn look(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if !matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { .. })) {
        let failure = last_failure(d, ix);
        d.emit(Event::OutcomeUnknown { step: step.id.clone(), direction: Direction::Forward, failure })?;
    }
    let call = match &step.probe {
        Some(Probe::Call { call, .. }) => match eval::resolve(d.run(), call) {
            Ok(call) => call,
            Err(why) => {
                let failure = Failure::new(format!("the probe's parameters have no value: {why}"));
                let kind =
                    QuestionKind::UnknownOutcome { step: step.id.clone(), direction: Direction::Forward, failure };
                return ask(d, kind);
            }
        },
        Some(Probe::Native) => None,
        None => return ask_unknown(d, ix),
    };
    d.emit(Event::ProbeIntended { step: step.id.clone(), direction: Direction::Forward, call })
}

/// A probe says that nothing happened, or that it goes on: the step is ready again.
pub(super) fn not_started(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    super::decide::close(d, None, |kind| kind.step() == Some(&step))?;
    if d.run().rollback.is_some() {
        return Ok(());
    }
    let attached = d.run().step(ix).attached.is_some();
    if !attached && d.run().step(ix).tries >= d.run().plan.step(ix).retry.attempts {
        d.emit(Event::Resolved { step, resolution: Resolution::Failed { left: Left::Nothing } })?;
        return give_up(d, ix);
    }
    Ok(())
}

/// A part happened: undone and tried again where the step allows it; otherwise a question.
pub(super) fn partial(d: &mut Draft<'_>, ix: StepIx, found: String) -> Result<(), Illegal> {
    if d.run().rollback.is_some() {
        return Ok(());
    }
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    // Users that a step has let in already are not sent back to a source that may be down: a person decides.
    let by_itself = step.retry_partial && step.section.is_undone() && !step.exposes;
    if by_itself && step.undo_action().is_some() && !d.run().step(ix).unsettled {
        return d.emit(Event::PartialUndoOrdered { step: step.id.clone() });
    }
    ask(d, QuestionKind::PartialEffect { step: step.id.clone(), found })
}

fn ask_unknown(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    if d.run().rollback.is_some() {
        return Ok(());
    }
    let failure = last_failure(d, ix);
    let step = d.run().plan.step(ix).id.clone();
    ask(d, QuestionKind::UnknownOutcome { step, direction: Direction::Forward, failure })
}

fn last_failure(d: &Draft<'_>, ix: StepIx) -> Failure {
    match &d.run().step(ix).status {
        Status::Forward(Forward::Failed { failure, .. } | Forward::Unknown { failure, .. }) => failure.clone(),
        Status::Forward(_) | Status::Undo { .. } => Failure::new("it was interrupted"),
    }
}

/// Whether something of a step may still act that cannot be found again: it is not run beside itself.
fn goes_on_unseen(d: &Draft<'_>, ix: StepIx) -> bool {
    let record = d.run().step(ix);
    record.unsettled && record.attached.is_none()
}

fn retry_or_fail(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    if goes_on_unseen(d, ix) {
        return ask_unknown(d, ix);
    }
    let retry = d.run().plan.step(ix).retry;
    let tries = d.run().step(ix).tries;
    if tries >= retry.attempts {
        let unknown = matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { .. }));
        return if unknown { ask_unknown(d, ix) } else { give_up(d, ix) };
    }
    let at = d.now().steady.saturating_add(pause(d, retry, tries));
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::RetryPlanned { step, direction: Direction::Forward, at })
}

/// The pause before the next try: doubles, capped, with a quarter of jitter.
pub(super) fn pause(d: &mut Draft<'_>, retry: Retry, tries: u32) -> i64 {
    let doubled = retry.backoff_ms.saturating_mul(1_u64 << tries.saturating_sub(1).min(20));
    let base = doubled.min(retry.max_backoff_ms.max(retry.backoff_ms));
    ms(base.saturating_add(d.random(base / 4 + 1)))
}

/// A step failed for good.
fn give_up(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    if d.run().rollback.is_some() {
        return Ok(());
    }
    if step.section != Section::Cutover {
        return ask(d, QuestionKind::LateStepFailed { step: step.id.clone() });
    }
    if plan.policies.on_failure == OnFailure::Ask {
        let why = "the runbook says `onFailure: ask`".into();
        return ask(d, QuestionKind::StepFailed { step: step.id.clone(), why });
    }
    match rollback::may_act_alone(d) {
        Ok(()) => {
            let because = step_failed(d, ix);
            rollback::decide(d, because, RunState::RolledBack)
        }
        Err(why) => ask(d, QuestionKind::StepFailed { step: step.id.clone(), why: why.into() }),
    }
}

/// A pre-check failed or was inconclusive.
fn pre_check(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    if d.run().stands_in() != RunState::Checking {
        return checks::stale_failed(d, ix);
    }
    let at = d.now().steady.saturating_add(ms(checks::retry_every(d, ix)));
    let inconclusive = d.run().step(ix).inconclusive;
    let failure = last_failure(d, ix);
    d.emit(Event::RetryPlanned { step: step.clone(), direction: Direction::Forward, at })?;
    if inconclusive >= INCONCLUSIVE_LIMIT {
        return ask(d, QuestionKind::CheckInconclusive { step, failure });
    }
    Ok(())
}

/// A post-check repeats until it passes; only its `by` makes it fail.
fn post_check(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    if d.run().stands_in() != RunState::Observing {
        return Ok(());
    }
    let at = d.now().steady.saturating_add(ms(checks::every(d, ix)));
    let step = d.run().plan.step(ix).id.clone();
    d.emit(Event::RetryPlanned { step, direction: Direction::Forward, at })
}

/// A check whose parameters have no value could not be measured.
pub(super) fn check_unresolvable(d: &mut Draft<'_>, ix: StepIx, why: &str) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    let failure = Failure::new(format!("its parameters have no value: {why}"));
    if matches!(d.run().plan.step(ix).section, Section::Fence | Section::RollbackCheck) {
        // No further try would find another value.
        return d.emit(Event::UndoFailed { step, failure });
    }
    d.emit(Event::OutcomeUnknown { step, direction: Direction::Forward, failure })?;
    failed(d, ix)
}

/// The `by` of a post-check passed without a pass. If nobody was there to look, a person decides.
pub(super) fn post_check_overdue(d: &mut Draft<'_>, ix: StepIx, is_watched: Watched) -> Result<(), Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    let may_act = match is_watched {
        Watched::Yes => rollback::may_act_alone(d),
        Watched::No => Err("nobody was there to look when it was due".to_owned()),
    };
    match may_act {
        Ok(()) => rollback::decide(d, Cause::PostCheckFailed { step }, RunState::RolledBack),
        Err(why) => ask(d, QuestionKind::PostCheckFailed { step, why: why.into() }),
    }
}
