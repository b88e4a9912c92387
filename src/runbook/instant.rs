//! Times as people write them: local, with a zone or an offset, and the intervals of change windows.
//!
//! `2026-11-28T22:00` is a local time and needs a zone; `2026-11-28T22:00+01:00` and `…Z` stand alone.
//! `2026-11-28T22:00/04:00` is an interval: its end is the next time that the clock shows 04:00; a full
//! time or a duration (`/6h`) may stand there too. Nothing here asks for the present. The rules of zones
//! come from the zone database that jiff finds on the machine.

use jiff::civil::{DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use thiserror::Error;

use super::duration;
use super::model::Millis;

/// A time as written: a local clock reading, and its offset if one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    reading: DateTime,
    offset: Option<Offset>,
}

/// An interval as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalInterval {
    from: LocalTime,
    until: Until,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Clock(Time),
    At(LocalTime),
    For(Millis),
}

/// A time that cannot be read or does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// The text is no time.
    #[error("expected a time such as `2026-11-28T22:00`, found `{0}`")]
    NotATime(String),
    /// The text is no interval.
    #[error("expected an interval such as `2026-11-28T22:00/04:00`, found `{0}`")]
    NotAnInterval(String),
    /// A local time without a zone.
    #[error("`{0}` is a local time and no zone is given")]
    NoZone(String),
    /// A zone that the database does not have.
    #[error("no zone is called `{0}`")]
    UnknownZone(String),
    /// The clock is put forward over it.
    #[error("the clocks of {zone} never show {reading}: they are put forward over it")]
    InGap {
        /// The zone.
        zone: String,
        /// The reading.
        reading: String,
    },
    /// The clock is put back over it.
    #[error("the clocks of {zone} show {reading} twice that night")]
    Twice {
        /// The zone.
        zone: String,
        /// The reading.
        reading: String,
    },
    /// The end is not after the start.
    #[error("the interval ends before it begins")]
    Backwards,
    /// Outside of the years -9999 to 9999.
    #[error("the time is out of range")]
    OutOfRange,
}

impl LocalTime {
    /// Reads `2026-11-28T22:00`, with seconds, an offset or `Z` if written.
    ///
    /// # Errors
    /// If the text is no such time.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::NotATime(text.to_owned());
        if !text.contains(['T', 't', ' ']) {
            return Err(wrong());
        }
        let (reading, offset) = split_offset(text).ok_or_else(wrong)?;
        let reading: DateTime = reading.parse().map_err(|_error| wrong())?;
        Ok(Self { reading, offset })
    }

    /// UTC milliseconds.
    ///
    /// # Errors
    /// If it is a local time and there is no zone, the zone is unknown, or the reading does not exist
    /// exactly once in it.
    pub fn resolve(self, zone: Option<&str>) -> Result<i64, TimeError> {
        if let Some(offset) = self.offset {
            return offset
                .to_timestamp(self.reading)
                .map(|time| time.as_millisecond())
                .map_err(|_error| TimeError::OutOfRange);
        }
        let Some(zone) = zone else { return Err(TimeError::NoZone(self.reading.to_string())) };
        let rules = find_zone(zone)?;
        let ambiguous = rules.to_ambiguous_timestamp(self.reading);
        let named = || (zone.to_owned(), self.reading.to_string());
        match ambiguous.offset() {
            jiff::tz::AmbiguousOffset::Unambiguous { .. } => {}
            jiff::tz::AmbiguousOffset::Gap { .. } => {
                let (zone, reading) = named();
                return Err(TimeError::InGap { zone, reading });
            }
            jiff::tz::AmbiguousOffset::Fold { .. } => {
                let (zone, reading) = named();
                return Err(TimeError::Twice { zone, reading });
            }
        }
        ambiguous.unambiguous().map(|time| time.as_millisecond()).map_err(|_error| TimeError::OutOfRange)
    }
}

impl LocalInterval {
    /// Reads `start/end`, where the end is a time of day, a full time, or a duration.
    ///
    /// # Errors
    /// If the text is no such interval.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::NotAnInterval(text.to_owned());
        let (from, until) = text.split_once('/').ok_or_else(wrong)?;
        let from = LocalTime::parse(from)?;
        let until = match (LocalTime::parse(until), until.parse::<Time>()) {
            (Ok(time), _) => Until::At(time),
            (Err(_), Ok(clock)) if until.contains(':') => Until::Clock(clock),
            (Err(_), Ok(_) | Err(_)) => Until::For(duration::parse(until).map_err(|_error| wrong())?),
        };
        Ok(Self { from, until })
    }

    /// Start and end in UTC milliseconds.
    ///
    /// # Errors
    /// As [`LocalTime::resolve`], and if the end is not after the start.
    pub fn resolve(self, zone: Option<&str>) -> Result<(i64, i64), TimeError> {
        let from = self.from.resolve(zone)?;
        let until = match self.until {
            Until::For(Millis(length)) => {
                i64::try_from(length).ok().and_then(|length| from.checked_add(length)).ok_or(TimeError::OutOfRange)?
            }
            Until::At(time) => time.resolve(zone)?,
            Until::Clock(clock) => {
                let mut reading = self.from.reading.date().to_datetime(clock);
                if reading <= self.from.reading {
                    let next = self.from.reading.date().tomorrow().map_err(|_error| TimeError::OutOfRange)?;
                    reading = next.to_datetime(clock);
                }
                LocalTime { reading, offset: self.from.offset }.resolve(zone)?
            }
        };
        if until <= from { Err(TimeError::Backwards) } else { Ok((from, until)) }
    }
}

