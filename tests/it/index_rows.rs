//! What the engine keeps in its index: right rows, the same ones after a rebuild, and evidence that the log lost something.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bascule::engine::{Engine, EngineError, EngineOptions, QueryError};
use bascule::plan::{History, StepId};
use bascule::store::{Snapshot, StoreError};
use serde_json::Value;

use crate::cli_run::{Place, Seen, step};

const SAFE: &str = ", effect: idempotent";
const EXPOSES: &str = ", effect: idempotent, exposes: true";

/// A runbook that ends by itself for good, so that no later engine adds to its run.
fn ends(place: &Place, name: &str) -> String {
    let slow = "  - { id: slow, uses: command, with: { argv: [sleep, '0.3'] }, effect: idempotent, undo: none, reason: test }\n";
    let rest = format!(
        "rollbackWindow: 1s\nonWindowClose: commit\ncutoverSteps:\n{}{slow}{}",
        step("first", None, SAFE),
        step("switch", None, EXPOSES)
    );
    place.runbook(name, &rest)
}

/// A runbook that waits for a person; without one its engine leaves.
fn waits(place: &Place, name: &str) -> String {
    let rest = format!(
        "rollbackWindow: 5s\ncutoverSteps:\n{}  - approval: go_no_go\n    roles: [owner]\n{}",
        step("first", None, SAFE),
        step("switch", None, EXPOSES)
    );
    place.runbook(name, &rest)
}

/// An engine takes the open runs over, waits for the person that does not come, and leaves in order.
fn visit(place: &Place, args: &[&str]) {
    let mut owner = place.start(args);
    owner.until(if args[0] == "run" { "go_no_go" } else { "goes on" });
    owner.signal("TERM");
    owner.end();
}

