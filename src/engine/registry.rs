//! The executors that this program has.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule_plugin::Executor;

/// Every executor under the name that `uses:` takes.
#[must_use]
pub fn executors() -> BTreeMap<&'static str, Arc<dyn Executor>> {
    bascule_builtin::registry::builtin()
}
