//! What is wrong with the engine as a whole, for as long as it is: who looks later than the moment it was said must see
//! it, too.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is wrong, by what it is about.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<BTreeMap<String, String>>);

impl Complaints {
    /// It is so from now on. Whether that is news.
    pub(super) fn raise(&self, about: &str, words: &str) -> bool {
        self.locked().insert(about.to_owned(), words.to_owned()).as_deref() != Some(words)
    }

    /// It is well again.
    pub(super) fn settle(&self, about: &str) {
        self.locked().remove(about);
    }

    /// All that is wrong now.
    pub(super) fn all(&self) -> Vec<String> {
        self.locked().values().cloned().collect()
    }

    /// What is wrong with one matter now.
    pub(super) fn of(&self, about: &str) -> Option<String> {
        self.locked().get(about).cloned()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