/// What an engine's index answers once it has caught up.
async fn asked(state: &Path, application: &str) -> (Value, History) {
    let since = Instant::now();
    let engine = loop {
        match Engine::start(EngineOptions::new(state.to_owned())).await {
            Ok(engine) => break engine,
            // The tasks of the engine before let go of the directory a moment after it ended.
            Err(EngineError::Store(StoreError::Held { .. })) if since.elapsed() < Duration::from_secs(20) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    let rows = loop {
        match engine.rows().await {
            Ok(rows) => break serde_json::to_value(rows).expect("rows are JSON"),
            Err(QueryError::Behind) => assert!(since.elapsed() < Duration::from_secs(60), "it never catches up"),
            Err(QueryError::Index(error)) => panic!("{error}"),
        }
    };
    let history = engine.history(application).await.expect("it has caught up");
    engine.stop().await.expect("a clean stop");
    (rows, history)
}

fn index_of(place: &Place) -> PathBuf {
    place.state().join("index")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_durations_are_right_and_the_same_after_the_index_was_removed() {
    let place = Place::new();
    let book = ends(&place, "shop");
    for _ in 0..2 {
        place.call(&["run", &book]).exits(0);
    }
    visit(&place, &["run", &waits(&place, "desk")]);
    let (rows, history) = asked(&place.state(), "shop").await;
    let of = |at: usize, key: &str| rows[at][key].clone();
    assert_eq!((of(1, "run"), of(1, "state")), ("shop/1".into(), "committed".into()));
    assert_eq!((of(0, "run"), of(2, "run")), ("desk/1".into(), "shop/2".into()));
    let events = place.call(&["events", "shop/1", "--json"]).exits(0);
    let newest: Value = serde_json::from_str(events.out.lines().last().expect("it has events")).expect("JSON");
    assert_eq!(of(1, "updated"), newest["at"], "folded in up to the newest event");
    let took = history.steps[&StepId::from("slow")];
    assert!((300..60_000).contains(&took), "it slept for 300 ms, and not for {took}");

    for _ in 0..2 {
        std::fs::remove_dir_all(index_of(&place)).expect("there is an index");
        let (mut again, measured) = asked(&place.state(), "shop").await;
        // The engine that asked took the open run over, which is an event of its own.
        again[0]["updated"] = rows[0]["updated"].clone();
        assert_eq!((again, measured), (rows.clone(), history.clone()));
    }
    // Without an engine the same durations come from the journal; they fill in what the runbook leaves open.
    let plan = place.call(&["plan", &book, "--json"]).exits(0);
    let plan: Value = serde_json::from_str(&plan.out).expect("a plan is JSON");
    let steps = plan["steps"].as_array().expect("a plan has steps");
    let slow = steps.iter().find(|step| step["id"] == "slow").expect("the step is there");
    assert_eq!(slow["length"]["atLeastMs"], took, "{}", slow["length"]);
}

#[test]
fn every_query_works_while_the_index_is_built_anew() {
    let place = Place::new();
    place.call(&["run", &ends(&place, "shop")]).exits(0);
    visit(&place, &["run", &waits(&place, "desk")]);
    std::fs::remove_dir_all(index_of(&place)).expect("there is an index");
    let book = place.runbook(
        "late",
        &format!(
            "rollbackWindow: 1s\ncutoverSteps:\n{}{}",
            step("first", Some("gate"), SAFE),
            step("switch", None, EXPOSES)
        ),
    );
    let mut owner = place.start(&["run", &book]);
    owner.until("first: started");
    let all = place.call(&["status", "--all"]).exits(0);
    for run in ["shop/1", "desk/1", "late/1"] {
        assert!(all.out.contains(run), "{run} is missing:\n{}", all.out);
        assert!(place.call(&["status", run]).exits(0).out.contains(run));
        assert!(place.call(&["events", run]).exits(0).out.contains("created"));
    }
    assert_eq!(place.status("shop")["state"], "committed");
    place.open("gate");
    owner.end().exits(0);
    assert!(index_of(&place).exists(), "it was built anew");
}

/// Two open runs; the journal lost what the index still knows of both.
async fn lost() -> Place {
    let place = Place::new();
    visit(&place, &["run", &waits(&place, "shop")]);
    visit(&place, &["run", &waits(&place, "desk")]);
    let segment = place.state().join("journal/000001.ndjson");
    let before = std::fs::read(&segment).expect("the journal");
    // An engine takes both over, and its index has caught up with that.
    asked(&place.state(), "desk").await;
    assert_ne!(before, std::fs::read(&segment).expect("the journal"), "the engine took the runs over");
    // Whole lines to the end, closed in order: nothing in the journal tells that there was more.
    std::fs::write(&segment, before).expect("the journal can be written");
    assert!(Snapshot::read(&place.state()).expect("a journal").report().is_clean(), "the journal cannot know");
    place
}

/// The versions that `repair` would believe, by run.
fn stopped(place: &Place) -> Vec<(String, u64)> {
    let explained = place.call(&["repair", "--json"]).exits(5);
    let found: Value = serde_json::from_str(&explained.out).expect("JSON");
    let runs = found["stopped"].as_array().expect("a list");
    let of = |run: &Value| Some((run["run"].as_str()?.to_owned(), run["intact"].as_u64()?));
    runs.iter().map(|run| of(run).expect("a run and its version")).collect()
}

fn believe(place: &Place, (run, version): &(String, u64)) -> Seen {
    place.call(&["repair", "--run", run, "--believe", &version.to_string(), "--reason", "a test", "--yes"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_which_the_index_knows_more_than_the_log_stops_until_somebody_decides() {
    let place = lost().await;
    for _ in 0..2 {
        // Evidence stays evidence: the second engine stops the runs as well.
        let seen = place.call(&["resume", "--held"]);
        assert!(seen.err.contains("run desk/1 is stopped: version"), "{}", seen.err);
        assert!(seen.err.contains("`bascule repair`"), "{}", seen.err);
    }
    let explained = place.call(&["repair"]).exits(5);
    assert!(explained.out.contains("as the index knows"), "{}", explained.out);
    let both = stopped(&place);
    assert_eq!(both.iter().map(|(run, _)| run.as_str()).collect::<Vec<_>>(), ["desk/1", "shop/1"]);

    // What was decided about one run takes away no evidence about the other.
    believe(&place, &both[0]).exits(5);
    assert_eq!(stopped(&place), both[1..]);
    assert!(!place.state().join("index.broken-1").exists(), "it is still needed");
    believe(&place, &both[1]).exits(0);
    assert!(place.state().join("index.broken-1").exists(), "and then it is set aside");

    place.call(&["repair"]).exits(0);
    visit(&place, &["resume", "desk/1"]);
    place.call(&["repair"]).exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_answered_from_the_log_while_the_index_is_evidence() {
    let place = lost().await;
    let engine = Engine::start(EngineOptions::new(place.state())).await.expect("an engine");
    assert_eq!(engine.report().stopped.len(), 2);
    let error = engine.rows().await.expect_err("the index is left alone");
    assert!(error.to_string().contains("kept as evidence"), "{error}");
    let runs = engine.log().runs().await.expect("the log knows its runs");
    assert!(runs.len() == 2 && runs.iter().all(|entry| entry.stopped.is_some()), "{runs:?}");
    engine.stop().await.expect("a clean stop");
}
