//! Finds any change or insertion in a journal or an export, and a cut or a rewrite against heads kept elsewhere.
//!
//! The chain of hashes shows a change of everything but a run's last transition, and cannot show a cut at the end or a
//! history that was made up anew; those show only against a head that left the machine, in a report, an export or
//! telemetry. Start at [`verify_journal`] and [`verify_export`].

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;
use std::path::Path;

use super::damage::{Damage, OpenReport, StoppedRun};
use super::error::StoreError;
use super::format::{self, ExportedHead, Record};
use super::record::{Cursor, Hash, Head, RunName};
use super::snapshot::Snapshot;

/// A head that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// The run.
    pub run: RunName,
    /// The version.
    pub version: u64,
    /// The hash of that version.
    pub hash: Hash,
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Transitions that were checked and fit.
    pub transitions: u64,
    /// The head of every run, up to where it can be believed.
    pub heads: Vec<Head>,
    /// Known heads that were found as they should be.
    pub confirmed: usize,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// What an auditor should know, but is not wrong: decisions of earlier repairs, a flush that a crash cut.
    pub notes: Vec<String>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Bytes of the journal changed or are missing.
    Damaged(Damage),
    /// A run cannot be followed.
    Stopped(Box<StoppedRun>),
    /// Transitions stand in the journal twice.
    Repeated(usize),
    /// A known version is not there: the log was cut.
    Cut {
        /// What is known.
        known: KnownHead,
        /// The last version that is there.
        found: u64,
    },
    /// A known version has another hash: the history was rewritten.
    Rewritten {
        /// What is known.
        known: KnownHead,
        /// The hash that is there.
        found: Hash,
    },
    /// A known version was pruned, so it cannot be compared.
    Gone(KnownHead),
    /// A line of an export is not what an export holds.
    BadLine {
        /// Its number, from 1.
        line: usize,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(damage) => damage.fmt(f),
            Self::Stopped(stopped) => stopped.fmt(f),
            Self::Repeated(count) => write!(f, "{count} transitions stand in the journal twice"),
            Self::Cut { known: KnownHead { run, version, .. }, found } => {
                write!(f, "run {run} was cut: version {version} is known elsewhere, the last one here is {found}")
            }
            Self::Rewritten { known: KnownHead { run, version, hash }, found } => {
                write!(f, "run {run} was rewritten: version {version} has hash {found}, known elsewhere is {hash}")
            }
            Self::Gone(KnownHead { run, version, .. }) => {
                write!(f, "version {version} of run {run} was pruned and cannot be compared")
            }
            Self::BadLine { line, why } => write!(f, "line {line}: {why}"),
        }
    }
}

/// Verifies the journal of a state directory. Blocks; needs no ownership.
///
/// # Errors
/// What the disk answered; damage is a finding, not an error.
pub fn verify_journal(state_dir: &Path, known: &[KnownHead]) -> Result<VerifyReport, StoreError> {
    let snapshot = Snapshot::read(state_dir)?;
    let OpenReport { transitions, cut, corruption, stopped, repeated, repairs, .. } = snapshot.report();
    let mut report = VerifyReport { transitions: *transitions, ..VerifyReport::default() };
    report.findings.extend(corruption.iter().cloned().map(Finding::Damaged));
    report.findings.extend(stopped.iter().map(|stopped| Finding::Stopped(Box::new((**stopped).clone()))));
    if *repeated > 0 {
        report.findings.push(Finding::Repeated(*repeated));
    }
    report.notes.extend(cut.iter().map(ToString::to_string));
    report.notes.extend(repairs.iter().map(|note| {
        let (run, believed, reason) = (&note.run, note.believed, &note.reason);
        format!("a repair in segment {:06} believed run {run} up to version {believed}: {reason}", note.segment)
    }));
    report.heads = snapshot.runs().into_iter().map(|entry| entry.head).collect();
    for known in known {
        let head = report.heads.iter().find(|head| head.run == known.run);
        let found = match head {
            Some(head) if head.version == known.version => Ok(Some(head.hash)),
            Some(head) if head.version > known.version => {
                let page = snapshot.transitions(&known.run, known.version, 1);
                page.map(|page| page.first().map(format::hash_of))
            }
            Some(_) | None => Ok(None),
        };
        let last = head.map_or(0, |head| head.version);
        match found {
            Err(StoreError::Pruned { .. }) => report.findings.push(Finding::Gone(known.clone())),
            Err(error) => return Err(error),
            Ok(found) => report.compare(known, found, last),
        }
    }
    Ok(report)
}

