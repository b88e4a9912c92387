//! Every call that the catalog makes is one that the lab answers, over and back in the order of a run.
//!
//! Conditions (`pass`, `trip`) are the engine's business; what the calls themselves demand is checked here.

use bascule_lab::{EntryKind, LabOptions, Side};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::rig::{Rig, quiet, until};

const CATALOG: &str = include_str!("../../../../runbooks/catalog/lab.yaml");
const PEXTRA: &str = include_str!("../../../../runbooks/catalog/pextra-cloud.yaml");

const CHECKS: [&str; 4] =
    ["backup_success_last_24h", "target_monitoring_ready", "target_network_policy_validated", "dns_ttl_lowered"];
const CUTOVER: [&str; 8] = [
    "quiesce_application",
    "final_data_sync",
    "convert_image",
    "attach_target_storage_profile",
    "validate_guest_tools_and_drivers",
    "power_on_target",
    "smoke_test",
    "update_load_balancer",
];
const POST_CHECKS: [&str; 4] =
    ["p95_latency_within_slo", "error_rate_below_threshold", "backup_job_succeeds", "alerting_signals_present"];
const CRITERIA: [&str; 3] = ["app_health_check_failure", "sustained_latency_regression", "target_backup_failure"];

fn catalog(text: &str) -> Value {
    serde_yaml::from_str(text).expect("a catalog")
}

/// The values of `params`: those of `lab.json`, then the catalog's defaults, then the step's.
fn params(rig: &Rig, catalog: &Value, step: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for declared in [&catalog["params"], &step["params"]] {
        for (name, param) in declared.as_object().into_iter().flatten() {
            let given = rig.lab.site.inputs.get(name).cloned();
            let value = given.or_else(|| param.get("default").cloned());
            all.insert(name.clone(), value.unwrap_or_else(|| panic!("nothing binds `{name}`")));
        }
    }
    all
}

fn fill(value: &Value, params: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => fill_text(text, params),
        Value::Array(items) => items.iter().map(|item| fill(item, params)).collect(),
        Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), fill(item, params))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn fill_text(text: &str, params: &Map<String, Value>) -> Value {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("${{ params.") {
        let (name, after) = after.split_once(" }}").expect("a closed placeholder");
        if before.is_empty() && after.is_empty() && out.is_empty() {
            return params[name].clone();
        }
        out.push_str(before);
        out.push_str(params[name].as_str().expect("text inside text"));
        rest = after;
    }
    Value::String(out + rest)
}

/// Makes the call of a step, a criterion, an undo, a verify; answers the body.
async fn make(rig: &Rig, name: &str, call: &Value, uses: &Value, params: &Map<String, Value>) -> Value {
    let with = fill(&call["with"], params);
    let uses = call.get("uses").unwrap_or(uses);
    let url = match (uses.as_str(), with["url"].as_str()) {
        (Some("http.call" | "http.probe"), Some(url)) => url.to_owned(),
        (Some("dns.check"), None) => return Value::Null,
        other => panic!("{name}: no call to make: {other:?}"),
    };
    let query: Vec<String> = with["query"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().map_or(value.to_string(), str::to_owned)))
        .collect();
    let url = if query.is_empty() { url } else { format!("{url}?{}", query.join("&")) };
    let method: Method = with["method"].as_str().unwrap_or("GET").parse().expect("a method");
    let key = (method != Method::GET).then_some(name);
    let (status, body) = rig.call(method, &url, with["json"].clone(), key).await;
    assert_eq!(status, 200, "{name}: {url}: {body}");
    if let Some(expected) = with.get("expectBody") {
        let pointer = expected["pointer"].as_str().expect("a pointer");
        assert_eq!(body.pointer(pointer), expected.get("equals"), "{name}: {body}");
    }
    body
}

struct Walk<'a> {
    rig: &'a Rig,
    catalog: Value,
}

