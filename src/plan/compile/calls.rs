//! Calls of executors: of steps, probes, proofs, undos and criteria.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::bind::Params;
use super::context::Context;
use super::results::{self, Asked};
use super::{ExecutorInfo, executors};
use crate::plan::step::{Call, Expr, Verify};
use crate::runbook::codes;
use crate::runbook::expr::Scope;
use crate::runbook::model::{Data, DataValue, VerifyDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Spanned, Text};
use crate::runbook::template::{self, Template};

/// A call of an executor that is known and takes these parameters.
pub(super) fn call<'a>(
    cx: &mut Context<'a>,
    uses: &Text,
    with: Option<&Data>,
    params: &Params,
) -> Option<(Call, &'a ExecutorInfo)> {
    let info = cx.executor(uses)?;
    let known = with.map(|with| with_known_values(with, &cx.scope_with(params)));
    executors::check(cx, uses, known.as_ref(), &info.params);
    let with = with.map_or_else(|| Value::Object(Map::new()), Data::to_json);
    Some((Call { uses: Arc::clone(&uses.value), with: Arc::new(with), params: Arc::clone(params) }, info))
}

/// Parameters with every placeholder filled that has a value before the run: what the executor would refuse then is
/// found before anything is touched. Others, and those with secrets, stay as they are.
pub(super) fn with_known_values(data: &Data, scope: &Scope) -> Data {
    let value = match &data.value {
        DataValue::Text(text) if template::has_placeholder(text) => {
            let template = Template::parse(Value::String(text.as_ref().to_owned())).ok();
            let resolved = template.and_then(|template| template.resolve(scope).ok());
            match resolved.filter(|resolved| resolved.secrets.is_empty()) {
                Some(resolved) => return Data::of_json(&resolved.value, data.span),
                None => data.value.clone(),
            }
        }
        DataValue::List(items) => DataValue::List(items.iter().map(|item| with_known_values(item, scope)).collect()),
        DataValue::Map(entries) => {
            let filled = entries.iter().map(|(key, value)| (key.clone(), with_known_values(value, scope)));
            DataValue::Map(filled.collect())
        }
        DataValue::Null | DataValue::Bool(_) | DataValue::Number(_) | DataValue::Text(_) => data.value.clone(),
    };
    Data { value, span: data.span }
}

/// A call that only looks. Without `uses` it is one of the executor `own`.
pub(super) fn verify(cx: &mut Context<'_>, def: &VerifyDef, own: Option<&Text>, params: &Params) -> Option<Verify> {
    let Some(uses) = def.uses.as_ref().or(own) else {
        cx.problem(
            Problem::new(codes::NO_EXECUTOR, "`verify` says nothing that could be run")
                .at(def.span, "needs `uses`")
                .help("name the executor that looks: `uses: …`"),
        );
        return None;
    };
    let (call, _) = call(cx, uses, def.with.as_ref(), params)?;
    results::check(cx, def.pass.as_ref(), (uses, def.with.as_ref()), Asked::Pass);
    Some(Verify { call, pass: expr(def.pass.as_ref()) })
}

pub(super) fn expr(written: Option<&Spanned<Expr>>) -> Option<Expr> {
    written.map(|expr| expr.value.clone())
}
