//! Bascule: migration runbooks, executed durably, with an automatic way back.

pub mod runbook;

pub mod plan;

pub mod machine;

pub mod view;

pub mod store;

pub mod telemetry;

pub mod engine;

<<<<<<< HEAD
pub mod report;
=======
pub mod server;
>>>>>>> main

pub mod cli;
