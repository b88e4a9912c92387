//! `undo`: helps a rollback on.

use clap::Subcommand;

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;

/// Help a rollback on: try an undo again, go on without it, or say that it was done by hand.
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
    /// Go on without the undo of a step: it stays applied and is listed.
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
    who: WhoArgs,
}

/// Helps.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (Verb::Retry(of) | Verb::Waive(of) | Verb::Done(of)) = &args.verb;
    let (run, step) = target::run_and(&of.words, "step")?;
    let id = step.to_owned();
    let (body, what) = match &args.verb {
        Verb::Retry(_) => (VerbBody::UndoRetry { step: id }, format!("runs the undo of {step} again")),
        Verb::Waive(_) => {
            (VerbBody::UndoWaive { step: id }, format!("goes on without undoing {step}: it stays applied"))
        }
        Verb::Done(_) => (VerbBody::UndoDone { step: id }, format!("takes {step} as undone by hand")),
    };
    decide::decide(ctx, run, Decision::new(body, what, &of.who)).await
}
