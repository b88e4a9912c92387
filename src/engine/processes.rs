//! Ends the local processes of dead attempts, first thing at every start.
//!
//! Every child carries its attempt's id in its environment. What still carries an id of this state
//! directory when an engine starts belongs to an attempt that nobody watches: its process group
//! gets TERM, then KILL, and the engine waits until it is gone.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use bascule_plugin::ATTEMPT_VARIABLE;
use rustix::process::{Pid, Signal, getpgid, getpid, kill_process, kill_process_group};

/// How long a process may take to end by itself after TERM.
const GRACE: Duration = Duration::from_secs(5);

/// How long the engine waits for a process that was killed; longer is a process in the kernel.
const PATIENCE: Duration = Duration::from_secs(20);

/// Processes that would not go.
#[derive(Debug, thiserror::Error)]
#[error("processes of interrupted attempts are still there: {}; end them, then start again", .0.join(", "))]
pub struct Survivors(pub Vec<String>);

/// A process of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pid: i32,
    /// The attempt's id.
    pub attempt: String,
}

/// Processes whose attempt id is `prefix`, or begins with it if it ends with a slash.
#[must_use]
pub fn find(prefix: &str) -> Vec<Found> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let me = getpid().as_raw_nonzero().get();
    let wanted = format!("{ATTEMPT_VARIABLE}={prefix}");
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<i32>().ok()?, entry.path())))
        .filter(|(pid, _)| *pid != me)
        .filter_map(|(pid, path)| Some(Found { pid, attempt: attempt_of(&path, &wanted)? }))
        .collect()
}

/// The attempt id in a process's environment. A zombie has none: it is gone already.
fn attempt_of(process: &Path, wanted: &str) -> Option<String> {
    let environment = std::fs::read(process.join("environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let entry = std::str::from_utf8(entry).ok()?;
        // `…/forward-1` is not `…/forward-10`: a prefix is a whole id, or ends with a slash.
        let rest = entry.strip_prefix(wanted)?;
        (rest.is_empty() || wanted.ends_with('/')).then(|| entry[ATTEMPT_VARIABLE.len() + 1..].to_owned())
    })
}

/// Ends everything whose attempt id begins with `prefix` and is not spared; answers the ids.
///
/// What a step started on purpose and left running when it succeeded is spared by the caller. Two
/// looks in a row must find nothing: a child that was just spawned shows no environment yet.
///
/// # Errors
/// Something is still there after KILL.
pub async fn end(prefix: &str, spared: impl Fn(&str) -> bool) -> Result<Vec<String>, Survivors> {
    let mut ended = BTreeSet::new();
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut empty = 0;
    loop {
        tick.tick().await;
        let mut found = find(prefix);
        found.retain(|process| !spared(&process.attempt));
        if found.is_empty() {
            empty += 1;
            if empty == 2 {
                return Ok(ended.into_iter().collect());
            }
            continue;
        }
        empty = 0;
        if started.elapsed() > GRACE + PATIENCE {
            return Err(Survivors(found.iter().map(|f| format!("{} (pid {})", f.attempt, f.pid)).collect()));
        }
        let signal = if started.elapsed() < GRACE { Signal::TERM } else { Signal::KILL };
        for process in &found {
            // TERM once each, and to those that come up later; KILL as often as it takes.
            if ended.insert(process.attempt.clone()) || signal == Signal::KILL {
                strike(process.pid, signal);
            }
        }
    }
}

/// Signals a process and its group, unless the group is ours.
fn strike(pid: i32, signal: Signal) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let ours = getpgid(None).ok();
    // A process that ended in the meantime is what we want.
    match getpgid(Some(pid)) {
        Ok(group) if Some(group) != ours => drop(kill_process_group(group, signal)),
        Ok(_) | Err(_) => drop(kill_process(pid, signal)),
    }
}
