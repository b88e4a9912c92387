//! A log as people read it: the bug report of a failing history, the snapshot of a scenario.

use bascule::machine::Record;
use serde_json::Value;

use super::sim::START;

/// One line per record.
pub(crate) fn tell(log: &[Record]) -> String {
    log.iter().map(|record| format!("{}\n", line(record))).collect()
}

/// The records whose event bears one of these words, one line each.
pub(crate) fn tell_only(log: &[Record], words: &[&str]) -> String {
    log.iter()
        .filter(|record| words.contains(&record.event.word()))
        .map(|record| format!("{}\n", line(record)))
        .collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most events tell no more than their name")]
fn line(record: &Record) -> String {
    let who = record.by.as_ref().map_or(String::new(), |by| format!(" {}:", by.name));
    let value = serde_json::to_value(&record.event).expect("an event is JSON");
    let (word, fields) = match value {
        Value::String(word) => (word, String::new()),
        Value::Object(map) => match map.into_iter().next() {
            Some((word, Value::Object(fields))) => {
                let fields = fields.iter().map(|(key, value)| format!(" {key}={}", short(value))).collect();
                (word, fields)
            }
            Some((word, other)) => (word, format!(" {}", short(&other))),
            None => (String::new(), String::new()),
        },
        other => (other.to_string(), String::new()),
    };
    format!("{}{who} {word}{fields}", clock(record.at))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most values are short")]
fn short(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains(' ') => text.clone(),
        Value::Number(number) => match number.as_i64() {
            Some(at) if at > START / 2 => clock(at),
            Some(_) | None => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Hours, minutes, seconds since the start.
pub(crate) fn clock(at: i64) -> String {
    let ms = at - START;
    let (sign, ms) = if ms < 0 { ("-", -ms) } else { ("", ms) };
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let rest = if ms % 1000 == 0 { String::new() } else { format!(".{:03}", ms % 1000) };
    format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{rest}")
}
