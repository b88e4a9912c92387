//! What nobody has proved. A report that leaves this out says more than it knows.

use serde::{Deserialize, Serialize};

use super::story::Story;
use crate::machine::event::{Event, Record};
use crate::machine::fact::{CriterionState, Resolution};
use crate::machine::state::{Forward, UndoState};
use crate::plan::lint;
use crate::plan::policy::DataAnswer;
use crate::plan::step::{Effect, Proof};
use crate::plan::{Section, StepIx, StepKind};
use crate::view::words::{actor, span};

/// Something that nobody has proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unverified {
    /// What.
    pub what: String,
    /// Why not, and what that means.
    pub why: String,
}

fn of(what: impl Into<String>, why: impl Into<String>) -> Unverified {
    Unverified { what: what.into(), why: why.into() }
}

/// All of it, what matters most first.
pub(super) fn unverified(story: &Story, events: &[&Record]) -> Vec<Unverified> {
    let mut all = Vec::new();
    all.extend(safe_end(story));
    all.extend(source(story));
    all.extend(criteria(story));
    all.extend(baselines(story));
    all.extend(watch(story));
    all.extend(way_back(story));
    all.extend(data(story));
    all.extend(words_of_people(events));
    all.extend(people(story, events));
    all.extend(catalogs(story));
    all.extend(commands(story));
    all.extend(not_read_back(story));
    all
}

fn condition(proof: Proof) -> &'static str {
    match proof {
        Proof::Health => "that health is stable",
        Proof::Data => "that the data is consistent",
        Proof::Backup => "that a backup ran on the target",
        Proof::Ownership => "that ownership was taken over",
    }
}

/// That users are back: a way back without a check is believed, not seen.
fn source(story: &Story) -> Option<Unverified> {
    let restored = story.run.rollback.as_ref().and_then(|rollback| rollback.restored);
    let unchecked = restored.is_some() && story.run.plan.section(Section::RollbackCheck).is_empty();
    unchecked.then(|| of("that the source serves again", "the plan has no `rollbackChecks`"))
}

/// The four conditions of a safe end: proved by nothing in the plan, or by something that has not passed.
fn safe_end(story: &Story) -> Vec<Unverified> {
    let run = &story.run;
    if run.exposed.is_none() || run.rollback.is_some() {
        return Vec::new();
    }
    let unproved = lint::unproved(&run.plan).into_iter();
    let mut all: Vec<Unverified> =
        unproved.map(|proof| of(condition(proof), "no check and no sign-off of this plan proves it")).collect();
    for ix in run.plan.section(Section::PostCheck) {
        let step = run.plan.step(ix);
        let Some(proof) = step.check.proves else { continue };
        let passed = run.step(ix).passed.is_some() && matches!(run.forward(ix), Forward::Succeeded);
        if !passed {
            all.push(of(condition(proof), format!("`{}`, which proves it, has not passed", step.id)));
        }
    }
    for wanted in &run.plan.sign_offs {
        if !run.signed_off.contains_key(&wanted.role) {
            let why = format!("{} has not signed off: “{}”", wanted.role, wanted.what);
            all.push(of(condition(wanted.proves), why));
        }
    }
    all
}

/// Criteria that watched nothing, or could not act.
fn criteria(story: &Story) -> Vec<Unverified> {
    let run = &story.run;
    let mut all = Vec::new();
    if run.exposed.is_none() {
        return all;
    }
    for (ix, criterion) in run.plan.criteria.iter().enumerate() {
        let samples = &run.criteria[ix];
        let lost = story.samples[ix].len() as u64 - u64::from(samples.measured).min(story.samples[ix].len() as u64);
        if samples.measured == 0 {
            all.push(of(format!("criterion `{}`", criterion.id), "it was never measured: it could not have tripped"));
        } else if samples.state == CriterionState::Blind {
            all.push(of(format!("criterion `{}`", criterion.id), "it saw nothing at the end"));
        } else if lost > 0 {
            let why = format!("{lost} of {} samples could not be measured", story.samples[ix].len());
            all.push(of(format!("criterion `{}`", criterion.id), why));
        }
        if criterion.observe_only {
            all.push(of(format!("criterion `{}`", criterion.id), "it only observes: it would not have gone back"));
        }
    }
    all
}

