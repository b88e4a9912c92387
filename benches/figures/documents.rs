//! Figures of the compiler: a large runbook beside what the YAML parser alone takes for its text.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bascule::plan::{History, Input, compile};
use bascule::runbook::{Documents, yaml};
use serde_yaml::granit_parser::Parser;

use crate::limits::median;
use crate::table::{Bench, Line, megabytes, times};

const HEAD: &str = "application: big\nsourcePlatform: a\ntargetPlatform: b\ndataOnRollback: stateless\nrollbackWindow: 1h\ncutoverSteps:\n";

/// A runbook of n steps with six keys each, every one after the one before.
pub(crate) fn six_keys(n: usize) -> String {
    let mut text = HEAD.to_owned();
    for at in 0..n {
        let need = if at == 0 { String::new() } else { format!("    needs: [step_{}]\n", at - 1) };
        let exposes = if at + 1 == n { "    exposes: true\n" } else { "" };
        let step = write!(
            text,
            "  - id: step_{at}\n    uses: command\n    with: {{ argv: [/usr/local/bin/move-part, \"--part={at}\"] }}\n    effect: idempotent\n    timeout: 5m\n{need}{exposes}    undo: {{ uses: command, with: {{ argv: [/usr/local/bin/move-back, \"--part={at}\"] }} }}\n"
        );
        step.expect("a string takes everything");
    }
    text
}

/// A runbook of n steps that do nothing.
pub(crate) fn no_ops(n: usize) -> String {
    let mut text = HEAD.to_owned();
    for at in 0..n {
        let exposes = if at + 1 == n { ", exposes: true" } else { "" };
        let step = writeln!(
            text,
            "  - {{ id: s{at}, uses: noop, effect: idempotent, undo: none, reason: nothing to take back{exposes} }}"
        );
        step.expect("a string takes everything");
    }
    text
}

/// From bytes to a checked, hashed plan; and how much of it was reading the document.
fn compiled(text: &str) -> (Duration, Duration) {
    let executors = bascule::engine::registry::known(&bascule::engine::registry::executors());
    let started = Instant::now();
    let mut documents = Documents::new();
    let file = documents.add("big.yaml", text.as_bytes());
    let runbook = documents.runbook(file).expect("a runbook");
    let read = started.elapsed();
    let compiled = compile(&Input {
        files: documents.sources(),
        runbook: &runbook,
        overlays: &[],
        catalogs: &[],
        executors: &executors,
        history: &History::default(),
    });
    let plan = compiled.plan.expect("a plan");
    let took = started.elapsed();
    drop(plan);
    (took, read)
}

/// The events of the parser, and nothing made of them.
fn parsed(text: &str) -> Duration {
    let started = Instant::now();
    let events = Parser::new_from_str(text).filter(|event| event.is_ok()).count();
    let took = started.elapsed();
    assert!(events > 10_000, "all of it was read");
    took
}

/// The tree with places, before it is a document.
fn tree(text: &str) -> Duration {
    let mut documents = Documents::new();
    let file = documents.add("big.yaml", text.as_bytes());
    let started = Instant::now();
    let node = yaml::parse(file, text).expect("YAML");
    let took = started.elapsed();
    drop(node);
    took
}

/// Reading and compiling.
pub(crate) fn compile_time(bench: &Bench) -> Vec<Line> {
    let text = six_keys(10_000);
    let (mut parser, mut trees, mut whole, mut reads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.rounds(7) {
        parser.push(parsed(&text));
        trees.push(tree(&text));
        let (took, read) = compiled(&text);
        whole.push(took);
        reads.push(read);
    }
    let (parser, tree, whole, read) = (median(parser), median(trees), median(whole), median(reads));
    let of = |took: Duration| took.as_secs_f64() / parser.as_secs_f64();
    vec![
        Line::new("10,000 steps compiled")
            .measured(format!("{whole:.1?}"))
            .beside(format!(
                "{} the parser ({parser:.0?}; tree {}, read {})",
                times(of(whole)),
                times(of(tree)),
                times(of(read))
            ))
            .aim("≤ 1.5 ×", of(whole) <= 1.5),
        Line::new("  its text").measured(megabytes(text.len() as u64)),
    ]
}
