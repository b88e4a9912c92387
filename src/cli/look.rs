//! Looking at runs: through the owner if there is one, otherwise from the files of the state directory.
//!
//! Nothing here changes anything, on the disk or elsewhere. Start with [`Source::open`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Ctx;
use super::client::Client;
use super::client::Runs;
use super::error::CliError;
use super::ui::Ui;
use crate::engine::clock::{Clock as _, SystemClock};
use crate::engine::projection::{self, Stopwatch};
use crate::engine::{clock_of, may_have_left};
use crate::machine::{Now, Run};
use crate::plan::{History, Plan, PlanHash};
use crate::server::wire::Health;
use crate::store::{Blobs, Hash, ReadError, Replay, RunName, Snapshot, StoreError, records};
use crate::view::{Engine, EventView, Place, ProgressMap, RunSummary, RunView, unended};

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// Where looks come from.
pub enum Source {
    /// The owner.
    Owner(Box<Client>, Health),
    /// The files: nobody executes the runs, or nobody who answers.
    Files(Box<Files>),
}

/// The files of an owner who does not answer, with a word about it.
fn beside_silence(state: &Path) -> Result<Files, CliError> {
    let owner = std::fs::read(state.join("owner.json")).ok();
    let owner = owner.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let pid = owner.and_then(|owner| owner.get("pid")?.as_u64()).map(|pid| format!(" (process {pid})"));
    Ui { json: false, yes: false }.say(&format!(
        "the engine{} does not answer: is it stopped, or does its disk hang? This is what its log says; what it does \
         now is not known",
        pid.unwrap_or_default()
    ));
    let mut files = Files::open(state)?;
    files.is_owned = true;
    Ok(files)
}

impl Source {
    /// The owner if one answers, otherwise the files.
    ///
    /// # Errors
    /// The owner does not answer, or the files cannot be read.
    pub async fn open(ctx: &Ctx) -> Result<Self, CliError> {
        match Client::find(&ctx.state).await {
            Ok(Some((client, health))) => Ok(Self::Owner(Box::new(client), health)),
            Ok(None) => Ok(Self::Files(Box::new(Files::open(&ctx.state)?))),
            Err(error) if error.hangs() => Ok(Self::Files(Box::new(beside_silence(&ctx.state)?))),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an engine executes the runs.
    #[must_use]
    pub fn has_engine(&self) -> bool {
        match self {
            Self::Owner(..) => true,
            Self::Files(files) => files.is_owned,
        }
    }

    /// Runs, in the order of their names.
    ///
    /// # Errors
    /// The owner does not answer, or a run cannot be read.
    pub async fn runs(&self, which: Runs) -> Result<Vec<RunSummary>, CliError> {
        match self {
            Self::Owner(client, health) => match client.runs(which).await {
                // It left between two questions: the files know as much.
                Err(error) if error.is_gone() => Files::open(Path::new(&health.state))?.runs(which),
                Err(error) if error.hangs() => beside_silence(Path::new(&health.state))?.runs(which),
                runs => Ok(runs?),
            },
            Self::Files(files) => files.runs(which),
        }
    }

    /// One run.
    ///
    /// # Errors
    /// There is none, it cannot be read, or the owner does not answer.
    pub async fn run(&self, name: &RunName) -> Result<RunView, CliError> {
        match self {
            Self::Owner(client, health) => match client.run(name).await {
                Err(error) if error.is_gone() => Files::open(Path::new(&health.state))?.view(name),
                Err(error) if error.hangs() => beside_silence(Path::new(&health.state))?.view(name),
                view => Ok(view?),
            },
            Self::Files(files) => files.view(name),
        }
    }

    /// All events of a run after a sequence number.
    ///
    /// # Errors
    /// As [`Source::run`].
    pub async fn events(&self, name: &RunName, after: u64) -> Result<Vec<EventView>, CliError> {
        match self {
            Self::Owner(client, _) => Ok(client.all_events(name, after).await?),
            Self::Files(files) => files.events(name, after),
        }
    }
}

/// Whether there is a journal. A directory that may not be looked into is no empty one.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn has_journal(state: &Path) -> Result<bool, CliError> {
    match std::fs::read_dir(state.join("journal")) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            Err(CliError::new(format!("{} cannot be a state directory: there is a file in its place", state.display()))
                .hint("name a folder with `--state` or BASCULE_STATE; one that is not there yet is made"))
        }
        Err(error) => {
            use std::os::unix::fs::MetadataExt as _;
            let failed = CliError::new(format!("the state directory {} cannot be read", state.display()));
            let owner = std::fs::metadata(state).map(|data| crate::server::peer::user_name(data.uid()));
            let failed = match owner {
                Ok(owner) => failed.hint(format!("it belongs to {owner}: call this as {owner}, or with sudo")),
                Err(_) => failed.hint("call this as the user who started the run, or with sudo"),
            };
            Err(failed.because(error))
        }
    }
}

