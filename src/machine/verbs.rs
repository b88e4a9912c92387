//! What people may say, when it is legal, and what follows. Refusals name what is legal instead.

use std::sync::Arc;

use super::apply::{Illegal, ms};
use super::books::may_stand;
use super::checks;
use super::criteria;
use super::decide::{close, holds_up_a_rollback};
use super::draft::Draft;
use super::event::Event;
use super::fact::Cause;
use super::forward;
use super::input::{Reply, Verb};
use super::question::QuestionKind;
use super::rollback;
use super::run::Run;
use super::run_state::RunState;
use super::state::UndoState;
use super::timers::Timer;
use super::verbs_go;
use super::verbs_step;
use super::window_rules;
use crate::plan::Section;

/// Handles a verb.
pub(super) fn verb(d: &mut Draft<'_>, verb: Verb) -> Result<Reply, Illegal> {
    if d.run().state.is_final() && !matches!(verb, Verb::Note { .. } | Verb::InCharge { .. }) {
        let why = format!("the run is over: {}", d.run().state);
        return Ok(Reply::refused(why, "`bascule report` shows what happened; `note` can still be added"));
    }
    if verb.wants_reason() && !d.has_reason() {
        let hint = "add `--reason \"…\"`: it is written into the run's log";
        return Ok(Reply::refused("this needs a reason, and a blank one is none", hint));
    }
    match verb {
        Verb::Go => go(d),
        Verb::GoAt { at } => verbs_go::go_at(d, at),
        Verb::Resume => resume(d),
        Verb::Pause => pause(d),
        Verb::Cancel => cancel(d),
        Verb::Rollback => rollback_asked(d),
        Verb::ContinueRollback => continue_rollback(d),
        Verb::WindowExtend { by_ms } => extend_window(d, by_ms),
        Verb::Commit => commit(d),
        Verb::Accept => accept(d),
        Verb::Close => close_run(d),
        Verb::ForwardAgain => forward_again(d),
        Verb::GoOn { question } => go_on(d, question),
        Verb::Note { text, attachments } => done(d, Event::Noted { text, attachments }),
        Verb::InCharge { who } => done(d, Event::InCharge { who }),
        Verb::Disarm { criterion, for_ms } => disarm(d, &criterion, for_ms),
        Verb::SignOff { role } => sign_off(d, role),
        Verb::ConfirmClock => {
            if d.run().clock_in_doubt {
                done(d, Event::ClockConfirmed)
            } else {
                Ok(Reply::refused("the clock is not in doubt", "nothing to confirm"))
            }
        }
        Verb::Amend { .. }
        | Verb::Extend { .. }
        | Verb::Retry { .. }
        | Verb::Skip { .. }
        | Verb::Waive { .. }
        | Verb::Happened { .. }
        | Verb::DidNotHappen { .. }
        | Verb::ItFailed { .. }
        | Verb::ProbeAgain { .. }
        | Verb::Approve { .. }
        | Verb::Reject { .. }
        | Verb::UndoRetry { .. }
        | Verb::UndoWaive { .. }
        | Verb::UndoDone { .. } => verbs_step::verb(d, verb),
    }
}

pub(super) fn done(d: &mut Draft<'_>, event: Event) -> Result<Reply, Illegal> {
    d.emit(event)?;
    Ok(Reply::Done)
}

fn go(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if d.run().state != RunState::Prepared {
        let why = format!("`go` is the word for a prepared run; this one is {}", d.run().state);
        return Ok(Reply::refused(why, "`bascule status` shows what it waits for"));
    }
    // The word is for forward work: what only a restart holds back needs no second one. A person's pause stays.
    if d.run().hold.as_ref().is_some_and(|hold| hold.restart) {
        d.emit(Event::Resumed)?;
    }
    forward::give_go(d)?;
    Ok(Reply::Done)
}

