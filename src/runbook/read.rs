//! Trees become typed documents; everything that is wrong with them is collected.
//!
//! The reader never stops at a problem: what it cannot read it leaves out and goes on, so that a person
//! sees all mistakes at once. It checks what one document alone can tell; names of steps, cycles, undos and
//! inputs are the compiler's. Start with [`runbook`], then `map.rs` and `values.rs`.

mod catalog;
mod conditions;
mod criterion;
mod data;
mod list;
mod map;
mod overlay;
mod parts;
mod root;
mod settings;
mod step;
mod values;

use std::collections::HashSet;
use std::sync::Arc;

use super::codes;
use super::keys::{self, Shape};
use super::model::{Catalog, Overlay, Runbook, Site};
use super::problem::{Problem, Problems, Severity};
use super::source::{FileId, SourceMap, Span};
use super::yaml::{self, Content, Node};
use conditions::Sees;

/// Reads a runbook.
#[must_use]
pub fn runbook(sources: &SourceMap, file: FileId) -> (Option<Runbook>, Problems) {
    read(sources, file, |reader, root| reader.runbook(root))
}

/// Reads a catalog.
#[must_use]
pub fn catalog(sources: &SourceMap, file: FileId) -> (Option<Catalog>, Problems) {
    read(sources, file, |reader, root| reader.catalog(root))
}

/// Reads an overlay.
#[must_use]
pub fn overlay(sources: &SourceMap, file: FileId) -> (Option<Overlay>, Problems) {
    read(sources, file, |reader, root| reader.overlay(root))
}

/// Reads a site document.
#[must_use]
pub fn site(sources: &SourceMap, file: FileId) -> (Option<Site>, Problems) {
    read(sources, file, |reader, root| reader.site(root))
}

/// Reads a tree that was built from an argument instead of a file.
pub(super) fn overlay_from(sources: &SourceMap, file: FileId, root: Node) -> (Option<Overlay>, Problems) {
    let mut reader = Reader::new(sources, file);
    let overlay = reader.overlay(root);
    (overlay, reader.problems)
}

/// Reads a value that was built from an argument, as it stands in `with`.
pub(super) fn data_from(sources: &SourceMap, file: FileId, node: Node) -> (super::model::Data, Problems) {
    let mut reader = Reader::new(sources, file);
    let data = reader.data(node, conditions::Placeholders::WithSecrets);
    (data, reader.problems)
}

/// The kind that a document says it is; a document without `kind` is a runbook.
#[must_use]
pub fn kind(sources: &SourceMap, file: FileId) -> Option<Shape> {
    let root = yaml::parse(file, sources.file(file).text()).ok()?;
    let Content::Map(entries) = root.content else { return None };
    let written = entries.iter().find_map(|(key, value)| match (&key.content, &value.content) {
        (Content::Scalar(key), Content::Scalar(value)) if &*key.text == "kind" => Some(value.text.clone()),
        _ => None,
    });
    match written.as_deref() {
        None => Some(keys::RUNBOOK),
        Some(name) => root::KINDS.into_iter().find(|shape| shape.schema == name),
    }
}

fn read<T>(
    sources: &SourceMap,
    file: FileId,
    document: impl FnOnce(&mut Reader<'_>, Node) -> Option<T>,
) -> (Option<T>, Problems) {
    let mut reader = Reader::new(sources, file);
    let value = match yaml::parse(file, sources.file(file).text()) {
        Ok(root) if root.content == Content::Null => {
            reader.problems.push(yaml::empty(file));
            None
        }
        Ok(root) => document(&mut reader, root),
        Err(problem) => {
            reader.problems.push(*problem);
            None
        }
    };
    (value, reader.problems)
}

/// Reads one document.
struct Reader<'a> {
    sources: &'a SourceMap,
    file: FileId,
    problems: Problems,
    /// How many errors there were so far: what grew meanwhile is flawed.
    errors: usize,
    /// Expressions and strings that are known to be good: steps made by a program repeat them.
    good: HashSet<(Arc<str>, Sees)>,
}

impl<'a> Reader<'a> {
    fn new(sources: &'a SourceMap, file: FileId) -> Self {
        Self { sources, file, problems: Problems::new(), errors: 0, good: HashSet::new() }
    }

    fn report(&mut self, problem: Problem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        self.problems.push(problem);
    }

    /// The start of a place: of a list or map only its first line is worth a caret.
    fn head(&self, span: Span) -> Span {
        let text = self.sources.slice(span);
        let length = text.find(['\n', '\r']).unwrap_or(text.len());
        Span::new(span.file, span.range().start..span.range().start + length)
    }

    fn missing(&mut self, shape: Shape, span: Span, key: &str, help: &str) {
        let problem = Problem::new(codes::MISSING_KEY, format!("{} needs `{key}`", shape.what))
            .at(self.head(span), format!("`{key}` is missing"))
            .help(help);
        self.report(problem);
    }
}
