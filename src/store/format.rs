//! The lines of a journal segment: how a transition is written, and how a line proves that it is whole.
//!
//! This file must never touch a file. A line is written here and read here, nowhere else; `docs/journal-format.md`
//! describes the same for an operator. Start at [`encode_core`] and [`decode`].
//!
//! A transition's line has two parts. Its *core*, up to and with the events, is what its hash covers, so that a line
//! keeps its hash when it is written again elsewhere. The *tail* belongs to the place: `known`, the offset up to which
//! the segment was known durable when the line was written, and the CRC32 over everything before it.

use std::io::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::record::{Hash, Head, Payload, RunName, Transition, is_run_name};

/// The record format that this release writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
/// The largest line: segment offsets are 32 bits wide, and one transition has to fit into memory several times.
pub(super) const MAX_LINE: usize = 256 << 20;
/// `,"known":` with the longest number, `,"crc":"01234567"}` and the line's end.
pub(super) const TAIL_MAX: usize = 9 + 20 + CRC_LEN + 1;
/// The length of `,"crc":"01234567"}`.
const CRC_LEN: usize = 18;

/// The core of a line with all that can be computed before its place is known.
#[derive(Debug)]
pub(super) struct Core {
    bytes: Vec<u8>,
    crc: crc32fast::Hasher,
    /// The hash of the transition.
    pub(super) hash: Hash,
}

impl Core {
    /// Takes the core's text, without the closing brace.
    fn new(bytes: Vec<u8>) -> Self {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes);
        let hash = hash_of_core(&bytes);
        Self { bytes, crc, hash }
    }

    /// An upper limit for the length of the finished line.
    pub(super) fn max_len(&self) -> usize {
        self.bytes.len() + TAIL_MAX
    }

    /// Writes the finished line.
    pub(super) fn finish(&self, known: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        let tail = out.len();
        write_text(out, format_args!(",\"known\":{known}"));
        let mut crc = self.crc.clone();
        crc.update(&out[tail..]);
        write_text(out, format_args!(",\"crc\":\"{:08x}\"}}\n", crc.finalize()));
    }
}

/// The hash of a transition covers its core and a closing brace: the line's JSON without `known` and `crc`.
fn hash_of_core(core: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(core);
    hasher.update(b"}");
    Hash::finish(hasher)
}

/// Writes the core of a transition.
pub(super) fn encode_core(transition: &Transition) -> Core {
    let payload = transition.payload.as_str();
    let mut bytes = Vec::with_capacity(payload.len() + transition.run.as_str().len() + 160);
    let Transition { run, version, epoch, at_ms, .. } = transition;
    write_text(
        &mut bytes,
        format_args!("{{\"run\":\"{run}\",\"version\":{version},\"epoch\":{epoch},\"atMs\":{at_ms}"),
    );
    if transition.is_final {
        bytes.extend_from_slice(b",\"final\":true");
    }
    bytes.extend_from_slice(b",\"prev\":\"");
    bytes.extend_from_slice(&transition.prev.hex());
    bytes.extend_from_slice(b"\",\"events\":");
    bytes.extend_from_slice(payload.as_bytes());
    Core::new(bytes)
}

/// The hash that a transition has in every log.
#[must_use]
pub(super) fn hash_of(transition: &Transition) -> Hash {
    encode_core(transition).hash
}

/// One transition as a line of an export: the core alone, so that its SHA-256 is the transition's hash.
pub(super) fn export_line(transition: &Transition) -> String {
    let mut bytes = encode_core(transition).bytes;
    bytes.push(b'}');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExportedHead {
    /// The run.
    pub(super) head: RunName,
    /// The version of the first transition; greater than 1 after pruning.
    pub(super) from: u64,
    /// The version of the last transition.
    pub(super) version: u64,
    /// Its hash.
    pub(super) hash: Hash,
}

/// The last line of an export.
pub(super) fn export_head(from: u64, head: &Head) -> String {
    let line = ExportedHead { head: head.run.clone(), from, version: head.version, hash: head.hash };
    serde_json::to_string(&line).expect("a head holds only strings and numbers")
}

/// The first line of every segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Header {
    /// The segment's number, as in its file name.
    pub(super) segment: u32,
    /// The record format.
    pub(super) format: u32,
    /// The segment before this one and how much of it counts. Everything there was durable when this was written.
    pub(super) after: Option<Seal>,
    /// What was flushed before the segment got its name: this line and the first batch.
    pub(super) known: u64,
}

/// Where a closed segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Seal {
    /// Its number.
    pub(super) segment: u32,
    /// The bytes that count; what follows was moved to the next segment, or was never acknowledged.
    pub(super) length: u64,
}

/// The last line of a journal that was closed in order: everything before it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Closed {
    closed: bool,
    /// The offset up to which the segment is durable: where this line begins.
    pub(super) known: u64,
}

/// A person's decision about a damaged run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Repair {
    /// The run.
    pub(super) repair: RunName,
    /// The last version that is believed; 0 forgets the run.
    pub(super) believe: u64,
    /// The epoch, hash, time and finality of that version.
    pub(super) epoch: u64,
    /// See `epoch`.
    pub(super) hash: Hash,
    /// See `epoch`.
    pub(super) at_ms: i64,
    /// See `epoch`.
    #[serde(rename = "final")]
    pub(super) is_final: bool,
    /// Set if the believed transitions follow, written again.
    pub(super) rewritten: Option<Rewrite>,
    /// Who decided, and why.
    pub(super) reason: String,
    /// As in a transition's line.
    pub(super) known: u64,
}

/// A line that waits for its place.
#[derive(Debug)]
pub(super) enum Draft {
    Transition(Core),
    Repair(Box<Repair>),
}

