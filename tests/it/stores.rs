//! What every run log promises: one suite, on the journal and in memory.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::sync::Arc;

use bascule::store::{
    Appended, Cursor, Durability, Fault, Hash, Head, JournalFile, JournalOptions, MemoryLog, NewTransition, Payload,
    RunLog, RunName, Settled, StateDir, StoreError, TakeOver, Transition, Watch, settle,
};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use crate::stores_disk::{Call, Fail, SimDisk};

/// A log under test, with what keeps it alive.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) log: Arc<dyn RunLog>,
    _dir: Option<TempDir>,
}

/// Every implementation, empty.
pub(crate) fn subjects() -> Vec<Subject> {
    let (dir, journal) = journal();
    vec![
        Subject { name: "memory", log: Arc::new(MemoryLog::new()), _dir: None },
        Subject { name: "journal", log: journal, _dir: Some(dir) },
    ]
}

/// A journal on the real disk, empty.
pub(crate) fn journal() -> (TempDir, Arc<JournalFile>) {
    let dir = tempfile::tempdir().unwrap();
    let (log, report) = open(&dir);
    assert!(report.is_clean(), "{report}");
    (dir, log)
}

pub(crate) fn open(dir: &TempDir) -> (Arc<JournalFile>, bascule::store::OpenReport) {
    let owned = StateDir::own(&dir.path().join("state"), TakeOver::No).unwrap();
    let (log, report) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    (Arc::new(log), report)
}

pub(crate) fn run(text: &str) -> RunName {
    RunName::parse(text).unwrap()
}

/// The transition that follows version `expected`.
pub(crate) fn draft(name: &str, expected: u64) -> NewTransition {
    NewTransition {
        run: run(name),
        expected,
        epoch: 1,
        at_ms: 1_763_629_200_000 + expected as i64,
        is_final: false,
        payload: Payload::of(&[json!({"type": "StepSucceeded", "step": "final_data_sync", "version": expected + 1})])
            .unwrap(),
    }
}

pub(crate) fn done(appended: Appended) -> Head {
    match appended {
        Appended::Done(head) => head,
        Appended::Conflict(head) => panic!("conflict with {head:?}"),
        Appended::NotWritten(error) => panic!("not written: {error}"),
        Appended::InDoubt(error) => panic!("in doubt: {error}"),
    }
}

/// Appends until the run has `version` transitions.
pub(crate) async fn fill(log: &dyn RunLog, name: &str, version: u64) -> Head {
    let mut head = log.head(&run(name)).await.unwrap();
    while head.version < version {
        head = done(log.append(draft(name, head.version)).await);
    }
    head
}

#[tokio::test]
async fn appended_transitions_are_read_back_in_order_with_their_chain() {
    for Subject { name, log, .. } in subjects() {
        let head = fill(&*log, "app/1", 25).await;
        let read = log.read(&run("app/1"), 1, 100).await.unwrap();
        assert_eq!(read.iter().map(|t| t.version).collect::<Vec<_>>(), (1..=25).collect::<Vec<_>>(), "{name}");
        assert_eq!(read[0].prev, Hash::ZERO, "{name}");
        let whole: Vec<Transition> = (0..25).map(|v| draft("app/1", v).after(read[v as usize].prev)).collect();
        assert_eq!(read, whole, "{name}");
        assert_eq!(log.head(&run("app/1")).await.unwrap(), head, "{name}");
        assert_eq!(log.read(&run("app/1"), 24, 1).await.unwrap(), whole[23..24], "{name}");
        assert_eq!(log.read(&run("app/1"), 26, 10).await.unwrap(), [], "{name}");
        assert_eq!(log.read(&run("app/2"), 1, 10).await.unwrap(), [], "{name}");
    }
}

