//! What an engine that died, or was told to leave, leaves behind, through the real program: nothing is done beside it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::cli_run::{Place, Started, step};

const EXPOSES: &str = ", effect: idempotent, exposes: true";

/// A step whose process takes no TERM: it writes `NAME` once it runs, and its number to `NAME.pid`.
fn stubborn(id: &str, more: &str) -> String {
    let shell = format!("trap '' TERM; echo $$ > {id}.pid; echo {id} >> ledger; while :; do sleep 0.05; done");
    format!(
        "  - {{ id: {id}, uses: command, with: {{ shell: {}, terminateAfter: 40s }}, effect: idempotent{more} }}\n",
        serde_json::to_string(&shell).expect("a text")
    )
}

fn undo(id: &str) -> String {
    // It tells whether what it takes back still ran beside it.
    let shell = format!("kill -0 $(cat {id}.pid) 2> /dev/null && echo BESIDE >> ledger; echo undo {id} >> ledger");
    let shell = serde_json::to_string(&shell).expect("a text");
    format!(", undo: {{ uses: command, with: {{ shell: {shell} }}, estimate: 1s }}")
}

/// The process that a step wrote down.
struct Left(i32);

impl Left {
    fn of(place: &Place, id: &str) -> Self {
        let path = place.path().join(format!("{id}.pid"));
        let since = std::time::Instant::now();
        loop {
            // A shell makes the file before it writes into it.
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if let Ok(pid) = text.trim().parse() {
                return Self(pid);
            }
            assert!(since.elapsed().as_secs() < 30, "it did not write its number: {text:?}");
            std::thread::yield_now();
        }
    }

    fn lives(&self) -> bool {
        bascule_builtin::proc_table::process(self.0).is_some_and(|process| process.lives)
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        if self.lives() {
            drop(Command::new("kill").args(["-KILL", &self.0.to_string()]).status());
        }
    }
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let since = Instant::now();
    while !reached() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::yield_now();
    }
}

fn run_of(work: &str, more: &str) -> String {
    format!("rollbackWindow: 1s\n{more}cutoverSteps:\n{work}{}", step("switch", None, EXPOSES))
}

/// A run in the middle of a step that does not end when it is told to.
fn in_work(place: &Place) -> (Started, Left) {
    let book = place.runbook("shop", &run_of(&stubborn("work", &undo("work")), ""));
    let run = place.start(&["run", &book]);
    place.until_written("work");
    let work = Left::of(place, "work");
    (run, work)
}

#[test]
fn what_could_not_be_stopped_in_time_is_ended_by_the_next_engine_before_it_is_undone() {
    let place = Place::new();
    let book = place.runbook("shop", &run_of(&stubborn("work", &undo("work")), "settleWithin: 1s\n"));
    let run = place.start(&["run", &book]);
    place.until_written("work");
    let work = Left::of(&place, "work");
    place.call(&["rollback", "shop", "--application", "shop", "--reason", "enough"]);
    until("the end of settling", || place.status("shop/1")["state"] == "stuck");
    run.kill();
    assert!(work.lives(), "a killed engine ends nobody");
    place.call(&["undo", "retry", "shop", "work", "--reason", "again"]);
    place.call(&["resume", "shop"]);
    assert!(!work.lives(), "it outlives the engine that came next");
    assert!(!place.ledger().iter().any(|line| line == "BESIDE"), "{:?}", place.ledger());
}

#[test]
fn what_a_person_took_back_while_no_engine_ran_is_not_taken_back_again() {
    let place = Place::new();
    let slow = stubborn("back", "").replace("  - ", "").replace("id: back, ", "").replace(", effect: idempotent", "");
    let first = format!("  - {{ id: work, uses: noop, effect: idempotent, undo: {} }}\n", slow.trim());
    let breaks =
        "  - { id: breaks, uses: command, with: { argv: [sh, -c, exit 7] }, effect: once, undo: none, reason: x }\n";
    let book = place.runbook("shop", &run_of(&format!("{first}{breaks}"), ""));
    let run = place.start(&["run", &book]);
    place.until_written("back");
    let back = Left::of(&place, "back");
    run.kill();
    let offered = place.call(&["status", "shop"]).exits(0);
    assert!(offered.out.contains("bascule undo done shop/1 work"), "{}", offered.out);
    place.call(&["undo", "done", "shop/1", "work", "--reason", "by hand"]).exits(0);
    assert!(back.lives(), "a word ends no process");
    place.call(&["resume"]).exits(3);
    assert!(!back.lives(), "what the dead engine began is ended, also where a person has said that it is done");
    assert_eq!(place.ledger(), ["back"], "nothing was taken back twice");
}

