//! Work by hand: whose answer counts, what it must hold, and what follows when nobody gave one in time.
//!
//! It must never do for a person what the runbook does not say: without a default, time that is up only makes the
//! question louder. Start with [`overdue`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::apply::{Illegal, ms};
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::fact::{Direction, Left, Resolution, Wait};
use super::input::Reply;
use super::question::QuestionKind;
use super::run::Run;
use super::state::{Forward, Status};
use super::ticks::Watched;
use super::timers::Timer;
use super::verbs_step;
use crate::plan::policy::Manual;
use crate::plan::step::OnTimeout;
use crate::plan::{StepIx, StepKind};

fn manual(run: &Run, ix: StepIx) -> Option<&Manual> {
    match &run.plan.step(ix).kind {
        StepKind::Manual(manual) => Some(manual),
        StepKind::Action(_) | StepKind::Approval(_) => None,
    }
}

/// Whether a person is waited for who does a step by hand.
pub(super) fn waits(run: &Run, ix: StepIx) -> bool {
    matches!(run.step(ix).status, Status::Forward(Forward::Waiting { on: Wait::Person, .. }))
}

/// Why somebody's word that they did a step by hand does not count; of other steps, and of undos, every word does.
pub(super) fn refuses(run: &Run, ix: StepIx, answer: &BTreeMap<String, Value>, role: Option<&str>) -> Option<Reply> {
    let manual = manual(run, ix).filter(|_| matches!(run.step(ix).status, Status::Forward(_)))?;
    let id = &run.plan.step(ix).id;
    if !manual.roles.is_empty() && !role.is_some_and(|role| manual.roles.iter().any(|known| known == role)) {
        let who = role.map_or_else(|| "an answer without a role".to_owned(), |role| format!("`{role}`"));
        let hint = format!("say in which role with `--role`: {}", manual.roles.join(", "));
        return Some(Reply::refused(format!("{who} does not count for `{id}`"), hint));
    }
    let why = manual.refuses(answer)?;
    let hint = format!("`{id}` asks for {}: give each with `--output NAME=VALUE`", manual.asks_for());
    Some(Reply::refused(why, hint))
}

/// Whether a step waits for a person until a time that can be moved.
pub(super) fn has_deadline(run: &Run, ix: StepIx) -> bool {
    waits(run, ix) && manual(run, ix).is_some_and(|manual| manual.deadline_ms.is_some())
}

/// More time for a person.
pub(super) fn extend(d: &mut Draft<'_>, ix: StepIx, by_ms: u64) -> Result<Reply, Illegal> {
    let step = d.run().plan.step(ix).id.clone();
    let now = d.now().steady;
    let from = d.run().timers.get(Timer::Deadline(ix, Direction::Forward)).unwrap_or(now).max(now);
    d.emit(Event::Extended { step: step.clone(), deadline: from.saturating_add(ms(by_ms).max(1)) })?;
    close(d, Some("more time"), |kind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step))?;
    Ok(Reply::Done)
}

/// Nobody said in time that a step was done by hand. What its author wrote follows, if somebody could have answered:
/// otherwise, and where nothing is written, people are asked.
pub(super) fn overdue(d: &mut Draft<'_>, ix: StepIx, watched: Watched) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let default = manual(d.run(), ix).and_then(|manual| manual.default.clone());
    match (watched, default, step.on_timeout) {
        (Watched::Yes, Some(default), _) => {
            let outputs: Arc<Value> = Arc::new(Value::Object(default.into_iter().collect()));
            if step.verify.is_some() {
                return d.emit(Event::Answered { step: step.id.clone(), outputs });
            }
            verbs_step::settle_by_word(d, ix, Resolution::Happened { outputs })
        }
        (Watched::Yes, None, OnTimeout::Fail) => {
            verbs_step::settle_by_word(d, ix, Resolution::Failed { left: Left::Possible })
        }
        (Watched::Yes, None, OnTimeout::Ask) | (Watched::No, _, _) => {
            ask(d, QuestionKind::OutOfTime { step: step.id.clone() })
        }
    }
}
