//! `resume` and `go`: start an engine if there is none, and give the word.

use super::Ctx;
use super::client::{Client, ClientError, Runs};
use super::decide::{self, Decision, WhoArgs};
use super::error::CliError;
use super::exit::Exit;
use super::foreground::{self, Failed};
use super::look::Source;
use super::owner::Owner;
use super::run::StartArgs;
use super::spawn;
use super::target::{self, RunArg};
use super::watch::{self, Manner, Since};
use super::when::{self, Zone};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::server::wire::{Health, VerbBody};
use crate::store::RunName;
use crate::view::{RunView, words};

/// Go on: start an engine if none runs, and end every kind of stop.
///
/// After a crash it says, per open run, when it was interrupted, for how long nobody was there, whether service is up or
/// down, what was ended, and what to type. Without a name every run goes on that a restart or an interrupt held; what a
/// person paused stays so until it is named. What a run that is over left running without an engine is ended, too.
///
///   bascule resume billing-db/3
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// `application/number`, or an application for its open or newest run; without it all runs that a restart held.
    #[arg(value_name = "RUN")]
    run: Option<String>,
    #[command(flatten)]
    start: StartArgs,
    /// Start the engine and look: held runs stay held.
    #[arg(long)]
    held: bool,
    #[command(flatten)]
    who: WhoArgs,
}

/// Give the word for the cutover of a prepared run; starts an engine if none runs.
///
/// With --at the run begins by itself then, as if somebody had typed this at that time: pre-checks are repeated first. It
/// survives a restart. A time that comes while no engine runs, or while people decide, is missed: the run stays prepared and
/// says so. While the wall clock is in doubt it waits for `confirm-clock`.
///
///   bascule go billing-db/3
///   bascule go billing-db/3 --at 23:30
///   bascule go billing-db/3 --not-by-itself
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct GoArgs {
    #[command(flatten)]
    run: RunArg,
    /// Then, and not now: RFC 3339, or a time of day of the change's zone, tomorrow's if it has passed.
    #[arg(long, value_name = "TIME", conflicts_with = "not_by_itself")]
    at: Option<String>,
    /// Takes back the time that was named: the run waits for the word.
    #[arg(long)]
    not_by_itself: bool,
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    who: WhoArgs,
}

/// Resumes.
pub(super) async fn run(ctx: &Ctx, args: Args) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let open = source.runs(Runs::Open).await?;
    let named = match args.run.as_deref() {
        Some(run) => Some(target::run(&source, Some(run)).await?),
        None => None,
    };
    let left = match &source {
        Source::Owner(..) => Vec::new(),
        Source::Files(files) => files.left_running(),
    };
    if open.is_empty() && left.is_empty() {
        ctx.ui.say("no run is open: nothing to resume");
        return Ok(Exit::Done);
    }
    // What a closed run left behind is ended by whichever engine starts; there is nothing of it to follow.
    let named = named.filter(|name| !left.iter().any(|(run, _)| run == name));
    let is_named = args.run.is_some();
    // The one that is meant is the one that is shown.
    let shown = match (&named, open.as_slice()) {
        (Some(name), _) => Some(name.clone()),
        (None, [only]) if !is_named => RunName::parse(&only.run).ok(),
        (None, _) => None,
    };
    drop(source);
    let stays_held = args.held || is_named && named.is_none();
    let word = Word { named, shown, left, go: None, stays_held, who: &args.who };
    start_and(ctx, args.start, word).await
}

/// Gives the word.
pub(super) async fn go(ctx: &Ctx, args: GoArgs) -> Result<Exit, CliError> {
    let source = Source::open(ctx).await?;
    let name = target::run(&source, args.run.name()).await?;
    if args.not_by_itself {
        let what = "takes back the time: the run waits for the word";
        let decision = Decision::new(VerbBody::GoAt { at: None }, what, &args.who);
        let answer = decide::on_run(ctx, &source, &name, &decision).await?;
        decide::tell(ctx, source.has_engine(), &answer)?;
        return Ok(Exit::Done);
    }
    let go = match &args.at {
        None => VerbBody::Go,
        Some(text) => {
            let zone = Zone::of(&source.run(&name).await?);
            let at = zone.moment(text, SystemClock::new().now().wall);
            VerbBody::GoAt { at: Some(at.map_err(|why| CliError::usage(format!("`--at`: {why}")))?) }
        }
    };
    drop(source);
    let (named, shown) = (Some(name.clone()), Some(name));
    let word = Word { named, shown, left: vec![], go: Some(go), stays_held: false, who: &args.who };
    start_and(ctx, args.start, word).await
}

