//! Removes secrets from everything that comes back: logs, outputs, failures, handles.
//!
//! It must never need the whole of a stream: what it holds back is shorter than the longest secret.
//! Start with [`Redactor::new`], and [`Redactor::stream`] for what comes in pieces.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::machine::fact::MASK;

/// A shorter secret would redact half of every log; it is masked only as a whole word, as it is.
const SHORTEST: usize = 4;

/// A shorter line of a secret of several lines says nothing by itself.
const SHORTEST_LINE: usize = 6;

/// Removes secrets in every shape in which programs print them: plain, base64 (also in the middle of
/// something longer, as in `user:secret`), URL, JSON, quoted for a shell.
#[derive(Clone, Default)]
pub struct Redactor(Option<Arc<Needles>>);

/// By their first bytes, so that a place is compared with few of them; longest first, so that a part does not spoil the
/// whole.
struct Needles {
    by_first: Vec<Vec<Needle>>,
}

#[derive(PartialEq, Eq)]
struct Needle {
    bytes: Vec<u8>,
    whole_word: bool,
}

/// What stands at a place.
enum Here {
    /// A secret of this length.
    Secret(usize),
    /// None.
    Plain,
    /// That depends on what comes next.
    Wait,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The needles are the secrets.
        write!(f, "Redactor({})", self.0.as_ref().map_or(0, |needles| needles.by_first.iter().map(Vec::len).sum()))
    }
}

impl Redactor {
    /// Removes these, and each line of one that has several: programs print a key line by line. An empty one is none.
    #[must_use]
    pub fn new(values: &[String]) -> Self {
        let mut list: Vec<Needle> = Vec::new();
        for value in values.iter().filter(|value| !value.is_empty()) {
            let whole_word = value.len() < SHORTEST;
            let whole = if whole_word { vec![value.clone().into_bytes()] } else { shapes(value) };
            let lines = lines(value).flat_map(shapes);
            list.extend(whole.into_iter().chain(lines).map(|bytes| Needle { bytes, whole_word }));
        }
        if list.is_empty() {
            return Self(None);
        }
        list.sort_by(|a, b| b.bytes.len().cmp(&a.bytes.len()).then_with(|| a.bytes.cmp(&b.bytes)));
        list.dedup();
        let mut by_first: Vec<Vec<Needle>> = (0..=u8::MAX).map(|_| Vec::new()).collect();
        for needle in list {
            if let Some(first) = needle.bytes.first() {
                by_first[usize::from(*first)].push(needle);
            }
        }
        Self(Some(Arc::new(Needles { by_first })))
    }

    /// Whether there is nothing to redact.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// For bytes that come in pieces.
    #[must_use]
    pub fn stream(&self) -> Stream {
        Stream { redactor: self.clone(), pending: Vec::new(), last: None }
    }

    /// Bytes without secrets.
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut clean = stream.push(bytes);
        clean.extend(stream.finish());
        clean
    }

    /// Text without secrets.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            text.to_owned()
        } else {
            String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
        }
    }

    /// A value without secrets, keys included. A number that is a secret becomes the mask.
    #[must_use]
    pub fn value(&self, value: Value) -> Value {
        if self.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.value(item)).collect()),
            Value::Object(fields) => {
                Value::Object(fields.into_iter().map(|(key, value)| (self.text(&key), self.value(value))).collect())
            }
            Value::Number(number) => {
                let text = number.to_string();
                let is_secret = text.len() >= SHORTEST && self.text(&text) != text;
                if is_secret { Value::String(self.text(&text)) } else { Value::Number(number) }
            }
            Value::Null | Value::Bool(_) => value,
        }
    }
}

