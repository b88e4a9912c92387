//! Local processes: started in a group of their own, heard, and ended as a group.
//!
//! What this must never do: hold more of a child's output than one chunk, wait for ever (for a
//! pipe that a grandchild keeps open, for a group that does not die), or leave a process behind
//! when its future is dropped. Start with [`run`].

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bascule_plugin::{CheckCx, Stop, Stream};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::proc_table::{self, GroupNote};
use crate::spare_notes::Slot;

/// How much of a child's output is held at a time.
const CHUNK: usize = 8 * 1024;

/// How long pipes are read after the child has ended; a grandchild may hold them open for ever.
const DRAIN: Duration = Duration::from_millis(500);

/// How long a group may take to vanish after KILL before it counts as one that cannot be ended.
pub(crate) const AFTER_KILL: Duration = Duration::from_secs(10);

/// A program to start.
#[derive(Debug, Clone)]
pub struct Launch {
    /// A path, or a name that is looked up in `PATH`.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables on top of the engine's own. Include [`bascule_plugin::ExecCx::child_environment`].
    pub env: Vec<(String, String)>,
    /// Where it starts; the engine's folder otherwise.
    pub cwd: Option<PathBuf>,
    /// What it reads; nothing otherwise.
    pub stdin: Option<Vec<u8>>,
    /// The time between TERM and KILL when it must stop.
    pub terminate_after: Duration,
    /// Where its process group is noted while it lives, and under which attempt: children that lose
    /// their environment (`sudo`, `env -i`) are found by it.
    pub note: Option<Note>,
}

/// A place for the note of a group.
#[derive(Debug, Clone)]
pub struct Note {
    /// The file, in a folder that exists.
    pub path: PathBuf,
    /// The attempt's id.
    pub attempt: String,
    /// Where it is noted if the file cannot be written: see [`crate::spare_notes`].
    pub spare: Option<PathBuf>,
}

/// Who hears what a child writes, chunk by chunk. The attempt's log hears it anyway.
pub struct Taps<'a> {
    /// Its standard output.
    pub out: &'a mut (dyn FnMut(&[u8]) + Send),
    /// Its standard error.
    pub err: &'a mut (dyn FnMut(&[u8]) + Send),
}

/// How a child's time ended.
#[derive(Debug)]
pub enum Ended {
    /// By itself.
    Exited {
        /// Its exit code or signal.
        status: ExitStatus,
        /// Processes that it started and left running.
        lingering: Option<Group>,
    },
    /// It had to stop.
    Stopped {
        /// Because of what.
        why: Stop,
        /// Whether its whole group is proved to be gone.
        end: GroupEnd,
    },
    /// The operating system did not say how it ended.
    Lost {
        /// Why not.
        source: io::Error,
        /// Whether its whole group is proved to be gone.
        end: GroupEnd,
    },
}

/// How the end of a group went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupEnd {
    /// It left on TERM.
    Terminated,
    /// It had to be killed.
    Killed,
    /// It is still there: it may act on.
    Survived,
}