/// What is said once an engine is there, and by whom.
struct Word<'a> {
    named: Option<RunName>,
    /// The run that is followed afterwards.
    shown: Option<RunName>,
    /// Runs that are over, with attempts that may still run.
    left: Vec<(RunName, Vec<String>)>,
    /// The word; absent: `resume`.
    go: Option<VerbBody>,
    stays_held: bool,
    who: &'a WhoArgs,
}

/// How often an owner that goes down meanwhile is followed by another.
const TRIES: usize = 20;

async fn start_and(ctx: &Ctx, start: StartArgs, word: Word<'_>) -> Result<Exit, CliError> {
    for _ in 0..TRIES {
        let found = Client::find(&ctx.state).await?;
        if found.is_none() && start.is_foreground(ctx) {
            match foreground::own(ctx, &start).await {
                Ok(owner) => return here(ctx, start, owner, &word).await,
                // Somebody was quicker: it is asked next.
                Err(Failed::Held) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                Err(Failed::Other(error)) => return Err(*error),
            }
            continue;
        }
        let (client, health, is_new) = match found {
            Some((client, health)) => (client, health, false),
            None => {
                let (client, health) = spawn::owner(ctx, &start.wishes()).await?;
                (client, health, true)
            }
        };
        let manner = start.manner(ctx);
        let teller = if is_new && word.shown.is_some() { Teller::of(manner) } else { Teller::Word };
        let last = match say(ctx, &client, is_new.then_some(&health), &word, teller).await {
            Ok(last) => last,
            Err(Said::OwnerGone) => continue,
            Err(Said::Failed(error)) => return Err(*error),
        };
        let Some(name) = word.shown else { return Ok(Exit::Done) };
        if matches!(word.go, Some(VerbBody::GoAt { .. })) && teller == Teller::Word {
            // It is a while until then: nobody has to sit here.
            return Ok(Exit::Done);
        }
        let since = match teller {
            Teller::Display => Since::TakenOver,
            Teller::Word => Since::After(last),
        };
        return watch::follow(ctx, &name, manner, since).await;
    }
    Err(CliError::new("no engine stays").hint("`engine.log` in the state directory says why they end"))
}

/// With the engine in this process.
async fn here(ctx: &Ctx, start: StartArgs, owner: Owner, word: &Word<'_>) -> Result<Exit, CliError> {
    let said = match Client::find(&ctx.state).await {
        Ok(Some((client, health))) => say(ctx, &client, Some(&health), word, Teller::of(start.manner(ctx))).await,
        Ok(None) => Err(Said::OwnerGone),
        Err(error) => Err(Said::from(error)),
    };
    let error = match said {
        Ok(_) => return foreground::stay(ctx, owner, &start, word.shown.as_ref()).await,
        Err(Said::OwnerGone) => CliError::new("the engine in this process does not answer"),
        Err(Said::Failed(error)) => *error,
    };
    // What it took over is given back before anybody is told why.
    drop(owner.stop().await);
    Err(error)
}

/// Who prints what the word wrote. Once is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// Whoever gives the word.
    Word,
    /// The lines that begin where the new engine took the run: they show it in its place.
    Display,
}

impl Teller {
    /// Beside a display of all that a new engine does.
    fn of(manner: Manner) -> Self {
        match manner {
            // A screen leaves no lines behind.
            Manner::Live => Self::Word,
            Manner::Plain | Manner::Json => Self::Display,
        }
    }
}

/// Why the word was not given.
enum Said {
    OwnerGone,
    Failed(Box<CliError>),
}

impl From<ClientError> for Said {
    fn from(error: ClientError) -> Self {
        if error.is_gone() { Self::OwnerGone } else { Self::Failed(Box::new(error.into())) }
    }
}

