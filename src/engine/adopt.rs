//! An engine: takes a state directory, ends what dead attempts left, adopts every open run.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::RuntimeFlavor;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt;
use super::clock::{Clock, SystemClock};
use super::context::{BlobFiles, Context, Progresses, Told};
use super::driver::{Driver, INBOX};
use super::handle::{Decided, Gone, Message, RunHandle};
use super::locks::{Holder, Locks as LockTable};
use super::options::{self, EngineOptions};
use super::perform::Hands;
use super::processes::{self, Survivors};
use super::projection;
use super::shared_steps::SharedSteps;
use super::{pulse, queries};
use crate::machine::fact::{Actor, Direction, LockScope, Millis};
use crate::machine::run::Locks;
use crate::machine::state::{Status, StepLocks};
use crate::machine::{Illegal, Input, Run, RunState, Verb};
use crate::plan::{Plan, PlanHash};
use crate::store::index::Index;
use crate::store::{
    Blobs, CommitError, Head, Journal, JournalFile, OpenReport, ReadError, RunLog, RunName, StateDir, StoreError,
    read_run,
};

/// Why an engine does not start, or a run does not.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its first transition could not be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Processes of dead attempts.
    #[error(transparent)]
    Survivors(#[from] Survivors),
    /// The machine refused its own event.
    #[error("a bug in bascule: please report it")]
    Bug(#[from] Illegal),
    /// A plan that lacks inputs.
    #[error("the plan lacks inputs: {}; give them with `--set inputs.NAME=VALUE` or in an overlay (`-f`)", .0.join(", "))]
    MissingInputs(Vec<String>),
    /// The run's task is gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The stored plan is damaged.
    #[error("the plan {0} of a run cannot be read from the state directory")]
    Plan(PlanHash, #[source] crate::plan::PlanError),
    /// The stored plan is gone.
    #[error("the plan {0} of a run is missing from the state directory")]
    NoPlan(PlanHash),
    /// A file of the state directory.
    #[error("{path} cannot be {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// `read`, `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A run that was open when the engine started.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// Which.
    pub run: RunName,
    /// How long no engine was there.
    pub away_ms: u64,
    /// What it was.
    pub state: RunState,
    /// Service: at the target or back at the source since then, or down since then.
    pub up_since: Option<Millis>,
    /// See above.
    pub down_since: Option<Millis>,
}

/// Executes the runs of one state directory.
pub struct Engine {
    pub(super) cx: Arc<Context>,
    pub(super) index: Index,
    pub(super) plans: Mutex<HashMap<PlanHash, Arc<Plan>>>,
    steps: SharedSteps,
    pub(super) numbers: Mutex<HashMap<String, u64>>,
    pub(super) reviving: tokio::sync::Mutex<()>,
    pub(super) report: OpenReport,
    pub(super) adopted: Vec<Adopted>,
    pub(super) ended: Vec<String>,
    pub(super) host: String,
}

impl Engine {
    /// Takes the directory, ends dead attempts, adopts all open runs.
    ///
    /// # Errors
    /// Somebody else owns it, it is damaged, or processes would not end.
    pub async fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let owned = StateDir::own(&options.state, options.take_over)?;
        let last_alive = pulse::read_pulse(&options.state);
        let state_id = pulse::state_id(&options.state)?;
        let disk = options.journal.disk.clone();
        // sled opens while the journal is read.
        let is_known = options.state.join("index").exists();
        let index = Index::start(&options.state, projection::LAYOUT, projection::projection())?;
        let (log, mut report) = match JournalFile::open(owned, options.journal) {
            Ok(opened) => opened,
            Err(error) => {
                index.close().await;
                return Err(error.into());
            }
        };
        let lost = if is_known { queries::lost(&index, &log).await } else { Vec::new() };
        report.stopped.extend(lost.iter().cloned());
        let log: Arc<dyn RunLog> = Arc::new(log);
        let blobs = Blobs::open(disk, &options.state)?;
        let cx = Arc::new(Context {
            state: options.state,
            state_id,
            registry: super::registry::executors(),
            secrets: options.secrets,
            locks: LockTable::default(),
            progress: Progresses::default(),
            blobs: BlobFiles::new(blobs),
            log,
            clock,
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            runs: Mutex::default(),
            attempts: Mutex::default(),
            stories: broadcast::Sender::new(4096),
            sayings: broadcast::Sender::new(64),
            exporter: options::exporter(options.otlp.as_deref()),
        });
        let host = pulse::host_name();
        let mut engine = Self {
            cx,
            index,
            plans: Mutex::default(),
            steps: SharedSteps::default(),
            numbers: Mutex::default(),
            reviving: tokio::sync::Mutex::new(()),
            report,
            adopted: vec![],
            ended: vec![],
            host,
        };
        engine.adopt_all(last_alive).await?;
        if lost.is_empty() {
            engine.cx.tasks.spawn(queries::follow(engine.cx.clone(), engine.index.clone()));
        }
        engine.cx.tasks.spawn(pulse::pulse(engine.cx.clone()));
        Ok(engine)
    }

    /// What was found when the journal was opened.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.report
    }

    /// The runs that were open when the engine started.
    #[must_use]
    pub fn adopted(&self) -> &[Adopted] {
        &self.adopted
    }

    /// The dead attempts whose processes were ended at the start.
    #[must_use]
    pub fn ended_attempts(&self) -> &[String] {
        &self.ended
    }

    /// The run log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn RunLog> {
        &self.cx.log
    }

    /// The state directory.
    #[must_use]
    pub fn state_dir(&self) -> &std::path::Path {
        &self.cx.state
    }

    /// How far running attempts are.
    #[must_use]
    pub fn progress(&self) -> &Progresses {
        &self.cx.progress
    }

    /// The time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.cx.clock
    }

    /// Every event from now on, once it is durable. A slow reader misses some and reads the log.
    #[must_use]
    pub fn stories(&self) -> broadcast::Receiver<Told> {
        self.cx.stories.subscribe()
    }

    /// What people at this engine should read.
    #[must_use]
    pub fn sayings(&self) -> broadcast::Receiver<String> {
        self.cx.sayings.subscribe()
    }

    async fn adopt_all(&mut self, last_alive: Option<Millis>) -> Result<(), EngineError> {
        let mut names = Vec::new();
        for entry in self.cx.log.runs().await? {
            self.saw_number(&entry.head.run);
            if !entry.head.is_final && entry.stopped.is_none() {
                names.push(entry.head.run);
            }
        }
        let open = self.read_all(names).await?;
        self.ended = self.end_dead_attempts(&open).await?;
        // Whoever holds locks holds them before anybody asks for any.
        for (run, head) in &open {
            self.restore_locks(run, &head.run);
            self.cx.exporter.iter().for_each(|exporter| exporter.adopted(head.run.as_str(), run));
        }
        let now = self.cx.clock.now();
        let mut drivers = Vec::new();
        for (run, head) in open {
            // A decision that was written down without an engine is no sign of one: the pulse is.
            let seen = last_alive.unwrap_or(head.at_ms);
            let away_ms = u64::try_from(now.wall.saturating_sub(seen)).unwrap_or(0);
            self.adopted.push(Adopted {
                run: head.run.clone(),
                away_ms,
                state: run.state,
                up_since: run.up_since,
                down_since: run.down_since,
            });
            let epoch = self.cx.log.claim(&head.run).await?.epoch;
            let recovered =
                Input::Recovered { epoch, host: self.host.clone(), pid: std::process::id(), away_ms: Some(away_ms) };
            drivers.push((self.driver(run, head, epoch), vec![recovered]));
        }
        for (driver, _) in &drivers {
            self.announce(driver);
        }
        for (driver, first) in drivers {
            ask_again(&driver);
            self.spawn(driver, first);
        }
        Ok(())
    }

    /// Reads runs back, on all processors: ten thousand take seconds on one.
    async fn read_all(&self, names: Vec<RunName>) -> Result<Vec<(Run, Head)>, EngineError> {
        let readers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(names.len() / 64 + 1);
        let runtime = tokio::runtime::Handle::current();
        let parts: Vec<&[RunName]> = names.chunks(names.len().div_ceil(readers).max(1)).collect();
        let read = |part: &[RunName]| {
            let read = part.iter().map(|name| runtime.block_on(self.read(name)));
            read.collect::<Result<Vec<_>, _>>()
        };
        let [first, others @ ..] = parts.as_slice() else { return Ok(Vec::new()) };
        if others.is_empty() || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            let mut open = Vec::new();
            for name in first.iter().chain(others.iter().copied().flatten()) {
                open.push(self.read(name).await?);
            }
            return Ok(open);
        }
        let found = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = parts.iter().map(|part| scope.spawn(|| read(part))).collect();
                threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
            })
        });
        let mut open = Vec::new();
        for part in found {
            open.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(open)
    }

    /// Before anything else happens to a run. What a finished attempt left running on purpose stays.
    async fn end_dead_attempts(&self, open: &[(Run, Head)]) -> Result<Vec<String>, EngineError> {
        let prefix = format!("{}/", self.cx.state_id);
        let mut dead = BTreeSet::new();
        for (run, head) in open {
            for (ix, direction) in &run.live {
                let record = run.step(*ix);
                let number = match direction {
                    Direction::Forward => record.attempts,
                    Direction::Undo => record.undo_attempts,
                };
                let label = attempt::label(*direction, number);
                dead.insert(format!("{prefix}{}/{}/{label}", head.run.as_str(), run.plan.step(*ix).id));
            }
        }
        if open.is_empty() {
            // Nothing was under way when the last engine ended.
            return Ok(Vec::new());
        }
        let finished = |id: &str| {
            let label = id.rsplit('/').next().unwrap_or("");
            (label.starts_with("forward-") || label.starts_with("undo-")) && !dead.contains(id)
        };
        Ok(processes::end(&prefix, finished).await?)
    }

    fn restore_locks(&self, run: &Run, name: &RunName) {
        if run.locks == Locks::Held {
            self.cx.locks.restore(Holder::new(name, &LockScope::Run), run.plan.locks.clone());
        }
        for (ix, step) in run.steps.iter().enumerate() {
            if step.locks == StepLocks::Held {
                let scope = LockScope::Step(run.plan.step(ix).id.clone());
                self.cx.locks.restore(Holder::new(name, &scope), run.plan.step(ix).locks.clone());
            }
        }
    }

    /// Reads a run back from the log, for looking.
    ///
    /// # Errors
    /// There is no such run, or it cannot be read.
    pub async fn read(&self, name: &RunName) -> Result<(Run, Head), EngineError> {
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

    /// A stored plan.
    ///
    /// # Errors
    /// Missing, damaged, or not the one that its name says.
    pub fn plan(&self, hash: &PlanHash) -> Result<Arc<Plan>, EngineError> {
        let plans = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans().get(hash) {
            return Ok(plan.clone());
        }
        let bytes = self.cx.blobs.get(hash.as_str())?.ok_or_else(|| EngineError::NoPlan(hash.clone()))?;
        let mut plan = Plan::read(&bytes, hash).map_err(|error| EngineError::Plan(hash.clone(), error))?;
        plan.share(|step| self.steps.share(step));
        // Somebody else may have read it meanwhile: then that one is shared.
        Ok(plans().entry(hash.clone()).or_insert_with(|| Arc::new(plan)).clone())
    }

    pub(super) fn driver(&self, run: Run, head: Head, epoch: u64) -> Driver {
        let (inbox, messages) = mpsc::channel(INBOX);
        let hands = Hands::new(self.cx.clone(), head.run.clone(), inbox);
        let journal = Journal::at(self.cx.log.clone(), head, epoch);
        Driver { cx: self.cx.clone(), run, journal, hands, inbox: messages }
    }

    /// Puts a run on the list: from here on others find it.
    pub(super) fn announce(&self, driver: &Driver) -> RunHandle {
        let handle = RunHandle { name: driver.hands.run.clone(), inbox: driver.hands.inbox.clone() };
        self.cx.runs().insert(handle.name.clone(), handle.clone());
        handle
    }

    pub(super) fn spawn(&self, driver: Driver, first: Vec<Input>) -> RunHandle {
        let handle = self.announce(&driver);
        let cx = self.cx.clone();
        let name = handle.name.clone();
        self.cx.tasks.spawn(async move {
            driver.drive(first).await;
            let mut runs = cx.runs();
            runs.remove(&name);
        });
        handle
    }

    /// The run's task, if it has one now.
    #[must_use]
    pub fn live(&self, name: &RunName) -> Option<RunHandle> {
        self.cx.runs().get(name).cloned()
    }

    /// Hands a person's verb to a run; answered once the decision is durable. A finished run is read again, so that
    /// notes can still be added.
    ///
    /// # Errors
    /// There is no such run, it cannot be read, or the engine is going down.
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
        while let Some(handle) = self.live(name) {
            if let Ok(decided) = handle.decide(verb.clone(), by.clone(), reason.clone()).await {
                return Ok(decided);
            }
            if self.cx.shutdown.is_cancelled() {
                return Err(EngineError::Gone(Gone(name.clone())));
            }
            // Its task ended and is about to take itself off the list.
            tokio::task::yield_now().await;
        }
        let (run, head) = self.read(name).await?;
        let epoch = head.epoch;
        let driver = self.driver(run, head, epoch);
        let inbox = driver.hands.inbox.clone();
        let (done, answer) = tokio::sync::oneshot::channel();
        let news = Message::News { input: Box::new(Input::Verb { verb, by, reason }), done: Some(done) };
        // Before the task begins: one of a finished run ends as soon as its inbox is empty.
        drop(inbox.send(news).await);
        self.spawn(driver, vec![]);
        answer.await.map_err(|_| EngineError::Gone(Gone(name.clone())))
    }

    /// The runs that have a task now.
    #[must_use]
    pub fn live_runs(&self) -> Vec<RunHandle> {
        self.cx.runs().values().cloned().collect()
    }

    /// Leaves all runs as they are, waits for their tasks, closes the log.
    ///
    /// # Errors
    /// What the log said.
    pub async fn stop(&self) -> Result<(), EngineError> {
        self.cx.shutdown.cancel();
        let inboxes: Vec<_> = self.cx.runs().values().map(|handle| handle.inbox.clone()).collect();
        for inbox in inboxes {
            drop(inbox.send(Message::Leave).await);
        }
        self.cx.tasks.close();
        // Attempts that would not stop are ended like those of a dead engine.
        let mine = |id: &str| !self.cx.attempts().contains(id);
        drop(processes::end(&format!("{}/", self.cx.state_id), mine).await);
        let told = *self.cx.log.news().borrow();
        self.cx.log.close().await?;
        queries::last_look(&self.index, told).await;
        options::last_words(self.cx.clone()).await;
        Ok(())
    }
}

/// Locks that were asked for, and for whose answer nobody waits any more.
fn ask_again(driver: &Driver) {
    let run = &driver.run;
    if matches!(run.locks, Locks::Requested | Locks::Awaited(_)) {
        driver.hands.acquire(LockScope::Run, run.plan.locks.clone(), Direction::Forward);
    }
    for (ix, step) in run.steps.iter().enumerate() {
        if step.locks == StepLocks::Requested {
            let direction = match step.status {
                Status::Forward(_) => Direction::Forward,
                Status::Undo { .. } => Direction::Undo,
            };
            let claims = run.plan.step(ix).locks.clone();
            driver.hands.acquire(LockScope::Step(run.plan.step(ix).id.clone()), claims, direction);
        }
    }
}
