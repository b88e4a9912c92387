//! Left to do: what the run leaves behind, for the morning.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::hours::Hours;
use super::story::{Outcome, Story};
use crate::machine::fact::{Direction, Resolved};
use crate::machine::state::UndoState;
use crate::machine::{RunState, by_hand};
use crate::plan::{StepIx, StepKind};
use crate::view::words::span_u;
use crate::view::{LeftView, RunView};

/// Something that is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftToDo {
    /// `residue`, `kept`, `source`, `sign-off`, `decision`.
    pub kind: String,
    /// What.
    pub what: String,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How to do it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<String>,
}

fn of(kind: &str, what: impl Into<String>) -> LeftToDo {
    LeftToDo { kind: kind.to_owned(), what: what.into(), place: None, why: None, how: None }
}

/// All of it, the most urgent first.
pub(super) fn left_to_do(story: &Story, view: &RunView, hours: &Hours) -> Vec<LeftToDo> {
    let mut all = decisions(view);
    all.extend(stuck(story));
    all.extend(view.leftovers.iter().map(|left| residue(story, left)));
    all.extend(kept(story));
    all.extend(source(story, hours));
    all.extend(sign_offs(story, view));
    all
}

/// Questions and other things that wait for a person.
fn decisions(view: &RunView) -> Vec<LeftToDo> {
    let name = &view.summary.run;
    let mut all: Vec<LeftToDo> = view
        .questions
        .iter()
        .map(|question| {
            let how = question.answers.iter().map(|answer| format!("`{}` ({})", answer.command, answer.label));
            LeftToDo {
                why: Some(question.details.join("; ")).filter(|why| !why.is_empty()),
                how: Some(how.collect::<Vec<_>>().join(" · ")).filter(|how| !how.is_empty()),
                ..of("decision", format!("question {}: {}", question.question, question.what))
            }
        })
        .collect();
    if view.hold.is_some() {
        all.push(LeftToDo {
            how: Some(format!("`bascule resume {name}`")),
            ..of("decision", "the run is held: forward work waits for a person's word")
        });
    }
    if view.clock_in_doubt {
        all.push(LeftToDo {
            how: Some(format!("`bascule confirm-clock {name}`")),
            ..of("decision", "the wall clock jumped: somebody has to say that it is right")
        });
    }
    all
}

/// Undos of an open rollback that failed: the run waits for them.
fn stuck(story: &Story) -> Vec<LeftToDo> {
    let run = &story.run;
    if !matches!(run.state, RunState::Stuck | RunState::RollingBack | RunState::Deciding) {
        return Vec::new();
    }
    let Some(rollback) = &run.rollback else { return Vec::new() };
    let turns = rollback.restore.iter().chain(&rollback.cleanup);
    turns
        .filter_map(|turn| {
            let undo = run.undo(turn.step)?;
            let why = match undo {
                UndoState::Failed { .. } | UndoState::Unknown { .. } => undo.why_it_stays()?,
                UndoState::Pending
                | UndoState::Undoing(_)
                | UndoState::Backoff { .. }
                | UndoState::Waiting { .. }
                | UndoState::Undone { .. }
                | UndoState::Waived => return None,
            };
            let id = run.plan.step(turn.step).id.to_string();
            let left = LeftView { step: id.clone(), why, by_hand: by_hand(story, turn.step) };
            let command =
                format!("then `bascule undo done {} {id}`, or `bascule undo retry {} {id}`", run.name, run.name);
            let mut entry = residue(story, &left);
            entry.how = Some(match entry.how {
                Some(how) => format!("{how}; {command}"),
                None => command,
            });
            Some(entry)
        })
        .collect()
}

fn by_hand(story: &Story, ix: StepIx) -> Option<String> {
    // Of a step that nothing takes back the words are those of doing it.
    story.run.plan.step(ix).undo_action().and_then(|_| by_hand::instructions(&story.run, ix))
}

fn residue(story: &Story, left: &LeftView) -> LeftToDo {
    let ix = story.run.plan.find(&left.step.as_str().into());
    let description = ix.and_then(|ix| story.run.plan.step(ix).origin.description.clone());
    let what = match description {
        Some(description) => format!("the effect of `{}` stays applied: {description}", left.step),
        None => format!("the effect of `{}` stays applied", left.step),
    };
    LeftToDo {
        place: ix.and_then(|ix| place(story, ix)),
        why: Some(left.why.clone()),
        how: left.by_hand.clone().or_else(|| ix.map(|_| not_written(story))),
        ..of("residue", what)
    }
}

/// The plan has no words of its own for it; the page to finish by hand from has the calls.
fn not_written(story: &Story) -> String {
    format!(
        "the plan gives no instructions of its own: `bascule handout {}` has its undo as lines for a shell",
        story.run.name
    )
}

