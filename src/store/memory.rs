//! A run log in memory, for tests and simulation, that fails on request.
//!
//! It keeps the same contract as the journal and adds what a log on several machines would do: spurious refusals,
//! answers that get lost, leases that are taken over. Nothing of it survives the process. Start at [`MemoryLog::new`],
//! [`MemoryLog::opener`] and [`MemoryLog::fail_next`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::watch;

use super::commit::lock;
use super::damage::OpenReport;
use super::error::StoreError;
use super::format;
use super::log::{Appended, Durability, Lease, RunEntry, RunLog};
use super::record::{Cursor, Head, NewTransition, RunName, Transition};

/// How the next append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused as a conflict although nothing changed.
    SpuriousConflict,
    /// Not written, and the log goes on.
    NotWritten,
    /// Answered in doubt, and written.
    InDoubtWritten,
    /// Answered in doubt, and lost.
    InDoubtLost,
    /// Answered in doubt, written, and the log closes until it is reopened.
    CloseWritten,
    /// Answered in doubt, lost, and the log closes until it is reopened.
    CloseLost,
}

/// Decides for every append whether and how it fails.
pub type FaultPlan = Box<dyn FnMut(&NewTransition) -> Option<Fault> + Send>;

/// One opener of a log in memory.
pub struct MemoryLog {
    inner: Arc<Mutex<Inner>>,
    opener: u64,
}

