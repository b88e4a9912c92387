//! Steps: one reader for lists, catalogs and overlays; the shape says which keys there are.

use super::Reader;
use super::conditions::Sees;
use super::map::{Field, Fields};
use super::values::Bounds;
use crate::runbook::codes;
use crate::runbook::expr::Expr;
use crate::runbook::keys;
use crate::runbook::model::{StepDef, UndoDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Spanned, Text};
use crate::runbook::yaml::{Content, Node};

impl Reader<'_> {
    /// A step of a list, a catalog or an overlay.
    pub(super) fn step(&mut self, node: Node, shape: keys::Shape) -> Option<StepDef> {
        let errors = self.errors;
        let fields = self.fields(node, shape)?;
        Some(self.step_body(fields, errors))
    }

    /// Every key that a step can have, of those that its shape lets through; `errors` were there before it.
    pub(super) fn step_body(&mut self, mut fields: Fields, errors: usize) -> StepDef {
        let (declares, params) = self.params(&mut fields);
        let (uses, with) = self.call(&mut fields);
        let mut step = StepDef {
            span: fields.span,
            id: fields.take("id").and_then(|field| self.name(&field)),
            step: fields.take("step").and_then(|field| self.name(&field)),
            description: fields.take("description").and_then(|field| self.text(&field)),
            side: fields.take("side").and_then(|field| self.word(&field)),
            layer: fields.take("layer").and_then(|field| self.word(&field)),
            declares,
            params,
            uses,
            with,
            needs: fields.take("needs").and_then(|field| self.names(field)),
            when: fields.take("when").and_then(|field| self.expression(&field, Sees::Before)),
            effect: fields.take("effect").and_then(|field| self.word(&field)),
            timeout: fields.take("timeout").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            on_timeout: fields.take("onTimeout").and_then(|field| self.word(&field)),
            retry: fields.take("retry").and_then(|field| self.retry(field)),
            probe: fields.take("probe").and_then(|field| self.probe(field)),
            verify: fields.take("verify").and_then(|field| self.verify(field)),
            undo: fields.take("undo").and_then(|field| self.undo(field)),
            reason: fields.take("reason").and_then(|field| self.text(&field)),
            irreversible: fields.take("irreversible").and_then(|field| self.boolean(&field)),
            takes_source_down: fields.take("takesSourceDown").and_then(|field| self.boolean(&field)),
            moves_data: fields.take("movesData").and_then(|field| self.boolean(&field)),
            exposes: fields.take("exposes").and_then(|field| self.boolean(&field)),
            retry_partial: fields.take("retryPartial").and_then(|field| self.boolean(&field)),
            keep_fresh: fields.take("keepFresh").and_then(|field| self.duration(&field, Bounds::PERIOD)),
            estimate: fields.take("estimate").and_then(|field| self.duration(&field, Bounds::ANY)),
            locks: fields.take("locks").and_then(|field| self.locks(field)),
            rehearsal: fields.take("rehearsal").and_then(|field| self.rehearsal(field)),
            pass: fields.take("pass").and_then(|field| self.expression(&field, Sees::Result)),
            valid_for: fields.take("validFor").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            retry_every: fields.take("retryEvery").and_then(|field| self.duration(&field, Bounds::PERIOD)),
            every: fields.take("every").and_then(|field| self.duration(&field, Bounds::PERIOD)),
            by: fields.take("by").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            recheck: fields.take("recheck").and_then(|field| self.boolean(&field)),
            waivable_by: fields.take("waivableBy").and_then(|field| self.names(field)),
            baseline: fields.take("baseline").and_then(|field| self.baseline(field)),
            proves: fields.take("proves").and_then(|field| self.word(&field)),
            flawed: false,
        };
        self.check_step(&step);
        step.flawed = self.errors > errors;
        step
    }

    /// What one definition alone can contradict itself in.
    fn check_step(&mut self, step: &StepDef) {
        if let (Some(Spanned { value: true, span }), Some(undo)) = (&step.irreversible, &step.undo)
            && matches!(undo.value, UndoDef::Action(_))
        {
            let problem = Problem::new(codes::EXCLUSIVE_KEYS, "an irreversible step has an undo")
                .at(*span, "cannot be taken back")
                .also(self.head(undo.span), "takes it back")
                .help("remove one of the two keys");
            self.report(problem);
        }
        if let (Some(reason), Some(undo)) = (&step.reason, &step.undo)
            && matches!(undo.value, UndoDef::Action(_))
        {
            let problem = Problem::new(codes::EXCLUSIVE_KEYS, "`reason` says why there is no undo, and there is one")
                .at(reason.span, "not needed")
                .also(self.head(undo.span), "the undo");
            self.report(problem);
        }
    }

    fn baseline(&mut self, field: Field) -> Option<Vec<(Text, Spanned<Expr>)>> {
        if !matches!(field.node.content, Content::Map(_)) {
            self.expected(&field.node, "a map of names and expressions", "`baseline` must be a map");
            return None;
        }
        let entries = self.entries(field.node);
        let mut captured = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            let value = Field { name: "baseline", key: name.span, node };
            if self.check_name(&name, "baseline")
                && let Some(expression) = self.expression(&value, Sees::Result)
            {
                captured.push((name, expression));
            }
        }
        Some(captured)
    }
}
