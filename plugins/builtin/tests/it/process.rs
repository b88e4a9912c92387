//! Local processes, ended as groups and found after a crash.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use bascule_builtin::process::{GroupEnd, end_orphans};
use bascule_plugin::ATTEMPT_VARIABLE;

/// Starts a script as an attempt would have, and forgets it as a crash would; it is ready once it
/// has said so.
fn abandon(attempt: &str, script: &str) {
    use std::io::Read;
    let mut child = Command::new("sh")
        .args(["-c", script])
        .env(ATTEMPT_VARIABLE, attempt)
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut word = [0; 6];
    child.stdout.take().expect("a pipe").read_exact(&mut word).expect("it gets ready");
    assert_eq!(&word, b"ready\n");
    // Somebody must notice its end, as the system does for the children of a dead engine.
    std::thread::spawn(move || child.wait());
}

#[tokio::test]
async fn orphans_of_dead_attempts_are_found_and_ended() {
    let name = |rest: &str| format!("orphans-{}/{rest}", std::process::id());
    let dead = ["shop/1/copy/1", "shop/1/stop/1", "shop/2/serve/3"].map(name);
    let alive = name("shop/1/copy/11");
    abandon(&dead[0], "sleep 300 & echo ready; wait");
    abandon(&dead[1], "trap '' TERM; echo ready; while :; do sleep 0.1; done");
    // It leaves its group and its session, and is found all the same.
    abandon(&dead[2], "setsid sh -c 'echo ready; sleep 300' & exit 0");
    abandon(&alive, "echo ready; sleep 300");
    let mut ended = end_orphans(&dead, Duration::from_millis(300)).await;
    ended.sort_by(|a, b| a.attempt.cmp(&b.attempt));
    let ends: Vec<_> = ended.iter().map(|orphan| (&orphan.attempt, orphan.end)).collect();
    let expected = [(&dead[0], GroupEnd::Terminated), (&dead[1], GroupEnd::Killed), (&dead[2], GroupEnd::Terminated)];
    assert_eq!(ends, expected);
    assert_eq!(end_orphans(&dead, Duration::ZERO).await, [], "none is left");
    let others = end_orphans(&[alive], Duration::from_secs(5)).await;
    assert_eq!(others.len(), 1, "an attempt that was not named went on");
}
