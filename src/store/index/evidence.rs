//! The heads that an index holds, read and forgotten while no engine uses it.
//!
//! A head that the log does not hold is evidence that the log lost something. It stays until a person decides about its
//! run. Only who owns the state directory may call anything here: sled lets one process in, and writes even where it
//! is only read. Start at [`heads`].

use std::path::Path;

use super::lookup::{Lookup, guarded, meta_key};
use super::worker::CACHE_BYTES;
use super::{Change, Tree};
use crate::store::StateDir;
use crate::store::record::{Cursor, Head, RunName};

/// The heads in the index of a state directory; none if it has no index. Blocks.
///
/// # Errors
/// Why sled cannot read it, in words.
pub fn heads(owned: &StateDir) -> Result<Vec<Head>, String> {
    let Some(db) = open(owned.path())? else { return Ok(Vec::new()) };
    let lookup = Lookup::new(&db);
    let found = super::heads_of(lookup.scan(Tree::Heads, b"", usize::MAX));
    match lookup.failure() {
        Some(failure) => Err(failure),
        None => Ok(found),
    }
}

/// Takes the heads of runs out of the index: somebody decided what to believe of them. Blocks.
///
/// # Errors
/// As [`heads`].
pub(in crate::store) fn forget(owned: &StateDir, runs: &[RunName]) -> Result<(), String> {
    let Some(db) = open(owned.path())? else { return Ok(()) };
    let lookup = Lookup::new(&db);
    for run in runs {
        lookup.change(Change::Delete { tree: Tree::Heads, key: run.as_str().as_bytes().to_vec() });
    }
    let cursor = guarded(|| db.get(meta_key("cursor")))?.and_then(|bytes| <[u8; 8]>::try_from(&*bytes).ok());
    lookup.write(cursor.map_or(Cursor::START, |bytes| Cursor::from_u64(u64::from_be_bytes(bytes))))?;
    guarded(|| db.flush().map(drop))
}

fn open(state_dir: &Path) -> Result<Option<sled::Db>, String> {
    let dir = state_dir.join("index");
    if !dir.is_dir() {
        return Ok(None);
    }
    guarded(|| sled::Config::new().path(&dir).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()).map(Some)
}
