//! Ownership of a state directory: one process, on one machine, on a disk that can be trusted.
//!
//! The lock is an exclusive `flock` on `lock`; it ends with the process that holds it, however that ends, and nothing
//! has to be cleaned up. `owner.json` beside it says who holds it or held it last: it is for people and for the check
//! that the directory did not move to another machine, never for deciding whether the lock is held. Start at
//! [`StateDir::own`].

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{StoreError, is_full};

/// How often a held lock is tried before it counts as held, and how long lies between; see [`lock_exclusively`].
const LOCK_TRIES: usize = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// The file beside the journal that holds what the engine says, if a verb started it.
pub const ENGINE_LOG: &str = "engine.log";

/// Whether to use a directory that was last used on another machine, or is on a network file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TakeOver {
    /// Refuse it.
    #[default]
    No,
    /// An operator said that no other machine uses it.
    Yes,
}

/// Who holds a state directory, or held it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The machine's name.
    pub host: String,
    /// `/etc/machine-id`, empty where there is none.
    #[serde(default)]
    pub machine_id: String,
    /// The kernel's boot id, empty where there is none.
    #[serde(default)]
    pub boot_id: String,
    /// The process.
    pub pid: u32,
    /// The user.
    pub uid: u32,
}

impl Owner {
    /// This process on this machine.
    #[must_use]
    pub fn current() -> Self {
        let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            machine_id: read("/etc/machine-id"),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
        }
    }

    /// Whether `self` and `other` ran on the same machine. The machine id decides; where one is missing, as in
    /// containers, the same boot or else the same host name does.
    #[must_use]
    pub fn same_machine(&self, other: &Self) -> bool {
        if !self.machine_id.is_empty() && !other.machine_id.is_empty() {
            return self.machine_id == other.machine_id;
        }
        (!self.boot_id.is_empty() && self.boot_id == other.boot_id) || self.host == other.host
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of user {} on {}", self.pid, self.uid, self.host)
    }
}

/// A state directory that this process owns until this value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Holds the lock; the lock ends when this is closed.
    lock: File,
    /// The journal's folder, once it was seen.
    journal: OnceLock<Inode>,
}

/// Which file or folder a name stands for: device and number.
type Inode = (u64, u64);

fn inode(meta: &fs::Metadata) -> Inode {
    use std::os::unix::fs::MetadataExt as _;
    (meta.dev(), meta.ino())
}

impl StateDir {
    /// Creates the directory if needed (readable by its user only), and owns it. One that is there must belong to this
    /// user, and nobody else may write to it; if others may only read it, that is ended.
    ///
    /// # Errors
    /// [`StoreError::NotPrivate`] for a directory of somebody else's, or one that others may have changed;
    /// [`StoreError::Held`] if another process, or another part of this one, owns it; [`StoreError::NetworkFileSystem`]
    /// and [`StoreError::OtherMachine`] unless told to take over; or what the disk answered.
    pub fn own(path: &Path, take_over: TakeOver) -> Result<Self, StoreError> {
        create_private(path)?;
        if take_over == TakeOver::No
            && let Some(kind) = untrusted_file_system(path)
        {
            return Err(StoreError::NetworkFileSystem { dir: path.into(), kind });
        }
        let lock = lock_exclusively(path)?;
        let me = Owner::current();
        if take_over == TakeOver::No
            && let Some(owner) = read_owner(path).filter(|last| !last.same_machine(&me))
        {
            return Err(StoreError::OtherMachine { dir: path.into(), owner: Box::new(owner) });
        }
        if let Some(owner) = read_owner(path).filter(|last| holds_a_removed_lock(last, &me, path)) {
            return Err(StoreError::Held { dir: path.into(), owner: Box::new(owner) });
        }
        write_owner(path, &me)?;
        Ok(Self { path: path.into(), lock, journal: OnceLock::new() })
    }

