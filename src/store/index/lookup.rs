//! Reading and writing the index's one sled tree: keys, large values, and what a page has changed but not yet written.
//!
//! A value of more than 4 KiB is cut into chunks, because sled 0.34 moves large leaves to files that it never flushes.
//! Start at [`Lookup::get`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Change, Tree};
use crate::store::record::Cursor;

/// The largest value that sled is given.
const VALUE_MAX: usize = 4096;
/// First byte of a chunk's key.
const CHUNK: u8 = 254;
/// First byte of the keys about the index itself.
const META: u8 = 255;
/// First byte of a value that is stored whole.
const WHOLE: u8 = 0;
/// First byte of a value that is stored in chunks; their count follows.
const CHUNKED: u8 = 1;

/// The index at one moment.
///
/// A read that fails answers *nothing there* and is remembered: whatever was made of it is thrown away, and the index
/// is built anew.
pub struct Lookup<'a> {
    db: &'a sled::Tree,
    /// Changes that are not in sled yet; `None` is a removal.
    fresh: RefCell<BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    failure: RefCell<Option<String>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(db: &'a sled::Tree) -> Self {
        Self { db, fresh: RefCell::default(), failure: RefCell::default() }
    }

    /// The value at a key.
    #[must_use]
    pub fn get(&self, tree: Tree, key: &[u8]) -> Option<Vec<u8>> {
        let stored = self.raw(&full_key(tree, key))?;
        self.whole(tree, key, &stored)
    }

    /// At most `limit` keys that begin with `prefix`, with their values, in the order of keys.
    #[must_use]
    pub fn scan(&self, tree: Tree, prefix: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let from = full_key(tree, prefix);
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let fresh: Vec<(Vec<u8>, Option<Vec<u8>>)> = {
            let fresh = self.fresh.borrow();
            let range = fresh.range(from.clone()..).take_while(|(key, _)| key.starts_with(&from));
            range.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        // So many rows of sled may be hidden by fresh removals, and no more.
        let want = limit.saturating_add(fresh.len());
        let stored = guarded(|| self.db.scan_prefix(&from).take(want).collect::<sled::Result<Vec<_>>>());
        match stored {
            Ok(stored) => rows.extend(stored.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()))),
            Err(cause) => self.fail(&cause),
        }
        for (key, value) in fresh {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
        let row = |(key, stored): (Vec<u8>, Vec<u8>)| {
            let value = self.whole(tree, &key[1..], &stored)?;
            Some((key[1..].to_vec(), value))
        };
        rows.into_iter().take(limit).filter_map(row).collect()
    }

    fn raw(&self, key: &[u8]) -> Option<Vec<u8>> {
        if let Some(value) = self.fresh.borrow().get(key) {
            return value.clone();
        }
        match guarded(|| self.db.get(key)) {
            Ok(value) => value.map(|value| value.to_vec()),
            Err(cause) => {
                self.fail(&cause);
                None
            }
        }
    }

    fn whole(&self, tree: Tree, key: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
        match stored.split_first() {
            Some((&WHOLE, value)) => Some(value.to_vec()),
            Some((&CHUNKED, _)) => {
                let mut value = Vec::new();
                for index in 0..chunks_in(stored) {
                    let Some(chunk) = self.raw(&chunk_key(tree, key, index)) else {
                        self.fail(&"a chunk of a value is missing");
                        return None;
                    };
                    value.extend_from_slice(&chunk);
                }
                Some(value)
            }
            Some(_) | None => {
                self.fail(&"a value has an unknown form");
                None
            }
        }
    }

    fn fail(&self, cause: &dyn std::fmt::Display) {
        self.failure.borrow_mut().get_or_insert_with(|| cause.to_string());
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Makes a change visible to later reads, and to [`Lookup::write`].
    pub(super) fn change(&self, change: Change) {
        match change {
            Change::Put { tree, key, value } => {
                self.drop_chunks(tree, &key, value.len());
                self.put(tree, &key, &value);
            }
            Change::Delete { tree, key } => {
                self.drop_chunks(tree, &key, 0);
                self.set(full_key(tree, &key), None);
            }
        }
    }

    fn put(&self, tree: Tree, key: &[u8], value: &[u8]) {
        let mut stored = Vec::with_capacity(value.len().min(VALUE_MAX) + 1);
        if value.len() < VALUE_MAX {
            stored.push(WHOLE);
            stored.extend_from_slice(value);
        } else {
            let mut count = 0u32;
            for chunk in value.chunks(VALUE_MAX) {
                self.set(chunk_key(tree, key, count), Some(chunk.to_vec()));
                count += 1;
            }
            stored.push(CHUNKED);
            stored.extend_from_slice(&count.to_be_bytes());
        }
        self.set(full_key(tree, key), Some(stored));
    }

    /// Removes the chunks that a value has now and will not have with `len` bytes.
    fn drop_chunks(&self, tree: Tree, key: &[u8], len: usize) {
        let Some(stored) = self.raw(&full_key(tree, key)) else { return };
        let kept = if len < VALUE_MAX { 0 } else { len.div_ceil(VALUE_MAX) };
        let kept = u32::try_from(kept).unwrap_or(u32::MAX);
        for index in kept..chunks_in(&stored) {
            self.set(chunk_key(tree, key, index), None);
        }
    }

    fn set(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.fresh.borrow_mut().insert(key, value);
    }

    /// Writes all changes and the cursor as one atomic batch.
    pub(super) fn write(self, cursor: Cursor) -> Result<(), String> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let mut batch = sled::Batch::default();
        for (key, value) in self.fresh.into_inner() {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch.insert(meta_key("cursor"), &cursor.to_u64().to_be_bytes());
        let db = self.db;
        guarded(|| db.apply_batch(batch))
    }
}

/// How many chunks a stored value has.
fn chunks_in(stored: &[u8]) -> u32 {
    match stored {
        [CHUNKED, count @ ..] => count.try_into().map_or(0, u32::from_be_bytes),
        _ => 0,
    }
}

fn full_key(tree: Tree, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(tree.tag());
    full.extend_from_slice(key);
    full
}

/// The key's length stands before it, so that no other key with an index behind it reads the same.
fn chunk_key(tree: Tree, key: &[u8], index: u32) -> Vec<u8> {
    let len = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut full = vec![CHUNK, tree.tag()];
    full.extend_from_slice(&len.to_be_bytes());
    full.extend_from_slice(key);
    full.extend_from_slice(&index.to_be_bytes());
    full
}

pub(super) fn meta_key(name: &str) -> Vec<u8> {
    let mut full = vec![META];
    full.extend_from_slice(name.as_bytes());
    full
}

/// Calls into sled, whose recovery and reads panic on some damage instead of answering with an error.
pub(super) fn guarded<T, E: std::fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer.map_err(|cause| cause.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(format!("it panicked: {text}"))
        }
    }
}
