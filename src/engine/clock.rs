//! The only reader of time.
//!
//! [`Now::steady`] is wall time when the clock was made plus what has elapsed on CLOCK_BOOTTIME
//! since: it counts suspended time and never jumps. [`Now::wall`] is what people agreed on.

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

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    anchor_wall: Millis,
    anchor_boot: Millis,
}

impl SystemClock {
    /// Anchored to the wall clock of this moment.
    #[must_use]
    pub fn new() -> Self {
        Self { anchor_wall: read(ClockId::Realtime), anchor_boot: read(ClockId::Boottime) }
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
        Now { wall: read(ClockId::Realtime), steady: self.anchor_wall.saturating_add(elapsed) }
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
