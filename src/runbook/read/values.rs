//! Single values: text, names, booleans, numbers, durations, words.
//!
//! Each takes the field, gives the value with its place, or reports what is wrong and gives nothing.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Reader;
use super::map::{Field, listed};
use crate::runbook::codes;
use crate::runbook::duration::{self, DurationError};
use crate::runbook::model::Millis;
use crate::runbook::problem::{Problem, nearest};
use crate::runbook::source::{Spanned, Text};
use crate::runbook::words::Word;
use crate::runbook::yaml::{Content, Node, Scalar};

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

/// Between which durations a key's value is sensible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    least: u64,
    most: u64,
}

impl Bounds {
    /// Zero is fine, and up to a month.
    pub(super) const ANY: Self = Self { least: 0, most: 31 * DAY };
    /// Something must fit into it: up to a month.
    pub(super) const POSITIVE: Self = Self { least: 1, most: 31 * DAY };
    /// The pause between two looks: from 50 ms to a day.
    pub(super) const PERIOD: Self = Self { least: 50, most: DAY };
    /// The rollback window: from a second to seven days.
    pub(super) const WINDOW: Self = Self { least: SECOND, most: 7 * DAY };
    /// Reminders for people: up to ten years.
    pub(super) const LONG: Self = Self { least: 1, most: duration::LONGEST.0 };
    /// Pauses of the engine itself: up to a day.
    pub(super) const SHORT: Self = Self { least: 1, most: DAY };
}

impl Reader<'_> {
    /// Reports a value of the wrong kind.
    pub(super) fn expected(&mut self, node: &Node, wanted: &str, message: &str) {
        let found = node.kind();
        let mut problem = Problem::new(codes::WRONG_TYPE, format!("{message}, found {found}"))
            .at(self.head(node.span), format!("expected {wanted}"));
        match &node.content {
            Content::Scalar(scalar) if wanted.starts_with("text") => {
                problem = problem.help(format!("put it into quotes: \"{}\"", scalar.text));
            }
            Content::Scalar(scalar) if wanted.starts_with("a list") => {
                problem = problem.help(format!("write `[{}]`", scalar.text));
            }
            Content::Scalar(scalar) if scalar.quoted && wanted.starts_with("a number") => {
                problem = problem.help("remove the quotes");
            }
            Content::Null => problem = problem.help("write a value, or remove the key"),
            Content::Scalar(_) | Content::Seq(_) | Content::Map(_) => {}
        }
        self.report(problem);
    }

    fn mistyped(&mut self, field: &Field, wanted: &str) {
        self.expected(&field.node, wanted, &format!("`{}` must be {wanted}", field.name));
    }

    fn scalar<'f>(&mut self, field: &'f Field, wanted: &str) -> Option<&'f Scalar> {
        if let Content::Scalar(scalar) = &field.node.content {
            return Some(scalar);
        }
        self.mistyped(field, wanted);
        None
    }

    /// Text; an unquoted number or boolean is none.
    pub(super) fn text(&mut self, field: &Field) -> Option<Text> {
        let scalar = self.scalar(field, "text")?;
        if scalar.as_bool().is_some() || scalar.as_number().is_some() {
            self.mistyped(field, "text");
            return None;
        }
        Some(Text::new(scalar.text.clone(), field.node.span))
    }

    /// Text, where a number is as good: labels and ticket numbers.
    pub(super) fn label(&mut self, field: &Field) -> Option<Text> {
        let scalar = self.scalar(field, "text or a number")?;
        Some(Text::new(scalar.text.clone(), field.node.span))
    }

    /// A name: ASCII letters, digits, `_`, `-` and `.`, not beginning with one of the last two.
    pub(super) fn name(&mut self, field: &Field) -> Option<Text> {
        let text = self.text(field)?;
        self.check_name(&text, field.name).then_some(text)
    }

    /// Whether text is a name; reports it if not.
    pub(super) fn check_name(&mut self, text: &Text, what: &str) -> bool {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let value = &*text.value;
        if !value.is_empty() && value.len() <= 128 && value.chars().all(good) && !value.starts_with(['-', '.']) {
            return true;
        }
        let message = match value.len() {
            0 => format!("`{what}` is empty"),
            1..=128 => format!("`{value}` is not a name"),
            _ => format!("`{what}` is longer than 128 characters"),
        };
        let problem = Problem::new(codes::BAD_NAME, message)
            .at(self.head(text.span), "not a name")
            .help("names have ASCII letters, digits, `_`, `-` and `.`, and begin with none of the last two");
        self.report(problem);
        false
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, field: &Field) -> Option<Spanned<bool>> {
        let scalar = self.scalar(field, "`true` or `false`")?;
        if let Some(value) = scalar.as_bool() {
            return Some(Spanned::new(value, field.node.span));
        }
        let meant = match scalar.text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" | "1" => Some(true),
            "no" | "off" | "n" | "false" | "0" => Some(false),
            _ => None,
        };
        let Some(meant) = meant else {
            self.mistyped(field, "`true` or `false`");
            return None;
        };
        let problem = Problem::new(codes::AMBIGUOUS_WORD, format!("`{}` is not a boolean", scalar.text))
            .at(field.node.span, "expected `true` or `false`")
            .help(format!("write `{meant}`"))
            .note("YAML 1.1 read `yes`, `on` and their like as booleans, YAML 1.2 reads them as text");
        self.report(problem);
        None
    }

    /// A whole number in a range.
    pub(super) fn count(&mut self, field: &Field, range: RangeInclusive<u32>) -> Option<Spanned<u32>> {
        let scalar = self.scalar(field, "a number")?;
        let Some(number) = scalar.as_number() else {
            self.mistyped(field, "a number");
            return None;
        };
        let value =
            number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| range.contains(number));
        if value.is_none() {
            let (least, most) = (range.start(), range.end());
            let problem = Problem::new(codes::NUMBER_OUT_OF_RANGE, format!("`{}` is out of range", field.name))
                .at(field.node.span, format!("expected a whole number from {least} to {most}"));
            self.report(problem);
        }
        value.map(|value| Spanned::new(value, field.node.span))
    }

    /// A duration.
    pub(super) fn duration(&mut self, field: &Field, bounds: Bounds) -> Option<Spanned<Millis>> {
        let scalar = self.scalar(field, "a duration such as `90s`")?;
        let text = scalar.text.clone();
        match duration::parse(&text) {
            Ok(length) => self.bounded(field, length, bounds),
            Err(error) => {
                let problem = bad_duration(field, &text, &error);
                self.report(problem);
                None
            }
        }
    }

    /// A duration that is neither zero nor absurd.
    pub(super) fn bounded(&mut self, field: &Field, length: Millis, bounds: Bounds) -> Option<Spanned<Millis>> {
        let (least, most) = (duration::format(Millis(bounds.least)), duration::format(Millis(bounds.most)));
        let (message, label) = if length.0 == 0 && bounds.least > 0 {
            (format!("`{}` is zero", field.name), format!("expected at least {least}"))
        } else if length.0 < bounds.least {
            (format!("`{}` is too short", field.name), format!("expected at least {least}"))
        } else if length.0 > bounds.most {
            (format!("`{}` is too long", field.name), format!("expected at most {most}"))
        } else {
            return Some(Spanned::new(length, field.node.span));
        };
        self.report(Problem::new(codes::ABSURD_DURATION, message).at(field.node.span, label));
        None
    }

    /// One of a few words.
    pub(super) fn word<W: Word>(&mut self, field: &Field) -> Option<Spanned<W>> {
        let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
        let scalar = self.scalar(field, &format!("one of {}", listed(&words)))?;
        if let Some((_, value)) = W::WORDS.iter().find(|(word, _)| *word == &*scalar.text) {
            return Some(Spanned::new(*value, field.node.span));
        }
        let mut problem =
            Problem::new(codes::UNKNOWN_WORD, format!("`{}` is not a value of `{}`", scalar.text, field.name))
                .at(field.node.span, format!("expected one of {}", listed(&words)));
        if let Some(near) = nearest(&scalar.text, words) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.report(problem);
        None
    }

    /// The items of a list.
    pub(super) fn items(&mut self, field: Field, of: &str) -> Option<Vec<Field>> {
        let name = field.name;
        if !matches!(field.node.content, Content::Seq(_)) {
            self.mistyped(&field, &format!("a list of {of}"));
            return None;
        }
        let Content::Seq(items) = field.node.content else { return None };
        Some(items.into_iter().map(|node| Field { name, key: field.key, node }).collect())
    }

    /// A list of names.
    pub(super) fn names(&mut self, field: Field) -> Option<Spanned<Vec<Text>>> {
        let span = field.node.span;
        let items = self.items(field, "names")?;
        Some(Spanned::new(items.iter().filter_map(|item| self.name(item)).collect(), span))
    }

    /// An amount, with a unit of size or without any.
    pub(super) fn quantity(&mut self, field: &Field) -> Option<Spanned<u64>> {
        let scalar = self.scalar(field, "a quantity such as `800GiB`")?;
        if let Some(value) = parse_quantity(&scalar.text) {
            return Some(Spanned::new(value, field.node.span));
        }
        let problem = Problem::new(codes::BAD_QUANTITY, format!("`{}` is not a quantity", scalar.text))
            .at(field.node.span, "expected a whole number, with a unit or without")
            .help("units are kB, MB, GB, TB (thousands) and KiB, MiB, GiB, TiB (1024); write `800GiB` without a space");
        self.report(problem);
        None
    }
}

