//! What people may say of one step.

use std::sync::Arc;

use serde_json::Value;

use super::apply::{Illegal, ms};
use super::decide::{ask, close};
use super::draft::Draft;
use super::event::Event;
use super::fact::{Direction, Failure, Interruption, Resolution, SkipCause, Wait};
use super::input::{Reply, Verb};
use super::question::QuestionKind;
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status, UndoState};
use super::{attempts, failures, recover, verbs_amend, verbs_approval, verbs_by_hand};
use crate::plan::rollback::stage;
use crate::plan::{Section, Stage, StepId, StepIx, StepKind};

/// Handles a verb that names a step.
pub(super) fn verb(d: &mut Draft<'_>, verb: Verb) -> Result<Reply, Illegal> {
    match verb {
        Verb::Amend { step, set, plan } => verbs_amend::amend(d, &step, set, &plan),
        Verb::Extend { step, by_ms } => on(d, &step, |d, ix| extend(d, ix, by_ms)),
        Verb::Retry { step } => on(d, &step, retry),
        Verb::Skip { step } => on(d, &step, skip),
        Verb::Waive { step, role } => on(d, &step, |d, ix| waive(d, ix, role.as_deref())),
        Verb::Happened { step, outputs, role } => on(d, &step, |d, ix| {
            if let Some(refused) = verbs_by_hand::refuses(d.run(), ix, &outputs, role.as_deref()) {
                return Ok(refused);
            }
            let outputs = Arc::new(Value::Object(outputs.into_iter().collect()));
            resolve(d, ix, Resolution::Happened { outputs })
        }),
        Verb::DidNotHappen { step } => on(d, &step, |d, ix| resolve(d, ix, Resolution::DidNotHappen)),
        Verb::ItFailed { step, left } => on(d, &step, |d, ix| resolve(d, ix, Resolution::Failed { left })),
        Verb::ProbeAgain { step } => on(d, &step, probe_again),
        Verb::Approve { step, role } => on(d, &step, |d, ix| verbs_approval::approve(d, ix, role)),
        Verb::Reject { step } => on(d, &step, verbs_approval::reject),
        Verb::UndoRetry { step } => on_undo(d, &step, |step| Event::UndoReadied { step }),
        Verb::UndoWaive { step } => on_undo(d, &step, |step| Event::UndoWaived { step }),
        Verb::UndoDone { step } => on_undo(d, &step, |step| Event::UndoDoneByHand { step }),
        Verb::Go
        | Verb::GoAt { .. }
        | Verb::Resume
        | Verb::Pause
        | Verb::Cancel
        | Verb::Rollback
        | Verb::ContinueRollback
        | Verb::WindowExtend { .. }
        | Verb::Commit
        | Verb::Accept
        | Verb::Close
        | Verb::ForwardAgain
        | Verb::GoOn { .. }
        | Verb::Note { .. }
        | Verb::InCharge { .. }
        | Verb::Disarm { .. }
        | Verb::SignOff { .. }
        | Verb::ConfirmClock => Ok(Reply::refused("the verb names no step", "this is a bug: please report it")),
    }
}

