//! The closed vocabularies of the documents: one enum per set of words.
//!
//! The plan uses the same enums, so a word has one spelling and one meaning. This module never interprets
//! a word. Start with [`Section`], then [`Effect`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::duration;

/// A set of words that a key accepts.
pub trait Word: Sized + Copy + 'static {
    /// Each word as the author writes it, with its value.
    const WORDS: &'static [(&'static str, Self)];
}

/// The list of the runbook in which a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    /// `preChecks`: before anything is touched; in parallel.
    PreCheck,
    /// `prepareSteps`: before the change window.
    Prepare,
    /// `cutoverSteps`.
    Cutover,
    /// `postChecks`: in parallel after the last cutover step.
    PostCheck,
    /// `rollbackFence`: stops writes on the target, first thing of a restore after exposure.
    Fence,
    /// `rollbackReady`: proves every five minutes that the way back is open.
    Ready,
    /// `rollbackChecks`: proves that the source serves, between restore and clean-up.
    RollbackCheck,
    /// `commitSteps`: the point of no return.
    Commit,
}

impl Section {
    /// All sections in the order in which a run meets them.
    pub const ALL: [Self; 8] = [
        Self::PreCheck,
        Self::Prepare,
        Self::Cutover,
        Self::PostCheck,
        Self::Fence,
        Self::Ready,
        Self::RollbackCheck,
        Self::Commit,
    ];

    /// The key of the runbook.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::PreCheck => "preChecks",
            Self::Prepare => "prepareSteps",
            Self::Cutover => "cutoverSteps",
            Self::PostCheck => "postChecks",
            Self::Fence => "rollbackFence",
            Self::Ready => "rollbackReady",
            Self::RollbackCheck => "rollbackChecks",
            Self::Commit => "commitSteps",
        }
    }

    /// Whether its steps only look.
    #[must_use]
    pub fn is_check(self) -> bool {
        match self {
            Self::PreCheck | Self::PostCheck | Self::Ready | Self::RollbackCheck => true,
            Self::Prepare | Self::Cutover | Self::Fence | Self::Commit => false,
        }
    }

    /// Whether its steps are undone by a rollback.
    #[must_use]
    pub fn is_undone(self) -> bool {
        matches!(self, Self::Prepare | Self::Cutover)
    }

    /// What stands before the name of a step of this section in its id.
    #[must_use]
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Fence => "fence:",
            Self::Ready => "ready:",
            Self::RollbackCheck => "restored:",
            Self::PreCheck | Self::Prepare | Self::Cutover | Self::PostCheck | Self::Commit => "",
        }
    }
}

/// What a step does to the world; decides what happens to an interrupted attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Reads only: runs again.
    None,
    /// Running twice is as running once: runs again with the same key.
    Idempotent,
    /// A probe decides.
    Probe,
    /// Nothing is known: a person decides. The default of every bare command.
    Once,
}

impl Word for Effect {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("idempotent", Self::Idempotent), ("probe", Self::Probe), ("once", Self::Once)];
}

/// What happens when an attempt runs out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnTimeout {
    /// The attempt is interrupted.
    Fail,
    /// A person is asked; nothing is cancelled.
    Ask,
}

impl Word for OnTimeout {
    const WORDS: &'static [(&'static str, Self)] = &[("fail", Self::Fail), ("ask", Self::Ask)];
}

/// What a failed cutover step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// Rolls back.
    Rollback,
    /// Asks.
    Ask,
}

impl Word for OnFailure {
    const WORDS: &'static [(&'static str, Self)] = &[("rollback", Self::Rollback), ("ask", Self::Ask)];
}

/// From when the window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WindowFrom {
    /// From the success of the exposing step.
    Exposure,
    /// From the success of the last cutover step.
    CutoverEnd,
}

impl Word for WindowFrom {
    const WORDS: &'static [(&'static str, Self)] = &[("exposure", Self::Exposure), ("cutoverEnd", Self::CutoverEnd)];
}

/// What happens when the window closes with its gate met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnWindowClose {
    /// The run is accepted; the source is kept.
    Accept,
    /// The run is accepted and committed.
    Commit,
}

