//! `${{ … }}` in strings of JSON values.
//!
//! A string that is one placeholder and nothing else becomes the expression's value and keeps its type;
//! otherwise the values are put into the text, where null, lists and maps are unknown. `${{ secrets.NAME }}`
//! stands alone: [`Template::resolve`] leaves null in its place and says which secret belongs there, so that
//! only the code that performs the step ever sees it. A `${{` that is meant as text is written `${{ "${{" }}`.
//! Start with [`Template::parse`].

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use super::expr::{self, Compiled, ExprError, Scope, Unknown};

/// A JSON value with placeholders.
#[derive(Debug, Clone)]
pub struct Template {
    value: Arc<Value>,
    slots: Arc<[Slot]>,
}

#[derive(Debug, Clone)]
struct Slot {
    pointer: String,
    filling: Filling,
}

#[derive(Debug, Clone)]
enum Filling {
    Whole(Compiled),
    Secret(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Value(Compiled),
}

/// A value whose placeholders are filled, secrets excepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The value; null where a secret belongs.
    pub value: Arc<Value>,
    /// JSON pointer and name of each secret.
    pub secrets: Vec<(String, String)>,
}

/// A placeholder that cannot be filled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{at}: {reason}")]
pub struct Unresolved {
    /// JSON pointer of the string.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// A string whose placeholders cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// `${{` without `}}`.
    #[error("`${{{{` is never closed")]
    Unclosed(Range<usize>),
    /// `${{ }}`.
    #[error("the placeholder is empty")]
    Empty(Range<usize>),
    /// A secret inside of text, or of an expression.
    #[error("a secret stands inside of a longer text or expression")]
    SecretNotAlone(Range<usize>),
    /// The expression in it; its places count from the start of the string.
    #[error("{0}")]
    Expression(ExprError),
}

/// A piece of a string.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// An expression, and its place in the string.
    Expression(Compiled, Range<usize>),
    /// The name of a secret, and the place of its placeholder.
    Secret(String, Range<usize>),
}

/// Whether a string has placeholders at all.
#[must_use]
pub fn has_placeholder(text: &str) -> bool {
    text.contains("${{")
}

/// The pieces of a string.
///
/// # Errors
/// The first placeholder that cannot be read.
pub fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("${{")) {
        let open = at + found;
        if open > at {
            pieces.push(Piece::Text(text.get(at..open).unwrap_or("").to_owned()));
        }
        let inner = open + 3;
        let close = close_of(text, inner).ok_or(TemplateError::Unclosed(open..inner))?;
        pieces.push(placeholder(text, inner..close)?);
        at = close + 2;
    }
    if let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    let secret = pieces.iter().find_map(|piece| match piece {
        Piece::Secret(_, place) => Some(place.clone()),
        Piece::Text(_) | Piece::Expression(..) => None,
    });
    match secret {
        Some(place) if pieces.len() > 1 => Err(TemplateError::SecretNotAlone(place)),
        Some(_) | None => Ok(pieces),
    }
}

/// Where the expressions of a string stand, and the names of its secrets, without parsing any of them:
/// for static checks of strings that the reader has accepted.
#[must_use]
pub fn outline(text: &str) -> (Vec<Range<usize>>, Vec<&str>) {
    let (mut expressions, mut secrets) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(inner) = text.get(at..).and_then(|rest| rest.find("${{")).map(|found| at + found + 3) {
        let Some(close) = close_of(text, inner) else { break };
        let raw = text.get(inner..close).unwrap_or("");
        let start = inner + (raw.len() - raw.trim_start().len());
        match raw.trim().strip_prefix("secrets.") {
            Some(name) => secrets.push(name),
            None => expressions.push(start..start + raw.trim().len()),
        }
        at = close + 2;
    }
    (expressions, secrets)
}

/// Where the `}}` stands that closes a placeholder; braces and quotes of the expression are skipped.
fn close_of(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut quote: Option<u8> = None;
    let mut at = start;
    while let Some(byte) = bytes.get(at).copied() {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
        at += 1;
    }
    None
}

fn placeholder(text: &str, inner: Range<usize>) -> Result<Piece, TemplateError> {
    let whole = inner.start - 3..inner.end + 2;
    let raw = text.get(inner.clone()).unwrap_or("");
    let expression = raw.trim();
    let start = inner.start + (raw.len() - raw.trim_start().len());
    if expression.is_empty() {
        return Err(TemplateError::Empty(whole));
    }
    if let Some(name) = expression.strip_prefix("secrets.")
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Ok(Piece::Secret(name.to_owned(), whole));
    }
    if let Some(path) = expr::references(expression).iter().find(|path| path.root == "secrets") {
        return Err(TemplateError::SecretNotAlone(start + path.at.start..start + path.at.end));
    }
    match expr::compile(expression) {
        Ok(compiled) => Ok(Piece::Expression(compiled, start..start + expression.len())),
        Err(mut error) => {
            error.at = start + error.at.start..start + error.at.end;
            Err(TemplateError::Expression(error))
        }
    }
}

impl Template {
    /// Reads the placeholders in all strings of a value; keys are left as they are.
    ///
    /// # Errors
    /// JSON pointer of the first string that cannot be read, and why.
    pub fn parse(value: impl Into<Arc<Value>>) -> Result<Self, (String, TemplateError)> {
        let value = value.into();
        let mut slots = Vec::new();
        collect(&value, &mut String::new(), &mut slots)?;
        Ok(Self { value, slots: slots.into() })
    }

