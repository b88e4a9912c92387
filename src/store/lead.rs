//! Who flushes: the first append that waits does it for all, on its own thread if that is quick.
//!
//! It must never leave an append behind that nobody flushes, whatever is dropped. Start at [`append`].

use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::commit::{Admission, Pending, Role, Shared};
use super::error::StoreError;
use super::format::{self, Draft};
use super::log::Appended;
use super::record::{Cursor, Head, NewTransition};
use super::writer::check_size;

/// Appends one transition. See [`super::RunLog::append`].
pub(super) async fn append(shared: &Arc<Shared>, new: NewTransition) -> Appended {
    let (before, reading) = loop {
        match shared.admit(&new) {
            Admission::Go(head, reading) => break (head, reading),
            Admission::Answered(appended) => return appended,
            // The sender lives in `shared`, so this ends only with a turn.
            Admission::Wait(mut turns) => turns.changed().await.unwrap_or(()),
        }
    };
    let core = format::encode_core(&new.after(before.hash));
    if let Err(error) = check_size(&core, shared.largest) {
        shared.give_up(&new.run, reading);
        return Appended::NotWritten(error);
    }
    let head = Head {
        run: new.run,
        version: new.expected + 1,
        epoch: new.epoch,
        hash: core.hash,
        at_ms: new.at_ms,
        is_final: new.is_final,
        cursor: Cursor::START,
    };
    let (answer, answered) = oneshot::channel();
    match shared.enqueue(Pending { draft: Draft::Transition(core), head, answer }, reading) {
        Err(error) => return Appended::NotWritten(error),
        Ok(Role::Lead) => {
            let leader = Leader(Some(Arc::clone(shared)));
            // Whoever is about to append comes along: one flush more for each of them would cost far more than a turn.
            tokio::task::yield_now().await;
            leader.lead();
        }
        Ok(Role::Follow) => {}
    }
    answered.await.unwrap_or_else(|_| {
        Appended::InDoubt(StoreError::Closed { cause: "the runtime ended during the flush".into() })
    })
}

/// Has to flush what waits. If its append is dropped before, the flush is done elsewhere all the same: others wait
/// for it, too.
struct Leader(Option<Arc<Shared>>);

impl Leader {
    fn lead(mut self) {
        if let Some(shared) = self.0.take() {
            lead(&shared);
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            hand_over(Rest(Some(shared)));
        }
    }
}

/// Drains on a thread of its own; without a runtime the next append leads.
fn hand_over(rest: Rest) {
    if let Ok(runtime) = Handle::try_current() {
        drop(runtime.spawn_blocking(move || rest.run()));
    }
}

/// Flushes one batch here and leaves the rest, if any, to a thread of its own.
///
/// Flushing on the caller's thread saves two hand-offs a step, which is most of what a chain of steps costs beside the
/// flush itself. A flood must not keep this caller from its own work, hence one batch only. While flushes are quick the
/// thread is not even prepared for blocking: after its turn no task waits behind the caller that others cannot take.
fn lead(shared: &Arc<Shared>) {
    let Ok(runtime) = Handle::try_current() else { return shared.drain() };
    if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
        if shared.is_quick() && runtime.metrics().num_workers() > 1 {
            shared.flush();
        } else {
            tokio::task::block_in_place(|| shared.flush());
        }
        if !shared.has_pending() {
            return;
        }
    }
    hand_over(Rest(Some(Arc::clone(shared))));
}

/// What is left to flush. If the runtime ends before it can run, the next append leads again.
struct Rest(Option<Arc<Shared>>);

impl Rest {
    fn run(mut self) {
        if let Some(shared) = self.0.take() {
            shared.drain();
        }
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.state().leading = false;
        }
    }
}
