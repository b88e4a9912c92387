//! Reads a whole journal from the disk and decides what can be believed.
//!
//! It changes nothing: the start, the inspection, the repair and the verification all begin here, and only the start
//! and the repair write afterwards. The rules are those of the contract: damage at or beyond the largest known-durable
//! offset is an unfinished flush and is cut; damage before it is corruption, and `history.rs` says which runs it
//! stops. Start at [`scan`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::damage::{Damage, DamageKind, OpenReport};
use super::disk::{Disk, read_all, read_range};
use super::error::StoreError;
use super::format::{self, Draft, FORMAT, Header, Line, Seal};
use super::history::{History, Place, Taken};
use super::pruned::{self, PrunedSegment};
use super::record::RunName;
use super::segment::{self, Item, Parsed};
use super::writer::UNFINISHED;

/// Enough for any header.
const HEADER_ROOM: usize = 4096;

/// A journal as it was found.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) history: History,
    /// Every segment on the disk, with the byte after its last line that counts.
    pub(super) segments: BTreeMap<u32, u64>,
    /// How to go on writing.
    pub(super) tail: Tail,
    pub(super) report: OpenReport,
    /// Files that a crash left behind and nothing needs: an unfinished segment, segments that were being pruned.
    pub(super) leftovers: Vec<PathBuf>,
}

/// How a journal ends, and so how it goes on.
#[derive(Debug)]
pub(super) enum Tail {
    /// With a segment that was closed in order, or with none: a new segment may follow.
    Sealed { next: u32, after: Option<Seal> },
    /// With a closing line. Writing goes on over it.
    Closed { number: u32, end: u64 },
    /// Without one: the process or the machine ended. Lines from `durable` on are intact but not proven durable.
    Unclean { number: u32, durable: u64, lines: Vec<TailLine> },
}

/// A line that has to be written again.
#[derive(Debug)]
pub(super) struct TailLine {
    pub(super) draft: Draft,
    /// Which transition it is, if it is one.
    pub(super) of: Option<(RunName, u64)>,
}

/// Reads everything in `dir`, the journal's directory. A journal that does not exist yet is empty.
pub(super) fn scan(disk: &dyn Disk, dir: &Path) -> Result<Scanned, StoreError> {
    scan_from(disk, dir, None)
}

/// As [`scan`], for a process that knows more than the disk says: up to where its last segment was flushed.
pub(super) fn scan_from(disk: &dyn Disk, dir: &Path, flushed: Option<Seal>) -> Result<Scanned, StoreError> {
    let names = match disk.list(dir) {
        Ok(names) => names,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(StoreError::io("listing the journal", dir, cause)),
    };
    let mut parts: BTreeMap<u32, Part> = BTreeMap::new();
    for removed in pruned::load(disk, dir)? {
        parts.insert(removed.pruned, Part::Pruned(removed));
    }
    let mut leftovers = Vec::new();
    for name in names {
        match segment::number_of(&name) {
            // A crash in the middle of pruning leaves both; the list is written first, so the file was about to go.
            Some(number) if parts.contains_key(&number) => leftovers.push(dir.join(name)),
            Some(number) => {
                parts.insert(number, Part::File);
            }
            None if name == UNFINISHED => leftovers.push(dir.join(name)),
            None => {}
        }
    }
    let mut scan = Scan { disk, dir, parts, flushed, history: History::default(), segments: BTreeMap::new() };
    let (tail, cut) = scan.read_all()?;
    let Scan { mut history, segments, .. } = scan;
    let stopped = history.finish();
    let report = OpenReport {
        segments: segments.len(),
        runs: history.runs.values().filter(|run| run.head.version > 0 || run.stopped.is_some()).count(),
        transitions: history.runs.values().map(|run| run.places.len() as u64).sum(),
        cut,
        moved: 0,
        corruption: history.damages.clone(),
        stopped,
        repeated: history.repeated,
        repairs: history.repairs.clone(),
        read_only: None,
    };
    Ok(Scanned { history, segments, tail, report, leftovers })
}

