//! An engine whose disk does not work for a while: people can look, leave and stop, and are told once.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bascule::engine::clock::ManualClock;
use bascule::machine::{Reply, RunState, Verb};
use tokio::sync::broadcast;

use super::rig::{PATIENCE, Rig, events, is_flush, is_write, now, olga, until, until_it_is};
use super::{three, until_done};
use crate::stores_disk::Fail;

fn heard(sayings: &mut broadcast::Receiver<String>, what: &str) -> usize {
    let mut count = 0;
    while let Ok(saying) = sayings.try_recv() {
        count += usize::from(saying.contains(what));
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_fails_people_can_look_and_the_engine_can_end() {
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let rig = Rig::with_clock(clock.clone());
    let engine = Arc::new(rig.start().await);
    let run = rig.create(&engine, "shop", &three("10m")).await.name().clone();
    until_done(&rig, "first").await;
    until(&engine, &run, |run| !run.live.is_empty()).await;
    let before = now(&engine, &run).await;
    let mut sayings = engine.sayings();
    rig.disk.fail_by(|call| is_flush(call).then_some(Fail::With(ErrorKind::Other)));
    rig.open("gate");
    let trouble = async { while !sayings.recv().await.is_ok_and(|saying| saying.contains("cannot write")) {} };
    tokio::time::timeout(PATIENCE, trouble).await.expect("it says that it cannot write");
    // What is shown is what is durable: the step's end is not.
    let shown = tokio::time::timeout(PATIENCE, now(&engine, &run)).await.expect("it can be looked at");
    assert_eq!(shown.sequence, before.sequence);
    let word = {
        let (engine, run) = (engine.clone(), run.clone());
        tokio::spawn(async move { engine.decide(&run, Verb::Rollback, olga(), None).await })
    };
    while !word.is_finished() {
        clock.advance(1_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let decided = word.await.expect("no panic").expect("it is answered");
    let Reply::Refused { why, .. } = decided.reply else { panic!("it cannot be durable: {decided:?}") };
    assert!(why.contains("this was not decided"), "{why}");
    tokio::time::timeout(PATIENCE, engine.stop()).await.expect("it ends").expect("the log was closed already");
    drop(engine);

    rig.disk.heal();
    let engine = rig.start().await;
    until(&engine, &run, |run| run.hold.is_some()).await;
    assert!(!events(&engine, &run).await.contains(&"rollbackDecided"), "what was refused is not done later");
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_once_and_its_end_once() {
    let rig = Rig::new();
    let engine = rig.start().await;
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until_done(&rig, "first").await;
    let mut sayings = engine.sayings();
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    rig.disk.fail_by(move |call| {
        (is_write(call) && count.fetch_add(1, Ordering::SeqCst) < 4).then_some(Fail::With(ErrorKind::StorageFull))
    });
    rig.open("gate");
    until_it_is(&engine, &run, RunState::Accepted).await;
    assert!(tries.load(Ordering::SeqCst) >= 4, "the disk was full four times");
    let mut said = Vec::new();
    while let Ok(saying) = sayings.try_recv() {
        said.push(saying);
    }
    assert_eq!(said.iter().filter(|saying| saying.contains("cannot write")).count(), 1, "{said:?}");
    assert_eq!(said.iter().filter(|saying| saying.contains("writes again")).count(), 1, "{said:?}");
    assert_eq!(rig.ledger(), ["first", "second", "switch"]);
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_closed_while_no_run_wrote_is_opened_for_a_new_one() {
    let rig = Rig::new();
    let engine = rig.start().await;
    rig.open("gate");
    let over = rig.create(&engine, "over", &three("1s")).await.name().clone();
    until_it_is(&engine, &over, RunState::Accepted).await;
    super::say(&engine, &over, Verb::Commit).await;
    until_it_is(&engine, &over, RunState::Committed).await;
    while engine.live(&over).is_some() {
        tokio::task::yield_now().await;
    }
    // Somebody's append fails and closes the journal; nobody is left who would open it again.
    rig.fail_once(Fail::With(ErrorKind::Other), is_flush);
    let stray = bascule::store::NewTransition {
        run: bascule::store::RunName::parse("stray/1").expect("a run's name"),
        expected: 0,
        epoch: 1,
        at_ms: 0,
        is_final: true,
        payload: bascule::store::Payload::from_json("[]").expect("a payload"),
    };
    assert!(matches!(engine.log().append(stray).await, bascule::store::Appended::InDoubt(_)));
    assert!(engine.log().head(&over).await.is_err(), "the journal is closed");
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until_it_is(&engine, &run, RunState::Accepted).await;
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_end_that_was_told_before_the_engine_left_is_in_the_log() {
    let rig = Rig::new();
    let engine = Arc::new(rig.start().await);
    let run = rig.create(&engine, "shop", &three("10m")).await.name().clone();
    until_done(&rig, "first").await;
    until(&engine, &run, |run| !run.live.is_empty()).await;
    // A flush takes long; meanwhile the step ends and the engine is told to stop.
    let (reached, flushing) = std::sync::mpsc::channel::<()>();
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    rig.disk.fail_by(move |call| {
        if is_flush(call) && reached.send(()).is_ok() {
            assert!(wait.recv_timeout(PATIENCE).is_err(), "the other end is only dropped");
        }
        None
    });
    let word = {
        let (engine, run) = (engine.clone(), run.clone());
        tokio::spawn(async move { engine.decide(&run, super::note("hello"), olga(), None).await })
    };
    tokio::task::spawn_blocking(move || flushing.recv_timeout(PATIENCE)).await.expect("no panic").expect("it flushes");
    rig.open("gate");
    // Nothing tells a test that news lie in an inbox.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let stopping = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.stop().await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(let_go);
    rig.disk.heal();
    stopping.await.expect("no panic").expect("it stops");
    drop(engine);
    word.await.expect("no panic").expect("it was decided before");
    assert_eq!(rig.ledger(), ["first"], "nothing is started by an engine that leaves");

    let engine = rig.start().await;
    let words = events(&engine, &run).await;
    assert!(words.contains(&"attemptEnded") && !words.contains(&"interrupted"), "{words:?}");
    super::say(&engine, &run, Verb::Resume).await;
    until_it_is(&engine, &run, RunState::Observing).await;
    assert_eq!(rig.ledger(), ["first", "second", "switch"], "and it is not done twice");
    assert_eq!(heard(&mut engine.sayings(), "stops acting"), 0);
    engine.stop().await.expect("it stops");
}
