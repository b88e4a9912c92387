//! A disk that fails and a disk that fills up under the journal.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bascule::store::{
    Appended, Blobs, Cursor, JournalFile, JournalOptions, OpenReport, RunLog, Settled, Sizes, StateDir, StoreError,
    TakeOver, Watch, settle,
};

use crate::stores::{done, draft, fill, run};
use crate::stores_disk::{Call, Fail, Op, SimDisk, fastrand_like};

const ROOT: &str = "/state";

fn options(disk: &SimDisk) -> JournalOptions {
    JournalOptions { disk: Arc::new(disk.clone()), ..JournalOptions::default() }
}

fn open(disk: &SimDisk) -> (JournalFile, OpenReport) {
    JournalFile::open_unlocked(Path::new(ROOT), options(disk)).unwrap()
}

/// Fails the next call that `wanted` picks, once.
fn fail_once(disk: &SimDisk, fail: Fail, wanted: impl Fn(&Call) -> bool + Send + 'static) {
    let mut armed = true;
    disk.fail_by(move |call| {
        (std::mem::take(&mut armed) && wanted(call)).then_some(fail).or_else(|| {
            armed = armed || !wanted(call);
            None
        })
    });
}

fn synced(call: &Call) -> bool {
    matches!(call, Call::Sync(_))
}

#[tokio::test]
async fn after_a_failed_flush_the_segment_is_never_written_or_flushed_again() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    let before = fill(&log, "app/1", 3).await;
    fail_once(&disk, Fail::With(ErrorKind::Other), synced);
    let new = draft("app/1", 3);
    let answer = log.append(new.clone()).await;
    assert!(matches!(&answer, Appended::InDoubt(StoreError::FlushFailed { .. })), "{answer:?}");
    disk.heal();
    let failed_at = disk.ops().len();
    for _ in 0..3 {
        assert!(matches!(log.append(draft("app/2", 0)).await, Appended::NotWritten(StoreError::Closed { .. })));
    }
    assert_eq!(disk.ops().len(), failed_at, "a closed journal touches nothing");
    let report = log.reopen().await.unwrap();
    assert_eq!(report.moved, 1, "{report}");
    fill(&log, "app/1", 6).await;
    let segment =
        |op: &Op| if let Op::Create(path, id) = op { path.ends_with("next.tmp").then_some(*id) } else { None };
    let first = disk.ops().iter().find_map(segment).unwrap();
    let touched =
        disk.ops()[failed_at..].iter().any(|op| matches!(op, Op::Write(id, ..) | Op::Sync(id) if *id == first));
    assert!(!touched, "the failed segment was written again");
    assert!(matches!(settle(&log, &new, &before).await.unwrap(), Settled::Mine(_)));
}

// This thread waits for the flush, so others must be able to get there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_behind_a_failed_flush_are_not_written_and_those_in_it_are_in_doubt() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    let log = Arc::new(log);
    fill(&*log, "app/1", 1).await;
    // The flush is held up until a second append waits behind it, and then fails.
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let (reached, flushing) = std::sync::mpsc::channel::<()>();
    disk.fail_by(move |call| {
        synced(call).then(|| {
            reached.send(()).ok();
            wait.recv().ok();
            Fail::With(ErrorKind::Other)
        })
    });
    let first = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.append(draft("app/1", 1)).await }
    });
    tokio::task::yield_now().await;
    flushing.recv().unwrap();
    let mut second = log.append(draft("app/2", 0));
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    let_go.send(()).unwrap();
    assert!(matches!(first.await.unwrap(), Appended::InDoubt(_)));
    assert!(matches!(second.await, Appended::NotWritten(StoreError::Closed { .. })));
    disk.heal();
    log.reopen().await.unwrap();
    assert_eq!(log.head(&run("app/2")).await.unwrap().version, 0);
    fill(&*log, "app/2", 2).await;
}

