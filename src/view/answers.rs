//! The answers that the machine takes to each question, with the command that gives them.
//!
//! A test asks the machine about every one of them: an answer that it would refuse is a bug here.

use super::question::AnswerView;
use super::{Times, words};
use crate::machine::fact::{Direction, Millis};
use crate::machine::question::{Question, QuestionKind};
use crate::machine::run::Run;
use crate::machine::{may_accept, may_roll_back};
use crate::plan::{Section, StepId, StepIx};

/// What an answer costs in time where it acts at once.
const AT_ONCE: &str = "at once";

struct Answers<'a> {
    run: &'a Run,
    times: &'a Times,
    turn_back_at: Option<Millis>,
    list: Vec<AnswerView>,
}

/// The legal answers to a question, numbered.
pub(super) fn of(run: &Run, question: &Question, times: &Times, turn_back_at: Option<Millis>) -> Vec<AnswerView> {
    let mut answers = Answers { run, times, turn_back_at, list: Vec::new() };
    answers.collect(question);
    answers.list
}

impl Answers<'_> {
    fn add(&mut self, label: &str, verb: &str, effect: impl Into<String>, duration: impl Into<String>) {
        let number = u32::try_from(self.list.len() + 1).unwrap_or(u32::MAX);
        self.list.push(AnswerView {
            number,
            label: label.to_owned(),
            command: format!("bascule {}", verb.replacen("RUN", &self.run.name, 1)),
            effect: effect.into(),
            duration: duration.into(),
            last_possible_at: None,
            last_possible: None,
        });
    }

    fn collect(&mut self, question: &Question) {
        match &question.kind {
            QuestionKind::UnknownOutcome { step, direction: Direction::Undo, .. } => self.undo(step),
            QuestionKind::UnknownOutcome { step, direction: Direction::Forward, .. }
            | QuestionKind::PartialEffect { step, .. } => {
                self.resolve(step);
                self.back();
            }
            QuestionKind::StepFailed { step, .. }
            | QuestionKind::LateStepFailed { step }
            | QuestionKind::ValueUnknown { step, .. } => {
                self.again(step);
                self.without(step);
                self.by_hand(step);
                self.back();
            }
            QuestionKind::CheckInconclusive { step, .. } => {
                self.again(step);
                self.waive(step);
                self.go_on(question, "the check is tried again and again meanwhile");
                self.back();
            }
            QuestionKind::StaleCheck { step } => {
                self.again(step);
                self.waive(step);
                self.back();
            }
            QuestionKind::OutOfTime { step } => {
                let effect = "its deadline moves; nothing is interrupted";
                self.add("give it more time", &format!("extend RUN {step} --by 30m"), effect, AT_ONCE);
                self.back();
            }
            QuestionKind::Denied { step, .. } => {
                let effect = "the approval is asked for once more";
                self.add("ask again", &format!("retry RUN {step}"), effect, AT_ONCE);
                self.back();
            }
            QuestionKind::Irreversible { step } => {
                let effect = "it is performed; past it nothing rolls back by itself";
                self.add("let it pass", &format!("approve RUN {step}"), effect, self.length(step));
                self.back();
            }
            QuestionKind::LateEffect { .. }
            | QuestionKind::RequirementRolledBack { .. }
            | QuestionKind::PluginChanged { .. } => {
                self.go_on(question, "the run goes on as it is");
                self.back();
            }
            QuestionKind::AwayTooLong { .. } | QuestionKind::PastIrreversible { .. } => self.on_the_way_back(question),
            QuestionKind::Tripped { .. }
            | QuestionKind::Blind { .. }
            | QuestionKind::PostCheckFailed { .. }
            | QuestionKind::GateUnmet { .. }
            | QuestionKind::StartWindowEnded { .. }
            | QuestionKind::TurnBack { .. } => self.at_large(question),
        }
    }

    /// A rollback that waits for a word.
    fn on_the_way_back(&mut self, question: &Question) {
        if matches!(question.kind, QuestionKind::AwayTooLong { .. }) {
            let effect = "the undos that are left run, in order";
            self.add("go on with the rollback", "rollback RUN --continue", effect, "unknown");
        } else {
            let effect = "the steps that were taken back are performed again";
            self.add("forward again", "resolve RUN --forward-again", effect, "unknown");
        }
        self.close();
    }

    /// The run as a whole: its target, its gate, its times.
    fn at_large(&mut self, question: &Question) {
        if matches!(question.kind, QuestionKind::StartWindowEnded { .. }) {
            self.go_on(question, "the run goes on although its start window is over");
            let effect = "nothing was cut over; a preparation is undone";
            self.add("cancel", "cancel RUN", effect, AT_ONCE);
            return;
        }
        self.back();
        if matches!(question.kind, QuestionKind::Tripped { .. } | QuestionKind::Blind { .. }) {
            self.go_on(question, "the run stays where it is; the criterion is sampled on");
            self.accept();
        } else if matches!(question.kind, QuestionKind::PostCheckFailed { .. }) {
            self.go_on(question, "the check is repeated; the gate still asks for it");
        } else if matches!(question.kind, QuestionKind::TurnBack { .. }) {
            self.go_on(question, "the cutover goes on past the end of the change window");
        } else {
            let effect = "the window opens again, counted from now; tripped criteria act again";
            self.add("watch longer", "window extend RUN --by 30m", effect, "30m 00s");
            self.accept();
        }
    }

    fn place(&self, step: &StepId) -> Option<StepIx> {
        self.run.plan.find(step)
    }

    fn length(&self, step: &StepId) -> String {
        let known = self.place(step).and_then(|ix| self.run.plan.step(ix).estimate_ms);
        known.map_or_else(|| "unknown".to_owned(), words::span_u)
    }

    fn resolve(&mut self, step: &StepId) {
        let probe = self.place(step).is_some_and(|ix| self.run.plan.step(ix).probe.is_some());
        let exposes = self.place(step).is_some_and(|ix| self.run.plan.step(ix).exposes);
        let happened = if exposes {
            "it counts as done; the window opens, counted from its start"
        } else {
            "it counts as done; the run goes on (`--output NAME=VALUE` gives its outputs)"
        };
        self.add("it happened", &format!("resolve RUN {step} --happened"), happened, AT_ONCE);
        let length = self.length(step);
        self.add("it did not happen", &format!("resolve RUN {step} --did-not-happen"), "it runs again", length);
        if probe {
            self.add("look again", &format!("resolve RUN {step} --probe"), "its probe looks once more", AT_ONCE);
        }
        let failed = "it counts as failed with something left behind: the plan's `onFailure` decides";
        self.add("it failed", &format!("resolve RUN {step} --failed"), failed, AT_ONCE);
    }

    fn undo(&mut self, step: &StepId) {
        self.add("try again", &format!("undo retry RUN {step}"), "the undo runs again", "unknown");
        self.add("it was taken back", &format!("undo done RUN {step}"), "it counts as undone", AT_ONCE);
        self.add("go on without", &format!("undo waive RUN {step}"), "it stays applied and is listed", AT_ONCE);
    }

    fn again(&mut self, step: &StepId) {
        let length = self.length(step);
        self.add("try again", &format!("retry RUN {step}"), "another attempt, with the same key", length);
    }

    fn without(&mut self, step: &StepId) {
        let Some(ix) = self.place(step) else { return };
        let of_plan = self.run.plan.step(ix);
        if of_plan.exposes || of_plan.section.is_check() {
            return;
        }
        self.add("go on without it", &format!("skip RUN {step}"), "what needs it goes on as if it were done", AT_ONCE);
    }

    fn by_hand(&mut self, step: &StepId) {
        if self.place(step).is_some_and(|ix| self.run.plan.step(ix).section.is_check()) {
            return;
        }
        let effect = "it counts as done by hand; its undo will be run on a rollback";
        self.add("it was done by hand", &format!("resolve RUN {step} --happened"), effect, AT_ONCE);
    }

    fn waive(&mut self, step: &StepId) {
        let Some(ix) = self.place(step) else { return };
        if let Some(role) = self.run.plan.step(ix).check.waivable_by.first() {
            let verb = format!("waive RUN {step} --role {role}");
            self.add("go on without it", &verb, "the run goes on without this check", AT_ONCE);
        }
    }

    fn go_on(&mut self, question: &Question, effect: &str) {
        self.add("go on", &format!("resolve RUN --go-on {}", question.id), effect, AT_ONCE);
    }

    /// Back, or out where nothing was cut over yet.
    fn back(&mut self) {
        let run = self.run;
        if may_roll_back(run).is_err() {
            if run.first_effect.is_none() && run.rollback.is_none() {
                let effect = "the run ends; its preparation is undone, nothing was cut over";
                self.add("end it", "cancel RUN", effect, "unknown");
            } else if run.commit_intended {
                self.close();
            }
            return;
        }
        let restored = run.plan.section(Section::RollbackCheck).len();
        let effect = match (run.possibly_exposed.is_some(), restored) {
            (true, _) => "users go back to the source, then what was built is removed",
            (false, _) => "what was done is undone; no user had reached the target",
        };
        self.add("roll back", "rollback RUN", effect, self.times.back());
        if let Some(answer) = self.list.last_mut() {
            answer.last_possible_at = self.turn_back_at;
            answer.last_possible = Some("by hand until the commit".to_owned());
        }
    }

    fn accept(&mut self) {
        if may_accept(self.run).is_ok() {
            let effect = "the target stands as it is; the engine no longer goes back by itself";
            self.add("accept", "accept RUN", effect, AT_ONCE);
        }
    }

    fn close(&mut self) {
        let effect = "the run ends as it stands; what is left applied is listed in the report";
        self.add("close", "close RUN --reason …", effect, AT_ONCE);
    }
}
