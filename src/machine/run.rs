//! What a run is at one moment: `fold(apply, events)`, nothing else.
//!
//! Read freely, changed only by `apply`. The sets beside the steps (`ready`, `live`, `timers`)
//! are an index of the steps' values, kept by `apply` and compared with them by `invariants`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::apply::Illegal;
use super::event::{Event, Record};
use super::fact::{Actor, Cause, CriterionState, Direction, Gap, Millis};
use super::question::Question;
use super::run_state::RunState;
use super::state::{Forward, Status, StepRecord, UndoState};
use super::timers::Timers;
use super::turns::Line;
use super::unended::{AttemptKey, Loose};
use super::window::{Samples, Window};
use crate::plan::policy::LockClaim;
use crate::plan::{Plan, Section, Stage, StepIx};

/// No new forward attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// A restart did it.
    pub restart: bool,
    /// Who.
    pub by: Option<Actor>,
    /// Since when.
    pub since: Millis,
}

/// One undo of the ordered rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whose.
    pub step: StepIx,
    /// Its stage.
    pub stage: Option<Stage>,
    /// End before it.
    pub after: Vec<StepIx>,
    /// Must have gone well before it.
    pub blocked_by: Vec<StepIx>,
}

/// The way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollback {
    /// Why.
    pub because: Cause,
    /// Since when.
    pub decided: Millis,
    /// What cannot be proved stopped by then is not undone.
    pub settle_by: Millis,
    /// The final state that it leads to.
    pub ends: RunState,
    /// Whether the undos are ordered.
    pub ordered: bool,
    /// Brings users back, in order.
    pub restore: Vec<Turn>,
    /// Removes what was built, in order.
    pub cleanup: Vec<Turn>,
    /// Stays applied, with the reason.
    pub stays: Vec<(StepIx, String)>,
    /// When the source was verified.
    pub restored: Option<Millis>,
    /// Where each turn stands; an index of the steps' values.
    pub(super) line: Line,
}

/// Where the run stands with its locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locks {
    /// Not asked for.
    None,
    /// Asked for.
    Requested,
    /// Others hold them.
    Awaited(Vec<String>),
    /// Held.
    Held,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it executes: the newest revision.
    pub plan: Arc<Plan>,
    /// The plan with which it began.
    pub first_plan: Arc<Plan>,
    /// Amendments so far.
    pub revision: u32,
    /// `application/number`.
    pub name: Arc<str>,
    /// Who started it.
    pub requester: Option<Actor>,
    /// Names given with `--as` count for four-eyes rules.
    pub trust_claimed_names: bool,
    /// When the cutover may begin by itself.
    pub go_at: Option<Millis>,
    /// The word is waited for, also where nothing is prepared: somebody named a time, once.
    pub waits_for_word: bool,
    /// The time at which it would have begun by itself, and could not.
    pub go_missed: Option<Millis>,
    /// When it was created.
    pub created: Millis,
    /// Of its newest event.
    pub updated: Millis,
    /// Events so far.
    pub sequence: u64,
    /// Of its owner.
    pub epoch: u64,
    /// Where it stands.
    pub state: RunState,
    /// Since when.
    pub since: Millis,
    /// Why.
    pub because: Option<Cause>,
    /// The state that `deciding` left; [`Run::stands_in`] asks for either.
    pub left: Option<RunState>,
    /// One value each, by place.
    pub steps: Vec<StepRecord>,
    /// Forward steps that may run.
    pub ready: BTreeSet<StepIx>,
    /// Steps with an attempt under way.
    pub live: BTreeSet<(StepIx, Direction)>,
    /// Attempts of which nobody proved that they ended, those of `live` among them.
    pub unended: BTreeMap<AttemptKey, Loose>,
    /// The id of the state directory that its owner works in; absent in the logs of older releases.
    pub place: Option<Arc<str>>,
    /// When it heard last that an application that it needs went back.
    pub heard: BTreeMap<String, Millis>,
    /// Steps of which somebody finds out what happened.
    pub probing: BTreeSet<(StepIx, Direction)>,
    /// Steps that hold locks of their own, or ask for them.
    pub locking: BTreeSet<StepIx>,
    /// Steps of which a part is taken back before they are tried again.
    pub partial: BTreeSet<StepIx>,
    /// Steps of each section that are not done.
    pub open: BTreeMap<Section, usize>,
    /// What is due when.
    pub timers: Timers,
    /// No new forward attempt.
    pub hold: Option<Hold>,
    /// The word was given.
    pub go: bool,
    /// Open questions.
    pub questions: BTreeMap<u32, Question>,
    /// Questions ever asked.
    pub asked: u32,
    /// Intent of the exposing step: from here the run counts as possibly exposed.
    pub possibly_exposed: Option<Millis>,
    /// Success of the exposing step.
    pub exposed: Option<Millis>,
    /// The first effect of the cutover was intended.
    pub first_effect: Option<Millis>,
    /// The first preparation effect was intended.
    pub prepared_effect: bool,
    /// A commit step was intended.
    pub commit_intended: bool,
    /// An irreversible step was intended.
    pub irreversible: Option<StepIx>,
    /// The source went down.
    pub down_since: Option<Millis>,
    /// Users have service again, at the target or back at the source.
    pub up_since: Option<Millis>,
    /// The window.
    pub window: Option<Window>,
    /// By place in the plan.
    pub criteria: Vec<Samples>,
    /// Captured before the cut.
    pub baseline: BTreeMap<String, Value>,
    /// Roles that signed off.
    pub signed_off: BTreeMap<String, Option<Actor>>,
    /// Whether the way back is open, and when that was seen.
    pub way_back: Option<(bool, Millis)>,
    /// Pre-checks that run again before the next effect.
    pub rechecking: BTreeSet<StepIx>,
    /// The way back.
    pub rollback: Option<Rollback>,
    /// The newest judgement of the gate.
    pub gate: Option<Vec<Gap>>,
    /// Of the run.
    pub locks: Locks,
    /// Those of them that are given back while the run is prepared.
    pub rest: Locks,
    /// Who is in charge.
    pub in_charge: Option<String>,
    /// The wall clock is in doubt.
    pub clock_in_doubt: bool,
    /// How far the wall clock is ahead of the engine's time.
    pub clock_offset: Millis,
    /// The last moment to start back, by the wall clock; absent: unknown, or no change window.
    pub turn_back: Option<Millis>,
    /// The turn-back time was passed by a person's word.
    pub turn_back_waived: bool,
    /// What stays, if a person closed it.
    pub residue: Vec<(StepIx, String)>,
}

