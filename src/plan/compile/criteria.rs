//! Rollback criteria: those of the runbook, then those that catalogs append.

use std::borrow::Cow;
use std::collections::HashMap;

use super::bind::{self, Binding};
use super::build::{flag, millis, words};
use super::calls::{self, expr};
use super::context::Context;
use super::results::{self, Asked};
use super::shelf::{Found, ShelfIx};
use super::uses::{Uses, check_inputs};
use crate::plan::criteria::{Criterion, CriterionAction, TripRule};
use crate::plan::defaults;
use crate::plan::step::Origin;
use crate::runbook::codes;
use crate::runbook::model::{CriteriaList, CriterionDef, CriterionEntry};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Text};
use crate::runbook::words::spelling;

/// A criterion, and the values that its expressions use.
pub(super) struct Drawn {
    pub(super) criterion: Criterion,
    pub(super) uses: Uses,
}

/// Looks up what the runbook names, so that it is known which catalogs give something.
pub(super) fn look_up(cx: &mut Context<'_>) {
    let lists = cx.input.runbook.rollback_criteria.iter();
    for entry in lists.flat_map(|list| &list.entries) {
        if let Some(name) = base_name(entry) {
            cx.shelf.criterion(&name.value);
        }
    }
}

fn base_name(entry: &CriterionEntry) -> Option<&Text> {
    match entry {
        CriterionEntry::Named { name, .. } => Some(name),
        CriterionEntry::Inline(def) => def.criterion.as_ref(),
    }
}

/// Builds all criteria.
pub(super) fn criteria(cx: &mut Context<'_>) -> Vec<Drawn> {
    let mut drawn: Vec<Drawn> = Vec::new();
    let mut seen: HashMap<std::sync::Arc<str>, Span> = HashMap::new();
    let runbook = cx.input.runbook;
    for entry in runbook.rollback_criteria.iter().flat_map(|list| &list.entries) {
        let Some(id) = entry.id() else { continue };
        if let Some(before) = seen.insert(id.value.clone(), id.span) {
            let problem = Problem::new(codes::DUPLICATE_ID, format!("two criteria are called `{}`", id.value))
                .at(id.span, "the second one")
                .also(before, "the first one");
            cx.problem(problem);
            continue;
        }
        drawn.extend(criterion(cx, entry, None));
    }
    for (at, list) in appended(cx) {
        cx.shelf.mark_used(at);
        for entry in &list.entries {
            let Some(id) = entry.id() else { continue };
            if seen.insert(id.value.clone(), id.span).is_none() {
                drawn.extend(criterion(cx, entry, Some(at)));
            }
        }
    }
    refuse_lost_overlays(cx, &seen);
    drawn
}

/// What catalogs append: those of the best rank that has any.
fn appended<'a>(cx: &Context<'a>) -> Vec<(ShelfIx, &'a CriteriaList)> {
    let lists = cx.shelf.default_givers().filter_map(|(at, source)| {
        let list = source.catalog.defaults.rollback_criteria.as_ref()?;
        Some((source.rank, at, list))
    });
    let lists: Vec<_> = lists.collect();
    let best = lists.iter().map(|(rank, _, _)| *rank).min();
    lists.into_iter().filter(|(rank, _, _)| Some(*rank) == best).map(|(_, at, list)| (at, list)).collect()
}

fn refuse_lost_overlays(cx: &mut Context<'_>, seen: &HashMap<std::sync::Arc<str>, Span>) {
    for overlay in cx.input.overlays {
        for (name, _) in overlay.criteria.iter().filter(|(name, _)| !seen.contains_key(&name.value)) {
            let problem = Problem::new(codes::OVERLAY_TARGET, format!("no criterion is called `{}`", name.value))
                .at(name.span, "nothing to change")
                .suggest(&name.value, seen.keys().map(|name| &**name));
            cx.problem(problem);
        }
    }
}

fn criterion(cx: &mut Context<'_>, entry: &CriterionEntry, of: Option<ShelfIx>) -> Option<Drawn> {
    let id = entry.id()?.clone();
    let base = match base_name(entry) {
        Some(name) => Some(find(cx, name, of)?),
        None => None,
    };
    let (mut def, mut given) = match (entry, base) {
        (CriterionEntry::Named { params, .. }, Some(base)) => (Cow::Borrowed(base.def), params.clone()),
        (CriterionEntry::Inline(own), Some(base)) => {
            let mut laid = base.def.clone();
            laid.lay(own);
            (Cow::Owned(laid), own.params.clone().unwrap_or_default())
        }
        (CriterionEntry::Inline(own), None) => (Cow::Borrowed(&**own), Vec::new()),
        (CriterionEntry::Named { .. }, None) => return None,
    };
    for above in cx.input.overlays.iter().filter_map(|overlay| overlay.criteria.get(&id.value)) {
        def.to_mut().lay(above);
        given.extend(above.params.iter().flatten().cloned());
    }
    build(cx, &id, &def, base, &given)
}

