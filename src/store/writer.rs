//! The only code that writes journal segments: one batch, one flush.
//!
//! It must never write again to a segment after a write or a flush of it failed, and never say *not written* about
//! bytes that a later start could find. Start at [`Writer::commit`].
//!
//! A segment grows in steps that are filled with newlines ahead of the lines, so that flushing a batch changes no
//! size and costs one fdatasync. A new segment is written whole under another name, with its first batch, flushed, and
//! only then named; so a name always stands for a readable beginning.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, write_all_at};
use super::error::{StoreError, is_full};
use super::format::{self, Draft, FORMAT, Header, Seal};
use super::history::Place;
use super::scan::Tail;
use super::segment;
use super::spare::Spare;

/// The name of a segment that is not finished.
pub(super) const UNFINISHED: &str = "next.tmp";
/// Room for a header with the largest numbers.
const HEADER_MAX: usize = 200;
/// What is written at a time when filling.
const FILL_CHUNK: usize = 256 << 10;

/// How large segments are and grow, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// What a new segment begins with.
    pub first: u64,
    /// The most that is added at a time.
    pub step: u64,
    /// From where on a segment is closed and another one begun.
    pub max: u64,
    /// What is kept ahead of the lines where possible, so that a disk that fills up leaves room to go back. Twice as
    /// much is kept as a segment of its own, for an engine that comes after; none of it if this is 0.
    pub ahead: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { first: 256 << 10, step: 1 << 20, max: 16 << 20, ahead: 64 << 10 }
    }
}

/// Why a batch was not written.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) reached: Reached,
    pub(super) then: Then,
}

/// Whether a later start could find any of a batch that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    Nothing,
    Unknown,
}

/// Whether the journal can go on after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    Close,
}

/// Writes batches to the last segment.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    sizes: Sizes,
    at: At,
    buffer: Vec<u8>,
    spare: Spare,
    /// Set while the disk is full and only what was filled ahead can be written.
    tight: bool,
}

enum At {
    /// Before a segment that does not exist yet.
    Fresh { next: u32, after: Option<Seal> },
    /// Before the closing line of a segment that was closed in order and is not open yet.
    Resume { number: u32, end: u64 },
    /// In an open segment.
    Open(Active),
}

struct Active {
    number: u32,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    /// The byte after the last line; everything before it is durable.
    end: u64,
    /// The byte after the last newline of the filling.
    filled: u64,
}

