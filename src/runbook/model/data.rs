//! Free-form values, such as `with` and `inputs`, with a place for each of their parts.
//!
//! It is JSON with spans; templates in its strings are not looked at here.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::runbook::source::{Span, Text};

/// A JSON value whose parts know where they were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// The value.
    pub value: DataValue,
    /// Its place.
    pub span: Span,
}

/// The value of [`Data`].
#[derive(Debug, Clone, PartialEq)]
pub enum DataValue {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as exact as JSON can keep it.
    Number(serde_json::Number),
    /// Text, with its `${{ … }}`.
    Text(Arc<str>),
    /// A list.
    List(Vec<Data>),
    /// A map in the order in which it was written, without duplicates.
    Map(Vec<(Text, Data)>),
}

/// Names bound to values: `inputs`, and `params` of a list entry.
pub type Bindings = Vec<(Text, Data)>;

impl Data {
    /// The plain JSON value.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            DataValue::Null => Value::Null,
            DataValue::Bool(value) => Value::Bool(*value),
            DataValue::Number(value) => Value::Number(value.clone()),
            DataValue::Text(value) => Value::String(value.as_ref().into()),
            DataValue::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            DataValue::Map(entries) => {
                Value::Object(entries.iter().map(|(key, value)| (key.value.as_ref().into(), value.to_json())).collect())
            }
        }
    }

    /// A JSON value that was written at one place as a whole.
    #[must_use]
    pub fn of_json(value: &Value, span: Span) -> Self {
        let value = match value {
            Value::Null => DataValue::Null,
            Value::Bool(value) => DataValue::Bool(*value),
            Value::Number(value) => DataValue::Number(value.clone()),
            Value::String(value) => DataValue::Text(value.as_str().into()),
            Value::Array(items) => DataValue::List(items.iter().map(|item| Self::of_json(item, span)).collect()),
            Value::Object(fields) => {
                let entry = |(key, field): (&String, &Value)| {
                    (Text { value: key.as_str().into(), span }, Self::of_json(field, span))
                };
                DataValue::Map(fields.iter().map(entry).collect())
            }
        };
        Self { value, span }
    }

    /// What it is, for messages: `a list`, `text`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            DataValue::Null => "nothing",
            DataValue::Bool(_) => "a boolean",
            DataValue::Number(_) => "a number",
            DataValue::Text(_) => "text",
            DataValue::List(_) => "a list",
            DataValue::Map(_) => "a map",
        }
    }

    /// The entry of a map under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            DataValue::Map(entries) => entries.iter().find(|(name, _)| &*name.value == key).map(|(_, value)| value),
            DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) | DataValue::Text(_) | DataValue::List(_) => {
                None
            }
        }
    }

    /// Calls `visit` with every text in it and its place; keys of maps are not visited.
    pub fn each_text<'a>(&'a self, visit: &mut impl FnMut(&'a Arc<str>, Span)) {
        match &self.value {
            DataValue::Text(text) => visit(text, self.span),
            DataValue::List(items) => items.iter().for_each(|item| item.each_text(visit)),
            DataValue::Map(entries) => entries.iter().for_each(|(_, value)| value.each_text(visit)),
            DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) => {}
        }
    }
}

/// Definitions under names: in the order in which they were written, found by name without a search.
#[derive(Debug, Clone)]
pub struct Names<T> {
    entries: Vec<(Text, T)>,
    index: HashMap<Arc<str>, usize>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), index: HashMap::new() }
    }
}

impl<T> Names<T> {
    /// Adds a definition; one with the same name is replaced.
    pub fn insert(&mut self, name: Text, definition: T) {
        match self.index.get(&name.value).and_then(|at| self.entries.get_mut(*at)) {
            Some(entry) => *entry = (name, definition),
            None => {
                self.index.insert(name.value.clone(), self.entries.len());
                self.entries.push((name, definition));
            }
        }
    }

    /// The definition with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.entry(name).map(|(_, definition)| definition)
    }

    /// The definition with this name, and the place of the name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&(Text, T)> {
        self.index.get(name).and_then(|at| self.entries.get(*at))
    }

    /// All of them, in the order in which they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, (Text, T)> {
        self.entries.iter()
    }

    /// All names, in the order in which they were written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| &*name.value)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a, T> IntoIterator for &'a Names<T> {
    type Item = &'a (Text, T);
    type IntoIter = std::slice::Iter<'a, (Text, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}
