//! The only place where a run changes: one record in, inert commands out.
//!
//! `apply` has no opinions. It keeps the books that `decide` reads, refuses what cannot be by
//! name, and never looks at a clock: every time is in the record. Live running, recovery,
//! simulation and every view use this one fold.

use super::apply_attempt as attempt;
use super::apply_rollback as rollback;
use super::command::{Command, Sample};
use super::event::{Event, Record};
use super::fact::{CriterionState, LockScope, Millis, Resolved, SkipCause, Wait};
use super::question::Question;
use super::run::{Hold, Locks, Run};
use super::state::{Forward, RunState, Status};
use super::timers::Timer;
use super::window::{Expired, Window};
use crate::plan::{Call, Section, StepId, StepIx};

/// An event that cannot follow what was before: the log is damaged, or `decide` has a bug.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The run cannot move like this.
    #[error("a run that is `{from}` cannot become `{to}`")]
    Move {
        /// Where it is.
        from: RunState,
        /// Where it was sent.
        to: RunState,
    },
    /// The plan has no such step.
    #[error("the plan has no step `{0}`")]
    Step(StepId),
    /// The plan has no such criterion.
    #[error("the plan has no criterion `{0}`")]
    Criterion(String),
    /// The step is elsewhere.
    #[error("step `{step}` cannot take `{event}` while it is {status}")]
    Status {
        /// Which.
        step: StepId,
        /// What came.
        event: &'static str,
        /// Where it is.
        status: String,
    },
    /// No such question is open.
    #[error("question {0} is not open")]
    Question(u32),
    /// The event needs something that is not there.
    #[error("`{event}` came without {needs}")]
    Needs {
        /// What came.
        event: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// The run ended before.
    #[error("the run is over; `{0}` cannot follow")]
    Over(&'static str),
}

impl Run {
    /// Takes one record in. The commands are wanted effects of this very event.
    ///
    /// # Errors
    /// The event cannot follow; the run is unchanged or must be thrown away.
    pub fn apply(&mut self, record: &Record) -> Result<Vec<Command>, Illegal> {
        self.sequence += 1;
        self.updated = record.at;
        if self.state.is_final()
            && !matches!(
                record.event,
                Event::Noted { .. } | Event::LateResult { .. } | Event::Owned { .. } | Event::InCharge { .. }
            )
        {
            return Err(Illegal::Over("an event that changes it"));
        }
        match &record.event {
            Event::Created { .. } => Err(Illegal::Needs { event: "created", needs: "a run that does not exist yet" }),
            Event::Owned { epoch, .. } => {
                self.epoch = *epoch;
                Ok(vec![])
            }
            Event::Moved { to, because } => moved(self, record, *to, because),
            Event::LocksRequested { scope } => Ok(locks_requested(self, scope)?),
            Event::LocksGranted { scope } => locks_granted(self, scope, record.at),
            Event::LocksAwaited { scope, held_by } => locks_awaited(self, scope, held_by, record.at),
            Event::Held { restart } => {
                self.hold = Some(Hold { restart: *restart, by: record.by.clone(), since: record.at });
                Ok(vec![])
            }
            Event::Resumed => {
                self.hold = None;
                Ok(vec![])
            }
            Event::GoGiven => {
                self.go = true;
                Ok(vec![])
            }
            Event::Asked { question, kind } => {
                if let Some(timer) = asked_timer(self, kind) {
                    self.timers.clear(timer);
                }
                self.asked = self.asked.max(*question);
                self.questions.insert(*question, Question { id: *question, kind: kind.clone(), asked: record.at });
                Ok(vec![])
            }
            Event::Closed { question, .. } => {
                self.questions.remove(question).map(|_| vec![]).ok_or(Illegal::Question(*question))
            }
            Event::InCharge { who } => {
                self.in_charge.clone_from(who);
                Ok(vec![])
            }
            Event::Noted { .. } | Event::LateResult { .. } | Event::StoreGap { .. } | Event::Amended { .. } => {
                Ok(vec![])
            }
            Event::AttemptIntended { .. }
            | Event::HandleRecorded { .. }
            | Event::Interrupted { .. }
            | Event::AttemptEnded { .. }
            | Event::RetryPlanned { .. }
            | Event::Readied { .. }
            | Event::OutcomeUnknown { .. }
            | Event::ProbeIntended { .. }
            | Event::Probed { .. }
            | Event::Resolved { .. }
            | Event::Extended { .. } => attempt::apply(self, record),
            Event::Skipped { step, over } => skipped(self, step, over, record.at),
            Event::Waiting { step, on } => waiting(self, step, on, record.at),
            Event::Overrun { step } => {
                let ix = find(self, step)?;
                self.steps[ix].overrun = true;
                self.timers.clear(Timer::Estimate(ix));
                Ok(vec![])
            }
            Event::Approved { step, complete, .. } => {
                let ix = find(self, step)?;
                self.steps[ix].approvals.extend(record.by.clone());
                if *complete {
                    self.timers.clear(Timer::Approval(ix));
                    succeed(self, ix, record.at);
                }
                Ok(vec![])
            }
            Event::Denied { step, .. } => {
                let ix = find(self, step)?;
                self.timers.clear(Timer::Approval(ix));
                set_forward(self, ix, Forward::NotRun);
                Ok(vec![])
            }
            Event::IrreversibleApproved { step } => {
                let ix = find(self, step)?;
                self.steps[ix].passed_irreversible = true;
                Ok(vec![])
            }
            Event::BaselineCaptured { name, value } => {
                self.baseline.insert(name.clone(), value.clone());
                Ok(vec![])
            }
            Event::WindowOpened { .. }
            | Event::WindowExtended { .. }
            | Event::WindowExpired { .. }
            | Event::GateJudged { .. }
            | Event::SamplePlanned { .. }
            | Event::Sampled { .. }
            | Event::CriterionMoved { .. }
            | Event::Disarmed { .. }
            | Event::Armed { .. } => window(self, record),
            Event::SignedOff { role } => {
                self.signed_off.insert(role.clone(), record.by.clone());
                Ok(vec![])
            }
            Event::WayBack { open } => {
                self.way_back = Some((*open, record.at));
                if self.rollback.is_none() {
                    self.timers.set(Timer::Ready, record.at.saturating_add(ms(self.plan.policies.ready_every_ms)));
                }
                Ok(vec![])
            }
            Event::RollbackDecided { .. }
            | Event::RollbackOrdered { .. }
            | Event::UndoNotNeeded { .. }
            | Event::UndoWaived { .. }
            | Event::UndoDoneByHand { .. }
            | Event::UndoReadied { .. }
            | Event::UndoFailed { .. }
            | Event::ServiceRestored
            | Event::RollbackContinued
            | Event::ForwardAgain => rollback::apply(self, record),
            Event::ClockJumped { .. } => {
                self.clock_in_doubt = true;
                Ok(vec![])
            }
            Event::ClockConfirmed => {
                self.clock_in_doubt = false;
                Ok(vec![])
            }
            Event::TurnBackReached => {
                self.timers.clear(Timer::TurnBack);
                Ok(vec![])
            }
            Event::TurnBackWaived => {
                self.turn_back_waived = true;
                Ok(vec![])
            }
            Event::Residue { left } => {
                self.residue = left
                    .iter()
                    .map(|(step, why)| Ok((find(self, step)?, why.clone())))
                    .collect::<Result<_, Illegal>>()?;
                Ok(vec![])
            }
        }
    }
}

/// The timer that a question makes pointless: it was told.
fn asked_timer(run: &Run, kind: &super::question::QuestionKind) -> Option<Timer> {
    use super::question::QuestionKind as Q;
    let ix = kind.step().and_then(|step| run.plan.find(step))?;
    match kind {
        Q::OutOfTime { .. } => Some(Timer::Deadline(ix, super::fact::Direction::Forward)),
        Q::PostCheckFailed { .. } => Some(Timer::By(ix)),
        Q::UnknownOutcome { .. }
        | Q::StepFailed { .. }
        | Q::PartialEffect { .. }
        | Q::CheckInconclusive { .. }
        | Q::ValueUnknown { .. }
        | Q::StaleCheck { .. }
        | Q::Denied { .. }
        | Q::Irreversible { .. }
        | Q::PastIrreversible { .. }
        | Q::LateStepFailed { .. }
        | Q::LateEffect { .. }
        | Q::Tripped { .. }
        | Q::Blind { .. }
        | Q::GateUnmet { .. }
        | Q::AwayTooLong { .. }
        | Q::TurnBack { .. }
        | Q::RequirementRolledBack { .. }
        | Q::PluginChanged { .. } => None,
    }
}

/// The place of a named step.
pub(super) fn find(run: &Run, step: &StepId) -> Result<StepIx, Illegal> {
    run.plan.find(step).ok_or_else(|| Illegal::Step(step.clone()))
}

/// Refuses an event for a step that is elsewhere.
pub(super) fn refuse(run: &Run, ix: StepIx, event: &'static str) -> Illegal {
    Illegal::Status { step: run.plan.step(ix).id.clone(), event, status: format!("{:?}", run.step(ix).status) }
}

fn moved(run: &mut Run, record: &Record, to: RunState, because: &super::fact::Cause) -> Result<Vec<Command>, Illegal> {
    if !run.state.may_become(to) {
        return Err(Illegal::Move { from: run.state, to });
    }
    if to == RunState::Deciding {
        run.left = Some(run.state);
    } else if run.state == RunState::Deciding {
        run.left = None;
    }
    run.state = to;
    run.since = record.at;
    run.because = Some(because.clone());
    if to == RunState::Checking
        && let Some(start_by) = run.plan.policies.start_by_ms
    {
        run.timers.set(Timer::StartBy, start_by);
    }
    if to == RunState::CuttingOver {
        run.timers.clear(Timer::StartBy);
    }
    if to == RunState::Observing {
        arm_post_checks(run, record.at);
    }
    if to == RunState::Accepted || to == RunState::RollingBack {
        disarm_criteria(run);
        run.timers.clear(Timer::Window);
    }
    if to == RunState::Committing {
        run.timers.clear(Timer::Ready);
    }
    if to.is_final() {
        run.timers.clear_all();
        run.locks = Locks::None;
        return Ok(vec![Command::ReleaseLocks { scope: LockScope::Run }]);
    }
    Ok(vec![])
}

fn arm_post_checks(run: &mut Run, at: Millis) {
    let from = run.exposed.or(run.possibly_exposed).unwrap_or(at);
    for ix in run.plan.section(Section::PostCheck) {
        if let Some(by) = run.plan.step(ix).check.by_ms
            && run.step(ix).passed.is_none()
        {
            run.timers.set(Timer::By(ix), from.saturating_add(ms(by)));
        }
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

fn locks_requested(run: &mut Run, scope: &LockScope) -> Result<Vec<Command>, Illegal> {
    let (claims, direction) = match scope {
        LockScope::Run => {
            run.locks = Locks::Requested;
            (run.plan.locks.clone(), super::fact::Direction::Forward)
        }
        LockScope::Step(step) => {
            let ix = find(run, step)?;
            let direction = match run.step(ix).status {
                Status::Forward(_) => super::fact::Direction::Forward,
                Status::Undo { .. } => super::fact::Direction::Undo,
            };
            run.steps[ix].locks = super::state::StepLocks::Requested;
            (run.plan.step(ix).locks.clone(), direction)
        }
    };
    Ok(vec![Command::AcquireLocks { scope: scope.clone(), claims, direction }])
}

fn locks_granted(run: &mut Run, scope: &LockScope, at: Millis) -> Result<Vec<Command>, Illegal> {
    match scope {
        LockScope::Run => run.locks = Locks::Held,
        LockScope::Step(step) => {
            let ix = find(run, step)?;
            run.steps[ix].locks = super::state::StepLocks::Held;
            if let Status::Forward(Forward::Waiting { on: Wait::Locks { .. }, .. }) = run.steps[ix].status {
                set_forward(run, ix, Forward::Ready);
            }
        }
    }
    run.updated = at;
    Ok(vec![])
}

fn locks_awaited(run: &mut Run, scope: &LockScope, held_by: &[String], at: Millis) -> Result<Vec<Command>, Illegal> {
    match scope {
        LockScope::Run => run.locks = Locks::Awaited(held_by.to_vec()),
        LockScope::Step(step) => {
            let ix = find(run, step)?;
            let claims = run.plan.step(ix).locks.iter().map(|claim| claim.name.clone()).collect();
            if let Status::Forward(_) = run.steps[ix].status {
                let on = Wait::Locks { claims, held_by: held_by.to_vec() };
                set_forward(run, ix, Forward::Waiting { on, since: at });
            }
        }
    }
    Ok(vec![])
}

fn skipped(run: &mut Run, step: &StepId, over: &SkipCause, at: Millis) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    if !matches!(run.steps[ix].status, Status::Forward(_)) || run.step(ix).status.is_live() {
        return Err(refuse(run, ix, "skipped"));
    }
    run.timers.clear(Timer::Backoff(ix, super::fact::Direction::Forward));
    run.timers.clear(Timer::Approval(ix));
    run.timers.clear(Timer::By(ix));
    run.timers.clear(Timer::Repeat(ix));
    run.rechecking.remove(&ix);
    run.steps[ix].ended = Some(at);
    run.steps[ix].completed = run.sequence;
    set_forward(run, ix, Forward::Skipped { over: over.clone() });
    Ok(vec![])
}

fn waiting(run: &mut Run, step: &StepId, on: &Wait, at: Millis) -> Result<Vec<Command>, Illegal> {
    let ix = find(run, step)?;
    if let Wait::Approval { expires: Some(expires) } = on {
        run.timers.set(Timer::Approval(ix), *expires);
    }
    run.steps[ix].first_started.get_or_insert(at);
    set_forward(run, ix, Forward::Waiting { on: on.clone(), since: at });
    Ok(vec![])
}

/// A step is done: its successors may become ready.
pub(super) fn succeed(run: &mut Run, ix: StepIx, at: Millis) {
    run.steps[ix].ended = Some(at);
    run.steps[ix].completed = run.sequence;
    run.steps[ix].passed = Some(at);
    run.steps[ix].last_failure = None;
    run.rechecking.remove(&ix);
    run.timers.clear(Timer::By(ix));
    set_forward(run, ix, Forward::Succeeded);
    if Some(ix) == run.plan.exposing() && run.exposed.is_none() {
        run.exposed = Some(at);
        run.up_since.get_or_insert(at);
        for c in 0..run.plan.criteria.len() {
            let live = at.saturating_add(ms(run.plan.criteria[c].warm_up_ms));
            run.timers.set(Timer::Sample(c), live);
            run.timers.set(Timer::MaxAge(c), live.saturating_add(ms(run.plan.criteria[c].max_age_ms)));
        }
    }
}

/// Sets a step's forward value and keeps `ready`, `open` and the successors' counts.
pub(super) fn set_forward(run: &mut Run, ix: StepIx, to: Forward) {
    let section = run.plan.step(ix).section;
    let was = match &run.steps[ix].status {
        Status::Forward(forward) => forward.satisfies(),
        Status::Undo { .. } => false,
    };
    let is = to.satisfies();
    if matches!(to, Forward::Ready) {
        run.ready.insert(ix);
    } else {
        run.ready.remove(&ix);
    }
    run.steps[ix].status = Status::Forward(to);
    if was == is {
        return;
    }
    let open = run.open.entry(section).or_insert(0);
    if is {
        *open = open.saturating_sub(1);
    } else {
        *open += 1;
    }
    let plan = run.plan.clone();
    for (child, _) in plan.dag().children(ix) {
        let record = &mut run.steps[child];
        if is {
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

fn window(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    match &record.event {
        Event::WindowOpened { deadline } => {
            run.window = Some(Window { opened: record.at, deadline: *deadline, expired: None });
            run.timers.set(Timer::Window, *deadline);
        }
        Event::WindowExtended { deadline } => {
            let window =
                run.window.as_mut().ok_or(Illegal::Needs { event: "windowExtended", needs: "an open window" })?;
            window.deadline = *deadline;
            window.expired = None;
            run.gate = None;
            run.timers.set(Timer::Window, *deadline);
        }
        Event::WindowExpired { watched } => {
            let window =
                run.window.as_mut().ok_or(Illegal::Needs { event: "windowExpired", needs: "an open window" })?;
            window.expired = Some(if *watched { Expired::Watched } else { Expired::Unwatched });
            run.timers.clear(Timer::Window);
        }
        Event::GateJudged { gaps } => run.gate = Some(gaps.clone()),
        Event::SamplePlanned { criterion, planned, call } => {
            return sample_planned(run, criterion, *planned, call.as_ref());
        }
        Event::Sampled { criterion, planned, verdict, result } => {
            let ix = criterion_ix(run, criterion)?;
            let plan = run.plan.clone();
            let rule = &plan.criteria[ix];
            run.criteria[ix].take(rule, *planned, verdict);
            if let Some(result) = result {
                run.criteria[ix].last_result = Some(result.clone());
            }
            if !matches!(verdict, super::fact::Verdict::Inconclusive { .. })
                && run.timers.get(Timer::Sample(ix)).is_some()
            {
                run.timers.set(Timer::MaxAge(ix), planned.saturating_add(ms(rule.max_age_ms)));
            }
        }
        Event::CriterionMoved { criterion, to } => {
            let ix = criterion_ix(run, criterion)?;
            run.criteria[ix].state = *to;
            if *to == CriterionState::Blind {
                run.timers.clear(Timer::MaxAge(ix));
            }
        }
        Event::Disarmed { criterion, until } => {
            let ix = criterion_ix(run, criterion)?;
            run.criteria[ix].disarmed_until = Some(*until);
            run.timers.set(Timer::Disarm(ix), *until);
        }
        Event::Armed { criterion } => {
            let ix = criterion_ix(run, criterion)?;
            run.criteria[ix].disarmed_until = None;
            run.timers.clear(Timer::Disarm(ix));
        }
        // The caller sends these events only; any other one is a mistake in its match.
        other => return Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
    Ok(vec![])
}

fn criterion_ix(run: &Run, id: &str) -> Result<usize, Illegal> {
    run.plan.criteria.iter().position(|criterion| &*criterion.id == id).ok_or_else(|| Illegal::Criterion(id.to_owned()))
}

fn sample_planned(
    run: &mut Run,
    id: &std::sync::Arc<str>,
    planned: Millis,
    call: Option<&Resolved>,
) -> Result<Vec<Command>, Illegal> {
    let ix = criterion_ix(run, id)?;
    let plan = run.plan.clone();
    let criterion = &plan.criteria[ix];
    let samples = &mut run.criteria[ix];
    if let Some(call) = call {
        samples.call = Some(call.clone());
    }
    samples.sampling = Some(planned);
    let call = samples.call.clone().unwrap_or_else(|| literal(&criterion.call));
    run.timers.set(Timer::Sample(ix), planned.saturating_add(ms(criterion.every_ms)));
    let sample = Sample { criterion: ix, id: id.clone(), planned, call, timeout_ms: criterion.timeout_ms };
    Ok(vec![Command::Sample(Box::new(sample))])
}

/// A call that holds no expressions, as it stands in the plan.
pub(super) fn literal(call: &Call) -> Resolved {
    Resolved { uses: call.uses.clone(), with: call.with.clone(), secrets: Vec::new() }
}

/// Milliseconds of a plan as signed ones; no plan holds a duration that long.
pub(super) fn ms(duration: u64) -> Millis {
    Millis::try_from(duration).unwrap_or(Millis::MAX)
}
