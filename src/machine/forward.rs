//! What starts next on the way forward.

use super::apply::{Illegal, ms};
use super::checks;
use super::decide::ask;
use super::draft::Draft;
use super::eval;
use super::event::Event;
use super::fact::{Cause, Direction, LockScope, SkipCause, Wait};
use super::question::QuestionKind;
use super::rollback;
use super::state::{Forward, RunState, Status, StepLocks};
use crate::plan::{Call, Section, StepId, StepIx, StepKind};
use crate::runbook::expr::Truth;

/// Runs the preparation; done leads to waiting for the word.
pub(super) fn preparing(d: &mut Draft<'_>) -> Result<(), Illegal> {
    dispatch(d, Section::Prepare)?;
    if d.run().state == RunState::Preparing && is_done(d, Section::Prepare) {
        d.emit(Event::Moved { to: RunState::Prepared, because: Cause::Prepared })?;
    }
    Ok(())
}

/// Waits for the word; pre-checks are repeated first.
pub(super) fn prepared(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if !d.run().go {
        return Ok(());
    }
    dispatch_looking(d, Section::PreCheck)?;
    if d.run().rechecking.is_empty() && d.run().state == RunState::Prepared {
        d.emit(Event::Moved { to: RunState::CuttingOver, because: Cause::Go })?;
    }
    Ok(())
}

/// Runs the cutover steps; done leads to observing.
pub(super) fn cutting_over(d: &mut Draft<'_>) -> Result<(), Illegal> {
    dispatch_looking(d, Section::PreCheck)?;
    dispatch_looking(d, Section::Ready)?;
    dispatch(d, Section::Cutover)?;
    if d.run().state != RunState::CuttingOver || !is_done(d, Section::Cutover) {
        return Ok(());
    }
    super::window_rules::open_at_cutover_end(d)?;
    d.emit(Event::Moved { to: RunState::Observing, because: Cause::CutoverDone })
}

/// Runs the commit steps; done is the end.
pub(super) fn committing(d: &mut Draft<'_>) -> Result<(), Illegal> {
    dispatch(d, Section::Commit)?;
    if d.run().state == RunState::Committing && is_done(d, Section::Commit) {
        d.emit(Event::Moved { to: RunState::Committed, because: Cause::CommitDone })?;
    }
    Ok(())
}

fn is_done(d: &Draft<'_>, section: Section) -> bool {
    d.run().open.get(&section).is_none_or(|open| *open == 0)
}

/// Starts what is ready in a section, unless something stops new forward attempts.
pub(super) fn dispatch(d: &mut Draft<'_>, section: Section) -> Result<(), Illegal> {
    if d.run().hold.is_some() || !d.run().questions.is_empty() {
        return Ok(());
    }
    if !section.is_check() && !d.run().rechecking.is_empty() {
        return Ok(());
    }
    let exposed = d.run().possibly_exposed.is_some();
    if section == Section::Cutover && !exposed && d.run().way_back.is_some_and(|(open, _)| !open) {
        // The way back is lost before exposure: nothing new, until it is seen again.
        return Ok(());
    }
    start_ready(d, section)
}

/// Starts what is ready in a section of steps that only look: no hold stops looking.
pub(super) fn dispatch_looking(d: &mut Draft<'_>, section: Section) -> Result<(), Illegal> {
    start_ready(d, section)
}

fn start_ready(d: &mut Draft<'_>, section: Section) -> Result<(), Illegal> {
    let range = d.run().plan.section(section);
    let mut next = range.start;
    while let Some(ix) = d.run().ready.range(next..range.end).next().copied() {
        next = ix + 1;
        let state = d.run().state;
        start(d, ix)?;
        if d.run().state != state {
            return Ok(());
        }
    }
    Ok(())
}

