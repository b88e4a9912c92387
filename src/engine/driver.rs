//! The loop of one run: wait, decide, make durable, act.
//!
//! It alone owns the run's state. Waiting inputs are drained into one transition; at most one
//! append is outstanding; permits are carried out only after their events are durable. When the
//! store fails nothing is dispatched and nothing is lost: the run is read again from the log and
//! the same inputs are decided again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Context;
use super::handle::{Decided, Message};
use super::perform::Hands;
use crate::machine::{Draft, Input, Now, Record, Reply, Run, decide};
use crate::store::{CommitError, Journal, StoreError, read_run};

/// How many waiting inputs one transition takes in.
const BATCH: usize = 512;

/// What a run's inbox holds before senders wait.
pub(super) const INBOX: usize = 1024;

/// The pause before a time that nobody moved is looked at again: a guard, not a rhythm.
const SAME_TIME_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Driver {
    pub(super) cx: Arc<Context>,
    pub(super) run: Run,
    pub(super) journal: Journal,
    pub(super) hands: Hands,
    pub(super) inbox: mpsc::Receiver<Message>,
}

type Waiting = (Input, Option<oneshot::Sender<Decided>>);

/// Whether the loop goes on.
enum Next {
    GoOn,
    Leave,
}

impl Driver {
    /// Runs until the run is final and idle, or the engine leaves it.
    pub(super) async fn drive(mut self, first: Vec<Input>) {
        let mut batch: Vec<Waiting> = first.into_iter().map(|input| (input, None)).collect();
        loop {
            if !batch.is_empty() && matches!(self.transit(std::mem::take(&mut batch)).await, Next::Leave) {
                return;
            }
            if self.run.state.is_final() && self.run.live.is_empty() && self.inbox.is_empty() {
                return;
            }
            let Some(news) = self.wait().await else { return };
            batch = news;
        }
    }

    /// Waits for news or for the next time; `None`: leave the run.
    async fn wait(&mut self) -> Option<Vec<Waiting>> {
        let now = self.cx.clock.now();
        let mut batch = Vec::new();
        let message = match self.run.wakes_at() {
            None => self.inbox.recv().await,
            Some(at) => {
                let overdue = at <= now.steady;
                let clock = self.cx.clock.clone();
                let time = async move {
                    if overdue {
                        tokio::time::sleep(SAME_TIME_PAUSE).await;
                    } else {
                        clock.sleep_until(at).await;
                    }
                };
                tokio::select! {
                    biased;
                    message = self.inbox.recv() => message,
                    () = time => Some(Message::News { input: Box::new(Input::Tick), done: None }),
                }
            }
        };
        let mut message = message;
        while let Some(next) = message {
            match next {
                Message::News { input, done } => batch.push((*input, done)),
                Message::Look(look) => look(&self.run, self.cx.clock.now()),
                Message::Leave => return None,
            }
            if batch.len() >= BATCH {
                break;
            }
            message = self.inbox.try_recv().ok();
        }
        if batch.is_empty() && self.inbox.is_closed() {
            return None;
        }
        Some(batch)
    }

    /// Decides a batch, makes it durable, acts.
    async fn transit(&mut self, batch: Vec<Waiting>) -> Next {
        let mut failing_since: Option<Now> = None;
        loop {
            let now = self.cx.clock.now();
            let mut draft = Draft::new(&mut self.run, now, fastrand::u64(1..));
            let mut replies = Vec::with_capacity(batch.len());
            if let Some(since) = failing_since {
                let gap_ms = u64::try_from(now.steady.saturating_sub(since.steady)).unwrap_or(0);
                if let Err(illegal) = decide(&mut draft, Input::StoreBack { gap_ms }) {
                    return self.broken(&illegal);
                }
            }
            for (input, _) in &batch {
                let before = draft.run().sequence;
                match decide(&mut draft, input.clone()) {
                    Ok(reply) => replies.push((reply, before, draft.run().sequence)),
                    Err(illegal) => return self.broken(&illegal),
                }
            }
            let (records, commands) = draft.finish();
            if records.is_empty() {
                return self.answer(batch, replies);
            }
            match self.journal.commit(now.wall, self.run.state.is_final(), &records, commands).await {
                Ok(permits) => {
                    for permit in permits {
                        self.hands.perform(permit);
                    }
                    self.told(&records);
                    return self.answer(batch, replies);
                }
                Err(CommitError::Store(error)) => {
                    failing_since.get_or_insert(now);
                    if !self.read_again(&error).await {
                        return Next::Leave;
                    }
                }
                Err(error @ (CommitError::LostOwnership { .. } | CommitError::Unwritable(_))) => {
                    tracing::error!(run = %self.hands.run.as_str(), %error, "this engine stops acting for the run");
                    self.cx.say(format!("run {}: {error}", self.hands.run.as_str()));
                    return Next::Leave;
                }
            }
        }
    }

    fn answer(&self, batch: Vec<Waiting>, replies: Vec<(Reply, u64, u64)>) -> Next {
        for ((_, done), (reply, before, after)) in batch.into_iter().zip(replies) {
            if let Some(done) = done {
                let events = (after > before).then_some((before + 1, after));
                // Nobody waits for the answer any more: the decision stands all the same.
                drop(done.send(Decided { reply, version: self.journal.head().version, events }));
            }
        }
        Next::GoOn
    }

    /// The store refused: nothing is dispatched until it writes again; the run is read afresh.
    async fn read_again(&mut self, error: &StoreError) -> bool {
        tracing::error!(run = %self.hands.run.as_str(), %error, "the run log cannot write; nothing is dispatched");
        self.cx.say(format!(
            "run {}: the run log cannot write ({error}); nothing new is started until it can",
            self.hands.run.as_str()
        ));
        let mut pause = Duration::from_millis(100);
        loop {
            if self.cx.shutdown.is_cancelled() {
                return false;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
            if let Err(error) = self.cx.log.reopen().await {
                tracing::warn!(%error, "the run log is still closed");
                continue;
            }
            let plan = self.run.plan.clone();
            match read_run(&*self.cx.log, &self.hands.run, move |_| Ok(plan)).await {
                Ok((run, head)) => {
                    self.run = run;
                    self.journal = Journal::at(self.cx.log.clone(), head, self.run.epoch);
                    self.cx.say(format!("run {}: the run log writes again", self.hands.run.as_str()));
                    return true;
                }
                Err(error) => tracing::warn!(%error, "the run cannot be read yet"),
            }
        }
    }

    /// The events are durable: whoever shows them may show them.
    fn told(&self, records: &[Record]) {
        self.cx.story(self.journal.head(), records);
    }

    /// A bug of ours: the run stops, nothing is guessed; its log tells the truth.
    fn broken(&self, illegal: &crate::machine::Illegal) -> Next {
        tracing::error!(run = %self.hands.run.as_str(), %illegal, "the run stops: this is a bug");
        self.cx.say(format!(
            "run {}: stopped because of a bug in bascule: {illegal}; its log is intact, please report this",
            self.hands.run.as_str()
        ));
        Next::Leave
    }
}