/// How long the steps of an application took in earlier runs: from the owner's index, or from the journal.
///
/// Nothing depends on it but estimates, so whatever stands in the way only means that nothing is known.
pub(super) async fn history(ctx: &Ctx, application: &str) -> History {
    let measured = match Source::open(ctx).await {
        Ok(Source::Owner(client, _)) => client.history(application).await.map_err(CliError::from),
        Ok(Source::Files(files)) => files.history(application),
        Err(error) => Err(error),
    };
    measured.unwrap_or_else(|error| {
        tracing::debug!(%error, "the durations of earlier runs are not known");
        History::default()
    })
}

/// The files of a state directory that nobody owns, as they were when they were opened.
pub struct Files {
    state: PathBuf,
    snapshot: Option<Snapshot>,
    blobs: Blobs,
    clock: SystemClock,
    /// Somebody owns the directory and does not answer.
    is_owned: bool,
}

impl Files {
    /// Reads the journal. A directory that is not there has no runs.
    ///
    /// # Errors
    /// What the disk answered, or a format that is too new.
    pub fn open(state: &Path) -> Result<Self, CliError> {
        let failed = |error: StoreError| {
            CliError::new(format!("the state directory {} cannot be read", state.display())).because(error)
        };
        let snapshot = if has_journal(state)? { Some(Snapshot::read(state).map_err(failed)?) } else { None };
        let disk = Arc::new(crate::store::disk::RealDisk);
        let blobs = Blobs::reading(disk, state);
        Ok(Self { state: state.to_owned(), snapshot, blobs, clock: clock_of(state), is_owned: false })
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    fn runs(&self, which: Runs) -> Result<Vec<RunSummary>, CliError> {
        let Some(snapshot) = &self.snapshot else { return Ok(Vec::new()) };
        let mut runs = Vec::new();
        for entry in snapshot.runs() {
            if which == Runs::Open && entry.head.is_final && entry.stopped.is_none() {
                continue;
            }
            let (name, at) = (entry.head.run.as_str(), entry.head.at_ms);
            runs.push(match &entry.stopped {
                Some(stopped) => RunSummary::damaged(name, at, stopped.to_string()),
                // One run that cannot be read hides no other one.
                None => self.read(&entry.head.run).map_or_else(
                    |error| RunSummary::unreadable(name, at, error.to_string()),
                    |run| RunSummary::of(&run),
                ),
            });
        }
        Ok(runs)
    }

    /// A run, read back from the journal.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn run(&self, name: &RunName) -> Result<Run, CliError> {
        self.read(name).map_err(read_failed)
    }

    fn read(&self, name: &RunName) -> Result<Run, ReadError> {
        let Some(snapshot) = &self.snapshot else { return Err(ReadError::NoRun(name.clone())) };
        if let Some(stopped) = snapshot.stopped(name) {
            return Err(ReadError::Store(StoreError::Corrupt(stopped)));
        }
        let mut replay = Replay::new(name, |hash| self.plan(hash));
        let mut next = 1;
        loop {
            let page = snapshot.transitions(name, next, PAGE)?;
            replay.take(&page)?;
            if page.len() < PAGE {
                return replay.finish();
            }
            next += page.len() as u64;
        }
    }

    fn plan(&self, hash: &PlanHash) -> Result<Arc<Plan>, StoreError> {
        plan(&self.blobs, hash)
    }

    /// Whether somebody executes the runs: an owner that does not answer may be at it.
    pub fn engine(&self) -> Engine {
        if self.is_owned { Engine::There } else { Engine::Gone }
    }

