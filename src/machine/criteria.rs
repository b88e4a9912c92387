//! Criteria: from a sample to a verdict, from verdicts to a state, from a trip to a decision.

use super::apply::{Illegal, ms};
use super::decide::{ask, close};
use super::draft::{Draft, Room};
use super::eval;
use super::event::Event;
use super::fact::{Cause, CriterionState, Millis, Verdict};
use super::input::Outcome;
use super::large::recorded;
use super::question::QuestionKind;
use super::rollback;
use super::run_state::RunState;
use super::timers::Timer;
use crate::plan::criteria::{Criterion, CriterionAction};
use crate::runbook::expr::Truth;

/// What a sample may take beyond its time before it counts as lost.
pub(super) const SAMPLE_SLACK_MS: Millis = 5_000;

/// How old the last measured sample is before another one is taken on a full disk.
const SELDOM_MS: Millis = 30_000;

/// Whether a sample waits, because the disk is full and it would most likely change nothing. One that may lead back
/// does not.
fn waits(d: &Draft<'_>, ix: usize) -> bool {
    let samples = &d.run().criteria[ix];
    if samples.state == CriterionState::Suspect {
        return false;
    }
    match d.room() {
        Room::Enough => false,
        Room::Scarce => samples.last_measured.is_some_and(|at| d.now().steady.saturating_sub(at) < SELDOM_MS),
        Room::OnlyBack => true,
    }
}

/// The planned time of a sample came.
pub(super) fn due(d: &mut Draft<'_>, ix: usize, due: Millis) -> Result<(), Illegal> {
    if waits(d, ix) {
        return Ok(());
    }
    let plan = d.run().plan.clone();
    let criterion = &plan.criteria[ix];
    let every = ms(criterion.every_ms).max(1);
    // Planned times stay on their grid: those that nobody could take are left out, not made up.
    let missed = (d.now().steady.saturating_sub(due)) / every;
    let planned = due.saturating_add(missed.saturating_mul(every));
    if d.run().criteria[ix]
        .sampling
        .is_some_and(|since| d.now().steady < since.saturating_add(ms(criterion.timeout_ms) + SAMPLE_SLACK_MS))
    {
        let verdict = Verdict::Inconclusive { because: "the sample before it was still under way".into() };
        return d.emit(Event::Sampled { criterion: criterion.id.clone(), planned, verdict, result: None });
    }
    match eval::resolve(d.run(), &criterion.call) {
        Ok(call) => {
            let call = if call == d.run().criteria[ix].call { None } else { call };
            d.emit(Event::SamplePlanned { criterion: criterion.id.clone(), planned, call })
        }
        Err(why) => {
            let because = format!("its parameters have no value: {why}").into();
            let verdict = Verdict::Inconclusive { because };
            d.emit(Event::Sampled { criterion: criterion.id.clone(), planned, verdict, result: None })
        }
    }
}

/// A sample was taken.
pub(super) fn sampled(d: &mut Draft<'_>, ix: usize, planned: Millis, outcome: Outcome) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let criterion = &plan.criteria[ix];
    // Only the sample that is awaited counts; after the decision to go back none does.
    if d.run().criteria[ix].sampling != Some(planned) || d.run().timers.get(Timer::Sample(ix)).is_none() {
        return Ok(());
    }
    let (verdict, result) = judge(d, criterion, outcome);
    let measured = !matches!(verdict, Verdict::Inconclusive { .. });
    let result = result.as_ref().map(recorded);
    d.emit(Event::Sampled { criterion: criterion.id.clone(), planned, verdict, result })?;
    if !measured {
        return Ok(());
    }
    let samples = &d.run().criteria[ix];
    let was = samples.state;
    let to = if samples.trips(criterion) {
        CriterionState::Tripped
    } else if samples.suspicious(criterion) {
        CriterionState::Suspect
    } else {
        CriterionState::Clear
    };
    if to == was {
        return Ok(());
    }
    d.emit(Event::CriterionMoved { criterion: criterion.id.clone(), to })?;
    if was == CriterionState::Blind {
        let id = criterion.id.clone();
        close(d, None, |kind| matches!(kind, QuestionKind::Blind { criterion } if *criterion == id))?;
    }
    if to == CriterionState::Tripped { tripped(d, ix) } else { Ok(()) }
}

