//! A run comes into being: its plan and its first transition are durable before its name is told.

use std::sync::{Arc, PoisonError};

use super::adopt::{Engine, EngineError};
use super::handle::RunHandle;
use crate::machine::event::{Event, Record};
use crate::machine::fact::Actor;
use crate::machine::{Draft, Input, Run, RunState, decide};
use crate::plan::Plan;
use crate::store::{Head, Journal, RunName, StoreError};

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
        let now = self.cx.clock.now();
        let created = Record {
            at: now.steady,
            by: Some(new.by),
            reason: new.reason,
            event: Event::Created {
                application: new.plan.application.clone(),
                number,
                plan: hash,
                trust_claimed_names: new.trust_claimed_names,
                go_at: None,
            },
        };
        let mut run = Run::begin(new.plan.clone(), &created)?;
        let epoch = self.cx.log.claim(&name).await?.epoch;
        let missing = self.missing(&new.plan).await?;
        let mut draft = Draft::new(&mut run, now, fastrand::u64(1..));
        let owned = Input::Recovered { epoch, host: self.host.clone(), pid: std::process::id(), away_ms: None };
        decide(&mut draft, owned)?;
        decide(&mut draft, Input::Begin { missing })?;
        let (records, commands) = draft.finish();
        let records: Vec<Record> = std::iter::once(created).chain(records).collect();
        let mut journal = Journal::at(self.cx.log.clone(), Head::none(name.clone()), epoch);
        let permits = journal.commit(now.wall, run.state.is_final(), &records, commands).await?;
        let head = journal.head().clone();
        let driver = self.driver(run, head, epoch);
        // Known before it asks for locks: whoever gives them back must find it.
        let handle = self.announce(&driver);
        for permit in permits {
            driver.hands.perform(permit);
        }
        self.cx.story(driver.journal.head(), &records);
        self.spawn(driver, vec![]);
        Ok(handle)
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
