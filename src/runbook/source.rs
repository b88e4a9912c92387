//! Files as text, and places in them.
//!
//! A [`Span`] is a pair of byte offsets in one file of a [`SourceMap`]; everything that a document says
//! keeps its span, so that a problem found much later, in the plan, still has a caret. This module never
//! reads a file: it is given names and text. Start with [`SourceMap::add`], then [`SourceMap::position`].

use std::ops::{Deref, Range, RangeInclusive};
use std::sync::Arc;

use unicode_width::UnicodeWidthChar as _;

/// A file of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) u32);

/// A place: bytes `start..end` of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// A place from byte offsets; files are limited to 10 MB, so offsets fit 32 bits.
    #[must_use]
    pub fn new(file: FileId, range: Range<usize>) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self { file, start: clamp(range.start), end: clamp(range.end) }
    }

    /// The byte offsets.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// From the start of this place to the end of another one in the same file.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A value and the place where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Another value at the same place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Text with its place. Derefs to `Arc<str>`, so `&*text.value` and `text.as_ref()` give `&str`.
pub type Text = Spanned<Arc<str>>;

/// Line and columns of an offset, all counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column in characters, as editors count it.
    pub column: usize,
    /// The column on a terminal, where wide characters take two cells and tabs end at multiples of 4.
    pub display_column: usize,
}

/// One file: its name as the user gave it, and its text.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
    line_starts: Vec<u32>,
}

impl SourceFile {
    /// The name, as the user gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, without a byte order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a line (from 1) without its line end.
    #[must_use]
    pub fn line(&self, line: usize) -> &str {
        let Some(start) = line.checked_sub(1).and_then(|index| self.line_starts.get(index)) else {
            return "";
        };
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| *next as usize);
        self.text.get(*start as usize..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }

    /// The byte offsets of some lines (from 1), their line ends included.
    #[must_use]
    pub fn lines(&self, lines: RangeInclusive<usize>) -> Range<usize> {
        let offset = |index: usize| self.line_starts.get(index).map_or(self.text.len(), |start| *start as usize);
        offset(lines.start().saturating_sub(1))..offset(*lines.end())
    }

    /// Line and column of a byte offset; an offset behind the end gives the end.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = boundary_before(&self.text, offset);
        let line = self.line_starts.partition_point(|start| *start as usize <= offset);
        let start = self.line_starts.get(line.saturating_sub(1)).map_or(0, |start| *start as usize);
        let before = self.text.get(start..offset).unwrap_or("");
        let display = before.chars().fold(0, |column, c| match c {
            '\t' => (column / 4 + 1) * 4,
            other => column + other.width().unwrap_or(0),
        });
        Position { line, column: before.chars().count() + 1, display_column: display + 1 }
    }
}

/// All files of one call, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Takes a file's text under a name.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(newlines(&text).map(|newline| u32::try_from(newline + 1).unwrap_or(u32::MAX)))
            .collect();
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { name: name.into(), text, line_starts });
        id
    }

    /// A file.
    ///
    /// # Panics
    /// If the id comes from another map, which is our own bug.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        self.files.get(id.0 as usize).expect("a file id is only made by the map that holds the file")
    }

    /// The name of a file.
    #[must_use]
    pub fn name(&self, id: FileId) -> &str {
        self.file(id).name()
    }

    /// The text at a place.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.file(span.file).text.get(span.range()).unwrap_or("")
    }

    /// Line and column of the start of a place.
    #[must_use]
    pub fn position(&self, span: Span) -> Position {
        self.file(span.file).position(span.start as usize)
    }

    /// Line and column of the end of a place.
    #[must_use]
    pub fn end_position(&self, span: Span) -> Position {
        self.file(span.file).position(span.end as usize)
    }

    /// The place of a part of a string value. Where the file writes the value with the same characters, line
    /// breaks and indentation aside, this is exact; in a string with escapes it is the first place where
    /// the part stands, and the whole string if it stands nowhere as it is.
    #[must_use]
    pub fn inside(&self, whole: Span, value: &str, part: Range<usize>) -> Span {
        let raw = self.slice(whole);
        let base = whole.range().start;
        if let Some(at) = raw.find(value) {
            return Span::new(whole.file, base + at + part.start..base + at + part.end);
        }
        if let Some(found) = aligned(raw, value, &part) {
            return Span::new(whole.file, base + found.start..base + found.end);
        }
        match value.get(part).filter(|text| !text.is_empty()).and_then(|text| Some((raw.find(text)?, text.len()))) {
            Some((at, length)) => Span::new(whole.file, base + at..base + at + length),
            None => whole,
        }
    }

    /// All files with their ids.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        (0u32..).map(FileId).zip(&self.files)
    }
}

