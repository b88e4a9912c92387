//! `http.probe` against real servers, good and bad.

use std::time::Duration;

use bascule_plugin::{Left, Outcome};
use serde_json::{Value, json};

use crate::attempt::{Attempt, refusal};
use crate::server::{Server, closed_port, raw, read_and_drop};

async fn probe(with: Value) -> Value {
    Attempt::of("http.probe").execute(with).await.outputs()
}

#[tokio::test]
async fn a_service_that_answers_is_measured() {
    let server = Server::start().await;
    let outputs = probe(json!({"url": server.url("/status/200"), "requests": 20, "concurrency": 4})).await;
    assert_eq!((&outputs["requests"], &outputs["answered"], &outputs["status"]), (&json!(20), &json!(20), &json!(200)));
    assert_eq!((&outputs["statuses"], &outputs["errorRate"]), (&json!({"200": 20}), &json!(0.0)));
    let ms = |name: &str| outputs[name].as_f64().expect("a time");
    assert!(0.0 < ms("p50") && ms("p50") <= ms("p95") && ms("p95") <= ms("p99") && ms("p99") <= ms("max"));
}

#[tokio::test]
async fn a_service_that_is_down_is_a_measurement() {
    let outputs = probe(json!({"url": format!("http://{}/", closed_port().await), "requests": 3})).await;
    assert_eq!((&outputs["answered"], &outputs["status"], &outputs["errorRate"]), (&json!(0), &json!(0), &json!(1.0)));
    assert_eq!(outputs["errors"], json!({"connection refused": 3}));
    assert_eq!((&outputs["p50"], &outputs["max"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn answers_that_never_come_are_counted_by_cause() {
    let server = Server::start().await;
    let with = json!({"url": server.url("/hang"), "requests": 4, "concurrency": 4, "timeout": "200ms"});
    assert_eq!(probe(with).await["errors"], json!({"timeout": 4}));
    let (dropping, _guard) = raw(read_and_drop).await;
    let outputs = probe(json!({"url": format!("http://{dropping}/"), "requests": 2})).await;
    assert_eq!((&outputs["answered"], &outputs["errorRate"]), (&json!(0), &json!(1.0)));
}

#[tokio::test]
async fn errors_of_the_service_count_and_redirects_do_not() {
    let server = Server::start().await;
    let outputs = probe(json!({"url": server.url("/status/503"), "requests": 2})).await;
    assert_eq!(
        (&outputs["answered"], &outputs["status"], &outputs["errorRate"]),
        (&json!(2), &json!(503), &json!(1.0))
    );
    let outputs = probe(json!({"url": server.url("/redirect"), "requests": 2})).await;
    assert_eq!((&outputs["status"], &outputs["errorRate"]), (&json!(307), &json!(0.0)));
    let outputs = probe(json!({"url": server.url("/redirect"), "requests": 2, "followRedirects": true})).await;
    assert_eq!(outputs["status"], 200);
}

#[tokio::test]
async fn limits_make_it_a_check() {
    let server = Server::start().await;
    let met = json!({"status": 200, "p95Ms": 60000, "errorRate": 0});
    probe(json!({"url": server.url("/status/200"), "expect": met})).await;
    let missed = json!({"url": server.url("/status/503"), "requests": 2, "expect": {"status": 200, "p95Ms": 0.0001, "errorRate": 0.5}});
    let (failure, left) = Attempt::of("http.probe").execute(missed).await.failure();
    assert!(failure.contains("not every answer was 200: 2 × 503"), "{failure}");
    assert!(
        failure.contains("allowed are 0.0001 ms") && failure.contains("the error rate is 1, allowed is 0.5"),
        "{failure}"
    );
    assert_eq!(left, Left::Nothing);
    let down = json!({"url": format!("http://{}/", closed_port().await), "expect": {"p95Ms": 100}});
    assert!(Attempt::of("http.probe").execute(down).await.failure().0.contains("there is no p95"));
}

#[tokio::test]
async fn a_cancel_ends_the_measurement() {
    let server = Server::start().await;
    let attempt = Attempt::of("http.probe");
    let cancel = attempt.cancel.clone();
    let with = json!({"url": server.url("/hang"), "timeout": "1h"});
    let (seen, ()) = tokio::join!(attempt.execute(with), async { cancel.cancel() });
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Nothing });
    assert!(seen.took < Duration::from_secs(1800), "it waited for the whole hour");
}

#[tokio::test]
async fn impossible_parameters_are_refused() {
    for (with, expected) in [
        (json!({"url": "http://h/", "requests": 0}), "`requests` must be"),
        (json!({"url": "http://h/", "concurrency": 0}), "`concurrency` must be"),
        (json!({"url": "http://h/", "expect": {"errorRate": 5}}), "`errorRate` must be"),
        (json!({"url": "http://h/", "expect": {"p95": 5}}), "`p95`"),
        (json!({"url": "h"}), "relative URL"),
    ] {
        let refused = refusal("http.probe", &with).await;
        assert!(refused.contains(expected), "{refused}");
    }
}
