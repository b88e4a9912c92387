//! What conditions ask of a result, held against what the executor of that very call gives.
//!
//! A field that an executor never gives makes a criterion blind for ever, and a check fail for ever. Start with [`check`].

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::context::Context;
use crate::plan::step::Expr;
use crate::runbook::codes;
use crate::runbook::expr::{self, Path, Scope, Truth};
use crate::runbook::model::{Data, DataValue};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Spanned, Text};

/// What a condition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// A check or a verification passes.
    Pass,
    /// A baseline is captured.
    Baseline,
    /// A sample says something.
    Valid,
    /// A sample is bad.
    Trip,
    /// A probe says that it happened.
    Done,
}

/// Checks one condition over the result of a call.
pub(super) fn check(
    cx: &mut Context<'_>,
    condition: Option<&Spanned<Expr>>,
    (uses, with): (&Text, Option<&Data>),
    asked: Asked,
) {
    let input = cx.input;
    let (Some(condition), Some(info)) = (condition, input.executors.get(&*uses.value)) else { return };
    let text = condition.value.as_str();
    let paths: Vec<Path> = expr::references(text).into_iter().filter(|path| path.root == "result").collect();
    let first = |path: &Path| path.segments.first().map(|segment| segment.name.clone());
    let guarded: BTreeSet<String> = paths.iter().filter(|path| path.guarded).filter_map(first).collect();
    for path in &paths {
        let Some(field) = path.segments.first() else { continue };
        if info.gives(&field.name) || guarded.contains(&field.name) {
            continue;
        }
        let given: Vec<String> = info.outputs.iter().map(|output| format!("`{output}`")).collect();
        let problem = Problem::new(codes::UNKNOWN_ROOT, format!("`{}` gives no `{}`", uses.value, field.name))
            .at(cx.input.files.inside(condition.span, text, path.at.clone()), "never has a value")
            .suggest(&field.name, info.outputs.iter().map(String::as_str))
            .note(format!("it gives {}", given.join(", ")));
        cx.problem(problem);
    }
    if let Some(path) = paths.iter().find(|path| first(path).as_deref() == Some("exitCode")) {
        exit_code(cx, (condition, path), (uses, with), asked);
    }
}

/// Any other exit code is a failure, and a failure has no result to be judged.
fn exit_code(
    cx: &mut Context<'_>,
    (condition, path): (&Spanned<Expr>, &Path),
    (uses, with): (&Text, Option<&Data>),
    asked: Asked,
) {
    if &*uses.value != "command" || !only_zero_succeeds(with) {
        return;
    }
    let label = match asked {
        Asked::Pass if is_false_for_zero(&condition.value) => "never passes",
        // `exitCode == 0` says again what success means: needless, and true.
        Asked::Pass | Asked::Baseline => return,
        Asked::Trip => "never a bad sample: other codes are no sample at all, and the criterion goes blind",
        Asked::Valid => "other codes are no sample at all, and the criterion goes blind",
        Asked::Done => "with other codes the probe cannot tell, and a person is asked",
    };
    let text = condition.value.as_str();
    let problem = Problem::warning(codes::CONSTANT_EXIT_CODE, "`result.exitCode` is always 0 here")
        .at(cx.input.files.inside(condition.span, text, path.at.clone()), label)
        .note("a command that ends with another code has failed, and gives no result")
        .help("say which codes are an answer: `successCodes: [0, 1]` in `with`");
    cx.problem(problem);
}

fn only_zero_succeeds(with: Option<&Data>) -> bool {
    let Some(DataValue::Map(entries)) = with.map(|with| &with.value) else { return true };
    let codes = entries.iter().find(|(name, _)| &*name.value == "successCodes");
    codes.is_none_or(|(_, codes)| codes.to_json() == json!([0]))
}

fn is_false_for_zero(condition: &Expr) -> bool {
    let Ok(compiled) = expr::compile(condition.as_str()) else { return false };
    let result: Value = json!({ "exitCode": 0 });
    expr::decide(&compiled, &Scope::new().with("result", result)) == Truth::False
}