/// The nearest offset at or before `at` that does not split a character.
pub(crate) fn boundary_before(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|offset| text.is_char_boundary(*offset)).unwrap_or(0)
}

/// The nearest offset at or behind `at` that does not split a character.
pub(crate) fn boundary_after(text: &str, at: usize) -> usize {
    (at..text.len()).find(|offset| text.is_char_boundary(*offset)).unwrap_or(text.len())
}

/// Where a part of a value stands in a raw text that has the same characters but other white space, as a
/// folded or a block string has.
fn aligned(raw: &str, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let solid = |text: &str| text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect::<Vec<_>>();
    let (raw_chars, value_chars) = (solid(raw), solid(value));
    let first = value_chars.iter().position(|(at, _)| *at >= part.start);
    let skipped = raw_chars.len().checked_sub(value_chars.len())?;
    // A quote may stand around the value; nothing else may be different.
    let lead = usize::from(skipped > 0 && raw.starts_with(['"', '\'']));
    let same = value_chars.iter().zip(raw_chars.get(lead..)?).all(|((_, a), (_, b))| a == b);
    if !same {
        return None;
    }
    let place = |index: usize| raw_chars.get(index + lead).map_or(raw.len(), |(at, _)| *at);
    let Some(first) = first else { return Some(raw.trim_end().len()..raw.trim_end().len()) };
    let last = value_chars.iter().rposition(|(at, _)| *at < part.end)?;
    let end = raw_chars.get(last + lead).map_or(raw.len(), |(at, c)| at + c.len_utf8());
    let start = place(first);
    Some(start..end.max(start))
}

fn newlines(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_cells() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.yaml", "a: b\r\n\tnäme: 日本 x\n\nend");
        let at = |text: &str| {
            let start = sources.file(file).text().find(text).expect("there");
            let position = sources.position(Span::new(file, start..start + 1));
            (position.line, position.column, position.display_column)
        };
        assert_eq!(at("b"), (1, 4, 4));
        assert_eq!(at("näme"), (2, 2, 5));
        assert_eq!(at("x"), (2, 11, 16));
        assert_eq!(at("end"), (4, 1, 1));
        assert_eq!(sources.file(file).line(1), "a: b");
        assert_eq!(sources.file(file).line(3), "");
        assert_eq!(sources.file(file).line(9), "");
    }

    #[test]
    fn a_part_of_a_value_is_found_in_the_file() {
        let mut sources = SourceMap::default();
        let text = "plain ${{ a }}|'quoted ${{ b }}'|folded\n    ${{ c }} and ${{ c }}|\"esc\\t${{ d }}\"|nothing";
        let file = sources.add("a.yaml", text);
        let whole = |piece: &str| {
            let start = text.find(piece).expect("there");
            Span::new(file, start..start + piece.len())
        };
        let inside = |raw: &str, value: &str, part: &str, nth: usize| {
            let (start, _) = value.match_indices(part).nth(nth).expect("there");
            let span = sources.inside(whole(raw), value, start..start + part.len());
            (sources.slice(span).to_owned(), span.start as usize - whole(raw).range().start)
        };
        assert_eq!(inside("plain ${{ a }}", "plain ${{ a }}", "a }", 0), ("a }".into(), 10));
        assert_eq!(inside("'quoted ${{ b }}'", "quoted ${{ b }}", "b", 0), ("b".into(), 12));
        let folded = "folded\n    ${{ c }} and ${{ c }}";
        assert_eq!(inside(folded, "folded ${{ c }} and ${{ c }}", "${{ c }}", 1), ("${{ c }}".into(), 24));
        assert_eq!(inside("\"esc\\t${{ d }}\"", "esc\t${{ d }}", "${{ d }}", 0), ("${{ d }}".into(), 6));
        assert_eq!(inside("nothing", "else", "else", 0), ("nothing".into(), 0));
    }
}
