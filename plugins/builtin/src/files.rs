//! The executors of files and folders on this machine, and the rules that they share.
//!
//! Rules: paths are absolute and hold no `..`; nothing is ever written at its final name; nothing
//! is overwritten that was not there by our own hand, unless it is kept beside it; a link is
//! itself, never what it points to; every change is flushed before it is reported.
//!
//! The work is done in short blocking pieces ([`place::Claim::run`]), so that a cancel is heard
//! between two of them, and a piece that an interrupted attempt left in flight is waited for.

pub(crate) mod copy;
pub(crate) mod move_aside;
pub(crate) mod remove;
pub(crate) mod verify;

mod mark;
mod place;
mod transfer;
mod tree;

use std::io;
use std::path::{Component, Path, PathBuf};

use bascule_plugin::by_hand::quote;
use bascule_plugin::{CheckCx, Failure, Left, Outcome, Stop};

use crate::params;

/// A path as a word of a shell.
fn quote_path(path: &Path) -> String {
    quote(&path.display().to_string())
}

/// The line of shell that gives a path back what was moved from it.
fn back(from: &str, to: &Path) -> String {
    // `mv -n` says nothing when it does nothing.
    format!("test ! -e {1} && mv -T -- {0} {1}", quote(from), quote_path(to))
}

/// The line of shell that keeps what is at a path under another name.
fn aside(path: &Path) -> String {
    let kept = format!("{}.aside", path.display());
    format!("if [ -e {0} ]; then test ! -e {1} && mv -T -- {0} {1}; fi", quote_path(path), quote(&kept))
}

/// Why a piece of work did not end well.
#[derive(Debug)]
enum Halt {
    /// The attempt must stop.
    Stopped(Stop),
    /// It cannot go on.
    Failed(Failure),
}

impl Halt {
    /// A failed operation of the file system.
    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::Failed(Failure::caused(format!("cannot {what} {}", path.display()), error))
    }

    fn failed(message: impl Into<String>) -> Self {
        Self::Failed(Failure::new(message))
    }

    fn into_outcome(self, left: Left) -> Outcome {
        match self {
            Self::Stopped(Stop::Cancelled) => Outcome::Cancelled { left },
            Self::Stopped(Stop::Deadline) => Outcome::Failed {
                failure: Failure::new("the deadline came before the work was done")
                    .hint("give the step a longer `timeout`"),
                left,
            },
            Self::Failed(failure) => Outcome::Failed { failure, left },
        }
    }
}

/// Goes on unless the attempt must stop.
fn go_on(cx: &CheckCx) -> Result<(), Halt> {
    cx.must_stop().map_or(Ok(()), |stop| Err(Halt::Stopped(stop)))
}

/// A path that a step may name: absolute, without `..`, and not the root.
fn checked(parameter: &str, path: &Path) -> Result<PathBuf, Failure> {
    let refuse = |why: &str| Err(params::wrong(&format!("`{parameter}`, which is `{}`, {why}", path.display())));
    if path.as_os_str().is_empty() {
        return refuse("is empty");
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return refuse("holds a zero byte");
    }
    if !path.is_absolute() {
        return refuse("is not an absolute path; a relative one would mean another place after a restart");
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return refuse("holds `..`; write the path that you mean");
    }
    if path.file_name().is_none() {
        return refuse("is the root of the file system");
    }
    // Without doubled and trailing slashes, so that one thing has one name.
    Ok(path.components().collect())
}

/// The folder that a path lies in.
fn parent(path: &Path) -> &Path {
    // A checked path has one.
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprising_paths_are_refused_with_the_reason() {
        let refusal = |path: &str| checked("path", Path::new(path)).expect_err(path).message;
        assert!(refusal("").contains("is empty"));
        assert!(refusal("/").contains("root"));
        assert!(refusal("///").contains("root"));
        assert!(refusal("/.").contains("root"));
        assert!(refusal("data/disk").contains("absolute"));
        assert!(refusal("~/disk").contains("absolute"));
        assert!(refusal("/data/../etc").contains("`..`"));
        assert!(refusal("/data/..").contains("`..`"));
        assert!(refusal("/data\0").contains("zero byte"));
    }

    #[test]
    fn one_place_has_one_name() {
        assert_eq!(checked("path", Path::new("//data/./disk//")).expect("it is fine"), Path::new("/data/disk"));
    }
}