impl Writer {
    /// Goes on after `tail`. The lines that an unclean tail moves are the caller's to commit first.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, sizes: Sizes, tail: &Tail) -> Self {
        let at = match *tail {
            Tail::Sealed { next, after } => At::Fresh { next, after },
            Tail::Closed { number, end } => At::Resume { number, end },
            Tail::Unclean { number, durable, .. } => {
                At::Fresh { next: number + 1, after: Some(Seal { segment: number, length: durable }) }
            }
        };
        let spare = Spare::find(&*disk, &dir, sizes.ahead.saturating_mul(2));
        Self { disk, dir, sizes, at, buffer: Vec::new(), spare, tight: false }
    }

    /// Keeps a segment for a disk that is full one day, and finds out whether it is full now. Whatever stands in the
    /// way, the journal goes on without it.
    pub(super) fn make_room(&mut self) {
        let kept = self.spare.keep(&*self.disk, &self.dir);
        let grown = match &mut self.at {
            At::Open(active) if !active.has_room_for(0, &self.sizes) => active.grow(0, &self.sizes),
            // Nothing is kept ahead before a segment is open: then the spare one is all there is.
            At::Open(_) | At::Fresh { .. } | At::Resume { .. } => Ok(()),
        };
        self.tight = [kept, grown].iter().any(|made| made.as_ref().is_err_and(is_full));
    }

    /// The segment that is being written and how far it is durable; `None` before the first batch.
    pub(super) fn flushed(&self) -> Option<Seal> {
        match &self.at {
            At::Fresh { after, .. } => *after,
            At::Resume { number, end } => Some(Seal { segment: *number, length: *end }),
            At::Open(active) => Some(Seal { segment: active.number, length: active.end }),
        }
    }

    /// How many bytes can still be written while the disk is full; `None` if it is not.
    pub(super) fn room_left(&self) -> Option<u64> {
        let open = match &self.at {
            At::Open(active) => active.filled - active.end,
            At::Fresh { .. } | At::Resume { .. } => 0,
        };
        self.tight.then(|| open + self.spare.room())
    }

    /// Writes and flushes a batch of at least one line, and says where each line stands.
    pub(super) fn commit(&mut self, lines: &[Draft]) -> Result<Vec<Place>, Failure> {
        let need: usize = lines.iter().map(Draft::max_len).sum();
        let need = need as u64;
        if let At::Resume { number, end } = self.at {
            self.resume(number, end)?;
        }
        match &self.at {
            At::Open(active) if active.end + need <= self.sizes.max => self.append(lines, need),
            At::Open(_) | At::Fresh { .. } | At::Resume { .. } => self.commit_whole(lines),
        }
    }

    /// Writes and flushes lines as the beginning of a new segment: all of them or none.
    pub(super) fn commit_whole(&mut self, lines: &[Draft]) -> Result<Vec<Place>, Failure> {
        let after = self.flushed();
        let next = match &self.at {
            At::Fresh { next, .. } => *next,
            At::Resume { number, .. } | At::Open(Active { number, .. }) => number + 1,
        };
        self.begin(lines, next, after)
    }

    /// Opens a segment that was closed in order. Its closing line counts as not filled: it will be written over.
    fn resume(&mut self, number: u32, end: u64) -> Result<(), Failure> {
        let path = segment::path_of(&self.dir, number);
        match self.disk.open(&path) {
            Ok(file) => {
                self.at = At::Open(Active { number, file, path, end, filled: end });
                Ok(())
            }
            Err(cause) => Err(Failure {
                error: StoreError::io("opening", &path, cause),
                reached: Reached::Nothing,
                then: Then::Close,
            }),
        }
    }

    fn append(&mut self, lines: &[Draft], need: u64) -> Result<Vec<Place>, Failure> {
        let At::Open(active) = &mut self.at else { unreachable!("only an open segment is appended to") };
        if !active.has_room_for(need, &self.sizes) {
            let grown = active.grow(need, &self.sizes);
            self.tight = match &grown {
                Ok(()) => self.spare.keep(&*self.disk, &self.dir).is_err_and(|cause| is_full(&cause)),
                Err(cause) => is_full(cause),
            };
            match grown {
                Err(cause) if is_full(&cause) && active.end + need <= active.filled => {}
                Err(cause) if is_full(&cause) && self.spare.room() > 0 => return self.commit_whole(lines),
                Err(cause) if is_full(&cause) => return Err(full(&self.dir, need, cause)),
                Err(cause) => {
                    let error = StoreError::io("extending", &active.path, cause);
                    return Err(Failure { error, reached: Reached::Nothing, then: Then::Close });
                }
                Ok(()) => {}
            }
        }
        self.buffer.clear();
        let places = render(lines, active.number, active.end, active.end, &mut self.buffer);
        if let Err(short) = write_all_at(&*active.file, &self.buffer, active.end) {
            if short.written == 0 && is_full(&short.cause) {
                return Err(full(&self.dir, need, short.cause));
            }
            return Err(in_doubt("writing", &active.path, short.cause));
        }
        active.file.sync_data().map_err(|cause| in_doubt("flushing", &active.path, cause))?;
        active.end += self.buffer.len() as u64;
        trim_buffer(&mut self.buffer);
        Ok(places)
    }

    /// Makes segment `number` with `lines` as its first batch. Until it has its name, nothing of it can be found.
    fn begin(&mut self, lines: &[Draft], number: u32, after: Option<Seal>) -> Result<Vec<Place>, Failure> {
        let (fresh, path) = (self.dir.join(UNFINISHED), segment::path_of(&self.dir, number));
        let places = render_first(lines, number, after, &mut self.buffer);
        let end = self.buffer.len() as u64;
        let large = matches!(&self.at, At::Open(active) if active.filled >= self.sizes.step);
        let wanted = (end + self.sizes.ahead).max(if large { self.sizes.step } else { self.sizes.first });
        let wanted = wanted.min(self.sizes.max.max(end));
        let made = self.make(&fresh, wanted);
        self.tight = made.as_ref().is_err_and(is_full);
        let made = made.or_else(|cause| {
            if !is_full(&cause) {
                return Err(cause);
            }
            // On a nearly full disk the batch alone may still fit; before that, what was kept for this serves.
            match self.spare.take(&*self.disk, &self.dir, &fresh, &self.buffer) {
                Some(made) => Ok(made),
                None => self.make(&fresh, end),
            }
        });
        let (file, filled) = made.map_err(|cause| self.not_begun(&fresh, end, cause))?;
        let named = self.disk.rename(&fresh, &path).and_then(|()| self.disk.sync_dir(&self.dir));
        named.map_err(|cause| in_doubt("naming", &path, cause))?;
        self.at = At::Open(Active { number, file, path, end, filled });
        if let Some(seal) = after {
            self.trim(seal);
        }
        trim_buffer(&mut self.buffer);
        // What the one before gave back may be enough for another; where it is not, the disk is full.
        self.tight |= self.spare.keep(&*self.disk, &self.dir).is_err_and(|cause| is_full(&cause));
        Ok(places)
    }

    /// Writes and flushes the buffer and the filling behind it to a file that has no segment's name yet.
    fn make(&self, path: &Path, len: u64) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let file = self.disk.create(path)?;
        file.reserve(0, len)?;
        write_all_at(&*file, &self.buffer, 0).map_err(|short| short.cause)?;
        let filled = fill(&*file, self.buffer.len() as u64, len)?;
        file.sync_data()?;
        Ok((file, filled))
    }

    /// Cuts a closed segment behind its seal. The next segment's header says where it ends, so an error here costs
    /// nothing but room. A segment that lost bytes is not made longer: its loss has to stay visible.
    fn trim(&self, seal: Seal) {
        if let Ok(file) = self.disk.open(&segment::path_of(&self.dir, seal.segment))
            && file.size().is_ok_and(|size| size > seal.length)
        {
            file.set_len(seal.length).ok();
        }
    }

    fn not_begun(&self, fresh: &Path, need: u64, cause: io::Error) -> Failure {
        // Whatever was made of it gives its room back; if that fails, the next start does it.
        self.disk.remove(fresh).ok();
        if is_full(&cause) {
            return full(&self.dir, need, cause);
        }
        let error = StoreError::io("beginning a segment", fresh, cause);
        Failure { error, reached: Reached::Nothing, then: Then::Close }
    }

    /// Ends the last segment in order: a closing line, and nothing behind it. No commit may follow.
    pub(super) fn close(&mut self) -> Result<(), StoreError> {
        let At::Open(active) = &self.at else { return Ok(()) };
        let mark = format::encode_closed(active.end);
        let end =
            write_all_at(&*active.file, &mark, active.end).map_or(active.end, |()| active.end + mark.len() as u64);
        let closed = active.file.set_len(end).and_then(|()| active.file.sync_data());
        closed.map_err(|cause| StoreError::io("closing", &active.path, cause))
    }
}

