//! A small data centre on loopback: two platforms, machines that are real processes on real disk files, a load
//! balancer, DNS, backup, metrics, simulated users, faults on request, and a ledger of every effect.
//!
//! It stands for the systems of other people: it shares nothing with the engine, survives it, and speaks to it only over
//! the network. It never listens anywhere but on loopback. `README.md` beside this crate lists every route.
//!
//! Start with [`Lab`] to run one from a program, with [`serve()`] to follow how it is built, with [`cli()`] for the process
//! entry. In reading order: `disk` and `orders` (what is written), `vm`, `app` and `guest` (a machine), `platform*` and
//! `storage` (what is done with machines), `balancer`, `metrics`, `dns`, `backup`, then `once`, `ledger`, `faults` and
//! `wire` (what all services have in common).

mod app;
mod asked;
mod backup;
mod balancer;
mod cli;
mod clock;
mod control;
mod disk;
mod dns;
mod doors;
mod faults;
mod founding;
mod guest;
mod http;
mod launch;
mod ledger;
mod lifeline;
mod machine;
mod metrics;
mod once;
mod orders;
mod platform;
mod platform_api;
mod platform_deeds;
mod program;
mod refusal;
mod serve;
mod site;
mod storage;
mod users;
mod verify;
mod vm;
mod window;
mod wire;

pub use cli::cli;
pub use disk::{DiskError, Format, Header, Image, Order, checksum, read as read_disk, read_header as read_disk_header};
pub use faults::{Fault, FaultError, FaultKind};
pub use launch::{Lab, LabHandle, LaunchError, fault_kind};
pub use ledger::{Entry, EntryKind, LEDGER, LedgerError, read_ledger};
pub use serve::{LabOptions, ServeError, serve};
pub use site::{SITE, Site, SiteError};
pub use users::{Acked, USERS, UsersSummary, read_acked, summary as users_summary};
pub use verify::{Report, VerifyError, disk_of, verify_orders};
pub use vm::run_vm;
pub use window::Side;
