//! SEMANTICS §8, writes after exposure: what goes back by itself, and what asks.

use bascule::machine::fact::Left;
use bascule::machine::question::QuestionKind;
use bascule::machine::{RunState, Verb};
use bascule::plan::{DataAnswer, TripRule};

use super::{asked, observing, performed_back};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, criterion, cut};

fn answering(answer: DataAnswer) -> plans::Draft {
    plans::founding()
        .criterion(criterion("health", TripRule::Consecutive(2)))
        .policies(|policies| policies.data = answer)
}

fn why(kind: &QuestionKind) -> String {
    let (QuestionKind::Tripped { why, .. } | QuestionKind::StepFailed { why, .. }) = kind else {
        panic!("{kind:?} is not about the data")
    };
    why.to_string()
}

#[test]
fn a_trip_without_an_answer_for_the_data_asks_with_the_minutes_at_stake() {
    let (mut night, since) = observing(answering(DataAnswer::Unanswered));
    night.bad_from("health", since + min(20));
    night.until_it_is(RunState::Deciding);
    let (kind, answers) = asked(&night);
    assert_eq!(why(&kind), "the plan has no answer for 20 min of users' writes on the target");
    assert!(answers.contains(&Verb::Rollback), "a person may still go back: {answers:?}");
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_loss_that_was_accepted_beforehand_goes_back_and_a_larger_one_asks() {
    let accepted = DataAnswer::AcceptLoss { up_to_ms: 600_000, reason: "agreed with sales".to_owned() };
    let (mut night, since) = observing(answering(accepted.clone()));
    night.bad_from("health", since + min(8));
    night.until_it_is(RunState::RolledBack);
    let (mut night, since) = observing(answering(accepted));
    night.bad_from("health", since + min(11));
    night.until_it_is(RunState::Deciding);
    let (kind, _) = asked(&night);
    assert_eq!(why(&kind), "11 min of users' writes would be lost; the runbook accepts 10 min");
}

#[test]
fn a_stateless_application_goes_back_at_any_time_of_the_window() {
    let (mut night, since) = observing(answering(DataAnswer::Stateless));
    night.bad_from("health", since + min(70));
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_step_that_fails_before_exposure_goes_back_without_an_answer() {
    let plan = answering(DataAnswer::Unanswered).seal();
    let mut night = Night::of(plan).always("smoke", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_step_that_fails_after_exposure_needs_the_same_answer_as_a_trip() {
    let plan = answering(DataAnswer::Unanswered).add(cut("tidy"));
    let mut night = Night::of(plan.seal()).on("tidy", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    let (kind, _) = asked(&night);
    assert!(why(&kind).contains("no answer for"), "{kind:?}");
    let plan = answering(DataAnswer::ReverseSync).add(cut("tidy"));
    let mut night = Night::of(plan.seal()).on("tidy", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_run_counts_as_exposed_from_the_intent_of_its_exposing_step() {
    let plan = answering(DataAnswer::ReverseSync);
    let mut night = Night::of(plan.seal()).on("balance", Act::hangs()).on_probe("balance", None).begin();
    night.until(30_000);
    let before = night.sim.hands.performed.clone();
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    let back = performed_back(&night, &before);
    assert!(
        back.contains(&"sync!".to_owned()),
        "nobody knows that no user came: their writes are brought home: {back:?}"
    );
}

#[test]
fn an_exposing_step_that_left_nothing_brings_nothing_home() {
    let plan = answering(DataAnswer::ReverseSync);
    let mut night = Night::of(plan.seal()).always("balance", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::RolledBack);
    assert!(!night.performed().contains("sync!"), "an unfinished target must never overwrite a good source");
    assert!(night.only(&["undoNotNeeded"]).contains("nothing to bring home"));
}

#[test]
fn what_would_be_deleted_is_kept_unless_the_data_came_home() {
    let plan = || {
        plans::founding().body(|body| {
            let convert = std::sync::Arc::make_mut(
                body.steps.iter_mut().find(|step| step.id.as_str() == "convert").expect("it is there"),
            );
            if let bascule::plan::step::Undo::Action(undo) = &mut convert.undo {
                undo.keep = false;
            }
        })
    };
    let (mut night, _) = observing(plan());
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("convert!"), "the reverse sync went well");
    let (mut night, _) = observing(plan());
    night.undo_always("sync", Act::fails(Left::Possible));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    night.say(Verb::UndoWaive { step: "sync".into() });
    night.until_it_is(RunState::RolledBack);
    assert!(!night.performed().contains("convert!"), "users' writes stand nowhere else");
    assert!(night.only(&["residue"]).contains("kept: users may have written to it"), "{}", night.only(&["residue"]));
    let mut night = Night::of(plan().seal()).always("smoke", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("convert!"), "nobody could have written there");
}
