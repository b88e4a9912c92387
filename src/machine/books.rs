//! What follows from a step's value: the sets beside the steps, the counts of its successors, and
//! what the whole run may say of itself. Every change of a step's value goes through here.

use super::apply::{Illegal, ms, refuse};
use super::command::Command;
use super::fact::{Direction, Failure, Left, LockScope, Millis, Wait};
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status, StepLocks, UndoState};
use super::timers::Timer;
use super::turns::{Line, standing};
use crate::plan::step::{Effect, OnTimeout};
use crate::plan::{Section, Stage, StepIx, StepKind};

/// Sets a step's forward value and keeps `ready`, `live`, `open` and the successors' counts.
pub(super) fn set_forward(run: &mut Run, ix: StepIx, to: Forward) {
    let was = stands_for_needs(run, ix);
    let is = to.satisfies();
    keep(&mut run.ready, ix, matches!(to, Forward::Ready));
    keep(&mut run.live, (ix, Direction::Forward), matches!(to, Forward::Running(_)));
    keep(&mut run.probing, (ix, Direction::Forward), matches!(to, Forward::Unknown { probing: true, .. }));
    if let Status::Forward(Forward::Waiting { on: Wait::Person, .. }) = run.steps[ix].status {
        // Nobody is asked to do it by hand any more, or anew.
        run.timers.clear(Timer::Deadline(ix, Direction::Forward));
    }
    run.steps[ix].status = Status::Forward(to);
    if was != is {
        tell_successors(run, ix, is);
    }
}

