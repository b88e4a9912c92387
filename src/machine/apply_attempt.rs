//! The books of attempts: intended, interrupted, ended, probed, resolved by a person.

use std::sync::Arc;

use super::apply::{Illegal, find, literal, ms, refuse, set_forward, succeed};
use super::command::{Action, Command};
use super::event::{Event, Record};
use super::fact::{Direction, End, Failure, Found, Left, LockScope, Millis, Resolution, Resolved};
use super::run::Run;
use super::state::{Attempt, Forward, RunState, Status, StepLocks, UndoState};
use super::timers::Timer;
use crate::plan::step::{Effect, Probe};
use crate::plan::{Section, StepId, StepIx, StepKind};

/// Takes in one of the events that [`super::apply`] sends here.
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
        Event::Interrupted { step, attempt, direction, why } => {
            let ix = find(run, step)?;
            let live = live_attempt(run, ix, *direction, *attempt)
                .ok_or(Illegal::Needs { event: "interrupted", needs: "its attempt" })?;
            live.interrupted = Some(*why);
            run.timers.clear(Timer::Deadline(ix, *direction));
            Ok(vec![Command::Cancel { step: ix, direction: *direction, attempt: *attempt }])
        }
        Event::AttemptEnded { step, attempt, direction, end, .. } => {
            let ix = find(run, step)?;
            if live_attempt(run, ix, *direction, *attempt).is_none() {
                return Err(refuse(run, ix, "attemptEnded"));
            }
            match direction {
                Direction::Forward => ended_forward(run, ix, end, record.at),
                Direction::Undo => ended_undo(run, ix, end, record.at),
            }
            Ok(release(run, ix, *direction))
        }
        Event::RetryPlanned { step, direction, at } => retry_planned(run, step, *direction, *at),
        Event::Readied { step, new_generation } => readied(run, step, *new_generation),
        Event::OutcomeUnknown { step, direction, failure } => outcome_unknown(run, step, *direction, failure),
        Event::ProbeIntended { step, direction, call } => probe_intended(run, step, *direction, call.as_ref()),
        Event::Probed { step, direction, found } => probed(run, step, *direction, found, record.at),
        Event::Resolved { step, resolution } => resolved(run, step, resolution, record.at),
        Event::Extended { step, deadline } => {
            let ix = find(run, step)?;
            match &mut run.steps[ix].status {
                Status::Forward(Forward::Running(attempt)) => attempt.deadline = Some(*deadline),
                Status::Forward(_) | Status::Undo { .. } => return Err(refuse(run, ix, "extended")),
            }
            run.timers.set(Timer::Deadline(ix, Direction::Forward), *deadline);
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
    let live = Attempt {
        number: *attempt,
        started: record.at,
        deadline: *deadline,
        handle: run.steps[ix].attached.clone(),
        interrupted: None,
    };
    if let Some(deadline) = deadline {
        run.timers.set(Timer::Deadline(ix, *direction), *deadline);
    }
    run.live.insert((ix, *direction));
    if run.plan.step(ix).section == Section::Ready {
        // The round is on; its end plans the next one.
        run.timers.clear(Timer::Ready);
    }
    match direction {
        Direction::Forward => {
            let steps = &mut run.steps[ix];
            steps.attempts = *attempt;
            steps.tries += 1;
            steps.first_started.get_or_insert(record.at);
            steps.completed = run.sequence;
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
    Ok(vec![Command::Perform(Box::new(action(run, ix, *direction, *attempt, *deadline)))])
}

fn remember(slot: &mut Option<Resolved>, call: Option<&Resolved>) {
    if let Some(call) = call {
        *slot = Some(call.clone());
    }
}

/// What the intent of a step says of the whole run.
fn mark_effects(run: &mut Run, ix: StepIx, at: Millis) {
    let plan = run.plan.clone();
    let step = plan.step(ix);
    if step.effect == Effect::None {
        return;
    }
    match step.section {
        Section::Cutover => {
            run.first_effect.get_or_insert(at);
        }
        Section::Prepare => run.prepared_effect = true,
        Section::Commit => run.commit_intended = true,
        Section::PreCheck | Section::PostCheck | Section::Fence | Section::Ready | Section::RollbackCheck => {}
    }
    if step.is_irreversible() {
        run.irreversible.get_or_insert(ix);
    }
    if step.takes_source_down {
        run.down_since.get_or_insert(at);
    }
    if plan.exposing() == Some(ix) {
        run.possibly_exposed.get_or_insert(at);
    }
}

/// What `perform` needs for the attempt that was just intended.
fn action(run: &mut Run, ix: StepIx, direction: Direction, attempt: u32, deadline: Option<Millis>) -> Action {
    let plan = run.plan.clone();
    let step = plan.step(ix);
    let record = &mut run.steps[ix];
    let own = |kind: &StepKind| match kind {
        StepKind::Action(call) => literal(call),
        // The machine never intends an attempt of these; the engine refuses an empty name.
        StepKind::Approval(_) | StepKind::Manual(_) => {
            Resolved { uses: "".into(), with: Arc::new(serde_json::Value::Null), secrets: vec![] }
        }
    };
    let forward = record.call.clone().unwrap_or_else(|| own(&step.kind));
    let (call, native, verify, outputs, generation) = match direction {
        Direction::Forward => {
            let verify = record.verify.clone().or_else(|| step.verify.as_ref().map(|verify| literal(&verify.call)));
            (forward, false, verify, None, record.generation)
        }
        Direction::Undo => {
            let undo = step.undo_action();
            let call = undo.and_then(|undo| undo.call.as_ref());
            let native = call.is_none();
            let call = record.undo_call.clone().unwrap_or_else(|| call.map_or(forward, literal));
            let verify = record
                .undo_verify
                .clone()
                .or_else(|| undo.and_then(|undo| undo.verify.as_ref()).map(|verify| literal(&verify.call)));
            (call, native, verify, record.outputs.clone(), record.undo_generation)
        }
    };
    let attached = record.attached.take();
    Action {
        step: ix,
        id: step.id.clone(),
        direction,
        attempt,
        generation,
        deadline,
        call,
        native,
        verify,
        outputs,
        attached,
    }
}

fn ended_forward(run: &mut Run, ix: StepIx, end: &End, at: Millis) {
    run.live.remove(&(ix, Direction::Forward));
    run.timers.clear(Timer::Deadline(ix, Direction::Forward));
    run.timers.clear(Timer::Estimate(ix));
    run.steps[ix].ended = Some(at);
    run.steps[ix].completed = run.sequence;
    let looks_only = run.plan.step(ix).effect == Effect::None;
    run.steps[ix].inconclusive = if let End::Unknown { .. } = end { run.steps[ix].inconclusive + 1 } else { 0 };
    let possible = |left: &Left| *left == Left::Possible && !looks_only;
    match end {
        End::Succeeded { outputs } => {
            run.steps[ix].touched |= !looks_only;
            run.steps[ix].outputs = Some(outputs.clone());
            succeed(run, ix, at);
        }
        End::Failed { failure, left } => {
            run.steps[ix].touched |= possible(left);
            let left = if run.steps[ix].touched { Left::Possible } else { Left::Nothing };
            run.steps[ix].last_failure = Some(failure.clone());
            set_forward(run, ix, Forward::Failed { failure: failure.clone(), left });
        }
        End::Cancelled { left } => {
            run.steps[ix].touched |= possible(left);
            let left = if run.steps[ix].touched { Left::Possible } else { Left::Nothing };
            set_forward(run, ix, Forward::Failed { failure: Failure::new("it was stopped"), left });
        }
        End::Unknown { failure } => {
            run.steps[ix].touched |= !looks_only;
            set_forward(run, ix, Forward::Unknown { failure: failure.clone(), probing: false });
        }
    }
}

fn ended_undo(run: &mut Run, ix: StepIx, end: &End, at: Millis) {
    run.live.remove(&(ix, Direction::Undo));
    run.timers.clear(Timer::Deadline(ix, Direction::Undo));
    run.steps[ix].ended = Some(at);
    let to = match end {
        End::Succeeded { .. } => {
            run.steps[ix].undo_generation += 1;
            UndoState::Undone { note: None }
        }
        End::Failed { failure, .. } => {
            run.steps[ix].last_failure = Some(failure.clone());
            UndoState::Failed { failure: failure.clone() }
        }
        End::Cancelled { .. } => UndoState::Failed { failure: Failure::new("the undo was stopped") },
        End::Unknown { failure } => UndoState::Unknown { failure: failure.clone(), probing: false },
    };
    if let Status::Undo { state, .. } = &mut run.steps[ix].status {
        *state = to;
    }
}

/// Step-scope locks end with their attempt.
fn release(run: &mut Run, ix: StepIx, _direction: Direction) -> Vec<Command> {
    if run.steps[ix].locks == StepLocks::None {
        return vec![];
    }
    run.steps[ix].locks = StepLocks::None;
    vec![Command::ReleaseLocks { scope: LockScope::Step(run.plan.step(ix).id.clone()) }]
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
    if let Status::Undo { state: UndoState::Backoff { .. }, .. } = run.steps[ix].status {
        run.timers.clear(Timer::Backoff(ix, Direction::Undo));
        set_undo(run, ix, UndoState::Pending)?;
        return Ok(vec![]);
    }
    if run.steps[ix].status.is_live() || matches!(run.steps[ix].status, Status::Undo { .. }) {
        return Err(refuse(run, ix, "readied"));
    }
    for timer in [Timer::Backoff(ix, Direction::Forward), Timer::Repeat(ix), Timer::Approval(ix)] {
        run.timers.clear(timer);
    }
    if new_generation {
        begin_generation(run, ix);
    }
    let repeated = matches!(run.steps[ix].status, Status::Forward(Forward::Succeeded));
    if repeated
        && run.plan.step(ix).section == Section::PreCheck
        && !matches!(run.state, RunState::Checking | RunState::Created)
    {
        run.rechecking.insert(ix);
    }
    if repeated {
        run.steps[ix].tries = 0;
    }
    let to = if run.steps[ix].waits_for == 0 { Forward::Ready } else { Forward::Pending };
    set_forward(run, ix, to);
    Ok(vec![])
}

/// What was done before does not stand any more: a new key, new evaluation, nothing to undo.
pub(super) fn begin_generation(run: &mut Run, ix: StepIx) {
    let record = &mut run.steps[ix];
    record.generation += 1;
    record.tries = 0;
    record.touched = false;
    record.outputs = None;
    record.call = None;
    record.verify = None;
    record.attached = None;
    record.overrun = false;
    record.last_failure = None;
}

fn outcome_unknown(
    run: &mut Run,
    step: &StepId,
    direction: Direction,
    failure: &Failure,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    run.live.remove(&(ix, direction));
    run.timers.clear(Timer::Deadline(ix, direction));
    run.timers.clear(Timer::Estimate(ix));
    match direction {
        Direction::Forward => {
            let Status::Forward(_) = run.steps[ix].status else { return Err(refuse(run, ix, "outcomeUnknown")) };
            if let Some(handle) = run.steps[ix].status.attempt_handle() {
                run.steps[ix].attached = Some(handle);
            }
            run.steps[ix].touched |= run.plan.step(ix).effect != Effect::None;
            // Settling: what cannot be proved stopped is not undone.
            run.steps[ix].unsettled = run.rollback.as_ref().is_some_and(|rollback| !rollback.ordered);
            set_forward(run, ix, Forward::Unknown { failure: failure.clone(), probing: false });
        }
        Direction::Undo => {
            if let Some(handle) = run.steps[ix].status.attempt_handle() {
                run.steps[ix].attached = Some(handle);
            }
            set_undo(run, ix, UndoState::Unknown { failure: failure.clone(), probing: false })?;
        }
    }
    Ok(release(run, ix, direction))
}

fn probe_intended(
    run: &mut Run,
    step: &StepId,
    direction: Direction,
    call: Option<&Resolved>,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    match &mut run.steps[ix].status {
        Status::Forward(Forward::Unknown { probing, .. })
        | Status::Undo { state: UndoState::Unknown { probing, .. }, .. } => *probing = true,
        Status::Forward(_) | Status::Undo { .. } => return Err(refuse(run, ix, "probeIntended")),
    }
    let plan = run.plan.clone();
    let attached = run.steps[ix].attached.clone();
    let attempt = run.steps[ix].attempts;
    let mut action = action(run, ix, direction, attempt, None);
    run.steps[ix].attached.clone_from(&attached);
    action.attached = attached;
    action.verify = None;
    action.native = true;
    if let Some(call) = call {
        action.call = call.clone();
        action.native = false;
    } else if let (Some(Probe::Call { call, .. }), Direction::Forward) = (&plan.step(ix).probe, direction) {
        action.call = literal(call);
        action.native = false;
    }
    Ok(vec![Command::Probe(Box::new(action))])
}

fn probed(
    run: &mut Run,
    step: &StepId,
    direction: Direction,
    found: &Found,
    at: Millis,
) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    if let Found::Partial { .. } | Found::CannotTell { .. } = found {
        if let Status::Forward(Forward::Unknown { probing, .. })
        | Status::Undo { state: UndoState::Unknown { probing, .. }, .. } = &mut run.steps[ix].status
        {
            *probing = false;
        }
        return Ok(vec![]);
    }
    match direction {
        Direction::Forward => match found {
            Found::Done { outputs } => {
                run.steps[ix].outputs = Some(outputs.clone());
                // Exposure counts from the intent: users may have been there all the while.
                let since = if run.plan.exposing() == Some(ix) { run.possibly_exposed.unwrap_or(at) } else { at };
                succeed(run, ix, since);
            }
            Found::NotStarted => {
                run.steps[ix].touched = false;
                run.steps[ix].attached = None;
                set_forward(run, ix, Forward::Ready);
            }
            Found::InProgress { handle } => {
                run.steps[ix].attached = Some(handle.clone());
                set_forward(run, ix, Forward::Ready);
            }
            Found::Partial { .. } | Found::CannotTell { .. } => {}
        },
        Direction::Undo => match found {
            Found::Done { .. } => {
                set_undo(run, ix, UndoState::Undone { note: Some("found done by its probe".to_owned()) })?
            }
            Found::NotStarted => set_undo(run, ix, UndoState::Pending)?,
            Found::InProgress { handle } => {
                run.steps[ix].attached = Some(handle.clone());
                set_undo(run, ix, UndoState::Pending)?;
            }
            Found::Partial { .. } | Found::CannotTell { .. } => {}
        },
    }
    Ok(vec![])
}

fn resolved(run: &mut Run, step: &StepId, resolution: &Resolution, at: Millis) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    if run.steps[ix].status.is_live() {
        return Err(refuse(run, ix, "resolved"));
    }
    run.timers.clear(Timer::Backoff(ix, Direction::Forward));
    if let Status::Undo { of, state } = &mut run.steps[ix].status {
        match resolution {
            Resolution::Happened { outputs } => {
                **of = Forward::Succeeded;
                *state = UndoState::Pending;
                run.steps[ix].outputs = Some(outputs.clone());
            }
            Resolution::DidNotHappen => {
                *state = UndoState::Undone { note: Some("a person says that it did not happen".to_owned()) };
                run.steps[ix].touched = false;
            }
            Resolution::Failed { .. } => *state = UndoState::Pending,
        }
        return Ok(vec![]);
    }
    match resolution {
        Resolution::Happened { outputs } => {
            run.steps[ix].outputs = Some(outputs.clone());
            run.steps[ix].touched |= run.plan.step(ix).effect != Effect::None;
            let since = if run.plan.exposing() == Some(ix) { run.possibly_exposed.unwrap_or(at) } else { at };
            if run.plan.exposing() == Some(ix) {
                run.possibly_exposed.get_or_insert(since);
            }
            succeed(run, ix, since);
        }
        Resolution::DidNotHappen => {
            begin_generation(run, ix);
            let to = if run.steps[ix].waits_for == 0 { Forward::Ready } else { Forward::Pending };
            set_forward(run, ix, to);
        }
        Resolution::Failed { left } => {
            run.steps[ix].touched |= *left == Left::Possible;
            set_forward(
                run,
                ix,
                Forward::Failed { failure: Failure::new("a person says that it failed"), left: *left },
            );
        }
    }
    Ok(vec![])
}

/// Sets the state of an undo.
pub(super) fn set_undo(run: &mut Run, ix: StepIx, to: UndoState) -> Result<(), Illegal> {
    if let Status::Undo { state, .. } = &mut run.steps[ix].status {
        *state = to;
        return Ok(());
    }
    Err(refuse(run, ix, "an undo's event"))
}
