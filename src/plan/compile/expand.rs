//! Entries of lists meet their definitions: what is to be built, before anything is built.
//!
//! The runbook's own lists come first, because a catalog that was merely found gives its defaults
//! only if it gave a definition. Start with [`drafts`].

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::context::Context;
use super::shelf::{Found, ShelfIx};
use super::uses::{Moment, Uses};
use crate::plan::step::{Section, StepId};
use crate::runbook::codes;
use crate::runbook::model::{ApprovalDef, Bindings, Entry, ManualDef, StepDef, StepList};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Text};

/// One step to be built.
pub(super) struct Draft<'a> {
    pub(super) section: Section,
    pub(super) id: StepId,
    /// As written, without the prefix of its section.
    pub(super) name: Text,
    pub(super) body: Body<'a>,
    /// The catalog definition that it rests on.
    pub(super) base: Option<Found<'a, StepDef>>,
    /// Values for the definition's parameters, as the entry gives them.
    pub(super) params: Cow<'a, Bindings>,
    /// The values that its expressions use.
    pub(super) uses: Uses,
}

/// What stands in the list.
pub(super) enum Body<'a> {
    /// An executor performs it.
    Action(Laid<'a>),
    /// People decide.
    Approval(&'a ApprovalDef),
    /// A person performs it.
    Manual(&'a ManualDef, Laid<'a>),
}

/// A definition as its author wrote it, or with others laid over it. Definitions are large, and
/// most stay as they are written: none is copied or moved without need.
pub(super) enum Laid<'a> {
    Written(&'a StepDef),
    Laid(Box<StepDef>),
}

impl Laid<'_> {
    fn lay(&mut self, above: &StepDef) {
        match self {
            Self::Laid(below) => below.lay(above),
            Self::Written(below) => {
                let mut laid = Box::new((*below).clone());
                laid.lay(above);
                *self = Self::Laid(laid);
            }
        }
    }
}

impl std::ops::Deref for Laid<'_> {
    type Target = StepDef;

    fn deref(&self) -> &StepDef {
        match self {
            Self::Written(def) => def,
            Self::Laid(def) => def,
        }
    }
}

impl Draft<'_> {
    /// The keys of a step; an approval has its own.
    pub(super) fn def(&self) -> Option<&StepDef> {
        match &self.body {
            Body::Action(def) | Body::Manual(_, def) => Some(def),
            Body::Approval(_) => None,
        }
    }

    pub(super) fn takes_overlays(&self) -> bool {
        self.def().is_some()
    }

    pub(super) fn is_approval(&self) -> bool {
        matches!(self.body, Body::Approval(_))
    }

    /// What comes before it, if its author says so.
    pub(super) fn needs(&self) -> Option<&[Text]> {
        let needs = match &self.body {
            Body::Action(def) | Body::Manual(_, def) => def.needs.as_ref(),
            Body::Approval(def) => def.needs.as_ref(),
        };
        needs.map(|needs| needs.value.as_slice())
    }

    pub(super) fn span(&self) -> Span {
        self.name.span
    }

    /// A problem with this step: at its name in the list, and at its definition.
    pub(super) fn blame(&self, problem: Problem, label: &str) -> Problem {
        let problem = problem.at(self.name.span, label);
        match &self.base {
            Some(base) => problem.also(base.name.span, "defined here"),
            None => problem,
        }
    }
}

/// All steps to be built: section by section, in the order of their lists.
pub(super) fn drafts<'a>(cx: &mut Context<'a>) -> Vec<Draft<'a>> {
    let runbook = cx.input.runbook;
    let mut drafts: Vec<Draft<'a>> = Vec::new();
    for list in Section::ALL.iter().filter_map(|section| runbook.sections.get_key_value(section)) {
        add_list(cx, &mut drafts, *list.0, list.1, None);
    }
    if !drafts.iter().any(|draft| draft.section == Section::Cutover) {
        no_cutover(cx);
    }
    // The criteria's catalogs count as givers too, before the defaults are read.
    super::criteria::look_up(cx);
    for section in Section::ALL {
        if !runbook.sections.contains_key(&section) {
            for (at, list) in default_lists(cx, section) {
                cx.shelf.mark_used(at);
                add_list(cx, &mut drafts, section, list, Some(at));
            }
        }
    }
    drafts.sort_by_key(|draft| draft.section);
    refuse_duplicates(cx, &mut drafts);
    drafts
}

fn no_cutover(cx: &mut Context<'_>) {
    let runbook = cx.input.runbook;
    // If its entries are unknown, that was said already.
    let written = runbook.sections.get(&Section::Cutover);
    if written.is_some_and(|list| !list.entries.is_empty()) {
        return;
    }
    let place = written.map_or(runbook.application.span, |list| list.key);
    let problem = Problem::new(codes::NO_CUTOVER, "the runbook has no cutover steps")
        .at(place, "nothing would be cut over")
        .help("list what brings users to the target under `cutoverSteps:`");
    cx.problem(problem);
}

