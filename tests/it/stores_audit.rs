//! What an auditor can find: changes and insertions by the chain, cuts and rewrites against a head kept elsewhere.

#![expect(clippy::unwrap_used, reason = "a helper that meets an error has failed its test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bascule::store::disk::RealDisk;
use bascule::store::verify::{Finding, KnownHead, VerifyReport, verify_export, verify_journal};
use bascule::store::{
    Blobs, Hash, Head, JournalFile, JournalOptions, NewTransition, RunLog, Snapshot, StateDir, StoreError, TakeOver,
};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::stores::{done, draft, fill, run};

fn known(head: &Head) -> KnownHead {
    KnownHead { run: head.run.clone(), version: head.version, hash: head.hash }
}

/// A closed journal with two runs, and the heads of the first one at every version.
async fn two_runs() -> (TempDir, PathBuf, Vec<KnownHead>) {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let owned = StateDir::own(&state, TakeOver::No).unwrap();
    let (log, _) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    let mut heads = Vec::new();
    for version in 1..=5 {
        heads.push(known(&fill(&log, "app/1", version).await));
        fill(&log, "app/2", version).await;
    }
    log.close().await.unwrap();
    (dir, state, heads)
}

fn export(state: &Path, name: &str) -> String {
    let mut out = Vec::new();
    Snapshot::read(state).unwrap().export(&run(name), &mut out).unwrap().expect("the run exists");
    String::from_utf8(out).unwrap()
}

fn check(text: &str, heads: &[KnownHead]) -> VerifyReport {
    verify_export(&mut text.as_bytes(), heads).unwrap()
}

/// Gives a line a fitting checksum again, as somebody would who wants to hide a change.
fn seal(line: &str) -> String {
    let body = line.rsplit_once(",\"crc\":").unwrap().0;
    format!("{body},\"crc\":\"{:08x}\"}}", crc32fast::hash(body.as_bytes()))
}

#[tokio::test]
async fn a_sound_journal_and_its_export_confirm_every_known_head() {
    let (_dir, state, heads) = two_runs().await;
    let report = verify_journal(&state, &heads).unwrap();
    assert!(report.is_sound() && report.confirmed == 5 && report.transitions == 10, "{report:?}");
    let report = check(&export(&state, "app/1"), &heads);
    assert!(report.is_sound() && report.confirmed == 5 && report.transitions == 5, "{report:?}");
    assert_eq!(known(&report.heads[0]), heads[4]);
}

#[tokio::test]
async fn an_export_can_be_checked_line_by_line_with_sha256sum() {
    let (_dir, state, heads) = two_runs().await;
    let text = export(&state, "app/1");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6);
    for (line, head) in lines.iter().zip(&heads) {
        assert_eq!(Hash::of(line.as_bytes()), head.hash);
    }
    assert!(lines[5].starts_with("{\"head\":\"app/1\",\"from\":1,\"version\":5,\"hash\":\""), "{}", lines[5]);
}

#[tokio::test]
async fn a_changed_line_with_a_fitting_checksum_breaks_the_chain() {
    let (_dir, state, heads) = two_runs().await;
    let path = state.join("journal/000001.ndjson");
    let text = fs::read_to_string(&path).unwrap();
    let sealed: Vec<String> = text
        .lines()
        .map(|line| {
            let forged = line.starts_with("{\"run\":\"app/1\",\"version\":3,");
            if forged { seal(&line.replace("final_data_sync", "smoke_test")) } else { line.to_owned() }
        })
        .collect();
    fs::write(&path, sealed.join("\n") + "\n").unwrap();
    let report = verify_journal(&state, &[]).unwrap();
    assert!(matches!(&report.findings[..], [Finding::Stopped(stopped)] if stopped.run == run("app/1")), "{report:?}");
    assert!(report.findings[0].to_string().contains("the journal was edited"), "{}", report.findings[0]);
    let report = verify_journal(&state, &heads[2..3]).unwrap();
    assert!(report.findings.iter().any(|f| matches!(f, Finding::Rewritten { .. })), "{report:?}");
}

#[tokio::test]
async fn an_inserted_line_is_found() {
    let (_dir, state, _) = two_runs().await;
    let path = state.join("journal/000001.ndjson");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let copied = lines.iter().find(|line| line.starts_with("{\"run\":\"app/1\",\"version\":2,")).unwrap();
    let forged = seal(&copied.replace("final_data_sync", "smoke_test"));
    for inserted in [forged.as_str(), copied, ""] {
        for at in 5..lines.len() {
            let mut changed = lines.clone();
            changed.insert(at, inserted);
            fs::write(&path, changed.join("\n") + "\n").unwrap();
            let report = verify_journal(&state, &[]).unwrap();
            assert!(!report.is_sound(), "`{inserted}` at {at}");
        }
    }
}

