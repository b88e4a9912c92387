//! The visible list of built-in executors. To add one: its file, and a line here.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule_plugin::Executor;

use crate::{command, dns_check, files, http, noop, tcp_probe, wait};

/// Every built-in executor under the name that `uses:` takes.
#[must_use]
pub fn builtin() -> BTreeMap<&'static str, Arc<dyn Executor>> {
    let list: [(&'static str, Arc<dyn Executor>); 11] = [
        ("command", Arc::new(command::Command)),
        ("dns.check", Arc::new(dns_check::DnsCheck)),
        ("files.copy", Arc::new(files::copy::Copy)),
        ("files.moveAside", Arc::new(files::move_aside::MoveAside)),
        ("files.remove", Arc::new(files::remove::Remove)),
        ("files.verify", Arc::new(files::verify::Verify)),
        ("http.call", Arc::new(http::call::HttpCall::default())),
        ("http.probe", Arc::new(http::probe::HttpProbe::default())),
        ("noop", Arc::new(noop::Noop)),
        ("tcp.probe", Arc::new(tcp_probe::TcpProbe)),
        ("wait", Arc::new(wait::Wait)),
    ];
    BTreeMap::from(list)
}