impl From<CliError> for Said {
    fn from(error: CliError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// Tells what a new engine found, gives the word. Answers the event of the run that is shown after which the rest is news:
/// the last one that the word wrote, or the newest there was.
async fn say(ctx: &Ctx, client: &Client, found: Option<&Health>, word: &Word<'_>, teller: Teller) -> Result<u64, Said> {
    let mut last = match &word.shown {
        Some(name) => client.run(name).await?.sequence,
        None => 0,
    };
    let open = client.runs(Runs::Open).await?;
    if let Some(health) = found.filter(|_| !ctx.ui.json) {
        let mut views = Vec::new();
        for adopted in &health.adopted {
            let Ok(name) = RunName::parse(&adopted.run) else { continue };
            views.push(client.run(&name).await?);
        }
        tell_found(ctx, health, &views);
        tell_left(ctx, health, &word.left);
    }
    for run in &open {
        let Ok(name) = RunName::parse(&run.run) else { continue };
        let is_meant = word.named.as_ref().is_none_or(|named| *named == name);
        let goes_on = if word.go.is_some() { is_meant } else { is_meant && run.held && !word.stays_held };
        if !goes_on {
            continue;
        }
        if word.named.is_none() && stays_paused(ctx, client, &name).await? {
            continue;
        }
        let decision = match &word.go {
            Some(go) => {
                let what = "gives the word: pre-checks are repeated, then the cutover begins";
                let then = " by itself at that time";
                let what = if *go == VerbBody::Go { what.to_owned() } else { format!("{what}{then}") };
                Decision::new(go.clone(), what, word.who)
            }
            None => Decision::harmless(VerbBody::Resume, word.who),
        };
        let answer = decide::by_owner(ctx, client, &name, &decision).await?;
        let answer = match answer {
            Ok(answer) => answer,
            // Somebody else resumed it meanwhile: it goes on, which is what was wanted.
            Err(ClientError::Problem(_)) if word.go.is_none() && !client.run(&name).await?.summary.held => continue,
            Err(error) => return Err(error.into()),
        };
        if teller == Teller::Word {
            decide::tell(ctx, true, &answer)?;
        }
        if let Some(event) = answer.events.last().filter(|_| word.shown.as_ref() == Some(&name)) {
            last = event.sequence;
        }
    }
    Ok(last)
}

/// Whether a person paused a run on purpose: then only its name lifts that. Says so.
async fn stays_paused(ctx: &Ctx, client: &Client, name: &RunName) -> Result<bool, Said> {
    let Some(hold) = client.run(name).await?.hold.filter(|hold| !hold.restart && !hold.interrupted) else {
        return Ok(false);
    };
    let by = hold.by.map(|by| format!(" by {by}")).unwrap_or_default();
    let since = Zone::system().full(hold.since_at);
    ctx.ui.say(&format!("{name}: stays paused{by} since {since}; `bascule resume {name}` lifts it"));
    Ok(true)
}

/// What runs that are over had left running, and that it is ended.
fn tell_left(ctx: &Ctx, health: &Health, left: &[(RunName, Vec<String>)]) {
    for (run, attempts) in &health.ended {
        ctx.ui.say(&format!("{run} is over, and {} still ran: it was ended", attempts.join(", ")));
    }
    for (run, attempts) in left.iter().filter(|(run, _)| !health.ended.contains_key(run.as_str())) {
        ctx.ui.say(&format!("{run} is over, and nothing runs here any more of {}", attempts.join(", ")));
    }
}

/// Per open run: interrupted when, away how long, service up or down, what was ended, the command to type.
fn tell_found(ctx: &Ctx, health: &Health, views: &[RunView]) {
    for line in &health.found {
        ctx.ui.say(line);
    }
    let zone = Zone::system();
    for adopted in &health.adopted {
        let since = health.started_at.saturating_sub(i64::try_from(adopted.away_ms).unwrap_or(i64::MAX));
        ctx.ui.say(&format!(
            "{}: was {}, interrupted {}, nobody was there for {}",
            adopted.run,
            adopted.state.replace('_', " "),
            zone.full(since),
            words::span_u(adopted.away_ms)
        ));
        let view = views.iter().find(|view| view.summary.run == adopted.run);
        if let Some(service) = view.map(|view| &view.service) {
            // As `status` says it: what an engine found at its start may be in doubt by now.
            let since =
                service.since_at.map(|at| format!(", since {} ({})", zone.clock(at), when::ago(at, health.started_at)));
            ctx.ui.say(&format!("  {}{}", service.text, since.unwrap_or_default()));
        }
        if !adopted.ended_attempts.is_empty() {
            ctx.ui.say(&format!("  was still running and was ended first: {}", adopted.ended_attempts.join(", ")));
        }
        if let Some(run) = view.map(|view| &view.summary).filter(|run| !run.is_final) {
            ctx.ui.say(&format!("  now: {}", run.doing));
            let command = if run.open_questions > 0 {
                format!("bascule status {}", run.run)
            } else if run.held {
                format!("bascule resume {}", run.run)
            } else {
                format!("bascule watch {}", run.run)
            };
            ctx.ui.say(&format!("  {command}"));
        }
    }
}
