//! The only place that touches executors. Consumes permits, answers with inputs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bascule_plugin::Executor;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::handle::Message;
use super::locks::{Answer, Holder};
use super::look::{self, Look};
use super::{attempt, attempt_log, repetitions};
use crate::machine::command::{Action, Sample};
use crate::machine::fact::{Direction, Failure, Found, LockScope};
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
    /// Criteria whose sample has not ended.
    sampling: Arc<Mutex<HashSet<usize>>>,
}

impl Hands {
    pub(super) fn new(cx: Arc<Context>, run: RunName, inbox: mpsc::Sender<Message>) -> Self {
        Self { cx, run, inbox, stops: Arc::default(), sampling: Arc::default() }
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
        // What an engine that is over cannot end as a process is at least told to stop.
        let cancel = self.cx.over.child_token();
        self.stops().insert(key, cancel.clone());
        let (cx, run, inbox, stops) = (self.cx.clone(), self.run.clone(), self.inbox.clone(), self.stops.clone());
        let executor = self.executor(&action.call.uses);
        let verifier = action.verify.as_ref().map(|verify| self.executor(&verify.uses));
        self.cx.beside(async move {
            let result =
                attempt::make(&cx, &run, &action, attempt::Means { executor, verifier, cancel, inbox: inbox.clone() })
                    .await;
            stops.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let has_log = result.log.is_some();
            let input = Input::Ended {
                step: action.step,
                direction: action.direction,
                attempt: action.attempt,
                outcome: result.outcome,
                verify: result.verify,
                log: result.log,
            };
            let (done, decided) = oneshot::channel();
            let told = inbox.send(Message::News { input: Box::new(input), done: Some(done) }).await.is_ok();
            if told && has_log && action.direction == Direction::Forward && decided.await.is_ok() {
                keep_few(&cx, &run, &action, &inbox).await;
            }
        });
    }

    fn probe(&self, action: Action) {
        let (cx, run, inbox) = (self.cx.clone(), self.run.clone(), self.inbox.clone());
        let executor = self.executor(&action.call.uses);
        self.cx.beside(async move {
            let outcome = match executor {
                Ok(executor) if action.native => {
                    let found = look::probe(&cx, executor, &action).await;
                    if let Found::Done { outputs } = &found {
                        attempt::keep_value(&cx, outputs).await;
                    }
                    ProbeOutcome::Native(found)
                }
                Ok(executor) => {
                    let outcome = look::look(&cx, &run, executor, &Look::probe(&action)).await;
                    attempt::keep(&cx, &outcome).await;
                    ProbeOutcome::Call(outcome)
                }
                Err(failure) => ProbeOutcome::Call(Outcome::unknown(failure)),
            };
            tell(&inbox, Input::Probed { step: action.step, direction: action.direction, outcome }).await;
        });
    }

    fn sample(&self, sample: Sample) {
        let (cx, run, inbox) = (self.cx.clone(), self.run.clone(), self.inbox.clone());
        let executor = self.executor(&sample.call.uses);
        let sampling = self.sampling.clone();
        let begins = sampling.lock().unwrap_or_else(PoisonError::into_inner).insert(sample.criterion);
        self.cx.beside(async move {
            let outcome = match executor {
                // Two at a time would measure each other.
                Ok(_) if !begins => Outcome::unknown(Failure::new("the sample before it has not ended")),
                Ok(executor) => look::look(&cx, &run, executor, &Look::sample(&sample)).await,
                Err(failure) => Outcome::unknown(failure),
            };
            if begins {
                sampling.lock().unwrap_or_else(PoisonError::into_inner).remove(&sample.criterion);
            }
            attempt::keep(&cx, &outcome).await;
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
        self.cx.beside(async move { tell(&inbox, input).await });
    }

    fn release(&self, scope: &LockScope) {
        let granted = match scope {
            LockScope::Run => self.cx.locks.release_run(&self.run),
            LockScope::Rest => self.cx.locks.release_rest(&self.run),
            LockScope::Step(_) => self.cx.locks.release(&Holder::new(&self.run, scope)),
        };
        self.cx.tell_granted(granted);
    }
}

/// After an attempt's end is durable: of a check that passed only the last repetitions are kept.
async fn keep_few(cx: &Context, run: &RunName, action: &Action, inbox: &mpsc::Sender<Message>) {
    let (ix, attempt) = (action.step, action.attempt);
    let (tell, answer) = oneshot::channel();
    let look = Message::Look(Box::new(move |run, _| {
        let record = run.step(ix);
        let is_check = run.plan.step(ix).section.is_check();
        let passed = record.passed.is_some() && record.passed == record.ended && record.attempts == attempt;
        // Whoever asked has gone with the engine.
        tell.send(is_check && passed).unwrap_or_default();
    }));
    if inbox.send(look).await.is_ok() && answer.await.is_ok_and(|passed| passed) {
        let folder = attempt_log::folder(&cx.state, run, &action.id);
        let label = attempt::label(action.direction, attempt);
        // What is left over does no harm.
        tokio::task::spawn_blocking(move || repetitions::passed(&folder, &label)).await.ok();
    }
}

/// News for a run; a run that is gone needs none.
pub(super) async fn tell(inbox: &mpsc::Sender<Message>, input: Input) {
    drop(inbox.send(Message::News { input: Box::new(input), done: None }).await);
}
