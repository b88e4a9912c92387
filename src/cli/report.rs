//! `report`: what happened in a run, as a page for people or as data.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CliError;
use super::exit::Exit;
use super::look::{self, Source};
use super::{Ctx, target};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::machine::Event;
use crate::plan::PlanHash;
use crate::report::{Account, Report};
use crate::store::disk::RealDisk;
use crate::store::{Blobs, ReadError, RunName, Snapshot, StoreError, Transition, records};

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// Write what happened in a run as one HTML file.
///
/// Outcome, planned against actual, downtime, deviations, what is not verified, what is left to do, timeline, plan,
/// samples against limits, who decided what, every event. The file needs nothing else and prints on A4. An open run is
/// reported as far as it is. On a terminal the page goes to APPLICATION-NUMBER.html, otherwise to standard output.
///
///   bascule report billing-db/3 -o CHG0042.html
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// `application/number`, or an application for its open or newest run.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Where the page goes; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    // With an owner or without: what is durable stands in the journal, and reading it disturbs nobody.
    let source = Source::open(ctx).await?;
    let name = target::seen(&source, args.run.as_deref()).await?;
    let account = account(&ctx.state, &name)?;
    let report =
        Report::of(&account).map_err(|error| CliError::new(format!("run {name} cannot be reported")).because(error))?;
    if ctx.ui.json {
        ctx.ui.json_data(&report)?;
        return Ok(Exit::Done);
    }
    let html = report.html().map_err(|error| CliError::new(error.to_string()).because(error))?;
    if let Some(path) = put(ctx, args.output, &format!("{}.html", name.as_str().replace('/', "-")), &html)? {
        ctx.ui.say(&format!("{}: {}", report.outcome.word, report.outcome.sentence));
        ctx.ui.say(&format!("the report of run {name} is in {}", path.display()));
    }
    Ok(Exit::Done)
}

/// Writes a page where it was asked for; where nobody said, on a terminal to its usual file, which is answered, and
/// otherwise to standard output.
///
/// # Errors
/// The file cannot be written.
pub(super) fn put(ctx: &Ctx, asked: Option<PathBuf>, usual: &str, html: &str) -> Result<Option<PathBuf>, CliError> {
    let path = match asked {
        Some(path) => Some(path).filter(|path| path.as_os_str() != "-"),
        None => ctx.ui.is_terminal().then(|| PathBuf::from(usual)),
    };
    match &path {
        Some(path) => write(path, html)?,
        None => ctx.ui.data(html),
    }
    Ok(path)
}

/// Writes the report of a run whose owner is gone, for verbs that end with one.
pub(super) fn save(state: &Path, run: &RunName, path: &Path) -> Result<(), CliError> {
    let account = account(state, run)?;
    let report =
        Report::of(&account).map_err(|error| CliError::new(format!("run {run} cannot be reported")).because(error))?;
    write(path, &report.html().map_err(|error| CliError::new(error.to_string()).because(error))?)
}

/// Writes the page whole: who reads the file never sees half of it.
fn write(path: &Path, html: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| {
        CliError::new(format!("{} cannot be written", path.display())).because(error).hint("name another file with -o")
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A pipe or a device is written as it is; it cannot be renamed over.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, html).map_err(failed);
    }
    let fresh = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = std::fs::File::create(&fresh)
        .and_then(|mut file| file.write_all(html.as_bytes()))
        .and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|error| {
        drop(std::fs::remove_file(&fresh));
        failed(error)
    })
}

/// Everything that the log tells of a run; of a damaged one, as far as it can be believed.
pub(super) fn account(state: &Path, name: &RunName) -> Result<Account, CliError> {
    let unreadable = |error: StoreError| look::read_failed(ReadError::Store(error));
    let none = || look::read_failed(ReadError::NoRun(name.clone()));
    let snapshot = Snapshot::read(state).map_err(unreadable)?;
    let entry = snapshot.runs().into_iter().find(|entry| entry.head.run == *name).ok_or_else(none)?;
    let mut first = snapshot.transitions(name, 1, PAGE).map_err(unreadable)?;
    let plan = plan_hash(name, &first)?;
    let blobs = Blobs::reading(Arc::new(RealDisk), state);
    let plan = look::plan(&blobs, &plan).map_err(unreadable)?;
    let mut account = Account::new(entry.head, plan, SystemClock::new().now().wall);
    account.damaged = entry.stopped.map(|stopped| stopped.to_string());
    while let Some(last) = first.last().map(|transition| transition.version) {
        account.take(&first).map_err(look::read_failed)?;
        first = snapshot.transitions(name, last + 1, PAGE).map_err(unreadable)?;
    }
    Ok(account)
}

/// The plan that the first event names.
fn plan_hash(name: &RunName, first: &[Transition]) -> Result<PlanHash, CliError> {
    let none = || look::read_failed(ReadError::NoRun(name.clone()));
    let transition = first.first().ok_or_else(none)?;
    let records = records(transition).map_err(look::read_failed)?;
    match records.into_iter().next().map(|record| record.event) {
        Some(Event::Created { plan, .. }) => Ok(plan),
        Some(_) | None => Err(CliError::new(format!("the log of run {name} does not begin with its creation"))),
    }
}
