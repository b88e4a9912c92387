//! Figures of ten thousand open runs: made without flushes, then resumed by a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bascule::engine::{Engine, EngineOptions};
use bascule::machine::state::{Forward, Status};
use bascule::plan::Plan;
use bascule::store::Snapshot;

use crate::disk::Flushes;
use crate::limits;
use crate::plans;
use crate::steps::{Rig, new_run, runtime};
use crate::table::{Bench, Line, grouped, megabytes, times};

/// The argument with which this program calls itself.
pub(crate) const CHILD: &str = "--resume-child";

/// How many runs are made at a time.
const GROUP: usize = 200;

/// Open runs of 20 steps each, every one with a plan of its own.
fn make(bench: &Bench, count: usize) -> tempfile::TempDir {
    let rig = Rig::new(bench.folder(), Flushes::LeftOut);
    for group in (0..count).step_by(GROUP) {
        let plans: Vec<Arc<Plan>> =
            (group..(group + GROUP).min(count)).map(|at| plans::open(&format!("app{at}"), 20)).collect();
        let create = |plan: &Arc<Plan>| rig.engine.create(new_run(plan));
        let handles = rig.runtime.block_on(futures_util::future::join_all(plans.iter().map(create)));
        for handle in handles {
            let handle = handle.expect("a run");
            let waits = || {
                rig.runtime.block_on(handle.look(|run, _| {
                    run.live.is_empty() && run.steps.iter().filter(|step| is_done(&step.status)).count() == 20
                }))
            };
            while !waits().unwrap_or(true) {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    }
    rig.stop()
}

fn is_done(status: &Status) -> bool {
    matches!(status, Status::Forward(Forward::Succeeded))
}

/// In the child: starts an engine, waits until every run goes on, says what it took.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn resume(state: &Path) {
    let runtime = runtime();
    let started = Instant::now();
    let engine = runtime.block_on(Engine::start(EngineOptions::new(state.to_owned()))).expect("an engine");
    let adopted = started.elapsed();
    for handle in engine.live_runs() {
        // Answered between two transitions: the first one, of the restart, is durable then.
        runtime.block_on(handle.look(|run, _| run.sequence)).expect("an open run");
    }
    let took = started.elapsed();
    let memory = limits::memory(std::process::id(), "VmHWM");
    let runs = engine.live_runs().len();
    println!("{} {} {memory} {runs}", took.as_nanos(), adopted.as_nanos());
    // As after a crash: nobody closes anything.
    std::process::exit(0);
}

/// Resumed, and what they take on the disk.
pub(crate) fn figures(bench: &Bench) -> Vec<Line> {
    let count = bench.crowd(10_000);
    let folder = make(bench, count);
    let state = folder.path().join("state");
    let segments = Snapshot::read(&state).expect("a journal").segments().to_vec();
    let records: u64 = segments.iter().map(|segment| segment.used).sum();
    let disk = limits::room(&state);
    let of = |name: &str| megabytes(limits::room(&state.join(name)));
    let parts = format!("journal {}, index {}, plans {}", of("journal"), of("index"), of("blobs"));

    let scan = Instant::now();
    drop(Snapshot::read(&state));
    let scan = scan.elapsed();
    let mut rounds: Vec<Vec<u64>> = (0..bench.rounds(3)).map(|_| child(&state)).collect();
    rounds.sort();
    let middle = &rounds[rounds.len() / 2];
    let (took, adopted, memory) = (Duration::from_nanos(middle[0]), Duration::from_nanos(middle[1]), middle[2]);
    assert_eq!(middle[3], count as u64, "all of them go on");
    let name = format!("{} open runs resumed", grouped(count as u64));
    let ratio = disk as f64 / records as f64;
    let beside = format!("{} a scan; adopted in {adopted:.0?}", times(took.as_secs_f64() / scan.as_secs_f64()));
    vec![
        Line::new(&name).measured(format!("{took:.0?}")).beside(beside).aim("≤ 1 s", took <= Duration::from_secs(1)),
        Line::new("  its memory")
            .measured(megabytes(memory))
            .beside(format!("{:.1} kB a run", memory as f64 / count as f64 / 1000.0))
            .aim("≤ 200 MB", memory <= 200_000_000),
        Line::new("  on the disk")
            .measured(format!("{} the records", times(ratio)))
            .beside(parts)
            .aim("≤ 3 ×", ratio <= 3.0),
    ]
}

fn child(state: &Path) -> Vec<u64> {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).arg(CHILD).arg(state).stderr(Stdio::inherit()).output().expect("a child");
    let text = String::from_utf8(output.stdout).expect("numbers");
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}
