//! The answers to each question in words: what each does, how long it takes, and the command that gives it.
//!
//! Which there are, and in which order, is the machine's to say ([`Run::answers`]); what the machine would refuse now is
//! left out, and nothing is added. Start with [`of`].

use super::question::AnswerView;
use super::{Times, offer, words};
use crate::machine::fact::Millis;
use crate::machine::question::{Question, QuestionKind};
use crate::machine::run::Run;
use crate::machine::{Now, Verb, ends_at_the_source};
use crate::plan::StepId;

/// What an answer costs in time where it acts at once.
const AT_ONCE: &str = "at once";

/// What an answer costs in time where nobody can say.
const UNKNOWN: &str = "unknown";

/// An answer in words.
struct Said {
    label: &'static str,
    effect: &'static str,
    duration: String,
}

fn said(label: &'static str, effect: &'static str, duration: impl Into<String>) -> Said {
    Said { label, effect, duration: duration.into() }
}

/// What a question is about: the same verb reads differently.
#[derive(Clone, Copy)]
enum Matter {
    /// What became of a step.
    Outcome,
    /// A step, or a check, that did not go well.
    Step,
    /// A step, or a person, that takes longer than it should.
    Time,
    /// An approval.
    Approval,
    /// What a person takes back by hand.
    ByHand,
    /// The run.
    Run,
}

impl Matter {
    fn of(kind: &QuestionKind) -> Self {
        match kind {
            QuestionKind::UnknownOutcome { .. } | QuestionKind::PartialEffect { .. } => Self::Outcome,
            QuestionKind::StepFailed { .. }
            | QuestionKind::LateStepFailed { .. }
            | QuestionKind::ValueUnknown { .. }
            | QuestionKind::CheckInconclusive { .. }
            | QuestionKind::StaleCheck { .. } => Self::Step,
            QuestionKind::OutOfTime { .. } => Self::Time,
            QuestionKind::Denied { .. } | QuestionKind::Irreversible { .. } | QuestionKind::Amendment { .. } => {
                Self::Approval
            }
            QuestionKind::UndoByHand { .. } => Self::ByHand,
            QuestionKind::Tripped { .. }
            | QuestionKind::Blind { .. }
            | QuestionKind::PostCheckFailed { .. }
            | QuestionKind::GateUnmet { .. }
            | QuestionKind::AwayTooLong { .. }
            | QuestionKind::PastIrreversible { .. }
            | QuestionKind::LateEffect { .. }
            | QuestionKind::StartWindowEnded { .. }
            | QuestionKind::TurnBack { .. }
            | QuestionKind::RequirementRolledBack { .. }
            | QuestionKind::PluginChanged { .. } => Self::Run,
        }
    }
}

/// The legal answers to a question, numbered.
pub(super) fn of(run: &Run, now: Now, question: &Question, times: &Times) -> Vec<AnswerView> {
    let turn_back_at = super::ChangeView::of(run, times).and_then(|change| change.turn_back_at);
    let legal = run.answers(question).into_iter().filter(|verb| offer::is_legal(run, now, offer::Engine::There, verb));
    let shown = legal.filter_map(|verb| Some((in_words(run, question, &verb, times)?, verb)));
    let numbered = (1..).zip(shown);
    numbered.map(|(number, (said, verb))| view(run, number, said, &verb, turn_back_at)).collect()
}

fn view(run: &Run, number: u32, said: Said, verb: &Verb, turn_back_at: Option<Millis>) -> AnswerView {
    let back = matches!(verb, Verb::Rollback);
    AnswerView {
        number,
        label: said.label.to_owned(),
        command: offer::command(&run.name, verb),
        effect: said.effect.to_owned(),
        duration: said.duration,
        last_possible_at: turn_back_at.filter(|_| back),
        last_possible: back.then(|| "possible until the commit".to_owned()),
    }
}

/// What an answer does; `None`: it answers no question.
fn in_words(run: &Run, question: &Question, verb: &Verb, times: &Times) -> Option<Said> {
    Some(match verb {
        Verb::Retry { step } => again(run, &question.kind, step),
        Verb::Happened { step, .. } => happened(run, &question.kind, step),
        Verb::ItFailed { .. } => failed(&question.kind),
        Verb::GoOn { .. } => said("go on", going_on(&question.kind), AT_ONCE),
        Verb::Rollback => said("roll back", way_back(run), times.back()),
        Verb::DidNotHappen { step } => said("it did not happen", "it runs again", length(run, step)),
        Verb::ProbeAgain { .. } => said("look again", "its probe looks once more", AT_ONCE),
        Verb::Skip { .. } => said("go on without it", "what needs it goes on as if it were done", AT_ONCE),
        Verb::Waive { .. } => said("go on without it", "the run goes on without this check", AT_ONCE),
        Verb::Extend { .. } => said("give it more time", "its deadline moves; nothing is interrupted", AT_ONCE),
        Verb::Approve { .. } if matches!(question.kind, QuestionKind::Amendment { .. }) => {
            said("agree", "the step takes the new values with its next attempt", AT_ONCE)
        }
        Verb::Reject { .. } if matches!(question.kind, QuestionKind::Amendment { .. }) => {
            said("say no", "the step keeps its values", AT_ONCE)
        }
        Verb::Approve { step, .. } => {
            said("let it pass", "it is performed; past it nothing rolls back by itself", length(run, step))
        }
        Verb::UndoRetry { .. } => match Matter::of(&question.kind) {
            Matter::Time => said("stop it", "its undo is told to stop, and begins again", AT_ONCE),
            Matter::Outcome | Matter::Step | Matter::Approval | Matter::ByHand | Matter::Run => {
                said("try the undo again", "it is taken back", UNKNOWN)
            }
        },
        Verb::UndoDone { .. } => {
            said("it was taken back", "it counts as undone by hand; the way back goes on", AT_ONCE)
        }
        Verb::UndoWaive { .. } => said("go on without", "it stays applied and is listed", AT_ONCE),
        Verb::Cancel => said("end it", "the run ends; its preparation is undone, nothing was cut over", UNKNOWN),
        Verb::ContinueRollback => said("go on with the rollback", "the undos that are left run, in order", UNKNOWN),
        Verb::ForwardAgain => said("forward again", "the steps that were taken back are performed again", UNKNOWN),
        Verb::WindowExtend { by_ms } => {
            let effect = "the window opens again, counted from now; tripped criteria act again";
            said("watch longer", effect, words::span_u(*by_ms))
        }
        Verb::Accept => said("accept", "the target stands as it is; the engine no longer goes back by itself", AT_ONCE),
        Verb::Close => said("close", "the run ends as it stands; the report lists what stays", AT_ONCE),
        Verb::Go
        | Verb::GoAt { .. }
        | Verb::Amend { .. }
        | Verb::Resume
        | Verb::Pause
        | Verb::Reject { .. }
        | Verb::Commit
        | Verb::Note { .. }
        | Verb::InCharge { .. }
        | Verb::Disarm { .. }
        | Verb::SignOff { .. }
        | Verb::ConfirmClock => return None,
    })
}

