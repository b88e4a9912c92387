//! Figures of the engine in this process: what a durable step costs, in time and in processor time.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bascule::engine::{Engine, EngineOptions, NewRun, RunHandle};
use bascule::machine::fact::Actor;
use bascule::plan::Plan;
use bascule::store::JournalOptions;
use tokio::runtime::Runtime;

use crate::disk::{CountingDisk, Flushes};
use crate::limits::{self, median};
use crate::plans;
use crate::table::{Bench, Line, times};

/// How often what no event tells is looked at.
const LOOK: Duration = Duration::from_micros(300);

/// An engine on a new state directory, and what counts its flushes.
pub(crate) struct Rig {
    pub(crate) runtime: Runtime,
    pub(crate) engine: Engine,
    pub(crate) disk: Arc<CountingDisk>,
    folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new(folder: &Path, flushes: Flushes) -> Self {
        let folder = tempfile::tempdir_in(folder).expect("a folder");
        let (runtime, disk) = (runtime(), CountingDisk::new(flushes));
        let mut options = EngineOptions::new(folder.path().join("state"));
        options.journal = JournalOptions { disk: disk.clone(), ..JournalOptions::default() };
        let engine = runtime.block_on(Engine::start(options)).expect("an engine");
        Self { runtime, engine, disk, folder }
    }

    /// Runs plans side by side; from their creation to the end of their last steps.
    pub(crate) fn run(&self, plans: &[Arc<Plan>]) -> Duration {
        let started = Instant::now();
        let create = |plan: &Arc<Plan>| self.engine.create(new_run(plan));
        let handles = self.runtime.block_on(futures_util::future::join_all(plans.iter().map(create)));
        for handle in handles {
            self.await_end(&handle.expect("a run"));
        }
        started.elapsed()
    }

