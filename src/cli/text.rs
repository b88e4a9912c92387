//! Text for a terminal of any width: columns, wrapping, cutting. Never colours anything, and never lets control
//! characters of a document through.

use unicode_width::UnicodeWidthStr as _;

/// A line that a person reads well, where no terminal says how wide it is.
const PLAIN: usize = 80;
/// Wider lines are hard to read.
const WIDEST: usize = 120;
/// Narrower ones cannot hold a table.
const NARROWEST: usize = 60;

/// How wide a line of data may be: the terminal's width, within reason; 80 where there is none.
#[must_use]
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    match size {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).clamp(NARROWEST, WIDEST),
        Ok(_) | Err(_) => PLAIN,
    }
}

/// Cells that a text takes.
#[must_use]
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Pads to a number of cells; a longer text stays as it is.
#[must_use]
pub(super) fn pad(text: &str, cells: usize) -> String {
    format!("{text}{}", " ".repeat(cells.saturating_sub(width(text))))
}

/// A document's words must not move the cursor.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Cuts to a number of cells, with an ellipsis where something is missing.
#[must_use]
pub(super) fn cut(text: &str, cells: usize) -> String {
    let text = clean(text);
    if width(&text) <= cells {
        return text;
    }
    let mut kept = String::new();
    for c in text.chars() {
        let mut longer = kept.clone();
        longer.push(c);
        if width(&longer) + 1 > cells {
            break;
        }
        kept = longer;
    }
    kept.push('…');
    kept
}

/// Breaks at spaces so that no line is wider than `cells`, where words allow it.
#[must_use]
pub(super) fn wrap(text: &str, cells: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in clean(text).lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && width(&line) + 1 + width(word) > cells {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// Breaks at spaces where it can, and anywhere where it must: no line is wider than `cells`.
#[must_use]
pub(super) fn fold(text: &str, cells: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in wrap(text, cells) {
        let mut piece = String::new();
        for c in line.chars() {
            piece.push(c);
            if width(&piece) >= cells.max(1) {
                lines.push(std::mem::take(&mut piece));
            }
        }
        if !piece.is_empty() {
            lines.push(piece);
        }
    }
    lines
}

/// `1 criterion`, `2 criteria`.
#[must_use]
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_letters_count_twice() {
        assert_eq!(pad("東", 4), "東  ");
        assert_eq!(cut("東京東京", 5), "東京…");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn a_document_cannot_move_the_cursor() {
        assert_eq!(cut("a\u{1b}[2Jb", 20), "a\u{fffd}[2Jb");
        assert_eq!(wrap("a\u{1b}[2J b\rc", 20), ["a\u{fffd}[2J b\u{fffd}c"]);
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
        assert_eq!(fold("a unbreakable", 4), ["a", "unbr", "eaka", "ble"]);
    }
}
