//! Runs through the real program: several processes, one state directory, signals, crashes.

mod amended;
mod first;
mod go_at;
mod lossy;
mod notices;
mod outlets;
mod place;
mod told;
mod trouble;

pub(crate) use go_at::in_seconds;
pub(crate) use place::{Place, Seen, Started, step};

const SAFE: &str = ", effect: idempotent";
const EXPOSES: &str = ", effect: idempotent, exposes: true";

fn three(gate: Option<&str>, window: &str) -> String {
    format!(
        "rollbackWindow: {window}\npreChecks:\n  - {{ id: look, uses: noop, effect: none }}\ncutoverSteps:\n{}{}{}",
        step("first", None, ", effect: idempotent, takesSourceDown: true"),
        step("second", gate, SAFE),
        step("switch", None, EXPOSES),
    )
}

/// A run whose second step waits at its gate.
fn in_second(place: &Place) -> Started {
    let book = place.runbook("shop", &three(Some("gate"), "1s"));
    let mut run = place.start(&["run", &book]);
    run.until("second: started");
    run
}

#[test]
fn a_run_ends_accepted_and_says_what_it_did() {
    let place = Place::new();
    let book = place.runbook("shop", &three(None, "1s"));
    let seen = place.call(&["run", &book, "--reason", "CHG0042"]).exits(0);
    for line in ["created", "first: started", "second: done", "rollback window open", "accepted: the gate is met"] {
        assert!(seen.out.contains(line), "`{line}` is missing in:\n{}", seen.out);
    }
    assert!(seen.out.contains("CHG0042"), "the reason is in the log");
    assert_eq!(place.ledger(), ["first", "second", "switch"]);
    let view = place.status("shop/1");
    assert_eq!((view["state"].as_str(), view["exit"].as_u64()), (Some("accepted"), Some(0)));
    assert_eq!(view["service"]["at"], "atTarget");
    let brief = place.call(&["status", "shop", "--brief"]).exits(0);
    assert_eq!(brief.out.lines().count(), 5, "five lines to read aloud:\n{}", brief.out);
}

#[test]
fn a_failed_step_rolls_back_and_exits_3() {
    let place = Place::new();
    let fails = "  - { id: breaks, uses: command, with: { argv: [sh, -c, 'echo breaks >> ledger; exit 7'] }, effect: once, \
                 undo: { uses: command, with: { argv: [sh, -c, 'echo undo breaks >> ledger'] }, cleanup: true } }\n";
    let rest = format!(
        "rollbackWindow: 5s\ncutoverSteps:\n{}{fails}{}",
        step("first", None, ", effect: idempotent, takesSourceDown: true"),
        step("switch", None, EXPOSES)
    );
    let book = place.runbook("shop", &rest);
    let seen = place.call(&["run", &book]).exits(3);
    assert!(seen.out.contains("exit code 7"), "{}", seen.out);
    assert!(seen.out.contains("SERVICE RESTORED"), "{}", seen.out);
    assert_eq!(place.ledger(), ["first", "breaks", "undo first", "undo breaks"], "restore before clean-up");
    assert_eq!(place.status("shop")["service"]["at"], "backAtSource");
}

#[test]
fn a_paused_run_starts_nothing_until_it_is_resumed() {
    let place = Place::new();
    let mut run = in_second(&place);
    let paused = place.call(&["pause", "--reason", "storage asked", "--as", "marta"]).exits(0);
    assert!(paused.out.contains("marta"), "the event that was written is printed:\n{}", paused.out);
    place.open("gate");
    run.until("second: done");
    assert_eq!(place.step("shop/1", "switch"), "ready");
    assert_eq!(place.status("shop/1")["hold"]["restart"], false);
    let refused = place.call(&["pause"]).exits(1);
    assert!(refused.err.contains("held already"), "{}", refused.err);
    // Another process resumes; the one that executes goes on or has left meanwhile, either is right.
    let resumed = place.call(&["resume", "shop"]);
    assert_eq!(resumed.code, Some(0), "{}\n{}", resumed.out, resumed.err);
    assert_eq!(place.status("shop/1")["state"], "accepted");
    drop(run.end());
}

#[test]
fn an_approval_comes_from_another_process() {
    let place = Place::new();
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n  - approval: go_no_go\n    roles: [owner]\n{}",
        step("switch", None, EXPOSES)
    );
    let book = place.runbook("shop", &rest);
    let mut run = place.start(&["run", &book]);
    run.until("go_no_go: waits for an approval");
    let next = place.call(&["status", "shop"]).exits(0);
    assert!(next.out.contains("bascule approve shop/1 go_no_go --role owner"), "{}", next.out);
    place.call(&["approve", "go_no_go", "--role", "stranger"]).exits(1);
    place.call(&["approve", "shop/1", "go_no_go", "--role", "owner", "--as", "jonas"]).exits(0);
    let seen = run.end().exits(0);
    assert!(seen.out.contains("go_no_go: approved — jonas"), "{}", seen.out);
}