/// Does something with the step of this name, on the way on which the run is.
fn on(
    d: &mut Draft<'_>,
    step: &StepId,
    act: impl FnOnce(&mut Draft<'_>, StepIx) -> Result<Reply, Illegal>,
) -> Result<Reply, Illegal> {
    let way = if d.run().rollback.is_some() { Direction::Undo } else { Direction::Forward };
    on_way(d, step, way, act)
}

/// Does something with the undo of the step of this name.
fn on_undo(d: &mut Draft<'_>, step: &StepId, event: impl FnOnce(StepId) -> Event) -> Result<Reply, Illegal> {
    on_way(d, step, Direction::Undo, |d, ix| {
        let event = event(id(d, ix));
        undo(d, ix, event)
    })
}

fn on_way(
    d: &mut Draft<'_>,
    step: &StepId,
    way: Direction,
    act: impl FnOnce(&mut Draft<'_>, StepIx) -> Result<Reply, Illegal>,
) -> Result<Reply, Illegal> {
    // Of the lists with a prefix one is of the way forward; the fence and the rollback checks are of the way back.
    let is_back = way == Direction::Undo;
    match d.run().plan.step_named(step.as_str(), |step| is_back != (step.section == Section::Ready)) {
        Ok(ix) => act(d, ix),
        Err(unknown) => Ok(Reply::refused(unknown.to_string(), unknown.hint())),
    }
}

pub(super) fn id(d: &Draft<'_>, ix: StepIx) -> StepId {
    d.run().plan.step(ix).id.clone()
}

pub(super) fn answered(d: &mut Draft<'_>, ix: StepIx, answer: &str) -> Result<(), Illegal> {
    let step = id(d, ix);
    close(d, Some(answer), |kind| kind.step() == Some(&step))
}

fn going_forward(d: &Draft<'_>) -> Result<(), Reply> {
    if d.run().rollback.is_some() {
        return Err(Reply::refused("the run is on its way back", "`undo retry|waive|done STEP` helps it on"));
    }
    Ok(())
}

fn extend(d: &mut Draft<'_>, ix: StepIx, by_ms: u64) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    let back = || attempts::under_way(d, ix, Direction::Undo);
    let running = attempts::under_way(d, ix, Direction::Forward).or_else(back);
    let Some(attempt) = running else {
        if verbs_by_hand::has_deadline(d.run(), ix) {
            return verbs_by_hand::extend(d, ix, by_ms);
        }
        return Ok(Reply::refused(format!("`{step}` is not running"), "only a running step has a deadline to move"));
    };
    if attempt.interrupted.is_some() {
        let hint = "what follows is decided once it has stopped";
        return Ok(Reply::refused(format!("`{step}` was told to stop already"), hint));
    }
    let from = attempt.deadline.unwrap_or(d.now().steady).max(d.now().steady);
    d.emit(Event::Extended { step: step.clone(), deadline: from.saturating_add(ms(by_ms).max(1)) })?;
    close(d, Some("more time"), |kind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step))?;
    Ok(Reply::Done)
}

/// Whether the run is where steps of a section run, or was before it had to ask.
pub(super) fn is_on(run: &Run, section: Section) -> bool {
    let state = run.stands_in();
    let (cutting, observing) = (state == RunState::CuttingOver, state == RunState::Observing);
    match section {
        Section::PreCheck => cutting || matches!(state, RunState::Checking | RunState::Preparing | RunState::Prepared),
        Section::Prepare => cutting || matches!(state, RunState::Preparing | RunState::Prepared),
        Section::Cutover => cutting,
        Section::PostCheck => observing,
        Section::Ready => cutting || observing || state == RunState::Accepted,
        Section::Commit => state == RunState::Committing,
        Section::Fence | Section::RollbackCheck => matches!(state, RunState::RollingBack | RunState::Stuck),
    }
}

fn not_on(d: &Draft<'_>, ix: StepIx) -> Reply {
    let why = format!("a run that is {} does nothing with `{}`", d.run().state, id(d, ix));
    Reply::refused(why, "`bascule status` shows what it waits for")
}

fn retry(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    if let Err(refused) = going_forward(d) {
        return Ok(refused);
    }
    let (section, step) = (d.run().plan.step(ix).section, id(d, ix));
    if !is_on(d.run(), section) {
        return Ok(not_on(d, ix));
    }
    let is_asked = |which: fn(&QuestionKind) -> bool| {
        d.run().questions.values().any(|question| question.kind.step() == Some(&step) && which(&question.kind))
    };
    let by_hand = verbs_by_hand::waits(d.run(), ix);
    if !by_hand && is_asked(|kind| matches!(kind, QuestionKind::OutOfTime { .. })) {
        return stop_and_see(d, ix, Direction::Forward);
    }
    let asked_value = is_asked(|kind| matches!(kind, QuestionKind::ValueUnknown { .. }));
    let legal = match &d.run().step(ix).status {
        Status::Forward(forward) => match forward {
            Forward::Failed { .. } | Forward::Backoff { .. } | Forward::NotRun => true,
            Forward::Ready => asked_value,
            Forward::Unknown { .. } if section.is_check() => true,
            // Work elsewhere is found again by its handle, which performs nothing anew.
            Forward::Unknown { probing: false, .. } if d.run().step(ix).attached.is_some() => true,
            Forward::Unknown { .. } => {
                let hint = "say what is the case first: `resolve STEP --happened | --did-not-happen`, or `resolve STEP --probe`";
                return Ok(Reply::refused(
                    "nobody knows whether it happened: running it again might do it twice",
                    hint,
                ));
            }
            Forward::Pending
            | Forward::Running(_)
            | Forward::Waiting { .. }
            | Forward::Succeeded
            | Forward::Skipped { .. } => false,
        },
        Status::Undo { .. } => false,
    };
    if !legal {
        return Ok(Reply::refused(format!("`{step}` has not failed"), "`bascule status` shows where it stands"));
    }
    if !asked_value {
        d.emit(Event::Readied { step, new_generation: false })?;
    }
    answered(d, ix, "try again")?;
    Ok(Reply::Done)
}

/// A step that is out of time is stopped; its declared effect decides what follows, as after a crash.
fn stop_and_see(d: &mut Draft<'_>, ix: StepIx, direction: Direction) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    if let Some(attempt) = attempts::under_way(d, ix, direction).filter(|a| a.interrupted.is_none()) {
        let (attempt, why) = (attempt.number, Interruption::Asked);
        d.emit(Event::Interrupted { step: step.clone(), attempt, direction, why })?;
    }
    let answer = Some("stop it and try again");
    close(d, answer, |kind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step))?;
    Ok(Reply::Done)
}

