//! YAML becomes a tree that knows where each of its parts stands.
//!
//! The only module that knows the YAML library, and of that only its events. It reads one document within
//! budgets, without recursion, and gives a [`Node`] or the one problem that makes the file unreadable;
//! what the document means is none of its business. Scalars stay text: whether `1.10` is a version or a
//! number is decided by the key that it stands under. Start with [`parse`].

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_yaml::granit_parser::{self, Event, Parser, ScalarStyle, Tag};

use super::codes;
use super::problem::Problem;
use super::source::{FileId, Span};
use super::syntax;

/// How deep lists and maps may be nested.
pub const MAX_DEPTH: usize = 64;
/// How many values a document may hold, aliases expanded.
pub const MAX_NODES: usize = 2_000_000;
/// How many values aliases may add.
pub const MAX_ALIASED: usize = 50_000;

/// A value of a YAML document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub content: Content,
    /// Its place; of a value that an alias stands for, the alias.
    pub span: Span,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Nothing, `~` or `null`.
    Null,
    /// A single value, as text.
    Scalar(Scalar),
    /// A list.
    Seq(Vec<Node>),
    /// A map; keys may come twice.
    Map(Vec<(Node, Node)>),
}

/// A single value.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// The text, without quotes and escapes.
    pub text: Arc<str>,
    /// Whether it was written in quotes or as a block: then it is text, whatever it looks like.
    pub quoted: bool,
}

impl Node {
    /// What it is, for messages: `a list`, `text`, `a number`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "nothing",
            Content::Seq(_) => "a list",
            Content::Map(_) => "a map",
            Content::Scalar(scalar) if scalar.as_bool().is_some() => "a boolean",
            Content::Scalar(scalar) if scalar.as_number().is_some() => "a number",
            Content::Scalar(_) => "text",
        }
    }
}

impl Scalar {
    /// `true` or `false`, unquoted and in lower case; nothing else is a boolean.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match &*self.text {
            "true" if !self.quoted => Some(true),
            "false" if !self.quoted => Some(false),
            _ => None,
        }
    }

    /// A number as JSON writes it, unquoted. `007`, `+1`, `.5`, `0x1F`, `1_000` and `.inf` are text, so
    /// that telephone numbers and versions survive.
    #[must_use]
    pub fn as_number(&self) -> Option<serde_json::Number> {
        let first = self.text.bytes().next()?;
        if self.quoted || !(first.is_ascii_digit() || first == b'-') {
            return None;
        }
        let number: serde_json::Number = serde_json::from_str(&self.text).ok()?;
        // An identifier of thirty digits must not become 1.2e29.
        let is_whole = self.text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        (!is_whole || !number.is_f64()).then_some(number)
    }

    /// Whether it is a number that will be written with other digits than its author did: `1.10` becomes 1.1.
    #[must_use]
    pub fn loses_digits(&self) -> bool {
        let plain = self.text.contains('.') && !self.text.contains(['e', 'E']);
        let number = if plain { self.as_number().and_then(|number| number.as_f64()) } else { None };
        number.is_some_and(|number| number.to_string() != *self.text)
    }
}

/// Reads one document.
///
/// # Errors
/// The first thing that makes it unreadable.
pub fn parse(file: FileId, text: &str) -> Result<Node, Box<Problem>> {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        flow_nesting_limit: MAX_DEPTH + 8,
        block_nesting_limit: MAX_DEPTH + 8,
    };
    let mut builder = Builder::new();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, at) = event.map_err(|error| Box::new(syntax::problem(file, text, &error)))?;
        builder.take(event, Span::new(file, bytes(text, at.start)..bytes(text, at.end)))?;
    }
    match builder.root {
        Some(root) => Ok(root),
        None => Err(Box::new(empty(file))),
    }
}

/// A document without any value.
pub(super) fn empty(file: FileId) -> Problem {
    Problem::new(codes::EMPTY, "the document is empty").at(Span::new(file, 0..0), "").help(
        "a runbook needs at least `application`, `rollbackWindow` (or `rollbackWindowMinutes`) and `cutoverSteps`",
    )
}

