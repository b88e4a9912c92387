//! Damage to a journal: what is cut, what stops a run, what leaves it alone, and what a person can decide.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bascule::store::damage::{Cause, DamageKind};
use bascule::store::repair::{Decision, Keep, prune, repair};
use bascule::store::verify::verify_journal;
use bascule::store::{
    Appended, Cursor, JournalFile, JournalOptions, NewTransition, OpenReport, RunLog, Sizes, Snapshot, StateDir,
    StoreError, TakeOver, Transition,
};

use crate::stores::{done, draft, fill, run};
use crate::stores_disk::SimDisk;

const ROOT: &str = "/state";
/// A handful of lines a segment.
const SMALL: Sizes = Sizes { first: 1 << 10, step: 1 << 10, max: 2 << 10, ahead: 0 };

fn segment(number: u32) -> PathBuf {
    Path::new(ROOT).join(format!("journal/{number:06}.ndjson"))
}

fn options(disk: &SimDisk, sizes: Sizes) -> JournalOptions {
    JournalOptions { disk: Arc::new(disk.clone()), sizes, ..JournalOptions::default() }
}

fn open(disk: &SimDisk) -> (JournalFile, OpenReport) {
    JournalFile::open_unlocked(Path::new(ROOT), options(disk, Sizes::default())).unwrap()
}

fn open_small(disk: &SimDisk) -> (JournalFile, OpenReport) {
    JournalFile::open_unlocked(Path::new(ROOT), options(disk, SMALL)).unwrap()
}

async fn finish(log: &JournalFile, name: &str, version: u64) {
    fill(log, name, version - 1).await;
    done(log.append(NewTransition { is_final: true, ..draft(name, version - 1) }).await);
}

/// Flips one bit of the first line that contains `text`, inside its events.
fn flip(disk: &SimDisk, number: u32, text: &str) {
    let mut bytes = disk.content(&segment(number)).unwrap();
    let at = bytes.windows(text.len()).position(|w| w == text.as_bytes()).expect("the text is there");
    bytes[at + text.len() + 3] ^= 1;
    disk.overwrite(&segment(number), bytes);
}

/// What identifies the line of a transition.
fn line_of(name: &str, version: u64) -> String {
    format!("{{\"run\":\"{name}\",\"version\":{version},")
}

async fn read(log: &JournalFile, name: &str) -> Result<Vec<Transition>, StoreError> {
    log.read(&run(name), 1, 1000).await
}

/// Four runs: `done/1` final early, `goes-on/1` with transitions all along, `waits/1` open and silent since early,
/// `late/1` created at the end.
async fn four_runs(disk: &SimDisk) {
    let (log, _) = open(disk);
    finish(&log, "done/1", 3).await;
    fill(&log, "waits/1", 2).await;
    for version in 1..=6 {
        fill(&log, "goes-on/1", version).await;
    }
    fill(&log, "victim/1", 2).await;
    fill(&log, "goes-on/1", 8).await;
    fill(&log, "late/1", 2).await;
    log.close().await.unwrap();
}

#[tokio::test]
async fn damage_stops_exactly_the_runs_that_may_have_lost_something() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    four_runs(&disk).await;
    flip(&disk, 1, &line_of("victim/1", 2));
    let (log, report) = open(&disk);
    assert_eq!(report.corruption.len(), 1, "{report}");
    assert_eq!(report.corruption[0].kind, DamageKind::Changed);
    assert!(report.cut.is_none(), "{report}");
    let stopped: Vec<_> = report.stopped.iter().map(|stopped| stopped.run.to_string()).collect();
    assert_eq!(stopped, ["victim/1", "waits/1"], "{report}");
    assert_eq!(report.stopped[0].believable, 1);
    assert!(matches!(report.stopped[0].cause, Cause::MayHaveLost(_)));
    for (name, versions) in [("done/1", 3), ("goes-on/1", 8), ("late/1", 2)] {
        assert_eq!(read(&log, name).await.unwrap().len(), versions, "{name} is untouched");
    }
    for name in ["victim/1", "waits/1"] {
        assert!(matches!(read(&log, name).await, Err(StoreError::Corrupt(_))), "{name}");
        assert!(matches!(log.head(&run(name)).await, Err(StoreError::Corrupt(_))), "{name}");
        assert!(matches!(log.claim(&run(name)).await, Err(StoreError::Corrupt(_))), "{name}");
        for expected in [0, 1, 2] {
            let answer = log.append(draft(name, expected)).await;
            assert!(matches!(answer, Appended::NotWritten(StoreError::Corrupt(_))), "{name} {expected}");
        }
    }
    // The others go on, and the damage is still known at the next start.
    fill(&log, "goes-on/1", 9).await;
    log.close().await.unwrap();
    let (_, again) = open(&disk);
    assert_eq!((again.corruption, again.stopped), (report.corruption, report.stopped));
}

