//! Policy: from state and input to events.
//!
//! An input is handled, then the run *settles*: it looks at what it is, not at how it came there,
//! and decides whatever follows, until nothing does. Recovery therefore needs no code path of its
//! own: replay, then [`Input::Recovered`].

use super::apply::Illegal;
use super::draft::{Draft, Room};
use super::event::Event;
use super::fact::{Cause, Direction};
use super::input::{Input, Reply};
use super::question::QuestionKind;
use super::run_state::RunState;
use super::{attempts, checks, criteria, forward, recover, rollback, start, ticks, verbs, window_rules};

/// Handles one input and settles the run.
///
/// # Errors
/// A bug of ours: an event that `apply` refuses. The run stops; nothing is guessed.
pub fn decide(draft: &mut Draft<'_>, input: Input) -> Result<Reply, Illegal> {
    let is_tick = input == Input::Tick;
    let reply = handle(draft, input)?;
    draft.set_author(None, None);
    settle(draft)?;
    // What was decided may itself be due already: nobody has to be woken for it.
    for _round in 0..most_rounds(draft) {
        if !is_tick || draft.run().wakes_at().is_none_or(|at| at > draft.now().steady) {
            return Ok(reply);
        }
        let before = draft.run().sequence;
        ticks::tick(draft)?;
        settle(draft)?;
        // On a full disk some times wait.
        if draft.room() != Room::Enough && draft.run().sequence == before {
            return Ok(reply);
        }
    }
    Err(Illegal::Endless("a tick"))
}

/// Handles one input and leaves what follows from it to the next engine: nothing is dispatched.
///
/// For a process that owns the run's log for a moment without executing it.
///
/// # Errors
/// As [`decide`].
pub fn note_down(draft: &mut Draft<'_>, input: Input) -> Result<Reply, Illegal> {
    let reply = handle(draft, input)?;
    draft.set_author(None, None);
    Ok(reply)
}

fn handle(d: &mut Draft<'_>, input: Input) -> Result<Reply, Illegal> {
    match input {
        Input::Begin { missing } => start::begin(d, missing)?,
        Input::Recovered { owner, away_ms, unended } => recover::recovered(d, owner, away_ms, &unended)?,
        Input::Tick => ticks::tick(d)?,
        Input::Ended { step, direction, attempt, outcome, verify, log } => {
            attempts::ended(d, attempts::Ended { step, direction, attempt, outcome, verify, log })?;
        }
        Input::Handle { step, direction, attempt, handle } => attempts::handle(d, step, direction, attempt, handle)?,
        Input::Probed { step, direction, outcome } => attempts::probed(d, step, direction, outcome)?,
        Input::Sampled { criterion, planned, outcome } => criteria::sampled(d, criterion, planned, outcome)?,
        Input::LocksGranted { scope } => start::locks_granted(d, scope)?,
        Input::LocksAwaited { scope, held_by } => start::locks_awaited(d, scope, held_by)?,
        // Told to every run of an engine; one that is over has no use for it.
        Input::ClockJumped { .. }
        | Input::StoreBack { .. }
        | Input::RequirementRolledBack { .. }
        | Input::PluginChanged { .. }
            if d.run().state.is_final() => {}
        Input::RequirementRolledBack { app, decided } => start::requirement_rolled_back(d, app, decided)?,
        Input::PluginChanged { executor } => ask(d, QuestionKind::PluginChanged { executor })?,
        Input::ClockJumped { by_ms } => d.emit(Event::ClockJumped { by_ms })?,
        Input::StoreBack { gap_ms } => d.emit(Event::StoreGap { gap_ms })?,
        Input::Verb { verb, by, reason } => {
            // A blank reason says nothing, and is none.
            d.set_author(Some(by), reason.filter(|reason| !reason.trim().is_empty()));
            return verbs::verb(d, verb);
        }
    }
    Ok(Reply::Done)
}

/// How many rounds of decisions may follow one input before it is a bug: a turn of a rollback per
/// step that needs nothing, and some.
fn most_rounds(d: &Draft<'_>) -> usize {
    4 * d.run().plan.steps.len() + 64
}

