//! The books of the way back.

use std::collections::BTreeSet;

use super::apply::{Illegal, disarm_criteria, find, refuse, set_forward};
use super::apply_attempt::{begin_generation, set_undo};
use super::command::Command;
use super::event::{Event, Record};
use super::fact::{Direction, Ordered};
use super::run::{Rollback, Run, Turn};
use super::state::{Forward, Status, UndoState};
use super::timers::Timer;
use crate::plan::{Section, StepIx};

/// Takes in one of the events that [`super::apply`] sends here.
pub(super) fn apply(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    match &record.event {
        Event::RollbackDecided { because, settle_by, ends } => {
            run.rollback = Some(Rollback {
                because: because.clone(),
                decided: record.at,
                settle_by: *settle_by,
                ends: *ends,
                ordered: false,
                restore: Vec::new(),
                cleanup: Vec::new(),
                stays: Vec::new(),
                restored: None,
            });
            run.timers.set(Timer::Settle, *settle_by);
            run.timers.clear(Timer::Window);
            run.timers.clear(Timer::Ready);
            run.timers.clear(Timer::StartBy);
            run.timers.clear(Timer::TurnBack);
            run.rechecking.clear();
            disarm_criteria(run);
            stop_waiting(run);
        }
        Event::RollbackOrdered { restore, cleanup, stays } => ordered(run, restore, cleanup, stays)?,
        Event::UndoNotNeeded { step, why } => {
            let ix = find(run, step)?;
            set_undo(run, ix, UndoState::Undone { note: Some(why.clone()) })?;
        }
        Event::UndoWaived { step } => waive(run, find(run, step)?)?,
        Event::UndoDoneByHand { step } => {
            let ix = find(run, step)?;
            end_turn(run, ix, UndoState::Undone { note: Some("done by hand".to_owned()) })?;
        }
        Event::UndoReadied { step } => {
            let ix = find(run, step)?;
            run.steps[ix].undo_tries = 0;
            run.timers.clear(Timer::Backoff(ix, Direction::Undo));
            if let Status::Undo { .. } = run.steps[ix].status {
                set_undo(run, ix, UndoState::Pending)?;
            } else {
                run.steps[ix].tries = 0;
                set_forward(run, ix, Forward::Ready);
            }
        }
        Event::UndoFailed { step, failure } => {
            let ix = find(run, step)?;
            if let Status::Undo { .. } = run.steps[ix].status {
                set_undo(run, ix, UndoState::Failed { failure: failure.clone() })?;
            }
        }
        Event::ServiceRestored => {
            let rollback =
                run.rollback.as_mut().ok_or(Illegal::Needs { event: "serviceRestored", needs: "a rollback" })?;
            rollback.restored = Some(record.at);
            run.up_since = Some(record.at);
        }
        Event::RollbackContinued => {}
        Event::ForwardAgain => forward_again(run)?,
        other => return Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
    Ok(vec![])
}

/// Nothing forward waits any longer: no backoff, no approval, no repeated check.
fn stop_waiting(run: &mut Run) {
    for ix in 0..run.steps.len() {
        let section = run.plan.step(ix).section;
        if matches!(section, Section::Fence | Section::RollbackCheck) {
            continue;
        }
        for timer in [
            Timer::Backoff(ix, Direction::Forward),
            Timer::Approval(ix),
            Timer::Repeat(ix),
            Timer::By(ix),
            Timer::Estimate(ix),
        ] {
            run.timers.clear(timer);
        }
        let Status::Forward(forward) = &run.steps[ix].status else { continue };
        match forward {
            Forward::Pending | Forward::Ready | Forward::Waiting { .. } => set_forward(run, ix, Forward::NotRun),
            Forward::Backoff { .. } => {
                let failure = run.steps[ix]
                    .last_failure
                    .clone()
                    .unwrap_or_else(|| super::fact::Failure::new("it had failed before"));
                let left = if run.steps[ix].touched { super::fact::Left::Possible } else { super::fact::Left::Nothing };
                set_forward(run, ix, Forward::Failed { failure, left });
            }
            Forward::Running(_)
            | Forward::Succeeded
            | Forward::Failed { .. }
            | Forward::Unknown { .. }
            | Forward::Skipped { .. }
            | Forward::NotRun => {}
        }
    }
}

fn ordered(
    run: &mut Run,
    restore: &[Ordered],
    cleanup: &[Ordered],
    stays: &[(crate::plan::StepId, String)],
) -> Result<(), Illegal> {
    let restore = restore.iter().map(|turn| turn_of(run, turn)).collect::<Result<Vec<_>, _>>()?;
    let cleanup = cleanup.iter().map(|turn| turn_of(run, turn)).collect::<Result<Vec<_>, _>>()?;
    let stays = stays.iter().map(|(step, why)| Ok((find(run, step)?, why.clone()))).collect::<Result<_, Illegal>>()?;
    for turn in restore.iter().chain(&cleanup) {
        begin_undo(run, turn.step)?;
    }
    run.timers.clear(Timer::Settle);
    let rollback = run.rollback.as_mut().ok_or(Illegal::Needs { event: "rollbackOrdered", needs: "a decision" })?;
    rollback.ordered = true;
    rollback.restore = restore;
    rollback.cleanup = cleanup;
    rollback.stays = stays;
    Ok(())
}

fn turn_of(run: &Run, ordered: &Ordered) -> Result<Turn, Illegal> {
    let places =
        |steps: &[crate::plan::StepId]| steps.iter().map(|step| find(run, step)).collect::<Result<Vec<_>, _>>();
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
        if !matches!(run.steps[ix].status, Status::Forward(Forward::Ready)) {
            set_forward(run, ix, Forward::Ready);
        }
        run.steps[ix].tries = 0;
        return Ok(());
    }
    let Status::Forward(forward) = run.steps[ix].status.clone() else { return Err(refuse(run, ix, "rollbackOrdered")) };
    let state = match &forward {
        Forward::Running(_) => return Err(refuse(run, ix, "rollbackOrdered")),
        // What could not be proved stopped is not undone.
        Forward::Unknown { failure, .. } if run.steps[ix].unsettled => {
            UndoState::Unknown { failure: failure.clone(), probing: false }
        }
        Forward::Pending
        | Forward::Ready
        | Forward::Backoff { .. }
        | Forward::Waiting { .. }
        | Forward::Succeeded
        | Forward::Failed { .. }
        | Forward::Unknown { .. }
        | Forward::Skipped { .. }
        | Forward::NotRun => UndoState::Pending,
    };
    // Leaving the forward side: successors and counts hear of it.
    set_forward(run, ix, Forward::NotRun);
    run.steps[ix].undo_tries = 0;
    run.steps[ix].status = Status::Undo { of: Box::new(forward), state };
    Ok(())
}

