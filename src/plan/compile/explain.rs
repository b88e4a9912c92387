//! Where each value of one step comes from: the data behind `plan --explain STEP`.
//!
//! Definitions are laid over each other with their places, so the answer is read off them; a value
//! without a place was assumed. Start with [`explain`].

use super::bind::Params;
use super::build;
use super::context::Context;
use super::edges;
use super::expand::{self, Body, Draft};
use super::{CatalogRank, Input};
use crate::plan::defaults;
use crate::plan::step::{NeedKind, Step, StepId, StepKind};
use crate::runbook::duration;
use crate::runbook::model::{Data, DataValue, Millis, ProbeDef, RetryDef, StepDef, UndoAction, UndoDef, VerifyDef};
use crate::runbook::source::{Span, Spanned, Text};
use crate::runbook::words::{OnTimeout, Word, spelling};

/// The kind of document that a value was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The runbook.
    Runbook,
    /// A catalog.
    Catalog,
    /// `-f`.
    Overlay,
    /// `--set`.
    Set,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Somebody wrote it.
    Written {
        /// In what kind of document.
        layer: Layer,
        /// The document's name, as people gave it; of `--set` the argument.
        name: String,
        /// Where in it.
        span: Span,
        /// Its line, from 1.
        line: usize,
    },
    /// Nobody wrote it: why it holds.
    Assumed(&'static str),
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key, with dots: `undo.with.url`.
    pub key: String,
    /// The value, as an author would write it.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// All values of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The step.
    pub step: StepId,
    /// Its list, and the entry in it.
    pub listed: Source,
    /// The catalog definition that it rests on.
    pub definition: Option<Source>,
    /// Its values, in the order of the documentation.
    pub rows: Vec<Row>,
}

/// Explains a step, named with or without the prefix of its list; absent if there is none.
///
/// Problems are not reported here: [`super::compile`] does.
#[must_use]
pub fn explain(input: &Input<'_>, step: &str) -> Option<Explanation> {
    let mut cx = Context::new(input);
    let drafts = expand::drafts(&mut cx);
    let at = drafts
        .iter()
        .position(|draft| draft.id.as_str() == step)
        .or_else(|| drafts.iter().position(|draft| &*draft.name.value == step))?;
    let mut steps = build::steps(&mut cx, &drafts);
    edges::connect(&mut cx, &drafts, &mut steps);
    let (draft, built) = (&drafts[at], &steps[at]);
    let mut rows = Rows { input, rows: Vec::new() };
    rows.needs(draft, built);
    match &draft.body {
        Body::Approval(_) => {}
        Body::Action(def) | Body::Manual(_, def) => {
            rows.params(&cx, draft, def, built);
            rows.step(def, built);
            rows.check(def, built);
            rows.way_back(def, built);
        }
    }
    Some(Explanation {
        step: draft.id.clone(),
        listed: source(input, draft.name.span),
        definition: draft.base.map(|base| source(input, base.name.span)),
        rows: rows.rows,
    })
}

fn source(input: &Input<'_>, span: Span) -> Source {
    let line = input.files.position(span).line;
    let name = input.files.name(span.file).to_owned();
    let layer = if span.file == input.runbook.file {
        Layer::Runbook
    } else if input.catalogs.iter().any(|source| source.catalog.file == span.file) {
        Layer::Catalog
    } else if name == "--set" {
        let argument = input.files.file(span.file).text().to_owned();
        return Source::Written { layer: Layer::Set, name: argument, span, line };
    } else {
        Layer::Overlay
    };
    let shipped =
        |source: &&super::CatalogSource<'_>| source.catalog.file == span.file && source.rank == CatalogRank::Shipped;
    let name = input.catalogs.iter().find(shipped).map_or(name, |source| source.name.to_owned());
    Source::Written { layer, name, span, line }
}

struct Rows<'a> {
    input: &'a Input<'a>,
    rows: Vec<Row>,
}