#[tokio::test]
async fn an_error_about_a_stopped_run_says_where_why_and_what_to_do() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    four_runs(&disk).await;
    flip(&disk, 1, &line_of("victim/1", 2));
    let (log, _) = open(&disk);
    let text = read(&log, "victim/1").await.unwrap_err().to_string();
    for part in ["victim/1", "journal/000001.ndjson, bytes", "version 1 is intact", "bascule repair"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_gap_in_a_chain_stops_the_run_and_names_what_cannot_be_connected() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    four_runs(&disk).await;
    flip(&disk, 1, &line_of("goes-on/1", 4));
    let (log, report) = open(&disk);
    let stopped = report.stopped.iter().find(|stopped| stopped.run == run("goes-on/1")).unwrap();
    assert_eq!((stopped.believable, stopped.unconnected), (3, 4), "{stopped}");
    assert!(matches!(&stopped.cause, Cause::ChainBroken { version: 5, damage: Some(_), .. }), "{stopped}");
    assert!(read(&log, "goes-on/1").await.is_err());
}

#[tokio::test]
async fn damage_in_a_runs_last_record_stops_it_if_anything_proves_the_record_was_durable() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    four_runs(&disk).await;
    // The journal's very last record: the closing line proves that it was durable.
    flip(&disk, 1, &line_of("late/1", 2));
    let (_, report) = open(&disk);
    let stopped: Vec<_> = report.stopped.iter().map(|stopped| (stopped.run.to_string(), stopped.believable)).collect();
    assert!(stopped.contains(&("late/1".into(), 1)), "{report}");
    assert!(report.cut.is_none(), "{report}");
}

#[tokio::test]
async fn an_unfinished_flush_is_cut_and_reported_and_stops_nobody() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 4).await;
    drop(log);
    // Half of the last line, as if its second page never arrived.
    let mut bytes = disk.content(&segment(1)).unwrap();
    let start = bytes.windows(line_of("app/1", 4).len()).position(|w| w == line_of("app/1", 4).as_bytes()).unwrap();
    let end = start + bytes[start..].iter().position(|b| *b == b'\n').unwrap();
    bytes[start + 100..end].fill(b'\n');
    disk.overwrite(&segment(1), bytes);
    let (log, report) = open(&disk);
    let cut = report.cut.as_ref().expect("it is reported");
    assert_eq!((cut.segment, cut.from, cut.kind), (1, start as u64, DamageKind::UnfinishedFlush), "{report}");
    assert!(report.corruption.is_empty() && report.stopped.is_empty(), "{report}");
    assert_eq!(read(&log, "app/1").await.unwrap().len(), 3);
    fill(&log, "app/1", 6).await;
    log.close().await.unwrap();
    let (log, report) = open(&disk);
    assert!(report.is_clean(), "{report}");
    assert_eq!(read(&log, "app/1").await.unwrap().len(), 6);
}

