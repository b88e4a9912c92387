//! `bascule demo` as a newcomer calls it.

use std::time::Duration;

use bascule_lab::{Lab, SITE};

use super::rig::{Ended, Guard, spawn, until};

async fn demo(folder: &tempfile::TempDir, more: &[&str]) -> Ended {
    spawn(&folder.path().join("demo"), folder.path(), &[&["demo", "--fast"], more].concat()).wait().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_a_cutover_that_is_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = demo(&folder, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    for words in
        ["PRE-CHECKS", "CUTOVER", "users are on the target", "ACCEPTED", "orders are on the target's disk, 0 of them"]
    {
        assert!(ended.out.contains(words), "{words} is missing: {ended}");
    }
    let base = folder.path().join("demo");
    assert!(base.join("report.html").is_file(), "the report stays");
    assert!(!base.join("lab").exists(), "the data centre does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_with_a_fault_goes_back_by_itself() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = demo(&folder, &["--fault", "latency"]).await;
    assert_eq!(ended.code, Some(3), "{ended}");
    for words in
        ["TRIPPED", "GOING BACK", "the source serves again, verified", "orders are on the source's disk, 0 of them"]
    {
        assert!(ended.out.contains(words), "{words} is missing: {ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_nothing_running() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let base = folder.path().join("demo");
    let demo = spawn(&base, folder.path(), &["demo"]);
    until("the lab is there", || base.join("lab").join(SITE).exists()).await;
    let lab = Lab::connect(&base.join("lab")).await.expect("a lab that serves");
    demo.interrupt();
    let ended = demo.wait().await;
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.err.contains("stopped on your word"), "{ended}");
    let pid = lab.site.pid;
    until("the lab is gone", || is_gone(pid)).await;
    assert!(!base.join("lab").exists());
}

/// A process that nobody has reaped yet is gone all the same.
fn is_gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_demo_goes_on_for_a_second_terminal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = demo(&folder, &["--keep"]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let state = folder.path().join("demo");
    let lab = Lab::connect(&state.join("lab")).await.expect("the lab goes on");
    let guard = Guard::of(&lab);
    let run = "customer-analytics-api/1";
    let decided = spawn(&state, folder.path(), &["rollback", run, "--yes", "--application", "customer-analytics-api"]);
    let decided = decided.wait().await;
    assert_eq!(decided.code, Some(0), "{decided}");
    let back = spawn(&state, folder.path(), &["resume", "--foreground"]).wait().await;
    assert_eq!(back.code, Some(3), "{back}");
    lab.stop_users().await.expect("users go home");
    let report = lab.verify_orders(bascule_lab::Side::Source).expect("the source's disk");
    assert!(report.is_kept(), "{report:?}");
    guard.release();
    tokio::time::timeout(Duration::from_secs(60), lab.stop())
        .await
        .expect("the lab stops in time")
        .expect("the lab stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_demo_that_went_back_leaves_to_try_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = demo(&folder, &["--fault", "latency", "--keep"]).await;
    assert_eq!(ended.code, Some(3), "{ended}");
    let lab = Lab::connect(&folder.path().join("demo/lab")).await.expect("the lab goes on");
    let guard = Guard::of(&lab);
    let (_, offered) = ended.out.split_once("ALL IS STILL RUNNING").expect("what to try");
    let is_command = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let lines: Vec<&str> = offered.lines().skip(1).filter(is_command).map(str::trim).collect();
    assert!(lines.iter().any(|line| line.ends_with(" source")), "orders are counted where users are: {lines:?}");
    let script = format!("set -e\n{}", lines.join("\n"));
    let tried = tokio::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().await;
    let tried = tried.expect("a shell");
    assert!(tried.status.success(), "{script}\n{}", String::from_utf8_lossy(&tried.stderr));
    // The last of them stopped it.
    guard.release();
}
