//! Golden journals: real runs of former releases, which every later one reads to the same end.
//!
//! `journals/format-N/NAME` holds what the real program wrote once: the journal's segments, the plan, and the end that
//! the run had come to, as a small text. Nothing there is ever changed or removed.

mod write;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bascule::machine::Run;
use bascule::machine::state::{Forward, Status, UndoState};
use bascule::plan::{Plan, PlanHash};
use bascule::store::verify::{KnownHead, verify_journal};
use bascule::store::{Head, JournalFile, JournalOptions, RunLog, StateDir, TakeOver, read_run};

/// The folder of all of them.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/journals")
}

/// Every golden journal, by path.
fn all() -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).expect("the folder can be read");
        let paths = entries.map(|entry| entry.expect("the folder can be read").path());
        paths.filter(|path| path.is_dir()).collect()
    };
    let mut all: Vec<PathBuf> = inside(&folder()).iter().flat_map(|format| inside(format)).collect();
    all.sort();
    all
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A state directory that holds a copy of a golden journal.
fn copied(golden: &Path) -> tempfile::TempDir {
    let state = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(state.path().join("journal")).expect("the folder can be written");
    for segment in segments(golden) {
        let name = segment.file_name().expect("a segment has a name");
        std::fs::copy(&segment, state.path().join("journal").join(name)).expect("a copy");
    }
    state
}

/// The segments in a folder, oldest first.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut segments: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")).collect();
    segments.sort();
    segments
}

/// Reads the one run of a state directory with today's code.
async fn read(state: &Path, plan: &Path) -> (Run, Head) {
    let owned = StateDir::own(state, TakeOver::No).expect("the directory can be owned");
    let (log, report) = JournalFile::open(owned, JournalOptions::default()).expect("the journal opens");
    assert!(report.stopped.is_empty(), "no run of it is damaged");
    let runs = log.runs().await.expect("the journal lists its runs");
    assert_eq!(runs.len(), 1, "a golden journal holds one run");
    let of_file =
        |hash: &PlanHash| Ok(Arc::new(Plan::read(text(plan).as_bytes(), hash).expect("the plan is readable")));
    let (run, head) = read_run(&log, &runs[0].head.run, of_file).await.expect("the run is readable");
    log.close().await.expect("the journal closes");
    (run, head)
}

/// Where a run has come to, in words that no release may change.
fn end(run: &Run, head: &Head) -> String {
    let mut end = format!("{} is {} after {} events\n", run.name, run.state, run.sequence);
    let sure = "text can grow";
    for (ix, record) in run.steps.iter().enumerate() {
        let status = match &record.status {
            Status::Forward(forward) => of_forward(forward).to_owned(),
            Status::Undo { of, state } => format!("{}, then {}", of_forward(of), of_undo(state)),
        };
        let (id, tries) = (&run.plan.step(ix).id, record.attempts);
        writeln!(end, "  {id}: {status}; tried {tries}, taken back {}", record.undo_attempts).expect(sure);
    }
    for question in run.questions.values() {
        writeln!(end, "  asks {}", crate::support::sim::first_word(&question.kind)).expect(sure);
    }
    for (criterion, samples) in run.plan.criteria.iter().zip(&run.criteria) {
        writeln!(end, "  criterion {}: {:?} after {} samples", criterion.id, samples.state, samples.measured)
            .expect(sure);
    }
    for (ix, why) in &run.residue {
        writeln!(end, "  left applied: {}: {why}", run.plan.step(*ix).id).expect(sure);
    }
    writeln!(end, "  exposed {}, restored {}", run.exposed.is_some(), restored(run)).expect(sure);
    writeln!(end, "  version {} {}", head.version, head.hash).expect(sure);
    end
}

fn restored(run: &Run) -> bool {
    run.rollback.as_ref().is_some_and(|rollback| rollback.restored.is_some())
}

fn of_forward(forward: &Forward) -> &'static str {
    match forward {
        Forward::Pending => "pending",
        Forward::Ready => "ready",
        Forward::Running(_) => "running",
        Forward::Backoff { .. } => "backoff",
        Forward::Waiting { .. } => "waiting",
        Forward::Succeeded => "succeeded",
        Forward::Failed { .. } => "failed",
        Forward::Unknown { .. } => "unknown",
        Forward::Skipped { .. } => "skipped",
        Forward::NotRun => "not run",
    }
}

fn of_undo(undo: &UndoState) -> &'static str {
    match undo {
        UndoState::Pending => "to be undone",
        UndoState::Undoing(_) => "undoing",
        UndoState::Backoff { .. } => "undo in backoff",
        UndoState::Waiting { .. } => "waiting for a person",
        UndoState::Undone { .. } => "undone",
        UndoState::Failed { .. } => "undo failed",
        UndoState::Unknown { .. } => "undo unknown",
        UndoState::Waived => "waived",
    }
}

#[tokio::test]
async fn every_journal_ever_written_is_read_to_the_end_that_it_had() {
    let all = all();
    assert!(all.len() >= 10, "golden journals are never removed: {all:?}");
    for golden in all {
        let state = copied(&golden);
        let (run, head) = read(state.path(), &golden.join("plan.json")).await;
        assert_eq!(end(&run, &head), text(&golden.join("end.txt")), "{}", golden.display());
        bascule::machine::invariants::check(&run).unwrap_or_else(|broken| panic!("{}: {broken}", golden.display()));
        let known = KnownHead { run: head.run.clone(), version: head.version, hash: head.hash };
        let report = verify_journal(state.path(), &[known]).expect("the journal can be verified");
        assert!(report.is_sound() && report.confirmed == 1, "{}: {report:?}", golden.display());
    }
}

#[tokio::test]
async fn the_format_that_is_written_today_has_golden_journals() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let owned = StateDir::own(state.path(), TakeOver::No).expect("the directory can be owned");
    let (log, _) = JournalFile::open(owned, JournalOptions::default()).expect("the journal opens");
    crate::stores::fill(&log, "app/1", 1).await;
    log.close().await.expect("the journal closes");
    let written = format(&state.path().join("journal/000001.ndjson"));
    assert!(
        folder().join(format!("format-{written}")).is_dir(),
        "the record format is {written} now, and no golden journal has it. Write some with\n\
         BASCULE_GOLDEN=tests/it/journals/format-{written} cargo test --test it -- --ignored golden_journals_are_written\n\
         on a machine whose name may be published, look at each `end.txt`, and leave those of older formats alone"
    );
    for golden in all() {
        let of = golden.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        for segment in segments(&golden) {
            assert_eq!(of, Some(format!("format-{}", format(&segment))), "{}", segment.display());
        }
    }
}

/// The record format that a segment's first line names.
fn format(segment: &Path) -> u64 {
    let text = text(segment);
    let header: serde_json::Value = serde_json::from_str(text.lines().next().expect("a header")).expect("a JSON line");
    header["format"].as_u64().expect("a header names its format")
}
