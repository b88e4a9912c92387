//! Standard input as a lifeline: lines arrive as messages, and the end of the channel is the word to end.
//!
//! A thread reads, because a read of a pipe cannot be cancelled; it never keeps the process alive. Start with [`lines`].

use std::io::BufRead;

use tokio::sync::mpsc;

/// Lines of standard input; the channel closes with it.
pub(crate) fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        // An error of the pipe is its end as well.
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
