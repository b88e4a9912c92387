//! A verb that changes something: shown, confirmed, decided, its events printed.
//!
//! With an owner the verb goes through the socket. Without one the decision is written down, nothing is started, and
//! the person is told so. Dangerous verbs want the application's name, typed or as `--application`: `--yes` alone does
//! not give it, because a script that says yes to everything must still say to what.

use std::io::Write as _;

use super::Ctx;
use super::client::{Client, ClientError};
use super::error::CliError;
use super::exit::Exit;
use super::look::{Files, Source};
use super::offline::Sent;
use super::screen::line::printable;
use super::{offline, target, when};
use crate::machine::{RunState, Verb};
use crate::server::peer;
use crate::server::problem::Problem;
use crate::server::verbs::{Told, preview};
use crate::server::wire::{VerbAnswer, VerbBody, VerbRequest};
use crate::store::RunName;
use crate::view::{EventView, Level, RunView};

/// Who decides, and why.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct WhoArgs {
    /// Why: it is written into the run's log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The name of the person who decides, where several share a login; recorded as claimed.
    #[arg(long = "as", value_name = "NAME")]
    pub claimed: Option<String>,
    /// Do not ask.
    #[arg(long, short = 'y')]
    pub yes: bool,
}

/// The same for verbs that cannot be taken back lightly.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct DangerArgs {
    #[command(flatten)]
    pub who: WhoArgs,
    /// The application's name, as a script says that it means this one; asked for on a terminal.
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
}

/// How much harm a mistaken verb does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Danger {
    /// Only words: never asked.
    None,
    /// Asked on a terminal.
    Some,
    /// The application's name is asked for.
    High,
}

/// A verb, whom it is meant for, and how it is asked.
pub(super) struct Decision<'a> {
    /// What.
    pub body: VerbBody,
    /// What it does, for the question: `goes back`.
    pub what: String,
    /// What the request is called, each time that it is sent.
    id: String,
    /// Who.
    pub who: &'a WhoArgs,
    /// Why.
    pub reason: Option<String>,
    /// The application's name, if the command line gives it.
    pub application: Option<&'a str>,
    /// How it is asked.
    pub danger: Danger,
}

impl<'a> Decision<'a> {
    /// An ordinary verb.
    pub(super) fn new(body: VerbBody, what: impl Into<String>, who: &'a WhoArgs) -> Self {
        let reason = who.reason.clone();
        Self { reason, body, what: what.into(), id: id(), who, application: None, danger: Danger::Some }
    }

    /// A dangerous one.
    pub(super) fn dangerous(body: VerbBody, what: impl Into<String>, args: &'a DangerArgs) -> Self {
        let application = args.application.as_deref();
        Self { application, danger: Danger::High, ..Self::new(body, what, &args.who) }
    }

    /// Only words.
    pub(super) fn harmless(body: VerbBody, who: &'a WhoArgs) -> Self {
        Self { danger: Danger::None, ..Self::new(body, String::new(), who) }
    }

    fn request(&self, is_preview: bool) -> VerbRequest {
        VerbRequest {
            verb: self.body.clone(),
            claimed: self.who.claimed.clone(),
            reason: self.reason.clone(),
            id: Some(self.id.clone()),
            preview: is_preview,
        }
    }
}

/// A name that no other request has.
fn id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Decides for the run that `argument` names.
///
/// # Errors
/// It is not legal now, not confirmed, or cannot be written.
pub(super) async fn decide(ctx: &Ctx, argument: Option<&str>, decision: Decision<'_>) -> Result<Exit, CliError> {
    let decision = reasoned(ctx, decision)?;
    let source = Source::open(ctx).await?;
    let run = target::run(&source, argument).await?;
    let answer = match on_run(ctx, &source, &run, &decision).await {
        Ok(answer) => answer,
        Err(error) => return Err(with_last_word(&source, &run, &decision, error).await),
    };
    tell(ctx, source.has_engine(), &answer)?;
    Ok(Exit::Done)
}

/// Who is refused because somebody else was quicker hears what that one said of the step.
async fn with_last_word(source: &Source, run: &RunName, decision: &Decision<'_>, error: CliError) -> CliError {
    let body = serde_json::to_value(&decision.body).unwrap_or_default();
    let step = body.as_object().and_then(|verb| verb.values().next()?.get("step")?.as_str());
    if error.exit != Exit::Error || step.is_none() {
        return error;
    }
    let events = source.events(run, 0).await.unwrap_or_default();
    let last = events.iter().rev().find(|event| event.step.as_deref() == step && event.by.is_some());
    match last.and_then(|event| Some((event, event.who()?))) {
        Some((event, who)) => error.hint(format!(
            "the last word about it: {}  {} — {who}",
            when::Zone::system().clock(event.at),
            printable(&event.text.replace('\n', " "))
        )),
        None => error,
    }
}

