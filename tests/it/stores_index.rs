//! The index in sled: it follows the log, answers no earlier than asked, and is built anew rather than believed.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bascule::store::index::{Change, Index, IndexError, Lookup, Projection, Tree, set_aside};
use bascule::store::{Cursor, JournalFile, MemoryLog, RunLog, Transition};
use tempfile::TempDir;

use crate::stores::{done, draft, fill, open, run};

/// Counts the transitions of every run, keeps the last events, and lists who touched a step.
fn projection() -> Projection {
    Box::new(|transition: &Transition, lookup: &Lookup<'_>| {
        let key = transition.run.as_str().as_bytes().to_vec();
        let count = lookup.get(Tree::Durations, &key).map_or(0, |value| value[0]) + 1;
        let view = transition.payload.as_str().as_bytes().to_vec();
        vec![
            Change::Put { tree: Tree::Durations, key: key.clone(), value: vec![count] },
            Change::Put { tree: Tree::Views, key, value: view },
        ]
    })
}

async fn counted(index: &Index, at: Cursor, name: &str) -> Option<u8> {
    let key = name.as_bytes().to_vec();
    index.query(at, move |lookup| lookup.get(Tree::Durations, &key)).await.unwrap().map(|value| value[0])
}

fn start(state: &Path, layout: u32) -> Index {
    fs::create_dir_all(state).unwrap();
    Index::start(state, layout, projection()).unwrap()
}

fn follow(index: &Index, log: Arc<dyn RunLog>) -> tokio::task::JoinHandle<Result<(), IndexError>> {
    let index = index.clone();
    tokio::spawn(async move { index.follow(log).await })
}

fn state_of(dir: &TempDir) -> PathBuf {
    dir.path().join("state")
}

#[tokio::test]
async fn a_query_answers_at_or_after_what_its_caller_was_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(MemoryLog::new());
    let index = start(&state_of(&dir), 1);
    let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
    for version in 1..=40 {
        let head = fill(&*log, "app/1", version).await;
        assert_eq!(counted(&index, head.cursor, "app/1").await, Some(version as u8));
    }
    log.close().await.unwrap();
    following.await.unwrap().unwrap();
    index.close().await;
    assert!(matches!(index.wait_for(Cursor::from_u64(99)).await, Err(IndexError::Closed)));
}

#[tokio::test]
async fn it_catches_up_from_its_cursor_and_folds_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    for life in 1..=3u8 {
        let (log, _) = open(&dir);
        let index = start(&state_of(&dir), 1);
        // Half of the life's transitions stand in the log before the index sees them.
        fill(&*log, "app/1", u64::from(life) * 10 - 5).await;
        let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
        let head = fill(&*log, "app/1", u64::from(life) * 10).await;
        assert_eq!(counted(&index, head.cursor, "app/1").await, Some(life * 10));
        assert!(!index.news().borrow().rebuilt);
        // The second life ends without closing anything, and its last transitions will move to another segment.
        if life == 2 {
            following.abort();
        } else {
            log.close().await.unwrap();
            following.await.unwrap().unwrap();
        }
        index.close().await;
    }
}

#[tokio::test]
async fn large_values_are_kept_in_pieces_and_leave_none_behind() {
    let dir = tempfile::tempdir().unwrap();
    let state = state_of(&dir);
    fs::create_dir_all(&state).unwrap();
    // Every transition writes a value of another size at one key, a neighbour whose key continues it, and the last
    // one removes both.
    let sizes = [10, 4095, 4096, 4097, 100_000, 8192, 0, 20_000];
    let project: Projection = Box::new(move |transition, _| {
        let size = sizes.get(transition.version as usize - 1);
        let keys: [&[u8]; 2] = [b"k", b"k\0\0\0\0"];
        keys.into_iter()
            .map(|key| match size {
                Some(size) => Change::Put {
                    tree: Tree::Views,
                    key: key.to_vec(),
                    value: (0..*size).map(|n| (n % 251) as u8 ^ key.len() as u8).collect(),
                },
                None => Change::Delete { tree: Tree::Views, key: key.to_vec() },
            })
            .collect()
    });
    let index = Index::start(&state, 1, project).unwrap();
    let log = Arc::new(MemoryLog::new());
    let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
    for (number, size) in sizes.iter().enumerate() {
        let head = fill(&*log, "app/1", number as u64 + 1).await;
        let rows = index.query(head.cursor, |lookup| lookup.scan(Tree::Views, b"k", 10)).await.unwrap();
        assert_eq!(rows.len(), 2);
        for (key, value) in rows {
            assert_eq!(value.len(), *size, "{key:?}");
            assert!(value.iter().enumerate().all(|(n, byte)| *byte == (n % 251) as u8 ^ key.len() as u8), "{key:?}");
        }
    }
    let head = fill(&*log, "app/1", sizes.len() as u64 + 1).await;
    assert!(index.query(head.cursor, |lookup| lookup.scan(Tree::Views, b"", 10)).await.unwrap().is_empty());
    log.close().await.unwrap();
    following.await.unwrap().unwrap();
    index.close().await;
    // What is left are the run's head, the cursor and the layout: no piece of a removed value.
    let db = sled::open(state.join("index")).unwrap();
    assert_eq!(db.iter().count(), 3);
}

