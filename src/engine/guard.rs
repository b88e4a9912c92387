//! Runs the call of an executor so that a panic, a hang, or a process that stays behind ends there.
//!
//! It must never say of an attempt that it ended where that is not proved.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::convert;
use super::processes::{self, Hunt};
use crate::machine::fact::Failure;
use crate::machine::input::Outcome;

/// What is known of a call beside what it answers.
pub(super) struct Watch<'a> {
    pub(super) cancel: &'a CancellationToken,
    pub(super) attempt_id: &'a str,
    /// The attempt's folder, which notes its process group.
    pub(super) scratch: &'a Path,
    /// Where it notes that on a full disk.
    pub(super) notes: Option<&'a Path>,
    /// How long it may take to end after it was told to stop.
    pub(super) grace: Duration,
    /// Whether it told of work elsewhere, which does not end with it.
    pub(super) is_remote: &'a AtomicBool,
}

/// Runs a call in a task of its own.
pub(super) async fn guarded<F>(call: F, watch: Watch<'_>) -> Outcome
where
    F: Future<Output = bascule_plugin::Outcome> + Send + 'static,
{
    let mut task = tokio::spawn(call);
    let ended = tokio::select! {
        ended = &mut task => ended,
        () = watch.cancel.cancelled() => match tokio::time::timeout(watch.grace, &mut task).await {
            Ok(ended) => ended,
            Err(_) => {
                task.abort();
                return given_up(&watch).await;
            }
        },
    };
    match ended {
        Ok(outcome) => convert::outcome(outcome),
        Err(error) => {
            let panic = error.try_into_panic().ok();
            let words = panic.as_ref().and_then(|panic| {
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
            });
            panicked(&watch, words.unwrap_or("without a word")).await
        }
    }
}

/// It would not stop. Its processes are ended; whatever else it began, a thread in a call that does not
/// return or work elsewhere, nobody can see from here.
async fn given_up(watch: &Watch<'_>) -> Outcome {
    let mut message = format!("it did not stop within {} s and was given up", watch.grace.as_secs());
    if let Err(survivors) = end_processes(watch).await {
        message.push_str(&format!("; {survivors}"));
    }
    Outcome::adrift(Failure::new(message))
}

/// Nothing may run on behind an executor that is gone.
async fn panicked(watch: &Watch<'_>, words: &str) -> Outcome {
    let message = format!("the executor panicked: {words}");
    match end_processes(watch).await {
        Err(survivors) => Outcome::adrift(Failure::new(format!("{message}; {survivors}"))),
        Ok(_) if watch.is_remote.load(Ordering::Acquire) => Outcome::adrift(Failure::new(message)),
        Ok(_) => Outcome::unknown(Failure::new(message)),
    }
}

async fn end_processes(watch: &Watch<'_>) -> Result<Vec<String>, processes::NotEnded> {
    let hunt = Hunt {
        prefix: watch.attempt_id.to_owned(),
        folders: vec![watch.scratch.to_owned()],
        notes: watch.notes.map(Path::to_owned),
    };
    processes::end(hunt, |_| false).await
}

#[cfg(test)]
mod tests {
    use bascule_plugin::Outcome as Said;
    use serde_json::json;

    use super::*;
    use crate::machine::fact::Work;

    async fn ends<F>(call: F, is_remote: bool) -> Outcome
    where
        F: Future<Output = Said> + Send + 'static,
    {
        let (cancel, is_remote) = (CancellationToken::new(), AtomicBool::new(is_remote));
        cancel.cancel();
        let id = format!("test-{}/guard/1/step/forward-1", std::process::id());
        let scratch = Path::new("/nonexistent");
        let grace = Duration::from_millis(50);
        let (attempt_id, notes) = (&*id, None);
        guarded(call, Watch { cancel: &cancel, attempt_id, scratch, notes, grace, is_remote: &is_remote }).await
    }

    fn work(outcome: &Outcome) -> Work {
        let Outcome::Unknown { work, .. } = outcome else { panic!("nobody knows its outcome: {outcome:?}") };
        *work
    }

    #[tokio::test]
    async fn what_would_not_stop_may_go_on() {
        assert_eq!(work(&ends(std::future::pending(), false).await), Work::MayGoOn);
    }

    #[tokio::test]
    async fn what_panicked_ended_unless_it_had_begun_work_elsewhere() {
        async fn panics() -> Said {
            panic!("out of luck")
        }
        assert_eq!(work(&ends(panics(), false).await), Work::Over);
        assert_eq!(work(&ends(panics(), true).await), Work::MayGoOn);
    }

    #[tokio::test]
    async fn what_stops_in_time_is_taken_at_its_word() {
        let outcome = ends(async { Said::done(json!({})) }, false).await;
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
    }
}
