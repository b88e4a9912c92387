//! What the rest of the program holds of a run: a cheap handle on its task.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::machine::fact::Actor;
use crate::machine::{Input, Now, Reply, Run, Verb};
use crate::store::RunName;

/// What looks at a run between two transitions.
pub(super) type Looker = Box<dyn FnOnce(&Run, Now) + Send>;

/// What a run's task is sent. The task is the only writer of the run.
pub(super) enum Message {
    /// News; `done` is answered once its events are durable.
    News {
        /// What happened. In a box, because inboxes have room for many.
        input: Box<Input>,
        /// Told when it is durable.
        done: Option<oneshot::Sender<Decided>>,
    },
    /// Somebody wants to look: called with the run between two transitions, never inside one.
    Look(Looker),
}

/// What a verb came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Legal or not.
    pub reply: Reply,
    /// The version that the run had once the decision was durable.
    pub version: u64,
    /// Sequence numbers of the first and the last event that it wrote.
    pub events: Option<(u64, u64)>,
}

/// The run's task is gone: it ended, or the engine is going down.
#[derive(Debug, thiserror::Error)]
#[error("run {0} is not being executed by this engine")]
pub struct Gone(pub RunName);

/// A run that this engine executes.
#[derive(Debug, Clone)]
pub struct RunHandle {
    pub(super) name: RunName,
    pub(super) inbox: mpsc::Sender<Message>,
}

impl RunHandle {
    /// Which run.
    #[must_use]
    pub fn name(&self) -> &RunName {
        &self.name
    }

    /// Hands a person's verb to the run; answered once the decision is durable.
    ///
    /// # Errors
    /// The run's task is gone.
    pub async fn decide(&self, verb: Verb, by: Actor, reason: Option<Arc<str>>) -> Result<Decided, Gone> {
        self.news(Input::Verb { verb, by, reason }).await
    }

    pub(super) async fn news(&self, input: Input) -> Result<Decided, Gone> {
        let (done, answer) = oneshot::channel();
        let message = Message::News { input: Box::new(input), done: Some(done) };
        self.inbox.send(message).await.map_err(|_| Gone(self.name.clone()))?;
        answer.await.map_err(|_| Gone(self.name.clone()))
    }

    /// Looks at the run as it is between two transitions.
    ///
    /// # Errors
    /// The run's task is gone.
    pub async fn look<T: Send + 'static>(&self, look: impl FnOnce(&Run, Now) -> T + Send + 'static) -> Result<T, Gone> {
        let (done, answer) = oneshot::channel();
        let look = Box::new(move |run: &Run, now: Now| {
            // Nobody waits any more: then nobody misses the answer.
            drop(done.send(look(run, now)));
        });
        self.inbox.send(Message::Look(look)).await.map_err(|_| Gone(self.name.clone()))?;
        answer.await.map_err(|_| Gone(self.name.clone()))
    }
}
