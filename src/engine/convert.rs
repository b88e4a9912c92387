//! From the executors' words to the machine's: two vocabularies, so that neither sees the other.

use std::sync::Arc;

use bascule_plugin as plugin;

use super::secrets::Redactor;
use crate::machine::fact::{Direction, Failure, Found, Left, Work};
use crate::machine::input::Outcome;
use crate::plan::step::Effect;

pub(super) fn direction(direction: Direction) -> plugin::Direction {
    match direction {
        Direction::Forward => plugin::Direction::Forward,
        Direction::Undo => plugin::Direction::Undo,
    }
}

/// What the plan calls an executor's effect.
#[must_use]
pub fn effect(effect: plugin::Effect) -> Effect {
    match effect {
        plugin::Effect::None => Effect::None,
        plugin::Effect::Idempotent => Effect::Idempotent,
        plugin::Effect::Probe => Effect::Probe,
        plugin::Effect::Once => Effect::Once,
    }
}

fn failure(failure: plugin::Failure) -> Failure {
    Failure { message: failure.message.into(), causes: failure.causes, hint: failure.hint }
}

fn left(left: plugin::Left) -> Left {
    match left {
        plugin::Left::Nothing => Left::Nothing,
        plugin::Left::Possible => Left::Possible,
    }
}

fn work(work: plugin::Work) -> Work {
    match work {
        plugin::Work::Over => Work::Over,
        plugin::Work::MayGoOn => Work::MayGoOn,
    }
}

pub(super) fn outcome(outcome: plugin::Outcome) -> Outcome {
    match outcome {
        plugin::Outcome::Succeeded { outputs } => Outcome::Succeeded { outputs: Arc::new(outputs) },
        plugin::Outcome::Failed { failure: words, left: what } => {
            Outcome::Failed { failure: failure(words), left: left(what) }
        }
        plugin::Outcome::Cancelled { left: what } => Outcome::Cancelled { left: left(what) },
        plugin::Outcome::Unknown { failure: words, work: what } => {
            Outcome::Unknown { failure: failure(words), work: work(what) }
        }
    }
}

pub(super) fn found(answer: plugin::ProbeAnswer, redactor: &Redactor) -> Found {
    match answer {
        plugin::ProbeAnswer::Done { outputs } => Found::Done { outputs: Arc::new(redactor.value(outputs)) },
        plugin::ProbeAnswer::NotStarted => Found::NotStarted,
        plugin::ProbeAnswer::InProgress { handle } => Found::InProgress { handle: redactor.value(handle) },
        plugin::ProbeAnswer::Partial { found } => Found::Partial { found: redactor.text(&found) },
        plugin::ProbeAnswer::CannotTell { failure: words } => {
            Found::CannotTell { failure: clean(failure(words), redactor) }
        }
    }
}

/// A failure without secrets.
pub(super) fn clean(failure: Failure, redactor: &Redactor) -> Failure {
    Failure {
        message: redactor.text(&failure.message).into(),
        causes: failure.causes.iter().map(|cause| redactor.text(cause)).collect(),
        hint: failure.hint.map(|hint| redactor.text(&hint)),
    }
}

/// An error and its sources as a failure.
pub(super) fn failure_of(message: &str, error: &dyn std::error::Error) -> Failure {
    Failure { message: message.into(), causes: plugin::causes(error), hint: None }
}