fn baselines(story: &Story) -> Vec<Unverified> {
    let run = &story.run;
    let wanted = run.plan.steps.iter().flat_map(|step| step.check.baseline.keys().map(move |name| (name, &step.id)));
    let missing = wanted.filter(|(name, _)| !run.baseline.contains_key(*name));
    missing
        .filter(|_| run.first_effect.is_some())
        .map(|(name, step)| of(format!("baseline `{name}`"), format!("`{step}` did not capture it before the cut")))
        .collect()
}

/// Times in which nobody watched.
fn watch(story: &Story) -> Vec<Unverified> {
    let away = story.absences.iter().filter(|absence| absence.window_open);
    let total: i64 = away.map(|absence| absence.to.saturating_sub(absence.from)).sum();
    let mut all = Vec::new();
    if total > 0 {
        let why = "no engine ran: nothing was sampled, and nothing would have gone back by itself";
        all.push(of(format!("{} of the rollback window", span(total)), why));
    }
    let open = story.bands.last().is_some_and(|band| band.state.ending().is_none());
    if open && story.run.clock_in_doubt {
        all.push(of("times of day", "the wall clock jumped and nobody has said that it is right now"));
    }
    all
}

fn way_back(story: &Story) -> Vec<Unverified> {
    let run = &story.run;
    if run.first_effect.is_none() || run.rollback.is_some() {
        return Vec::new();
    }
    let checks: Vec<StepIx> = run.plan.section(Section::Ready).collect();
    if checks.is_empty() {
        return vec![of("that the way back was open", "the plan has no `rollbackReady` checks")];
    }
    match run.way_back {
        Some((true, _)) => Vec::new(),
        Some((false, _)) => vec![of("that the way back was open", "the newest readiness check failed")],
        None => vec![of("that the way back was open", "its readiness checks never came to an end")],
    }
}

/// Users' writes on the target, after a rollback.
fn data(story: &Story) -> Vec<Unverified> {
    let run = &story.run;
    let (Some(rollback), Some(since)) = (&run.rollback, run.possibly_exposed) else { return Vec::new() };
    let wrote = span(rollback.decided.saturating_sub(since));
    match &run.plan.policies.data {
        DataAnswer::Stateless => Vec::new(),
        DataAnswer::ReverseSync => {
            let homes = run.plan.section(Section::Cutover).filter(|ix| run.plan.step(*ix).moves_data);
            homes
                .filter_map(|ix| {
                    let verified = run.plan.step(ix).undo_action().is_some_and(|undo| undo.verify.is_some());
                    let why = match run.undo(ix)? {
                        UndoState::Undone { note: Some(_) } => return None,
                        UndoState::Undone { note: None } if verified => return None,
                        UndoState::Undone { note: None } => {
                            "its undo reported success, and nothing compared both sides afterwards"
                        }
                        UndoState::Pending
                        | UndoState::Undoing(_)
                        | UndoState::Backoff { .. }
                        | UndoState::Waiting { .. }
                        | UndoState::Failed { .. }
                        | UndoState::Unknown { .. }
                        | UndoState::Waived => "its undo has not succeeded",
                    };
                    let step = &run.plan.step(ix).id;
                    Some(of(format!("that {wrote} of users' writes came home through the undo of `{step}`"), why))
                })
                .collect()
        }
        DataAnswer::AcceptLoss { reason, .. } => {
            vec![of(format!("{wrote} of users' writes on the target"), format!("losing them was accepted: {reason}"))]
        }
        DataAnswer::Unanswered => {
            vec![of(format!("{wrote} of users' writes on the target"), "the plan does not bring them home")]
        }
    }
}