#[test]
fn a_run_that_was_closed_without_an_engine_does_not_live_on_beside_the_next() {
    let place = Place::new();
    let (run, work) = in_work(&place);
    run.kill();
    place.call(&["close", "shop/1", "--application", "shop", "--reason", "over"]).exits(0);
    let other = place.runbook("other", &run_of(&step("quick", None, ", effect: idempotent"), ""));
    place.call(&["run", &other]).exits(0);
    assert!(!work.lives(), "the closed run's step still runs");
}

#[test]
fn a_run_that_was_closed_beside_its_step_keeps_its_locks_until_that_ended() {
    let place = Place::new();
    let first = stubborn("work", &undo("work")).replace("40s", "3s");
    let book = place.runbook("shop", &run_of(&first, ""));
    let run = place.start(&["run", &book]);
    place.until_written("work");
    let work = Left::of(&place, "work");
    let again =
        place.runbook("shop", &format!("startBy: 1m\n{}", run_of(&step("quick", None, ", effect: idempotent"), "")));
    place.call(&["close", "shop/1", "--application", "shop", "--reason", "over"]).exits(0);
    assert!(work.lives());
    let refused = place.call(&["run", &again]);
    assert!(refused.code != Some(0) || !work.lives(), "it ran beside the closed one: {}", refused.out);
    until("its end", || !work.lives());
    drop(run.end());
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("`cp` is there").success());
}

#[test]
fn a_copy_of_a_state_directory_does_nothing_beside_what_runs_in_the_original() {
    let place = Place::new();
    let (run, work) = in_work(&place);
    run.kill();
    let state = |name: &str| place.path().join(name).display().to_string();
    copy(&place.state(), &place.path().join("copy"));
    copy(&place.state(), &place.path().join("later"));
    for _start in 0..2 {
        place.call(&["--state", &state("copy"), "resume", "shop/1", "--yes"]).exits(5);
        let asked = place.call(&["--state", &state("copy"), "status", "shop/1"]).exits(0);
        assert!(asked.out.contains("nobody knows whether `work` happened"), "{}{}", asked.out, asked.err);
        assert!(work.lives(), "a copy ended what belongs to the original");
    }
    assert_eq!(place.ledger(), ["work"], "it was run again beside itself");
    // Where nothing of it runs any more, another copy goes on as usual.
    let group = format!("-{}", work.0);
    drop(work);
    // Its shell is gone; what the shell was waiting for sleeps a little longer.
    let signalled = || Command::new("kill").args(["-0", "--", &group]).stderr(std::process::Stdio::null()).status();
    until("the end of its group", || !signalled().expect("`kill` is there").success());
    std::fs::remove_file(place.path().join("work.pid")).expect("it is there");
    let next = place.start(&["--state", &state("later"), "resume", "shop/1", "--yes"]);
    until("another attempt", || place.path().join("work.pid").exists());
    let again = Left::of(&place, "work");
    assert!(again.lives());
    next.kill();
}

#[test]
fn one_word_to_leave_does_not_end_a_rollback_that_began_since() {
    let place = Place::new();
    let fails = "  - { id: work, uses: command, with: { shell: \"echo work >> ledger; until [ -e gate ]; do sleep 0.02; done; \
                 exit 1\" }, effect: once, undo: { uses: command, with: { shell: \"echo undoing >> ledger; until [ -e back ]; \
                 do sleep 0.02; done; echo undone >> ledger\" }, estimate: 1s } }\n";
    let book = place.runbook("shop", &run_of(fails, "settleWithin: 1s\n"));
    let mut run = place.start(&["run", &book]);
    place.until_written("work");
    run.signal("TERM");
    run.until("held");
    // From here on it waits for the step, for no longer than a second.
    place.open("gate");
    place.until_written("undoing");
    // It is still there, and so is its undo, long after the word would have been carried out.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        assert_eq!(place.status("shop/1")["executed"], true);
    }
    place.open("back");
    let seen = run.end();
    assert_eq!(place.ledger(), ["work", "undoing", "undone"], "{}{}", seen.out, seen.err);
    assert_eq!(place.status("shop/1")["state"], "rolled_back");
    assert!(seen.err.contains("a rollback is under way"), "{}", seen.err);
}

#[test]
fn an_application_that_went_back_without_an_engine_takes_along_what_needs_it() {
    let place = Place::new();
    let bank = place.runbook("bank", &run_of(&step("first", None, ", effect: idempotent"), ""));
    place.call(&["run", &bank]).exits(0);
    let needs = "requires: [{ app: bank, state: accepted, onItsRollback: rollback }]\n";
    let switch = step("switch", None, EXPOSES);
    let shop = place.runbook("shop", &format!("{needs}rollbackWindow: 60s\ncutoverSteps:\n{switch}"));
    let mut run = place.start(&["run", &shop]);
    run.until("rollback window open");
    run.kill();
    place.call(&["rollback", "bank", "--application", "bank"]).exits(0);
    place.call(&["resume", "shop"]);
    until("the way back", || place.status("shop")["state"] == "rolled_back");
}
