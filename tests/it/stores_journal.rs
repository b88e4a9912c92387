//! The journal as files: its lines, its segments, what a batch costs, and who may open it.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use bascule::store::disk::RealDisk;
use bascule::store::{
    Appended, Cursor, Hash, JournalFile, JournalOptions, NewTransition, Owner, Payload, RunLog, Sizes, Snapshot,
    StateDir, StoreError, TakeOver, owner_of,
};
use serde_json::{Value, json};

use crate::stores::{done, draft, fill, journal, open, run};
use crate::stores_disk::{Op, SimDisk};

const ROOT: &str = "/state";

fn lines_of(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn segment(dir: &Path, number: u32) -> std::path::PathBuf {
    dir.join(format!("state/journal/{number:06}.ndjson"))
}

#[tokio::test]
async fn every_line_is_json_and_blank_lines_fill_the_rest_while_the_journal_is_open() {
    let (dir, log) = journal();
    fill(&*log, "app/1", 3).await;
    let bytes = fs::read(segment(dir.path(), 1)).unwrap();
    assert_eq!(bytes.len(), 256 << 10, "the first segment begins small and full of newlines");
    let lines = lines_of(&bytes);
    assert_eq!(
        lines[0],
        json!({"segment": 1, "format": 1, "after": null, "known": lines[0]["known"], "crc": lines[0]["crc"]})
    );
    let versions: Vec<_> = lines[1..].iter().map(|line| line["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 3]);
    let known: Vec<_> = lines.iter().map(|line| line["known"].as_u64().unwrap()).collect();
    assert!(known.is_sorted() && known[3] > known[2], "every batch knows what was durable before it: {known:?}");
    log.close().await.unwrap();
    let bytes = fs::read(segment(dir.path(), 1)).unwrap();
    assert!(bytes.ends_with(b"}\n") && !bytes.ends_with(b"\n\n"), "a closed journal is trimmed");
    assert_eq!(lines_of(&bytes).last().unwrap()["closed"], json!(true));
}

#[tokio::test]
async fn the_record_format_is_the_one_that_is_documented() {
    // These bytes are a promise: a journal that was written by any release of format 1 reads like this.
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let options = JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
    let first =
        NewTransition { payload: Payload::from_json(r#"[{"type":"RunCreated"}]"#).unwrap(), ..draft("app/1", 0) };
    let last =
        NewTransition { is_final: true, epoch: 2, payload: Payload::from_json("[]").unwrap(), ..draft("app/1", 1) };
    done(log.append(first).await);
    done(log.append(last).await);
    log.close().await.unwrap();
    let text = String::from_utf8(disk.content(&Path::new(ROOT).join("journal/000001.ndjson")).unwrap()).unwrap();
    insta::assert_snapshot!(text, @r#"
    {"segment":1,"format":1,"after":null,"known":262,"crc":"6a92e29e"}
    {"run":"app/1","version":1,"epoch":1,"atMs":1763629200000,"prev":"0000000000000000000000000000000000000000000000000000000000000000","events":[{"type":"RunCreated"}],"known":262,"crc":"4effd3e8"}
    {"run":"app/1","version":2,"epoch":2,"atMs":1763629200001,"final":true,"prev":"a1ecc21befd8fe05c5d6df4be7a050877028effe105798934df0d7eb179ccd9e","events":[],"known":262,"crc":"875c283f"}
    {"closed":true,"known":449,"crc":"0137c4a6"}
    "#);
}

#[tokio::test]
async fn the_hash_of_a_line_without_its_tail_is_the_next_lines_prev() {
    let (dir, log) = journal();
    fill(&*log, "app/1", 3).await;
    let text = fs::read_to_string(segment(dir.path(), 1)).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"run\"")).collect();
    for pair in lines.windows(2) {
        let core = format!("{}}}", pair[0].split_once(",\"known\":").unwrap().0);
        let next: Value = serde_json::from_str(pair[1]).unwrap();
        assert_eq!(next["prev"].as_str().unwrap(), Hash::of(core.as_bytes()).to_string());
    }
}

#[tokio::test]
async fn a_chain_of_steps_costs_one_flush_each_and_a_handful_more() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let options = JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
    fill(&log, "app/1", 1000).await;
    log.close().await.unwrap();
    let flushes = disk.count(|op| matches!(op, Op::Sync(_) | Op::SyncDir(_)));
    assert!((1000..=1010).contains(&flushes), "{flushes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_append_at_once_share_flushes() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let options = JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
    let log = Arc::new(log);
    // One append holds the first flush up until all others wait.
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let (reached, flushing) = tokio::sync::oneshot::channel::<()>();
    let mut once = Some((wait, reached));
    disk.fail_by(move |_| {
        if let Some((wait, reached)) = once.take() {
            reached.send(()).ok();
            wait.recv().ok();
        }
        None
    });
    let first = tokio::spawn({
        let log = Arc::clone(&log);
        async move { done(log.append(draft("first/1", 0)).await) }
    });
    flushing.await.unwrap();
    let others: Vec<_> = (1..=200)
        .map(|number| {
            let log = Arc::clone(&log);
            let (sent, queued) = tokio::sync::oneshot::channel();
            let task = tokio::spawn(async move {
                let mut append = log.append(draft(&format!("app/{number}"), 0));
                // Polled once, it is queued behind the flush that is held up.
                let polled = futures_util::poll!(append.as_mut());
                sent.send(()).ok();
                match polled {
                    std::task::Poll::Ready(answer) => done(answer),
                    std::task::Poll::Pending => done(append.await),
                }
            });
            (task, queued)
        })
        .collect();
    let mut tasks = Vec::new();
    for (task, queued) in others {
        queued.await.unwrap();
        tasks.push(task);
    }
    let_go.send(()).unwrap();
    first.await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    let flushes = disk.count(|op| matches!(op, Op::Sync(_)));
    assert!(flushes <= 3, "201 transitions took {flushes} flushes");
}

#[tokio::test]
async fn an_append_whose_caller_went_away_is_in_the_log_all_the_same() {
    let (_dir, log) = journal();
    {
        let mut append = log.append(draft("app/1", 0));
        assert!(futures_util::poll!(append.as_mut()).is_pending());
    }
    // The next append of the run waits for its turn, and sees the first one.
    let answer = log.append(draft("app/1", 0)).await;
    assert!(matches!(answer, Appended::Conflict(head) if head.version == 1));
}

#[tokio::test]
async fn a_journal_that_was_closed_goes_on_in_the_same_segment() {
    let dir = tempfile::tempdir().unwrap();
    for life in 1..=4 {
        let (log, report) = open(&dir);
        assert!(report.is_clean(), "{report}");
        fill(&*log, "app/1", life * 2).await;
        log.close().await.unwrap();
    }
    let names = fs::read_dir(dir.path().join("state/journal")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().ends_with(".ndjson")).count(), 1);
    assert_eq!(open(&dir).0.read(&run("app/1"), 1, 99).await.unwrap().len(), 8);
}

#[tokio::test]
async fn segments_change_at_their_size_and_closed_ones_are_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let owned = StateDir::own(&dir.path().join("state"), TakeOver::No).unwrap();
    let sizes = Sizes { first: 4 << 10, step: 4 << 10, max: 16 << 10, ahead: 1 << 10 };
    let options = JournalOptions { disk: Arc::new(RealDisk), sizes, ..JournalOptions::default() };
    let (log, _) = JournalFile::open(owned, options.clone()).unwrap();
    fill(&log, "app/1", 300).await;
    let records: usize = (0..300).map(|v| draft("app/1", v).payload.as_str().len()).sum();
    log.close().await.unwrap();
    drop(log);
    let snapshot = Snapshot::read(&dir.path().join("state")).unwrap();
    assert!(snapshot.segments().len() >= 4, "{:?}", snapshot.segments());
    for file in snapshot.segments() {
        assert!(file.size <= 16 << 10 && file.size - file.used < 100, "{file:?}");
    }
    let size: u64 = snapshot.segments().iter().map(|file| file.size).sum();
    assert!(size < 5 * records as u64, "{size} bytes for {records} of events");
    let owned = StateDir::own(&dir.path().join("state"), TakeOver::No).unwrap();
    let (log, report) = JournalFile::open(owned, options).unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(log.read(&run("app/1"), 1, 1000).await.unwrap().len(), 300);
}

#[tokio::test]
async fn beyond_the_first_quarter_megabyte_the_disk_holds_at_most_three_times_the_records() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let options = JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
    for round in 1..=8 {
        for number in 1..=60 {
            fill(&log, &format!("app/{number}"), round * 5).await;
        }
        let bytes = disk.content(&Path::new(ROOT).join("journal/000001.ndjson")).unwrap();
        let records = bytes.split(|b| *b == b'\n').map(<[u8]>::len).sum::<usize>();
        assert!(
            bytes.len() <= (3 * records).max(256 << 10),
            "{} bytes hold {records} after round {round}",
            bytes.len()
        );
    }
}

#[tokio::test]
async fn a_transition_larger_than_a_segment_is_kept() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let sizes = Sizes { first: 4 << 10, step: 4 << 10, max: 64 << 10, ahead: 1 << 10 };
    let options = JournalOptions { disk: Arc::new(disk.clone()), sizes, ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options.clone()).unwrap();
    fill(&log, "app/1", 1).await;
    let payload = Payload::of(&[json!({ "output": "x".repeat(500 << 10) })]).unwrap();
    done(log.append(NewTransition { payload: payload.clone(), ..draft("app/1", 1) }).await);
    fill(&log, "app/1", 3).await;
    assert_eq!(log.page(Cursor::START, 9).await.unwrap().len(), 3);
    log.close().await.unwrap();
    let (log, report) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
    assert!(report.is_clean(), "{report}");
    let read = log.read(&run("app/1"), 1, 10).await.unwrap();
    assert_eq!((read.len(), &read[1].payload), (3, &payload));
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_refused_and_left_alone() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let options = JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options.clone()).unwrap();
    fill(&log, "app/1", 1).await;
    log.close().await.unwrap();
    let path = Path::new(ROOT).join("journal/000001.ndjson");
    let text = String::from_utf8(disk.content(&path).unwrap()).unwrap();
    let (header, rest) = text.split_once('\n').unwrap();
    let body = header.split_once(",\"crc\"").unwrap().0.replace("\"format\":1", "\"format\":2");
    let newer = format!("{body},\"crc\":\"{:08x}\"}}\n{rest}", crc32fast::hash(body.as_bytes()));
    disk.overwrite(&path, newer.clone().into_bytes());
    let refused = JournalFile::open_unlocked(Path::new(ROOT), options).err().unwrap();
    assert!(matches!(refused, StoreError::Format { found: 2, known: 1, .. }), "{refused}");
    assert_eq!(disk.content(&path).unwrap(), newer.into_bytes());
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    assert_eq!(owner_of(&state).unwrap(), None);
    let first = StateDir::own(&state, TakeOver::No).unwrap();
    let refused = StateDir::own(&state, TakeOver::Yes).unwrap_err();
    assert!(matches!(&refused, StoreError::Held { owner, .. } if owner.pid == std::process::id()), "{refused}");
    assert_eq!(owner_of(&state).unwrap().map(|owner| owner.pid), Some(std::process::id()));
    drop(first);
    assert_eq!(owner_of(&state).unwrap(), None);
    StateDir::own(&state, TakeOver::No).unwrap();
}

