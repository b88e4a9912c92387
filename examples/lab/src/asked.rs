//! What a request says: bodies and queries, with refusals in the lab's own shape.
//!
//! Start with [`Asked`] for bodies and [`Params`] for queries.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// A JSON body; none at all counts as `{}`.
pub(crate) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            Refusal::bad("bad_body", format!("the body cannot be read: {error}"), "send at most 2 MiB")
        })?;
        let body: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(body).map(Self).map_err(|error| {
            Refusal::bad("bad_body", format!("the body is not what this route takes: {error}"), "see the lab's README")
        })
    }
}

/// A query string.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| Refusal::bad("bad_query", error.to_string(), "see the lab's README"))
    }
}
