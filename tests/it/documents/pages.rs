//! The pages of the error codes: each has an example that earns its code and a mended one that does not.

use std::collections::BTreeSet;

use bascule::plan::{CatalogRank, CatalogSource, ExecutorInfo, Executors, History, Input, compile, lint, step::Effect};
use bascule::runbook::codes::{self, Code, FoundBy};
use bascule::runbook::{Documents, Severity, Unreadable};
use serde_json::json;

/// A fenced block: what stands behind the backticks, and the text.
type Block<'a> = (&'a str, &'a str);

fn blocks(part: &str) -> Vec<Block<'_>> {
    let mut found = Vec::new();
    let mut rest = part;
    while let Some((_, after)) = rest.split_once("```") {
        let (block, after) = after.split_once("```").expect("a closed block");
        found.push(block.split_once('\n').expect("a block of lines"));
        rest = after;
    }
    found
}

fn executors() -> Executors {
    let info = |effect| ExecutorInfo {
        contract: Some(1),
        sha256: None,
        params: json!({ "type": "object" }),
        effect,
        probes: false,
        undoes: false,
        progress: false,
        outputs: Vec::new(),
    };
    let command = json!({ "type": "object", "required": ["argv"], "additionalProperties": false, "properties": { "argv": {}, "successCodes": {} } });
    Executors::from([
        ("command".to_owned(), ExecutorInfo { params: command, ..info(Effect::Once) }),
        ("http.call".to_owned(), info(Effect::Once)),
        ("http.probe".to_owned(), info(Effect::None)),
    ])
}

/// Codes and severities of everything that the reader, or the compiler too, finds wrong with the documents of
/// a part of a page.
fn verdict(blocks: &[Block<'_>], by: FoundBy) -> Vec<(&'static str, Severity)> {
    let mut documents = Documents::new();
    let (mut runbook, mut catalogs, mut overlays) = (None, Vec::new(), Vec::new());
    for (info, text) in blocks {
        let bytes = match *info {
            "yaml latin1" => text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect(),
            "yaml padded" => format!("{text}{}", "#".repeat(bascule::runbook::MAX_BYTES)).into_bytes(),
            _ => text.as_bytes().to_vec(),
        };
        match *info {
            "yaml" | "yaml latin1" | "yaml padded" => {
                let file = documents.add("runbook.yaml", &bytes);
                runbook = documents.runbook(file);
            }
            "yaml catalog" | "yaml catalog flag" => {
                let file = documents.add("catalog/shop.yaml", &bytes);
                let rank = if info.ends_with("flag") { CatalogRank::Flag } else { CatalogRank::Runbook };
                catalogs.extend(documents.catalog(file).map(|catalog| (rank, catalog)));
            }
            "yaml overlay" => {
                let file = documents.add("lab.yaml", &bytes);
                overlays.extend(documents.overlay(file));
            }
            "set" => overlays.extend(documents.set(text.trim_end())),
            "text directory" => {
                documents.unreadable(text.trim_end(), &Unreadable::Directory);
            }
            "text missing" => documents.catalog_not_found(text.trim_end(), None, ["pextra-cloud"].into_iter()),
            other => panic!("a block of an unknown kind: {other}"),
        }
    }
    if let (Some(runbook), FoundBy::Compiler) = (&runbook, by) {
        let catalogs: Vec<CatalogSource<'_>> =
            catalogs.iter().map(|(rank, catalog)| CatalogSource { name: "shop", rank: *rank, catalog }).collect();
        let compiled = compile(&Input {
            files: documents.sources(),
            runbook,
            overlays: &overlays,
            catalogs: &catalogs,
            executors: &executors(),
            history: &History::default(),
        });
        documents.report(compiled.problems);
        // What `run` refuses and `lint` is content with.
        if let Some(plan) = &compiled.plan {
            documents.report(lint::missing_inputs(plan));
            documents.report(lint::against_clock(plan, &History::default(), None, 1_767_225_600_000));
        }
    }
    let (_, problems) = documents.finish();
    problems.iter().map(|problem| (problem.code.id, problem.severity)).collect()
}

fn parts(code: Code) -> (&'static str, &'static str) {
    let (head, rest) = code.page.split_once("\n## Example\n").unwrap_or_else(|| panic!("{code} has no example"));
    assert!(head.starts_with(&format!("# {}: {}\n", code.id, code.title)), "{code} has another title");
    assert!(head.lines().any(|line| line.len() > 30 && !line.starts_with('#')), "{code} explains nothing");
    rest.split_once("\n## Mended\n").unwrap_or_else(|| panic!("{code} does not say how to mend it"))
}

#[test]
fn every_page_shows_a_mistake_and_how_to_mend_it() {
    let mut wrong = Vec::new();
    for code in codes::ALL {
        let (bad, good) = parts(*code);
        let bad = verdict(&blocks(bad), code.found_by);
        let good = verdict(&blocks(good), FoundBy::Compiler);
        if !bad.iter().any(|(id, _)| *id == code.id) {
            wrong.push(format!("the example of {code} earns {bad:?}"));
        }
        if good.iter().any(|(id, severity)| *id == code.id || *severity == Severity::Error) {
            wrong.push(format!("the mended example of {code} earns {good:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_belongs_to_a_code() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the pages")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let known: BTreeSet<String> = codes::ALL.iter().map(|code| format!("{}.md", code.id)).collect();
    assert_eq!(files, known);
}

#[test]
fn codes_are_unique_and_found_by_their_ids() {
    let ids: BTreeSet<&str> = codes::ALL.iter().map(|code| code.id).collect();
    assert_eq!(ids.len(), codes::ALL.len());
    assert_eq!(codes::find("b0017"), Some(codes::BAD_DURATION));
    assert_eq!(codes::find("B9999"), None);
}
