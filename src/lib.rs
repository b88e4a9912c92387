//! Bascule: migration runbooks, executed durably, with an automatic way back.

pub mod store;