#[tokio::test]
async fn a_failing_write_leaves_the_journal_readable_and_reopening_tells_what_is_there() {
    for taken in [0, 1, 150] {
        let disk = SimDisk::with_dir(Path::new(ROOT));
        let (log, _) = open(&disk);
        let before = fill(&log, "app/1", 2).await;
        fail_once(&disk, Fail::After(taken, ErrorKind::Other), |call| matches!(call, Call::Write(..)));
        let new = draft("app/1", 2);
        assert!(matches!(log.append(new.clone()).await, Appended::InDoubt(_)), "{taken}");
        assert_eq!(log.read(&run("app/1"), 1, 9).await.unwrap().len(), 2, "{taken}");
        disk.heal();
        let report = log.reopen().await.unwrap();
        assert!(report.stopped.is_empty() && report.corruption.is_empty(), "{taken}: {report}");
        let settled = settle(&log, &new, &before).await.unwrap();
        assert!(matches!(settled, Settled::Absent(_)), "{taken}: {settled:?}");
        fill(&log, "app/1", 5).await;
        assert_eq!(log.page(Cursor::START, 99).await.unwrap().len(), 5, "{taken}");
    }
}

#[tokio::test]
async fn reopening_knows_what_this_process_had_flushed() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 3).await;
    fail_once(&disk, Fail::With(ErrorKind::Other), |call| matches!(call, Call::Write(..)));
    assert!(matches!(log.append(draft("app/1", 3)).await, Appended::InDoubt(_)));
    disk.heal();
    // The third transition was acknowledged, and no line on the disk knows of it: only this process does.
    let path = Path::new(ROOT).join("journal/000001.ndjson");
    let mut bytes = disk.content(&path).unwrap();
    let at = bytes.iter().rposition(|b| *b == b'}').unwrap() - 60;
    bytes[at] ^= 1;
    disk.overwrite(&path, bytes);
    let report = log.reopen().await.unwrap();
    assert!(report.cut.is_none() && report.corruption.len() == 1, "{report}");
    assert!(matches!(log.head(&run("app/1")).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_reopen_that_fails_leaves_the_journal_closed_and_can_be_tried_again() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    let log = Arc::new(log);
    fill(&*log, "app/1", 2).await;
    let mut watch = Watch::new(Arc::clone(&log) as Arc<dyn RunLog>, Cursor::START);
    assert_eq!(watch.next_page().await.unwrap().len(), 2);
    disk.fail_by(|call| matches!(call, Call::Sync(_) | Call::SyncDir(_)).then_some(Fail::With(ErrorKind::Other)));
    assert!(matches!(log.append(draft("app/1", 2)).await, Appended::InDoubt(_)));
    assert!(log.reopen().await.is_err());
    assert!(matches!(log.append(draft("app/1", 2)).await, Appended::NotWritten(StoreError::Closed { .. })));
    disk.heal();
    log.reopen().await.unwrap();
    fill(&*log, "app/1", 4).await;
    let mut rest = Vec::new();
    for _ in 0..2 {
        rest.extend(watch.next().await.unwrap().map(|(_, transition)| transition.version));
    }
    assert_eq!(rest, [3, 4], "a follower goes on over the reopening");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn writers_that_race_while_flushes_fail_and_the_journal_reopens_keep_every_chain_whole() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let sizes = Sizes { first: 4 << 10, step: 4 << 10, max: 32 << 10, ahead: 1 << 10 };
    let options = JournalOptions { disk: Arc::new(disk.clone()), sizes, ..JournalOptions::default() };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options.clone()).unwrap();
    let log = Arc::new(log);
    let mut random = fastrand_like(11);
    disk.fail_by(move |call| {
        let fails = matches!(call, Call::Sync(_) | Call::Write(..)) && random().is_multiple_of(40);
        fails.then_some(Fail::With(ErrorKind::Other))
    });
    // Two writers a run, so that they also race for the same version.
    let writers: Vec<_> = (0..12)
        .map(|writer: u64| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let name = format!("app/{}", writer / 2 + 1);
                let mut acked = 0;
                for _ in 0..60 {
                    let Ok(head) = log.head(&run(&name)).await else {
                        log.reopen().await.ok();
                        continue;
                    };
                    assert!(head.version >= acked, "{name} lost version {acked}");
                    if let Appended::Done(head) = log.append(draft(&name, head.version)).await {
                        acked = head.version;
                    }
                }
                (name, acked)
            })
        })
        .collect();
    let mut acked = Vec::new();
    for writer in writers {
        acked.push(writer.await.unwrap());
    }
    disk.heal();
    if log.head(&run("app/1")).await.is_err() {
        log.reopen().await.unwrap();
    }
    log.close().await.unwrap();
    let (log, report) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
    assert!(report.is_clean(), "{report}");
    for (name, version) in acked {
        assert!(version > 0 && log.head(&run(&name)).await.unwrap().version >= version, "{name} at {version}");
    }
}

