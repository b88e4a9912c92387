//! The socket of a state directory, spoken to as any client may: rightly, wrongly, slowly, twice.

mod wire;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::cli_run::{Place, Started, step};
use wire::Wire;

const EXPOSES: &str = ", effect: idempotent, exposes: true";

/// A run that waits at a gate, and its owner.
fn waiting(place: &Place) -> Started {
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n{}{}",
        step("first", Some("gate"), ", effect: idempotent"),
        step("switch", None, EXPOSES)
    );
    let book = place.runbook("shop", &rest);
    let mut owner = place.start(&["run", &book]);
    owner.until("first: started");
    owner
}

fn ends_well(place: &Place, owner: Started) {
    place.open("gate");
    owner.end().exits(0);
}

#[test]
fn only_its_user_may_use_the_socket() {
    let place = Place::new();
    let owner = waiting(&place);
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&place.state().join("engine.sock")), 0o600);
    assert_eq!(mode(&place.state()), 0o700);
    ends_well(&place, owner);
    assert!(!place.state().join("engine.sock").exists(), "an owner that leaves takes its socket along");
}

#[test]
fn runs_are_listed_and_shown() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let health = wire.get("/v1/health").ok();
    assert_eq!(health["pid"], owner.pid());
    let runs = wire.get("/v1/runs").ok();
    assert_eq!(runs[0]["run"], "shop/1");
    let run = wire.get("/v1/runs/shop/1").ok();
    assert_eq!((&run["state"], &run["executed"]), (&json!("cutting_over"), &json!(true)));
    let graph = wire.get("/v1/runs/shop/1/graph").ok();
    assert_eq!(graph["edges"][0], json!({"from": "first", "to": "switch", "kind": "implied"}));
    ends_well(&place, owner);
}

#[test]
fn what_is_wrong_is_a_problem_with_a_status() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let cases = [
        (wire.get("/nowhere"), 404, "there is no /nowhere"),
        (wire.get("/v1/runs/shop/9"), 404, "there is no run shop/9"),
        (wire.get("/v1/runs/shop/x"), 400, "shop/x"),
        (wire.get("/v1/runs/shop/1/logs/none"), 404, "no step `none`"),
        (wire.get("/v1/runs/shop/1/logs/switch"), 404, "no attempt 1"),
        (wire.get("/v1/runs/shop/1/events?aftr=1"), 400, "aftr"),
        (wire.post("/v1/runs/shop/1", &json!({})), 405, "POST"),
        (wire.post("/v1/runs/shop/1/verbs", &json!({"verb": "explode"})), 422, "explode"),
        (wire.post("/v1/runs/shop/1/verbs", &json!({"verb": "commit", "force": true})), 422, "force"),
        (wire.post("/v1/runs/shop/1/verbs", &json!({"verb": "commit"})), 409, "only an accepted run"),
        (wire.post("/v1/runs", &json!({"planHash": "00", "plan": {}})), 422, "the stored plan"),
        (wire.raw("POST /v1/runs/shop/1/verbs", b"{not json", "application/json"), 400, "JSON"),
        (wire.raw("POST /v1/runs/shop/1/verbs", b"{}", "text/plain"), 415, "application/json"),
    ];
    for (answer, status, text) in cases {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
        assert!(answer.body.contains(text), "`{text}` is missing in {}", answer.body);
    }
    ends_well(&place, owner);
}

#[test]
fn a_body_over_the_limit_is_refused_and_ten_megabytes_are_not() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let ten = format!("{{\"verb\":{{\"note\":{{\"text\":\"{}\"}}}},\"nonsense\":1}}", "x".repeat(10 << 20));
    let answer = wire.raw("POST /v1/runs/shop/1/verbs", ten.as_bytes(), "application/json");
    assert_eq!(answer.status, 422, "it was read to its end: {}", answer.body);
    let answer = wire.raw("POST /v1/runs/shop/1/verbs", &vec![b' '; 40 << 20], "application/json");
    assert_eq!(answer.status, 413, "{}", answer.body);
    assert_eq!(wire.get("/v1/health").status, 200);
    ends_well(&place, owner);
}

