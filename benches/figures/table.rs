//! How figures are printed, and what was asked for.

use std::path::{Path, PathBuf};

/// What was asked for on the command line.
pub(crate) struct Bench {
    folder: PathBuf,
    is_quick: bool,
}

impl Bench {
    pub(crate) fn new(folder: &Path, is_quick: bool) -> Self {
        Self { folder: folder.to_owned(), is_quick }
    }

    /// Where everything is written: on the disk that the program was built on, not on one in memory.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How often something is measured; with `--quick` once.
    pub(crate) fn rounds(&self, wanted: usize) -> usize {
        if self.is_quick { 1 } else { wanted }
    }

    /// How many there are of what takes long to make.
    pub(crate) fn crowd(&self, wanted: usize) -> usize {
        if self.is_quick { wanted / 10 } else { wanted }
    }
}

/// A figure beside its limit and its aim.
pub(crate) struct Line {
    name: String,
    measured: String,
    beside: String,
    aim: String,
    is_met: bool,
}

impl Line {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), measured: String::new(), beside: String::new(), aim: String::new(), is_met: true }
    }

    pub(crate) fn measured(self, measured: String) -> Self {
        Self { measured, ..self }
    }

    pub(crate) fn beside(self, beside: String) -> Self {
        Self { beside, ..self }
    }

    pub(crate) fn aim(self, aim: &str, is_met: bool) -> Self {
        Self { aim: aim.to_owned(), is_met, ..self }
    }

    pub(crate) fn print(&self) {
        let met = if self.is_met { "" } else { "  missed" };
        println!("{:<30} {:>18}   {:<44} {}{met}", self.name, self.measured, self.beside, self.aim);
    }
}

/// `1.25 ×`.
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.2} ×")
}

/// Megabytes.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1_000_000.0)
}

/// `10,000`.
pub(crate) fn grouped(number: u64) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1000),
    }
}
