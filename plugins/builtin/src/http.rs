//! One HTTP exchange: sent over a connection of its own, bounded in time and size, and honest
//! about whether anything was sent.
//!
//! Connections are never reused: an idle connection that the server closed meanwhile would leave
//! it open whether a request was seen. Nothing is ever retried here, and no proxy is used: an
//! engine talks to the systems of its own data centre. Start with [`Clients::send`].

pub(crate) mod call;
pub(crate) mod probe;

mod by_hand;
mod condition;
mod poll;
mod status;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bascule_plugin::Failure;
use reqwest::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, USER_AGENT,
};
use reqwest::{Certificate, Client, Method, Url, redirect, retry};
use serde_json::Value;

use crate::params;

/// The header field that tells a server which attempt asks: for its logs.
const ATTEMPT_HEADER: &str = "bascule-attempt";

/// A body is read so far; more is cut.
const LONGEST_BODY: usize = 1024 * 1024;

/// An exchange to make.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    /// For all of it, from the first packet to the last byte of the answer.
    timeout: Duration,
    follow_redirects: FollowRedirects,
    /// Certificates that are trusted besides those of the system.
    ca_file: Option<PathBuf>,
}

impl Request {
    /// Whether it carries something that is not for everybody: a body, or a header field that no
    /// redirect takes off. (The HTTP library takes off `Authorization` and cookies.)
    fn is_confidential(&self) -> bool {
        let taken_off = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
        let ours = [ATTEMPT_HEADER, call::KEY_HEADER];
        let public = |name: &HeaderName| {
            is_harmless(name)
                || taken_off.contains(name)
                || ours.iter().any(|ours| name.as_str().eq_ignore_ascii_case(ours))
        };
        self.body.is_some() || !self.headers.keys().all(public)
    }
}

/// Header fields that say nothing but which answers are welcome.
fn is_harmless(name: &HeaderName) -> bool {
    [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, USER_AGENT].contains(name)
}

/// Whether an answer that points elsewhere is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum FollowRedirects {
    Yes,
    No,
}

impl From<bool> for FollowRedirects {
    fn from(follow: bool) -> Self {
        if follow { Self::Yes } else { Self::No }
    }
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Whether the body was longer.
    cut: bool,
}

/// Why nothing, or not all, came back.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    /// No connection, so nothing was sent.
    #[error("cannot reach {place}: {why}")]
    NotSent {
        /// Host and port.
        place: String,
        /// The innermost causes.
        why: String,
    },
    /// The request was, or may have been, sent; no answer came.
    #[error("{place} {}: {why}", silence(why))]
    NoAnswer {
        /// Host and port.
        place: String,
        /// The innermost causes.
        why: String,
    },
    /// An answer began and broke off.
    #[error("{place} answered {status}, and the answer broke off: {why}")]
    Broken {
        /// Host and port.
        place: String,
        /// The status that came.
        status: u16,
        /// The innermost causes.
        why: String,
    },
}

/// What answers in another language did answer, and the port may be the wrong one.
fn silence(why: &str) -> &'static str {
    if why.to_lowercase().contains("invalid http") { "answered something that is no HTTP" } else { "did not answer" }
}

impl ExchangeError {
    /// A word or two for counting: `connection refused`, `timeout`.
    fn kind(&self) -> &str {
        match self {
            Self::NotSent { why, .. } | Self::NoAnswer { why, .. } | Self::Broken { why, .. } => {
                let known = ["timeout", "connection refused", "connection reset", "name not found", "certificate"];
                let lower = why.to_lowercase();
                known.into_iter().find(|kind| lower.contains(kind)).unwrap_or("connection broken")
            }
        }
    }
}

/// The HTTP clients of an executor, one per way to connect.
#[derive(Debug, Default)]
pub(crate) struct Clients(Mutex<HashMap<Way, Client>>);

