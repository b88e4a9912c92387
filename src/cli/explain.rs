//! `explain`: what a code, an exit code, a state, a criterion's state or an effect means.

mod words;

use serde::Serialize;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::text::{columns, wrap};
use crate::runbook::codes;
use crate::runbook::problem::nearest;
use words::Topic;

/// Explain an error code, an exit code, a state or a word.
///
///   bascule explain B0046
///   bascule explain stuck
///   bascule explain exit 5
///   bascule explain            # lists everything
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A code such as B0046, a state such as stuck, a word such as idempotent, or an exit code such as 5.
    topic: Vec<String>,
}

/// A topic, as data.
#[derive(Serialize)]
struct Page<'a> {
    topic: &'a str,
    kind: &'a str,
    title: &'a str,
    page: &'a str,
}

/// Explains.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let wanted = normal(&args.topic);
    if wanted.is_empty() {
        return list(ctx);
    }
    if let Some(code) = codes::find(&wanted) {
        return show(ctx, &Page { topic: code.id, kind: "code", title: code.title, page: code.page });
    }
    match words::find(&wanted) {
        Some(Topic { name, kind, title, page }) => {
            let text = format!("# {name}: {title}\n\n{}\n", wrap(&page.replace('\n', " "), columns()).join("\n"));
            show(ctx, &Page { topic: name, kind: kind.word(), title, page: &text })
        }
        None => Err(unknown(&wanted, &args.topic.join(" "))),
    }
}

/// `exit 5`, `exit-5` and `5` are the same; so are `rolling_back`, `rolling-back` and `rollingBack`.
fn normal(words: &[String]) -> String {
    let mut text = String::new();
    for c in words.join(" ").trim().chars() {
        if c.is_uppercase() && text.ends_with(|before: char| before.is_lowercase()) {
            text.push('_');
        }
        match c {
            ' ' | '-' => text.push('_'),
            other => text.extend(other.to_lowercase()),
        }
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() { format!("exit_{text}") } else { text }
}

fn show(ctx: &Ctx, page: &Page<'_>) -> Result<Exit, CliError> {
    if ctx.ui.json {
        ctx.ui.json_data(page)?;
    } else {
        ctx.ui.data(page.page);
    }
    Ok(Exit::Done)
}

fn list(ctx: &Ctx) -> Result<Exit, CliError> {
    if ctx.ui.json {
        let codes = codes::ALL.iter().map(|code| (code.id, "code", code.title));
        let topics = words::all().map(|topic| (topic.name, topic.kind.word(), topic.title));
        let all: Vec<serde_json::Value> = codes
            .chain(topics)
            .map(|(topic, kind, title)| serde_json::json!({ "topic": topic, "kind": kind, "title": title }))
            .collect();
        ctx.ui.json_data(&all)?;
        return Ok(Exit::Done);
    }
    for kind in words::Kind::ALL {
        ctx.ui.line(kind.heading());
        for topic in words::all().filter(|topic| topic.kind == kind) {
            ctx.ui.line(&format!("  {:<20}  {}", topic.name, topic.title));
        }
        ctx.ui.line("");
    }
    ctx.ui.line("Codes of documents' problems");
    codes::ALL.iter().for_each(|code| ctx.ui.line(&format!("  {:<20}  {}", code.id, code.title)));
    Ok(Exit::Done)
}

/// The codes beside an unknown one; else what is spelt like it.
fn unknown(wanted: &str, said: &str) -> CliError {
    let error = CliError::usage(format!("nothing is known of `{said}`"));
    let number = |id: &str| id.trim_start_matches(['b', 'B']).parse::<u32>().ok();
    if wanted.starts_with('b')
        && let Some(asked) = number(wanted)
    {
        let mut near: Vec<&codes::Code> = codes::ALL.iter().collect();
        near.sort_by_key(|code| number(code.id).map_or(u32::MAX, |there| there.abs_diff(asked)));
        let error = near.iter().take(3).fold(error, |error, code| error.hint(format!("{}: {}", code.id, code.title)));
        return error.hint("`bascule explain` lists all codes");
    }
    let names = words::all().map(|topic| topic.name).chain(codes::ALL.iter().map(|code| code.id));
    match nearest(wanted, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("`bascule explain` lists everything that it can explain"),
    }
}