impl Needles {
    fn look(&self, last: Option<u8>, rest: &[u8], is_end: bool) -> Here {
        let Some(first) = rest.first() else { return Here::Wait };
        for Needle { bytes, whole_word } in &self.by_first[usize::from(*first)] {
            if *whole_word && last.is_some_and(is_word) {
                continue;
            }
            if rest.starts_with(bytes) {
                match rest.get(bytes.len()) {
                    Some(next) if *whole_word && is_word(*next) => {}
                    None if *whole_word && !is_end => return Here::Wait,
                    Some(_) | None => return Here::Secret(bytes.len()),
                }
            } else if !is_end && bytes.starts_with(rest) {
                return Here::Wait;
            }
        }
        Here::Plain
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Redacts what comes in pieces.
#[derive(Debug)]
pub struct Stream {
    redactor: Redactor,
    /// What may be the beginning of a secret: always shorter than the longest.
    pending: Vec<u8>,
    last: Option<u8>,
}

impl Stream {
    /// Takes a piece; answers what can be told by now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.take(bytes, false)
    }

    /// Nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        self.take(&[], true)
    }

    fn take(&mut self, bytes: &[u8], is_end: bool) -> Vec<u8> {
        let Some(needles) = self.redactor.0.clone() else { return bytes.to_vec() };
        let mut all = std::mem::take(&mut self.pending);
        all.extend_from_slice(bytes);
        let mut clean = Vec::with_capacity(all.len());
        let mut at = 0;
        while let Some(rest) = all.get(at..).filter(|rest| !rest.is_empty()) {
            let length = match needles.look(self.last, rest, is_end) {
                Here::Secret(length) => {
                    clean.extend_from_slice(MASK.as_bytes());
                    length
                }
                Here::Plain => {
                    clean.push(rest[0]);
                    1
                }
                Here::Wait => break,
            };
            self.last = all.get(at + length - 1).copied();
            at += length;
        }
        self.pending = all.split_off(at);
        clean
    }
}

/// The lines of a secret that has several, without what they are indented by. The first and the last line of a PEM block
/// are no secret: everybody's keys and certificates begin so.
fn lines(value: &str) -> impl Iterator<Item = &str> {
    let is_armour = |line: &str| line.starts_with("-----") && line.ends_with("-----");
    let lines = value.lines().map(str::trim).filter(move |line| line.len() >= SHORTEST_LINE && !is_armour(line));
    lines.take(if value.contains('\n') { usize::MAX } else { 0 })
}

/// The shapes of a secret.
fn shapes(value: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(value).unwrap_or_default();
    let url = url_encoded(value);
    let mut shapes = vec![
        value.to_owned(),
        json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned(),
        value.replace('\'', "'\\''"),
        url.replace("%20", "+"),
        url.to_lowercase(),
        url,
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
    ];
    for before in 0..3 {
        for encode in [|bytes: &[u8]| STANDARD_NO_PAD.encode(bytes), |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes)] {
            let padded = [&[0; 2][..before.min(2)], value.as_bytes()].concat();
            // Only characters that no byte before or after the secret has a part in.
            let (from, to) = ((8 * before).div_ceil(6), 8 * padded.len() / 6);
            shapes.push(encode(&padded).get(from..to).unwrap_or_default().to_owned());
        }
    }
    shapes.into_iter().map(String::into_bytes).filter(|shape| shape.len() >= SHORTEST).collect()
}

