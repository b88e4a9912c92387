//! What a user reads when a verb fails: what happened, why, what to do next.

use std::error::Error;
use std::fmt;

use super::exit::Exit;

/// A failed verb.
#[derive(Debug)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// What happened: a lower-case fragment.
    pub what: String,
    /// Why.
    pub source: Option<Box<dyn Error + Send + Sync>>,
    /// What to do next.
    pub hints: Vec<String>,
    /// It was shown already, by its own renderer.
    pub shown: bool,
}

impl CliError {
    /// Something failed.
    pub fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Error, what: what.into(), source: None, hints: Vec::new(), shown: false }
    }

    /// The verb was used wrongly.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(what) }
    }

    /// Everything was said; only the code is left.
    #[must_use]
    pub fn shown(exit: Exit) -> Self {
        Self { exit, shown: true, ..Self::new("") }
    }

    /// With its cause.
    #[must_use]
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for CliError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
