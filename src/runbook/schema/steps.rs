//! Steps and criteria in lists, catalogs and overlays.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::forms::{Bindings, DataMap, Duration, Expression, Name};
use super::parts::{Baseline, Lock, Param, Probe, Ratio, Rehearsal, Retry, Undo, Verify};
use crate::runbook::words::{CriterionAction, Effect, Layer, OnTimeout, ParamType, Proof, Relay, Side};

/// The keys that every definition of a step can have.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Body {
    /// The executor that performs it, such as `command` or `http.call`.
    uses: Option<Name>,
    /// Its parameters.
    with: Option<DataMap>,
    /// One sentence for people.
    description: Option<String>,
    /// Evaluated once, when the step becomes ready; false skips it.
    when: Option<Expression>,
    /// What it does to the world; decides what happens to an attempt that was interrupted. Checks have `none`.
    #[schemars(extend("default" = "once"))]
    effect: Option<Effect>,
    /// When an attempt runs out of time. By default 10 minutes, for checks 1 minute.
    timeout: Option<Duration>,
    /// What happens then. Steps that move data or tell how far they are (`files.copy`) ask unless they say something else:
    /// a notice comes when four fifths of the time are used up, a question at its end, and nothing is stopped.
    #[schemars(extend("default" = "fail"))]
    on_timeout: Option<OnTimeout>,
    /// Automatic attempts.
    retry: Option<Retry>,
    /// How an interrupted attempt is judged; `effect: probe` needs one.
    probe: Option<Probe>,
    /// Belongs to the attempt: if it fails, the attempt failed with a possible effect.
    verify: Option<Verify>,
    /// The way back. A step with an effect needs one, or `undo: none` with a reason, or `irreversible: true`.
    undo: Option<Undo>,
    /// Why there is no undo (`undo: none`).
    reason: Option<String>,
    /// It cannot be taken back; passing it needs an approval that names it.
    #[schemars(extend("default" = false))]
    irreversible: Option<bool>,
    /// Users lose the source while and after it runs.
    #[schemars(extend("default" = false))]
    takes_source_down: Option<bool>,
    /// It copies the application's data; its undo brings users' writes home.
    #[schemars(extend("default" = false))]
    moves_data: Option<bool>,
    /// It is the first moment any user can reach the target. Exactly one step exposes.
    #[schemars(extend("default" = false))]
    exposes: Option<bool>,
    /// A partial result may be undone and tried again without asking.
    #[schemars(extend("default" = false))]
    retry_partial: Option<bool>,
    /// Preparation: repeated this often until `go`.
    keep_fresh: Option<Duration>,
    /// How long it takes. Unknown if it is not written, and then measured.
    estimate: Option<Duration>,
    /// Locks, taken all or none for each attempt.
    locks: Option<Vec<Lock>>,
    /// Other values for a rehearsal. Not built yet.
    rehearsal: Option<Rehearsal>,
    /// Checks: what `result` must be. Without it success is enough.
    pass: Option<Expression>,
    /// Checks: how long a pass counts; an older pre-check runs again before the next effect.
    valid_for: Option<Duration>,
    /// Pre-checks: pause before a failed one runs again.
    #[schemars(extend("default" = "1m"))]
    retry_every: Option<Duration>,
    /// Post-checks: distance of tries, by default 30 seconds. Readiness checks: 5 minutes.
    every: Option<Duration>,
    /// Post-checks: time after exposure by which it must have passed; failing it rolls back.
    by: Option<Duration>,
    /// Pre-checks: runs again at `go` and before the cut, whatever its age.
    #[schemars(extend("default" = false))]
    recheck: Option<bool>,
    /// Checks: roles that may waive it.
    waivable_by: Option<Vec<Name>>,
    /// Pre-checks: values captured before the cut, by name, each an expression over `result`.
    baseline: Option<Baseline>,
    /// The condition of a safe end that it proves.
    proves: Option<Proof>,
}

/// A step: defined here, or with `step` a definition of a catalog under another name and with single keys replaced.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Step {
    /// Its name, unique in the runbook. Without it that of `step`.
    id: Option<Name>,
    /// The definition of a catalog that these keys are laid over. `with` and `params` are merged key by key, other keys replaced.
    step: Option<Name>,
    /// Values for the definition's parameters.
    params: Option<Bindings>,
    /// What comes before it; replaces the implied "after the step above". Empty: nothing. It also blocks undos.
    needs: Option<Vec<Name>>,
    #[schemars(flatten)]
    body: Body,
}

