//! The executors that an engine has, and what a compiler of plans needs to know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule_plugin::{Description, Executor};

use super::convert;
use crate::plan::{ExecutorInfo, Executors};

/// Executors under the names that `uses:` takes.
pub type Registry = BTreeMap<&'static str, Arc<dyn Executor>>;

/// The ones that this program has.
#[must_use]
pub fn executors() -> Registry {
    bascule_builtin::registry::builtin()
}

/// What plans are compiled against: a plan names only executors that are there.
#[must_use]
pub fn known(registry: &Registry) -> Executors {
    let info = |description: Description, progress: bool| ExecutorInfo {
        contract: Some(bascule_plugin::CONTRACT_VERSION),
        sha256: None,
        params: description.params,
        effect: convert::effect(description.effect),
        probes: description.probes,
        undoes: description.undoes,
        progress,
        outputs: description.outputs.iter().map(|(name, _)| (*name).to_owned()).collect(),
    };
    registry
        .iter()
        .map(|(name, executor)| ((*name).to_owned(), info(executor.describe(), executor.reports_progress())))
        .collect()
}
