//! Ends the local processes of dead attempts, first thing at every start.
//!
//! Every child carries its attempt's id in its environment, and the attempt's folder notes its process
//! group, so that children that lose their environment (`sudo`, `env -i`) are found, too. What still
//! is of an attempt of this state directory when an engine starts belongs to one that nobody watches:
//! its process group gets TERM, then KILL, and the engine waits until it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bascule_builtin::proc_table::{self, GroupNote, Process};
use bascule_builtin::spare_notes;
use bascule_plugin::ATTEMPT_VARIABLE;
use rustix::process::{Pid, Signal, getpgid, getpid, kill_process, kill_process_group};

/// How long a process may take to end by itself after TERM.
const GRACE: Duration = Duration::from_secs(5);

/// How long the engine waits for a process that was killed; longer is a process in the kernel.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the engine takes to end a process that obeys the kernel, by force if it must.
pub(super) const BY_FORCE: Duration = GRACE.saturating_add(PATIENCE);

/// The pause between the first looks; it grows, because each look reads the whole table.
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What the two looks that find nothing are apart: a child that was just spawned has its environment by then.
const QUIET: Duration = Duration::from_millis(10);

/// Why nobody can say that the processes of attempts ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// Some would not go.
    #[error("processes of interrupted attempts are still there: {}; end them, then start again", .0.join(", "))]
    Survivors(Vec<String>),
    /// Nobody can look.
    #[error(
        "the processes of this machine cannot be seen, so nobody can tell which interrupted attempts still run: /proc is \
         not there or not of this process; mount it (`mount -t proc proc /proc`), then start again"
    )]
    Blind,
}

/// A process of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    process: Process,
    /// The attempt's id.
    pub attempt: String,
}

/// Whose processes are looked for.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// An attempt's id, or what ids begin with: then it ends with a slash.
    pub prefix: String,
    /// Where attempts keep their folders, each at most three levels below.
    pub folders: Vec<PathBuf>,
    /// Where they note their groups on a full disk.
    pub notes: Option<PathBuf>,
}

impl Hunt {
    fn is_wanted(&self, attempt: &str) -> bool {
        // `…/forward-1` is not `…/forward-10`: a prefix is a whole id, or ends with a slash.
        attempt.strip_prefix(&self.prefix).is_some_and(|rest| rest.is_empty() || self.prefix.ends_with('/'))
    }

    /// The groups that attempts noted, with the attempts' folders.
    fn notes(&self) -> Vec<(PathBuf, GroupNote)> {
        let mut notes = Vec::new();
        for folder in &self.folders {
            collect_notes(folder, 3, &mut notes);
        }
        notes.retain(|(_, note)| self.is_wanted(&note.attempt));
        notes
    }

    /// Its processes. Blocks for as long as it takes to read the table.
    ///
    /// # Errors
    /// The table cannot be read: that nothing is found would prove nothing.
    pub fn find(&self) -> Result<Vec<Found>, NotEnded> {
        let me = getpid().as_raw_nonzero().get();
        let all = seen_from(me, proc_table::processes())?;
        let mut notes: Vec<GroupNote> = self.notes().into_iter().map(|(_, note)| note).collect();
        notes.extend(self.notes.iter().flat_map(|path| spare_notes::read(path)));
        notes.retain(|note| note.is_current() && self.is_wanted(&note.attempt));
        let attempt_of = |process: &Process| {
            let carried = self.carried_by(process.pid);
            carried.or_else(|| Some(notes.iter().find(|note| note.holds(process, &all))?.attempt.clone()))
        };
        let mine = all.iter().filter(|process| process.pid != me && process.lives);
        Ok(mine.filter_map(|process| Some(Found { process: *process, attempt: attempt_of(process)? })).collect())
    }

    /// The attempt id in a process's environment.
    fn carried_by(&self, pid: i32) -> Option<String> {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let variable = format!("{ATTEMPT_VARIABLE}=");
        environment.split(|byte| *byte == 0).find_map(|entry| {
            let attempt = std::str::from_utf8(entry).ok()?.strip_prefix(&variable)?;
            self.is_wanted(attempt).then(|| attempt.to_owned())
        })
    }
}