/// A segment by number.
enum Part {
    File,
    Pruned(PrunedSegment),
}

struct Scan<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    parts: BTreeMap<u32, Part>,
    flushed: Option<Seal>,
    history: History,
    segments: BTreeMap<u32, u64>,
}

impl Scan<'_> {
    fn read_all(&mut self) -> Result<(Tail, Option<Damage>), StoreError> {
        let numbers: Vec<u32> = self.parts.keys().copied().collect();
        let mut result = (Tail::Sealed { next: 1, after: None }, None);
        let mut expected = 1;
        for (index, &number) in numbers.iter().enumerate() {
            self.note_missing(expected, number);
            expected = number + 1;
            if let Some(Part::Pruned(removed)) = self.parts.get(&number) {
                let seal = Seal { segment: number, length: removed.length };
                result = (Tail::Sealed { next: number + 1, after: Some(seal) }, None);
                for run in &removed.runs {
                    self.history.skip(run);
                }
                continue;
            }
            let bytes = self.read_segment(number)?;
            match numbers.get(index + 1) {
                Some(next) => self.take_closed(number, &bytes, *next)?,
                None => result = self.take_last(number, &bytes)?,
            }
        }
        Ok(result)
    }

    fn read_segment(&self, number: u32) -> Result<Vec<u8>, StoreError> {
        let path = segment::path_of(self.dir, number);
        let file = self.disk.open_read(&path).map_err(|cause| StoreError::io("opening", &path, cause))?;
        read_all(&*file).map_err(|cause| StoreError::io("reading", &path, cause))
    }

    fn note_missing(&mut self, from: u32, to: u32) {
        for segment in from..to {
            self.note(segment, 0, 0, DamageKind::Missing);
        }
    }

    /// Notes damage that has no bytes.
    fn note(&mut self, segment: u32, from: u64, to: u64, kind: DamageKind) {
        self.history.damage(Damage { segment, from, to, kind, excerpt: String::new() }, Vec::new());
    }

    fn header_of(&self, number: u32) -> Result<Option<Header>, StoreError> {
        if let Some(Part::Pruned(removed)) = self.parts.get(&number) {
            return Ok(Some(Header { segment: number, format: FORMAT, after: removed.after, known: 0 }));
        }
        let path = segment::path_of(self.dir, number);
        let file = self.disk.open_read(&path).map_err(|cause| StoreError::io("opening", &path, cause))?;
        let start = read_range(&*file, 0, HEADER_ROOM).map_err(|cause| StoreError::io("reading", &path, cause))?;
        let Some(line) = start.split(|b| *b == b'\n').next() else { return Ok(None) };
        match format::decode(line) {
            Some(Line::Header(header)) => Ok(Some(header)),
            Some(Line::Transition(_) | Line::Repair(_) | Line::Closed(_)) | None => Ok(None),
        }
    }

    /// A segment that another one follows. Everything up to its seal was durable.
    fn take_closed(&mut self, number: u32, bytes: &[u8], next: u32) -> Result<(), StoreError> {
        let seal = self.header_of(next)?.and_then(|header| header.after).filter(|seal| seal.segment == number);
        let parsed = Parsed::of(bytes, seal.map_or(u64::MAX, |seal| seal.length));
        self.check_header(number, parsed.header.as_ref())?;
        let end = parsed.end;
        self.segments.insert(number, end);
        for item in parsed.items {
            self.take(number, bytes, item);
        }
        if let Some(Seal { length, .. }) = seal.filter(|seal| end < seal.length) {
            self.note(number, end, length, DamageKind::Truncated);
        }
        Ok(())
    }

    /// The last segment. What is proven durable there is what its own lines say.
    fn take_last(&mut self, number: u32, bytes: &[u8]) -> Result<(Tail, Option<Damage>), StoreError> {
        let Parsed { header, items, end: content_end, known, closed_at } = Parsed::of(bytes, u64::MAX);
        self.check_header(number, header.as_ref())?;
        // A segment gets its name only after its first line was flushed, so that line counts as durable in any case.
        let first_line = items.first().filter(|_| header.is_none()).map_or(1, |first| bounds(first).1);
        let proven = self.flushed.filter(|flushed| flushed.segment == number).map_or(0, |flushed| flushed.length);
        let durable = known.max(closed_at.unwrap_or(0)).max(proven).max(first_line);
        let (mut cut, mut lines) = (None, Vec::new());
        let mut end = if header.is_some() { first_line_len(bytes) } else { 0 };
        for item in items {
            let (from, to) = bounds(&item);
            match item {
                Item::Line { line: Line::Closed(_), .. } => {}
                Item::Bad { .. } if to > durable => {
                    if from < durable {
                        self.take(number, bytes, Item::Bad { from, to: durable });
                    }
                    let (from, kind) = (from.max(durable), DamageKind::UnfinishedFlush);
                    let excerpt = segment::excerpt(bytes, from, content_end);
                    cut = Some(Damage { segment: number, from, to: content_end, kind, excerpt });
                    break;
                }
                item @ (Item::Line { .. } | Item::Bad { .. }) => {
                    end = to;
                    let line = (from >= durable).then(|| tail_line(&item)).flatten();
                    if self.take(number, bytes, item) != Some(Taken::Repeated) {
                        lines.extend(line);
                    }
                }
            }
        }
        if content_end < durable {
            self.note(number, content_end, durable, DamageKind::Truncated);
        }
        self.segments.insert(number, end);
        let tail = match closed_at {
            Some(end) if header.is_some() && cut.is_none() => Tail::Closed { number, end },
            Some(_) | None => Tail::Unclean { number, durable, lines },
        };
        Ok((tail, cut))
    }

    fn check_header(&mut self, number: u32, header: Option<&Header>) -> Result<(), StoreError> {
        match header {
            Some(header) if header.format > FORMAT => {
                let path = segment::path_of(self.dir, number);
                Err(StoreError::Format { path, found: header.format, known: FORMAT })
            }
            Some(header) if header.segment != number => {
                // The file stands at another segment's place: that one is what is missing.
                self.note(number, 0, 0, DamageKind::Missing);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn take(&mut self, number: u32, bytes: &[u8], item: Item<'_>) -> Option<Taken> {
        match item {
            Item::Bad { from, to } => {
                let excerpt = segment::excerpt(bytes, from, to);
                let damage = Damage { segment: number, from, to, kind: DamageKind::Changed, excerpt };
                self.history.damage(damage, segment::names_in(bytes, from, to));
                None
            }
            Item::Line { from, line: Line::Transition(record), to } => {
                let len = (to - from).saturating_sub(1);
                let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
                let place = Place { segment: number, offset: narrow(from), len: narrow(len) };
                Some(self.history.take(&record, place))
            }
            Item::Line { line: Line::Repair(repair), .. } => {
                self.history.decide(&repair, number);
                None
            }
            Item::Line { line: Line::Header(_) | Line::Closed(_), .. } => None,
        }
    }
}

fn bounds(item: &Item<'_>) -> (u64, u64) {
    match item {
        Item::Line { from, to, .. } | Item::Bad { from, to } => (*from, *to),
    }
}

fn tail_line(item: &Item<'_>) -> Option<TailLine> {
    match item {
        Item::Line { line: Line::Transition(record), .. } => Some(TailLine {
            draft: Draft::Transition(record.to_core()),
            of: Some((RunName::trusted(record.run), record.version)),
        }),
        Item::Line { line: Line::Repair(repair), .. } => {
            Some(TailLine { draft: Draft::Repair(Box::new(repair.clone())), of: None })
        }
        Item::Line { line: Line::Header(_) | Line::Closed(_), .. } | Item::Bad { .. } => None,
    }
}

fn first_line_len(bytes: &[u8]) -> u64 {
    bytes.iter().position(|b| *b == b'\n').map_or(0, |len| len as u64 + 1)
}
