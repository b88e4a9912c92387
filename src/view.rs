//! The only JSON shapes that leave the process: what a run looks like to people and programs.
//!
//! Pure functions from a [`Run`] and the time. Instants are milliseconds since 1970 UTC and end in `At`, lengths
//! are milliseconds and end in `Ms`; whoever shows them uses [`RunView::zone`]. The command line, the socket, the
//! report and `--json` all read these types, so they never disagree. Nothing here decides anything, and nothing of
//! a step's parameters or outputs is shown. Start with [`RunView::of`] and [`EventView::of`].

mod answers;
mod criterion;
mod event;
mod event_text;
mod next;
mod offer;
mod over;
pub mod plan;
mod question;
mod rollback;
mod service;
mod step;
mod unended;
pub mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use criterion::{CriterionView, SampleView};
pub use event::{EventView, Level, Place};
pub use next::NextCommand;
pub use offer::Engine;
pub use over::Over;
pub use plan::PlanView;
pub use question::{AnswerView, QuestionView, sentence};
pub use rollback::{LeftView, RollbackView, UndoView};
pub use service::{ChangeView, DataView, ServiceView, Times, WayBackView, WindowView};
pub use step::{FailureView, StepView, WaitView};
pub use unended::unended;

use crate::machine::fact::{CriterionState, Millis, Wait};
use crate::machine::run::{Locks, Run};
use crate::machine::run_state::{Ending, RunState};
use crate::machine::state::{Forward, Status, StepRecord, UndoState};
use crate::machine::timers::Timer;
use crate::machine::{Now, gaps};
use crate::plan::{Section, StepIx};

/// What is known of a running attempt beside its events. Lossy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// Done so far, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// All there is to do, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// `bytes`, `files`, `requests`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// The last line that it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_line: Option<String>,
}

/// Progress by the name of the step.
pub type ProgressMap = BTreeMap<String, ProgressView>;

/// No new forward attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldView {
    /// A restart of the engine did it, not a person.
    pub restart: bool,
    /// An interrupt of the engine's process did it: somebody wanted the process to end, not the run to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when.
    pub since_at: Millis,
}

/// A sign-off that the gate asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignOffView {
    /// The role.
    pub role: String,
    /// What they say.
    pub what: String,
    /// Whether it was given.
    pub given: bool,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSummary {
    /// `application/number`.
    pub run: String,
    /// The application.
    pub application: String,
    /// Counts the application's runs.
    pub number: u64,
    /// The label of a wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u64>,
    /// The word of its state: `cutting_over`.
    pub state: String,
    /// What it does, in one line.
    pub doing: String,
    /// Since when it is in its state.
    pub since_at: Millis,
    /// When it was created.
    pub created_at: Millis,
    /// Its newest event.
    pub updated_at: Millis,
    /// No event changes it any more.
    pub is_final: bool,
    /// A person must act.
    pub needs_person: bool,
    /// An engine executes it now. The view of a run that is read from files alone says no.
    pub executed: bool,
    /// An engine has something to do for it without a person: an attempt, a timer, an open window.
    pub working: bool,
    /// It is held: forward work waits for `resume`.
    pub held: bool,
    /// Open questions.
    pub open_questions: usize,
    /// Steps of the cutover that are done, and all of them.
    pub cutover_done: usize,
    /// See above.
    pub cutover_steps: usize,
    /// The window's deadline while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_deadline_at: Option<Millis>,
    /// How a process that executes it would end now; absent while it goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
    /// Why it cannot be shown: its log is damaged and waits for `repair`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// A run, as people and programs see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    /// What a list shows too.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// The plan's SHA-256.
    pub plan: String,
    /// How often it was amended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// When the cutover begins by itself, by the wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_at: Option<Millis>,
    /// When it would have begun by itself, and could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_missed_at: Option<Millis>,
    /// Where it comes from.
    pub source_platform: String,
    /// Where it goes.
    pub target_platform: String,
    /// Events so far.
    pub sequence: u64,
    /// The time of this view.
    pub now_at: Millis,
    /// The zone in which people read its times, if the plan says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Why it is in its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The state that `deciding` left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// Who is in charge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_charge: Option<String>,
    /// Names given with `--as` count for four-eyes rules.
    pub trust_claimed_names: bool,
    /// No new forward attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldView>,
    /// The wall clock is in doubt: what depends on it waits for `confirm-clock`.
    pub clock_in_doubt: bool,
    /// How far the wall clock is ahead of the times shown, which count what elapsed; behind if negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Runs that hold its locks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks_held_by: Vec<String>,
    /// Where users are served.
    pub service: ServiceView,
    /// What a rollback means for users' writes.
    pub data: DataView,
    /// What is estimated.
    pub times: Times,
    /// The approved change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeView>,
    /// The rollback window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
    /// Whether the way back was seen open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way_back: Option<WayBackView>,
    /// Open questions, oldest first.
    pub questions: Vec<QuestionView>,
    /// All steps, section by section.
    pub steps: Vec<StepView>,
    /// The rollback criteria.
    pub criteria: Vec<CriterionView>,
    /// What the gate lacks now; only after exposure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<String>,
    /// Sign-offs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sign_offs: Vec<SignOffView>,
    /// The way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RollbackView>,
    /// What stays applied at the end, with how to remove it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<LeftView>,
    /// The commands that are legal now.
    pub next: Vec<NextCommand>,
    /// What is wrong with its engine as a whole now; empty without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
    /// Attempts, as `step (forward-1)`, that an engine that is gone had begun and of which nobody proved that they ended:
    /// the next engine looks for them first. Known only without an engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_run: Vec<String>,
}

