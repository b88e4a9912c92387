//! What was found broken in a journal, as data and in words.
//!
//! A report is a value that the caller shows, never a line in a log: an operator decides from it. Nothing here reads
//! a file. Start at [`OpenReport`].

use std::fmt;
use std::sync::Arc;

use super::record::{Head, RunName};

/// What an open found, and what it did about it.
#[derive(Debug, Clone, Default)]
pub struct OpenReport {
    /// Segments on the disk.
    pub segments: usize,
    /// Runs, stopped ones included.
    pub runs: usize,
    /// Transitions that can be read.
    pub transitions: u64,
    /// An unfinished flush at the end, which was cut.
    pub cut: Option<Damage>,
    /// Transitions that were written but not proven durable, and were therefore written again to a new segment.
    pub moved: usize,
    /// Damage before the end.
    pub corruption: Vec<Damage>,
    /// Runs that stop until `repair` is told what to believe.
    pub stopped: Vec<Arc<StoppedRun>>,
    /// Transitions that stand in the journal twice; the second is ignored.
    pub repeated: usize,
    /// Decisions of earlier repairs, in the order in which they were taken.
    pub repairs: Vec<RepairNote>,
    /// Why nothing can be appended although the journal could be read, such as a full disk.
    pub read_only: Option<String>,
}

/// A decision of an earlier repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairNote {
    /// The run.
    pub run: RunName,
    /// The last version that was believed.
    pub believed: u64,
    /// Who decided, and why.
    pub reason: String,
    /// The segment that holds the decision.
    pub segment: u32,
}

impl OpenReport {
    /// Whether there is anything that an operator should read.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.cut.is_none() && self.corruption.is_empty() && self.stopped.is_empty() && self.read_only.is_none()
    }
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} segments, {} runs, {} transitions", self.segments, self.runs, self.transitions)?;
        if let Some(cut) = &self.cut {
            write!(f, "\n{cut}")?;
        }
        if self.moved > 0 {
            let (count, noun) = (self.moved, if self.moved == 1 { "transition" } else { "transitions" });
            write!(
                f,
                "\n{count} {noun} at the end were not yet proven durable and were written again to a new segment"
            )?;
        }
        for damage in &self.corruption {
            write!(f, "\n{damage}")?;
        }
        for stopped in &self.stopped {
            write!(f, "\n{stopped}")?;
        }
        for note in &self.repairs {
            let RepairNote { run, believed, reason, segment } = note;
            write!(
                f,
                "\nsegment {segment:06} holds a decision: run {run} is believed up to version {believed} ({reason})"
            )?;
        }
        if let Some(why) = &self.read_only {
            write!(f, "\nnothing can be appended: {why}")?;
        }
        Ok(())
    }
}

/// A range of a segment that cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u32,
    /// Its first byte.
    pub from: u64,
    /// The byte after its last.
    pub to: u64,
    /// What it is.
    pub kind: DamageKind,
    /// The beginning of what stands there, to recognise it.
    pub excerpt: String,
}

/// The kinds of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// At or beyond everything known durable: what a crash leaves of a flush that nobody was told of.
    UnfinishedFlush,
    /// Before something known durable: bytes changed after they were safe.
    Changed,
    /// The segment is shorter than what was known durable of it.
    Truncated,
    /// The whole segment is not there, and no pruning says why.
    Missing,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, from, to, kind, excerpt } = self;
        write!(f, "journal/{segment:06}.ndjson")?;
        match kind {
            DamageKind::UnfinishedFlush => write!(
                f,
                ", bytes {from} to {to}: an unfinished flush; it was cut, and nobody had been told that it was done"
            )?,
            DamageKind::Changed => write!(f, ", bytes {from} to {to}: changed after they were durable")?,
            DamageKind::Truncated => write!(f, ", bytes {from} to {to}: missing, although they were durable")?,
            DamageKind::Missing => write!(f, ": the whole segment is missing, and it was not pruned")?,
        }
        if !excerpt.is_empty() {
            write!(f, " (begins `{excerpt}`)")?;
        }
        Ok(())
    }
}

/// Why a run stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It was open when damage begins, and nothing intact of it follows: its last transitions may be lost.
    MayHaveLost(Damage),
    /// A later transition is intact but does not follow from the last believable one.
    ChainBroken {
        /// The version that was found.
        version: u64,
        /// The segment where it stands.
        segment: u32,
        /// Where it begins there.
        offset: u64,
        /// The damage that may explain it; without one, somebody edited the journal.
        damage: Option<Damage>,
    },
    /// Its name was read among damaged bytes, and nothing else of it is left.
    NameOnly(Damage),
    /// A head that was kept elsewhere is ahead of the log, or differs from it.
    HeadElsewhere(Box<Head>),
    /// A line that was intact when the journal was opened could not be read again.
    Unreadable {
        /// The segment.
        segment: u32,
        /// Where the line begins there.
        offset: u64,
    },
}

/// Why damage leaves a run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spared {
    /// It was over before the damage begins.
    OverBefore,
    /// It was created after the damage.
    CreatedAfter,
    /// A later transition of it is intact and names the hash of the one before it, so nothing of it was lost.
    ChainFits,
}

impl fmt::Display for Spared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OverBefore => "it was over before the damage begins",
            Self::CreatedAfter => "it was created after the damage",
            Self::ChainFits => "a later transition of it is intact and fits the one before it: nothing of it was lost",
        })
    }
}

/// A run that stops until `repair` is told what to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedRun {
    /// The run.
    pub run: RunName,
    /// The last version that can be believed; 0 if none.
    pub believable: u64,
    /// Why it stops.
    pub cause: Cause,
    /// Intact transitions of the run after the break, which cannot be connected.
    pub unconnected: u64,
}

impl fmt::Display for StoppedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, believable, cause, unconnected } = self;
        write!(f, "run {run} is stopped: ")?;
        match cause {
            Cause::MayHaveLost(damage) => {
                write!(f, "it was open, and its later transitions may have stood in {damage}")?
            }
            Cause::ChainBroken { version, segment, offset, damage } => {
                write!(
                    f,
                    "version {version} at journal/{segment:06}.ndjson, byte {offset}, does not follow from version {believable}"
                )?;
                match damage {
                    Some(damage) => write!(f, "; {damage}")?,
                    None => write!(f, "; nothing else is damaged, so the journal was edited")?,
                }
            }
            Cause::NameOnly(damage) => write!(f, "only its name is left, in {damage}")?,
            Cause::HeadElsewhere(head) => {
                let Head { version, hash, .. } = &**head;
                write!(f, "version {version} with hash {hash} is known elsewhere, and the log does not hold it")?;
            }
            Cause::Unreadable { segment, offset } => {
                write!(f, "journal/{segment:06}.ndjson, byte {offset}, could be read at start and cannot be read now")?;
            }
        }
        match believable {
            0 => write!(f, "; no version can be believed")?,
            1 => write!(f, "; version 1 is intact")?,
            _ => write!(f, "; versions 1 to {believable} are intact")?,
        }
        if *unconnected > 0 {
            write!(f, ", {unconnected} later ones are intact but not connected")?;
        }
        write!(
            f,
            "; compare with a report, an export or a copy, then tell `bascule repair` up to which version to believe"
        )
    }
}
