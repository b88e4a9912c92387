//! The way back: decided, settled, ordered, restored, checked, cleaned up.

use super::apply::{Illegal, ms};
use super::attempts;
use super::books::may_stand;
use super::checks;
use super::decide::{ask, close};
use super::draft::{Draft, Now};
use super::eval;
use super::event::Event;
use super::fact::{Cause, Direction, Failure, Interruption, Ordered};
use super::forward;
use super::question::QuestionKind;
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status};
use super::turns::{Part, Standing, standing};
use super::undoing;
use crate::plan::policy::DataAnswer;
use crate::plan::rollback::{Applied, order};
use crate::plan::step::{Probe, Undo};
use crate::plan::{RollbackOrder, Section, StepId, StepIx, UndoNode};

/// Whether a trip or a failure may go back by itself now; otherwise why not.
///
/// # Errors
/// Why a person must decide instead.
pub fn may_act(run: &Run, now: Now) -> Result<(), String> {
    if run.irreversible.is_some() {
        return Err("an irreversible step was passed".to_owned());
    }
    if run.commit_intended {
        return Err("the commit has begun".to_owned());
    }
    let Some(since) = run.possibly_exposed else { return Ok(()) };
    if !run.window_open(now.steady) {
        return Err("the rollback window is over".to_owned());
    }
    let writes = now.steady.saturating_sub(since);
    match &run.plan.policies.data {
        DataAnswer::ReverseSync | DataAnswer::Stateless => Ok(()),
        DataAnswer::AcceptLoss { up_to_ms, .. } if writes <= ms(*up_to_ms) => Ok(()),
        DataAnswer::AcceptLoss { up_to_ms, .. } => Err(format!(
            "{} of users' writes would be lost; the runbook accepts {}",
            minutes(writes),
            minutes(ms(*up_to_ms))
        )),
        DataAnswer::Unanswered => {
            Err(format!("the plan has no answer for {} of users' writes on the target", minutes(writes)))
        }
    }
}

/// Whether a failure may go back by itself: while people decide something else, it is one more question.
pub(super) fn may_act_alone(d: &Draft<'_>) -> Result<(), String> {
    if d.run().state == RunState::Deciding && !d.run().questions.is_empty() {
        return Err("other questions are open".to_owned());
    }
    may_act(d.run(), d.now())
}

fn minutes(ms: i64) -> String {
    if ms < 60_000 { format!("{} s", ms / 1000) } else { format!("{} min", ms / 60_000) }
}

/// Decides to go back: no new forward attempt from here on; what runs is stopped, and what nobody
/// knows the end of is looked at while the rest settles.
pub(super) fn decide(d: &mut Draft<'_>, because: Cause, ends: RunState) -> Result<(), Illegal> {
    let settle_by = d.now().steady.saturating_add(ms(d.run().plan.policies.settle_within_ms));
    close(d, Some("roll back"), |_| true)?;
    d.emit(Event::RollbackDecided { because: because.clone(), settle_by, ends })?;
    if d.run().state != RunState::RollingBack {
        d.emit(Event::Moved { to: RunState::RollingBack, because })?;
    }
    stop_live(d)?;
    let unproved: Vec<StepIx> = undone_sections(d.run())
        .filter(|ix| d.run().step(*ix).unsettled && d.run().plan.step(*ix).probe.is_some())
        .filter(|ix| matches!(d.run().step(*ix).status, Status::Forward(Forward::Unknown { probing: false, .. })))
        .collect();
    for ix in unproved {
        look_again(d, ix)?;
    }
    Ok(())
}

fn undone_sections(run: &Run) -> impl Iterator<Item = StepIx> + use<> {
    run.plan.section(Section::Prepare).chain(run.plan.section(Section::Cutover))
}

/// Asks the probe of a step whose end is not proved, on the way back.
pub(super) fn look_again(d: &mut Draft<'_>, ix: StepIx) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let step = plan.step(ix);
    let call = match &step.probe {
        Some(Probe::Call { call, .. }) => match eval::resolve(d.run(), call) {
            Ok(call) => call,
            // It stays unproved: neither run again nor undone.
            Err(_) => return Ok(()),
        },
        Some(Probe::Native) => None,
        None => return Ok(()),
    };
    d.emit(Event::ProbeIntended { step: step.id.clone(), direction: Direction::Forward, call })
}

/// Asks every forward attempt to stop.
fn stop_live(d: &mut Draft<'_>) -> Result<(), Illegal> {
    stop(d, |_, direction| direction == Direction::Forward)
}

