//! The only reader of time.
//!
//! [`Now::steady`] is wall time at an [`Anchor`] plus what has elapsed on CLOCK_BOOTTIME since: it counts suspended time
//! and never jumps. [`Now::wall`] is what people agreed on. While runs are open the anchor outlives its engine, so that a
//! wall clock that was set meanwhile moves no deadline, no sample and no retry of theirs.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::machine::Now;
use crate::machine::fact::Millis;

/// Tells the time and waits for it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Both times.
    fn now(&self) -> Now;

    /// Returns when `steady` has come.
    async fn sleep_until(&self, steady: Millis);
}

/// One moment on all clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    steady: Millis,
    wall: Millis,
    /// Since the start of the machine, suspended time included.
    boot: Millis,
    /// Which start of the machine.
    boot_id: String,
}

impl Anchor {
    /// This moment, as a clock tells it.
    #[must_use]
    pub fn at(now: Now, boot_id: &str) -> Self {
        Self { steady: now.steady, wall: now.wall, boot: read(ClockId::Boottime), boot_id: boot_id.to_owned() }
    }

    /// The anchor that a text holds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut time = || words.next()?.parse().ok();
        let (steady, wall, boot) = (time()?, time()?, time()?);
        Some(Self { steady, wall, boot, boot_id: words.next()?.to_owned() })
    }

    /// As [`Anchor::parse`] reads it; the steady time comes first.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {} {} {}", self.steady, self.wall, self.boot, self.boot_id)
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    anchor_steady: Millis,
    anchor_boot: Millis,
}

impl SystemClock {
    /// Anchored to the wall clock of this moment.
    #[must_use]
    pub fn new() -> Self {
        Self { anchor_steady: read(ClockId::Realtime), anchor_boot: read(ClockId::Boottime) }
    }

    /// Goes on from an anchor. Since another start of the machine only the wall clock can tell what elapsed, and time
    /// never goes back.
    #[must_use]
    pub fn going_on(from: &Anchor, boot_id: &str) -> Self {
        Self::since(from, boot_id, read(ClockId::Boottime), read(ClockId::Realtime))
    }

    fn since(from: &Anchor, boot_id: &str, boot: Millis, wall: Millis) -> Self {
        if from.boot_id == boot_id && from.boot <= boot {
            return Self { anchor_steady: from.steady, anchor_boot: from.boot };
        }
        let elapsed = wall.saturating_sub(from.wall).max(0);
        Self { anchor_steady: from.steady.saturating_add(elapsed), anchor_boot: boot }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

fn read(clock: ClockId) -> Millis {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

/// The longest single sleep: the runtime's timer does not count suspended time, CLOCK_BOOTTIME does.
const LONGEST_SLEEP_MS: Millis = 1_000;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Now {
        let elapsed = read(ClockId::Boottime).saturating_sub(self.anchor_boot);
        Now { wall: read(ClockId::Realtime), steady: self.anchor_steady.saturating_add(elapsed) }
    }

    async fn sleep_until(&self, steady: Millis) {
        loop {
            let left = steady.saturating_sub(self.now().steady);
            if left <= 0 {
                return;
            }
            let nap = u64::try_from(left.min(LONGEST_SLEEP_MS)).unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(nap)).await;
        }
    }
}

/// A clock that a test turns by hand.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Now>,
    moved: watch::Sender<Millis>,
}

impl ManualClock {
    /// Standing at a time.
    #[must_use]
    pub fn at(ms: Millis) -> Self {
        Self { now: Mutex::new(Now { wall: ms, steady: ms }), moved: watch::Sender::new(ms) }
    }

    /// Lets time pass.
    pub fn advance(&self, ms: Millis) {
        let steady = {
            let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            now.steady += ms;
            now.wall += ms;
            now.steady
        };
        self.moved.send_replace(steady);
    }

    /// Sets the wall clock off, as a wrong time server does.
    pub fn jump_wall(&self, ms: Millis) {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).wall += ms;
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Now {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn sleep_until(&self, steady: Millis) {
        let mut moved = self.moved.subscribe();
        // An error means that the clock is gone with its test: wait for ever, nobody listens.
        if moved.wait_for(|now| *now >= steady).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_goes_on_over_a_wall_clock_that_was_set() {
        let anchor = Anchor { steady: 1_000_000, wall: 4_600_000, boot: 500, boot_id: "a".to_owned() };
        assert_eq!(Anchor::parse(&anchor.text()), Some(anchor.clone()));
        assert_eq!(Anchor::parse("1700000000000"), None, "as an earlier release wrote it");
        let steady = |clock: &SystemClock, boot: Millis| clock.anchor_steady + boot - clock.anchor_boot;
        let same = SystemClock::since(&anchor, "a", 2_500, 1_002_000);
        assert_eq!(steady(&same, 2_500), 1_002_000, "two seconds elapsed, whatever the wall clock says");
        let other = SystemClock::since(&anchor, "b", 90, 4_660_000);
        assert_eq!(steady(&other, 90), 1_060_000, "the wall clock tells how long the machine was down");
        let back = SystemClock::since(&anchor, "b", 90, 1_000);
        assert_eq!(steady(&back, 90), 1_000_000, "and time never goes back");
    }
}
