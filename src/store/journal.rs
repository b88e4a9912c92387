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
    /// It may be in the log or not, and the log cannot tell yet. Once it can, [`Journal::resolve`] does.
    #[error("the run log failed while it wrote: what was decided may be in it or not")]
    InDoubt {
        /// What failed.
        #[source]
        error: StoreError,
        /// What was to be written.
        doubt: Box<InDoubt>,
    },
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

/// A transition of which nobody knows yet whether it is in the log, with what it would permit.
#[derive(Debug)]
pub struct InDoubt {
    new: NewTransition,
    commands: Vec<Command>,
}

/// What became of a transition in doubt.
#[derive(Debug)]
#[must_use = "the permits are for commands that nobody else will perform"]
pub enum Resolved {
    /// It is in the log: the run is where it was decided to be, and its commands are permitted.
    Written(Vec<Permit>),
    /// It is not: the run must be read again before it goes on.
    Absent,
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

    /// The run was read again and stands here. The epoch stays: it belongs to the owner, not to the log.
    pub fn stand_at(&mut self, head: Head) {
        self.head = head;
    }

    /// Makes what was decided durable; then, and only then, permits its commands.
    ///
    /// The draft has folded the records into the run already. After an error the run is ahead of
    /// the log and must be read again: [`read_run`]. Only after [`CommitError::InDoubt`] it may be where the log is,
    /// and must be kept until that is known.
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
        match self.append(&new).await {
            Ok(head) => {
                self.head = head;
                Ok(permits(commands))
            }
            Err(NotDone::Nothing(error)) => Err(CommitError::Store(error)),
            Err(NotDone::Unknown(error)) => {
                Err(CommitError::InDoubt { error, doubt: Box::new(InDoubt { new, commands }) })
            }
            Err(NotDone::Lost(head)) => Err(CommitError::LostOwnership { run: head.run, epoch: head.epoch }),
        }
    }

    /// Finds out what became of a transition in doubt, once the log can be read again. After an error nothing is known
    /// yet, and the same may be asked again.
    ///
    /// # Errors
    /// The log cannot tell, or another engine owns the run.
    pub async fn resolve(&mut self, doubt: &mut InDoubt) -> Result<Resolved, CommitError> {
        match settle(&*self.log, &doubt.new, &self.head).await.map_err(CommitError::Store)? {
            Settled::Mine(head) if head.version == doubt.new.expected + 1 => {
                self.head = head;
                Ok(Resolved::Written(permits(std::mem::take(&mut doubt.commands))))
            }
            Settled::Absent(_) => Ok(Resolved::Absent),
            Settled::Mine(head) | Settled::Other(head) => {
                Err(CommitError::LostOwnership { run: head.run, epoch: head.epoch })
            }
        }
    }

    /// Appends, and finds out what is the case when the answer does not say.
    async fn append(&self, new: &NewTransition) -> Result<Head, NotDone> {
        let mut tries = 0;
        loop {
            let settled = match self.log.append(new.clone()).await {
                Appended::Done(head) => return Ok(head),
                Appended::NotWritten(error) => return Err(NotDone::Nothing(error)),
                // A refusal may be spurious, an answer may be lost: the log itself knows.
                Appended::Conflict(_) => settle(&*self.log, new, &self.head).await.map_err(NotDone::Unknown)?,
                Appended::InDoubt(error) => {
                    settle(&*self.log, new, &self.head).await.map_err(|_| NotDone::Unknown(error))?
                }
            };
            match settled {
                Settled::Mine(head) => return Ok(head),
                Settled::Other(head) => return Err(NotDone::Lost(head)),
                Settled::Absent(head) if tries >= SPURIOUS_TRIES => return Err(NotDone::Lost(head)),
                Settled::Absent(_) => tries += 1,
            }
        }
    }
}

/// Why an append was not acknowledged.
enum NotDone {
    /// Nothing of it is in the log.
    Nothing(StoreError),
    /// It may be there.
    Unknown(StoreError),
    /// Another owner's head stands there.
    Lost(Head),
}

fn permits(commands: Vec<Command>) -> Vec<Permit> {
    commands.into_iter().map(|command| Permit { command }).collect()
}

/// The records of a transition.
///
/// # Errors
/// This program does not understand one.
pub fn records(transition: &Transition) -> Result<Vec<Record>, ReadError> {
    serde_json::from_str(transition.payload.as_str()).map_err(|error| ReadError::Record {
        run: transition.run.clone(),
        version: transition.version,
        why: error.to_string(),
    })
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
            for record in records(transition)? {
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
    let run = read_known(log, name, plan_of).await?;
    let head = log.head(name).await?;
    Ok((run, head))
}

/// Reads back what the log is known to hold of a run, also while it is closed after a failure. Good for looking only:
/// one more transition may be on the disk.
///
/// # Errors
/// As [`read_run`].
pub async fn read_known<F>(log: &dyn RunLog, name: &RunName, plan_of: F) -> Result<Run, ReadError>
where
    F: FnOnce(&crate::plan::PlanHash) -> Result<Arc<Plan>, StoreError>,
{
    let mut replay = Replay::new(name, plan_of);
    let mut next = 1;
    loop {
        let page = log.read(name, next, PAGE).await?;
        replay.take(&page)?;
        if page.len() < PAGE {
            return replay.finish();
        }
        next += page.len() as u64;
    }
}
