//! The engine's machine is gone: a person finishes the night from the page that it kept elsewhere.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bascule_lab::Side;

use super::rig::{BACK, OVER, Rig, until};

/// The lines of shell on a page, in its order: what is done, and what is looked at.
fn lines(page: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("<pre class=\"") {
        let (class, after) = rest[at + "<pre class=\"".len()..].split_once('"').expect("a class");
        let (_, body) = after.split_once('>').expect("an element");
        let (text, behind) = body.split_once("</pre>").expect("an element ends");
        let text = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&#x2f;", "/"), ("&amp;", "&")]
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        found.push((class, text));
        rest = behind;
    }
    found
}

fn shell(line: &str) -> String {
    let done = Command::new("bash").args(["-c", line]).output().expect("a shell");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{line}\n{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said
}

fn page(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("customer-analytics-api/1/by-hand.html")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_is_finished_by_hand_when_the_engines_machine_is_gone() {
    let rig = Rig::start().await;
    rig.lab.start_users(3, 40).await.expect("users");
    let elsewhere = tempfile::tempdir().expect("another machine's folder");
    let folder = elsewhere.path().display().to_string();
    let run = rig.spawn(&["--set", "rollbackWindow=60s", "--handout", &folder]);
    rig.until_the_target_took_orders().await;
    until("the page knows that users are on the target", || {
        page(elsewhere.path()).contains("service up: users are on the target")
    })
    .await;
    assert!(run.kill_after(Duration::ZERO).await.is_none(), "the engine is gone with its machine");

    let page = page(elsewhere.path());
    for (class, line) in lines(&page) {
        let said = shell(&line);
        let proves = class == "proof" || class == "check";
        assert!(!proves || !said.is_empty(), "{line} says something that a person can judge");
    }
    assert_eq!(rig.weights().await, (100, 0), "users are on the source");
    let seen = rig.lab.stop_users().await.expect("users go home");
    assert!(seen.by_target > 0, "users ordered on the target meanwhile: {seen:?}");
    let whole: Vec<&str> = OVER.iter().chain(&BACK).copied().collect();
    assert_eq!(rig.effects(), whole, "the same as the engine would have done, in the same order");
    let report = rig.lab.verify_orders(Side::Source).expect("the source's disk");
    assert!(report.is_kept(), "{report:?}");

    // The machine is back: the tool is told, as the page says, and does nothing twice.
    assert!(page.contains("bascule close "), "{page}");
    let close = ["close", "--application", "customer-analytics-api", "--yes", "--reason", "went back by hand"];
    let said = rig.call(&close).await;
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(rig.status().await["state"], "closed_with_residue");
    assert_eq!(rig.effects(), whole);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_can_be_had_at_any_time_and_says_when_nothing_is_to_be_done() {
    let rig = Rig::start().await;
    let ended = rig.run(&[]).await;
    assert_eq!(ended.code, Some(0), "{ended}");
    let page = rig.call(&["handout"]).await;
    assert_eq!(page.code, Some(0), "{page}");
    assert!(page.out.contains("take back <code>final_data_sync</code>"), "{}", page.out);
    let data = rig.call(&["handout", "--json"]).await;
    let data: serde_json::Value = serde_json::from_str(&data.out).expect("JSON");
    assert_eq!(data["restore"][0]["stage"], "fence", "{data}");
    let uuid = &data["restore"][2]["goodWith"][0];
    assert!(uuid.as_str().is_some_and(|value| value.starts_with("params.sourceUuid = \"")), "{data}");
    rig.stop().await;
}
