//! `--set key=value`: an argument becomes an overlay, with carets into the argument.
//!
//! The key is a path with dots, such as `inputs.vm` or `steps.smoke_test.timeout`; the value is YAML, so
//! `5` is a number and `[a, b]` a list. Dots inside of a name are written in quotes: `inputs."a.b"`.

use std::ops::Range;

use super::codes;
use super::model::{Data, Overlay};
use super::problem::{Problem, Problems};
use super::read;
use super::source::{FileId, SourceMap, Span};
use super::yaml::{self, Content, Node, Scalar};

/// Reads an argument; its text becomes a file of the map, named `--set`.
pub(super) fn overlay(sources: &mut SourceMap, argument: &str) -> (Option<Overlay>, Problems) {
    let file = sources.add("--set", argument);
    match tree(file, argument) {
        Ok(root) => read::overlay_from(sources, file, root),
        Err(problem) => {
            let mut problems = Problems::new();
            problems.push(*problem);
            (None, problems)
        }
    }
}

/// Reads an argument whose key is a path, and whose value may be anything.
pub(super) fn pair(sources: &mut SourceMap, argument: &str) -> (Option<Pair>, Problems) {
    let file = sources.add("--set", argument);
    let mut problems = Problems::new();
    let parts = argument
        .find('=')
        .ok_or_else(|| wrong(file, 0..argument.len(), "the argument has no `=`"))
        .and_then(|equals| Ok((keys(file, argument, equals)?, value(file, argument, equals + 1)?)));
    match parts {
        Ok((keys, node)) => {
            let (value, found) = read::data_from(sources, file, node);
            problems.append(found);
            (Some((keys.into_iter().map(|(name, _)| name).collect(), value)), problems)
        }
        Err(problem) => {
            problems.push(*problem);
            (None, problems)
        }
    }
}

/// The parts of a key, and the value.
pub(super) type Pair = (Vec<String>, Data);

fn wrong(file: FileId, place: Range<usize>, message: &str) -> Box<Problem> {
    Box::new(
        Problem::new(codes::BAD_SETTING, message)
            .at(Span::new(file, place), "in this argument")
            .help("write `KEY=VALUE`, for example `--set inputs.vm=analytics-01` or `--set rollbackWindow=2m`"),
    )
}

fn tree(file: FileId, argument: &str) -> Result<Node, Box<Problem>> {
    let Some(equals) = argument.find('=') else {
        return Err(wrong(file, 0..argument.len(), "the argument has no `=`"));
    };
    let keys = keys(file, argument, equals)?;
    let value = value(file, argument, equals + 1)?;
    let whole = Span::new(file, 0..argument.len());
    let text =
        |text: &str, span: Span| Node { content: Content::Scalar(Scalar { text: text.into(), quoted: true }), span };
    let mut node = value;
    for (name, place) in keys.into_iter().rev() {
        let entry = (text(&name, Span::new(file, place)), node);
        node = Node { content: Content::Map(vec![entry]), span: whole };
    }
    if let Content::Map(entries) = &mut node.content {
        let start = Span::new(file, 0..0);
        entries.push((text("kind", start), text("Overlay", start)));
    }
    Ok(node)
}

fn keys(file: FileId, argument: &str, end: usize) -> Result<Vec<(String, Range<usize>)>, Box<Problem>> {
    let mut keys = Vec::new();
    let mut at = 0;
    loop {
        let rest = argument.get(at..end).unwrap_or("");
        let (name, length, skip) = match rest.strip_prefix('"') {
            Some(quoted) => match quoted.find('"') {
                Some(close) => (quoted.get(..close).unwrap_or(""), close, 1),
                None => return Err(wrong(file, at..end, "the quote is never closed")),
            },
            None => {
                let length = rest.find('.').unwrap_or(rest.len());
                (rest.get(..length).unwrap_or(""), length, 0)
            }
        };
        if name.trim().is_empty() {
            return Err(wrong(file, at..end.max(at), "a part of the key is empty"));
        }
        keys.push((name.to_owned(), at + skip..at + skip + length));
        at += length + 2 * skip;
        match argument.get(at..end).and_then(|rest| rest.chars().next()) {
            None => return Ok(keys),
            Some('.') => at += 1,
            Some(_) => return Err(wrong(file, at..end, "a dot is missing behind the quote")),
        }
    }
}

fn value(file: FileId, argument: &str, start: usize) -> Result<Node, Box<Problem>> {
    let raw = argument.get(start..).unwrap_or("");
    let place = Span::new(file, start..argument.len());
    let quoted =
        |text: &str| Node { content: Content::Scalar(Scalar { text: text.into(), quoted: true }), span: place };
    if raw.trim().is_empty() {
        return Ok(quoted(""));
    }
    // The key is blanked out, so that the parser's offsets are offsets into the argument.
    let blanked = format!("{}{raw}", " ".repeat(start));
    yaml::parse(file, &blanked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbook::model::Millis;

    fn read(argument: &str) -> (Option<Overlay>, Vec<String>) {
        let mut sources = SourceMap::default();
        let (overlay, problems) = overlay(&mut sources, argument);
        let shown = problems.iter().map(|problem| {
            let place = problem.primary.as_ref().map(|label| sources.slice(label.span).to_owned());
            format!("{} {} at {place:?}", problem.code, problem.message)
        });
        (overlay, shown.collect())
    }

    #[test]
    fn arguments_become_overlays() {
        let (overlay, problems) = read("rollbackWindow=2m");
        assert_eq!(problems, Vec::<String>::new());
        let window = overlay.expect("an overlay").settings.rollback_window.expect("a window");
        assert_eq!(window.value, Millis(120_000));
        assert_eq!(window.span.range(), 15..17);

        let (overlay, problems) = read("steps.smoke_test.with.url=http://x:80/?a=b");
        assert_eq!(problems, Vec::<String>::new());
        let overlay = overlay.expect("an overlay");
        let with = overlay.steps.get("smoke_test").and_then(|step| step.with.as_ref()).expect("with");
        assert_eq!(with.to_json(), serde_json::json!({ "url": "http://x:80/?a=b" }));

        let (overlay, _) = read("inputs.n=[1, two]");
        assert_eq!(overlay.expect("an overlay").inputs[0].1.to_json(), serde_json::json!([1, "two"]));
        let (overlay, _) = read("inputs.empty=");
        assert_eq!(overlay.expect("an overlay").inputs[0].1.to_json(), serde_json::json!(""));
        let (overlay, _) = read("inputs.\"a.b\"=1");
        assert_eq!(&*overlay.expect("an overlay").inputs[0].0.value, "a.b");
    }

    #[test]
    fn mistakes_point_into_the_argument() {
        let seen: Vec<String> = [
            "inputs.vm",
            "=x",
            "inputs..vm=x",
            "inputs.\"a=x",
            "rollbackWindw=2m",
            "rollbackWindow=2",
            "steps.smoke_test.timeout=[1",
            "cutoverSteps=[a]",
            "steps.x.needs=[a]",
        ]
        .into_iter()
        .flat_map(|argument| read(argument).1)
        .collect();
        insta::assert_snapshot!(seen.join("\n"));
    }
}
