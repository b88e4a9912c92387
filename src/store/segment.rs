//! One segment file as bytes: its name, and how it falls into whole lines and damage.
//!
//! Nothing here knows about runs or decides what damage means; that is `scan.rs`. Start at [`Parsed::of`].

use std::path::{Path, PathBuf};

use super::format::{self, Header, Line};

/// What stands in a segment where nothing was written yet. Zeros appear if a power loss kept a file's new size but not
/// its content.
fn is_blank(byte: u8) -> bool {
    byte == b'\n' || byte == 0
}

/// The file of a segment.
pub(super) fn path_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:06}.ndjson"))
}

/// The number of a segment from its file name.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".ndjson")?;
    if digits.len() < 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|number| *number > 0)
}

/// Part of a segment.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// A whole line, without the segment's header.
    Line { from: u64, to: u64, line: Line<'a> },
    /// Bytes that are no whole line.
    Bad { from: u64, to: u64 },
}

/// A segment, split.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    /// Its first line, if that is whole.
    pub(super) header: Option<Header>,
    /// What follows, in order, without gaps; damage at the header's place is here, too.
    pub(super) items: Vec<Item<'a>>,
    /// The byte after the last that is not blank, and after its line's end.
    pub(super) end: u64,
    /// The largest offset that some whole line says was durable.
    pub(super) known: u64,
    /// Where the closing line stands, if the last line is one.
    pub(super) closed_at: Option<u64>,
}

impl<'a> Parsed<'a> {
    /// Splits the first `limit` bytes of a segment.
    pub(super) fn of(bytes: &'a [u8], limit: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(bytes.len());
        // The search ends one byte after the content, so that the last line's end belongs to its line.
        let content = bytes[..limit].iter().rposition(|b| !is_blank(*b)).map_or(0, |last| (last + 2).min(limit));
        let mut parsed = Self { header: None, items: Vec::new(), end: 0, known: 0, closed_at: None };
        let mut at = 0;
        while at < content {
            let next = (at + line_len(&bytes[at..content])).min(limit);
            let line_end = if bytes[next - 1] == b'\n' { next - 1 } else { next };
            parsed.push(at, next, &bytes[at..line_end]);
            at = next;
        }
        parsed.end = at as u64;
        parsed
    }

    fn push(&mut self, from: usize, to: usize, text: &'a [u8]) {
        let (first, from, to) = (from == 0, from as u64, to as u64);
        match format::decode(text) {
            Some(Line::Header(header)) if first => {
                self.known = header.known;
                self.header = Some(header);
            }
            Some(Line::Header(_)) | None => self.push_bad(from, to),
            Some(line) => {
                self.note(from, &line);
                self.items.push(Item::Line { from, to, line });
            }
        }
    }

    /// Joins damage that touches, so that one torn range is reported once.
    fn push_bad(&mut self, from: u64, to: u64) {
        if let Some(Item::Bad { to: end, .. }) = self.items.last_mut() {
            *end = to;
        } else {
            self.items.push(Item::Bad { from, to });
        }
        self.closed_at = None;
    }

    /// Keeps what a whole line says about durability.
    fn note(&mut self, from: u64, line: &Line<'_>) {
        let known = match line {
            Line::Transition(record) => record.known,
            Line::Repair(repair) => repair.known,
            Line::Closed(closed) => closed.known,
            Line::Header(_) => 0,
        };
        self.known = self.known.max(known);
        self.closed_at = matches!(line, Line::Closed(_)).then_some(from);
    }
}

/// The bytes up to and with the first line end, or all.
fn line_len(mut bytes: &[u8]) -> usize {
    let whole = bytes.len();
    // The standard library's own search, many times faster than a loop; reading from memory cannot fail.
    std::io::BufRead::skip_until(&mut bytes, b'\n').unwrap_or(whole)
}

/// The beginning of damaged bytes, for a report.
pub(super) fn excerpt(bytes: &[u8], from: u64, to: u64) -> String {
    let whole = range(bytes, from, to);
    let shown = String::from_utf8_lossy(&whole[..whole.len().min(60)]);
    shown.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// The run names that can still be read in damaged bytes. They are evidence that something of these runs stood there.
pub(super) fn names_in(bytes: &[u8], from: u64, to: u64) -> Vec<String> {
    const KEY: &[u8] = b"{\"run\":\"";
    let whole = range(bytes, from, to);
    let mut names = Vec::new();
    for at in whole.windows(KEY.len()).enumerate().filter(|(_, w)| *w == KEY).map(|(at, _)| at + KEY.len()) {
        let Some(len) = whole[at..].iter().position(|b| *b == b'"') else { continue };
        if let Ok(name) = std::str::from_utf8(&whole[at..at + len])
            && super::record::is_run_name(name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

fn range(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    &bytes[place(from)..place(to)]
}
