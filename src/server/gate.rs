//! The gate through which everything comes that changes something.
//!
//! What comes in is done to its end, whether its client stays or not: it runs in a task of its own. The owner shuts the
//! gate before it looks a last time whether anything is left to do, so nothing is accepted by an engine that leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

use super::problem::Problem;

/// The gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    inside: Arc<RwLock<()>>,
    closed: Arc<AtomicBool>,
}

/// Nobody is inside, and nobody comes in while this is held.
#[derive(Debug)]
pub struct Shut {
    gate: Gate,
    _nobody: OwnedRwLockWriteGuard<()>,
}

impl Shut {
    /// Nobody comes in any more. Without this word the gate opens again.
    pub fn for_good(self) {
        self.gate.closed.store(true, Ordering::SeqCst);
    }
}

impl Gate {
    /// Does something inside, to its end: a client that leaves does not stop it.
    ///
    /// # Errors
    /// The gate is closed, or what the work answers.
    pub(super) async fn inside<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Send + 'static,
        Problem: From<E>,
    {
        let pass = self.inside.clone().read_owned().await;
        if self.closed.load(Ordering::SeqCst) {
            return Err(Problem::leaving());
        }
        let task = tokio::spawn(async move {
            let done = work.await;
            drop(pass);
            done
        });
        match task.await {
            Ok(done) => Ok(done?),
            Err(error) => Err(Problem::internal(format!("a bug in bascule: {error}"))),
        }
    }

    /// Shuts the gate if nobody is inside.
    #[must_use]
    pub fn try_shut(&self) -> Option<Shut> {
        let nobody = self.inside.clone().try_write_owned().ok()?;
        Some(Shut { gate: self.clone(), _nobody: nobody })
    }

    /// Lets nobody in any more; who is inside goes on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_in_keeps_the_gate_open_also_when_its_client_left() {
        let gate = Gate::default();
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            drop(wait.await);
            ended.send(()).expect("the test waits");
            Ok::<(), Problem>(())
        };
        {
            let mut client = Box::pin(gate.inside(work));
            assert!(futures_util::poll!(client.as_mut()).is_pending());
        }
        assert!(gate.try_shut().is_none(), "somebody is inside");
        go_on.send(()).expect("the work goes on without its client");
        end.await.expect("it was done to its end");
        while gate.try_shut().is_none() {
            tokio::task::yield_now().await;
        }
        drop(gate.try_shut());
        gate.inside(async { Ok::<(), Problem>(()) }).await.expect("it opened again");
        gate.try_shut().expect("nobody is inside").for_good();
        let refused = gate.inside(async { Ok::<(), Problem>(()) }).await.expect_err("it is closed");
        assert_eq!(refused.status, 503);
    }
}