fn keep<T: Ord>(set: &mut std::collections::BTreeSet<T>, item: T, is_in: bool) {
    if is_in {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

fn stands_for_needs(run: &Run, ix: StepIx) -> bool {
    match &run.steps[ix].status {
        Status::Forward(forward) => forward.satisfies(),
        Status::Undo { .. } => false,
    }
}

fn tell_successors(run: &mut Run, ix: StepIx, is_done: bool) {
    let plan = run.plan.clone();
    let open = run.open.entry(plan.step(ix).section).or_insert(0);
    if is_done {
        *open = open.saturating_sub(1);
    } else {
        *open += 1;
    }
    for (child, _) in plan.dag().children(ix) {
        let record = &mut run.steps[child];
        if is_done {
            record.waits_for = record.waits_for.saturating_sub(1);
            if record.waits_for == 0 && matches!(record.status, Status::Forward(Forward::Pending)) {
                record.status = Status::Forward(Forward::Ready);
                run.ready.insert(child);
            }
        } else {
            record.waits_for += 1;
            if matches!(record.status, Status::Forward(Forward::Ready)) {
                record.status = Status::Forward(Forward::Pending);
                run.ready.remove(&child);
            }
        }
    }
}

/// Sets the state of an undo.
pub(super) fn set_undo(run: &mut Run, ix: StepIx, to: UndoState) -> Result<(), Illegal> {
    let Status::Undo { state, .. } = &mut run.steps[ix].status else { return Err(refuse(run, ix, "an undo's event")) };
    keep(&mut run.live, (ix, Direction::Undo), matches!(to, UndoState::Undoing(_)));
    keep(&mut run.probing, (ix, Direction::Undo), matches!(to, UndoState::Unknown { probing: true, .. }));
    *state = to;
    Ok(())
}

/// A step turns round: its successors hear that it stands for nothing any more.
pub(super) fn enter_undo(run: &mut Run, ix: StepIx, of: Forward, state: UndoState) -> Result<(), Illegal> {
    set_forward(run, ix, Forward::NotRun);
    run.steps[ix].undo_tries = 0;
    run.steps[ix].undo_again = false;
    run.steps[ix].status = Status::Undo { of: Box::new(of), state: state.clone() };
    set_undo(run, ix, state)
}

/// A step turns round again: it has no undo any more.
pub(super) fn leave_undo(run: &mut Run, ix: StepIx, to: Forward) {
    run.live.remove(&(ix, Direction::Undo));
    run.probing.remove(&(ix, Direction::Undo));
    run.timers.clear(Timer::Deadline(ix, Direction::Undo));
    run.timers.clear(Timer::Backoff(ix, Direction::Undo));
    run.partial.remove(&ix);
    run.steps[ix].status = Status::Forward(Forward::NotRun);
    set_forward(run, ix, to);
}

/// What a step that is not under way is: it may run, or it waits for others, or the run went back.
pub(super) fn idle(run: &Run, ix: StepIx) -> Forward {
    let looks_after_restore = matches!(run.plan.step(ix).section, Section::Fence | Section::RollbackCheck);
    if run.rollback.is_some() && !looks_after_restore {
        Forward::NotRun
    } else if run.steps[ix].waits_for == 0 {
        Forward::Ready
    } else {
        Forward::Pending
    }
}

/// A step that is not under way will not be performed any more; what it left behind stays known.
pub(super) fn wait_no_more(run: &mut Run, ix: StepIx) {
    for timer in [
        Timer::Backoff(ix, Direction::Forward),
        Timer::Approval(ix),
        Timer::Repeat(ix),
        Timer::By(ix),
        Timer::Estimate(ix),
    ] {
        run.timers.clear(timer);
    }
    let Status::Forward(forward) = &run.steps[ix].status else { return };
    let failed = |failure| Forward::Failed { failure, left: Left::Possible };
    let to = match forward {
        Forward::Waiting { on: Wait::Person, .. } if run.steps[ix].touched => {
            failed(Failure::new("somebody may have begun it by hand"))
        }
        // It would have been found again and attached to: nobody knows how far it is.
        Forward::Pending | Forward::Ready | Forward::Backoff { .. } | Forward::Waiting { .. }
            if run.steps[ix].unsettled =>
        {
            Forward::Unknown { failure: Failure::new("work elsewhere may still go on"), probing: false }
        }
        Forward::Pending | Forward::Ready | Forward::Waiting { .. } => Forward::NotRun,
        Forward::Backoff { .. } => {
            let record = &run.steps[ix];
            let failure = record.last_failure.clone().unwrap_or_else(|| Failure::new("it had failed before"));
            Forward::Failed { failure, left: if record.touched { Left::Possible } else { Left::Nothing } }
        }
        Forward::Running(_)
        | Forward::Succeeded
        | Forward::Failed { .. }
        | Forward::Unknown { .. }
        | Forward::Skipped { .. }
        | Forward::NotRun => return,
    };
    set_forward(run, ix, to);
}

/// A step is done. `since` is when users could tell, which for an exposure found late is its intent.
pub(super) fn succeed(run: &mut Run, ix: StepIx, at: Millis, since: Millis) {
    let record = &mut run.steps[ix];
    record.ended = Some(at);
    record.completed = run.sequence;
    record.passed = Some(at);
    record.answered = false;
    record.last_failure = None;
    record.unsettled = false;
    record.attached = None;
    run.rechecking.remove(&ix);
    run.timers.clear(Timer::By(ix));
    set_forward(run, ix, Forward::Succeeded);
    if run.state == RunState::Prepared
        && !run.go
        && let Some(fresh) = run.plan.step(ix).keep_fresh_ms
    {
        run.timers.set(Timer::Repeat(ix), at.saturating_add(ms(fresh)));
    }
    if Some(ix) == run.plan.exposing() && run.exposed.is_none() {
        run.exposed = Some(since);
        run.possibly_exposed.get_or_insert(since);
        run.up_since.get_or_insert(since);
        if run.rollback.is_none() && !run.state.is_final() {
            arm_criteria(run, at, since);
        }
    }
}

/// Criteria are live from now on, after their warm-up, which counts from exposure.
pub(super) fn arm_criteria(run: &mut Run, now: Millis, exposed: Millis) {
    for c in 0..run.plan.criteria.len() {
        let criterion = &run.plan.criteria[c];
        let live = exposed.saturating_add(ms(criterion.warm_up_ms)).max(now);
        let blind = live.saturating_add(ms(criterion.max_age_ms));
        run.timers.set(Timer::Sample(c), live);
        run.timers.set(Timer::MaxAge(c), blind);
    }
}

/// Sets the deadline of a step, and the notice before it where its end asks people: once four fifths of the time
/// between now and then are used up, so that more time moves the notice, too.
pub(super) fn set_deadline(run: &mut Run, ix: StepIx, direction: Direction, (now, deadline): (Millis, Millis)) {
    run.timers.set(Timer::Deadline(ix, direction), deadline);
    if asks_at_deadline(run, ix, direction) {
        let used_up = deadline.saturating_sub(now).max(0) / 5 * 4;
        run.timers.set(Timer::Short(ix, direction), now.saturating_add(used_up));
    }
}

/// Whether people are asked when the time of a step is up, and nothing is stopped.
pub(super) fn asks_at_deadline(run: &Run, ix: StepIx, direction: Direction) -> bool {
    let step = run.plan.step(ix);
    let forward = || match step.kind {
        // A person is waited for; what verifies their work is stopped like any look.
        StepKind::Manual(_) => run.forward(ix).attempt().is_none(),
        StepKind::Action(_) | StepKind::Approval(_) => !step.section.is_check() && run.rollback.is_none(),
    };
    step.on_timeout == OnTimeout::Ask
        && match direction {
            Direction::Forward => forward(),
            // Data on its way home is not thrown away because an estimate was short.
            Direction::Undo => step.moves_data,
        }
}

/// No sample and no blindness any more.
pub(super) fn disarm_criteria(run: &mut Run) {
    for ix in 0..run.criteria.len() {
        run.timers.clear(Timer::Sample(ix));
        run.timers.clear(Timer::MaxAge(ix));
        run.timers.clear(Timer::Disarm(ix));
        run.criteria[ix].sampling = None;
    }
}

/// What the intent of a step says of the whole run.
pub(super) fn mark_effects(run: &mut Run, ix: StepIx, at: Millis) {
    let plan = run.plan.clone();
    let step = plan.step(ix);
    if plan.exposing() == Some(ix) {
        run.possibly_exposed.get_or_insert(at);
    }
    // Whatever a commit step does: from its intent on there is no way back.
    run.commit_intended |= step.section == Section::Commit;
    if step.effect == Effect::None {
        return;
    }
    match step.section {
        Section::Cutover => {
            run.first_effect.get_or_insert(at);
        }
        Section::Prepare => run.prepared_effect = true,
        Section::Commit
        | Section::PreCheck
        | Section::PostCheck
        | Section::Fence
        | Section::Ready
        | Section::RollbackCheck => {}
    }
    if step.is_irreversible() {
        run.irreversible.get_or_insert(ix);
    }
    if step.takes_source_down {
        run.down_since.get_or_insert(at);
    }
}

/// Takes back what the intent of a step said of the run, where nothing of the step can stand: users
/// who never saw the target must not lose the source's data to it.
pub(super) fn forget_effects(run: &mut Run, ix: StepIx) {
    if may_stand(run, ix) {
        return;
    }
    let plan = run.plan.clone();
    let step = plan.step(ix);
    if plan.exposing() == Some(ix) && run.exposed.is_none() && !is_bringing_home(run) {
        run.possibly_exposed = None;
    }
    if run.irreversible == Some(ix) {
        run.irreversible =
            (0..plan.steps.len()).find(|other| plan.step(*other).is_irreversible() && may_stand(run, *other));
    }
    if step.takes_source_down
        && !(0..plan.steps.len()).any(|other| plan.step(other).takes_source_down && may_stand(run, other))
    {
        run.down_since = None;
    }
}

/// Whether a rollback has begun to bring users' data home: to stop half-way would be worse than to
/// bring home what nobody wrote.
fn is_bringing_home(run: &Run) -> bool {
    let restore = run.rollback.iter().flat_map(|rollback| &rollback.restore);
    restore
        .filter(|turn| turn.stage == Some(Stage::Data))
        .any(|turn| !matches!(run.undo(turn.step), None | Some(UndoState::Pending)))
}

/// Whether something of a step may stand.
pub(super) fn may_stand(run: &Run, ix: StepIx) -> bool {
    let record = run.step(ix);
    run.plan.step(ix).effect != Effect::None
        && (record.touched
            || match run.forward(ix) {
                Forward::Succeeded | Forward::Unknown { .. } | Forward::Running(_) => true,
                Forward::Failed { left, .. } => *left == Left::Possible,
                Forward::Pending
                | Forward::Ready
                | Forward::Backoff { .. }
                | Forward::Waiting { .. }
                | Forward::Skipped { .. }
                | Forward::NotRun => false,
            })
}

/// What was done before does not stand any more: a new key, new evaluation, nothing to undo.
pub(super) fn begin_generation(run: &mut Run, ix: StepIx) {
    let record = &mut run.steps[ix];
    record.generation += 1;
    record.tries = 0;
    record.evaluated = false;
    record.amended = false;
    record.touched = false;
    record.touched_before = false;
    record.unsettled = false;
    record.outputs = None;
    record.call = None;
    record.verify = None;
    record.attached = None;
    record.overrun = false;
    record.answered = false;
    record.last_failure = None;
}

/// Whether a step still has a use for its locks, or for its place in the queue.
fn wants_locks(run: &Run, ix: StepIx) -> bool {
    // Nobody else may come while it has not ended, whatever is thought of it.
    if run.awaits_an_end_of(ix) {
        return true;
    }
    match &run.steps[ix].status {
        Status::Forward(forward) => match forward {
            Forward::Ready | Forward::Running(_) | Forward::Waiting { on: Wait::Locks { .. }, .. } => true,
            Forward::Pending
            | Forward::Backoff { .. }
            | Forward::Waiting { .. }
            | Forward::Succeeded
            | Forward::Failed { .. }
            | Forward::Unknown { .. }
            | Forward::Skipped { .. }
            | Forward::NotRun => false,
        },
        Status::Undo { state, .. } => matches!(state, UndoState::Pending | UndoState::Undoing(_)),
    }
}

/// Gives back the locks of a step.
pub(super) fn give_back(run: &mut Run, ix: StepIx, commands: &mut Vec<Command>) {
    run.steps[ix].locks = StepLocks::None;
    if run.locking.remove(&ix) {
        commands.push(Command::ReleaseLocks { scope: LockScope::Step(run.plan.step(ix).id.clone()) });
    }
}

/// Gives back locks that nobody has a use for any more.
pub(super) fn give_back_unused(run: &mut Run, commands: &mut Vec<Command>) {
    let unused: Vec<StepIx> = run.locking.iter().copied().filter(|ix| !wants_locks(run, *ix)).collect();
    for ix in unused {
        give_back(run, ix, commands);
    }
}

/// The rollback's index hears that a step changed.
pub(super) fn note_turn(run: &mut Run, ix: StepIx) {
    let at = standing(run, ix);
    if let Some(rollback) = &mut run.rollback {
        rollback.line.note(ix, at, &rollback.restore, &rollback.cleanup);
    }
}

/// The rollback's index is made anew.
pub(super) fn note_all_turns(run: &mut Run) {
    let Some(rollback) = &run.rollback else { return };
    let line = Line::of(run, &rollback.restore, &rollback.cleanup);
    if let Some(rollback) = &mut run.rollback {
        rollback.line = line;
    }
}
