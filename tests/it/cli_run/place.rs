//! A folder with runbooks and a state directory, and the real program in it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// A machine under load is slow; a test that waits longer has found something.
const PATIENCE: Duration = Duration::from_secs(60);

/// The folder.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Seen {
    /// With the code that was expected; the texts say why if not.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), variables: Vec::new() }
    }

    /// The program finds this in its environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes a runbook: a head that every one needs, then what the test is about.
    pub(crate) fn runbook(&self, application: &str, rest: &str) -> String {
        let name = format!("{application}.yaml");
        let head = "sourcePlatform: a\ntargetPlatform: b\ndataOnRollback: stateless\n";
        std::fs::write(self.path().join(&name), format!("application: {application}\n{head}{rest}"))
            .expect("the folder can be written");
        name
    }

    /// Opens a gate that a step waits at.
    pub(crate) fn open(&self, gate: &str) {
        std::fs::write(self.path().join(gate), "").expect("the folder can be written");
    }

    /// What steps appended to a file.
    pub(crate) fn ledger(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path().join("ledger")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a step has written its name: its process runs, not only its intent.
    pub(crate) fn until_written(&self, name: &str) {
        let since = std::time::Instant::now();
        while !self.ledger().iter().any(|line| line == name) {
            assert!(since.elapsed() < PATIENCE, "`{name}` never ran: {:?}", self.ledger());
            std::thread::yield_now();
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bascule"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path())
            .env("BASCULE_STATE", self.state())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Calls the program and waits for its end.
    pub(crate) fn call(&self, args: &[&str]) -> Seen {
        let output = self.command(args).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
        Seen { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// A run as `status --json` shows it.
    pub(crate) fn status(&self, run: &str) -> Value {
        let seen = self.call(&["status", run, "--json"]).exits(0);
        serde_json::from_str(&seen.out).expect("a view is JSON")
    }

    /// A run's status once it is as expected.
    pub(crate) fn until_status(&self, run: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let since = std::time::Instant::now();
        loop {
            let view = self.status(run);
            if expected(&view) {
                return view;
            }
            assert!(since.elapsed() < PATIENCE, "it never came: {view}");
        }
    }

    /// The status of a step.
    pub(crate) fn step(&self, run: &str, step: &str) -> String {
        let view = self.status(run);
        let steps = view["steps"].as_array().expect("a view has steps");
        let found = steps.iter().find(|of| of["step"] == step).expect("the step is in the plan");
        found["status"].as_str().expect("a status is a word").to_owned()
    }

    /// Starts the program and reads along.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        let mut child = self.command(args).spawn().expect("the program starts");
        let out = child.stdout.take().expect("a pipe");
        let mut err = child.stderr.take().expect("a pipe");
        let (lines, heard) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        let (said, talk) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            // A program that is killed in the middle of a letter still said the rest.
            drop(err.read_to_string(&mut text));
            drop(said.send(text));
        });
        Started { child, heard, talk, seen: Vec::new() }
    }
}

/// A program that is running.
pub(crate) struct Started {
    child: Child,
    heard: Receiver<String>,
    talk: Receiver<String>,
    seen: Vec<String>,
}

impl Started {
    /// Reads until a line holds a text.
    pub(crate) fn until(&mut self, text: &str) {
        loop {
            match self.heard.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = line.contains(text);
                    self.seen.push(line);
                    if found {
                        return;
                    }
                }
                Err(error) => {
                    let seen = self.seen.join("\n");
                    let said = self.talk.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
                    panic!("`{text}` did not come ({error}) after:\n{seen}\nstderr:\n{said}");
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the process is ours");
        self.child.wait().expect("the process is ours");
    }

    /// A signal by name, as `kill` sends it.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("`kill` is there").success(), "the process is gone");
    }

    /// Stops listening, as `head -1` does, and waits for the end.
    pub(crate) fn close_pipe(mut self) -> Option<i32> {
        drop(self.heard);
        self.child.wait().expect("the process is ours").code()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Seen {
        while let Ok(line) = self.heard.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        let status = self.child.wait().expect("the process is ours");
        let err = self.talk.recv_timeout(PATIENCE).unwrap_or_default();
        Seen { code: status.code(), out: self.seen.join("\n"), err }
    }
}

/// A step that writes its name down, then waits at a gate if it has one.
pub(crate) fn step(id: &str, gate: Option<&str>, more: &str) -> String {
    let wait = gate.map(|gate| format!("; until [ -e {gate} ]; do sleep 0.02; done")).unwrap_or_default();
    format!(
        "  - {{ id: {id}, uses: command, with: {{ argv: [sh, -c, \"echo {id} >> ledger{wait}\"] }}, \
         undo: {{ uses: command, with: {{ argv: [sh, -c, \"echo undo {id} >> ledger\"] }}, estimate: 1s }}{more} }}\n"
    )
}
