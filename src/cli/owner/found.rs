//! What an engine found when it started, as whoever starts one is told.

use std::collections::BTreeMap;

use super::Serves;
use crate::engine::Engine;
use crate::server::wire::{AdoptedView, Health};

/// What an owner says of itself and of what it found.
pub(super) fn health(engine: &Engine, serves: Serves) -> Health {
    let ended = engine.ended_attempts();
    let is_adopted = |run: &str| engine.adopted().iter().any(|adopted| adopted.run.as_str() == run);
    let mut of_over = BTreeMap::new();
    for run in ended.iter().filter_map(|id| run_of(id)).filter(|run| !is_adopted(run)) {
        of_over.entry(run.clone()).or_insert_with(|| attempts_of(&run, ended));
    }
    let adopted = engine.adopted().iter().map(|adopted| AdoptedView {
        run: adopted.run.to_string(),
        state: adopted.state.word().to_owned(),
        away_ms: adopted.away_ms,
        up_since_at: adopted.up_since,
        down_since_at: adopted.down_since,
        ended_attempts: attempts_of(adopted.run.as_str(), ended),
    });
    Health {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        state: engine.state_dir().display().to_string(),
        folder: std::env::current_dir().map(|folder| folder.display().to_string()).unwrap_or_default(),
        started_at: engine.clock().now().steady,
        detached: serves == Serves::People,
        adopted: adopted.collect(),
        ended: of_over,
        found: found(engine),
        complaints: vec![],
    }
}

/// What people should know of the start.
fn found(engine: &Engine) -> Vec<String> {
    let report = engine.report();
    let cut = if report.is_clean() { String::new() } else { report.to_string() };
    cut.lines().map(str::to_owned).chain(engine.notes().iter().cloned()).collect()
}

/// `directory/application/number/step/forward-1` → `application/number`.
fn run_of(id: &str) -> Option<String> {
    let mut words = id.split('/').skip(1);
    Some(format!("{}/{}", words.next()?, words.next()?))
}

/// `directory/application/number/step/forward-1` → `step (forward-1)`, of one run.
fn attempts_of(run: &str, ended: &[String]) -> Vec<String> {
    let of_run = |id: &String| {
        let (_, rest) = id.split_once('/')?;
        let (step, label) = rest.strip_prefix(run)?.strip_prefix('/')?.rsplit_once('/')?;
        Some(format!("{step} ({label})"))
    };
    ended.iter().filter_map(of_run).collect()
}
