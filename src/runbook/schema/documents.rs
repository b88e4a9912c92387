//! The four kinds of documents.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::forms::{Bindings, Data, DataMap, Duration, Label, LocalInterval, LocalTime, Name, PlainBindings, Quantity};
use super::parts::{Lock, Param, SignOff};
use super::steps::{CatalogCriterion, CatalogStep, CriterionListEntry, OverlayCriterion, OverlayStep, StepEntry};
use crate::runbook::words::{OnFailure, OnWindowClose, RequiredState, WindowFrom};

/// `kind` with the one value that it can have.
macro_rules! kinds {
    ($($name:ident = $word:literal;)*) => {
        $(
            struct $name;

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "const": $word })
                }
            }
        )*
    };
}

kinds! {
    RunbookKind = "Runbook";
    CatalogKind = "Catalog";
    OverlayKind = "Overlay";
    SiteKind = "Site";
}

/// The single values that an overlay may replace.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Settings {
    /// The rollback window in minutes. A runbook has this key or `rollbackWindow`.
    #[schemars(range(min = 1, max = 10080))]
    rollback_window_minutes: Option<u32>,
    /// The time after exposure in which the engine goes back by itself; up to seven days.
    rollback_window: Option<Duration>,
    /// From when the window counts.
    #[schemars(extend("default" = "exposure"))]
    window_from: Option<WindowFrom>,
    /// What happens when the window closes with its gate met. `commit` only where no commit step is irreversible.
    #[schemars(extend("default" = "accept"))]
    on_window_close: Option<OnWindowClose>,
    /// How long the source is kept after acceptance: a reminder, never an action.
    keep_source: Option<Duration>,
    /// The approved change: its window bounds the cut.
    change: Option<Change>,
    /// How long users may be without service.
    downtime_budget: Option<Duration>,
    /// What happens to users' writes on the target when the run goes back. Without an answer, and without a step that brings
    /// them home, a trip after exposure asks.
    data_on_rollback: Option<DataOnRollback>,
    /// Names, numbers, bridges: shown in the report and on the page to finish by hand from.
    contacts: Option<DataMap>,
    /// What a cutover step that failed for good does.
    #[schemars(extend("default" = "rollback"))]
    on_failure: Option<OnFailure>,
    /// What goes on by itself after the engine was restarted. Without it forward work waits for `resume`.
    on_restart: Option<OnRestart>,
    /// A rollback goes on by itself if the engine was away less than this.
    #[schemars(extend("default" = "10m"))]
    auto_continue_within: Option<Duration>,
    /// How long running attempts may take to stop before undoing begins.
    #[schemars(extend("default" = "1m"))]
    settle_within: Option<Duration>,
    /// A run whose pre-checks have not passed by then is refused.
    start_by: Option<LocalTime>,
    /// Distance of the checks of `rollbackReady`.
    #[schemars(extend("default" = "5m"))]
    rollback_ready_every: Option<Duration>,
}

/// The lists of steps.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Lists {
    /// Before anything is touched; in parallel, repeated until they pass.
    pre_checks: Option<Vec<StepEntry>>,
    /// Before the change window; may not take the source down.
    prepare_steps: Option<Vec<StepEntry>>,
    /// The cut: in sequence unless a step says `needs`.
    cutover_steps: Option<Vec<StepEntry>>,
    /// After the last cutover step; in parallel, repeated until they pass.
    post_checks: Option<Vec<StepEntry>>,
    /// Sampled conditions that say "go back".
    rollback_criteria: Option<Vec<CriterionListEntry>>,
    /// Stops users' and background writes on the target: the first thing of a restore after exposure.
    rollback_fence: Option<Vec<StepEntry>>,
    /// Proves again and again that the way back is open.
    rollback_ready: Option<Vec<StepEntry>>,
    /// Proves that the source serves, between restore and clean-up.
    rollback_checks: Option<Vec<StepEntry>>,
    /// The point of no return; runs when a person commits.
    commit_steps: Option<Vec<StepEntry>>,
}

