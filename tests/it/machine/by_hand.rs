//! Work by hand, forwards and back: a person is asked, never an executor without a name.

use std::collections::BTreeMap;

use bascule::machine::fact::{Failure, Left};
use bascule::machine::input::Outcome;
use bascule::machine::question::QuestionKind;
use bascule::machine::state::UndoState;
use bascule::machine::{RunState, Verb};
use bascule::plan::Section;
use bascule::plan::step::{OnTimeout, Undo, UndoAction};
use bascule::report::by_hand::ByHand;

use super::{asked, asks, performed_back, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, cut, manual, undo_action};

fn taken_back_by_hand(cleanup: bool) -> Undo {
    let by_hand = Some("put the tape back into slot 7".to_owned());
    Undo::Action(UndoAction { call: None, by_hand, ..undo_action(cleanup) })
}

fn plan(cleanup: bool) -> plans::Draft {
    plans::Draft::new()
        .add(cut("quiesce").takes_source_down().undo())
        .add(manual("tape").with(|step| step.undo = taken_back_by_hand(cleanup)))
        .add(cut("balance").exposes().undo())
        .policies(|policies| policies.data = bascule::plan::DataAnswer::Stateless)
}

fn happened() -> Verb {
    Verb::Happened { step: "tape".into(), outputs: BTreeMap::new(), role: None }
}

/// A run whose work by hand was done, on its way back.
fn going_back(cleanup: bool) -> (Night, Vec<String>) {
    let mut night = Night::of(plan(cleanup).seal()).begin();
    night.until(min(1));
    night.say(happened());
    night.until_it_is(RunState::Observing);
    let before = night.sim.hands.performed.clone();
    night.say(Verb::Rollback);
    night.until_quiet();
    (night, before)
}

#[test]
fn a_step_by_hand_waits_for_a_person_who_says_that_it_was_done() {
    let asked = plan(false).body(|body| {
        let tape = body.steps.iter_mut().find(|step| step.id.as_str() == "tape").expect("it is there");
        let asks = manual("tape").manual(|manual| drop(manual.answer.insert("slot".to_owned(), "integer".to_owned())));
        std::sync::Arc::make_mut(tape).kind = asks.step.kind;
    });
    let mut night = Night::of(asked.seal()).begin();
    night.until(min(60));
    assert_eq!(night.state(), RunState::CuttingOver);
    assert!(!night.performed().contains("tape"), "no executor is called");
    assert!(night.refused(Verb::DidNotHappen { step: "tape".into() }).contains("cannot be resolved"));
    night.say(Verb::Happened {
        step: "tape".into(),
        outputs: BTreeMap::from([("slot".to_owned(), 7.into())]),
        role: None,
    });
    let tape = place(&night, "tape");
    assert_eq!(night.sim.run.step(tape).outputs.as_deref(), Some(&serde_json::json!({ "slot": 7 })));
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_step_that_nobody_has_answered_for_is_in_doubt_on_the_page_and_not_among_what_was_done() {
    let mut night = Night::of(plan(false).seal()).begin();
    night.until(min(1));
    let page = |night: &Night| ByHand::of(&night.sim.run, night.sim.now, &|_, _| None);
    let (asked, doubt) = (page(&night).applied, page(&night).doubts.pop().expect("a doubt"));
    assert_eq!((asked.as_slice(), doubt.step.as_str()), (["quiesce".to_owned()].as_slice(), "tape"));
    assert!(doubt.what.contains("ask whether it was done"), "{doubt:?}");
    let since = page(&night).if_exposed.expect("the engine may go on after the page was written");
    assert!(since.restore.iter().any(|task| task.step == "balance" && task.state == "do"), "{since:?}");
    night.say(happened());
    night.until_quiet();
    assert_eq!(page(&night).if_exposed, None, "users are on the target, and the page knows");
    assert!(page(&night).applied.contains(&"tape".to_owned()));
}

#[test]
fn a_step_by_hand_that_failed_goes_back_and_asks_for_its_undo() {
    let mut night = Night::of(plan(false).seal()).begin();
    night.until(min(1));
    night.say(Verb::ItFailed { step: "tape".into(), left: Left::Possible });
    night.until_quiet();
    assert_eq!(asks(&night), ["UndoByHand"]);
    night.say(Verb::UndoDone { step: "tape".into() });
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("quiesce!"));
}

