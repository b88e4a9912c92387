//! Laying one definition over another, key by key.
//!
//! A key that is written above replaces the one below. Four kinds of keys are merged instead, so that a
//! single field can be changed: `with` and `params` key by key (maps in them too; lists and single values
//! are replaced), and the maps `retry`, `probe`, `verify`, `undo`, `rehearsal`, `change`. A trip rule
//! replaces a rule of another kind. Spans come along, so the place of every value stays known.

use super::{
    Bindings, Change, CriterionDef, Data, DataValue, ProbeDef, RehearsalDef, RetryDef, Settings, StepDef, UndoAction,
    UndoDef, VerifyDef,
};
use crate::runbook::source::Spanned;

fn replace<T: Clone>(below: &mut Option<T>, above: &Option<T>) {
    if above.is_some() {
        below.clone_from(above);
    }
}

fn merge<T: Clone>(below: &mut Option<T>, above: Option<&T>, lay: impl FnOnce(&mut T, &T)) {
    match (below.as_mut(), above) {
        (Some(below), Some(above)) => lay(below, above),
        (None, Some(above)) => *below = Some(above.clone()),
        (Some(_) | None, None) => {}
    }
}

/// Lays bindings over others: a name that is bound above replaces, other names are added.
pub(crate) fn lay_bindings(below: &mut Bindings, above: &Bindings) {
    for (name, value) in above {
        match below.iter_mut().find(|(there, _)| there.value == name.value) {
            Some((_, old)) => old.lay(value),
            None => below.push((name.clone(), value.clone())),
        }
    }
}

impl Data {
    /// Lays another value over this one: maps are merged key by key, anything else is replaced.
    pub fn lay(&mut self, above: &Self) {
        if let (DataValue::Map(below), DataValue::Map(over)) = (&mut self.value, &above.value) {
            lay_bindings(below, over);
        } else {
            self.clone_from(above);
        }
    }
}

impl RetryDef {
    fn lay(&mut self, above: &Self) {
        replace(&mut self.attempts, &above.attempts);
        replace(&mut self.backoff, &above.backoff);
        replace(&mut self.max_backoff, &above.max_backoff);
    }
}

impl VerifyDef {
    fn lay(&mut self, above: &Self) {
        replace(&mut self.uses, &above.uses);
        merge(&mut self.with, above.with.as_ref(), Data::lay);
        replace(&mut self.pass, &above.pass);
    }
}

impl RehearsalDef {
    fn lay(&mut self, above: &Self) {
        merge(&mut self.with, above.with.as_ref(), Data::lay);
    }
}

fn lay_probe(below: &mut Spanned<ProbeDef>, above: &Spanned<ProbeDef>) {
    match (&mut below.value, &above.value) {
        (
            ProbeDef::Call { uses, with, done },
            ProbeDef::Call { uses: above_uses, with: above_with, done: above_done },
        ) => {
            replace(uses, above_uses);
            merge(with, above_with.as_ref(), Data::lay);
            replace(done, above_done);
        }
        (ProbeDef::Native | ProbeDef::Call { .. }, ProbeDef::Native) | (ProbeDef::Native, ProbeDef::Call { .. }) => {
            below.clone_from(above);
        }
    }
}

impl UndoAction {
    fn lay(&mut self, above: &Self) {
        replace(&mut self.uses, &above.uses);
        merge(&mut self.with, above.with.as_ref(), Data::lay);
        replace(&mut self.cleanup, &above.cleanup);
        replace(&mut self.keep, &above.keep);
        replace(&mut self.effect, &above.effect);
        replace(&mut self.needs, &above.needs);
        replace(&mut self.estimate, &above.estimate);
        replace(&mut self.timeout, &above.timeout);
        merge(&mut self.retry, above.retry.as_ref(), RetryDef::lay);
        merge(&mut self.verify, above.verify.as_ref(), VerifyDef::lay);
        replace(&mut self.by_hand, &above.by_hand);
    }
}

fn lay_undo(below: &mut Spanned<UndoDef>, above: &Spanned<UndoDef>) {
    match (&mut below.value, &above.value) {
        (UndoDef::Action(action), UndoDef::Action(over)) => action.lay(over),
        (UndoDef::None | UndoDef::Action(_), UndoDef::None) | (UndoDef::None, UndoDef::Action(_)) => {
            below.clone_from(above);
        }
    }
}

