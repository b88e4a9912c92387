//! What a power loss leaves: a recorded workload, cut at many points, with what was not flushed lost in many ways.
//!
//! The promise: nothing that was acknowledged is ever lost, nothing is unreadable, and no run stops.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bascule::store::{Appended, Blobs, Cursor, Hash, JournalFile, JournalOptions, OpenReport, RunLog, Sizes};

use crate::stores::{draft, fill, run};
use crate::stores_disk::{Call, Fail, Loss, Op, SimDisk, after_power_loss, fastrand_like};

const ROOT: &str = "/state";
/// Small enough that a short workload grows and changes segments.
const SMALL: Sizes = Sizes { first: 4 << 10, step: 4 << 10, max: 12 << 10, ahead: 512 };

fn options(disk: &SimDisk) -> JournalOptions {
    JournalOptions { disk: Arc::new(disk.clone()), sizes: SMALL, ..JournalOptions::default() }
}

fn open(disk: &SimDisk) -> (JournalFile, OpenReport) {
    JournalFile::open_unlocked(Path::new(ROOT), options(disk)).expect("it opens")
}

/// Appends rounds of transitions to some runs at once and notes what was acknowledged. Stops at the first answer that
/// is not *done*.
async fn work(log: &Arc<JournalFile>, disk: &SimDisk, names: &[&str], rounds: u64) {
    for _ in 0..rounds {
        let appends: Vec<_> = names
            .iter()
            .map(|name| {
                let (log, name) = (Arc::clone(log), (*name).to_owned());
                tokio::spawn(async move {
                    let expected = log.head(&run(&name)).await.map(|head| head.version)?;
                    let answer = log.append(draft(&name, expected)).await;
                    Ok::<_, bascule::store::StoreError>((name, answer))
                })
            })
            .collect();
        for append in appends {
            let Ok((name, Appended::Done(head))) = append.await.unwrap() else { return };
            disk.ack(&name, head.version);
        }
    }
}

/// Opens an image and holds it against what had been acknowledged.
async fn check(image: &SimDisk, acked: &BTreeMap<String, u64>, what: &str) {
    let (log, report) = open(image);
    assert!(report.corruption.is_empty() && report.stopped.is_empty(), "{what}: {report}");
    assert!(report.read_only.is_none(), "{what}: {report}");
    for (name, version) in acked {
        let read = log.read(&run(name), 1, 10_000).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(read.len() as u64 >= *version, "{what}: {name} acknowledged {version}, found {}", read.len());
        for (index, transition) in read.iter().enumerate() {
            let same = draft(name, index as u64).after(transition.prev);
            assert_eq!(*transition, same, "{what}");
        }
    }
    // Everything can go on, and survives an orderly end.
    for name in acked.keys() {
        let next = log.head(&run(name)).await.unwrap().version + 1;
        fill(&log, name, next).await;
    }
    let heads: Vec<_> = log.runs().await.unwrap().into_iter().map(|entry| entry.head).collect();
    log.close().await.unwrap();
    let (log, report) = open(image);
    assert!(report.is_clean() && report.moved == 0, "{what}: {report}");
    let again: Vec<_> = log.runs().await.unwrap().into_iter().map(|entry| entry.head).collect();
    assert_eq!(heads, again, "{what}");
    assert_eq!(log.page(Cursor::START, usize::MAX).await.unwrap().len() as u64, report.transitions, "{what}");
}

/// Cuts a recording at many points.
async fn cut_everywhere(ops: &[Op], points: usize, seed: u64) -> usize {
    let mut random = fastrand_like(seed);
    let mut images = 0;
    for point in 0..points {
        let count = if points >= ops.len() { point % (ops.len() + 1) } else { random() as usize % (ops.len() + 1) };
        let seed = random();
        for loss in [Loss::All, Loss::Nothing, Loss::Suffix(seed), Loss::Random(seed)] {
            let (image, acked) = after_power_loss(ops, count, loss, Path::new(ROOT));
            check(&image, &acked, &format!("after {count} of {} with {loss:?}", ops.len())).await;
            images += 1;
        }
    }
    images
}

#[tokio::test]
async fn a_power_loss_at_any_point_loses_nothing_acknowledged() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let names = ["app/1", "app/2", "billing-db/1"];
    for life in 0..3 {
        let (log, _) = open(&disk);
        let log = Arc::new(log);
        work(&log, &disk, &names, 16).await;
        // The second life ends like a killed process: no closing line, and its filling stays.
        if life != 1 {
            log.close().await.unwrap();
        }
    }
    let ops = disk.ops();
    let segments = disk.count(|op| matches!(op, Op::Rename(_, to) if to.extension().is_some_and(|e| e == "ndjson")));
    assert!(segments >= 3, "the workload changes segments ({segments})");
    let images = cut_everywhere(&ops, 90, 7).await;
    assert!(images >= 300, "{images}");
}

