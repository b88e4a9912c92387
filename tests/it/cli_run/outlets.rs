//! What is told outside fails: the run goes on, and whoever looks sees it.

use super::{Place, three};

#[test]
fn a_status_shows_a_handout_and_a_heartbeat_that_fail() {
    let place = Place::new();
    place.open("blocked");
    let blocked = place.path().join("blocked").join("below");
    let book = place.runbook("shop", &three(Some("gate"), "1s"));
    let outlets = ["--handout", blocked.to_str().expect("a path"), "--heartbeat", "http://127.0.0.1:1/alive"];
    let mut run = place.start(&[&["run", book.as_str()], outlets.as_slice()].concat());
    run.until("second: started");
    let told = place.until_status("shop", |told| told["complaints"].as_array().is_some_and(|all| all.len() == 2));
    assert!(told["complaints"][0].as_str().is_some_and(|words| words.starts_with("the handout fails: ")), "{told}");
    let seen = place.call(&["status", "shop"]).exits(0);
    assert!(seen.out.contains("the handout fails: "), "{}", seen.out);
    assert!(seen.out.contains("the heartbeat fails: "), "{}", seen.out);
    place.open("gate");
    run.end().exits(0);
    assert!(place.status("shop").get("complaints").is_none(), "without an engine nothing is wrong with it");
}

#[test]
fn a_handout_that_hangs_is_told_and_does_not_keep_the_process() {
    let place = Place::new();
    let folder = place.path().join("share");
    let book = place.runbook("shop", &three(Some("gate"), "1s"));
    let mut run = place.start(&["run", &book, "--handout", folder.to_str().expect("a path")]);
    run.until("second: started");
    // As a share whose server is gone: whoever opens the page never comes back.
    let page = folder.join("shop/1").join(format!("by-hand.{}.tmp", run.pid()));
    place.until_status("shop", |_| folder.join("shop/1/by-hand.html").exists() && !page.exists());
    let made = std::process::Command::new("mkfifo").arg(&page).status();
    assert!(made.expect("mkfifo").success());
    place.call(&["note", "shop", "something to write"]).exits(0);
    let hangs = |told: &serde_json::Value| {
        told["complaints"][0].as_str().is_some_and(|words| words.contains("does not answer"))
    };
    place.until_status("shop", hangs);
    place.open("gate");
    run.end().exits(0);
}
