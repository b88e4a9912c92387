//! `watch`: shows a run as it goes. Leaving the view leaves the run alone.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Ctx;
use super::call;
use super::client::{Client, Ended, Runs};
use super::error::CliError;
use super::exit::Exit;
use super::live::{self, Frame};
use super::look::Source;
use super::plain::{self, Form, Printer};
use super::run::StartArgs;
use super::signals::Signals;
use super::status;
use super::target::{self, RunArg};
use super::voice::Voice;
use super::when::Zone;
use crate::engine::Engine;
use crate::store::RunName;
use crate::view::RunView;

/// Show a run as it goes.
///
/// On a terminal a screen that is drawn again in place; otherwise, or with `--plain`, one line per event. Ctrl-C leaves
/// the view; the run goes on. In a script it ends with the run's exit code, also when a person must act.
///
///   bascule watch billing-db/3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    run: RunArg,
    /// One plain line per event, also on a terminal.
    #[arg(long)]
    plain: bool,
}

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// A screen.
    Live,
    /// A line per event.
    Plain,
    /// JSON per event.
    Json,
}

/// Where the lines of a run begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// At its beginning: the whole story.
    Created,
    /// Where the present engine took it: the story before that was told when it happened.
    TakenOver,
    /// After an event that was told already.
    After(u64),
}

impl Since {
    async fn sequence(self, client: &Client, name: &RunName) -> Result<u64, CliError> {
        match self {
            Self::Created => Ok(0),
            Self::TakenOver => taken_over(client, name).await,
            Self::After(sequence) => Ok(sequence),
        }
    }
}

impl Manner {
    fn form(self) -> Form {
        match self {
            Self::Live | Self::Plain => Form::Line,
            Self::Json => Form::Json,
        }
    }
}

/// Watches.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let name = target::seen(&source, args.run.name()).await?;
    if !source.has_engine() {
        let view = source.run(&name).await?;
        status::print(ctx, &view)?;
        if !view.summary.is_final {
            ctx.ui.say("no engine is running: `bascule resume` starts one");
        }
        return Ok(exit_of_view(&view).unwrap_or(Exit::Interrupted));
    }
    let start = StartArgs { plain: args.plain, ..StartArgs::default() };
    follow(ctx, &name, start.manner(ctx), Since::Created).await
}

/// Shows a run that another process executes. A screen shows all of it; lines begin at `since`.
///
/// # Errors
/// There is no such run, or the owner does not answer.
pub(super) async fn follow(ctx: &Ctx, name: &RunName, manner: Manner, since: Since) -> Result<Exit, CliError> {
    let Some((client, _)) = Client::find(&ctx.state).await? else {
        let source = Source::open(ctx).await?;
        return ended(ctx, &source.run(name).await?);
    };
    let mut signals = Signals::leaving();
    match manner {
        Manner::Live => {
            let footer = "Ctrl-C leaves this view, the run goes on";
            match live::show(&client, name, &Frame { footer, voice: &Voice::new(ctx.ui) }, signals.next()).await? {
                live::Ended::Over(view) => ended(ctx, &view),
                live::Ended::Left => Ok(left(ctx, name)),
                live::Ended::OwnerGone(_) => gone(ctx, name).await,
            }
        }
        Manner::Plain | Manner::Json => {
            tokio::select! {
                exit = lines(ctx, &client, name, manner.form(), since) => exit,
                () = signals.next() => Ok(left(ctx, name)),
            }
        }
    }
}

fn left(ctx: &Ctx, name: &RunName) -> Exit {
    ctx.ui.say(&format!("the run goes on; `bascule watch {name}` shows it again"));
    Exit::Done
}

/// Events until the run is over or goes on only with a person.
async fn lines(ctx: &Ctx, client: &Client, name: &RunName, form: Form, since: Since) -> Result<Exit, CliError> {
    let zone = Zone::of(&client.run(name).await?);
    let mut printer = Printer::new(form, zone);
    let mut last = since.sequence(client, name).await?;
    let mut events = client.follow(name, last).await?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let mut complaints = Vec::new();
    loop {
        tokio::select! {
            event = events.next() => match event? {
                Ok(event) => {
                    last = event.sequence;
                    printer.event(&event);
                    if event.event == "asked" && let Ok(view) = client.run(name).await {
                        plain::question(&view, &event, &mut printer);
                    }
                    if printer.is_closed {
                        return Ok(Exit::Done);
                    }
                }
                Err(Ended::RunOver) => return Ok(code(ctx, &client.run(name).await?, form)),
                Err(Ended::OwnerGone) => return gone(ctx, name).await,
            },
            _ = look.tick() => {
                let view = client.run(name).await?;
                // What keeps a run from going on is no event of it.
                for new in view.complaints.iter().filter(|complaint| !complaints.contains(*complaint)) {
                    ctx.ui.say(new);
                }
                complaints.clone_from(&view.complaints);
                if view.sequence <= last && !view.summary.working {
                    return Ok(code(ctx, &view, form));
                }
            }
        }
    }
}

fn code(ctx: &Ctx, view: &RunView, form: Form) -> Exit {
    if form != Form::Json {
        last_words(ctx, view);
    }
    exit_of_view(view).unwrap_or(Exit::Interrupted)
}

