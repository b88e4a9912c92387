//! A run's task: begun, found, given a person's word, and begun once more for a run that is over.
//!
//! A run that is open and has no task was given up by this engine, for a reason that it keeps: it must never be begun
//! again without a claim, its dead attempts ended and `Recovered`, which is what the start of an engine does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::adopt::Engine;
use super::context::Context;
use super::driver::{Driver, INBOX};
use super::error::EngineError;
use super::handle::{Decided, Gone, Message, RunHandle};
use super::perform::Hands;
use crate::machine::fact::{Actor, Millis};
use crate::machine::{Input, Run, Verb};
use crate::store::{Head, Journal, Lease, ReadError, RunName, StoreError, read_run};

impl Engine {
    pub(super) fn driver(&self, run: Run, journal: Journal) -> Driver {
        let (inbox, messages) = mpsc::channel(INBOX);
        let hands = Hands::new(self.cx.clone(), journal.head().run.clone(), inbox);
        Driver::new(run, journal, hands, messages)
    }

    /// Puts a run on the list: from here on others find it, and it hears of each jump of the wall clock. Answers how
    /// far that is ahead, as the other runs know it.
    pub(super) fn announce(&self, driver: &Driver) -> (RunHandle, Millis) {
        let handle = RunHandle { name: driver.hands.run.clone(), inbox: driver.hands.inbox.clone() };
        let mut runs = self.cx.runs();
        runs.insert(handle.name.clone(), handle.clone());
        (handle, self.cx.clock_told.load(Ordering::SeqCst))
    }

    /// Begins the task of a run that was announced.
    pub(super) fn spawn(&self, mut driver: Driver, first: Vec<Input>) {
        let mut listed = Listed { cx: self.cx.clone(), run: driver.hands.run.clone(), is_over: false };
        self.cx.drivers.spawn(async move {
            driver.drive(first).await;
            // Of one that left something behind the next engine must hear.
            listed.ends(driver.run.state.is_final() && driver.run.unended.is_empty());
        });
    }

    /// The run's task, if it has one now.
    #[must_use]
    pub fn live(&self, name: &RunName) -> Option<RunHandle> {
        self.cx.runs().get(name).cloned()
    }

    /// The runs that have a task now.
    #[must_use]
    pub fn live_runs(&self) -> Vec<RunHandle> {
        self.cx.runs().values().cloned().collect()
    }

    /// Why this engine does not execute a run that is open.
    #[must_use]
    pub fn given_up(&self, name: &RunName) -> Option<String> {
        self.cx.given_up().get(name).cloned()
    }

    /// All runs that are open and that this engine does not execute, with the reason.
    #[must_use]
    pub fn all_given_up(&self) -> Vec<(RunName, String)> {
        self.cx.given_up().iter().map(|(run, why)| (run.clone(), why.clone())).collect()
    }

    /// Hands a person's verb to a run; answered once the decision is durable. A finished run is read again, so that
    /// notes can still be added.
    ///
    /// # Errors
    /// There is no such run, it cannot be read, this engine gave it up, or the engine is going down.
    pub async fn decide(
        &self,
        name: &RunName,
        verb: Verb,
        by: Actor,
        reason: Option<Arc<str>>,
    ) -> Result<Decided, EngineError> {
        if let Some(handle) = self.live(name)
            && let Ok(decided) = handle.decide(verb.clone(), by.clone(), reason.clone()).await
        {
            return Ok(decided);
        }
        // One at a time: two tasks of one run would fence each other off.
        let _alone = self.reviving.lock().await;
        loop {
            if self.cx.shutdown.is_cancelled() {
                return Err(EngineError::Gone(Gone(name.clone())));
            }
            let Some(handle) = self.live(name) else { break };
            if let Ok(decided) = handle.decide(verb.clone(), by.clone(), reason.clone()).await {
                return Ok(decided);
            }
            // Its task ended and is about to take itself off the list.
            tokio::task::yield_now().await;
        }
        if let Some(why) = self.given_up(name) {
            return Err(EngineError::GivenUp { run: name.clone(), why });
        }
        let (run, head) = self.read(name).await?;
        if !run.state.is_final() {
            let why = "its task ended without a word, which is a bug in bascule".to_owned();
            return Err(EngineError::GivenUp { run: name.clone(), why });
        }
        let epoch = head.epoch;
        let driver = self.driver(run, Journal::at(self.cx.log.clone(), head, epoch));
        let (handle, _) = self.announce(&driver);
        let (done, answer) = tokio::sync::oneshot::channel();
        let news = Message::News { input: Box::new(Input::Verb { verb, by, reason }), done: Some(done) };
        // Before the task begins: one of a finished run ends as soon as its inbox is empty.
        drop(handle.inbox.send(news).await);
        self.spawn(driver, vec![]);
        answer.await.map_err(|_| EngineError::Gone(Gone(name.clone())))
    }

    /// Reads a run back from the log, for looking. A log that closed while no run wrote to it is opened again.
    ///
    /// # Errors
    /// There is no such run, or it cannot be read.
    pub async fn read(&self, name: &RunName) -> Result<(Run, Head), EngineError> {
        match self.read_once(name).await {
            Err(EngineError::Read(ReadError::Store(StoreError::Closed { .. }))) => {
                self.cx.log.reopen().await?;
                self.read_once(name).await
            }
            read => read,
        }
    }

    async fn read_once(&self, name: &RunName) -> Result<(Run, Head), EngineError> {
        let mut failed = None;
        let read = read_run(&*self.cx.log, name, |hash| {
            self.plan(hash).map_err(|error| {
                let why = StoreError::Record(crate::store::BadRecord::Payload(error.to_string()));
                failed = Some(error);
                why
            })
        })
        .await;
        match failed {
            Some(error) => Err(error),
            None => Ok(read?),
        }
    }

    /// Claims a run. A log that closed while no run wrote to it is opened again.
    pub(super) async fn claim(&self, name: &RunName) -> Result<Lease, StoreError> {
        match self.cx.log.claim(name).await {
            Err(StoreError::Closed { .. }) => {
                self.cx.log.reopen().await?;
                self.cx.log.claim(name).await
            }
            claimed => claimed,
        }
    }
}

/// Takes a run off the list when its task ends, however that ends.
struct Listed {
    cx: Arc<Context>,
    run: RunName,
    is_over: bool,
}

impl Listed {
    fn ends(&mut self, is_over: bool) {
        self.is_over = is_over;
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "a bug in bascule: its task panicked; its log is intact, please report this".to_owned();
            self.cx.say(format!("run {}: this engine stops acting for it: {why}", self.run));
            self.cx.given_up().insert(self.run.clone(), why);
        }
        self.cx.runs().remove(&self.run);
        if self.is_over {
            self.cx.seen().remove(&self.run);
        }
    }
}
