//! `approve`: says yes to an approval, or lets an irreversible step pass.

use super::Ctx;
use super::decide::{self, DangerArgs, Decision};
use super::error::CliError;
use super::exit::Exit;
use super::look::Source;
use super::target;
use crate::server::wire::VerbBody;
use crate::view::RunView;

/// Say yes to an approval, or let an irreversible step pass.
///
/// Passing an irreversible step asks for the application's name; a script gives it with `--application`.
///
///   bascule approve billing-db/3 go_no_go --role application-owner
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The approval or step, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] STEP", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// In which role.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    #[command(flatten)]
    danger: DangerArgs,
}

/// Approves.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "step")?;
    let source = Source::open(ctx).await?;
    let name = target::run(&source, run).await?;
    let view = source.run(&name).await?;
    let passes = passes_irreversible(&view, step);
    let body = VerbBody::Approve { step: step.to_owned(), role: args.role.clone() };
    let decision = if passes.is_empty() {
        Decision::new(body, format!("answers {step} with yes"), &args.danger.who)
    } else {
        let what = format!("lets {} pass, which cannot be taken back", passes.join(", "));
        Decision::dangerous(body, what, &args.danger)
    };
    let answer = decide::on_run(ctx, &source, &name, &decision).await?;
    decide::tell(ctx, source.has_engine(), &answer)?;
    Ok(Exit::Done)
}

/// The irreversible step itself, where it is asked about.
fn passes_irreversible<'a>(view: &'a RunView, step: &str) -> Vec<&'a str> {
    view.steps.iter().filter(|of| of.step == step && of.irreversible).map(|of| of.step.as_str()).collect()
}
