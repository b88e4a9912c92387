//! JSON Schemas of the documents, for editors and for the reference pages.
//!
//! The structs below this module are shadows: nothing ever becomes one. They hold the keys, their types and
//! the text of the reference, and a test compares their keys with those that the reader reads. Draft 7,
//! because the YAML language server knows nothing newer. Start with [`schema`], then `documents.rs`.

mod documents;
mod forms;
mod parts;
mod steps;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use super::keys::{self, Shape};

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What an application's owner writes.
    Runbook,
    /// A library of definitions.
    Catalog,
    /// Values for one environment.
    Overlay,
    /// What a place has.
    Site,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Runbook, Self::Catalog, Self::Overlay, Self::Site];

    /// Its name in lower case: `runbook`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Runbook => "runbook",
            Self::Catalog => "catalog",
            Self::Overlay => "overlay",
            Self::Site => "site",
        }
    }

    /// The kind with this name; letter case does not matter.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// The keys of its outermost map.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::Runbook => keys::RUNBOOK,
            Self::Catalog => keys::CATALOG,
            Self::Overlay => keys::OVERLAY,
            Self::Site => keys::SITE,
        }
    }
}

/// The JSON Schema of a kind of document.
#[must_use]
pub fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Runbook => generate::<documents::Runbook>(kind),
        Kind::Catalog => generate::<documents::Catalog>(kind),
        Kind::Overlay => generate::<documents::Overlay>(kind),
        Kind::Site => generate::<documents::Site>(kind),
    }
}

fn generate<T: JsonSchema>(kind: Kind) -> Value {
    let settings = SchemaSettings::draft07().with_transform(NotNull).with_transform(OneLine);
    let mut value = settings.into_generator().into_root_schema_for::<T>().to_value();
    close(&mut value, kind.shape());
    if let Some(Value::Object(definitions)) = value.get_mut("definitions") {
        for (name, definition) in definitions.iter_mut() {
            if let Some(shape) = keys::ALL.iter().find(|shape| shape.schema == name) {
                close(definition, *shape);
            }
        }
    }
    value
}

/// A map with known keys has no others.
fn close(schema: &mut Value, shape: Shape) {
    if let Value::Object(fields) = schema {
        debug_assert!(!shape.keys.is_empty());
        fields.insert("additionalProperties".into(), json!(false));
    }
}

/// Marks a schema that accepts null because a document may.
const NULL_IS_MEANT: &str = "x-null-is-meant";

/// A key that may be left out may not be null: `timeout:` with nothing behind it is a mistake.
#[derive(Debug, Clone)]
struct NotNull;

impl Transform for NotNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.remove(NULL_IS_MEANT).is_some() {
            return;
        }
        if let Some(Value::Array(words)) = schema.get_mut("enum") {
            words.retain(|word| !word.is_null());
        }
        if let Some(Value::Array(types)) = schema.get_mut("type")
            && types.len() == 2
            && let Some(null) = types.iter().position(|name| name == "null")
        {
            types.remove(null);
            if let Some(only) = types.pop() {
                schema.insert("type".into(), only);
            }
        }
        let inner = match schema.get("anyOf") {
            Some(Value::Array(options)) if options.len() == 2 && options.get(1) == Some(&json!({ "type": "null" })) => {
                options.first().cloned()
            }
            _ => None,
        };
        if let Some(Value::Object(inner)) = inner {
            schema.remove("anyOf");
            let alone = schema.as_object().is_none_or(serde_json::Map::is_empty);
            match inner.get("$ref") {
                // Beside `$ref` a draft 7 reader sees nothing else.
                Some(_) if !alone => {
                    schema.insert("allOf".into(), json!([inner]));
                }
                Some(_) | None => {
                    for (key, value) in inner {
                        if schema.get(&key).is_none() {
                            schema.insert(key, value);
                        }
                    }
                }
            }
        }
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
    }
}

/// Line breaks of doc comments are no line breaks of the reference; integers need no format.
#[derive(Debug, Clone)]
struct OneLine;

impl Transform for OneLine {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(Value::String(text)) = schema.get("description") {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            schema.insert("description".into(), Value::String(text));
        }
        // `uint32` and its like are no formats that a reader of schemas knows.
        if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
            schema.remove("format");
        }
    }
}