/// Asks the attempts that `which` picks to stop.
pub(super) fn stop(d: &mut Draft<'_>, which: impl Fn(StepIx, Direction) -> bool) -> Result<(), Illegal> {
    let live: Vec<(StepIx, Direction)> = d.run().live.iter().copied().filter(|(ix, way)| which(*ix, *way)).collect();
    for (ix, direction) in live {
        let attempt = attempts::under_way(d, ix, direction).filter(|attempt| attempt.interrupted.is_none());
        let Some(attempt) = attempt.map(|attempt| attempt.number) else { continue };
        let step = d.run().plan.step(ix).id.clone();
        d.emit(Event::Interrupted { step, attempt, direction, why: Interruption::Stopping })?;
    }
    Ok(())
}

/// Takes the next turn of a rollback, if one can be taken.
pub(super) fn advance(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let Some(rollback) = &d.run().rollback else {
        return Err(Illegal::Needs { event: "a turn of a rollback", needs: "a decision" });
    };
    if !rollback.ordered {
        return settle(d);
    }
    if rollback.line.is_busy() {
        return Ok(());
    }
    if let Some(place) = rollback.line.next(Part::Restore) {
        let ix = rollback.restore[place].step;
        return undoing::start_turn(d, ix);
    }
    if !rollback.line.is_well(Part::Restore) {
        return d.emit(Event::Moved { to: RunState::Stuck, because: Cause::NothingProceeds });
    }
    if rollback.restored.is_none() && !check_restored(d)? {
        return Ok(());
    }
    let Some(rollback) = &d.run().rollback else { return Ok(()) };
    // What was built stays while the source cannot be verified, because it stays down.
    let cleans = rollback.restored.is_some() || d.run().first_effect.is_none();
    match rollback.line.next(Part::Cleanup).filter(|_| cleans) {
        Some(place) => {
            let ix = rollback.cleanup[place].step;
            undoing::start_turn(d, ix)
        }
        // A failed clean-up is residue for the morning; it keeps nobody awake.
        None => finish(d),
    }
}

/// Waits for running attempts, up to the deadline; then fixes the order.
fn settle(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let settle_by = d.run().rollback.as_ref().map_or(0, |rollback| rollback.settle_by);
    if forward::effect_under_way(d) || d.run().probing.iter().any(|(_, way)| *way == Direction::Forward) {
        if d.now().steady < settle_by {
            return Ok(());
        }
        let live: Vec<StepIx> = d
            .run()
            .live
            .iter()
            .filter(|(ix, way)| *way == Direction::Forward && checks::has_effect(d, *ix))
            .map(|(ix, _)| *ix)
            .collect();
        for ix in live {
            let step = d.run().plan.step(ix).id.clone();
            let failure = Failure::new("it could not be proved stopped in time");
            d.emit(Event::OutcomeUnknown { step, direction: Direction::Forward, failure })?;
        }
    }
    let Orders { order, stays } = what_to_undo(d.run());
    let name = |nodes: &[UndoNode]| nodes.iter().map(|node| ordered(d.run(), node)).collect();
    let (restore, cleanup) = (name(&order.restore), name(&order.cleanup));
    let stays = stays.into_iter().map(|(ix, why)| (d.run().plan.step(ix).id.clone(), why)).collect();
    d.emit(Event::RollbackOrdered { restore, cleanup, stays })?;
    undoing::not_needed(d)
}

/// What a rollback takes back as things stand.
#[derive(Debug, Clone)]
pub struct Orders {
    /// Both parts, in order.
    pub order: RollbackOrder,
    /// Had an effect and stays applied, with the reason.
    pub stays: Vec<(StepIx, String)>,
}

/// What a rollback would take back if it were decided now and everything that runs had stopped.
#[must_use]
pub fn what_to_undo(run: &Run) -> Orders {
    let plan = &run.plan;
    let kept = kept(run);
    let stays_down = source_stays_down(run);
    let mut applied = Vec::new();
    let mut stays = Vec::new();
    for ix in undone_sections(run).filter(|ix| may_stand(run, *ix)) {
        let step = plan.step(ix);
        if kept.contains(&ix) {
            stays.push((ix, "it stands before or at an irreversible step".to_owned()));
            continue;
        }
        match &step.undo {
            Undo::Action(_) if step.exposes && stays_down => {
                stays.push((ix, "the source stays down: users would be sent to nothing".to_owned()));
            }
            Undo::Action(_) => applied.push(Applied { step: ix, completed: run.step(ix).completed }),
            Undo::Nothing { reason: Some(reason) } => stays.push((ix, reason.clone())),
            Undo::Nothing { reason: None } => {}
            Undo::Irreversible => stays.push((ix, "it cannot be taken back".to_owned())),
        }
    }
    Orders { order: order(plan, &applied, run.possibly_exposed.is_some()), stays }
}

