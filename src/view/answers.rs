//! The answers to each question that the machine would take now, with the command that gives them.

use super::question::AnswerView;
use super::{Times, offer, words};
use crate::machine::fact::{Direction, Left, Millis};
use crate::machine::question::{Question, QuestionKind};
use crate::machine::run::Run;
use crate::machine::{Now, Verb};
use crate::plan::{StepId, StepKind};

/// What an answer costs in time where it acts at once.
const AT_ONCE: &str = "at once";

/// How much more time a command offers.
const MORE_MS: u64 = 30 * 60_000;

struct Answers<'a> {
    run: &'a Run,
    now: Now,
    times: &'a Times,
    turn_back_at: Option<Millis>,
    list: Vec<AnswerView>,
}

/// The legal answers to a question, numbered.
pub(super) fn of(run: &Run, now: Now, question: &Question, times: &Times) -> Vec<AnswerView> {
    let turn_back_at = super::ChangeView::of(run, times).and_then(|change| change.turn_back_at);
    let mut answers = Answers { run, now, times, turn_back_at, list: Vec::new() };
    answers.collect(question);
    if answers.list.is_empty() {
        answers.close();
    }
    answers.list
}

impl Answers<'_> {
    /// Adds an answer, if the machine takes it.
    fn add(&mut self, label: &str, verb: &Verb, effect: &str, duration: &str) {
        if !offer::is_legal(self.run, self.now, verb) {
            return;
        }
        self.list.push(AnswerView {
            number: u32::try_from(self.list.len() + 1).unwrap_or(u32::MAX),
            label: label.to_owned(),
            command: offer::command(&self.run.name, verb),
            effect: effect.to_owned(),
            duration: duration.to_owned(),
            last_possible_at: None,
            last_possible: None,
        });
    }

    fn collect(&mut self, question: &Question) {
        match &question.kind {
            QuestionKind::UnknownOutcome { step, direction: Direction::Undo, .. } => self.undo(step),
            QuestionKind::UndoByHand { step, .. } => self.by_hand(step),
            QuestionKind::UnknownOutcome { step, direction: Direction::Forward, .. }
            | QuestionKind::PartialEffect { step, .. } => {
                self.resolve(step);
                self.undo(step);
                self.back();
            }
            QuestionKind::StepFailed { step, .. }
            | QuestionKind::LateStepFailed { step }
            | QuestionKind::ValueUnknown { step, .. } => {
                self.again(step);
                let effect = "what needs it goes on as if it were done";
                self.add("go on without it", &Verb::Skip { step: step.clone() }, effect, AT_ONCE);
                let effect = "it counts as done by hand; a rollback runs its undo";
                self.add("it was done by hand", &self.happened(step), effect, AT_ONCE);
                self.waive(step);
                self.back();
            }
            QuestionKind::CheckInconclusive { step, .. } | QuestionKind::StaleCheck { step } => {
                self.again(step);
                self.waive(step);
                self.go_on(question, "the check is tried again and again meanwhile");
                self.back();
            }
            QuestionKind::OutOfTime { step } => self.out_of_time(step),
            QuestionKind::Denied { step, .. } => {
                let verb = Verb::Retry { step: step.clone() };
                self.add("ask again", &verb, "the approval is asked for once more", AT_ONCE);
                self.back();
            }
            QuestionKind::Irreversible { step } => {
                let rules = self.run.plan.find(step).and_then(|ix| self.run.rules_of_passing(ix));
                let role = rules.and_then(|rules| rules.roles.first().cloned());
                let verb = Verb::Approve { step: step.clone(), role };
                let (effect, length) = ("it is performed; past it nothing rolls back by itself", self.length(step));
                self.add("let it pass", &verb, effect, &length);
                self.back();
            }
            QuestionKind::LateEffect { .. }
            | QuestionKind::RequirementRolledBack { .. }
            | QuestionKind::PluginChanged { .. } => {
                self.go_on(question, "the run goes on as it is");
                self.back();
            }
            QuestionKind::AwayTooLong { .. } | QuestionKind::PastIrreversible { .. } => self.on_the_way_back(),
            QuestionKind::StartWindowEnded { .. } => {
                self.go_on(question, "the run goes on although its start window is over");
                self.back();
            }
            QuestionKind::Tripped { .. }
            | QuestionKind::Blind { .. }
            | QuestionKind::PostCheckFailed { .. }
            | QuestionKind::GateUnmet { .. }
            | QuestionKind::TurnBack { .. } => self.after_exposure(question),
        }
    }

    /// A step, or a person, that takes longer than it should.
    fn out_of_time(&mut self, step: &StepId) {
        let by_hand = self.run.plan.find(step).is_some_and(|ix| {
            matches!(self.run.plan.step(ix).kind, StepKind::Manual(_)) && self.run.forward(ix).attempt().is_none()
        });
        if by_hand {
            self.add("it was done", &self.happened(step), "it is verified, and counts as done", AT_ONCE);
            let verb = Verb::ItFailed { step: step.clone(), left: Left::Possible };
            let effect = "it counts as failed with something left behind: the plan's `onFailure` decides";
            self.add("it could not be done", &verb, effect, AT_ONCE);
        }
        let verb = Verb::Extend { step: step.clone(), by_ms: MORE_MS };
        self.add("give it more time", &verb, "its deadline moves; nothing is interrupted", AT_ONCE);
        let effect = "it is told to stop; what it declares of its effect decides what follows";
        self.add("stop it", &Verb::Retry { step: step.clone() }, effect, AT_ONCE);
        let effect = "its undo is told to stop, and begins again";
        self.add("stop it", &Verb::UndoRetry { step: step.clone() }, effect, AT_ONCE);
        self.back();
    }

    /// A rollback that waits for a word.
    fn on_the_way_back(&mut self) {
        let effect = "the undos that are left run, in order";
        self.add("go on with the rollback", &Verb::ContinueRollback, effect, "unknown");
        let effect = "the steps that were taken back are performed again";
        self.add("forward again", &Verb::ForwardAgain, effect, "unknown");
        self.close();
    }

    /// The target, its gate, its times.
    fn after_exposure(&mut self, question: &Question) {
        self.back();
        let effect = match &question.kind {
            QuestionKind::PostCheckFailed { .. } => "the check is repeated; the gate still asks for it",
            QuestionKind::TurnBack { .. } => "the cutover goes on past the end of the change window",
            QuestionKind::Tripped { .. }
            | QuestionKind::Blind { .. }
            | QuestionKind::GateUnmet { .. }
            | QuestionKind::UnknownOutcome { .. }
            | QuestionKind::StepFailed { .. }
            | QuestionKind::PartialEffect { .. }
            | QuestionKind::CheckInconclusive { .. }
            | QuestionKind::ValueUnknown { .. }
            | QuestionKind::OutOfTime { .. }
            | QuestionKind::AwayTooLong { .. }
            | QuestionKind::StaleCheck { .. }
            | QuestionKind::Denied { .. }
            | QuestionKind::Irreversible { .. }
            | QuestionKind::PastIrreversible { .. }
            | QuestionKind::LateStepFailed { .. }
            | QuestionKind::UndoByHand { .. }
            | QuestionKind::LateEffect { .. }
            | QuestionKind::RequirementRolledBack { .. }
            | QuestionKind::StartWindowEnded { .. }
            | QuestionKind::PluginChanged { .. } => "the run stays where it is; criteria are sampled on",
        };
        self.go_on(question, effect);
        if matches!(question.kind, QuestionKind::GateUnmet { .. }) {
            let effect = "the window opens again, counted from now; tripped criteria act again";
            self.add("watch longer", &Verb::WindowExtend { by_ms: MORE_MS }, effect, "30m 00s");
        }
        let effect = "the target stands as it is; the engine no longer goes back by itself";
        self.add("accept", &Verb::Accept, effect, AT_ONCE);
    }

    fn happened(&self, step: &StepId) -> Verb {
        let nothing = || Verb::Happened { step: step.clone(), outputs: std::collections::BTreeMap::new(), role: None };
        self.run.plan.find(step).map_or_else(nothing, |ix| self.run.says_done(ix))
    }

    fn length(&self, step: &StepId) -> String {
        let known = self.run.plan.find(step).and_then(|ix| self.run.plan.step(ix).estimate_ms);
        known.map_or_else(|| "unknown".to_owned(), words::span_u)
    }

    fn resolve(&mut self, step: &StepId) {
        let exposes = self.run.plan.find(step).is_some_and(|ix| self.run.plan.step(ix).exposes);
        let effect = if exposes {
            "it counts as done; the window opens, counted from its start"
        } else {
            "it counts as done; the run goes on (`--output NAME=VALUE` gives its outputs)"
        };
        self.add("it happened", &self.happened(step), effect, AT_ONCE);
        let length = self.length(step);
        self.add("it did not happen", &Verb::DidNotHappen { step: step.clone() }, "it runs again", &length);
        let verb = Verb::Retry { step: step.clone() };
        let effect = "it attaches to the work that its handle names; nothing is done anew";
        self.add("find it again", &verb, effect, &length);
        let verb = Verb::ProbeAgain { step: step.clone() };
        self.add("look again", &verb, "its probe looks once more", AT_ONCE);
        let verb = Verb::ItFailed { step: step.clone(), left: Left::Possible };
        let effect = "it counts as failed with something left behind: the plan's `onFailure` decides";
        self.add("it failed", &verb, effect, AT_ONCE);
    }

    fn undo(&mut self, step: &StepId) {
        let id = || step.clone();
        self.add("try the undo again", &Verb::UndoRetry { step: id() }, "it is taken back", "unknown");
        self.add("it was taken back", &Verb::UndoDone { step: id() }, "it counts as undone by hand", AT_ONCE);
        self.add("go on without", &Verb::UndoWaive { step: id() }, "it stays applied and is listed", AT_ONCE);
    }

    fn by_hand(&mut self, step: &StepId) {
        let id = || step.clone();
        self.add(
            "it was taken back",
            &Verb::UndoDone { step: id() },
            "it counts as undone; the way back goes on",
            AT_ONCE,
        );
        let verb = Verb::ItFailed { step: id(), left: Left::Possible };
        self.add("it could not be taken back", &verb, "what depends on it waits; the rest goes on", AT_ONCE);
        self.add("go on without", &Verb::UndoWaive { step: id() }, "it stays applied and is listed", AT_ONCE);
    }

    fn again(&mut self, step: &StepId) {
        let length = self.length(step);
        let verb = Verb::Retry { step: step.clone() };
        self.add("try again", &verb, "another attempt, with the same key", &length);
    }

    fn waive(&mut self, step: &StepId) {
        let roles = self.run.plan.find(step).map(|ix| self.run.plan.step(ix).check.waivable_by.clone());
        if let Some(role) = roles.unwrap_or_default().into_iter().next() {
            let verb = Verb::Waive { step: step.clone(), role: Some(role) };
            self.add("go on without it", &verb, "the run goes on without this check", AT_ONCE);
        }
    }

    fn go_on(&mut self, question: &Question, effect: &str) {
        self.add("go on", &Verb::GoOn { question: question.id }, effect, AT_ONCE);
    }

    /// Back, or out where nothing was cut over yet.
    fn back(&mut self) {
        if self.run.first_effect.is_none() && self.run.possibly_exposed.is_none() {
            let effect = "the run ends; its preparation is undone, nothing was cut over";
            self.add("end it", &Verb::Cancel, effect, "unknown");
            return;
        }
        let effect = if self.run.possibly_exposed.is_some() {
            "users go back to the source, then what was built is removed"
        } else {
            "what was done is undone; no user had reached the target"
        };
        let before = self.list.len();
        let length = self.times.back();
        self.add("roll back", &Verb::Rollback, effect, &length);
        if let Some(answer) = self.list.get_mut(before) {
            answer.last_possible_at = self.turn_back_at;
            answer.last_possible = Some("possible until the commit".to_owned());
        } else if self.run.commit_intended {
            self.close();
        }
    }

    fn close(&mut self) {
        let effect = "the run ends as it stands; what is left applied is listed in the report";
        self.add("close", &Verb::Close, effect, AT_ONCE);
    }
}