impl Run {
    /// A run at its first record, which must be `created` for this plan.
    ///
    /// # Errors
    /// Another event, or another plan.
    pub fn begin(plan: Arc<Plan>, record: &Record) -> Result<Self, Illegal> {
        let Event::Created { application, number, plan: hash, trust_claimed_names, go_at } = &record.event else {
            return Err(Illegal::Needs { event: record.event.word(), needs: "`created` before it" });
        };
        if hash != plan.hash() {
            return Err(Illegal::Needs { event: "created", needs: "the plan that it names" });
        }
        let waits: Vec<u32> =
            (0..plan.steps.len()).map(|ix| u32::try_from(plan.dag().parent_count(ix)).unwrap_or(u32::MAX)).collect();
        let ready = waits.iter().enumerate().filter(|(_, waits)| **waits == 0).map(|(ix, _)| ix).collect();
        let open = Section::ALL.into_iter().map(|section| (section, plan.section(section).len())).collect();
        Ok(Self {
            name: format!("{application}/{number}").into(),
            requester: record.by.clone(),
            trust_claimed_names: *trust_claimed_names,
            go_at: *go_at,
            waits_for_word: go_at.is_some(),
            go_missed: None,
            revision: 0,
            created: record.at,
            updated: record.at,
            sequence: 1,
            epoch: 0,
            state: RunState::Created,
            since: record.at,
            because: None,
            left: None,
            steps: waits.into_iter().map(StepRecord::new).collect(),
            ready,
            live: BTreeSet::new(),
            unended: BTreeMap::new(),
            place: None,
            heard: BTreeMap::new(),
            probing: BTreeSet::new(),
            locking: BTreeSet::new(),
            partial: BTreeSet::new(),
            open,
            timers: Timers::default(),
            hold: None,
            go: false,
            questions: BTreeMap::new(),
            asked: 0,
            possibly_exposed: None,
            exposed: None,
            first_effect: None,
            prepared_effect: false,
            commit_intended: false,
            irreversible: None,
            down_since: None,
            up_since: None,
            window: None,
            criteria: vec![Samples::default(); plan.criteria.len()],
            baseline: BTreeMap::new(),
            signed_off: BTreeMap::new(),
            way_back: None,
            rechecking: BTreeSet::new(),
            rollback: None,
            gate: None,
            locks: Locks::None,
            rest: Locks::None,
            in_charge: None,
            clock_in_doubt: false,
            clock_offset: 0,
            turn_back: None,
            turn_back_waived: false,
            residue: Vec::new(),
            first_plan: plan.clone(),
            plan,
        })
    }

    /// The state it is in; while people decide, the one that their questions hold up.
    #[must_use]
    pub fn stands_in(&self) -> RunState {
        self.left.unwrap_or(self.state)
    }

    /// A step's record.
    ///
    /// # Panics
    /// For a place of another plan, which is a bug of ours.
    #[must_use]
    pub fn step(&self, ix: StepIx) -> &StepRecord {
        self.steps.get(ix).expect("a step's place belongs to the run's plan")
    }

    /// A step's forward value, also when it is on its way back.
    #[must_use]
    pub fn forward(&self, ix: StepIx) -> &Forward {
        match &self.step(ix).status {
            Status::Forward(forward) => forward,
            Status::Undo { of, .. } => of,
        }
    }

    /// A step's undo, if it is on its way back.
    #[must_use]
    pub fn undo(&self, ix: StepIx) -> Option<&UndoState> {
        match &self.step(ix).status {
            Status::Forward(_) => None,
            Status::Undo { state, .. } => Some(state),
        }
    }

    /// Whether a trip may still act by itself: exposed, inside the window, nothing irreversible.
    #[must_use]
    pub fn window_open(&self, now: Millis) -> bool {
        match &self.window {
            Some(window) => window.expired.is_none() && now < window.deadline,
            // Exposed but counted from the end of the cutover: open until then.
            None => self.possibly_exposed.is_some(),
        }
    }

    /// Whether every lock is held that the cutover needs: a prepared run gave some of them back.
    #[must_use]
    pub fn holds_the_rest(&self) -> bool {
        self.rest == Locks::Held || self.plan.locks.iter().all(LockClaim::is_application)
    }

    /// The newest state of a criterion.
    #[must_use]
    pub fn criterion(&self, ix: usize) -> CriterionState {
        self.criteria.get(ix).map_or(CriterionState::Waiting, |samples| samples.state)
    }
}