/// What stands on a person's word alone.
fn words_of_people(events: &[&Record]) -> Vec<Unverified> {
    let one = |record: &&Record| {
        let what = if let Event::UndoDoneByHand { step } = &record.event {
            format!("that `{step}` was undone")
        } else if let Event::Resolved { step, resolution } = &record.event {
            match resolution {
                Resolution::Happened { .. } => format!("that `{step}` happened"),
                Resolution::DidNotHappen => format!("that `{step}` did not happen"),
                Resolution::Failed { .. } => format!("that `{step}` failed"),
            }
        } else {
            return None;
        };
        let who = record.by.as_ref().map_or_else(|| "somebody".to_owned(), actor);
        Some(of(what, format!("{who} said so; nothing looked")))
    };
    events.iter().filter_map(one).collect()
}

/// Names that people gave and nobody checked.
fn people(story: &Story, events: &[&Record]) -> Vec<Unverified> {
    let run = &story.run;
    let mut all = Vec::new();
    let mut claimed: Vec<&str> = events.iter().filter_map(|record| record.by.as_ref()?.claimed.as_deref()).collect();
    claimed.sort_unstable();
    claimed.dedup();
    if !claimed.is_empty() {
        let why = "they were typed with `--as`; what was authenticated is the account beside each of them";
        all.push(of(format!("the names {}", claimed.join(", ")), why));
    }
    let four_eyes = run.plan.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Approval(approval) if approval.quorum > 1 || approval.not_requester => Some(step.id.as_str()),
        StepKind::Approval(_) | StepKind::Action(_) | StepKind::Manual(_) => None,
    });
    let four_eyes: Vec<String> = four_eyes.map(|step| format!("`{step}`")).collect();
    if run.trust_claimed_names && !four_eyes.is_empty() {
        let why = "the run was started with `--trust-claimed-names`: one person can have given all the names";
        all.push(of(format!("four eyes on {}", four_eyes.join(", ")), why));
    }
    all
}

fn catalogs(story: &Story) -> Vec<Unverified> {
    let unproved = story.run.plan.catalogs.iter().filter_map(|catalog| match &catalog.verified {
        Some(text) if text.starts_with("on real systems") => None,
        Some(text) => {
            Some(of(format!("catalog `{}`", catalog.name), format!("how far it was tried, in its own words: {text}")))
        }
        None => Some(of(format!("catalog `{}`", catalog.name), "it does not say how far it was tried")),
    });
    unproved.collect()
}

/// `command` pins its text, not the files that it names.
fn commands(story: &Story) -> Vec<Unverified> {
    let plan = &story.run.plan;
    let uses = |ix: &StepIx| match &plan.step(*ix).kind {
        StepKind::Action(call) => &*call.uses == "command",
        StepKind::Approval(_) | StepKind::Manual(_) => false,
    };
    let names: Vec<&str> = (0..plan.steps.len()).filter(uses).map(|ix| plan.step(ix).id.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let why = format!("the plan's hash pins the text of {}, not the programs and files that it names", listed(&names));
    vec![of("what commands executed", why)]
}

/// Effects that stand on the word of their executor.
fn not_read_back(story: &Story) -> Vec<Unverified> {
    let run = &story.run;
    let done = |ix: &StepIx| {
        let step = run.plan.step(*ix);
        let is_effect = step.effect != Effect::None && !step.section.is_check();
        let action = matches!(step.kind, StepKind::Action(_));
        is_effect && action && step.verify.is_none() && matches!(run.forward(*ix), Forward::Succeeded)
    };
    let names: Vec<&str> = (0..run.plan.steps.len()).filter(done).map(|ix| run.plan.step(ix).id.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    vec![of("the effect of steps without `verify`", format!("{} stand on the word of their executor", listed(&names)))]
}

/// At most eight names, and how many more.
fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(8).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(9) {
        Some(more) => format!("{shown} and {} more", more + 1),
        None => shown,
    }
}
