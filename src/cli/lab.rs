//! `lab`: the small data centre of `demo`, by hand. Its own command line is the lab's.

use std::process::ExitCode;

/// Run and ask the small data centre that `bascule demo` uses.
#[derive(Debug, clap::Args)]
#[command(hide = true, disable_help_flag = true)]
pub struct Args {
    /// What the lab is told; `bascule lab --help` lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The first word of the lab's processes on the command line of this program.
pub(super) const PREFIX: &str = "lab";

/// Hands over, before any runtime is started.
pub(super) fn run(args: &Args) -> ExitCode {
    bascule_lab::cli(&[PREFIX], args.words.iter().cloned())
}