/// The executor and the parameters with which the effect came about, or would have gone.
fn place(story: &Story, ix: StepIx) -> Option<String> {
    let record = story.run.step(ix);
    let step = story.run.plan.step(ix);
    let of_plan = match &step.kind {
        StepKind::Action(call) => Some((&call.uses, &call.with)),
        StepKind::Approval(_) | StepKind::Manual(_) => None,
    };
    let resolved = |call: &Resolved| (call.uses.to_string(), parameters(&call.with));
    let undo = step.undo_action().and_then(|undo| undo.call.as_ref());
    let (uses, with) = record
        .undo_call
        .as_ref()
        .or(record.call.as_ref().filter(|_| undo.is_none()))
        .map(resolved)
        .or_else(|| undo.and_then(|_| filled(story, ix)))
        .or_else(|| undo.map(|call| (call.uses.to_string(), parameters(&call.with))))
        .or_else(|| of_plan.map(|(uses, with)| (uses.to_string(), parameters(with))))?;
    Some(if with.is_empty() { uses } else { format!("{uses}: {with}") })
}

/// The undo with its values filled in, as it would be called now.
fn filled(story: &Story, ix: StepIx) -> Option<(String, String)> {
    let left = by_hand::left_of_way_back(&story.run);
    let turn = left.restore.into_iter().chain(left.cleanup).find(|turn| turn.step == ix)?;
    let call = turn.call?.ok()?;
    Some((call.uses.to_string(), parameters(&call.with)))
}

/// Parameters that say where something is.
const PLACES: [&str; 14] = [
    "method", "url", "path", "from", "to", "source", "target", "host", "server", "name", "address", "argv", "shell",
    "dir",
];

/// `path: /srv/x`. Secrets are no part of a call: their places are empty.
fn parameters(with: &Value) -> String {
    let Some(fields) = with.as_object() else { return String::new() };
    let value = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "(a secret)".to_owned(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    let known = PLACES.iter().filter_map(|name| Some((*name, fields.get(*name)?)));
    let mut parts: Vec<String> = known.map(|(name, field)| format!("{name} {}", shorten(&value(field), 160))).collect();
    if parts.is_empty() {
        parts = fields.iter().map(|(name, field)| format!("{name} {}", shorten(&value(field), 160))).collect();
    }
    parts.join(", ")
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most).chain(['…']).collect()
}

/// What was moved aside instead of being deleted.
fn kept(story: &Story) -> Vec<LeftToDo> {
    let run = &story.run;
    let how = Some("delete it when nobody needs it any more".to_owned());
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for ix in 0..run.plan.steps.len() {
        let step = run.plan.step(ix);
        let undone = matches!(run.undo(ix), Some(UndoState::Undone { .. }));
        let direction = if undone { Direction::Undo } else { Direction::Forward };
        let newest = story.tries_of(ix, direction).filter(|tried| tried.outcome == Outcome::Done).last();
        let Some(newest) = newest else { continue };
        let mut paths = Vec::new();
        newest.outputs.iter().for_each(|outputs| paths_in(outputs, 3, &mut paths));
        if !paths.is_empty() {
            let what = if undone { "had built" } else { "replaced" };
            let what = format!("what `{}` {what} was moved aside, not deleted", step.id);
            all.push(LeftToDo { place: Some(paths.join(", ")), how: how.clone(), ..of("kept", what) });
        } else if undone && step.undo_action().is_some_and(|undo| undo.cleanup && undo.keep) {
            silent.push(format!("`{}`", step.id));
        }
    }
    if !silent.is_empty() {
        let what = format!("the clean-up of {} keeps what it removes", silent.join(", "));
        let why = Some(
            "their undos did not say what was there and where it lies now: look before the space is needed".to_owned(),
        );
        all.push(LeftToDo { why, how, ..of("kept", what) });
    }
    all
}

/// Where outputs say that something lies now. `kept` is the word of our executors; services have others.
fn paths_in(outputs: &Value, depth: usize, paths: &mut Vec<String>) {
    let Some(fields) = outputs.as_object().filter(|_| depth > 0) else { return };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("kept" | "moved" | "movedTo" | "movedAside" | "aside", Value::String(path)) => paths.push(path.clone()),
            ("kept" | "moved" | "movedTo" | "movedAside" | "aside", Value::Array(items)) => {
                paths.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            (_, value) => paths_in(value, depth - 1, paths),
        }
    }
}

/// The source after a cutover that stands.
fn source(story: &Story, hours: &Hours) -> Option<LeftToDo> {
    let run = &story.run;
    let accepted = story.first(RunState::Accepted)?;
    if run.state != RunState::Accepted {
        return None;
    }
    let what = format!("the source on {} is kept and the way back is open", run.plan.source_platform);
    let until = run.plan.policies.keep_source_ms.map(|ms| {
        let until = accepted.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX));
        format!("the plan keeps it for {}, until {}; nothing ends it by itself", span_u(ms), hours.moment(until))
    });
    let why = until.or_else(|| Some("the plan does not say for how long".to_owned()));
    let how =
        Some(format!("`bascule commit {}` gives the way back up, `bascule rollback {}` uses it", run.name, run.name));
    Some(LeftToDo { why, how, ..of("source", what) })
}

fn sign_offs(story: &Story, view: &RunView) -> Vec<LeftToDo> {
    if story.run.exposed.is_none() || story.run.rollback.is_some() {
        return Vec::new();
    }
    let open = view.sign_offs.iter().filter(|wanted| !wanted.given);
    open.map(|wanted| LeftToDo {
        how: Some(format!("`bascule sign-off {} --role {}`", view.summary.run, wanted.role)),
        ..of("sign-off", format!("{} has not said: “{}”", wanted.role, wanted.what))
    })
    .collect()
}