fn waive(run: &mut Run, ix: StepIx) -> Result<(), Illegal> {
    end_turn(run, ix, UndoState::Waived)
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
        UndoState::Waived => super::fact::SkipCause::Waived,
        UndoState::Pending
        | UndoState::Undoing(_)
        | UndoState::Backoff { .. }
        | UndoState::Undone { .. }
        | UndoState::Failed { .. }
        | UndoState::Unknown { .. } => super::fact::SkipCause::Person,
    };
    set_forward(run, ix, Forward::Skipped { over });
    Ok(())
}

/// After an irreversible step: everything that was undone runs again, with new keys.
fn forward_again(run: &mut Run) -> Result<(), Illegal> {
    let undone: BTreeSet<StepIx> = (0..run.steps.len())
        .filter(|ix| {
            let reset = match &run.steps[*ix].status {
                Status::Undo { .. } => true,
                Status::Forward(forward) => matches!(forward, Forward::NotRun | Forward::Failed { .. }),
            };
            reset && matches!(run.plan.step(*ix).section, Section::Cutover | Section::PostCheck)
        })
        .collect();
    for ix in undone {
        if run.steps[ix].status.is_live() {
            return Err(refuse(run, ix, "forwardAgain"));
        }
        begin_generation(run, ix);
        run.steps[ix].status = Status::Forward(Forward::NotRun);
        run.steps[ix].unsettled = false;
        let to = if run.steps[ix].waits_for == 0 { Forward::Ready } else { Forward::Pending };
        set_forward(run, ix, to);
    }
    run.rollback = None;
    run.possibly_exposed = None;
    run.exposed = None;
    run.window = None;
    run.gate = None;
    for samples in &mut run.criteria {
        *samples = super::window::Samples::default();
    }
    Ok(())
}