    /// From this thread, which executes nothing else: whoever waits must not take time from those who work.
    fn await_end(&self, handle: &RunHandle) {
        let is_over = || self.runtime.block_on(handle.look(|run, _| run.exposed.is_some() || run.state.is_final()));
        while !is_over().unwrap_or(true) {
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn stop(self) -> tempfile::TempDir {
        self.runtime.block_on(self.engine.stop()).expect("a clean stop");
        self.folder
    }
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

pub(crate) fn new_run(plan: &Arc<Plan>) -> NewRun {
    let by = Actor::named("bench");
    NewRun { plan: plan.clone(), by, reason: None, trust_claimed_names: false, go_at: None }
}

/// A chain: nothing but the flush should be felt.
pub(crate) fn chain(bench: &Bench) -> Vec<Line> {
    const STEPS: u32 = 1000;
    let (mut ratios, mut most) = (Vec::new(), 0);
    for round in 0..bench.rounds(5) {
        let rig = Rig::new(bench.folder(), Flushes::Real);
        let f = limits::f(bench.folder());
        let plan = plans::chain(&format!("chain{round}"), STEPS as usize);
        let before = rig.disk.count();
        let step = rig.run(&[plan]) / STEPS;
        most = most.max(rig.disk.count() - before);
        ratios.push((step.as_secs_f64() / f.as_secs_f64(), step, f));
        drop(rig.stop());
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, step, f) = ratios[ratios.len() / 2];
    vec![
        Line::new("chain of 1,000 steps")
            .measured(format!("{step:.0?} a step"))
            .beside(format!("{ratio:.2} F (F {f:.0?})"))
            .aim("≤ 1.5 F", ratio <= 1.5),
        Line::new("  its flushes")
            .measured(format!("{most}"))
            .beside("1 a step".to_owned())
            .aim("≤ 1,010", most <= 1010),
    ]
}

/// Many at once: one flush serves them all.
pub(crate) fn fan(bench: &Bench) -> Vec<Line> {
    let rate = |round| {
        let rig = Rig::new(bench.folder(), Flushes::Real);
        let plan = plans::fan(&format!("fan{round}"), 1000);
        let before = rig.disk.count();
        let took = rig.run(&[plan]);
        let flushes = rig.disk.count() - before;
        drop(rig.stop());
        (took, flushes)
    };
    let (took, flushes) = middle((0..bench.rounds(7)).map(rate).collect());
    let per_second = 1000.0 / took.as_secs_f64();
    vec![
        Line::new("fan-out of 1,000 steps")
            .measured(format!("{per_second:.0} steps/s"))
            .beside(format!("{flushes} flushes"))
            .aim("≥ 25,000", per_second >= 25_000.0),
    ]
}

fn middle(mut rounds: Vec<(Duration, u64)>) -> (Duration, u64) {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

/// Many runs share flushes.
pub(crate) fn many(bench: &Bench) -> Vec<Line> {
    let rate = |round| {
        let rig = Rig::new(bench.folder(), Flushes::Real);
        let plans: Vec<_> = (0..100).map(|at| plans::chain(&format!("many{round}x{at}"), 20)).collect();
        let before = rig.disk.count();
        let took = rig.run(&plans);
        let flushes = rig.disk.count() - before;
        drop(rig.stop());
        (took, flushes)
    };
    let (took, flushes) = middle((0..bench.rounds(7)).map(rate).collect());
    let per_second = 2000.0 / took.as_secs_f64();
    vec![
        Line::new("100 runs of 20 steps")
            .measured(format!("{per_second:.0} steps/s"))
            .beside(format!("{flushes} flushes"))
            .aim("≥ 40,000", per_second >= 40_000.0),
    ]
}

/// Processes: the spawn and the flush, and little more.
pub(crate) fn spawns(bench: &Bench) -> Vec<Line> {
    let mut ratios = Vec::new();
    for round in 0..bench.rounds(5) {
        let rig = Rig::new(bench.folder(), Flushes::Real);
        let limit = (limits::s() + limits::f(bench.folder())) * 50;
        let took = rig.run(&[plans::spawns(&format!("spawns{round}"), 50)]);
        ratios.push((took.as_secs_f64() / limit.as_secs_f64(), took, limits::s()));
        drop(rig.stop());
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, took, s) = ratios[ratios.len() / 2];
    vec![
        Line::new("50 × /bin/true")
            .measured(format!("{took:.1?}"))
            .beside(format!("{ratio:.2} × 50 (S + F) (S {s:.0?})"))
            .aim("≤ 1.25", ratio <= 1.25),
    ]
}

/// Processor time of a step: decided, encoded, written, performed; only the flush itself is left out.
pub(crate) fn processor(bench: &Bench) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut smallest = f64::MAX;
    for (steps, rounds) in [(100u32, 9), (1000, 5), (10_000, 1)] {
        let mut of_engine = Vec::new();
        let mut of_index = Vec::new();
        for round in 0..bench.rounds(rounds) {
            let rig = Rig::new(bench.folder(), Flushes::LeftOut);
            // The first run warms the process up.
            rig.run(&[plans::chain("warm", 100)]);
            let plan = plans::chain(&format!("cpu{round}"), steps as usize);
            let before = limits::processor();
            rig.run(&[plan]);
            // The index is a little behind: what it costs is known once it has caught up.
            drop(rig.runtime.block_on(rig.engine.rows()));
            let after = limits::processor();
            of_engine.push((after.0 - before.0) / steps);
            of_index.push((after.1 - before.1) / steps);
            drop(rig.stop());
        }
        let (engine, index) = (median(of_engine), median(of_index));
        smallest = smallest.min(engine.as_secs_f64());
        let name = format!("processor, chain of {}", crate::table::grouped(steps.into()));
        let growth = times(engine.as_secs_f64() / smallest);
        lines.push(
            Line::new(&name)
                .measured(format!("{engine:.1?} a step"))
                .beside(format!("{growth} the smallest; index {index:.1?}"))
                .aim("≤ 25 µs, flat", engine <= Duration::from_micros(25)),
        );
    }
    lines
}
