//! The books of attempts: intended, interrupted, ended, probed.

use super::apply::{Illegal, find, ms, refuse};
use super::apply_run::hand_back;
use super::apply_word as word;
use super::books::{
    begin_generation, forget_effects, idle, leave_undo, mark_effects, set_deadline, set_forward, set_undo, succeed,
};
use super::command::Command;
use super::event::{Event, Record};
use super::fact::{Direction, End, Failure, Found, Interruption, Left, Millis, Resolved, Wait, Work};
use super::perform::{attempt_action, probe_action};
use super::run::Run;
use super::run_state::RunState;
use super::state::{Attempt, Forward, Status, StepLocks, UndoState};
use super::timers::Timer;
use super::unended;
use crate::plan::step::{Effect, UndoAction};
use crate::plan::{Section, StepId, StepIx, StepKind};

/// The least time in which the end of an attempt that was told to stop must be proved: more than it may take to stop,
/// and the engine after that to end its processes by force. The engine asserts it.
pub const PROOF_MS: Millis = 90_000;

/// Takes in one of the events that [`super::apply`] sends here.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller sends only these")]
pub(super) fn apply(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    match &record.event {
        Event::AttemptIntended { .. } => intended(run, record),
        Event::HandleRecorded { step, attempt, direction, handle } => {
            let ix = find(run, step)?;
            let live = live_attempt(run, ix, *direction, *attempt)
                .ok_or(Illegal::Needs { event: "handleRecorded", needs: "its attempt" })?;
            live.handle = Some(handle.clone());
            Ok(vec![])
        }
        Event::Interrupted { .. } => interrupted(run, record),
        Event::AttemptEnded { step, attempt, direction, end, .. } => {
            let ix = find(run, step)?;
            if live_attempt(run, ix, *direction, *attempt).is_none() {
                return Err(refuse(run, ix, "attemptEnded"));
            }
            match direction {
                Direction::Forward => ended_forward(run, ix, end, record.at),
                Direction::Undo => ended_undo(run, ix, end, record.at)?,
            }
            Ok(unended::answered(run, (ix, *direction, *attempt), end))
        }
        Event::LateResult { step, attempt, direction, end } => {
            let ix = find(run, step)?;
            late_result(run, ix, (*direction, *attempt), end);
            Ok(unended::answered(run, (ix, *direction, *attempt), end))
        }
        Event::RetryPlanned { step, direction, at } => retry_planned(run, step, *direction, *at),
        Event::Readied { step, new_generation } => readied(run, step, *new_generation),
        Event::OutcomeUnknown { step, direction, failure } => outcome_unknown(run, step, *direction, failure),
        Event::ProbeIntended { step, direction, call } => probe_intended(run, step, *direction, call.as_ref()),
        Event::Probed { step, direction, found } => probed(run, step, *direction, found, record.at),
        Event::Extended { step, deadline } => {
            let ix = find(run, step)?;
            let direction = match &mut run.steps[ix].status {
                Status::Forward(Forward::Running(attempt)) => {
                    attempt.deadline = Some(*deadline);
                    Direction::Forward
                }
                Status::Undo { state: UndoState::Undoing(attempt), .. } => {
                    attempt.deadline = Some(*deadline);
                    Direction::Undo
                }
                Status::Forward(Forward::Waiting { on: Wait::Person, .. }) => Direction::Forward,
                Status::Forward(_) | Status::Undo { .. } => return Err(refuse(run, ix, "extended")),
            };
            set_deadline(run, ix, direction, (record.at, *deadline));
            Ok(vec![])
        }
        other => Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
}

fn live_attempt(run: &mut Run, ix: StepIx, direction: Direction, number: u32) -> Option<&mut Attempt> {
    let attempt = match (&mut run.steps[ix].status, direction) {
        (Status::Forward(Forward::Running(attempt)), Direction::Forward)
        | (Status::Undo { state: UndoState::Undoing(attempt), .. }, Direction::Undo) => attempt,
        (Status::Forward(_) | Status::Undo { .. }, _) => return None,
    };
    (attempt.number == number).then_some(attempt)
}

fn intended(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    let Event::AttemptIntended { step, attempt, direction, deadline, call, verify, .. } = &record.event else {
        return Err(Illegal::Needs { event: record.event.word(), needs: "a handler" });
    };
    let ix = find(run, step)?;
    let legal = match (&run.steps[ix].status, direction) {
        (Status::Forward(Forward::Ready), Direction::Forward)
        | (Status::Undo { state: UndoState::Pending, .. }, Direction::Undo) => true,
        (Status::Forward(_) | Status::Undo { .. }, _) => false,
    };
    if !legal {
        return Err(refuse(run, ix, "attemptIntended"));
    }
    let handle = run.steps[ix].attached.take();
    let live = Attempt {
        number: *attempt,
        started: record.at,
        deadline: *deadline,
        handle: handle.clone(),
        interrupted: None,
    };
    if let Some(deadline) = deadline {
        set_deadline(run, ix, *direction, (record.at, *deadline));
    }
    if run.plan.step(ix).section == Section::Ready {
        // The round is on; its end plans the next one.
        run.timers.clear(Timer::Ready);
    }
    match direction {
        Direction::Forward => {
            let steps = &mut run.steps[ix];
            steps.attempts = *attempt;
            steps.tries += 1;
            steps.evaluated = true;
            steps.unsettled = false;
            steps.touched_before = steps.touched;
            steps.first_started.get_or_insert(record.at);
            steps.completed = run.sequence;
            if std::mem::take(&mut steps.amended) {
                (steps.call, steps.verify) = (None, None);
            }
            remember(&mut steps.call, call.as_ref());
            remember(&mut steps.verify, verify.as_ref());
            if let Some(estimate) = run.plan.step(ix).estimate_ms
                && !steps.overrun
            {
                run.timers.set(Timer::Estimate(ix), record.at.saturating_add(ms(estimate)));
            }
            mark_effects(run, ix, record.at);
            set_forward(run, ix, Forward::Running(live));
        }
        Direction::Undo => {
            let steps = &mut run.steps[ix];
            steps.undo_attempts = *attempt;
            steps.undo_tries += 1;
            remember(&mut steps.undo_call, call.as_ref());
            remember(&mut steps.undo_verify, verify.as_ref());
            set_undo(run, ix, UndoState::Undoing(live))?;
        }
    }
    unended::begun(run, (ix, *direction, *attempt));
    let action = attempt_action(run, ix, *direction, *attempt, handle);
    Ok(vec![Command::Perform(Box::new(action))])
}

fn remember(slot: &mut Option<Resolved>, call: Option<&Resolved>) {
    if let Some(call) = call {
        *slot = Some(call.clone());
    }
}

/// The engine stops an attempt; within the settling time its end must be proved.
fn interrupted(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    let Event::Interrupted { step, attempt, direction, why } = &record.event else {
        return Err(Illegal::Needs { event: record.event.word(), needs: "a handler" });
    };
    let ix = find(run, step)?;
    let live = live_attempt(run, ix, *direction, *attempt)
        .ok_or(Illegal::Needs { event: "interrupted", needs: "its attempt" })?;
    live.interrupted = Some(*why);
    run.timers.clear(Timer::Estimate(ix));
    if *why == Interruption::EngineDied {
        // Its processes were ended before anything else: there is nothing to stop.
        run.timers.clear(Timer::Deadline(ix, *direction));
        return Ok(vec![]);
    }
    let proved_by = record.at.saturating_add(ms(run.plan.policies.settle_within_ms).max(PROOF_MS));
    run.timers.set(Timer::Deadline(ix, *direction), proved_by);
    Ok(vec![Command::Cancel { step: ix, direction: *direction, attempt: *attempt }])
}

/// Whether an attempt of a step may change something. What a person did by hand is only verified.
fn may_act(run: &Run, ix: StepIx) -> bool {
    let step = run.plan.step(ix);
    step.effect != Effect::None && matches!(step.kind, StepKind::Action(_))
}

fn ended_forward(run: &mut Run, ix: StepIx, end: &End, at: Millis) {
    run.timers.clear(Timer::Deadline(ix, Direction::Forward));
    run.timers.clear(Timer::Estimate(ix));
    let looks_only = !may_act(run, ix);
    let handle = run.forward(ix).attempt().and_then(|attempt| attempt.handle.clone());
    let record = &mut run.steps[ix];
    record.ended = Some(at);
    record.completed = run.sequence;
    record.unsettled = false;
    record.inconclusive = if let End::Unknown { .. } = end { record.inconclusive + 1 } else { 0 };
    if let End::Failed { .. } = end {
        // What a person said turned out not to be so: they are asked again, if it is tried again.
        record.answered = false;
    }
    record.touched |= !looks_only
        && match end {
            End::Succeeded { .. } | End::Unknown { .. } => true,
            End::Failed { left, .. } | End::Cancelled { left } => *left == Left::Possible,
        };
    let left = if record.touched { Left::Possible } else { Left::Nothing };
    match end {
        End::Succeeded { outputs } => {
            record.outputs = Some(outputs.clone());
            succeed(run, ix, at, at);
        }
        End::Failed { failure, .. } => {
            record.last_failure = Some(failure.clone());
            set_forward(run, ix, Forward::Failed { failure: failure.clone(), left });
        }
        End::Cancelled { .. } => {
            set_forward(run, ix, Forward::Failed { failure: Failure::new("it was stopped"), left });
        }
        End::Unknown { failure, work } => {
            record.last_failure = Some(failure.clone());
            // What may go on is found again by its handle, or asked about: never done beside itself.
            record.unsettled = !looks_only && *work == Work::MayGoOn;
            record.attached = handle;
            set_forward(run, ix, Forward::Unknown { failure: failure.clone(), probing: false });
        }
    }
    forget_effects(run, ix);
}

fn ended_undo(run: &mut Run, ix: StepIx, end: &End, at: Millis) -> Result<(), Illegal> {
    run.timers.clear(Timer::Deadline(ix, Direction::Undo));
    let handle = run.undo(ix).and_then(UndoState::attempt).and_then(|attempt| attempt.handle.clone());
    let record = &mut run.steps[ix];
    record.ended = Some(at);
    let to = match end {
        // Something came to light while it ran: once more, it is repeatable.
        End::Succeeded { .. } if std::mem::take(&mut record.undo_again) => UndoState::Pending,
        End::Succeeded { .. } => {
            record.undo_generation += 1;
            record.touched = false;
            UndoState::Undone { note: None }
        }
        End::Failed { failure, .. } => {
            record.last_failure = Some(failure.clone());
            UndoState::Failed { failure: failure.clone() }
        }
        End::Cancelled { left: Left::Possible } if run.plan.step(ix).undo_action().is_some_and(UndoAction::is_once) => {
            UndoState::Unknown { failure: Failure::new("the undo was stopped"), probing: false }
        }
        End::Cancelled { .. } => UndoState::Failed { failure: Failure::new("the undo was stopped") },
        End::Unknown { failure, .. } => {
            run.steps[ix].attached = handle;
            UndoState::Unknown { failure: failure.clone(), probing: false }
        }
    };
    set_undo(run, ix, to)
}

/// Never applied to the step. It proves that the attempt ended, unless it says that it may go on, and makes an undo
/// that is under way happen once more.
fn late_result(run: &mut Run, ix: StepIx, (direction, attempt): (Direction, u32), end: &End) {
    let may_go_on = matches!(end, End::Unknown { work: Work::MayGoOn, .. });
    if direction == Direction::Forward && attempt == run.steps[ix].attempts && !may_go_on {
        run.steps[ix].unsettled = false;
    }
    let effect = match end {
        End::Succeeded { .. } | End::Unknown { .. } => true,
        End::Failed { left, .. } | End::Cancelled { left } => *left == Left::Possible,
    };
    if direction == Direction::Forward
        && effect
        && let Status::Undo { state: UndoState::Undoing(_) | UndoState::Backoff { .. }, .. } = run.steps[ix].status
    {
        run.steps[ix].undo_again = true;
    }
}

fn retry_planned(run: &mut Run, step: &StepId, direction: Direction, at: Millis) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    match (&run.steps[ix].status, direction) {
        (Status::Forward(Forward::Failed { .. } | Forward::Unknown { .. }), Direction::Forward) => {
            set_forward(run, ix, Forward::Backoff { until: at });
        }
        (Status::Undo { state: UndoState::Failed { .. } | UndoState::Unknown { .. }, .. }, Direction::Undo) => {
            set_undo(run, ix, UndoState::Backoff { until: at })?;
        }
        (Status::Forward(_) | Status::Undo { .. }, _) => return Err(refuse(run, ix, "retryPlanned")),
    }
    run.timers.set(Timer::Backoff(ix, direction), at);
    Ok(vec![])
}

