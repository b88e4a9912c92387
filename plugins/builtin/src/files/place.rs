//! Names beside a path, the claim on a path, and the moves from one name to another.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bascule_plugin::{Direction, ExecCx, IdempotencyKey};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::{Halt, parent};

/// What a file name may take.
const LONGEST_NAME: usize = 255;

/// Whose a name beside a path is: the step of a run, readable, and unique by a digest.
pub(super) fn owner(key: &IdempotencyKey) -> String {
    let digest = Sha256::digest(format!("{}/{}", key.run, key.step).as_bytes());
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '-' };
    let step: String = key.step.chars().map(plain).take(40).collect();
    format!("{step}-{digest}")
}

/// The kind of a name beside a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    /// Not finished, or half removed: nobody's data.
    Part,
    /// Whose the file at the path is, where the file system cannot hold it.
    Mark,
    /// Moved aside.
    Aside,
    /// Removed, but kept.
    Removed,
}

/// `name.bascule-…` in the same folder; the part and the mark are hidden.
fn beside(path: &Path, kind: Beside, stamp: &str) -> PathBuf {
    let (dot, suffix) = match kind {
        Beside::Part => (".", format!(".bascule-{stamp}.part")),
        Beside::Mark => (".", format!(".bascule-{stamp}.mark")),
        Beside::Aside => ("", format!(".bascule-{stamp}")),
        Beside::Removed => ("", format!(".bascule-removed-{stamp}")),
    };
    let name = path.file_name().unwrap_or_default();
    let room = LONGEST_NAME.saturating_sub(dot.len() + suffix.len());
    let mut full = OsString::from(dot);
    full.push(cut(name, room));
    full.push(suffix);
    parent(path).join(full)
}

/// A name cut to a number of bytes, between two characters.
fn cut(name: &OsStr, room: usize) -> OsString {
    if name.len() <= room {
        return name.to_owned();
    }
    let text = name.to_string_lossy();
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().into()
}

/// The unfinished thing of a step.
pub(super) fn part(path: &Path, key: &IdempotencyKey) -> PathBuf {
    beside(path, Beside::Part, &owner(key))
}

/// The mark of a step.
pub(super) fn mark(path: &Path, key: &IdempotencyKey) -> PathBuf {
    beside(path, Beside::Mark, &owner(key))
}

/// Where this generation of an action moves a path.
pub(super) fn aside(path: &Path, kind: Beside, key: &IdempotencyKey) -> PathBuf {
    let direction = match key.direction {
        Direction::Forward => "",
        Direction::Undo => "u",
    };
    beside(path, kind, &format!("{}-{}{direction}", owner(key), key.generation))
}