impl VerifyReport {
    fn compare(&mut self, known: &KnownHead, found: Option<Hash>, last: u64) {
        let known = known.clone();
        match found {
            Some(found) if found == known.hash => self.confirmed += 1,
            Some(found) => self.findings.push(Finding::Rewritten { known, found }),
            None => self.findings.push(Finding::Cut { known, found: last }),
        }
    }

    fn bad_line(&mut self, line: usize, why: impl Into<String>) {
        self.findings.push(Finding::BadLine { line, why: why.into() });
    }
}

/// Verifies an export, as [`Snapshot::export`] writes it, of one run or of several one after the other.
///
/// # Errors
/// When it cannot be read.
pub fn verify_export(export: &mut dyn BufRead, known: &[KnownHead]) -> std::io::Result<VerifyReport> {
    let mut checked = Export::default();
    let mut line = Vec::new();
    while export.read_until(b'\n', &mut line)? > 0 {
        checked.lines += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(record) = format::decode_exported(text) {
            checked.transition(&record);
        } else if let Ok(head) = serde_json::from_slice::<ExportedHead>(text) {
            checked.head(&head);
        } else {
            checked.report.bad_line(checked.lines, "this is no line of an export");
        }
        line.clear();
    }
    Ok(checked.finish(known))
}

/// One run of an export, as far as it was read.
struct ExportedRun {
    head: Head,
    first: u64,
    /// Whether its last line was read.
    ended: bool,
}

/// An export, as far as it was read.
#[derive(Default)]
struct Export {
    lines: usize,
    runs: BTreeMap<RunName, ExportedRun>,
    hashes: BTreeMap<(RunName, u64), Hash>,
    report: VerifyReport,
}

impl Export {
    fn transition(&mut self, record: &Record<'_>) {
        let name = RunName::trusted(record.run);
        let run = self.runs.entry(name.clone()).or_insert_with(|| ExportedRun {
            head: Head::none(name.clone()),
            first: record.version,
            ended: false,
        });
        // A pruned run begins later; its last line says with which version.
        let begins = run.head.version == 0 && record.version > 1;
        let follows = record.version == run.head.version + 1 && record.prev == run.head.hash;
        if run.ended || !(begins || follows) || record.epoch < run.head.epoch {
            let why =
                format!("version {} of run {name} does not follow from version {}", record.version, run.head.version);
            self.report.bad_line(self.lines, why);
        }
        let hash = record.hash();
        run.head = Head {
            run: name.clone(),
            version: record.version,
            epoch: record.epoch,
            hash,
            at_ms: record.at_ms,
            is_final: record.is_final,
            cursor: Cursor::START,
        };
        self.report.transitions += 1;
        self.hashes.insert((name, record.version), hash);
    }

    fn head(&mut self, last: &ExportedHead) {
        match self.runs.get_mut(&last.head) {
            Some(run) if !run.ended => {
                run.ended = true;
                if (run.first, run.head.version, run.head.hash) != (last.from, last.version, last.hash) {
                    let why = format!("run {} does not have the transitions that its last line names", last.head);
                    self.report.bad_line(self.lines, why);
                }
            }
            Some(_) | None => {
                self.report.bad_line(self.lines, format!("run {} has no transitions before its last line", last.head));
            }
        }
    }

    fn finish(self, known: &[KnownHead]) -> VerifyReport {
        let Self { lines, runs, hashes, mut report } = self;
        for (name, _) in runs.iter().filter(|(_, run)| !run.ended) {
            report.bad_line(lines, format!("the export ends without the last line of run {name}: it was cut"));
        }
        for known in known {
            let found = hashes.get(&(known.run.clone(), known.version)).copied();
            let last = runs.get(&known.run).map_or(0, |run| run.head.version);
            report.compare(known, found, last);
        }
        report.heads = runs.into_values().map(|run| run.head).collect();
        report
    }
}
