//! The visible list of built-in executors. To add one: its file, and a line here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule_plugin::Executor;

use crate::{command, files, http, noop, wait};

/// Every built-in executor under the name that `uses:` takes.
#[must_use]
pub fn builtin() -> BTreeMap<&'static str, Arc<dyn Executor>> {
    let list: [(&'static str, Arc<dyn Executor>); 9] = [
        ("command", Arc::new(command::Command)),
        ("files.copy", Arc::new(files::copy::Copy)),
        ("files.moveAside", Arc::new(files::move_aside::MoveAside)),
        ("files.remove", Arc::new(files::remove::Remove)),
        ("files.verify", Arc::new(files::verify::Verify)),
        ("http.call", Arc::new(http::call::HttpCall::default())),
        ("http.probe", Arc::new(http::probe::HttpProbe::default())),
        ("noop", Arc::new(noop::Noop)),
        ("wait", Arc::new(wait::Wait)),
    ];
    BTreeMap::from(list)
}
