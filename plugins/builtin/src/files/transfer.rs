//! Copies the bytes of a file or folder to a name that nobody uses yet, flushed and verified.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bascule_plugin::{ExecCx, Progress};
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};

use super::place::{Claim, sync_folder};
use super::tree::{self, Entry, Kind, PIECE, read_piece};
use super::{Halt, go_on};

/// Zeros in blocks of this size are left out, so that a disk image with holes keeps them.
const HOLE: usize = 64 * 1024;

/// A copy in the making.
pub(super) struct Transfer<'a> {
    pub(super) cx: &'a ExecCx,
    pub(super) claim: &'a Claim,
    pub(super) from: &'a Path,
    /// Where the copy is made; nothing is there yet.
    pub(super) part: &'a Path,
    pub(super) entries: &'a [Entry],
}

/// One file on its way, between two pieces.
struct Piecewise {
    source: File,
    target: File,
    sum: Sha256,
    buffer: Vec<u8>,
    done: u64,
}

impl Transfer<'_> {
    /// Copies everything, reads it back, and answers with its digest.
    pub(super) async fn run(&self) -> Result<String, Halt> {
        let total = self.entries.iter().map(|entry| entry.bytes).sum();
        let (mut digests, mut before) = (Vec::new(), 0);
        for entry in self.entries {
            go_on(self.cx)?;
            let (from, to) = (at(self.from, entry), at(self.part, entry));
            match &entry.kind {
                Kind::Folder => {
                    let made = to.clone();
                    // Nobody else looks in before it is whole.
                    let made = self.claim.run(move || fs::DirBuilder::new().mode(0o700).create(made)).await;
                    made.map_err(|error| Halt::io("create the folder", &to, &error))?;
                }
                Kind::Link(target) => {
                    let (target, link) = (target.clone(), to.clone());
                    let made = self.claim.run(move || std::os::unix::fs::symlink(target, link)).await;
                    made.map_err(|error| Halt::io("create the link", &to, &error))?;
                }
                Kind::File => {
                    let digest = self.file(entry, &from, &to, |done| self.report(before + done, total)).await?;
                    digests.push(digest);
                    before += entry.bytes;
                }
            }
        }
        self.finish_folders().await?;
        Ok(tree::combine(self.entries, &digests))
    }

    fn report(&self, done: u64, total: u64) {
        self.cx.progress(Progress { done, total: Some(total), unit: "bytes".to_owned() });
    }

    async fn file(&self, entry: &Entry, from: &Path, to: &Path, report: impl Fn(u64)) -> Result<String, Halt> {
        let (source, target) = (from.to_owned(), to.to_owned());
        let opened = self.claim.run(move || open(&source, &target)).await;
        let mut copy = opened.map_err(|error| Halt::io(&format!("copy {} to", from.display()), to, &error))?;
        loop {
            go_on(self.cx)?;
            let moved;
            (copy, moved) = self.claim.run(move || copy.piece()).await;
            let moved = moved.map_err(|error| Halt::io(&format!("copy {} to", from.display()), to, &error))?;
            report(copy.done);
            if moved == 0 {
                break;
            }
        }
        let (mode, modified) = (entry.mode, entry.modified);
        let finished = self.claim.run(move || copy.finish(mode, modified)).await;
        let digest = finished.map_err(|error| Halt::io("flush", to, &error))?;
        let (source, seen) = (from.to_owned(), entry.clone());
        let still = self.claim.run(move || unchanged(&source, &seen)).await;
        if !still.map_err(|error| Halt::io("look at", from, &error))? {
            return Err(Halt::failed(format!("{} changed while it was copied", from.display())));
        }
        if tree::digest_file(self.cx, to).await? != digest {
            return Err(Halt::failed(format!(
                "{} reads back differently from what was written to it: its disk or the memory is faulty",
                to.display()
            )));
        }
        Ok(digest)
    }

    /// Gives folders their permissions, which may forbid writing, and makes their names durable.
    async fn finish_folders(&self) -> Result<(), Halt> {
        let folders = self.entries.iter().rev().filter(|entry| entry.kind == Kind::Folder);
        for (folder, mode) in folders.map(|entry| (at(self.part, entry), entry.mode)) {
            let path = folder.clone();
            let finished = self.claim.run(move || {
                sync_folder(&path)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            });
            finished.await.map_err(|error| Halt::io("finish the folder", &folder, &error))?;
        }
        Ok(())
    }
}

/// Where an entry lies; joining nothing would end the path with a slash.
fn at(root: &Path, entry: &Entry) -> PathBuf {
    if entry.name.as_os_str().is_empty() { root.to_owned() } else { root.join(&entry.name) }
}

fn open(source: &Path, target: &Path) -> io::Result<Piecewise> {
    let source = File::open(source)?;
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    Ok(Piecewise { source, target, sum: Sha256::new(), buffer: vec![0; PIECE], done: 0 })
}

impl Piecewise {
    fn piece(mut self) -> (Self, io::Result<usize>) {
        let moved = self.try_piece();
        (self, moved)
    }

    fn try_piece(&mut self) -> io::Result<usize> {
        let length = read_piece(&mut self.source, &mut self.buffer)?;
        let bytes = self.buffer.get(..length).unwrap_or_default();
        self.sum.update(bytes);
        for block in bytes.chunks(HOLE) {
            if block.iter().all(|byte| *byte == 0) {
                self.target.seek(SeekFrom::Current(i64::try_from(block.len()).unwrap_or(i64::MAX)))?;
            } else {
                self.target.write_all(block)?;
            }
        }
        self.done += length as u64;
        Ok(length)
    }

    /// Flushes the copy, and forgets it, so that it is read back from its disk.
    fn finish(self, mode: u32, modified: Option<std::time::SystemTime>) -> io::Result<String> {
        self.target.set_len(self.done)?;
        self.target.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Some(modified) = modified {
            self.target.set_modified(modified)?;
        }
        self.target.sync_all()?;
        // Only advice: a file system that has no cache to drop may refuse it.
        fadvise(&self.target, 0, None, Advice::DontNeed).ok();
        Ok(tree::hex(self.sum))
    }
}

fn unchanged(source: &Path, seen: &Entry) -> io::Result<bool> {
    let about = fs::metadata(source)?;
    Ok(about.len() == seen.bytes && about.modified().ok() == seen.modified)
}
