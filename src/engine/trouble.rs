//! A run while its log does not write: nothing is dispatched, nothing is lost, and people can still look.
//!
//! A transition that was refused is thrown away together with the run, which is read again from the log, and the same
//! inputs are decided again. One in doubt is kept until the log can tell whether it holds it: if it does, what it permits
//! is carried out as if the first answer had been *done*. Start at [`Driver::stand_by`].

use std::time::Duration;

use super::driver::{Driver, Waiting};
use super::handle::{Decided, Looker, Message};
use crate::machine::fact::Millis;
use crate::machine::{Input, Now, Reply, Run};
use crate::store::{CommitError, InDoubt, Permit, ReadError, Resolved, StoreError, read_known, read_run};

/// The pause before the log is first tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a person's word waits for the log before it is given back, in milliseconds: less than a client waits.
const WORDS_WAIT_MS: Millis = 10_000;

/// The store fails. Ends with the first commit, not before: a log that only opens again may refuse the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble {
    since: Now,
    pause: Duration,
}

impl Trouble {
    /// The news that it is over.
    pub(super) fn gap(&self, now: Now) -> Input {
        let gap_ms = u64::try_from(now.steady.saturating_sub(self.since.steady)).unwrap_or(0);
        Input::StoreBack { gap_ms }
    }
}

/// How the run goes on after the store failed.
pub(super) enum After {
    /// Nothing was written: the run is as the log has it, and the same inputs are decided again.
    Again,
    /// All was written after all.
    Written(Vec<Permit>),
    /// This engine can do no more for the run.
    Leave(String),
    /// The engine goes down.
    GoingDown,
}

/// What one more try came to.
enum Tried {
    NotYet,
    Over(After),
}

impl Driver {
    /// Waits until the log tells what is the case. Meanwhile the run is shown as the log is known to hold it.
    pub(super) async fn stand_by(
        &mut self,
        error: &StoreError,
        mut doubt: Option<InDoubt>,
        batch: &mut Vec<Waiting>,
    ) -> After {
        self.in_trouble(error);
        let mut ahead = self.show_known().await;
        let mut lookers: Vec<Looker> = Vec::new();
        loop {
            if self.cx.shutdown.is_cancelled() {
                return After::GoingDown;
            }
            let pause = self.pause();
            self.serve(pause, ahead.is_some(), &mut lookers).await;
            if self.has_lasted(WORDS_WAIT_MS) {
                self.waiting.retain_mut(|waiting| !give_back(waiting, error, self.journal.head().version));
                if doubt.is_none() {
                    batch.retain_mut(|waiting| !give_back(waiting, error, self.journal.head().version));
                }
            }
            if ahead.is_none() {
                ahead = self.show_known().await;
            }
            if ahead.is_some() {
                let now = self.cx.clock.now();
                lookers.drain(..).for_each(|look| look(&self.run, now));
            }
            match self.try_again(doubt.as_mut()).await {
                Tried::NotYet => {}
                Tried::Over(After::Written(permits)) => {
                    if let Some(ahead) = ahead.take() {
                        self.run = ahead;
                    }
                    let now = self.cx.clock.now();
                    lookers.drain(..).for_each(|look| look(&self.run, now));
                    return After::Written(permits);
                }
                Tried::Over(after) => {
                    let now = self.cx.clock.now();
                    lookers.drain(..).for_each(|look| look(&self.run, now));
                    return after;
                }
            }
        }
    }

    /// Says so, once per trouble.
    fn in_trouble(&mut self, error: &StoreError) {
        let run = &self.hands.run;
        if self.trouble.is_none() {
            tracing::error!(%run, %error, "the run log cannot write; nothing is dispatched");
            let words = format!("run {run}: the run log cannot write ({error}); nothing new is started until it can");
            self.cx.complaints.raise(&self.about(), &words);
            self.cx.say(words);
            self.trouble = Some(Trouble { since: self.cx.clock.now(), pause: FIRST_PAUSE });
        } else {
            tracing::warn!(%run, %error, "the run log still cannot write");
        }
    }

    /// What the complaint of this run is about.
    fn about(&self) -> String {
        format!("the run log of {}", self.hands.run)
    }

    /// Nothing has to be written any more.
    pub(super) fn forget_trouble(&mut self) {
        if self.trouble.take().is_some() {
            self.cx.complaints.settle(&self.about());
        }
    }

