//! Durations: `90s`, `30m`, `3h`, `1h30m`, `500ms`, `14d`.
//!
//! A number always has its unit, written without a space; units descend and none comes twice. A bare number
//! is refused, because `90` has meant seconds to one person and minutes to another.

use thiserror::Error;

use super::model::Millis;

/// The longest duration that is accepted anywhere: ten years.
pub const LONGEST: Millis = Millis(10 * 365 * 24 * 3_600_000);

const UNITS: [(&str, u64); 6] =
    [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DurationError {
    /// A number without a unit.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// A unit that is none of `w d h m s ms`; the second is the one that was probably meant.
    #[error("`{unit}` is not a unit of time")]
    UnknownUnit {
        /// What was written.
        unit: String,
        /// The unit that was probably meant.
        near: Option<&'static str>,
    },
    /// A unit that stands after a smaller one, or twice.
    #[error("`{0}` stands after a smaller or equal unit")]
    Order(String),
    /// Something else.
    #[error("`{0}` is not a duration")]
    NotADuration(String),
    /// Longer than [`LONGEST`].
    #[error("`{0}` is longer than ten years")]
    TooLong(String),
}

/// Reads a duration; zero is one.
///
/// # Errors
/// If the text is none.
pub fn parse(text: &str) -> Result<Millis, DurationError> {
    let not_one = || DurationError::NotADuration(text.to_owned());
    if text.is_empty() || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(not_one());
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(not_one());
        }
        let unit_length = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        if unit.is_empty() {
            return Err(if tail.is_empty() { DurationError::NoUnit(text.to_owned()) } else { not_one() });
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), near: near_unit(unit) });
        };
        if *factor >= smallest {
            return Err(DurationError::Order(unit.to_owned()));
        }
        smallest = *factor;
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= LONGEST.0)
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
        rest = tail;
    }
    Ok(Millis(total))
}

fn near_unit(unit: &str) -> Option<&'static str> {
    match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hr" | "hrs" | "hour" | "hours" | "h" => Some("h"),
        "day" | "days" | "d" => Some("d"),
        "week" | "weeks" | "w" => Some("w"),
        "s" => Some("s"),
        "m" => Some("m"),
        "msec" | "millis" | "millisecond" | "milliseconds" | "ms" => Some("ms"),
        _ => None,
    }
}

/// A duration as this page writes it: `1h30m`, `90s` as `1m30s`, `0s`.
#[must_use]
pub fn format(duration: Millis) -> String {
    let mut rest = duration.0;
    let mut text = String::new();
    for (unit, factor) in UNITS.iter().skip(1) {
        let count = rest / factor;
        rest %= factor;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("90s", 90_000),
            ("30m", 1_800_000),
            ("3h", 10_800_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("14d", 14 * 86_400_000),
            ("2w", 14 * 86_400_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        let seen: Vec<String> =
            ["90", "90 s", "-5m", "5 minutes", "5min", "30m1h", "1m1m", "", "h", "1.5h", "99999999999999999999d"]
                .into_iter()
                .map(|text| parse(text).map_or_else(|error| error.to_string(), |_| format!("{text} was read")))
                .collect();
        assert_eq!(
            seen,
            [
                "`90` has no unit",
                "`90 s` is not a duration",
                "`-5m` is not a duration",
                "`5 minutes` is not a duration",
                "`min` is not a unit of time",
                "`h` stands after a smaller or equal unit",
                "`m` stands after a smaller or equal unit",
                "`` is not a duration",
                "`h` is not a duration",
                "`1.5h` is not a duration",
                "`99999999999999999999d` is longer than ten years",
            ]
        );
    }

    #[test]
    fn a_formatted_duration_reads_back() {
        for millis in [0, 1, 999, 1_000, 61_001, 5_400_000, 86_400_000, LONGEST.0] {
            assert_eq!(parse(&format(Millis(millis))), Ok(Millis(millis)));
        }
    }
}