fn url_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Everything but what RFC 3986 calls unreserved.
const UNRESERVED: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        Redactor::new(&secrets.iter().map(|secret| (*secret).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_secret_is_removed_in_every_shape() {
        let redactor = redactor(&["pa'ss w\"ord"]);
        for shape in ["pa'ss w\"ord", "pa%27ss%20w%22ord", "pa%27ss+w%22ord", "pa'ss w\\\"ord", "pa'\\''ss w\"ord"] {
            assert_eq!(redactor.text(&format!("x {shape} y")), "x [redacted] y", "{shape}");
        }
    }

    #[test]
    fn a_secret_inside_of_something_encoded_is_removed() {
        let secret = "hunter2-hunter2";
        let redactor = redactor(&[secret]);
        for whole in ["{}", "{}\n", "u:{}", "ad:{}", "adm:{}", "admin:{}\n", "{\"password\":\"{}\"}"] {
            let encoded = STANDARD.encode(whole.replace("{}", secret));
            let clean = redactor.text(&encoded);
            assert!(clean.contains("[redacted]"), "{whole:?} became {clean}");
            // What is left of it beside the mask decodes to none of it.
            let longest = clean.split("[redacted]").map(str::len).max().unwrap_or_default();
            assert!(longest <= STANDARD.encode("{\"password\":\"").len() + 3, "{whole:?} became {clean}");
        }
    }

    #[test]
    fn a_line_of_a_secret_is_removed_where_it_stands_alone() {
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n  hkiG9w0BAQEFAASC\r\nshort\n-----END KEY-----\n";
        let redactor = redactor(&[key]);
        assert_eq!(redactor.text(&format!("all: {key}.")), "all: [redacted].");
        assert_eq!(redactor.text("1: MIIEvQIBADANBgkq\n2: hkiG9w0BAQEFAASC"), "1: [redacted]\n2: [redacted]");
        let encoded = redactor.text(&STANDARD.encode("x hkiG9w0BAQEFAASC y"));
        assert!(encoded.contains("[redacted]"), "{encoded}");
        // What says nothing by itself stays: too short, or the same in every key.
        assert_eq!(redactor.text("-----BEGIN KEY----- is short"), "-----BEGIN KEY----- is short");
        // In pieces, too, although a line is the beginning of nothing longer.
        let mut stream = redactor.stream();
        let mut clean = Vec::new();
        for piece in b"log MIIEvQIBADANBgkq end".chunks(3) {
            clean.extend(stream.push(piece));
        }
        clean.extend(stream.finish());
        assert_eq!(String::from_utf8_lossy(&clean), "log [redacted] end");
    }

    #[test]
    fn a_secret_of_one_line_is_removed_without_its_line_end() {
        assert_eq!(redactor(&["hunter2-hunter2\n"]).text("it is hunter2-hunter2!"), "it is [redacted]!");
    }

    #[test]
    fn a_short_secret_is_masked_as_a_whole_word() {
        let redactor = redactor(&["ab"]);
        assert_eq!(redactor.text("ab cab abc [ab] ab"), "[redacted] cab abc [[redacted]] [redacted]");
        assert_eq!(redactor.value(json!({"pin": "ab", "other": "cab"})), json!({"pin": "[redacted]", "other": "cab"}));
        assert!(Redactor::new(&[String::new()]).is_empty());
    }

    #[test]
    fn a_number_that_is_a_secret_is_masked() {
        assert_eq!(
            redactor(&["123456"]).value(json!({"pin": 123_456, "n": 12})),
            json!({"pin": "[redacted]", "n": 12})
        );
    }

    #[test]
    fn a_secret_in_pieces_is_masked_and_little_is_held_back() {
        let redactor = redactor(&["secret-one", "ab"]);
        let text = "a secret-one, secret-secret-one and ab, abc; secret-on";
        let expected = "a [redacted], secret-[redacted] and [redacted], abc; secret-on";
        for size in 1..text.len() {
            let mut stream = redactor.stream();
            let mut clean = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                clean.extend(stream.push(piece));
                assert!(stream.pending.len() < "secret-one".len() * 2, "it holds back {}", stream.pending.len());
            }
            clean.extend(stream.finish());
            assert_eq!(String::from_utf8_lossy(&clean), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn pieces_that_each_end_in_a_beginning_are_not_kept() {
        let redactor = redactor(&["secret-one"]);
        let mut stream = redactor.stream();
        let mut told = 0;
        for _ in 0..10_000 {
            told += stream.push(b"line\nsecret").len();
            assert!(stream.pending.len() < "secret-one".len());
        }
        assert!(told > 100_000);
    }

    #[test]
    fn its_words_for_debugging_hold_no_secret() {
        assert!(!format!("{:?}", redactor(&["hunter2"])).contains("hunter2"));
    }
}
