//! The machine on a virtual clock: SEMANTICS, sentence by sentence. One module per section.

mod amend;
mod before;
mod by_hand;
mod change;
mod clock;
mod crash;
mod data;
mod ends;
mod go_at;
mod questions;
mod retries;
mod unended;
mod verbs;
mod way_back;
mod window;

use bascule::machine::fact::Millis;
use bascule::machine::question::QuestionKind;
use bascule::machine::{RunState, Verb};
use bascule::plan::StepIx;

use crate::support::night::Night;
use crate::support::plans;

/// When users first reached the target, counted from the start.
fn exposed(night: &Night) -> Millis {
    night.sim.run.exposed.expect("users reached the target") - crate::support::sim::START
}

/// The place of a step.
fn place(night: &Night, step: &str) -> StepIx {
    night.sim.run.plan.find(&step.into()).expect("it is there")
}

/// A run of a plan that has come to observing, and since when users are there.
fn observing(plan: plans::Draft) -> (Night, Millis) {
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Observing);
    let since = exposed(&night);
    (night, since)
}

/// The one open question, and what may be answered to it: always legal, every one of them.
fn asked(night: &Night) -> (QuestionKind, Vec<Verb>) {
    let open: Vec<_> = night.sim.run.questions.values().collect();
    assert_eq!(open.len(), 1, "{:?} in\n{}", night.questions(), night.story());
    (open[0].kind.clone(), night.sim.run.answers(open[0]))
}

/// The names of the kinds of what is asked.
fn asks(night: &Night) -> Vec<String> {
    night.sim.run.questions.values().map(|question| crate::support::sim::first_word(&question.kind)).collect()
}

/// What was performed since the way back was decided: `step` for a fence or a check, `step!` for an undo.
fn performed_back(night: &Night, before: &[String]) -> Vec<String> {
    let all = &night.sim.hands.performed;
    all[before.len()..].iter().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn an_untroubled_run_is_accepted() {
    let mut night = Night::of(plans::founding().seal()).begin();
    night.until_it_is(RunState::Accepted);
    insta::assert_snapshot!(night.story());
}
