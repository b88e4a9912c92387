//! `tcp.probe` against real ports.

use std::time::Duration;

use bascule_plugin::{Left, Outcome};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attempt::{Attempt, refusal};
use crate::server::{closed_port, raw};

async fn greet(mut stream: TcpStream) {
    stream.write_all(b"220 mail ").await.expect("the client listens");
    // So that the other end reads twice. That it has read once is known to nobody here.
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(b"ready\r\n").await.expect("the client listens");
    let mut asked = [0; 4];
    if stream.read_exact(&mut asked).await.is_ok() {
        stream.write_all(b"PONG").await.expect("the client listens");
    }
}

async fn probe(with: Value) -> Value {
    Attempt::of("tcp.probe").execute(with).await.outputs()
}

async fn failure(with: Value) -> String {
    let (failure, left) = Attempt::of("tcp.probe").execute(with).await.failure();
    assert_eq!(left, Left::Nothing);
    failure
}

#[tokio::test]
async fn an_open_and_a_closed_port_are_results() {
    let (open, _guard) = raw(greet).await;
    let outputs = probe(json!({"host": "127.0.0.1", "port": open.port()})).await;
    assert_eq!(
        (&outputs["connected"], &outputs["error"], &outputs["banner"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert!(outputs["ms"].as_f64().is_some_and(|ms| ms > 0.0));
    let outputs = probe(json!({"host": "127.0.0.1", "port": closed_port().await.port()})).await;
    assert_eq!((&outputs["connected"], &outputs["ms"]), (&json!(false), &Value::Null));
    assert!(outputs["error"].as_str().is_some_and(|error| error.to_lowercase().contains("refused")), "{outputs}");
    let outputs = probe(json!({"host": "no-such-name.invalid", "port": 22})).await;
    assert_eq!(outputs["connected"], false);
}

#[tokio::test]
async fn an_expectation_makes_it_a_check() {
    let (open, _guard) = raw(greet).await;
    let closed = closed_port().await.port();
    probe(json!({"host": "127.0.0.1", "port": open.port(), "expectConnected": true})).await;
    probe(json!({"host": "127.0.0.1", "port": closed, "expectConnected": false})).await;
    let said = failure(json!({"host": "127.0.0.1", "port": open.port(), "expectConnected": false})).await;
    assert!(said.contains("answers, and must not"), "{said}");
    let said = failure(json!({"host": "127.0.0.1", "port": closed, "expectConnected": true})).await;
    assert!(said.contains("does not answer: "), "{said}");
}

#[tokio::test]
async fn a_banner_is_heard_in_pieces() {
    let (open, _guard) = raw(greet).await;
    let outputs = probe(json!({"host": "127.0.0.1", "port": open.port(), "expect": "220 mail ready"})).await;
    assert_eq!(outputs["banner"], "220 mail ready\r\n");
    let outputs = probe(json!({"host": "127.0.0.1", "port": open.port(), "send": "PING", "expect": "PONG"})).await;
    assert_eq!(outputs["connected"], true);
}

#[tokio::test]
async fn other_words_or_none_are_failures() {
    let (open, _guard) = raw(greet).await;
    let with = json!({"host": "127.0.0.1", "port": open.port(), "expect": "SSH-2.0", "timeout": "200ms"});
    let said = failure(with).await;
    assert!(
        said.contains(r#"it said no more within 200ms; it said "220 mail ready\r\n", expected was "SSH-2.0""#),
        "{said}"
    );
    let (closing, _guard) = raw(|stream| async move { drop(stream) }).await;
    let said = failure(json!({"host": "127.0.0.1", "port": closing.port(), "expect": "SSH-2.0"})).await;
    assert!(said.contains("it closed the connection") || said.contains("it broke off"), "{said}");
    let (chatty, _guard) =
        raw(|mut stream: TcpStream| async move { while stream.write_all(&[b'x'; 1024]).await.is_ok() {} }).await;
    let said = failure(json!({"host": "127.0.0.1", "port": chatty.port(), "expect": "SSH-2.0"})).await;
    assert!(said.contains("it said other things"), "{said}");
}

#[tokio::test]
async fn a_cancel_ends_it() {
    let (silent, _guard) = raw(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let attempt = Attempt::of("tcp.probe");
    let cancel = attempt.cancel.clone();
    let with = json!({"host": "127.0.0.1", "port": silent.port(), "expect": "SSH", "timeout": "1h"});
    let (seen, ()) = tokio::join!(attempt.execute(with), async { cancel.cancel() });
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Nothing });
}

#[tokio::test]
async fn impossible_parameters_are_refused() {
    assert!(refusal("tcp.probe", &json!({"host": "", "port": 22})).await.contains("`host` is empty"));
    assert!(refusal("tcp.probe", &json!({"host": "h", "port": 0})).await.contains("`port` is 0"));
    assert!(refusal("tcp.probe", &json!({"host": "h", "port": 70000})).await.contains("70000"));
    let with = json!({"host": "h", "port": 22, "expectConnected": false, "expect": "SSH"});
    assert!(refusal("tcp.probe", &with).await.contains("nobody to `send` to"));
}
