//! What is sent to the socket and what comes back, beside the views.
//!
//! A person's verb travels as [`VerbRequest`]; the server alone turns it into the machine's [`Verb`], with the
//! authenticated peer as its actor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Verb;
use crate::machine::fact::{Left, Millis};
use crate::plan::{History, PlanHash, StepId};
use crate::view::EventView;

/// A person's verb, as it is sent. One key: the verb.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum VerbBody {
    /// The word for the cutover.
    Go,
    /// The same at a time by the wall clock.
    GoAt {
        /// When; absent: not by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Millis>,
    },
    /// Other values for a step that is not done.
    Amend {
        /// The step.
        step: String,
        /// What is set: `with.NAME`, `timeout`, `retry.attempts`, … and the same behind `undo.`.
        set: BTreeMap<String, Value>,
        /// The SHA-256 of the plan that is changed.
        plan: String,
    },
    /// Ends every kind of stop.
    Resume,
    /// No new forward attempt.
    Pause,
    /// More time for a running step.
    Extend {
        /// The step.
        step: String,
        /// How much.
        by_ms: u64,
    },
    /// Another attempt.
    Retry {
        /// The step.
        step: String,
    },
    /// Goes on without a step.
    Skip {
        /// The step.
        step: String,
    },
    /// Goes on without a check.
    Waive {
        /// The check.
        step: String,
        /// In which role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// It happened.
    Happened {
        /// The step.
        step: String,
        /// Its outputs.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, Value>,
        /// In which role, where a step by hand is certain people's to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// It did not happen.
    DidNotHappen {
        /// The step.
        step: String,
    },
    /// It failed.
    ItFailed {
        /// The step.
        step: String,
        /// Nothing can have been left behind.
        #[serde(default)]
        nothing_left: bool,
    },
    /// Looks once more whether it happened.
    ProbeAgain {
        /// The step.
        step: String,
    },
    /// Yes.
    Approve {
        /// The approval, or the irreversible step.
        step: String,
        /// In which role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
    },
    /// No.
    Reject {
        /// The approval.
        step: String,
    },
    /// Ends a run that touched nothing, or only prepared.
    Cancel,
    /// Goes back.
    Rollback,
    /// Goes on with an interrupted rollback.
    ContinueRollback,
    /// Another try of an undo.
    UndoRetry {
        /// The step.
        step: String,
    },
    /// Goes on without an undo.
    UndoWaive {
        /// The step.
        step: String,
    },
    /// An undo was done by hand.
    UndoDone {
        /// The step.
        step: String,
    },
    /// Moves the window's deadline.
    WindowExtend {
        /// How much.
        by_ms: u64,
    },
    /// The way back goes.
    Commit,
    /// Takes the target as it is.
    Accept,
    /// Ends it as it stands.
    Close,
    /// After an irreversible step: forward again.
    ForwardAgain,
    /// Goes on past a question.
    GoOn {
        /// The question.
        question: u32,
    },
    /// Writes something down.
    Note {
        /// What.
        text: String,
    },
    /// Takes charge, or hands it over.
    InCharge {
        /// To whom; absent: to nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
    /// A trip asks for a while.
    Disarm {
        /// The criterion.
        criterion: String,
        /// For how long.
        for_ms: u64,
    },
    /// It is ours from now on.
    SignOff {
        /// In which role.
        role: String,
    },
    /// The wall clock is right.
    ConfirmClock,
}

impl VerbBody {
    /// The machine's verb.
    #[must_use]
    pub fn into_verb(self) -> Verb {
        let id = |step: String| StepId::from(step);
        match self {
            Self::Go => Verb::Go,
            Self::GoAt { at } => Verb::GoAt { at },
            Self::Amend { step, set, plan } => Verb::Amend { step: id(step), set, plan: PlanHash::from(plan) },
            Self::Resume => Verb::Resume,
            Self::Pause => Verb::Pause,
            Self::Extend { step, by_ms } => Verb::Extend { step: id(step), by_ms },
            Self::Retry { step } => Verb::Retry { step: id(step) },
            Self::Skip { step } => Verb::Skip { step: id(step) },
            Self::Waive { step, role } => Verb::Waive { step: id(step), role },
            Self::Happened { step, outputs, role } => Verb::Happened { step: id(step), outputs, role },
            Self::DidNotHappen { step } => Verb::DidNotHappen { step: id(step) },
            Self::ItFailed { step, nothing_left } => {
                Verb::ItFailed { step: id(step), left: if nothing_left { Left::Nothing } else { Left::Possible } }
            }
            Self::ProbeAgain { step } => Verb::ProbeAgain { step: id(step) },
            Self::Approve { step, role } => Verb::Approve { step: id(step), role },
            Self::Reject { step } => Verb::Reject { step: id(step) },
            Self::Cancel => Verb::Cancel,
            Self::Rollback => Verb::Rollback,
            Self::ContinueRollback => Verb::ContinueRollback,
            Self::UndoRetry { step } => Verb::UndoRetry { step: id(step) },
            Self::UndoWaive { step } => Verb::UndoWaive { step: id(step) },
            Self::UndoDone { step } => Verb::UndoDone { step: id(step) },
            Self::WindowExtend { by_ms } => Verb::WindowExtend { by_ms },
            Self::Commit => Verb::Commit,
            Self::Accept => Verb::Accept,
            Self::Close => Verb::Close,
            Self::ForwardAgain => Verb::ForwardAgain,
            Self::GoOn { question } => Verb::GoOn { question },
            Self::Note { text } => Verb::Note { text, attachments: Vec::new() },
            Self::InCharge { who } => Verb::InCharge { who },
            Self::Disarm { criterion, for_ms } => Verb::Disarm { criterion, for_ms },
            Self::SignOff { role } => Verb::SignOff { role },
            Self::ConfirmClock => Verb::ConfirmClock,
        }
    }
}

/// A verb and its circumstances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerbRequest {
    /// What.
    pub verb: VerbBody,
    /// The name that the person gives; recorded as claimed.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the person's program calls this request; it stands in the events, so that a lost answer can be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Only tells what would be written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
}

/// What a verb came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerbAnswer {
    /// The run.
    pub run: String,
    /// The state that it was in, for a preview; that it is in now, otherwise.
    pub state: String,
    /// Nothing was written: this only tells what would be.
    pub preview: bool,
    /// Nobody executes the run: the decision waits for an engine.
    #[serde(default)]
    pub no_engine: bool,
    /// Attempts, as `step (forward-1)`, of an engine that is gone and of which nobody proved that they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_run: Vec<String>,
    /// The version of the run once the decision was durable.
    pub version: u64,
    /// The events that it wrote, or would write first.
    pub events: Vec<EventView>,
}

