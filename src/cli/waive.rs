//! `waive`: goes on without a check.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target;
use crate::server::wire::VerbBody;

/// Go on without a check, in a role that the check names in `waivableBy`. Needs a `--reason`.
///
///   bascule waive billing-db/3 dns_ttl_lowered --role network-lead --reason "no resolver caches it"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The check, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] CHECK", num_args = 1..=2, required = true)]
    words: Vec<String>,
    /// In which role.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Waives.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, step) = target::run_and(&args.words, "check")?;
    let what = format!("goes on without check {step}");
    let body = VerbBody::Waive { step: step.to_owned(), role: args.role.clone() };
    decide::decide(ctx, run, Decision::new(body, what, &args.who)).await
}
