//! Where truth is kept: the run log, and what is built on it.
//!
//! [`RunLog`] is the contract, with [`JournalFile`] as the durable default and [`MemoryLog`] for tests and simulation.
//! A transition's payload is opaque here. Nothing in this module decides what a run does, and nothing outside it writes
//! a file of the journal. Read in this order: `record`, `log`, `format`, `scan`, `history`, `writer`, `commit`,
//! `journal_file`; then `state_dir`, `blobs`, `index`, `repair`, `verify`.

pub mod blobs;
mod commit;
pub mod damage;
pub mod disk;
mod error;
mod format;
mod history;
pub mod index;
pub mod journal;
mod journal_file;
mod lead;
mod log;
mod memory;
mod pruned;
mod reader;
mod record;
pub mod repair;
mod scan;
mod segment;
mod snapshot;
mod spare;
mod state_dir;
pub mod verify;
mod writer;

pub use self::blobs::Blobs;
pub use self::damage::{OpenReport, StoppedRun};
pub use self::error::{BadRecord, StoreError};
pub use self::journal::{
    CommitError, InDoubt, Journal, Permit, ReadError, Replay, Resolved, read_known, read_run, records,
};
pub use self::journal_file::{JournalFile, JournalOptions};
pub use self::log::{Appended, Durability, Lease, RunEntry, RunLog, Settled, Watch, settle};
pub use self::memory::{Fault, FaultPlan, MemoryLog};
pub use self::record::{Cursor, Hash, Head, NewTransition, Payload, RunName, Transition};
pub use self::snapshot::{SegmentFile, Snapshot};
pub use self::state_dir::{ENGINE_LOG, Owner, StateDir, TakeOver, create_private, overwrite, owner_of};
pub use self::writer::Sizes;
