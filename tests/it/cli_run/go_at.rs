//! A prepared run that begins by itself, through the real program.

use bascule::engine::clock::{Clock as _, SystemClock};

use super::{EXPOSES, Place, step};

fn book() -> String {
    let prepare = "prepareSteps:\n  - { id: seed, uses: noop, effect: idempotent, undo: none, reason: it stays }\n";
    format!("rollbackWindow: 1s\n{prepare}cutoverSteps:\n{}", step("switch", None, EXPOSES))
}

/// RFC 3339, so many seconds from now.
pub(crate) fn in_seconds(seconds: i64) -> String {
    let at = SystemClock::new().now().wall / 1000 + seconds;
    jiff::Timestamp::from_second(at).expect("a time").to_string()
}

#[test]
fn a_run_begins_by_itself_at_its_time() {
    let place = Place::new();
    let book = place.runbook("shop", &book());
    let seen = place.call(&["run", &book, "--go-at", &in_seconds(4)]).exits(0);
    assert!(seen.out.contains("the word for the cutover was given"), "{}", seen.out);
    assert_eq!(place.ledger(), ["switch"]);
}

#[test]
fn a_time_can_be_named_later_and_taken_back_and_survives_a_killed_engine() {
    let place = Place::new();
    let book = place.runbook("shop", &book());
    place.call(&["run", &book]).exits(5);
    let mut go = place.start(&["go", "shop/1", "--at", &in_seconds(3600)]);
    go.until("begins by itself at the time that was named");
    let status = place.call(&["status", "shop/1"]).exits(0).out;
    assert!(status.contains("begins by itself at "), "{status}");
    assert!(status.contains("bascule go shop/1 --not-by-itself"), "{status}");
    go.kill();
    let status = place.call(&["status", "shop/1"]).exits(0).out;
    assert!(status.contains("without an engine at that time it does not begin"), "{status}");
    place.call(&["go", "shop/1", "--not-by-itself"]).exits(0);
    assert!(place.status("shop/1").get("goAt").is_none());
    let refused = place.call(&["go", "shop/1", "--not-by-itself"]).exits(1);
    assert!(refused.err.contains("no time was named"), "{}", refused.err);
    let past = place.call(&["go", "shop/1", "--at", "2020-01-01T00:00Z"]).exits(2);
    assert!(past.err.contains("has passed"), "{}", past.err);
    assert!(place.ledger().is_empty());
}

#[test]
fn a_time_that_comes_while_no_engine_runs_is_missed() {
    let place = Place::new();
    let book = place.runbook("shop", &book());
    let at = in_seconds(4);
    let mut run = place.start(&["run", &book, "--go-at", &at]);
    run.until("prepared: ");
    run.kill();
    assert!(place.ledger().is_empty());
    let due: jiff::Timestamp = at.parse().expect("a time");
    // Longer after it than a late tick may be.
    let over = due.as_millisecond() + 12_000;
    place.until_status("shop/1", |view| view["nowAt"].as_i64().is_some_and(|now| now > over));
    place.call(&["resume", "shop/1"]).exits(5);
    let status = place.call(&["status", "shop/1"]).exits(0).out;
    assert!(status.contains("it should have begun by itself at "), "{status}");
    assert!(place.ledger().is_empty(), "nobody gave the word");
    place.call(&["go", "shop/1"]).exits(0);
    assert_eq!(place.ledger(), ["switch"]);
}
