//! A lab in a folder of its own, and the real program beside it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bascule_lab::{EntryKind, Lab, LabHandle, LabOptions, read_acked};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// What a complete cutover does to the world, in order.
pub(super) const OVER: [&str; 6] =
    ["source quiesce", "target sync", "target convert", "target attach", "target power_on", "lb set_weights"];

/// What the way back does after exposure: SEMANTICS §8.
pub(super) const BACK: [&str; 7] = [
    "target fence",
    "source reverse_sync",
    "source unquiesce",
    "lb set_weights",
    "target power_off",
    "target detach",
    "target move_aside",
];

/// The program under test.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_bascule");

/// Longer than any of these runs takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A lab, and a state directory.
pub(super) struct Rig {
    pub(super) lab: LabHandle,
    guard: Guard,
    folder: tempfile::TempDir,
}

/// Ends the lab of a test that failed.
pub(super) struct Guard(Option<i32>);

impl Guard {
    /// Of a lab that runs.
    pub(super) fn of(lab: &LabHandle) -> Self {
        Self(i32::try_from(lab.site.pid).ok())
    }

    /// The lab was told to stop.
    pub(super) fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(Pid::from_raw) {
            // It may be gone already.
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
    }
}

/// How a call of the program ended.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {:?}\n{}\n{}", self.code, self.out, self.err)
    }
}

/// A call of the program. What it writes goes into files, so that one that hangs can be read, too.
pub(super) struct Running {
    child: Child,
    out: tempfile::NamedTempFile,
    err: tempfile::NamedTempFile,
}

impl Running {
    /// Waits for its end.
    pub(super) async fn wait(mut self) -> Ended {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let ended = ended.map(|status| self.ended(status.expect("the program's end").code()));
        ended.unwrap_or_else(|_late| panic!("the program does not end: {}", self.ended(None)))
    }

    fn ended(&self, code: Option<i32>) -> Ended {
        let text = |file: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&std::fs::read(file.path()).expect("what the program wrote")).into_owned()
        };
        Ended { code, out: text(&self.out), err: text(&self.err) }
    }

    /// As Ctrl-C does.
    pub(super) fn interrupt(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("a process that runs"), Signal::INT).expect("a signal can be sent");
    }

    /// kill -9 after a while; if it ended before, how.
    pub(super) async fn kill_after(mut self, after: Duration) -> Option<Ended> {
        if let Ok(status) = tokio::time::timeout(after, self.child.wait()).await {
            return Some(self.ended(status.expect("the program's end").code()));
        }
        self.child.start_kill().expect("a process can be killed");
        // The kernel has reaped it when this returns: its locks are free.
        self.child.wait().await.expect("a killed process ends");
        None
    }
}

/// Waits until something is the case.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    let seen = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !holds() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Starts the program with a state directory; whatever happens to the test, it does not outlive it.
pub(super) fn spawn(state: &Path, folder: &Path, args: &[&str]) -> Running {
    let file = || tempfile::NamedTempFile::new().expect("a temporary file");
    let (out, err) = (file(), file());
    let pipe = |file: &tempfile::NamedTempFile| Stdio::from(file.reopen().expect("a temporary file"));
    let child = Command::new(PROGRAM)
        .args(args)
        .arg("--state")
        .arg(state)
        .current_dir(folder)
        .env_remove("BASCULE_STATE")
        .stdin(Stdio::null())
        .stdout(pipe(&out))
        .stderr(pipe(&err))
        .kill_on_drop(true)
        .spawn();
    Running { child: child.expect("the program starts"), out, err }
}

