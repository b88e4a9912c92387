//! What always holds of a run. Numbered: a failing history names the number.

use super::fact::Direction;
use super::run::Run;
use super::state::{Forward, RunState, Status, UndoState};
use super::timers::Timer;
use crate::plan::{Section, Stage, StepIx};

/// A sentence that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant {number} does not hold: {what}")]
pub struct Broken {
    /// Its number.
    pub number: u32,
    /// What was found.
    pub what: String,
}

fn broken(number: u32, what: impl Into<String>) -> Result<(), Broken> {
    Err(Broken { number, what: what.into() })
}

/// Checks all of them. Linear in the plan: for tests and debug builds.
///
/// # Errors
/// The first one that does not hold.
pub fn check(run: &Run) -> Result<(), Broken> {
    index_is_true(run)?;
    steps(run)?;
    order_forward(run)?;
    way_back(run)?;
    states(run)
}

/// 1: `ready` and `live` say what the steps say. 2: `open` counts what is not done. 3: what a
/// step waits for is counted rightly.
fn index_is_true(run: &Run) -> Result<(), Broken> {
    for (ix, record) in run.steps.iter().enumerate() {
        let ready = matches!(record.status, Status::Forward(Forward::Ready));
        if ready != run.ready.contains(&ix) {
            return broken(1, format!("`{}` and the ready set disagree", run.plan.step(ix).id));
        }
        let live = record.status.is_live();
        let listed = run.live.contains(&(ix, Direction::Forward)) || run.live.contains(&(ix, Direction::Undo));
        if live != listed {
            return broken(1, format!("`{}` and the live set disagree", run.plan.step(ix).id));
        }
        let waits = run.plan.dag().parents(ix).filter(|(parent, _)| !satisfies(run, *parent)).count();
        if waits != record.waits_for as usize {
            return broken(3, format!("`{}` waits for {} steps, not {waits}", run.plan.step(ix).id, record.waits_for));
        }
    }
    for section in Section::ALL {
        let open = run.plan.section(section).filter(|ix| !satisfies(run, *ix)).count();
        if run.open.get(&section).copied().unwrap_or(0) != open {
            return broken(2, format!("{} has {open} open steps", section.key()));
        }
    }
    Ok(())
}

fn satisfies(run: &Run, ix: StepIx) -> bool {
    match &run.step(ix).status {
        Status::Forward(forward) => forward.satisfies(),
        Status::Undo { .. } => false,
    }
}

/// 4: a step never has a live attempt in both directions. 5: a step with effect `once` never has
/// two attempts in one generation, unless the former left nothing. 6: an attempt has a deadline.
fn steps(run: &Run) -> Result<(), Broken> {
    for (ix, record) in run.steps.iter().enumerate() {
        let id = &run.plan.step(ix).id;
        if run.live.contains(&(ix, Direction::Forward)) && run.live.contains(&(ix, Direction::Undo)) {
            return broken(4, format!("`{id}` runs forwards and backwards"));
        }
        if let Status::Forward(Forward::Running(attempt)) = &record.status {
            if attempt.number != record.attempts {
                return broken(5, format!("attempt {} of `{id}` is not the newest", attempt.number));
            }
            let timed = run.timers.get(Timer::Deadline(ix, Direction::Forward)).is_some();
            let told = attempt.interrupted.is_some() || run.questions.values().any(|q| q.kind.step() == Some(id));
            if attempt.deadline.is_some() && !timed && !told && !run.state.is_final() {
                return broken(6, format!("the attempt of `{id}` has a deadline that nobody watches"));
            }
        }
    }
    Ok(())
}

/// 7: nothing runs or stands before what it needs, unless that was taken back since. 8: no cutover
/// effect before the pre-checks passed or were waived.
fn order_forward(run: &Run) -> Result<(), Broken> {
    for (ix, _) in run.live.iter().filter(|(_, way)| *way == Direction::Forward) {
        for (parent, _) in run.plan.dag().parents(*ix) {
            if !satisfies(run, parent) && run.rollback.is_none() {
                return broken(7, format!("`{}` runs before `{}`", run.plan.step(*ix).id, run.plan.step(parent).id));
            }
        }
    }
    if run.first_effect.is_some() && run.state == RunState::CuttingOver {
        let passed =
            |ix: StepIx| run.forward(ix).satisfies() || run.rechecking.contains(&ix) || run.step(ix).passed.is_some();
        if let Some(ix) = run.plan.section(Section::PreCheck).find(|ix| !passed(*ix)) {
            return broken(8, format!("the cutover began although `{}` never passed", run.plan.step(ix).id));
        }
    }
    Ok(())
}

