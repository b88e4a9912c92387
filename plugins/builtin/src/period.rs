//! Durations as runbooks write them: `500ms`, `90s`, `30m`, `1h30m`, `14d`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// The units, largest first: that is the order in which they are written.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Longer than any run; more is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A duration in a step's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeriodError {
    /// Nothing is written.
    #[error("a duration is empty; write one such as 90s, 30m or 1h30m")]
    Empty,
    /// No digits where a number must be.
    #[error("the duration `{text}` needs a whole number before each unit, as in 90s or 1h30m")]
    NoNumber {
        /// The whole text.
        text: String,
    },
    /// A number alone.
    #[error("the duration `{text}` does not say its unit; write `{text}s` for seconds or `{text}m` for minutes")]
    NoUnit {
        /// The whole text.
        text: String,
    },
    /// A word that is no unit.
    #[error("`{unit}` in the duration `{text}` is no unit; the units are d, h, m, s and ms")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The word.
        unit: String,
    },
    /// Units out of order, or twice.
    #[error("the units of the duration `{text}` are out of order; write large before small and each once, as in 1h30m")]
    Order {
        /// The whole text.
        text: String,
    },
    /// More than a year.
    #[error("the duration `{text}` is longer than 366 days")]
    TooLong {
        /// The whole text.
        text: String,
    },
}

impl Period {
    /// Reads a duration.
    pub(crate) fn parse(text: &str) -> Result<Self, PeriodError> {
        let whole = || text.to_owned();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(PeriodError::Empty);
        }
        let (mut total_ms, mut units) = (0_u64, UNITS.as_slice());
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                return Err(PeriodError::NoNumber { text: whole() });
            }
            let (number, after) = rest.split_at(digits);
            let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
            let (unit, after) = after.split_at(letters);
            if unit.is_empty() {
                let alone = after.is_empty() && total_ms == 0;
                let text = whole();
                return Err(if alone { PeriodError::NoUnit { text } } else { PeriodError::NoNumber { text } });
            }
            let Some((_, unit_ms)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(PeriodError::UnknownUnit { text: whole(), unit: unit.to_owned() });
            };
            let Some(place) = units.iter().position(|(name, _)| *name == unit) else {
                return Err(PeriodError::Order { text: whole() });
            };
            units = units.get(place + 1..).unwrap_or_default();
            let number: u64 = number.parse().map_err(|_| PeriodError::TooLong { text: whole() })?;
            total_ms = number
                .checked_mul(*unit_ms)
                .and_then(|part| part.checked_add(total_ms))
                .ok_or_else(|| PeriodError::TooLong { text: whole() })?;
            rest = after;
        }
        let total = Duration::from_millis(total_ms);
        if total > LONGEST { Err(PeriodError::TooLong { text: whole() }) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            if left >= unit_ms {
                write!(f, "{}{unit}", left / unit_ms)?;
                left %= unit_ms;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^\s*(\d+(d|h|m|s|ms))+\s*$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        let read = |text| Period::parse(text).map(|period| period.0.as_millis());
        assert_eq!(read("500ms"), Ok(500));
        assert_eq!(read("90s"), Ok(90_000));
        assert_eq!(read("30m"), Ok(1_800_000));
        assert_eq!(read("1h30m"), Ok(5_400_000));
        assert_eq!(read("1m500ms"), Ok(60_500));
        assert_eq!(read("14d"), Ok(1_209_600_000));
        assert_eq!(read("0s"), Ok(0));
        assert_eq!(read(" 5s "), Ok(5_000));
    }

    #[test]
    fn a_duration_is_written_as_it_can_be_read() {
        for text in ["500ms", "1m30s", "1h30m", "14d", "0s"] {
            assert_eq!(Period::parse(text).map(|period| period.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        let error = |text| Period::parse(text).expect_err(text).to_string();
        assert_eq!(error(""), "a duration is empty; write one such as 90s, 30m or 1h30m");
        assert!(error("90").contains("write `90s` for seconds"));
        assert!(error("1.5h").contains("whole number"));
        assert!(error("-5s").contains("whole number"));
        assert!(error("5 minutes").contains("whole number"));
        assert!(error("5min").contains("`min` in the duration `5min` is no unit"));
        assert!(error("5µs").contains("`µs`"));
        assert!(error("30m1h").contains("out of order"));
        assert!(error("1s1s").contains("out of order"));
        assert!(error("1h30").contains("whole number"));
        assert!(error("367d").contains("longer than 366 days"));
        assert!(error("99999999999999999999d").contains("longer than 366 days"));
    }
}