/// Ends every kind of stop.
fn resume(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    let waits = is_asked(d, |kind| matches!(kind, QuestionKind::AwayTooLong { .. }));
    let hold = d.run().hold.clone();
    if hold.is_none() && !waits {
        return Ok(Reply::refused("nothing holds the run", "`bascule status` shows what it does"));
    }
    if let Some(hold) = hold {
        d.emit(Event::Resumed)?;
        if matches!(d.run().stands_in(), RunState::CuttingOver | RunState::Preparing | RunState::Prepared) {
            // After an interruption also those that always run again.
            checks::recheck_stale(d, hold.restart)?;
        }
    }
    if waits { continue_rollback(d) } else { Ok(Reply::Done) }
}

fn is_asked(d: &Draft<'_>, which: impl Fn(&QuestionKind) -> bool) -> bool {
    d.run().questions.values().any(|question| which(&question.kind))
}

fn pause(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if d.run().hold.is_some() {
        return Ok(Reply::refused("the run is held already", "`resume` lets it go on"));
    }
    done(d, Event::Held { restart: false })
}

fn cancel(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if d.run().first_effect.is_some() && d.run().rollback.is_some() {
        return Ok(Reply::refused("the run is on its way back already", "`undo retry|waive|done STEP` helps it on"));
    }
    if d.run().first_effect.is_some() {
        return Ok(Reply::refused(
            "the cutover has begun: cancelling would leave it half done",
            "`rollback` takes it back",
        ));
    }
    // Also while it waits for a word, in `deciding`: an order is given once.
    if d.run().rollback.is_some() {
        return Ok(Reply::refused("the preparation is being undone already", "`status` shows how far it is"));
    }
    forward::end_untouched(d, Cause::Person, RunState::Cancelled)?;
    Ok(Reply::Done)
}

/// Whether a person may go back now; otherwise what is legal instead.
///
/// # Errors
/// Why not, and what is legal instead.
pub fn may_roll_back(run: &Run) -> Result<(), (String, &'static str)> {
    if run.commit_intended {
        return Err(("the commit has begun: the way back is gone".to_owned(), "`close` ends the run as it stands"));
    }
    match run.state {
        RunState::CuttingOver | RunState::Observing | RunState::Accepted => Ok(()),
        RunState::Deciding if run.rollback.is_none() => Ok(()),
        RunState::Created | RunState::Checking | RunState::Preparing | RunState::Prepared => {
            Err(("nothing was cut over yet".to_owned(), "`cancel` ends the run and undoes its preparation"))
        }
        RunState::Deciding | RunState::RollingBack | RunState::Stuck => {
            Err(("the run is on its way back already".to_owned(), "`undo retry|waive|done STEP` helps it on"))
        }
        RunState::Committing => Err(("the run is being committed".to_owned(), "`pause` stops further commit steps")),
        RunState::Refused
        | RunState::Cancelled
        | RunState::Committed
        | RunState::RolledBack
        | RunState::ClosedWithResidue => Err(("the run is over".to_owned(), "`report` shows what happened")),
    }
}

fn rollback_asked(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if let Err((why, hint)) = may_roll_back(d.run()) {
        return Ok(Reply::refused(why, hint));
    }
    if d.run().first_effect.is_none()
        && matches!(d.run().left, Some(RunState::Checking | RunState::Preparing | RunState::Prepared))
    {
        return cancel(d);
    }
    rollback::decide(d, Cause::Person, RunState::RolledBack)?;
    Ok(Reply::Done)
}

fn continue_rollback(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if !is_asked(d, |kind| matches!(kind, QuestionKind::AwayTooLong { .. })) {
        return Ok(Reply::refused("no rollback waits for a word", "`rollback` begins one"));
    }
    d.emit(Event::RollbackContinued)?;
    close(d, Some("go on with the rollback"), |kind| matches!(kind, QuestionKind::AwayTooLong { .. }))?;
    let held_up = is_asked(d, holds_up_a_rollback);
    if !held_up && d.run().left == Some(RunState::RollingBack) {
        // What else is asked can be answered while users are brought back.
        d.emit(Event::Moved { to: RunState::RollingBack, because: Cause::Answered })?;
    }
    Ok(Reply::Done)
}

