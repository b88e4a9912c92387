//! The whole way over and back by hand, with users ordering all along, and what the platforms refuse on it.

use bascule_lab::{EntryKind, Side, read_disk};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, VM, until};

/// Waits until users were served `more` times by a side.
async fn served(rig: &Rig, side: &str, more: u64) {
    let count = async || {
        let (_, users) = rig.get("control", "/users").await;
        users["summary"][if side == "source" { "bySource" } else { "byTarget" }].as_u64().expect("a count")
    };
    let before = count().await;
    until(&format!("users are served by the {side}"), async || count().await >= before + more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_keep_all_their_orders_over_and_back() {
    let rig = Rig::start().await;
    rig.lab.start_users(4, 2).await.expect("users");
    served(&rig, "source", 20).await;

    rig.cut_over().await;
    let (status, check) = rig.get("targetApi", &format!("/vms/{VM}/guest-check")).await;
    assert_eq!((status, &check["ok"]), (200, &json!(true)), "{check}");
    let (status, smoke) = rig.get("targetApi", &format!("/vms/{VM}/app/smoke")).await;
    assert_eq!((status, &smoke["smoke"]), (200, &json!("passed")), "{smoke}");
    rig.weights(0, 100, None).await;
    served(&rig, "target", 20).await;
    let (_, page) = rig.get("metrics", "/metrics/window?seconds=60&backend=target").await;
    assert!(page["requests"].as_u64() >= Some(20) && page["p95Ms"].as_f64() > Some(0.0), "{page}");

    rig.must("targetApi", "fence", Value::Null).await;
    let home = rig.must("sourceApi", "reverse-sync", rig.way_home()).await;
    assert!(home["records"].as_u64() >= Some(20), "{home}");
    rig.must("sourceApi", "unquiesce", Value::Null).await;
    rig.weights(100, 0, None).await;
    served(&rig, "source", 20).await;

    let seen = rig.lab.stop_users().await.expect("what they saw");
    assert!(seen.by_target >= 20 && seen.by_source >= 40, "{seen:?}");
    assert!(seen.longest_outage_ms > 0, "writes stopped during the sync: {seen:?}");
    let report = rig.lab.verify_orders(Side::Source).expect("a report");
    assert!(report.is_kept() && report.acked >= 60, "{report:?}");
    let target = rig.lab.verify_orders(Side::Target).expect("a report");
    assert!(!target.missing.is_empty(), "orders after the way back are on the source only: {target:?}");

    rig.must("targetApi", "power-off", Value::Null).await;
    rig.must("targetApi", "detach", Value::Null).await;
    let aside = rig.must("targetApi", "move-aside", Value::Null).await;
    let moved = aside["moved"].as_str().expect("where it is now");
    assert!(read_disk(std::path::Path::new(moved)).is_ok(), "the image is kept whole");
    rig.lab.heal(None).await.expect("the lab still answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cutover_copies_only_what_is_new() {
    let rig = Rig::start().await;
    let full = rig.must("targetApi", "sync", json!({ "source": rig.input("sourceApi") })).await;
    assert_eq!((&full["records"], &full["incremental"]), (&json!(20), &json!(false)));
    assert_eq!(rig.order("one").await.0, 201);
    rig.must("sourceApi", "quiesce", Value::Null).await;
    let last = rig.must("targetApi", "sync", rig.final_sync()).await;
    assert_eq!((&last["records"], &last["incremental"]), (&json!(21), &json!(true)));
    assert!(last["bytes"].as_u64() < full["bytes"].as_u64(), "{last}");
    let again = rig.must("targetApi", "sync", rig.final_sync()).await;
    assert_eq!((&again["changed"], &again["bytes"]), (&json!(false), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_no_beginning_of_the_source_is_moved_aside_and_made_anew() {
    let rig = Rig::start().await;
    rig.must("targetApi", "sync", json!({ "source": rig.input("sourceApi") })).await;
    let staging = rig.dir().join("target/staging").join(format!("{VM}.vmdk"));
    let mut bytes = std::fs::read(&staging).expect("the copy");
    bytes.extend_from_slice(b"{\"id\":\"stray\"}\n");
    std::fs::write(&staging, bytes).expect("a stray order");
    let anew = rig.must("targetApi", "sync", json!({ "source": rig.input("sourceApi") })).await;
    assert_eq!((&anew["records"], &anew["incremental"]), (&json!(20), &json!(false)));
    assert_eq!(std::fs::read_dir(rig.dir().join("target/aside")).expect("a folder").count(), 1);
}

async fn refused(rig: &Rig, service: &str, verb: &str, body: Value, code: &str) {
    let (status, answer) = rig.ask(service, verb, body, None).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (409, Some(code)), "{verb}: {answer}");
    assert!(answer["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_refused_where_data_could_be_lost() {
    let rig = Rig::start().await;
    refused(&rig, "targetApi", "sync", rig.final_sync(), "source_still_writing").await;
    let stranger = json!({ "uuid": rig.input("targetUuid") });
    refused(&rig, "sourceApi", "quiesce", stranger.clone(), "wrong_identity").await;
    refused(&rig, "sourceApi", "power-off", stranger, "wrong_identity").await;
    let mut elsewhere = rig.final_sync();
    elsewhere["sourceUuid"] = rig.input("targetUuid");
    rig.must("sourceApi", "quiesce", Value::Null).await;
    refused(&rig, "targetApi", "sync", elsewhere, "wrong_identity").await;
    rig.must("sourceApi", "unquiesce", Value::Null).await;
    rig.cut_over().await;
    refused(&rig, "targetApi", "convert", Value::Null, "image_in_use").await;
    refused(&rig, "targetApi", "move-aside", Value::Null, "image_in_use").await;
    refused(&rig, "targetApi", "detach", Value::Null, "vm_on").await;
    refused(&rig, "sourceApi", "reverse-sync", rig.way_home(), "target_not_fenced").await;
    rig.must("targetApi", "fence", Value::Null).await;
    let mut stranger = rig.way_home();
    stranger["targetUuid"] = json!("somebody-else");
    refused(&rig, "sourceApi", "reverse-sync", stranger, "wrong_identity").await;
    rig.must("sourceApi", "unquiesce", Value::Null).await;
    refused(&rig, "sourceApi", "reverse-sync", rig.way_home(), "source_still_writing").await;
    // Two writers: nobody can say whose orders count, and nothing is copied.
    assert_eq!(rig.order("on-the-source").await.0, 201);
    rig.must("sourceApi", "quiesce", Value::Null).await;
    refused(&rig, "sourceApi", "reverse-sync", rig.way_home(), "diverged").await;
    assert!(rig.ledger("reverse_sync").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_with_orders_of_its_own_is_not_overwritten() {
    let rig = Rig::start().await;
    rig.cut_over().await;
    rig.weights(0, 100, None).await;
    assert_eq!(rig.order("on-the-target").await.0, 201);
    rig.must("targetApi", "power-off", Value::Null).await;
    rig.must("targetApi", "detach", Value::Null).await;
    refused(&rig, "targetApi", "convert", Value::Null, "image_has_newer_data").await;
    rig.must("targetApi", "move-aside", Value::Null).await;
    assert_eq!(rig.must("targetApi", "convert", Value::Null).await["changed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_boots_only_from_a_disk_of_its_platform() {
    let rig = Rig::start().await;
    refused(&rig, "targetApi", "power-on", Value::Null, "no_disk").await;
    rig.must("sourceApi", "quiesce", Value::Null).await;
    rig.must("targetApi", "sync", rig.final_sync()).await;
    let staging = rig.vm("targetApi").await["staging"].clone();
    rig.must("targetApi", "attach", json!({ "profile": "gold-replicated", "image": staging })).await;
    refused(&rig, "targetApi", "power-on", Value::Null, "wrong_disk_format").await;
    rig.must("targetApi", "detach", Value::Null).await;

    rig.must("targetApi", "convert", json!({ "injectDrivers": false })).await;
    rig.must("targetApi", "attach", json!({ "profile": "gold-replicated" })).await;
    let (_, check) = rig.get("targetApi", &format!("/vms/{VM}/guest-check")).await;
    assert_eq!((&check["ok"], &check["missing"]), (&json!(false), &json!(["driver", "guestTools"])));
    refused(&rig, "targetApi", "power-on", Value::Null, "driver_missing").await;
    assert!(rig.ledger("power_on").is_empty(), "a machine that did not boot is no effect");

    rig.must("targetApi", "detach", Value::Null).await;
    rig.must("targetApi", "convert", Value::Null).await;
    let (status, answer) = rig.ask("targetApi", "attach", json!({ "profile": "platinum" }), None).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("no_such_profile")));
    rig.must("targetApi", "attach", json!({ "profile": "gold-replicated" })).await;
    assert_eq!(rig.must("targetApi", "power-on", Value::Null).await["changed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fence_outlives_the_power_switch_and_ends_with_the_disk() {
    let rig = Rig::start().await;
    rig.cut_over().await;
    rig.weights(0, 100, None).await;
    rig.must("targetApi", "fence", Value::Null).await;
    let (status, answer) = rig.order("late").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("fenced")));
    rig.must("targetApi", "power-off", Value::Null).await;
    rig.must("targetApi", "power-on", Value::Null).await;
    assert_eq!(rig.vm("targetApi").await["status"], "fenced");
    assert_eq!(rig.order("late").await.0, 503);
    rig.must("targetApi", "power-off", Value::Null).await;
    rig.must("targetApi", "detach", Value::Null).await;
    rig.must("targetApi", "attach", json!({ "profile": "silver-local" })).await;
    rig.must("targetApi", "power-on", Value::Null).await;
    assert_eq!(rig.order("late").await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiesced_application_reads_and_does_not_write() {
    let rig = Rig::start().await;
    assert_eq!(rig.order("before").await.0, 201);
    rig.must("sourceApi", "quiesce", Value::Null).await;
    let (status, answer) = rig.order("during").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("quiesced")));
    assert_eq!(rig.get("vip", "/orders/before").await.0, 200);
    assert_eq!(rig.get("vip", "/healthz").await.0, 503);
    rig.must("sourceApi", "power-off", Value::Null).await;
    refused(&rig, "sourceApi", "unquiesce", Value::Null, "vm_off").await;
    rig.must("sourceApi", "unquiesce", json!({ "powerOn": true })).await;
    assert_eq!(rig.order("after").await.0, 201);
    assert_eq!(rig.get("vip", "/orders/count").await.1["count"], 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_and_snapshots_come_and_go_with_a_line_each() {
    let rig = Rig::start().await;
    let vms = format!("{}/vms", rig.lab.url("targetApi"));
    let (status, made) = rig.call(Method::POST, &vms, json!({ "name": "spare" }), None).await;
    assert_eq!((status, &made["changed"]), (200, &json!(true)));
    let (status, bad) = rig.call(Method::POST, &vms, json!({ "name": "../etc" }), None).await;
    assert_eq!((status, &bad["error"]["code"]), (400, &json!("bad_name")));
    let (_, gone) = rig.call(Method::DELETE, &format!("{vms}/spare"), Value::Null, None).await;
    assert_eq!(gone["changed"], true);
    let (_, gone) = rig.call(Method::DELETE, &format!("{vms}/spare"), Value::Null, None).await;
    assert_eq!(gone["changed"], false);
    assert_eq!(rig.ledger("delete_vm"), [(EntryKind::Effect, None), (EntryKind::Noop, None)]);

    rig.must("sourceApi", "snapshots", json!({ "name": "now" })).await;
    let names: Vec<Value> = rig.vm("sourceApi").await["snapshots"].as_array().expect("a list").clone();
    assert_eq!(names.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["before-migration", "now"]);
    let one = format!("{}/vms/{VM}/snapshots/now", rig.lab.url("sourceApi"));
    assert_eq!(rig.call(Method::DELETE, &one, Value::Null, None).await.1["changed"], true);
    let copy = names[1]["path"].as_str().expect("a path");
    assert!(!std::path::Path::new(copy).exists(), "a released snapshot takes no room");
}