impl RunSummary {
    /// The summary of a run.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        let cutover = run.plan.section(Section::Cutover);
        let done = cutover.clone().filter(|ix| run.forward(*ix).satisfies()).count();
        Self {
            run: run.name.to_string(),
            application: run.plan.application.clone(),
            number: run.name.rsplit_once('/').and_then(|(_, number)| number.parse().ok()).unwrap_or(0),
            wave: run.plan.wave,
            state: run.state.word().to_owned(),
            doing: words::doing(run),
            since_at: run.since,
            created_at: run.created,
            updated_at: run.updated,
            is_final: run.state.is_final(),
            needs_person: needs_person(run),
            executed: false,
            working: has_work(run),
            held: run.hold.is_some() && !run.state.is_final(),
            open_questions: run.questions.len(),
            cutover_done: done,
            cutover_steps: cutover.len(),
            window_deadline_at: service::open_window(run).map(|window| window.deadline),
            exit: exit(run),
            damaged: None,
        }
    }
}

impl RunSummary {
    /// A run that cannot be read now, whose log need not be damaged.
    #[must_use]
    pub fn unreadable(run: &str, at: Millis, why: String) -> Self {
        let doing = format!("it cannot be read: {why}");
        Self { doing, ..Self::damaged(run, at, why) }
    }

    /// A run that cannot be shown until `repair` is told what to believe.
    #[must_use]
    pub fn damaged(run: &str, at: Millis, why: String) -> Self {
        let (application, number) = run.rsplit_once('/').unwrap_or((run, "0"));
        Self {
            run: run.to_owned(),
            application: application.to_owned(),
            number: number.parse().unwrap_or(0),
            wave: None,
            state: "damaged".to_owned(),
            doing: "its log is damaged: `bascule repair` explains what can be believed".to_owned(),
            since_at: at,
            created_at: at,
            updated_at: at,
            is_final: false,
            needs_person: true,
            executed: false,
            working: false,
            held: false,
            open_questions: 0,
            cutover_done: 0,
            cutover_steps: 0,
            window_deadline_at: None,
            exit: Some(1),
            damaged: Some(why),
        }
    }
}

/// As serde wants it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RunView {
    /// The view of a run that no engine executes.
    #[must_use]
    pub fn unattended(run: &Run, now: Now) -> Self {
        Self { next: next::next(run, now, Engine::Gone), ..Self::of(run, now, &ProgressMap::new()) }
    }

    /// The view of a run. `progress` is what the engine knows of running attempts; empty without one.
    #[must_use]
    pub fn of(run: &Run, now: Now, progress: &ProgressMap) -> Self {
        let plan = &run.plan;
        let hold = run.hold.as_ref().filter(|_| !run.state.is_final()).map(|hold| HoldView {
            restart: hold.restart,
            interrupted: hold.by.as_ref().is_some_and(|by| by.channel.as_deref() == Some("signal")),
            by: hold.by.as_ref().map(words::actor),
            since_at: hold.since,
        });
        let times = Times::of(run, now);
        Self {
            summary: RunSummary::of(run),
            plan: plan.hash().to_string(),
            revision: run.revision,
            go_at: run.go_at.filter(|_| !run.go && !run.state.is_final()),
            go_missed_at: run.go_missed.filter(|_| !run.go && !run.state.is_final()),
            source_platform: plan.source_platform.clone(),
            target_platform: plan.target_platform.clone(),
            sequence: run.sequence,
            now_at: now.steady,
            zone: plan.policies.change.as_ref().and_then(|change| change.zone.clone()),
            because: run.because.as_ref().map(words::cause),
            left: run.left.map(|left| left.word().to_owned()),
            requester: run.requester.as_ref().map(words::actor),
            in_charge: run.in_charge.clone(),
            trust_claimed_names: run.trust_claimed_names,
            hold,
            clock_in_doubt: run.clock_in_doubt,
            clock_ahead_ms: Some(run.clock_offset).filter(|ahead| *ahead != 0 && !run.state.is_final()),
            locks_held_by: match (&run.locks, &run.rest) {
                (Locks::Awaited(held_by), _) | (_, Locks::Awaited(held_by)) => held_by.clone(),
                (Locks::None | Locks::Requested | Locks::Held, _) => Vec::new(),
            },
            service: ServiceView::of(run, now),
            data: DataView::of(run, now),
            change: ChangeView::of(run, &times),
            window: WindowView::of(run, now),
            way_back: WayBackView::of(run),
            questions: question::all(run, now, &times),
            times,
            steps: (0..plan.steps.len()).map(|ix| StepView::of(run, ix, now, progress)).collect(),
            criteria: (0..plan.criteria.len()).map(|ix| CriterionView::of(run, ix, now)).collect(),
            gaps: gate_gaps(run, now),
            sign_offs: sign_offs(run),
            rollback: RollbackView::of(run, now, progress),
            leftovers: rollback::leftovers(run),
            next: next::next(run, now, Engine::There),
            complaints: vec![],
            may_run: vec![],
        }
    }
}

