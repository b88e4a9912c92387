//! `status`: one run in full, or all runs in a table.

use super::Ctx;
use super::client::Runs;
use super::error::CliError;
use super::exit::Exit;
use super::live::colour;
use super::look::Source;
use super::screen::line::{Line, Look};
use super::screen::{Canvas, whole};
use super::when::Zone;
use super::{target, text};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::view::{RunSummary, RunView, words};

/// Show a run, or all of them.
///
/// One run is shown in full and ends with the commands that are legal now. Without a name: the run, if one is open,
/// otherwise a table. `--brief` is five plain lines to read aloud on the bridge.
///
///   bascule status billing-db/3 --brief
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// `application/number`, or an application for its open or newest run.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Five plain lines to read aloud.
    #[arg(long)]
    brief: bool,
    /// The table, also where one run is open; with runs that are over.
    #[arg(long, conflicts_with_all = ["run", "brief"])]
    all: bool,
}

/// Shows.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    if args.run.is_none() && !args.brief {
        let open = source.runs(Runs::Open).await?;
        if args.all || open.len() != 1 {
            let runs = if args.all || open.is_empty() { source.runs(Runs::All).await? } else { open };
            table(ctx, &source, &runs)?;
            return Ok(Exit::Done);
        }
    }
    let name = target::seen(&source, args.run.as_deref()).await?;
    let view = source.run(&name).await?;
    if ctx.ui.json {
        ctx.ui.json_data(&view)?;
        return Ok(Exit::Done);
    }
    if args.brief {
        let canvas = Canvas::new(&view, text::columns());
        whole::brief(&view, &canvas).iter().for_each(|line| ctx.ui.line(line));
    } else {
        print(ctx, &view)?;
    }
    Ok(Exit::Done)
}

fn no_engine(ctx: &Ctx, source: &Source, matters: bool) {
    if matters && !source.has_engine() {
        ctx.ui.say("no engine is running: nothing is done or watched; `bascule resume` starts one");
    }
}

/// A run in full.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn print(ctx: &Ctx, view: &RunView) -> Result<(), CliError> {
    if ctx.ui.json {
        return ctx.ui.json_data(view);
    }
    let canvas = Canvas::new(view, columns(ctx));
    let colour = colour();
    for line in whole::whole(view, &canvas) {
        // Lines that go to a file are never cut: whoever searches them wants them whole.
        let line = if ctx.ui.is_terminal() { line.cut(canvas.columns) } else { line };
        ctx.ui.line(&line.render(colour));
    }
    Ok(())
}

fn columns(ctx: &Ctx) -> usize {
    if ctx.ui.is_terminal() { super::live::size().0 } else { 100 }
}

fn table(ctx: &Ctx, source: &Source, runs: &[RunSummary]) -> Result<(), CliError> {
    if ctx.ui.json {
        return ctx.ui.json_data(&runs);
    }
    if runs.is_empty() {
        ctx.ui.say(&format!("no runs in {}; `bascule run RUNBOOK` starts one", ctx.state.display()));
        return Ok(());
    }
    let columns = columns(ctx);
    let cut = |line: Line| if ctx.ui.is_terminal() { line.cut(columns) } else { line };
    let now = SystemClock::new().now().wall;
    let zone = Zone::system();
    let cells = |of: &dyn Fn(&RunSummary) -> usize| runs.iter().map(of).max().unwrap_or(0);
    let name = cells(&|run| text::width(&run.run)).clamp(3, columns / 2);
    let state = cells(&|run| text::width(&run.state)).max(5);
    let head = Line::new()
        .cell(Look::Dim, "RUN", name + 2)
        .cell(Look::Dim, "STATE", state + 2)
        .cell(Look::Dim, "SINCE", 14)
        .cell(Look::Dim, "FOR", 10)
        .add(Look::Dim, "WHAT");
    let colour = colour();
    ctx.ui.line(&cut(head).render(colour));
    for run in runs {
        ctx.ui.line(&cut(row(run, (name, state), now, &zone)).render(colour));
    }
    no_engine(ctx, source, runs.iter().any(|run| !run.is_final && run.state != "accepted"));
    Ok(())
}

fn row(run: &RunSummary, (name, state): (usize, usize), now: i64, zone: &Zone) -> Line {
    let look = if run.needs_person {
        Look::Bad
    } else if run.is_final {
        Look::Dim
    } else {
        Look::Live
    };
    let mut what = run.doing.clone();
    if run.held {
        what = format!("held; {what}");
    }
    if run.open_questions > 0 {
        what = format!("{what} ({} open)", run.open_questions);
    }
    if run.state == "cutting_over" {
        what = format!("{what}: {} of {}", run.cutover_done, run.cutover_steps);
    }
    if let Some(deadline) = run.window_deadline_at {
        what = format!("{what}; window until {}", zone.near(deadline, now));
    }
    if let Some(damaged) = &run.damaged {
        what = damaged.replace('\n', " ");
    }
    Line::new()
        .cell(Look::Plain, &run.run, name + 2)
        .cell(look, &run.state, state + 2)
        .cell(Look::Plain, &zone.near(run.since_at, now), 14)
        .cell(Look::Plain, &words::span(now.saturating_sub(run.since_at).max(0)), 10)
        .add(Look::Plain, what)
}
