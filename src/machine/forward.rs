//! What starts next on the way forward.

use super::apply::{Illegal, ms};
use super::books::may_stand;
use super::checks;
use super::decide::ask;
use super::draft::{Draft, Room};
use super::eval;
use super::event::Event;
use super::fact::{Cause, Direction, LockScope, Resolved, SkipCause, Wait};
use super::question::QuestionKind;
use super::rollback;
use super::run::Locks;
use super::run_state::RunState;
use super::state::{Forward, Status, StepLocks};
use super::ticks;
use super::timers::Timer;
use super::undoing;
use crate::plan::estimate::{History, estimate};
use crate::plan::{Call, Section, StepId, StepIx, StepKind, defaults};
use crate::runbook::expr::Truth;

/// Runs the preparation; done leads to waiting for the word.
pub(super) fn preparing(d: &mut Draft<'_>) -> Result<(), Illegal> {
    dispatch_looking(d, Section::PreCheck)?;
    dispatch(d, Section::Prepare)?;
    if d.run().state == RunState::Preparing && is_done(d, Section::Prepare) {
        d.emit(Event::Moved { to: RunState::Prepared, because: Cause::Prepared })?;
    }
    Ok(())
}

/// Waits for the word; pre-checks are repeated first, and some steps are kept fresh.
pub(super) fn prepared(d: &mut Draft<'_>) -> Result<(), Illegal> {
    locks_while_prepared(d)?;
    dispatch_looking(d, Section::PreCheck)?;
    dispatch(d, Section::Prepare)?;
    let ready = d.run().go && d.run().holds_the_rest() && d.run().rechecking.is_empty() && is_done(d, Section::Prepare);
    if ready && d.run().state == RunState::Prepared { begin_cutover(d, Cause::Go) } else { Ok(()) }
}

/// Who waits for the word keeps nobody else from working: but for its application's lock all are given back, and taken
/// again, all or none, once the word was given.
fn locks_while_prepared(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let has_rest = d.run().plan.locks.iter().any(|claim| !claim.is_application());
    match (d.run().go, &d.run().rest) {
        (false, Locks::Held | Locks::Requested | Locks::Awaited(_)) if has_rest => d.emit(Event::LocksNarrowed),
        (true, Locks::None) if has_rest => d.emit(Event::LocksRequested { scope: LockScope::Rest }),
        (true | false, Locks::None | Locks::Held | Locks::Requested | Locks::Awaited(_)) => Ok(()),
    }
}

/// The word was given. What must be checked again is, whatever its age, as soon as the locks are held.
pub(super) fn give_go(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if !d.run().go {
        d.emit(Event::GoGiven)?;
    }
    if d.run().holds_the_rest() { recheck_for_go(d) } else { Ok(()) }
}

/// Pre-checks are repeated before the cut.
pub(super) fn recheck_for_go(d: &mut Draft<'_>) -> Result<(), Illegal> {
    checks::recheck_stale(d, true)?;
    // Those that failed before are tried now.
    let waiting: Vec<StepIx> = d
        .run()
        .plan
        .section(Section::PreCheck)
        .filter(|ix| matches!(d.run().step(*ix).status, Status::Forward(Forward::Backoff { .. })))
        .collect();
    for ix in waiting {
        let step = d.run().plan.step(ix).id.clone();
        d.emit(Event::Readied { step, new_generation: false })?;
    }
    Ok(())
}

/// The cut begins. The last moment to start back is worked out now, if all it takes is known.
pub(super) fn begin_cutover(d: &mut Draft<'_>, because: Cause) -> Result<(), Illegal> {
    let until = d.run().plan.policies.change.as_ref().and_then(|change| change.until_ms);
    if let (Some(until), None) = (until, d.run().turn_back) {
        let serves = estimate(&d.run().plan, &History::default()).until_source_serves;
        // An unknown estimate is unknown, never nothing: then no moment is named.
        if let Some(back) = serves.known_ms() {
            d.emit(Event::TurnBackPlanned { at: until.saturating_sub(ms(back)) })?;
        }
    }
    d.emit(Event::Moved { to: RunState::CuttingOver, because })?;
    let wall = d.now().steady.saturating_add(d.run().clock_offset);
    let passed = d.run().timers.get(Timer::TurnBack).is_some_and(|at| at <= wall);
    // Known before the first effect: no need to begin what could not end in time.
    if passed && !d.run().is_paused(Timer::TurnBack) { ticks::turn_back(d) } else { Ok(()) }
}

