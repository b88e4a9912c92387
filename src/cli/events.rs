//! `events`: the log of a run, a line per event.

use super::Ctx;
use super::client::{Client, Ended};
use super::error::CliError;
use super::exit::Exit;
use super::look::Source;
use super::plain::{Form, Printer};
use super::signals::Signals;
use super::target::{self, RunArg};
use super::when::Zone;
use crate::store::RunName;

/// Show the events of a run: what happened, when, by whom.
///
/// Bookkeeping such as samples and locks is left out unless `--all` asks for it. `--json` writes every event as one
/// line of JSON.
///
///   bascule events billing-db/3 --follow
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// As they come, until the run is over.
    #[arg(long)]
    follow: bool,
    /// Bookkeeping too.
    #[arg(long)]
    all: bool,
    /// Only events after this sequence number.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    after: u64,
}

/// Shows.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let name = target::seen(&source, args.run.name()).await?;
    let form = match (ctx.ui.json, args.all) {
        (true, _) => Form::Json,
        (false, true) => Form::Everything,
        (false, false) => Form::Line,
    };
    let mut printer = Printer::new(form, Zone::of(&source.run(&name).await?));
    let mut last = args.after;
    for event in source.events(&name, args.after).await? {
        last = event.sequence;
        printer.event(&event);
        if printer.is_closed {
            return Ok(Exit::Done);
        }
    }
    match &source {
        Source::Owner(client, _) if args.follow => follow(ctx, client, &name, last, &mut printer).await,
        Source::Files(_) if args.follow => {
            ctx.ui.say("no engine is running: nothing more will come; `bascule resume` starts one");
            Ok(Exit::Done)
        }
        Source::Owner(..) | Source::Files(_) => Ok(Exit::Done),
    }
}

async fn follow(
    ctx: &Ctx,
    client: &Client,
    name: &RunName,
    after: u64,
    printer: &mut Printer,
) -> Result<Exit, CliError> {
    let mut events = client.follow(name, after).await?;
    let mut signals = Signals::leaving();
    loop {
        tokio::select! {
            event = events.next() => match event? {
                Ok(event) => {
                    printer.event(&event);
                    if printer.is_closed {
                        return Ok(Exit::Done);
                    }
                }
                Err(Ended::RunOver) => return Ok(Exit::Done),
                Err(Ended::OwnerGone) => {
                    ctx.ui.say("the engine is gone: nothing more will come");
                    return Ok(Exit::Done);
                }
            },
            () = signals.next() => return Ok(Exit::Done),
        }
    }
}
