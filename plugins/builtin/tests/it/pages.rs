//! Each executor has its page, its schema is one, and the two agree.

use std::path::PathBuf;

use bascule_builtin::registry::builtin;
use bascule_plugin::{Role, Validation};
use serde_json::Value;

use crate::attempt::validate;

/// The names of all parameters of a schema, also of nested ones.
fn names(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| names(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| names(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_executor_has_a_page_that_names_its_parameters_and_outputs() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/executors");
    let mut missing = Vec::new();
    for (name, executor) in builtin() {
        let path = folder.join(format!("{name}.md"));
        let Ok(page) = std::fs::read_to_string(&path) else {
            missing.push(format!("docs/executors/{name}.md is missing"));
            continue;
        };
        let description = executor.describe();
        let mut words = Vec::new();
        names(&description.params, &mut words);
        words.extend(description.outputs.iter().map(|(output, _)| (*output).to_owned()).filter(|name| name != "*"));
        for word in words {
            if !page.contains(&format!("`{word}`")) {
                missing.push(format!("docs/executors/{name}.md does not mention `{word}`"));
            }
        }
        for section in ["## Parameters", "## Outputs", "## Effect", "## Example"] {
            if !page.contains(section) {
                missing.push(format!("docs/executors/{name}.md has no section `{section}`"));
            }
        }
        let effect = format!("`{}`", description.effect.as_str());
        if !page.contains(&effect) {
            missing.push(format!("docs/executors/{name}.md does not name its effect {effect}"));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Every `uses` with its `with`, wherever it stands.
fn uses(document: &Value, found: &mut Vec<(String, Value)>) {
    match document {
        Value::Object(map) => {
            if let Some(name) = map.get("uses").and_then(Value::as_str) {
                found.push((name.to_owned(), map.get("with").cloned().unwrap_or_default()));
            }
            map.values().for_each(|value| uses(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| uses(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_example_has_parameters_that_its_executor_takes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/executors");
    let known = builtin();
    for name in known.keys() {
        let page = std::fs::read_to_string(folder.join(format!("{name}.md"))).expect("the page is there");
        let (_, rest) = page.split_once("```yaml\n").expect("an example");
        let (example, _) = rest.split_once("```").expect("its end");
        let document: Value = serde_yaml::from_str(example).expect("the example is YAML");
        let mut steps = Vec::new();
        uses(&document, &mut steps);
        assert!(steps.iter().any(|(used, _)| used == name), "the example of {name} does not use it");
        for (used, with) in steps {
            let executor = known.get(used.as_str()).expect("the example uses a known executor");
            let schema = executor.describe().params;
            if let Err(error) = jsonschema::draft7::validate(&schema, &with) {
                panic!("the example of {name}, {used}, does not fit its schema: {error}");
            }
            if let Validation::Refused(failure) = validate(&used, &with, Role::Step).await {
                // Its files, programs and servers are not here; its parameters must be right.
                assert!(!failure.message.contains("parameters in `with`"), "the example of {name}: {failure}");
            }
        }
    }
}

#[test]
fn every_page_belongs_to_an_executor() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/executors");
    let known = builtin();
    for entry in std::fs::read_dir(folder).expect("the pages are there") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let executor = name.strip_suffix(".md").expect("only pages lie here");
        assert!(known.contains_key(executor), "docs/executors/{name} describes no executor");
    }
}

#[test]
fn parameters_are_a_schema_that_editors_read() {
    for (name, executor) in builtin() {
        let schema = executor.describe().params;
        let found = jsonschema::draft7::meta::validate(&schema).map_err(|error| error.to_string());
        assert_eq!(found, Ok(()), "the parameters of {name}");
    }
}
