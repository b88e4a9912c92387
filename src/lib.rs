//! Bascule: migration runbooks, executed durably, with an automatic way back.

pub mod plan;
pub mod runbook;