/// A program could not be started: nothing happened.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The folder to start in is not there.
    #[error("the folder {} to start `{program}` in is missing", cwd.display())]
    NoFolder {
        /// The program.
        program: String,
        /// The folder.
        cwd: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot start `{program}`")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Starts a program and waits for its end, or ends it when the attempt must stop.
///
/// A future dropped half-way kills the group.
///
/// # Errors
/// The program could not be started, so nothing happened.
pub async fn run(cx: &CheckCx, launch: Launch, taps: Taps<'_>) -> Result<Ended, LaunchError> {
    let (mut child, mut group) = spawn(&launch)?;
    if let Err(error) = group.noted(launch.note.as_ref()).await {
        let id = group.id();
        cx.note(&format!("process group {id} cannot be noted ({error}): it is found by its environment only")).await;
    }
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let io = async {
        tokio::join!(
            feed(stdin, launch.stdin.as_deref().unwrap_or_default()),
            pump(cx, Stream::Out, out, taps.out),
            pump(cx, Stream::Err, err, taps.err),
        );
    };
    tokio::pin!(io);
    let mut heard_all = false;
    let over = loop {
        tokio::select! {
            biased;
            status = child.wait() => break Over::Exited(status),
            why = cx.stopped() => break Over::Told(why),
            () = &mut io, if !heard_all => heard_all = true,
        }
    };
    let stop = match over {
        Over::Exited(Ok(status)) => {
            if !heard_all {
                // A pipe still open here belongs to a grandchild; its words are not awaited.
                timeout(DRAIN, &mut io).await.ok();
            }
            return Ok(Ended::Exited { status, lingering: group.still_alive().await });
        }
        Over::Exited(Err(source)) => Err(source),
        Over::Told(why) => Ok(why),
    };
    let end = {
        let ending = group.end(launch.terminate_after);
        tokio::pin!(ending);
        let mut reaped = false;
        loop {
            tokio::select! {
                biased;
                end = &mut ending => break end,
                // A child that is not reaped would keep its group in existence.
                _ = child.wait(), if !reaped => reaped = true,
                () = &mut io, if !heard_all => heard_all = true,
            }
        }
    };
    if !heard_all {
        timeout(DRAIN, &mut io).await.ok();
    }
    Ok(match stop {
        Ok(why) => Ended::Stopped { why, end },
        Err(source) => Ended::Lost { source, end },
    })
}

/// What came first.
enum Over {
    Exited(io::Result<ExitStatus>),
    Told(Stop),
}

fn spawn(launch: &Launch) -> Result<(Child, Group), LaunchError> {
    let mut command = Command::new(&launch.program);
    for name in secret_variables(std::env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    command
        .args(&launch.args)
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .stdin(if launch.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(cwd) = &launch.cwd {
        command.current_dir(cwd);
    }
    let program = || name(&launch.program);
    let child = command.spawn().map_err(|source| match &launch.cwd {
        Some(cwd) if !cwd.is_dir() => LaunchError::NoFolder { program: program(), cwd: cwd.clone() },
        Some(_) | None => LaunchError::Spawn { program: program(), source },
    })?;
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    // A child that was just started has an id until somebody waits for it.
    let id = id.ok_or_else(|| LaunchError::Spawn { program: program(), source: io::ErrorKind::NotFound.into() })?;
    Ok((child, Group { id, armed: true, note: None }))
}

/// Those that a child gets only if its step names them.
fn secret_variables(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    names.filter(|name| bascule_plugin::is_secret_variable(name))
}

fn name(program: &OsString) -> String {
    Path::new(program).display().to_string()
}

/// Writes what the child reads. A child that does not want it all is no failure.
async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) {
    let Some(mut stdin) = stdin else { return };
    if stdin.write_all(bytes).await.is_ok() {
        stdin.shutdown().await.ok();
    }
}

/// Reads a pipe to its end, a chunk at a time; a slow log makes the child wait, not the memory grow.
async fn pump(cx: &CheckCx, stream: Stream, pipe: Option<impl AsyncRead + Unpin>, tap: &mut (dyn FnMut(&[u8]) + Send)) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = vec![0; CHUNK];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let Some(bytes) = chunk.get(..length) else { return };
        tap(bytes);
        cx.log(stream, bytes).await;
    }
}

/// A process group of our own. Dropped, it is killed.
#[derive(Debug)]
pub struct Group {
    id: Pid,
    armed: bool,
    note: Option<Noted>,
}

/// Where a group is noted.
#[derive(Debug)]
enum Noted {
    File(PathBuf),
    Slot(Slot),
}

impl Noted {
    fn write(Note { path, attempt, spare }: &Note, first: i32) -> io::Result<Option<Self>> {
        // Of one that is gone already nothing has to be found.
        let Some(note) = GroupNote::of(attempt, first) else { return Ok(None) };
        match (note.write(path), spare) {
            (Ok(()), _) => Ok(Some(Self::File(path.clone()))),
            (Err(_), Some(spare)) => Slot::take(spare, &note).map(|slot| Some(Self::Slot(slot))),
            (Err(error), None) => Err(error),
        }
    }

