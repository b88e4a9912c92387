//! An engine: takes a state directory, ends what dead attempts left, adopts every open run.

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};

use bascule_plugin::on_one_line;
use tokio::runtime::RuntimeFlavor;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::complaints::Complaints;
use super::context::{BlobFiles, Context, Progresses};
use super::dead::Dead;
use super::error::EngineError;
use super::locks::{Holder, Locks as LockTable};
use super::options::{self, EngineOptions};
use super::place::{self, Former, StateId};
use super::projection;
use super::pulse::{self, Seen};
use super::shared_steps::SharedSteps;
use super::{attempt_log, queries};
use crate::machine::fact::{LockScope, Millis};
use crate::machine::input::NewOwner;
use crate::machine::run::Locks;
use crate::machine::state::StepLocks;
use crate::machine::{Event, Input, Run, RunState};
use crate::plan::policy::LockClaim;
use crate::plan::{Plan, PlanHash};
use crate::store::index::Index;
use crate::store::{Blobs, Head, Journal, JournalFile, OpenReport, ReadError, RunLog, RunName, StateDir, StoreError};

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
    pub(super) notes: Vec<String>,
    pub(super) host: String,
    pub(super) started: Millis,
}

impl Engine {
    /// Takes the directory, ends dead attempts, adopts all open runs.
    ///
    /// # Errors
    /// Somebody else owns it, it is damaged, or processes would not end or cannot be seen.
    pub async fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let owned = StateDir::own(&options.state, options.take_over)?;
        let seen = Seen::read(&options.state);
        let StateId { id: state_id, former, note } = place::state_id(&options.state)?;
        attempt_log::prepare_spare_notes(&options.state);
        let disk = options.journal.disk.clone();
        // sled opens while the journal is read.
        let is_known = options.state.join("index").exists();
        let index = Index::start(&options.state, projection::LAYOUT, projection::projection())?;
        // The engine keeps the directory for longer than the journal is open: the index lies in it, too.
        let (log, mut report) = match JournalFile::open_unlocked(&options.state, options.journal) {
            Ok(opened) => opened,
            Err(error) => {
                index.close().await;
                return Err(error.into());
            }
        };
        let lost = if is_known { queries::lost(&index, &log).await } else { Vec::new() };
        report.stopped.extend(lost.iter().cloned());
        let log: Arc<dyn RunLog> = Arc::new(log);
        let is_open = log.runs().await?.iter().any(|entry| !entry.head.is_final);
        let anchor = seen.anchor.as_ref().filter(|_| is_open);
        let clock = options.clock.unwrap_or_else(|| Arc::new(pulse::clock_after(anchor)));
        let (ahead, started) = (pulse::ahead(clock.now()), clock.now().steady);
        let blobs = Blobs::open(disk, &options.state)?;
        let cx = Arc::new(Context {
            owned: Mutex::new(Some(owned)),
            state: options.state,
            state_id: state_id.into(),
            registry: options.executors,
            secrets: options.secrets,
            locks: LockTable::default(),
            progress: Progresses::default(),
            blobs: BlobFiles::new(blobs),
            log,
            clock,
            tasks: TaskTracker::new(),
            drivers: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            over: CancellationToken::new(),
            lost: CancellationToken::new(),
            runs: Mutex::default(),
            given_up: Mutex::default(),
            seen: Mutex::new(seen.runs.clone()),
            clock_told: AtomicI64::new(ahead),
            attempts: Mutex::default(),
            stories: broadcast::Sender::new(4096),
            sayings: broadcast::Sender::new(64),
            complaints: Complaints::default(),
            exporter: options::exporter(options.otlp.as_deref()),
        });
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
            notes: note.into_iter().collect(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            started,
        };
        engine.adopt_all(&seen, &former).await?;
        if lost.is_empty() {
            engine.cx.tasks.spawn(queries::follow(engine.cx.clone(), engine.index.clone()));
        }
        engine.cx.tasks.spawn(pulse::pulse(engine.cx.clone()));
        Ok(engine)
    }

    async fn adopt_all(&mut self, seen: &Seen, former: &[Former]) -> Result<(), EngineError> {
        let (mut names, mut others) = (Vec::new(), HashMap::new());
        for entry in self.cx.log.runs().await? {
            let name = &entry.head.run;
            self.saw_number(name);
            if entry.head.is_final {
                self.cx.seen().remove(name);
                others.insert(entry.head.run, entry.head.at_ms);
            } else if entry.stopped.is_some() {
                // What it did stands: nobody takes what it holds until `repair` is told what to believe.
                self.hold_for(name).await;
                others.insert(entry.head.run, entry.head.at_ms);
            } else {
                names.push(entry.head.run);
            }
        }
        let mut open = Vec::new();
        for (name, read) in self.read_all(names).await {
            // One run that cannot be read must not keep the others from their way back.
            match read {
                Ok(read) => open.push(read),
                Err(error) => self.set_aside(&name, &error).await,
            }
        }
        let dead = Dead { open: &open, others: &others, seen, former };
        self.ended = self.end_dead_attempts(&dead).await?;
        let mut unended = self.out_of_sight(&dead).await?;
        // Whoever holds locks holds them before anybody asks for any.
        for (run, head) in &open {
            self.restore_locks(run, &head.run);
            self.cx.exporter.iter().for_each(|exporter| exporter.adopted(head.run.as_str(), run));
        }
        let now = self.cx.clock.now();
        let (mut drivers, mut gone) = (Vec::new(), HashMap::new());
        for (run, head) in open {
            let last = seen.last(&head.run, run.created, head.at_ms);
            let away_ms = u64::try_from(now.steady.saturating_sub(last)).unwrap_or(0);
            let epoch = match self.cx.log.claim(&head.run).await {
                Ok(lease) => lease.epoch,
                Err(error) => {
                    self.set_aside(&head.run, &error.into()).await;
                    continue;
                }
            };
            self.adopted.push(Adopted {
                run: head.run.clone(),
                away_ms,
                state: run.state,
                up_since: run.up_since,
                down_since: run.down_since,
            });
            let unended = unended.remove(&head.run).unwrap_or_default();
            let mut first = vec![Input::Recovered { owner: self.as_owner(epoch), away_ms: Some(away_ms), unended }];
            first.extend(self.requirements_gone(&run, &mut gone).await);
            drivers.push((self.driver(run, Journal::at(self.cx.log.clone(), head, epoch)), first));
        }
        for (driver, _) in &drivers {
            self.announce(driver);
        }
        // Requests for locks died with the queue: `Recovered` makes them again, those of a held run when it goes on.
        for (driver, first) in drivers {
            self.spawn(driver, first);
        }
        Ok(())
    }

    /// An open run that cannot be executed: it is listed with the reason, and nobody takes what it may hold.
    async fn set_aside(&mut self, name: &RunName, error: &EngineError) {
        let why = on_one_line(error);
        let next = match error {
            EngineError::Read(ReadError::Record { .. }) | EngineError::Plan(..) => {
                "`bascule audit verify` and `bascule repair` show what its log holds, a newer release may be able to read it"
            }
            EngineError::Store(StoreError::Closed { .. } | StoreError::DiskFull { .. }) => {
                "free some space or make the disk work again, then `bascule resume` executes it"
            }
            EngineError::Store(_)
            | EngineError::Read(_)
            | EngineError::Commit(_)
            | EngineError::NotEnded(_)
            | EngineError::Bug(_)
            | EngineError::MissingInputs(_)
            | EngineError::Gone(_)
            | EngineError::GivenUp { .. }
            | EngineError::MayExist(_)
            | EngineError::NoPlan(_)
            | EngineError::File { .. } => "`bascule audit verify` and `bascule repair` show what its log holds",
        };
        self.notes
            .push(format!("run {name} is not executed: {why}; processes that it left running were not ended. {next}"));
        tracing::error!(run = %name, %why, "an open run is not executed");
        self.cx.given_up().insert(name.clone(), why);
        self.hold_for(name).await;
    }

    /// Keeps the locks of a run that is open and cannot be executed; at the least that of its application.
    async fn hold_for(&self, name: &RunName) {
        let application = LockClaim { name: format!("app:{}", name.application()), take: None };
        let locks = self.plan_of(name).await.map_or_else(|| vec![application], |plan| plan.locks.clone());
        self.cx.locks.restore(Holder::new(name, &LockScope::Run), locks);
    }

    /// The plan of a run whose later transitions cannot be read.
    async fn plan_of(&self, name: &RunName) -> Option<Arc<Plan>> {
        let first = self.cx.log.read(name, 1, 1).await.ok()?;
        let records = crate::store::records(first.first()?).ok()?;
        let Event::Created { plan, .. } = &records.first()?.event else { return None };
        self.plan(plan).ok()
    }

    /// Reads runs back, on all processors: ten thousand take seconds on one.
    async fn read_all(&self, names: Vec<RunName>) -> Vec<(RunName, Result<(Run, Head), EngineError>)> {
        let readers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(names.len() / 64 + 1);
        let runtime = tokio::runtime::Handle::current();
        if readers < 2 || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            let mut found = Vec::new();
            for name in names {
                let read = self.read(&name).await;
                found.push((name, read));
            }
            return found;
        }
        let read = |part: &[RunName]| -> Vec<_> {
            part.iter().map(|name| (name.clone(), runtime.block_on(self.read(name)))).collect()
        };
        let parts: Vec<&[RunName]> = names.chunks(names.len().div_ceil(readers).max(1)).collect();
        let found = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = parts.iter().map(|part| scope.spawn(|| read(part))).collect();
                threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
            })
        });
        found.into_iter().flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    }

    /// This engine, as the owner of a run.
    pub(super) fn as_owner(&self, epoch: u64) -> NewOwner {
        let place = Some(self.cx.state_id.clone());
        NewOwner { epoch, host: self.host.clone(), pid: std::process::id(), place }
    }

    fn restore_locks(&self, run: &Run, name: &RunName) {
        if run.locks == Locks::Held {
            let mut locks = run.plan.locks.clone();
            locks.retain(|claim| claim.is_application() || run.holds_the_rest());
            self.cx.locks.restore(Holder::new(name, &LockScope::Run), locks);
        }
        for (ix, step) in run.steps.iter().enumerate() {
            if step.locks == StepLocks::Held {
                let scope = LockScope::Step(run.plan.step(ix).id.clone());
                self.cx.locks.restore(Holder::new(name, &scope), run.plan.step(ix).locks.clone());
            }
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
}