    /// Runs that are over and may have left something running, which no engine has looked for yet, with its attempts.
    pub(super) fn left_running(&self) -> Vec<(RunName, Vec<String>)> {
        let entries = self.snapshot.as_ref().map(Snapshot::runs).unwrap_or_default();
        let mut found = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.head.is_final && entry.stopped.is_none()) {
            if !self.is_owned
                && may_have_left(&self.state, &entry.head.run, entry.head.at_ms)
                && let Ok(run) = self.read(&entry.head.run)
                && !run.unended.is_empty()
            {
                found.push((entry.head.run, unended(&run)));
            }
        }
        found
    }

    fn view(&self, name: &RunName) -> Result<RunView, CliError> {
        let (run, now) = (self.run(name)?, self.now());
        let mut view = match self.engine() {
            Engine::There => RunView::of(&run, now, &ProgressMap::new()),
            Engine::Gone => RunView::unattended(&run, now),
        };
        view.summary.executed = self.is_owned;
        if run.state.is_final() && !run.unended.is_empty() {
            let left = self.left_running().into_iter().find(|(run, _)| run == name);
            view.may_run = left.map(|(_, attempts)| attempts).unwrap_or_default();
        }
        Ok(view)
    }

    /// How long the steps of an application took: of all its runs, as the index counts them.
    fn history(&self, application: &str) -> Result<History, CliError> {
        let Some(snapshot) = &self.snapshot else { return Ok(History::default()) };
        let mut names: Vec<RunName> = snapshot.runs().into_iter().map(|entry| entry.head.run).collect();
        names.retain(|name| name.application() == application);
        names.sort_by_key(RunName::number);
        let mut watch = Stopwatch::default();
        for name in &names {
            watch.next_run();
            let mut next = 1;
            loop {
                let page = snapshot.transitions(name, next, PAGE).map_err(|error| read_failed(error.into()))?;
                // As in the index: what this program does not know says nothing.
                page.iter().filter_map(|one| records(one).ok()).flatten().for_each(|record| watch.take(&record));
                if page.len() < PAGE {
                    break;
                }
                next += page.len() as u64;
            }
        }
        Ok(projection::medians(watch.finish()))
    }

    fn events(&self, name: &RunName, after: u64) -> Result<Vec<EventView>, CliError> {
        let none = || read_failed(ReadError::NoRun(name.clone()));
        let snapshot = self.snapshot.as_ref().ok_or_else(none)?;
        let mut events = Vec::new();
        let (mut next, mut sequence) = (1, 0);
        loop {
            let page = snapshot.transitions(name, next, PAGE).map_err(|error| read_failed(ReadError::Store(error)))?;
            if page.is_empty() && next == 1 {
                return Err(none());
            }
            for transition in &page {
                for record in records(transition).map_err(read_failed)? {
                    sequence += 1;
                    if sequence > after {
                        let place = Place { sequence, version: transition.version, epoch: transition.epoch };
                        events.push(EventView::of(name.as_str(), place, &record));
                    }
                }
            }
            if page.len() < PAGE {
                return Ok(events);
            }
            next += page.len() as u64;
        }
    }
}

/// A stored plan.
pub(super) fn plan(blobs: &Blobs, hash: &PlanHash) -> Result<Arc<Plan>, StoreError> {
    let unreadable = |why: String| StoreError::Record(crate::store::BadRecord::Payload(why));
    let name = Hash::from_hex(hash.as_str().as_bytes()).ok_or_else(|| unreadable(format!("`{hash}` names no plan")))?;
    let bytes = blobs.get(&name)?.ok_or_else(|| unreadable(format!("the plan {hash} is missing")))?;
    Plan::read(&bytes, hash).map(Arc::new).map_err(|error| unreadable(error.to_string()))
}

/// Why a run cannot be read, for a person.
pub(super) fn read_failed(error: ReadError) -> CliError {
    match &error {
        ReadError::NoRun(name) => {
            CliError::new(format!("there is no run {name}")).hint("`bascule status` lists the runs")
        }
        ReadError::Store(StoreError::Corrupt(stopped)) => {
            CliError::new(stopped.to_string()).hint("`bascule repair` explains what can be believed")
        }
        ReadError::Store(_) | ReadError::Record { .. } | ReadError::Illegal { .. } => {
            CliError::new("the run cannot be read").because(error)
        }
    }
}