fn readied(run: &mut Run, step: &StepId, new_generation: bool) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    match &run.steps[ix].status {
        Status::Undo { state: UndoState::Backoff { .. }, .. } => {
            run.timers.clear(Timer::Backoff(ix, Direction::Undo));
            set_undo(run, ix, UndoState::Pending)?;
            return Ok(vec![]);
        }
        // A part was taken back: the step begins anew.
        Status::Undo { state: UndoState::Undone { .. }, .. } if run.partial.contains(&ix) => {
            leave_undo(run, ix, Forward::NotRun);
        }
        Status::Undo { .. } => return Err(refuse(run, ix, "readied")),
        Status::Forward(_) if run.steps[ix].status.is_live() => return Err(refuse(run, ix, "readied")),
        Status::Forward(_) => {}
    }
    for timer in [Timer::Backoff(ix, Direction::Forward), Timer::Repeat(ix), Timer::Approval(ix)] {
        run.timers.clear(timer);
    }
    if new_generation {
        begin_generation(run, ix);
    }
    if matches!(run.steps[ix].status, Status::Forward(Forward::Succeeded)) {
        // It is repeated: a check looks again, a preparation is kept fresh.
        run.steps[ix].tries = 0;
        let before_checks = matches!(run.stands_in(), RunState::Checking | RunState::Created);
        if run.plan.step(ix).section == Section::PreCheck && !before_checks {
            run.rechecking.insert(ix);
        }
    }
    let commands = if run.steps[ix].locks == StepLocks::None { vec![] } else { hand_back(run, ix) };
    let to = idle(run, ix);
    set_forward(run, ix, to);
    Ok(commands)
}

