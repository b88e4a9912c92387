//! Bytes become text, or a problem that says which byte is wrong and what to do.

use super::FileId;
use super::codes;
use super::problem::Problem;
use super::source::{SourceMap, Span};

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;

/// Why a file could not be read; said by the caller, who does the reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is a directory.
    Directory,
    /// There is no such file.
    Missing,
    /// It may not be read.
    Denied,
    /// It is larger than [`MAX_BYTES`]; its size in bytes, if known.
    TooLarge(Option<u64>),
    /// Anything else, in the system's words.
    Other(String),
}

/// Puts a file that could not be read into the map, so that its problem has a name to stand under.
pub(super) fn unreadable(sources: &mut SourceMap, name: &str, why: &Unreadable) -> (FileId, Problem) {
    let file = sources.add(name, "");
    let place = Span::new(file, 0..0);
    let problem = match why {
        Unreadable::Directory => Problem::new(codes::UNREADABLE, format!("`{name}` is a directory"))
            .help("name a file in it, for example the runbook"),
        Unreadable::Missing => Problem::new(codes::UNREADABLE, format!("there is no file `{name}`"))
            .help("check the path; it is relative to the directory in which the command runs"),
        Unreadable::Denied => Problem::new(codes::UNREADABLE, format!("`{name}` may not be read"))
            .help("check the permissions of the file and of the directories above it"),
        Unreadable::TooLarge(size) => too_large(name, *size),
        Unreadable::Other(reason) => Problem::new(codes::UNREADABLE, format!("`{name}` cannot be read: {reason}")),
    };
    (file, problem.at(place, ""))
}

fn too_large(name: &str, size: Option<u64>) -> Problem {
    let size = size.map_or_else(String::new, |bytes| format!(" ({} MiB)", bytes.div_ceil(1 << 20)));
    Problem::new(codes::TOO_LARGE, format!("`{name}` is larger than 10 MiB{size}"))
        .help("a runbook is text that people read; move data into files that steps use")
}

/// Puts a file into the map, as far as it is text.
pub(super) fn add(sources: &mut SourceMap, name: &str, bytes: &[u8]) -> (FileId, Option<Problem>) {
    if bytes.len() > MAX_BYTES {
        let (file, problem) = unreadable(sources, name, &Unreadable::TooLarge(u64::try_from(bytes.len()).ok()));
        return (file, Some(problem));
    }
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(body) {
        Ok(text) => (sources.add(name, text), None),
        Err(error) => {
            let good = error.valid_up_to();
            // What follows the first wrong byte is shown as far as it can be.
            let file = sources.add(name, &*String::from_utf8_lossy(body));
            let skipped = bytes.len() - body.len();
            let byte = body.get(good).copied().unwrap_or_default();
            (file, Some(not_utf8(sources, file, good, (skipped + good, byte), bytes)))
        }
    }
}

fn not_utf8(sources: &SourceMap, file: FileId, good: usize, wrong: (usize, u8), bytes: &[u8]) -> Problem {
    let (offset, byte) = wrong;
    let name = sources.name(file);
    let problem = Problem::new(codes::NOT_UTF8, format!("`{name}` is not UTF-8 text"));
    let utf16 = matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..]);
    if utf16 {
        return problem.at(Span::new(file, 0..0), "").help("the file is UTF-16; save it as UTF-8 in your editor");
    }
    let length = sources.file(file).text().get(good..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    problem
        .at(Span::new(file, good..good + length), format!("byte {byte:#04x} at offset {offset}"))
        .help("save the file as UTF-8 in your editor; older Windows programs write Latin-1")
}
