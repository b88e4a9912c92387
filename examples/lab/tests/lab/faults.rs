//! Each fault strikes where it was asked for, does what it says, and ends.

use std::time::{Duration, Instant};

use bascule_lab::{EntryKind, Fault, FaultKind, Side};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, VM, until};

async fn inject(rig: &Rig, fault: Fault) {
    rig.lab.inject(&fault).await.expect("a fault");
}

async fn heal(rig: &Rig) {
    rig.lab.heal(None).await.expect("healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_on_the_target_machine_is_what_users_measure_there_and_not_on_the_source() {
    let rig = Rig::start().await;
    rig.cut_over().await;
    inject(&rig, Fault::new(format!("vm:target/{VM}"), FaultKind::Latency).value(300.0)).await;
    rig.weights(50, 50, None).await;
    for n in 0..10 {
        rig.order(&format!("o{n}")).await;
    }
    let (_, page) = rig.get("metrics", "/metrics/window?seconds=60").await;
    assert!(page["backends"]["target"]["p50Ms"].as_f64() >= Some(300.0), "{page}");
    assert!(page["backends"]["source"]["p95Ms"].as_f64() < Some(300.0), "{page}");
    let (_, text) = rig.get("targetApi", &format!("/vms/{VM}/app/stats")).await;
    assert!(text["p95Ms"].as_f64() >= Some(300.0), "the machine measures it as well: {text}");
    heal(&rig).await;
    rig.weights(0, 100, None).await;
    let started = Instant::now();
    rig.order("healed").await;
    assert!(started.elapsed() < Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_waits_for_a_machine_that_is_off() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new(format!("vm:target/{VM}"), FaultKind::Errors)).await;
    rig.cut_over().await;
    rig.weights(0, 100, None).await;
    assert_eq!(rig.order("a").await.0, 500);
    heal(&rig).await;
    assert_eq!(rig.order("a").await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_fail_their_share_of_requests_and_write_nothing() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new(format!("vm:{VM}"), FaultKind::Errors).value(0.5)).await;
    let mut failed = 0;
    for n in 0..10 {
        let (status, _) = rig.order(&format!("o{n}")).await;
        failed += u32::from(status == 500);
    }
    assert_eq!(failed, 5);
    heal(&rig).await;
    assert_eq!(rig.get("vip", "/orders/count").await.1["count"], 25);
    let (_, page) = rig.get("metrics", "/metrics/window?seconds=60&backend=source").await;
    assert_eq!(page["errors"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_accepts_and_says_nothing_until_healed() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new("lb-data", FaultKind::Hang)).await;
    let url = format!("{}/healthz", rig.lab.url("vip"));
    let hung = rig.client.get(&url).timeout(Duration::from_millis(300)).send().await;
    assert!(hung.is_err_and(|error| error.is_timeout()));
    let waiting = tokio::spawn(rig.client.get(&url).send());
    assert_eq!(rig.get("lb", "/weights").await.0, 200, "the other door works");
    until("both requests hang", async || rig.get("control", "/faults").await.1["faults"][0]["struck"] == 2).await;
    heal(&rig).await;
    assert!(waiting.await.expect("a task").is_err(), "a request that hung is dropped, not answered late");
    assert_eq!(rig.get("vip", "/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_refuses_is_not_there_and_comes_back_at_its_address() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new("target", FaultKind::Refuse)).await;
    let address = rig.lab.site.addresses["targetApi"].clone();
    until("connections are refused", async || tokio::net::TcpStream::connect(&address).await.is_err()).await;
    let (_, policy) = rig.get("sourceApi", "/network-policy").await;
    assert_eq!(policy["validated"], true, "only the target's API refuses: {policy}");
    heal(&rig).await;
    until("it is back", async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;
    assert_eq!(rig.get("targetApi", "/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counted_refusal_drops_that_many_requests() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new("metrics", FaultKind::Refuse).times(1)).await;
    let url = format!("{}/healthz", rig.lab.url("metrics"));
    assert!(rig.try_call(Method::GET, &url, Value::Null, None).await.is_err());
    assert_eq!(rig.get("metrics", "/healthz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_is_found_by_reading_back_and_the_same_key_works_afterwards() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new("lb", FaultKind::Lie).times(1)).await;
    let (status, said) = rig.weights(0, 100, Some("k1")).await;
    assert_eq!((status, &said["changed"]), (200, &json!(true)));
    assert_eq!(rig.get("lb", "/weights").await.1, json!({ "source": 100, "target": 0 }));
    assert!(rig.ledger("set_weights").is_empty());
    rig.weights(0, 100, Some("k1")).await;
    assert_eq!(rig.get("lb", "/weights").await.1, json!({ "source": 0, "target": 100 }));
    assert_eq!(rig.ledger("set_weights"), [(EntryKind::Effect, Some("k1".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_lies_is_found_by_the_proof() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new(format!("vm:{VM}"), FaultKind::Lie).times(3)).await;
    rig.lab.start_users(2, 1).await.expect("users");
    until("users were served", async || rig.get("control", "/users").await.1["summary"]["acked"].as_u64() >= Some(10))
        .await;
    rig.lab.stop_users().await.expect("a summary");
    let report = rig.lab.verify_orders(Side::Source).expect("a report");
    assert_eq!(report.missing.len(), 3, "{report:?}");
    assert!(!report.is_kept());
    let (_, verdict) = rig.get("control", "/verify?side=source").await;
    assert_eq!(verdict["kept"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_hides_work_that_was_done_once() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new("source", FaultKind::LoseAnswer).times(1)).await;
    let url = format!("{}/vms/{VM}/quiesce", rig.lab.url("sourceApi"));
    assert!(rig.try_call(Method::POST, &url, Value::Null, Some("k1")).await.is_err(), "no answer");
    assert_eq!(rig.vm("sourceApi").await["status"], "quiesced");
    let (status, again) = rig.ask("sourceApi", "quiesce", Value::Null, Some("k1")).await;
    assert_eq!((status, &again["changed"]), (200, &json!(true)), "the answer that was lost");
    assert_eq!(rig.ledger("quiesce"), [(EntryKind::Effect, Some("k1".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_acknowledgement_leaves_one_order() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new(format!("vm:{VM}"), FaultKind::LoseAnswer).times(1)).await;
    assert_eq!(rig.order("a").await.0, 502);
    assert_eq!(rig.order("a").await.0, 200, "it is on disk already");
    assert_eq!(rig.get("vip", "/orders/count").await.1["count"], 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_orders_copies_and_backups_and_leaves_no_half() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new(format!("vm:source/{VM}"), FaultKind::DiskFull).times(1)).await;
    let (status, answer) = rig.order("a").await;
    assert_eq!((status, &answer["error"]["code"]), (507, &json!("disk_full")));
    assert_eq!(rig.order("a").await.0, 201);

    rig.must("sourceApi", "quiesce", Value::Null).await;
    inject(&rig, Fault::new("target", FaultKind::DiskFull)).await;
    assert_eq!(rig.get("targetApi", "/capacity").await.1["freeBytes"], 0);
    let (status, _) = rig.ask("targetApi", "sync", rig.final_sync(), Some("s")).await;
    assert_eq!(status, 507);
    assert!(rig.vm("targetApi").await["staging"].is_null());
    heal(&rig).await;
    let (status, _) = rig.ask("targetApi", "sync", rig.final_sync(), Some("s")).await;
    assert_eq!(status, 200, "a failure is not remembered as an answer");
    assert_eq!(rig.ledger("sync"), [(EntryKind::Effect, Some("s".to_owned()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_told_to_fail_is_listed_with_its_reason() {
    let rig = Rig::start().await;
    inject(&rig, Fault::new("backup", FaultKind::Errors)).await;
    let jobs = format!("{}/jobs", rig.lab.url("backup"));
    let ask = json!({ "platform": "source", "vm": VM });
    let (status, answer) = rig.call(Method::POST, &jobs, ask.clone(), Some("b1")).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("backup_failed")));
    let (_, latest) = rig.get("backup", &format!("/jobs/latest?platform=source&vm={VM}")).await;
    assert_eq!((&latest["succeeded"], &latest["failedSince"]), (&json!(false), &json!(1)));
    assert!(latest["job"]["reason"].is_string() && latest["lastGood"].is_object(), "{latest}");
    heal(&rig).await;
    let (status, _) = rig.call(Method::POST, &jobs, ask, Some("b1")).await;
    assert_eq!(status, 200);
    let (_, latest) = rig.get("backup", &format!("/jobs/latest?platform=source&vm={VM}")).await;
    assert_eq!((&latest["succeeded"], &latest["failedSince"]), (&json!(true), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_platform_goes_dark_on_the_metrics_page() {
    let rig = Rig::start().await;
    until("the target is seen", async || rig.get("metrics", "/signals?platform=target").await.1["scraping"] == true)
        .await;
    inject(&rig, Fault::new("target", FaultKind::Hang)).await;
    until("it goes dark", async || rig.get("metrics", "/signals?platform=target").await.1["scraping"] == false).await;
    assert_eq!(rig.get("metrics", "/signals?platform=source").await.1["present"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_advice() {
    let rig = Rig::start().await;
    let error = rig.lab.inject(&Fault::new("moon", FaultKind::Hang)).await.expect_err("no such place");
    assert!(error.to_string().contains("use source, target"), "{error}");
    let (_, list) = rig.get("control", "/faults").await;
    assert_eq!(list["faults"], json!([]));
}
