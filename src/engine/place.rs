//! Who a state directory is: the id that the children of its attempts carry.
//!
//! A copy of a directory is another directory: an engine there must never end the processes of the original's attempts,
//! nor act as if they had ended. `id` therefore names the place for which the id was made, and the engine that used it. In
//! any other place, and after a boot, which no process survives, a new id is made, and the former ones are kept for as
//! long as something that was begun under them may run. Start with [`state_id`].

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bascule_builtin::proc_table;

use super::error::EngineError;
use crate::store::{Owner, overwrite};

/// The id of a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateId {
    /// The id.
    pub(super) id: String,
    /// Those that it had in other places, unless nothing that was begun there can run any more.
    pub(super) former: Vec<Former>,
    /// What people should know: the directory stood elsewhere before.
    pub(super) note: Option<String>,
}

/// An id that the directory had in another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) id: String,
    /// Where: `device:inode machine boot`.
    there: String,
    /// The engine that used it last: its number and its start.
    by: Option<(i32, u64)>,
}

/// What can be found out about attempts that were begun under a former id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Their processes can be seen from here.
    Clear,
    /// They may run on another machine, or inside of an engine that lives.
    None,
}

impl Former {
    pub(super) fn sight(&self) -> Sight {
        let is_here = words(&self.there)[2] == or_none(Owner::current().boot_id);
        let lives = |(pid, start)| proc_table::process(pid).is_some_and(|now| now.lives && now.start == start);
        if is_here && !self.by.is_some_and(lives) { Sight::Clear } else { Sight::None }
    }

    /// Whether nothing that was begun under it can run any more: its machine, this one, was booted since.
    fn is_past(&self, here: &str) -> bool {
        let ([place, machine, boot], [here, this_machine, this_boot]) = (words(&self.there), words(here));
        // Without the name of a machine the file system must do.
        let is_this = machine == this_machine && (machine != "-" || place == here);
        is_this && boot != this_boot
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, place, machine, boot, by @ ..] = words.as_slice() else { return None };
        Some(Self { id: (*id).to_owned(), there: format!("{place} {machine} {boot}"), by: engine(by) })
    }

    fn line(&self) -> String {
        let by = self.by.map(|(pid, start)| format!(" {pid} {start}")).unwrap_or_default();
        format!("{} {}{by}\n", self.id, self.there)
    }
}

