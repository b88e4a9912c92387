//! A run comes into being: its plan and its first transition are durable before its name is told.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::adopt::Engine;
use super::error::EngineError;
use super::handle::{Gone, RunHandle};
use super::pulse::look_at_the_clock;
use crate::machine::event::{Event, Record};
use crate::machine::fact::{Actor, Millis};
use crate::machine::{Command, Draft, Input, Run, RunState, decide};
use crate::plan::Plan;
use crate::store::{CommitError, Head, InDoubt, Journal, Permit, Resolved, RunName, StoreError};

/// A run's first transition.
struct First<'a> {
    at_ms: i64,
    is_final: bool,
    records: &'a [Record],
    commands: Vec<Command>,
}

/// A run to be created.
pub struct NewRun {
    /// What it executes.
    pub plan: Arc<Plan>,
    /// Who wants it.
    pub by: Actor,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// Names given with `--as` count for four-eyes rules.
    pub trust_claimed_names: bool,
    /// When the cutover begins by itself, by the wall clock.
    pub go_at: Option<Millis>,
}

impl Engine {
    /// Creates a run: its plan and its first transition are durable when its name is told.
    ///
    /// # Errors
    /// The plan lacks inputs, or the store refuses.
    pub async fn create(&self, new: NewRun) -> Result<RunHandle, EngineError> {
        if !new.plan.missing.is_empty() {
            return Err(EngineError::MissingInputs(new.plan.missing.iter().map(|input| input.name.clone()).collect()));
        }
        let hash = new.plan.hash().clone();
        let known = self.plans.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&hash);
        if !known {
            self.cx.blobs.put(new.plan.canonical()).await?;
            self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(hash.clone(), new.plan.clone());
        }
        let number = self.next_number(&new.plan.application);
        let name = RunName::new(&new.plan.application, number).map_err(StoreError::from)?;
        let lease = self.claim(&name).await?;
        let created = self.begin(new, &name, lease.epoch).await;
        if created.is_err() {
            self.cx.log.release(lease).await;
        }
        created
    }

    async fn begin(&self, new: NewRun, name: &RunName, epoch: u64) -> Result<RunHandle, EngineError> {
        let missing = self.missing(&new.plan).await?;
        let now = self.cx.clock.now();
        // The run begins with the wall clock as it is; of later jumps it is told like the others.
        let told = look_at_the_clock(&self.cx, now);
        let created = Record {
            at: now.steady,
            by: Some(new.by),
            reason: new.reason,
            event: Event::Created {
                application: new.plan.application.clone(),
                number: name.number(),
                plan: new.plan.hash().clone(),
                trust_claimed_names: new.trust_claimed_names,
                go_at: new.go_at,
            },
        };
        let mut run = Run::begin(new.plan, &created)?;
        let mut draft = Draft::new(&mut run, now, fastrand::u64(1..));
        let owned = Input::Recovered { owner: self.as_owner(epoch), away_ms: None, unended: Vec::new() };
        decide(&mut draft, owned)?;
        decide(&mut draft, Input::Begin { missing })?;
        let (records, commands) = draft.finish();
        let records: Vec<Record> = std::iter::once(created).chain(records).collect();
        let mut journal = Journal::at(self.cx.log.clone(), Head::none(name.clone()), epoch);
        let first = First { at_ms: now.wall, is_final: run.state.is_final(), records: &records, commands };
        let permits = self.write(&mut journal, first).await?;
        let driver = self.driver(run, journal);
        // Known before it asks for locks: whoever gives them back must find it.
        let (handle, knows) = self.announce(&driver);
        driver.done(permits, &records);
        let jumped = (knows != told).then_some(Input::ClockJumped { by_ms: knows - told });
        // One that went back while this one was not known yet told nobody.
        let gone = self.requirements_gone(&driver.run, &mut HashMap::new()).await;
        self.spawn(driver, jumped.into_iter().chain(gone).collect());
        Ok(handle)
    }

    /// Makes the first transition durable. One in doubt is waited for: nobody may be told that there is no run while
    /// its log may hold one that nobody executes.
    async fn write(&self, journal: &mut Journal, first: First<'_>) -> Result<Vec<Permit>, EngineError> {
        let First { at_ms, is_final, records, commands } = first;
        let mut reopened = false;
        loop {
            if self.cx.shutdown.is_cancelled() {
                return Err(EngineError::Gone(Gone(journal.head().run.clone())));
            }
            match journal.commit(at_ms, is_final, records, commands.clone()).await {
                Ok(permits) => return Ok(permits),
                // It closed while no run wrote to it: nobody else would open it again.
                Err(CommitError::Store(StoreError::Closed { .. })) if !reopened => {
                    reopened = true;
                    self.cx.log.reopen().await?;
                }
                Err(CommitError::InDoubt { error, doubt }) => {
                    if let Resolved::Written(permits) = self.resolve(journal, &error, *doubt).await? {
                        return Ok(permits);
                    }
                }
                Err(
                    error @ (CommitError::Store(_) | CommitError::LostOwnership { .. } | CommitError::Unwritable(_)),
                ) => {
                    return Err(error.into());
                }
            }
        }
    }

    async fn resolve(
        &self,
        journal: &mut Journal,
        error: &StoreError,
        mut doubt: InDoubt,
    ) -> Result<Resolved, EngineError> {
        let name = journal.head().run.clone();
        self.cx
            .say(format!("run {name}: the run log cannot write ({error}); it is not known yet whether the run exists"));
        let mut pause = Duration::from_millis(100);
        loop {
            let slept = self.cx.shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
            if slept.is_none() {
                return Err(EngineError::MayExist(name));
            }
            pause = (pause * 2).min(Duration::from_secs(5));
            if let Err(error) = self.cx.log.reopen().await {
                tracing::warn!(%error, "the run log is still closed");
                continue;
            }
            match journal.resolve(&mut doubt).await {
                Err(CommitError::Store(error)) => tracing::warn!(%error, "the run log cannot tell yet"),
                resolved => return Ok(resolved?),
            }
        }
    }

    /// What the plan needs and this engine does not have.
    async fn missing(&self, plan: &Plan) -> Result<Vec<String>, EngineError> {
        let have = |name: &str| self.cx.registry.contains_key(name);
        let mut missing: Vec<String> =
            plan.executors.keys().filter(|name| !have(name)).map(|name| format!("the executor `{name}`")).collect();
        for name in &plan.secrets {
            if let Err(error) = self.cx.secrets.get(name).await {
                missing.push(error.to_string());
            }
        }
        for needed in &plan.requires {
            let number = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(&needed.app).copied();
            let state = match number.map(|number| RunName::new(&needed.app, number)) {
                Some(name) => Some(self.read(&name.map_err(StoreError::from)?).await?.0.state),
                None => None,
            };
            let stands = match state {
                Some(RunState::Committed) => true,
                Some(state) => state == RunState::Accepted && needed.state != RunState::Committed.word(),
                None => false,
            };
            if !stands {
                let found = state
                    .map_or_else(|| "it was never run here".to_owned(), |state| format!("its newest run is {state}"));
                missing.push(format!("application `{}` must be {}: {found}", needed.app, needed.state));
            }
        }
        Ok(missing)
    }

    /// The next number of an application. A run that then fails to be created leaves a gap.
    fn next_number(&self, application: &str) -> u64 {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = numbers.entry(application.to_owned()).or_insert(0);
        *newest += 1;
        *newest
    }

    pub(super) fn saw_number(&self, run: &RunName) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = numbers.entry(run.application().to_owned()).or_insert(0);
        *newest = (*newest).max(run.number());
    }
}