fn outcome_unknown(
    run: &mut Run,
    step: &StepId,
    direction: Direction,
    failure: &Failure,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    run.timers.clear(Timer::Deadline(ix, direction));
    run.timers.clear(Timer::Estimate(ix));
    let to = UndoState::Unknown { failure: failure.clone(), probing: false };
    match (&run.steps[ix].status, direction) {
        (Status::Forward(Forward::Running(attempt)), Direction::Forward) => {
            let died = attempt.interrupted == Some(Interruption::EngineDied);
            let handle = attempt.handle.clone();
            let unended = run.unended.contains_key(&(ix, Direction::Forward, attempt.number));
            let has_effect = may_act(run, ix);
            let record = &mut run.steps[ix];
            // What died with its engine was ended before anything else, unless the new owner named it; remote work
            // goes on.
            record.unsettled = has_effect && (!died || handle.is_some() || unended);
            if died {
                record.tries = record.tries.saturating_sub(1);
            }
            record.attached = handle;
            record.touched |= has_effect;
        }
        (Status::Forward(_), Direction::Forward) => {
            run.steps[ix].touched |= run.steps[ix].attempts > 0 && run.plan.step(ix).effect != Effect::None;
        }
        (Status::Undo { state, .. }, Direction::Undo) => {
            let handle = state.attempt().and_then(|attempt| attempt.handle.clone());
            if handle.is_some() {
                run.steps[ix].attached = handle;
            }
            run.timers.clear(Timer::Backoff(ix, direction));
            set_undo(run, ix, to)?;
            return Ok(vec![]);
        }
        (Status::Forward(_), Direction::Undo) | (Status::Undo { .. }, Direction::Forward) => {
            return Err(refuse(run, ix, "outcomeUnknown"));
        }
    }
    set_forward(run, ix, Forward::Unknown { failure: failure.clone(), probing: false });
    Ok(vec![])
}