    /// Whether it has no placeholder.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.slots.is_empty()
    }

    /// The expressions in it.
    pub fn expressions(&self) -> impl Iterator<Item = &Compiled> {
        self.slots.iter().flat_map(|slot| match &slot.filling {
            Filling::Whole(compiled) => vec![compiled],
            Filling::Secret(_) => Vec::new(),
            Filling::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Value(compiled) => Some(compiled),
                    Part::Text(_) => None,
                })
                .collect(),
        })
    }

    /// Fills the placeholders. Without any this costs a clone of an `Arc`.
    ///
    /// # Errors
    /// The first placeholder whose value cannot be had.
    pub fn resolve(&self, scope: &Scope) -> Result<Resolved, Unresolved> {
        if self.slots.is_empty() {
            return Ok(Resolved { value: self.value.clone(), secrets: Vec::new() });
        }
        let mut value = (*self.value).clone();
        let mut secrets = Vec::new();
        for slot in self.slots.iter() {
            let filled = match &slot.filling {
                Filling::Whole(compiled) => expr::evaluate(compiled, scope),
                Filling::Secret(name) => {
                    secrets.push((slot.pointer.clone(), name.clone()));
                    Ok(Value::Null)
                }
                Filling::Parts(parts) => joined(parts, scope),
            };
            let filled = filled.map_err(|unknown| Unresolved { at: slot.pointer.clone(), reason: unknown.reason })?;
            if let Some(place) = value.pointer_mut(&slot.pointer) {
                *place = filled;
            }
        }
        Ok(Resolved { value: value.into(), secrets })
    }
}

fn joined(parts: &[Part], scope: &Scope) -> Result<Value, Unknown> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Value(compiled) => text.push_str(&expr::text(compiled, scope)?),
        }
    }
    Ok(Value::String(text))
}

fn collect(value: &Value, pointer: &mut String, slots: &mut Vec<Slot>) -> Result<(), (String, TemplateError)> {
    match value {
        Value::String(text) if has_placeholder(text) => {
            let pieces = pieces(text).map_err(|error| (pointer.clone(), error))?;
            slots.push(Slot { pointer: pointer.clone(), filling: filling(pieces) });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                within(pointer, &index.to_string(), |pointer| collect(item, pointer, slots))?;
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                within(pointer, &escaped, |pointer| collect(item, pointer, slots))?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

fn within<T>(pointer: &mut String, key: &str, run: impl FnOnce(&mut String) -> T) -> T {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(key);
    let outcome = run(pointer);
    pointer.truncate(length);
    outcome
}

fn filling(mut pieces: Vec<Piece>) -> Filling {
    if pieces.len() == 1 {
        match pieces.pop() {
            Some(Piece::Expression(compiled, _)) => return Filling::Whole(compiled),
            Some(Piece::Secret(name, _)) => return Filling::Secret(name),
            Some(text @ Piece::Text(_)) => pieces.push(text),
            None => {}
        }
    }
    let part = |piece| match piece {
        Piece::Text(text) | Piece::Secret(text, _) => Part::Text(text),
        Piece::Expression(compiled, _) => Part::Value(compiled),
    };
    Filling::Parts(pieces.into_iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope() -> Scope {
        Scope::new()
            .with("inputs", json!({ "vm": "a-01", "port": 5432, "ratio": 325.0, "none": null, "map": { "a": 1 } }))
    }

    fn resolve(value: Value) -> Result<Resolved, String> {
        let template = Template::parse(value).map_err(|(at, error)| format!("{at}: {error}"))?;
        template.resolve(&scope()).map_err(|unresolved| unresolved.to_string())
    }

    #[test]
    fn a_lone_placeholder_keeps_its_type_and_others_become_text() {
        let resolved = resolve(json!({
            "port": "${{ inputs.port }}",
            "map": "${{inputs.map}}",
            "none": "${{ inputs.none }}",
            "url": "http://${{ inputs.vm }}:${{ inputs.port }}/${{ inputs.ratio }}",
            "nested/key": ["${{ inputs.vm }}.vmdk", 7],
            "literal": "${{ \"${{\" }} x }}",
            "braces": "${{ {\"a\": {\"b\": inputs.port}} }}",
        }));
        assert_eq!(
            *resolved.expect("resolves").value,
            json!({
                "port": 5432,
                "map": { "a": 1 },
                "none": null,
                "url": "http://a-01:5432/325",
                "nested/key": ["a-01.vmdk", 7],
                "literal": "${{ x }}",
                "braces": { "a": { "b": 5432 } },
            })
        );
    }

    #[test]
    fn secrets_leave_null_and_their_name() {
        let resolved = resolve(json!({ "env": { "A/B": "${{ secrets.TOKEN }}" } })).expect("resolves");
        assert_eq!(*resolved.value, json!({ "env": { "A/B": null } }));
        assert_eq!(resolved.secrets, [("/env/A~1B".to_owned(), "TOKEN".to_owned())]);
    }

    #[test]
    fn what_cannot_be_filled_says_why() {
        let seen: Vec<String> = [
            "x ${{ inputs.none }}",
            "x ${{ inputs.map }}",
            "${{ inputs.gone }}",
            "${{ inputs.vm",
            "${{ }}",
            "Bearer ${{ secrets.TOKEN }}",
            "${{ secrets.TOKEN + \"x\" }}",
            "${{ secrets }}",
            "${{ inputs.vm + }}",
        ]
        .into_iter()
        .map(|text| resolve(json!({ "a": text })).map_or_else(|error| error, |value| format!("{value:?}")))
        .collect();
        insta::assert_snapshot!(seen.join("\n"));
    }

    #[test]
    fn a_value_without_placeholders_is_not_copied() {
        let value = Arc::new(json!({ "a": [1, 2, 3] }));
        let template = Template::parse(value.clone()).expect("valid");
        let resolved = template.resolve(&Scope::new()).expect("constant");
        assert!(Arc::ptr_eq(&value, &resolved.value));
    }
}
