//! What every service of the lab answers when it will not, or cannot: `{error: {code, message, hint}}`.
//!
//! A refusal means that nothing was changed, unless its message says otherwise. Start with [`Refusal`].

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer that is no success, with what a person needs to act on it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// A word for programs, such as `source_still_writing`.
    pub code: &'static str,
    /// What happened, with names.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl Refusal {
    /// The request itself is wrong.
    pub(crate) fn bad(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into(), hint: hint.into() }
    }

    /// The thing that was named is not here.
    pub(crate) fn missing(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code, message: message.into(), hint: hint.into() }
    }

    /// The state of the world forbids it.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code, message: message.into(), hint: hint.into() }
    }

    /// There is no room left.
    pub(crate) fn full(what: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INSUFFICIENT_STORAGE,
            code: "disk_full",
            message: format!("no space left on device: {}", what.into()),
            hint: "free space, or clear the fault with DELETE /faults".to_owned(),
        }
    }

    /// Somebody else's answer was wrong or did not come.
    pub(crate) fn upstream(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_GATEWAY, code: "upstream_failed", message: message.into(), hint: hint.into() }
    }

    /// It took longer than it may.
    pub(crate) fn late(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            code: "too_late",
            message: message.into(),
            hint: "ask for the state of the object before trying again".to_owned(),
        }
    }

    /// Cannot be answered at the moment.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code, message: message.into(), hint: hint.into() }
    }

    /// The lab itself failed; `what` says at what.
    pub(crate) fn broken(what: &str, error: &dyn std::error::Error) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "lab_failed",
            message: format!("{what}: {error}"),
            hint: "read lab.log in the lab's folder".to_owned(),
        }
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Value {
        json!({ "error": { "code": self.code, "message": self.message, "hint": self.hint } })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}

/// The fallback of every API.
pub(crate) async fn no_route(request: Request) -> Refusal {
    let message = format!("no {} {} here", request.method(), request.uri().path());
    Refusal::missing("no_such_route", message, "the lab's README lists all routes")
}
