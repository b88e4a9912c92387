//! Which values the expressions of a step use, and where they stand.
//!
//! The reader has checked that every expression can be read; here only their names are looked at.

use std::sync::Arc;

use super::context::{ANY, Context};
use crate::plan::step::Expr;
use crate::runbook::codes;
use crate::runbook::expr::{self, Path};
use crate::runbook::model::{CriterionDef, Data, ProbeDef, StepDef, UndoDef, VerifyDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{SourceMap, Span, Spanned, Text};
use crate::runbook::template;

/// When an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the step: it sees what earlier steps gave.
    Before,
    /// During or after the step: its probe, proof and undo also see what it gave itself.
    After,
}

/// A use of a value, such as `inputs.vm`.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) path: Path,
    pub(super) span: Span,
    pub(super) moment: Moment,
}

/// Uses and secrets of one definition.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses {
    pub(super) values: Vec<Use>,
    pub(super) secrets: Vec<String>,
}

impl Uses {
    pub(super) fn of_step(files: &SourceMap, def: &StepDef) -> Self {
        let mut uses = Self::default();
        uses.data(files, def.with.as_ref(), Moment::Before);
        uses.expr(files, def.when.as_ref(), Moment::Before);
        for claim in def.locks.iter().flat_map(|locks| &locks.value) {
            uses.text(files, &claim.name.value, claim.name.span, Moment::Before);
        }
        if let Some(ProbeDef::Call { with, done, .. }) = def.probe.as_ref().map(|probe| &probe.value) {
            uses.data(files, with.as_ref(), Moment::After);
            uses.expr(files, done.as_ref(), Moment::After);
        }
        uses.verify(files, def.verify.as_ref());
        if let Some(UndoDef::Action(undo)) = def.undo.as_ref().map(|undo| &undo.value) {
            uses.data(files, undo.with.as_ref(), Moment::After);
            uses.verify(files, undo.verify.as_ref());
            uses.words(files, undo.by_hand.as_ref(), Moment::After);
        }
        if let Some(rehearsal) = &def.rehearsal {
            uses.data(files, rehearsal.with.as_ref(), Moment::Before);
        }
        uses.expr(files, def.pass.as_ref(), Moment::After);
        for (_, captured) in def.baseline.iter().flatten() {
            uses.expr(files, Some(captured), Moment::After);
        }
        uses
    }

    pub(super) fn of_criterion(files: &SourceMap, def: &CriterionDef) -> Self {
        let mut uses = Self::default();
        uses.data(files, def.with.as_ref(), Moment::Before);
        uses.expr(files, def.valid.as_ref(), Moment::Before);
        uses.expr(files, def.trip.as_ref(), Moment::Before);
        uses
    }

    /// Of values that are known before the run, such as parameters.
    pub(super) fn of_data(files: &SourceMap, data: &Data) -> Self {
        let mut uses = Self::default();
        uses.data(files, Some(data), Moment::Before);
        uses
    }

    /// What a person is told to do.
    pub(super) fn words(&mut self, files: &SourceMap, words: Option<&Text>, moment: Moment) {
        if let Some(words) = words {
            self.text(files, &words.value, words.span, moment);
        }
    }

    fn verify(&mut self, files: &SourceMap, verify: Option<&VerifyDef>) {
        let Some(verify) = verify else { return };
        self.data(files, verify.with.as_ref(), Moment::After);
        self.expr(files, verify.pass.as_ref(), Moment::After);
    }

    fn expr(&mut self, files: &SourceMap, expr: Option<&Spanned<Expr>>, moment: Moment) {
        let Some(expr) = expr else { return };
        for path in expr::references(expr.value.as_str()) {
            let span = files.inside(expr.span, expr.value.as_str(), path.at.clone());
            self.values.push(Use { path, span, moment });
        }
    }

    fn data(&mut self, files: &SourceMap, data: Option<&Data>, moment: Moment) {
        let Some(data) = data else { return };
        data.each_text(&mut |text, span| self.text(files, text, span, moment));
    }

    fn text(&mut self, files: &SourceMap, text: &Arc<str>, span: Span, moment: Moment) {
        if !template::has_placeholder(text) {
            return;
        }
        let (expressions, secrets) = template::outline(text);
        self.secrets.extend(secrets.into_iter().map(str::to_owned));
        for at in expressions {
            for path in expr::references(text.get(at.clone()).unwrap_or("")) {
                let part = at.start + path.at.start..at.start + path.at.end;
                self.values.push(Use { span: files.inside(span, text, part), path, moment });
            }
        }
    }

    /// The uses of names under a root, with the name.
    pub(super) fn under<'a>(&'a self, root: &'a str) -> impl Iterator<Item = (&'a str, &'a Use)> {
        let of_root = self.values.iter().filter(move |used| used.path.root == root);
        of_root.filter_map(|used| Some((used.path.segments.first()?.name.as_str(), used)))
    }
}

/// Inputs that are used and not there: somebody may still give them, unless the name is misspelt.
pub(super) fn check_inputs(cx: &mut Context<'_>, uses: &Uses, user: &str, is_runbooks_own: bool) {
    for (name, used) in uses.under("inputs") {
        if cx.input_value(name).is_some() || used.path.guarded {
            continue;
        }
        cx.miss(name, ANY, user);
        if !is_runbooks_own {
            continue;
        }
        let near = crate::runbook::problem::nearest(name, cx.input_names()).map(str::to_owned);
        let message = format!("the input `{name}` is used and nobody gives it");
        let problem = match near {
            Some(near) => Problem::new(codes::UNDEFINED_INPUT, message).help(format!("did you mean `{near}`?")),
            None => Problem::warning(codes::UNDEFINED_INPUT, message)
                .help(format!("give it under `inputs:`, in an overlay (`-f`), or with `--set inputs.{name}=…`")),
        };
        cx.problem(problem.at(used.span, "not given"));
    }
}
