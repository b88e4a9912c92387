//! `resolve`: a person says what is the case.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::look::Source;
use super::target;
use crate::server::wire::VerbBody;

/// Say what is the case: a step happened, did not, or failed; or go on past a question.
///
/// For a step whose outcome nobody knows, one that failed, or one that was done by hand. `--go-on N` answers question N
/// where going on is one of its answers.
///
///   bascule resolve billing-db/3 convert_image --happened --output image=db.qcow2
///   bascule resolve billing-db/3 --go-on 2 --reason "seen, harmless"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Args {
    /// The step, with its run before it unless one run is open; with `--go-on` and `--forward-again` only the run.
    #[arg(value_name = "[RUN] [STEP]", num_args = 0..=2)]
    words: Vec<String>,
    /// It happened: it counts as done.
    #[arg(long, group = "what")]
    happened: bool,
    /// It did not happen: it runs again, as if for the first time.
    #[arg(long, group = "what")]
    did_not_happen: bool,
    /// It failed.
    #[arg(long, group = "what")]
    failed: bool,
    /// Its probe looks once more.
    #[arg(long, group = "what")]
    probe: bool,
    /// Go on past this question.
    #[arg(long, group = "what", value_name = "QUESTION")]
    go_on: Option<u32>,
    /// After a rollback that an irreversible step stopped: forward again.
    #[arg(long, group = "what")]
    forward_again: bool,
    /// An output of a step that happened, or an answer that a step by hand asks for; JSON, or a plain text.
    #[arg(long = "output", value_name = "NAME=VALUE", requires = "happened")]
    outputs: Vec<String>,
    /// In which role, where the step is certain people's to do by hand.
    #[arg(long, value_name = "ROLE", requires = "happened")]
    role: Option<String>,
    /// It failed before it did anything.
    #[arg(long, requires = "failed")]
    nothing_done: bool,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Resolves.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    if args.go_on.is_some() || args.forward_again {
        let run = match args.words.as_slice() {
            [] => None,
            [run] => Some(run.as_str()),
            [..] => return Err(CliError::usage("this answers a question of the run: leave the step out")),
        };
        let decision = match args.go_on {
            Some(question) => {
                let body = VerbBody::GoOn { question };
                Decision::new(body, format!("goes on past question {question}"), &args.danger.who)
            }
            None => {
                let what = "performs again what was taken back";
                Decision::dangerous(VerbBody::ForwardAgain, what, &args.danger)
            }
        };
        return decide::decide(ctx, run, decision).await;
    }
    let (run, step) = target::run_and(&args.words, "step")?;
    let id = step.to_owned();
    let (body, what) = if args.happened {
        let outputs = outputs(&args.outputs, &asked(ctx, run, step, &args.outputs).await?)?;
        (VerbBody::Happened { step: id, outputs, role: args.role.clone() }, format!("takes {step} as done"))
    } else if args.did_not_happen {
        (VerbBody::DidNotHappen { step: id }, format!("runs {step} again, as if it had never begun"))
    } else if args.failed {
        let body = VerbBody::ItFailed { step: id, nothing_left: args.nothing_done };
        (body, format!("takes {step} as failed: the plan decides what follows"))
    } else {
        (VerbBody::ProbeAgain { step: id }, format!("lets the probe of {step} look once more"))
    };
    decide::decide(ctx, run, Decision::new(body, what, &args.danger.who)).await
}

/// What the step asks for, by name: its type. Of a step that is not there the verb itself says so.
async fn asked(
    ctx: &Ctx,
    run: Option<&str>,
    step: &str,
    given: &[String],
) -> Result<BTreeMap<String, String>, CliError> {
    if given.is_empty() {
        return Ok(BTreeMap::new());
    }
    let source = Source::open(ctx).await?;
    let view = source.run(&target::run(&source, run).await?).await?;
    let found = view.steps.into_iter().find(|of| of.step == step);
    Ok(found.map(|of| of.answer).unwrap_or_default())
}

fn outputs(given: &[String], asked: &BTreeMap<String, String>) -> Result<BTreeMap<String, Value>, CliError> {
    // A ticket's number is text where the runbook says so, each of its digits included.
    let is_text =
        |name: &str| asked.get(name).is_some_and(|spelled| matches!(spelled.as_str(), "string" | "url" | "duration"));
    let one = |text: &String| match text.split_once('=') {
        Some((name, value)) if is_text(name) && !value.starts_with('"') => {
            Ok((name.to_owned(), Value::String(value.to_owned())))
        }
        Some((name, value)) if !name.is_empty() => {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
            Ok((name.to_owned(), value))
        }
        Some(_) | None => {
            Err(CliError::usage(format!("`{text}` is no output")).hint("write it as `--output NAME=VALUE`"))
        }
    };
    given.iter().map(one).collect()
}
