//! `audit export`: a run's log as a file that can be verified without this machine.

use std::io::Write as _;
use std::path::PathBuf;

use super::super::Ctx;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::super::look::{self, Source};
use super::super::target;
use crate::store::{Head, ReadError, RunName, Snapshot};

/// Write a run's log as newline-delimited JSON that `audit verify FILE` checks anywhere.
///
/// One transition a line, and a last line with the head. The SHA-256 of a line, with the hash before it, is what the
/// next line names: no line can be changed, left out or put in without being seen. Keep the head elsewhere.
///
///   bascule audit export billing-db/3 -o billing-db-3.ndjson
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// `application/number`, or an application for its open or newest run.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Where it goes; standard output unless given.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Exports.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let name = target::seen(&source, args.run.as_deref()).await?;
    let snapshot = Snapshot::read(&ctx.state).map_err(|error| look::read_failed(ReadError::Store(error)))?;
    let head = match args.output.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let failed =
                |error: std::io::Error| CliError::new(format!("{} cannot be written", path.display())).because(error);
            let mut file = std::io::BufWriter::new(std::fs::File::create(&path).map_err(failed)?);
            let head = export(&snapshot, &name, &mut file)?;
            file.flush().map_err(failed)?;
            ctx.ui.say(&format!("run {name} is in {}", path.display()));
            head
        }
        None => {
            let mut out = Vec::new();
            let head = export(&snapshot, &name, &mut out)?;
            ctx.ui.data(&String::from_utf8_lossy(&out));
            head
        }
    };
    if let Some(stopped) = snapshot.stopped(&name) {
        ctx.ui.say(&format!("only what can be believed was written: {stopped}"));
    }
    ctx.ui.say(&format!("keep this head elsewhere: {}:{}:{}", head.run, head.version, head.hash));
    Ok(Exit::Done)
}

fn export(snapshot: &Snapshot, name: &RunName, out: &mut dyn std::io::Write) -> Result<Head, CliError> {
    let head = snapshot.export(name, out);
    let head = head.map_err(|error| CliError::new(format!("run {name} cannot be exported")).because(error))?;
    head.ok_or_else(|| look::read_failed(ReadError::NoRun(name.clone())))
}