/// What an application's owner writes: checks, steps, criteria, and what to do when it goes wrong.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", title = "Bascule runbook")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Runbook {
    /// May be left out: a document without `kind` is a runbook.
    kind: Option<RunbookKind>,
    /// The application; its identity and its lock.
    application: Name,
    /// A label; only a wave document makes members.
    wave: Option<Label>,
    /// Where the application is; chooses the catalog.
    source_platform: Option<Name>,
    /// Which cluster of it.
    source_cluster: Option<Name>,
    /// Where it goes; chooses the catalog.
    target_platform: Option<Name>,
    /// Which cluster of it. Not built yet: read, and shown nowhere.
    target_cluster: Option<Name>,
    #[schemars(flatten)]
    settings: Settings,
    /// Values of `inputs.NAME` in expressions.
    inputs: Option<PlainBindings>,
    /// Catalog files, relative to the runbook.
    catalogs: Option<Vec<String>>,
    /// Applications that must stand before this one starts.
    requires: Option<Vec<Requirement>>,
    /// Locks that are held for the whole run; `app:NAME` is implied.
    locks: Option<Vec<Lock>>,
    /// Who must say that the application is theirs from now on.
    sign_offs: Option<Vec<SignOff>>,
    #[schemars(flatten)]
    lists: Lists,
}

/// The approved change.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Change {
    /// The ticket.
    id: Option<Label>,
    /// The approved interval.
    window: Option<LocalInterval>,
    /// The zone of local times: an IANA name such as `Europe/Paris`.
    zone: Option<String>,
}

/// What goes on by itself after a restart.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct OnRestart {
    /// Forward work goes on by itself if the engine was away less than this.
    resume_within: Option<Duration>,
}

/// Losing writes was accepted beforehand.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct AcceptLossAnswer {
    /// How much, and why.
    accept_loss: AcceptLoss,
}

/// How much may be lost.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct AcceptLoss {
    /// Writes of this long; beyond it a trip asks.
    up_to: Duration,
    /// Who accepted it, and why.
    reason: String,
}

/// What happens to users' writes on the way back.
struct DataOnRollback;

impl JsonSchema for DataOnRollback {
    fn schema_name() -> Cow<'static, str> {
        "DataOnRollback".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let accept = generator.subschema_for::<AcceptLossAnswer>();
        json_schema!({
            "description": "`stateless` if there are no writes, or how much loss was accepted.",
            "anyOf": [{ "const": "stateless" }, accept]
        })
    }
}

/// Another application that must stand before this one starts.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Requirement {
    /// Its name.
    app: Name,
    /// The state of its newest run.
    #[schemars(extend("default" = "accepted"))]
    state: Option<RequiredState>,
    /// What its rollback does to this run.
    #[schemars(extend("default" = "ask"))]
    on_its_rollback: Option<OnFailure>,
}

/// A library of named definitions for one pair of platforms.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", title = "Bascule catalog")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Catalog {
    /// Always `Catalog`.
    kind: CatalogKind,
    /// One sentence for people.
    description: Option<String>,
    /// The platforms that it is written for. Without it the catalog is used only when it is named.
    #[schemars(rename = "for")]
    platforms: Option<For>,
    /// How far it was tried, for example `on real systems in CI`; shown for each step by `plan`.
    verified: Option<String>,
    /// Parameters of the whole catalog, bound by inputs of the same name.
    params: Option<BTreeMap<String, Param>>,
    /// Steps and checks by name.
    steps: Option<BTreeMap<String, CatalogStep>>,
    /// Criteria by name.
    criteria: Option<BTreeMap<String, CatalogCriterion>>,
    /// Lists that a runbook gets unless it writes the key; `rollbackCriteria` are appended.
    defaults: Option<Defaults>,
}

/// The platforms of a catalog: one at least.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct For {
    /// Where the application is.
    source_platform: Option<Name>,
    /// Where it goes.
    target_platform: Option<Name>,
}

/// Lists that a runbook gets unless it writes the key.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Defaults {
    #[schemars(flatten)]
    lists: Lists,
}

/// Values for one environment: inputs, times and single keys, never structure.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", title = "Bascule overlay")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Overlay {
    /// Always `Overlay`.
    kind: OverlayKind,
    /// Replaces inputs of the same name, and adds others.
    inputs: Option<PlainBindings>,
    #[schemars(flatten)]
    settings: Settings,
    /// Replaces single keys of steps, by their names.
    steps: Option<BTreeMap<String, OverlayStep>>,
    /// Replaces single keys of criteria, by their names.
    criteria: Option<BTreeMap<String, OverlayCriterion>>,
}

/// What a place has. Not built yet: `lint` reads it, and no verb uses it.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", title = "Bascule site")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
pub(super) struct Site {
    /// Always `Site`.
    kind: SiteKind,
    /// How much there is of each lock.
    capacities: Option<BTreeMap<String, Quantity>>,
    /// Who may answer.
    people: Option<Vec<Person>>,
    /// Where notices go, by name.
    channels: Option<Bindings>,
}

/// Somebody.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "a shadow for the schema; nothing becomes one")]
struct Person {
    /// Login name.
    name: Name,
    /// Their roles.
    roles: Option<Vec<Name>>,
    /// How to reach them.
    reach: Option<Data>,
}
