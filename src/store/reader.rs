//! Reads transitions back from segments, by place and in log order.
//!
//! It reads only what the state says is durable, checks every line again, and never writes. Start at
//! [`Reader::transition`] and [`Reader::chunk`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::commit::lock;
use super::disk::{Disk, DiskFile, read_range};
use super::error::StoreError;
use super::format::{self, Line};
use super::history::Place;
use super::record::Transition;
use super::segment;

/// The most segments that are kept open for reading.
const OPEN_FILES: usize = 64;

/// Reads lines.
pub(super) struct Reader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    files: Mutex<BTreeMap<u32, Arc<dyn DiskFile>>>,
}

/// Lines that follow each other in a segment.
pub(super) struct Chunk {
    /// The transitions among them, with their places.
    pub(super) transitions: Vec<(Place, Transition)>,
    /// The offset after the last whole line.
    pub(super) end: u64,
}

impl Reader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir, files: Mutex::new(BTreeMap::new()) }
    }

    /// Forgets open files, because segments were cut or moved.
    pub(super) fn forget(&self) {
        lock(&self.files).clear();
    }

    fn file(&self, number: u32) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut files = lock(&self.files);
        if let Some(file) = files.get(&number) {
            return Ok(Arc::clone(file));
        }
        let path = segment::path_of(&self.dir, number);
        let file = self.disk.open_read(&path).map_err(|cause| StoreError::io("opening", &path, cause))?;
        if files.len() >= OPEN_FILES {
            files.pop_first();
        }
        files.insert(number, Arc::clone(&file));
        Ok(file)
    }

    fn bytes(&self, number: u32, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let file = self.file(number)?;
        let path = || segment::path_of(&self.dir, number);
        read_range(&*file, offset, len).map_err(|cause| StoreError::io("reading", &path(), cause))
    }

    /// The transition at a place; `None` if the line there is damaged now.
    pub(super) fn transition(&self, place: Place) -> Result<Option<Transition>, StoreError> {
        let bytes = self.bytes(place.segment, place.offset.into(), place.len as usize)?;
        match format::decode(&bytes) {
            Some(Line::Transition(record)) => Ok(Some(record.to_transition())),
            Some(Line::Header(_) | Line::Repair(_) | Line::Closed(_)) | None => Ok(None),
        }
    }

    /// Some whole lines of a segment from `offset`, which is the beginning of a line, and before `end`.
    pub(super) fn chunk(&self, number: u32, offset: u64, end: u64) -> Result<Chunk, StoreError> {
        let mut want: usize = 128 << 10;
        loop {
            let rest = usize::try_from(end - offset).unwrap_or(usize::MAX);
            let bytes = self.bytes(number, offset, want.min(rest))?;
            let whole = if bytes.len() < want { bytes.len() } else { line_end(&bytes) };
            if whole > 0 || bytes.is_empty() {
                return Ok(split(number, offset, end, &bytes[..whole]));
            }
            want *= 4;
        }
    }
}

/// The byte after the last line end, 0 if there is none.
fn line_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|b| *b == b'\n').map_or(0, |last| last + 1)
}

fn split(number: u32, offset: u64, end: u64, bytes: &[u8]) -> Chunk {
    let mut transitions = Vec::new();
    let mut at = offset;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(Line::Transition(record)) = format::decode(text) {
            let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
            let place = Place { segment: number, offset: narrow(at), len: narrow(text.len() as u64) };
            transitions.push((place, record.to_transition()));
        }
        at += line.len() as u64;
    }
    // A file that is shorter than it should be has nothing more to give.
    let end = if bytes.is_empty() { end } else { at };
    Chunk { transitions, end }
}