/// The lists that catalogs add under a key: those of the best rank that has any.
fn default_lists<'a>(cx: &Context<'a>, section: Section) -> Vec<(ShelfIx, &'a StepList)> {
    let lists = cx.shelf.default_givers().filter_map(|(at, source)| {
        let list = source.catalog.defaults.sections.get(&section)?;
        Some((source.rank, at, list))
    });
    let lists: Vec<_> = lists.collect();
    let best = lists.iter().map(|(rank, _, _)| *rank).min();
    lists.into_iter().filter(|(rank, _, _)| Some(*rank) == best).map(|(_, at, list)| (at, list)).collect()
}

fn add_list<'a>(
    cx: &mut Context<'a>,
    drafts: &mut Vec<Draft<'a>>,
    section: Section,
    list: &'a StepList,
    of: Option<ShelfIx>,
) {
    // Two catalogs may both add a check under one name: the first one means it.
    let there: HashSet<StepId> = match of {
        Some(_) => drafts.iter().filter(|draft| draft.section == section).map(|draft| draft.id.clone()).collect(),
        None => HashSet::new(),
    };
    for entry in &list.entries {
        let Some(draft) = draft(cx, section, entry, of) else { continue };
        if !there.contains(&draft.id) {
            drafts.push(draft);
        }
    }
}

fn draft<'a>(cx: &mut Context<'a>, section: Section, entry: &'a Entry, of: Option<ShelfIx>) -> Option<Draft<'a>> {
    // The reader gives every entry a name; one without was reported by it.
    let name = entry.id()?.clone();
    let found = match entry {
        Entry::Named { name, params, .. } => {
            find(cx, name, of).map(|found| (Body::Action(Laid::Written(found.def)), Some(found), Cow::Borrowed(params)))
        }
        Entry::Inline(def) => inline(cx, def, of),
        Entry::Approval(def) => Some((Body::Approval(def), None, Cow::Owned(Vec::new()))),
        Entry::Manual(manual) => Some((Body::Manual(manual, Laid::Written(&manual.def)), None, Cow::Owned(Vec::new()))),
    };
    let Some((body, base, params)) = found else {
        cx.lost.insert(name.value);
        return None;
    };
    let id = match section.id_prefix() {
        "" => StepId::from(name.value.clone()),
        prefix => StepId::from(format!("{prefix}{}", name.value)),
    };
    let mut draft = Draft { section, id, name, body, base, params, uses: Uses::default() };
    lay_overlays(cx, &mut draft);
    if let Some(def) = draft.def() {
        draft.uses = Uses::of_step(cx.input.files, def);
    }
    if let Body::Manual(manual, _) = &draft.body {
        draft.uses.words(cx.input.files, Some(&manual.instructions), Moment::Before);
    }
    Some(draft)
}

fn find<'a>(cx: &mut Context<'a>, name: &Text, of: Option<ShelfIx>) -> Option<Found<'a, StepDef>> {
    let found = match of {
        Some(at) => cx.shelf.step_of(at, &name.value),
        None => cx.shelf.step(&name.value),
    };
    if found.is_none() {
        let problem = cx.shelf.unknown_step(name);
        cx.problem(problem);
    }
    found
}

type Parts<'a> = (Body<'a>, Option<Found<'a, StepDef>>, Cow<'a, Bindings>);

fn inline<'a>(cx: &mut Context<'a>, def: &'a StepDef, of: Option<ShelfIx>) -> Option<Parts<'a>> {
    let params = def.params.as_ref().map_or_else(|| Cow::Owned(Vec::new()), Cow::Borrowed);
    let Some(base) = &def.step else {
        return Some((Body::Action(Laid::Written(def)), None, params));
    };
    let found = find(cx, base, of)?;
    let mut laid = Laid::Written(found.def);
    laid.lay(def);
    Some((Body::Action(laid), Some(found), params))
}

fn lay_overlays(cx: &Context<'_>, draft: &mut Draft<'_>) {
    for overlay in cx.input.overlays {
        let Some(above) = overlay.steps.get(&draft.name.value) else { continue };
        match &mut draft.body {
            Body::Action(def) | Body::Manual(_, def) => def.lay(above),
            Body::Approval(_) => continue,
        }
        for (name, value) in above.params.iter().flatten() {
            let params = draft.params.to_mut();
            match params.iter_mut().find(|(there, _)| there.value == name.value) {
                Some((_, below)) => below.lay(value),
                None => params.push((name.clone(), value.clone())),
            }
        }
    }
}

/// Two steps with one name would make one name mean two things: both places are shown.
fn refuse_duplicates(cx: &mut Context<'_>, drafts: &mut Vec<Draft<'_>>) {
    let mut first: HashMap<StepId, Span> = HashMap::with_capacity(drafts.len());
    let mut again: BTreeSet<usize> = BTreeSet::new();
    for (at, draft) in drafts.iter().enumerate() {
        let Some(before) = first.get(&draft.id) else {
            first.insert(draft.id.clone(), draft.span());
            continue;
        };
        again.insert(at);
        let problem = Problem::new(codes::DUPLICATE_ID, format!("two steps are called `{}`", draft.name.value))
            .at(draft.span(), "the second one")
            .also(*before, "the first one")
            .help(format!(
                "to use a definition twice, give it another name: `{{ id: another, step: {} }}`",
                draft.name.value
            ));
        cx.problems.push(problem);
    }
    let mut at = 0;
    drafts.retain(|_| {
        at += 1;
        !again.contains(&(at - 1))
    });
}
