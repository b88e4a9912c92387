//! What all parts of the compiler share: the documents, the values, the problems so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::bind::Params;
use super::expand::Draft;
use super::shelf::Shelf;
use super::{ExecutorInfo, Input};
use crate::plan::guesses;
use crate::plan::lint::Places;
use crate::plan::sealed::{ExecutorPin, MissingInput};
use crate::runbook::codes;
use crate::runbook::expr::Scope;
use crate::runbook::model::{Data, Settings};
use crate::runbook::problem::{Problem, Problems};
use crate::runbook::source::{Span, Text};

/// The compiler's state.
pub(super) struct Context<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) shelf: Shelf<'a>,
    /// Overlays laid over the runbook's own.
    pub(super) settings: Settings,
    pub(super) problems: Problems,
    pub(super) secrets: BTreeSet<String>,
    /// Entries whose definitions no catalog knows: whoever names them is not to blame too.
    pub(super) lost: BTreeSet<Arc<str>>,
    /// A criterion could not be read whole.
    pub(super) has_flawed_criteria: bool,
    inputs: BTreeMap<Arc<str>, (Text, Data)>,
    inputs_json: Arc<Value>,
    missing: BTreeMap<String, Missing>,
    executors: BTreeSet<&'a str>,
}

struct Missing {
    kind: String,
    needed_by: BTreeSet<String>,
}