/// Whether users would be served by the source after a way back, as far as the plan goes: not where an irreversible step
/// keeps what took the source down, or what sent them away.
#[must_use]
pub fn ends_at_the_source(run: &Run) -> bool {
    let keeps_users = || {
        let kept = kept(run);
        run.possibly_exposed.is_some() && run.plan.exposing().is_some_and(|ix| kept.contains(&ix))
    };
    !source_stays_down(run) && !keeps_users()
}

/// Irreversible steps that may stand, and everything that they stand on: nothing of it is undone.
fn kept(run: &Run) -> std::collections::BTreeSet<StepIx> {
    let mut kept = std::collections::BTreeSet::new();
    if run.irreversible.is_none() {
        return kept;
    }
    for ix in undone_sections(run).filter(|ix| run.plan.step(*ix).is_irreversible() && may_stand(run, *ix)) {
        kept.insert(ix);
        kept.extend(run.plan.dag().ancestors(ix));
    }
    kept
}

/// Whether the source cannot come back, because a step that took it down is not undone.
fn source_stays_down(run: &Run) -> bool {
    kept(run).iter().any(|ix| run.plan.step(*ix).takes_source_down && may_stand(run, *ix))
}

fn ordered(run: &Run, node: &UndoNode) -> Ordered {
    let names = |places: &[StepIx]| places.iter().map(|ix| run.plan.step(*ix).id.clone()).collect();
    Ordered {
        step: run.plan.step(node.step).id.clone(),
        stage: node.stage,
        after: names(&node.after),
        blocked_by: names(&node.blocked_by),
    }
}

/// Runs the rollback checks; true once nothing more is to be found out: the source is known to
/// serve, or there is nothing to ask of it.
fn check_restored(d: &mut Draft<'_>) -> Result<bool, Illegal> {
    if d.run().first_effect.is_none() || source_stays_down(d.run()) {
        return Ok(true);
    }
    forward::dispatch_looking(d, Section::RollbackCheck)?;
    let run = d.run();
    let (mut waiting, mut live, mut badly) = (false, false, false);
    for ix in run.plan.section(Section::RollbackCheck) {
        match standing(run, ix) {
            Standing::Waiting => waiting = true,
            Standing::Live => live = true,
            Standing::Badly => badly = true,
            Standing::Well => {}
        }
    }
    // One that waits for another that failed cannot be had either.
    if live || waiting && !badly {
        return Ok(false);
    }
    if badly {
        d.emit(Event::Moved { to: RunState::Stuck, because: Cause::NothingProceeds })?;
        return Ok(false);
    }
    d.emit(Event::ServiceRestored)?;
    Ok(true)
}

/// Both parts are over.
fn finish(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if !d.run().questions.is_empty() {
        // Something came to light on the way that nobody has answered yet.
        return d.emit(Event::Moved { to: RunState::Deciding, because: Cause::Questions });
    }
    let ends = d.run().rollback.as_ref().map_or(RunState::RolledBack, |rollback| rollback.ends);
    if let Some(passed) = d.run().irreversible.filter(|_| ends == RunState::RolledBack) {
        let step = d.run().plan.step(passed).id.clone();
        return ask(d, QuestionKind::PastIrreversible { step });
    }
    let left = leftovers(d.run());
    if !left.is_empty() {
        d.emit(Event::Residue { left })?;
    }
    d.emit(Event::Moved { to: ends, because: Cause::WentBack })
}

/// What a rollback leaves behind, with a word on each.
fn leftovers(run: &Run) -> Vec<(StepId, String)> {
    let Some(rollback) = &run.rollback else { return Vec::new() };
    let name = |ix: StepIx| run.plan.step(ix).id.clone();
    let mut left: Vec<(StepId, String)> = rollback.stays.iter().map(|(ix, why)| (name(*ix), why.clone())).collect();
    let turns = rollback.restore.iter().chain(&rollback.cleanup);
    left.extend(turns.filter_map(|turn| Some((name(turn.step), run.undo(turn.step)?.why_it_stays()?))));
    left
}

/// A person's word may have freed a turn.
pub(super) fn stuck(d: &mut Draft<'_>) -> Result<(), Illegal> {
    let run = d.run();
    let Some(rollback) = &run.rollback else { return Ok(()) };
    let free = rollback.line.is_busy() || rollback.line.next(Part::Restore).is_some();
    let checks_bad = run.plan.section(Section::RollbackCheck).any(|ix| standing(run, ix) == Standing::Badly);
    if free || rollback.line.is_well(Part::Restore) && !checks_bad {
        return d.emit(Event::Moved { to: RunState::RollingBack, because: Cause::UndoResolved });
    }
    Ok(())
}
