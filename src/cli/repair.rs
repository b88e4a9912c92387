//! `repair`: explains a damaged journal, writes down what to believe of it, and removes what is old.
//!
//! Without options it only looks. It never changes a line that stands in the journal, and asks before it writes.

mod decide;
mod inspect;
mod prune;

use super::Ctx;
use super::decide::duration;
use super::error::CliError;
use super::exit::Exit;

/// Explain a damaged journal, and say what to believe of it.
///
/// Without options: what is damaged, which runs stop and why, which are untouched and why, and what each way out
/// would lose. Exit 0: nothing has to be decided. Exit 5: runs stop until somebody says what to believe.
///
/// With --run and --believe the decision is written into the journal, after everything that is damaged; no line is
/// changed or removed. What stands after the believed version is ignored from then on.
///
///   bascule repair
///   bascule repair --run billing-db/3 --believe 12 --reason "compared with the report of 23:10"
///   bascule repair --prune --older-than 90d
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// A run that stops; with --believe, as often as there are runs.
    #[arg(long = "run", value_name = "APP/N", requires = "believe")]
    runs: Vec<String>,
    /// The last version of that run that is believed; 0 forgets the run.
    #[arg(long, value_name = "VERSION", requires = "runs", allow_negative_numbers = true)]
    believe: Vec<u64>,
    /// Write what is believed again, so that nothing depends on the damaged segment.
    #[arg(long, requires = "runs")]
    rewrite: bool,
    /// Why: it stays in the journal.
    #[arg(long, value_name = "TEXT", requires = "runs")]
    reason: Option<String>,
    /// The name of the person who decides, where several share a login; recorded as claimed.
    #[arg(long = "as", value_name = "NAME", requires = "runs")]
    claimed: Option<String>,
    /// Remove segments whose runs are all over since longer than --older-than.
    #[arg(long, conflicts_with = "runs", requires = "older_than")]
    prune: bool,
    /// How long ago the runs of a segment must have ended.
    #[arg(long, value_name = "DURATION", requires = "prune", value_parser = duration)]
    older_than: Option<u64>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    yes: bool,
}

/// Looks, decides or prunes.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    match (args.prune, args.older_than) {
        (true, Some(older_than)) => prune::run(ctx, older_than, args.yes),
        (true | false, _) if args.runs.is_empty() => inspect::run(ctx),
        (true | false, _) => decide::run(ctx, &args),
    }
}

/// Asks, or refuses where nobody can be asked.
fn confirm(ctx: &Ctx, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !ctx.ui.is_interactive() {
        return Err(
            CliError::usage("this changes the journal, and nobody can be asked").hint("add `--yes` if you mean it")
        );
    }
    match super::decide::ask(ctx, "go on? [y/N] ")?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::new("not confirmed: nothing was changed")),
    }
}

/// Why the directory cannot be had for a change.
fn not_owned(ctx: &Ctx, error: crate::store::StoreError) -> CliError {
    let is_held = matches!(error, crate::store::StoreError::Held { .. });
    let failed = CliError::new(format!("{} cannot be repaired now", ctx.state.display())).because(error);
    if is_held { failed.hint("nothing may write beside a repair: end that process first") } else { failed }
}