/// A decision with its reason, where it needs one: a terminal is asked for it, a script has to give it.
///
/// # Errors
/// There is none, or a blank one.
pub(super) fn reasoned<'a>(ctx: &Ctx, mut decision: Decision<'a>) -> Result<Decision<'a>, CliError> {
    let is_blank = |reason: &Option<String>| reason.as_deref().is_some_and(|reason| reason.trim().is_empty());
    let wanted = decision.body.clone().into_verb().wants_reason();
    if is_blank(&decision.reason) {
        let otherwise = if wanted { "" } else { ", or leave it out" };
        return Err(CliError::usage("an empty reason says nothing")
            .hint(format!("say why: --reason \"…\"{otherwise}: it is written into the run's log")));
    }
    if wanted && decision.reason.is_none() {
        if ctx.ui.is_interactive() && !decision.who.yes {
            decision.reason = Some(ask(ctx, "why? (it is written into the run's log) ")?);
        }
        if decision.reason.is_none() || is_blank(&decision.reason) {
            return Err(CliError::usage("this needs a reason")
                .hint("say why: --reason \"…\": it is written into the run's log"));
        }
    }
    Ok(decision)
}

/// Decides for a run that is known.
///
/// # Errors
/// As [`decide`].
pub(super) async fn on_run(
    ctx: &Ctx,
    source: &Source,
    run: &RunName,
    decision: &Decision<'_>,
) -> Result<VerbAnswer, CliError> {
    if decision.danger != Danger::None {
        let would = ask_first(source, run, decision).await?;
        let view = source.run(run).await?;
        confirm(ctx, &view, &would, decision)?;
    }
    let request = decision.request(false);
    let Source::Owner(client, _) = source else { return offline::decide(ctx, run, &request, Sent::Never).await };
    match client.decide(run, &request).await {
        // It never heard of it. The owner left meanwhile: it had nothing to do, and neither has another.
        Err(ClientError::Nobody(_)) => offline::decide(ctx, run, &request, Sent::Never).await,
        // Its answer was lost, or it left in the middle of it: the log tells whether it decided.
        Err(ClientError::Lost(_) | ClientError::Leaving) => offline::decide(ctx, run, &request, Sent::AnswerLost).await,
        Err(hangs @ ClientError::Hangs(_)) => {
            let look = format!("it may still decide: look at `bascule events {run}` before you say it again");
            Err(CliError::from(hangs).hint(look))
        }
        answer => Ok(answer?),
    }
}

/// Decides through an owner; the outer error is about the person's answer, the inner one the owner's.
///
/// # Errors
/// Not confirmed.
pub(super) async fn by_owner(
    ctx: &Ctx,
    client: &Client,
    run: &RunName,
    decision: &Decision<'_>,
) -> Result<Result<VerbAnswer, ClientError>, CliError> {
    if decision.danger != Danger::None {
        let would = match client.decide(run, &decision.request(true)).await {
            Ok(would) => would,
            Err(error) => return Ok(Err(error)),
        };
        match client.run(run).await {
            Ok(view) => confirm(ctx, &view, &would, decision)?,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(client.decide(run, &decision.request(false)).await)
}

/// What the verb would write; a refusal is known before anybody is asked.
async fn ask_first(source: &Source, run: &RunName, decision: &Decision<'_>) -> Result<VerbAnswer, CliError> {
    let request = decision.request(true);
    match source {
        Source::Owner(client, health) => match client.decide(run, &request).await {
            Err(error) if error.is_gone() => {
                from_files(&Files::open(std::path::Path::new(&health.state))?, run, request)
            }
            answer => Ok(answer?),
        },
        Source::Files(files) => from_files(files, run, request),
    }
}

fn from_files(files: &Files, run: &RunName, request: VerbRequest) -> Result<VerbAnswer, CliError> {
    let (by, reason) = (peer::this_process(request.claimed), request.reason.map(Into::into));
    let told = Told { by, reason, engine: files.engine() };
    let (run, verb) = (files.run(run)?, request.verb.into_verb());
    if let Verb::Amend { step, set, .. } = &verb {
        crate::server::amend::check(&run, step, set).map_err(refused)?;
    }
    preview(run, files.now(), verb, told).map_err(refused)
}

/// A refusal, for a person.
pub(super) fn refused(problem: Problem) -> CliError {
    ClientError::Problem(problem).into()
}

/// Shows what will happen, and asks.
fn confirm(ctx: &Ctx, view: &RunView, would: &VerbAnswer, decision: &Decision<'_>) -> Result<(), CliError> {
    let asks = ctx.ui.is_interactive() && !decision.who.yes;
    let named = decision.application.map(str::trim);
    if asks || decision.danger == Danger::High {
        show(ctx, view, would, decision);
    }
    let application = &view.summary.application;
    if decision.danger == Danger::High {
        match named {
            Some(name) if name == application => return Ok(()),
            Some(name) => {
                let what = format!("`--application {name}` is not the application of run {}", view.summary.run);
                return Err(CliError::usage(what).hint(format!("it is `{application}`")));
            }
            None if ctx.ui.is_interactive() => {}
            None => {
                let hint = format!("add `--application {application}` if that is what you mean");
                return Err(CliError::usage("this needs the application's name").hint(hint));
            }
        }
        let typed = ask(ctx, &format!("type the application's name to confirm ({application}): "))?;
        return if typed == *application { Ok(()) } else { Err(not_confirmed()) };
    }
    if !asks {
        return Ok(());
    }
    match ask(ctx, "go on? [y/N] ")?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(not_confirmed()),
    }
}

fn not_confirmed() -> CliError {
    CliError::new("not confirmed: nothing was changed")
}

/// Asks a person.
///
/// # Errors
/// The answer cannot be read.
pub(super) fn ask(ctx: &Ctx, question: &str) -> Result<String, CliError> {
    let mut err = anstream::stderr().lock();
    drop(err.write_all(question.as_bytes()).and_then(|()| err.flush()));
    drop(err);
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| CliError::new("the answer cannot be read").because(error))?;
    if answer.is_empty() {
        ctx.ui.say("");
    }
    Ok(answer.trim().to_owned())
}

