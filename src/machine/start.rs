//! Before anything is touched: what is missing, locks.

use super::apply::Illegal;
use super::decide::ask;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, LockScope, Millis};
use super::forward;
use super::question::QuestionKind;
use super::rollback;
use super::run::Locks;
use super::run_state::RunState;
use super::state::{Status, StepLocks};
use crate::plan::policy::OnFailure;

/// Starts a created run, or refuses it.
pub(super) fn begin(d: &mut Draft<'_>, missing: Vec<String>) -> Result<(), Illegal> {
    if d.run().state != RunState::Created || d.run().locks != Locks::None {
        return Ok(());
    }
    if !missing.is_empty() {
        return d.emit(Event::Moved { to: RunState::Refused, because: Cause::Missing { what: missing } });
    }
    d.emit(Event::LocksRequested { scope: LockScope::Run })
}

/// An application that this one needs went back: the plan says whether that is a question or the way
/// back of this one, too. A run that is on its way back already needs nothing.
/// It is told again at each start of an engine: what it knows already it is not asked twice.
pub(super) fn requirement_rolled_back(d: &mut Draft<'_>, app: String, decided: Millis) -> Result<(), Illegal> {
    let Some(wanted) = d.run().plan.requires.iter().find(|wanted| wanted.app == app) else { return Ok(()) };
    if d.run().rollback.is_some() || d.run().heard.get(&app).is_some_and(|heard| *heard >= decided) {
        return Ok(());
    }
    if wanted.on_its_rollback == OnFailure::Ask || rollback::may_act_alone(d).is_err() {
        return ask(d, QuestionKind::RequirementRolledBack { app });
    }
    let because = Cause::RequirementRolledBack { app };
    if d.run().first_effect.is_none() {
        return forward::refuse_before_effect(d, because);
    }
    rollback::decide(d, because, RunState::RolledBack)
}

/// The run's locks are durable before its first pre-check.
pub(super) fn created(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if !d.run().questions.is_empty() {
        return Ok(());
    }
    match &d.run().locks {
        Locks::Held => d.emit(Event::Moved { to: RunState::Checking, because: Cause::Started }),
        Locks::Awaited(held_by) if d.run().plan.policies.start_by_ms.is_none() => {
            // Nobody said how long it may wait: refusing at once is what a person can act on.
            let what = held_by.iter().map(|holder| format!("a lock that {holder} holds")).collect();
            d.emit(Event::Moved { to: RunState::Refused, because: Cause::Missing { what } })
        }
        Locks::None | Locks::Requested | Locks::Awaited(_) => Ok(()),
    }
}

/// Locks are held from now on; a step that cannot start now gives them back at once.
pub(super) fn locks_granted(d: &mut Draft<'_>, scope: LockScope) -> Result<(), Illegal> {
    if d.run().state.is_final() {
        return Ok(());
    }
    let step = match &scope {
        LockScope::Run if matches!(d.run().locks, Locks::Requested | Locks::Awaited(_)) => {
            return d.emit(Event::LocksGranted { scope });
        }
        LockScope::Run => return Ok(()),
        LockScope::Rest if matches!(d.run().rest, Locks::Requested | Locks::Awaited(_)) => {
            d.emit(Event::LocksGranted { scope })?;
            // Locks before checks: what they see is theirs now.
            let goes = d.run().go && d.run().state == RunState::Prepared;
            return if goes { forward::recheck_for_go(d) } else { Ok(()) };
        }
        LockScope::Rest => return Ok(()),
        LockScope::Step(step) => step.clone(),
    };
    let Some(ix) = d.run().plan.find(&step) else { return Ok(()) };
    if d.run().step(ix).locks != StepLocks::Requested {
        // The request was withdrawn while the answer was on its way; its release follows it.
        return Ok(());
    }
    let section = d.run().plan.step(ix).section;
    if matches!(d.run().step(ix).status, Status::Forward(_)) && !forward::would_start(d, section) {
        return d.emit(Event::Readied { step, new_generation: false });
    }
    d.emit(Event::LocksGranted { scope })
}

/// Others hold the locks; told once per change.
pub(super) fn locks_awaited(d: &mut Draft<'_>, scope: LockScope, held_by: Vec<String>) -> Result<(), Illegal> {
    let waits = match &scope {
        LockScope::Run => matches!(d.run().locks, Locks::Requested | Locks::Awaited(_)),
        LockScope::Rest => matches!(d.run().rest, Locks::Requested | Locks::Awaited(_)),
        LockScope::Step(step) => {
            d.run().plan.find(step).is_some_and(|ix| d.run().step(ix).locks == StepLocks::Requested)
        }
    };
    if d.run().state.is_final() || !waits {
        return Ok(());
    }
    d.emit(Event::LocksAwaited { scope, held_by })
}
