//! `undo`: helps a rollback on.

use clap::Subcommand;

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::look::Source;
use super::target;
use crate::server::wire::VerbBody;
use crate::view::RunView;

/// Help a rollback on: try an undo again, go on without it, or say that it was done by hand.
///
/// To go on without the fence or without what brings users' data home may lose their writes: that asks for the
/// application's name; a script gives it with `--application`.
///
///   bascule undo retry billing-db/3 attach_storage
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Try the undo of a step again.
    Retry(StepArgs),
    /// Go on without the undo of a step: it stays applied and is listed. Needs a `--reason`.
    Waive(StepArgs),
    /// Say that a step was undone by hand.
    Done(StepArgs),
}

#[derive(Debug, clap::Args)]
struct StepArgs {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Helps.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (Verb::Retry(of) | Verb::Waive(of) | Verb::Done(of)) = &args.verb;
    let (run, step) = target::run_and(&of.words, "step")?;
    let source = Source::open(ctx).await?;
    let name = target::run(&source, run).await?;
    let view = source.run(&name).await?;
    let id = step.to_owned();
    let (body, what) = match &args.verb {
        Verb::Retry(_) => (VerbBody::UndoRetry { step: id }, format!("runs the undo of {step} again")),
        Verb::Waive(_) => {
            (VerbBody::UndoWaive { step: id }, format!("goes on without undoing {step}: it stays applied"))
        }
        Verb::Done(_) => (VerbBody::UndoDone { step: id }, format!("takes {step} as undone by hand")),
    };
    let retries = matches!(args.verb, Verb::Retry(_));
    let decision = match keeps_writes(&view, step) {
        Some(stage) if !retries => {
            let what = format!("{what}. It belongs to the stage `{stage}`: {}", view.data.text);
            Decision::dangerous(body, what, &of.danger)
        }
        Some(_) | None => Decision::new(body, what, &of.danger.who),
    };
    let decision = decide::reasoned(ctx, decision)?;
    let answer = decide::on_run(ctx, &source, &name, &decision).await?;
    decide::tell(ctx, source.has_engine(), &answer)?;
    Ok(Exit::Done)
}

/// The stage of an undo without which users' writes may be lost.
fn keeps_writes<'a>(view: &'a RunView, step: &str) -> Option<&'a str> {
    let undos = view.rollback.iter().flat_map(|rollback| &rollback.restore);
    // The plain name of a fence step means it, too.
    let means = |id: &str| id == step || id.split_once(':').is_some_and(|(_, plain)| plain == step);
    let mut stages = undos.filter(|undo| means(&undo.step)).filter_map(|undo| undo.stage.as_deref());
    stages.find(|stage| matches!(*stage, "fence" | "data"))
}
