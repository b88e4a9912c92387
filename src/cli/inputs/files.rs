//! Files become documents; what cannot be read becomes a problem with its name.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::runbook::{Documents, FileId, MAX_BYTES, Unreadable};

/// What stands for standard input in problems.
const STDIN: &str = "<stdin>";

/// Whether standard input was read: it can be one document only.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Taken {
    #[default]
    No,
    Yes,
}

/// Adds a file, or standard input for `-`.
///
/// # Errors
/// Standard input was wanted twice.
pub(super) fn add(documents: &mut Documents, name: &str, stdin: &mut Taken) -> Result<FileId, CliError> {
    let (name, read) = if name == "-" {
        if std::mem::replace(stdin, Taken::Yes) == Taken::Yes {
            return Err(CliError::usage("`-` stands twice on the command line")
                .hint("standard input holds one document; give the others as files"));
        }
        (STDIN, limited(std::io::stdin().lock(), None))
    } else {
        (name, open(Path::new(name)))
    };
    Ok(match read {
        Ok(bytes) => documents.add(name, &bytes),
        Err(why) => documents.unreadable(name, &why),
    })
}

fn open(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let file = File::open(path).map_err(|error| why(&error))?;
    let about = file.metadata().map_err(|error| why(&error))?;
    if about.is_dir() {
        return Err(Unreadable::Directory);
    }
    limited(file, Some(about.len()))
}

/// Reads at most a byte more than a document may have: a device without an end has one here.
fn limited(from: impl Read, length: Option<u64>) -> Result<Vec<u8>, Unreadable> {
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| why(&error))?;
    if bytes.len() > MAX_BYTES { Err(Unreadable::TooLarge(length.filter(|length| *length > most))) } else { Ok(bytes) }
}

fn why(error: &std::io::Error) -> Unreadable {
    // The other kinds say themselves best.
    if error.kind() == ErrorKind::NotFound {
        Unreadable::Missing
    } else if error.kind() == ErrorKind::PermissionDenied {
        Unreadable::Denied
    } else if error.kind() == ErrorKind::IsADirectory {
        Unreadable::Directory
    } else {
        Unreadable::Other(error.to_string())
    }
}

/// The folder in which a document stands; of standard input the one in which the command runs.
pub(super) fn folder(name: &str) -> PathBuf {
    let parent = if name == "-" { None } else { Path::new(name).parent() };
    parent.map(Path::to_owned).unwrap_or_default()
}

/// The files of `catalog/` beside a runbook, by name.
pub(super) fn beside(name: &str) -> Vec<PathBuf> {
    if name == "-" {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(folder(name).join("catalog")) else { return Vec::new() };
    let yaml = |path: &PathBuf| path.extension().is_some_and(|end| end == "yaml" || end == "yml");
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(yaml).collect();
    paths.sort();
    paths
}