    fn remove(self) {
        match self {
            // One that stays names a group that nobody has any more.
            Self::File(path) => drop(std::fs::remove_file(path)),
            Self::Slot(slot) => slot.give_back(),
        }
    }
}

impl Group {
    /// The id of the group: that of the process that it began with.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Lets the processes run on.
    pub fn leave(mut self) {
        self.is_over();
    }

    /// Nothing is to be ended any more, nor to be found by anybody.
    fn is_over(&mut self) {
        self.armed = false;
        if let Some(note) = self.note.take() {
            note.remove();
        }
    }

    /// Notes the group where an engine that comes after finds it.
    async fn noted(&mut self, note: Option<&Note>) -> io::Result<()> {
        let Some(note) = note.cloned() else { return Ok(()) };
        let first = self.id();
        self.note = blocking(move || Noted::write(&note, first)).await?;
        Ok(())
    }

    /// The group if a process of it is left; nothing is done to one that is not.
    async fn still_alive(mut self) -> Option<Self> {
        if self.is_alive().await {
            return Some(self);
        }
        self.is_over();
        None
    }

    /// Whether a process of the group lives. A zombie that nobody reaps does not.
    pub async fn is_alive(&self) -> bool {
        let group = self.id();
        match test_kill_process_group(self.id) {
            Err(Errno::SRCH) => false,
            // Twice, because a process born behind the first look is found by the second.
            Ok(()) | Err(_) => blocking(move || (0..2).any(|_| members_live(group).unwrap_or(true))).await,
        }
    }

    /// Ends the group: TERM, after a while KILL, and waits until it is gone.
    pub async fn end(&mut self, terminate_after: Duration) -> GroupEnd {
        // A group that vanished meanwhile cannot be signalled; `is_alive` says so next.
        kill_process_group(self.id, Signal::TERM).ok();
        // A stopped process takes no TERM before it is continued.
        kill_process_group(self.id, Signal::CONT).ok();
        if self.vanishes_within(terminate_after).await {
            self.is_over();
            return GroupEnd::Terminated;
        }
        kill_process_group(self.id, Signal::KILL).ok();
        if self.vanishes_within(AFTER_KILL).await {
            self.is_over();
            return GroupEnd::Killed;
        }
        GroupEnd::Survived
    }

    async fn vanishes_within(&self, limit: Duration) -> bool {
        let (start, mut pause) = (Instant::now(), Duration::from_millis(1));
        loop {
            if !self.is_alive().await {
                return true;
            }
            if start.elapsed() >= limit {
                return false;
            }
            sleep(pause.min(limit.saturating_sub(start.elapsed()))).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.armed {
            // Nothing can be awaited here, and KILL needs nobody's consent.
            kill_process_group(self.id, Signal::KILL).ok();
        }
    }
}

/// Whether a process of the group is no zombie; nothing where there is no `/proc` to say so.
fn members_live(group: i32) -> Option<bool> {
    Some(proc_table::processes()?.iter().any(|process| process.group == group && process.lives))
}

/// Reads all of `/proc`, or a file, where nobody waits for it.
async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(look).await {
        Ok(seen) => seen,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// How a child ended, in words: `exit code 3`, `signal 9 (KILL)`.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}{}", signal_name(signal)),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (HUP)",
        2 => " (INT)",
        6 => " (ABRT)",
        9 => " (KILL)",
        11 => " (SEGV)",
        13 => " (PIPE)",
        15 => " (TERM)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_other_runs_secrets_are_known_by_their_names() {
        let names = ["BASCULE_SECRET_VCENTER", "BASCULE_SECRETS_DIR", "BASCULE_SECRETS_COMMAND", "BASCULE_RUN", "PATH"];
        let found: Vec<OsString> = secret_variables(names.into_iter().map(OsString::from)).collect();
        assert_eq!(found, ["BASCULE_SECRET_VCENTER", "BASCULE_SECRETS_DIR", "BASCULE_SECRETS_COMMAND"]);
    }
}