/// Every run of `log` that is not stopped has exactly what it had, or, if something was cut at the end, a beginning of
/// it.
async fn holds(log: &JournalFile, report: &OpenReport, before: &BTreeMap<String, Vec<Transition>>, what: &str) {
    for (name, all) in before {
        match read(log, name).await {
            Ok(found) => {
                assert!(all.starts_with(&found), "{what}: {name} shows what was never written");
                assert!(found.len() == all.len() || report.cut.is_some(), "{what}: {name} silently lost something");
            }
            Err(StoreError::Corrupt(_)) => assert!(!report.corruption.is_empty(), "{what}: {report}"),
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_at_any_place_is_found_or_harmless() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let sizes = Sizes { max: 8 << 10, ..SMALL };
    let (log, _) = JournalFile::open_unlocked(Path::new(ROOT), options(&disk, sizes)).unwrap();
    finish(&log, "done/1", 2).await;
    fill(&log, "app/1", 3).await;
    fill(&log, "app/2", 2).await;
    let mut before = BTreeMap::new();
    for name in ["done/1", "app/1", "app/2"] {
        before.insert(name.to_owned(), read(&log, name).await.unwrap());
    }
    let unclean = disk.copy();
    log.close().await.unwrap();
    for (ended, disk) in [("closed", disk), ("killed", unclean)] {
        let bytes = disk.content(&segment(1)).unwrap();
        let data = bytes.iter().rposition(|b| *b != b'\n').unwrap() + 20;
        let mut found = 0;
        for at in 0..data.min(bytes.len()) {
            let image = disk.copy();
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            image.overwrite(&segment(1), changed);
            let (log, report) = open_small(&image);
            let what = format!("{ended}, byte {at}");
            holds(&log, &report, &before, &what).await;
            found += usize::from(!report.is_clean());
            if ended == "closed" {
                // Everything that was closed in order was durable: nothing may be cut without stopping a run, but for
                // the closing line itself.
                let mark = bytes.windows(9).position(|w| w == b"{\"closed\"").unwrap();
                assert!(report.cut.is_none() || at + 1 >= mark, "{what}: {report}");
            }
        }
        assert!(found + 21 >= data, "{ended}: only {found} of {data} were noticed");
    }
}

#[tokio::test]
async fn a_truncated_segment_is_found_wherever_it_ends() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open_small(&disk);
    let mut before = BTreeMap::new();
    for version in 1..=6 {
        for name in ["app/1", "app/2"] {
            fill(&log, name, version).await;
        }
    }
    for name in ["app/1", "app/2"] {
        before.insert(name.to_owned(), read(&log, name).await.unwrap());
    }
    log.close().await.unwrap();
    let heads: Vec<_> = log.runs().await.unwrap().into_iter().map(|entry| entry.head).collect();
    let names = disk.file_names(&Path::new(ROOT).join("journal"));
    let last = names.len() as u32;
    assert!(last >= 2, "{names:?}");
    for number in 1..=last {
        let bytes = disk.content(&segment(number)).unwrap();
        assert_eq!(*bytes.last().unwrap(), b'\n', "a closed segment ends with its last line");
        for len in 0..bytes.len() - 1 {
            let image = disk.copy();
            image.overwrite(&segment(number), bytes[..len].to_vec());
            let (log, report) = open_small(&image);
            let what = format!("segment {number} of {last} cut to {len}: {report}");
            if number < last {
                holds(&log, &report, &before, &what).await;
                assert!(!report.is_clean(), "{what}");
            }
            // The end of the last segment is the end of the log: that it was cut between two lines shows only against
            // a head kept elsewhere.
            log.compare(&heads);
            for (name, all) in &before {
                let found = read(&log, name).await;
                assert!(found.is_err() || found.unwrap() == *all, "{what}: {name} silently lost something");
            }
        }
    }
}

#[tokio::test]
async fn a_segment_that_lost_part_of_its_first_batch_is_truncated_and_not_young() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open_small(&disk);
    fill(&log, "app/1", 1).await;
    drop(log);
    let bytes = disk.content(&segment(1)).unwrap();
    let batch = bytes.iter().rposition(|b| *b == b'}').unwrap();
    for len in 0..batch {
        let image = disk.copy();
        image.overwrite(&segment(1), bytes[..len].to_vec());
        let (log, report) = open_small(&image);
        // A segment has its name only after its first batch was flushed.
        assert!(!report.corruption.is_empty(), "cut to {len}: {report}");
        drop(log);
        let (_, again) = open_small(&image);
        assert!(!again.corruption.is_empty(), "cut to {len}, at the second start: {again}");
    }
}

