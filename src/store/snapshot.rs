//! A journal read without owning it: for inspection, export and views while no engine runs, or beside one.
//!
//! It changes nothing on the disk. Beside a running owner it shows what was there when it was read; a flush that is
//! under way then is not damage. Start at [`Snapshot::read`].

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::damage::{OpenReport, Spared, StoppedRun};
use super::disk::{Disk, RealDisk};
use super::error::StoreError;
use super::format;
use super::history::{self, History, RunState};
use super::journal_file::dir_in;
use super::log::RunEntry;
use super::reader::Reader;
use super::record::{Head, RunName, Transition};
use super::scan::{Scanned, scan};
use super::segment;
use super::state_dir::{Owner, owner_of};

/// A journal as it was found.
pub struct Snapshot {
    scanned: Scanned,
    reader: Reader,
    files: Vec<SegmentFile>,
    owner: Option<Owner>,
}

/// One segment on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its number.
    pub number: u32,
    /// The file's size, filling included.
    pub size: u64,
    /// The bytes that count.
    pub used: u64,
}

impl Snapshot {
    /// Reads the journal of a state directory. Blocks.
    ///
    /// # Errors
    /// What the disk answered, or a record format that is too new.
    pub fn read(state_dir: &Path) -> Result<Self, StoreError> {
        Self::read_on(Arc::new(RealDisk), state_dir, owner_of(state_dir)?)
    }

    pub(super) fn read_on(disk: Arc<dyn Disk>, state_dir: &Path, owner: Option<Owner>) -> Result<Self, StoreError> {
        let dir = dir_in(state_dir);
        let mut scanned = scan(&*disk, &dir)?;
        if owner.is_some() {
            scanned.report.cut = None;
        }
        let mut files = Vec::new();
        for (&number, &used) in &scanned.segments {
            let path = segment::path_of(&dir, number);
            let size = disk.open_read(&path).and_then(|file| file.size());
            let size = size.map_err(|cause| StoreError::io("measuring", &path, cause))?;
            files.push(SegmentFile { number, size, used });
        }
        Ok(Self { scanned, reader: Reader::new(disk, dir), files, owner })
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &OpenReport {
        &self.scanned.report
    }

    /// The segments on the disk.
    #[must_use]
    pub fn segments(&self) -> &[SegmentFile] {
        &self.files
    }

    /// The process that owned the directory at that moment.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// All runs, stopped ones included, in the order of their names. A stopped run's head is the last that can be
    /// believed.
    #[must_use]
    pub fn runs(&self) -> Vec<RunEntry> {
        let known = self.scanned.history.runs.values().filter(|run| run.head.version > 0 || run.stopped.is_some());
        let mut runs: Vec<RunEntry> = known.map(RunState::entry).collect();
        runs.sort_by(|a, b| a.head.run.cmp(&b.head.run));
        runs
    }

    /// Why a run is stopped, if it is.
    #[must_use]
    pub fn stopped(&self, run: &RunName) -> Option<Arc<StoppedRun>> {
        self.scanned.history.runs.get(run)?.stopped.clone()
    }

    /// As `JournalFile::compare`, for looking: stops, in this snapshot, the runs of which more is known elsewhere.
    pub fn compare(&mut self, heads: &[Head]) {
        let stopped = history::compare(&mut self.scanned.history.runs, &self.reader, heads);
        self.scanned.report.stopped.extend(stopped);
    }

    /// Runs that damage leaves alone, and why; empty where nothing is damaged.
    #[must_use]
    pub fn spared(&self) -> Vec<(RunName, Spared)> {
        let History { runs, damages, .. } = &self.scanned.history;
        let spared = runs.values().filter_map(|run| Some((run.head.run.clone(), run.spared(damages)?)));
        let mut spared: Vec<_> = spared.collect();
        spared.sort_by(|a, b| a.0.cmp(&b.0));
        spared
    }

    /// Reads at most `limit` transitions of a run from version `from`; of a stopped run those that can be believed.
    ///
    /// # Errors
    /// [`StoreError::Pruned`], or what the disk answered.
    pub fn transitions(&self, run: &RunName, from: u64, limit: usize) -> Result<Vec<Transition>, StoreError> {
        let Some(state) = self.scanned.history.runs.get(run) else { return Ok(Vec::new()) };
        let from = from.max(1);
        if from < state.first {
            return Err(StoreError::Pruned { run: run.clone(), first: state.first });
        }
        let places = (from..).map_while(|version| state.place(version)).take(limit);
        let mut found = Vec::new();
        for place in places {
            // Between the scan and now a line cannot change but by damage; it ends what can be believed.
            let Some(transition) = self.reader.transition(place)? else { break };
            found.push(transition);
        }
        Ok(found)
    }

    /// Writes a run as newline-delimited JSON, one transition a line, and a last line with its head. The SHA-256 of a
    /// line is the `prev` of the next; see `verify`.
    ///
    /// # Errors
    /// What reading the journal or writing to `out` answered.
    pub fn export(&self, run: &RunName, out: &mut dyn Write) -> Result<Option<Head>, StoreError> {
        let Some(state) = self.scanned.history.runs.get(run).filter(|state| state.head.version > 0) else {
            return Ok(None);
        };
        let write = |out: &mut dyn Write, line: &str| {
            writeln!(out, "{line}").map_err(|cause| StoreError::io("exporting", Path::new(run.as_str()), cause))
        };
        let mut next = state.first;
        loop {
            let page = self.transitions(run, next, 256)?;
            let Some(last) = page.last() else { break };
            next = last.version + 1;
            for transition in &page {
                write(out, &format::export_line(transition))?;
            }
        }
        write(out, &format::export_head(state.first, &state.head))?;
        Ok(Some(state.head.clone()))
    }

    pub(super) fn into_scanned(self) -> (Scanned, Reader) {
        (self.scanned, self.reader)
    }
}
