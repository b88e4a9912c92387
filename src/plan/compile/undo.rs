//! The way back of one step.

use super::ExecutorInfo;
use super::bind;
use super::build::{Definition, flag, millis, retry, words};
use super::calls;
use super::context::Context;
use super::expand::{Body, Draft};
use crate::plan::defaults;
use crate::plan::step::{Effect, Section, StepId, Undo, UndoAction};
use crate::runbook::codes;
use crate::runbook::model::{self, UndoDef};
use crate::runbook::problem::Problem;
use crate::runbook::words::spelling;

/// What a rollback does about a step with this effect.
pub(super) fn undo(cx: &mut Context<'_>, made: &Definition<'_, '_>, effect: Effect) -> Undo {
    let def = made.def;
    if flag(def.irreversible) {
        return Undo::Irreversible;
    }
    if !made.draft.section.is_undone() {
        return Undo::Nothing { reason: None };
    }
    match def.undo.as_ref().map(|undo| &undo.value) {
        Some(UndoDef::Action(action)) => match action_of(cx, made, action) {
            Some(action) => Undo::Action(action),
            None => Undo::Nothing { reason: None },
        },
        Some(UndoDef::None) if effect == Effect::None || def.reason.is_some() => {
            Undo::Nothing { reason: words(def.reason.as_ref()) }
        }
        None if effect == Effect::None => Undo::Nothing { reason: None },
        Some(UndoDef::None) | None => {
            // The key may be there, and be what could not be read.
            if !def.flawed {
                missing(cx, made, effect);
            }
            Undo::Nothing { reason: None }
        }
    }
}

fn missing(cx: &mut Context<'_>, made: &Definition<'_, '_>, effect: Effect) {
    let name = &made.draft.name.value;
    let message = if made.def.undo.is_some() {
        format!("`{name}` has an effect, and `undo: none` gives no reason")
    } else {
        format!("`{name}` has an effect and no undo")
    };
    let mut problem = Problem::new(codes::MISSING_UNDO, message);
    problem = match made.def.effect {
        Some(_) => problem.note(format!("its effect is `{}`", spelling(effect))),
        None => problem.note(format!("nothing declares its effect, so it counts as `{}`", spelling(effect))),
    };
    if made.info.is_some_and(|info| info.undoes) {
        problem = problem.help("its executor can take it back by itself: write `undo: {}`");
    }
    let problem = problem.help(
        "say how it is taken back (`undo: { uses: … }`), why nothing needs to be (`undo: none` with `reason:`), \
         that it only looks (`effect: none`), or that it cannot be (`irreversible: true`)",
    );
    let problem = made.draft.blame(problem, "cannot be taken back");
    cx.problem(problem);
}

fn action_of(cx: &mut Context<'_>, made: &Definition<'_, '_>, action: &model::UndoAction) -> Option<UndoAction> {
    let Definition { draft, def, params, info } = made;
    // With parameters of its own, the step's executor is called again; without, it undoes natively.
    let uses = action.uses.as_ref().or(action.with.as_ref().and(def.uses.as_ref()));
    let call = match uses {
        Some(uses) => Some(calls::call(cx, uses, action.with.as_ref(), params)?.0),
        None => {
            check_native(cx, draft, action, *info);
            None
        }
    };
    let scope = cx.scope_with(params);
    Some(UndoAction {
        call,
        cleanup: flag(action.cleanup),
        keep: action.keep.is_none_or(|keep| keep.value),
        effect: action.effect.map_or(Effect::Idempotent, |effect| effect.value),
        needs: action
            .needs
            .as_ref()
            .map(|needs| needs.value.iter().map(|name| StepId::from(name.value.clone())).collect()),
        estimate_ms: millis(action.estimate),
        timeout_ms: millis(action.timeout)
            .unwrap_or_else(|| defaults::timeout_beyond_ms(Section::Cutover, millis(action.estimate))),
        retry: retry(action.retry.as_ref(), defaults::UNDO_RETRY),
        verify: action.verify.as_ref().and_then(|verify| calls::verify(cx, verify, uses, params)),
        by_hand: action.by_hand.as_ref().map(|text| bind::settle_text(&scope, &text.value).into_owned()),
    })
}

/// Without `uses` somebody must still be able to do it: the executor, or a person who is told how.
fn check_native(cx: &mut Context<'_>, draft: &Draft<'_>, action: &model::UndoAction, info: Option<&ExecutorInfo>) {
    let by_person = matches!(draft.body, Body::Manual(..)) && action.by_hand.is_some();
    if by_person || info.is_some_and(|info| info.undoes) {
        return;
    }
    let problem = match draft.body {
        Body::Manual(..) => Problem::new(codes::MISSING_UNDO, "the undo of a manual step says nothing to do")
            .help("tell the person how: `byHand: …`, or name an executor: `uses: …`"),
        Body::Action(_) | Body::Approval(_) => {
            Problem::new(codes::MISSING_UNDO, "the step's executor cannot undo by itself")
                .help("name the executor that does: `undo: { uses: …, with: {…} }`")
        }
    };
    cx.problem(problem.at(action.span, "needs `uses`"));
}
