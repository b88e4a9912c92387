//! What a command says while it runs: progress lines, the last words before a failure, and
//! standard output when it is wanted as JSON. Everything here is bounded.

use bascule_plugin::{ExecCx, Failure, Progress};
use serde_json::Value;

/// Standard output longer than this is not taken as a value.
const CAPTURE: usize = 1024 * 1024;

/// A line longer than this is no progress line, and no last words.
const LINE: usize = 1024;

/// Hears standard output.
pub(super) struct Listener<'a> {
    cx: &'a ExecCx,
    line: Vec<u8>,
    /// What was kept of it.
    pub(super) captured: Captured,
}

/// Standard output, if it is wanted.
#[derive(Default)]
pub(super) struct Captured {
    wanted: bool,
    bytes: Vec<u8>,
    too_long: bool,
}

impl<'a> Listener<'a> {
    pub(super) fn new(cx: &'a ExecCx, capture: bool) -> Self {
        Self { cx, line: Vec::new(), captured: Captured { wanted: capture, ..Captured::default() } }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.captured.hear(bytes);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() <= LINE {
                let room = LINE + 1 - self.line.len();
                self.line.extend_from_slice(part.get(..room.min(part.len())).unwrap_or(part));
            }
            if part.ends_with(b"\n") {
                if let Some(progress) = progress(&self.line) {
                    self.cx.progress(progress);
                }
                self.line.clear();
            }
        }
    }
}

impl Captured {
    fn hear(&mut self, bytes: &[u8]) {
        if !self.wanted || self.too_long {
            return;
        }
        if self.bytes.len() + bytes.len() > CAPTURE {
            self.too_long = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The one JSON value that was written.
    pub(super) fn json(self) -> Result<Value, Failure> {
        if self.too_long {
            return Err(Failure::new(
                "the command wrote more than 1 MiB to standard output, too much for `parse: json`",
            )
            .hint("let it write the values that are needed to the file named by BASCULE_OUTPUTS"));
        }
        serde_json::from_slice(&self.bytes).map_err(|error| {
            Failure::caused("the command succeeded, but its standard output is not one JSON value", &error)
        })
    }
}

/// `::progress 30/200 files`, or `::progress 30 files` where the end is not known.
fn progress(line: &[u8]) -> Option<Progress> {
    let line = std::str::from_utf8(line.strip_prefix(b"::progress ")?).ok()?.trim();
    let (count, unit) = line.split_once(' ')?;
    let (done, total) = match count.split_once('/') {
        Some((done, total)) => (done, Some(total.parse().ok()?)),
        None => (count, None),
    };
    Some(Progress { done: done.parse().ok()?, total, unit: unit.trim().to_owned() })
}

/// The last line of a stream that says something.
#[derive(Default)]
pub(super) struct LastLine {
    current: Vec<u8>,
    last: Vec<u8>,
}

impl LastLine {
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.keep();
            } else if self.current.len() < LINE {
                self.current.push(*byte);
            }
        }
    }

    fn keep(&mut self) {
        if !self.current.trim_ascii().is_empty() {
            std::mem::swap(&mut self.last, &mut self.current);
        }
        self.current.clear();
    }

    /// The line, if there was one.
    pub(super) fn line(mut self) -> Option<String> {
        self.keep();
        let line = String::from_utf8_lossy(&self.last).trim().to_owned();
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_read() {
        let read =
            |line: &str| progress(line.as_bytes()).map(|progress| (progress.done, progress.total, progress.unit));
        assert_eq!(read("::progress 30/200 files\n"), Some((30, Some(200), "files".to_owned())));
        assert_eq!(read("::progress 30 MiB per disk\r\n"), Some((30, None, "MiB per disk".to_owned())));
        assert_eq!(read("::progress 30/200\n"), None);
        assert_eq!(read("::progress x/200 files\n"), None);
        assert_eq!(read("progress 30/200 files\n"), None);
    }

    #[test]
    fn the_last_words_survive_chunks_and_blank_lines() {
        let mut last = LastLine::default();
        for chunk in ["first\nsec", "ond\n", "\n  \n"] {
            last.hear(chunk.as_bytes());
        }
        assert_eq!(last.line().as_deref(), Some("second"));
        assert_eq!(LastLine::default().line(), None);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut last = LastLine::default();
        for _ in 0..1000 {
            last.hear(&[b'x'; 8192]);
        }
        assert_eq!(last.line().map(|line| line.len()), Some(LINE));
    }

    #[test]
    fn output_too_long_to_be_a_value_is_refused_and_not_kept() {
        let mut captured = Captured { wanted: true, ..Captured::default() };
        for _ in 0..300 {
            captured.hear(&[b'1'; 4096]);
        }
        assert!(captured.bytes.is_empty());
        assert!(captured.json().expect_err("it is too long").message.contains("1 MiB"));
    }
}
