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
use super::format::{self, ExportedHead};
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
    let mut report = VerifyReport::default();
    let mut runs: BTreeMap<RunName, Head> = BTreeMap::new();
    let mut hashes: BTreeMap<(RunName, u64), Hash> = BTreeMap::new();
    let mut line = Vec::new();
    let mut number = 0;
    let mut ended = true;
    while export.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(record) = format::decode_exported(text) {
            let run = RunName::trusted(record.run);
            let head = runs.entry(run.clone()).or_insert_with(|| Head::none(run.clone()));
            // A pruned run begins later; what it begins with can only be compared with a known head.
            let begins_later = head.version == 0 && record.version > 1;
            let follows = record.version == head.version + 1 && record.prev == head.hash;
            if !follows && !begins_later {
                let why =
                    format!("version {} of run {run} does not follow from version {}", record.version, head.version);
                report.bad_line(number, why);
            }
            if record.epoch < head.epoch {
                report.bad_line(number, format!("the epoch of run {run} falls"));
            }
            report.transitions += 1;
            let hash = record.hash();
            head.version = record.version;
            (head.epoch, head.hash, head.at_ms, head.is_final) = (record.epoch, hash, record.at_ms, record.is_final);
            head.cursor = Cursor::START;
            hashes.insert((run, record.version), hash);
            ended = false;
        } else if let Ok(last) = serde_json::from_slice::<ExportedHead>(text) {
            let found = runs.get(&last.head).map(|head| (head.version, head.hash));
            if found != Some((last.version, last.hash)) {
                report.bad_line(number, format!("the head of run {} is not that of its last transition", last.head));
            }
            ended = true;
        } else {
            report.bad_line(number, "this is no line of an export");
        }
        line.clear();
    }
    if !ended {
        report.bad_line(number, "the export ends without its head: it was cut");
    }
    for known in known {
        let found = hashes.get(&(known.run.clone(), known.version)).copied();
        let last = runs.get(&known.run).map_or(0, |head| head.version);
        report.compare(known, found, last);
    }
    report.heads = runs.into_values().collect();
    Ok(report)
}
