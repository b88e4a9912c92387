//! `init`: a first runbook that runs on this machine as it stands.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;

/// The runbook; a test lints it, runs it to the end and sends it back.
const TEXT: &str = include_str!("../../runbooks/first-steps.yaml");

/// Write a first runbook: commented, and it runs on this machine as it stands.
///
/// It moves a page from one folder to another, with a way back, a criterion and the checks around them. Change it step
/// by step into one of your own. A file that is there already is never overwritten.
///
///   bascule init
///   bascule init migrations/billing.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The file to write.
    #[arg(value_name = "FILE", default_value = "first-steps.yaml")]
    file: PathBuf,
}

/// Writes.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let name = args.file.display().to_string();
    let made = OpenOptions::new().write(true).create_new(true).open(&args.file);
    let written = made.and_then(|mut file| file.write_all(TEXT.as_bytes()));
    if let Err(error) = written {
        let is_there = error.kind() == ErrorKind::AlreadyExists;
        let refused = CliError::new(format!("{name} cannot be written")).because(error);
        return Err(match is_there {
            true => refused.hint("nothing was overwritten; name another file: `bascule init FILE`"),
            false => refused.hint("the folder must be there, and writable"),
        });
    }
    if ctx.ui.json {
        ctx.ui.json_data(&serde_json::json!({ "file": name }))?;
    } else {
        ctx.ui.say(&format!("wrote {name}"));
        ctx.ui.line("Next:");
        for verb in ["lint", "plan", "check", "run"] {
            ctx.ui.line(&format!("  bascule {verb} {name}"));
        }
    }
    Ok(Exit::Done)
}
