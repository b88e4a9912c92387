//! What `/proc` says of processes: the state, group, session and start of each, and in a file what is
//! needed to find a group again after its engine died.
//!
//! A number alone names nobody: numbers are given out again. A process is the one that was meant if
//! its start is the same, and a group without its first process if its session is. Everything here
//! blocks for a moment; call it where that harms nobody. Start with [`processes`] and [`GroupNote`].

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The name of the file in an attempt's folder that tells its process group.
pub const GROUP_FILE: &str = "group";

/// A line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// The group that it belongs to.
    pub group: i32,
    /// The session that it belongs to.
    pub session: i32,
    /// When it started, in ticks since the machine did.
    pub start: u64,
    /// Whether it still is one: a zombie only waits to be counted.
    pub lives: bool,
}

/// One process; nothing if it is gone, or where there is no `/proc`.
#[must_use]
pub fn process(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|text| text.parse().ok());
    Some(Process {
        pid,
        group: number(2)?,
        session: number(3)?,
        start: fields.get(19)?.parse().ok()?,
        lives: !matches!(fields.first(), Some(&("Z" | "X"))),
    })
}

/// All processes; nothing where there is no `/proc`.
#[must_use]
pub fn processes() -> Option<Vec<Process>> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let found: Vec<Process> = pids.filter_map(process).collect();
    (!found.is_empty()).then_some(found)
}

/// Whose process group it is, for an engine that comes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupNote {
    /// The attempt's id.
    pub attempt: String,
    boot: String,
    group: i32,
    session: i32,
    start: u64,
}

/// The start of the machine that numbers and ticks are counted from.
fn boot() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

impl GroupNote {
    /// Of a group that was just made by its first process.
    #[must_use]
    pub fn of(attempt: &str, first: i32) -> Option<Self> {
        let leader = process(first)?;
        let (group, session, start) = (first, leader.session, leader.start);
        Some(Self { attempt: attempt.to_owned(), boot: boot()?, group, session, start })
    }

    /// Writes it down.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(self.line().as_bytes())
    }

    /// The note as one line.
    pub(crate) fn line(&self) -> String {
        let Self { attempt, boot, group, session, start } = self;
        format!("{boot} {group} {session} {start} {attempt}\n")
    }

    /// Reads it; nothing if it is torn.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(path).ok()?)
    }

    /// A note from its line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.splitn(5, ' ');
        let mut next = || words.next();
        let boot_then = next()?.to_owned();
        let (group, session, start) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
        Some(Self { boot: boot_then, group, session, start, attempt: next()?.to_owned() })
    }

    /// Whether it is of this start of the machine: what ran before it is gone, and its number means nothing.
    #[must_use]
    pub fn is_current(&self) -> bool {
        boot().is_some_and(|boot| boot == self.boot)
    }

    /// Whether a process is of this group, and the group is still the one that was noted.
    #[must_use]
    pub fn holds(&self, process: &Process, all: &[Process]) -> bool {
        if process.group != self.group || !process.lives {
            return false;
        }
        match all.iter().find(|other| other.pid == self.group) {
            Some(leader) => leader.start == self.start,
            None => process.session == self.session && process.start >= self.start,
        }
    }
}

/// The note of an attempt's folder.
#[must_use]
pub fn group_file(scratch: &Path) -> PathBuf {
    scratch.join(GROUP_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_finds_itself() {
        let pid = i32::try_from(std::process::id()).expect("a process number");
        let me = process(pid).expect("this process runs");
        assert!(me.lives && me.start > 0, "{me:?}");
        assert!(processes().expect("there is a table").iter().any(|other| other.pid == pid && other.start == me.start));
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_torn_one_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = group_file(folder.path());
        let pid = i32::try_from(std::process::id()).expect("a process number");
        let note = GroupNote::of("state/shop/1/step/forward-1", pid).expect("this process runs");
        note.write(&path).expect("it is written");
        assert_eq!(GroupNote::read(&path), Some(note.clone()));
        assert!(note.is_current());
        assert!(!GroupNote { boot: "another".to_owned(), ..note }.is_current());
        let text = std::fs::read_to_string(&path).expect("it is there");
        std::fs::write(&path, &text[..text.len() - 4]).expect("it is torn");
        assert_eq!(GroupNote::read(&path), None);
    }

    #[test]
    fn a_number_that_was_given_out_again_is_somebody_else() {
        let process = |pid, group, session, start| Process { pid, group, session, start, lives: true };
        let note = GroupNote { attempt: "a".to_owned(), boot: String::new(), group: 70, session: 9, start: 500 };
        let child = process(71, 70, 9, 510);
        assert!(note.holds(&child, &[process(70, 70, 9, 500), child]), "its first process is there");
        assert!(note.holds(&child, &[child]), "its first process has ended");
        assert!(!note.holds(&child, &[process(70, 70, 9, 900), child]), "another group has its number");
        let foreign = process(71, 70, 12, 910);
        assert!(!note.holds(&foreign, &[foreign]), "of another session");
        assert!(!note.holds(&Process { lives: false, ..child }, &[child]), "a zombie is gone");
        assert!(!note.holds(&process(72, 72, 9, 510), &[]), "another group");
    }
}
