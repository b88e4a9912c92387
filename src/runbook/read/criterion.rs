//! Criteria: in `rollbackCriteria`, in catalogs and in overlays.

use super::Reader;
use super::conditions::Sees;
use super::list::Form;
use super::map::Field;
use super::values::Bounds;
use crate::runbook::codes;
use crate::runbook::keys;
use crate::runbook::model::{CriteriaList, CriterionDef, CriterionEntry, RatioDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Spanned};
use crate::runbook::yaml::Node;

impl Reader<'_> {
    /// A list of criteria.
    pub(super) fn criteria(&mut self, field: Field) -> Option<CriteriaList> {
        let key = field.key;
        let items = self.items(field, "criteria")?;
        Some(CriteriaList { key, entries: items.into_iter().filter_map(|item| self.criterion_entry(item)).collect() })
    }

    fn criterion_entry(&mut self, item: Field) -> Option<CriterionEntry> {
        match self.form(item, &["id", "criterion", "uses", "trip"])? {
            Form::Named { name, params, span } => Some(CriterionEntry::Named { name, params, span }),
            Form::Defined(node) => {
                let mut criterion = self.criterion(node, keys::CRITERION)?;
                if criterion.id.is_none() {
                    criterion.id.clone_from(&criterion.criterion);
                }
                if criterion.id.is_none() {
                    self.missing(keys::CRITERION, criterion.span, "id", "give it a name: `id: my_criterion`");
                    return None;
                }
                Some(CriterionEntry::Inline(Box::new(criterion)))
            }
        }
    }

    /// A criterion of a list, a catalog or an overlay.
    pub(super) fn criterion(&mut self, node: Node, shape: keys::Shape) -> Option<CriterionDef> {
        let errors = self.errors;
        let mut fields = self.fields(node, shape)?;
        let (declares, params) = self.params(&mut fields);
        let (uses, with) = self.call(&mut fields);
        let mut criterion = CriterionDef {
            span: fields.span,
            id: fields.take("id").and_then(|field| self.name(&field)),
            criterion: fields.take("criterion").and_then(|field| self.name(&field)),
            description: fields.take("description").and_then(|field| self.text(&field)),
            side: fields.take("side").and_then(|field| self.word(&field)),
            layer: fields.take("layer").and_then(|field| self.word(&field)),
            declares,
            params,
            uses,
            with,
            every: fields.take("every").and_then(|field| self.duration(&field, Bounds::PERIOD)),
            warm_up: fields.take("warmUp").and_then(|field| self.duration(&field, Bounds::ANY)),
            timeout: fields.take("timeout").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            valid: fields.take("valid").and_then(|field| self.expression(&field, Sees::Result)),
            trip: fields.take("trip").and_then(|field| self.expression(&field, Sees::Result)),
            consecutive: fields.take("consecutive").and_then(|field| self.count(&field, 1..=10_000)),
            sustained_for: fields.take("sustainedFor").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            ratio: fields.take("ratio").and_then(|field| self.ratio(field)),
            min_samples: fields.take("minSamples").and_then(|field| self.count(&field, 1..=10_000)),
            max_age: fields.take("maxAge").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            action: fields.take("action").and_then(|field| self.word(&field)),
            observe_only: fields.take("observeOnly").and_then(|field| self.boolean(&field)),
            flawed: false,
        };
        self.check_criterion(&criterion);
        criterion.flawed = self.errors > errors;
        Some(criterion)
    }

    fn check_criterion(&mut self, criterion: &CriterionDef) {
        let rules: Vec<(&str, Span)> = [
            ("consecutive", criterion.consecutive.as_ref().map(|rule| rule.span)),
            ("sustainedFor", criterion.sustained_for.as_ref().map(|rule| rule.span)),
            ("ratio", criterion.ratio.as_ref().map(|rule| rule.span)),
        ]
        .into_iter()
        .filter_map(|(name, span)| span.map(|span| (name, span)))
        .collect();
        if let [(first, first_span), (second, second_span), ..] = rules.as_slice() {
            let problem = Problem::new(codes::TRIP_RULES, format!("two trip rules: `{first}` and `{second}`"))
                .at(*second_span, "the second rule")
                .also(*first_span, "the first rule")
                .help("keep one; two criteria with one rule each say *either*");
            self.report(problem);
        }
        if let (Some(every), Some(max_age)) = (&criterion.every, &criterion.max_age)
            && max_age.value < every.value
        {
            let problem = Problem::new(codes::ABSURD_DURATION, "`maxAge` is shorter than `every`")
                .at(max_age.span, "it would be blind between two samples")
                .also(every.span, "the distance of samples");
            self.report(problem);
        }
    }

    fn ratio(&mut self, field: Field) -> Option<Spanned<RatioDef>> {
        let mut fields = self.fields(field.node, keys::RATIO)?;
        let span = fields.span;
        if let Some(key) = ["fail", "of"].into_iter().find(|key| !fields.has(key)) {
            self.missing(keys::RATIO, span, key, "write `{ fail: 3, of: 10 }`");
        }
        let fail = fields.take("fail").and_then(|field| self.count(&field, 1..=10_000));
        let of = fields.take("of").and_then(|field| self.count(&field, 1..=10_000));
        let (fail, of) = (fail?, of?);
        if fail.value > of.value {
            let problem = Problem::new(codes::NUMBER_OUT_OF_RANGE, "`fail` is larger than `of`")
                .at(fail.span, "can never be reached")
                .also(of.span, "of that many samples");
            self.report(problem);
            return None;
        }
        Some(Spanned::new(RatioDef { fail: fail.value, of: of.value }, span))
    }
}
