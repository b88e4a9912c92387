//! A decision without an engine: the directory is taken for a moment, the decision is made durable, nothing is started.
//!
//! What follows from it is left to the next engine, which settles every run that it adopts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Ctx;
use super::decide::refused;
use super::error::CliError;
use super::look::{plan, read_failed};
use super::lost;
use crate::engine::clock::Clock as _;
use crate::engine::clock_of;
use crate::machine::fact::Actor;
use crate::machine::{Input, Reply, Verb, note_down};
use crate::server::peer;
use crate::server::problem::Problem;
use crate::server::wire::{VerbAnswer, VerbRequest};
use crate::store::disk::RealDisk;
use crate::store::{
    Blobs, Journal, JournalFile, JournalOptions, Owner, RunLog, RunName, StateDir, StoreError, TakeOver, owner_of,
    read_run,
};
use crate::view::{Engine, EventView, Place, unended};

/// How often a directory that an engine is about to leave is tried, and how long lies between: three seconds in all. That
/// a lock was given back is told to nobody who does not block on it, and blocking could not be bounded.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(50);

/// Whether an owner may have heard of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// None did.
    Never,
    /// One may have decided it.
    AnswerLost,
}

/// Writes the decision down, unless an owner whose answer was lost did.
///
/// # Errors
/// It is not legal now, or the directory cannot be taken or written.
pub(super) async fn decide(
    ctx: &Ctx,
    name: &RunName,
    request: &VerbRequest,
    sent: Sent,
) -> Result<VerbAnswer, CliError> {
    if !ctx.state.join("journal").is_dir() {
        return Err(CliError::new(format!("there is no run {name}")).hint("`bascule status` lists the runs"));
    }
    let log = take(&ctx.state).await.map_err(|error| match sent {
        Sent::AnswerLost => error.hint(format!(
            "the engine's answer was lost, it may have decided: look at `bascule events {name}` before you say it again"
        )),
        Sent::Never => error,
    })?;
    let log: Arc<dyn RunLog> = Arc::new(log);
    let written = match (sent, &request.id) {
        (Sent::AnswerLost, Some(id)) => lost::find(&ctx.state, &*log, name, id).await,
        (Sent::AnswerLost | Sent::Never, _) => Ok(None),
    };
    let answer = match written {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => write(&ctx.state, log.clone(), name, request).await,
        Err(error) => Err(error),
    };
    let closed = log.close().await;
    let answer = answer?;
    closed.map_err(|error| failed(&ctx.state, error))?;
    Ok(answer)
}

/// Takes the directory; an engine that is ending is waited for.
async fn take(state: &Path) -> Result<JournalFile, CliError> {
    let mut tries = 0;
    let owned = loop {
        match StateDir::own(state, TakeOver::No) {
            Err(StoreError::Held { .. }) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            owned => break owned.map_err(|error| failed(state, error))?,
        }
    };
    let (log, _) = JournalFile::open(owned, JournalOptions::default()).map_err(|error| failed(state, error))?;
    Ok(log)
}

fn failed(state: &Path, error: StoreError) -> CliError {
    let is_held = matches!(error, StoreError::Held { .. });
    let failed = CliError::new(format!("the decision cannot be written to {}", state.display())).because(error);
    // It was tried for seconds: an engine that starts or ends takes less.
    if is_held { failed.hint(silent_owner(state)) } else { failed }
}

/// What to do about an engine that holds the directory and does not answer.
pub(super) fn silent_owner(state: &Path) -> String {
    let owner = owner_of(state).ok().flatten().filter(|owner| owner.pid > 0);
    let Some(Owner { pid, .. }) = owner else {
        return "an engine is starting or ending there: try again in a moment".to_owned();
    };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let letter = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    match letter {
        Some('T' | 't') => format!(
            "the engine (process {pid}) holds the directory and is stopped: `kill -CONT {pid}` lets it go on, or \
             `kill -KILL {pid}` ends it; then say it again"
        ),
        Some('D') => format!(
            "the engine (process {pid}) holds the directory and waits for a disk that does not answer: look after the \
             disk, then say it again"
        ),
        Some(_) => format!(
            "the engine (process {pid}) holds the directory and does not answer: it may listen again in a moment; if \
             not, `kill {pid}` ends it and the next `bascule resume` goes on from there"
        ),
        None => "an engine is starting or ending there: try again in a moment".to_owned(),
    }
}

async fn write(
    state: &Path,
    log: Arc<dyn RunLog>,
    name: &RunName,
    request: &VerbRequest,
) -> Result<VerbAnswer, CliError> {
    let blobs = Blobs::reading(Arc::new(RealDisk), state);
    let (mut run, head) = read_run(&*log, name, |hash| plan(&blobs, hash)).await.map_err(read_failed)?;
    let now = clock_of(state).now();
    let before = run.sequence;
    let mut draft = Engine::Gone.draft(&mut run, now);
    let verb = request.verb.clone().into_verb();
    if let Verb::Amend { step, set, .. } = &verb {
        crate::server::amend::check(draft.run(), step, set).map_err(refused)?;
    }
    let plan = draft.run().plan.clone();
    let input = Input::Verb {
        verb,
        by: Actor { request: request.id.clone(), ..peer::this_process(request.claimed.clone()) },
        reason: request.reason.clone().map(Into::into),
    };
    let reply = note_down(&mut draft, input)
        .map_err(|illegal| CliError::new("a bug in bascule: please report it").because(illegal))?;
    if let Reply::Refused { why, hint } = reply {
        return Err(refused(Problem::refused(why).hint(hint)));
    }
    if !Arc::ptr_eq(&plan, &draft.run().plan) {
        // What an event names is durable before it.
        let kept = Blobs::open(Arc::new(RealDisk), state).and_then(|blobs| blobs.put(&draft.run().plan.canonical()));
        kept.map_err(|error| failed(state, error))?;
    }
    // The commands that it leads to are dropped: whoever executes the run decides them anew.
    let (records, _) = draft.finish();
    let epoch = head.epoch;
    let mut journal = Journal::at(log, head, epoch);
    if !records.is_empty() {
        let committed = journal.commit(now.wall, run.state.is_final(), &records, Vec::new()).await;
        committed.map_err(|error| {
            CliError::new(format!("the decision cannot be written to {}", state.display())).because(error)
        })?;
    }
    let version = journal.head().version;
    let place = |at: usize| Place { sequence: before + 1 + at as u64, version, epoch };
    Ok(VerbAnswer {
        run: name.to_string(),
        state: run.state.word().to_owned(),
        preview: false,
        no_engine: !run.state.is_final(),
        may_run: unended(&run),
        version,
        events: records
            .iter()
            .enumerate()
            .map(|(at, record)| EventView::of(name.as_str(), place(at), record))
            .collect(),
    })
}
