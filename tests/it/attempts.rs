//! What attempts may see, leave behind and keep, through the real program.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli_run::{Place, step};

const EXPOSES: &str = ", effect: idempotent, exposes: true";

/// A cutover step that is a script, and the exposing one.
fn script(text: &str) -> String {
    let shell = serde_json::to_string(text).expect("a text");
    format!(
        "rollbackWindow: 1s\ncutoverSteps:\n  - {{ id: work, uses: command, with: {{ shell: {shell}, env: {{ PASSWORD: \
         \"${{{{ secrets.PASSWORD }}}}\" }} }}, effect: idempotent, undo: none, reason: only a test }}\n{}",
        step("switch", None, EXPOSES)
    )
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn a_child_gets_the_secrets_of_its_step_and_nothing_keeps_them() {
    let place = Place::new()
        .with("BASCULE_SECRET_PASSWORD", "hunter2-hunter2")
        .with("BASCULE_SECRET_OTHER", "of-another-run")
        .with("BASCULE_SECRETS_DIR", "/nonexistent");
    let text = "env | grep -c BASCULE_SECRET > count; test ${#PASSWORD} = 15 || exit 9; \
                printf 'admin:%s' \"$PASSWORD\" | base64; echo \"$PASSWORD\" | base64; echo \"said $PASSWORD\" >&2; \
                echo \"password=$PASSWORD\" > \"$BASCULE_OUTPUTS\"";
    let book = place.runbook("shop", &script(text));
    place.call(&["run", &book]).exits(0);
    let count = std::fs::read_to_string(place.path().join("count")).expect("it ran");
    assert_eq!(count.trim(), "0", "the child saw secrets of others, or where they are");
    let mut all = Vec::new();
    files(&place.state(), &mut all);
    let log = std::fs::read_to_string(place.state().join("attempts/shop/1/work/forward-1.log")).expect("a log");
    assert_eq!(log.matches("[redacted]").count(), 3, "{log}");
    assert!(!log.contains("aHVudGVy") && !log.contains("odW50ZXI"), "{log}");
    for path in all {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
        assert!(!text.contains("hunter2") && !text.contains("of-another-run"), "{}", path.display());
    }
    assert!(!place.state().join("attempts/shop/1/work/forward-1").exists(), "its folder is empty, and gone");
}

#[test]
fn a_large_page_passes_its_check_and_is_kept_whole() {
    let place = Place::new();
    let text = "printf '{\"status\": 200, \"body\": \"'; head -c 100000 /dev/zero | tr '\\\\0' x; printf '\"}'";
    let check = format!(
        "preChecks:\n  - {{ id: page, uses: command, effect: none, with: {{ shell: {}, parse: json }}, \
         pass: \"result.result.status == 200\" }}\n",
        serde_json::to_string(&text.replace("\\\\0", "\\0")).expect("a text")
    );
    let rest = format!("rollbackWindow: 1s\n{check}cutoverSteps:\n{}", step("switch", None, EXPOSES));
    let book = place.runbook("shop", &rest);
    place.call(&["run", &book]).exits(0);
    let journal = std::fs::read_to_string(place.state().join("journal/000001.ndjson")).expect("a journal");
    let name = journal.split("\"file\":\"").nth(1).and_then(|rest| rest.get(..64)).expect("an event names a file");
    let kept = std::fs::read_to_string(place.state().join("blobs").join(name)).expect("the file is there");
    let kept: Value = serde_json::from_str(&kept).expect("it is the value");
    assert_eq!(kept["body"].as_str().map(str::len), Some(100_000));
    place.call(&["audit", "verify"]).exits(0);
}

#[test]
fn a_child_that_lost_its_environment_ends_with_its_dead_engine() {
    let place = Place::new();
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n  - {{ id: work, uses: command, with: {{ shell: \"test -e pid || env -i sh -c 'echo $$ > pid; \
         echo work >> ledger; exec sleep 600'\" }}, effect: idempotent, undo: none, reason: only a test }}\n{}",
        step("switch", None, EXPOSES)
    );
    let book = place.runbook("shop", &rest);
    let mut run = place.start(&["run", &book]);
    run.until("work: started");
    place.until_written("work");
    let pid = std::fs::read_to_string(place.path().join("pid")).expect("it wrote its number");
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    assert!(lives());
    run.kill();
    assert!(lives(), "a killed engine ends nobody");
    let next = place.start(&["resume"]);
    let since = std::time::Instant::now();
    while lives() {
        assert!(since.elapsed().as_secs() < 60, "it outlives its engine");
        std::thread::yield_now();
    }
    next.end().exits(0);
}

#[test]
fn a_sample_begins_only_after_the_one_before_it_has_ended() {
    let place = Place::new();
    // It does not stop when it is told to, for longer than a sample is waited for.
    let shell = "exec 9> lock; flock -n 9 || echo overlap >> overlaps; trap '' TERM; echo sample >> ledger; sleep 8";
    let rest = format!(
        "rollbackWindow: 10m\ncutoverSteps:\n{}rollbackCriteria:\n  - {{ id: slow, uses: command, with: {{ shell: {}, terminateAfter: \
         20s }}, every: 1s, timeout: 1s, warmUp: 0s, maxAge: 10m, consecutive: 3, trip: \"result.exitCode == 7\" }}\n",
        step("switch", None, EXPOSES),
        serde_json::to_string(shell).expect("a text")
    );
    let book = place.runbook("shop", &rest);
    let run = place.start(&["run", &book]);
    let until = "until [ \"$(grep -c sample ledger)\" -ge 2 ]; do sleep 0.05; done";
    let waited = Command::new("timeout").args(["120", "sh", "-c", until]).current_dir(place.path()).status();
    assert!(waited.expect("a shell").success(), "there is no second sample: {:?}", place.ledger());
    assert!(!place.path().join("overlaps").exists(), "two samples ran at the same time");
    run.kill();
}
