//! The books of the run as a whole: its moves, its locks, its owner.

use super::apply::{Illegal, find, ms, refuse};
use super::books::{
    disarm_criteria, give_back, mark_effects, note_all_turns, note_turn, set_deadline, set_forward, wait_no_more,
};
use super::command::Command;
use super::criteria::SAMPLE_SLACK_MS;
use super::event::{Event, Record};
use super::fact::{Cause, Direction, LockScope, Millis, SkipCause, Wait};
use super::run::{Locks, Run};
use super::run_state::RunState;
use super::state::{Forward, Status, StepLocks};
use super::timers::Timer;
use super::unended;
use crate::plan::step::Effect;
use crate::plan::{Section, StepId, StepIx, StepKind};

/// Another engine took the run. What only the former one knew is gone: requests for locks, samples.
pub(super) fn owned(run: &mut Run, record: &Record) -> Result<(), Illegal> {
    let Event::Owned { epoch, away_ms, clock_offset_ms, place, unended: named, .. } = &record.event else {
        return Err(Illegal::Needs { event: record.event.word(), needs: "a handler" });
    };
    let at = record.at;
    run.epoch = *epoch;
    run.place.clone_from(place);
    run.clock_offset = clock_offset_ms.unwrap_or(0);
    if run.locks != Locks::Held {
        run.locks = Locks::None;
    }
    if run.rest != Locks::Held {
        run.rest = Locks::None;
    }
    if away_ms.is_some() {
        unended::only_these_may_go_on(run, named)?;
        // The locks of a run that is over were those of an engine that is gone: nobody has to give them back.
        drop(release_after_the_end(run));
    }
    for ix in run.locking.clone() {
        if run.steps[ix].locks == StepLocks::Held {
            continue;
        }
        run.steps[ix].locks = StepLocks::None;
        run.locking.remove(&ix);
        if let Status::Forward(Forward::Waiting { on: Wait::Locks { .. }, .. }) = run.steps[ix].status {
            set_forward(run, ix, Forward::Ready);
        }
    }
    note_all_turns(run);
    let plan = run.plan.clone();
    for (ix, criterion) in plan.criteria.iter().enumerate() {
        run.criteria[ix].sampling = None;
        if let (Some(sample), Some(blind)) = (run.timers.get(Timer::Sample(ix)), run.timers.get(Timer::MaxAge(ix))) {
            // Nobody looked meanwhile: one sample may be taken before the criterion counts as blind.
            let chance = sample.max(at).saturating_add(ms(criterion.timeout_ms)).saturating_add(SAMPLE_SLACK_MS);
            run.timers.set(Timer::MaxAge(ix), blind.max(chance));
        }
    }
    Ok(())
}

/// The word for the cutover was given: nothing is kept fresh any longer.
pub(super) fn go_given(run: &mut Run) {
    run.go = true;
    run.go_missed = None;
    run.timers.clear(Timer::GoAt);
    for ix in run.plan.section(Section::Prepare) {
        run.timers.clear(Timer::Repeat(ix));
    }
}

/// A person named the time of the cutover, or took it back. The word is waited for in any case.
pub(super) fn go_planned(run: &mut Run, at: Option<Millis>) {
    run.go_at = at;
    run.waits_for_word = true;
    run.go_missed = None;
    match at.filter(|_| run.stands_in() == RunState::Prepared && !run.go) {
        Some(at) => run.timers.set(Timer::GoAt, at),
        None => run.timers.clear(Timer::GoAt),
    }
}

/// The time came, and nothing could begin: it counts no more.
pub(super) fn go_missed(run: &mut Run) {
    run.timers.clear(Timer::GoAt);
    run.go_missed = run.go_at.take();
}

/// The run's state changes.
pub(super) fn moved(run: &mut Run, record: &Record, to: RunState, because: &Cause) -> Result<Vec<Command>, Illegal> {
    if !run.state.may_become(to) {
        return Err(Illegal::Move { from: run.state, to });
    }
    if to == RunState::Deciding {
        run.left = Some(run.state);
    } else if run.state == RunState::Deciding {
        run.left = None;
    }
    let returns = *because == Cause::Answered;
    run.state = to;
    run.since = record.at;
    run.because = Some(because.clone());
    match to {
        RunState::Checking => {
            if let Some(start_by) = run.plan.policies.start_by_ms.filter(|_| !returns) {
                run.timers.set(Timer::StartBy, start_by);
            }
        }
        RunState::Preparing => run.timers.clear(Timer::StartBy),
        RunState::Prepared => prepared(run, record.at),
        RunState::CuttingOver => run.timers.clear(Timer::StartBy),
        RunState::Observing => {
            run.timers.clear_turn_back();
            if !returns {
                drop_rechecks(run);
                arm_post_checks(run, record.at);
            }
        }
        RunState::Accepted => accepted(run),
        RunState::RollingBack => disarm_criteria(run),
        RunState::Committing => run.timers.clear(Timer::Ready),
        RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => {
            for ix in 0..run.steps.len() {
                wait_no_more(run, ix);
            }
            note_all_turns(run);
            run.timers.clear_all();
            return Ok(release_after_the_end(run));
        }
        RunState::Created | RunState::Deciding | RunState::Stuck => {}
    }
    Ok(vec![])
}