#[test]
fn a_killed_engine_is_resumed_and_nothing_is_done_twice() {
    let place = Place::new();
    let run = in_second(&place);
    place.until_written("second");
    run.kill();
    let brief = place.call(&["status", "--brief"]).exits(0);
    assert!(brief.out.contains("No engine is running"), "{}", brief.out);
    let mut resumed = place.start(&["resume"]);
    resumed.until("second: attempt 2 started");
    place.open("gate");
    let seen = resumed.end().exits(0);
    assert!(seen.err.contains("shop/1: was cutting over, interrupted"), "{}", seen.err);
    assert!(seen.err.contains("service DOWN: the source was taken down, since "), "{}", seen.err);
    assert!(seen.err.contains("second (forward-1)"), "what was ended is told:\n{}", seen.err);
    assert_eq!(
        place.ledger(),
        ["first", "second", "second", "switch"],
        "idempotent: the interrupted one alone runs again"
    );
}

#[test]
fn an_interrupted_step_that_runs_once_is_a_question() {
    let place = Place::new();
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n{}{}",
        step("careful", Some("gate"), ""),
        step("switch", None, EXPOSES)
    );
    let book = place.runbook("shop", &rest);
    let mut run = place.start(&["run", &book]);
    run.until("careful: started");
    place.until_written("careful");
    run.kill();
    let seen = place.call(&["resume"]).exits(5);
    assert!(seen.out.contains("nobody knows whether `careful` happened"), "{}", seen.out);
    let words = "bascule resolve shop/1 careful --happened";
    assert!(seen.err.contains(words), "the last words are the question's answers:\n{}", seen.err);
    let view = place.status("shop/1");
    let answers = view["questions"][0]["answers"].as_array().expect("a question has answers");
    let commands: Vec<&str> = answers.iter().filter_map(|answer| answer["command"].as_str()).collect();
    assert!(commands.contains(&"bascule resolve shop/1 careful --happened"), "{commands:?}");
    // Without an engine the decision is written down, and nothing is started.
    let said = place.call(&["resolve", "careful", "--happened", "--reason", "saw it"]).exits(0);
    assert!(said.err.contains("no engine is running: the decision is recorded"), "{}", said.err);
    assert_eq!(place.ledger(), ["careful"]);
    place.call(&["resume"]).exits(0);
    assert_eq!(place.ledger(), ["careful", "switch"]);
}

#[test]
fn a_rollback_without_an_engine_waits_for_one() {
    let place = Place::new();
    let run = in_second(&place);
    place.until_written("second");
    run.kill();
    let nameless = place.call(&["rollback", "--yes"]).exits(2);
    assert!(nameless.err.contains("--application shop"), "{}", nameless.err);
    place.call(&["rollback", "--application", "shap"]).exits(2);
    assert_eq!(place.status("shop/1")["state"], "cutting_over", "nothing was decided yet");
    place.call(&["rollback", "--application", "shop", "--reason", "enough"]).exits(0);
    assert_eq!(place.status("shop/1")["state"], "rolling_back");
    assert_eq!(place.ledger(), ["first", "second"], "nothing was dispatched");
    place.call(&["resume"]).exits(3);
    assert_eq!(place.ledger(), ["first", "second", "undo second", "undo first"]);
}

#[test]
fn a_second_run_is_handed_to_the_owner() {
    let place = Place::new();
    let slow = place.runbook("slow", &three(Some("gate"), "1s"));
    let quick = place.runbook("quick", &three(None, "1s"));
    let mut owner = place.start(&["run", &slow]);
    owner.until("second: started");
    let seen = place.call(&["run", &quick]).exits(0);
    let owned = format!("(process {})", owner.pid());
    assert!(seen.out.contains(&owned), "{owned} should execute it:\n{}", seen.out);
    let table = place.call(&["status", "--all"]).exits(0);
    assert!(table.out.contains("quick/1") && table.out.contains("slow/1"), "{}", table.out);
    place.open("gate");
    owner.end().exits(0);
}

#[test]
fn an_interrupt_in_the_foreground_holds_and_exits_6() {
    let place = Place::new();
    let mut run = in_second(&place);
    run.signal("INT");
    run.until("held: nothing new starts");
    // The running step may end: it settles before the process leaves.
    place.open("gate");
    let seen = run.end().exits(6);
    assert!(seen.out.contains("second: done"), "{}", seen.out);
    assert!(seen.err.contains("bascule resume shop/1"), "{}", seen.err);
    assert_eq!(place.ledger(), ["first", "second"]);
    place.call(&["resume", "shop/1"]).exits(0);
    assert_eq!(place.ledger(), ["first", "second", "switch"]);
}

