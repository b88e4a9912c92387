//! Room for the notes of process groups on a full disk: a file of fixed slots, made while there is room.
//!
//! Its slots are written in place, which takes no room on the file systems that a state directory lies on. Only one
//! process writes: the owner of the directory. What must never happen: that a slot that names a group of this start of
//! the machine is given to another group. Start with [`prepare`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::proc_table::GroupNote;

/// How many groups can be noted at a time.
const SLOTS: u64 = 64;
/// The most bytes of a note.
const SLOT: usize = 1024;

/// Two groups must not choose the same slot.
static CHOOSING: Mutex<()> = Mutex::new(());

/// Makes the file if it is not there in full. What it notes stays.
///
/// # Errors
/// What the file system said; then there are as many slots as there was room for.
pub fn prepare(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
    let slots = file.metadata()?.len() / SLOT as u64;
    for slot in slots..SLOTS {
        write_slot(&file, slot, "")?;
    }
    if slots < SLOTS { file.sync_data() } else { Ok(()) }
}

/// All that is noted.
#[must_use]
pub fn read(path: &Path) -> Vec<GroupNote> {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.chunks_exact(SLOT).filter_map(parse).collect()
}

/// Forgets the notes that `over` picks.
pub fn forget(path: &Path, over: impl Fn(&GroupNote) -> bool) {
    let _choosing = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(bytes) = std::fs::read(path) else { return };
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return };
    for (slot, bytes) in (0..).zip(bytes.chunks_exact(SLOT)) {
        if parse(bytes).is_some_and(|note| over(&note)) {
            // One that stays names a group that nobody has any more.
            write_slot(&file, slot, "").ok();
        }
    }
}

/// A note in a slot.
#[derive(Debug)]
pub(crate) struct Slot {
    path: PathBuf,
    number: u64,
}

impl Slot {
    /// Notes a group in a free slot.
    pub(crate) fn take(path: &Path, note: &GroupNote) -> io::Result<Self> {
        let text = note.line();
        if text.len() > SLOT {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let _choosing = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::fs::read(path)?;
        let is_free = |bytes: &[u8]| parse(bytes).is_none_or(|note| !note.is_current());
        let free = (0..).zip(bytes.chunks_exact(SLOT)).find(|(_, bytes)| is_free(bytes));
        let (number, _) = free.ok_or(io::ErrorKind::StorageFull)?;
        write_slot(&OpenOptions::new().write(true).open(path)?, number, &text)?;
        Ok(Self { path: path.to_owned(), number })
    }

    /// Gives it back.
    pub(crate) fn give_back(self) {
        let blank = || write_slot(&OpenOptions::new().write(true).open(&self.path)?, self.number, "");
        // One that stays names a group that nobody has any more.
        blank().ok();
    }
}

fn parse(bytes: &[u8]) -> Option<GroupNote> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    GroupNote::parse(std::str::from_utf8(bytes.get(..=end)?).ok()?)
}

fn write_slot(file: &File, number: u64, text: &str) -> io::Result<()> {
    let mut bytes = [b'\n'; SLOT];
    if let Some(place) = bytes.get_mut(..text.len()) {
        place.copy_from_slice(text.as_bytes());
    }
    file.write_all_at(&bytes, number * SLOT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_taken_until_it_is_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("groups");
        prepare(&path).expect("there is room");
        let me = i32::try_from(std::process::id()).expect("a process number");
        let note = |name: &str| GroupNote::of(name, me).expect("this process runs");
        let first = Slot::take(&path, &note("s/a/1/x/undo-1")).expect("a slot");
        let second = Slot::take(&path, &note("s/a/1/y/undo-1")).expect("a slot");
        prepare(&path).expect("it is there");
        assert_eq!(read(&path), [note("s/a/1/x/undo-1"), note("s/a/1/y/undo-1")]);
        first.give_back();
        assert_eq!(read(&path), [note("s/a/1/y/undo-1")]);
        let third = Slot::take(&path, &note("s/a/1/z/undo-1")).expect("the free one");
        assert_eq!((third.number, second.number), (0, 1));
        forget(&path, |note| note.attempt.ends_with("y/undo-1"));
        assert_eq!(read(&path), [note("s/a/1/z/undo-1")]);
    }

    #[test]
    fn more_groups_than_slots_are_refused_and_none_is_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("groups");
        prepare(&path).expect("there is room");
        let me = i32::try_from(std::process::id()).expect("a process number");
        let note = GroupNote::of("s/a/1/x/undo-1", me).expect("this process runs");
        for _ in 0..SLOTS {
            Slot::take(&path, &note).expect("a slot");
        }
        Slot::take(&path, &note).expect_err("none is left");
        assert_eq!(read(&path).len() as u64, SLOTS);
    }
}
