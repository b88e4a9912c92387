//! One definition laid over another: a catalog's, a runbook's, an overlay's, an argument's.

use bascule::runbook::model::{Millis, StepDef, UndoDef};
use bascule::runbook::{Catalog, Documents, Overlay};

fn base() -> (Documents, Catalog) {
    let mut documents = Documents::new();
    let file = documents.add(
        "catalog.yaml",
        b"kind: Catalog\nsteps:\n  copy:\n    uses: files.copy\n    with: { from: a, to: b, options: { fast: true, deep: 1 }, list: [1, 2] }\n    \
          timeout: 5m\n    retry: { attempts: 3, backoff: 10s }\n    probe: { uses: look, done: result.ok }\n    \
          undo: { uses: files.remove, with: { path: b }, cleanup: true }\n\
          criteria:\n  slow: { uses: look, trip: result.bad, sustainedFor: 5m, every: 10s }\n",
    );
    let catalog = documents.catalog(file).expect("a catalog");
    (documents, catalog)
}

fn overlay(documents: &mut Documents, text: &str) -> Overlay {
    let file = documents.add("overlay.yaml", format!("kind: Overlay\n{text}").as_bytes());
    let overlay = documents.overlay(file).expect("an overlay");
    assert!(documents.problems().is_empty(), "{:?}", documents.problems());
    overlay
}

fn laid(text: &str) -> (StepDef, Documents) {
    let (mut documents, catalog) = base();
    let overlay = overlay(&mut documents, text);
    let mut step = catalog.steps.get("copy").expect("the step").clone();
    step.lay(overlay.steps.get("copy").expect("the overlay's step"));
    (step, documents)
}

#[test]
fn parameters_are_merged_key_by_key() {
    let (step, _) = laid("steps: { copy: { with: { to: c, options: { deep: 2 }, list: [3] } } }\n");
    assert_eq!(
        step.with.expect("with").to_json(),
        serde_json::json!({ "from": "a", "to": "c", "options": { "fast": true, "deep": 2 }, "list": [3] })
    );
}

#[test]
fn single_keys_are_replaced_and_the_others_stay() {
    let (step, documents) = laid(
        "steps: { copy: { timeout: 9s, retry: { attempts: 1 }, undo: { keep: true }, probe: { done: result.there } } }\n",
    );
    let timeout = step.timeout.expect("a timeout");
    assert_eq!(timeout.value, Millis(9_000));
    assert_eq!(documents.sources().name(timeout.span.file), "overlay.yaml");
    let retry = step.retry.expect("retry");
    assert_eq!(retry.attempts.map(|attempts| attempts.value), Some(1));
    assert_eq!(retry.backoff.map(|backoff| backoff.value), Some(Millis(10_000)));
    let Some(UndoDef::Action(undo)) = step.undo.map(|undo| undo.value) else { panic!("an action") };
    assert_eq!(undo.uses.as_deref().map(|uses| &**uses), Some("files.remove"));
    assert_eq!((undo.cleanup.map(|cleanup| cleanup.value), undo.keep.map(|keep| keep.value)), (Some(true), Some(true)));
    assert_eq!(documents.sources().name(step.uses.expect("uses").span.file), "catalog.yaml");
}

#[test]
fn words_and_maps_replace_each_other() {
    let (step, _) = laid("steps: { copy: { undo: none, probe: native } }\n");
    assert!(matches!(step.undo.map(|undo| undo.value), Some(UndoDef::None)));
    assert!(matches!(step.probe.map(|probe| probe.value), Some(bascule::runbook::model::ProbeDef::Native)));
}

#[test]
fn a_trip_rule_replaces_one_of_another_kind() {
    let (mut documents, catalog) = base();
    let overlay = overlay(&mut documents, "criteria: { slow: { consecutive: 2 } }\n");
    let mut criterion = catalog.criteria.get("slow").expect("the criterion").clone();
    criterion.lay(overlay.criteria.get("slow").expect("the overlay's"));
    assert_eq!(criterion.consecutive.map(|times| times.value), Some(2));
    assert!(criterion.sustained_for.is_none());
    assert_eq!(criterion.every.map(|every| every.value), Some(Millis(10_000)));
}

#[test]
fn settings_of_a_runbook_are_replaced_one_by_one() {
    let mut documents = Documents::new();
    let file = documents.add(
        "runbook.yaml",
        b"application: shop\nrollbackWindowMinutes: 90\nsettleWithin: 30s\nchange: { id: C1, zone: UTC }\ncontacts: { owner: Ada, bridge: b }\ncutoverSteps: [a]\n",
    );
    let mut settings = documents.runbook(file).expect("a runbook").settings;
    let first = overlay(&mut documents, "rollbackWindow: 2m\ncontacts: { owner: Grace }\n");
    let last = documents.set("change.window=2026-11-28T22:00/04:00").expect("an overlay");
    settings.lay(&first.settings);
    settings.lay(&last.settings);
    assert_eq!(settings.rollback_window.map(|window| window.value), Some(Millis(120_000)));
    assert_eq!(settings.settle_within.map(|settle| settle.value), Some(Millis(30_000)));
    assert_eq!(settings.contacts.expect("contacts").to_json(), serde_json::json!({ "owner": "Grace", "bridge": "b" }));
    let change = settings.change.expect("a change");
    assert_eq!(change.id.map(|id| id.value.to_string()), Some("C1".to_owned()));
    let window = change.window.expect("a window");
    assert!(window.resolve(change.zone.as_ref().map(|zone| &*zone.value)).is_ok());
}
