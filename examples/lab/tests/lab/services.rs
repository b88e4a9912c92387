//! Load balancer, DNS, backup and metrics, each asked as a runbook would ask it.

use std::net::Ipv4Addr;
use std::time::Duration;

use bascule_lab::{Fault, FaultKind, LabOptions};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, VM, quiet, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_balancer_shares_requests_by_weight_and_says_who_answered() {
    let rig = Rig::start().await;
    rig.cut_over().await;
    rig.weights(3, 1, None).await;
    let mut target = 0;
    for _ in 0..8 {
        let answer = rig.client.get(format!("{}/", rig.lab.url("vip"))).send().await.expect("an answer");
        target += u32::from(answer.headers()["x-lab-backend"] == "target");
    }
    assert_eq!(target, 2);
    let (_, all) = rig.get("lb", "/backends").await;
    assert_eq!(
        (&all["backends"]["source"]["healthy"], &all["backends"]["target"]["healthy"]),
        (&json!(false), &json!(true))
    );
    rig.weights(0, 0, None).await;
    let (status, answer) = rig.get("vip", "/").await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("no_backend")));
    let text = rig.client.get(format!("{}/metrics", rig.lab.url("metrics"))).send().await.expect("a page");
    let text = text.text().await.expect("text");
    for line in [
        r#"lab_requests_total{backend="none",status="503"} 1"#,
        r#"lab_requests_total{backend="target",status="200"} 2"#,
        r#"lab_request_duration_ms_bucket{backend="source",le="+Inf"} 6"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

async fn resolve(rig: &Rig, name: &str) -> Option<Message> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(name).expect("a name"), RecordType::A));
    let bytes = question.to_vec().expect("a question");
    socket.send_to(&bytes, &rig.lab.site.addresses["dns"]).await.expect("sent");
    let mut buffer = [0_u8; 1500];
    let received = tokio::time::timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await.ok()?;
    let answer = Message::from_vec(&buffer[..received.expect("an answer")]).expect("a DNS message");
    assert_eq!(answer.metadata.id, question.metadata.id);
    Some(answer)
}

fn code(answer: Option<Message>) -> ResponseCode {
    answer.expect("an answer").metadata.response_code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_ttl_is_served_at_once_and_effective_after_the_former_one() {
    let rig = Rig::with(LabOptions { dns_ttl: 3600, ..quiet() }).await;
    let name = rig.input("name").as_str().expect("a name").to_owned();
    let record = format!("{}/records/{name}", rig.lab.url("dnsApi"));
    let first = resolve(&rig, &name).await.expect("an answer");
    assert_eq!(first.answers[0].ttl, 3600);
    assert!(matches!(&first.answers[0].data, RData::A(address) if address.0 == Ipv4Addr::LOCALHOST));
    let (status, lowered) = rig.call(Method::PUT, &record, json!({ "ttl": 30 }), Some("ttl")).await;
    assert_eq!((status, &lowered["changed"], &lowered["effective"]), (200, &json!(true), &json!(false)));
    let wait = lowered["effectiveAt"].as_u64().expect("a time") - lowered["changedAt"].as_u64().expect("a time");
    assert_eq!(wait, 3_600_000);
    assert_eq!(resolve(&rig, &name.to_uppercase()).await.expect("an answer").answers[0].ttl, 30);
    assert_eq!(code(resolve(&rig, "nobody.lab.test").await), ResponseCode::NXDomain);
    let (_, again) = rig.call(Method::PUT, &record, json!({ "ttl": 30 }), Some("ttl-2")).await;
    assert_eq!(again["changed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_server_fails_in_its_own_way() {
    let rig = Rig::start().await;
    let name = rig.input("name").as_str().expect("a name").to_owned();
    for (kind, expected) in [(FaultKind::Errors, ResponseCode::ServFail), (FaultKind::Refuse, ResponseCode::Refused)] {
        rig.lab.inject(&Fault::new("dns-data", kind)).await.expect("a fault");
        assert_eq!(code(resolve(&rig, &name).await), expected);
        rig.lab.heal(None).await.expect("healed");
    }
    rig.lab.inject(&Fault::new("dns", FaultKind::Hang).times(1)).await.expect("a fault");
    assert!(resolve(&rig, &name).await.is_none());
    assert_eq!(code(resolve(&rig, &name).await), ResponseCode::NoError);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_real_copy_that_can_be_read() {
    let rig = Rig::start().await;
    assert_eq!(rig.order("a").await.0, 201);
    let ask = json!({ "platform": "source", "vm": VM });
    let url = format!("{}/jobs", rig.lab.url("backup"));
    let (_, made) = rig.call(Method::POST, &url, ask, None).await;
    let job = &made["job"];
    let image = bascule_lab::read_disk(std::path::Path::new(job["path"].as_str().expect("a path"))).expect("an image");
    assert_eq!((image.orders.len(), &job["orders"]), (21, &json!(21)));
    assert!(image.orders.iter().any(|order| order.id == "a"));
    let (_, list) = rig.get("backup", "/jobs?platform=source&withinHours=24").await;
    assert_eq!(
        (&list["succeeded"], &list["failed"]),
        (&json!(2), &json!(0)),
        "one from the lab's first day, one asked for"
    );
    assert_eq!(rig.get("backup", "/jobs?platform=target").await.1["count"], 0);
    let future = format!("/jobs?since={}", u64::MAX);
    assert_eq!(rig.get("backup", &future).await.1["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_backs_up_a_target_that_was_switched_on() {
    let rig = Rig::with(LabOptions { backup_every_ms: 100, ..quiet() }).await;
    rig.cut_over().await;
    let good = async || rig.get("backup", "/jobs/latest?platform=target").await.1["succeeded"] == true;
    until("the target is backed up", good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_validated_by_trying_it() {
    let rig = Rig::start().await;
    let (_, policy) = rig.get("targetApi", "/network-policy").await;
    assert_eq!((&policy["validated"], &policy["unreachable"]), (&json!(true), &json!([])));
    rig.lab.inject(&Fault::new("backup", FaultKind::Refuse)).await.expect("a fault");
    let broken = async || rig.get("targetApi", "/network-policy").await.1["unreachable"] == json!(["backup"]);
    until("the policy check sees it", broken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_of_the_target_appear_when_its_machine_runs() {
    let rig = Rig::start().await;
    let signals = async || rig.get("metrics", "/signals?platform=target").await.1;
    until("the platform is seen", async || signals().await["scraping"] == true).await;
    assert_eq!(signals().await["present"], false);
    rig.cut_over().await;
    until("its machine is seen", async || signals().await["present"] == true).await;
    let (status, answer) = rig.get("metrics", "/metrics/window?seconds=0").await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_span")));
    assert_eq!(rig.get("metrics", "/metrics/window?backend=target").await.1["p95Ms"], Value::Null);
}
