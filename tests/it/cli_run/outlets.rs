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
