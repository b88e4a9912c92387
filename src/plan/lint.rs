//! What a person should know of a plan that is otherwise sound: warnings, each with a code.
//!
//! The compiler refuses what cannot work; here stands what will be regretted at 2 a.m. Start with
//! [`lint`].

use std::collections::BTreeMap;
use std::collections::HashMap;

use super::criteria::{Criterion, TripRule};
use super::estimate::{Estimates, History, Length, estimate_with};
use super::policy::DataAnswer;
use super::rollback::{self, RollbackOrder};
use super::sealed::{Plan, StepIx};
use super::step::{Call, Effect, NeedKind, Proof, Section, StepId, StepKind, Undo};
use crate::runbook::codes::{self, Code};
use crate::runbook::duration;
use crate::runbook::model::Millis;
use crate::runbook::problem::{Problem, Problems};
use crate::runbook::source::Span;
use crate::runbook::words::spelling;

/// Where the parts of a plan were written.
#[derive(Debug, Clone)]
pub struct Places {
    /// The runbook's name: the place of problems without a better one.
    pub application: Span,
    /// The rollback window.
    pub window: Option<Span>,
    /// The downtime budget.
    pub downtime_budget: Option<Span>,
    /// The change and its window.
    pub change: Option<Span>,
    /// The answer for the data.
    pub data: Option<Span>,
    /// The name of each step, in its list.
    pub steps: HashMap<StepId, Span>,
    /// The name of each criterion that the runbook lists.
    pub criteria: BTreeMap<String, Span>,
}

impl Places {
    fn step(&self, plan: &Plan, ix: StepIx) -> Span {
        self.steps.get(&plan.step(ix).id).copied().unwrap_or(self.application)
    }

    fn criterion(&self, criterion: &Criterion) -> Span {
        self.criteria.get(&*criterion.id).copied().unwrap_or(self.application)
    }
}

/// All warnings about a plan.
#[must_use]
pub fn lint(plan: &Plan, history: &History, places: &Places) -> Problems {
    lint_with(plan, history, places, &rollback::complete(plan))
}

/// The same, for a caller that knows [`rollback::complete`] already.
pub(super) fn lint_with(plan: &Plan, history: &History, places: &Places, back: &RollbackOrder) -> Problems {
    let times = estimate_with(plan, history, back);
    let lints = Lints { plan, places, times: &times, back };
    let mut problems = Problems::new();
    problems.extend(lints.times());
    problems.extend(lints.unknown_way_back());
    problems.extend(lints.data());
    problems.extend(lints.exposure());
    problems.extend(lints.dropped_edges());
    problems.extend(lints.unproved_end());
    problems.extend(lints.undo_once());
    problems.extend(lints.slow_criteria());
    problems.extend(lints.short_timeouts());
    problems.extend(lints.unpinned_files());
    problems
}

/// What the clock says against a start now: for verbs that look at one. What ended is a warning here; `run` refuses it.
#[must_use]
pub fn against_clock(plan: &Plan, history: &History, place: Option<Span>, now_ms: i64) -> Problems {
    let mut problems = Problems::new();
    let change = plan.policies.change.as_ref().and_then(|change| change.from_ms.zip(change.until_ms));
    let Some((from, until)) = change.filter(|(from, _)| *from <= now_ms) else { return problems };
    let times = estimate_with(plan, history, &rollback::complete(plan));
    let whole = times.cutover.then(times.until_source_serves);
    let length = |ms: i64| minutes(u64::try_from(ms / 1000 * 1000).unwrap_or(0));
    let problem = if now_ms >= until {
        Problem::warning(codes::CHANGE_WINDOW_OVER, format!("the change window ended {} ago", length(now_ms - until)))
            .help("write the window of the new change: `change: { window: … }`, in the runbook or in an overlay")
    } else if whole.at_least_ms > u64::try_from(until - now_ms).unwrap_or(0) && now_ms > from {
        let message = format!(
            "there and back takes an estimated {}, and the change window ends in {}",
            at_least(whole),
            length(until - now_ms)
        );
        Problem::warning(codes::CHANGE_WINDOW_TOO_SHORT, message)
            .note("at the turn-back time a person will be asked, before the cutover ends")
    } else {
        return problems;
    };
    problems.push(match place {
        Some(place) => problem.at(place, "this window"),
        None => problem,
    });
    problems
}

