//! Exchanges as lines of `curl`, for a night that ends without the engine.

use bascule_plugin::IdempotencyKey;
use bascule_plugin::by_hand::{ESCAPE, has_secret, quote};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;

use super::call::{Call, KEY_HEADER};
use super::condition::Condition;
use super::status::Expected;
use super::{FollowRedirects, Request, status};

/// The options of `curl` for an exchange; it fails where the answer is an error, unless that is wanted.
pub(super) fn curl(request: &Request) -> String {
    let mut line = "curl -gsS --fail-with-body".to_owned();
    let mut add = |option: &str, value: &str| line.push_str(&format!(" {option} {}", quote(value)));
    if request.method == Method::HEAD {
        add("--head", request.url.as_str());
    } else {
        add("-X", request.method.as_str());
    }
    add("-m", &request.timeout.as_secs_f64().to_string());
    if let Some(file) = &request.ca_file {
        add("--cacert", &file.display().to_string());
    }
    for (name, value) in &request.headers {
        // Curl leaves a field out that has no value, unless it is written so.
        let field = if value.is_empty() {
            format!("{name};")
        } else {
            format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
        };
        add("-H", &field);
    }
    if let Some(body) = &request.body {
        if !request.headers.contains_key(CONTENT_TYPE) {
            // It would call it a form.
            add("-H", "content-type:");
        }
        add("--data-raw", &String::from_utf8_lossy(body));
    }
    if request.follow_redirects == FollowRedirects::Yes {
        line.push_str(" -L");
    }
    if request.method == Method::HEAD { line } else { format!("{line} {}", quote(request.url.as_str())) }
}

/// A call, with what its answer must say. The key is that of the engine's own attempts.
pub(super) fn lines(call: &Call, key: &IdempotencyKey) -> String {
    let (params, mut request) = (&call.params, call.request.clone());
    let header = params.idempotency_header.as_deref().unwrap_or(KEY_HEADER);
    let field = (!status::is_safe(&request.method)).then(|| header.parse().ok()).flatten();
    if let (Some(field), Ok(key)) = (field, key.to_string().parse()) {
        let field: reqwest::header::HeaderName = field;
        request.headers.insert(field, key);
    }
    let mut lines = Vec::new();
    let mut line = curl(&request);
    if let Some(expected) = &params.expect_status {
        let wanted: Vec<String> = expected.iter().map(Expected::text).collect();
        lines.push(format!("# the status of its answer must be one of: {}", wanted.join(", ")));
        line = line.replacen("--fail-with-body", "-w '\\n%{http_code}\\n'", 1);
    }
    if let Some(condition) = &params.expect_body {
        lines.push(format!("# its answer must say {}", said(condition)));
    }
    if params.json.is_some() && has_secret(&line) {
        lines.push(ESCAPE.to_owned());
    }
    lines.push(line);
    if let Some(poll) = &params.poll {
        lines.push(poll.told(said));
    }
    lines.join("\n")
}

/// A condition in words.
fn said(condition: &Condition) -> String {
    let wanted = condition.equals.iter().chain(condition.one_of.iter().flatten());
    let wanted: Vec<String> = wanted.map(ToString::to_string).collect();
    let place = if condition.pointer.is_empty() { "as a whole" } else { &condition.pointer };
    format!("{place} = {}", wanted.join(" or "))
}
