//! The engine's signs of life, and its look at the wall clock.
//!
//! `alive` in the state directory holds when each run that is not over had an engine last: how long a run was without
//! one is its own affair, not the directory's. It is replaced as a whole, so that a kill leaves the old one or the new.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::clock::{Anchor, SystemClock};
use super::context::Context;
use super::perform::tell;
use crate::machine::fact::Millis;
use crate::machine::{Input, Now};
use crate::store::{Owner, RunName, StateDir};

/// Distance of the engine's signs of life, and of its looks at the wall clock.
const PULSE: Duration = Duration::from_secs(1);

/// A wall clock that is off by more is in doubt: the machine's own rule.
pub(super) const JUMP_MS: Millis = crate::machine::CLOCK_JUMP_MS;

/// When engines were last alive in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Any engine, by elapsed time.
    at: Option<Millis>,
    /// The same moment on all clocks.
    pub(super) anchor: Option<Anchor>,
    /// One that executed the run; runs that are over are not listed.
    pub(super) runs: BTreeMap<RunName, Millis>,
}

impl Seen {
    /// Reads what the last engine left.
    pub(super) fn read(state: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(state.join("alive")).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let at = first.split_whitespace().next().and_then(|at| at.parse().ok());
        let anchor = Anchor::parse(first);
        let run = |line: &str| {
            let (name, at) = line.split_once(' ')?;
            Some((RunName::parse(name).ok()?, at.trim().parse().ok()?))
        };
        Self { at, anchor, runs: lines.filter_map(run).collect() }
    }

    fn text(at: &Anchor, runs: &BTreeMap<RunName, Millis>) -> String {
        runs.iter().fold(format!("{}\n", at.text()), |text, (run, at)| text + &format!("{run} {at}\n"))
    }

    /// Whether a run that is over may have ended without its engine, by a word that was written down beside it or after
    /// it: then its attempts may still run.
    pub(super) fn may_have_left(&self, run: &RunName, newest: Millis) -> bool {
        self.runs.contains_key(run) || self.at.is_some_and(|at| newest >= at)
    }

    /// When a run was executed last. One that is not listed was created after the last sign of life, because each lists
    /// all that are open; without any the run's newest event is all that is known. A decision that was written down
    /// without an engine is no sign of one.
    pub(super) fn last(&self, run: &RunName, created: Millis, newest: Millis) -> Millis {
        match (self.runs.get(run), self.at) {
            (Some(at), _) => *at,
            (None, Some(at)) => at.max(created),
            (None, None) => newest,
        }
    }
}

/// Whether an engine has yet to look for what a run that is over left running: for those who look without one.
#[must_use]
pub fn may_have_left(state: &Path, run: &RunName, newest: Millis) -> bool {
    Seen::read(state).may_have_left(run, newest)
}

/// The clock of the open runs of a state directory, for those who look at them or decide without an engine.
#[must_use]
pub fn clock_of(state: &Path) -> SystemClock {
    clock_after(Seen::read(state).anchor.as_ref())
}

/// What the wall clock is ahead of runs that go on; they find out by themselves, when they are taken over.
pub(super) fn ahead(now: Now) -> Millis {
    Some(now.wall.saturating_sub(now.steady)).filter(|ahead| ahead.abs() > JUMP_MS).unwrap_or(0)
}

/// Elapsed time goes on from where the last engine left it.
pub(super) fn clock_after(anchor: Option<&Anchor>) -> SystemClock {
    anchor.map_or_else(SystemClock::new, |anchor| SystemClock::going_on(anchor, &Owner::current().boot_id))
}

