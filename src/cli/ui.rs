//! Data to stdout, talk to stderr; colour only on a terminal, `NO_COLOR` honoured.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::call;
use super::error::CliError;

/// How a verb speaks.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    /// `--json`: data only, from the view types.
    pub json: bool,
    /// Questions are answered with yes.
    pub yes: bool,
}

impl Ui {
    /// Whether a person sits at both ends.
    #[must_use]
    pub fn is_interactive(self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Whether stdout is a terminal.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        std::io::stdout().is_terminal()
    }

    /// Writes data. A closed pipe ends the writing, not the verb.
    pub fn data(self, text: &str) {
        let mut out = anstream::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }

    /// Writes a line of data.
    pub fn line(self, text: &str) {
        self.data(&format!("{text}\n"));
    }

    /// Writes JSON data, indented on a terminal.
    pub fn json_data<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        let text = if self.is_terminal() { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
        let text = text.map_err(|error| CliError::new("the answer cannot be written as JSON").because(error))?;
        self.line(&text);
        Ok(())
    }

    /// Says something to the person.
    pub fn say(self, text: &str) {
        let mut err = anstream::stderr().lock();
        drop(writeln!(err, "{}", call::in_words(text)));
    }
}
