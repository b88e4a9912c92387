//! kill -9 of the real program at random moments. After `resume` the world is what an uninterrupted run leaves.
//!
//! `BASCULE_KILLS=500 cargo test --release --test it kill_minus_nine -- --nocapture` makes 500 runs instead of 50; the seed is
//! printed, and `BASCULE_SEED` repeats it. Every run is killed one to three times.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bascule_lab::{EntryKind, Fault, FaultKind, Side};
use fastrand::Rng;
use tokio::task::JoinSet;

use super::rig::{BACK, Ended, OVER, Rig, spawn};

/// Runs in CI.
const RUNS: u64 = 50;
/// Labs at the same time.
const AT_ONCE: usize = 4;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What happened to a run, for the summary.
struct Tale {
    kills: u32,
    kind: &'static str,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_loses_nothing_and_repeats_nothing() {
    let runs = from_environment("BASCULE_KILLS", RUNS);
    let seed = from_environment("BASCULE_SEED", fastrand::u64(..));
    println!("kill -9: {runs} runs, BASCULE_SEED={seed}");
    let began = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let next = next.clone();
        workers.spawn(async move {
            let mut tales = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= runs {
                    return tales;
                }
                tales.push(one(seed.wrapping_add(number)).await);
            }
        });
    }
    let mut tales = Vec::new();
    while let Some(done) = workers.join_next().await {
        tales.extend(done.unwrap_or_else(|error| panic!("BASCULE_SEED={seed}: {error}")));
    }
    let mut summary = String::new();
    for kind in ["over", "back", "scripts"] {
        let these: Vec<&Tale> = tales.iter().filter(|tale| tale.kind == kind).collect();
        let kills: u32 = these.iter().map(|tale| tale.kills).sum();
        write!(summary, "{kind}: {} runs, {kills} kills; ", these.len()).expect("text can grow");
    }
    println!("{summary}{:.0} s", began.elapsed().as_secs_f64());
    assert_eq!(tales.len() as u64, runs);
}

#[expect(clippy::print_stdout, reason = "a failing seed is told")]
async fn one(seed: u64) -> Tale {
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    match rng.u32(0..10) {
        0..5 => over(seed, &mut rng).await,
        5..8 => back(seed, &mut rng).await,
        _ => scripts(seed, &mut rng).await,
    }
}

/// A moment in the busy beginning of a run of this length, or anywhere in it.
fn moment(rng: &mut Rng, length_ms: u64) -> Duration {
    let busy = length_ms / 4;
    Duration::from_millis(if rng.u32(0..10) < 7 { rng.u64(0..busy) } else { rng.u64(0..length_ms) })
}

/// A run that is started, and started again, until it ends by itself.
struct Killed<'a> {
    state: &'a Path,
    folder: &'a Path,
    first: &'a [&'a str],
    again: &'a [&'a str],
    /// About how long it takes.
    length_ms: u64,
}

/// Kills and starts again until it ends by itself; answers how, and how often it was killed.
async fn until_end(run: Killed<'_>, rng: &mut Rng, kills: &mut u32) -> Ended {
    let Killed { state, folder, first, again, length_ms } = run;
    let most = rng.u32(1..=3);
    // A window that ends while nobody watches asks a person, as it must: no kill comes near its end.
    let last_kill = Instant::now() + Duration::from_secs(4);
    loop {
        // Killed before its first transition was durable, there is no run yet.
        let begun = spawn(state, folder, &["status", "--json"]).wait().await.out.contains("\"run\"");
        let running = spawn(state, folder, if begun { again } else { first });
        if *kills >= most || Instant::now() > last_kill {
            let ended = running.wait().await;
            if ended.err.contains("nothing to resume") {
                return final_word(state, folder, ended).await;
            }
            return ended;
        }
        match running.kill_after(moment(rng, length_ms)).await {
            None => *kills += 1,
            Some(ended) if ended.err.contains("nothing to resume") => return final_word(state, folder, ended).await,
            Some(ended) => return ended,
        }
    }
}

/// The run had ended when it was killed: its state says how.
async fn final_word(state: &Path, folder: &Path, mut ended: Ended) -> Ended {
    let seen = spawn(state, folder, &["status", "--json"]).wait().await;
    let runs: serde_json::Value = serde_json::from_str(&seen.out).unwrap_or_else(|error| panic!("{error}: {seen}"));
    let exit = runs.pointer("/0/exit").or_else(|| runs.pointer("/exit")).and_then(serde_json::Value::as_i64);
    ended.code = exit.and_then(|exit| i32::try_from(exit).ok());
    ended
}

const RUN: [&str; 9] =
    ["run", "runbook.yaml", "--foreground", "--catalog", "lab", "-f", "quick.yaml", "-f", "inputs.yaml"];