fn judge(
    d: &Draft<'_>,
    criterion: &Criterion,
    outcome: Outcome,
) -> (Verdict, Option<std::sync::Arc<serde_json::Value>>) {
    let inconclusive = |because: String| Verdict::Inconclusive { because: because.into() };
    let result = match outcome {
        Outcome::Succeeded { outputs } => outputs,
        Outcome::Failed { failure, .. } | Outcome::Unknown { failure, .. } => {
            return (inconclusive(failure.to_string()), None);
        }
        Outcome::Cancelled { .. } => return (inconclusive("it was stopped".to_owned()), None),
    };
    if let Some(valid) = &criterion.valid {
        match eval::judge(d.run(), valid, &criterion.call, &result) {
            Truth::True => {}
            Truth::False => return (inconclusive(format!("`valid: {}` is false", valid.as_str())), Some(result)),
            Truth::Unknown(why) => return (inconclusive(why), Some(result)),
        }
    }
    let verdict = match eval::judge(d.run(), &criterion.trip, &criterion.call, &result) {
        Truth::True => Verdict::Fail,
        Truth::False => Verdict::Pass,
        Truth::Unknown(why) => inconclusive(why),
    };
    (verdict, Some(result))
}

/// A criterion tripped: back, or a question.
fn tripped(d: &mut Draft<'_>, ix: usize) -> Result<(), Illegal> {
    let plan = d.run().plan.clone();
    let criterion = &plan.criteria[ix];
    if criterion.observe_only {
        return Ok(());
    }
    let id = criterion.id.clone();
    let why: String = if d.run().criteria[ix].disarmed_until.is_some() {
        "it is disarmed".to_owned()
    } else if criterion.action == CriterionAction::Ask {
        "the plan says to ask".to_owned()
    } else {
        match rollback::may_act(d.run(), d.now()) {
            Ok(()) => return rollback::decide(d, Cause::Tripped { criterion: id }, RunState::RolledBack),
            Err(why) => why,
        }
    };
    ask(d, QuestionKind::Tripped { criterion: id, why: why.into() })
}

/// No measured sample is young enough.
pub(super) fn blind(d: &mut Draft<'_>, ix: usize) -> Result<(), Illegal> {
    // Samples that wait for lack of room blind nobody as long as they do not wait for too long.
    let young = d.run().criteria[ix].last_measured.is_some_and(|at| d.now().steady.saturating_sub(at) < 2 * SELDOM_MS);
    if d.room() == Room::Scarce && young {
        return Ok(());
    }
    let plan = d.run().plan.clone();
    let criterion = &plan.criteria[ix];
    d.emit(Event::CriterionMoved { criterion: criterion.id.clone(), to: CriterionState::Blind })?;
    if criterion.observe_only {
        return Ok(());
    }
    ask(d, QuestionKind::Blind { criterion: criterion.id.clone() })
}

/// A disarmed criterion acts again; one that is tripped acts now.
pub(super) fn arm(d: &mut Draft<'_>, ix: usize) -> Result<(), Illegal> {
    let id = d.run().plan.criteria[ix].id.clone();
    d.emit(Event::Armed { criterion: id })?;
    let samples = &d.run().criteria[ix];
    let max_age = ms(d.run().plan.criteria[ix].max_age_ms);
    let fresh = samples.last_measured.is_some_and(|at| d.now().steady.saturating_sub(at) <= max_age);
    // A trip that nobody has measured lately was asked about already, and stays with the person.
    if samples.state == CriterionState::Tripped && fresh { tripped(d, ix) } else { Ok(()) }
}

/// After an extension every tripped criterion may act again.
pub(super) fn rearm_all(d: &mut Draft<'_>) -> Result<(), Illegal> {
    for ix in 0..d.run().criteria.len() {
        if d.run().state == RunState::RollingBack {
            return Ok(());
        }
        if d.run().criteria[ix].state == CriterionState::Tripped {
            tripped(d, ix)?;
        }
    }
    Ok(())
}
