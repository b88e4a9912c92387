//! `http.call`: one request to an API, and, where it starts a remote job, the way to its end.
//!
//! The effect of a request depends on its method; what a failed one left behind is read from the
//! status ([`super::status`]), and where no answer came the outcome is unknown. Start with
//! [`HttpCall::execute`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bascule_plugin::{
    ByHand, CheckCx, Description, Effect, ExecCx, Executor, Failure, Left, Outcome, ProbeAnswer, Role, Stop, Validation,
};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::by_hand;
use super::condition::Condition;
use super::poll::{Follow, Poll, Seen};
use super::status::{self, Expected};
use super::{
    ATTEMPT_HEADER, Answer, Clients, ExchangeError, Request, place, read_ca_file, read_headers, read_url, shown,
    shown_text,
};
use crate::params;
use crate::period::Period;

/// The header field of the idempotency key, unless the step says another.
pub(super) const KEY_HEADER: &str = "Idempotency-Key";

/// A body longer than this is an output only in part.
const LONGEST_OUTPUT: usize = 64 * 1024;

/// Calls an API.
#[derive(Debug, Default)]
pub(crate) struct HttpCall(Clients);

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verb {
    /// Reads.
    Get,
    /// Reads the headers only.
    Head,
    /// Asks what is possible.
    Options,
    /// Acts.
    Post,
    /// Puts a state.
    Put,
    /// Changes a state.
    Patch,
    /// Deletes.
    Delete,
}

impl Verb {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Options => Method::OPTIONS,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// The parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Params {
    /// The method; `GET` unless given.
    method: Option<Verb>,
    /// The address, with `http://` or `https://`.
    url: String,
    /// Header fields.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Names and values that are added to the query of the address.
    #[serde(default)]
    query: BTreeMap<String, Value>,
    /// A value that is sent as a JSON body. Either this or `body`.
    pub(super) json: Option<Value>,
    /// A text that is sent as the body. Either this or `json`.
    body: Option<String>,
    /// The statuses that mean success: numbers, or classes such as `2xx`; `[2xx]` unless given.
    pub(super) expect_status: Option<Vec<Expected>>,
    /// What the JSON body of the answer must say to be a success.
    pub(super) expect_body: Option<Condition>,
    /// The time for the whole exchange; `30s` unless given.
    timeout: Option<Period>,
    /// Names of header fields of the answer to return besides the usual ones.
    #[serde(default)]
    return_headers: Vec<String>,
    /// The header field that carries the idempotency key; `Idempotency-Key` unless given. Empty: none is sent.
    pub(super) idempotency_header: Option<String>,
    /// Whether an answer that points elsewhere is followed; `false` unless given.
    #[serde(default)]
    follow_redirects: bool,
    /// The absolute path of certificates (PEM) that are trusted besides the system's.
    ca_file: Option<PathBuf>,
    /// How to follow a remote job that the request starts.
    pub(super) poll: Option<Poll>,
    /// How to find out, after an interruption, whether it happened.
    probe: Option<Probe>,
}

/// A question whose answer tells whether the step happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Probe {
    /// The address to read.
    url: String,
    /// A JSON pointer into its answer.
    pointer: String,
    /// The value that is there if the step happened. Either this or `oneOf`.
    equals: Option<Value>,
    /// The values of which one is there if the step happened. Either this or `equals`.
    one_of: Option<Vec<Value>>,
}

impl Probe {
    fn condition(&self) -> Condition {
        Condition { pointer: self.pointer.clone(), equals: self.equals.clone(), one_of: self.one_of.clone() }
    }
}

/// A call that can be made.
pub(super) struct Call {
    pub(super) params: Params,
    pub(super) request: Request,
}

