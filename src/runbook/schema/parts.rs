//! The maps inside of steps and criteria.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::forms::{Data, DataMap, Duration, Expression, LockName, Name, Quantity};
use crate::runbook::words::{Effect, ParamType, Proof};

/// Attempts and the pauses between them.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Retry {
    /// How many attempts in all, the first included. By default 3 for steps whose repetition is harmless (`effect: none` and
    /// `idempotent`), 5 for undos, the fence and rollback checks, 1 for others.
    #[schemars(range(min = 1, max = 1000))]
    attempts: Option<u32>,
    /// The first pause; it doubles with each attempt.
    #[schemars(extend("default" = "10s"))]
    backoff: Option<Duration>,
    /// The longest pause.
    #[schemars(extend("default" = "2m"))]
    max_backoff: Option<Duration>,
}

/// A call that finds out whether an interrupted attempt happened. It only looks.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct ProbeCall {
    /// The executor.
    uses: Option<Name>,
    /// Its parameters.
    with: Option<DataMap>,
    /// Over `result`: true means that the step happened, false that it did not start, unknown that nobody can tell.
    done: Option<Expression>,
}

/// How an interrupted attempt is judged.
pub(super) struct Probe;

impl JsonSchema for Probe {
    fn schema_name() -> Cow<'static, str> {
        "Probe".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let call = generator.subschema_for::<ProbeCall>();
        json_schema!({
            "description": "`native` if the executor knows by itself whether an attempt happened, or a call that finds out.",
            "anyOf": [{ "const": "native" }, call]
        })
    }
}

/// A call whose success proves something. It only looks.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Verify {
    /// The executor.
    uses: Option<Name>,
    /// Its parameters.
    with: Option<DataMap>,
    /// What its `result` must be. Without it success is enough.
    pass: Option<Expression>,
}

/// The reverse action of a step.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct UndoAction {
    /// The executor. Without it the step's own executor undoes, given the step's parameters and outputs.
    uses: Option<Name>,
    /// Its parameters.
    with: Option<DataMap>,
    /// It removes what the step built, and starts only when users are back on the source.
    #[schemars(extend("default" = false))]
    cleanup: Option<bool>,
    /// A clean-up that moves aside instead of deleting. What copied data holds is never destroyed because something failed.
    keep: Option<bool>,
    /// `once` is the stated exception: undos are repeated after an interruption.
    #[schemars(extend("default" = "idempotent"))]
    effect: Option<Effect>,
    /// Steps whose undos end before this one; replaces the reverse of the steps' order.
    needs: Option<Vec<Name>>,
    /// How long it takes. Unknown if it is not written.
    estimate: Option<Duration>,
    /// When an attempt is interrupted.
    timeout: Option<Duration>,
    /// Attempts and pauses.
    retry: Option<Retry>,
    /// What must hold after it, read back.
    verify: Option<Verify>,
    /// What a person does if the tool is dead; shown on the page that a night can be finished from. May hold `${{ … }}`.
    by_hand: Option<String>,
}

/// The way back of a step.
pub(super) struct Undo;

impl JsonSchema for Undo {
    fn schema_name() -> Cow<'static, str> {
        "Undo".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let action = generator.subschema_for::<UndoAction>();
        json_schema!({
            "description": "`none`, with `reason` beside it, or the reverse action.",
            "anyOf": [{ "const": "none" }, action]
        })
    }
}

/// Other values for a rehearsal against an isolated target. Not built yet.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Rehearsal {
    /// Laid over the step's `with`, key by key.
    with: Option<DataMap>,
}

/// A lock and how much of it is taken.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct LockClaim {
    /// The lock.
    name: LockName,
    /// How much of the capacity that `site.yaml` or the wave declares. Without it all of it.
    /// Not built yet: every claim takes all of it.
    take: Option<Quantity>,
}

/// A lock: its name, or its name and how much of it is taken.
pub(super) struct Lock;

impl JsonSchema for Lock {
    fn schema_name() -> Cow<'static, str> {
        "Lock".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<LockName>();
        let claim = generator.subschema_for::<LockClaim>();
        json_schema!({
            "description": "The name of a lock, which is then taken whole, or a map with `take`.",
            "anyOf": [name, claim]
        })
    }
}

/// Values captured before the cut, by name, each an expression over `result`.
pub(super) type Baseline = BTreeMap<String, Expression>;

/// A parameter that a catalog or a definition takes.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Param {
    /// Its type. Without it any value.
    #[schemars(rename = "type")]
    kind: Option<ParamType>,
    /// Whether it must be given.
    #[schemars(extend("default" = false))]
    required: Option<bool>,
    /// Its value if it is not given.
    default: Option<Data>,
    /// One sentence.
    description: Option<String>,
}

/// `fail` fails among the newest `of` samples.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Ratio {
    /// Fails that trip.
    #[schemars(range(min = 1, max = 10000))]
    fail: u32,
    /// Samples looked at.
    #[schemars(range(min = 1, max = 10000))]
    of: u32,
}

/// Somebody who must say that the application is theirs from now on.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct SignOff {
    /// Their role.
    role: Name,
    /// What they say.
    what: String,
    /// The condition of a safe end that it proves.
    #[schemars(extend("default" = "ownership"))]
    proves: Option<Proof>,
}
