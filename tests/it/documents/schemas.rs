//! The JSON Schemas: they say the same as the reader, and the shipped documents keep to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bascule::runbook::keys::{self, Shape};
use bascule::runbook::schema::{Kind, schema};
use bascule::runbook::{Documents, reference};
use serde_json::Value;

use super::{EVERYTHING, FIXTURE};

fn definition(kind: Kind, shape: Shape) -> Option<Value> {
    let schema = schema(kind);
    if kind.shape() == shape {
        return Some(schema);
    }
    schema.get("definitions")?.get(shape.schema).cloned()
}

#[test]
fn the_reader_and_the_schema_know_the_same_keys() {
    for shape in keys::ALL {
        let found = Kind::ALL.into_iter().filter_map(|kind| definition(kind, *shape)).collect::<Vec<_>>();
        assert!(!found.is_empty(), "no schema defines {}", shape.schema);
        for definition in found {
            let properties = definition["properties"].as_object().expect("an object");
            let written: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(written, shape.keys.iter().copied().collect(), "keys of {}", shape.what);
            assert_eq!(definition["additionalProperties"], Value::Bool(false), "{}", shape.what);
            for (key, property) in properties {
                let text = property["description"].as_str().unwrap_or("");
                assert!(text.ends_with('.'), "`{key}` of {} has no description: {property}", shape.what);
            }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// All documents that are shipped, with their kinds.
fn shipped() -> Vec<(PathBuf, Kind)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("runbooks")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "yaml") {
                let text = std::fs::read_to_string(&entry).expect("text");
                let kind = text.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or("Runbook");
                found.push((entry, Kind::find(kind).expect("a known kind")));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn a_document_says_what_it_is() {
    for (text, kind) in [(FIXTURE, "Runbook"), (CATALOG, "Catalog"), (OVERLAY, "Overlay"), (SITE, "Site")] {
        let mut documents = Documents::new();
        let file = documents.add("x.yaml", text.as_bytes());
        let shape = bascule::runbook::read::kind(documents.sources(), file);
        assert_eq!(shape.map(|shape| shape.schema), Some(kind));
    }
    for text in ["kind: Other\n", "- a\n", "a: [\n"] {
        let mut documents = Documents::new();
        let file = documents.add("x.yaml", text.as_bytes());
        assert_eq!(bascule::runbook::read::kind(documents.sources(), file), None, "{text}");
    }
}

/// What a schema says against a document. The reader of the YAML library that the tests use is not ours.
fn complaints(kind: Kind, text: &str) -> Vec<String> {
    let validator = jsonschema::draft7::new(&schema(kind)).expect("a schema");
    let value: Value = serde_yaml::from_str(text).expect("YAML");
    validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What the reader says against a document.
fn problems(kind: Kind, text: &str) -> Vec<String> {
    let mut documents = Documents::new();
    let file = documents.add("x.yaml", text.as_bytes());
    match kind {
        Kind::Runbook => drop(documents.runbook(file)),
        Kind::Catalog => drop(documents.catalog(file)),
        Kind::Overlay => drop(documents.overlay(file)),
        Kind::Site => drop(documents.site(file)),
    }
    documents.problems().iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
}

#[test]
fn shipped_documents_keep_to_schema_and_reader() {
    for (path, kind) in shipped() {
        let text = std::fs::read_to_string(&path).expect("text");
        assert_eq!(complaints(kind, &text), Vec::<String>::new(), "{}", path.display());
        assert_eq!(problems(kind, &text), Vec::<String>::new(), "{}", path.display());
    }
    assert_eq!(complaints(Kind::Runbook, EVERYTHING), Vec::<String>::new());
}

const CATALOG: &str = include_str!("catalog.yaml");
const OVERLAY: &str = include_str!("overlay.yaml");
const SITE: &str = include_str!("site.yaml");

#[test]
fn documents_with_every_key_keep_to_schema_and_reader() {
    for (kind, text) in [(Kind::Catalog, CATALOG), (Kind::Overlay, OVERLAY), (Kind::Site, SITE)] {
        assert_eq!(complaints(kind, text), Vec::<String>::new(), "{}", kind.name());
        assert_eq!(problems(kind, text), Vec::<String>::new(), "{}", kind.name());
    }
}

#[test]
fn every_key_is_in_one_of_the_full_documents() {
    let all = [EVERYTHING, CATALOG, OVERLAY, SITE].join("\n");
    for shape in keys::ALL {
        for key in shape.keys {
            let written = all.contains(&format!("{key}:"));
            assert!(written || *key == "rollbackWindowMinutes", "`{key}` of {} is read by no test", shape.what);
        }
    }
}

#[test]
fn reader_and_schema_refuse_the_same_mistakes() {
    for (wrong, right) in [
        ("wave: 2", "wavee: 2"),
        ("rollbackWindowMinutes: 90", "rollbackWindowMinutes: 0"),
        ("rollbackWindowMinutes: 90", "rollbackWindowMinutes: \"90\""),
        ("  - dns_ttl_lowered", "  - dns ttl"),
        ("  - dns_ttl_lowered", "  - dns_ttl_lowered: 5"),
        ("  - dns_ttl_lowered", "  - {id: a, uses: command, effect: maybe}"),
        ("  - dns_ttl_lowered", "  - {id: a, uses: command, timeout: 5}"),
        ("  - dns_ttl_lowered", "  - {id: a, uses: command, undo: {cleanup: 1}}"),
        ("  - dns_ttl_lowered", "  - {id: a, uses: command, undo: nothing}"),
        ("  - dns_ttl_lowered", "  - {approval: go, quorum: 0}"),
        ("preChecks:", "preChecks: 1\nprepareSteps:"),
        ("application: customer-analytics-api", ""),
    ] {
        let text = FIXTURE.replacen(wrong, right, 1);
        assert_ne!(text, FIXTURE);
        assert_ne!(problems(Kind::Runbook, &text), Vec::<String>::new(), "the reader accepts `{right}`");
        assert_ne!(complaints(Kind::Runbook, &text), Vec::<String>::new(), "the schema accepts `{right}`");
    }
}

#[test]
fn the_reference_pages_are_up_to_date() {
    for kind in Kind::ALL {
        committed(&root().join("docs/reference").join(format!("{}.md", kind.name())), &reference::page(kind));
    }
}

#[test]
fn the_committed_schemas_are_up_to_date() {
    for kind in Kind::ALL {
        let text = serde_json::to_string_pretty(&schema(kind)).expect("JSON") + "\n";
        committed(&root().join("docs/schema").join(format!("{}.schema.json", kind.name())), &text);
    }
}

/// Compares a generated file with the committed one; `BASCULE_BLESS=1` writes it.
fn committed(path: &Path, text: &str) {
    if std::env::var_os("BASCULE_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(there == text, "{} is out of date; run the tests once with BASCULE_BLESS=1", path.display());
}
