//! Which run is meant: `app/number`, `app` (its newest run), or nothing where exactly one run is open.

use super::error::CliError;
use super::look::Source;
use crate::store::RunName;
use crate::view::RunSummary;

/// The run that an argument names.
///
/// # Errors
/// It names none, or more than one is meant.
pub(super) async fn run(source: &Source, argument: Option<&str>) -> Result<RunName, CliError> {
    match argument {
        Some(text) if text.contains('/') => parse(text),
        Some(application) => newest(&source.runs(false).await?, application),
        None => only_open(&source.runs(true).await?),
    }
}

fn parse(text: &str) -> Result<RunName, CliError> {
    RunName::parse(text).map_err(|error| {
        CliError::usage(error.to_string()).hint("a run is named `application/number`, as in `billing-db/3`")
    })
}

fn newest(runs: &[RunSummary], application: &str) -> Result<RunName, CliError> {
    let of_app = runs.iter().filter(|run| run.application == application).max_by_key(|run| run.number);
    if let Some(run) = of_app {
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
