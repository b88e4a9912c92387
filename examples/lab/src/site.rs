//! `lab.json`: where everything is, for people, tests and the inputs of a runbook.
//!
//! Written once all services listen, replaced whole. Start with [`Site`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::platform::write_whole;

/// The file's name inside the lab's folder.
pub const SITE: &str = "lab.json";

/// A lab as it describes itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    /// The serving process.
    pub pid: u32,
    /// The application in the machines.
    pub application: String,
    /// The machine that moves; it has the same name on both sides.
    pub vm: String,
    /// `host:port` of every door by name.
    pub addresses: BTreeMap<String, String>,
    /// What the catalog `lab` takes as inputs.
    pub inputs: BTreeMap<String, Value>,
}

/// Why a folder is no lab's.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The file cannot be read.
    #[error("cannot read {}: start a lab there with `lab serve --dir {}`", path.display(), path.parent().unwrap_or(path).display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is none of ours.
    #[error("{} does not describe a lab", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Site {
    /// Reads the description of the lab in `dir`.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn read(dir: &Path) -> Result<Self, SiteError> {
        let path = dir.join(SITE);
        let bytes = std::fs::read(&path).map_err(|source| SiteError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|source| SiteError::Parse { path, source })
    }

    pub(crate) fn write(&self, dir: &Path) -> std::io::Result<()> {
        write_whole(&dir.join(SITE), &serde_json::to_vec_pretty(self)?)
    }

    /// The base URL of a service: `sourceApi`, `targetApi`, `lb`, `vip`, `dnsApi`, `backup`, `metrics`, `control`.
    #[must_use]
    pub fn url(&self, name: &str) -> Option<String> {
        self.addresses.get(name).map(|address| format!("http://{address}"))
    }

    /// The port that a door had, so that a restarted lab is where its runbooks expect it.
    pub(crate) fn port(&self, name: &str) -> u16 {
        self.addresses
            .get(name)
            .and_then(|one| one.rsplit_once(':'))
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(0)
    }
}
