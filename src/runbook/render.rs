//! Problems as text for people and as JSON for programs.
//!
//! The text is drawn by the renderer of rustc: `file:line:column`, the line, a caret, a label, help. Nothing
//! here prints. Start with [`report`] and [`to_json`].

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use super::problem::{Label, Problem, Problems, Severity};
use super::source::{FileId, SourceFile, SourceMap, Span, boundary_after, boundary_before};

/// Whether the text may use terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Escape codes.
    Terminal,
    /// None.
    Plain,
}

/// As wide as a terminal surely is.
const COLUMNS: usize = 80;
/// What stands beside carets and their label: the number of a line, the bar, and what says that a line was cut.
const MARGIN: usize = 12;
/// A line that is longer is cut out around its label.
const LONG_LINE: usize = 500;
/// Labels of one file that are further apart are drawn separately.
const FAR: usize = 40;

/// All problems, and a line that sums them up. Empty if there are none.
#[must_use]
pub fn report(problems: &Problems, sources: &SourceMap, colour: Colour) -> String {
    let mut text = String::new();
    for problem in problems {
        text.push_str(&render(problem, sources, colour));
        text.push_str("\n\n");
    }
    text.push_str(&summary(problems));
    text
}

/// Each problem in a line: severity, code, place, message.
#[must_use]
pub fn lines(problems: &Problems, sources: &SourceMap) -> Vec<String> {
    let line = |problem: &Problem| {
        let severity = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = problem.primary.as_ref().map(|label| {
            let at = sources.position(label.span);
            format!(" {}:{}:{}", sources.name(label.span.file), at.line, at.column)
        });
        format!("{severity}[{}]{}: {}", problem.code, place.unwrap_or_default(), clean(&problem.message))
    };
    problems.iter().map(line).collect()
}

/// One problem.
#[must_use]
pub fn render(problem: &Problem, sources: &SourceMap, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Terminal => Renderer::styled(),
        Colour::Plain => Renderer::plain(),
    };
    // A longer line is cut around its label, so that neither is broken.
    let renderer = renderer.term_width(COLUMNS);
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(wrapped(&problem.message, "warning[B0000]: ".len())).id(problem.code.id);
    let beside = "      = help: ".len();
    let notes = problem.notes.iter().map(|note| Element::from(Level::NOTE.message(wrapped(note, beside))));
    // What does not fit beside its carets says the same below them.
    let labels = problem.primary.iter().chain(&problem.secondary);
    let moved = labels.filter(|label| !fits(sources.file(label.span.file), label));
    let moved = moved.map(|label| Element::from(Level::NOTE.message(wrapped(&label.text, beside))));
    let help = problem.help.iter().map(|help| Element::from(Level::HELP.message(wrapped(help, beside))));
    let group: Group<'_> = title.elements(places(problem, sources)).elements(moved).elements(help).elements(notes);
    renderer.render(&[group])
}

/// A text beside `beside` other cells, broken at spaces: a terminal would break it inside of a word.
fn wrapped(text: &str, beside: usize) -> String {
    let mut broken = String::new();
    for (at, line) in clean(text).lines().enumerate() {
        if at > 0 {
            broken.push('\n');
        }
        let mut used = 0;
        for word in words(line) {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > COLUMNS - beside {
                broken.push('\n');
                used = 0;
            } else if used > 0 {
                broken.push(' ');
                used += 1;
            }
            broken.push_str(&word);
            used += length;
        }
    }
    broken
}

/// Words, where code between backticks is one word unless it is long.
fn words(line: &str) -> Vec<String> {
    const LONG_CODE: usize = 40;
    let mut words: Vec<String> = Vec::new();
    for (at, part) in line.split('`').enumerate() {
        let is_code = at % 2 == 1 && part.chars().count() <= LONG_CODE;
        let mut pieces = if is_code { vec![part] } else { part.split(' ').collect() }.into_iter();
        let tick = if at > 0 { "`" } else { "" };
        let first = pieces.next().unwrap_or("");
        match words.last_mut() {
            Some(last) => last.push_str(&format!("{tick}{first}")),
            None => words.push(first.to_owned()),
        }
        words.extend(pieces.map(str::to_owned));
    }
    words
}

/// Control characters from a document must not reach a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn summary(problems: &Problems) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = problems.iter().count() - errors;
    let mut parts = Vec::new();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    if errors > 0 {
        parts.push(format!("{errors} error{}", plural(errors)));
    }
    if warnings > 0 {
        parts.push(format!("{warnings} warning{}", plural(warnings)));
    }
    if problems.beyond() > 0 {
        parts.push(format!("{} more not shown", problems.beyond()));
    }
    let Some(first) = problems.iter().min_by_key(|problem| (problem.severity, problem.code.found_by)) else {
        return String::new();
    };
    format!("{}; `bascule explain {}` says more\n", parts.join(", "), first.code)
}