#[tokio::test]
async fn what_stands_behind_the_seal_of_a_segment_does_not_count() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open_small(&disk);
    fill(&log, "app/1", 4).await;
    drop(log);
    let mut torn = disk.content(&segment(1)).unwrap();
    let end = torn.iter().rposition(|b| *b == b'}').unwrap() + 2;
    torn.truncate(end);
    torn.extend([b'x'; 30]);
    disk.overwrite(&segment(1), torn.clone());
    let (log, report) = open_small(&disk);
    assert!(report.cut.is_some() && report.moved == 1, "{report}");
    fill(&log, "app/1", 6).await;
    log.close().await.unwrap();
    // As if cutting the first segment had never reached the disk.
    disk.overwrite(&segment(1), torn);
    let (log, report) = open_small(&disk);
    assert!(report.is_clean() && report.repeated == 0, "{report}");
    assert_eq!(read(&log, "app/1").await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_missing_segment_is_damage_and_not_an_empty_place() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open_small(&disk);
    for version in 1..=20 {
        fill(&log, "app/1", version).await;
    }
    fill(&log, "late/1", 1).await;
    log.close().await.unwrap();
    for number in [1, 2] {
        let image = disk.copy();
        image.erase(&segment(number));
        let (log, report) = open(&image);
        assert_eq!(report.corruption[0].kind, DamageKind::Missing, "{report}");
        assert_eq!(report.corruption[0].segment, number, "{report}");
        assert!(read(&log, "app/1").await.is_err(), "{number}");
        assert_eq!(read(&log, "late/1").await.unwrap().len(), 1, "{number}");
    }
}

#[tokio::test]
async fn a_run_that_only_left_its_name_in_damaged_bytes_is_stopped_and_not_created_again() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 1).await;
    fill(&log, "lost/1", 1).await;
    fill(&log, "app/1", 2).await;
    log.close().await.unwrap();
    flip(&disk, 1, &line_of("lost/1", 1));
    let (log, report) = open(&disk);
    assert!(matches!(report.stopped[0].cause, Cause::NameOnly(_)), "{report}");
    assert!(matches!(log.append(draft("lost/1", 0)).await, Appended::NotWritten(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_line_that_rots_after_the_start_stops_its_run_when_it_is_read() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 3).await;
    flip(&disk, 1, &line_of("app/1", 2));
    assert!(matches!(read(&log, "app/1").await, Err(StoreError::Corrupt(_))));
    assert!(matches!(log.append(draft("app/1", 3)).await, Appended::NotWritten(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_head_known_elsewhere_that_the_log_lacks_stops_the_run() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    let second = fill(&log, "app/1", 2).await;
    let third = fill(&log, "app/1", 3).await;
    fill(&log, "app/2", 1).await;
    assert!(log.compare(&[second.clone(), third.clone()]).is_empty(), "what the log holds is no evidence against it");
    let ahead = bascule::store::Head { version: 4, ..third.clone() };
    let other = bascule::store::Head { run: run("gone/1"), ..third };
    let stopped = log.compare(&[ahead, other]);
    assert_eq!(stopped.len(), 2);
    assert!(matches!(stopped[0].cause, Cause::HeadElsewhere(_)));
    assert!(read(&log, "app/1").await.is_err());
    assert_eq!(read(&log, "app/2").await.unwrap().len(), 1);
}

/// Copies an image to the real disk, because repair needs an owned directory.
fn on_disk(disk: &SimDisk) -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir_all(state.join("journal")).unwrap();
    for name in disk.file_names(&Path::new(ROOT).join("journal")) {
        let content = disk.content(&Path::new(ROOT).join("journal").join(&name)).unwrap();
        std::fs::write(state.join("journal").join(name), content).unwrap();
    }
    let owned = StateDir::own(&state, TakeOver::No).unwrap();
    (dir, owned)
}

fn decision(name: &str, believe: u64, keep: Keep) -> Decision {
    Decision { run: run(name), believe, keep, reason: "compared with last night's report".into() }
}

#[tokio::test]
async fn a_repair_believes_what_it_is_told_and_the_run_goes_on_from_there() {
    for keep in [Keep::InPlace, Keep::Rewritten] {
        let disk = SimDisk::with_dir(Path::new(ROOT));
        four_runs(&disk).await;
        flip(&disk, 1, &line_of("goes-on/1", 4));
        let (_dir, owned) = on_disk(&disk);
        let options = JournalOptions::default();
        std::fs::create_dir(owned.path().join("index")).unwrap();
        let told = [decision("goes-on/1", 3, keep), decision("waits/1", 1, keep)];
        let repaired = repair(&owned, &options, &told).unwrap();
        assert_eq!(repaired.still_stopped, [], "{keep:?}");
        assert!(!owned.path().join("index").exists(), "what the index had folded in may be gone from the log");

        let (log, report) = JournalFile::open(owned, options).unwrap();
        assert!(report.stopped.is_empty(), "{report}");
        assert_eq!(report.repairs.len(), 2, "{report}");
        assert_eq!(read(&log, "goes-on/1").await.unwrap().len(), 3, "{keep:?}");
        assert_eq!(read(&log, "waits/1").await.unwrap().len(), 1, "{keep:?}");
        assert_eq!(read(&log, "done/1").await.unwrap().len(), 3, "{keep:?}");
        fill(&log, "goes-on/1", 5).await;
        fill(&log, "waits/1", 4).await;
        let followed = log.page(Cursor::START, usize::MAX).await.unwrap();
        let seen: Vec<u64> =
            followed.iter().filter(|(_, t)| t.run == run("goes-on/1")).map(|(_, t)| t.version).collect();
        assert_eq!(seen, [1, 2, 3, 4, 5], "{keep:?}: a follower sees the believed history once, in order");
        log.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_repaired_run_stays_repaired_and_a_forgotten_one_can_begin_again() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "lost/1", 1).await;
    fill(&log, "app/1", 2).await;
    log.close().await.unwrap();
    flip(&disk, 1, &line_of("lost/1", 1));
    let (_dir, owned) = on_disk(&disk);
    repair(&owned, &JournalOptions::default(), &[decision("lost/1", 0, Keep::InPlace)]).unwrap();
    let path = owned.path().to_owned();
    let (log, report) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    assert!(report.stopped.is_empty(), "{report}");
    fill(&log, "lost/1", 2).await;
    log.close().await.unwrap();
    drop(log);
    let owned = StateDir::own(&path, TakeOver::No).unwrap();
    let (log, report) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    assert!(report.stopped.is_empty(), "{report}");
    assert_eq!(read(&log, "lost/1").await.unwrap().len(), 2);
    let report = verify_journal(&path, &[]).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("last night's report")), "{:?}", report.notes);
}

#[tokio::test]
async fn a_repair_refuses_what_cannot_be_believed_and_changes_nothing() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    four_runs(&disk).await;
    flip(&disk, 1, &line_of("goes-on/1", 4));
    let (_dir, owned) = on_disk(&disk);
    let options = JournalOptions::default();
    for bad in [
        decision("goes-on/1", 4, Keep::InPlace),
        decision("late/1", 1, Keep::InPlace),
        decision("no/1", 0, Keep::InPlace),
    ] {
        let told = [decision("waits/1", 2, Keep::InPlace), bad];
        assert!(matches!(repair(&owned, &options, &told), Err(StoreError::BadDecision { .. })), "{told:?}");
    }
    let after = Snapshot::read(owned.path()).unwrap();
    assert_eq!(after.report().stopped.len(), 2, "{}", after.report());
    assert!(after.report().repairs.is_empty());
}

