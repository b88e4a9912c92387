//! A segment that is kept for a disk that is full: made while there is room, renamed into place when there is none.
//!
//! A journal that was not closed in order goes on in a new segment, so what its last one has filled ahead is of no use
//! just when a machine is in trouble twice. Nothing that stands in this file is ever read as a line: it holds newlines
//! only until the moment it is used, and is made blank again if a crash came in between. Start at [`Spare::find`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_all, write_all_at};
use super::writer::fill;

/// The file's name.
pub(super) const SPARE: &str = "spare.tmp";

/// The segment that is kept.
#[derive(Debug)]
pub(super) struct Spare {
    /// How large it is kept; 0: none is.
    wanted: u64,
    /// How large it is; 0: there is none.
    len: u64,
}

impl Spare {
    /// What an earlier process kept in `dir`, if anything.
    pub(super) fn find(disk: &dyn Disk, dir: &Path, wanted: u64) -> Self {
        let len = if wanted > 0 { blank(disk, &path(dir)).unwrap_or(0) } else { 0 };
        Self { wanted, len }
    }

    /// How many bytes it has room for.
    pub(super) fn room(&self) -> u64 {
        self.len
    }

    /// Makes it if there is none. On an error none is left behind.
    pub(super) fn keep(&mut self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        if self.len >= self.wanted {
            return Ok(());
        }
        let path = path(dir);
        let made = if self.len > 0 { disk.open(&path) } else { disk.create(&path) };
        let made = made.and_then(|file| {
            file.reserve(self.len, self.wanted)?;
            fill(&*file, self.len, self.wanted)?;
            file.sync_data()?;
            disk.sync_dir(dir)
        });
        match made {
            Ok(()) => self.len = self.wanted,
            // A shorter one from before serves better than none.
            Err(_) if self.len > 0 => {}
            Err(_) => drop(disk.remove(&path)),
        }
        made
    }

    /// Turns it into the file `fresh`, which begins with `first`; durable, but for its name. `None` if there is none,
    /// or it cannot serve.
    pub(super) fn take(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        fresh: &Path,
        first: &[u8],
    ) -> Option<(Arc<dyn DiskFile>, u64)> {
        let len = std::mem::take(&mut self.len);
        let path = path(dir);
        if len == 0 {
            return None;
        }
        let taken = disk.open(&path).and_then(|file| {
            if first.len() as u64 > len {
                return Err(io::ErrorKind::StorageFull.into());
            }
            write_all_at(&*file, first, 0).map_err(|short| short.cause)?;
            file.sync_data()?;
            disk.rename(&path, fresh)?;
            Ok((file, len))
        });
        if taken.is_err() {
            // Its room may be enough for something else.
            disk.remove(&path).ok();
        }
        taken.ok()
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(SPARE)
}

/// Makes a file hold newlines only, in the room that it has; answers how long it is.
fn blank(disk: &dyn Disk, path: &Path) -> io::Result<u64> {
    let file = disk.open(path)?;
    let bytes = read_all(&*file)?;
    if bytes.iter().any(|byte| *byte != b'\n') {
        fill(&*file, 0, bytes.len() as u64)?;
        file.sync_data()?;
    }
    Ok(bytes.len() as u64)
}
