//! The loop of one run: wait, decide, make durable, act.
//!
//! It alone owns the run's state. Waiting inputs are drained into one transition; at most one
//! append is outstanding; permits are carried out only after their events are durable. What
//! happens while the store fails is in [`super::trouble`]: nothing is dispatched and nothing is lost. What the store can
//! never take is in [`super::oversize`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Context;
use super::handle::{Decided, Message};
use super::perform::Hands;
use super::trouble::{After, Trouble};
use crate::machine::fact::Millis;
use crate::machine::{Command, Draft, Event, Illegal, Input, Now, Record, Reply, Room, Run, decide, note_down};
use crate::plan::Plan;
use crate::store::{CommitError, Journal, Permit, StoreError};

/// How many waiting inputs one transition takes in.
const BATCH: usize = 512;

/// What a run's inbox holds before senders wait.
pub(super) const INBOX: usize = 1024;

/// The pause before a time that nobody moved is looked at again: a guard, not a rhythm.
const SAME_TIME_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of what is kept for a full disk that nothing but the way back may use: some hundred transitions.
const KEPT_FOR_THE_WAY_BACK: u64 = 96 << 10;

pub(super) struct Driver {
    pub(super) cx: Arc<Context>,
    pub(super) run: Run,
    pub(super) journal: Journal,
    pub(super) hands: Hands,
    pub(super) inbox: mpsc::Receiver<Message>,
    /// The store fails; until when it did.
    pub(super) trouble: Option<Trouble>,
    /// News that came while nothing could be decided.
    pub(super) waiting: VecDeque<Waiting>,
    /// A time that the tick at it did not move.
    stuck_at: Option<Millis>,
    /// The engine goes down: what is there is written down, nothing follows from it.
    leaving: bool,
}

/// An input, and who waits for its answer.
pub(super) type Waiting = (Input, Option<oneshot::Sender<Decided>>);

/// What a verb came to, and the sequence numbers before and after it.
type Replies = Vec<(Reply, u64, u64)>;

/// Whether the loop goes on.
enum Next {
    GoOn,
    Leave,
}

/// What was decided for a batch, not yet durable.
struct Made {
    records: Vec<Record>,
    commands: Vec<Command>,
    replies: Replies,
    /// Plans that people made of the one before.
    plans: Vec<Arc<Plan>>,
}

impl Driver {
    pub(super) fn new(run: Run, journal: Journal, hands: Hands, inbox: mpsc::Receiver<Message>) -> Self {
        let cx = hands.cx.clone();
        let waiting = VecDeque::new();
        Self { cx, run, journal, hands, inbox, trouble: None, waiting, stuck_at: None, leaving: false }
    }

    /// Runs until the run is final and idle, or the engine leaves it.
    pub(super) async fn drive(&mut self, first: Vec<Input>) {
        let mut batch: Vec<Waiting> = first.into_iter().map(|input| (input, None)).collect();
        self.leaving = self.cx.shutdown.is_cancelled();
        while !self.leaving {
            if !batch.is_empty() && matches!(self.transit(std::mem::take(&mut batch)).await, Next::Leave) {
                return;
            }
            let idle = self.inbox.is_empty() && self.waiting.is_empty();
            if self.run.state.is_final() && self.run.live.is_empty() && !self.run.awaits_an_end() && idle {
                return;
            }
            batch = self.wait().await;
        }
        while !batch.is_empty() {
            match self.transit(batch).await {
                // What was too much for one transition.
                Next::GoOn => batch = self.waiting.drain(..).collect(),
                // What is durable of it is known to the next engine.
                Next::Leave => return,
            }
        }
    }

    /// Waits for news, for the next time, or for the engine's end.
    async fn wait(&mut self) -> Vec<Waiting> {
        let mut batch: Vec<Waiting> = Vec::new();
        let wakes = self.run.wakes_at();
        let is_due = wakes.is_some_and(|at| at <= self.cx.clock.now().steady);
        let mut paused = false;
        // A time that has come is never put off by news; only one that does not move may wait a little.
        if self.waiting.is_empty() && (!is_due || wakes == self.stuck_at) {
            let clock = self.cx.clock.clone();
            let time = async move {
                match wakes {
                    None => std::future::pending().await,
                    Some(_) if is_due => tokio::time::sleep(SAME_TIME_PAUSE).await,
                    Some(at) => clock.sleep_until(at).await,
                }
            };
            tokio::select! {
                biased;
                message = self.inbox.recv() => {
                    if let Some(message) = message {
                        self.take(message, &mut batch);
                    }
                }
                () = self.cx.shutdown.cancelled() => {}
                () = time => paused = true,
            }
        }
        self.leaving = self.cx.shutdown.is_cancelled();
        let most = if self.leaving { usize::MAX } else { BATCH };
        while batch.len() < most
            && let Some(news) = self.waiting.pop_front()
        {
            batch.push(news);
        }
        while batch.len() < most
            && let Ok(message) = self.inbox.try_recv()
        {
            self.take(message, &mut batch);
        }
        let wakes = self.run.wakes_at().filter(|at| *at <= self.cx.clock.now().steady);
        if !self.leaving && wakes.is_some() && (paused || wakes != self.stuck_at) {
            batch.push((Input::Tick, None));
        }
        batch
    }

    fn take(&mut self, message: Message, batch: &mut Vec<Waiting>) {
        match message {
            Message::News { input, done } => batch.push((*input, done)),
            Message::Look(look) => look(&self.run, self.cx.clock.now()),
        }
    }