#[tokio::test]
async fn a_cut_and_a_rewrite_show_against_a_head_kept_elsewhere() {
    let (_dir, state, heads) = two_runs().await;
    // A whole new history, made with our own tools: nothing in it is wrong.
    let other = state.with_file_name("other");
    let owned = StateDir::own(&other, TakeOver::No).unwrap();
    let (log, _) = JournalFile::open(owned, JournalOptions::default()).unwrap();
    for version in 0..3 {
        done(log.append(NewTransition { at_ms: 1, ..draft("app/1", version) }).await);
    }
    log.close().await.unwrap();
    assert!(verify_journal(&other, &[]).unwrap().is_sound());
    let report = verify_journal(&other, &heads[2..3]).unwrap();
    assert!(matches!(report.findings[..], [Finding::Rewritten { .. }]), "{report:?}");
    let report = verify_journal(&other, &heads[4..]).unwrap();
    assert!(matches!(report.findings[..], [Finding::Cut { found: 3, .. }]), "{report:?}");
    let report = check(&export(&other, "app/1"), &heads[2..]);
    assert_eq!(report.findings.len(), 3, "{report:?}");
}

#[tokio::test]
async fn an_export_that_was_changed_cut_or_added_to_is_found() {
    let (_dir, state, heads) = two_runs().await;
    let text = export(&state, "app/1");
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    assert!(!check(&join(&lines[..4]), &[]).is_sound(), "cut, without its head");
    assert!(!check(&join(&[&lines[..2], &lines[3..]].concat()), &[]).is_sound(), "a line is missing");
    assert!(!check(&join(&[lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]]), &[]).is_sound(), "swapped");
    assert!(!check(&text.replace("final_data_sync", "smoke_test"), &[]).is_sound(), "changed everywhere");
    assert!(!check(&(text.clone() + "note\n"), &[]).is_sound(), "added to");
    assert!(!check("", &heads[..1]).is_sound(), "empty, where something is known");
    assert!(!check(&join(&lines[1..]), &[]).is_sound(), "its beginning is missing");
    assert!(!check(&join(&[lines[0], &lines[0].replace("app/1", "app/9"), lines[1], lines[2]]), &[]).is_sound());
    assert!(!check(&(text.clone() + lines[4] + "\n"), &[]).is_sound(), "a line after the last one");
    let two = text + &export(&state, "app/2");
    let report = check(&two, &heads);
    assert!(report.is_sound() && report.transitions == 10, "several runs in one file: {report:?}");
}

/// The export of a run, made once.
fn sound_export() -> &'static str {
    static EXPORT: OnceLock<String> = OnceLock::new();
    EXPORT.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_dir, state, _) = runtime.block_on(two_runs());
        export(&state, "app/1")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changed_byte_of_an_export_is_found(place in any::<proptest::sample::Index>(), to in any::<u8>()) {
        let mut bytes = sound_export().as_bytes().to_vec();
        let at = place.index(bytes.len());
        prop_assume!(bytes[at] != to);
        // The last line end may be missing; and a line end in its place is no change.
        prop_assume!(at + 1 != bytes.len());
        bytes[at] = to;
        let report = verify_export(&mut &bytes[..], &[]).unwrap();
        prop_assert!(!report.is_sound(), "byte {} to {}", at, to);
    }
}

#[test]
fn a_blob_is_named_by_its_content_and_checked_when_read() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(std::sync::Arc::new(RealDisk), dir.path()).unwrap();
    let hash = blobs.put(b"a plan").unwrap();
    assert_eq!(blobs.put(b"a plan").unwrap(), hash);
    assert_eq!(blobs.get(&hash).unwrap().as_deref(), Some(&b"a plan"[..]));
    assert_eq!(blobs.get(&Hash::of(b"another")).unwrap(), None);
    fs::write(blobs.path(&hash), b"b plan").unwrap();
    assert!(matches!(blobs.get(&hash), Err(StoreError::BlobDamaged { .. })));
    blobs.put(b"a plan").unwrap();
    assert_eq!(blobs.get(&hash).unwrap().as_deref(), Some(&b"a plan"[..]), "putting it again mends it");
    assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 1, "nothing unfinished is left");
}