/// What a client is built for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    /// Plain text only: such a client need not read the system's certificates.
    plain: bool,
    redirects: Redirects,
    connect_within: Duration,
}

/// Where an answer may point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Redirects {
    Nowhere,
    /// To the same scheme, host and port: what the request carries is for that server.
    SameOrigin,
    Anywhere,
}

impl Clients {
    /// Makes one exchange.
    async fn send(&self, request: &Request) -> Result<Answer, ExchangeError> {
        let place = place(&request.url);
        let client = match self.client(request).await {
            Ok(client) => client,
            Err(why) => return Err(ExchangeError::NotSent { place, why }),
        };
        let mut building = client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if let Some(body) = &request.body {
            building = building.body(body.clone());
        }
        let end = tokio::time::Instant::now() + request.timeout;
        let late = |what: &str| format!("timeout: no {what} within {:?}", request.timeout);
        let mut response = match tokio::time::timeout_at(end, building.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_connect() || error.is_builder() => {
                return Err(ExchangeError::NotSent { place, why: reason(error) });
            }
            Ok(Err(error)) => return Err(ExchangeError::NoAnswer { place, why: reason(error) }),
            Err(_) => return Err(ExchangeError::NoAnswer { place, why: late("answer") }),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let (mut body, mut cut) = (Vec::new(), false);
        loop {
            let why = match tokio::time::timeout_at(end, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let room = LONGEST_BODY - body.len();
                    cut = chunk.len() > room;
                    body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                    if cut {
                        break;
                    }
                    continue;
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => reason(error),
                Err(_) => late("end of the answer"),
            };
            return Err(ExchangeError::Broken { place, status, why });
        }
        Ok(Answer { status, headers, body, cut })
    }

    async fn client(&self, request: &Request) -> Result<Client, String> {
        let redirects = match request.follow_redirects {
            FollowRedirects::No => Redirects::Nowhere,
            FollowRedirects::Yes if request.is_confidential() => Redirects::SameOrigin,
            FollowRedirects::Yes => Redirects::Anywhere,
        };
        // A plain address may point to one that is not.
        let plain = request.url.scheme() == "http" && redirects != Redirects::Anywhere;
        // The connection must fail before the exchange does, to know that nothing was sent.
        let connect_within = (request.timeout * 4 / 5).min(Duration::from_secs(10));
        let way = Way { plain, redirects, connect_within };
        if let Some(path) = request.ca_file.as_ref().filter(|_| !plain) {
            // Read each time, because such files are renewed.
            let pem =
                tokio::fs::read(path).await.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let roots = Certificate::from_pem_bundle(&pem)
                .map_err(|error| format!("no certificates in {}: {}", path.display(), reason(error)))?;
            return build(&way, roots);
        }
        if let Some(client) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&way) {
            return Ok(client.clone());
        }
        let client = build(&way, Vec::new())?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(way, client.clone());
        Ok(client)
    }
}

