//! Times of day for people: in the zone of the change, with its offset; in UTC where nobody named one.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::machine::fact::Millis;
use crate::plan::Plan;

/// Writes times in one zone.
#[derive(Debug, Clone)]
pub(super) struct Hours {
    zone: TimeZone,
    /// For the reader: `Europe/Paris`, `UTC`.
    pub(super) name: String,
    /// Everything happened on one day, so times of day are enough.
    pub(super) one_day: bool,
}

impl Hours {
    /// The zone of a plan's change. `from` and `to` are the first and the last time that will be written.
    pub(super) fn of(plan: &Plan, from: Millis, to: Millis) -> Self {
        let wanted = plan.policies.change.as_ref().and_then(|change| change.zone.as_deref());
        let (zone, name) = match wanted.map(|name| (TimeZone::get(name), name)) {
            Some((Ok(zone), name)) => (zone, name.to_owned()),
            // The page was made where the zone is not known: it says so rather than guessing an offset.
            Some((Err(_), name)) => (TimeZone::UTC, format!("UTC ({name} is not known on this machine)")),
            None => (TimeZone::UTC, "UTC".to_owned()),
        };
        let mut hours = Self { zone, name, one_day: false };
        hours.one_day = hours.write(from, "%F") == hours.write(to, "%F");
        hours
    }

    fn write(&self, at: Millis, format: &str) -> String {
        match Timestamp::from_millisecond(at) {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => format!("{at} ms"),
        }
    }

    /// `23:41:07`, with the day where the run has several.
    pub(super) fn time(&self, at: Millis) -> String {
        self.write(at, if self.one_day { "%H:%M:%S" } else { "%-d %b %H:%M:%S" })
    }

    /// `23:41`, for the marks of an axis.
    pub(super) fn mark(&self, at: Millis, with_seconds: WithSeconds) -> String {
        self.write(
            at,
            match with_seconds {
                WithSeconds::Fractions => "%H:%M:%S%.1f",
                WithSeconds::Yes => "%H:%M:%S",
                WithSeconds::No => "%H:%M",
                WithSeconds::DayOnly => "%-d %b",
            },
        )
    }

    /// How far the zone is ahead of UTC.
    pub(super) fn offset_ms(&self, at: Millis) -> i64 {
        let offset = |time: Timestamp| i64::from(self.zone.to_offset(time).seconds()) * 1_000;
        Timestamp::from_millisecond(at).map_or(0, offset)
    }

    /// `2026-11-28 23:41:07 +01:00`.
    pub(super) fn moment(&self, at: Millis) -> String {
        self.write(at, "%F %T %:z")
    }
}

/// How fine the marks of an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithSeconds {
    Fractions,
    Yes,
    No,
    DayOnly,
}
