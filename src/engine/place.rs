//! Who a state directory is: the id that the children of its attempts carry.
//!
//! A copy of a directory is another directory: an engine there must never end the processes of the original's attempts.
//! `id` therefore names, on its second line, the place for which the id was made. In any other place, and after a boot,
//! which no process survives, a new id is made.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::adopt::EngineError;
use crate::store::Owner;

/// The id of a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateId {
    /// The id.
    pub(super) id: String,
    /// What people should know: the directory stood elsewhere before.
    pub(super) note: Option<String>,
}

/// Where a directory stands, on one line: `device:inode machine boot`.
fn place(state: &Path) -> std::io::Result<String> {
    let meta = std::fs::metadata(state)?;
    let me = Owner::current();
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    Ok(format!("{}:{} {} {}", meta.dev(), meta.ino(), or_none(me.machine_id), or_none(me.boot_id)))
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
    let made_for = lines.next().filter(|line| !line.is_empty());
    let (id, note) = match (known, made_for) {
        (Some(id), Some(there)) if there == here => return Ok(StateId { id, note: None }),
        // Made by a release that did not write the place down: it is believed once.
        (Some(id), None) => (id, None),
        (Some(old), Some(there)) => (new_id(), moved(there, &here, &old)),
        (None, _) => (new_id(), None),
    };
    let fresh = state.join("id.new");
    let written = std::fs::write(&fresh, format!("{id}\n{here}\n")).and_then(|()| std::fs::rename(&fresh, &path));
    written.map_err(failed("written"))?;
    Ok(StateId { id, note })
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
             ended here (their environment holds {}={old}/…)",
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
        assert_eq!(state_id(&copy).expect("an id").note, None, "said once");
    }

    #[test]
    fn after_a_boot_the_id_is_new_and_nothing_is_said() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = place(folder.path()).expect("a place");
        let (front, _) = here.rsplit_once(' ').expect("a boot id");
        std::fs::write(folder.path().join("id"), format!("old\n{front} another-boot\n")).expect("a file");
        let found = state_id(folder.path()).expect("an id");
        assert!(found.id != "old" && found.note.is_none());
    }
}
