//! The books of the window, its gate and its criteria.

use super::apply::{Illegal, literal, ms};
use super::command::{Command, Sample};
use super::event::{Event, Record};
use super::fact::{CriterionState, Millis, Resolved, Verdict};
use super::run::Run;
use super::timers::Timer;
use super::window::{Expired, Window};

/// Takes in one of the events that [`super::apply`] sends here.
#[expect(clippy::wildcard_enum_match_arm, reason = "the caller sends only these")]
pub(super) fn apply(run: &mut Run, record: &Record) -> Result<Vec<Command>, Illegal> {
    match &record.event {
        Event::WindowOpened { deadline } => {
            run.window = Some(Window { opened: record.at, deadline: *deadline, expired: None, expired_at: 0 });
            run.timers.set(Timer::Window, *deadline);
        }
        Event::WindowExtended { deadline } => {
            let window =
                run.window.as_mut().ok_or(Illegal::Needs { event: "windowExtended", needs: "an open window" })?;
            window.deadline = *deadline;
            window.expired = None;
            run.gate = None;
            run.timers.set(Timer::Window, *deadline);
        }
        Event::WindowExpired { watched } => {
            let window =
                run.window.as_mut().ok_or(Illegal::Needs { event: "windowExpired", needs: "an open window" })?;
            window.expired = Some(if *watched { Expired::Watched } else { Expired::Unwatched });
            window.expired_at = run.sequence;
            run.timers.clear(Timer::Window);
        }
        Event::GateJudged { gaps } => run.gate = Some(gaps.clone()),
        Event::SamplePlanned { criterion, planned, call } => {
            return sample_planned(run, criterion, *planned, call.as_ref());
        }
        Event::Sampled { criterion, planned, verdict, result } => {
            let ix = criterion_ix(run, criterion)?;
            let plan = run.plan.clone();
            let rule = &plan.criteria[ix];
            run.criteria[ix].take(rule, *planned, verdict);
            if let Some(result) = result {
                run.criteria[ix].last_result = Some(result.clone());
            }
            if run.timers.get(Timer::Sample(ix)).is_some_and(|due| due <= *planned) {
                // Nobody could take this one: the next planned time follows.
                run.timers.set(Timer::Sample(ix), planned.saturating_add(ms(rule.every_ms).max(1)));
            }
            if !matches!(verdict, Verdict::Inconclusive { .. }) && run.timers.get(Timer::Sample(ix)).is_some() {
                // A late answer about a planned time long gone is as old as that time, but not due in the past.
                let blind = planned.saturating_add(ms(rule.max_age_ms)).max(record.at.saturating_add(1));
                run.timers.set(Timer::MaxAge(ix), blind);
            }
        }
        Event::CriterionMoved { criterion, to } => {
            let ix = criterion_ix(run, criterion)?;
            run.criteria[ix].state = *to;
            if *to == CriterionState::Blind {
                run.timers.clear(Timer::MaxAge(ix));
            }
        }
        Event::Disarmed { criterion, until } => {
            let ix = criterion_ix(run, criterion)?;
            run.criteria[ix].disarmed_until = Some(*until);
            run.timers.set(Timer::Disarm(ix), *until);
        }
        Event::Armed { criterion } => {
            let ix = criterion_ix(run, criterion)?;
            run.criteria[ix].disarmed_until = None;
            run.timers.clear(Timer::Disarm(ix));
        }
        // The caller sends these events only; any other one is a mistake in its match.
        other => return Err(Illegal::Needs { event: other.word(), needs: "a handler" }),
    }
    Ok(vec![])
}

fn criterion_ix(run: &Run, id: &str) -> Result<usize, Illegal> {
    run.plan.criteria.iter().position(|criterion| &*criterion.id == id).ok_or_else(|| Illegal::Criterion(id.to_owned()))
}

fn sample_planned(
    run: &mut Run,
    id: &std::sync::Arc<str>,
    planned: Millis,
    call: Option<&Resolved>,
) -> Result<Vec<Command>, Illegal> {
    let ix = criterion_ix(run, id)?;
    let plan = run.plan.clone();
    let criterion = &plan.criteria[ix];
    let samples = &mut run.criteria[ix];
    if let Some(call) = call {
        samples.call = Some(call.clone());
    }
    samples.sampling = Some(planned);
    let call = samples.call.clone().unwrap_or_else(|| literal(&criterion.call));
    run.timers.set(Timer::Sample(ix), planned.saturating_add(ms(criterion.every_ms).max(1)));
    let sample = Sample { criterion: ix, id: id.clone(), planned, call, timeout_ms: criterion.timeout_ms };
    Ok(vec![Command::Sample(Box::new(sample))])
}
