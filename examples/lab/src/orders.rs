//! The application's store: orders appended durably to the machine's disk by one thread, its only writer.
//!
//! An order is acknowledged after fdatasync, never before; orders that wait together share one. Stopping writes is
//! ordered with the writes themselves, so that after `quiesce` has been answered nothing more reaches the disk. Start with
//! [`OrderLog::open`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::disk::{self, DiskError, Image, Order, Writer};
use crate::faults::{Board, FaultKind};

/// Orders that may wait for the disk; more users wait in front of the door.
const QUEUE: usize = 1024;
/// Orders that share one flush.
const BATCH: usize = 256;

/// Whether the application takes orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Mode {
    /// Stopped in an orderly way: the application of a machine that goes away.
    pub quiesced: bool,
    /// Writes are forbidden from outside: the fence of a rollback.
    pub fenced: bool,
}

impl Mode {
    pub(crate) fn is_writable(self) -> bool {
        !self.quiesced && !self.fenced
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self { fenced: true, quiesced: _ } => "fenced",
            Self { fenced: false, quiesced: true } => "quiesced",
            Self { fenced: false, quiesced: false } => "running",
        }
    }
}

/// Why an order was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    #[error("the application does not take orders: it is {}", .0.as_str())]
    Stopped(Mode),
    #[error("no space left on device")]
    DiskFull,
    #[error("the order could not be written: {0}")]
    Disk(String),
    #[error("the application is ending")]
    Ending,
}

/// What is on disk, as readers see it.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub orders: Vec<Order>,
    by_id: HashMap<String, usize>,
    pub mode: Mode,
}

impl Shelf {
    fn fill(orders: Vec<Order>, mode: Mode) -> Self {
        let by_id = orders.iter().enumerate().map(|(at, order)| (order.id.clone(), at)).collect();
        Self { orders, by_id, mode }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Order> {
        self.by_id.get(id).and_then(|at| self.orders.get(*at))
    }
}

enum Job {
    /// Answered with whether the order is new.
    Append(Order, oneshot::Sender<Result<bool, Rejected>>),
    Switch(Mode, oneshot::Sender<Result<(), String>>),
}

/// A handle of the store.
#[derive(Clone)]
pub(crate) struct OrderLog {
    jobs: mpsc::Sender<Job>,
    shelf: Arc<RwLock<Shelf>>,
    path: Arc<Path>,
}

impl OrderLog {
    /// Opens the disk, locks it, and starts the writing thread. Blocks while another machine still holds the disk.
    pub(crate) fn open(path: &Path, mode: Mode, faults: Arc<Board>) -> Result<(Self, Image), DiskError> {
        let (writer, _before) = Writer::open(path)?;
        writer.lock()?;
        // The machine that held the lock may have written until it let go.
        let (image, path) = (disk::read(path)?, path.to_owned());
        let shelf = Arc::new(RwLock::new(Shelf::fill(image.orders.clone(), mode)));
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let shared = Arc::from(path.as_path());
        let mut clerk = Clerk { writer, path, faults, shelf: Arc::clone(&shelf) };
        std::thread::spawn(move || clerk.work(inbox));
        Ok((Self { jobs, shelf, path: shared }, image))
    }

