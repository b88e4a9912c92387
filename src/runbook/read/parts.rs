//! The maps inside of steps: `retry`, `probe`, `verify`, `undo`, `rehearsal`, `locks`, declared parameters.

use super::Reader;
use super::conditions::{Placeholders, Sees};
use super::map::{Field, Fields};
use super::values::Bounds;
use crate::runbook::codes;
use crate::runbook::keys;
use crate::runbook::model::{
    Bindings, Data, LockClaim, ParamDef, ProbeDef, RehearsalDef, RetryDef, UndoAction, UndoDef, VerifyDef,
};
use crate::runbook::problem::{Problem, nearest};
use crate::runbook::source::{Spanned, Text};
use crate::runbook::template;
use crate::runbook::yaml::Content;

impl Reader<'_> {
    /// `uses` and `with`.
    pub(super) fn call(&mut self, fields: &mut Fields) -> (Option<Text>, Option<Data>) {
        let uses = fields.take("uses").and_then(|field| self.name(&field));
        let with = fields.take("with").and_then(|field| self.data_map(field, Placeholders::WithSecrets));
        (uses, with)
    }

    /// `params`: what a definition takes, in a catalog; elsewhere what a definition is given.
    pub(super) fn params(&mut self, fields: &mut Fields) -> (Option<Vec<(Text, ParamDef)>>, Option<Bindings>) {
        let Some(field) = fields.take("params") else { return (None, None) };
        if fields.shape == keys::CATALOG_STEP || fields.shape == keys::CATALOG_CRITERION {
            (self.declared(field), None)
        } else {
            (None, self.bindings(field, Placeholders::Expressions))
        }
    }

    pub(super) fn retry(&mut self, field: Field) -> Option<RetryDef> {
        let mut fields = self.fields(field.node, keys::RETRY)?;
        let attempts = fields.take("attempts").and_then(|field| self.count(&field, 1..=1000));
        let backoff = fields.take("backoff").and_then(|field| self.duration(&field, Bounds::ANY));
        let max_backoff = fields.take("maxBackoff").and_then(|field| self.duration(&field, Bounds::ANY));
        if let (Some(first), Some(longest)) = (backoff, max_backoff)
            && longest.value < first.value
        {
            let problem = Problem::new(codes::ABSURD_DURATION, "`maxBackoff` is shorter than `backoff`")
                .at(longest.span, "the longest pause")
                .also(first.span, "the first pause");
            self.report(problem);
        }
        Some(RetryDef { span: fields.span, attempts, backoff, max_backoff })
    }

    pub(super) fn probe(&mut self, field: Field) -> Option<Spanned<ProbeDef>> {
        let span = field.node.span;
        if let Content::Scalar(scalar) = &field.node.content {
            return self
                .only_word(&field, &scalar.text.clone(), "native")
                .then(|| Spanned::new(ProbeDef::Native, span));
        }
        let mut fields = self.fields(field.node, keys::PROBE)?;
        let (uses, with) = self.call(&mut fields);
        let done = fields.take("done").and_then(|field| self.expression(&field, Sees::Result));
        Some(Spanned::new(ProbeDef::Call { uses, with, done }, span))
    }

    /// Whether a single value is the one word that may stand in place of a map.
    fn only_word(&mut self, field: &Field, text: &str, word: &str) -> bool {
        if text == word {
            return true;
        }
        let mut problem = Problem::new(codes::UNKNOWN_WORD, format!("`{text}` is not a value of `{}`", field.name))
            .at(field.node.span, format!("expected `{word}` or a map"));
        if let Some(near) = nearest(text, [word]) {
            problem = problem.help(format!("did you mean `{near}`?"));
        }
        self.report(problem);
        false
    }

    pub(super) fn verify(&mut self, field: Field) -> Option<VerifyDef> {
        let mut fields = self.fields(field.node, keys::VERIFY)?;
        let (uses, with) = self.call(&mut fields);
        let pass = fields.take("pass").and_then(|field| self.expression(&field, Sees::Result));
        Some(VerifyDef { span: fields.span, uses, with, pass })
    }

    pub(super) fn undo(&mut self, field: Field) -> Option<Spanned<UndoDef>> {
        let span = field.node.span;
        if let Content::Scalar(scalar) = &field.node.content {
            return self.only_word(&field, &scalar.text.clone(), "none").then(|| Spanned::new(UndoDef::None, span));
        }
        let mut fields = self.fields(field.node, keys::UNDO)?;
        let (uses, with) = self.call(&mut fields);
        let action = UndoAction {
            span,
            uses,
            with,
            cleanup: fields.take("cleanup").and_then(|field| self.boolean(&field)),
            keep: fields.take("keep").and_then(|field| self.boolean(&field)),
            effect: fields.take("effect").and_then(|field| self.word(&field)),
            needs: fields.take("needs").and_then(|field| self.names(field)),
            estimate: fields.take("estimate").and_then(|field| self.duration(&field, Bounds::ANY)),
            timeout: fields.take("timeout").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            retry: fields.take("retry").and_then(|field| self.retry(field)),
            verify: fields.take("verify").and_then(|field| self.verify(field)),
            by_hand: fields.take("byHand").and_then(|field| self.instructions(&field)),
        };
        Some(Spanned::new(UndoDef::Action(Box::new(action)), span))
    }

    /// Text for a person, in which placeholders are filled.
    pub(super) fn instructions(&mut self, field: &Field) -> Option<Text> {
        let text = self.text(field)?;
        self.placeholders(&text.value, text.span, Placeholders::Expressions);
        Some(text)
    }

    pub(super) fn rehearsal(&mut self, field: Field) -> Option<RehearsalDef> {
        let mut fields = self.fields(field.node, keys::REHEARSAL)?;
        let with = fields.take("with").and_then(|field| self.data_map(field, Placeholders::WithSecrets));
        Some(RehearsalDef { span: fields.span, with })
    }

    pub(super) fn locks(&mut self, field: Field) -> Option<Spanned<Vec<LockClaim>>> {
        let span = field.node.span;
        let items = self.items(field, "locks")?;
        Some(Spanned::new(items.into_iter().filter_map(|item| self.lock(item)).collect(), span))
    }

    fn lock(&mut self, item: Field) -> Option<LockClaim> {
        if matches!(item.node.content, Content::Scalar(_)) {
            return Some(LockClaim { name: self.lock_name(&item)?, take: None });
        }
        let mut fields = self.fields(item.node, keys::LOCK)?;
        let take = fields.take("take").and_then(|field| self.quantity(&field));
        let Some(name) = fields.take("name") else {
            let span = fields.span;
            self.missing(keys::LOCK, span, "name", "write `{ name: \"host:esx-07\", take: 1 }`");
            return None;
        };
        Some(LockClaim { name: self.lock_name(&name)?, take })
    }

    fn lock_name(&mut self, field: &Field) -> Option<Text> {
        let text = self.text(field)?;
        self.placeholders(&text.value, text.span, Placeholders::Expressions);
        let parts = text.value.split_once(':');
        let good = parts.is_some_and(|(kind, name)| {
            !name.is_empty() && !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        });
        if good || template::has_placeholder(&text.value) {
            return Some(text);
        }
        let problem = Problem::new(codes::BAD_NAME, format!("`{}` is not the name of a lock", text.value))
            .at(text.span, "expected `KIND:NAME`")
            .help("locks are written like `vm:analytics-01`, `host:esx-07` or `datastore:nas-2`");
        self.report(problem);
        None
    }

    /// Parameters that a catalog or a definition declares.
    pub(super) fn declared(&mut self, field: Field) -> Option<Vec<(Text, ParamDef)>> {
        if !matches!(field.node.content, Content::Map(_)) {
            self.expected(&field.node, "a map of parameters", "`params` must be a map");
            return None;
        }
        let entries = self.entries(field.node);
        let mut declared = Vec::with_capacity(entries.len());
        for (name, node) in entries {
            if self.check_name(&name, "params")
                && let Some(mut fields) = self.fields(node, keys::PARAM)
            {
                let param = ParamDef {
                    span: fields.span,
                    kind: fields.take("type").and_then(|field| self.word(&field)),
                    required: fields.take("required").and_then(|field| self.boolean(&field)),
                    default: fields.take("default").map(|field| self.data(field.node, Placeholders::Expressions)),
                    description: fields.take("description").and_then(|field| self.text(&field)),
                };
                self.required_with_default(&param);
                declared.push((name, param));
            }
        }
        Some(declared)
    }

    fn required_with_default(&mut self, param: &ParamDef) {
        if let (Some(Spanned { value: true, span }), Some(default)) = (&param.required, &param.default) {
            let problem = Problem::new(codes::EXCLUSIVE_KEYS, "a required parameter has no default")
                .at(default.span, "never used")
                .also(*span, "must always be given");
            self.report(problem);
        }
    }
}