#[tokio::test]
async fn beginning_a_segment_can_fail_at_every_point_without_losing_anything() {
    // The calls of the append that changes segments, one after the other.
    for point in 0..8 {
        let disk = SimDisk::with_dir(Path::new(ROOT));
        let small = Sizes { first: 1 << 10, step: 1 << 10, max: 2 << 10, ahead: 0 };
        let options = JournalOptions { disk: Arc::new(disk.clone()), sizes: small, ..JournalOptions::default() };
        let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options.clone()).unwrap();
        let mut calls = 0;
        let mut armed = false;
        disk.fail_by(move |call| {
            armed = armed || matches!(call, Call::Create(path) if path.ends_with("next.tmp") && calls > 0);
            calls += usize::from(armed || calls == 0);
            (armed && calls == point + 2).then_some(Fail::With(ErrorKind::Other))
        });
        let mut version = 0;
        let mut failed = None;
        while version < 30 && failed.is_none() {
            match log.append(draft("app/1", version)).await {
                Appended::Done(head) => version = head.version,
                Appended::Conflict(head) => panic!("{head:?}"),
                answer @ (Appended::NotWritten(_) | Appended::InDoubt(_)) => failed = Some(answer),
            }
        }
        disk.heal();
        if let Some(answer) = failed {
            log.reopen().await.unwrap();
            let found = log.head(&run("app/1")).await.unwrap().version;
            match answer {
                Appended::NotWritten(_) => assert_eq!(found, version, "{point}"),
                Appended::InDoubt(_) => assert!(found == version || found == version + 1, "{point}"),
                Appended::Done(_) | Appended::Conflict(_) => unreachable!(),
            }
        }
        let head = fill(&log, "app/1", 40).await;
        log.close().await.unwrap();
        let (log, report) = JournalFile::open_unlocked(Path::new(ROOT), options).unwrap();
        assert!(report.is_clean(), "{point}: {report}");
        assert_eq!(log.head(&run("app/1")).await.unwrap().hash, head.hash, "{point}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_without_doubt_and_goes_on_when_there_is_room() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 2).await;
    disk.fail_by(|call| {
        matches!(call, Call::Reserve(_) | Call::Create(_)).then_some(Fail::With(ErrorKind::StorageFull))
    });
    assert_eq!(log.room_left(), None);
    // What was filled ahead can still be used, and shrinks before everybody's eyes; then it is refused, every time, and nothing is in doubt.
    let mut version = 2;
    let refused = loop {
        match log.append(draft("app/1", version)).await {
            Appended::Done(head) => version = head.version,
            Appended::NotWritten(error) => break error,
            other @ (Appended::Conflict(_) | Appended::InDoubt(_)) => panic!("{other:?}"),
        }
    };
    assert!(version > 100, "{version} fitted into what was kept ahead");
    assert!(log.room_left().is_some_and(|left| left < 1000), "{:?}", log.room_left());
    assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
    assert!(matches!(log.append(draft("app/1", version)).await, Appended::NotWritten(StoreError::DiskFull { .. })));
    assert_eq!(log.head(&run("app/1")).await.unwrap().version, version);
    disk.heal();
    done(log.append(draft("app/1", version)).await);
    assert_eq!(log.room_left(), None);
}

/// A file system of its own with `size` bytes, unmounted at the end.
struct Tmpfs {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Tmpfs {
    /// `None` if this process may not mount, which must not pass unnoticed in CI.
    #[expect(clippy::print_stderr, reason = "a developer has to see that the test could not run")]
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        fs::create_dir(&path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "bascule-test", path.to_str().unwrap()])
            .output()
            .unwrap();
        if mount.status.success() {
            return Some(Self { path, _dir: dir });
        }
        let why = String::from_utf8_lossy(&mount.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "CI has to be able to mount a tmpfs: {why}");
        eprintln!("skipped: this user may not mount a tmpfs ({})", why.trim());
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.path).status().ok();
    }
}