impl Walk<'_> {
    async fn step(&self, name: &str) -> Value {
        let step = &self.catalog["steps"][name];
        let params = params(self.rig, &self.catalog, step);
        let body = make(self.rig, name, step, &Value::Null, &params).await;
        if let Some(verify) = step.get("verify") {
            make(self.rig, name, verify, &step["uses"], &params).await;
        }
        body
    }

    async fn undo(&self, name: &str) -> Value {
        let step = &self.catalog["steps"][name];
        let params = params(self.rig, &self.catalog, step);
        let undo = &step["undo"];
        let body = make(self.rig, &format!("undo of {name}"), undo, &step["uses"], &params).await;
        if let Some(verify) = undo.get("verify") {
            make(self.rig, name, verify, &step["uses"], &params).await;
        }
        body
    }

    async fn criterion(&self, name: &str) -> Value {
        let criterion = &self.catalog["criteria"][name];
        make(self.rig, name, criterion, &Value::Null, &params(self.rig, &self.catalog, criterion)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_catalog_is_answered_over_and_back() {
    let rig = Rig::with(LabOptions { backup_every_ms: 100, ..quiet() }).await;
    let walk = Walk { rig: &rig, catalog: catalog(CATALOG) };
    assert_eq!(walk.step(CHECKS[0]).await["succeeded"], true);
    until("the target is scraped", async || walk.step(CHECKS[1]).await["scraping"] == true).await;
    assert_eq!(walk.step(CHECKS[2]).await["validated"], true);
    assert_eq!(rig.get("dnsApi", "/records").await.1["records"][0]["effective"], true);
    walk.step(CHECKS[3]).await;
    for name in ["seed_copy", "lower_dns_ttl"].iter().chain(&CUTOVER) {
        walk.step(name).await;
    }
    assert_eq!(rig.order("on-the-target").await.0, 201);
    walk.step("p95_latency_within_slo").await;
    assert_eq!(walk.step("error_rate_below_threshold").await["errorRate"], 0.0);
    until("the target is backed up", async || walk.step("backup_job_succeeds").await["succeeded"] == true).await;
    until("its signals are there", async || walk.step("alerting_signals_present").await["present"] == true).await;
    for name in CRITERIA {
        walk.criterion(name).await;
    }
    assert_eq!(walk.criterion("source_stays_down").await["writable"], false);
    for name in ["source_vm_present", "source_disk_present", "source_has_room", "source_snapshot_present"] {
        walk.step(name).await;
    }

    walk.step("stop_target_writes").await;
    assert_eq!(walk.undo("final_data_sync").await["records"], 1);
    walk.undo("quiesce_application").await;
    walk.undo("update_load_balancer").await;
    walk.step("source_serves").await;
    assert_eq!(rig.get("vip", "/orders/on-the-target").await.0, 200);
    for name in ["power_on_target", "attach_target_storage_profile", "convert_image", "lower_dns_ttl", "seed_copy"] {
        walk.undo(name).await;
    }
    walk.step("release_source_snapshot").await;
    let asked = rig.lab.ledger().expect("a ledger").into_iter().filter(|one| one.key.is_some());
    let idle: Vec<_> = asked.filter(|one| one.kind != EntryKind::Effect).map(|one| one.key).collect();
    // Final sync: nothing new since the seed. DNS: the lab's record has the low TTL from its first day.
    assert_eq!(idle, [Some("lower_dns_ttl".to_owned()), Some("final_data_sync".to_owned())]);
    assert!(rig.lab.verify_orders(Side::Source).expect("a report").is_kept());
}

#[test]
fn both_catalogs_define_all_nineteen_names_and_what_every_shipped_catalog_gives() {
    for text in [CATALOG, PEXTRA] {
        let catalog = catalog(text);
        for name in CHECKS.iter().chain(&CUTOVER).chain(&POST_CHECKS) {
            let step = &catalog["steps"][name];
            for key in ["description", "uses", "side", "layer", "effect", "estimate"] {
                assert!(step.get(key).is_some(), "{name} has no `{key}`");
            }
            let acts = step["effect"] != "none";
            assert_eq!(acts, step.get("undo").is_some(), "{name}");
        }
        for name in CRITERIA {
            assert!(catalog["criteria"][name].get("trip").is_some(), "{name}");
        }
        let marked = |key: &str| -> Vec<&str> {
            CUTOVER.into_iter().filter(|name| catalog["steps"][name][key] == true).collect()
        };
        assert_eq!(marked("exposes"), ["update_load_balancer"]);
        assert_eq!(marked("movesData"), ["final_data_sync"]);
        assert_eq!(marked("takesSourceDown"), ["quiesce_application"]);
        let cleanup: Vec<&str> =
            CUTOVER.into_iter().filter(|name| catalog["steps"][name]["undo"]["cleanup"] == true).collect();
        assert_eq!(cleanup, ["convert_image", "attach_target_storage_profile", "power_on_target"]);
        assert_eq!(catalog["criteria"]["source_stays_down"]["action"], "ask");
        for (section, names) in catalog["defaults"].as_object().expect("defaults") {
            let home = if section == "rollbackCriteria" { "criteria" } else { "steps" };
            for name in names.as_array().expect("a list") {
                let name = name.as_str().expect("a name");
                assert!(catalog[home].get(name).is_some(), "{section}: {name}");
            }
        }
        for section in ["rollbackFence", "rollbackReady", "rollbackChecks", "rollbackCriteria"] {
            assert_ne!(catalog["defaults"][section], json!([]), "{section}");
            assert!(catalog["defaults"].get(section).is_some(), "{section}");
        }
    }
}