/// The locks of a run that is over: everything of it, its steps' locks included. Nobody gets them while an attempt of it
/// has not ended, by itself or by force.
pub(super) fn release_after_the_end(run: &mut Run) -> Vec<Command> {
    let holds = run.locks != Locks::None || run.rest != Locks::None || !run.locking.is_empty();
    if !run.state.is_final() || !holds || run.awaits_an_end() {
        return vec![];
    }
    run.locks = Locks::None;
    run.rest = Locks::None;
    run.locking.clear();
    for record in &mut run.steps {
        record.locks = StepLocks::None;
    }
    vec![Command::ReleaseLocks { scope: LockScope::Run }]
}

/// Waiting for the word, which has to be given anew; some steps are kept fresh.
fn prepared(run: &mut Run, at: Millis) {
    run.timers.clear(Timer::StartBy);
    if run.because != Some(Cause::Answered) {
        run.go = false;
    }
    if let (Some(go_at), Some(Cause::Prepared | Cause::Checked)) = (run.go_at, &run.because) {
        run.timers.set(Timer::GoAt, go_at);
    }
    for ix in run.plan.section(Section::Prepare) {
        if let Some(fresh) = run.plan.step(ix).keep_fresh_ms
            && !run.go
            && matches!(run.steps[ix].status, Status::Forward(Forward::Succeeded))
        {
            let due = run.steps[ix].ended.unwrap_or(at).saturating_add(ms(fresh)).max(at.saturating_add(1));
            run.timers.set(Timer::Repeat(ix), due);
        }
    }
}

/// No effect follows that a repeated pre-check would have to come before: the former pass stands.
fn drop_rechecks(run: &mut Run) {
    for ix in std::mem::take(&mut run.rechecking) {
        run.timers.clear(Timer::Backoff(ix, Direction::Forward));
        if !run.steps[ix].status.is_live() {
            set_forward(run, ix, Forward::Succeeded);
        }
    }
}

fn arm_post_checks(run: &mut Run, at: Millis) {
    let from = run.exposed.or(run.possibly_exposed).unwrap_or(at);
    for ix in run.plan.section(Section::PostCheck) {
        if let Some(by) = run.plan.step(ix).check.by_ms
            && !run.forward(ix).satisfies()
        {
            run.timers.set(Timer::By(ix), from.saturating_add(ms(by)));
        }
    }
}

/// From now on the engine does not act by itself: nothing that could make it is left behind.
fn accepted(run: &mut Run) {
    drop_rechecks(run);
    disarm_criteria(run);
    run.timers.clear(Timer::Window);
    run.timers.clear_turn_back();
    for ix in run.plan.section(Section::PostCheck) {
        wait_no_more(run, ix);
    }
}

pub(super) fn way_back(run: &mut Run, open: bool, at: Millis) {
    run.way_back = Some((open, at));
    let watched = run.rollback.is_none()
        && matches!(run.stands_in(), RunState::CuttingOver | RunState::Observing | RunState::Accepted);
    if watched {
        run.timers.set(Timer::Ready, at.saturating_add(ms(run.plan.policies.ready_every_ms).max(1)));
    } else {
        run.timers.clear(Timer::Ready);
    }
}

pub(super) fn locks_requested(run: &mut Run, scope: &LockScope, at: Millis) -> Result<Vec<Command>, Illegal> {
    let (claims, direction) = match scope {
        LockScope::Run => {
            run.locks = Locks::Requested;
            if let Some(start_by) = run.plan.policies.start_by_ms {
                run.timers.set(Timer::StartBy, start_by);
            }
            (run.plan.locks.clone(), Direction::Forward)
        }
        LockScope::Rest => {
            run.rest = Locks::Requested;
            let rest = run.plan.locks.iter().filter(|claim| !claim.is_application());
            (rest.cloned().collect(), Direction::Forward)
        }
        LockScope::Step(step) => {
            let ix = find(run, step)?;
            let direction = match run.step(ix).status {
                Status::Forward(Forward::Ready) => Direction::Forward,
                Status::Undo { .. } => Direction::Undo,
                Status::Forward(_) => return Err(refuse(run, ix, "locksRequested")),
            };
            run.steps[ix].locks = StepLocks::Requested;
            run.locking.insert(ix);
            if direction == Direction::Forward {
                waits_for_locks(run, ix, &[], at);
            }
            (run.plan.step(ix).locks.clone(), direction)
        }
    };
    Ok(vec![Command::AcquireLocks { scope: scope.clone(), claims, direction }])
}