fn again(run: &Run, kind: &QuestionKind, step: &StepId) -> Said {
    match Matter::of(kind) {
        Matter::Outcome => {
            let effect = "it attaches to the work that its handle names; nothing is done anew";
            said("find it again", effect, length(run, step))
        }
        Matter::Time => {
            said("stop it", "it is told to stop; what it declares of its effect decides what follows", AT_ONCE)
        }
        Matter::Approval => said("ask again", "the approval is asked for once more", AT_ONCE),
        Matter::Step | Matter::ByHand | Matter::Run => {
            said("try again", "another attempt, with the same key", length(run, step))
        }
    }
}

fn happened(run: &Run, kind: &QuestionKind, step: &StepId) -> Said {
    match Matter::of(kind) {
        Matter::Outcome => {
            let exposes = run.plan.find(step).is_some_and(|ix| run.plan.step(ix).exposes);
            let effect = if exposes {
                "it counts as done; the window opens, counted from its start"
            } else {
                "it counts as done; the run goes on (`--output NAME=VALUE` gives its outputs)"
            };
            said("it happened", effect, AT_ONCE)
        }
        Matter::Time => said("it was done", "it is verified, and counts as done", AT_ONCE),
        Matter::Step | Matter::Approval | Matter::ByHand | Matter::Run => {
            said("it was done by hand", "it counts as done by hand; a rollback runs its undo", AT_ONCE)
        }
    }
}

fn failed(kind: &QuestionKind) -> Said {
    let effect = "it counts as failed with something left behind: the plan's `onFailure` decides";
    match Matter::of(kind) {
        Matter::ByHand => said("it could not be taken back", "what depends on it waits; the rest goes on", AT_ONCE),
        Matter::Time => said("it could not be done", effect, AT_ONCE),
        Matter::Outcome | Matter::Step | Matter::Approval | Matter::Run => said("it failed", effect, AT_ONCE),
    }
}

fn going_on(kind: &QuestionKind) -> &'static str {
    match kind {
        QuestionKind::CheckInconclusive { .. } | QuestionKind::StaleCheck { .. } => {
            "the check is tried again and again meanwhile"
        }
        QuestionKind::StartWindowEnded { .. } => "the run goes on although its start window is over",
        QuestionKind::PostCheckFailed { .. } => "the check is repeated; the gate still asks for it",
        QuestionKind::TurnBack { .. } => "the cutover goes on past the end of the change window",
        QuestionKind::Tripped { .. } | QuestionKind::Blind { .. } | QuestionKind::GateUnmet { .. } => {
            "the run stays where it is; criteria are sampled on"
        }
        QuestionKind::LateEffect { .. }
        | QuestionKind::RequirementRolledBack { .. }
        | QuestionKind::PluginChanged { .. }
        | QuestionKind::UnknownOutcome { .. }
        | QuestionKind::StepFailed { .. }
        | QuestionKind::PartialEffect { .. }
        | QuestionKind::ValueUnknown { .. }
        | QuestionKind::OutOfTime { .. }
        | QuestionKind::AwayTooLong { .. }
        | QuestionKind::Denied { .. }
        | QuestionKind::Irreversible { .. }
        | QuestionKind::PastIrreversible { .. }
        | QuestionKind::LateStepFailed { .. }
        | QuestionKind::Amendment { .. }
        | QuestionKind::UndoByHand { .. } => "the run goes on as it is",
    }
}

fn way_back(run: &Run) -> &'static str {
    if !ends_at_the_source(run) {
        "what came after the irreversible step is undone; users are not brought back to the source; then it asks"
    } else if run.possibly_exposed.is_some() {
        "users go back to the source, then what was built is removed"
    } else {
        "what was done is undone; no user had reached the target"
    }
}

fn length(run: &Run, step: &StepId) -> String {
    let known = run.plan.find(step).and_then(|ix| run.plan.step(ix).estimate_ms);
    known.map_or_else(|| UNKNOWN.to_owned(), words::span_u)
}
