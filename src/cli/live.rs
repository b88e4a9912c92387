//! The live display: one screen, drawn again in place.
//!
//! It uses the terminal's second screen with line wrapping off, so that neither a narrow window nor a resize can garble
//! it, and leaves what was there before as it was. Colours follow `NO_COLOR`; the cursor moves in any case.

use std::io::Write as _;
use std::time::Duration;

use super::client::Client;
use super::error::CliError;
use super::screen::Canvas;
use super::screen::frame::frame;
use super::screen::line::{Colour, Line, Look};
use super::voice::Voice;
use crate::store::RunName;
use crate::view::RunView;

/// How often the run is looked at. Events would not do: durations, deadlines and progress move without one. It ends with
/// the run, with the owner, or when the person leaves.
const LOOK: Duration = Duration::from_millis(250);

/// Enters the second screen: no cursor, no wrapping.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[2J";
/// Leaves it.
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
/// A smaller terminal shows what fits of this.
const SMALLEST: (usize, usize) = (20, 5);

/// What stands around the picture of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The last line.
    pub(super) footer: &'a str,
    /// What the owner says, above it.
    pub(super) voice: &'a Voice,
}

/// The second screen, given back when this is dropped.
pub(super) struct Screen<'a> {
    frame: Frame<'a>,
    drawn: Vec<String>,
    size: (usize, usize),
    colour: Colour,
}

impl<'a> Screen<'a> {
    /// Enters it.
    #[must_use]
    pub(super) fn enter(frame: Frame<'a>) -> Self {
        write(ENTER);
        frame.voice.show();
        Self { frame, drawn: Vec::new(), size: (0, 0), colour: colour() }
    }

    /// Draws lines; only what changed is written.
    fn draw(&mut self, lines: &[Line], size: (usize, usize)) {
        let mut out = String::new();
        if size != self.size {
            self.size = size;
            self.drawn.clear();
            out.push_str("\u{1b}[2J");
        }
        let rendered: Vec<String> = lines.iter().map(|line| line.render(self.colour)).collect();
        for (row, line) in rendered.iter().enumerate() {
            if self.drawn.get(row) != Some(line) {
                // Cleared first: at the right edge, clearing afterwards would take the last letter with it.
                out.push_str(&format!("\u{1b}[{};1H\u{1b}[2K{line}\u{1b}[0m", row + 1));
            }
        }
        if rendered.len() < self.drawn.len() {
            out.push_str(&format!("\u{1b}[{};1H\u{1b}[J", rendered.len() + 1));
        }
        self.drawn = rendered;
        write(&out);
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        write(LEAVE);
        self.frame.voice.hide();
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone needs no picture.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Whether the terminal wants colours.
#[must_use]
pub(super) fn colour() -> Colour {
    match anstream::AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => Colour::Off,
        anstream::ColorChoice::Auto | anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => Colour::On,
    }
}

/// Columns and rows.
#[must_use]
pub(super) fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col).max(SMALLEST.0), usize::from(size.ws_row).max(SMALLEST.1))
        }
        Ok(_) | Err(_) => (80, 24),
    }
}

/// Why the display ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ended {
    /// The run is over, or accepted.
    Over(Box<RunView>),
    /// The person left.
    Left,
    /// The owner is gone; the newest view that it gave.
    OwnerGone(Option<Box<RunView>>),
}

/// Shows a run until it is over, the owner is gone, or `leave` resolves.
///
/// # Errors
/// There is no such run, or the owner does not answer.
pub(super) async fn show(
    client: &Client,
    name: &RunName,
    around: &Frame<'_>,
    leave: impl Future<Output = ()>,
) -> Result<Ended, CliError> {
    let mut screen = Screen::enter(*around);
    let mut newest: Option<Box<RunView>> = None;
    let mut resized = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()).ok();
    tokio::pin!(leave);
    loop {
        let asked = tokio::time::Instant::now();
        tokio::select! {
            view = client.run(name) => match view {
                Ok(view) => newest = Some(Box::new(view)),
                Err(error) if error.is_gone() => return Ok(Ended::OwnerGone(newest)),
                Err(error) => return Err(error.into()),
            },
            () = &mut leave => return Ok(Ended::Left),
        }
        let Some(view) = &newest else { continue };
        redraw(&mut screen, view);
        if view.summary.is_final || view.summary.state == "accepted" {
            return Ok(Ended::Over(view.clone()));
        }
        // A big run takes its time to be read: it is looked at less often.
        let pause = LOOK.max(asked.elapsed() * 5);
        let wake = tokio::time::sleep(pause);
        tokio::pin!(wake);
        loop {
            tokio::select! {
                () = &mut wake => break,
                () = &mut leave => return Ok(Ended::Left),
                () = changed(&mut resized) => redraw(&mut screen, view),
            }
        }
    }
}

async fn changed(resized: &mut Option<tokio::signal::unix::Signal>) {
    match resized {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn redraw(screen: &mut Screen<'_>, view: &RunView) {
    let (columns, rows) = size();
    let canvas = Canvas::new(view, columns);
    let said = screen.frame.voice.newest();
    let said: Vec<Line> = said.iter().map(|text| Line::of(Look::Warn, text)).collect();
    let footer: Vec<Line> = said.into_iter().chain([Line::of(Look::Dim, screen.frame.footer)]).collect();
    screen.draw(&frame(view, &canvas, rows, footer), (columns, rows));
}
