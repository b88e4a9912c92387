//! The library's syntax errors in our words.
//!
//! Each says what was found and what to do; the place is the library's. Only [`super::yaml`] uses it.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::codes;
use super::problem::Problem;
use super::source::{FileId, Span};
use super::yaml::{MAX_DEPTH, bytes};

/// The problem that a syntax error is.
pub(super) fn problem(file: FileId, text: &str, error: &ScanError) -> Problem {
    let start = place_of(error.kind(), text, bytes(text, *error.marker()));
    let next = text.get(start..).and_then(|rest| rest.chars().next());
    let end = start + next.filter(|c| *c != '\n' && *c != '\r').map_or(0, char::len_utf8);
    let place = Span::new(file, start..end);
    let (message, label, help) = words(error.kind());
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return Problem::new(codes::TOO_DEEP, format!("the document is nested more than {MAX_DEPTH} levels deep"))
            .at(place, "this level is one too many");
    }
    let mut problem = Problem::new(codes::NOT_YAML, message).at(place, label);
    if let Some(help) = help {
        problem = problem.help(help);
    }
    let detail = error.info();
    if detail.is_empty() { problem } else { problem.note(format!("the parser says: {detail}")) }
}

/// The library marks some mistakes where it noticed them; this is where they were made.
fn place_of(kind: &ErrorKind, text: &str, mark: usize) -> usize {
    let made = if is_tab(kind) {
        text.get(mark..).and_then(|rest| rest.find('\t')).map(|at| mark + at)
    } else if matches!(kind, ErrorKind::InvalidQuotedScalarIndent) {
        text.get(..mark).and_then(|before| before.rfind(['"', '\'']))
    } else {
        None
    };
    made.unwrap_or(mark)
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

const TAB: Option<&str> = Some("indent with spaces");
const QUOTE: Option<&str> = Some("put the whole value into quotes, and close them");

/// Message, label and help of a kind of error.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library has some eighty kinds and may add more; the rare ones keep its own words"
)]
fn words(kind: &ErrorKind) -> (String, &'static str, Option<&'static str>) {
    let fixed = |message: &str, label, help| (message.to_owned(), label, help);
    if is_tab(kind) {
        return fixed("a tab stands where YAML wants spaces", "a tab", TAB);
    }
    match kind {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            fixed("a quote is never closed", "the text begins here", QUOTE)
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => {
            fixed("text follows a closing quote", "not expected here", QUOTE)
        }
        ErrorKind::UnknownQuotedScalarEscape => fixed(
            "the escape is not known in double quotes",
            "unknown escape",
            Some("use single quotes, in which a backslash is a backslash"),
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("`{open}` is never closed"), "opened here", Some("add the closing bracket"))
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            (format!("`{open}` is closed by `{close}`"), "does not match", None)
        }
        ErrorKind::MisplacedFlowCollectionEnd => fixed("a closing bracket has no opening one", "opened nowhere", None),
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::ExpectedFlowSequenceSeparator => {
            fixed("a list in brackets is not closed", "expected `,` or `]`", None)
        }
        ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::ExpectedFlowMappingSeparator => {
            fixed("a map in braces is not closed", "expected `,` or `}`", None)
        }
        ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement => fixed(
            "a `:` stands where no key can be",
            "not expected here",
            Some("quote a text that has a colon in it; else check the indentation, and that brackets above are closed"),
        ),
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => fixed(
            "a line is neither a key nor a value",
            "no `:` follows",
            Some("write `key: value`, with a space after the colon"),
        ),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::BlockSequenceEntryNotAllowed
        | ErrorKind::MappingKeyNotAllowed => fixed(
            "the line does not fit the lines above it",
            "not expected here",
            Some("check the indentation: entries of one list or map start in the same column"),
        ),
        ErrorKind::UnexpectedCharacter { character } => (
            format!("`{}` cannot start a value", character.escape_default()),
            "not expected here",
            Some("put the value into quotes"),
        ),
        ErrorKind::UnknownAnchor => {
            fixed("the alias has no anchor", "no such anchor above", Some("a text that begins with `*` needs quotes"))
        }
        ErrorKind::DirectiveDisallowed => {
            fixed("YAML directives are not supported", "a directive", Some("remove the line that begins with `%`"))
        }
        _ => fixed("the file is not valid YAML", "not expected here", None),
    }
}
