//! The four kinds of documents.

use std::collections::BTreeMap;

use super::{
    Bindings, CriterionDef, CriterionEntry, Data, Entry, LockClaim, Millis, Names, ParamDef, SignOffDef, StepDef,
};
use crate::runbook::instant::{LocalInterval, LocalTime};
use crate::runbook::source::{FileId, Span, Spanned, Text};
use crate::runbook::words::{OnFailure, OnWindowClose, RequiredState, Section, WindowFrom};

/// What an application's owner writes.
#[derive(Debug, Clone)]
pub struct Runbook {
    /// Its file.
    pub file: FileId,
    /// The whole document.
    pub span: Span,
    /// Identity; the lock `app:<name>` is implied.
    pub application: Text,
    /// A label.
    pub wave: Option<Text>,
    /// Where the application is.
    pub source_platform: Option<Text>,
    /// Which cluster of it.
    pub source_cluster: Option<Text>,
    /// Where it goes.
    pub target_platform: Option<Text>,
    /// Which cluster of it.
    pub target_cluster: Option<Text>,
    /// Values of `inputs.…`.
    pub inputs: Bindings,
    /// Catalog files, relative to the runbook.
    pub catalogs: Vec<Text>,
    /// Applications that must stand before this one starts.
    pub requires: Vec<Requirement>,
    /// Run-scope locks.
    pub locks: Vec<LockClaim>,
    /// Who must say that the application is theirs from now on.
    pub sign_offs: Vec<SignOffDef>,
    /// Times, answers and people: what an overlay may replace.
    pub settings: Settings,
    /// The lists of steps whose keys are written; an empty list is written too.
    pub sections: BTreeMap<Section, StepList>,
    /// `rollbackCriteria`, if the key is written.
    pub rollback_criteria: Option<CriteriaList>,
}

/// A list of steps.
#[derive(Debug, Clone)]
pub struct StepList {
    /// The place of the key.
    pub key: Span,
    /// Its entries in order.
    pub entries: Vec<Entry>,
    /// An entry could not be read and is left out: what seems to be missing may have been meant.
    pub flawed: bool,
}

/// A list of criteria.
#[derive(Debug, Clone)]
pub struct CriteriaList {
    /// The place of the key.
    pub key: Span,
    /// Its entries in order.
    pub entries: Vec<CriterionEntry>,
}

/// The single values of a runbook that an overlay may replace.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `rollbackWindow` or `rollbackWindowMinutes`; a reader of runbooks insists on one of them.
    pub rollback_window: Option<Spanned<Millis>>,
    /// From when it counts.
    pub window_from: Option<Spanned<WindowFrom>>,
    /// What its end does.
    pub on_window_close: Option<Spanned<OnWindowClose>>,
    /// A reminder, never an action.
    pub keep_source: Option<Spanned<Millis>>,
    /// The approved change.
    pub change: Option<Change>,
    /// How long users may be without service.
    pub downtime_budget: Option<Spanned<Millis>>,
    /// What happens to users' writes on the way back.
    pub data_on_rollback: Option<Spanned<DataOnRollback>>,
    /// Names and numbers, as the author wrote them: a map.
    pub contacts: Option<Data>,
    /// What a failed cutover step does.
    pub on_failure: Option<Spanned<OnFailure>>,
    /// What a restart of the engine may continue by itself.
    pub on_restart: Option<OnRestart>,
    /// A rollback goes on by itself if the engine was away less than this.
    pub auto_continue_within: Option<Spanned<Millis>>,
    /// How long running attempts may take to stop before undoing begins.
    pub settle_within: Option<Spanned<Millis>>,
    /// A run whose pre-checks have not passed by then is refused.
    pub start_by: Option<Spanned<LocalTime>>,
    /// Distance of `rollbackReady` checks.
    pub rollback_ready_every: Option<Spanned<Millis>>,
}

/// `change: { id, window, zone }`.
#[derive(Debug, Clone)]
pub struct Change {
    /// The whole map.
    pub span: Span,
    /// The ticket.
    pub id: Option<Text>,
    /// The approved interval, in the zone.
    pub window: Option<Spanned<LocalInterval>>,
    /// An IANA zone, such as `Europe/Paris`; known to exist.
    pub zone: Option<Text>,
}

/// `onRestart: { resumeWithin }`.
#[derive(Debug, Clone)]
pub struct OnRestart {
    /// The whole map.
    pub span: Span,
    /// Forward work goes on by itself within this time.
    pub resume_within: Option<Spanned<Millis>>,
}

/// `dataOnRollback`.
#[derive(Debug, Clone)]
pub enum DataOnRollback {
    /// There are no writes.
    Stateless,
    /// Losing this much was accepted beforehand.
    AcceptLoss {
        /// Writes of this long.
        up_to: Spanned<Millis>,
        /// Who accepted it, and why.
        reason: Text,
    },
}

/// One entry of `requires`.
#[derive(Debug, Clone)]
pub struct Requirement {
    /// The whole map.
    pub span: Span,
    /// The application.
    pub app: Text,
    /// The state of its newest run; `accepted` if absent.
    pub state: Option<Spanned<RequiredState>>,
    /// What its rollback does to this run; `ask` if absent.
    pub on_its_rollback: Option<Spanned<OnFailure>>,
}

/// A library of definitions.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Its file.
    pub file: FileId,
    /// The whole document.
    pub span: Span,
    /// One sentence.
    pub description: Option<Text>,
    /// The platforms that it is written for; absent: used only when named.
    pub platforms: Option<CatalogFor>,
    /// How far it was tried.
    pub verified: Option<Text>,
    /// Parameters of the whole catalog, bound by inputs of the same name.
    pub params: Vec<(Text, ParamDef)>,
    /// Steps and checks.
    pub steps: Names<StepDef>,
    /// Criteria.
    pub criteria: Names<CriterionDef>,
    /// What is added unless the runbook writes the key.
    pub defaults: Defaults,
}

/// `for: { sourcePlatform, targetPlatform }`: one of them at least.
#[derive(Debug, Clone)]
pub struct CatalogFor {
    /// The whole map.
    pub span: Span,
    /// Where the application is.
    pub source_platform: Option<Text>,
    /// Where it goes.
    pub target_platform: Option<Text>,
}

/// `defaults` of a catalog.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Lists that are used unless the runbook writes the key.
    pub sections: BTreeMap<Section, StepList>,
    /// Criteria that are appended.
    pub rollback_criteria: Option<CriteriaList>,
}

/// Values for one environment, never structure.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Its file; for `--set` the argument itself.
    pub file: FileId,
    /// The whole document.
    pub span: Span,
    /// Replaces inputs of the same name, and adds others.
    pub inputs: Bindings,
    /// Replaces what it names.
    pub settings: Settings,
    /// Replaces single fields of steps, by their names.
    pub steps: Names<StepDef>,
    /// Replaces single fields of criteria, by their names.
    pub criteria: Names<CriterionDef>,
}

/// What a place has: capacities, people, channels.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its file.
    pub file: FileId,
    /// The whole document.
    pub span: Span,
    /// Lock name → how much there is, in its unit (bytes for sizes).
    pub capacities: Vec<(Text, Spanned<u64>)>,
    /// Who may answer.
    pub people: Vec<Person>,
    /// Where notices go: name → settings of the channel.
    pub channels: Bindings,
}

/// Somebody.
#[derive(Debug, Clone)]
pub struct Person {
    /// The whole map.
    pub span: Span,
    /// Login name.
    pub name: Text,
    /// Their roles.
    pub roles: Vec<Text>,
    /// How to reach them, as the author wrote it.
    pub reach: Option<Data>,
}
