//! The HTTP client that services of the lab, its users and its launcher share.
//!
//! It speaks to loopback only, without TLS, proxies or redirects. Start with [`client`].

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder};
use serde_json::Value;

use crate::refusal::Refusal;

/// A client whose requests end after `limit`.
///
/// # Errors
/// The HTTP library refuses its settings.
pub(crate) fn client(limit: Duration) -> Result<Client, reqwest::Error> {
    builder(limit).build()
}

/// Marks what the lab asks by itself. Such requests suffer from faults and never use one up, so that a fault with a count
/// strikes those whom it is meant for.
pub(crate) const BACKGROUND: &str = "x-lab-background";

/// A client for scrapes and schedules.
///
/// # Errors
/// As [`client`].
pub(crate) fn background_client(limit: Duration) -> Result<Client, reqwest::Error> {
    let mark = (HeaderName::from_static(BACKGROUND), HeaderValue::from_static("yes"));
    builder(limit).default_headers(HeaderMap::from_iter([mark])).build()
}

fn builder(limit: Duration) -> ClientBuilder {
    // The library wants a TLS provider although no TLS is spoken here. A second installation is refused and harmless.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
        .timeout(limit)
        .connect_timeout(Duration::from_secs(5))
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only(std::iter::empty())
        .tcp_nodelay(true)
}

/// Whether `url` stays inside the lab.
pub(crate) fn is_inside(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| url.scheme() == "http" && url.host_str() == Some("127.0.0.1"))
}

/// Asks another service of the lab; an answer that is no success becomes a refusal that repeats its message.
pub(crate) async fn get_json(client: &Client, url: &str) -> Result<Value, Refusal> {
    let failed =
        |error: &reqwest::Error| Refusal::upstream(format!("no answer from {url}: {error}"), "is it reachable?");
    let answer = client.get(url).send().await.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(|error| failed(&error))?;
    if status.is_success() {
        return Ok(body);
    }
    let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
    let code = body.pointer("/error/code").and_then(Value::as_str).unwrap_or("none");
    Err(Refusal::upstream(format!("{url} answered {status} ({code}): {said}"), "see its state with GET /vms"))
}
