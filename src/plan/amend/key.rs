//! The names of what can be set.

use std::fmt;

use super::CannotAmend;
use crate::runbook::problem::nearest;

/// Whose value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The step's.
    Forward,
    /// Its undo's.
    Undo,
}

/// Which value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A parameter, or what is inside of it.
    With(Vec<String>),
    /// When an attempt runs out of time.
    Timeout,
    /// How many attempts.
    Attempts,
    /// The first pause between them.
    Backoff,
    /// The longest pause.
    MaxBackoff,
}

/// `with.network`, `undo.timeout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Whose.
    pub side: Side,
    /// Which.
    pub field: Field,
}

const LIMITS: [&str; 4] = ["timeout", "retry.attempts", "retry.backoff", "retry.maxBackoff"];
const WHAT_CAN_BE: &str = "what can be set: with.NAME, timeout, retry.attempts, retry.backoff, retry.maxBackoff, and with `--undo` those of the undo";

/// Keys of a step that are no values.
const SHAPE: [&str; 20] = [
    "uses",
    "needs",
    "when",
    "effect",
    "exposes",
    "takesSourceDown",
    "movesData",
    "locks",
    "probe",
    "verify",
    "pass",
    "trip",
    "onTimeout",
    "cleanup",
    "keep",
    "irreversible",
    "retryPartial",
    "recheck",
    "waivableBy",
    "estimate",
];

impl Key {
    /// Reads a key as it stands in a log or behind `--set`.
    ///
    /// # Errors
    /// It names nothing that can be set.
    pub fn parse(text: &str) -> Result<Self, CannotAmend> {
        let path = split(text).ok_or_else(|| {
            let hint = "a name with dots stands in quotes: with.\"a.b\"";
            CannotAmend::new(format!("the key `{text}` cannot be read"), hint)
        })?;
        Self::of(&path)
    }

    /// The key that a path means.
    ///
    /// # Errors
    /// It names nothing that can be set.
    pub fn of(path: &[String]) -> Result<Self, CannotAmend> {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let (side, words) = match words.split_first() {
            Some((&"undo", rest)) => (Side::Undo, rest),
            Some(_) | None => (Side::Forward, words.as_slice()),
        };
        let field = match words {
            ["with", name, rest @ ..] => {
                Field::With(std::iter::once(name).chain(rest).map(|name| (*name).to_owned()).collect())
            }
            ["timeout"] => Field::Timeout,
            ["retry", "attempts"] => Field::Attempts,
            ["retry", "backoff"] => Field::Backoff,
            ["retry", "maxBackoff"] => Field::MaxBackoff,
            other => return Err(unknown(&path.join("."), other)),
        };
        Ok(Self { side, field })
    }
}

fn unknown(text: &str, words: &[&str]) -> CannotAmend {
    let first = words.first().copied().unwrap_or("");
    if SHAPE.contains(&first) {
        let hint = "an amendment changes values only; another shape is another plan: roll back or cancel, and run that";
        return CannotAmend::new(format!("`{text}` cannot be changed while the plan is executed"), hint);
    }
    let written = words.join(".");
    let near = nearest(&written, LIMITS.into_iter().chain(["with"])).or_else(|| {
        let is_with = nearest(first, ["with"]).is_some();
        is_with.then_some("with.NAME")
    });
    let hint = match near {
        Some("with") | None => WHAT_CAN_BE.to_owned(),
        Some(near) => format!("did you mean `{near}`? {WHAT_CAN_BE}"),
    };
    CannotAmend::new(format!("`{text}` names no value of a step"), hint)
}

/// `a."b.c".d` → `a`, `b.c`, `d`.
fn split(text: &str) -> Option<Vec<String>> {
    let (mut path, mut rest) = (Vec::new(), text);
    loop {
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if name.is_empty() {
            return None;
        }
        path.push(name.to_owned());
        if behind.is_empty() {
            return Some(path);
        }
        rest = behind.strip_prefix('.')?;
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.side == Side::Undo {
            f.write_str("undo.")?;
        }
        match &self.field {
            Field::With(path) => {
                f.write_str("with")?;
                path.iter().try_for_each(|name| {
                    if name.contains('.') { write!(f, ".\"{name}\"") } else { write!(f, ".{name}") }
                })
            }
            Field::Timeout => f.write_str("timeout"),
            Field::Attempts => f.write_str("retry.attempts"),
            Field::Backoff => f.write_str("retry.backoff"),
            Field::MaxBackoff => f.write_str("retry.maxBackoff"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_they_are_written() {
        for text in ["with.network", "undo.with.\"a.b\".0", "timeout", "undo.retry.maxBackoff", "retry.attempts"] {
            assert_eq!(Key::parse(text).expect("a key").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_value_is_refused_with_what_is() {
        let seen: Vec<String> = ["timeot", "wiht.network", "needs", "undo.effect", "retry.atempts", "with", "with..a"]
            .into_iter()
            .map(|text| Key::parse(text).expect_err("no key"))
            .map(|error| format!("{}\n  {}", error.why, error.hint))
            .collect();
        insta::assert_snapshot!(seen.join("\n"));
    }
}
