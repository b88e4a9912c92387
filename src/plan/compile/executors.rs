//! `with` against the executor's JSON Schema, with the place of every mistake.
//!
//! Only what the schemas of executors use is looked at: `type`, `properties`, `required`,
//! `additionalProperties`, `enum`, `const`, `items`, limits, `x-maxDuration`, `oneOf`, `anyOf`, `allOf` and local `$ref`.
//! What is not known says nothing: the executor itself looks again before it starts. A string with
//! a placeholder can become anything and fits everywhere.

use serde_json::Value;

use super::bind::is_constant;
use super::context::Context;
use crate::runbook::codes;
use crate::runbook::duration;
use crate::runbook::model::{Data, DataValue};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Text};

/// Checks the parameters of one call; `with` may be absent.
pub(super) fn check(cx: &mut Context<'_>, uses: &Text, with: Option<&Data>, schema: &Value) {
    cx.problems.extend(problems(uses, with, schema));
}

/// What is wrong with the parameters of one call.
pub(super) fn problems(uses: &Text, with: Option<&Data>, schema: &Value) -> Vec<Problem> {
    let empty = Data { value: DataValue::Map(Vec::new()), span: uses.span };
    let mut checker = Checker { root: schema, executor: &uses.value, found: Vec::new() };
    checker.value(schema, with.unwrap_or(&empty), "with");
    checker.found
}

