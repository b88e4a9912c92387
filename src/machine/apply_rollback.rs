//! The books of the way back.

use super::apply::{Illegal, find, refuse};
use super::books::{
    arm_criteria, begin_generation, disarm_criteria, enter_undo, idle, leave_undo, may_stand, note_all_turns,
    set_forward, set_undo, wait_no_more,
};
use super::command::Command;
use super::event::{Event, Record};
use super::fact::{Cause, Direction, Failure, Left, Millis, Ordered, SkipCause};
use super::run::{Rollback, Run, Turn};
use super::run_state::RunState;
use super::state::{Forward, Status, UndoState};
use super::timers::Timer;
use super::turns::Line;
use crate::plan::step::Effect;
use crate::plan::{Section, StepId, StepIx};

/// Takes in one of the events that [`super::apply`] sends here.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller sends only these")]
pub(super) fn apply(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    match &record.event {
        Event::RollbackDecided { because, settle_by, ends } => decided(run, because, *settle_by, *ends, record.at),
        Event::RollbackOrdered { restore, cleanup, stays } => ordered(run, restore, cleanup, stays)?,
        Event::PartialUndoOrdered { step } => {
            let ix = find(run, step)?;
            let Status::Forward(of @ Forward::Unknown { .. }) = run.steps[ix].status.clone() else {
                return Err(refuse(run, ix, "partialUndoOrdered"));
            };
            enter_undo(run, ix, of, UndoState::Pending)?;
            run.partial.insert(ix);
        }
        Event::UndoNotNeeded { step, why } => {
            let ix = find(run, step)?;
            run.steps[ix].undo_again = false;
            set_undo(run, ix, UndoState::Undone { note: Some(why.clone()) })?;
        }
        Event::UndoWaived { step } => end_turn(run, find(run, step)?, UndoState::Waived)?,
        Event::UndoDoneByHand { step } => {
            let ix = find(run, step)?;
            end_turn(run, ix, UndoState::Undone { note: Some("done by hand".to_owned()) })?;
        }
        Event::UndoLeftToPerson { step } => {
            let ix = find(run, step)?;
            let Some(UndoState::Pending) = run.undo(ix) else { return Err(refuse(run, ix, "undoLeftToPerson")) };
            set_undo(run, ix, UndoState::Waiting { since: record.at })?;
        }
        Event::UndoReadied { step } => readied(run, find(run, step)?)?,
        Event::UndoFailed { step, failure } => {
            let ix = find(run, step)?;
            if let Status::Undo { .. } = run.steps[ix].status {
                set_undo(run, ix, UndoState::Failed { failure: failure.clone() })?;
            } else {
                set_forward(run, ix, Forward::Failed { failure: failure.clone(), left: Left::Nothing });
            }
        }
        Event::ServiceRestored => {
            let rollback =
                run.rollback.as_mut().ok_or(Illegal::Needs { event: "serviceRestored", needs: "a rollback" })?;
            rollback.restored = Some(record.at);
            run.up_since = Some(record.at);
        }
        Event::RollbackContinued => {}
        Event::ForwardAgain => forward_again(run, record.at)?,
        other => return Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
    Ok(vec![])
}

fn decided(run: &mut Run, because: &Cause, settle_by: Millis, ends: RunState, at: Millis) {
    run.rollback = Some(Rollback {
        because: because.clone(),
        decided: at,
        settle_by,
        ends,
        ordered: false,
        restore: Vec::new(),
        cleanup: Vec::new(),
        stays: Vec::new(),
        restored: None,
        line: Line::default(),
    });
    if let Cause::RequirementRolledBack { app } = because {
        run.heard.insert(app.clone(), at);
    }
    run.timers.set(Timer::Settle, settle_by);
    run.timers.clear_turn_back();
    for timer in [Timer::Window, Timer::Ready, Timer::StartBy, Timer::GoAt] {
        run.timers.clear(timer);
    }
    run.rechecking.clear();
    disarm_criteria(run);
    stop_waiting(run);
}

/// Nothing forward waits any longer: no backoff, no approval, no repeated check.
fn stop_waiting(run: &mut Run) {
    for ix in 0..run.steps.len() {
        if !matches!(run.plan.step(ix).section, Section::Fence | Section::RollbackCheck) {
            wait_no_more(run, ix);
        }
    }
}

fn ordered(run: &mut Run, restore: &[Ordered], cleanup: &[Ordered], stays: &[(StepId, String)]) -> Result<(), Illegal> {
    let restore = restore.iter().map(|turn| turn_of(run, turn)).collect::<Result<Vec<_>, _>>()?;
    let cleanup = cleanup.iter().map(|turn| turn_of(run, turn)).collect::<Result<Vec<_>, _>>()?;
    let stays = stays.iter().map(|(step, why)| Ok((find(run, step)?, why.clone()))).collect::<Result<_, Illegal>>()?;
    for turn in restore.iter().chain(&cleanup) {
        begin_undo(run, turn.step)?;
    }
    look_anew(run);
    run.timers.clear(Timer::Settle);
    let rollback = run.rollback.as_mut().ok_or(Illegal::Needs { event: "rollbackOrdered", needs: "a decision" })?;
    rollback.ordered = true;
    rollback.restore = restore;
    rollback.cleanup = cleanup;
    rollback.stays = stays;
    note_all_turns(run);
    Ok(())
}

/// Whether the source serves is asked of this rollback, whatever an earlier one found.
fn look_anew(run: &mut Run) {
    for ix in run.plan.section(Section::RollbackCheck) {
        run.timers.clear(Timer::Backoff(ix, Direction::Forward));
        run.steps[ix].tries = 0;
        let to = idle(run, ix);
        set_forward(run, ix, to);
    }
    // A check that needs another one waits for it again, whatever their order in the list.
    for ix in run.plan.section(Section::RollbackCheck) {
        let to = idle(run, ix);
        set_forward(run, ix, to);
    }
}

fn turn_of(run: &Run, ordered: &Ordered) -> Result<Turn, Illegal> {
    let places = |steps: &[StepId]| steps.iter().map(|step| find(run, step)).collect::<Result<Vec<_>, _>>();
    Ok(Turn {
        step: find(run, &ordered.step)?,
        stage: ordered.stage,
        after: places(&ordered.after)?,
        blocked_by: places(&ordered.blocked_by)?,
    })
}

/// A step enters its way back. Never beside a live forward attempt.
fn begin_undo(run: &mut Run, ix: StepIx) -> Result<(), Illegal> {
    if run.plan.step(ix).section == Section::Fence {
        // The fence is performed, not undone; an earlier rollback's fence counts no more.
        run.steps[ix].tries = 0;
        run.steps[ix].evaluated = false;
        set_forward(run, ix, Forward::Ready);
        return Ok(());
    }
    let forward = match run.steps[ix].status.clone() {
        Status::Forward(Forward::Running(_)) => return Err(refuse(run, ix, "rollbackOrdered")),
        Status::Forward(forward) => forward,
        // A part of it was being taken back already: that goes on.
        Status::Undo { .. } if run.partial.remove(&ix) => {
            run.steps[ix].undo_tries = 0;
            if run.steps[ix].status.is_live() || matches!(run.undo(ix), Some(UndoState::Backoff { .. })) {
                return Ok(());
            }
            return set_undo(run, ix, UndoState::Pending);
        }
        Status::Undo { .. } => return Err(refuse(run, ix, "rollbackOrdered")),
    };
    // What could not be proved stopped is not undone, whatever was said of it since.
    let state = if run.steps[ix].unsettled {
        let failure = if let Forward::Unknown { failure, .. } = &forward {
            failure.clone()
        } else {
            Failure::new("it could not be proved stopped")
        };
        UndoState::Unknown { failure, probing: false }
    } else {
        UndoState::Pending
    };
    enter_undo(run, ix, forward, state)
}

/// An undo, a fence step or a rollback check is tried (again). If it belongs to a restore that was
/// over, the source has to be verified anew.
fn readied(run: &mut Run, ix: StepIx) -> Result<(), Illegal> {
    run.timers.clear(Timer::Backoff(ix, Direction::Undo));
    run.timers.clear(Timer::Backoff(ix, Direction::Forward));
    run.steps[ix].undo_tries = 0;
    run.steps[ix].undo_again = false;
    if let Status::Undo { .. } = run.steps[ix].status {
        set_undo(run, ix, UndoState::Pending)?;
    } else {
        // A fence or a check that a person lets run again, proved stopped or not: it is their word.
        run.steps[ix].unsettled = false;
        run.steps[ix].tries = 0;
        set_forward(run, ix, Forward::Ready);
    }
    let reopens = run.rollback.as_ref().is_some_and(|back| back.restored.is_some() && back.line.restores(ix));
    if reopens {
        if let Some(rollback) = &mut run.rollback {
            rollback.restored = None;
        }
        look_anew(run);
    }
    Ok(())
}

/// Ends the turn of an undo, a fence step or a rollback check by a person's word.
fn end_turn(run: &mut Run, ix: StepIx, to: UndoState) -> Result<(), Illegal> {
    if run.steps[ix].status.is_live() {
        return Err(refuse(run, ix, "a person's word"));
    }
    run.timers.clear(Timer::Backoff(ix, Direction::Undo));
    run.timers.clear(Timer::Backoff(ix, Direction::Forward));
    if let Status::Undo { .. } = run.steps[ix].status {
        return set_undo(run, ix, to);
    }
    let over = match to {
        UndoState::Waived => SkipCause::Waived,
        UndoState::Pending
        | UndoState::Undoing(_)
        | UndoState::Backoff { .. }
        | UndoState::Waiting { .. }
        | UndoState::Undone { .. }
        | UndoState::Failed { .. }
        | UndoState::Unknown { .. } => SkipCause::Person,
    };
    set_forward(run, ix, Forward::Skipped { over });
    Ok(())
}

/// After an irreversible step: everything that was undone runs again, with new keys; what was not
/// undone stands as it stood.
fn forward_again(run: &mut Run, at: Millis) -> Result<(), Illegal> {
    let looks = |ix: &StepIx| run.plan.step(*ix).effect == Effect::None;
    if !run.live.iter().all(|(ix, way)| *way == Direction::Forward && looks(ix)) {
        return Err(Illegal::Needs { event: "forwardAgain", needs: "a rollback that came to rest" });
    }
    run.rollback = None;
    let exposing = run.plan.exposing();
    for ix in 0..run.steps.len() {
        match run.steps[ix].status.clone() {
            Status::Undo { of, state } => back_to_forward(run, ix, *of, &state),
            Status::Forward(forward) => match forward {
                Forward::NotRun | Forward::Failed { left: Left::Nothing, .. } => stands_again(run, ix),
                // Everything is another: what looks at the target, and at the way back, looks anew.
                Forward::Succeeded | Forward::Failed { .. } | Forward::Unknown { .. }
                    if matches!(run.plan.step(ix).section, Section::PostCheck | Section::Ready) =>
                {
                    stands_again(run, ix);
                }
                Forward::Pending
                | Forward::Ready
                | Forward::Running(_)
                | Forward::Backoff { .. }
                | Forward::Waiting { .. }
                | Forward::Succeeded
                | Forward::Failed { .. }
                | Forward::Unknown { .. }
                | Forward::Skipped { .. } => {}
            },
        }
    }
    let reached = exposing.is_some_and(|ix| matches!(run.forward(ix), Forward::Succeeded));
    if reached {
        arm_criteria(run, at, at);
        if let Some(window) = run.window.as_ref().filter(|window| window.expired.is_none()) {
            run.timers.set(Timer::Window, window.deadline);
        }
    } else {
        run.exposed = None;
        run.window = None;
        if !exposing.is_some_and(|ix| may_stand(run, ix)) {
            run.possibly_exposed = None;
        }
    }
    run.gate = None;
    run.way_back = None;
    for samples in &mut run.criteria {
        *samples = super::window::Samples::default();
    }
    Ok(())
}

/// A step that the rollback had stopped before it left anything, or a check.
fn stands_again(run: &mut Run, ix: StepIx) {
    let section = run.plan.step(ix).section;
    if matches!(section, Section::Fence | Section::RollbackCheck) {
        return;
    }
    run.steps[ix].tries = 0;
    if section == Section::PreCheck {
        run.rechecking.insert(ix);
    }
    let to = idle(run, ix);
    set_forward(run, ix, to);
}

fn back_to_forward(run: &mut Run, ix: StepIx, of: Forward, state: &UndoState) {
    match state {
        UndoState::Undone { .. } => {
            leave_undo(run, ix, Forward::NotRun);
            begin_generation(run, ix);
            let to = idle(run, ix);
            set_forward(run, ix, to);
        }
        // Nothing of it was undone: it stands as it stood, or may run as it might have.
        UndoState::Pending | UndoState::Waived => {
            let would_run = matches!(of, Forward::NotRun | Forward::Failed { left: Left::Nothing, .. });
            leave_undo(run, ix, of);
            if would_run {
                run.steps[ix].tries = 0;
                let to = idle(run, ix);
                set_forward(run, ix, to);
            }
        }
        UndoState::Failed { failure } | UndoState::Unknown { failure, .. } => {
            let failure = failure.clone();
            leave_undo(run, ix, Forward::Unknown { failure, probing: false });
        }
        UndoState::Undoing(_) | UndoState::Backoff { .. } | UndoState::Waiting { .. } => {
            let failure = Failure::new("its undo was under way");
            leave_undo(run, ix, Forward::Unknown { failure, probing: false });
        }
    }
}