impl Call {
    fn read(with: &Value) -> Result<Self, Failure> {
        let params: Params = params::read(with)?;
        if params.json.is_some() && params.body.is_some() {
            return Err(params::wrong("`json` and `body` are both given; give one"));
        }
        let expected = params.expect_status.as_deref();
        if expected.is_some_and(|list| list.is_empty() || !list.iter().all(Expected::is_possible)) {
            return Err(params::wrong("`expectStatus` must list statuses such as 200, or classes such as 2xx"));
        }
        params.expect_body.as_ref().map_or(Ok(()), |condition| condition.check("expectBody"))?;
        params.poll.as_ref().map_or(Ok(()), Poll::check)?;
        if let Some(probe) = &params.probe {
            read_url("probe", &probe.url)?;
            probe.condition().check("probe")?;
        }
        let mut url = read_url("url", &params.url)?;
        for (name, value) in &params.query {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(params::wrong(&format!("`query`: the value of `{name}` is neither text nor number")));
                }
            };
            url.query_pairs_mut().append_pair(name, &text);
        }
        let mut headers = read_headers(&params.headers)?;
        if params.json.is_some() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = match (&params.json, &params.body) {
            (Some(value), _) => Some(value.to_string().into_bytes()),
            (None, text) => text.as_ref().map(|text| text.clone().into_bytes()),
        };
        let request = Request {
            method: params.method.unwrap_or(Verb::Get).method(),
            url,
            headers,
            body,
            timeout: params.timeout.map_or(Duration::from_secs(30), |timeout| timeout.0),
            follow_redirects: params.follow_redirects.into(),
            ca_file: read_ca_file(params.ca_file.as_deref())?,
        };
        Ok(Self { params, request })
    }

    fn is_safe(&self) -> bool {
        status::is_safe(&self.request.method)
    }

    /// What an interrupted exchange leaves.
    fn left(&self) -> Left {
        if self.is_safe() { Left::Nothing } else { Left::Possible }
    }

    /// `POST http://esx-07:443/vms`, without query and secrets.
    fn name(&self) -> String {
        format!("{} {}", self.request.method, shown(&self.request.url))
    }

    /// Says who asks, and under which key all attempts are the same action, so that the server can tell.
    fn sign(&mut self, key: &str, attempt: &str) -> Result<(), Failure> {
        if let Ok(attempt) = HeaderValue::from_str(attempt) {
            self.request.headers.entry(ATTEMPT_HEADER).or_insert(attempt);
        }
        let name = self.params.idempotency_header.as_deref().unwrap_or(KEY_HEADER);
        if self.is_safe() || name.is_empty() {
            return Ok(());
        }
        let wrong = || params::wrong(&format!("`idempotencyHeader`: `{name}` cannot carry the key"));
        let field: HeaderName = name.parse().map_err(|_| wrong())?;
        self.request.headers.insert(field, HeaderValue::from_str(key).map_err(|_| wrong())?);
        Ok(())
    }

    fn is_expected(&self, status: u16) -> bool {
        match &self.params.expect_status {
            Some(list) => list.iter().any(|expected| expected.is_met_by(status)),
            None => status / 100 == 2,
        }
    }

    fn outputs(&self, answer: &Answer, handle: Option<&Value>) -> Value {
        let usual = ["content-type", "location", "etag", "retry-after", "x-request-id"];
        let mut headers = Map::new();
        let wanted = self.params.return_headers.iter().map(|name| name.to_lowercase());
        for name in usual.into_iter().map(str::to_owned).chain(wanted) {
            if let Some(value) = answer.headers.get(&name) {
                headers.insert(name, String::from_utf8_lossy(value.as_bytes()).into());
            }
        }
        let truncated = answer.cut || answer.body.len() > LONGEST_OUTPUT;
        let body = if truncated {
            let start = answer.body.get(..LONGEST_OUTPUT).unwrap_or(&answer.body);
            String::from_utf8_lossy(start).into()
        } else if answer.body.is_empty() {
            Value::Null
        } else {
            answer.json().unwrap_or_else(|| answer.text().into())
        };
        json!({
            "status": answer.status, "headers": headers, "body": body, "truncated": truncated,
            "handle": handle.map(|handle| handle["url"].clone()),
        })
    }
}

#[async_trait]
impl Executor for HttpCall {
    fn by_hand(&self, task: ByHand<'_>) -> Option<String> {
        Some(by_hand::lines(&Call::read(task.with).ok()?, task.key))
    }

    fn describe(&self) -> Description {
        Description {
            name: "http.call",
            summary: "Calls an HTTP API, and follows the remote job that the call starts.",
            params: params::schema::<Params>(),
            outputs: &[
                ("status", "The status of the last answer."),
                ("headers", "Header fields of the last answer, in lower case: the usual ones and `returnHeaders`."),
                ("body", "The body of the last answer: as JSON if it is JSON, else as text; null if it is empty."),
                ("truncated", "Whether `body` is only the first 64 KiB, as text."),
                ("handle", "Where the remote job was asked; null without `poll`."),
            ],
            effect: Effect::Once,
            probes: true,
            undoes: false,
        }
    }

