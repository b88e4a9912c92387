//! `amend`: other values for a step that is not done.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::inputs;
use super::look::Source;
use super::target;
use crate::plan::amend::{Field, Key, Side};
use crate::runbook::problem::Problem;
use crate::runbook::source::Span;
use crate::runbook::{Documents, Problems, codes};
use crate::server::wire::VerbBody;

/// Change values of a step that is not done: its parameters, its time, its tries. Needs a `--reason`.
///
/// Shows what differs, old and new, and makes a new revision of the plan; the next attempt takes the new values. Only
/// values: never the order, the effect, conditions, exposure, locks or the executor, and never a step that is done or
/// running. Where the plan has approvals this proposes: somebody else agrees with `approve`, or says no with `reject`.
///
/// What can be set: with.NAME (deeper with dots, list entries counted from 0), timeout, retry.attempts, retry.backoff,
/// retry.maxBackoff; with --undo those of the step's undo, until that is done.
///
///   bascule amend billing-db/3 attach_network --set with.network=pg-42 --reason "typed wrong in the ticket"
///   bascule amend billing-db/3 attach_network --undo --set timeout=20m --reason "the array is slow tonight"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// What is set, as in `--set` of `run`: the value is YAML, text with `${{ … }}` included.
    #[arg(long = "set", value_name = "KEY=VALUE", required = true)]
    settings: Vec<String>,
    /// Of the step's undo.
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    who: WhoArgs,
}

/// Amends, or proposes to.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let set = settings(ctx, &args.settings, if args.undo { Side::Undo } else { Side::Forward })?;
    let source = Source::open(ctx).await?;
    let name = target::run(&source, run).await?;
    let plan = source.run(&name).await?.plan;
    let what = format!("changes values of {step}; the next attempt takes them");
    let body = VerbBody::Amend { step: step.to_owned(), set, plan };
    let decision = decide::reasoned(ctx, Decision::new(body, what, &args.who))?;
    let answer = decide::on_run(ctx, &source, &name, &decision).await?;
    decide::tell(ctx, source.has_engine(), &answer)?;
    if answer.events.iter().any(|event| event.event == "asked") {
        let (run, yes) = (&answer.run, "somebody else agrees");
        ctx.ui.say("the plan has approvals: this is a proposal, and nothing has changed yet");
        ctx.ui.say(&format!("  `bascule approve {run} {step}` {yes}, `bascule reject {run} {step}` says no"));
    }
    Ok(Exit::Done)
}

/// The arguments as keys and values; all mistakes at once, with their places.
fn settings(ctx: &Ctx, arguments: &[String], side: Side) -> Result<BTreeMap<String, Value>, CliError> {
    let mut documents = Documents::new();
    let mut set = BTreeMap::new();
    let mut problems = Problems::new();
    for argument in arguments {
        let Some((path, data)) = documents.pair(argument) else { continue };
        match Key::of(&path) {
            Ok(key) => {
                let key = Key { side: if side == Side::Undo { side } else { key.side }, ..key };
                let value = match (&key.field, data.to_json()) {
                    // `timeout=90` is refused as in a runbook: nobody knows the unit.
                    (Field::Timeout | Field::Backoff | Field::MaxBackoff, Value::Number(number)) => {
                        Value::String(number.to_string())
                    }
                    (_, value) => value,
                };
                if set.insert(key.to_string(), value).is_some() {
                    let twice = Problem::new(codes::BAD_SETTING, format!("`{key}` is set twice"));
                    problems.push(twice.at(data.span, "the second time"));
                }
            }
            Err(error) => {
                let key = 0..argument.find('=').unwrap_or(argument.len());
                let place = Span::new(data.span.file, key);
                problems.push(Problem::new(codes::BAD_SETTING, error.why).at(place, "here").help(error.hint));
            }
        }
    }
    documents.report(problems);
    let (sources, problems) = documents.finish();
    if problems.has_errors() {
        return Err(inputs::refused(ctx, &sources, &problems));
    }
    Ok(set)
}
