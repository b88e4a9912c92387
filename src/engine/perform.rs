//! The only place that touches executors. Consumes permits, answers with inputs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bascule_plugin::Executor;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::attempt;
use super::handle::Message;
use super::locks::{Answer, Holder};
use crate::machine::command::{Action, Sample};
use crate::machine::fact::{Direction, Failure, LockScope};
use crate::machine::input::{Outcome, ProbeOutcome};
use crate::machine::{Command, Input};
use crate::plan::StepIx;
use crate::store::{Permit, RunName};

/// Which attempt a token stops.
type Key = (StepIx, Direction, u32);

/// The hands of one run.
pub(super) struct Hands {
    pub(super) cx: Arc<Context>,
    pub(super) run: RunName,
    pub(super) inbox: mpsc::Sender<Message>,
    stops: Arc<Mutex<HashMap<Key, CancellationToken>>>,
}

impl Hands {
    pub(super) fn new(cx: Arc<Context>, run: RunName, inbox: mpsc::Sender<Message>) -> Self {
        Self { cx, run, inbox, stops: Arc::default() }
    }

    /// Carries out what a permit allows. Never waits: everything slow becomes a task.
    pub(super) fn perform(&self, permit: Permit) {
        match permit.redeem() {
            Command::Perform(action) => self.attempt(*action),
            Command::Probe(action) => self.probe(*action),
            Command::Sample(sample) => self.sample(*sample),
            Command::Cancel { step, direction, attempt } => {
                if let Some(token) = self.stops().get(&(step, direction, attempt)) {
                    token.cancel();
                }
            }
            Command::AcquireLocks { scope, claims, direction } => self.acquire(scope, claims, direction),
            Command::ReleaseLocks { scope } => self.release(&scope),
        }
    }

    fn stops(&self) -> std::sync::MutexGuard<'_, HashMap<Key, CancellationToken>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn executor(&self, name: &str) -> Result<Arc<dyn Executor>, Failure> {
        self.cx.registry.get(name).cloned().ok_or_else(|| {
            let mut failure = Failure::new(format!("there is no executor `{name}`"));
            failure.hint = Some("`bascule executors` lists those that this program has".to_owned());
            failure
        })
    }

    fn attempt(&self, action: Action) {
        let key = (action.step, action.direction, action.attempt);
        let cancel = CancellationToken::new();
        self.stops().insert(key, cancel.clone());
        let (cx, run, inbox, stops) = (self.cx.clone(), self.run.clone(), self.inbox.clone(), self.stops.clone());
        let executor = self.executor(&action.call.uses);
        let verifier = action.verify.as_ref().map(|verify| self.executor(&verify.uses));
        self.cx.tasks.spawn(async move {
            let result =
                attempt::make(&cx, &run, &action, attempt::Means { executor, verifier, cancel, inbox: inbox.clone() })
                    .await;
            stops.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let input = Input::Ended {
                step: action.step,
                direction: action.direction,
                attempt: action.attempt,
                outcome: result.outcome,
                verify: result.verify,
                log: result.log,
            };
            tell(&inbox, input).await;
        });
    }

    fn probe(&self, action: Action) {
        let (cx, run, inbox) = (self.cx.clone(), self.run.clone(), self.inbox.clone());
        let executor = self.executor(&action.call.uses);
        self.cx.tasks.spawn(async move {
            let outcome = match executor {
                Ok(executor) if action.native => ProbeOutcome::Native(attempt::probe(&cx, executor, &action).await),
                Ok(executor) => {
                    ProbeOutcome::Call(attempt::look(&cx, &run, executor, &attempt::Look::probe(&action)).await)
                }
                Err(failure) => ProbeOutcome::Call(Outcome::Unknown { failure }),
            };
            tell(&inbox, Input::Probed { step: action.step, direction: action.direction, outcome }).await;
        });
    }

    fn sample(&self, sample: Sample) {
        let (cx, run, inbox) = (self.cx.clone(), self.run.clone(), self.inbox.clone());
        let executor = self.executor(&sample.call.uses);
        self.cx.tasks.spawn(async move {
            let outcome = match executor {
                Ok(executor) => attempt::look(&cx, &run, executor, &attempt::Look::sample(&sample)).await,
                Err(failure) => Outcome::Unknown { failure },
            };
            tell(&inbox, Input::Sampled { criterion: sample.criterion, planned: sample.planned, outcome }).await;
        });
    }

    /// Asks for locks; the answer comes as news.
    pub(super) fn acquire(&self, scope: LockScope, claims: Vec<crate::plan::policy::LockClaim>, direction: Direction) {
        let answer = self.cx.locks.acquire(Holder::new(&self.run, &scope), claims, direction);
        let input = match answer {
            Answer::Granted => Input::LocksGranted { scope },
            Answer::Waits(held_by) => Input::LocksAwaited { scope, held_by },
        };
        let inbox = self.inbox.clone();
        self.cx.tasks.spawn(async move { tell(&inbox, input).await });
    }

    fn release(&self, scope: &LockScope) {
        let granted = match scope {
            LockScope::Run => self.cx.locks.release_run(&self.run),
            LockScope::Step(_) => self.cx.locks.release(&Holder::new(&self.run, scope)),
        };
        self.cx.tell_granted(granted);
    }
}

/// News for a run; a run that is gone needs none.
pub(super) async fn tell(inbox: &mpsc::Sender<Message>, input: Input) {
    drop(inbox.send(Message::News { input: Box::new(input), done: None }).await);
}