/// Whether the zone exists.
///
/// # Errors
/// If it does not.
pub fn check_zone(name: &str) -> Result<(), TimeError> {
    find_zone(name).map(|_zone| ())
}

/// The names of all zones, for suggestions.
#[must_use]
pub fn zone_names() -> Vec<String> {
    jiff::tz::db().available().map(|name| name.to_string()).collect()
}

fn find_zone(name: &str) -> Result<TimeZone, TimeError> {
    TimeZone::get(name).map_err(|_error| TimeError::UnknownZone(name.to_owned()))
}

/// Splits `…Z` and `…+01:00` off a time. `None` if what looks like an offset is none.
fn split_offset(text: &str) -> Option<(&str, Option<Offset>)> {
    if let Some(reading) = text.strip_suffix(['Z', 'z']) {
        return Some((reading, Some(Offset::UTC)));
    }
    let clock = text.find(['T', 't', ' '])?;
    let Some(sign) = text.get(clock..)?.find(['+', '-']).map(|at| clock + at) else {
        return Some((text, None));
    };
    let digits: String = text.get(sign + 1..)?.chars().filter(|c| *c != ':').collect();
    if !digits.chars().all(|c| c.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |rest| rest.parse().ok())?;
    let seconds = (hours * 60 + minutes) * 60;
    let signed = if text.get(sign..)?.starts_with('-') { -seconds } else { seconds };
    Offset::from_seconds(signed).ok().map(|offset| (text.get(..sign).unwrap_or(""), Some(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().expect("a timestamp").as_millisecond()
    }

    #[test]
    fn local_times_need_a_zone_and_offsets_do_not() {
        let local = LocalTime::parse("2026-11-28T22:00").expect("a time");
        assert_eq!(local.resolve(Some("Europe/Paris")), Ok(at("2026-11-28T21:00:00Z")));
        assert_eq!(local.resolve(None), Err(TimeError::NoZone("2026-11-28T22:00:00".into())));
        assert_eq!(local.resolve(Some("Mars/Base")), Err(TimeError::UnknownZone("Mars/Base".into())));
        for text in ["2026-11-28T22:00+01:00", "2026-11-28T21:00Z", "2026-11-28 16:00:00-0500"] {
            let fixed = LocalTime::parse(text).expect("a time");
            assert_eq!(fixed.resolve(None), Ok(at("2026-11-28T21:00:00Z")), "{text}");
        }
    }

    #[test]
    fn an_interval_ends_at_the_next_time_on_the_clock() {
        let interval =
            |text: &str| LocalInterval::parse(text).and_then(|interval| interval.resolve(Some("Europe/Paris")));
        let start = at("2026-11-28T21:00:00Z");
        assert_eq!(interval("2026-11-28T22:00/04:00"), Ok((start, start + 6 * HOUR)));
        assert_eq!(interval("2026-11-28T22:00/23:30"), Ok((start, start + HOUR + HOUR / 2)));
        assert_eq!(interval("2026-11-28T22:00/6h"), Ok((start, start + 6 * HOUR)));
        assert_eq!(interval("2026-11-28T22:00/2026-11-29T22:00"), Ok((start, start + 24 * HOUR)));
        assert_eq!(interval("2026-11-28T22:00+01:00/04:00"), Ok((start, start + 6 * HOUR)));
        // The night in which the clocks are put back is an hour longer.
        assert_eq!(interval("2026-10-24T22:00/04:00").map(|(from, until)| until - from), Ok(7 * HOUR));
        assert_eq!(interval("2026-11-28T22:00/2026-11-28T21:00"), Err(TimeError::Backwards));
    }

    #[test]
    fn times_that_do_not_exist_once_are_refused() {
        let resolve = |text: &str| LocalTime::parse(text).and_then(|time| time.resolve(Some("Europe/Paris")));
        assert!(matches!(resolve("2026-03-29T02:30"), Err(TimeError::InGap { .. })));
        assert!(matches!(resolve("2026-10-25T02:30"), Err(TimeError::Twice { .. })));
        assert_eq!(resolve("2026-10-25T02:30+02:00"), Ok(at("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "tomorrow", "2026-11-28", "22:00", "2026-13-28T22:00", "2026-11-28T25:00", "2026-11-28T22:00+1"]
        {
            assert!(LocalTime::parse(text).is_err(), "{text}");
        }
        for text in ["2026-11-28T22:00", "2026-11-28T22:00/", "/04:00", "2026-11-28T22:00/later", "2026-11-28T22:00/4"]
        {
            assert!(LocalInterval::parse(text).is_err(), "{text}");
        }
    }
}