fn gate_gaps(run: &Run, now: Now) -> Vec<String> {
    let judged = matches!(run.state, RunState::Observing | RunState::Deciding)
        && run.exposed.is_some()
        && run.rollback.is_none();
    if judged { gaps(run, now.steady).iter().map(words::gap).collect() } else { Vec::new() }
}

fn sign_offs(run: &Run) -> Vec<SignOffView> {
    let one = |wanted: &crate::plan::policy::SignOff| SignOffView {
        role: wanted.role.clone(),
        what: wanted.what.clone(),
        given: run.signed_off.contains_key(&wanted.role),
        by: run.signed_off.get(&wanted.role).and_then(Option::as_ref).map(words::actor),
    };
    run.plan.sign_offs.iter().map(one).collect()
}

/// Whether a check has failed and is only tried again.
fn failed_check(run: &Run, ix: StepIx) -> bool {
    run.step(ix).last_failure.is_some() && matches!(run.step(ix).status, Status::Forward(Forward::Backoff { .. }))
}

/// Whether a prepared run begins by itself, at a time that is to come.
fn goes_by_itself(run: &Run) -> bool {
    let named = run.timers.get(Timer::GoAt).is_some() && !run.clock_in_doubt;
    named && run.hold.as_ref().is_none_or(|hold| hold.restart)
}

/// Whether a person must act before the run goes on.
#[must_use]
pub fn needs_person(run: &Run) -> bool {
    let waits_for_person = || {
        run.steps.iter().any(|step| {
            matches!(&step.status, Status::Forward(Forward::Waiting { on: Wait::Approval { .. } | Wait::Person, .. }))
        })
    };
    let by_hand = |step: &StepRecord| matches!(step.status, Status::Undo { state: UndoState::Waiting { .. }, .. });
    match run.state {
        RunState::Deciding | RunState::Stuck => true,
        RunState::Prepared => {
            !(run.go || goes_by_itself(run)) || run.plan.section(Section::PreCheck).any(|ix| failed_check(run, ix))
        }
        RunState::Checking => run.plan.section(Section::PreCheck).any(|ix| failed_check(run, ix)) || waits_for_person(),
        RunState::Preparing | RunState::CuttingOver | RunState::Committing => {
            run.hold.is_some() || run.clock_in_doubt || waits_for_person()
        }
        RunState::Observing => {
            run.clock_in_doubt
                || waits_for_person()
                || run.criteria.iter().any(|samples| samples.state == CriterionState::Blind)
        }
        RunState::RollingBack => waits_for_person() || run.steps.iter().any(by_hand),
        RunState::Created
        | RunState::Accepted
        | RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => false,
    }
}

/// Whether criteria guard the run: from exposure until it is accepted, closed or on its way back.
#[must_use]
pub fn is_guarded(run: &Run) -> bool {
    let over = run.state.ending().is_some() || run.state == RunState::Committing;
    run.possibly_exposed.is_some() && run.rollback.is_none() && !run.commit_intended && !over
}

/// Whether an engine has something to do for a run without a person's word: an attempt that runs, a retry, an open
/// window. Readiness checks that only repeat do not count: they would keep an engine for ever.
#[must_use]
pub fn has_work(run: &Run) -> bool {
    if !run.live.is_empty() {
        return true;
    }
    let guards = is_guarded(run);
    match run.state {
        RunState::Created | RunState::Checking | RunState::Observing | RunState::RollingBack => true,
        RunState::Preparing | RunState::CuttingOver => run.hold.is_none() || guards,
        RunState::Committing => run.hold.is_none(),
        RunState::Prepared => run.go || goes_by_itself(run),
        // Once the window is over, or where none is open, everything waits for a person.
        RunState::Deciding => guards && service::open_window(run).is_some(),
        RunState::Accepted
        | RunState::Stuck
        | RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => false,
    }
}

/// How a process that executes the run would end now, by FORMATS' table; `None`: it goes on by itself.
#[must_use]
pub fn exit(run: &Run) -> Option<u8> {
    if let Some(ending) = run.state.ending() {
        return Some(exit_of(ending));
    }
    // Held forward work only waits for `resume`.
    let held =
        run.hold.is_some() && matches!(run.state, RunState::Preparing | RunState::CuttingOver | RunState::Committing);
    if held { Some(6) } else { needs_person(run).then_some(5) }
}

/// The same of a run that is over, or accepted.
fn exit_of(ending: Ending) -> u8 {
    match ending {
        Ending::OnTarget => 0,
        Ending::Back => 3,
        Ending::Untouched => 4,
        Ending::Residue => 7,
    }
}
