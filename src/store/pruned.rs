//! What stays of a segment that was removed after its retention: `journal/pruned.ndjson`, one line a segment.
//!
//! Without it a removed segment could not be told from a lost one, and the chain of a run that continues in a later
//! segment would not connect. Start at [`PrunedSegment`].

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, read_all, write_all_at};
use super::error::StoreError;
use super::format::{self, Seal};
use super::record::{Hash, RunName};

/// One removed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PrunedSegment {
    /// Its number.
    pub(super) pruned: u32,
    /// Its length, up to its seal.
    pub(super) length: u64,
    /// The SHA-256 of that, for comparing with an archived copy.
    pub(super) sha256: Hash,
    /// The seal of the segment before it, from its header.
    pub(super) after: Option<Seal>,
    /// What it held.
    pub(super) runs: Vec<PrunedRun>,
}

/// The transitions of one run in a removed segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PrunedRun {
    pub(super) run: RunName,
    /// The first version.
    pub(super) from: u64,
    /// The last version; what follows describes it.
    pub(super) to: u64,
    /// The hash before `from`.
    pub(super) prev: Hash,
    /// The hash of `to`.
    pub(super) hash: Hash,
    pub(super) epoch: u64,
    pub(super) at_ms: i64,
    #[serde(rename = "final")]
    pub(super) is_final: bool,
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join("pruned.ndjson")
}

/// Reads the list, in the order of segments. Its lines carry a CRC; one that does not fit is an error, because every
/// removed run hangs on it.
pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Vec<PrunedSegment>, StoreError> {
    let path = path_in(dir);
    let file = match disk.open_read(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(StoreError::io("opening", &path, cause)),
    };
    let bytes = read_all(&*file).map_err(|cause| StoreError::io("reading", &path, cause))?;
    let mut segments = Vec::new();
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let parsed = format::checked_body(line).and_then(|body| {
            let mut json = body.to_vec();
            json.push(b'}');
            serde_json::from_slice::<PrunedSegment>(&json).ok()
        });
        let cause = || io::Error::new(io::ErrorKind::InvalidData, "a line does not match its checksum");
        segments.push(parsed.ok_or_else(|| StoreError::io("reading the list of pruned segments", &path, cause()))?);
    }
    segments.sort_by_key(|segment| segment.pruned);
    Ok(segments)
}

/// Writes the list anew, durable when this returns.
pub(super) fn save(disk: &dyn Disk, dir: &Path, segments: &[PrunedSegment]) -> Result<(), StoreError> {
    let (path, fresh) = (path_in(dir), dir.join("pruned.ndjson.new"));
    let text: Vec<u8> = segments.iter().flat_map(format::encode_control).collect();
    let write = || -> io::Result<()> {
        let file = disk.create(&fresh)?;
        write_all_at(&*file, &text, 0).map_err(|short| short.cause)?;
        file.sync_data()?;
        disk.rename(&fresh, &path)?;
        disk.sync_dir(dir)
    };
    write().map_err(|cause| StoreError::io("writing", &path, cause))
}
