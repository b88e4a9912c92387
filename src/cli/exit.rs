//! Exit codes: an API for scripts. FORMATS has the table.

use std::process::ExitCode;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done: accepted or committed, or the verb did what it says.
    Done = 0,
    /// Error.
    Error = 1,
    /// Wrong usage.
    Usage = 2,
    /// Rolled back.
    RolledBack = 3,
    /// Refused or cancelled: nothing was touched, or only preparation, undone.
    Untouched = 4,
    /// A person must act.
    PersonNeeded = 5,
    /// Interrupted, resumable.
    Interrupted = 6,
    /// Closed with residue.
    Residue = 7,
    /// A dry run could not verify everything, or a plan lacks inputs.
    NotVerified = 8,
    /// Invalid document.
    InvalidDocument = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// The code that a view gives.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::RolledBack,
            4 => Self::Untouched,
            5 => Self::PersonNeeded,
            6 => Self::Interrupted,
            7 => Self::Residue,
            8 => Self::NotVerified,
            9 => Self::InvalidDocument,
            _ => Self::Error,
        }
    }
}
