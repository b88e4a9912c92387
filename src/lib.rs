//! Bascule: migration runbooks, executed durably, with an automatic way back.

pub mod machine;
pub mod plan;
pub mod runbook;