impl Active {
    /// Whether `need` bytes fit, and what is kept ahead is still there behind them.
    fn has_room_for(&self, need: u64, sizes: &Sizes) -> bool {
        self.kept(need, sizes) <= self.filled
    }

    /// How far the filling has to reach, so that what is kept ahead is there behind `need` bytes.
    fn kept(&self, need: u64, sizes: &Sizes) -> u64 {
        let least = self.end + need;
        (least + sizes.ahead).min(sizes.max.max(least))
    }

    /// Fills ahead, so that `need` bytes and some more fit. After an error the segment reaches as far as before, or so
    /// far that at least `need` bytes fit.
    fn grow(&mut self, need: u64, sizes: &Sizes) -> io::Result<()> {
        let (least, kept) = (self.end + need, self.kept(need, sizes));
        let step = self.filled.clamp(sizes.first, sizes.step.max(sizes.first));
        let wanted = (self.filled + step).max(kept).min(sizes.max.max(least));
        match self.extend(wanted) {
            Ok(filled) => self.filled = filled,
            Err(cause) if is_full(&cause) => match self.extend(kept) {
                Ok(filled) => self.filled = filled,
                Err(cause) => {
                    // What is kept ahead is used up from here on; the batch itself may need some more.
                    if is_full(&cause) && least > self.filled {
                        self.filled = self.extend(least).unwrap_or(self.filled);
                    }
                    return Err(cause);
                }
            },
            Err(cause) => return Err(cause),
        }
        Ok(())
    }

