//! `command` with real processes.

use std::time::{Duration, Instant};

use bascule_plugin::{Left, Outcome, Progress, Role, Validation};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::attempt::{Attempt, Seen, refusal, validate};

async fn shell(script: &str) -> Seen {
    Attempt::of("command").execute(json!({ "shell": script })).await
}

/// Whether a process is there and no zombie that waits for somebody to notice its end.
fn is_running(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

#[tokio::test]
async fn outputs_come_from_the_file_as_json() {
    let outputs = shell(r#"echo '{"vip": "10.0.0.7", "nodes": [1, 2]}' > "$BASCULE_OUTPUTS""#).await.outputs();
    assert_eq!(outputs, json!({"vip": "10.0.0.7", "nodes": [1, 2], "exitCode": 0, "result": null}));
}

#[tokio::test]
async fn outputs_come_from_the_file_as_lines() {
    let outputs = shell(r#"echo vip=10.0.0.7 >> "$BASCULE_OUTPUTS"; echo port=80 >> "$BASCULE_OUTPUTS""#).await;
    assert_eq!(outputs.outputs(), json!({"vip": "10.0.0.7", "port": "80", "exitCode": 0, "result": null}));
}

#[tokio::test]
async fn an_outputs_file_with_bad_json_is_a_failure_with_a_possible_effect() {
    let (failure, left) = shell(r#"echo '{"vip": ' > "$BASCULE_OUTPUTS""#).await.failure();
    assert!(failure.contains("the command succeeded, but its outputs cannot be understood"), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn nothing_stays_in_the_attempts_folder() {
    for script in [
        r#"echo '{"password": "x"}' > "$BASCULE_OUTPUTS""#,
        r#"echo password=x > "$BASCULE_OUTPUTS"; exit 3"#,
        r#"echo '{"password": ' > "$BASCULE_OUTPUTS""#,
        // It ends only once its group is noted.
        r#"until test -s "${BASCULE_OUTPUTS%/*}/group"; do :; done"#,
    ] {
        let seen = shell(script).await;
        assert!(seen.files.is_empty(), "{script} left {:?}; {:?}", seen.files, seen.outcome);
    }
}

#[tokio::test]
async fn standard_output_can_be_the_result() {
    let with = json!({"argv": ["printf", "{\"state\": \"on\"}"], "parse": "json"});
    assert_eq!(Attempt::of("command").execute(with).await.outputs(), json!({"exitCode": 0, "result": {"state": "on"}}));
    let with = json!({"argv": ["echo", "on"], "parse": "json"});
    let (failure, left) = Attempt::of("command").execute(with).await.failure();
    assert!(failure.contains("not one JSON value"), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn standard_input_is_json_or_text() {
    let with = json!({"argv": ["cat"], "stdin": {"a": "b"}, "parse": "json"});
    assert_eq!(Attempt::of("command").execute(with).await.outputs()["result"], json!({"a": "b"}));
    let with = json!({"argv": ["cat"], "stdinText": "kind: Pod\n"});
    assert_eq!(Attempt::of("command").execute(with).await.log.text, "kind: Pod\n");
}

#[tokio::test]
async fn a_command_that_reads_nothing_of_a_large_input_succeeds() {
    let with = json!({"argv": ["true"], "stdinText": "x".repeat(4 * 1024 * 1024)});
    assert_eq!(Attempt::of("command").execute(with).await.outputs()["exitCode"], 0);
}

#[tokio::test]
async fn the_child_knows_whose_it_is() {
    let log = shell("env").await.log.text;
    let has = |line: &str| log.lines().any(|seen| seen == line);
    assert!(has(&format!("BASCULE_ATTEMPT=test-{}/shop/1/step/1", std::process::id())), "{log}");
    assert!(has("BASCULE_RUN=shop/1") && has("BASCULE_STEP=step") && has("BASCULE_DIRECTION=forward"), "{log}");
    assert!(has("BASCULE_KEY=shop/1/step/forward/0"), "{log}");
}

#[tokio::test]
async fn environment_and_folder_are_as_told() {
    let folder = TempDir::new().expect("a folder");
    let with = json!({"shell": "pwd; echo $COLOUR", "env": {"COLOUR": "blue"}, "cwd": folder.path()});
    let log = Attempt::of("command").execute(with).await.log.text;
    assert_eq!(log, format!("{}\nblue\n", folder.path().display()));
}

#[tokio::test]
async fn an_exit_code_is_a_failure_with_its_last_words() {
    let (failure, left) = shell("echo trying >&2; echo 'no route to esx-07' >&2; exit 3").await.failure();
    assert!(failure.starts_with("the shell script ended with exit code 3: no route to esx-07"), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn other_exit_codes_can_mean_success() {
    let with = json!({"shell": "exit 24", "successCodes": [0, 24]});
    assert_eq!(Attempt::of("command").execute(with).await.outputs()["exitCode"], 24);
}

#[tokio::test]
async fn a_death_by_signal_is_named() {
    let (failure, left) = shell("kill -SEGV $$").await.failure();
    assert!(failure.contains("ended with signal 11 (SEGV)"), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn what_cannot_start_leaves_nothing() {
    let folder = TempDir::new().expect("a folder");
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/bin/sh\ntrue\n").expect("a script");
    let cases = [
        (json!({"argv": ["no-such-program-anywhere"]}), "is not in PATH"),
        (json!({"argv": ["/no/such/program"]}), "there is no program"),
        (json!({"argv": [script]}), "chmod +x"),
        (json!({"argv": [folder.path()]}), "is a folder"),
        (json!({"argv": ["true"], "cwd": "/no/such/folder"}), "the folder /no/such/folder"),
    ];
    for (with, expected) in cases {
        let refused = refusal("command", &with).await;
        assert!(refused.contains(expected), "{refused}");
        let (failure, left) = Attempt::of("command").execute(with).await.failure();
        assert!(failure.contains(expected), "{failure}");
        assert_eq!(left, Left::Nothing, "{failure}");
    }
}

#[tokio::test]
async fn validate_finds_what_can_be_started() {
    let verified = |with| async move { validate("command", &with, Role::Step).await };
    assert_eq!(verified(json!({"argv": ["sh", "-c", "true"]})).await, Validation::Verified);
    assert_eq!(verified(json!({"shell": "if true; then echo; fi"})).await, Validation::Verified);
    let refused = refusal("command", &json!({"shell": "if true; then echo"})).await;
    assert!(refused.starts_with("the shell script cannot be parsed"), "{refused}");
}

#[tokio::test]
async fn progress_lines_are_reported_and_logged() {
    let seen = shell("echo ::progress 1/4 disks; echo ::progress 4/4 disks").await;
    let disks = |done| Progress { done, total: Some(4), unit: "disks".to_owned() };
    assert_eq!(seen.log.progress, [disks(1), disks(4)]);
    assert!(seen.log.text.contains("::progress 4/4 disks"));
}

#[tokio::test]
async fn ten_megabytes_pass_in_small_chunks() {
    let seen = shell("head -c 10000000 /dev/zero; head -c 100000 /dev/zero >&2").await;
    assert_eq!(seen.log.out_bytes, 10_000_000);
    assert!(seen.log.largest_chunk <= 8 * 1024, "a chunk had {} bytes", seen.log.largest_chunk);
    seen.outputs();
}

#[tokio::test]
async fn a_cancelled_command_gets_term_first() {
    let mut attempt = Attempt::of("command");
    attempt.cancel_on = Some("ready");
    let with = json!({"shell": "trap 'echo goodbye; exit 0' TERM; echo ready; while :; do sleep 0.05; done"});
    let seen = attempt.execute(with).await;
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Possible });
    assert!(seen.log.text.contains("goodbye"), "its last words are in the log: {}", seen.log.text);
}

#[tokio::test]
async fn a_command_that_ignores_term_is_killed_with_its_children() {
    let folder = TempDir::new().expect("a folder");
    let mut attempt = Attempt::of("command");
    attempt.cancel_on = Some("ready");
    let script = "trap '' TERM; sleep 300 & echo $! > child; echo $$ > self; echo ready; wait; sleep 300";
    let with = json!({"shell": script, "cwd": folder.path(), "terminateAfter": "100ms"});
    let seen = attempt.execute(with).await;
    assert_eq!(seen.outcome, Outcome::Cancelled { left: Left::Possible });
    assert!(seen.took < Duration::from_secs(20), "it took {:?}", seen.took);
    for file in ["self", "child"] {
        let pid = std::fs::read_to_string(folder.path().join(file)).expect("a process id");
        assert!(!is_running(&pid), "the process in `{file}` goes on");
    }
}

#[tokio::test]
async fn a_deadline_ends_the_command_and_says_so() {
    let mut attempt = Attempt::of("command");
    attempt.deadline = Some(Instant::now() + Duration::from_millis(200));
    let (failure, left) = attempt.execute(json!({"argv": ["sleep", "300"]})).await.failure();
    assert!(failure.contains("`sleep` did not end before its deadline and was ended by TERM"), "{failure}");
    assert_eq!(left, Left::Possible);
}

#[tokio::test]
async fn a_grandchild_that_keeps_the_pipe_does_not_keep_the_step() {
    let folder = TempDir::new().expect("a folder");
    let with = json!({"shell": "sleep 300 & echo $! > child; echo started", "cwd": folder.path()});
    let seen = Attempt::of("command").execute(with).await;
    assert!(seen.took < Duration::from_secs(20), "it took {:?}", seen.took);
    assert!(seen.log.text.contains("were left running"), "{}", seen.log.text);
    assert_eq!(seen.outputs()["exitCode"], 0);
    let pid = std::fs::read_to_string(folder.path().join("child")).expect("a process id");
    assert!(is_running(&pid), "a service that a successful command started goes on");
    let ended = std::process::Command::new("kill").arg(pid.trim()).status().expect("kill can be started");
    assert!(ended.success());
}

#[tokio::test]
async fn a_failed_command_leaves_no_grandchild() {
    let folder = TempDir::new().expect("a folder");
    let with = json!({"shell": "sleep 300 & echo $! > child; exit 1", "cwd": folder.path()});
    let (failure, _) = Attempt::of("command").execute(with).await.failure();
    assert!(failure.contains("exit code 1"), "{failure}");
    let pid = std::fs::read_to_string(folder.path().join("child")).expect("a process id");
    assert!(!is_running(&pid), "what a failed command started must not meet the next attempt");
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_hold_up_a_cancel() {
    use bascule_plugin::{Direction, ExecCx, IdempotencyKey, Setup};
    let scratch = TempDir::new().expect("a folder");
    let cancel = tokio_util::sync::CancellationToken::new();
    let (cx, inbox) = ExecCx::new(Setup {
        key: IdempotencyKey { run: "a/1".into(), step: "s".into(), direction: Direction::Forward, generation: 0 },
        attempt: 1,
        attempt_id: "test/a/1/s/1".into(),
        attached: None,
        deadline: None,
        cancel: cancel.clone(),
        scratch: scratch.path().into(),
    });
    let command = std::sync::Arc::clone(&bascule_builtin::registry::builtin()["command"]);
    let with: Value = json!({"shell": "cat /dev/zero", "terminateAfter": "1s"});
    let attempt = tokio::spawn(async move { command.execute(&cx, &with).await });
    while inbox.len() < 256 {
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    let outcome = tokio::time::timeout(Duration::from_secs(20), attempt).await.expect("it ends").expect("no panic");
    assert_eq!(outcome, Outcome::Cancelled { left: Left::Possible });
}
