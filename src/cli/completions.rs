//! `completions`: what a shell needs to complete verbs and flags.

use clap::CommandFactory as _;

use super::error::CliError;
use super::exit::Exit;
use super::{Cli, Ctx};

/// Print completions for a shell.
///
///   bascule completions bash > ~/.local/share/bash-completion/completions/bascule
///   bascule completions zsh > ~/.zfunc/_bascule
///   bascule completions fish > ~/.config/fish/completions/bascule.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Prints.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bascule", &mut text);
    ctx.ui.data(&String::from_utf8_lossy(&text));
    Ok(Exit::Done)
}
