//! The stages of `docs/writing-runbooks.md`: each is what the page says it is, and each works on the lab.

use std::path::Path;

use bascule_lab::Side;

use super::rig::{OVER, Rig};

const PAGE: &str = include_str!("../../../docs/writing-runbooks.md");

/// The files, in the order of the page.
const STAGES: [(&str, &str); 8] = [
    ("runbooks/customer-analytics-api.yaml", include_str!("../../../runbooks/customer-analytics-api.yaml")),
    ("runbooks/writing/2-limits.yaml", include_str!("../../../runbooks/writing/2-limits.yaml")),
    ("runbooks/writing/3-checks.yaml", include_str!("../../../runbooks/writing/3-checks.yaml")),
    ("runbooks/writing/4-steps.yaml", include_str!("../../../runbooks/writing/4-steps.yaml")),
    ("runbooks/writing/5-prepare.yaml", include_str!("../../../runbooks/writing/5-prepare.yaml")),
    ("runbooks/writing/6-criteria.yaml", include_str!("../../../runbooks/writing/6-criteria.yaml")),
    ("runbooks/writing/7-people.yaml", include_str!("../../../runbooks/writing/7-people.yaml")),
    ("runbooks/writing/8-commit.yaml", include_str!("../../../runbooks/writing/8-commit.yaml")),
];

/// The parts of runbooks that a section of the page shows.
fn shown(section: &str) -> impl Iterator<Item = &str> {
    section.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_page_shows_what_is_in_its_files() {
    let sections: Vec<&str> = PAGE.split("\n## ").skip(1).collect();
    for (section, (file, text)) in sections.iter().zip(STAGES) {
        assert!(section.contains(file), "section `{}` names {file}", section.lines().next().unwrap_or_default());
        assert!(shown(section).count() > 0, "section of {file} shows something");
        for part in shown(section) {
            assert!(text.contains(part), "{file} does not hold:\n{part}");
        }
    }
    assert_eq!(sections.len(), STAGES.len() + 1, "one section for each stage, and the last words");
}

/// What the stages add to the times and inputs of the others.
fn overlay(stage: usize, board: &Path) -> String {
    let mut text = "kind: Overlay\n".to_owned();
    if stage >= 4 {
        text.push_str(&format!("inputs: {{ board: {} }}\n", board.display()));
    }
    if stage >= 6 {
        text.push_str("criteria: { orders_fail: { every: 300ms, warmUp: 300ms, maxAge: 15s, valid: 'result.body.requests >= 1' } }\n");
    }
    if stage >= 7 {
        text.push_str("steps: { orders_are_complete: { every: 300ms } }\n");
    }
    text
}

/// Executes a stage to its end, with the words that people give meanwhile.
async fn execute(stage: usize) -> Rig {
    let rig = Rig::start().await;
    let board = rig.folder().join("board");
    std::fs::create_dir_all(&board).expect("a folder");
    std::fs::write(rig.folder().join("runbook.yaml"), STAGES[stage - 1].1).expect("a file");
    rig.lab.start_users(3, 40).await.expect("users");
    std::fs::write(rig.folder().join("stage.yaml"), overlay(stage, &board)).expect("a file");
    let run = rig.spawn(&["-f", "stage.yaml"]);
    let says = async |wanted: &str, args: &[&str]| {
        rig.until_offered(wanted).await;
        let said = rig.call(args).await;
        assert_eq!(said.code, Some(0), "{said}");
    };
    let run = if stage >= 5 {
        let prepared = run.wait().await;
        assert_eq!(prepared.code, Some(5), "it waits for the word: {prepared}");
        rig.beside(&["go", "customer-analytics-api", "--foreground"])
    } else {
        run
    };
    if stage >= 7 {
        says("bascule approve ", &["approve", "users_may_move", "--role", "application-owner"]).await;
        says("bascule sign-off ", &["sign-off", "--role", "application-owner"]).await;
    }
    let ended = run.wait().await;
    assert_eq!(ended.code, Some(0), "stage {stage}: {ended}");
    assert_eq!(rig.status().await["state"], "accepted", "stage {stage}");
    rig.lab.stop_users().await.expect("users go home");
    if stage >= 4 {
        assert!(board.join("notice.txt").exists(), "the step of its own was done");
    }
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_without_people_are_accepted() {
    for stage in [2, 3, 4] {
        let rig = execute(stage).await;
        assert_eq!(rig.effects(), OVER, "stage {stage}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stages_that_are_prepared_wait_for_the_word() {
    for stage in [5, 6] {
        let rig = execute(stage).await;
        assert!(rig.lab.verify_orders(Side::Target).expect("the target's disk").is_kept(), "stage {stage}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_stages_are_approved_signed_and_committed() {
    execute(7).await.stop().await;
    let rig = execute(8).await;
    let name = ["--application", "customer-analytics-api", "--yes"];
    let commit = rig.call(&[&["commit", "customer-analytics-api"], &name[..]].concat()).await;
    assert_eq!(commit.code, Some(0), "{commit}");
    let engine = rig.beside(&["resume", "--foreground"]);
    rig.until_offered("bascule approve ").await;
    let approve = ["approve", "customer-analytics-api", "source_may_go", "--role", "application-owner"];
    let approved = rig.call(&[&approve, &name[..]].concat()).await;
    assert_eq!(approved.code, Some(0), "{approved}");
    let ended = engine.wait().await;
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(rig.status().await["state"], "committed", "{ended}");
    rig.stop().await;
}