    /// What is not there any more of what this process owns: then somebody else may own the directory already, or
    /// there is none, and this process has to stop at once.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        let is_other = |path: &Path, mine: Inode| match fs::metadata(path) {
            Ok(meta) => inode(&meta) != mine,
            // A disk that fails says nothing about who owns it.
            Err(cause) => cause.kind() == io::ErrorKind::NotFound,
        };
        let lock = self.path.join("lock");
        if self.lock.metadata().is_ok_and(|mine| is_other(&lock, inode(&mine))) {
            return Some(format!("{} was removed or replaced", lock.display()));
        }
        let journal = self.path.join("journal");
        match self.journal.get() {
            Some(mine) => is_other(&journal, *mine).then(|| format!("{} was removed or replaced", journal.display())),
            None => {
                // What is seen first is what was opened: the lock has been this process's since before.
                if let Ok(meta) = fs::metadata(&journal) {
                    self.journal.get_or_init(|| inode(&meta));
                }
                None
            }
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The process that owns the directory now, if any does.
///
/// # Errors
/// What the disk answered.
pub fn owner_of(path: &Path) -> Result<Option<Owner>, StoreError> {
    let lock_path = path.join("lock");
    let lock = match File::open(&lock_path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(StoreError::io("opening", &lock_path, cause)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_owner(path).unwrap_or_else(unknown_owner))),
        Err(TryLockError::Error(cause)) => Err(StoreError::io("locking", &lock_path, cause)),
    }
}

/// Makes the directory, for its user alone; one that is there must be. What is made survives a power loss.
///
/// # Errors
/// It cannot be made, or others may look into it.
pub fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return check_private(path);
    }
    let failed = |doing| move |cause| StoreError::io(doing, path, cause);
    let holds = |path: &Path| {
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
    };
    // From the outermost one that is missing: each new name must survive before anything in it counts.
    let mut holders = vec![holds(path)];
    while let Some(inner) = holders.last().filter(|holder| !holder.is_dir()) {
        holders.push(holds(inner));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("creating the state directory"))?;
    for holder in holders.iter().rev() {
        let flushed = File::open(holder).and_then(|dir| dir.sync_all());
        flushed.map_err(failed("flushing a directory that holds it"))?;
    }
    Ok(())
}

/// Whoever can write to the directory decides what is executed, and whoever can read it reads what steps said.
fn check_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let failed = |doing| move |cause| StoreError::io(doing, path, cause);
    let meta = fs::metadata(path).map_err(failed("looking at the state directory"))?;
    let me = rustix::process::geteuid().as_raw();
    let refused = |why: String| Err(StoreError::NotPrivate { dir: path.into(), why });
    if me != 0 && meta.uid() != me {
        return refused(format!("it belongs to user {}, and this is user {me}", meta.uid()));
    }
    let mode = meta.mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("reading the state directory"))? {
        names.push(entry.map_err(failed("reading the state directory"))?.file_name());
    }
    // A new owner's log may lie in it already.
    let is_new = names.iter().all(|name| name == ENGINE_LOG);
    let is_state = names.iter().any(|name| name == "journal" || name == "lock");
    if !is_new && (!is_state || mode & 0o022 != 0) {
        let what = if mode & 0o022 == 0 { "read" } else { "change" };
        return refused(format!("other users may {what} what is in it (mode {mode:04o})"));
    }
    tracing::warn!(dir = %path.display(), "other users could look into the state directory (mode {mode:04o}); now they cannot");
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o700))
        .map_err(failed("making the state directory private"))
}

/// Whoever looks with [`owner_of`] holds the lock for some microseconds, and a child of a former owner that is about to
/// start something else until it does, which on a machine that is busy takes longer: neither may refuse a new owner.
#[expect(clippy::disallowed_methods, reason = "a fifth of a second at most, before anything else happens")]
fn lock_exclusively(path: &Path) -> Result<File, StoreError> {
    let lock_path = path.join("lock");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(|cause| StoreError::io("opening", &lock_path, cause))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(cause)) => return Err(StoreError::io("locking", &lock_path, cause)),
        }
    }
    let owner = Box::new(read_owner(path).unwrap_or_else(unknown_owner));
    Err(StoreError::Held { dir: path.into(), owner })
}