#[test]
fn an_open_window_wants_two_interrupts() {
    let place = Place::new();
    let book = place.runbook("shop", &three(None, "10m"));
    let mut run = place.start(&["run", &book]);
    run.until("observing");
    run.signal("TERM");
    // Still there: it answers.
    assert_eq!(place.status("shop/1")["executed"], true);
    run.signal("TERM");
    let seen = run.end().exits(6);
    assert!(seen.err.contains("without an engine nothing will guard it"), "{}", seen.err);
}

#[test]
fn a_reader_that_leaves_does_not_end_the_run() {
    let place = Place::new();
    let run = in_second(&place);
    place.open("gate");
    assert_eq!(run.close_pipe(), Some(0));
    assert_eq!(place.status("shop/1")["state"], "accepted");
}

#[test]
fn events_follow_a_run_to_its_end_and_logs_show_what_a_step_wrote() {
    let place = Place::new();
    let loud = "  - { id: loud, uses: command, with: { argv: [sh, -c, 'echo one; until [ -e gate ]; do sleep 0.02; done; echo two'] }, \
                effect: idempotent, undo: none, reason: only a test }\n";
    let rest = format!("rollbackWindow: 1s\ncutoverSteps:\n{loud}{}", step("switch", None, EXPOSES));
    let book = place.runbook("shop", &rest);
    let mut run = place.start(&["run", &book]);
    run.until("loud: started");
    let mut log = place.start(&["logs", "loud", "--follow"]);
    log.until("one");
    let mut events = place.start(&["events", "shop", "--follow", "--json"]);
    events.until("\"event\":\"created\"");
    place.open("gate");
    assert_eq!(log.end().exits(0).out, "one\ntwo");
    run.until("accepted");
    events.until("\"to\":\"accepted\"");
    run.end().exits(0);
    let all = place.call(&["events", "shop", "--all", "--json"]).exits(0);
    let numbers: Vec<u64> = all
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON"))
        .map(|event| event["sequence"].as_u64().expect("a sequence number"))
        .collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "no event is missing or repeated: {numbers:?}");
    assert_eq!(place.call(&["logs", "shop", "loud"]).exits(0).out, "one\ntwo\n");
    place.call(&["logs", "shop", "louder"]).exits(1);
}

#[test]
fn notes_are_taken_in_any_state() {
    let place = Place::new();
    let book = place.runbook("shop", &three(None, "1s"));
    place.call(&["run", &book]).exits(0);
    place.call(&["rollback", "shop", "--application", "shop"]).exits(0);
    place.call(&["resume"]).exits(3);
    place.call(&["note", "shop/1", "called the vendor", "--as", "marta"]).exits(0);
    let events = place.call(&["events", "shop"]).exits(0);
    assert!(events.out.contains("note: called the vendor — marta"), "{}", events.out);
    let over = place.call(&["pause", "shop/1"]).exits(1);
    assert!(over.err.contains("the run is over"), "{}", over.err);
}

#[test]
fn a_run_is_named_in_three_ways() {
    let place = Place::new();
    let nothing = place.call(&["status", "shop"]).exits(1);
    assert!(nothing.err.contains("there is no run of `shop`"), "{}", nothing.err);
    let shop = place.runbook("shop", &three(None, "1s"));
    place.call(&["run", &shop]).exits(0);
    assert_eq!(place.status("shop")["run"], "shop/1");
    let refused = place.call(&["run", &shop]).exits(4);
    assert!(refused.out.contains("a lock that shop/1 holds"), "{}", refused.out);
    assert_eq!(place.status("shop")["run"], "shop/2", "an application is its newest run");
    assert!(place.call(&["status"]).exits(0).out.starts_with("shop/1 "), "one run is open");
    let bank = place.runbook("bank", &three(None, "1s"));
    place.call(&["run", &bank]).exits(0);
    let many = place.call(&["pause"]).exits(2);
    assert!(many.err.contains("2 runs are open: bank/1, shop/1"), "{}", many.err);
    let near = place.call(&["status", "shp"]).exits(1);
    assert!(near.err.contains("did you mean `shop`?"), "{}", near.err);
}