fn probe_intended(
    run: &mut Run,
    step: &StepId,
    direction: Direction,
    call: Option<&Resolved>,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    match (run.steps[ix].status.clone(), direction) {
        (Status::Forward(Forward::Unknown { failure, .. }), Direction::Forward) => {
            set_forward(run, ix, Forward::Unknown { failure, probing: true });
        }
        (Status::Undo { state: UndoState::Unknown { failure, .. }, .. }, Direction::Undo) => {
            set_undo(run, ix, UndoState::Unknown { failure, probing: true })?;
        }
        (Status::Forward(_) | Status::Undo { .. }, _) => return Err(refuse(run, ix, "probeIntended")),
    }
    Ok(vec![Command::Probe(Box::new(probe_action(run, ix, direction, call)))])
}

fn probed(
    run: &mut Run,
    step: &StepId,
    direction: Direction,
    found: &Found,
    at: Millis,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    match (run.steps[ix].status.clone(), direction) {
        (Status::Forward(Forward::Unknown { failure, .. }), Direction::Forward) => {
            probed_forward(run, ix, failure, found, at);
        }
        (Status::Undo { state: UndoState::Unknown { failure, .. }, .. }, Direction::Undo) => {
            let to = match found {
                Found::Done { .. } => UndoState::Undone { note: Some("its probe found it done".to_owned()) },
                Found::NotStarted => UndoState::Pending,
                Found::InProgress { handle } => {
                    run.steps[ix].attached = Some(handle.clone());
                    UndoState::Pending
                }
                Found::Partial { .. } | Found::CannotTell { .. } => UndoState::Unknown { failure, probing: false },
            };
            set_undo(run, ix, to)?;
        }
        (Status::Forward(_) | Status::Undo { .. }, _) => return Err(refuse(run, ix, "probed")),
    }
    Ok(vec![])
}