fn skip(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    if let Err(refused) = going_forward(d) {
        return Ok(refused);
    }
    let step = d.run().plan.step(ix);
    if step.exposes {
        let hint = "`resolve STEP --happened` says that it was done by hand";
        return Ok(Reply::refused("the exposing step cannot be skipped: the window counts from it", hint));
    }
    if matches!(step.kind, StepKind::Approval(_)) {
        return Ok(Reply::refused("an approval cannot be skipped", "`approve` or `reject` answers it"));
    }
    if step.section.is_check() {
        return Ok(Reply::refused(
            "a check is waived, not skipped",
            "`waive STEP --reason …`, in a role that it names",
        ));
    }
    if d.run().state == RunState::Accepted && step.section != Section::Commit {
        return Ok(not_on(d, ix));
    }
    let taken_back = matches!(d.run().step(ix).status, Status::Undo { .. });
    if taken_back || d.run().step(ix).status.is_live() || d.run().forward(ix).satisfies() {
        return Ok(Reply::refused(
            format!("`{}` is running or done", id(d, ix)),
            "`bascule status` shows where it stands",
        ));
    }
    let step = id(d, ix);
    d.emit(Event::Skipped { step, over: SkipCause::Person })?;
    answered(d, ix, "skip")?;
    Ok(Reply::Done)
}

fn waive(d: &mut Draft<'_>, ix: StepIx, role: Option<&str>) -> Result<Reply, Illegal> {
    let step = d.run().plan.step(ix).clone();
    if !step.section.is_check() {
        return Ok(Reply::refused("only checks are waived", "`skip STEP` goes on without a step"));
    }
    if step.section == Section::RollbackCheck {
        return undo(d, ix, Event::UndoWaived { step: step.id });
    }
    let allowed = role.is_some_and(|role| step.check.waivable_by.iter().any(|known| known == role));
    if !allowed {
        if step.check.waivable_by.is_empty() {
            let hint = "add `waivableBy: [role]` to the check, or mend what it found";
            return Ok(Reply::refused(format!("`{}` names no role that may waive it", step.id), hint));
        }
        let hint = format!("say in which role with `--role`: {}", step.check.waivable_by.join(", "));
        return Ok(Reply::refused(format!("`{}` can be waived by certain roles only", step.id), hint));
    }
    if d.run().step(ix).status.is_live() || d.run().forward(ix).satisfies() {
        return Ok(Reply::refused(format!("`{}` is running or passed", step.id), "wait for its result"));
    }
    d.emit(Event::Skipped { step: step.id.clone(), over: SkipCause::Waived })?;
    answered(d, ix, "waive")?;
    if step.section == Section::Ready {
        super::checks::judge_way_back(d)?;
    }
    Ok(Reply::Done)
}

/// Whether a person may say that now; otherwise what is legal instead.
fn may_resolve(run: &Run, ix: StepIx, resolution: &Resolution) -> bool {
    let step = run.plan.step(ix);
    let manual = matches!(step.kind, StepKind::Manual(_));
    if matches!(step.kind, StepKind::Approval(_)) || step.section.is_check() && !manual {
        return false;
    }
    let by_hand = matches!(resolution, Resolution::Happened { .. });
    match &run.step(ix).status {
        Status::Undo { state: UndoState::Waiting { .. }, .. } => !matches!(resolution, Resolution::DidNotHappen),
        Status::Undo { state, .. } => {
            matches!(state, UndoState::Unknown { probing: false, .. })
                || run.partial.contains(&ix) && matches!(state, UndoState::Failed { .. })
        }
        // Of what stood before the rollback only the unknown can still be told, until the order is fixed.
        Status::Forward(Forward::Waiting { on: Wait::Person, .. })
            if matches!(step.section, Section::Fence | Section::RollbackCheck) =>
        {
            !matches!(resolution, Resolution::DidNotHappen)
        }
        Status::Forward(forward) if run.rollback.is_some() => {
            let open = run.rollback.as_ref().is_some_and(|rollback| !rollback.ordered);
            open && step.section.is_undone() && matches!(forward, Forward::Unknown { .. })
        }
        Status::Forward(_) if !is_on(run, step.section) => false,
        Status::Forward(forward) => match forward {
            Forward::Unknown { .. } => true,
            Forward::Waiting { on: Wait::Person, .. } => !matches!(resolution, Resolution::DidNotHappen),
            Forward::Failed { .. } | Forward::Backoff { .. } => !matches!(resolution, Resolution::Failed { .. }),
            // What somebody did is verified: saying it once more does not take the place of that.
            Forward::Ready if run.step(ix).answered => by_hand && has_no_value(run, ix),
            Forward::Waiting { .. } | Forward::Ready => by_hand,
            Forward::Pending | Forward::Running(_) | Forward::Succeeded | Forward::Skipped { .. } | Forward::NotRun => {
                false
            }
        },
    }
}