    fn effect(&self, with: &Value) -> Effect {
        let reads = with["method"].as_str().is_none_or(|method| matches!(method, "GET" | "HEAD" | "OPTIONS"));
        let probes = with["probe"].is_object();
        if reads {
            Effect::None
        } else if probes {
            Effect::Probe
        } else {
            Effect::Once
        }
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        let call = match Call::read(with) {
            Ok(call) => call,
            Err(failure) => return Validation::Refused(failure),
        };
        reach(&call.request.url).await
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        let call = Call::read(with).and_then(|mut call| {
            call.sign(&cx.key().to_string(), cx.attempt_id())?;
            Ok(call)
        });
        let call = match call {
            Ok(call) => call,
            Err(failure) => return Outcome::untouched(failure),
        };
        if cx.is_cancelled() {
            return Outcome::Cancelled { left: Left::Nothing };
        }
        if let (Some(poll), Some(handle)) = (&call.params.poll, cx.attached()) {
            cx.note("attached to the remote job that goes on since before the interruption").await;
            let follow = self.follow(cx, &call, poll, handle);
            return follow.to_the_end(None, |answer| call.outputs(answer, Some(handle))).await;
        }
        let answer = tokio::select! {
            biased;
            stop = cx.stopped() => return interrupted(&call, stop),
            answer = self.0.send(&call.request) => answer,
        };
        match answer {
            Ok(answer) => self.judge(cx, &call, answer).await,
            Err(error) => unanswered(&call, &error),
        }
    }

    async fn probe(&self, cx: &CheckCx, with: &Value, handle: Option<&Value>) -> ProbeAnswer {
        let call = match Call::read(with) {
            Ok(call) => call,
            Err(failure) => return ProbeAnswer::CannotTell { failure },
        };
        if let (Some(poll), Some(handle)) = (&call.params.poll, handle) {
            let asked = tokio::select! {
                biased;
                _ = cx.stopped() => Err(Failure::new("the probe was stopped")),
                answer = poll.look(&self.0, &call.request, handle) => answer,
            };
            match asked {
                Ok(Seen::Succeeded(answer)) => {
                    return ProbeAnswer::Done { outputs: call.outputs(&answer, Some(handle)) };
                }
                Ok(Seen::Failed(found)) => return ProbeAnswer::Partial { found },
                Ok(Seen::GoesOn) => return ProbeAnswer::InProgress { handle: handle.clone() },
                // Another question may tell what became of it.
                Ok(Seen::Gone(_)) if call.params.probe.is_some() => {}
                Ok(Seen::Gone(failure)) | Err(failure) => return ProbeAnswer::CannotTell { failure },
            }
        }
        let Some(probe) = &call.params.probe else {
            let failure = Failure::new(format!("nothing tells whether {} happened", call.name()))
                .hint("a `probe` in its parameters would");
            return ProbeAnswer::CannotTell { failure };
        };
        let answer = tokio::select! {
            biased;
            _ = cx.stopped() => Err(Failure::new("the probe was stopped")),
            answer = self.ask(&call, probe) => answer,
        };
        match answer {
            Ok(answer) => decide(&call, probe, &answer),
            Err(failure) => ProbeAnswer::CannotTell { failure },
        }
    }
}

impl HttpCall {
    /// An answer came: what does it mean?
    async fn judge(&self, cx: &ExecCx, call: &Call, answer: Answer) -> Outcome {
        if !call.is_expected(answer.status) {
            let left = status::left(&call.request.method, answer.status);
            return Outcome::Failed { failure: unexpected(call, &answer), left };
        }
        if let Some(condition) = &call.params.expect_body {
            let body = answer.json();
            if !body.as_ref().is_some_and(|body| condition.holds(body)) {
                let (found, expected) = (condition.found(body.as_ref()), condition.expected());
                let failure = Failure::new(format!("{}: {found}, expected was {expected}", call.name()));
                return Outcome::Failed { failure, left: call.left() };
            }
        }
        let Some(poll) = &call.params.poll else { return Outcome::done(call.outputs(&answer, None)) };
        let handle = match poll.handle(&call.request, &answer) {
            Ok(handle) => handle,
            Err(why) => {
                let failure = Failure::new(format!("{} started a job that cannot be followed: {why}", call.name()));
                return Outcome::adrift(failure);
            }
        };
        if let Err(error) = cx.handle(handle.clone()).await {
            let failure = Failure::caused(format!("the job that {} started is not awaited", call.name()), &error);
            return Outcome::adrift(failure);
        }
        let follow = self.follow(cx, call, poll, &handle);
        follow.to_the_end(Some(answer), |answer| call.outputs(answer, Some(&handle))).await
    }