fn probed_forward(run: &mut Run, ix: StepIx, failure: Failure, found: &Found, at: Millis) {
    match found {
        Found::Done { outputs } => {
            run.steps[ix].outputs = Some(outputs.clone());
            run.steps[ix].touched |= run.plan.step(ix).effect != Effect::None;
            succeed(run, ix, at, word::exposed_since(run, ix, at));
        }
        Found::NotStarted => {
            let record = &mut run.steps[ix];
            record.touched = false;
            record.unsettled = false;
            record.attached = None;
            let to = idle(run, ix);
            set_forward(run, ix, to);
            forget_effects(run, ix);
        }
        Found::InProgress { handle } => {
            run.steps[ix].attached = Some(handle.clone());
            // It goes on until an attempt that attaches to it ends: it is neither undone nor begun beside itself.
            run.steps[ix].unsettled = run.plan.step(ix).effect != Effect::None;
            // On the way back nobody attaches.
            let back = run.rollback.is_some();
            let to = if back { Forward::Unknown { failure, probing: false } } else { idle(run, ix) };
            set_forward(run, ix, to);
        }
        Found::Partial { .. } => {
            // What ended half-way is there to be undone.
            run.steps[ix].unsettled = false;
            run.steps[ix].attached = None;
            set_forward(run, ix, Forward::Unknown { failure, probing: false });
        }
        Found::CannotTell { .. } => set_forward(run, ix, Forward::Unknown { failure, probing: false }),
    }
}
