//! Hands notices to a program of the site: a mail, a chat, a telephone.
//!
//! It is started once per try, with the notice as JSON on its standard input. Exit code 0 means that somebody will see it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::notice::Notice;
use super::post::Refusal;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long its output is waited for once it ended: a child of its own may hold the pipe open.
const DRAIN: Duration = Duration::from_millis(200);

/// How much of the end of its output is told.
const TOLD: usize = 300;

/// What of the engine's environment it sees, beside what the notice says. No secret of any run is among it.
const KEPT: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER"];

/// The program of the site.
#[derive(Debug, Clone)]
pub(super) struct Program(pub(super) PathBuf);

impl Program {
    /// Tries once.
    pub(super) async fn tell(&self, notice: &Notice, body: Vec<u8>) -> Result<(), Refusal> {
        let mut child = self.spawn(notice).map_err(|why| Refusal::once(format!("it cannot be started: {why}")))?;
        let mut group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // Whoever does not want to read it all may still tell somebody.
                drop(stdin.write_all(&body).await);
            }
        };
        let heard = tokio::spawn(async move { tokio::join!(end_of(stdout), end_of(stderr)) });
        let fed = tokio::spawn(feed);
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
        if ended.is_ok() {
            // A mail that it sends behind its own back goes on.
            group.leave();
        }
        drop(group);
        fed.abort();
        let stop_hearing = heard.abort_handle();
        let ended = match ended {
            Ok(Ok(status)) if status.success() => {
                stop_hearing.abort();
                return Ok(());
            }
            Ok(Ok(status)) => format!("it ended with {status}"),
            Ok(Err(error)) => format!("nobody knows how it ended: {error}"),
            Err(_) => format!("it was stopped after {} s", PATIENCE.as_secs()),
        };
        let (out, err) = tokio::time::timeout(DRAIN, heard).await.ok().and_then(Result::ok).unwrap_or_default();
        stop_hearing.abort();
        let said = if err.is_empty() { out } else { err };
        Err(Refusal::once(if said.is_empty() { ended } else { format!("{ended}: {said}") }))
    }

    fn spawn(&self, notice: &Notice) -> std::io::Result<Child> {
        let kept = KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        Command::new(&self.0)
            .env_clear()
            .envs(kept)
            .env("BASCULE_NOTICE_ID", &notice.id)
            .env("BASCULE_NOTICE_LEVEL", notice.level.word())
            .env("BASCULE_NOTICE_RUN", notice.run.as_deref().unwrap_or_default())
            .env("BASCULE_NOTICE_TITLE", &notice.title)
            .env("BASCULE_NOTICE_REPEAT", notice.repeat.to_string())
            .current_dir(self.0.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// Its process group. Dropped, it is killed: also when the engine waits for it no more.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Lets what is left of it run on.
    fn leave(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Nobody is left in it: that is what is wanted.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// The end of what it says, on one line; what comes before is read and forgotten.
async fn end_of(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 4096]);
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        kept.extend_from_slice(chunk.get(..length).unwrap_or_default());
        let over = kept.len().saturating_sub(TOLD);
        kept.drain(..over);
    }
    let text: String = String::from_utf8_lossy(&kept).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
