//! `note`, `take`, `handover` and `sign-off`: what people say, in any state.

use super::Ctx;
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::target::{self, RunArg};
use crate::server::wire::VerbBody;

/// Write something down in a run's log, in any state.
///
///   bascule note billing-db/3 "called the vendor, case 4711"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The text, with its run before it unless one run is open.
    #[arg(value_name = "[RUN] TEXT", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Writes it down.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let (run, text) = match args.words.as_slice() {
        [run] if crate::store::RunName::parse(run).is_ok() => {
            return Err(CliError::usage(format!("what shall be noted of run {run}?"))
                .hint(format!("write `bascule note {run} 'the text'`")));
        }
        // A text may hold a slash: one word alone is the text.
        [text] => (None, text.as_str()),
        words => target::run_and(words, "text")?,
    };
    let body = VerbBody::Note { text: text.to_owned() };
    decide::decide(ctx, run, Decision::harmless(body, &args.who)).await
}

/// Take charge of a run: everybody sees who decides.
///
///   bascule take billing-db/3 --as marta
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct TakeArgs {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    who: WhoArgs,
}

/// Takes charge.
pub(super) async fn take(ctx: &Ctx, args: TakeArgs) -> Result<Exit, CliError> {
    let me = crate::server::peer::this_process(args.who.claimed.clone());
    let who = Some(me.claimed.unwrap_or(me.name));
    decide::decide(ctx, args.run.name(), Decision::harmless(VerbBody::InCharge { who }, &args.who)).await
}

/// Hand a run over to somebody, or to nobody.
///
///   bascule handover billing-db/3 jonas --reason "end of shift"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct HandoverArgs {
    /// To whom, with the run before it unless one run is open; `nobody` leaves it to nobody.
    #[arg(value_name = "[RUN] NAME", num_args = 1..=2, required = true)]
    words: Vec<String>,
    #[command(flatten)]
    who: WhoArgs,
}

/// Hands over.
pub(super) async fn handover(ctx: &Ctx, args: HandoverArgs) -> Result<Exit, CliError> {
    let (run, name) = target::run_and(&args.words, "name")?;
    let who = (name != "nobody").then(|| name.to_owned());
    decide::decide(ctx, run, Decision::harmless(VerbBody::InCharge { who }, &args.who)).await
}

/// Say, in a role that the runbook asks, that the application is yours from now on.
///
///   bascule sign-off billing-db/3 --role operations
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SignOffArgs {
    #[command(flatten)]
    run: RunArg,
    /// In which role.
    #[arg(long, value_name = "ROLE")]
    role: String,
    #[command(flatten)]
    who: WhoArgs,
}

/// Signs off.
pub(super) async fn sign_off(ctx: &Ctx, args: SignOffArgs) -> Result<Exit, CliError> {
    let what = format!("signs off as {}", args.role);
    let body = VerbBody::SignOff { role: args.role.clone() };
    decide::decide(ctx, args.run.name(), Decision::new(body, what, &args.who)).await
}
