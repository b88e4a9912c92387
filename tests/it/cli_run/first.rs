//! The first runbook that `init` writes, as a new user meets it.

use super::Place;

#[test]
fn the_first_runbook_runs_to_acceptance_and_goes_back() {
    let place = Place::new();
    let stage = place.path().join("stage");
    let at = format!("inputs.place={}", stage.display());
    place.call(&["init"]).exits(0);
    let again = place.call(&["init"]).exits(1);
    assert!(again.err.contains("nothing was overwritten"), "{}", again.err);

    let linted = place.call(&["lint", "first-steps.yaml", "--strict"]).exits(0);
    assert!(linted.out.contains("a sound runbook, 9 steps, 1 criterion"), "{}{}", linted.out, linted.err);
    let with = |verb: &'static str, window: &'static str| [verb, "first-steps.yaml", "--set", window, "--set"];
    place.call(&[&with("check", "rollbackWindow=2s")[..], &[&at]].concat()).exits(0);
    assert!(!stage.exists(), "check changed something");

    place.call(&[&with("run", "rollbackWindow=2s")[..], &[&at]].concat()).exits(0);
    let live = || std::fs::read_link(stage.join("live")).expect("users are somewhere").display().to_string();
    assert_eq!(live(), "target");
    assert_eq!(place.status("first-steps")["state"], "accepted");
    place.call(&["rollback", "first-steps", "--application", "first-steps", "--reason", "a try"]);
    place.call(&["resume"]).exits(3);
    assert_eq!(live(), "source", "a person's word goes back after acceptance too");

    let mut run = place.start(&[&with("run", "rollbackWindow=5m")[..], &[&at]].concat());
    run.until("rollback window open");
    std::fs::write(stage.join("target/BROKEN"), "").expect("the new shop is there");
    run.end().exits(3);
    assert_eq!(live(), "source");
    assert!(stage.join("source/OPEN").exists(), "the old shop serves again");
    assert!(!stage.join("target").exists(), "what was built is taken down");
}
