//! Tokens of an expression with their places: for the guard before the parser, and for static checks.
//!
//! It knows less than the parser and is stricter: what it cannot read is refused before the parser sees it.

use std::ops::Range;

use super::{ExprError, ExprErrorKind};
use crate::runbook::source::boundary_before;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// How deep brackets may be nested.
pub const MAX_NESTING: usize = 16;
/// How many operators, dots included, an expression may have.
pub const MAX_OPERATORS: usize = 128;

const MACROS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "map", "filter"];
const CONSTANTS: [&str; 4] = ["true", "false", "null", "in"];

/// What a [`Token`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Number,
    Text,
    Symbol,
}

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

/// A part of a [`Path`] behind its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The key.
    pub name: String,
    /// Its place in the expression, in bytes.
    pub at: Range<usize>,
}

/// A use of a root name, such as `steps.convert.outputs.path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The first name.
    pub root: String,
    /// The keys behind it, as far as they are written out.
    pub segments: Vec<Segment>,
    /// The whole path, in bytes of the expression.
    pub at: Range<usize>,
    /// Whether it is the argument of `has(…)`.
    pub guarded: bool,
}

fn too_large(message: String, at: Range<usize>) -> ExprError {
    let help = Some("compute the value in a step and use its output".to_owned());
    ExprError { kind: ExprErrorKind::TooLarge, message, at, help }
}

fn syntax(message: impl Into<String>, at: Range<usize>) -> ExprError {
    ExprError { kind: ExprErrorKind::Syntax, message: message.into(), at, help: None }
}

/// Tokens of an expression that is small enough for the parser.
pub(super) fn guard(text: &str) -> Result<Vec<Token>, ExprError> {
    if text.len() > MAX_LENGTH {
        let at = boundary_before(text, MAX_LENGTH)..text.len();
        return Err(too_large(format!("the expression is longer than {MAX_LENGTH} bytes"), at));
    }
    if text.trim().is_empty() {
        return Err(syntax("the expression is empty", 0..text.len()));
    }
    let tokens = scan(text)?;
    let mut open: Vec<(&str, Range<usize>)> = Vec::new();
    let mut operators = 0;
    for token in &tokens {
        let piece = text.get(token.at.clone()).unwrap_or("");
        match (token.kind, piece) {
            (Kind::Symbol, "(" | "[" | "{") => {
                open.push((piece, token.at.clone()));
                if open.len() > MAX_NESTING {
                    return Err(too_large(
                        format!("brackets are nested more than {MAX_NESTING} deep"),
                        token.at.clone(),
                    ));
                }
            }
            (Kind::Symbol, ")" | "]" | "}") => {
                let wanted = match piece {
                    ")" => "(",
                    "]" => "[",
                    _ => "{",
                };
                match open.pop() {
                    Some((opened, _)) if opened == wanted => {}
                    Some((opened, _)) => {
                        return Err(syntax(format!("`{opened}` is closed by `{piece}`"), token.at.clone()));
                    }
                    None => return Err(syntax(format!("`{piece}` closes nothing"), token.at.clone())),
                }
            }
            (Kind::Symbol, ",") => {}
            (Kind::Symbol, _) => operators += 1,
            (Kind::Name | Kind::Number | Kind::Text, _) => {}
        }
        if operators > MAX_OPERATORS {
            return Err(too_large(format!("the expression has more than {MAX_OPERATORS} operators"), token.at.clone()));
        }
    }
    match open.pop() {
        Some((opened, at)) => Err(syntax(format!("`{opened}` is never closed"), at)),
        None => Ok(tokens),
    }
}

/// Splits an expression; white space is dropped.
fn scan(text: &str) -> Result<Vec<Token>, ExprError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let (kind, end) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'"' | b'\'' => (Kind::Text, end_of_text(text, at)?),
            b'0'..=b'9' => (Kind::Number, end_of_number(bytes, at)),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Name, run_of(bytes, at, is_name_byte)),
            _ => (Kind::Symbol, end_of_symbol(text, at)?),
        };
        tokens.push(Token { kind, at: at..end });
        at = end;
    }
    Ok(tokens)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn run_of(bytes: &[u8], start: usize, wanted: impl Fn(u8) -> bool) -> usize {
    start + bytes.get(start..).unwrap_or(&[]).iter().take_while(|byte| wanted(**byte)).count()
}

fn end_of_text(text: &str, start: usize) -> Result<usize, ExprError> {
    let bytes = text.as_bytes();
    let quote = bytes.get(start).copied();
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\n' => break,
            other if Some(*other) == quote => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err(syntax("the text is never closed", start..text.len()))
}

