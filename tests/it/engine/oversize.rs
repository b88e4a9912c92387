//! What the log can never take: it ends as a refusal or in fewer words, and is not tried for ever.

use std::sync::Arc;

use bascule::machine::fact::End;
use bascule::machine::{Event, Reply, RunState};

use super::rig::{PATIENCE, Rig, events, is_flush, olga, records, say, until, until_it_is};
use super::{note, three, until_done};

/// What the log takes at once in these tests.
const LARGEST: usize = 32 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_is_too_large_is_refused_and_the_run_goes_on() {
    let rig = Rig::with_largest(LARGEST);
    let engine = rig.start().await;
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until_done(&rig, "first").await;
    let word = engine.decide(&run, note(&"x".repeat(2 * LARGEST)), olga(), None);
    let decided = tokio::time::timeout(PATIENCE, word).await.expect("it is answered").expect("the engine decides");
    let Reply::Refused { why, hint } = decided.reply else { panic!("it cannot be durable: {:?}", decided.reply) };
    assert!(why.contains("larger than") && why.contains("not decided"), "{why}");
    assert!(hint.contains("file"), "{hint}");
    say(&engine, &run, note("a short one")).await;
    rig.open("gate");
    until_it_is(&engine, &run, RunState::Accepted).await;
    assert_eq!(events(&engine, &run).await.iter().filter(|word| **word == "noted").count(), 1);
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn words_that_are_too_many_for_one_transition_are_decided_in_several() {
    let rig = Rig::with_largest(LARGEST);
    let engine = Arc::new(rig.start().await);
    let run = rig.create(&engine, "shop", &three("1s")).await.name().clone();
    until_done(&rig, "first").await;
    // While a flush takes long, the words that come meanwhile gather.
    let (reached, flushing) = std::sync::mpsc::channel::<()>();
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    rig.disk.fail_by(move |call| {
        if is_flush(call) && reached.send(()).is_ok() {
            assert!(wait.recv_timeout(PATIENCE).is_err(), "the other end is only dropped");
        }
        None
    });
    let notes = 40_usize;
    let words: Vec<_> = (0..notes)
        .map(|number| {
            let (engine, run) = (engine.clone(), run.clone());
            let text = format!("{number:>4096}");
            tokio::spawn(async move { engine.decide(&run, note(&text), olga(), None).await })
        })
        .collect();
    tokio::task::spawn_blocking(move || flushing.recv_timeout(PATIENCE)).await.expect("no panic").expect("it flushes");
    drop(let_go);
    rig.disk.heal();
    for word in words {
        let decided = tokio::time::timeout(PATIENCE, word).await.expect("it is answered").expect("no panic");
        assert_eq!(decided.expect("the engine decides").reply, Reply::Done);
    }
    assert_eq!(events(&engine, &run).await.iter().filter(|word| **word == "noted").count(), notes);
    engine.stop().await.expect("it stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_too_many_words_is_written_in_fewer() {
    let rig = Rig::with_largest(LARGEST);
    let engine = rig.start().await;
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n  - {{ id: wails, uses: deed, with: {{ name: wails, laments: {} }}, \
         undo: {{ estimate: 1s }} }}\n{}",
        4 * LARGEST,
        super::step("switch", None, super::EXPOSES)
    );
    let run = rig.create(&engine, "shop", &rest).await.name().clone();
    until(&engine, &run, |run| run.state.is_final()).await;
    let told = records(&engine, &run).await;
    let failure = told.iter().find_map(|record| {
        let Event::AttemptEnded { end: End::Failed { failure, .. }, .. } = &record.event else { return None };
        Some(failure.to_string())
    });
    let failure = failure.expect("the step failed");
    assert!(failure.starts_with("woe woe") && failure.contains("bytes more: too long for the run log"), "{failure}");
    assert!(failure.len() < LARGEST);
    engine.stop().await.expect("it stops");
}
