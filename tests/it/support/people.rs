//! People: those who say anything at any time, and one who knows what the world is like and wants
//! the run to end well.

use std::collections::BTreeMap;

use bascule::machine::fact::{Left, Wait};
use bascule::machine::question::{Question, QuestionKind};
use bascule::machine::run_state::{Ending, RunState};
use bascule::machine::state::{Forward, Status, UndoState};
use bascule::machine::{Run, Verb};
use bascule::plan::step::Section;
use bascule::plan::{StepId, StepIx};
use serde_json::json;

use super::choices::Choices;
use super::world::World;

/// The names that people bear.
pub(crate) const NAMES: [&str; 4] = ["omar", "pia", "olga", "quinn"];

/// Any verb about anything, legal or not.
pub(crate) fn any_verb(c: &mut Choices, run: &Run) -> Verb {
    let step = || -> StepId { "cut0".into() };
    let any: Vec<StepId> = run.plan.steps.iter().map(|step| step.id.clone()).collect();
    let step = if any.is_empty() { step() } else { c.pick(&any) };
    let role = c.pick(&[Some("lead".to_owned()), None, Some("owner".to_owned())]);
    let criterion = run.plan.criteria.first().map_or("none".to_owned(), |criterion| criterion.id.to_string());
    let question = run.questions.keys().next().copied().unwrap_or(1);
    match c.below(33) {
        0 => Verb::Resume,
        1 => Verb::Pause,
        2 => Verb::Go,
        3 => Verb::Extend { step, by_ms: 60_000 },
        4 => Verb::Retry { step },
        5 => Verb::Skip { step },
        6 => Verb::Waive { step, role },
        7 => Verb::Happened { step, outputs: BTreeMap::new(), role: None },
        8 => Verb::DidNotHappen { step },
        9 => Verb::ItFailed { step, left: c.pick(&[Left::Possible, Left::Nothing]) },
        10 => Verb::ProbeAgain { step },
        11 | 12 => Verb::Approve { step, role },
        13 => Verb::Reject { step },
        14 => Verb::Cancel,
        15 => Verb::Rollback,
        16 => Verb::ContinueRollback,
        17 => Verb::UndoRetry { step },
        18 => Verb::UndoWaive { step },
        19 => Verb::UndoDone { step },
        20 => Verb::WindowExtend { by_ms: 120_000 },
        21 => Verb::Commit,
        22 => Verb::Accept,
        23 => c.pick(&[Verb::ConfirmClock, Verb::Close]),
        24 => Verb::ForwardAgain,
        25 => Verb::GoOn { question },
        26 => Verb::Note { text: "seen".to_owned(), attachments: vec![] },
        27 => Verb::InCharge { who: Some("olga".to_owned()) },
        28 => Verb::Disarm { criterion, for_ms: 60_000 },
        29 => Verb::GoAt { at: c.pick(&[Some(run.updated + 90_000), None, Some(run.updated - 1)]) },
        30 | 31 => amend(c, run, step),
        _ => Verb::SignOff { role: "operations".to_owned() },
    }
}

/// Other values for a step, most of which it takes.
fn amend(c: &mut Choices, run: &Run, step: StepId) -> Verb {
    let values = [
        ("with.network", json!("pg-42")),
        ("with.network", json!("${{ inputs.nothing }}")),
        ("with.of", json!("${{ steps.cut0.outputs.good }}")),
        ("timeout", json!("40m")),
        ("retry.attempts", json!(3)),
        ("undo.with.network", json!("pg-41")),
        ("undo.timeout", json!("7m")),
        ("effect", json!("once")),
    ];
    let mut set = BTreeMap::new();
    for _ in 0..=c.below(2) {
        let (key, value) = c.pick(&values);
        set.insert(key.to_owned(), value);
    }
    let plan = if c.chance(95) { run.plan.hash().clone() } else { run.first_plan.hash().clone() };
    Verb::Amend { step, set, plan }
}

/// The step that a verb makes people responsible for.
pub(crate) fn tells(verb: &Verb) -> Option<&StepId> {
    match verb {
        Verb::Retry { step }
        | Verb::Skip { step }
        | Verb::Happened { step, .. }
        | Verb::DidNotHappen { step }
        | Verb::ItFailed { step, .. }
        | Verb::ProbeAgain { step }
        | Verb::UndoRetry { step }
        | Verb::UndoWaive { step }
        | Verb::UndoDone { step } => Some(step),
        Verb::Go
        | Verb::GoAt { .. }
        | Verb::Amend { .. }
        | Verb::Resume
        | Verb::Pause
        | Verb::Extend { .. }
        | Verb::Waive { .. }
        | Verb::Approve { .. }
        | Verb::Reject { .. }
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
        | Verb::ConfirmClock => None,
    }
}

