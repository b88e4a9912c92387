//! Times of day in the reader's zone: the change's where the plan names one, otherwise the machine's.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::machine::fact::Millis;
use crate::view::{RunView, words};

/// A zone that times are shown in.
#[derive(Debug, Clone)]
pub struct Zone {
    zone: TimeZone,
}

impl Zone {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self { zone: TimeZone::try_system().unwrap_or(TimeZone::UTC) }
    }

    /// The one in which people read a run.
    #[must_use]
    pub fn of(view: &RunView) -> Self {
        match view.zone.as_deref().map(TimeZone::get) {
            Some(Ok(zone)) => Self { zone },
            Some(Err(_)) | None => Self::system(),
        }
    }

    fn zoned(&self, at: Millis) -> jiff::Zoned {
        Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone())
    }

    /// `23:41:07`.
    #[must_use]
    pub fn clock(&self, at: Millis) -> String {
        self.zoned(at).strftime("%H:%M:%S").to_string()
    }

    /// `23:41`.
    #[must_use]
    pub fn minute(&self, at: Millis) -> String {
        self.zoned(at).strftime("%H:%M").to_string()
    }

    /// `2026-11-28 23:41:07 +01:00`.
    #[must_use]
    pub fn full(&self, at: Millis) -> String {
        self.zoned(at).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// `23:41`, `23:41:07` within ten minutes of reading, `Nov 28 23:41` on other days.
    #[must_use]
    pub fn near(&self, at: Millis, now: Millis) -> String {
        let (then, today) = (self.zoned(at), self.zoned(now));
        if at.saturating_sub(now).abs() < 600_000 {
            self.clock(at)
        } else if then.date() == today.date() {
            self.minute(at)
        } else {
            then.strftime("%b %-d %H:%M").to_string()
        }
    }
}

/// `3m 05s ago`.
#[must_use]
pub fn ago(at: Millis, now: Millis) -> String {
    format!("{} ago", words::span(now.saturating_sub(at).max(0)))
}