fn extend_window(d: &mut Draft<'_>, by_ms: u64) -> Result<Reply, Illegal> {
    let Some(window) = d.run().window.clone() else {
        return Ok(Reply::refused("no window is open", "the window opens with exposure"));
    };
    let open = matches!(d.run().state, RunState::CuttingOver | RunState::Observing | RunState::Deciding);
    if !open || d.run().rollback.is_some() || d.run().commit_intended {
        let why = format!("a run that is {} has no window to extend", d.run().state);
        return Ok(Reply::refused(why, "`rollback` still works by hand where nothing was committed"));
    }
    // From now, if it is over: an extension into the past would help nobody.
    let from = window.deadline.max(d.now().steady);
    d.emit(Event::WindowExtended { deadline: from.saturating_add(ms(by_ms)) })?;
    close(d, Some("extend the window"), |kind| matches!(kind, QuestionKind::GateUnmet { .. }))?;
    criteria::rearm_all(d)?;
    Ok(Reply::Done)
}

fn commit(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if d.run().state != RunState::Accepted {
        let why = format!("only an accepted run can be committed; this one is {}", d.run().state);
        return Ok(Reply::refused(why, "`accept` takes the target as it is, after exposure"));
    }
    if d.run().hold.is_some() {
        return Ok(Reply::refused("the run is held", "`resume` ends the hold; then `commit`"));
    }
    if !d.run().questions.is_empty() {
        return Ok(Reply::refused("a question is open", "`bascule status` lists it; answer it first"));
    }
    window_rules::commit(d)?;
    Ok(Reply::Done)
}

/// Whether a person may accept now; otherwise why not.
///
/// # Errors
/// Why not.
pub fn may_accept(run: &Run) -> Result<(), String> {
    if run.exposed.is_none() {
        return Err("no user can reach the target yet".to_owned());
    }
    if run.rollback.is_some() {
        return Err("the run is on its way back".to_owned());
    }
    if run.left == Some(RunState::Committing) {
        return Err("the run was accepted, and is being committed".to_owned());
    }
    let open = run.plan.section(Section::Cutover).find(|ix| !run.forward(*ix).satisfies());
    if let Some(ix) = open {
        return Err(format!("`{}` has neither succeeded nor been skipped", run.plan.step(ix).id));
    }
    if !matches!(run.state, RunState::Observing | RunState::Deciding) {
        return Err(format!("a run that is {} cannot be accepted", run.state));
    }
    Ok(())
}

fn accept(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if let Err(why) = may_accept(d.run()) {
        return Ok(Reply::refused(why, "`bascule status` shows what is open"));
    }
    let gaps = window_rules::gaps(d.run(), d.now().steady);
    d.emit(Event::GateJudged { gaps })?;
    close(d, Some("accept"), |_| true)?;
    let checks = d.run().plan.section(Section::PostCheck);
    rollback::stop(d, |ix, _| checks.contains(&ix))?;
    done(d, Event::Moved { to: RunState::Accepted, because: Cause::Person })
}

fn close_run(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    let left: Vec<_> = (0..d.run().steps.len())
        .filter(|ix| d.run().plan.step(*ix).section.is_undone() && may_stand(d.run(), *ix))
        .filter(|ix| !matches!(d.run().undo(*ix), Some(UndoState::Undone { .. })))
        .map(|ix| {
            let live = d.run().step(ix).status.is_live();
            let why = d.run().undo(ix).and_then(UndoState::why_it_stays);
            let word = if live {
                "was still under way".to_owned()
            } else {
                why.unwrap_or_else(|| "nothing took it back".to_owned())
            };
            (d.run().plan.step(ix).id.clone(), word)
        })
        .collect();
    close(d, Some("close"), |_| true)?;
    rollback::stop(d, |_, _| true)?;
    d.emit(Event::Residue { left })?;
    done(d, Event::Moved { to: RunState::ClosedWithResidue, because: Cause::Person })
}

