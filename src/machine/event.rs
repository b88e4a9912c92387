//! What is written: facts and decisions, one [`Record`] each. An old log must replay for ever: a variant is never changed,
//! only added, with a rule in `store::format` and a golden journal. Names stand here, never places.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fact::{
    AttemptName, Cause, CriterionState, Direction, End, Failure, Found, Gap, Interruption, LockScope, LogDigest,
    Millis, Ordered, Resolution, Resolved, SkipCause, Verdict, Wait,
};
use super::question::{Former, QuestionKind};
pub use super::record::Record;
use super::run_state::RunState;
use crate::plan::{PlanHash, StepId};

/// Everything that can be written of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The plan is stored; the run exists.
    Created {
        /// The application.
        application: String,
        /// Counts the application's runs.
        number: u64,
        /// The plan.
        plan: PlanHash,
        /// Whether names given with `--as` count for four-eyes rules.
        #[serde(default)]
        trust_claimed_names: bool,
        /// When the cutover may begin by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        go_at: Option<Millis>,
    },
    /// An engine took the run.
    Owned {
        /// Grows with each owner; fences the former ones.
        epoch: u64,
        /// The machine's name.
        host: String,
        /// The engine's process.
        pid: u32,
        /// How long no engine was there; absent for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        away_ms: Option<u64>,
        /// How far the wall clock was ahead of the engine's time; absent: not at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clock_offset_ms: Option<Millis>,
        /// The id of the state directory: where its attempts are looked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Arc<str>>,
        /// Attempts of former owners that could not be proved to have ended; all others were ended.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unended: Vec<AttemptName>,
    },
    /// The run's state changed.
    Moved {
        /// To.
        to: RunState,
        /// Why.
        because: Cause,
    },
    /// Locks are asked for.
    LocksRequested {
        /// For whom.
        scope: LockScope,
    },
    /// Locks are held.
    LocksGranted {
        /// For whom.
        scope: LockScope,
    },
    /// The run is prepared and waits for the word: it gives its locks back, but that of its application.
    LocksNarrowed,
    /// Others hold them.
    LocksAwaited {
        /// For whom.
        scope: LockScope,
        /// `run (step)` that hold them.
        held_by: Vec<String>,
    },
    /// No new forward attempt until `resume`.
    Held {
        /// Whether a restart did it, not a person.
        restart: bool,
    },
    /// Forward work goes on.
    Resumed,
    /// The word for the cutover was given.
    GoGiven,
    /// A person says when, by the wall clock, it counts as given; absent: not by itself.
    GoPlanned {
        /// When.
        at: Option<Millis>,
    },
    /// That time came while nobody could begin: the word has to be given.
    GoMissed,
    /// A person must decide.
    Asked {
        /// Counts the run's questions from 1.
        question: u32,
        /// What.
        kind: QuestionKind,
    },
    /// A question is no more.
    Closed {
        /// Which.
        question: u32,
        /// The answer; absent: events overtook it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<String>,
    },
    /// Somebody wrote something down.
    Noted {
        /// What.
        text: String,
        /// Names of stored attachments.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<String>,
    },
    /// Somebody is in charge.
    InCharge {
        /// Who; absent: nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
    },
    /// A step of the open part was changed, making a new plan.
    Amended {
        /// Counts from 1.
        revision: u32,
        /// The new plan.
        plan: PlanHash,
        /// The step.
        step: StepId,
        /// What was set.
        set: BTreeMap<String, Value>,
        /// What it took the place of, and who wanted it.
        #[serde(default)]
        of: Former,
    },
    /// An attempt will be made: written before its executor is called.
    AttemptIntended {
        /// The step.
        step: StepId,
        /// Counts the step's attempts in this direction from 1.
        attempt: u32,
        /// Performing or taking back.
        direction: Direction,
        /// Of the idempotency key.
        generation: u32,
        /// When it is interrupted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Millis>,
        /// Evaluated parameters; absent: as in the plan, or as in the attempt before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Resolved>,
        /// Evaluated parameters of `verify`; absent as above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verify: Option<Resolved>,
    },
    /// Remote work can be found again.
    HandleRecorded {
        /// The step.
        step: StepId,
        /// Its attempt.
        attempt: u32,
        /// Performing or taking back.
        direction: Direction,
        /// What the executor needs.
        handle: Value,
    },
    /// The engine stops an attempt.
    Interrupted {
        /// The step.
        step: StepId,
        /// Its attempt.
        attempt: u32,
        /// Performing or taking back.
        direction: Direction,
        /// Why.
        why: Interruption,
    },
    /// An attempt ended.
    AttemptEnded {
        /// The step.
        step: StepId,
        /// Its attempt.
        attempt: u32,
        /// Performing or taking back.
        direction: Direction,
        /// How.
        end: End,
        /// Its log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<LogDigest>,
    },
    /// A result of an attempt that counts no more. Never applied.
    LateResult {
        /// The step.
        step: StepId,
        /// Its attempt.
        attempt: u32,
        /// Performing or taking back.
        direction: Direction,
        /// What it says.
        end: End,
    },
    /// Another attempt will follow.
    RetryPlanned {
        /// The step.
        step: StepId,
        /// Performing or taking back.
        direction: Direction,
        /// When.
        at: Millis,
    },
    /// The step may run now: a repeated check, or work that is known not to stand.
    Readied {
        /// The step.
        step: StepId,
        /// Whether what was done before does not stand any more.
        new_generation: bool,
    },
    /// The step's outcome is not known.
    OutcomeUnknown {
        /// The step.
        step: StepId,
        /// Performing or taking back.
        direction: Direction,
        /// What is not known.
        failure: Failure,
    },
    /// Somebody will look whether it happened.
    ProbeIntended {
        /// The step.
        step: StepId,
        /// Performing or taking back.
        direction: Direction,
        /// Evaluated parameters of the probe; absent: as in the plan, or native.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Resolved>,
    },
    /// What the probe found.
    Probed {
        /// The step.
        step: StepId,
        /// Performing or taking back.
        direction: Direction,
        /// The finding.
        found: Found,
    },
    /// Nobody performs the step.
    Skipped {
        /// The step.
        step: StepId,
        /// Why.
        over: SkipCause,
    },
    /// The step waits.
    Waiting {
        /// The step.
        step: StepId,
        /// For what.
        on: Wait,
    },
    /// A person says that they did a step by hand; its `verify` follows.
    Answered {
        /// The step.
        step: StepId,
        /// What they answered.
        outputs: Arc<Value>,
    },
    /// A person says what is the case.
    Resolved {
        /// The step.
        step: StepId,
        /// What.
        resolution: Resolution,
    },
    /// A deadline was moved.
    Extended {
        /// The step.
        step: StepId,
        /// To.
        deadline: Millis,
    },
    /// The step takes longer than its estimate.
    Overrun {
        /// The step.
        step: StepId,
        /// Until its deadline, which is the latest that it may end by itself; absent in logs of before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_ms: Option<u64>,
    },
    /// Most of the time of something is used up whose deadline asks people: they can give it more before it does.
    TimeShort {
        /// The step.
        step: StepId,
        /// Performing or taking back.
        direction: Direction,
        /// What is left.
        left_ms: u64,
    },
    /// One person approved.
    Approved {
        /// The approval.
        step: StepId,
        /// In which role.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// Whether the quorum is reached.
        complete: bool,
    },
    /// The answer is no.
    Denied {
        /// The approval.
        step: StepId,
        /// Nobody answered in time.
        expired: bool,
    },
    /// A person lets an irreversible step pass.
    IrreversibleApproved {
        /// The step.
        step: StepId,
    },
    /// A value was captured before the cut.
    BaselineCaptured {
        /// Its name.
        name: String,
        /// The value.
        value: Value,
    },
    /// The window is open.
    WindowOpened {
        /// Absolute, stored once.
        deadline: Millis,
    },
    /// A person moved the deadline; criteria are armed again.
    WindowExtended {
        /// The new one.
        deadline: Millis,
    },
    /// The deadline passed.
    WindowExpired {
        /// Whether an engine in `observing` saw it pass.
        watched: bool,
    },
    /// The gate was judged.
    GateJudged {
        /// What is missing; empty: met.
        gaps: Vec<Gap>,
    },
    /// A criterion will be sampled.
    SamplePlanned {
        /// The criterion.
        criterion: Arc<str>,
        /// When it was due.
        planned: Millis,
        /// Evaluated parameters; absent: as in the plan, or as in the sample before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        call: Option<Resolved>,
    },
    /// A criterion was sampled.
    Sampled {
        /// The criterion.
        criterion: Arc<str>,
        /// When it was due.
        planned: Millis,
        /// What it says.
        verdict: Verdict,
        /// What was measured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Arc<Value>>,
    },
    /// A criterion changed its state.
    CriterionMoved {
        /// The criterion.
        criterion: Arc<str>,
        /// To.
        to: CriterionState,
    },
    /// A trip asks instead of acting, for a while.
    Disarmed {
        /// The criterion.
        criterion: Arc<str>,
        /// Until.
        until: Millis,
    },
    /// A trip acts again.
    Armed {
        /// The criterion.
        criterion: Arc<str>,
    },
    /// Somebody said that it is theirs.
    SignedOff {
        /// In which role.
        role: String,
    },
    /// Whether the way back is open.
    WayBack {
        /// All readiness checks pass.
        open: bool,
    },
    /// The run will go back: written before anything is stopped.
    RollbackDecided {
        /// Why.
        because: Cause,
        /// What cannot be proved stopped by then is not undone.
        settle_by: Millis,
        /// The final state that it leads to.
        ends: RunState,
    },
    /// What will be undone, in order: written before the first undo.
    RollbackOrdered {
        /// Brings users back.
        restore: Vec<Ordered>,
        /// Removes what was built.
        cleanup: Vec<Ordered>,
        /// Had an effect and stays applied, with the reason.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        stays: Vec<(StepId, String)>,
    },
    /// A part of a step happened: it is taken back before the step is tried again.
    PartialUndoOrdered {
        /// The step.
        step: StepId,
    },
    /// Nothing to do for this undo.
    UndoNotNeeded {
        /// The step.
        step: StepId,
        /// Why.
        why: String,
    },
    /// A person goes on without it.
    UndoWaived {
        /// The step.
        step: StepId,
    },
    /// A person did it by hand.
    UndoDoneByHand {
        /// The step.
        step: StepId,
    },
    /// Only a person can do it, and was asked.
    UndoLeftToPerson {
        /// The step.
        step: StepId,
    },
    /// It will be tried again.
    UndoReadied {
        /// The step.
        step: StepId,
    },
    /// It failed for good.
    UndoFailed {
        /// The step.
        step: StepId,
        /// Why.
        failure: Failure,
    },
    /// The source serves, and it was checked.
    ServiceRestored,
    /// The rollback goes on after a long absence.
    RollbackContinued,
    /// The wall clock jumped.
    ClockJumped {
        /// Forwards if positive.
        by_ms: i64,
    },
    /// A person confirmed the wall clock.
    ClockConfirmed,
    /// The store could not write for a while.
    StoreGap {
        /// How long.
        gap_ms: u64,
    },
    /// The last moment to start back was worked out.
    TurnBackPlanned {
        /// Wall time.
        at: Millis,
    },
    /// The turn-back time comes soon.
    TurnBackNear,
    /// The turn-back time came.
    TurnBackReached,
    /// A person goes on past the turn-back time.
    TurnBackWaived,
    /// The steps that were undone run again, after an irreversible one.
    ForwardAgain,
    /// The run ends, and this stays.
    Residue {
        /// Steps that stay applied, with a word on each.
        left: Vec<(StepId, String)>,
    },
}
