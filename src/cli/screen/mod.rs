//! What a run looks like on a terminal: lines that fit, most important first.
//!
//! The live display and `status` are made of the same parts. Nothing here asks anybody: it draws a [`RunView`].
//! Start with [`frame`](frame::frame) and [`parts`].

mod asks;
mod back;
mod checks;
pub mod frame;
pub mod line;
mod needs;
mod parts;
mod steps;
pub mod whole;

use crate::cli::call;
use crate::cli::when::Zone;
use crate::view::{RunView, words};
use line::{Line, Look};

/// What drawing needs to know beside the view.
#[derive(Debug, Clone)]
pub struct Canvas {
    /// Cells in a line.
    pub columns: usize,
    /// The zone of its times.
    pub zone: Zone,
    /// Symbols that the terminal can show.
    pub glyphs: Glyphs,
}

impl Canvas {
    /// For a view and a width.
    #[must_use]
    pub fn new(view: &RunView, columns: usize) -> Self {
        Self { columns, zone: Zone::of(view), glyphs: Glyphs::of_locale() }
    }
}

/// The symbols of the display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glyphs {
    /// Done.
    pub done: &'static str,
    /// Under way.
    pub live: &'static str,
    /// Not yet.
    pub later: &'static str,
    /// Badly.
    pub bad: &'static str,
    /// Nobody knows, or a person is asked.
    pub ask: &'static str,
    /// Skipped, or not performed.
    pub skipped: &'static str,
    /// Waiting.
    pub waits: &'static str,
    /// Going back.
    pub back: &'static str,
    /// A passed sample.
    pub pass: &'static str,
    /// A failed sample.
    pub fail: &'static str,
    /// A sample that says nothing.
    pub blank: &'static str,
    /// The done part of a bar.
    pub full: &'static str,
    /// Its rest.
    pub empty: &'static str,
    /// Between two remarks.
    pub dot: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    done: "✓",
    live: "▶",
    later: "·",
    bad: "✗",
    ask: "?",
    skipped: "-",
    waits: "◷",
    back: "↩",
    pass: "▁",
    fail: "█",
    blank: "·",
    full: "━",
    empty: "─",
    dot: " · ",
};

const ASCII: Glyphs = Glyphs {
    done: "+",
    live: ">",
    later: ".",
    bad: "x",
    ask: "?",
    skipped: "-",
    waits: "o",
    back: "<",
    pass: "_",
    fail: "#",
    blank: ".",
    full: "=",
    empty: "-",
    dot: ", ",
};

impl Glyphs {
    /// Unicode where the locale has it.
    #[must_use]
    pub fn of_locale() -> Self {
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = of("LC_ALL").or_else(|| of("LC_CTYPE")).or_else(|| of("LANG"));
        match locale {
            // A bare `C` is what a minimal image has; its terminals show Unicode all the same.
            Some(locale) if locale == "POSIX" => ASCII,
            Some(locale) if locale.contains('.') && !locale.to_lowercase().contains("utf") => ASCII,
            Some(_) | None => UNICODE,
        }
    }
}

/// How a state looks.
fn state_look(view: &RunView) -> Look {
    match view.summary.state.as_str() {
        "accepted" | "committed" => Look::Good,
        "deciding" | "stuck" | "closed_with_residue" | "damaged" => Look::Bad,
        "rolling_back" | "rolled_back" | "refused" | "cancelled" => Look::Warn,
        _ if view.hold.is_some() || view.summary.needs_person => Look::Warn,
        _ => Look::Live,
    }
}

/// `3m 05s`.
fn span(ms: i64) -> String {
    words::span(ms)
}

/// Text broken into lines with an indent.
fn paragraph(look: Look, text: &str, indent: usize, columns: usize) -> Vec<Line> {
    let blank = " ".repeat(indent);
    let wrapped = crate::cli::text::wrap(&line::printable(text), columns.saturating_sub(indent).max(20));
    wrapped.into_iter().map(|part| Line::of(Look::Plain, &blank).add(look, part)).collect()
}

/// A command behind its label; on lines of its own where it would be cut, because it is there to be typed.
fn command(head: Line, command: &str, indent: usize, columns: usize) -> Vec<Line> {
    let command = &*call::typed(command);
    let one = head.clone().add(Look::Command, command);
    if one.width() <= columns {
        return vec![one];
    }
    let mut lines = vec![head];
    lines.extend(paragraph(Look::Command, command, indent, columns));
    lines
}
