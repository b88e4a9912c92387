//! What a verb that goes on to follow the run prints: its own events once, and no story that was told before.

use super::{EXPOSES, Place, in_second, step};

fn times(out: &str, what: &str) -> usize {
    out.lines().filter(|line| line.contains(what)).count()
}

#[test]
fn resume_beside_an_engine_tells_its_own_event_once_and_then_what_follows() {
    let place = Place::new();
    let run = in_second(&place);
    place.call(&["pause"]).exits(0);
    let mut resumed = place.start(&["resume", "shop"]);
    resumed.until("forward work goes on");
    place.open("gate");
    let seen = resumed.end().exits(0);
    assert_eq!(times(&seen.out, "forward work goes on"), 1, "{}", seen.out);
    assert_eq!(times(&seen.out, "first: started"), 0, "it was told before:\n{}", seen.out);
    assert_eq!(times(&seen.out, "second: done"), 1, "what follows is told:\n{}", seen.out);
    assert_eq!(times(&seen.out, "accepted: the gate is met"), 1, "{}", seen.out);
    drop(run.end());
}

#[test]
fn resume_with_an_engine_of_its_own_tells_every_event_once_and_in_order() {
    let place = Place::new();
    let run = in_second(&place);
    place.until_written("second");
    run.kill();
    place.open("gate");
    let seen = place.call(&["resume", "shop"]).exits(0);
    assert_eq!(times(&seen.out, "forward work goes on"), 1, "{}", seen.out);
    let at = |what: &str| seen.out.find(what).unwrap_or_else(|| panic!("`{what}` is missing in:\n{}", seen.out));
    assert!(at("held after an interruption") < at("forward work goes on"), "{}", seen.out);
    assert_eq!(times(&seen.out, "created"), 0, "{}", seen.out);
}

#[test]
fn a_word_that_was_given_without_an_engine_is_told_by_whoever_gave_it_alone() {
    let place = Place::new();
    let approval = "  - approval: go_no_go\n    roles: [owner]\n";
    let rest = format!("rollbackWindow: 1s\ncutoverSteps:\n{approval}{}", step("switch", None, EXPOSES));
    let mut run = place.start(&["run", &place.runbook("shop", &rest)]);
    run.until("go_no_go: waits for an approval");
    run.kill();
    let approved = place.call(&["approve", "shop/1", "go_no_go", "--role", "owner"]).exits(0);
    assert_eq!(times(&approved.out, "go_no_go: approved"), 1, "{}", approved.out);
    let seen = place.call(&["resume", "shop"]).exits(0);
    assert_eq!(times(&seen.out, "go_no_go: approved"), 0, "{}", seen.out);
    assert_eq!(times(&seen.out, "switch: done"), 1, "{}", seen.out);
}

#[test]
fn what_a_closed_run_left_running_is_told_and_ended_by_resume() {
    let place = Place::new();
    let run = in_second(&place);
    place.until_written("second");
    run.kill();
    let closed = place.call(&["close", "shop", "--application", "shop", "--reason", "repaired by hand"]).exits(0);
    assert!(closed.out.contains("second: is to be stopped"), "{}", closed.out);
    assert!(closed.err.contains("second (forward-1)") && closed.err.contains("may still run"), "{}", closed.err);
    assert!(closed.err.contains("`bascule resume shop/1` looks for it"), "{}", closed.err);
    assert!(place.call(&["status", "shop"]).exits(0).out.contains("may still run"));
    let report = place.call(&["report", "shop", "--json"]).exits(0);
    for deviation in ["`second` was cut off while it ran", "a person ended the run as it stood"] {
        assert!(report.out.contains(deviation), "`{deviation}` is missing in {}", report.out);
    }
    let resumed = place.call(&["resume", "shop/1"]).exits(0);
    assert!(resumed.err.contains("second (forward-1) still ran: it was ended"), "{}", resumed.err);
    let again = place.call(&["resume"]).exits(0);
    assert!(again.err.contains("no run is open"), "once is enough: {}", again.err);
    assert_eq!(place.ledger(), ["first", "second"]);
}

#[test]
fn the_second_of_two_who_decide_hears_what_the_first_one_said_and_errors_are_data() {
    let place = Place::new();
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n{}{}",
        step("careful", Some("gate"), ""),
        step("switch", None, EXPOSES)
    );
    let mut run = place.start(&["run", &place.runbook("shop", &rest)]);
    run.until("careful: started");
    place.until_written("careful");
    run.kill();
    place.call(&["resume"]).exits(5);
    place.call(&["resolve", "shop", "careful", "--happened", "--as", "ada"]).exits(0);
    let late = place.call(&["resolve", "shop", "careful", "--failed", "--as", "omar"]).exits(1);
    assert!(late.err.contains("the last word about it") && late.err.contains("ada"), "{}", late.err);
    let late = place.call(&["resolve", "shop", "careful", "--failed", "--json"]).exits(1);
    assert_eq!(late.out, "", "no data");
    let told: serde_json::Value = serde_json::from_str(late.err.trim()).expect("an error is one line of JSON");
    assert!(told["error"].as_str().is_some_and(|what| what.contains("cannot be resolved now")), "{told}");
    assert!(told["help"][1].as_str().is_some_and(|help| help.contains("ada")), "{told}");
}