/// Where the step moved a path when it was performed, by the newest generation that is there.
pub(super) fn moved_by_step(path: &Path, kind: Beside, key: &IdempotencyKey) -> io::Result<Option<PathBuf>> {
    let stem = beside(path, kind, &format!("{}-", owner(key)));
    let stem = stem.file_name().unwrap_or_default().as_encoded_bytes();
    let mut newest: Option<(u32, PathBuf)> = None;
    let entries = match fs::read_dir(parent(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let rest = name.as_encoded_bytes().strip_prefix(stem).and_then(|rest| std::str::from_utf8(rest).ok());
        let Some(generation) = rest.and_then(|rest| rest.parse().ok()) else { continue };
        if newest.as_ref().is_none_or(|(newest, _)| generation > *newest) {
            newest = Some((generation, parent(path).join(name)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Whether there is something, be it a link to nowhere.
pub(super) fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a thing a name that nothing has yet, and makes that durable.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Some network file systems cannot refuse by themselves.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if exists(to)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)?;
        }
        Err(error) => return Err(error.into()),
    }
    sync_folder(parent(to))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// How a path was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetAside {
    /// Just now.
    Now,
    /// Under the same key before.
    Before,
    /// There was nothing.
    Missing,
}

/// Moves a path to its name aside, once per key.
pub(super) fn set_aside(path: &Path, aside: &Path) -> io::Result<SetAside> {
    if exists(aside)? {
        return Ok(SetAside::Before);
    }
    if !exists(path)? {
        return Ok(SetAside::Missing);
    }
    rename_new(path, aside)?;
    Ok(SetAside::Now)
}

/// Gives what lies at a path a second name, or its only other one where it can have just one, so
/// that another may take its place. Repeatable.
pub(super) fn keep_beside(path: &Path, aside: &Path) -> io::Result<()> {
    if exists(aside)? {
        if same_file(path, aside)? {
            return Ok(());
        }
        let message = format!("{} is kept there already", aside.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    // With two names the path is never empty, not even between two system calls.
    if fs::symlink_metadata(path)?.is_file() && fs::hard_link(path, aside).is_ok() {
        return sync_folder(parent(path));
    }
    rename_new(path, aside)
}

/// Gives a thing a name that nothing has, or that a file has which is kept under another name.
pub(super) fn rename_over_file(from: &Path, to: &Path) -> io::Result<()> {
    let file = match fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        about => about?.is_file(),
    };
    if !file || fs::symlink_metadata(from)?.is_dir() {
        if file {
            fs::remove_file(to)?;
        }
        return rename_new(from, to);
    }
    fs::rename(from, to)?;
    sync_folder(parent(to))
}

/// Gives a path back what the step kept beside it; whether there was something to give back.
pub(super) fn bring_back(path: &Path, key: &IdempotencyKey) -> io::Result<bool> {
    let Some(aside) = moved_by_step(path, Beside::Aside, key)? else { return Ok(false) };
    if !exists(path)? {
        rename_new(&aside, path)?;
        return Ok(true);
    }
    if same_file(path, &aside)? {
        // It got its second name, and then nothing took its place.
        fs::remove_file(&aside)?;
        sync_folder(parent(path))?;
    }
    Ok(false)
}

fn same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok(one.dev() == other.dev() && one.ino() == other.ino())
}

/// The sole right to work on a path within this process. An attempt that was interrupted may have
/// left a piece of work in flight on a thread; the next attempt waits for it here.
#[derive(Debug)]
pub(super) struct Claim(Arc<OwnedMutexGuard<()>>);

type Claims = Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>;

impl Claim {
    /// Waits until nobody else works on the path.
    pub(super) async fn on(cx: &ExecCx, path: &Path) -> Result<Self, Halt> {
        static CLAIMS: std::sync::LazyLock<Claims> = std::sync::LazyLock::new(Claims::default);
        super::go_on(cx)?;
        let lock = {
            let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
            claims.retain(|_, lock| lock.strong_count() > 0);
            let known = claims.get(path).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::default();
                claims.insert(path.to_owned(), Arc::downgrade(&lock));
                lock
            })
        };
        tokio::select! {
            biased;
            guard = lock.lock_owned() => Ok(Self(Arc::new(guard))),
            stop = cx.stopped() => Err(Halt::Stopped(stop)),
        }
    }

    /// Does a short piece of blocking work. It ends even if nobody waits for it any more, and the
    /// claim is held until then.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let claim = Arc::clone(&self.0);
        blocking(move || {
            let done = work();
            drop(claim);
            done
        })
        .await
    }
}

/// Does a short piece of blocking work that changes nothing.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(step: &str, direction: Direction, generation: u32) -> IdempotencyKey {
        IdempotencyKey { run: "shop/7".to_owned(), step: step.to_owned(), direction, generation }
    }

    #[test]
    fn names_aside_tell_step_and_generation_and_differ_by_run() {
        let path = Path::new("/data/disk.qcow2");
        let name = aside(path, Beside::Aside, &key("seed copy", Direction::Forward, 2)).display().to_string();
        let (front, back) = name.split_once("seed-copy-").expect("the step is in the name");
        assert_eq!(front, "/data/disk.qcow2.bascule-");
        assert!(back.ends_with("-2"), "{name}");
        let undo = aside(path, Beside::Aside, &key("seed copy", Direction::Undo, 2));
        assert_eq!(undo.display().to_string(), format!("{name}u"));
        let mut other = key("seed copy", Direction::Forward, 2);
        other.run = "shop/8".to_owned();
        assert_ne!(aside(path, Beside::Aside, &other).display().to_string(), name);
    }

    #[test]
    fn a_long_name_is_cut_to_what_a_file_system_takes() {
        let long = format!("/data/{}", "ü".repeat(127));
        let name = part(Path::new(&long), &key("copy", Direction::Forward, 0));
        let length = name.file_name().map(OsStr::len);
        assert!(length.is_some_and(|length| length <= LONGEST_NAME && length > 200), "{length:?}");
    }

    #[test]
    fn the_newest_generation_is_the_one_that_was_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        for generation in [2, 10] {
            let key = key("move", Direction::Forward, generation);
            fs::write(aside(&path, Beside::Aside, &key), "").expect("a file");
        }
        fs::write(aside(&path, Beside::Aside, &key("move", Direction::Undo, 11)), "").expect("a file");
        let found = moved_by_step(&path, Beside::Aside, &key("move", Direction::Undo, 0)).expect("it can be listed");
        assert_eq!(found, Some(aside(&path, Beside::Aside, &key("move", Direction::Forward, 10))));
    }

    #[test]
    fn a_new_name_never_takes_anothers_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "old").expect("a file");
        fs::write(&new, "new").expect("a file");
        let error = rename_new(&old, &new).expect_err("the name is taken");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&new).expect("it is there"), "new");
    }
}