    fn follow<'a>(&'a self, cx: &'a ExecCx, call: &'a Call, poll: &'a Poll, handle: &'a Value) -> Follow<'a> {
        Follow { cx, clients: &self.0, poll, request: &call.request, handle }
    }

    async fn ask(&self, call: &Call, probe: &Probe) -> Result<Answer, Failure> {
        let url = read_url("probe", &probe.url)?;
        let question = Request { method: Method::GET, url, body: None, ..call.request.clone() };
        self.0.send(&question).await.map_err(|error| Failure::new(error.to_string()))
    }
}

fn decide(call: &Call, probe: &Probe, answer: &Answer) -> ProbeAnswer {
    match (answer.status, answer.json()) {
        (200..300, Some(body)) if probe.condition().holds(&body) => {
            ProbeAnswer::Done { outputs: call.outputs(answer, None) }
        }
        (200..300, Some(_)) | (404, _) => ProbeAnswer::NotStarted,
        (200..300, None) => cannot_tell(probe, "the answer is not JSON"),
        (status, _) => cannot_tell(probe, &format!("the server answers {status}")),
    }
}

fn cannot_tell(probe: &Probe, why: &str) -> ProbeAnswer {
    let url = shown_text(&probe.url);
    ProbeAnswer::CannotTell { failure: Failure::new(format!("the probe of {url} cannot tell: {why}")) }
}

/// Whether somebody listens there now. Nothing is sent.
async fn reach(url: &Url) -> Validation {
    let place = place(url);
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let connected = tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect((host, port))).await;
    match connected {
        Ok(Ok(_)) => Validation::Verified,
        // What it calls may only be started by an earlier step.
        Ok(Err(error)) => Validation::NotVerified(format!("{place} cannot be reached now: {error}")),
        Err(_) => Validation::NotVerified(format!("{place} does not answer now")),
    }
}

fn interrupted(call: &Call, stop: Stop) -> Outcome {
    match stop {
        Stop::Cancelled => Outcome::Cancelled { left: call.left() },
        Stop::Deadline => no_answer(call, "the deadline came before an answer"),
    }
}

/// What is known when no answer, or only a part of one, came.
fn unanswered(call: &Call, error: &ExchangeError) -> Outcome {
    match error {
        ExchangeError::NotSent { .. } => Outcome::untouched(Failure::new(format!("{}: {error}", call.name()))),
        ExchangeError::NoAnswer { .. } => no_answer(call, &error.to_string()),
        ExchangeError::Broken { status, .. } if call.is_expected(*status) => no_answer(call, &error.to_string()),
        ExchangeError::Broken { status, .. } => Outcome::Failed {
            failure: Failure::new(format!("{}: {error}", call.name())),
            left: status::left(&call.request.method, *status),
        },
    }
}

fn no_answer(call: &Call, why: &str) -> Outcome {
    let failure = Failure::new(format!("{}: {why}", call.name()));
    if call.is_safe() {
        return Outcome::untouched(failure);
    }
    Outcome::unknown(failure.hint("ask the system itself whether it acted, then `bascule resolve`"))
}

fn unexpected(call: &Call, answer: &Answer) -> Failure {
    let text: String = answer.text().trim().chars().take(300).collect();
    let causes = if text.is_empty() { Vec::new() } else { vec![text] };
    let failure = Failure { message: format!("{} was answered {}", call.name(), answer.status), causes, hint: None };
    let field = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let target = field("location").and_then(|location| call.request.url.join(location).ok());
    match answer.status {
        401 | 403 => failure.hint("check the credentials in `headers`"),
        429 | 503 if answer.headers.contains_key("retry-after") => {
            failure.hint(format!("the server asks to wait: Retry-After {}", field("retry-after").unwrap_or_default()))
        }
        300..=399 => {
            let target = target.map_or_else(|| "nowhere".to_owned(), |url| shown(&url));
            failure.hint(format!("it points to {target}; use that address, or `followRedirects`, which carries bodies and own header fields to no other server"))
        }
        _ => failure,
    }
}