    /// A commit went well. Answers the news of the gap, if there was one.
    pub(super) fn over_it(&mut self) -> Option<Input> {
        let trouble = self.trouble.take()?;
        self.cx.complaints.settle(&self.about());
        self.cx.say(format!("run {}: the run log writes again", self.hands.run));
        Some(trouble.gap(self.cx.clock.now()))
    }

    /// The next pause: longer each time, also across transitions that are refused one after the other.
    fn pause(&mut self) -> Duration {
        let Some(trouble) = &mut self.trouble else { return FIRST_PAUSE };
        let pause = trouble.pause;
        trouble.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    fn has_lasted(&self, ms: Millis) -> bool {
        let now = self.cx.clock.now().steady;
        self.trouble.is_some_and(|trouble| now.saturating_sub(trouble.since.steady) >= ms)
    }

    /// Shows the run as the log is known to hold it; answers the one that was decided. `None`: it cannot be read now.
    async fn show_known(&mut self) -> Option<Run> {
        let plan = self.run.first_plan.clone();
        match read_known(&*self.cx.log, &self.hands.run, move |_| Ok(plan)).await {
            Ok(known) => Some(std::mem::replace(&mut self.run, known)),
            Err(error) => {
                tracing::warn!(run = %self.hands.run, %error, "the run cannot be shown yet");
                None
            }
        }
    }

    /// Takes messages in for a while. Results wait in memory; whoever looks is served, unless the run cannot be read.
    async fn serve(&mut self, pause: Duration, is_known: bool, lookers: &mut Vec<Looker>) {
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return,
                () = self.cx.shutdown.cancelled() => return,
                message = self.inbox.recv() => match message {
                    Some(Message::News { input, done }) => self.waiting.push_back((*input, done)),
                    Some(Message::Look(look)) if is_known => look(&self.run, self.cx.clock.now()),
                    Some(Message::Look(look)) => lookers.push(look),
                    None => {}
                },
            }
        }
    }

    /// Reopens the log, asks what became of a transition in doubt, reads the run.
    async fn try_again(&mut self, doubt: Option<&mut InDoubt>) -> Tried {
        if let Err(error) = self.cx.log.reopen().await {
            tracing::warn!(%error, "the run log is still closed");
            return Tried::NotYet;
        }
        if let Some(doubt) = doubt {
            match self.journal.resolve(doubt).await {
                Ok(Resolved::Written(permits)) => return Tried::Over(After::Written(permits)),
                Ok(Resolved::Absent) => {}
                Err(CommitError::Store(error)) => return not_yet(&error).map_or(Tried::NotYet, Tried::Over),
                Err(error @ (CommitError::InDoubt { .. } | CommitError::LostOwnership { .. })) => {
                    return Tried::Over(After::Leave(error.to_string()));
                }
                Err(CommitError::Unwritable(error)) => return Tried::Over(After::Leave(error.to_string())),
            }
        }
        self.read_again().await.map_or(Tried::NotYet, Tried::Over)
    }

    /// Reads the run as the log has it. `None`: it cannot be read yet.
    pub(super) async fn read_again(&mut self) -> Option<After> {
        let plan = self.run.first_plan.clone();
        match read_run(&*self.cx.log, &self.hands.run, move |_| Ok(plan)).await {
            Ok((run, head)) => {
                self.run = run;
                self.journal.stand_at(head);
                Some(After::Again)
            }
            Err(ReadError::Store(error)) => not_yet(&error),
            Err(error @ (ReadError::NoRun(_) | ReadError::Record { .. } | ReadError::Illegal { .. })) => {
                Some(After::Leave(error.to_string()))
            }
        }
    }
}

/// A disk may work again; a run that is damaged stays so until a person repairs it.
fn not_yet(error: &StoreError) -> Option<After> {
    if matches!(error, StoreError::Corrupt(_)) {
        return Some(After::Leave(error.to_string()));
    }
    tracing::warn!(%error, "the run cannot be read yet");
    None
}

/// Gives a person's word back as not decided, so that they know; anything else goes on waiting.
fn give_back((input, done): &mut Waiting, error: &StoreError, version: u64) -> bool {
    if !matches!(input, Input::Verb { .. }) || done.is_none() {
        return false;
    }
    if let Some(done) = done.take() {
        let why = format!("the run log cannot write ({error}): this was not decided");
        let hint = "make room, or make the disk work again; then say it once more".to_owned();
        drop(done.send(Decided { reply: Reply::Refused { why, hint }, version, events: None }));
    }
    true
}