/// The snippets of a problem: its own place first, then those that take part.
fn places<'a>(problem: &'a Problem, sources: &'a SourceMap) -> Vec<Element<'a>> {
    let Some(primary) = &problem.primary else { return Vec::new() };
    let mut groups: Vec<(FileId, Vec<(&Label, AnnotationKind)>)> = Vec::new();
    let all = std::iter::once((primary, AnnotationKind::Primary))
        .chain(problem.secondary.iter().map(|label| (label, AnnotationKind::Context)));
    for (label, kind) in all {
        let line = sources.position(label.span).line;
        let near = |other: &Label| {
            let there = sources.position(other.span).line;
            other.span.file == label.span.file && there.abs_diff(line) <= FAR
        };
        match groups.iter_mut().find(|(_, labels)| labels.iter().any(|(other, _)| near(other))) {
            Some((_, labels)) => labels.push((label, kind)),
            None => groups.push((label.span.file, vec![(label, kind)])),
        }
    }
    groups.into_iter().flat_map(|(file, labels)| snippet(sources.file(file), &labels)).collect()
}

fn snippet<'a>(file: &'a SourceFile, labels: &[(&'a Label, AnnotationKind)]) -> Vec<Element<'a>> {
    let lines = labels.iter().map(|(label, _)| file.position(label.span.range().start).line);
    let (first, last) = lines.fold((usize::MAX, 0), |(first, last), line| (first.min(line), last.max(line)));
    if file.text().is_empty() {
        return vec![Origin::path(file.name()).into()];
    }
    let long = (first..=last).any(|line| file.line(line).len() > LONG_LINE);
    if long {
        return labels.iter().flat_map(|(label, kind)| window(file, label, *kind)).collect();
    }
    let range = file.lines(first..=last);
    let source = file.text().get(range.clone()).unwrap_or("");
    let mut snippet = Snippet::source(source).path(file.name()).line_start(first);
    for (label, kind) in labels {
        let place = first_line(file, label.span);
        let inside = place.start - range.start..place.end - range.start;
        snippet = snippet.annotation(annotation(file, *kind, inside, label));
    }
    vec![snippet.into()]
}

fn annotation<'a>(
    file: &SourceFile,
    kind: AnnotationKind,
    place: Range<usize>,
    label: &'a Label,
) -> annotate_snippets::Annotation<'a> {
    let annotation = kind.span(place);
    if label.text.is_empty() || !fits(file, label) { annotation } else { annotation.label(label.text.as_str()) }
}

/// Whether a label has room beside its carets. The line is cut before them if that helps, but they are not.
fn fits(file: &SourceFile, label: &Label) -> bool {
    let carets = file.text().get(first_line(file, label.span)).unwrap_or("").chars().count();
    carets.max(1) + 1 + label.text.chars().count() <= COLUMNS - MARGIN
}

/// The part of a place that stands on its first line.
fn first_line(file: &SourceFile, span: Span) -> Range<usize> {
    let range = span.range();
    let text = file.text().get(range.clone()).unwrap_or("");
    let length = text.find(['\n', '\r']).unwrap_or(text.len());
    range.start..range.start + length
}

/// A cut-out of a very long line, with the real line and column above it.
fn window<'a>(file: &'a SourceFile, label: &'a Label, kind: AnnotationKind) -> Vec<Element<'a>> {
    const AROUND: usize = 60;
    let position = file.position(label.span.range().start);
    let line = file.lines(position.line..=position.line);
    let mut place = first_line(file, label.span);
    place.end = place.end.min(boundary_before(file.text(), place.start + AROUND));
    let text = file.text();
    let start = boundary_after(text, place.start.saturating_sub(AROUND)).max(line.start);
    let end = boundary_before(text, place.end.saturating_add(AROUND)).min(line.end);
    let (before, after) = (if start > line.start { "…" } else { "" }, if end < line.end { "…" } else { "" });
    let cut = text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r']);
    let shown = format!("{before}{cut}{after}");
    let shift = |offset: usize| before.len() + offset - start;
    let inside = shift(place.start)..shift(place.end.max(place.start));
    let origin = Origin::path(file.name()).line(position.line).char_column(position.column);
    let snippet = Snippet::source(shown).line_start(position.line).annotation(annotation(file, kind, inside, label));
    vec![origin.into(), snippet.into()]
}

/// All problems as data: the same facts, for editors and pipelines.
#[must_use]
pub fn to_json(problems: &Problems, sources: &SourceMap) -> Value {
    let list: Vec<Value> = problems.iter().map(|problem| problem_json(problem, sources)).collect();
    json!({ "problems": list, "notShown": problems.beyond() })
}

fn problem_json(problem: &Problem, sources: &SourceMap) -> Value {
    let mut value = json!({
        "code": problem.code.id,
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": problem.message,
        "labels": problem.secondary.iter().map(|label| place_json(label, sources)).collect::<Vec<_>>(),
        "help": problem.help,
        "notes": problem.notes,
    });
    if let (Some(primary), Value::Object(fields)) = (&problem.primary, &mut value)
        && let Value::Object(place) = place_json(primary, sources)
    {
        fields.extend(place);
    }
    value
}

fn place_json(label: &Label, sources: &SourceMap) -> Value {
    let (start, end) = (sources.position(label.span), sources.end_position(label.span));
    json!({
        "file": sources.name(label.span.file),
        "line": start.line,
        "column": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "label": label.text,
    })
}
