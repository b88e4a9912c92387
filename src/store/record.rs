//! The words of the run log: run names, hashes, cursors, heads and transitions.
//!
//! Everything here is plain data. It must never touch a file, a clock or a runtime. Start at [`Transition`]; a
//! log is a sequence of them, and [`Head`] says how far one run has come.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::BadRecord;

/// The longest application name in bytes; it also has to fit into file names and URLs.
const MAX_APPLICATION_LEN: usize = 120;

/// The name of a run, `application/number`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunName(Arc<str>);

impl RunName {
    /// Names run `number` (from 1) of `application`.
    ///
    /// # Errors
    /// When the application's name is empty, longer than 120 bytes or holds a character that a record, a path or a
    /// URL would have to escape, and when the number is 0.
    pub fn new(application: &str, number: u64) -> Result<Self, BadRecord> {
        Self::parse(&format!("{application}/{number}"))
    }

    /// Reads `application/number`.
    ///
    /// # Errors
    /// See [`RunName::new`].
    pub fn parse(text: &str) -> Result<Self, BadRecord> {
        if is_run_name(text) { Ok(Self(Arc::from(text))) } else { Err(BadRecord::RunName(text.into())) }
    }

    /// Wraps a name that was read from a line whose checksum fits.
    pub(super) fn trusted(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The application's part.
    #[must_use]
    pub fn application(&self) -> &str {
        self.0.rsplit_once('/').map_or(&*self.0, |(application, _)| application)
    }

    /// The number's part.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.rsplit_once('/').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is `application/number`, free of anything that JSON, paths or URLs escape.
pub(super) fn is_run_name(text: &str) -> bool {
    let Some((application, number)) = text.rsplit_once('/') else { return false };
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '/' | '\\' | '"' | '?' | '#' | '%');
    let counted =
        number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') && number.parse::<u64>().is_ok();
    !application.is_empty()
        && application.len() <= MAX_APPLICATION_LEN
        && !application.starts_with('.')
        && application.chars().all(plain)
        && counted
}

impl Borrow<str> for RunName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RunName {
    type Err = BadRecord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for RunName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RunName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A SHA-256, written as 64 lower-case hexadecimal digits so that `sha256sum` can check it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before the first transition of a run.
    pub const ZERO: Self = Self([0; 32]);

    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes the digest of a hash that was fed piece by piece.
    pub(super) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        let mut worst = 0;
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = (HEX_VALUES[usize::from(pair[0])], HEX_VALUES[usize::from(pair[1])]);
            worst |= high | low;
            *byte = high << 4 | low;
        }
        (worst < 16).then_some(Self(bytes))
    }

    /// The 64 digits.
    #[must_use]
    pub fn hex(&self) -> [u8; 64] {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX_DIGITS[usize::from(byte >> 4)];
            pair[1] = HEX_DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

/// The value of every hexadecimal digit; a table, because a start reads one hash for every transition.
const HEX_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[HEX_DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";
const NO_DIGIT: u8 = 0xFF;

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.hex()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = BadRecord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_hex(text.as_bytes()).ok_or_else(|| BadRecord::Hash(text.into()))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A place in the log across all runs. Later places compare greater; otherwise it is opaque.
///
/// A reader that stores a cursor and continues from it misses nothing. After a restart it may be handed the last
/// few transitions again, so what it does with one must depend on (run, version), never on the count of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Cursor(pub(super) u64);

impl Cursor {
    /// Before the first transition.
    pub const START: Self = Self(0);

    /// The number to store; only [`Cursor::from_u64`] gives it a meaning again.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// A cursor that was stored as a number.
    #[must_use]
    pub fn from_u64(value: u64) -> Self {
        Self(value)
    }
}

/// How far a run has come. Version 0 means that the run does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The run.
    pub run: RunName,
    /// The number of its last transition, counted from 1.
    pub version: u64,
    /// The epoch of the owner that appended it.
    pub epoch: u64,
    /// The hash of its last transition: what the next one names as `prev`.
    pub hash: Hash,
    /// Wall time of its last transition, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Whether the run had reached a final state with it.
    pub is_final: bool,
    /// Where its last transition stands, for readers that follow the log.
    pub cursor: Cursor,
}

impl Head {
    /// The head of a run that does not exist yet.
    #[must_use]
    pub fn none(run: RunName) -> Self {
        Self { run, version: 0, epoch: 0, hash: Hash::ZERO, at_ms: 0, is_final: false, cursor: Cursor::START }
    }
}

/// The events of one transition: a JSON array on a single line.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Arc<str>);

impl Payload {
    /// Writes `events` as compact JSON.
    ///
    /// # Errors
    /// When serde refuses one of them, such as a map whose keys are no strings.
    pub fn of<E: Serialize>(events: &[E]) -> Result<Self, BadRecord> {
        let text = serde_json::to_string(events).map_err(|cause| BadRecord::Payload(cause.to_string()))?;
        Ok(Self(text.into()))
    }

    /// Takes JSON that is already written.
    ///
    /// # Errors
    /// When it is no JSON array or spans more than one line.
    pub fn from_json(text: &str) -> Result<Self, BadRecord> {
        let parsed: Result<Vec<serde::de::IgnoredAny>, _> = serde_json::from_str(text);
        parsed.map_err(|cause| BadRecord::Payload(cause.to_string()))?;
        if text.contains(['\n', '\r']) {
            return Err(BadRecord::Payload("it spans more than one line".into()));
        }
        Ok(Self(text.into()))
    }

    /// Wraps a payload that was read from a line whose checksum fits.
    pub(super) fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One transition of a run, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The run.
    pub run: RunName,
    /// Counts the transitions of the run from 1.
    pub version: u64,
    /// The epoch of the owner that appended it; it never falls along a run.
    pub epoch: u64,
    /// Wall time, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Whether the run is in a final state after it.
    pub is_final: bool,
    /// The hash of the run's previous transition, [`Hash::ZERO`] for the first.
    pub prev: Hash,
    /// The events.
    pub payload: Payload,
}

/// A transition that somebody wants to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTransition {
    /// The run.
    pub run: RunName,
    /// The version that the run is expected to have now; 0 creates the run.
    pub expected: u64,
    /// The epoch of the appending owner: that of the head, or a greater one right after a claim.
    pub epoch: u64,
    /// Wall time, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Whether the run is in a final state after this transition.
    pub is_final: bool,
    /// The events.
    pub payload: Payload,
}

impl NewTransition {
    /// What the log will hold if this is appended after a transition whose hash is `prev`.
    #[must_use]
    pub fn after(&self, prev: Hash) -> Transition {
        Transition {
            run: self.run.clone(),
            version: self.expected + 1,
            epoch: self.epoch,
            at_ms: self.at_ms,
            is_final: self.is_final,
            prev,
            payload: self.payload.clone(),
        }
    }
}
