//! A file or a folder as a list of entries, and its digest.
//!
//! The digest of a file is the SHA-256 of its bytes, as `sha256sum` prints it. The digest of a
//! folder is the SHA-256 of one line per entry below it, sorted by path: `folder PATH`, `file PATH
//! SHA256` or `link PATH TARGET`. Permissions and times are no part of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bascule_plugin::CheckCx;
use sha2::{Digest, Sha256};

use super::place::blocking;
use super::{Halt, go_on};

/// How much is read at a time, between two looks at the cancel.
pub(super) const PIECE: usize = 256 * 1024;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    File,
    Link(PathBuf),
}

/// Something at or below a path.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Below the path; empty for the path itself.
    pub(super) name: PathBuf,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Bytes of a file.
    pub(super) bytes: u64,
    /// Bytes that a file takes on its disk; less than `bytes` if it has holes.
    pub(super) taken: u64,
    pub(super) modified: Option<SystemTime>,
}

impl Entry {
    fn of(name: PathBuf, path: &Path, about: &fs::Metadata) -> Result<Self, Halt> {
        let kind = if about.is_dir() {
            Kind::Folder
        } else if about.is_file() {
            Kind::File
        } else if about.is_symlink() {
            Kind::Link(fs::read_link(path).map_err(|error| Halt::io("read the link", path, &error))?)
        } else {
            return Err(Halt::failed(format!("{} is neither file, folder nor link", path.display())));
        };
        let bytes = if about.is_file() { about.len() } else { 0 };
        let taken = bytes.min(about.blocks().saturating_mul(512));
        let modified = about.modified().ok();
        Ok(Self { name, kind, mode: about.permissions().mode() & 0o7777, bytes, taken, modified })
    }
}

/// Everything at and below a path, each folder before what it holds. The path itself is followed
/// if it is a link; a link below it is an entry.
pub(super) fn list(path: &Path) -> Result<Vec<Entry>, Halt> {
    let about = fs::metadata(path).map_err(|error| Halt::io("look at", path, &error))?;
    list_from(path, &about)
}

/// Like [`list`], but a path that is a link is the link.
pub(super) fn list_itself(path: &Path) -> Result<Vec<Entry>, Halt> {
    let about = fs::symlink_metadata(path).map_err(|error| Halt::io("look at", path, &error))?;
    list_from(path, &about)
}

fn list_from(path: &Path, about: &fs::Metadata) -> Result<Vec<Entry>, Halt> {
    let mut entries = vec![Entry::of(PathBuf::new(), path, about)?];
    let mut next = 0;
    while let Some(entry) = entries.get(next) {
        next += 1;
        if entry.kind != Kind::Folder {
            continue;
        }
        let (inner, name) = (path.join(&entry.name), entry.name.clone());
        let cannot = |error: &io::Error| Halt::io("list", &inner, error);
        for child in fs::read_dir(&inner).map_err(|error| cannot(&error))? {
            let child = child.map_err(|error| cannot(&error))?;
            let about = child.metadata().map_err(|error| Halt::io("look at", &child.path(), &error))?;
            entries.push(Entry::of(name.join(child.file_name()), &child.path(), &about)?);
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The digest of a file or folder, from the digests of its files in the order of their entries.
pub(super) fn combine(entries: &[Entry], digests: &[String]) -> String {
    let mut digests = digests.iter();
    let mut sum = Sha256::new();
    for entry in entries {
        let (word, rest) = match &entry.kind {
            Kind::Folder => ("folder", None),
            Kind::File => ("file", digests.next().map(|digest| digest.as_bytes().to_vec())),
            Kind::Link(target) => ("link", Some(target.as_os_str().as_bytes().to_vec())),
        };
        if entry.name.as_os_str().is_empty() {
            match entry.kind {
                Kind::File => {
                    return rest.map(|digest| String::from_utf8_lossy(&digest).into_owned()).unwrap_or_default();
                }
                Kind::Folder => continue,
                Kind::Link(_) => {}
            }
        }
        sum.update(word.as_bytes());
        sum.update(b" ");
        sum.update(entry.name.as_os_str().as_bytes());
        for part in [b" ".as_slice(), rest.as_deref().unwrap_or_default(), b"\n"] {
            sum.update(part);
        }
    }
    hex(sum)
}

/// A finished sum in lower-case hexadecimal digits.
pub(super) fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of what lies at a path; a path that is a link is followed.
pub(super) async fn digest(cx: &CheckCx, path: &Path) -> Result<String, Halt> {
    let at = path.to_owned();
    let entries = blocking(move || list(&at)).await?;
    digest_entries(cx, path, &entries).await
}

/// The digest of what lies at a path; a path that is a link is the link.
pub(super) async fn digest_itself(cx: &CheckCx, path: &Path) -> Result<String, Halt> {
    let at = path.to_owned();
    let entries = blocking(move || list_itself(&at)).await?;
    digest_entries(cx, path, &entries).await
}

async fn digest_entries(cx: &CheckCx, path: &Path, entries: &[Entry]) -> Result<String, Halt> {
    let mut digests = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind == Kind::File) {
        // Joining nothing would end the path with a slash, and a file is no folder.
        let at = if entry.name.as_os_str().is_empty() { path.to_owned() } else { path.join(&entry.name) };
        digests.push(digest_file(cx, &at).await?);
    }
    Ok(combine(entries, &digests))
}

/// The SHA-256 of a file's bytes.
pub(super) async fn digest_file(cx: &CheckCx, path: &Path) -> Result<String, Halt> {
    let at = path.to_owned();
    let open = blocking(move || File::open(at)).await;
    let mut file = open.map_err(|error| Halt::io("open", path, &error))?;
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; PIECE]);
    loop {
        go_on(cx)?;
        let read;
        (file, buffer, sum, read) = blocking(move || {
            let read = read_piece(&mut file, &mut buffer);
            if let Ok(length) = read {
                sum.update(buffer.get(..length).unwrap_or_default());
            }
            (file, buffer, sum, read)
        })
        .await;
        if read.map_err(|error| Halt::io("read", path, &error))? == 0 {
            return Ok(hex(sum));
        }
    }
}

/// Fills the buffer as far as the file goes.
pub(super) fn read_piece(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Deletes what lies at a path, if anything does; links are not followed.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    let about = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about?,
    };
    if !about.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_folders(path)?;
            fs::remove_dir_all(path)
        }
        deleted => deleted,
    }
}

/// Lets the owner delete from folders that are read-only.
fn open_folders(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}