/// 9: never an undo beside a live forward attempt of the run. 10: no clean-up before the source is
/// verified. 11: stages in order: no traffic to a source that is not up, no data into a source
/// before the fence. 12: an unfinished target never overwrites the source. 13: one undo at a time.
fn way_back(run: &Run) -> Result<(), Broken> {
    let Some(rollback) = &run.rollback else { return Ok(()) };
    let undoing: Vec<StepIx> = run.live.iter().filter(|(_, way)| *way == Direction::Undo).map(|(ix, _)| *ix).collect();
    if undoing.len() > 1 {
        return broken(13, "two undos run at once");
    }
    for (ix, _) in run.live.iter().filter(|(_, way)| *way == Direction::Forward) {
        if !undoing.is_empty() && run.plan.step(*ix).section.is_undone() {
            return broken(9, format!("`{}` runs forwards while another step is undone", run.plan.step(*ix).id));
        }
    }
    let touched = |ix: StepIx| {
        matches!(
            &run.step(ix).status,
            Status::Undo { state: UndoState::Undoing(_) | UndoState::Undone { note: None }, .. }
        )
    };
    if run.first_effect.is_some()
        && rollback.restored.is_none()
        && rollback.cleanup.iter().any(|turn| touched(turn.step))
    {
        return broken(10, "something was cleaned up before the source was verified");
    }
    for turn in &rollback.restore {
        let begun = run.live.iter().any(|(ix, _)| *ix == turn.step);
        let Some(stage) = turn.stage.filter(|_| begun) else { continue };
        for before in rollback.restore.iter().filter(|other| other.stage.is_some_and(|earlier| earlier < stage)) {
            let well = match &run.step(before.step).status {
                Status::Undo { state, .. } => state.unblocks(),
                Status::Forward(forward) => forward.satisfies(),
            };
            if !well {
                let (late, early) = (&run.plan.step(turn.step).id, &run.plan.step(before.step).id);
                return broken(11, format!("`{late}` began although `{early}` did not end well"));
            }
        }
        if stage == Stage::Data && run.possibly_exposed.is_none() {
            return broken(12, format!("`{}` overwrites a source that users never left", run.plan.step(turn.step).id));
        }
    }
    Ok(())
}

/// 14: `deciding` knows where it came from. 15: a final run holds no attempt and no timer; 16: its
/// verdict is true. 17: exposure and window go together.
fn states(run: &Run) -> Result<(), Broken> {
    if (run.state == RunState::Deciding) != run.left.is_some() {
        return broken(14, "`deciding` and the state it left disagree");
    }
    if run.state.is_final() && run.timers.next().is_some() {
        return broken(15, "a final run waits for a time");
    }
    match run.state {
        RunState::RolledBack => {
            let restored = run.rollback.as_ref().is_some_and(|r| r.restored.is_some() || run.first_effect.is_none());
            if !restored {
                return broken(16, "rolled back without a verified source");
            }
        }
        RunState::Refused | RunState::Cancelled => {
            if run.first_effect.is_some() {
                return broken(16, "refused or cancelled after the cutover began");
            }
        }
        RunState::Accepted | RunState::Committed => {
            if run.exposed.is_none() && !run.plan.section(Section::Cutover).is_empty() {
                return broken(16, "accepted although no user can reach the target");
            }
        }
        RunState::Created
        | RunState::Checking
        | RunState::Preparing
        | RunState::Prepared
        | RunState::CuttingOver
        | RunState::Observing
        | RunState::Committing
        | RunState::Deciding
        | RunState::RollingBack
        | RunState::Stuck
        | RunState::ClosedWithResidue => {}
    }
    if run.exposed.is_some() && run.possibly_exposed.is_none() {
        return broken(17, "exposed, but never possibly exposed");
    }
    Ok(())
}
