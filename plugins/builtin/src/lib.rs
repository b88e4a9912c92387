//! The executors that Bascule carries, one file each; [`registry::builtin`] is the visible list.
//!
//! An executor sees the contract (`bascule-plugin`) and nothing else of Bascule: no run, no plan,
//! no journal. What several executors need has one home: [`process`] starts and ends local
//! processes, [`proc_table`] finds them, `http` speaks HTTP, `dns` asks name servers, `files` holds the rules for paths,
//! `params` reads `with`, `period` reads durations.
//!
//! Every executor has a page in `docs/executors` and passes the conformance checks of the
//! contract; a test holds both.

pub mod proc_table;
pub mod process;
pub mod registry;
pub mod spare_notes;
mod word;

mod command;
mod dns;
mod dns_check;
mod files;
mod http;
mod noop;
mod params;
mod period;
mod tcp_probe;
mod wait;
