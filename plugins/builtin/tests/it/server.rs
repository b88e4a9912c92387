//! Servers on loopback for the tests: one that keeps a ledger of what it did, and one that
//! misbehaves below HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the server did and knows.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Each effect once, by the idempotency key that brought it.
    pub(crate) things: BTreeMap<String, Value>,
    /// The state of jobs: how often they were asked for, and how they ended.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Requests that were seen.
    pub(crate) seen: Vec<String>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Job {
    pub(crate) asked: u32,
    pub(crate) cancelled: bool,
    pub(crate) done: bool,
}

/// A server that ends with this value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    _end: DropGuard,
}

type Shared = State<Arc<Mutex<Ledger>>>;

impl Server {
    pub(crate) async fn start() -> Self {
        trust();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let app = Router::new()
            .route("/things", post(add).get(list))
            .route("/jobs", post(begin))
            .route("/jobs/{id}", get(ask).delete(cancel))
            .route("/status/{status}", any(status))
            .route("/redirect", any(|| async { Redirect::temporary("/status/200") }))
            .route("/redirect-to", any(redirect))
            .route("/elsewhere", post(elsewhere))
            .route("/see-other", any(|| async { Redirect::to("/status/200") }))
            .route("/hang", any(|| async { std::future::pending::<()>().await }))
            .route("/huge", any(|| async { "x".repeat(3 * 1024 * 1024) }))
            .route("/large", any(|| async { Json(json!({"state": "on", "text": "x".repeat(100_000)})) }))
            .route("/echo", any(echo))
            .route("/empty", any(|| async { StatusCode::NO_CONTENT }))
            .with_state(Arc::clone(&ledger));
        let end = CancellationToken::new();
        let stop = end.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = async { axum::serve(listener, app).await } => served.expect("it serves"),
                () = stop.cancelled() => {}
            }
        });
        Self { address, ledger, _end: end.drop_guard() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns once the server has seen what was sent to it before: each round it answers a
    /// question that was sent later.
    pub(crate) async fn settle(&self) {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(self.address).await.expect("it listens");
            stream.write_all(b"GET /empty HTTP/1.0\r\n\r\n").await.expect("it listens");
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.expect("it answers");
        }
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&Ledger) -> T) -> T {
        at(&self.ledger.lock().expect("no handler panics"))
    }
}

/// Encryption for `https`, once for all tests.
pub(crate) fn trust() {
    rustls::crypto::ring::default_provider().install_default().ok();
}

fn key(headers: &HeaderMap) -> String {
    headers.get("idempotency-key").map_or("none", |key| key.to_str().expect("a plain key")).to_owned()
}

async fn add(State(ledger): Shared, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let id = key(&headers);
    let count = {
        let mut ledger = ledger.lock().expect("no handler panics");
        ledger.seen.push("POST /things".to_owned());
        ledger.things.entry(id.clone()).or_insert(body);
        ledger.things.len()
    };
    // Between the effect and its answer is time to be interrupted: a server that is slow, no wait of the test.
    tokio::time::sleep(Duration::from_millis(8)).await;
    (StatusCode::CREATED, Json(json!({"id": id, "count": count}))).into_response()
}

async fn list(State(ledger): Shared) -> Json<Value> {
    let ledger = ledger.lock().expect("no handler panics");
    Json(json!({"count": ledger.things.len(), "things": ledger.things}))
}

async fn begin(State(ledger): Shared, headers: HeaderMap) -> Response {
    let mut ledger = ledger.lock().expect("no handler panics");
    let id = key(&headers).replace('/', "-");
    ledger.seen.push("POST /jobs".to_owned());
    let job = ledger.jobs.entry(id.clone()).or_default();
    if job.cancelled {
        *job = Job::default();
    }
    let location = [("location", format!("/jobs/{id}"))];
    (StatusCode::ACCEPTED, location, Json(json!({"task": {"id": id}, "state": "running"}))).into_response()
}

async fn redirect(Query(query): Query<BTreeMap<String, String>>) -> Redirect {
    Redirect::temporary(&query["to"])
}

/// Begins a job that another server knows.
async fn elsewhere(Json(at): Json<String>) -> Response {
    (StatusCode::ACCEPTED, [("location", at)], Json(json!({"id": 7}))).into_response()
}

async fn ask(State(ledger): Shared, Path(id): Path<String>) -> Response {
    let mut ledger = ledger.lock().expect("no handler panics");
    ledger.seen.push(format!("GET /jobs/{id}"));
    let Some(job) = ledger.jobs.get_mut(&id) else { return StatusCode::NOT_FOUND.into_response() };
    job.asked += 1;
    if job.asked == 1 {
        // Once on the way the server is too busy to say.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    job.done |= job.asked >= 4 && !job.cancelled && id != "endless";
    let state = if job.cancelled {
        "cancelled"
    } else if job.done {
        "done"
    } else {
        "running"
    };
    Json(json!({"state": state, "result": {"disk": 7}})).into_response()
}

async fn cancel(State(ledger): Shared, Path(id): Path<String>) -> StatusCode {
    let mut ledger = ledger.lock().expect("no handler panics");
    if let Some(job) = ledger.jobs.get_mut(&id).filter(|job| !job.done) {
        job.cancelled = true;
    }
    StatusCode::NO_CONTENT
}

async fn status(Path(status): Path<u16>) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let mut response = (status, format!("this is {}", status.as_u16())).into_response();
    response.headers_mut().insert("retry-after", "7".parse().expect("a value"));
    response
}

async fn echo(request: axum::extract::Request) -> Json<Value> {
    let headers: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("a plain value").to_owned()))
        .collect();
    let (method, uri) = (request.method().to_string(), request.uri().to_string());
    let body = axum::body::to_bytes(request.into_body(), 1024 * 1024).await.expect("a body");
    Json(json!({
        "method": method, "uri": uri, "headers": headers, "body": String::from_utf8_lossy(&body),
    }))
}

/// Serves one connection after another by hand; ends with the guard.
pub(crate) async fn raw<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, DropGuard)
where
    F: Future<Output = ()> + Send + 'static,
{
    trust();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let end = CancellationToken::new();
    let stop = end.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.expect("a connection");
                    tokio::spawn(serve(stream));
                }
                () = stop.cancelled() => return,
            }
        }
    });
    (address, end.drop_guard())
}

/// Reads the head of a request.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(length @ 1..) => seen.extend_from_slice(&buffer[..length]),
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// Reads a request and drops the connection.
pub(crate) async fn read_and_drop(mut stream: TcpStream) {
    read_request(&mut stream).await;
}

/// Answers, and breaks off in the middle of the body.
pub(crate) async fn break_off(mut stream: TcpStream) {
    read_request(&mut stream).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"half\":";
    stream.write_all(head.as_bytes()).await.expect("the client listens");
    stream.flush().await.expect("the client listens");
}

/// Answers with a body that never ends, a little at a time.
pub(crate) async fn trickle(mut stream: TcpStream) {
    read_request(&mut stream).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_ok() {
        // The pace is what is tested: always something new, never the end.
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A port on which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}
