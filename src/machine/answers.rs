//! What may be answered to a question: the verbs that are legal for it now, in the order in which people read them.
//!
//! This is the only list: a view adds words and the command to type, and never an answer of its own. Every one of them
//! is accepted as long as the run stands where it stands; a property test holds it. Start with [`Run::answers`].

use std::collections::BTreeMap;

use super::fact::{Direction, Left};
use super::input::Verb;
use super::question::{Question, QuestionKind};
use super::run::Run;
use super::run_state::RunState;
use super::state::{Forward, Status};
use super::{verbs, verbs_by_hand, verbs_step};
use crate::plan::step::Undo;
use crate::plan::{Section, StepId, StepIx, StepKind};

/// More time, for a step or for the window, as a command offers it; a person may say another length.
pub const MORE_MS: u64 = 30 * 60_000;

impl Run {
    /// The verb that says that a step was done, as it would be taken: of a step by hand with some answer to each of its
    /// fields, and in one of its roles.
    #[must_use]
    pub fn says_done(&self, ix: StepIx) -> Verb {
        let planned = self.plan.step(ix);
        let (outputs, role) = match &planned.kind {
            StepKind::Manual(manual) => (manual.example(), manual.roles.first().cloned()),
            StepKind::Action(_) | StepKind::Approval(_) => (BTreeMap::new(), None),
        };
        Verb::Happened { step: planned.id.clone(), outputs, role }
    }

    /// What may be answered to an open question: what helps it, then what is about the whole run. Once users may be on
    /// the target, going back comes first. `close` is always legal, so it is always there, and it always comes last.
    #[must_use]
    pub fn answers(&self, question: &Question) -> Vec<Verb> {
        let mut answers = Vec::new();
        let step = question.kind.step().and_then(|step| Some((self.plan.find(step)?, step.clone())));
        match (&question.kind, step) {
            (QuestionKind::UnknownOutcome { direction, .. }, Some((ix, step))) => {
                unknown(self, ix, &step, *direction, &mut answers);
            }
            (QuestionKind::PartialEffect { .. }, Some((ix, step))) => partial(self, ix, &step, &mut answers),
            (
                QuestionKind::StepFailed { .. } | QuestionKind::LateStepFailed { .. } | QuestionKind::Denied { .. },
                Some((ix, step)),
            ) => failed(self, ix, &step, &mut answers),
            (QuestionKind::ValueUnknown { .. }, Some((ix, step))) => value_unknown(self, ix, &step, &mut answers),
            (QuestionKind::OutOfTime { .. }, Some((ix, step))) => out_of_time(self, ix, step, &mut answers),
            (QuestionKind::CheckInconclusive { .. }, Some((ix, step))) => {
                retry(self, ix, &step, &mut answers);
                skip_or_waive(self, ix, &step, &mut answers);
                answers.push(Verb::GoOn { question: question.id });
            }
            (QuestionKind::StaleCheck { .. }, Some((ix, step))) => {
                retry(self, ix, &step, &mut answers);
                skip_or_waive(self, ix, &step, &mut answers);
            }
            (QuestionKind::Irreversible { .. }, Some((ix, step))) => {
                let role = self.rules_of_passing(ix).and_then(|rules| rules.roles.first().cloned());
                answers.push(Verb::Approve { step, role });
            }
            (QuestionKind::Amendment { .. }, Some((_, step))) => amendment(step, &mut answers),
            (QuestionKind::PostCheckFailed { .. }, Some((ix, step))) => {
                back(self, &mut answers);
                answers.push(Verb::GoOn { question: question.id });
                skip_or_waive(self, ix, &step, &mut answers);
            }
            (QuestionKind::GateUnmet { .. }, _) => {
                back(self, &mut answers);
                answers.push(Verb::WindowExtend { by_ms: MORE_MS });
            }
            (QuestionKind::Tripped { .. } | QuestionKind::Blind { .. } | QuestionKind::TurnBack { .. }, _) => {
                back(self, &mut answers);
                answers.push(Verb::GoOn { question: question.id });
            }
            (QuestionKind::UndoByHand { .. }, Some((ix, step))) => by_hand(self, ix, step, &mut answers),
            (QuestionKind::AwayTooLong { .. }, _) => answers.push(Verb::ContinueRollback),
            (QuestionKind::PastIrreversible { .. }, _) => answers.push(Verb::ForwardAgain),
            (
                QuestionKind::LateEffect { .. }
                | QuestionKind::StartWindowEnded { .. }
                | QuestionKind::RequirementRolledBack { .. }
                | QuestionKind::PluginChanged { .. },
                _,
            ) => answers.push(Verb::GoOn { question: question.id }),
            // A question about a step names a step of the plan.
            (
                QuestionKind::UnknownOutcome { .. }
                | QuestionKind::PartialEffect { .. }
                | QuestionKind::StepFailed { .. }
                | QuestionKind::LateStepFailed { .. }
                | QuestionKind::Denied { .. }
                | QuestionKind::ValueUnknown { .. }
                | QuestionKind::OutOfTime { .. }
                | QuestionKind::CheckInconclusive { .. }
                | QuestionKind::StaleCheck { .. }
                | QuestionKind::Irreversible { .. }
                | QuestionKind::PostCheckFailed { .. }
                | QuestionKind::UndoByHand { .. }
                | QuestionKind::Amendment { .. },
                None,
            ) => {}
        }
        the_whole_run(self, &mut answers);
        answers
    }
}

fn amendment(step: StepId, answers: &mut Vec<Verb>) {
    answers.push(Verb::Approve { step: step.clone(), role: None });
    answers.push(Verb::Reject { step });
}

