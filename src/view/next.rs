//! The commands that are legal now, most useful first.

use serde::{Deserialize, Serialize};

use super::offer::{self, Engine};
use crate::machine::answers::MORE_MS;
use crate::machine::fact::Wait;
use crate::machine::run::Run;
use crate::machine::run_state::RunState;
use crate::machine::state::{Forward, Status, UndoState};
use crate::machine::{Now, Verb};
use crate::plan::{Section, StepIx, StepKind};

/// A command that would not be refused now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextCommand {
    /// To be typed.
    pub command: String,
    /// What it does.
    pub effect: String,
}

struct Next<'a> {
    run: &'a Run,
    now: Now,
    engine: Engine,
    list: Vec<NextCommand>,
}

/// The legal commands. Answers to open questions stand with the questions.
pub(super) fn next(run: &Run, now: Now, engine: Engine) -> Vec<NextCommand> {
    let mut next = Next { run, now, engine, list: Vec::new() };
    if run.state.is_final() {
        next.look("report", "writes what happened as a page");
        next.look("events", "shows every event");
    } else {
        next.add(&Verb::ConfirmClock, "says that the wall clock is right now");
        next.add(&Verb::ContinueRollback, "the way back goes on");
        let goes_on = if run.rollback.is_some() { "lifts the hold" } else { "forward work goes on" };
        next.add(&Verb::Resume, goes_on);
        next.add(&Verb::Go, "pre-checks are repeated, then the cutover begins");
        next.add(&Verb::GoAt { at: None }, "takes the time back at which it would begin by itself");
        for ix in 0..run.steps.len() {
            next.step(ix);
        }
        next.at_large();
        if run.state != RunState::Accepted {
            next.look("watch", "shows it as it goes");
        }
    }
    next.add(&Verb::Note { text: String::new(), attachments: Vec::new() }, "writes something down");
    next.list
}

impl Next<'_> {
    fn look(&mut self, verb: &str, effect: &str) {
        let command = format!("bascule {verb} {}", self.run.name);
        self.list.push(NextCommand { command, effect: effect.to_owned() });
    }

    /// Adds a command, if the machine takes it.
    fn add(&mut self, verb: &Verb, effect: &str) {
        if offer::is_legal(self.run, self.now, self.engine, verb) {
            let command = offer::command(&self.run.name, verb);
            self.list.push(NextCommand { command, effect: effect.to_owned() });
        }
    }

    /// What a step that waits for a person can be told.
    fn step(&mut self, ix: StepIx) {
        let plan = &self.run.plan;
        let id = || plan.step(ix).id.clone();
        match &self.run.step(ix).status {
            Status::Forward(Forward::Waiting { on: Wait::Approval { .. }, .. }) => {
                let role = match &plan.step(ix).kind {
                    StepKind::Approval(approval) => approval.roles.first().cloned(),
                    StepKind::Action(_) | StepKind::Manual(_) => None,
                };
                self.add(&Verb::Approve { step: id(), role }, "says yes");
                self.add(&Verb::Reject { step: id() }, "says no");
            }
            Status::Forward(Forward::Waiting { on: Wait::Person, .. }) => {
                self.add(&self.run.says_done(ix), "says that it was done by hand");
            }
            Status::Forward(Forward::Backoff { .. }) if plan.step(ix).section.is_check() => {
                self.add(&Verb::Retry { step: id() }, "looks again now");
                let role = plan.step(ix).check.waivable_by.first().cloned();
                self.add(&Verb::Waive { step: id(), role }, "goes on without it");
            }
            Status::Forward(Forward::Failed { .. } | Forward::Unknown { probing: false, .. })
                if plan.step(ix).section == Section::Ready && self.run.waits_for_way_back() =>
            {
                self.add(&Verb::Retry { step: id() }, "looks again now: nothing new begins before it passes");
                let role = plan.step(ix).check.waivable_by.first().cloned();
                self.add(&Verb::Waive { step: id(), role }, "goes on without it");
            }
            Status::Undo {
                state: UndoState::Failed { .. } | UndoState::Backoff { .. } | UndoState::Unknown { probing: false, .. },
                ..
            } => {
                self.stuck(ix);
            }
            Status::Forward(Forward::Failed { .. } | Forward::Unknown { probing: false, .. })
                if self.run.rollback.is_some()
                    && matches!(plan.step(ix).section, Section::Fence | Section::RollbackCheck) =>
            {
                self.stuck(ix);
            }
            Status::Undo { state: UndoState::Undoing(_), .. } | Status::Forward(Forward::Running(_))
                if self.engine == Engine::Gone =>
            {
                self.add(&Verb::UndoDone { step: id() }, "says that it was done by hand: no engine does it again");
            }
            Status::Forward(_) | Status::Undo { .. } => {}
        }
    }

    fn stuck(&mut self, ix: StepIx) {
        let plan = &self.run.plan;
        let id = || plan.step(ix).id.clone();
        self.add(&Verb::UndoRetry { step: id() }, "tries it again");
        if self.run.step(ix).unsettled {
            // It may still run: what it did must be known before it is undone.
            self.add(&self.run.says_done(ix), "says that it happened: it is undone");
            self.add(&Verb::DidNotHappen { step: id() }, "says that it did not: nothing is to be undone");
        }
        self.add(&Verb::UndoDone { step: id() }, "says that it was done by hand");
        self.add(&Verb::UndoWaive { step: id() }, "goes on without it");
    }

    fn at_large(&mut self) {
        let run = self.run;
        if run.state == RunState::Accepted {
            self.add(&Verb::Commit, "gives the way back up: commit steps run");
        }
        self.add(&Verb::Accept, "takes the target as it is");
        for wanted in run.plan.sign_offs.iter().filter(|_| run.exposed.is_some()) {
            if !run.signed_off.contains_key(&wanted.role) {
                self.add(&Verb::SignOff { role: wanted.role.clone() }, "says that it is theirs from now on");
            }
        }
        self.add(&Verb::WindowExtend { by_ms: MORE_MS }, "moves the window's deadline");
        if moves(run.state) {
            self.add(&Verb::Pause, "starts nothing new");
        }
        if run.first_effect.is_some() || run.possibly_exposed.is_some() {
            self.add(&Verb::Rollback, "goes back");
        } else {
            self.add(&Verb::Cancel, "ends it: nothing was cut over");
        }
        if matches!(run.state, RunState::Deciding | RunState::Stuck) {
            self.add(&Verb::Close, "ends it as it stands");
        }
    }
}

/// Whether forward work goes on that could be held.
fn moves(state: RunState) -> bool {
    state.starts_steps() || state == RunState::Observing
}