fn show(ctx: &Ctx, view: &RunView, would: &VerbAnswer, decision: &Decision<'_>) {
    let summary = &view.summary;
    ctx.ui.say(&format!("run {}: {}", summary.run, summary.doing));
    ctx.ui.say(&format!("  {}", view.service.text));
    if !decision.what.is_empty() {
        ctx.ui.say(&format!("this {}", decision.what));
    }
    if decision.body == VerbBody::Rollback {
        ctx.ui.say(&format!("  until the source serves: {}", view.times.back()));
        ctx.ui.say(&format!("  data: {}", view.data.text));
    }
    let lines: Vec<&EventView> = would.events.iter().filter(|event| event.level > Level::Detail).collect();
    for event in lines.iter().take(6) {
        ctx.ui.say(&format!("  will write: {}", event.text));
    }
    if lines.len() > 6 {
        ctx.ui.say(&format!("  and {} more", lines.len() - 6));
    }
}

/// Prints what was written.
///
/// # Errors
/// It cannot be written as JSON.
pub(super) fn tell(ctx: &Ctx, has_engine: bool, answer: &VerbAnswer) -> Result<(), CliError> {
    if ctx.ui.json {
        return ctx.ui.json_data(answer);
    }
    let zone = when::Zone::system();
    for event in answer.events.iter().filter(|event| event.level > Level::Detail) {
        let who = event.who().map(|who| format!(" — {who}")).unwrap_or_default();
        let why = event.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        // A text of several lines must not look like several events.
        let text = printable(&format!("{}{who}{why}", event.text).replace('\n', " "));
        ctx.ui.line(&format!("{}  {}  {text}", zone.clock(event.at), answer.run));
    }
    if answer.events.is_empty() {
        ctx.ui.line(&format!("{}: nothing had to be written", answer.run));
    }
    let is_over = RunState::of_word(&answer.state).is_some_and(RunState::is_final);
    if is_over && !answer.may_run.is_empty() {
        ctx.ui.say(&format!(
            "no engine is running, and the last one left in the middle of {}: that may still run",
            answer.may_run.join(", ")
        ));
        ctx.ui.say(&format!("  `bascule resume {}` looks for it and ends it", answer.run));
    }
    if (answer.no_engine || !has_engine) && !is_over {
        ctx.ui.say("no engine is running: the decision is recorded, nothing was started");
        ctx.ui.say(&format!("  `bascule resume {}` starts one, which goes on from here", answer.run));
    }
    Ok(())
}

/// A duration of the command line.
///
/// # Errors
/// It is none, or zero.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    match crate::runbook::duration::parse(text) {
        Ok(millis) if millis.0 > 0 => Ok(millis.0),
        Ok(_) => Err("it is zero".to_owned()),
        Err(error) => Err(format!("{error}; write it as in 90s, 30m or 1h30m")),
    }
}