    fn extend(&self, len: u64) -> io::Result<u64> {
        self.file.reserve(self.filled, len)?;
        let extended = fill(&*self.file, self.filled, len);
        if extended.is_err() {
            // Gives back what was filled; blank bytes behind the lines would do no harm.
            self.file.set_len(self.filled).ok();
        }
        extended
    }
}

/// Writes newlines from `from` to `to`, and says where they end.
pub(super) fn fill(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<u64> {
    static NEWLINES: [u8; FILL_CHUNK] = [b'\n'; FILL_CHUNK];
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).unwrap_or(FILL_CHUNK).min(FILL_CHUNK);
        write_all_at(file, &NEWLINES[..len], at).map_err(|short| short.cause)?;
        at += len as u64;
    }
    Ok(at.max(from))
}

/// Writes the lines as they stand at `offset` of segment `number`.
fn render(lines: &[Draft], number: u32, offset: u64, known: u64, buffer: &mut Vec<u8>) -> Vec<Place> {
    let base = buffer.len() as u64;
    let narrow = |value: u64| u32::try_from(value).expect("segments end before 4 GiB");
    let mut places = Vec::with_capacity(lines.len());
    for line in lines {
        let from = buffer.len();
        line.finish(known, buffer);
        let (offset, len) = (offset + from as u64 - base, (buffer.len() - from - 1) as u64);
        places.push(Place { segment: number, offset: narrow(offset), len: narrow(len) });
    }
    places
}

/// Writes a header and the first lines. They all know that they are durable once the segment has its name, so `known`
/// is the length of what is written here, and has to be found by trying: its digits are part of it.
fn render_first(lines: &[Draft], number: u32, after: Option<Seal>, buffer: &mut Vec<u8>) -> Vec<Place> {
    let mut known = 0;
    loop {
        buffer.clear();
        buffer.extend(format::encode_control(&Header { segment: number, format: FORMAT, after, known }));
        let header = buffer.len() as u64;
        let places = render(lines, number, header, known, buffer);
        let len = buffer.len() as u64;
        if len == known {
            return places;
        }
        known = len;
    }
}

/// Gives memory back after an unusually large batch.
fn trim_buffer(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(1 << 20);
}

fn full(dir: &Path, needed: u64, cause: io::Error) -> Failure {
    let error = StoreError::DiskFull { dir: dir.into(), needed, source: Arc::new(cause) };
    Failure { error, reached: Reached::Nothing, then: Then::GoOn }
}

fn in_doubt(doing: &'static str, path: &Path, cause: io::Error) -> Failure {
    let error = StoreError::FlushFailed { doing, path: path.into(), source: Arc::new(cause) };
    Failure { error, reached: Reached::Unknown, then: Then::Close }
}

/// Refuses what could never be written, before anything is.
pub(super) fn check_size(draft: &format::Core, largest: usize) -> Result<(), StoreError> {
    let size = draft.max_len();
    if size + HEADER_MAX > largest {
        return Err(StoreError::TooLarge { size: size as u64, limit: largest as u64 });
    }
    Ok(())
}