/// Stands in for an owner that holds the lock but could not write its name yet.
fn unknown_owner() -> Owner {
    Owner { host: "this machine".into(), machine_id: String::new(), boot_id: String::new(), pid: 0, uid: 0 }
}

/// Whether the last owner still runs and holds a lock file that was removed: what `flock` says of a new file is not the
/// whole truth then.
fn holds_a_removed_lock(owner: &Owner, me: &Owner, path: &Path) -> bool {
    if owner.pid == me.pid || owner.boot_id.is_empty() || owner.boot_id != me.boot_id {
        return false;
    }
    let Ok(lock) = path.join("lock").canonicalize() else { return false };
    let removed = format!("{} (deleted)", lock.display());
    let open = fs::read_dir(format!("/proc/{}/fd", owner.pid)).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|file| file.as_os_str() == removed.as_str())
}

fn read_owner(path: &Path) -> Option<Owner> {
    serde_json::from_slice(&fs::read(path.join("owner.json")).ok()?).ok()
}

fn write_owner(path: &Path, owner: &Owner) -> Result<(), StoreError> {
    let (target, fresh) = (path.join("owner.json"), path.join("owner.json.new"));
    let text = serde_json::to_vec(owner).expect("an owner holds only strings and numbers");
    match fs::write(&fresh, &text).and_then(|()| fs::rename(&fresh, &target)) {
        // A full disk must not keep anybody from reading the journal; the note then names an earlier process.
        Err(cause) if is_full(&cause) => {
            fs::remove_file(&fresh).ok();
            // Blanks behind JSON mean nothing.
            overwrite(&target, &text).ok();
            Ok(())
        }
        written => written.map_err(|cause| StoreError::io("writing", &target, cause)),
    }
}

/// Writes into a small file that is there, which needs no room on a full disk. What was longer ends in blanks.
///
/// # Errors
/// What the disk said.
pub fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(0).max(text.len());
    let mut padded = text.to_vec();
    padded.resize(len, b' ');
    std::os::unix::fs::FileExt::write_all_at(&file, &padded, 0)
}

/// Says in words what `path` is on, if locks or flushes there reach other machines or nobody.
#[cfg(target_os = "linux")]
fn untrusted_file_system(path: &Path) -> Option<String> {
    let magic = rustix::fs::statfs(path).ok()?.f_type as u64 & 0xFFFF_FFFF;
    judge_file_system(magic, || mount_type(path))
}

#[cfg(not(target_os = "linux"))]
fn untrusted_file_system(_path: &Path) -> Option<String> {
    None
}

/// The numbers are those of statfs(2) and of the kernel's `magic.h`.
#[cfg(target_os = "linux")]
fn judge_file_system(magic: u64, mount_type: impl FnOnce() -> Option<String>) -> Option<String> {
    const FUSE: u64 = 0x6573_5546;
    let name = match magic {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB/CIFS",
        0x0102_1997 => "9P",
        0x00C3_6400 => "Ceph",
        0x5346_414F => "AFS",
        0x7375_7245 => "Coda",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636F => "OCFS2",
        0x786F_4256 => "a VirtualBox shared folder",
        FUSE => {
            let kind = mount_type().unwrap_or_else(|| "fuse".into());
            // These two are a disk of this machine behind FUSE; of any other FUSE nothing is known.
            let local = matches!(kind.as_str(), "fuseblk" | "fuse.fuse-overlayfs");
            return (!local).then(|| format!("a FUSE file system ({kind})"));
        }
        _ => return None,
    };
    Some(format!("a network file system ({name})"))
}

