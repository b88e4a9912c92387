//! The engine's signs of life, its look at the wall clock, and who it is.

use std::sync::Arc;
use std::time::Duration;

use super::adopt::EngineError;
use super::context::Context;
use crate::machine::Input;
use crate::machine::fact::Millis;

/// Distance of the engine's signs of life, and of its looks at the wall clock.
const PULSE: Duration = Duration::from_secs(1);

/// A wall clock that is off by more is in doubt.
const JUMP_MS: i64 = 5_000;

/// Signs of life, and a look at the wall clock, each second.
pub(super) async fn pulse(cx: Arc<Context>) {
    let mut tick = tokio::time::interval(PULSE);
    let mut offset = 0;
    let path = cx.state.join("alive");
    loop {
        tokio::select! {
            () = cx.shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = cx.clock.now();
        // Lost with a crash of the machine, at worst a second is missing: no flush is needed.
        drop(tokio::fs::write(&path, now.wall.to_string()).await);
        let off = now.wall.saturating_sub(now.steady);
        if (off - offset).abs() > JUMP_MS {
            cx.say(format!(
                "the wall clock jumped by {} s; `confirm-clock` says that it is right now",
                (off - offset) / 1000
            ));
            cx.tell_all(&Input::ClockJumped { by_ms: off - offset }).await;
            offset = off;
        }
    }
}

/// When an engine was last alive here.
pub(super) fn read_pulse(state: &std::path::Path) -> Option<Millis> {
    std::fs::read_to_string(state.join("alive")).ok()?.trim().parse().ok()
}

/// The id of a state directory: what the children of its attempts carry.
pub(super) fn state_id(state: &std::path::Path) -> Result<String, EngineError> {
    let path = state.join("id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) | Err(_) => {
            let id = uuid::Uuid::now_v7().simple().to_string();
            std::fs::write(&path, format!("{id}\n")).map_err(|source| EngineError::File {
                path,
                what: "written",
                source,
            })?;
            Ok(id)
        }
    }
}

/// The machine's name.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
