//! Sentences and lengths of time, as people read them. Never a place in the plan, never a time zone.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::machine::fact::{Actor, Cause, CriterionState, Gap, Interruption, Left, SkipCause};
use crate::machine::question::Former;
use crate::machine::run::{Locks, Run};
use crate::machine::run_state::RunState;
use crate::plan::Stage;

/// A length of time: `0.4s`, `42s`, `3m 05s`, `1h 05m`, `2d 3h`.
#[must_use]
pub fn span(ms: i64) -> String {
    let (sign, ms) = if ms < 0 { ("-", ms.unsigned_abs()) } else { ("", ms.unsigned_abs()) };
    let s = ms / 1000;
    let text = match s {
        0 if ms == 0 => "0s".to_owned(),
        0 if ms < 100 => "<0.1s".to_owned(),
        0 => format!("0.{}s", ms / 100),
        1..60 => format!("{s}s"),
        60..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d {}h", s / 86_400, s / 3_600 % 24),
    };
    format!("{sign}{text}")
}

/// An unsigned length of time.
#[must_use]
pub fn span_u(ms: u64) -> String {
    span(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Who, as it was authenticated, and who they said they are.
#[must_use]
pub fn actor(actor: &Actor) -> String {
    match (&actor.claimed, &actor.channel) {
        (Some(claimed), Some(channel)) => format!("{claimed} (as {} by {channel})", actor.name),
        (Some(claimed), None) => format!("{claimed} (as {})", actor.name),
        (None, Some(channel)) if channel != "socket" => format!("{} by {channel}", actor.name),
        (None, Some(_) | None) => actor.name.clone(),
    }
}

/// What an amendment changes, one line per value: `with.network: "pg-41" → "pg-42"`. Secrets are references in a plan,
/// so they are here.
#[must_use]
pub fn changes(set: &BTreeMap<String, Value>, of: &Former) -> Vec<String> {
    let line = |(key, new): (&String, &Value)| match of.values.get(key) {
        Some(old) => format!("{key}: {old} → {new}"),
        None => format!("{key}: {new} (not set before)"),
    };
    set.iter().map(line).collect()
}

/// Why a run moved.
#[must_use]
pub fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Started => "nothing was missing".to_owned(),
        Cause::Missing { what } => format!("missing: {}", what.join("; ")),
        Cause::Checked => "pre-checks passed".to_owned(),
        Cause::Prepared => "the preparation is done".to_owned(),
        Cause::Go => "the word was given".to_owned(),
        Cause::CutoverDone => "all cutover steps are done".to_owned(),
        Cause::GateMet => "the gate is met".to_owned(),
        Cause::StartWindowEnded => "the start window ended".to_owned(),
        Cause::Denied { step } => format!("`{step}` was denied"),
        Cause::Expired { step } => format!("`{step}` expired without an answer"),
        Cause::StaleCheck { step } => format!("pre-check `{step}` had passed and fails now"),
        Cause::StepFailed { step } => format!("step `{step}` failed"),
        Cause::PostCheckFailed { step } => format!("post-check `{step}` had not passed in time"),
        Cause::Tripped { criterion } => format!("criterion `{criterion}` tripped"),
        Cause::Person => "a person decided".to_owned(),
        Cause::Questions => "a person must decide".to_owned(),
        Cause::Answered => "the last question was answered".to_owned(),
        Cause::WentBack => "the way back is done".to_owned(),
        Cause::NothingProceeds => "nothing of the restore can go on".to_owned(),
        Cause::UndoResolved => "a person helped an undo on".to_owned(),
        Cause::CommitDone => "the commit is done".to_owned(),
        Cause::RequirementRolledBack { app } => format!("`{app}`, which this application needs, went back"),
        Cause::PastIrreversible => "an irreversible step stops the way back".to_owned(),
    }
}

/// What stands between the run and a safe end.
#[must_use]
pub fn gap(gap: &Gap) -> String {
    match gap {
        Gap::PostCheck(step) => format!("post-check `{step}` has not passed"),
        Gap::Criterion { id, state } => format!("criterion `{id}` is {}", criterion_state(*state)),
        Gap::Samples { id, have, need } if have >= need => format!("the newest sample of criterion `{id}` is too old"),
        Gap::Samples { id, have, need } => {
            format!("criterion `{id}` has {have} of the {need} samples in a row that it needs")
        }
        Gap::Disarmed(id) => format!("criterion `{id}` is disarmed"),
        Gap::SignOff(role) => format!("the sign-off of {role} is missing"),
    }
}

