//! The reference page of a kind of document, written from its schema: every key, type, default, meaning.
//!
//! Start with [`page`].

use serde_json::Value;

use super::schema::{Kind, schema};

/// The page as Markdown.
#[must_use]
pub fn page(kind: Kind) -> String {
    let schema = schema(kind);
    let mut text = format!("# {} reference\n\n", capital(kind.name()));
    text.push_str(&format!("{}\n\n", describe(&schema)));
    text.push_str(&format!(
        "Generated from the JSON Schema (`bascule schema {}`). A key without a default does nothing unless it is \
         written, or its meaning says what holds. Durations are written `90s`, `30m`, `3h`, `1h30m`, `500ms`, `14d`.\n\n",
        kind.name()
    ));
    table(&mut text, &schema);
    let definitions = schema.get("definitions").and_then(Value::as_object);
    let mut names: Vec<&String> = definitions.into_iter().flat_map(|map| map.keys()).collect();
    names.sort();
    for name in names {
        let Some(definition) = definitions.and_then(|map| map.get(name)) else { continue };
        text.push_str(&format!("\n## {name}\n\n{}\n", describe(definition)));
        if definition.get("properties").is_some() {
            text.push('\n');
            table(&mut text, definition);
        } else {
            words(&mut text, definition);
        }
    }
    text
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

fn describe(schema: &Value) -> &str {
    schema.get("description").and_then(Value::as_str).unwrap_or("")
}

/// The keys of a map in the order of the reader.
fn table(text: &mut String, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
    for (key, property) in properties {
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "**required**".to_owned(),
            Some(Value::String(word)) => format!("`{word}`"),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        text.push_str(&format!("| `{key}` | {} | {default} | {} |\n", kind_of(property), cell(describe(property))));
    }
}

/// The words of an enumeration with their meanings, or the forms that a value can have.
fn words(text: &mut String, definition: &Value) {
    let options = ["oneOf", "anyOf"].iter().find_map(|key| definition.get(*key)).and_then(Value::as_array);
    let Some(options) = options else { return };
    text.push('\n');
    for option in options {
        text.push_str(&format!("- {}{}\n", kind_of(option), meaning(option)));
    }
}

fn meaning(option: &Value) -> String {
    match describe(option) {
        "" => String::new(),
        meaning => format!(": {meaning}"),
    }
}

fn kind_of(schema: &Value) -> String {
    if let Some(target) = reference(schema) {
        let name = target.rsplit('/').next().unwrap_or("");
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return format!("`{word}`");
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            format!("list of {}", schema.get("items").map_or_else(|| "values".to_owned(), kind_of))
        }
        Some(Value::String(name)) if name == "object" => match schema.get("additionalProperties") {
            Some(inner @ Value::Object(_)) => format!("map of {}", kind_of(inner)),
            Some(_) | None => "map".to_owned(),
        },
        Some(Value::String(name)) => plain(name).to_owned(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(plain).collect::<Vec<_>>().join(" or "),
        Some(_) | None => "any".to_owned(),
    }
}

fn reference(schema: &Value) -> Option<&str> {
    let inner = schema.get("allOf").and_then(|all| all.get(0)).unwrap_or(schema);
    inner.get("$ref").and_then(Value::as_str)
}

fn plain(name: &str) -> &str {
    match name {
        "string" => "text",
        "integer" => "whole number",
        "boolean" => "`true` or `false`",
        "object" => "map",
        "array" => "list",
        "null" => "nothing",
        other => other,
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