/// The byte offset of the library's mark.
pub(super) fn bytes(text: &str, mark: granit_parser::Marker) -> usize {
    mark.byte_offset()
        .unwrap_or_else(|| text.char_indices().nth(mark.index()).map_or(text.len(), |(offset, _)| offset))
        .min(text.len())
}

/// A list or map that is not closed yet.
struct Open {
    content: Partial,
    span: Span,
    anchor: usize,
    /// How many values it holds, itself included.
    nodes: usize,
    /// How deep the deepest of them is, itself included.
    height: usize,
}

enum Partial {
    Seq(Vec<Node>),
    Map(Vec<(Node, Node)>, Option<Node>),
}

/// A complete value that an alias may stand for.
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
}

struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    aliased: usize,
}

impl Builder {
    fn new() -> Self {
        Self { open: Vec::new(), anchors: HashMap::new(), root: None, documents: 0, nodes: 0, aliased: 0 }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) => Ok(()),
            Event::DocumentStart(..) => self.start_document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let content = scalar(text, style, tag.as_deref(), span)?;
                self.complete(Anchored { node: Node { content, span }, nodes: 1, height: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "seq", span)?;
                self.start(Partial::Seq(Vec::new()), anchor, span)
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), "map", span)?;
                self.start(Partial::Map(Vec::new(), None), anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => Err(Box::new(
                Problem::new(codes::NOT_YAML, format!("the alias `*{name}` has no anchor")).at(span, "no such anchor"),
            )),
            // The library may learn new events; one that is not known carries no value.
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, span: Span) -> Result<(), Box<Problem>> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Box::new(
            Problem::new(codes::SEVERAL_DOCUMENTS, "the file holds several documents")
                .at(span, "a second document begins here")
                .help("put each document into a file of its own"),
        ))
    }

    fn start(&mut self, content: Partial, anchor: usize, span: Span) -> Result<(), Box<Problem>> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        self.open.push(Open { content, span, anchor, nodes: 1, height: 1 });
        Ok(())
    }

    fn end(&mut self, span: Span) -> Result<(), Box<Problem>> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let content = match open.content {
            Partial::Seq(items) => Content::Seq(items),
            Partial::Map(entries, _) => Content::Map(entries),
        };
        let last = match &content {
            Content::Seq(items) => items.last().map(|item| item.span),
            Content::Map(entries) => entries.last().map(|(key, value)| key.span.to(value.span)),
            Content::Null | Content::Scalar(_) => None,
        };
        // A block ends where its last value ends, not at the start of the next line.
        let end = if span.end > span.start { span.end } else { last.map_or(span.end, |last| last.end) };
        let span = Span { end: end.max(open.span.start), ..open.span };
        self.complete(Anchored { node: Node { content, span }, nodes: open.nodes, height: open.height }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Box<Problem>> {
        let Some(there) = self.anchors.get(&anchor) else {
            return Err(Box::new(
                Problem::new(codes::NOT_YAML, "the alias stands inside the value that it repeats")
                    .at(span, "it would repeat itself for ever"),
            ));
        };
        self.aliased += there.nodes;
        if self.aliased > MAX_ALIASED {
            return Err(Box::new(
                Problem::new(codes::TOO_MANY_NODES, "aliases make the document too large")
                    .at(span, format!("here aliases have added more than {MAX_ALIASED} values"))
                    .also(there.node.span, "the value that is repeated")
                    .help("write the values out, or move the repeated part into a catalog"),
            ));
        }
        if self.open.len() + there.height > MAX_DEPTH {
            return Err(Box::new(too_deep(span)));
        }
        let node = Node { content: there.node.content.clone(), span };
        let (nodes, height) = (there.nodes, there.height);
        self.complete(Anchored { node, nodes, height }, 0)
    }

    /// Puts a complete value where it belongs.
    fn complete(&mut self, value: Anchored, anchor: usize) -> Result<(), Box<Problem>> {
        let Anchored { node, nodes, height } = value;
        if matches!(node.content, Content::Null | Content::Scalar(_)) || nodes > 1 {
            self.nodes += 1;
        }
        if self.nodes + self.aliased > MAX_NODES {
            return Err(Box::new(
                Problem::new(codes::TOO_MANY_NODES, format!("the document holds more than {MAX_NODES} values"))
                    .at(node.span, "this is the first one too many")
                    .help("split it; nothing in a runbook needs that many"),
            ));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, height });
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(parent) => {
                parent.nodes += nodes;
                parent.height = parent.height.max(height + 1);
                match &mut parent.content {
                    Partial::Seq(items) => items.push(node),
                    Partial::Map(entries, waiting) => match waiting.take() {
                        Some(key) => entries.push((key, node)),
                        None => *waiting = Some(node),
                    },
                }
            }
        }
        Ok(())
    }
}

