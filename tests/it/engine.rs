//! An engine from inside: what becomes of runs when the disk fails, the clock jumps, or engines come and go.

mod rig;

use std::io::ErrorKind;

use bascule::machine::{Event, RunState, Verb};
use bascule::store::RunName;
use rig::{Rig, count, events, is_flush, is_write, say, step, until, until_it_is};

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