#[test]
fn the_lock_ends_with_its_process_however_that_ends() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    drop(StateDir::own(&state, TakeOver::No).unwrap());
    // flock(1) takes the same lock in a process of its own, which is then killed.
    let mut holder = Command::new("flock")
        .args([state.join("lock").to_str().unwrap(), "sh", "-c", "echo held; exec sleep 600"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line, "held\n");
    assert!(matches!(StateDir::own(&state, TakeOver::No), Err(StoreError::Held { .. })));
    let child = fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
    for pid in child.split_whitespace() {
        assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
    }
    holder.kill().ok();
    holder.wait().unwrap();
    // The kernel closes a killed process's files before its parent can see it gone; the inner one may take longer.
    let freed = (0..10_000).any(|_| StateDir::own(&state, TakeOver::No).is_ok());
    assert!(freed);
}

#[test]
fn a_directory_that_was_last_used_on_another_machine_needs_take_over() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    drop(StateDir::own(&state, TakeOver::No).unwrap());
    let other = Owner { host: "old-host".into(), machine_id: "feed".into(), boot_id: "1".into(), pid: 77, uid: 1000 };
    let me = Owner::current();
    if me.machine_id.is_empty() {
        // Without a machine id of our own the host and the boot tell machines apart.
        assert!(!me.same_machine(&other));
    }
    fs::write(state.join("owner.json"), serde_json::to_vec(&other).unwrap()).unwrap();
    let refused = StateDir::own(&state, TakeOver::No).unwrap_err();
    assert!(matches!(&refused, StoreError::OtherMachine { owner, .. } if **owner == other), "{refused}");
    assert!(refused.to_string().contains("--take-over"), "{refused}");
    drop(StateDir::own(&state, TakeOver::Yes).unwrap());
    StateDir::own(&state, TakeOver::No).unwrap();
}

#[test]
fn a_state_directory_is_for_its_user_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let owned = StateDir::own(&dir.path().join("deep/state"), TakeOver::No).unwrap();
    assert_eq!(fs::metadata(owned.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_snapshot_can_be_read_beside_a_running_owner() {
    let (dir, log) = journal();
    fill(&*log, "app/1", 3).await;
    let snapshot = Snapshot::read(&dir.path().join("state")).unwrap();
    assert_eq!(snapshot.owner().map(|owner| owner.pid), Some(std::process::id()));
    assert!(snapshot.report().is_clean(), "{}", snapshot.report());
    assert_eq!(snapshot.transitions(&run("app/1"), 2, 9).unwrap().len(), 2);
    fill(&*log, "app/1", 4).await;
}