#[tokio::test]
async fn a_failed_flush_reopened_and_then_a_power_loss_loses_nothing_acknowledged() {
    // After a failed flush the page cache shows lines that the disk does not have, and counts them as stored. Only
    // writing them again, elsewhere, makes them durable.
    for broken in 1..12 {
        let disk = SimDisk::with_dir(Path::new(ROOT));
        let (log, _) = open(&disk);
        let log = Arc::new(log);
        let mut flushes = 0;
        disk.fail_by(move |call| {
            flushes += usize::from(matches!(call, Call::Sync(_)));
            (flushes == broken && matches!(call, Call::Sync(_))).then_some(Fail::With(std::io::ErrorKind::Other))
        });
        work(&log, &disk, &["app/1", "app/2"], 12).await;
        disk.heal();
        log.reopen().await.unwrap();
        for name in ["app/1", "app/2"] {
            let head = log.head(&run(name)).await.unwrap();
            disk.ack(name, head.version);
        }
        work(&log, &disk, &["app/1", "app/2"], 3).await;
        cut_everywhere(&disk.ops(), 8, broken as u64).await;
    }
}

#[tokio::test]
async fn a_failed_flush_and_a_killed_process_and_then_a_power_loss_loses_nothing_acknowledged() {
    for broken in 1..8 {
        let disk = SimDisk::with_dir(Path::new(ROOT));
        let (log, _) = open(&disk);
        let log = Arc::new(log);
        let mut flushes = 0;
        disk.fail_by(move |call| {
            flushes += usize::from(matches!(call, Call::Sync(_)));
            (flushes == broken && matches!(call, Call::Sync(_))).then_some(Fail::With(std::io::ErrorKind::Other))
        });
        work(&log, &disk, &["app/1"], 12).await;
        disk.heal();
        drop(log);
        // A new process reads the page cache and believes it only after it wrote it again.
        let (log, _) = open(&disk);
        let head = log.head(&run("app/1")).await.unwrap();
        disk.ack("app/1", head.version);
        cut_everywhere(&disk.ops(), 8, broken as u64).await;
    }
}

#[tokio::test]
async fn a_power_loss_during_the_start_after_a_power_loss_loses_nothing_acknowledged() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    work(&Arc::new(log), &disk, &["app/1", "app/2"], 10).await;
    let ops = disk.ops();
    let mut random = fastrand_like(99);
    for _ in 0..25 {
        let count = random() as usize % (ops.len() + 1);
        let (image, acked) = after_power_loss(&ops, count, Loss::Random(random()), Path::new(ROOT));
        // The image's own recording begins with what the first power loss left on it.
        let mut second = image.as_recording();
        let base = second.len();
        let (log, _) = open(&image);
        work(&Arc::new(log), &image, &["app/1"], 2).await;
        second.extend(image.ops());
        for _ in 0..6 {
            let cut = base + random() as usize % (second.len() - base + 1);
            let (again, more) = after_power_loss(&second, cut, Loss::Random(random()), Path::new(ROOT));
            let mut all = acked.clone();
            all.extend(more);
            check(&again, &all, &format!("second loss after {cut}")).await;
        }
    }
}

#[tokio::test]
async fn an_orderly_end_survives_a_power_loss_right_after_it() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let (log, _) = open(&disk);
    fill(&log, "app/1", 5).await;
    log.close().await.unwrap();
    let ops = disk.ops();
    let (image, _) = after_power_loss(&ops, ops.len(), Loss::All, Path::new(ROOT));
    let (_, report) = open(&image);
    assert!(report.is_clean() && report.moved == 0, "{report}");
}

#[test]
fn a_content_addressed_file_survives_from_the_moment_it_is_named() {
    let disk = SimDisk::with_dir(Path::new(ROOT));
    let blobs = Blobs::open(Arc::new(disk.clone()), Path::new(ROOT)).unwrap();
    let contents: Vec<Vec<u8>> = (0..6u8).map(|n| vec![n; 3000 * usize::from(n)]).collect();
    for (index, content) in contents.iter().enumerate() {
        let hash = blobs.put(content).unwrap();
        assert_eq!(hash, Hash::of(content));
        disk.ack("blob", index as u64 + 1);
    }
    let ops = disk.ops();
    for count in 0..=ops.len() {
        for loss in [Loss::All, Loss::Nothing, Loss::Suffix(count as u64), Loss::Random(count as u64)] {
            let (image, acked) = after_power_loss(&ops, count, loss, Path::new(ROOT));
            let blobs = Blobs::open(Arc::new(image), Path::new(ROOT)).unwrap();
            let named = acked.get("blob").copied().unwrap_or(0) as usize;
            for (index, content) in contents.iter().enumerate() {
                let found = blobs.get(&Hash::of(content)).unwrap();
                assert!(found.as_ref().is_none_or(|found| found == content), "after {count} with {loss:?}");
                assert!(found.is_some() || index >= named, "after {count} with {loss:?}");
            }
        }
    }
}
