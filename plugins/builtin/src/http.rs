//! One HTTP exchange: sent over a connection of its own, bounded in time and size, and honest
//! about whether anything was sent.
//!
//! Connections are never reused: an idle connection that the server closed meanwhile would leave
//! it open whether a request was seen. Nothing is ever retried here, and no proxy is used: an
//! engine talks to the systems of its own data centre. Start with [`Clients::send`].

pub(crate) mod call;
pub(crate) mod probe;

mod condition;
mod poll;
mod status;

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bascule_plugin::Failure;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, Url, redirect, retry};
use serde_json::Value;

use crate::params;

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
    #[error("{place} did not answer: {why}")]
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
    follow_redirects: FollowRedirects,
    connect_within: Duration,
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
        let follow_redirects = request.follow_redirects;
        // A plain address may point to one that is not.
        let plain = request.url.scheme() == "http" && follow_redirects == FollowRedirects::No;
        // The connection must fail before the exchange does, to know that nothing was sent.
        let connect_within = (request.timeout * 4 / 5).min(Duration::from_secs(10));
        let way = Way { plain, follow_redirects, connect_within };
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
    let policy = match way.follow_redirects {
        FollowRedirects::Yes => redirect::Policy::limited(10),
        FollowRedirects::No => redirect::Policy::none(),
    };
    let mut builder = Client::builder()
        .user_agent(concat!("bascule/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
        .pool_max_idle_per_host(0)
        .retry(retry::never())
        .no_proxy()
        .redirect(policy)
        .connect_timeout(way.connect_within);
    builder = if way.plain { builder.tls_certs_only([]) } else { builder.tls_certs_merge(roots) };
    builder.build().map_err(reason)
}

/// Why an exchange failed: the causes, without the address that everybody knows already.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
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

/// An address that can be called.
fn read_url(parameter: &str, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| params::wrong(&format!("`{parameter}`: `{text}`: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(params::wrong(&format!("`{parameter}`: `{text}` is no http or https address")));
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
    }
}
