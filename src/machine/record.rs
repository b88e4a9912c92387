//! One event and its circumstances: what a transition of the log is made of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::fact::{Actor, Millis};

/// One event and its circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The engine's time: the wall time at which it started plus what has elapsed since.
    pub at: Millis,
    /// Who; absent: the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// Why, in the person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// What.
    pub event: Event,
}