fn build(way: &Way, roots: Vec<Certificate>) -> Result<Client, String> {
    let policy = match way.redirects {
        Redirects::Nowhere => redirect::Policy::none(),
        Redirects::SameOrigin => {
            redirect::Policy::custom(|attempt| redirected(attempt, |from, to| !is_same_origin(from, to)))
        }
        Redirects::Anywhere => redirect::Policy::custom(|attempt| {
            // Not from encryption to plain text, whatever the port.
            redirected(attempt, |from, to| from.scheme() == "https" && to.scheme() == "http")
        }),
    };
    let mut builder = Client::builder()
        .user_agent(concat!("bascule/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .pool_max_idle_per_host(0)
        .retry(retry::never())
        .no_proxy()
        .redirect(policy)
        // An address may hold a secret in its query.
        .referer(false)
        .connect_timeout(way.connect_within);
    builder = if way.plain { builder.tls_certs_only([]) } else { builder.tls_certs_merge(roots) };
    builder.build().map_err(reason)
}

/// Whether two addresses are of the same server: scheme, host and port.
fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Follows a redirect unless it leads where it must not; then the answer that points there is the answer.
fn redirected(attempt: redirect::Attempt<'_>, stays: impl Fn(&Url, &Url) -> bool) -> redirect::Action {
    if attempt.previous().last().is_some_and(|from| stays(from, attempt.url())) {
        return attempt.stop();
    }
    if attempt.previous().len() > 10 { attempt.error("too many redirects") } else { attempt.follow() }
}

/// Why an exchange failed: the causes, without the address that everybody knows already.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut causes = bascule_plugin::causes(&error);
    // The outer ones only say that something failed while sending.
    causes.drain(..causes.len().saturating_sub(2));
    causes.dedup();
    let timeout = error.is_timeout() && !causes.iter().any(|cause| cause.contains("timeout"));
    let unknown_name = error.is_dns();
    let words = if unknown_name {
        "name not found: "
    } else if timeout {
        "timeout: "
    } else {
        ""
    };
    format!("{words}{}", causes.join(": "))
}

/// Host and port: what a person needs to know of an address, without its secrets.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// An address without what may be secret in it: for people.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), place(url), url.path())
}

/// As [`shown`], of what cannot be read as an address.
fn shown_text(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => text.rsplit_once('@').map_or(text, |(_, rest)| rest).to_owned(),
    }
}

/// An address that can be called.
fn read_url(parameter: &str, text: &str) -> Result<Url, Failure> {
    let wrong = |why: &str| params::wrong(&format!("`{parameter}`: `{}`{why}", shown_text(text)));
    let url = Url::parse(text).map_err(|error| wrong(&format!(": {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(" is no http or https address"));
    }
    Ok(url)
}

/// Header fields that can be sent.
fn read_headers(headers: &BTreeMap<String, String>) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let wrong = |what: &str| params::wrong(&format!("`headers`: the {what} of `{name}` cannot be sent"));
        let field = HeaderName::from_str(name).map_err(|_| wrong("name"))?;
        // The value itself may be a secret and is not shown.
        map.insert(field, HeaderValue::from_str(value).map_err(|_| wrong("value"))?);
    }
    Ok(map)
}

/// A file of certificates that a step names.
fn read_ca_file(path: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    match path {
        Some(path) if !path.is_absolute() => {
            Err(params::wrong(&format!("`caFile` {} is not an absolute path", path.display())))
        }
        path => Ok(path.map(Path::to_owned)),
    }
}

impl Answer {
    /// The body as JSON, if it is JSON.
    fn json(&self) -> Option<Value> {
        if self.cut { None } else { serde_json::from_slice(&self.body).ok() }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_called_are_refused() {
        let refusal = |text: &str| read_url("url", text).expect_err(text).message;
        assert!(refusal("esx-07/vms").contains("relative URL"));
        assert!(refusal("ftp://esx-07/").contains("no http or https address"));
        assert!(refusal("localhost:8080").contains("no http or https address"));
        assert!(refusal("http://").contains("empty host"));
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused_without_their_value() {
        let refusal = |name: &str, value: &str| {
            read_headers(&BTreeMap::from([(name.to_owned(), value.to_owned())])).expect_err(name).message
        };
        assert!(refusal("X Token", "a").contains("the name of `X Token`"));
        let message = refusal("X-Token", "secret\n");
        assert!(message.contains("the value of `X-Token`") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn a_place_tells_no_secret() {
        let url = Url::parse("https://user:secret@esx-07/vms?token=secret").expect("an address");
        assert_eq!(place(&url), "esx-07:443");
        assert_eq!(shown(&url), "https://esx-07:443/vms");
        for text in ["https://user:secret@esx-07:x/vms?token=secret", "user:secret@esx-07", "esx-07/vms?token=secret"] {
            let message = read_url("url", text).expect_err("it is none").message;
            assert!(message.contains("esx-07") && !message.contains("secret"), "{message}");
        }
    }
}