/// `number start` of an engine's process.
fn engine(words: &[&str]) -> Option<(i32, u64)> {
    let [pid, start] = words else { return None };
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// The parts of a place; a missing one is empty.
fn words(place: &str) -> [&str; 3] {
    let mut words = place.split_whitespace();
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

fn or_none(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Where a directory stands, on one line: `device:inode machine boot`.
fn place(state: &Path) -> std::io::Result<String> {
    let meta = std::fs::metadata(state)?;
    let me = Owner::current();
    Ok(format!("{}:{} {} {}", meta.dev(), meta.ino(), or_none(me.machine_id), or_none(me.boot_id)))
}

/// Where a directory stands, whenever it is asked: a copy, and one that was moved to another disk or machine, answers
/// something else.
///
/// # Errors
/// It cannot be looked at.
pub fn place_of(state: &Path) -> std::io::Result<String> {
    let [place, machine, _boot] = words(&place(state)?).map(str::to_owned);
    Ok(format!("{place} {machine}"))
}

/// The directory's id, made anew where it does not belong to this place.
pub(super) fn state_id(state: &Path) -> Result<StateId, EngineError> {
    let path = state.join("id");
    let failed = |what| {
        let path = path.clone();
        move |source| EngineError::File { path, what, source }
    };
    let here = place(state).map_err(failed("found"))?;
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let known = lines.next().filter(|id| !id.is_empty()).map(str::to_owned);
    let made_for = lines.next().filter(|line| !line.is_empty()).map(|line| words(line).join(" "));
    let by = lines.next().and_then(|line| engine(&line.split_whitespace().collect::<Vec<_>>()));
    let mut former: Vec<Former> = lines.filter_map(Former::parse).collect();
    let (id, note) = match (known, made_for) {
        (Some(id), Some(there)) if there == here => (id, None),
        // Made by a release that did not write the place down: it is believed once.
        (Some(id), None) => (id, None),
        (Some(old), Some(there)) => {
            let note = moved(&there, &here, &old);
            former.push(Former { id: old, there, by });
            (new_id(), note)
        }
        (None, _) => (new_id(), None),
    };
    former.retain(|former| !former.is_past(&here));
    let me = i32::try_from(std::process::id()).ok().and_then(proc_table::process);
    let me = me.map(|me| format!("{} {}", me.pid, me.start)).unwrap_or_default();
    let lines: String = former.iter().map(Former::line).collect();
    let (fresh, text) = (state.join("id.new"), format!("{id}\n{here}\n{me}\n{lines}"));
    let written = std::fs::write(&fresh, &text).and_then(|()| std::fs::rename(&fresh, &path));
    let written = match written {
        // In its place it needs no room: an engine has to start on a full disk, too.
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            std::fs::remove_file(&fresh).ok();
            overwrite(&path, text.as_bytes())
        }
        written => written,
    };
    written.map_err(failed("written"))?;
    Ok(StateId { id, former, note })
}

fn new_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// What people should know, unless only the machine was booted since.
fn moved(there: &str, here: &str, old: &str) -> Option<String> {
    let without_boot = |place: &str| place.rsplit_once(' ').map(|(front, _)| front.to_owned());
    let is_booted = without_boot(there) == without_boot(here) && there != here;
    (!is_booted).then(|| {
        format!(
            "this state directory was copied or moved: processes of attempts that were begun in the other place are not \
             ended here (their environment holds {}={old}/…), and steps of which one may still run are asked about",
            bascule_plugin::ATTEMPT_VARIABLE
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_state_directory_has_an_id_of_its_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (first, copy) = (folder.path().join("first"), folder.path().join("copy"));
        for path in [&first, &copy] {
            std::fs::create_dir(path).expect("a folder");
        }
        let made = state_id(&first).expect("an id");
        assert_eq!(state_id(&first).expect("an id"), made, "it stays");
        std::fs::copy(first.join("id"), copy.join("id")).expect("a copy");
        let other = state_id(&copy).expect("an id");
        assert_ne!(other.id, made.id);
        assert!(
            other.note.is_some_and(|note| note.contains(&made.id)),
            "people can find the processes that were spared"
        );
        assert_eq!(other.former.len(), 1);
        assert_eq!(other.former[0].sight(), Sight::None, "its engine, this process, lives");
        let again = state_id(&copy).expect("an id");
        assert_eq!(again.note, None, "said once");
        assert_eq!((again.id, again.former), (other.id, other.former), "and kept");
    }

    #[test]
    fn after_a_boot_the_id_is_new_and_nothing_is_said() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = place(folder.path()).expect("a place");
        let (front, _) = here.rsplit_once(' ').expect("a boot id");
        std::fs::write(folder.path().join("id"), format!("old\n{front} another-boot\n")).expect("a file");
        let found = state_id(folder.path()).expect("an id");
        assert!(found.id != "old" && found.note.is_none() && found.former.is_empty());
    }

    #[test]
    fn what_was_begun_on_another_machine_is_out_of_sight_and_what_was_begun_here_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = place(folder.path()).expect("a place");
        let [_, machine, boot] = words(&here);
        let file = format!("old\n1:2 {machine} {boot}\n\nolder 1:2 elsewhere then 7 7\npast 3:4 {machine} before\n");
        std::fs::write(folder.path().join("id"), file).expect("a file");
        let found = state_id(folder.path()).expect("an id");
        let sights: Vec<_> = found.former.iter().map(|former| (former.id.as_str(), former.sight())).collect();
        let past = if machine == "-" { vec![("past", Sight::None)] } else { vec![] };
        assert_eq!(sights, [vec![("older", Sight::None)], past, vec![("old", Sight::Clear)]].concat());
    }
}
