//! The few operations on files that the journal needs, as a seam for failing and for recording disks.
//!
//! [`RealDisk`] is the operating system. The second implementation, in the tests, records every write, flush and
//! rename, fails on demand, and builds the images that a power loss could leave. Nothing else may write journal or
//! content-addressed files, or those tests would prove nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Files in directories.
pub trait Disk: Send + Sync {
    /// Creates a file for reading and writing; an existing one is emptied.
    ///
    /// # Errors
    /// The system's answer, as for every operation here.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// The system's answer.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// The system's answer.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file, replacing what is there.
    ///
    /// # Errors
    /// The system's answer.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's answer.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory; one that exists is fine. Says whether it is new.
    ///
    /// # Errors
    /// The system's answer.
    fn create_dir(&self, dir: &Path) -> io::Result<Created>;
    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    /// The system's answer.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in no order.
    ///
    /// # Errors
    /// The system's answer; `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
}

/// Whether a directory had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new, and its parent has to be flushed.
    New,
    /// It was there.
    Existing,
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Reads at `offset` into `buf`; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// The system's answer.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at `offset` and says how many bytes were taken. An error means that none were.
    ///
    /// # Errors
    /// The system's answer.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reserves room up to `len`, without promising what it holds. A file system that cannot do this does nothing.
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    fn reserve(&self, from: u64, len: u64) -> io::Result<()>;
    /// Makes the content and the size durable (`fdatasync`).
    ///
    /// # Errors
    /// The system's answer. After one nothing is known about what is on the disk.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file, or extends it with zeros.
    ///
    /// # Errors
    /// The system's answer.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's size in bytes.
    ///
    /// # Errors
    /// The system's answer.
    fn size(&self) -> io::Result<u64>;
}

/// How much of a write reached the file before it failed.
#[derive(Debug)]
pub(super) struct ShortWrite {
    /// Bytes that were taken.
    pub(super) written: usize,
    /// What stopped it.
    pub(super) cause: io::Error,
}

/// Writes all of `bytes`, or says how far it came.
pub(super) fn write_all_at(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> Result<(), ShortWrite> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => return Err(ShortWrite { written, cause: io::ErrorKind::WriteZero.into() }),
            Ok(count) => written += count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(ShortWrite { written, cause }),
        }
    }
    Ok(())
}

/// Reads the whole file.
pub(super) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(io::Error::other)?;
    read_range(file, 0, size)
}

/// Reads up to `len` bytes at `offset`; fewer only at the end of the file.
pub(super) fn read_range(file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<Created> {
        match fs::create_dir(dir) {
            Ok(()) => Ok(Created::New),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(Created::Existing),
            Err(cause) => Err(cause),
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl DiskFile for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn reserve(&self, from: u64, len: u64) -> io::Result<()> {
        let Some(extra) = len.checked_sub(from).filter(|extra| *extra > 0) else { return Ok(()) };
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::KEEP_SIZE, from, extra) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(()),
            answer => Ok(answer?),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn reserve(&self, _from: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