#[tokio::test]
async fn a_run_that_does_not_exist_has_version_zero() {
    for Subject { name, log, .. } in subjects() {
        assert_eq!(log.head(&run("app/1")).await.unwrap(), Head::none(run("app/1")), "{name}");
        let answer = log.append(draft("app/1", 3)).await;
        assert!(matches!(answer, Appended::Conflict(head) if head.version == 0), "{name}");
        assert!(log.runs().await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_stale_append_conflicts_and_names_the_actual_head() {
    for Subject { name, log, .. } in subjects() {
        let head = fill(&*log, "app/1", 3).await;
        for expected in [0, 2, 4] {
            let answer = log.append(draft("app/1", expected)).await;
            assert!(matches!(answer, Appended::Conflict(actual) if actual == head), "{name} {expected}");
        }
        assert_eq!(log.read(&run("app/1"), 1, 10).await.unwrap().len(), 3, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_appends_exactly_one_is_done_and_the_others_conflict() {
    for Subject { name, log, .. } in subjects() {
        for expected in 0..30 {
            let racing: Vec<_> = (0..4)
                .map(|_| {
                    let log = Arc::clone(&log);
                    tokio::spawn(async move { log.append(draft("app/1", expected)).await })
                })
                .collect();
            let mut won = 0;
            for answer in racing {
                match answer.await.unwrap() {
                    Appended::Done(head) => {
                        assert_eq!(head.version, expected + 1);
                        won += 1;
                    }
                    Appended::Conflict(head) => assert_eq!(head.version, expected + 1, "{name}"),
                    other @ (Appended::NotWritten(_) | Appended::InDoubt(_)) => panic!("{name}: {other:?}"),
                }
            }
            assert_eq!(won, 1, "{name}");
        }
    }
}

#[tokio::test]
async fn an_owner_with_a_lower_epoch_is_fenced_off() {
    for Subject { name, log, .. } in subjects() {
        fill(&*log, "app/1", 2).await;
        let lease = log.claim(&run("app/1")).await.unwrap();
        assert_eq!(lease.epoch, 2, "{name}");
        done(log.append(NewTransition { epoch: lease.epoch, ..draft("app/1", 2) }).await);
        let late = log.append(NewTransition { epoch: 1, ..draft("app/1", 3) }).await;
        assert!(matches!(late, Appended::Conflict(head) if head.epoch == 2 && head.version == 3), "{name}");
        log.renew(&lease).await.unwrap();
    }
}

#[tokio::test]
async fn a_claimed_run_is_refused_to_others_until_it_is_released() {
    for Subject { name, log, .. } in subjects() {
        let lease = log.claim(&run("app/1")).await.unwrap();
        assert!(matches!(log.claim(&run("app/1")).await, Err(StoreError::Claimed { .. })), "{name}");
        log.release(lease.clone()).await;
        assert!(matches!(log.renew(&lease).await, Err(StoreError::LeaseLost { .. })), "{name}");
        log.claim(&run("app/1")).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_whose_lease_lapsed_is_taken_over_and_its_first_owner_stops() {
    let first = MemoryLog::new();
    let second = first.opener();
    let lease = first.claim(&run("app/1")).await.unwrap();
    done(first.append(draft("app/1", 0)).await);
    assert!(matches!(second.claim(&run("app/1")).await, Err(StoreError::Claimed { .. })));
    first.lapse(&run("app/1"));
    let taken = second.claim(&run("app/1")).await.unwrap();
    done(second.append(NewTransition { epoch: taken.epoch, ..draft("app/1", 1) }).await);
    assert!(matches!(first.append(draft("app/1", 2)).await, Appended::Conflict(head) if head.epoch == taken.epoch));
    assert!(matches!(first.renew(&lease).await, Err(StoreError::LeaseLost { .. })));
}

#[tokio::test]
async fn a_spurious_refusal_shows_in_the_head_and_the_append_may_be_tried_again() {
    let log = MemoryLog::new();
    let head = fill(&log, "app/1", 1).await;
    log.fail_next(Fault::SpuriousConflict);
    assert!(matches!(log.append(draft("app/1", 1)).await, Appended::Conflict(actual) if actual == head));
    assert_eq!(log.head(&run("app/1")).await.unwrap(), head);
    done(log.append(draft("app/1", 1)).await);
    log.fail_next(Fault::NotWritten);
    assert!(matches!(log.append(draft("app/1", 2)).await, Appended::NotWritten(StoreError::Injected(_))));
    done(log.append(draft("app/1", 2)).await);
}

/// A log whose next append is answered in doubt once `fail` was called, and works again after `heal`.
struct Doubtful {
    name: &'static str,
    log: Arc<dyn RunLog>,
    fail: Box<dyn Fn()>,
    heal: Box<dyn Fn()>,
}

/// Every implementation, with an append to come that will be in the log afterwards or not.
fn doubtful(written: bool) -> Vec<Doubtful> {
    let memory = Arc::new(MemoryLog::new());
    let fault = if written { Fault::CloseWritten } else { Fault::CloseLost };
    let inject = Arc::clone(&memory);
    let root = std::path::Path::new("/state");
    let disk = SimDisk::with_dir(root);
    let options = JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() };
    let (journal, _) = JournalFile::open_unlocked(root, options).unwrap();
    let break_disk = {
        let disk = disk.clone();
        move || {
            disk.fail_by(move |call| {
                let flush = matches!(call, Call::Sync(_)) && written;
                let write = matches!(call, Call::Write(..)) && !written;
                let other = std::io::ErrorKind::Other;
                flush.then_some(Fail::With(other)).or(write.then_some(Fail::After(20, other)))
            });
        }
    };
    vec![
        Doubtful {
            name: "memory",
            log: memory,
            fail: Box::new(move || inject.fail_next(fault)),
            heal: Box::new(|| ()),
        },
        Doubtful {
            name: "journal",
            log: Arc::new(journal),
            fail: Box::new(break_disk),
            heal: Box::new(move || disk.heal()),
        },
    ]
}

#[tokio::test]
async fn an_append_in_doubt_is_settled_by_reading_the_head_after_reopening() {
    for written in [true, false] {
        for Doubtful { name, log, fail, heal } in doubtful(written) {
            let before = fill(&*log, "app/1", 2).await;
            fail();
            let new = draft("app/1", 2);
            assert!(matches!(log.append(new.clone()).await, Appended::InDoubt(_)), "{name} {written}");
            // Until it is reopened nothing can be known, and nothing goes on.
            assert!(matches!(settle(&*log, &new, &before).await, Err(StoreError::Closed { .. })), "{name}");
            assert!(matches!(log.append(draft("other/1", 0)).await, Appended::NotWritten(_)), "{name}");
            heal();
            log.reopen().await.unwrap();
            let settled = settle(&*log, &new, &before).await.unwrap();
            match settled {
                Settled::Mine(head) => {
                    assert!(written, "{name}");
                    assert_eq!(head.version, 3, "{name}");
                }
                Settled::Absent(head) => {
                    assert!(!written, "{name}");
                    assert_eq!(head.version, 2, "{name}");
                }
                Settled::Other(head) => panic!("{name}: {head:?}"),
            }
            fill(&*log, "app/1", 5).await;
            assert_eq!(log.read(&run("app/1"), 1, 10).await.unwrap().len(), 5, "{name}");
        }
    }
}

#[tokio::test]
async fn an_append_in_doubt_that_another_owner_overtook_is_recognised() {
    let log = MemoryLog::new();
    let before = fill(&log, "app/1", 1).await;
    log.fail_next(Fault::InDoubtLost);
    let mine = draft("app/1", 1);
    assert!(matches!(log.append(mine.clone()).await, Appended::InDoubt(_)));
    done(log.append(NewTransition { epoch: 2, ..draft("app/1", 1) }).await);
    assert!(matches!(settle(&log, &mine, &before).await.unwrap(), Settled::Other(_)));

    log.fail_next(Fault::InDoubtWritten);
    let before = log.head(&run("app/1")).await.unwrap();
    let mine = NewTransition { epoch: 2, ..draft("app/1", 2) };
    assert!(matches!(log.append(mine.clone()).await, Appended::InDoubt(_)));
    done(log.append(NewTransition { epoch: 3, ..draft("app/1", 3) }).await);
    let settled = settle(&log, &mine, &before).await.unwrap();
    assert!(matches!(settled, Settled::Mine(head) if head.version == 4), "it is there, and more came after it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_misses_nothing_across_runs_and_ends_with_the_log() {
    for Subject { name, log, .. } in subjects() {
        fill(&*log, "early/1", 3).await;
        let mut watch = Watch::new(Arc::clone(&log), Cursor::START);
        let writers: Vec<_> = (1..=8)
            .map(|number| {
                let log = Arc::clone(&log);
                tokio::spawn(async move { fill(&*log, &format!("app/{number}"), 40).await })
            })
            .collect();
        let mut seen = std::collections::BTreeMap::new();
        let mut last = Cursor::START;
        for _ in 0..(8 * 40 + 3) {
            let (cursor, transition) = watch.next().await.unwrap().expect("the log is open");
            assert!(cursor > last, "{name}");
            last = cursor;
            let version = seen.entry(transition.run).or_insert(0);
            *version += 1;
            assert_eq!(transition.version, *version, "{name}");
        }
        for writer in writers {
            writer.await.unwrap();
        }
        log.close().await.unwrap();
        assert!(watch.next().await.unwrap().is_none(), "{name}");
        assert_eq!(log.page(last, 10).await.unwrap(), [], "{name}");
    }
}

#[tokio::test]
async fn a_watch_goes_on_from_a_stored_cursor() {
    for Subject { name, log, .. } in subjects() {
        let third = fill(&*log, "app/1", 3).await.cursor;
        fill(&*log, "app/1", 5).await;
        let stored = Cursor::from_u64(third.to_u64());
        let mut watch = Watch::new(Arc::clone(&log), stored);
        let rest: Vec<u64> = watch.next_page().await.unwrap().iter().map(|(_, t)| t.version).collect();
        assert_eq!(rest, [4, 5], "{name}");
    }
}

#[tokio::test]
async fn after_closing_nothing_is_written_and_everything_can_be_read() {
    for Subject { name, log, .. } in subjects() {
        fill(&*log, "app/1", 2).await;
        log.close().await.unwrap();
        assert!(
            matches!(log.append(draft("app/1", 2)).await, Appended::NotWritten(StoreError::Closed { .. })),
            "{name}"
        );
        assert_eq!(log.read(&run("app/1"), 1, 10).await.unwrap().len(), 2, "{name}");
        log.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_runs_are_kept_and_listed() {
    for Subject { name, log, .. } in subjects() {
        let writers: Vec<_> = (0..10)
            .map(|group: u64| {
                let log = Arc::clone(&log);
                let append = move |number: u64| {
                    let log = Arc::clone(&log);
                    async move { fill(&*log, &format!("app{group}/{number}"), 2).await }
                };
                tokio::spawn(async move {
                    let all: Vec<_> = (1..=1000).map(|number| tokio::spawn(append(number))).collect();
                    for one in all {
                        one.await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        let runs = log.runs().await.unwrap();
        assert_eq!(runs.len(), 10_000, "{name}");
        assert!(runs.iter().all(|entry| entry.head.version == 2 && entry.stopped.is_none()), "{name}");
        assert!(runs.is_sorted_by(|a, b| a.head.run < b.head.run), "{name}");
        let some = &runs[4321].head;
        assert_eq!(log.read(&some.run, 1, 10).await.unwrap().len(), 2, "{name}");
        log.close().await.unwrap();
    }
}

#[test]
fn run_names_are_checked_at_the_edge() {
    for good in ["app/1", "customer-analytics-api/42", "café.v2/18446744073709551615"] {
        assert_eq!(run(good).as_str(), good);
    }
    assert_eq!((run("a-b/12").application(), run("a-b/12").number()), ("a-b", 12));
    for bad in ["app", "app/", "/1", "app/0", "app/01", "app/1a", "a/b/1", "../1", "a b/1", "a\"b/1", "a\n/1", "app/-1"]
    {
        assert!(RunName::parse(bad).is_err(), "{bad:?}");
    }
    assert!(RunName::new(&"x".repeat(121), 1).is_err());
}

#[test]
fn a_log_says_what_done_promises() {
    let (_dir, journal) = journal();
    assert_eq!(journal.durability(), Durability::Synced);
    assert_eq!(MemoryLog::new().durability(), Durability::Memory);
}

fn arbitrary_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(Into::into),
        Just(json!("\",\"known\":7,\"crc\":\"00000000\"}\n{\"run\":\"x/1\"")),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_events_come_back_byte_for_byte(
        events in proptest::collection::vec(arbitrary_json(), 0..4),
        at_ms in any::<i64>(),
        epoch in 1..u64::MAX,
        is_final in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (dir, log) = journal();
            let payload = Payload::of(&events).unwrap();
            let new = NewTransition { run: run("app/1"), expected: 0, epoch, at_ms, is_final, payload };
            done(log.append(new.clone()).await);
            let there = log.read(&new.run, 1, 9).await.unwrap();
            prop_assert_eq!(&there, &[new.after(Hash::ZERO)]);
            log.close().await.unwrap();
            drop(log);
            let (log, report) = open(&dir);
            prop_assert!(report.is_clean(), "{}", report);
            prop_assert_eq!(log.read(&new.run, 1, 9).await.unwrap(), there);
            Ok(())
        })?;
    }
}
