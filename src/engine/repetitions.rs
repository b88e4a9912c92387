//! What is kept of a check that is repeated all night: the last repetitions that passed, and every one
//! that did not.
//!
//! It must never remove anything of an attempt whose verdict is not "passed". The names of those that
//! did stand in a file beside them, so that an engine that comes after goes on counting.

use std::path::PathBuf;

/// How many repetitions that passed are kept of a step.
pub const KEPT: usize = 20;

/// The file with the names of repetitions that passed and are kept, the oldest first.
const PASSED: &str = "passed";

/// A repetition passed: those before the last [`KEPT`] go. Blocks.
///
/// `folder` is the step's, `label` the attempt's name in it. What cannot be removed stays.
pub fn passed(folder: &std::path::Path, label: &str) {
    let list: PathBuf = folder.join(PASSED);
    let known = std::fs::read_to_string(&list).unwrap_or_default();
    let mut names: Vec<&str> = known.lines().filter(|name| !name.is_empty() && *name != label).collect();
    names.push(label);
    let over = names.len().saturating_sub(KEPT);
    for name in names.drain(..over) {
        // A name that leads out of the folder was not written by us.
        if !name.contains(['/', '\\']) && name != ".." && name != "." {
            std::fs::remove_file(folder.join(format!("{name}.log"))).ok();
            std::fs::remove_dir_all(folder.join(name)).ok();
        }
    }
    // Attempts that neither logged nor kept anything have no folder, and need no list.
    if folder.is_dir() {
        std::fs::write(&list, names.join("\n")).ok();
    }
}

/// Whether the log of an attempt that passed may have gone this way.
#[must_use]
pub fn may_have_gone(folder: &std::path::Path, label: &str) -> bool {
    std::fs::read_to_string(folder.join(PASSED)).is_ok_and(|known| !known.lines().any(|name| name == label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_passed_stay_and_all_that_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = || {
            let entries = std::fs::read_dir(folder.path()).expect("it is there").flatten();
            let mut names: Vec<String> =
                entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.retain(|name| name != PASSED);
            names.sort();
            names
        };
        for number in 1..=100 {
            let label = format!("forward-{number:03}");
            std::fs::write(folder.path().join(format!("{label}.log")), "it ran").expect("a log");
            std::fs::create_dir(folder.path().join(&label)).expect("a folder of the attempt");
            if number % 10 != 0 {
                passed(folder.path(), &label);
            }
        }
        let failed = logs().iter().filter(|name| name.ends_with("0.log")).count();
        assert_eq!(failed, 10, "every failure stays");
        assert_eq!(logs().iter().filter(|name| name.ends_with(".log")).count(), 10 + KEPT);
        assert_eq!(
            logs().iter().filter(|name| !name.ends_with(".log")).count(),
            10 + KEPT,
            "and the folders with them"
        );
        assert!(logs().contains(&"forward-099.log".to_owned()) && !logs().contains(&"forward-001.log".to_owned()));
        assert!(may_have_gone(folder.path(), "forward-001") && !may_have_gone(folder.path(), "forward-099"));
    }

    #[test]
    fn a_list_that_leads_elsewhere_removes_nothing() {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("step");
        std::fs::create_dir(&folder).expect("the step's folder");
        std::fs::write(outer.path().join("kept.log"), "").expect("a file elsewhere");
        std::fs::write(folder.join(PASSED), "../kept\n").expect("a list");
        for number in 0..=KEPT {
            passed(&folder, &format!("forward-{number}"));
        }
        assert!(outer.path().join("kept.log").exists());
    }
}
