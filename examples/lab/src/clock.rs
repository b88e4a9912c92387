//! The lab's own wall time: ledgers, backups and DNS answers of a data centre carry its clock, not the engine's.
//!
//! Never used to decide anything that a test waits for. Start with [`now_ms`].

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "the lab stands for other people's systems, which have clocks of their own"
)]
pub(crate) fn now_ms() -> u64 {
    // A clock before 1970 is a broken machine; its figures are shown as 1970 and not guessed.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