/// The table, if it is one: who looks must find itself in it, or its numbers are those of another machine or container.
fn seen_from(me: i32, table: Option<Vec<Process>>) -> Result<Vec<Process>, NotEnded> {
    table.filter(|all| all.iter().any(|process| process.pid == me)).ok_or(NotEnded::Blind)
}

/// Looks once, beside everything else.
///
/// # Errors
/// As [`Hunt::find`].
pub async fn look(hunt: &Hunt) -> Result<Vec<Found>, NotEnded> {
    let hunt = hunt.clone();
    blocking(move || hunt.find()).await
}

fn collect_notes(folder: &Path, levels: u32, notes: &mut Vec<(PathBuf, GroupNote)>) {
    notes.extend(GroupNote::read(&proc_table::group_file(folder)).map(|note| (folder.to_owned(), note)));
    let Some(below) = levels.checked_sub(1) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_notes(&entry.path(), below, notes);
        }
    }
}

/// Ends everything that is wanted and not spared; answers the ids.
///
/// What a step started on purpose and left running when it succeeded is spared by the caller. Two
/// looks in a row must find nothing: a child that was just spawned shows no environment yet.
///
/// # Errors
/// Something is still there after KILL, or nobody can look.
pub async fn end(hunt: Hunt, spared: impl Fn(&str) -> bool) -> Result<Vec<String>, NotEnded> {
    let mut ended = BTreeSet::new();
    let mut told: BTreeMap<Process, Instant> = BTreeMap::new();
    let (started, mut pause, mut is_quiet) = (Instant::now(), FIRST_PAUSE, false);
    loop {
        let mut found = look(&hunt).await?;
        found.retain(|process| !spared(&process.attempt));
        if found.is_empty() && is_quiet {
            sweep(hunt, spared).await;
            return Ok(ended.into_iter().collect());
        }
        is_quiet = found.is_empty();
        if is_quiet {
            tokio::time::sleep(QUIET).await;
            continue;
        }
        ended.extend(found.iter().map(|process| process.attempt.clone()));
        let of = |process: &Found| told.get(&process.process).map(Instant::elapsed);
        let given_up = started.elapsed() > 2 * (GRACE + PATIENCE);
        if found.iter().any(|process| given_up || of(process).is_some_and(|since| since > GRACE + PATIENCE)) {
            let names = found.iter().map(|found| format!("{} (pid {})", found.attempt, found.process.pid));
            return Err(NotEnded::Survivors(names.collect()));
        }
        // Each is told once, also one that comes up later; KILL as often as it takes.
        let fresh: Vec<Process> = found.iter().filter(|found| of(found).is_none()).map(|found| found.process).collect();
        let late = found.iter().filter(|found| of(found).is_some_and(|since| since > GRACE));
        let late: Vec<Process> = late.map(|found| found.process).collect();
        told.extend(fresh.iter().map(|process| (*process, Instant::now())));
        blocking(move || {
            strike(&fresh, Signal::TERM);
            strike(&late, Signal::KILL);
        })
        .await;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Removes the folders of attempts that are over: what was handed to their children may hold secrets.
async fn sweep(hunt: Hunt, spared: impl Fn(&str) -> bool) {
    let look = hunt.clone();
    let mut notes = blocking(move || look.notes()).await;
    notes.retain(|(_, note)| !spared(&note.attempt));
    if let Some(path) = &hunt.notes {
        spare_notes::forget(path, |note| hunt.is_wanted(&note.attempt) && !spared(&note.attempt));
    }
    blocking(move || {
        for (folder, _) in notes {
            // What cannot be removed is tried again at the next start.
            std::fs::remove_dir_all(folder).ok();
        }
    })
    .await;
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Signals processes and their groups, each group once, unless it is ours. A process is looked at once
/// more just before: its number may have been given to somebody else, whose group is not ours to end.
fn strike(processes: &[Process], signal: Signal) {
    let ours = getpgid(None).ok();
    let mut struck = BTreeSet::new();
    for process in processes {
        let now = proc_table::process(process.pid).filter(|now| now.start == process.start);
        let Some(now) = now else { continue };
        // A process that ended in the meantime is what we want.
        match Pid::from_raw(now.group) {
            Some(group) if Some(group) != ours => {
                if struck.insert(now.group) {
                    kill_process_group(group, signal).ok();
                    if signal == Signal::TERM {
                        // A stopped process takes no TERM before it is continued.
                        kill_process_group(group, Signal::CONT).ok();
                    }
                }
            }
            Some(_) | None => {
                if let Some(pid) = Pid::from_raw(now.pid) {
                    kill_process(pid, signal).ok();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Says `up` once its script is ready for what comes.
    fn started(script: &str, attempt: Option<&str>) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0).stdout(Stdio::piped());
        if let Some(attempt) = attempt {
            command.env(ATTEMPT_VARIABLE, attempt);
        }
        let mut child = command.spawn().expect("a shell starts");
        let mut line = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut line).expect("it says that it is up");
        child
    }

    fn unique(name: &str) -> String {
        format!("test-{}-{name}", std::process::id())
    }

    #[tokio::test]
    async fn every_group_of_an_attempt_is_told_before_it_is_killed() {
        let attempt = format!("{}/shop/1/step/forward-1", unique("groups"));
        let folder = tempfile::tempdir().expect("a folder");
        let mark = |name: &str| folder.path().join(name);
        let script = |name: &str| {
            let path = mark(name);
            format!("trap 'echo heard > {}; exit 0' TERM; echo up; while :; do sleep 0.05; done", path.display())
        };
        let mut children: Vec<Child> =
            ["first", "second"].iter().map(|name| started(&script(name), Some(&attempt))).collect();
        let hunt = Hunt { prefix: attempt.clone(), folders: Vec::new(), notes: None };
        assert_eq!(end(hunt, |_| false).await.expect("they go"), [attempt]);
        assert!(mark("first").exists() && mark("second").exists(), "one of them was killed without a word");
        for child in &mut children {
            child.wait().expect("it ended");
        }
    }

    #[tokio::test]
    async fn a_child_that_lost_its_environment_is_found_by_its_group() {
        let prefix = format!("{}/", unique("lost"));
        let attempt = format!("{prefix}shop/1/step/forward-1");
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = folder.path().join("shop/1/step/forward-1");
        std::fs::create_dir_all(&scratch).expect("the attempt's folder");
        let mut child = started("echo up; exec env -i /bin/sleep 600", None);
        let note = GroupNote::of(&attempt, i32::try_from(child.id()).expect("a number")).expect("it runs");
        note.write(&proc_table::group_file(&scratch)).expect("it is noted");
        let hunt = Hunt { prefix, folders: vec![folder.path().join("shop/1")], notes: None };
        assert_eq!(hunt.find().expect("a table").len(), 1);
        assert_eq!(end(hunt.clone(), |_| false).await.expect("it goes"), [attempt]);
        assert!(hunt.find().expect("a table").is_empty(), "a zombie is gone");
        assert!(!scratch.exists(), "its folder may hold secrets");
        child.wait().expect("it ended");
    }

    #[test]
    fn a_table_without_the_one_who_looks_proves_nothing() {
        let other = Process { pid: 7, group: 7, session: 7, start: 1, lives: true };
        assert_eq!(seen_from(8, None), Err(NotEnded::Blind));
        assert_eq!(seen_from(8, Some(vec![other])), Err(NotEnded::Blind));
        assert_eq!(seen_from(7, Some(vec![other])), Ok(vec![other]));
    }

    #[test]
    fn a_whole_id_is_no_prefix_of_another() {
        let hunt = |prefix: &str| Hunt { prefix: prefix.to_owned(), folders: Vec::new(), notes: None };
        assert!(hunt("s/shop/1/step/forward-1").is_wanted("s/shop/1/step/forward-1"));
        assert!(!hunt("s/shop/1/step/forward-1").is_wanted("s/shop/1/step/forward-10"));
        assert!(hunt("s/").is_wanted("s/shop/1/step/forward-1"));
    }
}