/// The word for a criterion's state.
#[must_use]
pub fn criterion_state(state: CriterionState) -> &'static str {
    match state {
        CriterionState::Waiting => "waiting",
        CriterionState::Clear => "clear",
        CriterionState::Suspect => "suspect",
        CriterionState::Tripped => "tripped",
        CriterionState::Blind => "blind",
    }
}

/// What an attempt left behind.
#[must_use]
pub fn left(left: Left) -> &'static str {
    match left {
        Left::Nothing => "nothing was done",
        Left::Possible => "something may have been done",
    }
}

/// Why an attempt was interrupted.
#[must_use]
pub fn interruption(why: Interruption) -> &'static str {
    match why {
        Interruption::Timeout => "its time is up",
        Interruption::EngineDied => "the engine died",
        Interruption::Stopping => "the run no longer needs it",
        Interruption::Asked => "a person asked",
    }
}

/// Why nobody performed a step.
#[must_use]
pub fn skipped(over: &SkipCause) -> &'static str {
    match over {
        SkipCause::WhenFalse => "its `when` is false",
        SkipCause::Person => "a person skipped it",
        SkipCause::Waived => "it was waived",
    }
}

/// The word for a stage of a restore.
#[must_use]
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Fence => "fence",
        Stage::Data => "data",
        Stage::SourceUp => "source up",
        Stage::Traffic => "traffic",
    }
}

/// A state in the words of a sentence: `cutting over`.
#[must_use]
pub fn state(state: RunState) -> String {
    state.word().replace('_', " ")
}

/// What the run does now, in one line.
#[must_use]
pub fn doing(run: &Run) -> String {
    match run.way_back {
        None if run.state == RunState::CuttingOver && run.waits_for_way_back() => {
            "the way back is verified before the cutover begins".to_owned()
        }
        Some(_) if run.state == RunState::CuttingOver && run.waits_for_way_back() => {
            "nothing new begins: the way back is lost".to_owned()
        }
        Some(_) | None if run.state == RunState::Prepared && run.go && !run.holds_the_rest() => match &run.rest {
            Locks::Awaited(held_by) => format!("waits for locks that {} holds", held_by.join(", ")),
            Locks::None | Locks::Requested | Locks::Held => "takes its locks again for the cutover".to_owned(),
        },
        Some(_) | None if run.state == RunState::Prepared && !run.go && run.go_missed.is_some() => {
            "prepared: its time to begin passed while nobody could begin it; waits for the word".to_owned()
        }
        Some(_) | None if run.state == RunState::Prepared && !run.go && run.go_at.is_some() => {
            "prepared: begins by itself at the time that was named".to_owned()
        }
        Some(_) | None => doing_in(run.state, run.go),
    }
}

/// The same from the state alone; `go`: the word was given.
pub fn doing_in(state: RunState, go: bool) -> String {
    match state {
        RunState::Created => "waits for its locks".to_owned(),
        RunState::Checking => "pre-checks run".to_owned(),
        RunState::Preparing => "preparation runs".to_owned(),
        RunState::Prepared if go => "pre-checks are repeated before the cut".to_owned(),
        RunState::Prepared => "prepared: waits for the word".to_owned(),
        RunState::CuttingOver => "cutover steps run".to_owned(),
        RunState::Observing => "users are on the target; it is being observed".to_owned(),
        RunState::Accepted => "accepted: the target stands, the source is kept".to_owned(),
        RunState::Committing => "commit steps run".to_owned(),
        RunState::Deciding => "a person must decide".to_owned(),
        RunState::RollingBack => "goes back".to_owned(),
        RunState::Stuck => "the way back is stuck: a person must help".to_owned(),
        RunState::Refused => "refused: the cutover did not begin".to_owned(),
        RunState::Cancelled => "cancelled: the cutover did not begin".to_owned(),
        RunState::Committed => "committed: the way back is gone".to_owned(),
        RunState::RolledBack => "rolled back: users are back on the source".to_owned(),
        RunState::ClosedWithResidue => "closed by a person with what is left applied".to_owned(),
    }
}