fn bad_duration(field: &Field, text: &Arc<str>, error: &DurationError) -> Problem {
    let problem = Problem::new(codes::BAD_DURATION, format!("`{}` must be a duration: {error}", field.name))
        .at(field.node.span, "expected a duration");
    let plain = text.trim();
    match error {
        DurationError::NoUnit(number) => {
            problem.help(format!("write `{number}s` for seconds, `{number}m` for minutes or `{number}h` for hours"))
        }
        DurationError::UnknownUnit { unit, near: Some(near) } => {
            problem.help(format!("write `{}`", plain.replacen(unit.as_str(), near, 1)))
        }
        DurationError::UnknownUnit { .. } => problem.help("units are `ms`, `s`, `m`, `h`, `d` and `w`"),
        DurationError::Order(_) => problem.help("write the largest unit first, each unit once: `1h30m`"),
        DurationError::NotADuration(_) => match tidied(plain) {
            Some(tidy) => problem.help(format!("write `{tidy}`")),
            None => problem.help("write a number and a unit: `90s`, `30m`, `3h`, `1h30m`, `500ms`, `14d`"),
        },
        DurationError::TooLong(_) => problem,
    }
}

/// What was probably meant by `14 days` or `2H`.
fn tidied(text: &str) -> Option<String> {
    let close = text.replace([' ', '_'], "").to_lowercase();
    match duration::parse(&close) {
        Ok(_) => Some(close),
        Err(DurationError::UnknownUnit { unit, near: Some(near) }) => {
            let tidy = close.replacen(&unit, near, 1);
            duration::parse(&tidy).is_ok().then_some(tidy)
        }
        Err(_) => None,
    }
}

fn parse_quantity(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