/// What somebody who wants the run to end well says now; `None`: nothing, let time pass.
pub(crate) fn helper(run: &Run, world: &World, patience: u32) -> Option<(&'static str, Verb)> {
    if run.clock_in_doubt {
        return Some(("omar", Verb::ConfirmClock));
    }
    if let Some(sign_off) = run.plan.sign_offs.iter().find(|wanted| !run.signed_off.contains_key(&wanted.role)) {
        return Some(("omar", Verb::SignOff { role: sign_off.role.clone() }));
    }
    if let Some(question) = run.questions.values().next() {
        let who = if proposer(question) == Some("omar") { "pia" } else { "omar" };
        return Some((who, answer(run, world, question, patience)));
    }
    if run.hold.is_some() {
        return Some(("omar", Verb::Resume));
    }
    if let Some(said) = waited_for(run) {
        return Some(said);
    }
    if run.state == RunState::Stuck {
        return Some(("omar", unstick(run, world)));
    }
    let verb = match run.state.ending() {
        Some(Ending::OnTarget) if !run.state.is_final() => Some(Verb::Commit),
        Some(_) => None,
        None => (run.state == RunState::Prepared && !run.go).then_some(Verb::Go),
    };
    verb.map(|verb| ("omar", verb))
}

/// Who proposed what is asked: somebody else must agree.
pub(crate) fn proposer(question: &Question) -> Option<&str> {
    let QuestionKind::Amendment { of, .. } = &question.kind else { return None };
    of.proposed_by.as_ref().map(|by| by.name.as_str())
}

fn waited_for(run: &Run) -> Option<(&'static str, Verb)> {
    for (ix, record) in run.steps.iter().enumerate() {
        let Status::Forward(Forward::Waiting { on, .. }) = &record.status else { continue };
        let step = run.plan.step(ix).id.clone();
        match on {
            Wait::Approval { .. } => {
                let given: Vec<&str> = record.approvals.iter().map(|by| by.name.as_str()).collect();
                let who = NAMES.into_iter().find(|name| *name != "olga" && !given.contains(name))?;
                return Some((who, Verb::Approve { step, role: Some("owner".to_owned()) }));
            }
            Wait::Person => return Some(("omar", run.says_done(ix))),
            Wait::Locks { .. } => {}
        }
    }
    None
}

#[expect(clippy::wildcard_enum_match_arm, reason = "people answer few questions in their own way")]
fn answer(run: &Run, world: &World, question: &Question, patience: u32) -> Verb {
    let answers = run.answers(question);
    let find = |wanted: &dyn Fn(&Verb) -> bool| answers.iter().find(|verb| wanted(verb)).cloned();
    let truth = question.kind.step().and_then(|step| run.plan.find(step)).map(|ix| world.stands(ix));
    let wanted = match &question.kind {
        QuestionKind::UnknownOutcome { .. } | QuestionKind::PartialEffect { .. } => find(&|verb| match verb {
            Verb::Happened { .. } => truth == Some(true),
            Verb::DidNotHappen { .. } => truth == Some(false),
            Verb::UndoRetry { .. } => patience > 0,
            Verb::UndoDone { .. } => patience == 0,
            _ => false,
        }),
        QuestionKind::ValueUnknown { .. } => {
            find(&|verb| matches!(verb, Verb::Skip { .. } | Verb::Waive { .. } | Verb::Happened { .. } | Verb::Cancel))
                .or_else(|| find(&|verb| matches!(verb, Verb::Rollback)))
        }
        QuestionKind::StepFailed { .. } | QuestionKind::LateStepFailed { .. } if truth == Some(true) => {
            find(&|verb| matches!(verb, Verb::Happened { .. }))
        }
        QuestionKind::OutOfTime { .. } => find(&|verb| matches!(verb, Verb::Retry { .. } | Verb::UndoRetry { .. })),
        QuestionKind::GateUnmet { .. } if patience == 0 => find(&|verb| matches!(verb, Verb::Accept)),
        QuestionKind::GateUnmet { .. } => find(&|verb| matches!(verb, Verb::WindowExtend { .. })),
        // Where going back is offered first, this one hopes for the target.
        QuestionKind::Tripped { .. }
        | QuestionKind::Blind { .. }
        | QuestionKind::PostCheckFailed { .. }
        | QuestionKind::TurnBack { .. }
        | QuestionKind::CheckInconclusive { .. } => find(&|verb| matches!(verb, Verb::GoOn { .. })),
        QuestionKind::Denied { .. } if patience == 0 => find(&|verb| matches!(verb, Verb::Cancel | Verb::Rollback)),
        _ => None,
    };
    wanted.unwrap_or_else(|| answers[0].clone())
}

/// What frees a rollback that cannot go on alone.
fn unstick(run: &Run, world: &World) -> Verb {
    let checks = run.plan.section(Section::RollbackCheck).collect::<Vec<StepIx>>();
    let turns = run.rollback.iter().flat_map(|rollback| &rollback.restore).map(|turn| turn.step);
    for ix in turns.chain(checks) {
        let step = run.plan.step(ix).id.clone();
        match &run.step(ix).status {
            Status::Undo { state: UndoState::Unknown { .. }, .. } if run.step(ix).unsettled => {
                return if world.stands(ix) {
                    Verb::Happened { step, outputs: BTreeMap::new(), role: None }
                } else {
                    Verb::DidNotHappen { step }
                };
            }
            // Its parameters will never have a value: somebody does it by hand.
            Status::Undo { state: UndoState::Failed { failure }, .. }
            | Status::Forward(Forward::Failed { failure, .. })
                if failure.message.contains("no value") =>
            {
                return Verb::UndoDone { step };
            }
            Status::Undo { state: UndoState::Failed { .. } | UndoState::Unknown { .. }, .. }
            | Status::Forward(Forward::Failed { .. } | Forward::Unknown { .. }) => return Verb::UndoRetry { step },
            Status::Undo { .. } | Status::Forward(_) => {}
        }
    }
    Verb::Close
}
