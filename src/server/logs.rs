//! The log of an attempt: by offset, or as it grows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use super::Site;
use super::problem::Problem;
use super::runs;
use crate::engine::attempt_log;
use crate::machine::fact::Direction;
use crate::store::RunName;

/// Bytes in one answer at most.
const CHUNK: u64 = 1 << 20;
/// How often a growing file is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What the route takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    /// Which attempt; absent: the newest.
    attempt: Option<u32>,
    /// Of the undo.
    #[serde(default)]
    undo: bool,
    /// From this byte on.
    #[serde(default)]
    offset: u64,
    /// Until the attempt ends.
    #[serde(default)]
    follow: bool,
}

/// At most a mebibyte from the offset, with `x-next-offset`; with `follow` all that comes until the attempt ends.
pub(super) async fn log(
    State(site): State<Arc<Site>>,
    Path((application, number, step)): Path<(String, String, String)>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad(error.body_text()))?;
    let name = runs::name(&application, &number)?;
    let (run, _) = runs::run_now(&site, &name).await?;
    let ix = run
        .plan
        .step_named(&step, |_| false)
        .map_err(|unknown| Problem::not_found(format!("{name}: {unknown}")).hint(unknown.hint()))?;
    let id = run.plan.step(ix).id.clone();
    let direction = if query.undo { Direction::Undo } else { Direction::Forward };
    let newest = if query.undo { run.step(ix).undo_attempts } else { run.step(ix).attempts };
    let attempt = query.attempt.unwrap_or(newest);
    if attempt == 0 || attempt > newest {
        let what = if query.undo { "undo attempt" } else { "attempt" };
        return Err(Problem::not_found(format!("`{step}` has no {what} {}", attempt.max(1)))
            .hint(format!("it has made {newest} so far")));
    }
    let tail = Tail {
        path: attempt_log::path(site.engine.state_dir(), &name, &id, &attempt_log::label(direction, attempt)),
        offset: query.offset,
        site,
        name,
        step: (ix, direction, attempt),
        is_over: false,
    };
    if query.follow {
        let body = Body::from_stream(stream::unfold(tail, |mut tail| async move {
            let chunk = tail.more().await?;
            Some((Ok::<_, std::io::Error>(chunk), tail))
        }));
        return Ok(([(header::CONTENT_TYPE, "application/octet-stream")], body).into_response());
    }
    let bytes = tail.read().await?;
    let next = (tail.offset + bytes.len() as u64).to_string();
    Ok(([(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (NEXT_OFFSET, next)], bytes).into_response())
}

/// Names the byte after the last one that was sent.
const NEXT_OFFSET: header::HeaderName = header::HeaderName::from_static("x-next-offset");

/// A file that may grow.
struct Tail {
    site: Arc<Site>,
    name: RunName,
    step: (usize, Direction, u32),
    path: PathBuf,
    offset: u64,
    is_over: bool,
}

impl Tail {
    /// What stands at the offset now. A file that is not there has nothing yet.
    async fn read(&self) -> Result<Bytes, Problem> {
        let failed = |error: std::io::Error| Problem::internal(format!("{}: {error}", self.path.display()));
        let mut file = match tokio::fs::File::open(&self.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Bytes::new()),
            Err(error) => return Err(failed(error)),
        };
        file.seek(SeekFrom::Start(self.offset)).await.map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes).await.map_err(failed)?;
        Ok(bytes.into())
    }

    /// The next bytes; waits for them. `None` once the attempt has ended and all was read.
    async fn more(&mut self) -> Option<Bytes> {
        loop {
            // Asked before reading: what is written until the attempt ends is read after it.
            let running = self.is_running().await;
            let bytes = self.read().await.ok()?;
            if !bytes.is_empty() {
                self.offset += bytes.len() as u64;
                return Some(bytes);
            }
            if !running || self.is_over {
                return None;
            }
            let closing = self.site.closing.clone();
            tokio::select! {
                () = closing.cancelled() => self.is_over = true,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn is_running(&self) -> bool {
        let (ix, direction, number) = self.step;
        let Some(handle) = self.site.engine.live(&self.name) else { return false };
        let live = handle.look(move |run, _| {
            let attempt = match direction {
                Direction::Forward => run.forward(ix).attempt(),
                Direction::Undo => run.undo(ix).and_then(|undo| undo.attempt()),
            };
            attempt.is_some_and(|attempt| attempt.number == number)
        });
        live.await.unwrap_or(false)
    }
}
