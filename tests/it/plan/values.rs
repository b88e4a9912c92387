//! Where values come from, which one wins, and what holds where nobody wrote anything.

use bascule::plan::explain::Source;
use bascule::plan::policy::DataAnswer;
use bascule::plan::step::{OnTimeout, StepKind};
use bascule::plan::{CatalogRank, Plan, Step};
use serde_json::{Value, json};

use super::support::Bench;
use super::{CATALOG, FIXTURE};

fn step<'p>(plan: &'p Plan, id: &str) -> &'p Step {
    plan.step(plan.find(&id.into()).expect("a step of the test"))
}

fn params(plan: &Plan, id: &str) -> Value {
    match &step(plan, id).kind {
        StepKind::Action(call) => json!(*call.params),
        StepKind::Approval(_) | StepKind::Manual(_) => Value::Null,
    }
}

const OVERLAY: &str = "kind: Overlay\nrollbackWindow: 2m\ninputs: { targetApi: \"http://lab\" }\nsteps:\n  convert_image: { timeout: 5h, with: { mode: changed }, undo: { estimate: 9m } }\n";

#[test]
fn entry_then_input_then_default() {
    let plain = Bench::new(FIXTURE).shipped("pextra", CATALOG).compile();
    assert_eq!(params(plain.plan(), "dns_ttl_lowered"), json!({ "maxTtl": 60 }));
    let with_input = Bench::new(&format!("{FIXTURE}inputs: {{ maxTtl: 30 }}\n")).shipped("pextra", CATALOG).compile();
    assert_eq!(params(with_input.plan(), "dns_ttl_lowered"), json!({ "maxTtl": 30 }));
    let entry = FIXTURE.replace("- dns_ttl_lowered", "- dns_ttl_lowered: { maxTtl: \"${{ inputs.low }}\" }");
    let with_entry =
        Bench::new(&format!("{entry}inputs: {{ maxTtl: 30, low: 10 }}\n")).shipped("pextra", CATALOG).compile();
    assert_eq!(params(with_entry.plan(), "dns_ttl_lowered"), json!({ "maxTtl": 10 }));
}

#[test]
fn the_last_overlay_wins_and_set_after_it() {
    let made = Bench::new(FIXTURE)
        .shipped("pextra", CATALOG)
        .overlay(OVERLAY)
        .set("rollbackWindow=3m")
        .set("steps.convert_image.timeout=6h")
        .compile();
    let plan = made.plan();
    assert_eq!(plan.policies.window_ms, 180_000);
    let convert = step(plan, "convert_image");
    assert_eq!(convert.timeout_ms, 6 * 3_600_000);
    assert_eq!(convert.undo_action().and_then(|undo| undo.estimate_ms), Some(540_000));
    let StepKind::Action(call) = &convert.kind else { panic!("an action") };
    assert_eq!(*call.with, json!({ "from": "a.vmdk", "mode": "changed", "to": "a.qcow2" }));
    assert_eq!(params(plan, "power_on_target"), json!({ "targetApi": "http://lab" }));
}

#[test]
fn what_nobody_wrote_has_a_default() {
    let made = Bench::new(FIXTURE).shipped("pextra", CATALOG).compile();
    let plan = made.plan();
    let check = step(plan, "backup_success_last_24h");
    assert_eq!((check.timeout_ms, check.check.retry_every_ms), (60_000, Some(60_000)));
    let sync = step(plan, "final_data_sync");
    assert_eq!((sync.on_timeout, sync.timeout_ms), (OnTimeout::Ask, 1_800_000), "three times its estimate");
    assert_eq!(sync.undo_action().map(|undo| undo.retry.attempts), Some(5));
    assert_eq!((sync.retry.attempts, step(plan, "quiesce_application").retry.attempts), (1, 3));
    let criterion = plan.criteria.first().expect("the first criterion");
    assert_eq!((criterion.warm_up_ms, criterion.max_age_ms, criterion.min_samples), (120_000, 30_000, 1));
    let policies = &plan.policies;
    assert_eq!((policies.settle_within_ms, policies.auto_continue_within_ms), (60_000, 600_000));
    assert_eq!((policies.ready_every_ms, policies.resume_within_ms), (300_000, None));
    assert_eq!(policies.data, DataAnswer::ReverseSync);
    assert_eq!(plan.locks.iter().map(|claim| claim.name.as_str()).collect::<Vec<_>>(), ["app:customer-analytics-api"]);
}

