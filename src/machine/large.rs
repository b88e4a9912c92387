//! Values that are too large for an event: a file keeps them, the event names it by its content.
//!
//! Everything is judged on the whole value; only the record is short. Of an object only the fields that are large go
//! to files, the largest first, so that later steps and the way back still find the small ones. Replay reads the record
//! and needs no file: an expression over a field in a file has no value. Start with [`recorded`].

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The most bytes of a value, as JSON, that enter an event.
pub const LARGEST: usize = 64 << 10;

/// The most bytes of an evaluated call, as JSON. It stands in an event as a whole, so that an attempt is the same after a
/// restart; a transition that starts several has to fit into the log.
pub(super) const LARGEST_CALL: usize = 8 << 20;

/// Whether a value, as JSON, has more bytes than that.
pub(super) fn exceeds(value: &Value, bytes: usize) -> bool {
    write!(Counted(bytes), "{value}").is_err()
}

/// Fields of fewer bytes stay: a file's name is hardly shorter.
const SMALL: usize = 256;

/// What the files of a value hold, if the value is too large for an event.
#[must_use]
pub fn contents(value: &Value) -> Vec<String> {
    split(value).map_or_else(Vec::new, |(_, files)| files)
}

/// What an event says of a value: the value, or instead of what is too large of it a file's name and how long it is.
pub(super) fn recorded(value: &Arc<Value>) -> Arc<Value> {
    split(value).map_or_else(|| value.clone(), |(record, _)| Arc::new(record))
}

/// A value that is too large, as an event and as files.
fn split(value: &Value) -> Option<(Value, Vec<String>)> {
    // Counted first: nearly all are small, and none of those is copied.
    if !exceeds(value, LARGEST) {
        return None;
    }
    let whole = value.to_string();
    if let Value::Object(fields) = value {
        let mut by_size: Vec<(String, &String)> = fields.iter().map(|(key, field)| (field.to_string(), key)).collect();
        by_size.sort_by(|(a, key), (b, other)| b.len().cmp(&a.len()).then_with(|| key.cmp(other)));
        let (mut record, mut files, mut size) = (fields.clone(), Vec::new(), whole.len());
        for (text, key) in by_size {
            if size <= LARGEST || text.len() < SMALL {
                break;
            }
            let file = json!({ "file": name_of(&text), "bytes": text.len(), "large": true });
            size = size - text.len() + file.to_string().len();
            record.insert(key.clone(), file);
            files.push(text);
        }
        if size <= LARGEST {
            return Some((Value::Object(record), files));
        }
    }
    Some((json!({ "file": name_of(&whole), "bytes": whole.len() }), vec![whole]))
}

fn name_of(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many bytes a recorded field has that is in a file.
pub(super) fn bytes_of_field(field: &Value) -> Option<u64> {
    let of = field.as_object().filter(|of| of.len() == 3 && of.get("large") == Some(&Value::Bool(true)))?;
    bytes_of(of)
}

/// How many bytes a recorded value has that is in a file as a whole.
pub(super) fn bytes_of_whole(value: &Value) -> Option<u64> {
    bytes_of(value.as_object().filter(|of| of.len() == 2)?)
}

fn bytes_of(file: &Map<String, Value>) -> Option<u64> {
    let is_name = |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    file.get("file").and_then(Value::as_str).filter(|name| is_name(name))?;
    file.get("bytes")?.as_u64().filter(|bytes| *bytes >= SMALL as u64)
}

/// Takes so many bytes and no more.
struct Counted(usize);

impl fmt::Write for Counted {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_value_becomes_a_file() {
        let small = Arc::new(json!({ "status": 200 }));
        assert_eq!((recorded(&small), contents(&small)), (small.clone(), vec![]));
        let just_fits = Arc::new(Value::String("x".repeat(LARGEST - 2)));
        assert!(contents(&just_fits).is_empty());
        let large = Arc::new(Value::String("x".repeat(LARGEST - 1)));
        let text = large.to_string();
        assert_eq!(contents(&large), [text.as_str()]);
        let name = recorded(&large);
        assert_eq!((name["bytes"].as_u64(), name["file"].as_str().map(str::len)), (Some(text.len() as u64), Some(64)));
    }

    #[test]
    fn of_an_object_only_the_fields_that_are_large_become_files() {
        let (dump, half) = ("x".repeat(LARGEST), "y".repeat(LARGEST / 2));
        let outputs = Arc::new(json!({ "dump": dump, "half": half, "n": 3, "name": "db-1" }));
        let record = recorded(&outputs);
        assert_eq!((&record["n"], &record["name"], &record["half"]), (&json!(3), &json!("db-1"), &json!(half)));
        assert_eq!(bytes_of_field(&record["dump"]), Some(LARGEST as u64 + 2));
        assert_eq!(contents(&outputs), [outputs["dump"].to_string()]);
        assert!(recorded(&record) == record && contents(&record).is_empty(), "a record is small");
        let many: Map<String, Value> = (0..9_000).map(|n| (format!("key{n}"), json!("small"))).collect();
        let many = Arc::new(Value::Object(many));
        assert_eq!(bytes_of_whole(&recorded(&many)), Some(many.to_string().len() as u64));
    }
}