    /// Appends an order; `false` if it is on disk already.
    pub(crate) async fn append(&self, order: Order) -> Result<bool, Rejected> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Append(order, reply)).await.map_err(|_| Rejected::Ending)?;
        answer.await.map_err(|_| Rejected::Ending)?
    }

    /// Starts or stops taking orders; answered when no write is on its way any more. Starting reads the disk again.
    pub(crate) async fn switch(&self, mode: Mode) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let ending = |_| "the application is ending".to_owned();
        self.jobs.send(Job::Switch(mode, reply)).await.map_err(|_| "the application is ending".to_owned())?;
        answer.await.map_err(ending)?
    }

    /// The disk's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at what is on disk.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Shelf) -> T) -> T {
        look(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Clerk {
    writer: Writer,
    path: PathBuf,
    faults: Arc<Board>,
    shelf: Arc<RwLock<Shelf>>,
}

type Waiting = Vec<(Order, oneshot::Sender<Result<bool, Rejected>>)>;

impl Clerk {
    fn work(&mut self, mut inbox: mpsc::Receiver<Job>) {
        let mut waiting: Waiting = Vec::new();
        while let Some(first) = inbox.blocking_recv() {
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Append(order, reply) => waiting.push((order, reply)),
                    Job::Switch(mode, reply) => {
                        self.flush(&mut waiting);
                        // Whoever asked may be gone; the switch stands.
                        drop(reply.send(self.switch(mode)));
                    }
                }
                next = if waiting.len() < BATCH { inbox.try_recv().ok() } else { None };
            }
            self.flush(&mut waiting);
        }
    }

    fn flush(&mut self, waiting: &mut Waiting) {
        let batch = std::mem::take(waiting);
        let mode = self.with(|shelf| shelf.mode);
        let mut fresh: Waiting = Vec::with_capacity(batch.len());
        for (order, reply) in batch {
            let known =
                self.with(|shelf| shelf.find(&order.id).is_some()) || fresh.iter().any(|(one, _)| one.id == order.id);
            let verdict = if known {
                Some(Ok(false))
            } else if !mode.is_writable() {
                Some(Err(Rejected::Stopped(mode)))
            } else if self.faults.strike("vm", FaultKind::DiskFull).is_some() {
                Some(Err(Rejected::DiskFull))
            } else {
                None
            };
            match verdict {
                // A user who is gone needs no answer.
                Some(verdict) => drop(reply.send(verdict)),
                None => fresh.push((order, reply)),
            }
        }
        if !fresh.is_empty() {
            self.write(fresh);
        }
    }

    fn write(&mut self, fresh: Waiting) {
        let written = self.writer.append(fresh.iter().map(|(order, _)| order.raw.as_str()));
        let (orders, replies): (Vec<_>, Vec<_>) = fresh.into_iter().unzip();
        let verdict = match written {
            Ok(_bytes) => {
                let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
                for order in orders {
                    let at = shelf.orders.len();
                    shelf.by_id.insert(order.id.clone(), at);
                    shelf.orders.push(order);
                }
                Ok(true)
            }
            Err(error) => Err(Rejected::Disk(error.to_string())),
        };
        for reply in replies {
            drop(reply.send(verdict.clone()));
        }
    }

    fn switch(&mut self, mode: Mode) -> Result<(), String> {
        let stopped = !self.with(|shelf| shelf.mode.is_writable());
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        if stopped {
            // While it was stopped a reverse sync may have brought orders home.
            let (writer, image) = Writer::open(&self.path).map_err(|error| error.to_string())?;
            // Both handles are of this process; the lock moves to the new one when the old one closes.
            let before = std::mem::replace(&mut self.writer, writer);
            drop(before);
            self.writer.lock().map_err(|error| error.to_string())?;
            *shelf = Shelf::fill(image.orders, mode);
        } else {
            shelf.mode = mode;
        }
        Ok(())
    }

    fn with<T>(&self, look: impl FnOnce(&Shelf) -> T) -> T {
        look(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Format, Header};

    fn disk(dir: &Path) -> PathBuf {
        let path = dir.join("app.vmdk");
        let header = Header {
            format: Format::Vmdk,
            uuid: "u".to_owned(),
            vm: "app".to_owned(),
            drivers: Vec::new(),
            guest_tools: String::new(),
        };
        disk::create(&path, &header, []).expect("an image");
        path
    }

    fn order(id: &str) -> Order {
        Order { id: id.to_owned(), raw: format!(r#"{{"id":"{id}"}}"#) }
    }

    #[tokio::test]
    async fn an_acknowledged_order_is_on_disk_and_counted_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = disk(dir.path());
        let (log, _) = OrderLog::open(&path, Mode::default(), Arc::new(Board::new())).expect("a store");
        assert_eq!(log.append(order("a")).await, Ok(true));
        assert_eq!(log.append(order("a")).await, Ok(false));
        assert_eq!(disk::read(&path).expect("the image").orders, [order("a")]);
    }

    #[tokio::test]
    async fn a_stopped_store_takes_nothing_and_sees_what_came_home_when_it_starts() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = disk(dir.path());
        let (log, _) = OrderLog::open(&path, Mode::default(), Arc::new(Board::new())).expect("a store");
        let stopped = Mode { quiesced: true, fenced: false };
        log.switch(stopped).await.expect("a stop");
        assert_eq!(log.append(order("a")).await, Err(Rejected::Stopped(stopped)));
        Writer::open(&path).expect("the image").0.append([order("b").raw.as_str()]).expect("a reverse sync");
        log.switch(Mode::default()).await.expect("a start");
        assert!(log.with(|shelf| shelf.find("b").is_some()));
        assert_eq!(log.append(order("b")).await, Ok(false));
        assert_eq!(log.append(order("c")).await, Ok(true));
        assert_eq!(disk::read(&path).expect("the image").orders, [order("b"), order("c")]);
    }

    #[tokio::test]
    async fn a_full_disk_refuses_the_order_and_keeps_it_off_the_disk() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = disk(dir.path());
        let faults = Arc::new(Board::new());
        faults.add(crate::faults::Fault::new("vm:app", FaultKind::DiskFull).times(1));
        let (log, _) = OrderLog::open(&path, Mode::default(), faults).expect("a store");
        assert_eq!(log.append(order("a")).await, Err(Rejected::DiskFull));
        assert_eq!(log.append(order("a")).await, Ok(true));
    }
}
