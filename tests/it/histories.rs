//! Random histories: what holds in every night.

use std::time::Instant;

use crate::support::choices::Choices;
use crate::support::history::{self, Seen};

#[test]
fn many_random_histories_break_nothing() {
    let count: u64 = std::env::var("BASCULE_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let first: u64 = std::env::var("BASCULE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let started = Instant::now();
    let mut seen = Seen::default();
    for seed in first..first + count {
        if let Err(broke) = history::live(Choices::seeded(seed), &mut seen) {
            panic!("seed {seed}: {}\n{}\nseed {seed}: {}", broke.why, broke.story, broke.why);
        }
    }
    panic!("{:#?} in {:?}", seen, started.elapsed());
}