#[test]
fn a_preview_writes_nothing_and_a_verb_tells_its_events() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let before = wire.get("/v1/runs/shop/1").ok()["sequence"].clone();
    let would = wire.post("/v1/runs/shop/1/verbs", &json!({"verb": "rollback", "preview": true})).ok();
    assert_eq!(would["events"][0]["event"], "rollbackDecided");
    assert_eq!(wire.get("/v1/runs/shop/1").ok()["sequence"], before);
    let note = json!({"verb": {"note": {"text": "hello"}}, "as": "marta", "reason": "because"});
    let noted = wire.post("/v1/runs/shop/1/verbs", &note).ok();
    let event = &noted["events"][0];
    assert_eq!((&event["by"]["claimed"], &event["by"]["channel"]), (&json!("marta"), &json!("socket")));
    assert!(event["by"]["name"].as_str().is_some_and(|name| !name.is_empty()), "the peer is named: {event}");
    assert_eq!(event["reason"], "because");
    ends_well(&place, owner);
}

#[test]
fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let page = wire.get("/v1/runs/shop/1/events?limit=3");
    let seen: Vec<Value> = page.body.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect();
    assert_eq!(seen.iter().filter_map(|event| event["sequence"].as_u64()).collect::<Vec<_>>(), [1, 2, 3]);
    let mut stream = wire.open("GET /v1/runs/shop/1/events", "Accept: text/event-stream\r\nLast-Event-ID: 3\r\n");
    stream.until("id: 4");
    place.open("gate");
    let rest = stream.into_text();
    assert!(!rest.contains("id: 3\n"), "what was seen is not sent again");
    assert!(rest.contains("windowOpened"), "what comes later is sent: {rest}");
    owner.end().exits(0);
}

#[test]
fn open_streams_end_with_the_owner() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let mut events = wire.open("GET /v1/runs/shop/1/events?follow=true", "");
    events.until("attemptIntended");
    let mut log = wire.open("GET /v1/runs/shop/1/logs/first?follow=true", "");
    log.until("200 OK");
    owner.signal("TERM");
    // The step that runs at the gate does not end: a second word stops it.
    events.until("held");
    owner.signal("TERM");
    assert!(events.into_text().contains("event: leaving"));
    log.into_text();
    owner.end().exits(6);
}

#[test]
fn clients_that_hang_hold_nobody() {
    let place = Place::new();
    let owner = waiting(&place);
    let wire = Wire::to(&place);
    let silent: Vec<_> = (0..50).map(|_| wire.connect()).collect();
    let mut half = wire.connect();
    wire::send(&mut half, b"POST /v1/runs/shop/1/verbs HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{");
    assert_eq!(wire.get("/v1/runs/shop/1").status, 200);
    ends_well(&place, owner);
    drop((silent, half));
}

#[test]
fn a_dead_owners_socket_is_replaced() {
    let place = Place::new();
    let owner = waiting(&place);
    owner.kill();
    assert!(place.state().join("engine.sock").exists(), "a killed owner leaves its socket");
    let status = place.call(&["status", "shop/1"]).exits(0);
    assert!(status.out.contains("NO ENGINE"), "{}", status.out);
    place.open("gate");
    place.call(&["resume"]).exits(0);
}

#[test]
fn of_two_owners_one_stays() {
    let place = Place::new();
    let owner = waiting(&place);
    place.call(&["engine"]).exits(0);
    assert_eq!(Wire::to(&place).get("/v1/health").ok()["pid"], owner.pid(), "the first one still owns it");
    ends_well(&place, owner);
}

#[test]
fn an_engine_of_its_own_ends_when_nothing_is_left_to_do() {
    let place = Place::new();
    waiting(&place).kill();
    let engine = place.start(&["engine"]);
    let wire = Wire::when_it_listens(&place);
    let health = wire.get("/v1/health").ok();
    assert_eq!((&health["detached"], &health["adopted"][0]["run"]), (&json!(true), &json!("shop/1")));
    place.open("gate");
    // The run is held after a crash: a person is expected, so the engine waits for one.
    let resumed = wire.post("/v1/runs/shop/1/verbs", &json!({"verb": "resume"})).ok();
    assert_eq!(resumed["events"][0]["event"], "resumed");
    engine.end().exits(0);
    assert_eq!(place.status("shop/1")["state"], "accepted");
}

#[test]
fn a_state_directory_may_have_a_long_path() {
    let place = Place::new();
    let deep = place.path().join("d".repeat(90)).join("e".repeat(90));
    let deep = deep.to_str().expect("a path of letters");
    let rest = format!("rollbackWindow: 1s\ncutoverSteps:\n{}", step("switch", None, EXPOSES));
    let book = place.runbook("shop", &rest);
    place.call(&["--state", deep, "run", &book]).exits(0);
    let status = place.call(&["--state", deep, "status", "shop", "--json"]).exits(0);
    assert!(status.out.contains("\"state\":\"accepted\""), "{}", status.out);
}