/// A definition of a step or check.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct CatalogStep {
    /// The platform that it works on.
    side: Option<Side>,
    /// The part of the platform.
    layer: Option<Layer>,
    /// Parameters that it takes, as `params.NAME` in its expressions.
    params: Option<BTreeMap<String, Param>>,
    /// What comes before it; replaces the implied "after the step above".
    needs: Option<Vec<Name>>,
    #[schemars(flatten)]
    body: Body,
}

/// Single keys of a step that are replaced; `with` and `params` are merged key by key.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct OverlayStep {
    /// Values for the definition's parameters.
    params: Option<Bindings>,
    #[schemars(flatten)]
    body: Body,
}

/// People decide. In a list it is a barrier: nothing below it starts before it. Without an answer in time it is a no.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Approval {
    /// Its name.
    approval: Name,
    /// What they are asked. May hold `${{ … }}`.
    description: Option<String>,
    /// Any of these roles.
    roles: Option<Vec<Name>>,
    /// How many different people.
    #[schemars(range(min = 1, max = 100), extend("default" = 1))]
    quorum: Option<u32>,
    /// The one who started the run does not count.
    #[schemars(extend("default" = false))]
    not_requester: Option<bool>,
    /// Then the answer is no.
    expires: Option<Duration>,
    /// Distance of reminders. Not built yet: nobody is reminded.
    remind_every: Option<Duration>,
    /// Who is told when nobody answers. Not built yet: nobody is told.
    escalate: Option<Vec<Escalation>>,
    /// Whether somebody may relay a decision that was given by telephone.
    #[schemars(extend("default" = "refused"))]
    relayed: Option<Relay>,
    /// Irreversible steps that it lets pass.
    names: Option<Vec<Name>>,
    /// What comes before it; replaces the implied "after the step above".
    needs: Option<Vec<Name>>,
}

/// A rung of an approval's ladder.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Escalation {
    /// Counted from the question.
    after: Duration,
    /// The role that is told.
    to: Name,
}

/// A person performs it: instructions, an answer with types, a deadline.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Manual {
    /// What to do. May hold `${{ … }}`.
    manual: String,
    /// Its name. Without it made from the instructions.
    id: Option<Name>,
    /// What they answer: names and types; the outputs of the step.
    answer: Option<BTreeMap<String, ParamType>>,
    /// The answer that counts, as if a person had given it, when nobody did in time: a value for every field of `answer`.
    default: Option<DataMap>,
    /// Who may do it: the answer names one of these roles. Without it anybody.
    roles: Option<Vec<Name>>,
    /// One sentence for people.
    description: Option<String>,
    /// What comes before it; replaces the implied "after the step above".
    needs: Option<Vec<Name>>,
    /// Evaluated once, when the step becomes ready; false skips it.
    when: Option<Expression>,
    /// What it does to the world.
    #[schemars(extend("default" = "once"))]
    effect: Option<Effect>,
    /// When it should be done, counted from when it is asked for. Without it people are asked until they answer.
    timeout: Option<Duration>,
    /// What happens then: `ask` raises a question, after a notice at four fifths of the time; `fail` counts as failed, and
    /// `onFailure` decides. A `default` comes before both. A deadline that nobody watched asks.
    #[schemars(extend("default" = "ask"))]
    on_timeout: Option<OnTimeout>,
    /// What must hold after it, read back when a person says that it was done; if it does not, the step failed.
    verify: Option<Verify>,
    /// The way back; with `byHand` and nothing else a person takes it back.
    undo: Option<Undo>,
    /// Why there is no undo (`undo: none`).
    reason: Option<String>,
    /// It cannot be taken back; passing it needs an approval that names it.
    #[schemars(extend("default" = false))]
    irreversible: Option<bool>,
    /// Users lose the source while and after it is done.
    #[schemars(extend("default" = false))]
    takes_source_down: Option<bool>,
    /// It copies the application's data.
    #[schemars(extend("default" = false))]
    moves_data: Option<bool>,
    /// It is the first moment any user can reach the target.
    #[schemars(extend("default" = false))]
    exposes: Option<bool>,
    /// How long it takes.
    estimate: Option<Duration>,
    /// Locks that are held meanwhile.
    locks: Option<Vec<Lock>>,
    /// The condition of a safe end that it proves.
    proves: Option<Proof>,
}