/// A run to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRunRequest {
    /// The plan's hash.
    pub plan_hash: String,
    /// The plan's canonical JSON.
    pub plan: Box<serde_json::value::RawValue>,
    /// The name that the person gives.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Names given with `--as` count for four-eyes rules.
    #[serde(default)]
    pub trust_claimed_names: bool,
    /// When the cutover begins by itself, by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_at: Option<Millis>,
}

/// The created run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunCreated {
    /// `application/number`.
    pub run: String,
}

/// How long the steps of an application took: the median of each one's newest durations, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// By step.
    pub steps: BTreeMap<StepId, u64>,
    /// The undos, by step.
    pub undos: BTreeMap<StepId, u64>,
}

impl Measured {
    /// As it is sent.
    #[must_use]
    pub fn of(history: History) -> Self {
        let History { steps, undos } = history;
        Self { steps, undos }
    }

    /// As estimates want it.
    #[must_use]
    pub fn into_history(self) -> History {
        let Self { steps, undos } = self;
        History { steps, undos }
    }
}

/// A run that was open when the engine started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdoptedView {
    /// Which.
    pub run: String,
    /// The state in which it was found.
    pub state: String,
    /// How long no engine was there.
    pub away_ms: u64,
    /// Users have service since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_since_at: Option<Millis>,
    /// Users are without service since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_since_at: Option<Millis>,
    /// What was in flight and was ended first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_attempts: Vec<String>,
}

/// The owner of the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The program's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The state directory.
    pub state: String,
    /// The folder from which relative paths of steps are seen.
    #[serde(default)]
    pub folder: String,
    /// Since when, by elapsed time as all times of runs.
    pub started_at: Millis,
    /// It ends when its runs have no work: not a foreground process of a person.
    pub detached: bool,
    /// What was open when it started.
    pub adopted: Vec<AdoptedView>,
    /// What dead engines had left running of runs that are over, by run: it was ended first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ended: BTreeMap<String, Vec<String>>,
    /// What was cut or found damaged when the journal was opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// What is wrong with the engine as a whole now: its disk is full, its outlets fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
}
