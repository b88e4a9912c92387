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
    let mut room = Room::default();
    loop {
        tokio::select! {
            () = cx.shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = cx.clock.now();
        if let Some(words) = room.news(cx.log.room_left(), now.steady) {
            tracing::error!("{words}");
            cx.say(words);
        }
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

/// How often a person hears again that the disk is full.
const REMIND_MS: Millis = 60_000;

/// What a person was told about the disk's room.
#[derive(Debug, Default)]
struct Room {
    /// When and how much was told last.
    told: Option<(Millis, u64)>,
}

impl Room {
    /// What a person has to hear now: a full disk at once, again each minute, sooner if half of what was left is gone.
    fn news(&mut self, left: Option<u64>, now: Millis) -> Option<String> {
        match (left, self.told) {
            (None, None) => None,
            (None, Some(_)) => {
                self.told = None;
                Some("there is room on the disk again: the run log grows".to_owned())
            }
            (Some(left), Some((at, before))) if now.saturating_sub(at) < REMIND_MS && left > before / 2 => None,
            (Some(left), _) => {
                self.told = Some((now, left));
                Some(format!(
                    "THE DISK IS FULL: {} KiB are kept for the run log, for going back; free space on it now, before \
                     nothing can be written and nothing is started any more",
                    left / 1024
                ))
            }
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

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn a_full_disk_is_told_at_once_again_each_minute_and_when_it_is_over() {
        let mut room = Room::default();
        assert_eq!(room.news(None, 0), None);
        assert!(room.news(Some(65_536), 1_000).is_some_and(|words| words.contains("64 KiB")));
        assert_eq!(room.news(Some(60_000), 2_000), None, "it was told");
        assert!(room.news(Some(30_000), 3_000).is_some(), "half of it went");
        assert_eq!(room.news(Some(30_000), 62_999), None);
        assert!(room.news(Some(30_000), 63_000).is_some(), "a minute went by");
        assert!(room.news(None, 64_000).is_some_and(|words| words.contains("again")));
        assert_eq!(room.news(None, 65_000), None);
    }
}
