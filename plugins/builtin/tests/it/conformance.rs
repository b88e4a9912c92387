//! Every registered executor passes the conformance checks of the contract.

mod files;
mod network;
mod processes;

use std::collections::BTreeSet;
use std::sync::Arc;

use bascule_builtin::registry::builtin;
use bascule_plugin::conformance::{Subject, violations};
use bascule_plugin::{Effect, Executor};

/// Every subject; an executor may have several.
fn subjects() -> Vec<Box<dyn Subject>> {
    let (idle, slow) = (processes::idle_subjects(), processes::slow_subjects());
    [processes::subjects(), idle, slow, files::copies(), files::others(), network::subjects()]
        .into_iter()
        .flatten()
        .collect()
}

/// The executor as the engine gets it.
pub(crate) fn registered(name: &str) -> Arc<dyn Executor> {
    Arc::clone(builtin().get(name).expect("the executor is registered"))
}

async fn conforms(subjects: Vec<Box<dyn Subject>>) {
    for subject in subjects {
        let start = std::time::Instant::now();
        let found: Vec<String> = violations(&*subject).await.iter().map(ToString::to_string).collect();
        println!("{}: {:.1} s", subject.name(), start.elapsed().as_secs_f64());
        assert!(found.is_empty(), "{}", found.join("\n\n"));
    }
}

#[tokio::test]
async fn executors_of_processes_conform() {
    conforms(processes::subjects()).await;
}

#[tokio::test]
async fn executors_that_let_time_pass_conform() {
    conforms(processes::idle_subjects()).await;
}

#[tokio::test]
async fn executors_that_take_long_conform() {
    conforms(processes::slow_subjects()).await;
}

#[tokio::test]
async fn copies_of_files_conform() {
    conforms(files::copies()).await;
}

#[tokio::test]
async fn other_executors_of_files_conform() {
    conforms(files::others()).await;
}

#[tokio::test]
async fn executors_of_the_network_conform() {
    conforms(network::subjects()).await;
}

#[test]
fn every_registered_executor_is_a_subject() {
    let tried: BTreeSet<&str> = subjects().iter().map(|subject| subject.executor().describe().name).collect();
    let registered: BTreeSet<&str> = builtin().into_keys().collect();
    assert_eq!(registered, tried, "each executor in the registry needs a subject in tests/it/conformance");
}

#[test]
fn executors_are_registered_under_their_own_names() {
    for (name, executor) in builtin() {
        assert_eq!(name, executor.describe().name);
    }
}

#[tokio::test]
async fn every_probe_is_tried() {
    let mut tried = BTreeSet::new();
    for subject in subjects() {
        if subject.effect(&subject.fresh().await.with()) == Effect::Probe {
            tried.insert(subject.executor().describe().name);
        }
    }
    for (name, executor) in builtin() {
        assert_eq!(
            executor.describe().probes,
            tried.contains(name),
            "a subject of {name} must have the effect `probe`"
        );
    }
}