fn waits_for_locks(run: &mut Run, ix: StepIx, held_by: &[String], at: Millis) {
    let claims = run.plan.step(ix).locks.iter().map(|claim| claim.name.clone()).collect();
    let since = match &run.steps[ix].status {
        Status::Forward(Forward::Waiting { since, .. }) => *since,
        Status::Forward(_) | Status::Undo { .. } => at,
    };
    set_forward(run, ix, Forward::Waiting { on: Wait::Locks { claims, held_by: held_by.to_vec() }, since });
}

pub(super) fn locks_granted(run: &mut Run, scope: &LockScope) -> Result<Vec<Command>, Illegal> {
    match scope {
        LockScope::Run => {
            run.locks = Locks::Held;
            run.rest = Locks::Held;
        }
        LockScope::Rest => run.rest = Locks::Held,
        LockScope::Step(step) => {
            let ix = find(run, step)?;
            if run.steps[ix].locks != StepLocks::Requested {
                return Err(refuse(run, ix, "locksGranted"));
            }
            run.steps[ix].locks = StepLocks::Held;
            if let Status::Forward(Forward::Waiting { on: Wait::Locks { .. }, .. }) = run.steps[ix].status {
                set_forward(run, ix, Forward::Ready);
            }
        }
    }
    Ok(vec![])
}

/// Others may have them while nobody says when the cutover will be.
pub(super) fn locks_narrowed(run: &mut Run) -> Vec<Command> {
    run.rest = Locks::None;
    vec![Command::ReleaseLocks { scope: LockScope::Rest }]
}

pub(super) fn locks_awaited(
    run: &mut Run,
    scope: &LockScope,
    held_by: &[String],
    at: Millis,
) -> Result<Vec<Command>, Illegal> {
    match scope {
        LockScope::Run => run.locks = Locks::Awaited(held_by.to_vec()),
        LockScope::Rest => run.rest = Locks::Awaited(held_by.to_vec()),
        LockScope::Step(step) => {
            let ix = find(run, step)?;
            if let Status::Forward(Forward::Waiting { on: Wait::Locks { .. }, .. }) = run.steps[ix].status {
                waits_for_locks(run, ix, held_by, at);
            }
        }
    }
    Ok(vec![])
}

/// A step that may run gives its locks back, because it cannot start now.
pub(super) fn hand_back(run: &mut Run, ix: StepIx) -> Vec<Command> {
    let mut commands = vec![];
    give_back(run, ix, &mut commands);
    note_turn(run, ix);
    commands
}

pub(super) fn skipped(run: &mut Run, step: &StepId, over: &SkipCause, at: Millis) -> Result<(), Illegal> {
    let ix = find(run, step)?;
    if !matches!(run.steps[ix].status, Status::Forward(_)) || run.step(ix).status.is_live() {
        return Err(refuse(run, ix, "skipped"));
    }
    for timer in [Timer::Backoff(ix, Direction::Forward), Timer::Approval(ix), Timer::By(ix), Timer::Repeat(ix)] {
        run.timers.clear(timer);
    }
    run.rechecking.remove(&ix);
    run.steps[ix].ended = Some(at);
    run.steps[ix].completed = run.sequence;
    set_forward(run, ix, Forward::Skipped { over: over.clone() });
    Ok(())
}

pub(super) fn waiting(run: &mut Run, step: &StepId, on: &Wait, at: Millis) -> Result<(), Illegal> {
    let ix = find(run, step)?;
    if let Wait::Approval { expires: Some(expires) } = on {
        run.timers.set(Timer::Approval(ix), *expires);
    }
    run.steps[ix].first_started.get_or_insert(at);
    if *on == Wait::Person {
        // From here on somebody may be doing it: this is the intent of work by hand.
        run.steps[ix].completed = run.sequence;
        run.steps[ix].touched |= run.plan.step(ix).effect != Effect::None;
        mark_effects(run, ix, at);
    }
    set_forward(run, ix, Forward::Waiting { on: on.clone(), since: at });
    if let (Wait::Person, StepKind::Manual(manual)) = (on, &run.plan.step(ix).kind)
        && let Some(deadline) = manual.deadline_ms
    {
        set_deadline(run, ix, Direction::Forward, (at, at.saturating_add(ms(deadline))));
    }
    Ok(())
}
