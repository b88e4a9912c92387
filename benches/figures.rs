//! The engine's figures, each beside the limit measured in the same round: `cargo bench`.
//!
//! Nothing here asserts a time: machines are shared and noisy. Ratios inside one round are the result.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bascule::engine::{Engine, EngineOptions, NewRun};
use bascule::machine::fact::Actor;
use bascule::plan::Plan;
use support::{chain, fan, measure_f, measure_s, median, plan, step};

fn actor() -> Actor {
    Actor { name: "bench".to_owned(), claimed: None, channel: None }
}

/// Runs a plan to its end; the time from creation to the end of the last step.
async fn run(engine: &Engine, plan: &Arc<Plan>) -> Duration {
    let started = Instant::now();
    let new = NewRun { plan: plan.clone(), by: actor(), reason: None, trust_claimed_names: false };
    let handle = engine.create(new).await.expect("a run");
    loop {
        let over = handle.look(|run, _| run.exposed.is_some() || run.state.is_final()).await;
        if over.unwrap_or(true) {
            return started.elapsed();
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

fn print(name: &str, measured: &str, limit: &str, aim: &str) {
    println!("{name:<34} {measured:>22}   {limit:<26} aim {aim}");
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(figures());
}

async fn figures() {
    let folder = tempfile::tempdir_in(".").expect("a folder on the disk that is measured");
    let engine = Engine::start(EngineOptions::new(folder.path().join("state"))).await.expect("an engine");
    let (f, s) = (measure_f(), measure_s());
    println!("F (fdatasync of a 200-byte append) {f:?}, S (spawn of /bin/true) {s:?}\n");
    for round in 0..3 {
        let f = measure_f();
        let took = run(&engine, &chain(&format!("chain{round}"), 1000)).await;
        let per = took / 1000;
        print(
            "chain of 1,000",
            &format!("{per:?}/step"),
            &format!("{:.2} F", per.as_secs_f64() / f.as_secs_f64()),
            "≤ 1.5 F",
        );
        let took = run(&engine, &fan(&format!("fan{round}"), 1000)).await;
        print("fan-out of 1,000", &format!("{:.0} steps/s", 1000.0 / took.as_secs_f64()), "", "≥ 25,000 steps/s");
        let plans: Vec<Arc<Plan>> = (0..100).map(|at| chain(&format!("many{round}x{at}"), 20)).collect();
        let started = Instant::now();
        futures_util::future::join_all(plans.iter().map(|plan| run(&engine, plan))).await;
        let rate = 2000.0 / started.elapsed().as_secs_f64();
        print("100 runs x 20 steps", &format!("{rate:.0} steps/s"), "", "≥ 40,000 steps/s");
        let steps = |n: usize| -> Vec<_> {
            let names: Vec<String> = (0..n).map(|at| format!("t{at}")).collect();
            (0..n)
                .map(|at| {
                    let needs: Vec<&str> = if at == 0 { vec![] } else { vec![names[at - 1].as_str()] };
                    step(&names[at], "command", serde_json::json!({ "argv": ["/bin/true"] }), &needs)
                })
                .collect()
        };
        let s = measure_s();
        let took = run(&engine, &plan(&format!("true{round}"), steps(50), true)).await;
        let limit = (s + f) * 50;
        print(
            "50 x /bin/true",
            &format!("{took:?}"),
            &format!("{:.2} x 50 (S + F)", took.as_secs_f64() / limit.as_secs_f64()),
            "≤ 1.25",
        );
    }
    let _ = median(vec![f]);
    engine.stop().await.expect("a clean stop");
}