/// A run that is accepted.
async fn over(seed: u64, rng: &mut Rng) -> Tale {
    let rig = Rig::start().await;
    rig.lab.start_users(2, 100).await.expect("users");
    let mut kills = 0;
    let again = ["resume", "--foreground"];
    let first = [&RUN[..], &["--set", "rollbackWindow=8s"]].concat();
    let run = Killed { state: &rig.state(), folder: rig.folder(), first: &first, again: &again, length_ms: 2_500 };
    let ended = until_end(run, rng, &mut kills).await;
    rig.lab.stop_users().await.expect("users go home");
    assert_eq!(ended.code, Some(0), "seed {seed}, {kills} kills: {ended}");
    assert_eq!(rig.effects(), OVER, "seed {seed}: an effect is missing, or there twice: {ended}");
    nothing_twice(&rig, seed);
    let report = rig.lab.verify_orders(Side::Target).expect("the target's disk");
    assert!(report.is_kept(), "seed {seed}: {report:?}");
    assert_eq!(rig.weights().await, (0, 100), "seed {seed}");
    let (source, target) = (rig.machine("sourceApi").await, rig.machine("targetApi").await);
    assert_eq!((&source["writable"], &target["writable"]), (&false.into(), &true.into()), "seed {seed}");
    rig.stop().await;
    Tale { kills, kind: "over" }
}

/// A run that goes back by itself, killed on its way back: it goes on without a word of anybody.
async fn back(seed: u64, rng: &mut Rng) -> Tale {
    let rig = Rig::start().await;
    rig.lab.start_users(2, 100).await.expect("users");
    let window = ["--set", "rollbackWindow=60s"];
    let run = rig.spawn(&window);
    rig.until_the_target_took_orders().await;
    rig.lab.inject(&Fault::new(rig.target_machine(), FaultKind::Refuse)).await.expect("a fault of the target");
    let mut kills = 0;
    // Half of them are killed once the way back has begun, the others anywhere between the fault and its end.
    let after = if rng.bool() {
        rig.until_effect("target fence").await;
        rng.u64(0..400)
    } else {
        rng.u64(0..1_500)
    };
    let ended = match run.kill_after(Duration::from_millis(after)).await {
        Some(ended) => ended,
        None => {
            kills += 1;
            let first = [&RUN[..], &window[..]].concat();
            // Nobody gives a word: an open window is watched, and a way back goes on, at the next start of an engine.
            let again = ["resume", "--foreground", "--held"];
            let run =
                Killed { state: &rig.state(), folder: rig.folder(), first: &first, again: &again, length_ms: 1_500 };
            until_end(run, rng, &mut kills).await
        }
    };
    rig.lab.stop_users().await.expect("users go home");
    assert_eq!(ended.code, Some(3), "seed {seed}, {kills} kills: {ended}");
    let whole: Vec<&str> = OVER.iter().chain(&BACK).copied().collect();
    assert_eq!(rig.effects(), whole, "seed {seed}: an effect is missing, or there twice: {ended}");
    nothing_twice(&rig, seed);
    let report = rig.lab.verify_orders(Side::Source).expect("the source's disk");
    assert!(report.is_kept(), "seed {seed}: {report:?}");
    assert_eq!(rig.weights().await, (100, 0), "seed {seed}");
    let (source, target) = (rig.machine("sourceApi").await, rig.machine("targetApi").await);
    assert_eq!((&source["writable"], &target["power"]), (&true.into(), &"off".into()), "seed {seed}");
    rig.stop().await;
    Tale { kills, kind: "back" }
}

/// No request changed the world under a second key, and none under the same key twice.
fn nothing_twice(rig: &Rig, seed: u64) {
    let ledger = rig.lab.ledger().expect("the ledger");
    let mut keys: Vec<String> =
        ledger.into_iter().filter(|entry| entry.kind != EntryKind::Background).filter_map(|entry| entry.key).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "seed {seed}: a key stands twice in the ledger");
}

/// Steps that are processes with children: no orphan works beside its successor.
async fn scripts(seed: u64, rng: &mut Rng) -> Tale {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/lab_runs");
    for name in ["scripts.yaml", "step.sh"] {
        std::fs::copy(here.join(name), path(name)).expect("a document of the repository");
    }
    let (script, ledger) = (path("step.sh"), path("ledger"));
    let inputs = [format!("inputs.script={}", script.display()), format!("inputs.ledger={}", ledger.display())];
    let first = ["run", "scripts.yaml", "--foreground", "--set", &inputs[0], "--set", &inputs[1]];
    let mut kills = 0;
    let again = ["resume", "--foreground"];
    let state = path("state");
    let run = Killed { state: &state, folder: folder.path(), first: &first, again: &again, length_ms: 2_000 };
    let ended = until_end(run, rng, &mut kills).await;
    assert_eq!(ended.code, Some(0), "seed {seed}, {kills} kills: {ended}");
    let text = std::fs::read_to_string(&ledger).expect("the scripts' ledger");
    let expected = ["first", "second", "third"].map(|step| format!("done scripts/1/{step}/forward/1"));
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "seed {seed}: {ended}");
    Tale { kills, kind: "scripts" }
}
