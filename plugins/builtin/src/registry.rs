//! The visible list of built-in executors. To add one: its file, and a line here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule_plugin::Executor;

use crate::{command, noop, wait};

/// Every built-in executor under the name that `uses:` takes.
#[must_use]
pub fn builtin() -> BTreeMap<&'static str, Arc<dyn Executor>> {
    let list: [(&'static str, Arc<dyn Executor>); 3] =
        [("command", Arc::new(command::Command)), ("noop", Arc::new(noop::Noop)), ("wait", Arc::new(wait::Wait))];
    BTreeMap::from(list)
}