impl Draft {
    /// An upper limit for the length of the finished line.
    pub(super) fn max_len(&self) -> usize {
        match self {
            Self::Transition(core) => core.max_len(),
            Self::Repair(repair) => encode_control(&**repair).len() + TAIL_MAX,
        }
    }

    /// Writes the finished line.
    pub(super) fn finish(&self, known: u64, out: &mut Vec<u8>) {
        match self {
            Self::Transition(core) => core.finish(known, out),
            Self::Repair(repair) => out.extend(encode_control(&Repair { known, ..(**repair).clone() })),
        }
    }
}

/// Where the transitions begin that a repair wrote again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rewrite {
    /// The first version: 1, or the first that was not pruned.
    pub(super) from: u64,
    /// The hash before it.
    pub(super) prev: Hash,
}

/// A line that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Header(Header),
    Transition(Record<'a>),
    Repair(Repair),
    Closed(Closed),
}

/// A transition's line, borrowed from the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) run: &'a str,
    pub(super) version: u64,
    pub(super) epoch: u64,
    pub(super) at_ms: i64,
    pub(super) is_final: bool,
    pub(super) prev: Hash,
    pub(super) events: &'a str,
    pub(super) known: u64,
    /// The line up to and with the events.
    core: &'a [u8],
}

impl Record<'_> {
    /// The transition's hash, computed when asked because reading a run does not need it.
    pub(super) fn hash(&self) -> Hash {
        hash_of_core(self.core)
    }

    /// The line's core, to write it again elsewhere.
    pub(super) fn to_core(self) -> Core {
        Core::new(self.core.to_vec())
    }

    /// An owned copy.
    pub(super) fn to_transition(self) -> Transition {
        Transition {
            run: RunName::trusted(self.run),
            version: self.version,
            epoch: self.epoch,
            at_ms: self.at_ms,
            is_final: self.is_final,
            prev: self.prev,
            payload: Payload::trusted(self.events),
        }
    }
}

/// Writes a header, repair or closing line.
pub(super) fn encode_control<T: Serialize>(control: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(control).expect("control lines hold only strings, numbers and booleans");
    bytes.pop();
    let crc = crc32fast::hash(&bytes);
    write_text(&mut bytes, format_args!(",\"crc\":\"{crc:08x}\"}}\n"));
    bytes
}

/// The closing line of a journal whose data ends at `known`.
pub(super) fn encode_closed(known: u64) -> Vec<u8> {
    encode_control(&Closed { closed: true, known })
}

/// Reads a line without its end. `None` means that it is damaged: a whole line always passes.
pub(super) fn decode(line: &[u8]) -> Option<Line<'_>> {
    let body = checked_body(line)?;
    if body.starts_with(b"{\"run\":") {
        return decode_transition(body).map(Line::Transition);
    }
    let mut control = body.to_vec();
    control.push(b'}');
    if body.starts_with(b"{\"segment\":") {
        return serde_json::from_slice(&control).ok().map(Line::Header);
    }
    if body.starts_with(b"{\"repair\":") {
        return serde_json::from_slice(&control).ok().map(Line::Repair);
    }
    serde_json::from_slice(&control).ok().map(Line::Closed)
}

/// What the CRC covers, if it fits.
pub(super) fn checked_body(line: &[u8]) -> Option<&[u8]> {
    let (body, crc) = line.split_at_checked(line.len().checked_sub(CRC_LEN)?)?;
    let digits = crc.strip_prefix(b",\"crc\":\"")?.strip_suffix(b"\"}")?;
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let found = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (found == crc32fast::hash(body)).then_some(body)
}

fn decode_transition(body: &[u8]) -> Option<Record<'_>> {
    let tail_from = body.len().saturating_sub(9 + 20);
    let mark = tail_from + body[tail_from..].windows(9).rposition(|w| w == b",\"known\":")?;
    let known = number(&body[mark + 9..])?;
    decode_core(&body[..mark], known)
}

/// Reads a line of an export.
pub(super) fn decode_exported(line: &[u8]) -> Option<Record<'_>> {
    decode_core(line.strip_suffix(b"}")?, 0)
}

fn decode_core(core: &[u8], known: u64) -> Option<Record<'_>> {
    let text = std::str::from_utf8(core).ok()?;
    let (run, rest) = split_at_byte(text.strip_prefix("{\"run\":\"")?, b'"')?;
    let (version, rest) = split_at_byte(rest.strip_prefix("\",\"version\":")?, b',')?;
    let (epoch, rest) = split_at_byte(rest.strip_prefix(",\"epoch\":")?, b',')?;
    let (at_ms, rest) = split_at_byte(rest.strip_prefix(",\"atMs\":")?, b',')?;
    let (is_final, rest) = match rest.strip_prefix(",\"final\":true") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (prev, rest) = split_at_byte(rest.strip_prefix(",\"prev\":\"")?, b'"')?;
    let events = rest.strip_prefix("\",\"events\":")?;
    let shaped = is_run_name(run) && events.starts_with('[') && events.ends_with(']');
    let record = Record {
        run,
        version: number(version.as_bytes())?,
        epoch: number(epoch.as_bytes())?,
        at_ms: at_ms.parse().ok()?,
        is_final,
        prev: Hash::from_hex(prev.as_bytes())?,
        events,
        known,
        core,
    };
    shaped.then_some(record)
}

/// Splits before the first `byte`, an ASCII character. The fields are short, so a plain loop is the fastest search.
fn split_at_byte(text: &str, byte: u8) -> Option<(&str, &str)> {
    text.split_at_checked(text.bytes().position(|b| b == byte)?)
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

fn write_text(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory cannot fail");
}
