//! What a plan says beside its steps: window, data, people, locks.

use std::sync::Arc;

use super::build;
use super::context::Context;
use crate::plan::defaults;
use crate::plan::policy::{Change, Contacts, DataAnswer, LockClaim, Policies, Requirement, SignOff};
use crate::plan::step::Step;
use crate::runbook::codes;
use crate::runbook::instant::TimeError;
use crate::runbook::model::{DataOnRollback, DataValue};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Spanned};
use crate::runbook::words::{OnFailure, OnWindowClose, Proof, RequiredState, WindowFrom, spelling};

/// The times and answers of a plan.
pub(super) fn policies(cx: &mut Context<'_>, steps: &[Step]) -> Policies {
    let change = change(cx);
    let zone = change.as_ref().and_then(|change| change.zone.clone());
    let start_by = cx.settings.start_by.map(|time| (time.value.resolve(zone.as_deref()), time.span));
    let start_by_ms = start_by.and_then(|(resolved, span)| known(cx, resolved, span));
    let data = data_answer(cx, steps);
    let settings = &cx.settings;
    let otherwise = Policies::default();
    Policies {
        window_ms: build::millis(settings.rollback_window).unwrap_or(otherwise.window_ms),
        window_from: value(settings.window_from, WindowFrom::Exposure),
        on_window_close: value(settings.on_window_close, OnWindowClose::Accept),
        keep_source_ms: build::millis(settings.keep_source),
        change,
        downtime_budget_ms: build::millis(settings.downtime_budget),
        data,
        on_failure: value(settings.on_failure, OnFailure::Rollback),
        resume_within_ms: settings.on_restart.as_ref().and_then(|restart| build::millis(restart.resume_within)),
        auto_continue_within_ms: build::millis(settings.auto_continue_within)
            .unwrap_or(otherwise.auto_continue_within_ms),
        settle_within_ms: build::millis(settings.settle_within).unwrap_or(otherwise.settle_within_ms),
        start_by_ms,
        ready_every_ms: build::millis(settings.rollback_ready_every).unwrap_or(defaults::READY_EVERY_MS),
    }
}

fn value<T: Copy>(written: Option<Spanned<T>>, otherwise: T) -> T {
    written.map_or(otherwise, |written| written.value)
}

fn change(cx: &mut Context<'_>) -> Option<Change> {
    let written = cx.settings.change.clone()?;
    let zone = build::words(written.zone.as_ref());
    let window = written.window.map(|window| (window.value.resolve(zone.as_deref()), window.span));
    let window = window.and_then(|(resolved, span)| known(cx, resolved, span));
    Some(Change {
        id: build::words(written.id.as_ref()),
        from_ms: window.map(|(from, _)| from),
        until_ms: window.map(|(_, until)| until),
        zone,
    })
}

fn known<T>(cx: &mut Context<'_>, resolved: Result<T, TimeError>, span: Span) -> Option<T> {
    match resolved {
        Ok(known) => Some(known),
        Err(error) => {
            let mut problem = Problem::new(codes::BAD_TIME, error.to_string()).at(span, "not a moment in time");
            if matches!(error, TimeError::NoZone(_)) {
                problem = problem.help("add `change: { zone: Europe/Paris }`, or write an offset: `+01:00`");
            }
            cx.problem(problem);
            None
        }
    }
}

/// What a plan answers for writes that users made on the target. What its author wrote wins.
fn data_answer(cx: &Context<'_>, steps: &[Step]) -> DataAnswer {
    match cx.settings.data_on_rollback.as_ref().map(|data| &data.value) {
        Some(DataOnRollback::Stateless) => DataAnswer::Stateless,
        Some(DataOnRollback::AcceptLoss { up_to, reason }) => {
            DataAnswer::AcceptLoss { up_to_ms: up_to.value.0, reason: reason.value.to_string() }
        }
        None if steps.iter().any(brings_home) => DataAnswer::ReverseSync,
        None => DataAnswer::Unanswered,
    }
}

/// Whether the undo of a step is a reverse sync: of a step that moves data, in the restore.
fn brings_home(step: &Step) -> bool {
    step.moves_data && step.section.is_undone() && step.undo_action().is_some_and(|undo| !undo.cleanup)
}

/// Locks of the run.
pub(super) fn locks(cx: &mut Context<'_>) -> Vec<LockClaim> {
    let runbook = cx.input.runbook;
    let mut locks = vec![LockClaim { name: format!("app:{}", runbook.application.value), take: None }];
    let written = build::locks(cx, &runbook.locks, &Arc::default());
    locks.extend(written.into_iter().filter(|claim| claim.name != format!("app:{}", runbook.application.value)));
    locks
}

/// Applications that must stand first.
pub(super) fn requires(cx: &Context<'_>) -> Vec<Requirement> {
    let requirement = |written: &crate::runbook::model::Requirement| Requirement {
        app: written.app.value.to_string(),
        state: spelling(value(written.state, RequiredState::Accepted)).to_owned(),
        on_its_rollback: value(written.on_its_rollback, OnFailure::Ask),
    };
    cx.input.runbook.requires.iter().map(requirement).collect()
}

/// Who must say that the application is theirs.
pub(super) fn sign_offs(cx: &Context<'_>) -> Vec<SignOff> {
    let sign_off = |written: &crate::runbook::model::SignOffDef| SignOff {
        role: written.role.value.to_string(),
        what: written.what.value.to_string(),
        proves: value(written.proves, Proof::Ownership),
    };
    cx.input.runbook.sign_offs.iter().map(sign_off).collect()
}

/// Whom to call.
pub(super) fn contacts(cx: &Context<'_>) -> Contacts {
    match cx.settings.contacts.as_ref().map(|contacts| &contacts.value) {
        Some(DataValue::Map(entries)) => {
            entries.iter().map(|(name, value)| (name.value.to_string(), value.to_json())).collect()
        }
        Some(DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) | DataValue::Text(_) | DataValue::List(_))
        | None => Contacts::new(),
    }
}