fn too_deep(span: Span) -> Problem {
    Problem::new(codes::TOO_DEEP, format!("the document is nested more than {MAX_DEPTH} levels deep"))
        .at(Span { end: span.end.min(span.start + 1).max(span.start), ..span }, "this level is one too many")
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Content, Box<Problem>> {
    let plain = style == ScalarStyle::Plain;
    let tagged_text = match tag {
        None => false,
        Some(tag) if tag.original_handle() == "!!" && tag.suffix() == "str" => true,
        Some(tag) => {
            check_tag(Some(tag), "str", span)?;
            false
        }
    };
    let quoted = !plain || tagged_text;
    if !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Content::Null);
    }
    Ok(Content::Scalar(Scalar { text: text.into(), quoted }))
}

/// Tags that say what a value is anyway are harmless; every other one would be lost without a word.
fn check_tag(tag: Option<&Tag>, kind: &str, span: Span) -> Result<(), Box<Problem>> {
    let Some(tag) = tag else { return Ok(()) };
    if tag.original_handle() == "!!" && tag.suffix() == kind {
        return Ok(());
    }
    let name = format!("{}{}", tag.original_handle(), tag.suffix());
    Err(Box::new(
        Problem::new(codes::CUSTOM_TAG, format!("the tag `{name}` is not supported"))
            .at(span, "tagged value")
            .help("leave the tag out; put text into quotes if it looks like a number or a boolean"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::source::SourceMap;

    fn tree(text: &str) -> (SourceMap, Result<Node, Box<Problem>>) {
        let mut sources = SourceMap::default();
        let file = sources.add("test.yaml", text);
        let node = parse(file, text);
        (sources, node)
    }

    #[test]
    fn every_value_knows_its_bytes() {
        let (sources, node) = tree("a: [x, 'y z', \"q\\n\"]\nbe: |\n  block\n  text\nc:\n  - 1.10\n  -\nd: {}\n");
        let mut seen = Vec::new();
        fn walk(node: &Node, sources: &SourceMap, seen: &mut Vec<String>) {
            seen.push(format!("{}: {:?}", node.kind(), sources.slice(node.span)));
            match &node.content {
                Content::Seq(items) => items.iter().for_each(|item| walk(item, sources, seen)),
                Content::Map(entries) => entries.iter().for_each(|(key, value)| {
                    walk(key, sources, seen);
                    walk(value, sources, seen);
                }),
                Content::Null | Content::Scalar(_) => {}
            }
        }
        walk(&node.expect("valid"), &sources, &mut seen);
        assert_eq!(
            seen[1..],
            [
                r#"text: "a""#,
                r#"a list: "[x, 'y z', \"q\\n\"]""#,
                r#"text: "x""#,
                r#"text: "'y z'""#,
                r#"text: "\"q\\n\"""#,
                r#"text: "be""#,
                r#"text: "block\n  text\n""#,
                r#"text: "c""#,
                r#"a list: "- 1.10\n  -""#,
                r#"a number: "1.10""#,
                r#"nothing: """#,
                r#"text: "d""#,
                r#"a map: "{}""#,
            ]
        );
    }
}
