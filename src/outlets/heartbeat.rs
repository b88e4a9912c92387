//! Tells an address elsewhere that the engine lives, so that a monitor notices when it does not.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Mood, client, sent};
use crate::engine::Engine;
use crate::view::is_guarded;

/// The distance of two signs of life. A monitor that misses three has reason to call.
const EVERY: Duration = Duration::from_secs(20);

/// The body of a sign of life.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    /// The machine.
    host: String,
    /// The engine's process.
    pid: u32,
    /// The runs that it executes.
    runs: Vec<Life>,
    /// It ends because nothing is left to do: no further sign will come.
    ends: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Life {
    run: String,
    state: String,
    /// Nobody goes back by itself if this engine is gone.
    guarded: bool,
}

/// Beats until it is told to stop; then says that it ends in order.
pub(super) async fn beat(engine: Arc<Engine>, url: Url, stop: CancellationToken) {
    let mut mood = Mood::new("the heartbeat".to_owned());
    let mut tick = tokio::time::interval(EVERY);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        let result = post(&engine, &url, Sign::GoesOn).await;
        mood.note(&engine, &result);
    }
    if let Err(why) = post(&engine, &url, Sign::Ends).await {
        tracing::warn!(%why, "the monitor does not hear that the engine ends");
    }
}

/// What a sign of life says of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    GoesOn,
    Ends,
}

async fn post(engine: &Engine, url: &Url, sign: Sign) -> Result<(), String> {
    let mut runs = Vec::new();
    for handle in engine.live_runs() {
        // A run whose task has just ended needs no guard.
        if let Ok((state, guarded)) = handle.look(|run, _| (run.state, is_guarded(run))).await {
            runs.push(Life { run: handle.name().to_string(), state: state.word().to_owned(), guarded });
        }
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    sent(client().post(url.clone()).json(&Body { host, pid: std::process::id(), runs, ends: sign == Sign::Ends })).await
}
