//! Calls of executors: of steps, probes, proofs, undos and criteria.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::bind::Params;
use super::context::Context;
use super::results::{self, Asked};
use super::{ExecutorInfo, executors};
use crate::plan::step::{Call, Expr, Verify};
use crate::runbook::codes;
use crate::runbook::model::{Data, VerifyDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{Spanned, Text};

/// A call of an executor that is known and takes these parameters.
pub(super) fn call<'a>(
    cx: &mut Context<'a>,
    uses: &Text,
    with: Option<&Data>,
    params: &Params,
) -> Option<(Call, &'a ExecutorInfo)> {
    let info = cx.executor(uses)?;
    executors::check(cx, uses, with, &info.params);
    let with = with.map_or_else(|| Value::Object(Map::new()), Data::to_json);
    Some((Call { uses: Arc::clone(&uses.value), with: Arc::new(with), params: Arc::clone(params) }, info))
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
