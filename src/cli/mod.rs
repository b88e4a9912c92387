//! The verbs: one short file each. A verb is `Args` and `run`; adding one is a file and an arm here.

pub mod error;
pub mod exit;
pub mod inputs;
pub mod ui;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use error::CliError;
use exit::Exit;
use ui::Ui;

/// Runs migration runbooks durably, watches the result, and goes back by itself.
#[derive(Debug, Parser)]
#[command(name = "bascule", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// The state directory: runs, journal, logs [default: $XDG_STATE_HOME/bascule].
    #[arg(long, global = true, env = "BASCULE_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Print data as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {}

/// What every verb gets.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// How to speak.
    pub ui: Ui,
    /// The state directory.
    pub state: PathBuf,
}

/// Parses the command line and runs the verb.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody reads: then nobody misses the help.
            drop(error.print());
            return code.into();
        }
    };
    let ctx = Ctx { ui: Ui { json: cli.json, yes: false }, state: cli.state.unwrap_or_else(default_state) };
    let ended: Result<Exit, CliError> = match cli.verb {};
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => show(&ctx, &error),
    }
}

/// `$XDG_STATE_HOME/bascule`, or `~/.local/state/bascule`.
fn default_state() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME").filter(|base| !base.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from).join(".local/state");
    base.unwrap_or_else(home).join("bascule")
}

/// What happened, why, what to do next.
fn show(ctx: &Ctx, error: &CliError) -> ExitCode {
    if !error.shown {
        let mut next = std::error::Error::source(error);
        ctx.ui.say(&format!("error: {}", error.what));
        while let Some(source) = next {
            ctx.ui.say(&format!("  because {source}"));
            next = source.source();
        }
        for hint in &error.hints {
            ctx.ui.say(&format!("  help: {hint}"));
        }
    }
    error.exit.into()
}
