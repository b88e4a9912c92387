//! `check`: is everything there that the night will need? Asks the real systems, changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::inputs::{self, InputArgs};
use super::style::{BAD, BOLD, CARE, GOOD};
use super::text::{columns, counted, wrap};
use crate::engine::check::{Aspect, Item, Seen, check};
use crate::engine::secrets::SecretSources;
use crate::plan::{Call, Plan, StepId, StepKind};

/// Ask the real systems whether a run of a runbook could work now. Changes nothing.
///
/// Makes the pre-checks, asks the probes, samples each criterion once: that is verified. Executors look at what they
/// would do for each step and its undo, and do nothing: that is only read. Exit 5 if something would fail, 8 if something
/// could be neither verified nor read.
///
///   bascule check runbook.yaml -f production.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// List every item in a line of its own.
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
    only_read: usize,
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

/// How much was seen of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It was made, asked or sampled, and is as it must be.
    Verified,
    /// What would be done was looked at, and nothing was done.
    Read,
    /// Neither.
    Unsaid,
    /// It would fail.
    Fails,
}

fn class(item: &Item) -> Class {
    match (&item.seen, item.aspect) {
        (Seen::Verified, Aspect::Check | Aspect::Probe | Aspect::Criterion) => Class::Verified,
        (Seen::Verified, Aspect::Step | Aspect::Undo | Aspect::Verify | Aspect::UndoVerify) => Class::Read,
        (Seen::NotVerified(_), _) => Class::Unsaid,
        (Seen::WouldFail { .. }, _) => Class::Fails,
    }
}

/// Checks.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let planned = inputs::runnable(ctx, &args.inputs).await?;
    inputs::show_short(ctx, &planned.sources, &planned.problems);
    let plan = Arc::new(planned.plan);
    let secrets = SecretSources::from_environment(std::env::vars_os());
    let scratch = std::env::temp_dir().join(format!("bascule-check-{}", std::process::id()));
    let items = check(&plan, &secrets, scratch.clone()).await;
    // Calls that needed no files made no folder.
    drop(std::fs::remove_dir_all(&scratch));
    let items = items.map_err(|error| CliError::new("a bug in bascule: please report it").because(error))?;
    let count = |wanted: Class| items.iter().filter(|item| class(item) == wanted).count();
    let (would_fail, not_verified) = (count(Class::Fails), count(Class::Unsaid));
    if ctx.ui.json {
        ctx.ui.json_data(&Answer {
            plan: plan.hash().as_str(),
            application: &plan.application,
            verified: count(Class::Verified),
            only_read: count(Class::Read),
            total: items.len(),
            would_fail,
            not_verified,
            items: items.iter().map(|item| row(&plan, item)).collect(),
        })?;
    } else {
        ctx.ui.data(&text(&plan, &items, args.verbose));
    }
    Ok(match (would_fail, not_verified) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::NotVerified,
        (_, _) => Exit::PersonNeeded,
    })
}

fn row<'a>(plan: &Plan, item: &'a Item) -> Row<'a> {
    let (seen, why, hint) = match &item.seen {
        Seen::Verified if class(item) == Class::Read => ("onlyRead", Some(how(plan, item)), None),
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

/// An item's name, and what of the step was looked at.
fn name(item: &Item) -> String {
    let id = &item.id;
    match item.aspect {
        Aspect::Check | Aspect::Step | Aspect::Criterion => id.clone(),
        Aspect::Undo => format!("undo of {id}"),
        Aspect::Verify => format!("verification of {id}"),
        Aspect::UndoVerify => format!("verification of the undo of {id}"),
        Aspect::Probe => format!("probe of {id}"),
    }
}

/// How far an executor can look without doing anything.
fn how(plan: &Plan, item: &Item) -> &'static str {
    let Some(call) = call(plan, item) else { return "looked at, not performed" };
    if &*call.uses != "command" {
        "its executor looked at it and did nothing"
    } else if call.with.get("shell").is_some() {
        "the script was parsed, not run"
    } else {
        "the program is there; it was not run"
    }
}

fn call<'p>(plan: &'p Plan, item: &Item) -> Option<&'p Call> {
    let step = plan.step(plan.find(&StepId::from(item.id.as_str()))?);
    let own = match &step.kind {
        StepKind::Action(call) => Some(call),
        StepKind::Approval(_) | StepKind::Manual(_) => None,
    };
    let undo = step.undo_action();
    match item.aspect {
        Aspect::Check | Aspect::Step | Aspect::Probe | Aspect::Criterion => own,
        Aspect::Verify => step.verify.as_ref().map(|verify| &verify.call),
        Aspect::Undo => undo.and_then(|undo| undo.call.as_ref()).or(own),
        Aspect::UndoVerify => undo.and_then(|undo| undo.verify.as_ref()).map(|verify| &verify.call),
    }
}

fn text(plan: &Plan, items: &[Item], verbose: bool) -> String {
    let parts = [
        (Class::Verified, "VERIFIED", format!("{GOOD}✓{GOOD:#}")),
        (Class::Read, "ONLY READ", format!("{CARE}·{CARE:#}")),
        (Class::Unsaid, "NOT VERIFIED", format!("{CARE}?{CARE:#}")),
        (Class::Fails, "WOULD FAIL", format!("{BAD}✗{BAD:#}")),
    ];
    let mut text = String::new();
    let mut sum = Vec::new();
    for (wanted, title, mark) in parts {
        let of_class: Vec<&Item> = items.iter().filter(|item| class(item) == wanted).collect();
        if of_class.is_empty() && wanted != Class::Verified {
            continue;
        }
        // What is well needs no line of its own, unless somebody wants it.
        let is_short = !verbose && matches!(wanted, Class::Verified | Class::Read);
        text.push_str(&list(plan, &of_class, (title, &mark), is_short));
        sum.push(match wanted {
            Class::Verified => format!("{} of {} verified", of_class.len(), counted(items.len(), "item", "items")),
            Class::Read => format!("{} only read", of_class.len()),
            Class::Unsaid => format!("{} not verified", of_class.len()),
            Class::Fails => format!("{} would fail", of_class.len()),
        });
    }
    text.push_str(&format!("{}: {}\n", plan.application, sum.join(", ")));
    text
}

/// What was seen alike, each reason once: one host that is down makes many steps unverified.
fn list(plan: &Plan, items: &[&Item], (title, mark): (&str, &str), is_short: bool) -> String {
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for item in items {
        let why = match &item.seen {
            Seen::Verified if class(item) == Class::Read => vec![how(plan, item).to_owned()],
            Seen::Verified => Vec::new(),
            Seen::WouldFail { why, hint } => {
                std::iter::once(why.clone()).chain(hint.iter().map(|hint| format!("help: {hint}"))).collect()
            }
            Seen::NotVerified(why) => vec![why.clone()],
        };
        match groups.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name(item)),
            None => groups.push((why, vec![name(item)])),
        }
    }
    if groups.is_empty() {
        return String::new();
    }
    let mut text = format!("{BOLD}{title}{BOLD:#}\n");
    for (why, names) in groups {
        let names = if is_short { vec![names.join(", ")] } else { names };
        for name in names {
            let lines = wrap(&name, columns().saturating_sub(4)).join("\n    ");
            text.push_str(&format!("  {mark} {lines}\n"));
        }
        for line in why.iter().flat_map(|line| wrap(line, columns().saturating_sub(6))) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text.push('\n');
    text
}