impl<'a> Context<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        let mut settings = input.runbook.settings.clone();
        let mut inputs = BTreeMap::new();
        let layers = input.overlays.iter().map(|overlay| &overlay.inputs);
        for (name, value) in std::iter::once(&input.runbook.inputs).chain(layers).flatten() {
            let entry = inputs.entry(Arc::clone(&name.value));
            entry
                .and_modify(|(place, below): &mut (Text, Data)| {
                    below.lay(value);
                    place.span = name.span;
                })
                .or_insert_with(|| (name.clone(), value.clone()));
        }
        for overlay in input.overlays {
            settings.lay(&overlay.settings);
        }
        let json = inputs.iter().map(|(name, (_, value))| (name.to_string(), value.to_json())).collect();
        Self {
            inputs_json: Arc::new(Value::Object(json)),
            input,
            shelf: Shelf::new(input.runbook, input.catalogs),
            settings,
            problems: Problems::new(),
            secrets: BTreeSet::new(),
            lost: BTreeSet::new(),
            has_flawed_criteria: false,
            inputs,
            missing: BTreeMap::new(),
            executors: BTreeSet::new(),
        }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn input_value(&self, name: &str) -> Option<&(Text, Data)> {
        self.inputs.get(name)
    }

    pub(super) fn input_names(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(|name| &**name)
    }

    /// What expressions see that are evaluated before the run.
    pub(super) fn scope(&self) -> Scope {
        Scope::new().with("inputs", Arc::clone(&self.inputs_json))
    }

    /// The same, with the parameters of a definition.
    pub(super) fn scope_with(&self, params: &Params) -> Scope {
        let params = params.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        self.scope().with("params", Value::Object(params))
    }

    /// Notes that somebody must still give an input.
    pub(super) fn miss(&mut self, name: &str, kind: &str, needed_by: &str) {
        let missing = self.missing.entry(name.to_owned());
        let missing = missing.or_insert_with(|| Missing { kind: kind.to_owned(), needed_by: BTreeSet::new() });
        if missing.kind == ANY {
            kind.clone_into(&mut missing.kind);
        }
        missing.needed_by.insert(needed_by.to_owned());
    }

    pub(super) fn take_missing(&mut self) -> Vec<MissingInput> {
        let missing = std::mem::take(&mut self.missing).into_iter();
        missing
            .map(|(name, missing)| MissingInput {
                name,
                kind: missing.kind,
                needed_by: missing.needed_by.into_iter().collect(),
            })
            .collect()
    }

    pub(super) fn inputs_of_plan(&self) -> Arc<BTreeMap<String, Value>> {
        Arc::new(self.inputs.iter().map(|(name, (_, value))| (name.to_string(), value.to_json())).collect())
    }

    /// The executor with this name; the plan then pins it. Unknown ones are reported.
    pub(super) fn executor(&mut self, name: &Text) -> Option<&'a ExecutorInfo> {
        let input = self.input;
        if let Some((known, info)) = input.executors.get_key_value(&*name.value) {
            self.executors.insert(known);
            return Some(info);
        }
        let problem = Problem::new(codes::UNKNOWN_EXECUTOR, format!("no executor is called `{}`", name.value))
            .at(name.span, "not known");
        let known = || input.executors.keys().map(String::as_str);
        let problem = match guesses::meant(&name.value, known()) {
            Some(help) => problem.help(help),
            None => problem.suggest(&name.value, known()),
        };
        self.problem(problem.help("`bascule executors` lists all that are known"));
        None
    }

    /// Whether a document held what could not be read: then what is absent proves nothing.
    pub(super) fn is_flawed(&self, drafts: &[Draft<'_>]) -> bool {
        let lists = self.input.runbook.sections.values().any(|list| list.flawed);
        lists
            || self.has_flawed_criteria
            || !self.lost.is_empty()
            || drafts.iter().any(|draft| draft.def().is_some_and(|def| def.flawed))
    }

    pub(super) fn executor_pins(&self) -> BTreeMap<String, ExecutorPin> {
        let pin = |info: &ExecutorInfo| ExecutorPin {
            contract: info.contract,
            sha256: info.sha256.clone(),
            probes: info.probes,
            undoes: info.undoes,
        };
        let used = self.executors.iter().filter_map(|name| self.input.executors.get_key_value(*name));
        used.map(|(name, info)| (name.clone(), pin(info))).collect()
    }

    /// An overlay that names nothing would be silently without effect: it is refused instead.
    pub(super) fn check_overlay_targets(&mut self, drafts: &[Draft<'_>]) {
        let named: HashMap<&str, bool> =
            drafts.iter().map(|draft| (&*draft.name.value, draft.takes_overlays())).collect();
        let mut found: Vec<Problem> = Vec::new();
        for (name, _) in self.input.overlays.iter().flat_map(|overlay| &overlay.steps) {
            let problem = match named.get(&*name.value) {
                Some(true) => continue,
                Some(false) => Problem::new(
                    codes::OVERLAY_TARGET,
                    format!("`{}` is an approval: an overlay cannot change it", name.value),
                )
                .at(name.span, "not a step"),
                None => Problem::new(codes::OVERLAY_TARGET, format!("no step is called `{}`", name.value))
                    .at(name.span, "nothing to change")
                    .suggest(&name.value, drafts.iter().map(|draft| &*draft.name.value)),
            };
            found.push(problem);
        }
        self.problems.extend(found);
    }

    /// Where things were written, for the warnings about the finished plan.
    pub(super) fn places(&self, drafts: &[Draft<'_>]) -> Places {
        Places {
            application: self.input.runbook.application.span,
            window: self.settings.rollback_window.as_ref().map(|window| window.span),
            downtime_budget: self.settings.downtime_budget.as_ref().map(|budget| budget.span),
            change: self.settings.change.as_ref().map(|change| change.span),
            data: self.settings.data_on_rollback.as_ref().map(|data| data.span),
            steps: drafts.iter().map(|draft| (draft.id.clone(), draft.name.span)).collect(),
            criteria: self.criterion_places(),
        }
    }

    fn criterion_places(&self) -> BTreeMap<String, Span> {
        let written = self.input.runbook.rollback_criteria.iter().flat_map(|list| &list.entries);
        written.filter_map(|entry| entry.id()).map(|id| (id.value.to_string(), id.span)).collect()
    }
}

/// The type of an input of which only the use is known.
pub(super) const ANY: &str = "any";
