//! Where an owner speaks: to stderr, or onto the live display while one is shown.

use std::sync::{Arc, Mutex, PoisonError};

use super::ui::Ui;

/// How many lines the display keeps.
const KEPT: usize = 3;

/// A voice that several parts of the program share.
#[derive(Debug, Clone)]
pub struct Voice {
    ui: Ui,
    /// The newest lines while a display is shown.
    shown: Arc<Mutex<Option<Vec<String>>>>,
}

impl Voice {
    /// To stderr.
    #[must_use]
    pub fn new(ui: Ui) -> Self {
        Self { ui, shown: Arc::default() }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Option<Vec<String>>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says a line.
    pub fn say(&self, text: &str) {
        match self.lines().as_mut() {
            Some(lines) => {
                lines.push(text.to_owned());
                let over = lines.len().saturating_sub(KEPT);
                lines.drain(..over);
            }
            None => self.ui.say(text),
        }
    }

    /// From now on a display shows what is said.
    pub fn show(&self) {
        self.lines().get_or_insert_default();
    }

    /// The display is gone: what it showed last is said once more, because its screen went with it.
    pub fn hide(&self) {
        let lines = self.lines().take();
        for line in lines.unwrap_or_default() {
            self.ui.say(&line);
        }
    }

    /// What the display shows.
    #[must_use]
    pub fn newest(&self) -> Vec<String> {
        self.lines().clone().unwrap_or_default()
    }
}
