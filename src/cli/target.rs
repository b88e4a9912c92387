//! Which run is meant: `app/number`, `app` (its open run, else its newest), or nothing where exactly one run is open.

use super::client::Runs;
use super::error::CliError;
use super::look::Source;
use crate::store::RunName;
use crate::view::RunSummary;

/// The run that a verb is meant for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct RunArg {
    /// `application/number`, or an application for its open or newest run; may be left out while one run is open.
    #[arg(value_name = "RUN")]
    run: Option<String>,
}

impl RunArg {
    /// As it was given.
    #[must_use]
    pub(super) fn name(&self) -> Option<&str> {
        self.run.as_deref()
    }
}

/// The run that an argument names.
///
/// # Errors
/// It names none, or more than one is meant.
pub(super) async fn run(source: &Source, argument: Option<&str>) -> Result<RunName, CliError> {
    match argument {
        Some(text) if text.contains('/') => parse(text),
        Some(application) => newest(&source.runs(Runs::All).await?, application),
        None => only_open(&source.runs(Runs::Open).await?),
    }
}

/// The run that somebody wants to look at: where none is open, the one that something happened to last.
///
/// # Errors
/// As [`run`].
pub(super) async fn seen(source: &Source, argument: Option<&str>) -> Result<RunName, CliError> {
    if argument.is_some() {
        return run(source, argument).await;
    }
    let open = source.runs(Runs::Open).await?;
    if !open.is_empty() {
        return only_open(&open);
    }
    let all = source.runs(Runs::All).await?;
    match all.iter().max_by_key(|run| run.updated_at) {
        Some(last) => parse(&last.run),
        None => Err(CliError::new("there is no run yet").hint("`bascule run RUNBOOK` starts one")),
    }
}

fn parse(text: &str) -> Result<RunName, CliError> {
    RunName::parse(text).map_err(|error| {
        CliError::usage(error.to_string()).hint("a run is named `application/number`, as in `billing-db/3`")
    })
}

fn newest(runs: &[RunSummary], application: &str) -> Result<RunName, CliError> {
    let of_app: Vec<&RunSummary> = runs.iter().filter(|run| run.application == application).collect();
    let open: Vec<&RunSummary> =
        of_app.iter().copied().filter(|run| !run.is_final && run.state != "accepted").collect();
    // A newer run that was refused must not hide the one that users wait for; an accepted one waits for nobody.
    match open.as_slice() {
        [only] => return parse(&only.run),
        [] => {}
        many => {
            let names: Vec<&str> = many.iter().map(|run| run.run.as_str()).collect();
            return Err(CliError::usage(format!(
                "{} runs of {application} are open: {}",
                many.len(),
                names.join(", ")
            ))
            .hint("name the one that you mean"));
        }
    }
    if let Some(run) = of_app.iter().max_by_key(|run| run.number) {
        return parse(&run.run);
    }
    let names: Vec<&str> = runs.iter().map(|run| run.application.as_str()).collect();
    let failed = CliError::new(format!("there is no run of `{application}`"));
    Err(match crate::runbook::problem::nearest(application, names.iter().copied()) {
        Some(near) => failed.hint(format!("did you mean `{near}`?")),
        None => failed.hint("`bascule status` lists the runs"),
    })
}

fn only_open(runs: &[RunSummary]) -> Result<RunName, CliError> {
    match runs {
        [run] => parse(&run.run),
        [] => Err(CliError::new("no run is open").hint("name one: `bascule status` lists them")),
        many => {
            let names: Vec<&str> = many.iter().map(|run| run.run.as_str()).take(8).collect();
            let more = if many.len() > names.len() { ", …" } else { "" };
            let what = format!("{} runs are open: {}{more}", many.len(), names.join(", "));
            Err(CliError::usage(what).hint("name the one that you mean"))
        }
    }
}

/// Splits `[RUN] STEP`: the last word is the step, one before it names the run.
///
/// # Errors
/// No word, or too many.
pub(super) fn run_and<'a>(words: &'a [String], what: &str) -> Result<(Option<&'a str>, &'a str), CliError> {
    match words {
        [only] if only.contains('/') => Err(CliError::usage(format!("which {what} of run {only}?"))
            .hint(format!("write `{only} {}`", what.to_uppercase()))),
        [only] => Ok((None, only)),
        [run, only] => Ok((Some(run), only)),
        [] => Err(CliError::usage(format!("which {what}?"))),
        [..] => Err(CliError::usage(format!("one {what} at a time"))),
    }
}
