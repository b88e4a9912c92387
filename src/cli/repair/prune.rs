//! Removes the oldest segments, whose runs are all over since long.

use serde::Serialize;

use super::super::Ctx;
use super::super::error::CliError;
use super::super::exit::Exit;
use super::{confirm, not_owned};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::store::repair::{Pruned, prunable, prune};
use crate::store::{JournalOptions, StateDir, TakeOver};
use crate::view::words::span_u;

/// What was removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    removed: Vec<u32>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_by: Option<String>,
}

impl From<&Pruned> for Answer {
    fn from(pruned: &Pruned) -> Self {
        let kept_by = pruned.kept_by.as_ref().map(|(_, run)| run.to_string());
        Self { removed: pruned.removed.clone(), bytes: pruned.bytes, kept_by }
    }
}

/// Shows what would go, asks, removes it.
pub(super) fn run(ctx: &Ctx, older_than_ms: u64, yes: bool) -> Result<Exit, CliError> {
    super::inspect::read(&ctx.state)?;
    let failed = |error| CliError::new("the journal cannot be pruned").because(error);
    let options = JournalOptions::default();
    let retention = i64::try_from(older_than_ms).unwrap_or(i64::MAX);
    let now = SystemClock::new().now().wall;
    let would = prunable(&ctx.state, &options, retention, now).map_err(failed)?;
    if would.removed.is_empty() {
        tell(ctx, &would, older_than_ms)?;
        return Ok(Exit::Done);
    }
    if !ctx.ui.json {
        ctx.ui.say(&format!(
            "{} will be removed; every run in them ended more than {} ago",
            segments(&would),
            span_u(older_than_ms)
        ));
        ctx.ui.say("  their reports and exports cannot be made any more; a list of what they held stays, so that later runs can still be verified");
    }
    confirm(ctx, yes)?;
    let owned = StateDir::own(&ctx.state, TakeOver::No).map_err(|error| not_owned(ctx, error))?;
    let done = prune(&owned, &options, retention, now).map_err(failed)?;
    tell(ctx, &done, older_than_ms)?;
    Ok(Exit::Done)
}

fn segments(pruned: &Pruned) -> String {
    let kib = pruned.bytes.div_ceil(1024);
    match pruned.removed.as_slice() {
        [one] => format!("segment {one:06} ({kib} KiB)"),
        many => format!("{} segments ({kib} KiB)", many.len()),
    }
}

fn tell(ctx: &Ctx, pruned: &Pruned, older_than_ms: u64) -> Result<(), CliError> {
    if ctx.ui.json {
        return ctx.ui.json_data(&Answer::from(pruned));
    }
    if pruned.removed.is_empty() {
        ctx.ui.line(&format!("nothing is older than {}: nothing was removed", span_u(older_than_ms)));
    } else {
        ctx.ui.line(&format!("removed {}", segments(pruned)));
    }
    match &pruned.kept_by {
        Some((segment, run)) => {
            ctx.ui.line(&format!("segment {segment:06} and what follows stay because of run {run}"))
        }
        None => ctx.ui.line("the last segment always stays"),
    }
    Ok(())
}
