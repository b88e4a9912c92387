//! The signals that tell a process to leave: who hears which.
//!
//! It decides nothing about what happens then. Start with [`Signals`].

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and TERM. An owner hears HUP and ignores it: a lost terminal must not leave an open window unguarded; a view
/// leaves with it.
pub(super) struct Signals {
    hang_up_leaves: bool,
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}

impl Signals {
    /// Of an owner, from now on.
    #[must_use]
    pub(super) fn new() -> Self {
        Self::heard(false)
    }

    /// Of a view.
    #[must_use]
    pub(super) fn leaving() -> Self {
        Self::heard(true)
    }

    fn heard(hang_up_leaves: bool) -> Self {
        Self {
            hang_up_leaves,
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            hang_up: signal(SignalKind::hangup()).ok(),
        }
    }

    /// Returns when the process is told to leave.
    pub(super) async fn next(&mut self) {
        async fn heard(signal: &mut Option<Signal>) {
            match signal {
                Some(signal) => {
                    signal.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        loop {
            tokio::select! {
                () = heard(&mut self.interrupt) => return,
                () = heard(&mut self.terminate) => return,
                () = heard(&mut self.hang_up) => {
                    if self.hang_up_leaves {
                        return;
                    }
                }
            }
        }
    }
}
