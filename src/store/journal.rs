//! From decided to durable to permitted: the only maker of [`Permit`]s.
//!
//! A command of the machine is inert. [`Journal::commit`] makes the events that led to it durable
//! and only then wraps it in a permit, which `engine::perform` consumes. Reading a run back goes
//! through `apply` as well and throws the commands away, so that nothing is done twice.

use std::sync::Arc;

use super::error::StoreError;
use super::log::{Appended, RunLog, Settled, settle};
use super::record::{Head, NewTransition, Payload, RunName, Transition};
use crate::machine::{Command, Illegal, Record, Run};
use crate::plan::Plan;

/// The right to carry out one command, once. Cannot be made, copied or kept elsewhere.
#[derive(Debug)]
#[must_use = "a permit that is dropped is a wanted effect that nobody performs"]
pub struct Permit {
    command: Command,
}

impl Permit {
    /// The command, for the one who carries it out.
    #[must_use]
    pub fn redeem(self) -> Command {
        self.command
    }
}

/// Why a transition did not become durable.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it is in the log; the run must be read again before it goes on.
    #[error("the run log cannot write")]
    Store(#[source] StoreError),
    /// Another engine owns the run: stop acting for it.
    #[error("another engine took run {run} over (epoch {epoch}); this one stops acting for it")]
    LostOwnership {
        /// The run.
        run: RunName,
        /// The other's epoch.
        epoch: u64,
    },
    /// The events cannot be written as JSON: a bug of ours.
    #[error(transparent)]
    Unwritable(#[from] super::error::BadRecord),
}

/// Why a run cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not give it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log holds no such run.
    #[error("there is no run {0}; `bascule status` lists the runs")]
    NoRun(RunName),
    /// A record is not of a shape that this program knows.
    #[error("transition {version} of run {run} cannot be understood: {why}")]
    Record {
        /// The run.
        run: RunName,
        /// Which transition.
        version: u64,
        /// What serde says.
        why: String,
    },
    /// The events do not follow each other.
    #[error("transition {version} of run {run} cannot follow the ones before it")]
    Illegal {
        /// The run.
        run: RunName,
        /// Which transition.
        version: u64,
        /// Why not.
        #[source]
        source: Illegal,
    },
}

/// One run's place in the log.
pub struct Journal {
    log: Arc<dyn RunLog>,
    head: Head,
    epoch: u64,
}

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// How often a refusal that changed nothing is tried again before it counts as a failure.
const SPURIOUS_TRIES: u32 = 3;

impl Journal {
    /// The journal of a run that does not exist yet, or stands at `head`.
    #[must_use]
    pub fn at(log: Arc<dyn RunLog>, head: Head, epoch: u64) -> Self {
        Self { log, head, epoch }
    }

    /// How far the run has come.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Makes what was decided durable; then, and only then, permits its commands.
    ///
    /// The draft has folded the records into the run already. After an error the run is ahead of
    /// the log and must be read again: [`read_run`].
    ///
    /// # Errors
    /// Not written, or owned by another engine.
    pub async fn commit(
        &mut self,
        at_ms: i64,
        is_final: bool,
        records: &[Record],
        commands: Vec<Command>,
    ) -> Result<Vec<Permit>, CommitError> {
        let new = NewTransition {
            run: self.head.run.clone(),
            expected: self.head.version,
            epoch: self.epoch,
            at_ms,
            is_final,
            payload: Payload::of(records)?,
        };
        self.head = self.append(new).await?;
        Ok(commands.into_iter().map(|command| Permit { command }).collect())
    }

    /// Appends, and finds out what is the case when the answer does not say.
    async fn append(&self, new: NewTransition) -> Result<Head, CommitError> {
        let mut tries = 0;
        loop {
            let settled = match self.log.append(new.clone()).await {
                Appended::Done(head) => return Ok(head),
                Appended::NotWritten(error) => return Err(CommitError::Store(error)),
                // A refusal may be spurious, an answer may be lost: the log itself knows.
                Appended::Conflict(_) => settle(&*self.log, &new, &self.head).await.map_err(CommitError::Store)?,
                Appended::InDoubt(error) => match settle(&*self.log, &new, &self.head).await {
                    Ok(settled) => settled,
                    Err(_) => return Err(CommitError::Store(error)),
                },
            };
            match settled {
                Settled::Mine(head) => return Ok(head),
                Settled::Other(head) => {
                    return Err(CommitError::LostOwnership { run: head.run, epoch: head.epoch });
                }
                Settled::Absent(head) if tries >= SPURIOUS_TRIES => {
                    return Err(CommitError::LostOwnership { run: head.run, epoch: head.epoch });
                }
                Settled::Absent(_) => tries += 1,
            }
        }
    }
}

/// A run that is being read back: the same fold as live running, its commands thrown away.
///
/// Pages of transitions go in, in order and without a gap; [`Replay::finish`] gives the run.
pub struct Replay<'a, F> {
    name: &'a RunName,
    plan_of: Option<F>,
    run: Option<Run>,
}

impl<'a, F> Replay<'a, F>
where
    F: FnOnce(&crate::plan::PlanHash) -> Result<Arc<Plan>, StoreError>,
{
    /// Nothing read yet. `plan_of` gives the plan that the first record names.
    pub fn new(name: &'a RunName, plan_of: F) -> Self {
        Self { name, plan_of: Some(plan_of), run: None }
    }

    /// Takes the next transitions in.
    ///
    /// # Errors
    /// One that cannot be understood, or cannot follow the ones before it.
    pub fn take(&mut self, page: &[Transition]) -> Result<(), ReadError> {
        for transition in page {
            let (name, version) = (self.name, transition.version);
            let unreadable = |why: String| ReadError::Record { run: name.clone(), version, why };
            let records: Vec<Record> =
                serde_json::from_str(transition.payload.as_str()).map_err(|error| unreadable(error.to_string()))?;
            for record in records {
                let illegal = |source| ReadError::Illegal { run: name.clone(), version, source };
                match (&mut self.run, self.plan_of.take()) {
                    (Some(run), _) => {
                        run.apply(&record).map_err(illegal)?;
                    }
                    (None, Some(plan_of)) => {
                        let crate::machine::Event::Created { plan: hash, .. } = &record.event else {
                            return Err(unreadable(format!("it begins with `{}`", record.event.word())));
                        };
                        self.run = Some(Run::begin(plan_of(hash)?, &record).map_err(illegal)?);
                    }
                    (None, None) => return Err(ReadError::NoRun(name.clone())),
                }
            }
        }
        Ok(())
    }

    /// The run as it stands after what was taken in.
    ///
    /// # Errors
    /// Nothing was.
    pub fn finish(self) -> Result<Run, ReadError> {
        self.run.ok_or_else(|| ReadError::NoRun(self.name.clone()))
    }
}

/// Reads a run back.
///
/// `plan_of` gives the plan that the first record names.
///
/// # Errors
/// Not there, damaged, or not to be understood.
pub async fn read_run<F>(log: &dyn RunLog, name: &RunName, plan_of: F) -> Result<(Run, Head), ReadError>
where
    F: FnOnce(&crate::plan::PlanHash) -> Result<Arc<Plan>, StoreError>,
{
    let mut replay = Replay::new(name, plan_of);
    let mut next = 1;
    loop {
        let page = log.read(name, next, PAGE).await?;
        replay.take(&page)?;
        if page.len() < PAGE {
            break;
        }
        next += page.len() as u64;
    }
    let head = log.head(name).await?;
    Ok((replay.finish()?, head))
}
