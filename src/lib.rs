//! Bascule: migration runbooks, executed durably, with an automatic way back.

pub mod runbook;

pub mod plan;

pub mod machine;

pub mod view;

pub mod store;

pub mod telemetry;

pub mod engine;

pub mod outlets;
pub mod report;

pub mod server;

pub mod cli;