struct Inner {
    runs: BTreeMap<RunName, Vec<u64>>,
    heads: BTreeMap<RunName, Head>,
    /// All transitions in log order; cursor n stands after the n-th.
    log: Vec<Transition>,
    leases: BTreeMap<RunName, (u64, u64)>,
    faults: VecDeque<Fault>,
    plan: Option<FaultPlan>,
    failed: bool,
    closed: bool,
    openers: u64,
    news: Option<watch::Sender<Cursor>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        let inner = Inner {
            runs: BTreeMap::new(),
            heads: BTreeMap::new(),
            log: Vec::new(),
            leases: BTreeMap::new(),
            faults: VecDeque::new(),
            plan: None,
            failed: false,
            closed: false,
            openers: 1,
            news: Some(watch::Sender::new(Cursor::START)),
        };
        Self { inner: Arc::new(Mutex::new(inner)), opener: 1 }
    }

    /// Another opener of the same log, as on another machine.
    #[must_use]
    pub fn opener(&self) -> Self {
        let mut inner = self.inner();
        inner.openers += 1;
        Self { inner: Arc::clone(&self.inner), opener: inner.openers }
    }

    /// Makes the next append that would succeed fail. Calls queue up.
    pub fn fail_next(&self, fault: Fault) {
        self.inner().faults.push_back(fault);
    }

    /// Asks `plan` about every append that would succeed.
    pub fn fail_by(&self, plan: FaultPlan) {
        self.inner().plan = Some(plan);
    }

    /// Ends the lease on a run, as if its owner had not renewed it in time.
    pub fn lapse(&self, run: &RunName) {
        self.inner().leases.remove(run);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

fn failed() -> StoreError {
    StoreError::Closed { cause: "an injected failure".into() }
}

impl Inner {
    fn head(&self, run: &RunName) -> Head {
        self.heads.get(run).cloned().unwrap_or_else(|| Head::none(run.clone()))
    }

    fn fault(&mut self, new: &NewTransition) -> Option<Fault> {
        let planned = self.plan.as_mut().and_then(|plan| plan(new));
        planned.or_else(|| self.faults.pop_front())
    }

    fn write(&mut self, new: &NewTransition) -> Head {
        let transition = new.after(self.head(&new.run).hash);
        self.log.push(transition);
        let transition = &self.log[self.log.len() - 1];
        let cursor = Cursor::from_u64(self.log.len() as u64);
        let head = Head {
            run: transition.run.clone(),
            version: transition.version,
            epoch: transition.epoch,
            hash: format::hash_of(transition),
            at_ms: transition.at_ms,
            is_final: transition.is_final,
            cursor,
        };
        self.runs.entry(new.run.clone()).or_default().push(cursor.to_u64() - 1);
        self.heads.insert(new.run.clone(), head.clone());
        if let Some(news) = &self.news {
            news.send_replace(cursor);
        }
        head
    }

    fn append(&mut self, new: &NewTransition) -> Appended {
        if self.closed {
            return Appended::NotWritten(StoreError::Closed { cause: "it was closed".into() });
        }
        if self.failed {
            return Appended::NotWritten(failed());
        }
        let head = self.head(&new.run);
        if head.version != new.expected || head.epoch > new.epoch {
            return Appended::Conflict(head);
        }
        let injected = |text: &str| StoreError::Injected(text.into());
        match self.fault(new) {
            None => Appended::Done(self.write(new)),
            Some(Fault::SpuriousConflict) => Appended::Conflict(head),
            Some(Fault::NotWritten) => Appended::NotWritten(injected("not written")),
            Some(Fault::InDoubtWritten) => {
                self.write(new);
                Appended::InDoubt(injected("written, and the answer lost"))
            }
            Some(Fault::InDoubtLost) => Appended::InDoubt(injected("lost")),
            Some(Fault::CloseWritten) => {
                self.write(new);
                self.failed = true;
                Appended::InDoubt(failed())
            }
            Some(Fault::CloseLost) => {
                self.failed = true;
                Appended::InDoubt(failed())
            }
        }
    }
}

#[async_trait]
impl RunLog for MemoryLog {
    async fn append(&self, new: NewTransition) -> Appended {
        self.inner().append(&new)
    }

    async fn read(&self, run: &RunName, from: u64, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let inner = self.inner();
        let Some(places) = inner.runs.get(run) else { return Ok(Vec::new()) };
        let skip = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
        let found = places.iter().skip(skip).take(limit);
        Ok(found.filter_map(|place| inner.log.get(usize::try_from(*place).ok()?).cloned()).collect())
    }

    async fn head(&self, run: &RunName) -> Result<Head, StoreError> {
        let inner = self.inner();
        if inner.failed { Err(failed()) } else { Ok(inner.head(run)) }
    }

    async fn runs(&self) -> Result<Vec<RunEntry>, StoreError> {
        let entry = |head: &Head| RunEntry { head: head.clone(), first: 1, stopped: None };
        Ok(self.inner().heads.values().map(entry).collect())
    }

    async fn page(&self, after: Cursor, limit: usize) -> Result<Vec<(Cursor, Transition)>, StoreError> {
        let inner = self.inner();
        let skip = usize::try_from(after.to_u64()).unwrap_or(usize::MAX);
        let rest = inner.log.iter().enumerate().skip(skip).take(limit);
        Ok(rest.map(|(index, transition)| (Cursor::from_u64(index as u64 + 1), transition.clone())).collect())
    }

    fn news(&self) -> watch::Receiver<Cursor> {
        self.inner().news.as_ref().map_or_else(|| watch::channel(Cursor::START).1, watch::Sender::subscribe)
    }

    async fn claim(&self, run: &RunName) -> Result<Lease, StoreError> {
        let mut inner = self.inner();
        if inner.failed || inner.closed {
            return Err(failed());
        }
        if let Some((opener, _)) = inner.leases.get(run) {
            return Err(StoreError::Claimed { run: run.clone(), by: format!("opener {opener}") });
        }
        let epoch = inner.head(run).epoch + 1;
        inner.leases.insert(run.clone(), (self.opener, epoch));
        Ok(Lease { run: run.clone(), epoch })
    }

    async fn renew(&self, lease: &Lease) -> Result<(), StoreError> {
        let inner = self.inner();
        let held = inner.leases.get(&lease.run) == Some(&(self.opener, lease.epoch));
        if held && inner.head(&lease.run).epoch <= lease.epoch {
            Ok(())
        } else {
            Err(StoreError::LeaseLost { run: lease.run.clone(), epoch: lease.epoch })
        }
    }

    async fn release(&self, lease: Lease) {
        let mut inner = self.inner();
        if inner.leases.get(&lease.run) == Some(&(self.opener, lease.epoch)) {
            inner.leases.remove(&lease.run);
        }
    }

    async fn reopen(&self) -> Result<OpenReport, StoreError> {
        let mut inner = self.inner();
        inner.failed = false;
        Ok(OpenReport { runs: inner.runs.len(), transitions: inner.log.len() as u64, ..OpenReport::default() })
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut inner = self.inner();
        inner.closed = true;
        inner.news = None;
        Ok(())
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}