struct Checker<'a> {
    root: &'a Value,
    executor: &'a str,
    found: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn problem(&self, message: &str, span: Span, label: &str) -> Problem {
        Problem::new(codes::EXECUTOR_PARAMETERS, format!("`{}`: {message}", self.executor)).at(span, label)
    }

    fn blame(&mut self, message: &str, span: Span, label: &str) {
        let problem = self.problem(message, span, label);
        self.found.push(problem);
    }

    /// Follows `#/…` references; a schema that refers to itself for ever says nothing.
    fn follow(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..16 {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else { return schema };
            match target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) {
                Some(next) => schema = next,
                None => return &Value::Null,
            }
        }
        &Value::Null
    }

    fn value(&mut self, schema: &'a Value, data: &Data, at: &str) {
        let schema = self.follow(schema);
        if !is_constant(data) {
            return;
        }
        if !self.has_type(schema, data, at) {
            return;
        }
        self.is_one_of(schema, data, at);
        self.is_within(schema, data, at);
        match &data.value {
            DataValue::Map(entries) => self.map(schema, data, entries, at),
            DataValue::List(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.value(schema, item, &format!("{at}[{index}]"));
                    }
                }
            }
            DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) | DataValue::Text(_) => {}
        }
        self.combinations(schema, data, at);
    }

    fn has_type(&mut self, schema: &Value, data: &Data, at: &str) -> bool {
        let kinds: Vec<&str> = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => return true,
        };
        if kinds.iter().any(|kind| is_of(kind, data)) {
            return true;
        }
        let wanted: Vec<&str> = kinds.into_iter().map(in_words).collect();
        let wanted = wanted.join(" or ");
        let message = format!("`{at}` must be {wanted}, and is {}", data.kind());
        self.blame(&message, data.span, &format!("expected {wanted}"));
        false
    }

    fn is_one_of(&mut self, schema: &Value, data: &Data, at: &str) {
        let only = schema.get("const").into_iter();
        let allowed: Vec<&Value> =
            schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(only).collect();
        let value = data.to_json();
        if allowed.is_empty() || allowed.contains(&&value) {
            return;
        }
        let words: Vec<String> =
            allowed.iter().map(|word| word.as_str().map_or(word.to_string(), str::to_owned)).collect();
        let message = format!("`{at}` is not one of {}", words.join(", "));
        let problem = self.problem(&message, data.span, "not one of the values that it accepts");
        let written = value.as_str().unwrap_or("");
        self.found.push(problem.suggest(written, words.iter().map(String::as_str)));
    }

    fn is_within(&mut self, schema: &Value, data: &Data, at: &str) {
        let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
        let measured = match &data.value {
            DataValue::Number(number) => number.as_f64().map(|number| (number, "minimum", "maximum", "")),
            DataValue::Text(text) => {
                #[expect(clippy::cast_precision_loss, reason = "texts are shorter than 2^52 characters")]
                let length = text.chars().count() as f64;
                Some((length, "minLength", "maxLength", "characters"))
            }
            DataValue::List(items) => {
                #[expect(clippy::cast_precision_loss, reason = "lists are shorter than 2^52 entries")]
                let length = items.len() as f64;
                Some((length, "minItems", "maxItems", "entries"))
            }
            DataValue::Null | DataValue::Bool(_) | DataValue::Map(_) => None,
        };
        self.is_short_enough(schema, data, at);
        let Some((size, least, most, unit)) = measured else { return };
        for (bound, word, broken) in [
            (limit(least), "at least", limit(least).is_some_and(|least| size < least)),
            (limit(most), "at most", limit(most).is_some_and(|most| size > most)),
        ] {
            if let Some(bound) = bound.filter(|_| broken) {
                let wanted = format!("{word} {bound} {unit}");
                self.blame(&format!("`{at}` must be {}", wanted.trim_end()), data.span, wanted.trim_end());
            }
        }
    }

    /// `x-maxDuration`, a keyword of our own: JSON Schema knows no durations.
    fn is_short_enough(&mut self, schema: &Value, data: &Data, at: &str) {
        let Some(longest) = schema.get("x-maxDuration").and_then(Value::as_str) else { return };
        let DataValue::Text(text) = &data.value else { return };
        if let (Ok(limit), Ok(given)) = (duration::parse(longest), duration::parse(text))
            && given > limit
        {
            self.blame(&format!("`{at}` must be at most {longest}"), data.span, &format!("at most {longest}"));
        }
    }

    fn map(&mut self, schema: &'a Value, data: &Data, entries: &[(Text, Data)], at: &str) {
        let known = schema.get("properties").and_then(Value::as_object);
        for (key, value) in entries {
            if let Some(schema) = known.and_then(|known| known.get(&*key.value)) {
                self.value(schema, value, &key.value);
                continue;
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(false)) => {
                    let names: Vec<&str> =
                        known.into_iter().flat_map(|known| known.keys()).map(String::as_str).collect();
                    let problem = self
                        .problem(&format!("`{}` is not a parameter", key.value), key.span, "not known")
                        .suggest(&key.value, names.iter().copied())
                        .note(format!("`{at}` takes {}", names.join(", ")));
                    self.found.push(problem);
                }
                Some(schema @ Value::Object(_)) => self.value(schema, value, &key.value),
                Some(Value::Null | Value::Bool(true) | Value::Number(_) | Value::String(_) | Value::Array(_))
                | None => {}
            }
        }
        for name in missing(schema, entries) {
            let message =
                if at == "with" { format!("`{name}` is missing") } else { format!("`{at}.{name}` is missing") };
            self.blame(&message, data.span, &format!("needs `{name}`"));
        }
    }

    /// Of several shapes one must fit. Which one was meant is not known, so one problem is enough.
    fn combinations(&mut self, schema: &'a Value, data: &Data, at: &str) {
        for every in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.value(every, data, at);
        }
        for key in ["oneOf", "anyOf"] {
            let Some(shapes) = schema.get(key).and_then(Value::as_array) else { continue };
            let before = std::mem::take(&mut self.found);
            let mut tries: Vec<Vec<Problem>> = Vec::with_capacity(shapes.len());
            for shape in shapes {
                self.value(shape, data, at);
                tries.push(std::mem::take(&mut self.found));
            }
            self.found = before;
            if tries.iter().any(Vec::is_empty) {
                continue;
            }
            let keys: Option<Vec<String>> = shapes.iter().map(|shape| required_keys(self.follow(shape))).collect();
            match keys.filter(|keys| !keys.is_empty()) {
                Some(keys) => {
                    let message = format!("`{at}` needs {}", keys.join(" or "));
                    self.blame(&message, data.span, "none of the shapes that it accepts");
                }
                None => self.found.extend(tries.into_iter().min_by_key(Vec::len).unwrap_or_default()),
            }
        }
    }
}

fn required_keys(schema: &Value) -> Option<String> {
    let keys: Vec<String> =
        schema.get("required")?.as_array()?.iter().filter_map(Value::as_str).map(|key| format!("`{key}`")).collect();
    (!keys.is_empty()).then(|| keys.join(" and "))
}

fn missing<'s>(schema: &'s Value, entries: &[(Text, Data)]) -> Vec<&'s str> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    required.filter(|name| !entries.iter().any(|(key, _)| &*key.value == *name)).collect()
}

fn is_of(kind: &str, data: &Data) -> bool {
    match &data.value {
        DataValue::Null => kind == "null",
        DataValue::Bool(_) => kind == "boolean",
        DataValue::Number(number) => {
            kind == "number" || kind == "integer" && number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        DataValue::Text(_) => kind == "string",
        DataValue::List(_) => kind == "array",
        DataValue::Map(_) => kind == "object",
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "null" => "nothing",
        "boolean" => "a boolean",
        "number" => "a number",
        "integer" => "a whole number",
        "string" => "text",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}
