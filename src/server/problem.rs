//! What a client reads when a request fails: `application/problem+json`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bascule_plugin::on_one_line;
use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::store::{ReadError, StoreError};

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub title: String,
    /// What happened, and why.
    pub detail: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with a status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("error").to_owned();
        Self { status: status.as_u16(), title, detail: detail.into(), hint: None }
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The request cannot be understood.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The verb is not legal now.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The owner goes down.
    #[must_use]
    pub fn leaving() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the engine is going down").hint("try again: another one will start")
    }

    /// Something of ours or of the disk.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// From an error with its causes.
    pub fn of(status: StatusCode, error: &dyn std::error::Error) -> Self {
        Self::new(status, on_one_line(error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::Read(ReadError::NoRun(_)) => Self::of(StatusCode::NOT_FOUND, &error),
            EngineError::Gone(_) => Self::leaving(),
            EngineError::GivenUp { .. } => Self::of(StatusCode::CONFLICT, &error).hint(
                "end this engine and start another one, which reads the run again: `bascule resume`; if that cannot read it \
                 either, `bascule repair` shows what its log holds",
            ),
            EngineError::MayExist(_) => Self::of(StatusCode::INTERNAL_SERVER_ERROR, &error),
            EngineError::MissingInputs(_) => Self::of(StatusCode::UNPROCESSABLE_ENTITY, &error),
            EngineError::Store(StoreError::Corrupt(_))
            | EngineError::Read(ReadError::Store(StoreError::Corrupt(_))) => {
                Self::of(StatusCode::CONFLICT, &error).hint("`bascule repair` explains what can be believed")
            }
            EngineError::Store(_)
            | EngineError::Read(_)
            | EngineError::Commit(_)
            | EngineError::NotEnded(_)
            | EngineError::Bug(_)
            | EngineError::Plan(..)
            | EngineError::NoPlan(_)
            | EngineError::File { .. } => Self::of(StatusCode::INTERNAL_SERVER_ERROR, &error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(EngineError::Store(error))
    }
}