/// The owner left: it had nothing to do any more, or it died.
async fn gone(ctx: &Ctx, name: &RunName) -> Result<Exit, CliError> {
    // A new one may have taken over; otherwise the files tell.
    let source = Source::open(ctx).await?;
    let view = source.run(name).await?;
    if view.summary.is_final || !view.summary.working {
        return ended(ctx, &view);
    }
    if source.has_engine() {
        ctx.ui.say(&format!("another engine took over; `bascule watch {name}` shows it"));
    } else {
        ctx.ui.say(&format!("the engine is gone; `bascule resume {name}` starts another, which goes on from here"));
    }
    Ok(Exit::Interrupted)
}

/// The last picture, in the scrollback.
fn ended(ctx: &Ctx, view: &RunView) -> Result<Exit, CliError> {
    if !ctx.ui.json {
        status::print(ctx, view)?;
        // The head of a long page has scrolled away.
        ctx.ui.say(&format!("\n{}: {}; {}", view.summary.run, view.summary.doing, view.service.text));
    }
    Ok(exit_of_view(view).unwrap_or(Exit::Interrupted))
}

/// The exit code of a run as it stands.
#[must_use]
pub(super) fn exit_of_view(view: &RunView) -> Option<Exit> {
    view.summary.exit.map(Exit::of_code)
}

/// The exit code of a run of this process.
pub(super) async fn exit_of_run(engine: &Engine, name: &RunName) -> Option<Exit> {
    let code = match engine.live(name) {
        Some(handle) => handle.look(|run, _| crate::view::exit(run)).await.ok().flatten(),
        None => None,
    };
    match code {
        Some(code) => Some(Exit::of_code(code)),
        None => engine.read(name).await.ok().and_then(|(run, _)| crate::view::exit(&run)).map(Exit::of_code),
    }
}

/// A display beside the owner in this process.
pub(super) struct Beside {
    /// The run that is shown; absent: all open ones.
    pub(super) name: Option<RunName>,
    /// How.
    pub(super) manner: Manner,
    /// Everything was told: the display ends.
    pub(super) stopped: CancellationToken,
    /// What the owner says.
    pub(super) voice: Voice,
}

/// Shows what the owner in this process does, until it has stopped.
pub(super) async fn beside(ctx: Ctx, beside: Beside) {
    if let Err(error) = show_beside(&ctx, &beside).await {
        beside.voice.say(&format!("the display ended: {error}"));
    }
}

async fn show_beside(ctx: &Ctx, beside: &Beside) -> Result<(), CliError> {
    let Some((client, _)) = Client::find(&ctx.state).await? else { return Ok(()) };
    let names: Vec<RunName> = match &beside.name {
        Some(name) => vec![name.clone()],
        None => client.runs(Runs::Open).await?.iter().filter_map(|run| RunName::parse(&run.run).ok()).collect(),
    };
    if let ([name], Manner::Live) = (names.as_slice(), beside.manner) {
        let footer = "Ctrl-C holds the run, lets running steps end and leaves";
        live::show(&client, name, &Frame { footer, voice: &beside.voice }, beside.stopped.cancelled()).await?;
        // The owner may still wait for what runs, or for another run.
        beside.stopped.cancelled().await;
        let view = client.run(name).await?;
        return status::print(ctx, &view);
    }
    let tasks: Vec<_> = names.into_iter().map(|name| one_beside(ctx, &client, name, beside)).collect();
    for done in futures_util::future::join_all(tasks).await {
        done?;
    }
    Ok(())
}

/// Lines of one run; when the owner stops, what is durable is still shown.
async fn one_beside(ctx: &Ctx, client: &Client, name: RunName, beside: &Beside) -> Result<(), CliError> {
    let view = client.run(&name).await?;
    let mut last = Since::TakenOver.sequence(client, &name).await?;
    let mut printer = Printer::new(beside.manner.form(), Zone::of(&view));
    let mut events = client.follow(&name, last).await?;
    loop {
        tokio::select! {
            biased;
            event = events.next() => match event? {
                Ok(event) => {
                    last = event.sequence;
                    printer.event(&event);
                    if event.event == "asked" && let Ok(view) = client.run(&name).await {
                        plain::question(&view, &event, &mut printer);
                    }
                }
                Err(_) => break,
            },
            () = beside.stopped.cancelled() => break,
        }
    }
    for event in client.all_events(&name, last).await? {
        printer.event(&event);
    }
    if beside.manner != Manner::Json {
        last_words(ctx, &client.run(&name).await?);
    }
    Ok(())
}

/// The event before this engine took the run: of a run that was taken over, the story so far was told before.
async fn taken_over(client: &Client, name: &RunName) -> Result<u64, CliError> {
    let events = client.all_events(name, 0).await?;
    let owned: Vec<u64> = events.iter().filter(|event| event.event == "owned").map(|event| event.sequence).collect();
    Ok(match owned.as_slice() {
        [] | [_] => 0,
        [.., newest] => newest - 1,
    })
}

/// What a run without a screen leaves as its last word.
fn last_words(ctx: &Ctx, view: &RunView) {
    let summary = &view.summary;
    ctx.ui.say(&format!("{}: {}", summary.run, summary.doing));
    for left in &view.leftovers {
        ctx.ui.say(&format!("  left applied: {} ({})", left.step, left.why));
    }
    if !summary.is_final {
        for question in &view.questions {
            ctx.ui.say(&format!("  question {}: {}", question.question, question.what));
            for answer in &question.answers {
                ctx.ui.say(&format!("    {}: {}", answer.label, call::typed(&answer.command)));
            }
        }
        for next in view.next.iter().take(4) {
            ctx.ui.say(&format!("  {}  — {}", call::typed(&next.command), next.effect));
        }
    }
}
