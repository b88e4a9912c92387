//! `skip`: goes on without a step.

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::look::Source;
use super::target;
use crate::server::wire::VerbBody;
use crate::view::RunView;

/// Go on without a step, as if it were done. The exposing step, approvals and checks cannot be skipped.
///
/// Without a step that copies the application's data, users may meet a target without it: that asks for the
/// application's name; a script gives it with `--application`.
///
///   bascule skip billing-db/3 notify_users --reason "mail is down"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Skips.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let source = Source::open(ctx).await?;
    let name = target::run(&source, run).await?;
    let view = source.run(&name).await?;
    let what = format!("goes on without {step}: what needs it treats it as done");
    let body = VerbBody::Skip { step: step.to_owned() };
    let decision = if moves_data(&view, step) {
        let what = format!("{what}. IT COPIES THE APPLICATION'S DATA: users may be sent to a target without it");
        Decision::dangerous(body, what, &args.danger)
    } else {
        Decision::new(body, what, &args.danger.who)
    };
    let answer = decide::on_run(ctx, &source, &name, &decision).await?;
    decide::tell(ctx, source.has_engine(), &answer)?;
    Ok(Exit::Done)
}

fn moves_data(view: &RunView, step: &str) -> bool {
    view.steps.iter().any(|of| of.step == step && of.moves_data)
}