/// What must still be given before the plan can run, as errors: for verbs that start it.
#[must_use]
pub fn missing_inputs(plan: &Plan) -> Problems {
    let problem = |missing: &super::sealed::MissingInput| {
        let name = &missing.name;
        let message =
            format!("the input `{name}` ({}) is missing: needed by {}", missing.kind, listed(&missing.needed_by));
        Problem::new(codes::MISSING_PARAMETER, message)
            .help(format!("give it under `inputs:`, in an overlay (`-f`), or with `--set inputs.{name}=…`"))
    };
    let mut problems = Problems::new();
    problems.extend(plan.missing.iter().map(problem));
    problems
}

/// The conditions of a safe end that no post-check and no sign-off proves.
#[must_use]
pub fn unproved(plan: &Plan) -> Vec<Proof> {
    let checks = plan.section(Section::PostCheck).filter_map(|ix| plan.step(ix).check.proves);
    let proved: Vec<Proof> = checks.chain(plan.sign_offs.iter().map(|sign_off| sign_off.proves)).collect();
    let all = [Proof::Health, Proof::Data, Proof::Backup, Proof::Ownership];
    all.into_iter().filter(|proof| !proved.contains(proof)).collect()
}

/// The same as words.
#[must_use]
pub fn not_verified(plan: &Plan) -> Vec<String> {
    unproved(plan).into_iter().map(|proof| spelling(proof).to_owned()).collect()
}

/// At most five names, and how many more.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(5).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(6) {
        Some(more) => format!("{} and {} more", shown.join(", "), more + 1),
        None => shown.join(", "),
    }
}

/// Lengths as the tables say them, to the second: `30 min`, `1m 21s`, `45s`.
fn minutes(ms: u64) -> String {
    match (ms / 60_000, ms % 60_000 / 1000) {
        (0, _) => duration::format(Millis(ms)),
        (minutes, 0) => format!("{minutes} min"),
        (minutes @ 1..60, seconds) => format!("{minutes}m {seconds:02}s"),
        (minutes, _) => format!("{}h {:02}m", minutes / 60, minutes % 60),
    }
}

fn at_least(length: Length) -> String {
    let known = minutes(length.at_least_ms);
    if length.is_open { format!("{known} or more") } else { known }
}

struct Lints<'a> {
    plan: &'a Plan,
    places: &'a Places,
    times: &'a Estimates,
    back: &'a RollbackOrder,
}

