//! An engine from inside: what becomes of runs when the disk fails, the clock jumps, or engines come and go.

mod failing;
mod full;
mod oversize;
mod rig;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bascule::engine::EngineError;
use bascule::engine::clock::ManualClock;
use bascule::machine::{Event, RunState, Verb};
use bascule::store::RunName;
use rig::{Rig, count, events, is_flush, is_write, now, olga, say, step, until, until_it_is};

use crate::stores_disk::Fail;

const EXPOSES: &str = ", exposes: true";
const BROKEN: Fail = Fail::With(ErrorKind::Other);

/// Three steps; the first one waits at a gate.
fn three(window: &str) -> String {
    format!(
        "rollbackWindow: {window}\ncutoverSteps:\n{}{}{}",
        step("first", Some("gate"), ""),
        step("second", None, ""),
        step("switch", None, EXPOSES),
    )
}

fn name(text: &str) -> RunName {
    RunName::parse(text).expect("a run's name")
}

async fn until_done(rig: &Rig, what: &str) {
    let since = std::time::Instant::now();
    while !rig.ledger().iter().any(|done| done == what) {
        assert!(since.elapsed() < rig::PATIENCE, "`{what}` was never done: {:?}", rig.ledger());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reached_the_disk_before_a_flush_failed_is_acted_on_once() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until_done(&rig, "first").await;
    rig.fail_once(BROKEN, is_flush);
    rig.open("gate");
    until_it_is(&engine, &run, RunState::Accepted).await;
    assert_eq!(rig.ledger(), ["first", "second", "switch"]);
    let told = events(&engine, &run).await;
    assert!(!told.contains(&"lateResult"), "the same end was decided twice: {told:?}");
    assert_eq!(told.iter().filter(|word| **word == "storeGap").count(), 1, "{told:?}");
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_reach_the_disk_is_decided_again() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until_done(&rig, "first").await;
    rig.fail_once(BROKEN, is_write);
    rig.open("gate");
    until_it_is(&engine, &run, RunState::Accepted).await;
    assert_eq!(rig.ledger(), ["first", "second", "switch"]);
    assert!(!events(&engine, &run).await.contains(&"lateResult"));
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_reached_the_disk_counts_once_and_is_answered() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let run = rig.create(&engine, "shop", &three("10m")).await.name().clone();
    rig.open("gate");
    until_it_is(&engine, &run, RunState::Observing).await;
    let deadline = engine.read(&run).await.expect("it can be read").0.window.expect("it is open").deadline;
    rig.fail_once(BROKEN, is_flush);
    say(&engine, &run, Verb::WindowExtend { by_ms: 60_000 }).await;
    let moved = engine.read(&run).await.expect("it can be read").0.window.expect("it is open").deadline;
    assert_eq!(moved, deadline + 60_000);
    rig.fail_once(BROKEN, is_flush);
    say(&engine, &run, Verb::Rollback).await;
    until_it_is(&engine, &run, RunState::RolledBack).await;
    assert_eq!(rig.ledger(), ["first", "second", "switch", "undo switch", "undo second", "undo first"]);
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_creation_was_in_doubt_exists_once_and_is_executed() {
    for fails in [is_flush as fn(&_) -> bool, is_write] {
        let rig = Rig::new();
        let engine = rig.start().await;
        rig.open("gate");
        // The first segment is there: an append to it can be in doubt.
        let other = rig.create(&engine, "other", &three("1s")).await.name().clone();
        until_it_is(&engine, &other, RunState::Accepted).await;
        rig.fail_once(BROKEN, fails);
        let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
        assert_eq!(run, name("shop/1"));
        until_it_is(&engine, &run, RunState::Accepted).await;
        assert_eq!(count(&engine, &run, |event| matches!(event, Event::Created { .. })).await, 1);
        assert_eq!(rig.ledger()[3..], ["first", "second", "switch"]);
        engine.stop().await.expect("it stops");
    }
}

fn note(text: &str) -> Verb {
    Verb::Note { text: text.to_owned(), attachments: vec![] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_news_does_not_hold_up_what_is_due() {
    let rig = Rig::new();
    let engine = Arc::new(rig.start().await);
    rig.open("gate");
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    let over = tokio_util::sync::CancellationToken::new();
    let talkers: Vec<_> = (0..8)
        .map(|_| {
            let (engine, run, over) = (engine.clone(), run.clone(), over.clone());
            tokio::spawn(async move {
                while !over.is_cancelled() {
                    drop(engine.decide(&run, note("are we there yet?"), olga(), None).await);
                }
            })
        })
        .collect();
    let closed = tokio::time::timeout(Duration::from_secs(20), until_it_is(&engine, &run, RunState::Accepted)).await;
    over.cancel();
    for talker in talkers {
        talker.await.expect("it talks");
    }
    assert!(closed.is_ok(), "the window does not close while people talk");
    engine.stop().await.expect("it stops");
}

fn locking(application: &str, gate: Option<&str>) -> String {
    let locks = ", locks: [{ name: 'host:x' }]";
    let steps = [step(&format!("take_{application}"), gate, locks), step("switch", None, EXPOSES)];
    format!("rollbackWindow: 1s\ncutoverSteps:\n{}{}", steps[0], steps[1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_run_takes_no_lock_that_it_does_not_know_of() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let a = rig.create(&engine, "a", &locking("a", Some("gate"))).await.name().clone();
    until_done(&rig, "take_a").await;
    let b = rig.create(&engine, "b", &locking("b", None)).await.name().clone();
    until(&engine, &b, |run| !run.locking.is_empty()).await;
    until(&engine, &b, |run| run.sequence > 5).await;
    engine.stop().await.expect("it stops");
    drop(engine);

    let engine = rig.start().await;
    until(&engine, &a, |run| run.hold.is_some()).await;
    until(&engine, &b, |run| run.hold.is_some()).await;
    rig.open("gate");
    say(&engine, &a, Verb::Rollback).await;
    until_it_is(&engine, &a, RunState::RolledBack).await;
    // What the first one gave back is free, although the second one had asked for it before the restart.
    let c = rig.create(&engine, "c", &locking("c", None)).await.name().clone();
    until_it_is(&engine, &c, RunState::Accepted).await;
    say(&engine, &b, Verb::Resume).await;
    until_it_is(&engine, &b, RunState::Accepted).await;
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_created_after_the_wall_clock_jumped_follows_it() {
    const HOUR: i64 = 3_600_000;
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let rig = Rig::with_clock(clock.clone());
    let engine = rig.start().await;
    let old = rig.create(&engine, "old", &three("10m")).await.name().clone();
    clock.jump_wall(HOUR);
    let new = rig.create(&engine, "new", &three("10m")).await.name().clone();
    until(&engine, &old, |run| run.clock_offset == HOUR).await;
    let run = now(&engine, &new).await;
    assert_eq!((run.clock_offset, run.clock_in_doubt), (HOUR, false), "it began with the clock as it is");
    clock.jump_wall(-HOUR);
    until(&engine, &new, |run| run.clock_offset == 0).await;
    assert_eq!(count(&engine, &new, |event| matches!(event, Event::ClockJumped { .. })).await, 1);
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_that_cannot_be_read_stops_no_other_one_and_is_not_begun_by_a_verb() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let lost = rig.create(&engine, "lost", &three("1s")).await.name().clone();
    let found = rig.create(&engine, "found", &three("1s").replace("10m", "11m")).await.name().clone();
    until(&engine, &found, |run| !run.live.is_empty()).await;
    let plan = now(&engine, &lost).await.plan.hash().to_string();
    engine.stop().await.expect("it stops");
    drop(engine);
    rig.disk.erase(&rig.state().join("blobs").join(plan));

    let engine = rig.start().await;
    let adopted: Vec<String> = engine.adopted().iter().map(|adopted| adopted.run.to_string()).collect();
    assert_eq!(adopted, ["found/1"]);
    assert!(
        engine.notes().iter().any(|note| note.contains("lost/1") && note.contains("missing")),
        "{:?}",
        engine.notes()
    );
    let version = engine.log().head(&lost).await.expect("the log has it").version;
    let refused = engine.decide(&lost, Verb::Resume, olga(), None).await.expect_err("nobody executes it");
    assert!(matches!(refused, EngineError::GivenUp { .. }), "{refused}");
    assert_eq!(engine.log().head(&lost).await.expect("the log has it").version, version);
    rig.open("gate");
    say(&engine, &found, Verb::Resume).await;
    until_it_is(&engine, &found, RunState::Accepted).await;
    engine.stop().await.expect("it stops");
    let late = engine.decide(&found, note("too late"), olga(), None).await.expect_err("the engine is down");
    assert!(matches!(late, EngineError::Gone(_)), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_run_was_without_an_engine_is_its_own() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until(&engine, &run, |run| !run.live.is_empty()).await;
    engine.stop().await.expect("it stops");
    // As if others had kept an engine alive, in which this run had none for an hour.
    let newest = engine.clock().now().wall;
    drop(engine);
    let text = format!("{newest}\n{run} {}\n", newest - 3_600_000);
    std::fs::write(rig.state().join("alive"), text).expect("the folder can be written");
    let engine = rig.start().await;
    assert!(engine.adopted()[0].away_ms >= 3_600_000, "{}", engine.adopted()[0].away_ms);
    engine.stop().await.expect("it stops");
}
