//! One line per event: for scripts, logs and pipes.

use std::io::Write as _;

use super::live::colour;
use super::screen::Canvas;
use super::screen::line::{Colour, printable};
use super::screen::whole;
use super::when::Zone;
use crate::view::{EventView, Level, RunView};

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A line for people.
    Line,
    /// A line for people, also for bookkeeping.
    Everything,
    /// JSON.
    Json,
}

/// Writes events; knows when nobody reads any more.
pub(super) struct Printer {
    form: Form,
    zone: Zone,
    colour: Colour,
    /// Nobody reads.
    pub is_closed: bool,
}

impl Printer {
    /// In a form and a zone.
    #[must_use]
    pub(super) fn new(form: Form, zone: Zone) -> Self {
        Self { form, zone, colour: colour(), is_closed: false }
    }

    /// Writes an event, if its form shows it.
    pub(super) fn event(&mut self, event: &EventView) {
        match self.form {
            Form::Json => {
                let text = serde_json::to_string(event).expect("views have string keys and finite numbers");
                self.write(&text);
            }
            Form::Line if event.level == Level::Detail => {}
            Form::Line | Form::Everything => {
                let text = line(event, &self.zone, self.colour);
                self.write(&text);
            }
        }
    }

    /// Writes a line of talk between events; not among data.
    pub(super) fn talk(&mut self, text: &str) {
        if self.form != Form::Json {
            self.write(text);
        }
    }

    fn write(&mut self, text: &str) {
        let mut out = anstream::stdout().lock();
        if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
            self.is_closed = true;
        }
    }
}

/// `23:41:07  customer-analytics-api/3  final_data_sync: started`.
#[must_use]
pub(super) fn line(event: &EventView, zone: &Zone, colour: Colour) -> String {
    let who = event.who().map(|who| format!(" — {who}")).unwrap_or_default();
    let why = event.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let text = printable(&format!("{}{who}{why}", event.text));
    let text = match (event.level, colour) {
        (Level::Page, Colour::On) => format!("\u{1b}[1;31m{text}\u{1b}[0m"),
        (Level::Act, Colour::On) => format!("\u{1b}[33m{text}\u{1b}[0m"),
        (Level::Detail, Colour::On) => format!("\u{1b}[2m{text}\u{1b}[0m"),
        (Level::Page | Level::Act | Level::Info | Level::Detail, _) => text,
    };
    format!("{}  {}  {text}", zone.clock(event.at), event.run)
}

/// Writes the question that an event asked, if it is still open.
pub(super) fn question(view: &RunView, asked: &EventView, printer: &mut Printer) {
    let canvas = Canvas::new(view, 100);
    let inner = asked.detail.as_object().and_then(|outer| outer.values().next());
    let Some(number) = inner.and_then(|inner| inner.get("question")?.as_u64()) else { return };
    for line in whole::question(view, number, &canvas) {
        printer.talk(&format!("  {}", line.render(Colour::Off)));
    }
}