/// Starts one ready step, or says why it waits.
pub(super) fn start(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let call = match &step.kind {
        StepKind::Action(call) => call,
        StepKind::Approval(approval) => {
            let expires = approval.expires_ms.map(|after| d.now().steady.saturating_add(ms(after)));
            return d.emit(Event::Waiting { step: step.id.clone(), on: Wait::Approval { expires } });
        }
        StepKind::Manual(_) => return d.emit(Event::Waiting { step: step.id.clone(), on: Wait::Person }),
    };
    if let Some(when) = &step.when
        && d.run().step(ix).tries == 0
    {
        match eval::condition(d.run(), when, &call.params) {
            Truth::True => {}
            Truth::False => return d.emit(Event::Skipped { step: step.id.clone(), over: SkipCause::WhenFalse }),
            Truth::Unknown(why) => {
                let why = format!("`when: {}` has no value: {why}", when.as_str()).into();
                return ask(d, QuestionKind::ValueUnknown { step: step.id.clone(), why });
            }
        }
    }
    if step.is_irreversible() && !d.run().step(ix).passed_irreversible && !named_in_approval(d, &step.id) {
        return ask(d, QuestionKind::Irreversible { step: step.id.clone() });
    }
    if !step.locks.is_empty() {
        match d.run().step(ix).locks {
            StepLocks::None => return d.emit(Event::LocksRequested { scope: LockScope::Step(step.id.clone()) }),
            StepLocks::Requested => return Ok(()),
            StepLocks::Held => {}
        }
    }
    intend(d, ix, call)
}

/// Whether an approval that was given names an irreversible step.
fn named_in_approval(d: &Draft<'_>, id: &StepId) -> bool {
    let run = d.run();
    run.plan.steps.iter().enumerate().any(|(ix, step)| match &step.kind {
        StepKind::Approval(approval) => approval.names.contains(id) && matches!(run.forward(ix), Forward::Succeeded),
        StepKind::Action(_) | StepKind::Manual(_) => false,
    })
}

fn intend(d: &mut Draft<'_>, ix: StepIx, call: &Call) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    // Evaluated once, when the step becomes ready; attempts of one generation share the values.
    // A check looks at the world of its own time.
    let first = d.run().step(ix).tries == 0 || step.section.is_check();
    let mut evaluated = (None, None);
    if first {
        let verify = step.verify.as_ref().map(|verify| &verify.call);
        evaluated = match (eval::resolve(d.run(), call), verify.map(|call| eval::resolve(d.run(), call)).transpose()) {
            (Ok(call), Ok(verify)) => (call, verify.flatten()),
            (Err(why), _) | (_, Err(why)) => {
                if step.section.is_check() && step.section != Section::PreCheck {
                    return super::failures::check_unresolvable(d, ix, &why);
                }
                let kind = QuestionKind::ValueUnknown { step: step.id.clone(), why: why.into() };
                return ask(d, kind);
            }
        };
    }
    let record = d.run().step(ix);
    d.emit(Event::AttemptIntended {
        step: step.id.clone(),
        attempt: record.attempts + 1,
        direction: Direction::Forward,
        generation: record.generation,
        deadline: Some(d.now().steady.saturating_add(ms(step.timeout_ms))),
        call: evaluated.0,
        verify: evaluated.1,
    })
}

/// Nothing was touched, or only prepared: the run is refused, and what was prepared is undone.
pub(super) fn refuse_before_effect(d: &mut Draft<'_>, because: Cause) -> Result<(), Illegal> {
    end_untouched(d, because, RunState::Refused)
}

/// Ends a run before its first cutover effect.
pub(super) fn end_untouched(d: &mut Draft<'_>, because: Cause, ends: RunState) -> Result<(), Illegal> {
    let live = d.run().live.iter().any(|(ix, _)| checks::has_effect(d, *ix));
    let prepared = d.run().plan.section(Section::Prepare).any(|ix| checks::may_stand(d, ix));
    if prepared || live {
        return rollback::decide(d, because, ends);
    }
    super::decide::close(d, None, |_| true)?;
    rollback::stop_live(d)?;
    if d.run().state == RunState::Deciding || d.run().state.may_become(ends) {
        return d.emit(Event::Moved { to: ends, because });
    }
    Ok(())
}

/// Whether an attempt of the forward side is under way that may change something.
pub(super) fn effect_under_way(d: &Draft<'_>) -> bool {
    d.run().live.iter().any(|(ix, direction)| {
        *direction == Direction::Forward
            && checks::has_effect(d, *ix)
            && matches!(d.run().step(*ix).status, Status::Forward(Forward::Running(_)))
    })
}
