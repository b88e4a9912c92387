//! Who talks: the user of the process at the other end of the socket.

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use crate::machine::fact::Actor;

/// The process at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its user; absent where the kernel does not tell.
    pub uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { uid: stream.io().peer_cred().ok().map(|cred| cred.uid()) }
    }
}

impl Peer {
    /// The actor, with the names that they give to themselves and to their request.
    #[must_use]
    pub fn actor(self, claimed: Option<String>, request: Option<String>) -> Actor {
        let name = self.uid.map_or_else(|| "unknown".to_owned(), user_name);
        Actor { name, claimed, channel: Some("socket".to_owned()), request }
    }
}

/// This process's user, for decisions that are written down without a socket.
#[must_use]
pub fn this_process(claimed: Option<String>) -> Actor {
    let uid = rustix::process::getuid().as_raw();
    Actor { name: user_name(uid), claimed, channel: Some("file".to_owned()), request: None }
}

/// The name of a user on this machine; `uid 1000` where it has none here.
#[must_use]
pub fn user_name(uid: u32) -> String {
    entry(uid, 0).unwrap_or_else(|| format!("uid {uid}"))
}

/// This process's home as the machine knows it, for callers whose environment does not say: `cron`, `systemd`.
#[must_use]
pub fn home() -> Option<std::path::PathBuf> {
    entry(rustix::process::getuid().as_raw(), 5).filter(|home| home.starts_with('/')).map(Into::into)
}

/// A field of a user's line in the machine's list.
fn entry(uid: u32, field: usize) -> Option<String> {
    let names = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    names.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number: u32 = fields.get(2)?.parse().ok()?;
        (number == uid).then(|| fields.get(field).map(|field| (*field).to_owned()))?
    })
}