impl StepDef {
    /// Lays another definition over this one; `id` and the span become those of the other one.
    pub fn lay(&mut self, above: &Self) {
        self.span = above.span;
        replace(&mut self.id, &above.id);
        replace(&mut self.description, &above.description);
        replace(&mut self.side, &above.side);
        replace(&mut self.layer, &above.layer);
        replace(&mut self.declares, &above.declares);
        merge(&mut self.params, above.params.as_ref(), lay_bindings);
        replace(&mut self.uses, &above.uses);
        merge(&mut self.with, above.with.as_ref(), Data::lay);
        replace(&mut self.needs, &above.needs);
        replace(&mut self.when, &above.when);
        replace(&mut self.effect, &above.effect);
        replace(&mut self.timeout, &above.timeout);
        replace(&mut self.on_timeout, &above.on_timeout);
        merge(&mut self.retry, above.retry.as_ref(), RetryDef::lay);
        merge(&mut self.probe, above.probe.as_ref(), lay_probe);
        merge(&mut self.verify, above.verify.as_ref(), VerifyDef::lay);
        merge(&mut self.undo, above.undo.as_ref(), lay_undo);
        replace(&mut self.reason, &above.reason);
        replace(&mut self.irreversible, &above.irreversible);
        replace(&mut self.takes_source_down, &above.takes_source_down);
        replace(&mut self.moves_data, &above.moves_data);
        replace(&mut self.exposes, &above.exposes);
        replace(&mut self.retry_partial, &above.retry_partial);
        replace(&mut self.keep_fresh, &above.keep_fresh);
        replace(&mut self.estimate, &above.estimate);
        replace(&mut self.locks, &above.locks);
        merge(&mut self.rehearsal, above.rehearsal.as_ref(), RehearsalDef::lay);
        self.flawed |= above.flawed;
        self.lay_check(above);
    }

    fn lay_check(&mut self, above: &Self) {
        replace(&mut self.pass, &above.pass);
        replace(&mut self.valid_for, &above.valid_for);
        replace(&mut self.retry_every, &above.retry_every);
        replace(&mut self.every, &above.every);
        replace(&mut self.by, &above.by);
        replace(&mut self.recheck, &above.recheck);
        replace(&mut self.waivable_by, &above.waivable_by);
        replace(&mut self.baseline, &above.baseline);
        replace(&mut self.proves, &above.proves);
    }
}

impl CriterionDef {
    /// Lays another definition over this one; `id` and the span become those of the other one.
    pub fn lay(&mut self, above: &Self) {
        self.span = above.span;
        replace(&mut self.id, &above.id);
        replace(&mut self.description, &above.description);
        replace(&mut self.side, &above.side);
        replace(&mut self.layer, &above.layer);
        replace(&mut self.declares, &above.declares);
        merge(&mut self.params, above.params.as_ref(), lay_bindings);
        replace(&mut self.uses, &above.uses);
        merge(&mut self.with, above.with.as_ref(), Data::lay);
        replace(&mut self.every, &above.every);
        replace(&mut self.warm_up, &above.warm_up);
        replace(&mut self.timeout, &above.timeout);
        replace(&mut self.valid, &above.valid);
        replace(&mut self.trip, &above.trip);
        if above.consecutive.is_some() || above.sustained_for.is_some() || above.ratio.is_some() {
            self.consecutive = above.consecutive;
            self.sustained_for = above.sustained_for;
            self.ratio = above.ratio;
        }
        replace(&mut self.min_samples, &above.min_samples);
        replace(&mut self.max_age, &above.max_age);
        replace(&mut self.action, &above.action);
        replace(&mut self.observe_only, &above.observe_only);
        self.flawed |= above.flawed;
    }
}

impl Change {
    fn lay(&mut self, above: &Self) {
        replace(&mut self.id, &above.id);
        replace(&mut self.window, &above.window);
        replace(&mut self.zone, &above.zone);
    }
}

impl Settings {
    /// Lays other settings over these.
    pub fn lay(&mut self, above: &Self) {
        replace(&mut self.rollback_window, &above.rollback_window);
        replace(&mut self.window_from, &above.window_from);
        replace(&mut self.on_window_close, &above.on_window_close);
        replace(&mut self.keep_source, &above.keep_source);
        merge(&mut self.change, above.change.as_ref(), Change::lay);
        replace(&mut self.downtime_budget, &above.downtime_budget);
        replace(&mut self.data_on_rollback, &above.data_on_rollback);
        merge(&mut self.contacts, above.contacts.as_ref(), Data::lay);
        replace(&mut self.on_failure, &above.on_failure);
        replace(&mut self.on_restart, &above.on_restart);
        replace(&mut self.auto_continue_within, &above.auto_continue_within);
        replace(&mut self.settle_within, &above.settle_within);
        replace(&mut self.start_by, &above.start_by);
        replace(&mut self.rollback_ready_every, &above.rollback_ready_every);
    }
}
