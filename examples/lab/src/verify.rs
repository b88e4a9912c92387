//! The proof after a cutover or a rollback: is every order that a user was promised on the disk that serves now?
//!
//! It reads files only, so that it works on a lab that runs, that was stopped, or that died. Start with
//! [`verify_orders`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::machine::Kind;
use crate::site::{Site, SiteError};
use crate::users::read_acked;
use crate::window::Side;

/// What became of the users' orders on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whose disk was read.
    pub side: Side,
    /// Orders that users were promised.
    pub acked: usize,
    /// Those that are on the disk.
    pub present: usize,
    /// Those that are not.
    pub missing: Vec<String>,
    /// Orders that are on the disk more than once.
    pub twice: Vec<String>,
    /// All orders on the disk, also those that nobody was promised.
    pub on_disk: usize,
}

impl Report {
    /// Whether every promise is kept, exactly once.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.missing.is_empty() && self.twice.is_empty()
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The lab's description cannot be read.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// The disk cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The users' notes cannot be read.
    #[error("cannot read the users' notes in {}", dir.display())]
    Users {
        /// The lab's folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The image that a side boots from.
#[must_use]
pub fn disk_of(dir: &Path, side: Side, vm: &str) -> PathBuf {
    dir.join(side.as_str()).join("images").join(format!("{vm}.{}", Kind::of(side).format.as_str()))
}

/// Compares the users' acknowledged orders with the disk of `side`.
///
/// # Errors
/// The lab's folder, its users' notes or the disk cannot be read.
pub fn verify_orders(dir: &Path, side: Side) -> Result<Report, VerifyError> {
    let site = Site::read(dir)?;
    // The notes first: what is noted later may not be on the disk that was read before.
    let acked = read_acked(dir).map_err(|source| VerifyError::Users { dir: dir.to_owned(), source })?;
    let image = disk::read(&disk_of(dir, side, &site.vm))?;
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for order in &image.orders {
        *seen.entry(&order.id).or_default() += 1;
    }
    let missing: Vec<String> =
        acked.iter().filter(|one| !seen.contains_key(one.id.as_str())).map(|one| one.id.clone()).collect();
    let mut twice: Vec<String> = seen.iter().filter(|(_, n)| **n > 1).map(|(id, _)| (*id).to_owned()).collect();
    twice.sort_unstable();
    let present = acked.len() - missing.len();
    Ok(Report { side, acked: acked.len(), present, missing, twice, on_disk: image.orders.len() })
}
