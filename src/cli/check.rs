//! `check`: is everything there that the night will need? Asks the real systems, changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::inputs::{self, InputArgs};
use super::style::{BAD, BOLD, CARE, GOOD};
use super::text::{columns, wrap};
use crate::engine::check::{Aspect, Item, Seen, check};
use crate::engine::secrets::SecretSources;

/// Ask the real systems whether a run of a runbook could work now. Changes nothing.
///
/// Makes the pre-checks, asks the probes, lets every executor look at its parameters for the step and for its undo, and
/// samples each criterion once. Exit 5 if something would fail, 8 if not everything could be verified.
///
///   bascule check runbook.yaml -f production.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// Also list what is as it must be.
    #[arg(long, short)]
    verbose: bool,
}

/// What is printed with `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    plan: &'a str,
    application: &'a str,
    verified: usize,
    total: usize,
    would_fail: usize,
    not_verified: usize,
    items: Vec<Row<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    id: &'a str,
    section: Option<&'static str>,
    aspect: &'static str,
    seen: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

/// Checks.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let plan = Arc::new(inputs::runnable(ctx, &args.inputs).await?.plan);
    let secrets = SecretSources::from_environment(std::env::vars());
    let scratch = std::env::temp_dir().join(format!("bascule-check-{}", std::process::id()));
    let items = check(&plan, &secrets, scratch.clone()).await;
    // Calls that needed no files made no folder.
    drop(std::fs::remove_dir_all(&scratch));
    let items = items.map_err(|error| CliError::new("a bug in bascule: please report it").because(error))?;
    let count = |wanted: fn(&Seen) -> bool| items.iter().filter(|item| wanted(&item.seen)).count();
    let verified = count(|seen| matches!(seen, Seen::Verified));
    let would_fail = count(|seen| matches!(seen, Seen::WouldFail { .. }));
    let not_verified = count(|seen| matches!(seen, Seen::NotVerified(_)));
    if ctx.ui.json {
        ctx.ui.json_data(&Answer {
            plan: plan.hash().as_str(),
            application: &plan.application,
            verified,
            total: items.len(),
            would_fail,
            not_verified,
            items: items.iter().map(row).collect(),
        })?;
    } else {
        ctx.ui.data(&text(&items, &plan.application, args.verbose));
    }
    Ok(match (would_fail, not_verified) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::NotVerified,
        (_, _) => Exit::PersonNeeded,
    })
}

fn row(item: &Item) -> Row<'_> {
    let (seen, why, hint) = match &item.seen {
        Seen::Verified => ("verified", None, None),
        Seen::WouldFail { why, hint } => ("wouldFail", Some(why.as_str()), hint.as_deref()),
        Seen::NotVerified(why) => ("notVerified", Some(why.as_str()), None),
    };
    Row {
        id: &item.id,
        section: item.section.map(crate::plan::Section::key),
        aspect: key(item.aspect),
        seen,
        why,
        hint,
    }
}

fn key(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Check => "check",
        Aspect::Step => "step",
        Aspect::Undo => "undo",
        Aspect::Verify => "verify",
        Aspect::UndoVerify => "undoVerify",
        Aspect::Probe => "probe",
        Aspect::Criterion => "criterion",
    }
}

/// What of a step was looked at, after its name.
fn words(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Check | Aspect::Step | Aspect::Criterion => "",
        Aspect::Undo => ", its undo",
        Aspect::Verify => ", its verification",
        Aspect::UndoVerify => ", the verification of its undo",
        Aspect::Probe => ", its probe",
    }
}

fn text(items: &[Item], application: &str, verbose: bool) -> String {
    let mut text = String::new();
    if verbose {
        text.push_str(&list(items, "VERIFIED", &format!("{GOOD}✓{GOOD:#}"), |seen| matches!(seen, Seen::Verified)));
    }
    let unsaid = |seen: &Seen| matches!(seen, Seen::NotVerified(_));
    text.push_str(&list(items, "NOT VERIFIED", &format!("{CARE}?{CARE:#}"), unsaid));
    let fails = |seen: &Seen| matches!(seen, Seen::WouldFail { .. });
    text.push_str(&list(items, "WOULD FAIL", &format!("{BAD}✗{BAD:#}"), fails));
    let verified = items.iter().filter(|item| item.seen == Seen::Verified).count();
    let percent = (verified * 100).checked_div(items.len()).unwrap_or(100);
    text.push_str(&format!("{application}: {verified} of {} verified ({percent} %)\n", items.len()));
    text
}

/// What was seen alike, each reason once: one host that is down makes many steps unverified.
fn list(items: &[Item], title: &str, mark: &str, wanted: impl Fn(&Seen) -> bool) -> String {
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for item in items.iter().filter(|item| wanted(&item.seen)) {
        let name = format!("{}{}", item.id, words(item.aspect));
        let why = match &item.seen {
            Seen::Verified => Vec::new(),
            Seen::WouldFail { why, hint } => {
                std::iter::once(why.clone()).chain(hint.iter().map(|hint| format!("help: {hint}"))).collect()
            }
            Seen::NotVerified(why) => vec![why.clone()],
        };
        match groups.iter_mut().find(|(known, _)| !why.is_empty() && *known == why) {
            Some((_, names)) => names.push(name),
            None => groups.push((why, vec![name])),
        }
    }
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("{BOLD}{title}{BOLD:#}\n");
    for (why, names) in groups {
        names.iter().for_each(|name| text.push_str(&format!("  {mark} {name}\n")));
        for line in why.iter().flat_map(|line| wrap(line, columns().saturating_sub(6))) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text.push('\n');
    text
}