#[test]
fn the_way_back_asks_a_person_and_keeps_its_order() {
    let (mut night, before) = going_back(false);
    assert_eq!(night.state(), RunState::RollingBack, "it is on its way, not in a decision");
    let (kind, answers) = asked(&night);
    let QuestionKind::UndoByHand { step, instructions } = kind else { panic!("{kind:?}") };
    assert_eq!((step.as_str(), &*instructions), ("tape", "put the tape back into slot 7"));
    let failed = Verb::ItFailed { step: "tape".into(), left: Left::Possible };
    let (done, waive) = (Verb::UndoDone { step: "tape".into() }, Verb::UndoWaive { step: "tape".into() });
    assert_eq!(answers, [done, failed, waive, Verb::Close]);
    let done = performed_back(&night, &before);
    assert!(!done.iter().any(|name| name.starts_with("tape")), "no executor is called: {done:?}");
    night.say(happened());
    night.until_it_is(RunState::RolledBack);
    assert!(night.questions().is_empty());
    let tape = place(&night, "tape");
    assert!(matches!(night.sim.run.undo(tape), Some(UndoState::Undone { note: Some(_) })));
    assert!(performed_back(&night, &before).contains(&"quiesce!".to_owned()));
}

#[test]
fn an_undo_by_hand_that_cannot_be_done_lets_the_rest_go_on_and_is_asked_again() {
    let (mut night, before) = going_back(false);
    night.say(Verb::ItFailed { step: "tape".into(), left: Left::Possible });
    night.until_it_is(RunState::Stuck);
    assert!(performed_back(&night, &before).contains(&"quiesce!".to_owned()), "implied order never blocks");
    night.say(Verb::UndoRetry { step: "tape".into() });
    night.until_quiet();
    assert_eq!(asks(&night), ["UndoByHand"]);
    night.say(Verb::UndoDone { step: "tape".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_clean_up_by_hand_is_asked_for_after_users_are_back() {
    let (mut night, _) = going_back(true);
    assert!(night.only(&["serviceRestored"]).contains("serviceRestored"), "users do not wait for it");
    assert_eq!(asks(&night), ["UndoByHand"]);
    night.say(Verb::UndoWaive { step: "tape".into() });
    night.until_it_is(RunState::RolledBack);
    assert!(night.only(&["residue"]).contains("its undo was waived"));
}

#[test]
fn an_engine_that_died_meanwhile_asks_no_second_time() {
    let (mut night, _) = going_back(false);
    night.crash(min(2));
    night.until_quiet();
    assert_eq!(asks(&night), ["UndoByHand"]);
    night.crash(min(20));
    assert_eq!(asks(&night), ["UndoByHand", "AwayTooLong"]);
    night.say(Verb::ContinueRollback);
    assert_eq!(night.state(), RunState::RollingBack, "the other question does not hold it up");
    night.say(Verb::UndoDone { step: "tape".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn going_back_while_somebody_is_at_it_takes_back_what_they_may_have_begun() {
    let mut night = Night::of(plan(false).seal()).on_undo("quiesce", Act::ok()).begin();
    night.until(min(1));
    night.say(Verb::Rollback);
    night.until_quiet();
    assert_eq!(asks(&night), ["UndoByHand"]);
}

#[test]
fn a_fence_by_hand_is_waited_for_before_data_comes_home() {
    let plan = || {
        plans::founding().body(|body| {
            let fence = body.steps.iter_mut().find(|step| step.section == Section::Fence).expect("it is there");
            std::sync::Arc::make_mut(fence).kind = manual("fence").step.kind;
        })
    };
    let fence = || "fence:stop_writes".into();
    let going_back = || {
        let (mut night, _) = super::observing(plan());
        night.say(Verb::Rollback);
        night.until_quiet();
        assert!(!night.performed().contains('!'), "{}", night.performed());
        night
    };
    let mut night = going_back();
    night.say(Verb::Happened { step: fence(), outputs: BTreeMap::new(), role: None });
    night.until_it_is(RunState::RolledBack);
    let mut night = going_back();
    night.say(Verb::ItFailed { step: fence(), left: Left::Possible });
    night.until_it_is(RunState::Stuck);
    assert!(!night.performed().contains("sync!"));
    night.say(Verb::UndoDone { step: fence() });
    night.until_it_is(RunState::RolledBack);
}

/// Work by hand in the middle of a cutover, asked for at once.
fn asking(change: impl FnOnce(plans::Made) -> plans::Made) -> Night {
    let tape = manual("tape").with(|step| {
        step.undo = taken_back_by_hand(false);
        step.on_timeout = OnTimeout::Ask;
    });
    let plan = plans::Draft::new()
        .add(cut("quiesce").takes_source_down().undo())
        .add(change(tape))
        .add(cut("balance").exposes().undo())
        .policies(|policies| policies.data = bascule::plan::DataAnswer::Stateless);
    let mut night = Night::of(plan.seal()).begin();
    night.until(1_000);
    night
}

fn with_slot(made: plans::Made) -> plans::Made {
    made.manual(|manual| {
        manual.answer.insert("slot".to_owned(), "integer".to_owned());
        manual.answer.insert("seen".to_owned(), "string".to_owned());
    })
}

fn answers(given: &[(&str, serde_json::Value)], role: Option<&str>) -> Verb {
    let outputs = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Verb::Happened { step: "tape".into(), outputs, role: role.map(str::to_owned) }
}

#[test]
fn an_answer_holds_what_is_asked_for_and_nothing_else() {
    let mut night = asking(with_slot);
    let why = night.refused(answers(&[], None));
    assert!(why.contains("is not answered") && why.contains("seen (string), slot (integer)"), "{why}");
    assert!(night.refused(answers(&[("slot", 7.into())], None)).contains("`seen` is not answered"));
    let more = [("slot", 7.into()), ("seen", "yes".into()), ("colour", "red".into())];
    assert!(night.refused(answers(&more, None)).contains("`colour` is not asked for"));
    let wrong = [("slot", "seven".into()), ("seen", "yes".into())];
    assert!(night.refused(answers(&wrong, None)).contains("`slot` must be a whole number"));
    night.say(answers(&[("slot", 7.into()), ("seen", "yes".into())], None));
    night.until_it_is(RunState::Observing);
    let mut night = asking(|made| made);
    assert!(night.refused(answers(&[("slot", 7.into())], None)).contains("nothing but that it was done"));
}

#[test]
fn work_of_certain_people_is_answered_in_their_role() {
    let mut night = asking(|made| made.manual(|manual| manual.roles = vec!["operations".to_owned()]));
    assert!(night.refused(answers(&[], None)).contains("say in which role with `--role`: operations"));
    assert!(night.refused(answers(&[], Some("intern"))).contains("`intern` does not count"));
    night.say(answers(&[], Some("operations")));
    night.until_it_is(RunState::Observing);
}

/// The same with half an hour for it.
fn in_time(change: impl FnOnce(plans::Made) -> plans::Made) -> Night {
    asking(|made| change(made.manual(|manual| manual.deadline_ms = Some(1_800_000))))
}

#[test]
fn time_that_is_up_makes_the_question_louder_and_does_nothing_else() {
    let mut night = in_time(|made| made);
    night.until(min(29));
    assert!(night.only(&["timeShort"]).contains("00:24:01"), "{}", night.only(&["timeShort"]));
    assert!(asks(&night).is_empty());
    night.until(min(31));
    let (kind, offered) = asked(&night);
    assert_eq!(kind, QuestionKind::OutOfTime { step: "tape".into() });
    let more = Verb::Extend { step: "tape".into(), by_ms: 30 * 60_000 };
    let failed = Verb::ItFailed { step: "tape".into(), left: Left::Possible };
    assert_eq!(offered, [answers(&[], None), more, failed, Verb::Rollback, Verb::Close]);
    assert!(night.refused(Verb::Retry { step: "tape".into() }).contains("has not failed"));
    night.until(min(600));
    assert_eq!(asks(&night), ["OutOfTime"], "silence does nothing");
    night.say(answers(&[], None));
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_person_can_have_more_time_before_and_after_it_is_up() {
    let mut night = in_time(|made| made);
    night.until(min(20));
    night.say(Verb::Extend { step: "tape".into(), by_ms: 600_000 });
    night.until(min(39));
    assert!(asks(&night).is_empty(), "{}", night.story());
    night.until(min(41));
    assert_eq!(asks(&night), ["OutOfTime"]);
    night.say(Verb::Extend { step: "tape".into(), by_ms: 600_000 });
    assert_eq!(night.state(), RunState::CuttingOver);
    night.until(min(52));
    assert_eq!(asks(&night), ["OutOfTime"]);
    let mut night = asking(|made| made);
    assert!(night.refused(Verb::Extend { step: "tape".into(), by_ms: 600_000 }).contains("not running"));
}

#[test]
fn a_default_counts_when_time_is_up_and_a_written_failure_fails() {
    let with_default = |made| {
        with_slot(made).manual(|manual| {
            let default = [("slot".to_owned(), 3.into()), ("seen".to_owned(), "nobody looked".into())];
            manual.default = Some(BTreeMap::from(default));
        })
    };
    let mut night = in_time(with_default);
    night.until(min(29));
    assert_eq!(night.state(), RunState::CuttingOver);
    night.until_it_is(RunState::Observing);
    assert!(night.now() > min(30) && night.now() < min(31), "{}", night.now());
    let tape = place(&night, "tape");
    assert_eq!(night.sim.run.step(tape).outputs.as_ref().map(|outputs| &outputs["slot"]), Some(&3.into()));
    let mut night = in_time(|made| made.with(|step| step.on_timeout = OnTimeout::Fail));
    night.until(min(31));
    assert_eq!(asks(&night), ["UndoByHand"], "it failed, the run goes back, and a person takes it back");
    // Nobody could have answered: nothing is taken for their answer.
    let mut night = in_time(with_default);
    night.until(min(20));
    night.crash(min(20));
    night.until(min(41));
    assert_eq!(asks(&night), ["OutOfTime"]);
}

#[test]
fn what_a_person_did_is_verified_before_it_counts() {
    let verified = |made: plans::Made| {
        with_slot(made).with(|step| {
            step.verify = Some(bascule::plan::step::Verify { call: plans::call("test.verify"), pass: None });
        })
    };
    let done = || answers(&[("slot", 7.into()), ("seen", "yes".into())], None);
    let mut night = asking(verified);
    night.say(done());
    night.until_it_is(RunState::Observing);
    let tape = place(&night, "tape");
    assert_eq!(night.sim.run.step(tape).outputs.as_ref().map(|outputs| &outputs["slot"]), Some(&7.into()));
    let mut night = asking(verified);
    night.say(Verb::Pause);
    night.say(done());
    assert!(night.refused(done()).contains("cannot be resolved now"), "its verification waits for the hold to end");
    night.say(Verb::Resume);
    night.until_it_is(RunState::Observing);
    let no = || Outcome::Failed { failure: Failure::new("the robot sees no tape"), left: Left::Nothing };
    let mut night = asking(verified);
    night.then("tape", Act::ok().verify(no()));
    night.say(done());
    night.until(min(5));
    assert_eq!(asks(&night), ["UndoByHand"], "as any step whose `verify` fails");
    let mut night = asking(verified);
    night.then("tape", Act::ok().verify(Outcome::unknown(Failure::new("no answer"))));
    night.say(done());
    night.until(min(5));
    assert_eq!(asks(&night), ["UnknownOutcome"]);
    night.say(done());
    night.until_it_is(RunState::Observing);
    let mut night = asking(verified);
    night.then("tape", Act::hangs());
    night.say(done());
    night.until(10_000);
    night.crash(min(1));
    assert!(asks(&night).is_empty(), "it only looked: it looks again");
    night.say(Verb::Resume);
    night.until_it_is(RunState::Observing);
}