/// The answers that end or turn the run, whatever is asked.
fn the_whole_run(run: &Run, answers: &mut Vec<Verb>) {
    if verbs::may_accept(run).is_ok() {
        answers.push(Verb::Accept);
    }
    if !answers.iter().any(|verb| matches!(verb, Verb::Cancel | Verb::Rollback)) {
        back(run, answers);
    }
    answers.push(Verb::Close);
}

/// Back, or out where nothing was cut over yet.
fn back(run: &Run, answers: &mut Vec<Verb>) {
    let on_its_way = run.rollback.is_some() || matches!(run.state, RunState::RollingBack | RunState::Stuck);
    if run.first_effect.is_none() && !on_its_way {
        answers.push(Verb::Cancel);
    } else if verbs::may_roll_back(run).is_ok() {
        answers.push(Verb::Rollback);
    }
}

fn out_of_time(run: &Run, ix: StepIx, step: StepId, answers: &mut Vec<Verb>) {
    if verbs_by_hand::waits(run, ix) {
        answers.push(run.says_done(ix));
        answers.push(Verb::Extend { step: step.clone(), by_ms: MORE_MS });
        answers.push(Verb::ItFailed { step, left: Left::Possible });
        return;
    }
    answers.push(Verb::Extend { step: step.clone(), by_ms: MORE_MS });
    let back = matches!(run.step(ix).status, Status::Undo { .. });
    answers.push(if back { Verb::UndoRetry { step } } else { Verb::Retry { step } });
}

fn unknown(run: &Run, ix: StepIx, step: &StepId, direction: Direction, answers: &mut Vec<Verb>) {
    if direction == Direction::Undo {
        answers.push(Verb::UndoRetry { step: step.clone() });
        answers.push(Verb::UndoDone { step: step.clone() });
        if verbs_step::may_not_waive(run, ix).is_none() {
            answers.push(Verb::UndoWaive { step: step.clone() });
        }
        return;
    }
    if !matches!(run.step(ix).status, Status::Forward(Forward::Unknown { .. })) {
        return;
    }
    answers.push(run.says_done(ix));
    answers.push(Verb::DidNotHappen { step: step.clone() });
    if run.step(ix).attached.is_some() && verbs_step::is_on(run, run.plan.step(ix).section) && run.rollback.is_none() {
        answers.push(Verb::Retry { step: step.clone() });
    }
    if run.plan.step(ix).probe.is_some() {
        answers.push(Verb::ProbeAgain { step: step.clone() });
    }
    answers.push(Verb::ItFailed { step: step.clone(), left: Left::Possible });
}

fn value_unknown(run: &Run, ix: StepIx, step: &StepId, answers: &mut Vec<Verb>) {
    answers.push(Verb::Retry { step: step.clone() });
    skip_or_waive(run, ix, step, answers);
    if !run.plan.step(ix).section.is_check() {
        answers.push(run.says_done(ix));
    }
}

fn by_hand(run: &Run, ix: StepIx, step: StepId, answers: &mut Vec<Verb>) {
    answers.push(Verb::UndoDone { step: step.clone() });
    answers.push(Verb::ItFailed { step: step.clone(), left: Left::Possible });
    if verbs_step::may_not_waive(run, ix).is_none() {
        answers.push(Verb::UndoWaive { step });
    }
}

fn partial(run: &Run, ix: StepIx, step: &StepId, answers: &mut Vec<Verb>) {
    if run.partial.contains(&ix) {
        answers.push(Verb::UndoRetry { step: step.clone() });
        answers.push(Verb::UndoDone { step: step.clone() });
        return;
    }
    unknown(run, ix, step, Direction::Forward, answers);
}

fn failed(run: &Run, ix: StepIx, step: &StepId, answers: &mut Vec<Verb>) {
    retry(run, ix, step, answers);
    skip_or_waive(run, ix, step, answers);
    let failed = matches!(run.step(ix).status, Status::Forward(Forward::Failed { .. }));
    if failed && !run.plan.step(ix).section.is_check() {
        answers.push(run.says_done(ix));
    }
}

fn retry(run: &Run, ix: StepIx, step: &StepId, answers: &mut Vec<Verb>) {
    let section = run.plan.step(ix).section;
    let again = match &run.step(ix).status {
        Status::Forward(forward) => match forward {
            Forward::Failed { .. } | Forward::Backoff { .. } | Forward::NotRun => true,
            Forward::Unknown { .. } => section.is_check(),
            Forward::Pending
            | Forward::Ready
            | Forward::Running(_)
            | Forward::Waiting { .. }
            | Forward::Succeeded
            | Forward::Skipped { .. } => false,
        },
        Status::Undo { .. } => false,
    };
    if again && verbs_step::is_on(run, section) {
        answers.push(Verb::Retry { step: step.clone() });
    }
}

fn skip_or_waive(run: &Run, ix: StepIx, step: &StepId, answers: &mut Vec<Verb>) {
    let planned = run.plan.step(ix);
    if matches!(planned.kind, StepKind::Approval(_)) || run.step(ix).status.is_live() || run.forward(ix).satisfies() {
        return;
    }
    if planned.section.is_check() {
        if let Some(role) = planned.check.waivable_by.first().filter(|_| planned.section != Section::RollbackCheck) {
            answers.push(Verb::Waive { step: step.clone(), role: Some(role.clone()) });
        }
    } else if !planned.exposes && planned.section != Section::Fence && !matches!(planned.undo, Undo::Irreversible) {
        answers.push(Verb::Skip { step: step.clone() });
    }
}
