//! Starts the owner as a process of its own, so that a lost terminal leaves the view and not the runs.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::Ctx;
use super::client::Client;
use super::error::CliError;
use super::outlet_args::flags;
use super::owner::Wishes;
use crate::server::wire::Health;
use crate::store::{ENGINE_LOG, TakeOver, create_private};

/// How long a new owner may take to listen: it may have to end what a dead one left.
const PATIENCE: Duration = Duration::from_secs(60);
/// A disk with less cannot take a journal.
const LITTLE_KIB: u64 = 1024;
/// How often it is asked.
const ASK: Duration = Duration::from_millis(15);

/// The owner of the state directory: the one that is there, or a new process.
///
/// # Errors
/// It cannot be started, or does not listen in time.
pub(super) async fn owner(ctx: &Ctx, wishes: &Wishes) -> Result<(Client, Health), CliError> {
    if let Some(found) = Client::find(&ctx.state).await? {
        return Ok(found);
    }
    let (mut child, from) = start(&ctx.state, wishes)?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = Client::find(&ctx.state).await? {
            return Ok(found);
        }
        if let Ok(Some(status)) = child.try_wait() {
            // Somebody else may have been quicker.
            if let Some(found) = Client::find(&ctx.state).await? {
                return Ok(found);
            }
            let said = said_since(&ctx.state, from);
            let why = said.lines().next().map(|line| line.trim_start_matches("error: ").to_owned());
            let failed = match why {
                Some(why) => CliError::new(why),
                None => without_a_word(&ctx.state, status),
            };
            let hints = said.lines().skip(1).map(|line| line.trim().trim_start_matches("help: ").to_owned());
            return Err(hints.fold(failed, CliError::hint));
        }
        if tokio::time::Instant::now() >= deadline {
            let log = ctx.state.join(ENGINE_LOG);
            return Err(CliError::new("the engine does not listen").hint(format!("{} has what it says", log.display())));
        }
        tokio::time::sleep(ASK).await;
    }
}

fn start(state: &Path, wishes: &Wishes) -> Result<(Child, u64), CliError> {
    let failed = |what: &str| {
        let what = format!("the engine's {what}");
        move |error: std::io::Error| CliError::new(format!("{what} cannot be used")).because(error)
    };
    // The owner makes it, too; its log must lie in it before.
    create_private(state).map_err(|error| CliError::new("the state directory cannot be used").because(error))?;
    let program = std::env::current_exe().map_err(failed("program"))?;
    let path = state.join(ENGINE_LOG);
    let log = File::options().create(true).append(true).open(&path).map_err(failed("log"))?;
    let from = log.metadata().map_or(0, |meta| meta.len());
    let copy = log.try_clone().map_err(failed("log"))?;
    let mut command = Command::new(program);
    command.arg("--state").arg(state).arg("engine");
    if wishes.take_over == TakeOver::Yes {
        command.arg("--take-over");
    }
    if let Some(otlp) = &wishes.otlp {
        command.arg("--otlp").arg(otlp);
    }
    for (flag, value) in flags(&wishes.outlets) {
        command.arg(flag).arg(value);
    }
    command
        .env_remove(bascule_plugin::ATTEMPT_VARIABLE)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(copy)
        .kill_on_drop(false);
    let child = command.spawn().map_err(failed("process"))?;
    Ok((child, from))
}

/// Nothing is in its log, which lies on the disk that it could not use.
fn without_a_word(state: &Path, status: ExitStatus) -> CliError {
    let failed = CliError::new(format!("the engine ended at once ({status})"));
    let Ok(disk) = rustix::fs::statvfs(state) else { return failed };
    let left = disk.f_bavail.saturating_mul(disk.f_frsize) / 1024;
    // A file system without a number of files says zero of both.
    let no_names = disk.f_favail == 0 && disk.f_files > 0;
    if left < LITTLE_KIB || no_names {
        let hint = format!("free space on the disk of {}, then say it again; nothing was started", state.display());
        let names = if no_names { " and no file more" } else { "" };
        return CliError::new(format!(
            "the engine ended at once ({status}) and could write no word about it: its disk is full ({left} KiB are \
             left{names})"
        ))
        .hint(hint);
    }
    failed.hint(format!(
        "{} is empty; `RUST_LOG=debug bascule run --foreground …` says more",
        state.join(ENGINE_LOG).display()
    ))
}

fn said_since(state: &Path, from: u64) -> String {
    let mut text = String::new();
    let read = File::open(state.join(ENGINE_LOG)).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_string(&mut text)
    });
    if read.is_ok() { text } else { String::new() }
}
