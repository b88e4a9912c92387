//! `http.call` against real servers, good and bad.

use std::time::{Duration, Instant};

use bascule_plugin::{CheckCx, Effect, Left, Outcome, ProbeAnswer, Role, Validation, Work};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::attempt::{Attempt, Seen, refusal, validate};
use crate::conformance::registered;
use crate::server::{Server, break_off, closed_port, raw, read_and_drop, trickle};

async fn call(with: Value) -> Seen {
    Attempt::of("http.call").execute(with).await
}

fn unknown(seen: Seen) -> String {
    let Outcome::Unknown { failure, .. } = seen.outcome else { panic!("it should be unknown: {:?}", seen.outcome) };
    failure.to_string()
}

async fn probe(with: &Value, handle: Option<&Value>) -> ProbeAnswer {
    let (cx, _inbox) = CheckCx::new(None, CancellationToken::new());
    registered("http.call").probe(&cx, with, handle).await
}

#[tokio::test]
async fn a_request_is_sent_as_told() {
    let server = Server::start().await;
    let outputs = call(json!({
        "method": "PUT", "url": server.url("/echo?a=1"), "query": {"b": "x y", "c": 2},
        "headers": {"X-Token": "t"}, "json": {"state": "on"},
    }))
    .await
    .outputs();
    let echo = &outputs["body"];
    assert_eq!((&echo["method"], &echo["uri"]), (&json!("PUT"), &json!("/echo?a=1&b=x+y&c=2")));
    assert_eq!(echo["body"], r#"{"state":"on"}"#);
    assert_eq!(echo["headers"]["x-token"], "t");
    assert_eq!(echo["headers"]["content-type"], "application/json");
    assert_eq!(echo["headers"]["idempotency-key"], "shop/1/step/forward/0");
    assert_eq!(
        (&outputs["status"], &outputs["truncated"], &outputs["handle"]),
        (&json!(200), &json!(false), &Value::Null)
    );
    assert_eq!(outputs["headers"]["content-type"], "application/json");
}

#[tokio::test]
async fn the_key_can_have_another_name_or_none_and_reads_have_none() {
    let server = Server::start().await;
    let echo = async |with: Value| call(with).await.outputs()["body"]["headers"].clone();
    let named = echo(json!({"method": "POST", "url": server.url("/echo"), "idempotencyHeader": "X-Request-Key"})).await;
    assert_eq!(named["x-request-key"], "shop/1/step/forward/0");
    let none = echo(json!({"method": "POST", "url": server.url("/echo"), "idempotencyHeader": ""})).await;
    assert_eq!(none["idempotency-key"], Value::Null);
    let read = echo(json!({"url": server.url("/echo")})).await;
    assert_eq!(read["idempotency-key"], Value::Null);
    for headers in [named, none, read] {
        let attempt = headers["bascule-attempt"].as_str().expect("every request says which attempt it is");
        assert!(attempt.ends_with("/shop/1/step/1"), "{attempt}");
    }
}

#[tokio::test]
async fn a_status_says_what_is_left() {
    let server = Server::start().await;
    for (status, expected) in [(400, Left::Nothing), (409, Left::Possible), (429, Left::Nothing), (500, Left::Possible)]
    {
        let with = json!({"method": "POST", "url": server.url(&format!("/status/{status}"))});
        let (failure, left) = call(with).await.failure();
        assert!(failure.contains(&format!("was answered {status}: this is {status}")), "{failure}");
        assert_eq!(left, expected, "{status}");
        let (_, left) = call(json!({"url": server.url(&format!("/status/{status}"))})).await.failure();
        assert_eq!(left, Left::Nothing, "a read leaves nothing, whatever its status");
    }
    let (failure, _) = call(json!({"url": server.url("/status/429")})).await.failure();
    assert!(failure.contains("Retry-After 7"), "{failure}");
}

#[tokio::test]
async fn other_statuses_can_be_expected() {
    let server = Server::start().await;
    let with = json!({"method": "POST", "url": server.url("/status/409"), "expectStatus": ["2xx", 409]});
    assert_eq!(call(with).await.outputs()["status"], 409);
    let with = json!({"url": server.url("/status/200"), "expectStatus": [204]});
    assert!(call(with).await.failure().0.contains("was answered 200"));
    let refused = refusal("http.call", &json!({"url": "http://h/", "expectStatus": ["20x"]})).await;
    assert!(refused.contains("`expectStatus` must list"), "{refused}");
}

#[tokio::test]
async fn a_body_can_be_expected() {
    let server = Server::start().await;
    let url = server.url("/large");
    let with = json!({"url": url, "expectBody": {"pointer": "/state", "equals": "on"}});
    assert_eq!(call(with).await.outputs()["truncated"], true, "a long body is judged whole and returned in part");
    let with = json!({"url": url, "expectBody": {"pointer": "/state", "equals": "off"}});
    let (failure, left) = call(with).await.failure();
    assert!(failure.contains(r#"at `/state` is "on", expected was "off""#), "{failure}");
    assert_eq!(left, Left::Nothing);
    let with = json!({"method": "POST", "url": server.url("/status/200"), "expectBody": {"pointer": "", "equals": 1}});
    let (failure, left) = call(with).await.failure();
    assert!(failure.contains("the body is not JSON"), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn a_huge_body_is_cut() {
    let server = Server::start().await;
    let outputs = call(json!({"url": server.url("/huge")})).await.outputs();
    assert_eq!(outputs["truncated"], true);
    assert_eq!(outputs["body"].as_str().map(str::len), Some(64 * 1024));
    assert_eq!(call(json!({"url": server.url("/empty")})).await.outputs()["body"], Value::Null);
}

#[tokio::test]
async fn redirects_are_followed_only_when_told() {
    let server = Server::start().await;
    let (failure, left) = call(json!({"method": "POST", "url": server.url("/redirect")})).await.failure();
    assert!(failure.contains("was answered 307") && failure.contains("/status/200; use that address"), "{failure}");
    assert_eq!(left, Left::Nothing);
    let (_, left) = call(json!({"method": "POST", "url": server.url("/see-other")})).await.failure();
    assert_eq!(left, Left::Possible, "303 is the answer to a form that was taken");
    let with = json!({"url": server.url("/redirect"), "followRedirects": true});
    assert_eq!(call(with).await.outputs()["status"], 200);
}

#[tokio::test]
async fn a_refused_connection_and_an_unknown_name_leave_nothing() {
    let (failure, left) =
        call(json!({"method": "POST", "url": format!("http://{}/", closed_port().await)})).await.failure();
    assert!(failure.contains("cannot reach 127.0.0.1:") && failure.to_lowercase().contains("refused"), "{failure}");
    assert_eq!(left, Left::Nothing);
    let (failure, left) = call(json!({"method": "POST", "url": "http://no-such-name.invalid/"})).await.failure();
    assert!(failure.contains("cannot reach no-such-name.invalid:80"), "{failure}");
    assert_eq!(left, Left::Nothing);
}

#[tokio::test]
async fn no_answer_is_unknown_unless_it_was_a_read() {
    let server = Server::start().await;
    let (dropping, _guard) = raw(read_and_drop).await;
    for url in [server.url("/hang"), format!("http://{dropping}/")] {
        let with = |method: &str| json!({"method": method, "url": url, "timeout": "1s"});
        let failure = unknown(call(with("POST")).await);
        assert!(failure.contains("did not answer"), "{failure}");
        let (_, left) = call(with("GET")).await.failure();
        assert_eq!(left, Left::Nothing);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown_unless_it_was_a_read() {
    let (broken, _guard) = raw(break_off).await;
    let (slow, _guard2) = raw(trickle).await;
    for address in [broken, slow] {
        let with = |method: &str| json!({"method": method, "url": format!("http://{address}/"), "timeout": "1s"});
        let failure = unknown(call(with("POST")).await);
        assert!(failure.contains("answered 200, and the answer broke off"), "{failure}");
        assert_eq!(call(with("GET")).await.failure().1, Left::Nothing);
    }
}

#[tokio::test]
async fn encryption_that_fails_leaves_nothing() {
    let server = Server::start().await;
    let with = json!({"method": "POST", "url": format!("https://{}/", server.address)});
    let (failure, left) = call(with).await.failure();
    assert!(failure.contains("cannot reach"), "{failure}");
    assert_eq!(left, Left::Nothing);
    let with = json!({"url": format!("https://{}/", server.address), "caFile": "/no/such/file"});
    assert!(call(with).await.failure().0.contains("cannot read /no/such/file"));
}

#[tokio::test]
async fn a_cancel_or_a_deadline_ends_the_exchange() {
    let server = Server::start().await;
    let attempt = Attempt::of("http.call");
    let cancel = attempt.cancel.clone();
    let with = json!({"method": "POST", "url": server.url("/hang")});
    let (seen, ()) = tokio::join!(attempt.execute(with.clone()), async { cancel.cancel() });
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Possible });
    let mut attempt = Attempt::of("http.call");
    attempt.deadline = Some(Instant::now() + Duration::from_millis(100));
    assert!(unknown(attempt.execute(with).await).contains("the deadline came before an answer"));
}

#[tokio::test]
async fn a_job_is_followed_to_its_end_after_its_handle_is_recorded() {
    let server = Server::start().await;
    let with = json!({
        "method": "POST", "url": server.url("/jobs"),
        "poll": {"url": server.url("/jobs/{/task/id}"), "every": "5ms",
                 "until": {"pointer": "/state", "equals": "done"}},
    });
    let seen = call(with).await;
    assert!(seen.log.text.contains("the server answers 503; asking again"), "{}", seen.log.text);
    let job = server.url("/jobs/shop-1-step-forward-0");
    assert_eq!(seen.log.handles, [json!({"url": job, "cancelUrl": null})]);
    let outputs = seen.outputs();
    assert_eq!(outputs["body"], json!({"state": "done", "result": {"disk": 7}}));
    assert_eq!(outputs["handle"], job);
}

#[tokio::test]
async fn a_job_is_found_by_its_location() {
    let server = Server::start().await;
    let until = json!({"pointer": "/state", "oneOf": ["done", "finished"]});
    let with = json!({"method": "POST", "url": server.url("/jobs"), "poll": {"every": "5ms", "until": until}});
    assert_eq!(call(with).await.outputs()["body"]["state"], "done");
    let with = json!({"method": "POST", "url": server.url("/echo"), "poll": {"until": until}});
    let failure = unknown(call(with).await);
    assert!(failure.contains("started a job that cannot be followed: it has no `Location`"), "{failure}");
}

#[tokio::test]
async fn an_interrupted_job_is_attached_and_not_started_again() {
    let server = Server::start().await;
    server.ledger.lock().expect("it can be filled").jobs.insert("7".to_owned(), crate::server::Job::default());
    let with = json!({
        "method": "POST", "url": server.url("/jobs"),
        "poll": {"every": "5ms", "until": {"pointer": "/state", "equals": "done"}},
    });
    let handle = json!({"url": server.url("/jobs/7"), "cancelUrl": null});
    for seen in ["too busy to say", "running"] {
        assert_eq!(probe(&with, Some(&handle)).await, ProbeAnswer::InProgress { handle: handle.clone() }, "{seen}");
    }
    let mut attempt = Attempt::of("http.call");
    attempt.attached = Some(handle);
    assert_eq!(attempt.execute(with).await.outputs()["body"]["state"], "done");
    assert!(server.look(|ledger| !ledger.seen.contains(&"POST /jobs".to_owned())));
}

#[tokio::test]
async fn a_probe_asks_what_became_of_the_job() {
    let server = Server::start().await;
    let finished = crate::server::Job { done: true, ..crate::server::Job::default() };
    server.ledger.lock().expect("it can be filled").jobs.insert("7".to_owned(), finished);
    let handle = |job: &str| json!({"url": server.url(&format!("/jobs/{job}")), "cancelUrl": null});
    let with = |until: &str, fail: &str| {
        json!({"method": "POST", "url": server.url("/jobs"), "poll": {
            "until": {"pointer": "/state", "equals": until}, "failWhen": {"pointer": "/state", "equals": fail}}})
    };
    let asked = async |with: &Value, job: &str| probe(with, Some(&handle(job))).await;
    // Once on the way the server is too busy to say.
    asked(&with("done", "failed"), "7").await;
    let ProbeAnswer::Done { outputs } = asked(&with("done", "failed"), "7").await else { panic!("it is done") };
    assert_eq!((&outputs["body"]["state"], &outputs["handle"]), (&json!("done"), &json!(server.url("/jobs/7"))));
    let ProbeAnswer::Partial { found } = asked(&with("on", "done"), "7").await else { panic!("it failed") };
    assert!(found.contains("/jobs/7 failed"), "{found}");
    let ProbeAnswer::CannotTell { failure } = asked(&with("done", "failed"), "8").await else { panic!("it is gone") };
    assert!(failure.message.contains("the server answers 404"), "{failure}");
    // Where the job is gone, the system itself may tell.
    let mut both = with("done", "failed");
    both["probe"] = json!({"url": server.url("/things"), "pointer": "/count", "equals": 0});
    assert!(matches!(asked(&both, "8").await, ProbeAnswer::Done { .. }));
    assert!(server.look(|ledger| !ledger.seen.contains(&"POST /jobs".to_owned())));
}

#[tokio::test]
async fn credentials_go_only_to_servers_that_the_step_names() {
    let (server, other) = (Server::start().await, Server::start().await);
    let call_with = async |poll: Value| {
        let with = json!({
            "method": "POST", "url": server.url("/elsewhere").replace("http://", "http://user:secret@"),
            "json": other.url("/echo?a=b"),
            "headers": {"X-Token": "secret", "Accept": "application/json"}, "poll": poll,
        });
        let seen = call(with).await;
        let handle = seen.log.handles[0].to_string();
        assert!(!handle.contains("secret"), "{handle}");
        seen.outputs()["body"]["headers"].clone()
    };
    let until = json!({"pointer": "/method", "equals": "GET"});
    let headers = call_with(json!({"every": "1ms", "until": until})).await;
    assert_eq!(headers["accept"], "application/json");
    for name in ["x-token", "authorization", "idempotency-key", "bascule-attempt"] {
        assert_eq!(headers[name], Value::Null, "{name} went to a server that only `Location` names");
    }
    let headers = call_with(json!({"url": other.url("/echo?id={/id}"), "every": "1ms", "until": until})).await;
    assert_eq!(headers["x-token"], "secret", "the step names that server itself");
    let own = json!({"url": server.url("/echo"), "every": "1ms", "until": until});
    let headers = call_with(own).await;
    assert_eq!((&headers["x-token"], &headers["authorization"]), (&json!("secret"), &json!("Basic dXNlcjpzZWNyZXQ=")));
}

#[tokio::test]
async fn a_redirect_carries_nothing_confidential_to_another_server() {
    let (server, other) = (Server::start().await, Server::start().await);
    let url = format!("{}?to={}", server.url("/redirect-to"), other.url("/echo"));
    let with = |headers: Value| json!({"url": url, "headers": headers, "followRedirects": true});
    let echo = call(with(json!({"Authorization": "secret"}))).await.outputs();
    assert_eq!(
        (&echo["body"]["headers"]["authorization"], &echo["body"]["headers"]["referer"]),
        (&Value::Null, &Value::Null)
    );
    let (failure, _) = call(with(json!({"X-Token": "secret"}))).await.failure();
    assert!(failure.contains("was answered 307") && failure.contains("/echo"), "{failure}");
    let mut post = with(json!({}));
    post["method"] = json!("POST");
    post["body"] = json!("secret");
    let (failure, _) = call(post).await.failure();
    assert!(failure.contains("was answered 307"), "{failure}");
}

#[tokio::test]
async fn messages_show_no_query_and_no_password() {
    let server = Server::start().await;
    let base = server.url("").replace("http://", "http://user:secret@");
    let until = json!({"pointer": "/state", "equals": "done"});
    let job = json!({"url": format!("{base}/jobs/none?token=secret"), "every": "5ms", "until": until});
    let seen = call(json!({"method": "POST", "url": format!("{base}/jobs?token=secret"), "poll": job})).await;
    assert!(!seen.log.text.contains("secret"), "{}", seen.log.text);
    let failure = unknown(seen);
    assert!(failure.contains("/jobs/none cannot be followed") && !failure.contains("secret"), "{failure}");
    let with = json!({"method": "POST", "url": server.url("/things"),
        "probe": {"url": format!("{base}/status/500?token=secret"), "pointer": "/count", "equals": 1}});
    let ProbeAnswer::CannotTell { failure } = probe(&with, None).await else { panic!("it cannot tell") };
    assert!(failure.message.contains("/status/500") && !failure.to_string().contains("secret"), "{failure}");
    let target = format!("{}?to={base}/echo?token=secret", server.url("/redirect-to"));
    let (failure, _) = call(json!({"url": target})).await.failure();
    assert!(failure.contains("it points to") && !failure.contains("secret"), "{failure}");
}

#[tokio::test]
async fn a_job_that_fails_or_vanishes_says_so() {
    let server = Server::start().await;
    let poll = json!({
        "url": server.url("/jobs/none"), "every": "5ms", "until": {"pointer": "/state", "equals": "done"},
    });
    let failure = unknown(call(json!({"method": "POST", "url": server.url("/jobs"), "poll": poll})).await);
    assert!(failure.contains("cannot be followed any more: the server answers 404"), "{failure}");
    let poll = json!({
        "every": "5ms", "until": {"pointer": "/state", "equals": "on"},
        "failWhen": {"pointer": "/state", "equals": "done"},
    });
    let (failure, left) = call(json!({"method": "POST", "url": server.url("/jobs"), "poll": poll})).await.failure();
    assert!(failure.contains("failed: {\"result\"") || failure.contains("failed: {\"state\""), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn a_cancelled_job_is_ended_if_the_api_can_and_unknown_otherwise() {
    let server = Server::start().await;
    let with = |cancel: Value| {
        let until = json!({"pointer": "/state", "equals": "done"});
        let fail = json!({"pointer": "/state", "equals": "cancelled"});
        json!({"method": "POST", "url": server.url("/jobs"), "headers": {"Idempotency-Key": "x"},
               "idempotencyHeader": "", "poll": {"url": server.url("/jobs/endless"), "every": "20ms",
               "until": until, "failWhen": fail, "cancel": cancel}})
    };
    server.ledger.lock().expect("it can be filled").jobs.insert("endless".to_owned(), crate::server::Job::default());
    let mut attempt = Attempt::of("http.call");
    attempt.cancel_on = Some("the job goes on");
    let seen = attempt.execute(with(Value::Null)).await;
    assert!(matches!(seen.outcome, Outcome::Unknown { work: Work::MayGoOn, .. }), "{:?}", seen.outcome);
    let failure = unknown(seen);
    assert!(failure.contains("was not seen to end"), "{failure}");
    let mut attempt = Attempt::of("http.call");
    attempt.cancel_on = Some("the job goes on");
    let seen = attempt.execute(with(json!({}))).await;
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Possible });
    assert!(server.look(|ledger| ledger.jobs["endless"].cancelled));
}

#[tokio::test]
async fn a_probe_tells_done_from_not_started_and_says_when_it_cannot_tell() {
    let server = Server::start().await;
    let with = |url: String| {
        json!({"method": "POST", "url": server.url("/things"), "json": 1,
               "probe": {"url": url, "pointer": "/count", "equals": 1}})
    };
    let good = with(server.url("/things"));
    assert_eq!(probe(&good, None).await, ProbeAnswer::NotStarted);
    call(good.clone()).await.outputs();
    assert!(matches!(probe(&good, None).await, ProbeAnswer::Done { .. }));
    assert_eq!(probe(&with(server.url("/status/404")), None).await, ProbeAnswer::NotStarted);
    for url in [server.url("/status/500"), server.url("/status/200"), format!("http://{}/", closed_port().await)] {
        assert!(matches!(probe(&with(url.clone()), None).await, ProbeAnswer::CannotTell { .. }), "{url}");
    }
    let none = json!({"method": "POST", "url": server.url("/things")});
    assert!(matches!(probe(&none, None).await, ProbeAnswer::CannotTell { .. }));
}

#[tokio::test]
async fn the_effect_depends_on_the_method() {
    let effect = |with: Value| registered("http.call").effect(&with);
    assert_eq!(effect(json!({"url": "http://h/"})), Effect::None);
    assert_eq!(effect(json!({"url": "http://h/", "method": "HEAD"})), Effect::None);
    assert_eq!(effect(json!({"url": "http://h/", "method": "DELETE"})), Effect::Once);
    let probe = json!({"url": "http://h/", "pointer": "", "equals": 1});
    assert_eq!(effect(json!({"url": "http://h/", "method": "POST", "probe": probe})), Effect::Probe);
}

#[tokio::test]
async fn validate_says_whether_somebody_listens() {
    let server = Server::start().await;
    assert_eq!(validate("http.call", &json!({"url": server.url("/")}), Role::Step).await, Validation::Verified);
    let closed = json!({"url": format!("http://{}/", closed_port().await)});
    let Validation::NotVerified(why) = validate("http.call", &closed, Role::Step).await else {
        panic!("nobody listens there yet");
    };
    assert!(why.contains("cannot be reached now"), "{why}");
    assert!(refusal("http.call", &json!({"url": "http://h/", "json": 1, "body": "1"})).await.contains("both given"));
    assert!(refusal("http.call", &json!({"url": "http://h/", "method": "get"})).await.contains("`get`"));
}