#[tokio::test]
async fn a_projection_sees_every_earlier_transition_of_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryLog::new();
    for name in ["app/1", "app/2"] {
        fill(&log, name, 50).await;
    }
    let index = start(&state_of(&dir), 1);
    let page = log.page(Cursor::START, 1000).await.unwrap();
    let at = index.fold(page).await.unwrap();
    assert_eq!(counted(&index, at, "app/1").await, Some(50));
    assert_eq!(counted(&index, at, "app/2").await, Some(50));
    let heads = index.heads().await.unwrap();
    assert_eq!(heads, [log.head(&run("app/1")).await.unwrap(), log.head(&run("app/2")).await.unwrap()]);
    index.close().await;
}

/// A journal with a closed index that has everything.
async fn indexed(dir: &TempDir) -> Arc<JournalFile> {
    let (log, _) = open(dir);
    let index = start(&state_of(dir), 1);
    let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
    let mut head = fill(&*log, "app/1", 20).await;
    for number in 2..30 {
        head = fill(&*log, &format!("app/{number}"), 2).await;
    }
    index.wait_for(head.cursor).await.unwrap();
    following.abort();
    index.close().await;
    log
}

#[tokio::test]
async fn a_damaged_index_is_set_aside_and_built_anew_from_the_log() {
    type Damage = fn(&Path);
    let settings: Damage = |index| fs::write(index.join("conf"), "no settings of sled").unwrap();
    let not_a_directory: Damage = |index| {
        fs::remove_dir_all(index).unwrap();
        fs::write(index, "not an index").unwrap();
    };
    for (what, damage) in [("settings", settings), ("file", not_a_directory)] {
        let dir = tempfile::tempdir().unwrap();
        let log = indexed(&dir).await;
        damage(&state_of(&dir).join("index"));
        let index = start(&state_of(&dir), 1);
        let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
        let head = log.head(&run("app/29")).await.unwrap();
        assert_eq!(counted(&index, head.cursor, "app/1").await, Some(20), "{what}");
        let news = index.news().borrow().clone();
        let (aside, why) = news.set_aside.unwrap_or_else(|| panic!("{what}: it was believed"));
        assert!(aside.ends_with("index.broken-1") && aside.exists(), "{what}: {aside:?}");
        assert!(!why.is_empty() && news.rebuilt, "{what}");
        following.abort();
        index.close().await;
    }
}

