//! A disk that counts its flushes, and can leave them out where only the processor is of interest.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bascule::store::disk::{Created, Disk, DiskFile, RealDisk};

/// Whether a flush reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushes {
    Real,
    LeftOut,
}

/// The system's disk, counted.
pub(crate) struct CountingDisk {
    flushes: Flushes,
    count: Arc<AtomicU64>,
}

struct CountingFile {
    file: Arc<dyn DiskFile>,
    flushes: Flushes,
    count: Arc<AtomicU64>,
}

impl CountingDisk {
    pub(crate) fn new(flushes: Flushes) -> Arc<Self> {
        Arc::new(Self { flushes, count: Arc::default() })
    }

    /// Flushes of files and directories so far.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountingFile { file, flushes: self.flushes, count: self.count.clone() })
    }
}

impl Disk for CountingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.create(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path).map(|file| self.wrap(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<Created> {
        RealDisk.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.flushes == Flushes::LeftOut { Ok(()) } else { RealDisk.sync_dir(dir) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn reserve(&self, from: u64, len: u64) -> io::Result<()> {
        self.file.reserve(from, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.flushes == Flushes::LeftOut { Ok(()) } else { self.file.sync_data() }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}