fn end_of_number(bytes: &[u8], start: usize) -> usize {
    let mut at = run_of(bytes, start, is_name_byte);
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    if bytes.get(at) == Some(&b'.') && is_digit(at + 1) {
        at = run_of(bytes, at + 1, is_name_byte);
    }
    let after_exponent = at > start && matches!(bytes.get(at - 1), Some(b'e' | b'E'));
    if after_exponent && matches!(bytes.get(at), Some(b'+' | b'-')) && is_digit(at + 1) {
        at = run_of(bytes, at + 1, is_name_byte);
    }
    at
}

fn end_of_symbol(text: &str, start: usize) -> Result<usize, ExprError> {
    let rest = text.get(start..).unwrap_or("");
    if ["==", "!=", "<=", ">=", "&&", "||"].iter().any(|symbol| rest.starts_with(symbol)) {
        return Ok(start + 2);
    }
    let first = rest.chars().next().unwrap_or(' ');
    if "()[]{}.,:?+-*/%<>!".contains(first) {
        return Ok(start + 1);
    }
    let end = start + first.len_utf8();
    let mut error = syntax(format!("`{}` means nothing here", first.escape_debug()), start..end);
    error.help = match first {
        '=' => Some("equality is written `==`".to_owned()),
        '&' => Some("and is written `&&`".to_owned()),
        '|' => Some("or is written `||`".to_owned()),
        '$' => Some("an expression inside `${{ … }}`, or under a key for expressions, needs no `$`".to_owned()),
        '“' | '”' | '‘' | '’' => Some("use straight quotes: ' or \"".to_owned()),
        _ => None,
    };
    Err(error)
}

/// Every use of a root name; empty if the expression cannot be read.
#[must_use]
pub fn references(text: &str) -> Vec<Path> {
    guard(text).map(|tokens| paths(text, &tokens)).unwrap_or_default()
}

/// A view of tokens by their text.
struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
}

impl Reader<'_> {
    fn piece(&self, index: usize) -> &str {
        self.tokens.get(index).and_then(|token| self.text.get(token.at.clone())).unwrap_or("")
    }

    fn kind(&self, index: usize) -> Option<Kind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    fn is_after_dot(&self, index: usize) -> bool {
        index.checked_sub(1).is_some_and(|before| self.piece(before) == ".")
    }

    /// Variables that `all(x, …)` and its like bring in.
    fn locals(&self) -> Vec<&str> {
        let call = |index: usize| {
            let names_variable = MACROS.contains(&self.piece(index))
                && self.is_after_dot(index)
                && self.piece(index + 1) == "("
                && self.kind(index + 2) == Some(Kind::Name);
            names_variable.then(|| self.piece(index + 2))
        };
        (0..self.tokens.len()).filter_map(call).collect()
    }
}

pub(super) fn paths(text: &str, tokens: &[Token]) -> Vec<Path> {
    let reader = Reader { text, tokens };
    let locals = reader.locals();
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let name = reader.piece(index);
        let is_root = token.kind == Kind::Name
            && !reader.is_after_dot(index)
            && reader.piece(index + 1) != "("
            && !CONSTANTS.contains(&name)
            && !locals.contains(&name);
        if is_root {
            let guarded = index >= 2 && reader.piece(index - 1) == "(" && reader.piece(index - 2) == "has";
            found.push(path(&reader, index, guarded));
        }
    }
    found
}

fn path(reader: &Reader<'_>, start: usize, guarded: bool) -> Path {
    let mut segments = Vec::new();
    let mut index = start + 1;
    let mut end = reader.tokens.get(start).map_or(0, |token| token.at.end);
    loop {
        let dotted = reader.piece(index) == "." && reader.kind(index + 1) == Some(Kind::Name);
        let indexed = reader.piece(index) == "["
            && reader.kind(index + 1) == Some(Kind::Text)
            && reader.piece(index + 2) == "]"
            && !reader.piece(index + 1).contains('\\');
        if dotted && reader.piece(index + 2) == "(" || !dotted && !indexed {
            break;
        }
        let Some(token) = reader.tokens.get(index + 1) else { break };
        let raw = reader.piece(index + 1);
        let name = if indexed { raw.get(1..raw.len() - 1).unwrap_or("") } else { raw };
        segments.push(Segment { name: name.to_owned(), at: token.at.clone() });
        index += if indexed { 3 } else { 2 };
        end = reader.tokens.get(index - 1).map_or(end, |token| token.at.end);
    }
    let root = reader.piece(start).to_owned();
    let from = reader.tokens.get(start).map_or(0, |token| token.at.start);
    Path { root, segments, at: from..end, guarded }
}