fn find<'a>(cx: &mut Context<'a>, name: &Text, of: Option<ShelfIx>) -> Option<Found<'a, CriterionDef>> {
    let found = match of {
        Some(at) => cx.shelf.criterion_of(at, &name.value),
        None => cx.shelf.criterion(&name.value),
    };
    if found.is_none() {
        let problem = cx.shelf.unknown_criterion(name);
        cx.problem(problem);
    }
    found
}

fn build(
    cx: &mut Context<'_>,
    id: &Text,
    def: &CriterionDef,
    base: Option<Found<'_, CriterionDef>>,
    given: &crate::runbook::model::Bindings,
) -> Option<Drawn> {
    cx.has_flawed_criteria |= def.flawed;
    let uses = Uses::of_criterion(cx.input.files, def);
    check_inputs(cx, &uses, &id.value, base.is_none());
    cx.secrets.extend(uses.secrets.iter().cloned());
    let binding = Binding {
        user: &id.value,
        declares: def.declares.as_deref(),
        base: base.map(|base| base.at),
        given,
        uses: &uses,
    };
    let params = bind::bind(cx, &binding);
    let rule = rule(cx, id, def);
    let (Some(executor), Some(trip)) = (&def.uses, expr(def.trip.as_ref())) else {
        if def.flawed {
            return None;
        }
        let lacks = match (&def.uses, &def.trip) {
            (None, None) => "needs `uses` and `trip`",
            (None, Some(_)) => "needs `uses`",
            (Some(_), _) => "needs `trip`",
        };
        let problem =
            Problem::new(codes::NO_EXECUTOR, format!("the criterion `{}` cannot trip", id.value)).at(id.span, lacks);
        cx.problem(problem);
        return None;
    };
    let (call, _) = calls::call(cx, executor, def.with.as_ref(), &params)?;
    let of = (executor, def.with.as_ref());
    results::check(cx, def.valid.as_ref(), of, Asked::Valid);
    results::check(cx, def.trip.as_ref(), of, Asked::Trip);
    let every_ms = millis(def.every).unwrap_or(defaults::CRITERION_EVERY_MS);
    let criterion = Criterion {
        id: id.value.clone(),
        origin: origin(cx, def, base.map(|base| base.at)),
        call,
        every_ms,
        warm_up_ms: millis(def.warm_up).unwrap_or(defaults::WARM_UP_MS),
        timeout_ms: millis(def.timeout).unwrap_or(defaults::SAMPLE_TIMEOUT_MS.min(every_ms)),
        valid: expr(def.valid.as_ref()),
        trip,
        rule: rule?,
        min_samples: def.min_samples.map_or(defaults::MIN_SAMPLES, |least| least.value),
        max_age_ms: millis(def.max_age).unwrap_or(every_ms.saturating_mul(defaults::MAX_AGE_SAMPLES)),
        action: def.action.map_or(CriterionAction::Rollback, |action| action.value),
        observe_only: flag(def.observe_only),
    };
    Some(Drawn { criterion, uses })
}

fn origin(cx: &Context<'_>, def: &CriterionDef, base: Option<ShelfIx>) -> Origin {
    let catalog = base.map(|at| cx.shelf.at(at));
    Origin {
        catalog: catalog.map(|source| source.name.to_owned()),
        verified: catalog.and_then(|source| words(source.catalog.verified.as_ref())),
        description: words(def.description.as_ref()),
        side: def.side.as_ref().map(|side| spelling(side.value).to_owned()),
        layer: def.layer.as_ref().map(|layer| spelling(layer.value).to_owned()),
    }
}

/// The reader refuses two rules; none at all is seen only here, where definitions are complete.
fn rule(cx: &mut Context<'_>, id: &Text, def: &CriterionDef) -> Option<TripRule> {
    let rule = def
        .consecutive
        .map(|rule| TripRule::Consecutive(rule.value))
        .or(def.sustained_for.map(|rule| TripRule::SustainedForMs(rule.value.0)))
        .or(def.ratio.map(|rule| TripRule::Ratio { fail: rule.value.fail, of: rule.value.of }));
    if rule.is_none() && !def.flawed {
        let problem = Problem::new(codes::TRIP_RULES, format!("the criterion `{}` has no trip rule", id.value))
            .at(id.span, "when does it trip?")
            .help("write one of `consecutive: 3`, `sustainedFor: 5m`, `ratio: { fail: 3, of: 10 }`");
        cx.problem(problem);
    }
    rule
}