#[tokio::test]
async fn a_really_full_disk_refuses_keeps_everything_and_recovers() {
    let Some(small) = Tmpfs::mount("2m") else { return };
    let state = small.path.join("state");
    let owned = StateDir::own(&state, TakeOver::No).unwrap();
    let (log, _) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    let ballast = small.path.join("ballast");
    fill(&log, "app/1", 5).await;
    let free = rustix::fs::statvfs(&small.path).unwrap();
    fs::write(&ballast, vec![0; usize::try_from(free.f_bavail * free.f_frsize).unwrap()]).unwrap();
    let mut version = 5;
    let refused = loop {
        match log.append(draft("app/1", version)).await {
            Appended::Done(head) => version = head.version,
            Appended::NotWritten(error) => break error,
            other @ (Appended::Conflict(_) | Appended::InDoubt(_)) => panic!("{other:?}"),
        }
    };
    assert!(matches!(&refused, StoreError::DiskFull { .. }), "{refused}");
    assert!(refused.to_string().contains("free some space"), "{refused}");
    let blobs = Blobs::open(Arc::new(bascule::store::disk::RealDisk), &state);
    let kept = blobs.and_then(|blobs| blobs.put(&vec![7; 1 << 20]));
    assert!(kept.is_err());
    log.close().await.ok();
    drop(log);

    // It opens on the full disk, shows everything, and says whether it can go on.
    let owned = StateDir::own(&state, TakeOver::No).unwrap();
    let (log, report) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    assert!(report.corruption.is_empty() && report.stopped.is_empty(), "{report}");
    assert_eq!(log.read(&run("app/1"), 1, 100_000).await.unwrap().len() as u64, version);
    fs::remove_file(&ballast).unwrap();
    if report.read_only.is_some() {
        log.reopen().await.unwrap();
    }
    fill(&log, "app/1", version + 3).await;
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_killed_journal_goes_on_on_a_full_disk_in_the_segment_that_was_kept() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 4).await;
    // A machine that crashes while the kept segment is being used leaves something in it.
    drop(log);
    let spare = Path::new(ROOT).join("journal/spare.tmp");
    let mut content = disk.content(&spare).unwrap();
    content[..9].copy_from_slice(b"{\"segment");
    disk.overwrite(&spare, content);
    disk.fail_by(|call| {
        matches!(call, Call::Create(_) | Call::Reserve(_)).then_some(Fail::With(ErrorKind::StorageFull))
    });
    let (log, report) = open(&disk);
    assert_eq!((report.read_only, report.moved), (None, 1));
    assert!(log.room_left().is_some_and(|left| left > 100 << 10), "it is said at once: {:?}", log.room_left());
    fill(&log, "app/1", 60).await;
    drop(log);
    disk.heal();
    let (log, report) = open(&disk);
    assert!(report.corruption.is_empty() && report.stopped.is_empty(), "{report}");
    assert_eq!(log.read(&run("app/1"), 1, 99).await.unwrap().len(), 60);
    assert_eq!(log.room_left(), None);
    assert!(disk.content(&spare).is_some(), "another one is kept as soon as there is room");
}

#[tokio::test]
async fn room_is_found_again_although_nobody_appends() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 2).await;
    disk.fail_by(|call| {
        matches!(call, Call::Create(_) | Call::Reserve(_)).then_some(Fail::With(ErrorKind::StorageFull))
    });
    let mut version = 2;
    while log.room_left().is_none() {
        version = done(log.append(draft("app/1", version)).await).version;
    }
    // Said while all that is kept for the way back is still there, not when it is used up.
    assert!(log.room_left().is_some_and(|left| left > 180 << 10), "{:?}", log.room_left());
    log.make_room().await;
    assert!(log.room_left().is_some());
    disk.heal();
    log.make_room().await;
    assert_eq!(log.room_left(), None);
}

#[tokio::test]
async fn a_killed_journal_opens_on_a_full_disk_for_reading_if_nothing_was_kept() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 4).await;
    drop(log);
    disk.erase(&Path::new(ROOT).join("journal/spare.tmp"));
    disk.fail_by(|call| {
        matches!(call, Call::Create(_) | Call::Reserve(_)).then_some(Fail::With(ErrorKind::StorageFull))
    });
    let (log, report) = open(&disk);
    assert!(report.read_only.as_deref().is_some_and(|why| why.contains("no room")), "{report}");
    assert_eq!(log.read(&run("app/1"), 1, 9).await.unwrap().len(), 4);
    assert!(matches!(log.append(draft("app/1", 4)).await, Appended::NotWritten(_)));
    disk.heal();
    let report = log.reopen().await.unwrap();
    assert_eq!(report.read_only, None);
    fill(&log, "app/1", 6).await;
}