    /// Decides a batch, makes it durable, acts.
    async fn transit(&mut self, mut batch: Vec<Waiting>) -> Next {
        loop {
            let now = self.cx.clock.now();
            let Made { records, commands, replies, plans } = match self.decide_all(&batch, now) {
                Ok(made) => made,
                Err(illegal) => return self.broken(&illegal),
            };
            if records.is_empty() {
                self.forget_trouble();
                return self.answer(batch, replies);
            }
            // What an event names is durable before it.
            if let Err(error) = self.keep(&plans).await {
                match self.stand_by(&error, None, &mut batch).await {
                    After::Again | After::Written(_) => continue,
                    After::Leave(why) => {
                        self.give_up(why);
                        return Next::Leave;
                    }
                    After::GoingDown => return Next::Leave,
                }
            }
            let failed = match self.journal.commit(now.wall, self.run.state.is_final(), &records, commands).await {
                Ok(permits) => {
                    self.over_it();
                    self.done(permits, &records);
                    return self.answer(batch, replies);
                }
                Err(failed) => failed,
            };
            let after = match failed {
                CommitError::Store(error @ StoreError::TooLarge { .. }) => self.decide_less(&error, &mut batch).await,
                CommitError::Store(error) => self.stand_by(&error, None, &mut batch).await,
                CommitError::InDoubt { error, doubt } => self.stand_by(&error, Some(*doubt), &mut batch).await,
                error @ (CommitError::LostOwnership { .. } | CommitError::Unwritable(_)) => {
                    After::Leave(error.to_string())
                }
            };
            match after {
                After::Again => {}
                After::Written(permits) => {
                    if let Some(gap) = self.over_it() {
                        self.waiting.push_front((gap, None));
                    }
                    self.done(permits, &records);
                    return self.answer(batch, replies);
                }
                After::Leave(why) => {
                    self.give_up(why);
                    return Next::Leave;
                }
                After::GoingDown => return Next::Leave,
            }
        }
    }

    /// Stores plans.
    async fn keep(&self, plans: &[Arc<Plan>]) -> Result<(), StoreError> {
        for plan in plans {
            self.cx.blobs.put(plan.canonical()).await?;
        }
        Ok(())
    }

    /// What the log has room for.
    fn room(&self) -> Room {
        match self.cx.log.room_left() {
            None => Room::Enough,
            Some(left) if left > KEPT_FOR_THE_WAY_BACK => Room::Scarce,
            Some(_) => Room::OnlyBack,
        }
    }

    /// Folds what follows from a batch into the run. An engine that goes down starts nothing: what was said and what
    /// ended is written down, and the next engine decides what follows.
    fn decide_all(&mut self, batch: &[Waiting], now: Now) -> Result<Made, Illegal> {
        let settle = if self.leaving { note_down } else { decide };
        let gap = self.trouble.as_ref().map(|trouble| trouble.gap(now));
        let room = self.room();
        let mut draft = Draft::new(&mut self.run, now, fastrand::u64(1..)).with_room(room);
        if let Some(gap) = gap {
            settle(&mut draft, gap)?;
        }
        let mut replies = Vec::with_capacity(batch.len());
        let (mut ticked, mut plans) = (false, Vec::new());
        for (input, _) in batch {
            let before = draft.run().sequence;
            let plan = draft.run().plan.clone();
            ticked |= *input == Input::Tick;
            let reply = settle(&mut draft, input.clone())?;
            if !Arc::ptr_eq(&plan, &draft.run().plan) {
                plans.push(draft.run().plan.clone());
            }
            replies.push((reply, before, draft.run().sequence));
        }
        let (records, commands) = draft.finish();
        self.stuck_at = self.run.wakes_at().filter(|at| ticked && *at <= now.steady);
        Ok(Made { records, commands, replies, plans })
    }

    /// The events are durable: what they permit is carried out, and whoever shows them may show them.
    pub(super) fn done(&self, permits: Vec<Permit>, records: &[Record]) {
        for permit in permits {
            self.hands.perform(permit);
        }
        self.cx.story(self.journal.head(), records);
        if let Some(told) = records.iter().find(|record| matches!(record.event, Event::RollbackDecided { .. })) {
            // Runs that need this application hear of it; each knows whether it does. An engine that dies before it told
            // them compares when it starts.
            let app = self.run.plan.application.clone();
            self.cx.tell_all(&Input::RequirementRolledBack { app, decided: told.at });
        }
    }

    fn answer(&self, batch: Vec<Waiting>, replies: Replies) -> Next {
        for ((_, done), (reply, before, after)) in batch.into_iter().zip(replies) {
            if let Some(done) = done {
                let events = (after > before).then_some((before + 1, after));
                // Nobody waits for the answer any more: the decision stands all the same.
                drop(done.send(Decided { reply, version: self.journal.head().version, events }));
            }
        }
        Next::GoOn
    }

    /// A bug of ours: the run stops, nothing is guessed; its log tells the truth.
    fn broken(&self, illegal: &Illegal) -> Next {
        self.give_up(format!("a bug in bascule: {illegal}; its log is intact, please report this"));
        Next::Leave
    }

    /// The engine stops acting for the run, and says so to whoever asks.
    fn give_up(&self, why: String) {
        let run = &self.hands.run;
        tracing::error!(run = %run.as_str(), %why, "this engine stops acting for the run");
        let words = format!("run {run}: this engine stops acting for it: {why}");
        self.cx.complaints.raise(&format!("run {run}"), &words);
        self.cx.say(words);
        self.cx.given_up().insert(run.clone(), why);
    }
}