/// Signs of life, and a look at the wall clock, each second.
pub(super) async fn pulse(cx: Arc<Context>) {
    let mut tick = tokio::time::interval(PULSE);
    let (path, fresh) = (cx.state.join("alive"), cx.state.join("alive.new"));
    let boot_id = Owner::current().boot_id;
    let mut room = Room::default();
    loop {
        tokio::select! {
            () = cx.shutdown.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Some(why) = lost(&cx) {
            leave(&cx, &why);
            return;
        }
        let now = cx.clock.now();
        let text = {
            let runs = cx.runs();
            let mut seen = cx.seen();
            seen.extend(runs.keys().map(|run| (run.clone(), now.steady)));
            Seen::text(&Anchor::at(now, &boot_id), &seen)
        };
        let was_tight = cx.log.room_left().is_some();
        if was_tight {
            // What is held back for lack of room appends nothing, so that nothing else would find out.
            cx.log.make_room().await;
        }
        let left = cx.log.room_left();
        if was_tight && left.is_none() {
            // Nobody may have heard that there was none; runs were held back all the same.
            cx.tell_all(&Input::Tick);
        }
        if let Some(words) = room.news(left, now.steady) {
            tracing::error!("{words}");
            match left {
                Some(_) => {
                    cx.complaints.raise(DISK, &words);
                }
                None => {
                    cx.complaints.settle(DISK);
                    cx.tell_all(&Input::Tick);
                }
            }
            cx.say(words);
        }
        // Lost with a crash of the machine, at worst a second is missing: no flush is needed.
        if tokio::fs::write(&fresh, text).await.is_ok() {
            drop(tokio::fs::rename(&fresh, &path).await);
        }
        look_at_the_clock(&cx, now);
    }
}

/// Why the directory may be somebody else's now.
fn lost(cx: &Context) -> Option<String> {
    let owned = cx.owned.lock().unwrap_or_else(PoisonError::into_inner);
    owned.as_ref().and_then(StateDir::lost)
}

/// Stops acting at once: nothing is written, nothing is started, what runs is told to stop.
fn leave(cx: &Context, why: &str) {
    let words = format!(
        "THIS ENGINE LOST ITS STATE DIRECTORY: {why} while it was in use. It stops acting at once, what its steps \
         were doing is unknown; look at the directory, then `bascule resume` executes what is open there"
    );
    tracing::error!("{words}");
    cx.log.abandon();
    for run in cx.runs().keys() {
        cx.given_up().insert(run.clone(), format!("its engine lost the state directory: {why}"));
    }
    cx.say(words);
    // Known first: runs that end because of it must not look as if nothing were left to do.
    cx.lost.cancel();
    cx.shutdown.cancel();
    cx.over.cancel();
}

/// Tells all runs if the wall clock jumped. Answers how far it is ahead, as they know it now.
pub(super) fn look_at_the_clock(cx: &Arc<Context>, now: Now) -> Millis {
    let off = now.wall.saturating_sub(now.steady);
    let (by_ms, inboxes) = {
        // While the list is held no run is added that would hear of the jump twice or not at all.
        let runs = cx.runs();
        let told = cx.clock_told.load(Ordering::SeqCst);
        if (off - told).abs() <= JUMP_MS {
            return told;
        }
        cx.clock_told.store(off, Ordering::SeqCst);
        (off - told, runs.values().map(|handle| handle.inbox.clone()).collect::<Vec<_>>())
    };
    cx.say(format!("the wall clock jumped by {} s; `confirm-clock` says that it is right now", by_ms / 1000));
    for inbox in inboxes {
        cx.beside(async move { tell(&inbox, Input::ClockJumped { by_ms }).await });
    }
    off
}

/// What is complained about while there is no room.
pub const DISK: &str = "the disk";

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
                    "THE DISK IS FULL: {} KiB are kept for the run log, for going back. Nothing new is started on the \
                     way forward, checks wait and criteria are sampled seldom; free space on it now, before nothing can \
                     be written any more",
                    left / 1024
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_its_own_last_sign_of_life() {
        let name = |text| RunName::parse(text).expect("a run's name");
        let runs = BTreeMap::from([(name("old/1"), 100), (name("live/2"), 5_000)]);
        let seen = Seen::parse(&Seen::text(&Anchor::parse("5000 5000 1 boot").expect("an anchor"), &runs));
        assert_eq!(seen.last(&name("old/1"), 50, 90), 100, "its engine left it long before the others");
        assert_eq!(
            seen.last(&name("live/2"), 50, 9_000),
            5_000,
            "what was written without an engine is no sign of one"
        );
        assert_eq!(seen.last(&name("new/1"), 5_400, 9_000), 5_400, "created after the last sign");
        assert_eq!(Seen::parse("").last(&name("new/1"), 5_400, 9_000), 9_000, "nothing else is known");
        assert_eq!(Seen::parse("7000\n").last(&name("any/1"), 1, 2), 7_000, "as an earlier release wrote it");
    }
}
