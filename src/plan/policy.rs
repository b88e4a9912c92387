//! What a plan says beside its steps: window, data, people, locks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::runbook::words::Proof;
pub use crate::runbook::words::{OnFailure, OnWindowClose, WindowFrom};

/// What a failure or a trip after exposure may do about writes that users made on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DataAnswer {
    /// An undo of a step that moves data brings them home.
    ReverseSync,
    /// There are none.
    Stateless,
    /// Losing this much was accepted beforehand.
    AcceptLoss {
        /// Minutes of writes, as a duration.
        up_to_ms: u64,
        /// Who accepted it, and why.
        reason: String,
    },
    /// Nobody said: a trip asks.
    Unanswered,
}

/// The approved change and its window, as UTC milliseconds, and the zone in which people read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Start of the change window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    /// End of the change window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// An IANA zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// The times and answers of a plan. Durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// The rollback window.
    pub window_ms: u64,
    /// From when it counts.
    pub window_from: WindowFrom,
    /// What its end does.
    pub on_window_close: OnWindowClose,
    /// A reminder, never an action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_source_ms: Option<u64>,
    /// The approved change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// How long users may be without service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime_budget_ms: Option<u64>,
    /// The answer for users' writes.
    pub data: DataAnswer,
    /// What a failed cutover step does.
    pub on_failure: OnFailure,
    /// After a restart forward work goes on by itself within this time; absent: it waits for `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_within_ms: Option<u64>,
    /// After a restart a rollback goes on by itself within this time.
    pub auto_continue_within_ms: u64,
    /// How long running attempts may take to stop before undoing begins.
    pub settle_within_ms: u64,
    /// UTC milliseconds; a run whose pre-checks have not passed by then is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_by_ms: Option<i64>,
    /// Distance of `rollbackReady` checks.
    pub ready_every_ms: u64,
}

/// People decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Any of these roles.
    pub roles: Vec<String>,
    /// How many different people.
    pub quorum: u32,
    /// The one who started the run does not count.
    pub not_requester: bool,
    /// Then the answer is no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Distance of reminders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_every_ms: Option<u64>,
    /// Who is told when nobody answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalation>,
    /// Whether somebody may relay a decision given by telephone.
    #[serde(default)]
    pub relayed: bool,
    /// Irreversible steps that this approval names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<super::StepId>,
}

/// One rung of an approval's ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Escalation {
    /// Counted from the question.
    pub after_ms: u64,
    /// A role.
    pub to: String,
}

/// A person performs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manual {
    /// What to do.
    pub instructions: String,
    /// Answer fields: name → type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answer: BTreeMap<String, String>,
    /// Who may do it; empty: anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// When it should be done, counted from when it is asked for; absent: nobody said. The step's `onTimeout` says what
    /// follows then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The answer that counts then, as if a person had given it; absent: none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<BTreeMap<String, Value>>,
}

/// What is held, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockClaim {
    /// `app:…`, `vm:…`, `host:…`, `datastore:…`, `link:…`.
    pub name: String,
    /// How much of the declared capacity; absent: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take: Option<u64>,
}

impl LockClaim {
    /// Whether it is on an application, and so kept also while a run is prepared and waits for the word.
    #[must_use]
    pub fn is_application(&self) -> bool {
        self.name.starts_with("app:")
    }
}

/// Another application that must stand before this one starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// Its name.
    pub app: String,
    /// The state that its newest run must have: `accepted` or `committed`.
    pub state: String,
    /// What its rollback does to this run: `ask` or `rollback`.
    pub on_its_rollback: OnFailure,
}

/// Somebody who must say that the application is theirs from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignOff {
    /// The role.
    pub role: String,
    /// What they say.
    pub what: String,
    /// The condition of a safe end that it proves.
    #[serde(default = "ownership")]
    pub proves: Proof,
}

fn ownership() -> Proof {
    Proof::Ownership
}

/// Names, telephone numbers, bridges: as the author wrote them.
pub type Contacts = BTreeMap<String, Value>;