/// The type of the mount that holds `path`, from `/proc/self/mountinfo`: the deepest mount point above it.
#[cfg(target_os = "linux")]
fn mount_type(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    deepest_mount(&table, &path)
}

#[cfg(target_os = "linux")]
fn deepest_mount(table: &str, path: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in table.lines() {
        let Some((front, back)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (front.split(' ').nth(4), back.split(' ').next()) else { continue };
        let point = point.replace("\\040", " ");
        // Later lines cover earlier ones at the same place, hence `>=`.
        if path.starts_with(&point) && best.is_none_or(|(len, _)| point.len() >= len) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_named_and_local_disks_pass() {
        let fuse = 0x6573_5546;
        let on = |kind: &str| Some(kind.to_owned());
        assert_eq!(judge_file_system(0xEF53, || None), None, "ext4");
        assert_eq!(judge_file_system(0x0102_1994, || None), None, "tmpfs");
        assert_eq!(judge_file_system(0x6969, || None).as_deref(), Some("a network file system (NFS)"));
        assert_eq!(judge_file_system(0xFE53_4D42, || None).as_deref(), Some("a network file system (SMB/CIFS)"));
        assert_eq!(judge_file_system(fuse, || on("fuse.sshfs")).as_deref(), Some("a FUSE file system (fuse.sshfs)"));
        assert_eq!(judge_file_system(fuse, || on("fuseblk")), None, "ntfs-3g on a local disk");
    }

    #[test]
    fn a_directory_that_others_could_change_is_refused_and_one_that_they_could_read_is_closed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state");
        let mode = || fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
        fs::create_dir(&path).expect("a folder");
        set(0o775);
        drop(StateDir::own(&path, TakeOver::No).expect("an empty one is closed"));
        assert_eq!(mode(), 0o700);
        set(0o755);
        drop(StateDir::own(&path, TakeOver::No).expect("nobody could change it"));
        assert_eq!(mode(), 0o700);
        set(0o770);
        let refused = StateDir::own(&path, TakeOver::No).expect_err("somebody could have changed it").to_string();
        assert!(refused.contains("mode 0770") && refused.contains("chmod 700"), "{refused}");
        let other = folder.path().join("other");
        fs::create_dir(&other).expect("a folder");
        fs::write(other.join("thesis.txt"), "").expect("a file");
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("it is ours");
        StateDir::own(&other, TakeOver::No).expect_err("not a state directory");
        assert_eq!(fs::metadata(&other).expect("it is there").permissions().mode() & 0o777, 0o755, "left as it was");
    }

    #[test]
    fn the_deepest_mount_above_a_path_decides() {
        let table = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:9 / /mnt/my\\040data rw - fuse.sshfs host: rw\n";
        assert_eq!(deepest_mount(table, Path::new("/mnt/my data/state")).as_deref(), Some("fuse.sshfs"));
        assert_eq!(deepest_mount(table, Path::new("/mnt/other")).as_deref(), Some("ext4"));
    }

    #[test]
    fn machines_are_told_apart_by_machine_id_then_boot_then_host() {
        let owner = |host: &str, machine: &str, boot: &str| Owner {
            host: host.into(),
            machine_id: machine.into(),
            boot_id: boot.into(),
            pid: 1,
            uid: 0,
        };
        assert!(owner("a", "m", "1").same_machine(&owner("b", "m", "2")), "renamed and rebooted");
        assert!(!owner("a", "m", "1").same_machine(&owner("a", "n", "1")), "a copy of the disk elsewhere");
        assert!(owner("c1", "", "1").same_machine(&owner("c2", "", "1")), "containers on one kernel");
        assert!(!owner("c1", "", "1").same_machine(&owner("c2", "", "2")));
        assert!(owner("a", "", "1").same_machine(&owner("a", "", "2")), "rebooted without a machine id");
    }
}
