//! Values that are too large for an event: a file keeps them, the event names it by its content.
//!
//! Everything is judged on the whole value; only the record is short. Replay reads the record and needs
//! no file. Start with [`recorded`].

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The most bytes of a value, as JSON, that enter an event.
pub const LARGEST: usize = 64 << 10;

/// The most bytes of an evaluated call, as JSON. It stands in an event as a whole, so that an attempt is the same after a
/// restart; a transition that starts several has to fit into the log.
pub(super) const LARGEST_CALL: usize = 8 << 20;

/// Whether a value, as JSON, has more bytes than that.
pub(super) fn exceeds(value: &Value, bytes: usize) -> bool {
    write!(Room(bytes), "{value}").is_err()
}

/// What the file of a value holds, if the value is too large for an event.
#[must_use]
pub fn content(value: &Value) -> Option<String> {
    // Counted first: nearly all are small, and none of those is copied.
    exceeds(value, LARGEST).then(|| value.to_string())
}

/// What an event says of a value: the value, or the file's name and how long it is.
pub(super) fn recorded(value: &Arc<Value>) -> Arc<Value> {
    match content(value) {
        None => value.clone(),
        Some(text) => {
            let name: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
            Arc::new(json!({ "file": name, "bytes": text.len() }))
        }
    }
}

/// Takes so many bytes and no more.
struct Room(usize);

impl fmt::Write for Room {
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
        assert_eq!((recorded(&small), content(&small)), (small.clone(), None));
        let just_fits = Arc::new(Value::String("x".repeat(LARGEST - 2)));
        assert_eq!(content(&just_fits), None);
        let large = Arc::new(Value::String("x".repeat(LARGEST - 1)));
        let text = content(&large).expect("it is too large");
        assert_eq!(text, large.to_string());
        let name = recorded(&large);
        assert_eq!((name["bytes"].as_u64(), name["file"].as_str().map(str::len)), (Some(text.len() as u64), Some(64)));
    }
}