/// Runs the cutover steps; done leads to observing.
pub(super) fn cutting_over(d: &mut Draft<'_>) -> Result<(), Illegal> {
    dispatch_looking(d, Section::PreCheck)?;
    checks::look_at_way_back(d)?;
    if !is_done(d, Section::Prepare) {
        // Forward again: what was prepared has to be prepared anew.
        return dispatch(d, Section::Prepare);
    }
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

/// Whether every step of a section is done, skipped or waived.
pub(super) fn is_done(d: &Draft<'_>, section: Section) -> bool {
    d.run().open.get(&section).is_none_or(|open| *open == 0)
}

/// Whether something stops new forward attempts of a section.
fn is_stopped(d: &Draft<'_>, section: Section) -> bool {
    let run = d.run();
    if lacks_room(d, section) || run.hold.is_some() || !run.questions.is_empty() {
        return true;
    }
    if !section.is_check() && !run.rechecking.is_empty() {
        return true;
    }
    section == Section::Cutover && run.waits_for_way_back()
}

/// Starts what is ready in a section, unless something stops new forward attempts.
pub(super) fn dispatch(d: &mut Draft<'_>, section: Section) -> Result<(), Illegal> {
    if is_stopped(d, section) {
        return Ok(());
    }
    if !d.run().partial.is_empty() {
        return undoing::take_back_parts(d);
    }
    start_ready(d, section)
}

/// Starts what is ready in a section of steps that only look: no hold stops looking.
pub(super) fn dispatch_looking(d: &mut Draft<'_>, section: Section) -> Result<(), Illegal> {
    start_ready(d, section)
}

/// Whether the run would start a ready step of a section now.
pub(super) fn would_start(d: &Draft<'_>, section: Section) -> bool {
    let run = d.run();
    let may = !is_stopped(d, section) && run.partial.is_empty();
    match section {
        Section::PreCheck => match run.state {
            RunState::Checking => may || run.hold.as_ref().is_some_and(|hold| hold.restart),
            RunState::Preparing | RunState::Prepared | RunState::CuttingOver => true,
            RunState::Created
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
            | RunState::ClosedWithResidue => false,
        },
        Section::Prepare => {
            may && matches!(run.state, RunState::Preparing | RunState::Prepared | RunState::CuttingOver)
        }
        Section::Cutover => may && run.state == RunState::CuttingOver,
        Section::PostCheck => run.stands_in() == RunState::Observing,
        Section::Ready => {
            matches!(run.stands_in(), RunState::CuttingOver | RunState::Observing | RunState::Accepted)
        }
        Section::Fence | Section::RollbackCheck => run.state == RunState::RollingBack,
        Section::Commit => may && run.state == RunState::Committing,
    }
}

/// Whether the disk is full and what is left of it is kept for other sections: those of the way back.
fn lacks_room(d: &Draft<'_>, section: Section) -> bool {
    let of_the_way_back = matches!(section, Section::Fence | Section::RollbackCheck);
    d.room() != Room::Enough && !of_the_way_back
}

fn start_ready(d: &mut Draft<'_>, section: Section) -> Result<(), Illegal> {
    if lacks_room(d, section) {
        return Ok(());
    }
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
    if let Some(when) = &step.when
        && !d.run().step(ix).evaluated
        && !d.run().step(ix).answered
    {
        match eval::condition(d.run(), when, &step.kind) {
            Truth::True => {}
            Truth::False => return d.emit(Event::Skipped { step: step.id.clone(), over: SkipCause::WhenFalse }),
            Truth::Unknown(why) => {
                let why = format!("`when: {}` has no value: {why}", when.as_str());
                return no_value(d, ix, &why);
            }
        }
    }
    if step.is_irreversible() && !d.run().step(ix).passed_irreversible && !named_in_approval(d, &step.id) {
        return ask(d, QuestionKind::Irreversible { step: step.id.clone() });
    }
    let call = match &step.kind {
        StepKind::Action(call) => call,
        StepKind::Approval(approval) => {
            let expires = approval.expires_ms.map(|after| d.now().steady.saturating_add(ms(after)));
            return d.emit(Event::Waiting { step: step.id.clone(), on: Wait::Approval { expires } });
        }
        StepKind::Manual(_) if d.run().step(ix).answered => return verify_by_hand(d, ix),
        StepKind::Manual(_) => return d.emit(Event::Waiting { step: step.id.clone(), on: Wait::Person }),
    };
    // Evaluated before locks are asked for: nobody holds them while a person looks for a value.
    let evaluated = match evaluate(d, ix, call) {
        Ok(evaluated) => evaluated,
        Err(why) => return no_value(d, ix, &why),
    };
    if !step.locks.is_empty() && d.run().step(ix).locks != StepLocks::Held {
        return d.emit(Event::LocksRequested { scope: LockScope::Step(step.id.clone()) });
    }
    intend(d, ix, evaluated)
}

/// A person did it: its `verify` looks whether it is so, in an attempt that performs nothing else.
fn verify_by_hand(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let verify = plan.step(ix).verify.as_ref().map(|verify| eval::resolve(d.run(), &verify.call)).transpose();
    match verify {
        Ok(verify) => intend(d, ix, (None, verify.flatten())),
        Err(why) => no_value(d, ix, &why),
    }
}

type Evaluated = (Option<Resolved>, Option<Resolved>);

/// The parameters of a step and of its verification. Evaluated once, when the step becomes ready;
/// attempts of one generation share the values, until people amend them. A check looks at the world of its own time.
fn evaluate(d: &Draft<'_>, ix: StepIx, call: &Call) -> Result<Evaluated, String> {
    let step = d.run().plan.step(ix);
    let record = d.run().step(ix);
    if record.evaluated && !record.amended && !step.section.is_check() {
        return Ok((None, None));
    }
    let verify = step.verify.as_ref().map(|verify| eval::resolve(d.run(), &verify.call)).transpose()?;
    Ok((eval::resolve(d.run(), call)?, verify.flatten()))
}

/// Whether an approval that was given names an irreversible step.
fn named_in_approval(d: &Draft<'_>, id: &StepId) -> bool {
    let run = d.run();
    run.plan.steps.iter().enumerate().any(|(ix, step)| match &step.kind {
        StepKind::Approval(approval) => approval.names.contains(id) && matches!(run.forward(ix), Forward::Succeeded),
        StepKind::Action(_) | StepKind::Manual(_) => false,
    })
}

fn intend(d: &mut Draft<'_>, ix: StepIx, (call, verify): Evaluated) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let record = d.run().step(ix);
    let timeout_ms = match &step.kind {
        StepKind::Action(_) => step.timeout_ms,
        // The time of a manual step is the person's; of the attempt it is that of a look.
        StepKind::Approval(_) | StepKind::Manual(_) => defaults::CHECK_TIMEOUT_MS,
    };
    d.emit(Event::AttemptIntended {
        step: step.id.clone(),
        attempt: record.attempts + 1,
        direction: Direction::Forward,
        generation: record.generation,
        deadline: Some(d.now().steady.saturating_add(ms(timeout_ms))),
        call,
        verify,
    })
}

/// `when` or a parameter has no value. Of a step it is a question; a check could not be measured;
/// on the way back nobody waits for an answer.
fn no_value(d: &mut Draft<'_>, ix: StepIx, why: &str) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    match step.section {
        Section::PostCheck | Section::Ready | Section::Fence | Section::RollbackCheck => {
            super::failures::check_unresolvable(d, ix, why)
        }
        Section::PreCheck | Section::Prepare | Section::Cutover | Section::Commit => {
            ask(d, QuestionKind::ValueUnknown { step: step.id.clone(), why: why.into() })
        }
    }
}

/// Nothing was touched, or only prepared: the run is refused, and what was prepared is undone.
pub(super) fn refuse_before_effect(d: &mut Draft<'_>, because: Cause) -> Result<(), Illegal> {
    end_untouched(d, because, RunState::Refused)
}

/// Ends a run before its first cutover effect.
pub(super) fn end_untouched(d: &mut Draft<'_>, because: Cause, ends: RunState) -> Result<(), Illegal> {
    let live = d.run().live.iter().any(|(ix, _)| checks::has_effect(d, *ix));
    let prepared = d.run().plan.section(Section::Prepare).any(|ix| may_stand(d.run(), ix));
    if prepared || live {
        return rollback::decide(d, because, ends);
    }
    super::decide::close(d, None, |_| true)?;
    rollback::stop(d, |_, _| true)?;
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