/// Whether people are asked because a value that a step needs is unknown.
fn has_no_value(run: &Run, ix: StepIx) -> bool {
    let id = &run.plan.step(ix).id;
    run.questions.values().any(|open| matches!(&open.kind, QuestionKind::ValueUnknown { step, .. } if step == id))
}

fn resolve(d: &mut Draft<'_>, ix: StepIx, resolution: Resolution) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    if !may_resolve(d.run(), ix, &resolution) {
        let hint = "a step can be resolved while nobody knows its outcome, after it failed, or instead of running it";
        return Ok(Reply::refused(format!("`{step}` cannot be resolved now"), hint));
    }
    if let Some(UndoState::Waiting { .. }) = d.run().undo(ix) {
        return undone_by_hand(d, ix, &resolution);
    }
    if let Resolution::Happened { outputs } = &resolution
        && verbs_by_hand::waits(d.run(), ix)
        && d.run().plan.step(ix).verify.is_some()
    {
        d.emit(Event::Answered { step, outputs: outputs.clone() })?;
        answered(d, ix, "it was done")?;
        return Ok(Reply::Done);
    }
    settle_by_word(d, ix, resolution)?;
    Ok(Reply::Done)
}

/// Takes a word about a step for what is the case, and decides what follows.
pub(super) fn settle_by_word(d: &mut Draft<'_>, ix: StepIx, resolution: Resolution) -> Result<(), Illegal> {
    let step = id(d, ix);
    let (happened, failed) = match &resolution {
        Resolution::Happened { .. } => (true, false),
        Resolution::DidNotHappen => (false, false),
        Resolution::Failed { .. } => (false, true),
    };
    let answer = match &resolution {
        Resolution::Happened { .. } => "it happened",
        Resolution::DidNotHappen => "it did not happen",
        Resolution::Failed { .. } => "it failed",
    };
    d.emit(Event::Resolved { step, resolution })?;
    answered(d, ix, answer)?;
    if d.run().rollback.is_some() {
        return Ok(());
    }
    if happened {
        attempts::forward_succeeded(d, ix)?;
    }
    if failed {
        failures::said_to_have_failed(d, ix)?;
    }
    Ok(())
}

/// A person took a step back, or could not.
fn undone_by_hand(d: &mut Draft<'_>, ix: StepIx, resolution: &Resolution) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    match resolution {
        Resolution::Happened { .. } => return undo(d, ix, Event::UndoDoneByHand { step }),
        Resolution::DidNotHappen | Resolution::Failed { .. } => {}
    }
    let failure = Failure::new("the person who was asked could not take it back");
    d.emit(Event::UndoFailed { step, failure })?;
    answered(d, ix, "it failed")?;
    Ok(Reply::Done)
}

/// After a rollback that stopped at an irreversible step the run goes forward again: what is neither
/// done nor ready to be done is asked about.
pub(super) fn ask_about_leftovers(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    for ix in plan.section(Section::Prepare).chain(plan.section(Section::Cutover)) {
        let step = plan.step(ix).id.clone();
        let kind = match &d.run().step(ix).status {
            Status::Forward(Forward::Unknown { failure, probing: false }) => {
                QuestionKind::UnknownOutcome { step, direction: Direction::Forward, failure: failure.clone() }
            }
            Status::Forward(Forward::Failed { .. }) => {
                QuestionKind::StepFailed { step, why: "it had failed before the rollback".into() }
            }
            Status::Forward(_) | Status::Undo { .. } => continue,
        };
        ask(d, kind)?;
    }
    Ok(())
}