impl Rows<'_> {
    fn add(&mut self, key: impl Into<String>, value: impl Into<String>, source: Source) {
        self.rows.push(Row { key: key.into(), value: value.into(), source });
    }

    fn written(&mut self, key: impl Into<String>, value: impl Into<String>, span: Span) {
        let source = source(self.input, span);
        self.add(key, value, source);
    }

    fn word<W: Word + PartialEq>(&mut self, key: &str, written: Option<Spanned<W>>, holds: W, why: &'static str) {
        match written {
            Some(word) => self.written(key, spelling(word.value), word.span),
            None => self.add(key, spelling(holds), Source::Assumed(why)),
        }
    }

    fn length(&mut self, key: &str, written: Option<Spanned<Millis>>, holds: Option<u64>, why: &'static str) {
        match (written, holds) {
            (Some(length), _) => self.written(key, duration::format(length.value), length.span),
            (None, Some(holds)) => self.add(key, duration::format(Millis(holds)), Source::Assumed(why)),
            (None, None) => {}
        }
    }

    fn flag(&mut self, key: &str, written: Option<Spanned<bool>>) {
        if let Some(flag) = written {
            self.written(key, flag.value.to_string(), flag.span);
        }
    }

    fn text(&mut self, key: &str, written: Option<&Text>) {
        if let Some(text) = written {
            self.written(key, &*text.value, text.span);
        }
    }

    fn expr(&mut self, key: &str, written: Option<&Spanned<crate::plan::step::Expr>>) {
        if let Some(expr) = written {
            self.written(key, expr.value.as_str(), expr.span);
        }
    }

    /// Maps are shown key by key, because each key may come from another document.
    fn data(&mut self, key: &str, data: Option<&Data>) {
        let Some(data) = data else { return };
        match &data.value {
            DataValue::Map(entries) if !entries.is_empty() => {
                for (name, value) in entries {
                    self.data(&format!("{key}.{}", name.value), Some(value));
                }
            }
            DataValue::Text(text) => self.written(key, &**text, data.span),
            DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) | DataValue::List(_) | DataValue::Map(_) => {
                self.written(key, data.to_json().to_string(), data.span);
            }
        }
    }

    fn needs(&mut self, draft: &Draft<'_>, built: &Step) {
        for need in &built.needs {
            let written = draft.needs().and_then(|needs| needs.iter().find(|name| *name.value == *need.step.as_str()));
            match (written, need.kind) {
                (Some(name), _) => self.written("needs", need.step.as_str(), name.span),
                (None, NeedKind::Implied) => self.add("needs", need.step.as_str(), Source::Assumed("it stands above")),
                (None, NeedKind::Barrier) => {
                    self.add("needs", need.step.as_str(), Source::Assumed("an approval is a barrier in its list"));
                }
                (None, NeedKind::Written | NeedKind::Outputs) => {
                    self.add("needs", need.step.as_str(), Source::Assumed("its outputs are used"));
                }
            }
        }
    }

    fn params(&mut self, cx: &Context<'_>, draft: &Draft<'_>, def: &StepDef, built: &Step) {
        let StepKind::Action(call) = &built.kind else { return };
        let params: &Params = &call.params;
        for (name, value) in params.iter() {
            let given = draft.params.iter().find(|(given, _)| &*given.value == name).map(|(_, value)| value.span);
            let given = given.or_else(|| cx.input_value(name).map(|(_, value)| value.span));
            let catalog = draft.base.map(|base| cx.shelf.at(base.at).catalog.params.as_slice());
            let mut declared = def.declares.iter().flatten().chain(catalog.into_iter().flatten());
            let default =
                declared.find(|(declared, _)| &*declared.value == name).and_then(|(_, def)| def.default.as_ref());
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match given.or(default.map(|default| default.span)) {
                Some(span) => self.written(format!("params.{name}"), shown, span),
                None => self.add(format!("params.{name}"), shown, Source::Assumed("bound")),
            }
        }
    }

    fn step(&mut self, def: &StepDef, built: &Step) {
        self.text("description", def.description.as_ref());
        self.text("uses", def.uses.as_ref());
        self.data("with", def.with.as_ref());
        self.expr("when", def.when.as_ref());
        let why = if built.section.is_check() { "checks only look" } else { "the executor's own" };
        self.word("effect", def.effect, built.effect, why);
        self.length("timeout", def.timeout, Some(built.timeout_ms), why_timeout(built.timeout_ms, built.estimate_ms));
        let why = match (built.moves_data, built.on_timeout) {
            (true, _) => "it moves data",
            (false, OnTimeout::Ask) if matches!(built.kind, StepKind::Manual(_)) => "people are asked again, louder",
            (false, OnTimeout::Ask) => "it tells how far it is",
            (false, OnTimeout::Fail) => "default",
        };
        self.word("onTimeout", def.on_timeout, built.on_timeout, why);
        self.retry("retry", def.retry.as_ref(), built.retry);
        match def.probe.as_ref() {
            Some(Spanned { value: ProbeDef::Native, span }) => self.written("probe", "native", *span),
            Some(Spanned { value: ProbeDef::Call { uses, with, done }, .. }) => {
                self.text("probe.uses", uses.as_ref());
                self.data("probe.with", with.as_ref());
                self.expr("probe.done", done.as_ref());
            }
            None => {}
        }
        self.verify("verify", def.verify.as_ref());
        self.flag("takesSourceDown", def.takes_source_down);
        self.flag("movesData", def.moves_data);
        self.flag("exposes", def.exposes);
        self.flag("retryPartial", def.retry_partial);
        self.length("keepFresh", def.keep_fresh, None, "");
        self.length("estimate", def.estimate, None, "");
        for claim in def.locks.iter().flat_map(|locks| &locks.value) {
            self.written("locks", &*claim.name.value, claim.name.span);
        }
        self.data("rehearsal.with", def.rehearsal.as_ref().and_then(|rehearsal| rehearsal.with.as_ref()));
    }

    fn check(&mut self, def: &StepDef, built: &Step) {
        self.expr("pass", def.pass.as_ref());
        self.length("validFor", def.valid_for, None, "");
        self.length("retryEvery", def.retry_every, built.check.retry_every_ms, "default");
        self.length("every", def.every, built.check.every_ms, "default");
        self.length("by", def.by, None, "");
        self.flag("recheck", def.recheck);
        for role in def.waivable_by.iter().flat_map(|roles| &roles.value) {
            self.text("waivableBy", Some(role));
        }
        for (name, captured) in def.baseline.iter().flatten() {
            self.expr(&format!("baseline.{}", name.value), Some(captured));
        }
        if let Some(proof) = def.proves {
            self.written("proves", spelling(proof.value), proof.span);
        }
    }

    fn way_back(&mut self, def: &StepDef, built: &Step) {
        self.flag("irreversible", def.irreversible);
        match def.undo.as_ref() {
            None => {}
            Some(Spanned { value: UndoDef::None, span }) => self.written("undo", "none", *span),
            Some(Spanned { value: UndoDef::Action(action), .. }) => self.undo(action, built),
        }
        self.text("reason", def.reason.as_ref());
    }

    fn undo(&mut self, action: &UndoAction, built: &Step) {
        let Some(holds) = built.undo_action() else { return };
        match &action.uses {
            Some(uses) => self.text("undo.uses", Some(uses)),
            None => self.add("undo.uses", "the step's executor", Source::Assumed("default")),
        }
        self.data("undo.with", action.with.as_ref());
        self.flag("undo.cleanup", action.cleanup);
        self.flag("undo.keep", action.keep);
        self.word("undo.effect", action.effect, holds.effect, "undos are repeatable");
        for need in action.needs.iter().flat_map(|needs| &needs.value) {
            self.text("undo.needs", Some(need));
        }
        self.length("undo.estimate", action.estimate, None, "");
        let why = why_timeout(holds.timeout_ms, holds.estimate_ms);
        self.length("undo.timeout", action.timeout, Some(holds.timeout_ms), why);
        self.retry("undo.retry", action.retry.as_ref(), holds.retry);
        self.verify("undo.verify", action.verify.as_ref());
        self.text("undo.byHand", action.by_hand.as_ref());
    }

    fn verify(&mut self, key: &str, verify: Option<&VerifyDef>) {
        let Some(verify) = verify else { return };
        self.text(&format!("{key}.uses"), verify.uses.as_ref());
        self.data(&format!("{key}.with"), verify.with.as_ref());
        self.expr(&format!("{key}.pass"), verify.pass.as_ref());
    }

    fn retry(&mut self, key: &str, written: Option<&RetryDef>, holds: crate::plan::step::Retry) {
        let attempts = written.and_then(|retry| retry.attempts);
        let name = format!("{key}.attempts");
        match attempts {
            Some(attempts) => self.written(name, attempts.value.to_string(), attempts.span),
            None => self.add(name, holds.attempts.to_string(), Source::Assumed(why_attempts(holds.attempts))),
        }
        let backoff = written.and_then(|retry| retry.backoff);
        self.length(&format!("{key}.backoff"), backoff, Some(holds.backoff_ms), "default");
        let longest = written.and_then(|retry| retry.max_backoff);
        self.length(&format!("{key}.maxBackoff"), longest, Some(holds.max_backoff_ms), "default");
    }
}

fn why_timeout(holds_ms: u64, estimate_ms: Option<u64>) -> &'static str {
    let is_thrice = estimate_ms.is_some_and(|estimate| estimate.checked_mul(3) == Some(holds_ms));
    if is_thrice { "three times the estimate" } else { "default" }
}

fn why_attempts(attempts: u32) -> &'static str {
    if attempts == defaults::ONE_ATTEMPT.attempts {
        "a step that may have had an effect is not repeated by itself"
    } else if attempts == defaults::UNDO_RETRY.attempts {
        "undos are repeatable"
    } else {
        "it may be repeated without harm"
    }
}
