//! A line of styled text that knows its width on a terminal and can be cut to it.

use anstyle::{AnsiColor, Effects, Style};

use crate::cli::text;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Look {
    /// As it is.
    #[default]
    Plain,
    /// What matters.
    Strong,
    /// What may be overlooked.
    Dim,
    /// Well.
    Good,
    /// Look here.
    Warn,
    /// Badly.
    Bad,
    /// Under way.
    Live,
    /// To be typed.
    Command,
}

impl Look {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().effects(Effects::BOLD),
            Self::Dim => Style::new().effects(Effects::DIMMED),
            Self::Good => colour(AnsiColor::Green),
            Self::Warn => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).effects(Effects::BOLD),
            Self::Live => colour(AnsiColor::Cyan),
            Self::Command => Style::new().effects(Effects::BOLD),
        }
    }
}

/// Whether escapes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Yes.
    On,
    /// No: `NO_COLOR`, or no terminal.
    Off,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    parts: Vec<(Look, String)>,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A line of one piece.
    pub fn of(look: Look, text: impl AsRef<str>) -> Self {
        Self::new().add(look, text)
    }

    /// With another piece at its end. Control characters become visible: a log line must not move the cursor.
    #[must_use]
    pub fn add(mut self, look: Look, text: impl AsRef<str>) -> Self {
        self.parts.push((look, printable(text.as_ref())));
        self
    }

    /// With a piece that is padded to a width, cut if it is longer.
    #[must_use]
    pub fn cell(self, look: Look, text: &str, cells: usize) -> Self {
        let cut = text::cut(&printable(text), cells);
        self.add(look, text::pad(&cut, cells))
    }

    /// With another line at its end.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// With a piece that ends at the right edge, if there is room for it.
    #[must_use]
    pub fn right(self, look: Look, text: &str, cells: usize) -> Self {
        let used = self.width() + text::width(text);
        if used + 1 > cells {
            return self;
        }
        let gap = " ".repeat(cells - used);
        self.add(Look::Plain, gap).add(look, text)
    }

    /// Cells that it takes.
    #[must_use]
    pub fn width(&self) -> usize {
        self.parts.iter().map(|(_, part)| text::width(part)).sum()
    }

    /// Cut to a width.
    #[must_use]
    pub fn cut(self, cells: usize) -> Self {
        if self.width() <= cells {
            return self;
        }
        // Something is missing in any case: the last cell says so.
        let mut left = cells.saturating_sub(1);
        let mut parts = Vec::new();
        for (look, part) in self.parts {
            let width = text::width(&part);
            if width <= left {
                left -= width;
                parts.push((look, part));
                continue;
            }
            let mut kept = String::new();
            for c in part.chars() {
                kept.push(c);
                if text::width(&kept) > left {
                    kept.pop();
                    break;
                }
            }
            if cells > 0 {
                kept.push('…');
            }
            parts.push((look, kept));
            break;
        }
        Self { parts }
    }

    /// As it is written to a terminal.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        let mut out = String::new();
        for (look, part) in &self.parts {
            let style = look.style();
            if colour == Colour::Off || *look == Look::Plain {
                out.push_str(part);
            } else {
                out.push_str(&format!("{style}{part}{style:#}"));
            }
        }
        // Blanks at the end of a line help nobody.
        if colour == Colour::Off { out.trim_end().to_owned() } else { out }
    }
}

/// Text without anything that moves a cursor or changes colours: escapes are left out, tabs become blanks.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\t' => out.push(' '),
            // CSI: parameters, then one letter.
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            c if c.is_control() => {}
            // What turns the reading direction round, or takes no room and joins: not on this screen.
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_never_wider_than_it_may_be() {
        for cells in 0..12 {
            let line = Line::of(Look::Good, "abc").add(Look::Plain, "東京").add(Look::Bad, "defg");
            assert!(line.clone().cut(cells).width() <= cells, "{cells}: {:?}", line.cut(cells));
        }
        let whole = Line::of(Look::Plain, "abc").add(Look::Plain, "def");
        assert_eq!(whole.clone().cut(6).render(Colour::Off), "abcdef");
        assert_eq!(whole.clone().cut(5).render(Colour::Off), "abcd…");
        assert_eq!(whole.cut(3).render(Colour::Off), "ab…");
    }

    #[test]
    fn output_of_programs_cannot_move_the_cursor() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\r\n50%\t\u{7}done"), "red50% done");
        assert_eq!(printable("\u{1b}[2Jx\u{202e}y"), "xy");
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        let line = Line::of(Look::Bad, "failed").right(Look::Dim, "23:41", 20);
        assert_eq!(line.render(Colour::Off), "failed         23:41");
        assert!(line.render(Colour::On).contains('\u{1b}'));
    }
}
