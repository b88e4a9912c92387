//! Times of day in the reader's zone: the change's where the plan names one, otherwise the machine's.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
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
        Self::named(view.zone.as_deref())
    }

    /// The zone of this name, otherwise the machine's.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name.map(TimeZone::get) {
            Some(Ok(zone)) => Self { zone },
            Some(Err(_)) | None => Self::system(),
        }
    }

    /// The moment that somebody means: a time with its offset, one of this zone's, or a time of day, which is tomorrow's
    /// if it has passed.
    ///
    /// # Errors
    /// It is no time, the clocks of the zone do not show it exactly once, or it has passed.
    pub fn moment(&self, text: &str, now: Millis) -> Result<Millis, String> {
        let expected = || format!("expected a time such as `2026-11-28T22:00+01:00` or `23:30`, found `{text}`");
        let at = if let Ok(at) = text.parse::<Timestamp>() {
            at.as_millisecond()
        } else if let Some(reading) = Some(text).filter(|text| text.contains(['T', 't', ' '])).and_then(dated) {
            self.shown_once(reading)?
        } else {
            let clock = Some(text).filter(|text| text.contains(':')).and_then(|text| text.parse::<Time>().ok());
            let clock = clock.ok_or_else(expected)?;
            let today = self.zoned(now).date();
            match self.shown_once(today.to_datetime(clock))? {
                passed if passed <= now => {
                    let tomorrow = today.tomorrow().map_err(|error| error.to_string())?;
                    self.shown_once(tomorrow.to_datetime(clock))?
                }
                today => today,
            }
        };
        if at <= now { Err(format!("{} has passed", self.full(at))) } else { Ok(at) }
    }

    fn shown_once(&self, reading: DateTime) -> Result<Millis, String> {
        let at = self.zone.to_ambiguous_timestamp(reading).unambiguous();
        at.map(|at| at.as_millisecond())
            .map_err(|_| format!("the clocks show {reading} not exactly once: give it with its offset"))
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

fn dated(text: &str) -> Option<DateTime> {
    text.parse().ok()
}

/// `3m 05s ago`.
#[must_use]
pub fn ago(at: Millis, now: Millis) -> String {
    format!("{} ago", words::span(now.saturating_sub(at).max(0)))
}