fn forward_again(d: &mut Draft<'_>) -> Result<Reply, Illegal> {
    if !is_asked(d, |kind| matches!(kind, QuestionKind::PastIrreversible { .. })) {
        let hint = "it is an answer once a rollback stopped at an irreversible step";
        return Ok(Reply::refused("forward again is not asked", hint));
    }
    close(d, Some("forward again"), |_| true)?;
    d.emit(Event::ForwardAgain)?;
    d.emit(Event::Moved { to: RunState::CuttingOver, because: Cause::Person })?;
    checks::recheck_stale(d, true)?;
    verbs_step::ask_about_leftovers(d)?;
    Ok(Reply::Done)
}

/// Goes on past a question that leaves the run as it is.
fn go_on(d: &mut Draft<'_>, question: u32) -> Result<Reply, Illegal> {
    let Some(open) = d.run().questions.get(&question).cloned() else {
        return Ok(Reply::refused(format!("question {question} is not open"), "`bascule status` lists the open ones"));
    };
    let turn_back = matches!(open.kind, QuestionKind::TurnBack { .. });
    match open.kind {
        QuestionKind::Tripped { .. }
        | QuestionKind::Blind { .. }
        | QuestionKind::LateEffect { .. }
        | QuestionKind::TurnBack { .. }
        | QuestionKind::PostCheckFailed { .. }
        | QuestionKind::RequirementRolledBack { .. }
        | QuestionKind::CheckInconclusive { .. }
        | QuestionKind::StartWindowEnded { .. }
        | QuestionKind::PluginChanged { .. } => {}
        QuestionKind::UnknownOutcome { .. }
        | QuestionKind::StepFailed { .. }
        | QuestionKind::PartialEffect { .. }
        | QuestionKind::ValueUnknown { .. }
        | QuestionKind::OutOfTime { .. }
        | QuestionKind::GateUnmet { .. }
        | QuestionKind::AwayTooLong { .. }
        | QuestionKind::StaleCheck { .. }
        | QuestionKind::Denied { .. }
        | QuestionKind::Irreversible { .. }
        | QuestionKind::PastIrreversible { .. }
        | QuestionKind::UndoByHand { .. }
        | QuestionKind::Amendment { .. }
        | QuestionKind::LateStepFailed { .. } => {
            return Ok(Reply::refused(
                "this question needs an answer of its own",
                "`bascule status` lists its answers",
            ));
        }
    }
    if turn_back {
        d.emit(Event::TurnBackWaived)?;
    }
    d.emit(Event::Closed { question, answer: Some("go on".to_owned()) })?;
    Ok(Reply::Done)
}

fn disarm(d: &mut Draft<'_>, criterion: &str, for_ms: u64) -> Result<Reply, Illegal> {
    let Some(ix) = d.run().plan.criteria.iter().position(|known| &*known.id == criterion) else {
        return Ok(Reply::refused(format!("no criterion is named `{criterion}`"), "`bascule status` lists them"));
    };
    if d.run().timers.get(Timer::Sample(ix)).is_none() {
        return Ok(Reply::refused("criteria are not live now", "they are from exposure to acceptance"));
    }
    let id: Arc<str> = d.run().plan.criteria[ix].id.clone();
    let until = d.now().steady.saturating_add(ms(for_ms));
    done(d, Event::Disarmed { criterion: id, until })
}

fn sign_off(d: &mut Draft<'_>, role: String) -> Result<Reply, Illegal> {
    if !d.run().plan.sign_offs.iter().any(|wanted| wanted.role == role) {
        if d.run().plan.sign_offs.is_empty() {
            return Ok(Reply::refused("the plan asks for no sign-off", "`note` writes it down all the same"));
        }
        let roles: Vec<&str> = d.run().plan.sign_offs.iter().map(|wanted| wanted.role.as_str()).collect();
        return Ok(Reply::refused(
            format!("no sign-off is asked of `{role}`"),
            format!("asked of: {}", roles.join(", ")),
        ));
    }
    done(d, Event::SignedOff { role })
}