#[test]
fn a_written_key_keeps_the_catalogs_defaults_out() {
    let runbook = format!("{FIXTURE}rollbackFence: []\nrollbackChecks: [source_vm_present]\n");
    let made = Bench::new(&runbook).shipped("pextra", CATALOG).compile();
    let ids: Vec<String> = made.plan().steps.iter().map(|step| step.id.to_string()).collect();
    assert!(!ids.iter().any(|id| id.starts_with("fence:")), "{ids:?}");
    assert!(
        ids.contains(&"restored:source_vm_present".to_owned()) && ids.contains(&"ready:source_vm_present".to_owned())
    );
    assert!(
        made.plan().criteria.iter().any(|criterion| &*criterion.id == "source_stays_down"),
        "criteria are appended"
    );
}

#[test]
fn the_first_catalog_that_knows_a_name_gives_it() {
    let local = "kind: Catalog\nsteps:\n  smoke_test: { uses: http.probe, effect: none, estimate: 9m }\n";
    let source = "kind: Catalog\nfor: { sourcePlatform: vmware-vsphere }\nsteps:\n\
                  \x20 quiesce_application: { uses: noop, side: target, effect: none }\n\
                  \x20 backup_success_last_24h: { uses: http.probe, side: source }\n";
    let made = Bench::new(FIXTURE)
        .catalog("source.yaml", CatalogRank::Beside, source)
        .catalog("local.yaml", CatalogRank::Runbook, local)
        .shipped("pextra", CATALOG)
        .compile();
    let from = |id: &str| step(made.plan(), id).origin.catalog.clone().unwrap_or_default();
    assert_eq!(from("smoke_test"), "local.yaml");
    assert_eq!(from("backup_success_last_24h"), "source.yaml");
    assert_eq!(from("quiesce_application"), "pextra", "a catalog of the source gives nothing of the target's side");
    let pinned: Vec<&str> = made.plan().catalogs.iter().map(|pin| pin.name.as_str()).collect();
    assert_eq!(pinned, ["local.yaml", "source.yaml", "pextra"]);
}

#[test]
fn a_catalog_that_gives_nothing_adds_nothing() {
    let inline = "application: shop\nsourcePlatform: vmware-vsphere\ntargetPlatform: pextra-cloud\nrollbackWindow: 30m\n\
                  cutoverSteps: [{ id: go, uses: look, effect: none, exposes: true }]\n";
    let made = Bench::new(inline).shipped("pextra", CATALOG).compile();
    assert_eq!(made.plan().steps.len(), 1);
    assert!(made.plan().criteria.is_empty() && made.plan().catalogs.is_empty());
}

#[test]
fn missing_inputs_are_named_and_only_running_is_refused() {
    let catalog = CATALOG.replace(
        "sourceApi: { type: url, default: \"http://source.example\" }",
        "sourceApi: { type: url, required: true }",
    );
    let made = Bench::new(FIXTURE).shipped("pextra", &catalog).compile();
    let missing = &made.plan().missing;
    assert_eq!(missing.len(), 1);
    assert_eq!((missing[0].name.as_str(), missing[0].kind.as_str()), ("sourceApi", "url"));
    assert_eq!(missing[0].needed_by, ["quiesce_application"]);
    let refused = bascule::plan::lint::missing_inputs(made.plan());
    assert!(refused.has_errors());
    let given = Bench::new(FIXTURE).shipped("pextra", &catalog).set("inputs.sourceApi=http://a").compile();
    assert!(given.plan().missing.is_empty());
}

#[test]
fn each_value_tells_where_it_comes_from() {
    let bench = Bench::new(FIXTURE).shipped("pextra", CATALOG).overlay(OVERLAY).set("steps.convert_image.timeout=6h");
    let explained = bench.explain("convert_image").expect("a step of the runbook");
    let place = |source: &Source| match source {
        Source::Written { layer, name, line, .. } => format!("{layer:?} {name}:{line}"),
        Source::Assumed(why) => format!("({why})"),
    };
    let mut shown = format!("{} listed at {}\n", explained.step, place(&explained.listed));
    if let Some(definition) = &explained.definition {
        shown.push_str(&format!("defined at {}\n", place(definition)));
    }
    for row in &explained.rows {
        shown.push_str(&format!("{} = {}  <- {}\n", row.key, row.value, place(&row.source)));
    }
    insta::assert_snapshot!(shown);
}
