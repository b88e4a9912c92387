//! What it came to: users' orders counted on the disk that serves, the timeline, where to look next.

use bascule_lab::{Report, Side, UsersSummary};

use super::stage::Stage;
use super::story::Story;
use super::{called, quoted};
use crate::cli::Ctx;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::style::{BAD, BOLD, DIM, GOOD};
use crate::cli::text::{columns, wrap};
use crate::machine::Ending;
use crate::store::RunName;

/// Sends the users home, counts, sums up.
pub(super) async fn show(ctx: &Ctx, stage: &Stage, story: &Story) -> Result<Exit, CliError> {
    let failed = |error| CliError::new("the data centre of the demo does not answer").because(error);
    // Users finish the order at hand first: every promise that was made is in the count.
    let seen = stage.lab.stop_users().await.map_err(failed)?;
    let (side, exit) = match story.state.ending() {
        Some(Ending::OnTarget) => (Side::Target, Exit::Done),
        Some(Ending::Back) => (Side::Source, Exit::RolledBack),
        Some(Ending::Untouched) => (Side::Source, Exit::Untouched),
        Some(Ending::Residue) | None => {
            // Nobody knows which side counts; what is known is printed, and a person looks.
            users(ctx, &seen);
            files(ctx, stage, story)?;
            return Ok(Exit::PersonNeeded);
        }
    };
    let count = stage.lab.verify_orders(side).map_err(failed)?;
    users(ctx, &seen);
    promises(ctx, &count, &seen, side);
    ctx.ui.line(&format!("\n{BOLD}TIMELINE{BOLD:#}"));
    for (at, text) in &story.moments {
        let lines = wrap(text, columns().saturating_sub(11)).join("\n           ");
        ctx.ui.line(&format!("  {:>4}.{}s  {lines}", at / 1000, at % 1000 / 100));
    }
    files(ctx, stage, story)?;
    if count.is_kept() {
        Ok(exit)
    } else {
        Err(CliError::new("orders that users were promised are missing, or there twice")
            .hint("this is a bug: please report it"))
    }
}

fn users(ctx: &Ctx, seen: &UsersSummary) {
    let line = |name: &str, value: String| ctx.ui.line(&format!("  {name:<38} {value:>8}"));
    ctx.ui.line(&format!("\n{BOLD}WHAT USERS SAW{BOLD:#}"));
    line("orders acknowledged", seen.acked.to_string());
    line("  by the source", seen.by_source.to_string());
    line("  by the target", seen.by_target.to_string());
    line("tries that failed, and were repeated", seen.failed_tries.to_string());
    // To a tenth: beside the 1.2 s that the demo adds, `1s` would look like a mistake.
    let length = |ms: u64| format!("{}.{}s", ms / 1000, ms % 1000 / 100);
    line("longest wait for one order", length(seen.longest_wait_ms));
    line("longest wait after a failed try", length(seen.longest_outage_ms));
}

fn promises(ctx: &Ctx, count: &Report, seen: &UsersSummary, side: Side) {
    let (style, mark) = if count.is_kept() { (GOOD, "✓") } else { (BAD, "✗") };
    let text = format!(
        "{} of {} orders are on the {}'s disk, {} of them twice",
        count.present,
        count.acked,
        side.as_str(),
        count.twice.len()
    );
    ctx.ui.line(&format!("  {style}{mark} {text}{style:#}"));
    if side == Side::Source && seen.by_target > 0 {
        ctx.ui.line(&format!("    {DIM}among them the {} that the target had acknowledged{DIM:#}", seen.by_target));
    }
}

/// Where the night can be read again.
fn files(ctx: &Ctx, stage: &Stage, story: &Story) -> Result<(), CliError> {
    let page = stage.base.join("report.html");
    let run = RunName::parse(&story.run).map_err(|error| CliError::new(error.to_string()))?;
    crate::cli::report::save(&stage.state, &run, &page)?;
    ctx.ui.line(&format!("\n{BOLD}READ IT AGAIN{BOLD:#}"));
    ctx.ui.line(&format!("  {}", page.display()));
    ctx.ui.line(&format!("  {} status --state {}", called(), quoted(&stage.state)));
    Ok(())
}

/// What a second terminal can do while all is running.
pub(super) async fn what_to_try(ctx: &Ctx, stage: &Stage, story: &Story) -> Result<(), CliError> {
    let failed = |error| CliError::new("the users of the demo cannot be started again").because(error);
    stage.lab.start_users(2, 500).await.map_err(failed)?;
    let (me, state, lab) = (called(), quoted(&stage.state), quoted(&stage.lab.dir));
    let vm = &stage.lab.site.vm;
    ctx.ui.line(&format!("\n{BOLD}ALL IS STILL RUNNING{BOLD:#}  try, here or in another terminal:"));
    ctx.ui.line(&format!("  export BASCULE_STATE={state}"));
    let status = ("status".to_owned(), "where the run stands, and what can be done");
    let stop = (format!("lab stop --dir {lab}"), "end all of it");
    let verify = |side: Side| (format!("lab verify --dir {lab} {}", side.as_str()), "count the orders");
    let tries = match story.state.ending() {
        Some(Ending::OnTarget) => vec![
            status,
            (format!("lab fault --dir {lab} vm:target/{vm} latency --value 1200"), "make the target slow"),
            (format!("lab heal --dir {lab}"), "and fast again"),
            verify(Side::Target),
            (format!("rollback {} --reason 'just to see'", story.run), "decide to go back"),
            (format!("resume {}", story.run), "start an engine, which does it"),
            stop,
        ],
        // The run is over, and so is whatever it built on the target.
        Some(Ending::Back | Ending::Untouched) => vec![
            status,
            (format!("report {}", story.run), "the page about the night, once more"),
            verify(Side::Source),
            (format!("lab show --dir {lab}"), "where everything is"),
            stop,
        ],
        Some(Ending::Residue) | None => {
            vec![status, (format!("resume {}", story.run), "start an engine: without one nothing goes on"), stop]
        }
    };
    for (command, what) in tries {
        ctx.ui.line(&format!("  {me} {command}\n      {DIM}{what}{DIM:#}"));
    }
    Ok(())
}
