//! Figures of the real program: how fast it starts, how fast it is back after kill -9, what it takes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::documents;
use crate::limits::{self, median};
use crate::table::{Bench, Line, megabytes};

const HEAD: &str =
    "sourcePlatform: a\ntargetPlatform: b\ndataOnRollback: stateless\nrollbackWindow: 1h\ncutoverSteps:\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// The program in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(bench: &Bench, steps: &str) -> Self {
        let folder = tempfile::tempdir_in(bench.folder()).expect("a folder");
        let text = format!("application: it\n{HEAD}{steps}");
        std::fs::write(folder.path().join("it.yaml"), text).expect("a runbook");
        Self { folder }
    }

    fn start(&self, args: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_bascule"))
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("BASCULE_STATE", self.folder.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    fn ledger(&self) -> u64 {
        std::fs::metadata(self.folder.path().join("ledger")).map_or(0, |meta| meta.len())
    }
}

fn end(mut child: Child) {
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
}

/// Reads what the program prints until a line holds a text; says when that was.
fn until(child: &mut Child, text: &str) -> Instant {
    let lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    let found = lines.map_while(Result::ok).any(|line| line.contains(text));
    assert!(found, "`{text}` was never printed");
    Instant::now()
}

fn no_op(id: &str, more: &str) -> String {
    format!("  - {{ id: {id}, uses: noop, effect: idempotent, undo: none, reason: nothing to take back{more} }}\n")
}

/// A new state directory, one durable step, its end printed.
pub(crate) fn cold_start(bench: &Bench) -> Vec<Line> {
    let mut measures = Vec::new();
    for _ in 0..bench.rounds(15) {
        let place = Place::new(bench, &no_op("only", ", exposes: true"));
        let started = Instant::now();
        let mut child = place.start(&["run", "it.yaml"]);
        measures.push(until(&mut child, "only: done") - started);
        end(child);
    }
    let version = (0..15).map(|_| {
        let started = Instant::now();
        let out = Command::new(env!("CARGO_BIN_EXE_bascule")).arg("--version").output();
        out.expect("the program starts");
        started.elapsed()
    });
    let (took, version, s) = (median(measures), median(version.collect()), limits::s());
    let aim = Duration::from_millis(15);
    let beside = format!("{:.1} S; `--version` {version:.1?}", took.as_secs_f64() / s.as_secs_f64());
    vec![
        Line::new("cold start, one durable step")
            .measured(format!("{took:.1?}"))
            .beside(beside)
            .aim("≤ 15 ms", took <= aim),
    ]
}

/// Killed in the middle of a step; from the start of `resume` to the next effect.
pub(crate) fn back_after_kill(bench: &Bench) -> Vec<Line> {
    let command = |id: usize| {
        let exposes = if id == 199 { ", exposes: true" } else { "" };
        format!(
            "  - {{ id: s{id}, uses: command, with: {{ argv: [sh, -c, 'echo {id} >> ledger; exec sleep 0.02'] }}, effect: idempotent, undo: none, reason: nothing to take back{exposes} }}\n"
        )
    };
    let steps: String = (0..200).map(command).collect();
    let mut measures = Vec::new();
    for _ in 0..bench.rounds(9) {
        let place = Place::new(bench, &steps);
        let mut child = place.start(&["run", "it.yaml"]);
        until(&mut child, "s20: started");
        let before = wait_beyond(&place, place.ledger());
        end(child);
        let started = Instant::now();
        let child = place.start(&["resume"]);
        wait_beyond(&place, before);
        measures.push(started.elapsed());
        end(child);
    }
    let (took, s) = (median(measures), limits::s());
    let beside = format!("{:.0} S; in flight: ended, then again", took.as_secs_f64() / s.as_secs_f64());
    let aim = Duration::from_millis(50);
    vec![
        Line::new("kill -9 to the next effect")
            .measured(format!("{took:.1?}"))
            .beside(beside)
            .aim("≤ 50 ms", took <= aim),
    ]
}

fn wait_beyond(place: &Place, size: u64) -> u64 {
    let since = Instant::now();
    loop {
        let now = place.ledger();
        if now > size {
            return now;
        }
        assert!(since.elapsed() < PATIENCE, "no further step");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Memory of a program that waits in a window, and of one that made 10,000 steps.
pub(crate) fn memory(bench: &Bench) -> Vec<Line> {
    let place = Place::new(bench, &no_op("only", ", exposes: true"));
    let mut child = place.start(&["run", "it.yaml"]);
    until(&mut child, "only: done");
    std::thread::sleep(Duration::from_millis(700));
    let idle = limits::memory(child.id(), "VmRSS");
    end(child);
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_bascule")).map_or(0, |meta| meta.len());

    let place = Place::new(bench, "");
    write(place.folder.path(), &documents::no_ops(10_000));
    let mut child = place.start(&["run", "it.yaml"]);
    until(&mut child, "s9999: done");
    let big = limits::memory(child.id(), "VmHWM");
    end(child);
    vec![
        Line::new("memory, a window open")
            .measured(megabytes(idle))
            .beside(format!("the program's file has {}", megabytes(program)))
            .aim("≤ 15 MB", idle <= 15_000_000),
        Line::new("memory, 10,000 steps")
            .measured(megabytes(big))
            .beside("compiled, run, shown, in one process".to_owned())
            .aim("≤ 80 MB", big <= 80_000_000),
    ]
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("it.yaml"), text).expect("a runbook");
}
