//! Whose a copied file is, written where it outlives a crash.
//!
//! An undo that nobody told the outputs must not take away what was there before the step. So a
//! copy is marked before it gets its name: in an extended attribute, or, where the file system
//! has none, in a hidden file beside it that names the copy's inode.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bascule_plugin::IdempotencyKey;
use rustix::fs::{XattrFlags, lgetxattr, lsetxattr};

use super::place;

const ATTRIBUTE: &str = "user.bascule.copy";

/// Marks what lies at `unplaced` and will lie at `path` as the step's own, with its digest.
pub(super) fn set(unplaced: &Path, path: &Path, key: &IdempotencyKey, digest: &str) -> io::Result<()> {
    let value = format!("{} {digest}", place::owner(key));
    match lsetxattr(unplaced, ATTRIBUTE, value.as_bytes(), XattrFlags::empty()) {
        Ok(()) => Ok(()),
        Err(_) => set_beside(unplaced, path, key, digest),
    }
}

/// The digest of what the step wrote to `path`, if what lies there is the step's own.
pub(super) fn get(path: &Path, key: &IdempotencyKey) -> io::Result<Option<String>> {
    let mut value = [0; 256];
    if let Ok(length) = lgetxattr(path, ATTRIBUTE, &mut value) {
        let value = value.get(..length).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
        return Ok(value.strip_prefix(&format!("{} ", place::owner(key))).map(str::to_owned));
    }
    get_beside(path, key)
}

/// Removes the hidden file, if there is one; an attribute goes with its file.
pub(super) fn clear(path: &Path, key: &IdempotencyKey) -> io::Result<()> {
    match fs::remove_file(place::mark(path, key)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn set_beside(unplaced: &Path, path: &Path, key: &IdempotencyKey, digest: &str) -> io::Result<()> {
    let inode = fs::symlink_metadata(unplaced)?.ino();
    let mut file = File::create(place::mark(path, key))?;
    writeln!(file, "{digest} {inode}")?;
    file.sync_all()
}

fn get_beside(path: &Path, key: &IdempotencyKey) -> io::Result<Option<String>> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let text = match fs::read_to_string(place::mark(path, key)) {
        Err(error) if missing(&error) => return Ok(None),
        text => text?,
    };
    let inode = match fs::symlink_metadata(path) {
        Err(error) if missing(&error) => return Ok(None),
        about => about?.ino(),
    };
    let mark = text.trim().split_once(' ').filter(|(_, marked)| *marked == inode.to_string());
    Ok(mark.map(|(digest, _)| digest.to_owned()))
}

#[cfg(test)]
mod tests {
    use bascule_plugin::Direction;

    use super::*;

    fn key(step: &str) -> IdempotencyKey {
        IdempotencyKey { run: "shop/1".into(), step: step.into(), direction: Direction::Forward, generation: 0 }
    }

    #[test]
    fn a_mark_follows_the_file_to_its_name_and_names_one_step() {
        let folder = tempfile::tempdir().expect("a folder");
        let (part, path) = (folder.path().join("part"), folder.path().join("disk"));
        fs::write(&part, "data").expect("a file");
        set(&part, &path, &key("copy"), "abc").expect("it can be marked");
        fs::rename(&part, &path).expect("it can be placed");
        assert_eq!(get(&path, &key("copy")).expect("it can be read").as_deref(), Some("abc"));
        assert_eq!(get(&path, &key("other")).expect("it can be read"), None);
    }

    #[test]
    fn without_attributes_a_hidden_file_knows_the_very_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let (part, path) = (folder.path().join("part"), folder.path().join("disk"));
        fs::write(&part, "data").expect("a file");
        set_beside(&part, &path, &key("copy"), "abc").expect("it can be marked");
        assert_eq!(get_beside(&path, &key("copy")).expect("nothing is placed yet"), None);
        fs::rename(&part, &path).expect("it can be placed");
        assert_eq!(get_beside(&path, &key("copy")).expect("it can be read").as_deref(), Some("abc"));
        fs::write(folder.path().join("new"), "data").expect("a file");
        fs::rename(folder.path().join("new"), &path).expect("another takes its place");
        assert_eq!(get_beside(&path, &key("copy")).expect("it can be read"), None, "another file is nobody's");
        clear(&path, &key("copy")).expect("it can be cleared");
        clear(&path, &key("copy")).expect("also twice");
    }
}
