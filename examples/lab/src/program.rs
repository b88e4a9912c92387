//! How the lab starts processes: always the same program again, with a hidden verb.
//!
//! Children get no variable that would make an engine take them for a dead attempt's. Start with [`Program`].

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// The program to start and the words before the lab's own arguments.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    shown: PathBuf,
    prefix: Vec<String>,
}

impl Program {
    pub(crate) fn new(path: &Path, prefix: &[&str]) -> Self {
        let prefix = prefix.iter().map(|&word| word.to_owned()).collect();
        Self { path: path.to_owned(), shown: path.to_owned(), prefix }
    }

    /// The program that runs now, even if its file was replaced by a newer build since.
    pub(crate) fn this(prefix: &[&str]) -> Self {
        let mut program = Self::new(Path::new("/proc/self/exe"), prefix);
        if let Ok(shown) = std::env::current_exe() {
            program.shown = shown;
        }
        program
    }

    /// A child of the lab: a pipe to it and from it, in a process group of its own.
    pub(crate) fn command(&self, verb: &str) -> Command {
        let mut command = self.bare(verb);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        command
    }

    /// The program with a verb, in the caller's process group: a group leader could not start a session of its own.
    pub(crate) fn bare(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0(&self.shown).args(&self.prefix).arg(verb).kill_on_drop(false);
        for name in ["BASCULE_ATTEMPT", "BASCULE_RUN", "BASCULE_STEP", "BASCULE_DIRECTION", "BASCULE_KEY"] {
            command.env_remove(name);
        }
        command
    }
}