impl Lints<'_> {
    fn names(&self, steps: impl Iterator<Item = StepIx>) -> Vec<String> {
        steps.map(|ix| self.plan.step(ix).id.to_string()).collect()
    }

    fn over(&self, code: Code, message: String, place: Option<Span>, label: &str) -> Problem {
        Problem::warning(code, message).at(place.unwrap_or(self.places.application), label)
    }

    fn times(&self) -> Vec<Problem> {
        let policies = &self.plan.policies;
        let mut found = Vec::new();
        let back = self.times.until_source_serves;
        if back.at_least_ms > policies.window_ms {
            let message = format!(
                "rollback takes an estimated {}, the window is {}",
                at_least(back),
                minutes(policies.window_ms)
            );
            found.push(
                self.over(codes::ROLLBACK_LONGER_THAN_WINDOW, message, self.places.window, "shorter than the way back")
                    .help("make the window longer, or the way back shorter"),
            );
        }
        if let Some((budget, down)) = policies.downtime_budget_ms.zip(self.times.downtime)
            && down.at_least_ms > budget
        {
            let message = format!(
                "users are without service for an estimated {}, the budget is {}",
                at_least(down),
                minutes(budget)
            );
            found.push(self.over(codes::DOWNTIME_OVER_BUDGET, message, self.places.downtime_budget, "not enough"));
        }
        let change = policies.change.as_ref().and_then(|change| change.from_ms.zip(change.until_ms));
        if let Some((from, until)) = change {
            let length = u64::try_from(until - from).unwrap_or(0);
            let whole = self.times.cutover.then(back);
            if whole.at_least_ms > length {
                let message = format!(
                    "there and back takes an estimated {}, the change window is {}",
                    at_least(whole),
                    minutes(length)
                );
                found.push(
                    self.over(codes::CHANGE_WINDOW_TOO_SHORT, message, self.places.change, "too short")
                        .note("at the turn-back time, which is before the cutover ends, a person will be asked"),
                );
            }
        }
        found
    }

    fn unknown_way_back(&self) -> Option<Problem> {
        if !self.times.until_source_serves.is_open {
            return None;
        }
        let restore: Vec<StepIx> = self.back.restore.iter().map(|node| node.step).collect();
        let unknown = self.times.unknown.iter().filter(|unknown| {
            let checks = self.plan.step(unknown.step).section == Section::RollbackCheck;
            checks || (unknown.is_undo && restore.contains(&unknown.step))
        });
        let unknown: Vec<StepIx> = unknown.map(|unknown| unknown.step).collect();
        let first = unknown.first().map(|ix| self.places.step(self.plan, *ix));
        let names = self.names(unknown.into_iter());
        Some(
            self.over(
                codes::UNKNOWN_ESTIMATE,
                format!("nobody knows how long the way back takes: no estimate for {}", listed(&names)),
                first,
                "how long does this take in a rollback?",
            )
            .note("the turn-back time is unknown without it")
            .help("add `estimate:` to the undo or the check"),
        )
    }

    fn data(&self) -> Option<Problem> {
        let exposing = self.plan.exposing()?;
        if self.plan.policies.data != DataAnswer::Unanswered {
            return None;
        }
        Some(
            Problem::warning(codes::DATA_UNANSWERED, "nobody says what happens to users' writes on the way back: after exposure a trip asks")
                .at(self.places.step(self.plan, exposing), "from here on users write on the target")
                .help("let the undo of a step with `movesData: true` bring them home, or write `dataOnRollback: stateless` or `acceptLoss`"),
        )
    }

    fn exposure(&self) -> Option<Problem> {
        let exposing = self.plan.exposing()?;
        match &self.plan.step(exposing).undo {
            Undo::Action(_) => None,
            Undo::Irreversible | Undo::Nothing { .. } => Some(
                Problem::warning(
                    codes::EXPOSURE_NOT_UNDONE,
                    "nothing brings users back: the exposing step has no undo",
                )
                .at(self.places.step(self.plan, exposing), "users stay on the target"),
            ),
        }
    }

    /// The implied sequence gives way to the stages by design. What somebody wrote does not vanish
    /// without a word.
    fn dropped_edges(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for edge in &self.back.dropped {
            let undo = self.plan.step(edge.undo);
            let named = undo.undo_action().and_then(|action| action.needs.as_ref());
            let in_needs = named.is_some_and(|needs| needs.contains(&self.plan.step(edge.after).id));
            let written = self
                .plan
                .step(edge.after)
                .needs
                .iter()
                .any(|need| need.step == undo.id && need.kind == NeedKind::Written);
            if edge.because == rollback::CIRCLE || !(in_needs || written) {
                continue;
            }
            let after = &self.plan.step(edge.after).id;
            found.push(
                Problem::warning(
                    codes::UNDO_ORDER,
                    format!("the undo of `{}` does not wait for that of `{after}`: {}", undo.id, edge.because),
                )
                .at(self.places.step(self.plan, edge.undo), "undone earlier")
                .also(self.places.step(self.plan, edge.after), "undone later"),
            );
        }
        found
    }

    fn unproved_end(&self) -> Option<Problem> {
        self.plan.exposing()?;
        let names = not_verified(self.plan);
        if names.is_empty() {
            return None;
        }
        Some(
            Problem::warning(
                codes::UNVERIFIED_END,
                format!("nothing proves {}: shown as *not verified*", listed(&names)),
            )
            .at(self.places.application, "a safe end has four conditions: health, data, backup, ownership")
            .help("add `proves:` to a post-check, or a sign-off"),
        )
    }

    fn undo_once(&self) -> Vec<Problem> {
        let once = (0..self.plan.steps.len())
            .filter(|ix| self.plan.step(*ix).undo_action().is_some_and(|undo| undo.effect == Effect::Once));
        once.map(|ix| {
            let message = format!(
                "the undo of `{}` is not repeated after an interruption: a person will be asked",
                self.plan.step(ix).id
            );
            Problem::warning(codes::UNDO_ONCE, message)
                .at(self.places.step(self.plan, ix), "`undo: { effect: once }`")
                .help("make it repeatable, and remove `effect: once`")
        })
        .collect()
    }

    fn short_timeouts(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        for (ix, step) in self.plan.steps.iter().enumerate() {
            let own = step
                .estimate_ms
                .filter(|estimate| *estimate > step.timeout_ms)
                .map(|estimate| (estimate, step.timeout_ms, ""));
            let undo = step.undo_action().and_then(|undo| {
                let estimate = undo.estimate_ms.filter(|estimate| *estimate > undo.timeout_ms)?;
                Some((estimate, undo.timeout_ms, "the undo of "))
            });
            for (estimate, timeout, of) in own.into_iter().chain(undo) {
                let message = format!(
                    "{of}`{}` takes an estimated {}, and is interrupted after {}",
                    step.id,
                    minutes(estimate),
                    minutes(timeout)
                );
                let problem = Problem::warning(codes::TIMEOUT_BELOW_ESTIMATE, message)
                    .at(self.places.step(self.plan, ix), "would never end")
                    .help("make `timeout` longer than `estimate`");
                found.push(problem);
            }
        }
        found
    }

    fn slow_criteria(&self) -> Vec<Problem> {
        let window = self.plan.policies.window_ms;
        let mut found = Vec::new();
        for criterion in &self.plan.criteria {
            let soonest = criterion.warm_up_ms.saturating_add(shortest_trip(criterion));
            let id = &criterion.id;
            if soonest > window && !criterion.observe_only {
                let message = format!("`{id}` needs {} to trip, the window is {}", minutes(soonest), minutes(window));
                let problem = Problem::warning(codes::CRITERION_TOO_SLOW, message)
                    .at(self.places.criterion(criterion), "slower than the window")
                    .help("shorten `warmUp`, `every` or the trip rule, or make the window longer");
                found.push(problem);
            }
            let samples = u64::from(criterion.min_samples.saturating_sub(1)).saturating_mul(criterion.every_ms);
            if criterion.warm_up_ms.saturating_add(samples) > window {
                let message =
                    format!("`{id}` cannot have its {} samples before the window closes", criterion.min_samples);
                let problem = Problem::warning(codes::CRITERION_TOO_SLOW, message)
                    .at(self.places.criterion(criterion), "the gate would stay unmet");
                found.push(problem);
            }
        }
        found
    }

    fn unpinned_files(&self) -> Option<Problem> {
        let mut found = self.plan.steps.iter().enumerate().filter(|(_, step)| match &step.kind {
            StepKind::Action(call) => {
                names_files(call) || step.undo_action().and_then(|undo| undo.call.as_ref()).is_some_and(names_files)
            }
            StepKind::Approval(_) | StepKind::Manual(_) => false,
        });
        let (first, _) = found.next()?;
        let more = found.count();
        let and_more = if more == 0 { String::new() } else { format!(", and of {more} more") };
        let message = format!(
            "the command of `{}`{and_more} names files: the plan pins its text, not what the files hold",
            self.plan.step(first).id
        );
        Some(
            Problem::warning(codes::UNPINNED_FILES, message)
                .at(self.places.step(self.plan, first), "a changed file would run unnoticed")
                .help("check the files in a pre-check, for example with `files.verify`"),
        )
    }
}

/// The shortest time from the first bad sample to the trip.
fn shortest_trip(criterion: &Criterion) -> u64 {
    match criterion.rule {
        TripRule::Consecutive(times) => u64::from(times.saturating_sub(1)).saturating_mul(criterion.every_ms),
        TripRule::SustainedForMs(length) => length,
        TripRule::Ratio { fail, .. } => u64::from(fail.saturating_sub(1)).saturating_mul(criterion.every_ms),
    }
}

/// Scripts beside the runbook; programs of the system under an absolute path are not meant.
fn names_files(call: &Call) -> bool {
    let argv = call.with.get("argv").and_then(serde_json::Value::as_array).into_iter().flatten();
    &*call.uses == "command"
        && argv.filter_map(serde_json::Value::as_str).take(2).any(|word| {
            word.starts_with("./")
                || word.starts_with("../")
                || [".sh", ".py", ".rb", ".pl"].iter().any(|end| word.ends_with(end))
        })
}
