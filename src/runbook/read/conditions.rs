//! Expressions and placeholders: read once, to find their mistakes with a place inside of them.

use std::ops::Range;
use std::sync::Arc;

use super::Reader;
use super::map::Field;
use crate::runbook::codes::{self, Code};
use crate::runbook::expr::{self, Compiled, Expr, ExprError, ExprErrorKind};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Span, Spanned};
use crate::runbook::template::{self, Piece, TemplateError};
use crate::runbook::yaml::Content;

/// What an expression may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sees {
    /// Everything but `result`: the step has not run yet.
    Before,
    /// `result` too.
    Result,
}

/// What the strings of a value may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// Expressions and lone secrets.
    WithSecrets,
    /// Expressions.
    Expressions,
    /// Nothing: the value is used as it is written.
    None,
}

impl Reader<'_> {
    /// An expression.
    pub(super) fn expression(&mut self, field: &Field, sees: Sees) -> Option<Spanned<Expr>> {
        let Content::Scalar(scalar) = &field.node.content else {
            self.expected(&field.node, "an expression", &format!("`{}` must be an expression", field.name));
            return None;
        };
        let (text, span) = (scalar.text.clone(), field.node.span);
        if template::has_placeholder(&text) {
            let mut problem = Problem::new(codes::BAD_TEMPLATE, format!("`{}` is an expression already", field.name))
                .at(self.head(span), "`${{ … }}` is for text");
            if let Some(inner) = text.trim().strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")) {
                problem = problem.help(format!("write `{}`", inner.trim()));
            }
            self.report(problem);
            return None;
        }
        if !self.good.contains(&(text.clone(), sees)) {
            let compiled = match expr::compile(&text) {
                Ok(compiled) => compiled,
                Err(error) => {
                    let error = if sees == Sees::Result { of_result(error, &text) } else { error };
                    self.expression_error(&error, &text, span);
                    return None;
                }
            };
            if sees == Sees::Before && !self.result_is_absent(&compiled, &text, span, 0) {
                return None;
            }
            self.good.insert((text.clone(), sees));
        }
        Some(Spanned::new(Expr(text), span))
    }

    /// Whether an expression leaves `result` alone, as it must where nothing has run yet.
    fn result_is_absent(&mut self, compiled: &Compiled, text: &str, span: Span, offset: usize) -> bool {
        let paths = expr::references(compiled.as_str());
        let Some(path) = paths.iter().find(|path| path.root == "result") else { return true };
        let place = self.sources.inside(span, text, offset + path.at.start..offset + path.at.end);
        let problem = Problem::new(codes::UNKNOWN_ROOT, "`result` does not exist here")
            .at(place, "nothing has run yet when this is evaluated")
            .help("use an output of an earlier step: `steps.NAME.outputs.KEY`")
            .note("`result` is known in `pass`, `done`, `valid`, `trip` and `baseline`");
        self.report(problem);
        false
    }

    fn expression_error(&mut self, error: &ExprError, text: &Arc<str>, span: Span) {
        let code = code_of(error.kind);
        let place = self.sources.inside(span, text, error.at.clone());
        let mut problem = Problem::new(code, error.message.clone()).at(place, label_of(error.kind));
        if let Some(help) = &error.help {
            problem = problem.help(help.clone());
        }
        self.report(problem);
    }

    /// Checks the placeholders of a string.
    pub(super) fn placeholders(&mut self, text: &Arc<str>, span: Span, allowed: Placeholders) {
        if !template::has_placeholder(text) {
            return;
        }
        if allowed == Placeholders::None {
            let problem = Problem::new(codes::BAD_TEMPLATE, "placeholders are not filled here")
                .at(self.head(span), "used as it is written")
                .help("write the value itself; placeholders work in `with`, `params`, `locks` and instructions");
            self.report(problem);
            return;
        }
        if self.good.contains(&(text.clone(), Sees::Before)) {
            return;
        }
        match template::pieces(text) {
            Ok(pieces) => {
                let good = pieces.into_iter().all(|piece| self.piece_is_good(&piece, text, span, allowed));
                if good && allowed == Placeholders::WithSecrets {
                    self.good.insert((text.clone(), Sees::Before));
                }
            }
            Err(error) => self.template_error(&error, text, span),
        }
    }

    fn piece_is_good(&mut self, piece: &Piece, text: &str, span: Span, allowed: Placeholders) -> bool {
        match piece {
            Piece::Text(_) => true,
            Piece::Expression(compiled, at) => self.result_is_absent(compiled, text, span, at.start),
            Piece::Secret(_, _) if allowed == Placeholders::WithSecrets => true,
            Piece::Secret(name, at) => {
                let place = self.sources.inside(span, text, at.clone());
                let problem = Problem::new(codes::MISPLACED_SECRET, format!("the secret `{name}` may not stand here"))
                    .at(place, "would be written into the log")
                    .help("secrets are filled in only in `with`, for the program that needs them");
                self.report(problem);
                false
            }
        }
    }

    fn template_error(&mut self, error: &TemplateError, text: &Arc<str>, span: Span) {
        let place = |at: &Range<usize>| self.sources.inside(span, text, at.clone());
        let problem = match error {
            TemplateError::Unclosed(at) => Problem::new(codes::BAD_TEMPLATE, "the placeholder is never closed")
                .at(place(at), "opened here")
                .help("close it with `}}`; a `${{` that is meant as text is written `${{ \"${{\" }}`"),
            TemplateError::Empty(at) => Problem::new(codes::BAD_TEMPLATE, "the placeholder is empty")
                .at(place(at), "no expression")
                .help("write an expression, such as `${{ inputs.vm }}`"),
            TemplateError::SecretNotAlone(at) => {
                Problem::new(codes::MISPLACED_SECRET, "a secret must stand alone in its value")
                    .at(place(at), "part of a longer text or expression")
                    .help(
                        "write the value as `${{ secrets.NAME }}` and nothing else; let the secret hold the whole text",
                    )
                    .note("a text that holds a secret could not be told from one that may be logged")
            }
            TemplateError::Expression(error) => {
                let error = error.clone();
                self.expression_error(&error, text, span);
                return;
            }
        };
        self.report(problem);
    }
}

/// Where a result is judged, a bare name is most likely one of its fields.
fn of_result(mut error: ExprError, text: &str) -> ExprError {
    let is_generic = error.help.as_ref().is_none_or(|help| help.starts_with("expressions begin with"));
    if error.kind == ExprErrorKind::Root
        && is_generic
        && let Some(name) = text.get(error.at.clone())
    {
        error.help = Some(format!("did you mean `result.{name}`? Text stands in quotes"));
    }
    error
}

fn code_of(kind: ExprErrorKind) -> Code {
    match kind {
        ExprErrorKind::Syntax => codes::BAD_EXPRESSION,
        ExprErrorKind::TooLarge => codes::EXPRESSION_TOO_LARGE,
        ExprErrorKind::Function => codes::UNKNOWN_FUNCTION,
        ExprErrorKind::Root => codes::UNKNOWN_ROOT,
    }
}

fn label_of(kind: ExprErrorKind) -> &'static str {
    match kind {
        ExprErrorKind::Syntax => "in this expression",
        ExprErrorKind::TooLarge => "too large",
        ExprErrorKind::Function => "this call",
        ExprErrorKind::Root => "unknown name",
    }
}