#[test]
fn a_verb_whose_answer_was_lost_counts_once() {
    let place = Place::new();
    let book = place.runbook("shop", &three(None, "10m"));
    let mut run = place.start(&["run", &book]);
    run.until("observing");
    let deadline = |view: &serde_json::Value| view["window"]["deadlineAt"].clone();
    let before = deadline(&place.status("shop/1"));
    assert!(before.is_i64(), "{before}");
    // The owner decides, and dies before anybody hears of it.
    let line = lossy::Line::cut(&place, run);
    let said = place.call(&["window", "extend", "shop/1", "--by", "30m", "--reason", "month end", "--yes"]);
    line.end();
    let said = said.exits(0);
    assert!(
        said.out.contains("month end"),
        "the event that the dead owner wrote is shown:\n{}\n{}",
        said.out,
        said.err
    );
    let events = place.call(&["events", "shop/1", "--all", "--json"]).exits(0);
    assert_eq!(events.out.matches("\"event\":\"windowExtended\"").count(), 1, "{}", events.out);
    let silent = place.call(&["window", "extend", "shop/1", "--by", "30m", "--yes"]).exits(2);
    assert!(silent.err.contains("needs a reason") && silent.err.contains("--reason"), "{}", silent.err);
    // The same words once more are another decision.
    place.call(&["window", "extend", "shop/1", "--by", "30m", "--reason", "month end", "--yes"]).exits(0);
    let events = place.call(&["events", "shop/1", "--all", "--json"]).exits(0);
    assert_eq!(events.out.matches("\"event\":\"windowExtended\"").count(), 2, "{}", events.out);
}

#[test]
fn what_a_person_paused_stays_paused_until_it_is_named() {
    let place = Place::new();
    let shop = place.runbook("shop", &three(Some("gate"), "1s"));
    let bank = place.runbook("bank", &three(Some("gate"), "1s"));
    let mut run = place.start(&["run", &shop]);
    run.until("second: started");
    let mut other = place.start(&["run", &bank]);
    other.until("second: started");
    place.call(&["pause", "bank/1", "--reason", "storage asked", "--as", "marta"]).exits(0);
    run.kill();
    drop(other.end());
    place.open("gate");
    let resumed = place.call(&["resume"]);
    assert!(resumed.err.contains("bank/1: stays paused by") && resumed.err.contains("marta"), "{}", resumed.err);
    assert!(resumed.err.contains("`bascule resume bank/1` lifts it"), "{}", resumed.err);
    assert_eq!(place.status("shop/1")["state"], "accepted");
    assert_eq!(place.status("bank/1")["hold"]["restart"], false);
    place.call(&["resume", "bank/1"]).exits(0);
    assert_eq!(place.status("bank/1")["state"], "accepted");
}

#[test]
fn work_by_hand_is_asked_for_forwards_and_back() {
    let place = Place::new();
    let by_hand = "  - { manual: put the tape into slot 7, id: tape, answer: { slot: integer, ticket: string }, undo: { byHand: take the tape out } }\n";
    let rest = format!(
        "rollbackWindow: 60s\ncutoverSteps:\n{}{by_hand}{}",
        step("first", None, ", effect: idempotent, takesSourceDown: true"),
        step("switch", None, EXPOSES)
    );
    let book = place.runbook("shop", &rest);
    let mut run = place.start(&["run", &book]);
    run.until("tape: waits for work by hand");
    let next = place.call(&["status", "shop"]).exits(0);
    assert!(next.out.contains("put the tape into slot 7"), "{}", next.out);
    let silent = place.call(&["resolve", "shop", "tape", "--happened"]).exits(1);
    assert!(silent.err.contains("`slot` is not answered") && silent.err.contains("slot (integer)"), "{}", silent.err);
    place.call(&["resolve", "shop", "tape", "--happened", "--output", "slot=7", "--output", "ticket=12345"]).exits(0);
    run.until("rollback window open");
    place.call(&["rollback", "shop", "--application", "shop"]).exits(0);
    run.until("tape: waits for a person who takes it back by hand");
    let view = place.status("shop");
    assert_eq!((view["state"].as_str(), view["needsPerson"].as_bool()), (Some("rolling_back"), Some(true)), "{view}");
    let asked = place.call(&["status", "shop"]).exits(0);
    assert!(asked.out.contains("take the tape out"), "the instructions stand beside the question:\n{}", asked.out);
    assert!(asked.out.contains("bascule undo done shop/1 tape"), "{}", asked.out);
    place.call(&["resolve", "shop", "tape", "--happened", "--reason", "it is on the shelf"]).exits(0);
    run.end().exits(3);
    assert_eq!(place.ledger(), ["first", "switch", "undo first", "undo switch"]);
}

#[test]
fn an_application_that_goes_back_takes_along_what_needs_it() {
    let place = Place::new();
    let bank = place.runbook("bank", &three(None, "1s"));
    place.call(&["run", &bank]).exits(0);
    let needs = "requires: [{ app: bank, state: accepted, onItsRollback: rollback }]\n";
    let shop = place.runbook("shop", &format!("{needs}{}", three(None, "60s")));
    let mut run = place.start(&["run", &shop]);
    run.until("rollback window open");
    place.call(&["rollback", "bank", "--application", "bank"]).exits(0);
    run.end().exits(3);
    assert_eq!(place.status("shop")["state"], "rolled_back");
}