#[tokio::test]
async fn pruning_removes_old_final_runs_from_the_oldest_segment_on_and_keeps_the_rest_connected() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open_small(&disk);
    finish(&log, "old/1", 9).await;
    finish(&log, "spans/1", 9).await;
    fill(&log, "open/1", 9).await;
    log.close().await.unwrap();
    let (_dir, owned) = on_disk(&disk);
    let options = JournalOptions::default();
    let now = 1_763_629_200_000;
    let hour = 3_600_000;
    assert_eq!(prune(&owned, &options, hour, now).unwrap().removed, [0u32; 0], "nothing is an hour old yet");
    let pruned = prune(&owned, &options, hour, now + 2 * hour).unwrap();
    assert!(pruned.removed.starts_with(&[1, 2]), "{pruned:?}");
    assert_eq!(pruned.kept_by.as_ref().map(|(_, run)| run.to_string()).as_deref(), Some("open/1"), "{pruned:?}");

    let path = owned.path().to_owned();
    let (log, report) = JournalFile::open(owned, options).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(matches!(read(&log, "old/1").await, Err(StoreError::Pruned { first: 10, .. })));
    assert_eq!(read(&log, "open/1").await.unwrap().len(), 9);
    let runs = log.runs().await.unwrap();
    assert_eq!(runs.len(), 3, "a pruned run is still known, so its name is not given again");
    assert!(matches!(log.append(draft("old/1", 0)).await, Appended::Conflict(head) if head.version == 9));
    fill(&log, "open/1", 10).await;
    log.close().await.unwrap();
    assert!(verify_journal(&path, &[]).unwrap().is_sound());
}
