//! Content-addressed files: plans, outputs too large for an event, digests of logs.
//!
//! A file's name is the SHA-256 of its content, as `sha256sum` prints it. A file is written under another name,
//! flushed, renamed, and its directory flushed, before its name is given to anybody; so an event never names content
//! that a power loss can take away. Nothing here is ever changed or removed. Start at [`Blobs::put`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Created, Disk, read_all, write_all_at};
use super::error::{StoreError, is_full};
use super::record::Hash;

/// The content-addressed files of a state directory.
pub struct Blobs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Gives every unfinished file a name of its own.
    unfinished: AtomicU64,
}

impl Blobs {
    /// Opens `blobs/` in a state directory that this process owns; creates it if needed. Blocks.
    ///
    /// # Errors
    /// What the disk answered.
    pub fn open(disk: Arc<dyn Disk>, state_dir: &Path) -> Result<Self, StoreError> {
        let dir = state_dir.join("blobs");
        let created = disk.create_dir(&dir).map_err(|cause| StoreError::io("creating", &dir, cause))?;
        if created == Created::New {
            disk.sync_dir(state_dir).map_err(|cause| StoreError::io("flushing", state_dir, cause))?;
        }
        Ok(Self { disk, dir, unfinished: AtomicU64::new(0) })
    }

    /// For reading only, in a directory that somebody else may own: nothing is created.
    #[must_use]
    pub fn reading(disk: Arc<dyn Disk>, state_dir: &Path) -> Self {
        Self { disk, dir: state_dir.join("blobs"), unfinished: AtomicU64::new(0) }
    }

    /// The file of a hash, whether it exists or not.
    #[must_use]
    pub fn path(&self, hash: &Hash) -> PathBuf {
        self.dir.join(hash.to_string())
    }

    /// Keeps `bytes`, durable when this returns, and names them. Keeping the same bytes again costs a read. Blocks.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or what the disk answered.
    pub fn put(&self, bytes: &[u8]) -> Result<Hash, StoreError> {
        let hash = Hash::of(bytes);
        let path = self.path(&hash);
        if self.disk.open_read(&path).and_then(|file| read_all(&*file)).is_ok_and(|found| found == bytes) {
            // It may have been written a moment before a crash, by a process that never flushed the directory.
            self.disk.sync_dir(&self.dir).map_err(|cause| StoreError::io("flushing", &self.dir, cause))?;
            return Ok(hash);
        }
        let turn = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let fresh = self.dir.join(format!("{hash}.{turn}.tmp"));
        self.write(bytes, &fresh, &path).map_err(|cause| {
            self.disk.remove(&fresh).ok();
            if is_full(&cause) {
                let (dir, source) = (self.dir.clone(), Arc::new(cause));
                return StoreError::DiskFull { dir, needed: bytes.len() as u64, source };
            }
            StoreError::io("writing", &path, cause)
        })?;
        Ok(hash)
    }

    fn write(&self, bytes: &[u8], fresh: &Path, path: &Path) -> io::Result<()> {
        let file = self.disk.create(fresh)?;
        write_all_at(&*file, bytes, 0).map_err(|short| short.cause)?;
        file.sync_data()?;
        self.disk.rename(fresh, path)?;
        self.disk.sync_dir(&self.dir)
    }

    /// Reads what a hash names, and checks it; `None` if it was never kept. Blocks.
    ///
    /// # Errors
    /// [`StoreError::BlobDamaged`] if the content does not fit its name, or what the disk answered.
    pub fn get(&self, hash: &Hash) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(hash);
        let file = match self.disk.open_read(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(StoreError::io("opening", &path, cause)),
        };
        let bytes = read_all(&*file).map_err(|cause| StoreError::io("reading", &path, cause))?;
        if Hash::of(&bytes) == *hash { Ok(Some(bytes)) } else { Err(StoreError::BlobDamaged { path }) }
    }
}
