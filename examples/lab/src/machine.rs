//! A machine as a platform has it in its books, and what the platforms have different ideas of.
//!
//! Plain data; nothing here runs. Start with [`Machine`].

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::disk::Format;
use crate::orders::Mode;
use crate::window::Side;

/// A copy of a disk that a person can go back to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Snapshot {
    pub name: String,
    pub at: u64,
    pub path: PathBuf,
}

/// A machine as the platform has it in its books.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub name: String,
    pub uuid: String,
    /// Whether it is meant to be on.
    pub on: bool,
    pub disk: Option<PathBuf>,
    pub storage_profile: Option<String>,
    pub mode: Mode,
    pub snapshots: Vec<Snapshot>,
}

impl Machine {
    pub(crate) fn new(name: &str, uuid: String) -> Self {
        Self {
            name: name.to_owned(),
            uuid,
            on: false,
            disk: None,
            storage_profile: None,
            mode: Mode::default(),
            snapshots: Vec::new(),
        }
    }
}

/// Something that machines of this platform must be able to reach.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub name: &'static str,
    pub address: SocketAddr,
}

/// What differs between the two platforms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub format: Format,
    pub driver: &'static str,
    pub tools: &'static str,
    pub profiles: &'static [&'static str],
}

impl Kind {
    pub(crate) fn of(side: Side) -> Self {
        match side {
            Side::Source => {
                Self { format: Format::Vmdk, driver: "pvscsi", tools: "vmware-tools", profiles: &["vsan-default"] }
            }
            Side::Target => Self {
                format: Format::Qcow2,
                driver: "virtio",
                tools: "qemu-guest-agent",
                profiles: &["gold-replicated", "silver-local"],
            },
        }
    }
}

/// A random identity, in the form of a version 4 UUID.
pub(crate) fn new_uuid() -> String {
    let bits = (fastrand::u128(..) & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_new_identity_looks_like_a_random_uuid() {
        let uuid = super::new_uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&uuid.as_bytes()[19]));
        assert_ne!(uuid, super::new_uuid());
    }
}