impl Word for OnWindowClose {
    const WORDS: &'static [(&'static str, Self)] = &[("accept", Self::Accept), ("commit", Self::Commit)];
}

/// What a trip does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CriterionAction {
    /// Rolls back by itself where the plan answers for the data.
    Rollback,
    /// Asks a person.
    Ask,
}

impl Word for CriterionAction {
    const WORDS: &'static [(&'static str, Self)] = &[("rollback", Self::Rollback), ("ask", Self::Ask)];
}

/// One of the four conditions of a safe end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Proof {
    /// Health is stable.
    Health,
    /// Data is consistent.
    Data,
    /// A backup ran on the target.
    Backup,
    /// Ownership was taken over.
    Ownership,
}

impl Word for Proof {
    const WORDS: &'static [(&'static str, Self)] =
        &[("health", Self::Health), ("data", Self::Data), ("backup", Self::Backup), ("ownership", Self::Ownership)];
}

/// The platform that a catalog's step belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Side {
    /// Where the application is today.
    Source,
    /// Where it goes.
    Target,
    /// Neither: DNS, load balancer, monitoring.
    Neutral,
}

impl Word for Side {
    const WORDS: &'static [(&'static str, Self)] =
        &[("source", Self::Source), ("target", Self::Target), ("neutral", Self::Neutral)];
}

/// The part of a platform that a step works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// Monitoring, DNS, load balancing, people.
    Operational,
    /// Copies and restores.
    Backup,
    /// Accounts, certificates, policies.
    Identity,
    /// Machines, disks, networks.
    Compute,
}

impl Word for Layer {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("operational", Self::Operational),
        ("backup", Self::Backup),
        ("identity", Self::Identity),
        ("compute", Self::Compute),
    ];
}

/// The state that a required application's newest run must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RequiredState {
    /// Its window is over and its gate was met.
    Accepted,
    /// Its way back is gone.
    Committed,
}

impl Word for RequiredState {
    const WORDS: &'static [(&'static str, Self)] = &[("accepted", Self::Accepted), ("committed", Self::Committed)];
}

/// The type of a catalog's parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParamType {
    /// Any text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// An absolute `http://` or `https://` address.
    Url,
    /// A duration such as `90s`.
    Duration,
    /// A list.
    List,
    /// A map.
    Map,
}

impl ParamType {
    /// What a value should be, if it is not.
    #[must_use]
    pub fn expected_instead_of(self, value: &Value) -> Option<&'static str> {
        let fits = match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Url => value.as_str().is_some_and(is_url),
            Self::Duration => value.as_str().is_some_and(|text| duration::parse(text).is_ok()),
            Self::List => value.is_array(),
            Self::Map => value.is_object(),
        };
        let expected = match self {
            Self::String => "text",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "`true` or `false`",
            Self::Url => "an address that begins with `http://` or `https://`",
            Self::Duration => "a duration such as `90s`",
            Self::List => "a list",
            Self::Map => "a map",
        };
        (!fits).then_some(expected)
    }

    /// Some value of this type, for examples.
    #[must_use]
    pub fn example(self) -> Value {
        match self {
            Self::String => json!("…"),
            Self::Integer | Self::Number => json!(0),
            Self::Boolean => json!(true),
            Self::Url => json!("https://…"),
            Self::Duration => json!("1m"),
            Self::List => json!([]),
            Self::Map => json!({}),
        }
    }
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}

impl Word for ParamType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("string", Self::String),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("url", Self::Url),
        ("duration", Self::Duration),
        ("list", Self::List),
        ("map", Self::Map),
    ];
}

/// Whether somebody may relay a decision given by telephone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Relay {
    /// The one who relays is recorded beside the one who decided.
    Allowed,
    /// Everybody answers for themselves.
    Refused,
}

impl Word for Relay {
    const WORDS: &'static [(&'static str, Self)] = &[("allowed", Self::Allowed), ("refused", Self::Refused)];
}

/// The word that a value stands for, as its author writes it.
#[must_use]
pub fn spelling<W: Word + PartialEq>(word: W) -> &'static str {
    W::WORDS.iter().find(|(_, value)| *value == word).map_or("", |(text, _)| text)
}