/// The keys that every criterion can have.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Sample {
    /// The executor that measures. It only looks.
    uses: Option<Name>,
    /// Its parameters.
    with: Option<DataMap>,
    /// One sentence for people.
    description: Option<String>,
    /// Planned distance of samples.
    #[schemars(extend("default" = "30s"))]
    every: Option<Duration>,
    /// Time after exposure before the first sample counts.
    #[schemars(extend("default" = "2m"))]
    warm_up: Option<Duration>,
    /// When a sample is interrupted, and counts as inconclusive. By default 30 seconds, never more than `every`.
    timeout: Option<Duration>,
    /// Over `result`: false or unknown makes a sample inconclusive, for example too few requests.
    valid: Option<Expression>,
    /// Over `result`: true is a fail, false a pass, unknown inconclusive.
    trip: Option<Expression>,
    /// Trip rule: this many fails in a row.
    #[schemars(range(min = 1, max = 10000))]
    consecutive: Option<u32>,
    /// Trip rule: an unbroken run of fails this long.
    sustained_for: Option<Duration>,
    /// Trip rule: so many fails among the newest samples.
    ratio: Option<Ratio>,
    /// Samples needed before the gate can be met.
    #[schemars(range(min = 1, max = 10000), extend("default" = 1))]
    min_samples: Option<u32>,
    /// Without a pass or fail younger than this it is blind, which asks. By default three times `every`.
    max_age: Option<Duration>,
    /// What a trip does. It rolls back by itself only where the runbook answers for users' writes.
    #[schemars(extend("default" = "rollback"))]
    action: Option<CriterionAction>,
    /// Sampled and shown, never acts.
    #[schemars(extend("default" = false))]
    observe_only: Option<bool>,
}

/// A condition that says "go back": defined here, or with `criterion` a definition of a catalog under another name and with single keys replaced.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Criterion {
    /// Its name. Without it that of `criterion`.
    id: Option<Name>,
    /// The definition of a catalog that these keys are laid over.
    criterion: Option<Name>,
    /// Values for the definition's parameters.
    params: Option<Bindings>,
    #[schemars(flatten)]
    sample: Sample,
}

/// A definition of a criterion.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct CatalogCriterion {
    /// The platform that it looks at.
    side: Option<Side>,
    /// The part of the platform.
    layer: Option<Layer>,
    /// Parameters that it takes, as `params.NAME` in its expressions.
    params: Option<BTreeMap<String, Param>>,
    #[schemars(flatten)]
    sample: Sample,
}

/// Single keys of a criterion that are replaced; a trip rule replaces one of another kind.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct OverlayCriterion {
    /// Values for the definition's parameters.
    params: Option<Bindings>,
    #[schemars(flatten)]
    sample: Sample,
}

/// A name of a catalog, or one with parameters.
fn named(name: &Schema) -> [Schema; 2] {
    let with_params = json_schema!({
        "description": "A name of a catalog, with values for its parameters.",
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": { "not": { "enum": ["approval", "manual", "id", "step", "criterion", "uses", "trip"] } },
        "additionalProperties": { "type": ["object", "null"], "x-null-is-meant": true }
    });
    [name.clone(), with_params]
}

/// An entry of a list of steps.
pub(super) struct StepEntry;

impl JsonSchema for StepEntry {
    fn schema_name() -> Cow<'static, str> {
        "StepEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let [name, with_params] = named(&generator.subschema_for::<Name>());
        let step = generator.subschema_for::<Step>();
        let approval = generator.subschema_for::<Approval>();
        let manual = generator.subschema_for::<Manual>();
        json_schema!({
            "description": "A name of a catalog, a name with parameters, a step that is defined here, an approval, or something that a person does.",
            "anyOf": [name, with_params, step, approval, manual]
        })
    }
}

/// An entry of a list of criteria.
pub(super) struct CriterionListEntry;

impl JsonSchema for CriterionListEntry {
    fn schema_name() -> Cow<'static, str> {
        "CriterionEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let [name, with_params] = named(&generator.subschema_for::<Name>());
        let criterion = generator.subschema_for::<Criterion>();
        json_schema!({
            "description": "A name of a catalog, a name with parameters, or a criterion that is defined here.",
            "anyOf": [name, with_params, criterion]
        })
    }
}
