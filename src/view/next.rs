//! The commands that are legal now, most useful first.

use serde::{Deserialize, Serialize};

use super::needs_person;
use crate::machine::fact::Wait;
use crate::machine::run::Run;
use crate::machine::state::{Forward, RunState, Status, UndoState};
use crate::machine::{Now, may_accept, may_roll_back};
use crate::plan::StepKind;

/// A command that would not be refused now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextCommand {
    /// To be typed.
    pub command: String,
    /// What it does.
    pub effect: String,
}

/// The legal commands. Answers to open questions stand with the questions and are not repeated.
pub(super) fn next(run: &Run, now: Now) -> Vec<NextCommand> {
    let mut list = Vec::new();
    let mut add = |verb: String, effect: &str| {
        list.push(NextCommand { command: format!("bascule {verb}"), effect: effect.to_owned() });
    };
    let name = &*run.name;
    if run.state.is_final() {
        add(format!("report {name}"), "writes what happened as a page");
        add(format!("events {name}"), "shows every event");
        add(format!("note {name} TEXT"), "adds a note");
        return list;
    }
    if run.clock_in_doubt {
        add(format!("confirm-clock {name}"), "says that the wall clock is right now");
    }
    if run.hold.is_some() {
        add(format!("resume {name}"), "forward work goes on");
    }
    if run.state == RunState::Prepared && !run.go {
        add(format!("go {name}"), "pre-checks are repeated, then the cutover begins");
    }
    for (ix, record) in run.steps.iter().enumerate() {
        let id = &run.plan.step(ix).id;
        match &record.status {
            Status::Forward(Forward::Waiting { on: Wait::Approval { .. }, .. }) => {
                let role = match &run.plan.step(ix).kind {
                    StepKind::Approval(approval) => approval.roles.first(),
                    StepKind::Action(_) | StepKind::Manual(_) => None,
                };
                let role = role.map(|role| format!(" --role {role}")).unwrap_or_default();
                add(format!("approve {name} {id}{role}"), "says yes");
                add(format!("reject {name} {id}"), "says no");
            }
            Status::Forward(Forward::Waiting { on: Wait::Person, .. }) => {
                add(format!("resolve {name} {id} --happened"), "says that it was done by hand");
            }
            Status::Undo { state: UndoState::Failed { .. } | UndoState::Unknown { probing: false, .. }, .. } => {
                add(format!("undo retry {name} {id}"), "tries the undo again");
                add(format!("undo done {name} {id}"), "says that it was undone by hand");
                add(format!("undo waive {name} {id}"), "goes on without this undo");
            }
            Status::Forward(Forward::Failed { .. } | Forward::Unknown { probing: false, .. })
                if run.rollback.is_some() && blocks_way_back(run, ix) =>
            {
                add(format!("undo retry {name} {id}"), "tries it again");
                add(format!("undo waive {name} {id}"), "goes on without it");
            }
            Status::Forward(_) | Status::Undo { .. } => {}
        }
    }
    at_large(run, now, &mut add);
    list
}

/// A fence step or a rollback check: performed on the way back.
fn blocks_way_back(run: &Run, ix: crate::plan::StepIx) -> bool {
    use crate::plan::Section;
    matches!(run.plan.step(ix).section, Section::Fence | Section::RollbackCheck)
}

fn at_large(run: &Run, now: Now, add: &mut dyn FnMut(String, &str)) {
    let name = &*run.name;
    let going_back = run.rollback.is_some();
    if run.state == RunState::Accepted {
        add(format!("commit {name}"), "gives the way back up: commit steps run");
    }
    if may_accept(run).is_ok() {
        add(format!("accept {name}"), "takes the target as it is");
    }
    for wanted in &run.plan.sign_offs {
        let signed = run.signed_off.contains_key(&wanted.role);
        if run.exposed.is_some() && !going_back && !signed {
            add(format!("sign-off {name} --role {}", wanted.role), "says that it is theirs from now on");
        }
    }
    let watched = matches!(run.state, RunState::CuttingOver | RunState::Observing | RunState::Deciding);
    if run.window.as_ref().is_some_and(|window| now.steady < window.deadline || watched) && watched && !going_back {
        add(format!("window extend {name} --by 30m"), "moves the window's deadline");
    }
    let forward = matches!(
        run.state,
        RunState::Created
            | RunState::Checking
            | RunState::Preparing
            | RunState::CuttingOver
            | RunState::Observing
            | RunState::Committing
    );
    if forward && run.hold.is_none() {
        add(format!("pause {name}"), "starts nothing new");
    }
    if may_roll_back(run).is_ok() {
        add(format!("rollback {name}"), "goes back");
    } else if run.first_effect.is_none() && !going_back && !run.commit_intended {
        add(format!("cancel {name}"), "ends it: nothing was cut over");
    }
    if needs_person(run) && matches!(run.state, RunState::Deciding | RunState::Stuck) {
        add(format!("close {name} --reason …"), "ends it as it stands");
    }
    if run.state != RunState::Accepted {
        add(format!("watch {name}"), "shows it as it goes");
    }
    add(format!("note {name} TEXT"), "writes something down");
}