impl Rig {
    /// A lab with a machine, some orders and frequent backups; the documents as files.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = LabOptions { orders: 60, backup_every_ms: 400, ..LabOptions::default() };
        let lab = Lab::start(Path::new(PROGRAM), &["lab"], &folder.path().join("lab"), &options).await;
        let lab = lab.expect("a lab starts");
        let inputs = json!({ "kind": "Overlay", "inputs": lab.site.inputs });
        std::fs::write(folder.path().join("inputs.yaml"), inputs.to_string()).expect("a file");
        for (from, to) in
            [("runbooks/customer-analytics-api.yaml", "runbook.yaml"), ("tests/it/lab_runs/quick.yaml", "quick.yaml")]
        {
            std::fs::copy(root().join(from), folder.path().join(to)).expect("a document of the repository");
        }
        let guard = Guard::of(&lab);
        Self { lab, guard, folder }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts a run in a process that ends with it.
    pub(super) fn spawn(&self, more: &[&str]) -> Running {
        let args = ["run", "runbook.yaml", "--foreground", "--catalog", "lab", "-f", "quick.yaml", "-f", "inputs.yaml"];
        spawn(&self.state(), self.folder(), &[&args[..], more].concat())
    }

    /// Runs to the end.
    pub(super) async fn run(&self, more: &[&str]) -> Ended {
        self.spawn(more).wait().await
    }

    /// Another call of the program.
    pub(super) async fn call(&self, args: &[&str]) -> Ended {
        spawn(&self.state(), self.folder(), args).wait().await
    }

    /// What the newest run looks like.
    pub(super) async fn status(&self) -> Value {
        let seen = self.call(&["status", "customer-analytics-api", "--json"]).await;
        serde_json::from_str(&seen.out).unwrap_or_else(|error| panic!("{error}: {seen}"))
    }

    /// Waits until the newest run offers a command, or asks for one.
    pub(super) async fn until_offered(&self, command: &str) {
        let wait = async {
            loop {
                let view = self.call(&["status", "customer-analytics-api", "--json"]).await;
                // Before its first line there is no run.
                if view.code == Some(0) && view.out.contains(command) {
                    return;
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, wait).await.is_err();
        assert!(!late, "`{command}` was never offered: {}", self.call(&["status"]).await);
    }

    /// Starts another call of the program, and goes on beside it.
    pub(super) fn beside(&self, args: &[&str]) -> Running {
        spawn(&self.state(), self.folder(), args)
    }

    /// The effects so far, as `platform action`, in the order in which they happened.
    pub(super) fn effects(&self) -> Vec<String> {
        let ledger = self.lab.ledger().expect("the ledger");
        let asked = ledger.into_iter().filter(|entry| entry.kind == EntryKind::Effect && entry.platform != "backup");
        asked.map(|entry| format!("{} {}", entry.platform, entry.action)).collect()
    }

    /// Waits until a user was promised something by the target.
    pub(super) async fn until_the_target_took_orders(&self) {
        let acked = || read_acked(&self.lab.dir).expect("the users' notes");
        until("the target took orders", || acked().iter().any(|acked| acked.platform == "target")).await;
    }

    /// Waits until something was done to the world.
    pub(super) async fn until_effect(&self, effect: &str) {
        until(effect, || self.effects().iter().any(|seen| seen == effect)).await;
    }

    pub(super) fn target_machine(&self) -> String {
        format!("vm:target/{}", self.lab.site.vm)
    }

    /// Where users go: source and target.
    pub(super) async fn weights(&self) -> (i64, i64) {
        let answer = self.get(&format!("{}/weights", self.lab.url("lb"))).await;
        (answer["source"].as_i64().expect("a weight"), answer["target"].as_i64().expect("a weight"))
    }

    /// A machine of `sourceApi` or `targetApi`.
    pub(super) async fn machine(&self, api: &str) -> Value {
        self.get(&format!("{}/vms/{}", self.lab.url(api), self.lab.site.vm)).await
    }

    async fn get(&self, url: &str) -> Value {
        let client = reqwest::Client::builder().build().expect("a client");
        let answer = client.get(url).send().await.expect("the lab answers");
        answer.json().await.expect("the lab answers JSON")
    }

    /// Ends the lab and all in it.
    pub(super) async fn stop(self) {
        self.guard.release();
        self.lab.stop().await.expect("the lab stops");
    }
}