/// Decides whatever follows, until nothing does.
fn settle(d: &mut Draft<'_>) -> Result<(), Illegal> {
    for _round in 0..most_rounds(d) {
        let before = d.run().sequence;
        match d.run().state {
            RunState::Created => start::created(d)?,
            RunState::Checking => checks::checking(d)?,
            RunState::Preparing => forward::preparing(d)?,
            RunState::Prepared => forward::prepared(d)?,
            RunState::CuttingOver => forward::cutting_over(d)?,
            RunState::Observing => window_rules::observing(d)?,
            RunState::Accepted => window_rules::accepted(d)?,
            RunState::Committing => forward::committing(d)?,
            RunState::Deciding => deciding(d)?,
            RunState::RollingBack => rollback::advance(d)?,
            RunState::Stuck => rollback::stuck(d)?,
            RunState::Refused
            | RunState::Cancelled
            | RunState::Committed
            | RunState::RolledBack
            | RunState::ClosedWithResidue => return Ok(()),
        }
        if d.run().sequence == before {
            return Ok(());
        }
    }
    Err(Illegal::Endless(d.records().last().map_or("nothing", |record| record.event.word())))
}

/// The last answer leads back to where the run was.
fn deciding(d: &mut Draft<'_>) -> Result<(), Illegal> {
    if !d.run().questions.is_empty() {
        // What may not wait for an answer: readiness checks and repeated post-checks only look.
        return checks::keep_looking(d);
    }
    let Some(left) = d.run().left else { return Ok(()) };
    d.emit(Event::Moved { to: left, because: Cause::Answered })
}

/// Asks, unless the same is asked already, and turns to `deciding` where the run can wait there.
pub(super) fn ask(d: &mut Draft<'_>, kind: QuestionKind) -> Result<(), Illegal> {
    // What comes to light on the way back does not hold it up, because users wait for it: it is answered
    // at its end.
    let waits = holds_up_a_rollback(&kind);
    if !d.run().questions.values().any(|question| question.kind == kind) {
        let question = d.run().asked + 1;
        d.emit(Event::Asked { question, kind })?;
    }
    match d.run().state {
        RunState::RollingBack if !waits => Ok(()),
        RunState::Checking
        | RunState::Preparing
        | RunState::Prepared
        | RunState::CuttingOver
        | RunState::Observing
        | RunState::Committing
        | RunState::RollingBack => d.emit(Event::Moved { to: RunState::Deciding, because: Cause::Questions }),
        RunState::Created
        | RunState::Accepted
        | RunState::Deciding
        | RunState::Stuck
        | RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => Ok(()),
    }
}

/// Whether a rollback stops until a question is answered.
pub(super) fn holds_up_a_rollback(kind: &QuestionKind) -> bool {
    match kind {
        QuestionKind::LateEffect { .. }
        | QuestionKind::OutOfTime { .. }
        | QuestionKind::UndoByHand { .. }
        | QuestionKind::Amendment { .. }
        | QuestionKind::UnknownOutcome { direction: Direction::Undo, .. } => false,
        QuestionKind::UnknownOutcome { direction: Direction::Forward, .. }
        | QuestionKind::StepFailed { .. }
        | QuestionKind::PartialEffect { .. }
        | QuestionKind::CheckInconclusive { .. }
        | QuestionKind::ValueUnknown { .. }
        | QuestionKind::Tripped { .. }
        | QuestionKind::Blind { .. }
        | QuestionKind::PostCheckFailed { .. }
        | QuestionKind::GateUnmet { .. }
        | QuestionKind::AwayTooLong { .. }
        | QuestionKind::StaleCheck { .. }
        | QuestionKind::Denied { .. }
        | QuestionKind::Irreversible { .. }
        | QuestionKind::PastIrreversible { .. }
        | QuestionKind::LateStepFailed { .. }
        | QuestionKind::StartWindowEnded { .. }
        | QuestionKind::TurnBack { .. }
        | QuestionKind::RequirementRolledBack { .. }
        | QuestionKind::PluginChanged { .. } => true,
    }
}

/// Closes every question that `which` picks; `answer` says how, or that events overtook it.
pub(super) fn close(
    d: &mut Draft<'_>,
    answer: Option<&str>,
    which: impl Fn(&QuestionKind) -> bool,
) -> Result<(), Illegal> {
    let ids: Vec<u32> =
        d.run().questions.values().filter(|question| which(&question.kind)).map(|question| question.id).collect();
    for question in ids {
        d.emit(Event::Closed { question, answer: answer.map(str::to_owned) })?;
    }
    Ok(())
}