fn probe_again(d: &mut Draft<'_>, ix: StepIx) -> Result<Reply, Illegal> {
    let unknown = matches!(d.run().step(ix).status, Status::Forward(Forward::Unknown { probing: false, .. }));
    if !unknown || d.run().rollback.is_some() || d.run().plan.step(ix).probe.is_none() {
        let hint = "`resolve STEP --happened | --did-not-happen` says what a person found";
        return Ok(Reply::refused(format!("`{}` is not unknown, or has no probe", id(d, ix)), hint));
    }
    answered(d, ix, "look again")?;
    failures::look(d, ix)?;
    Ok(Reply::Done)
}

/// Another try, a waiver or a word for an undo, a fence step or a rollback check.
fn undo(d: &mut Draft<'_>, ix: StepIx, event: Event) -> Result<Reply, Illegal> {
    let step = id(d, ix);
    let ordered = d.run().rollback.as_ref().is_some_and(|rollback| rollback.ordered);
    let partial = d.run().partial.contains(&ix);
    if !ordered && !partial {
        return Ok(Reply::refused("the run is not on its way back", "`rollback` begins the way back"));
    }
    let late = |kind: &QuestionKind| matches!(kind, QuestionKind::OutOfTime { step: about } if *about == step);
    if matches!(event, Event::UndoReadied { .. }) && d.run().questions.values().any(|question| late(&question.kind)) {
        return stop_and_see(d, ix, Direction::Undo);
    }
    let (again, waives) = (matches!(event, Event::UndoReadied { .. }), matches!(event, Event::UndoWaived { .. }));
    if waives && let Some(refused) = may_not_waive(d.run(), ix) {
        return Ok(refused);
    }
    // Who did by hand what a dead engine had begun says so before the next one begins it again.
    let of_the_dead = d.is_unattended() && !again && !waives;
    let open = match &d.run().step(ix).status {
        Status::Undo { state, .. } => match state {
            UndoState::Failed { .. } | UndoState::Backoff { .. } => true,
            UndoState::Pending | UndoState::Waiting { .. } => !again,
            // What may still run must not be undone beside it.
            UndoState::Unknown { .. } => !(again && d.run().step(ix).unsettled),
            UndoState::Undoing(_) => of_the_dead,
            UndoState::Undone { .. } | UndoState::Waived => false,
        },
        Status::Forward(forward) => {
            matches!(d.run().plan.step(ix).section, Section::Fence | Section::RollbackCheck)
                && match forward {
                    Forward::Failed { .. } | Forward::Unknown { .. } | Forward::Backoff { .. } => true,
                    Forward::Pending | Forward::Ready | Forward::Waiting { .. } => !again,
                    Forward::Running(_) => of_the_dead,
                    Forward::Succeeded | Forward::Skipped { .. } | Forward::NotRun => false,
                }
        }
    };
    if !open {
        let hint = match d.run().undo(ix) {
            Some(UndoState::Undoing(_)) => "it is under way: wait for its end",
            Some(UndoState::Pending) => "its turn comes by itself",
            Some(UndoState::Unknown { .. }) => {
                "what could not be proved stopped is resolved first: `resolve STEP --happened | --did-not-happen`"
            }
            Some(
                UndoState::Waiting { .. }
                | UndoState::Backoff { .. }
                | UndoState::Undone { .. }
                | UndoState::Failed { .. }
                | UndoState::Waived,
            )
            | None => "`bascule status` shows where it stands",
        };
        return Ok(Reply::refused(format!("the undo of `{step}` is not waiting for a word"), hint));
    }
    for direction in [Direction::Forward, Direction::Undo] {
        if d.run().live.contains(&(ix, direction)) {
            // The next engine ends what is left of it all the same.
            let failure = Failure::new("its engine died, and a person did it by hand");
            recover::died_with_its_engine(d, ix, direction, failure)?;
        }
    }
    d.emit(event)?;
    let answer = match (again, waives) {
        (true, _) => "try again",
        (false, true) => "go on without it",
        (false, false) => "done by hand",
    };
    answered(d, ix, answer)?;
    Ok(Reply::Done)
}

/// Of the four stages only the data may be waived: users are not sent to a source that is down, nor
/// is data brought home while the target still writes.
pub(super) fn may_not_waive(run: &Run, ix: StepIx) -> Option<Reply> {
    let hint = "do it by hand, then `undo done STEP`";
    if run.partial.contains(&ix) {
        return Some(Reply::refused("a part of it stands: going on without taking it back would do it twice", hint));
    }
    match stage(&run.plan, ix).filter(|_| run.rollback.as_ref().is_some_and(|back| back.line.restores(ix))) {
        Some(Stage::Fence) => Some(Reply::refused("without the fence the target's users go on writing", hint)),
        Some(Stage::SourceUp) => Some(Reply::refused("users would be sent to a source that is down", hint)),
        Some(Stage::Data | Stage::Traffic) | None => None,
    }
}