#[tokio::test]
async fn a_changed_byte_in_the_index_is_never_believed() {
    let dir = tempfile::tempdir().unwrap();
    let log = indexed(&dir).await;
    let sound: Vec<(String, Vec<u8>)> = fs::read_dir(state_of(&dir).join("index"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    let last = log.head(&run("app/29")).await.unwrap();
    for place in 0..24 {
        let state = dir.path().join(format!("state-{place}"));
        fs::create_dir_all(state.join("index")).unwrap();
        for (name, content) in &sound {
            let mut content = content.clone();
            let at = place * content.len() / 24;
            if name == "db" {
                content[at] ^= 0x10;
            }
            fs::write(state.join("index").join(name), content).unwrap();
        }
        let index = Index::start(&state, 1, projection()).unwrap();
        let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
        assert_eq!(counted(&index, last.cursor, "app/1").await, Some(20), "place {place}");
        for number in 2..30 {
            assert_eq!(counted(&index, last.cursor, &format!("app/{number}")).await, Some(2), "place {place}");
        }
        following.abort();
        index.close().await;
    }
}

/// sled, once its lock is free: a child that another test is about to start holds it until it executes its program.
fn opened(path: &std::path::Path) -> sled::Db {
    let since = std::time::Instant::now();
    loop {
        match sled::open(path) {
            Ok(db) => return db,
            Err(error) if since.elapsed() > std::time::Duration::from_secs(20) => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[tokio::test]
async fn an_index_with_a_hole_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let log = indexed(&dir).await;
    let db = opened(&state_of(&dir).join("index"));
    assert!(db.remove(b"\x01app/1").unwrap().is_some(), "the head of a run");
    db.flush().unwrap();
    drop(db);
    let index = start(&state_of(&dir), 1);
    let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
    let mut news = index.news();
    let limit = std::time::Duration::from_secs(20);
    let rebuilt = tokio::time::timeout(limit, news.wait_for(|news| news.rebuilt)).await;
    let news = rebuilt.expect("it is built anew").unwrap().clone();
    assert!(news.set_aside.unwrap().1.contains("app/1"));
    let head = log.head(&run("app/29")).await.unwrap();
    assert_eq!(counted(&index, head.cursor, "app/1").await, Some(20));
    following.abort();
    index.close().await;
}

#[tokio::test]
async fn an_index_of_another_layout_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = indexed(&dir).await;
    let index = start(&state_of(&dir), 2);
    assert_eq!(index.cursor().await.unwrap(), Cursor::START);
    let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
    let head = log.head(&run("app/29")).await.unwrap();
    assert_eq!(counted(&index, head.cursor, "app/1").await, Some(20));
    assert!(index.news().borrow().rebuilt);
    following.abort();
    index.close().await;
}

#[tokio::test]
async fn an_index_that_does_not_fit_the_log_is_evidence_and_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let state = state_of(&dir);
    let index = start(&state, 1);
    let first = MemoryLog::new();
    fill(&first, "app/1", 5).await;
    index.fold(first.page(Cursor::START, 99).await.unwrap()).await.unwrap();

    // Another history of the same run: its second transition is not the one that was folded in.
    let other = MemoryLog::new();
    fill(&other, "app/1", 1).await;
    let different = bascule::store::NewTransition { at_ms: 7, ..draft("app/1", 1) };
    done(other.append(different).await);
    fill(&other, "app/1", 6).await;
    let page = other.page(Cursor::START, 99).await.unwrap();
    let at = index.fold(page[5..].to_vec()).await.unwrap();
    assert_eq!(at, Cursor::START, "it has to be fed from the beginning");
    assert!(index.news().borrow().rebuilt);
    let at = index.fold(page).await.unwrap();
    assert_eq!(counted(&index, at, "app/1").await, Some(6));
    index.close().await;
}

#[tokio::test]
async fn heads_in_the_index_show_that_the_log_lost_something() {
    let dir = tempfile::tempdir().unwrap();
    let log = indexed(&dir).await;
    log.close().await.unwrap();
    drop(log);
    // The last line is gone, and the closing line with it: the journal alone cannot know.
    let path = state_of(&dir).join("journal/000001.ndjson");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    fs::write(&path, lines[..lines.len() - 2].join("\n") + "\n").unwrap();
    let (log, report) = open(&dir);
    assert!(report.stopped.is_empty(), "{report}");
    let index = start(&state_of(&dir), 1);
    let stopped = log.compare(&index.heads().await.unwrap());
    assert_eq!(stopped.iter().map(|stopped| stopped.run.to_string()).collect::<Vec<_>>(), ["app/29"]);
    assert!(log.head(&run("app/29")).await.is_err());
    index.close().await;
}

#[tokio::test]
async fn a_projection_that_panics_makes_the_index_unavailable_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let state = state_of(&dir);
    fs::create_dir_all(&state).unwrap();
    let project: Projection = Box::new(|transition, _| {
        assert!(transition.version < 3, "a defect in a projection");
        Vec::new()
    });
    let index = Index::start(&state, 1, project).unwrap();
    let log = Arc::new(MemoryLog::new());
    let following = follow(&index, Arc::clone(&log) as Arc<dyn RunLog>);
    let head = fill(&*log, "app/1", 5).await;
    let gone = following.await.unwrap().unwrap_err();
    assert!(matches!(&gone, IndexError::Unavailable { cause, .. } if cause.contains("a defect")), "{gone}");
    assert!(matches!(index.wait_for(head.cursor).await, Err(IndexError::Unavailable { .. })), "it does not hang");
    fill(&*log, "app/1", 6).await;
    index.close().await;
}

#[test]
fn of_the_indexes_that_were_set_aside_the_last_two_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(set_aside(dir.path()).unwrap(), None);
    for number in 1..=4 {
        fs::create_dir(dir.path().join("index")).unwrap();
        assert_eq!(set_aside(dir.path()).unwrap(), Some(dir.path().join(format!("index.broken-{number}"))));
    }
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["index.broken-3", "index.broken-4"]);
}
