//! Before anything is touched: what is missing, locks.

use super::apply::Illegal;
use super::draft::Draft;
use super::event::Event;
use super::fact::{Cause, LockScope};
use super::run::Locks;
use super::state::RunState;

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

/// The run's locks are durable before its first pre-check.
pub(super) fn created(d: &mut Draft<'_>) -> Result<(), Illegal> {
    match &d.run().locks {
        Locks::Held => d.emit(Event::Moved { to: RunState::Checking, because: Cause::Started }),
        Locks::Awaited(held_by) if d.run().plan.policies.start_by_ms.is_none() => {
            // Nobody said how long it may wait: refusing at once is what a person can act on.
            let what = held_by.iter().map(|holder| format!("a lock that {holder} holds")).collect();
            d.emit(Event::Moved { to: RunState::Refused, because: Cause::Missing { what } })
        }
        Locks::Awaited(_) if d.run().plan.policies.start_by_ms.is_some_and(|by| d.now().wall >= by) => {
            d.emit(Event::Moved { to: RunState::Refused, because: Cause::StartWindowEnded })
        }
        Locks::None | Locks::Requested | Locks::Awaited(_) => Ok(()),
    }
}

/// Locks are held from now on.
pub(super) fn locks_granted(d: &mut Draft<'_>, scope: LockScope) -> Result<(), Illegal> {
    if d.run().state.is_final() {
        return Ok(());
    }
    d.emit(Event::LocksGranted { scope })
}

/// Others hold the locks; told once per change.
pub(super) fn locks_awaited(d: &mut Draft<'_>, scope: LockScope, held_by: Vec<String>) -> Result<(), Illegal> {
    if d.run().state.is_final() {
        return Ok(());
    }
    d.emit(Event::LocksAwaited { scope, held_by })
}
