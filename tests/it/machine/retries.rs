//! SEMANTICS §4: attempts, retries, verification, locks of a step.

use bascule::machine::fact::{Failure, Left, LockScope};
use bascule::machine::input::Outcome;
use bascule::machine::state::{Forward, Status};
use bascule::machine::{Input, RunState, Verb};
use bascule::plan::step::{Effect, OnTimeout, Verify};

use super::{asks, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, call, cut};
use crate::support::sim::START;

fn one(made: plans::Made) -> plans::Draft {
    plans::Draft::new().add(made).add(cut("switch").exposes().effect(Effect::Idempotent))
}

fn attempts(night: &Night) -> usize {
    night.sim.hands.performed.iter().filter(|line| line.starts_with("work ")).count()
}

/// Runs a step whose every attempt does the same; how often it was performed, and where the run ends.
fn tried(effect: Effect, act: Act) -> (usize, RunState) {
    let made = cut("work").effect(effect).undo().attempts(3);
    let mut night = Night::of(one(made).seal()).always("work", act).begin();
    night.until(min(30));
    (attempts(&night), night.state())
}

#[test]
fn what_left_nothing_is_tried_again_whatever_it_does() {
    for effect in [Effect::None, Effect::Idempotent, Effect::Probe, Effect::Once] {
        assert_eq!(tried(effect, Act::fails(Left::Nothing)), (3, RunState::RolledBack), "{effect:?}");
    }
}

#[test]
fn what_may_have_left_something_is_repeated_only_where_that_does_no_harm() {
    assert_eq!(tried(Effect::Idempotent, Act::fails(Left::Possible)), (3, RunState::RolledBack));
    assert_eq!(tried(Effect::Once, Act::fails(Left::Possible)), (1, RunState::RolledBack));
    assert_eq!(tried(Effect::Probe, Act::fails(Left::Possible)), (1, RunState::Deciding), "its probe cannot tell");
    assert_eq!(tried(Effect::Once, Act::unknown()), (1, RunState::Deciding));
}

#[test]
fn pauses_between_attempts_double_and_jitter_by_a_quarter() {
    let made = cut("work").effect(Effect::Idempotent).attempts(3);
    let mut night = Night::of(one(made).seal()).always("work", Act::fails(Left::Nothing)).begin();
    night.until(min(5));
    let starts: Vec<i64> =
        night.sim.log.iter().filter(|record| record.event.word() == "retryPlanned").map(|r| r.at).collect();
    let again: Vec<i64> =
        night.sim.log.iter().filter(|record| record.event.word() == "readied").map(|r| r.at).collect();
    let pauses: Vec<i64> = starts.iter().zip(&again).map(|(from, to)| to - from).collect();
    assert!((10_000..=12_500).contains(&pauses[0]) && (20_000..=25_000).contains(&pauses[1]), "{pauses:?}");
}

#[test]
fn a_failed_verification_is_a_failure_with_a_possible_effect() {
    let verify = Some(Verify { call: call("test.verify"), pass: None });
    let made = cut("work").effect(Effect::Once).undo().with(|step| step.verify = verify);
    let says = |outcome: Outcome| {
        let mut night = Night::of(one(made.clone()).seal()).on("work", Act::ok().verify(outcome)).begin();
        night.until(min(5));
        night
    };
    let failed = says(Outcome::Failed { failure: Failure::new("another size"), left: Left::Nothing });
    assert_eq!(failed.state(), RunState::RolledBack);
    assert!(failed.performed().contains("work!"), "it may have left something: {}", failed.performed());
    let inconclusive = says(Outcome::unknown(Failure::new("no answer")));
    assert_eq!(asks(&inconclusive), ["UnknownOutcome"]);
}

#[test]
fn a_persons_word_that_it_failed_is_final() {
    let made = cut("work").effect(Effect::Probe).undo();
    let mut night = Night::of(one(made).seal()).on("work", Act::unknown()).begin();
    night.until(min(1));
    assert_eq!(asks(&night), ["UnknownOutcome"]);
    night.say(Verb::ItFailed { step: "work".into(), left: Left::Possible });
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("work!"));
}

#[test]
fn an_attempt_that_is_out_of_time_is_judged_as_after_a_crash() {
    let timed = |effect| {
        let made = cut("work").effect(effect).undo().attempts(2).with(|step| step.timeout_ms = 60_000);
        let mut night = Night::of(one(made).seal()).on("work", Act::hangs()).begin();
        night.until(min(5));
        (attempts(&night), asks(&night))
    };
    assert_eq!(timed(Effect::Idempotent), (2, vec![]));
    assert_eq!(timed(Effect::Once), (1, vec!["UnknownOutcome".to_owned()]));
    assert_eq!(timed(Effect::Probe), (1, vec!["UnknownOutcome".to_owned()]), "its probe cannot tell");
}

#[test]
fn a_step_that_moves_data_asks_when_its_time_is_up_and_is_not_stopped() {
    let made = cut("work").moves_data().effect(Effect::Idempotent).with(|step| {
        step.timeout_ms = 60_000;
        step.on_timeout = OnTimeout::Ask;
    });
    let mut night = Night::of(one(made).seal()).on("work", Act::ok().after(min(3))).begin();
    night.until(min(2));
    assert_eq!(asks(&night), ["OutOfTime"]);
    assert_eq!(night.only(&["interrupted"]), "");
    night.until_it_is(RunState::Observing);
    assert!(night.questions().is_empty(), "its end overtook the question");
}

#[test]
fn a_step_waits_for_its_locks_and_gives_them_back_after_each_attempt() {
    let made = cut("work").effect(Effect::Idempotent).attempts(2).lock("host:a");
    let mut night = Night::of(one(made).seal()).on("work", Act::fails(Left::Nothing));
    let scope = LockScope::Step("work".into());
    night.sim.hands.held.push(scope.clone());
    let mut night = night.begin();
    night.until(min(1));
    let work = place(&night, "work");
    assert!(matches!(night.sim.run.step(work).status, Status::Forward(Forward::Waiting { .. })));
    assert!(night.only(&["locksAwaited"]).contains("billing/7"), "who holds it is known");
    assert_eq!(attempts(&night), 0);
    night.sim.hands.held.clear();
    night.sim.input(Input::LocksGranted { scope }).expect("it is taken");
    night.until_it_is(RunState::Observing);
    assert_eq!(night.sim.hands.released.len(), 2, "{:?}", night.sim.hands.released);
}

#[test]
fn retry_now_shortens_a_pause() {
    let made = cut("work").effect(Effect::Idempotent).attempts(2);
    let mut night = Night::of(one(made).seal()).on("work", Act::fails(Left::Nothing)).begin();
    night.until(3_000);
    night.say(Verb::Retry { step: "work".into() });
    assert_eq!(night.sim.log.last().map(|record| record.at), Some(START + 3_000));
    assert_eq!(attempts(&night), 2);
}

/// A step that asks when its time is up, after ten minutes.
fn asking(change: fn(&mut bascule::plan::Step)) -> Night {
    let made = cut("sync").moves_data().effect(Effect::Idempotent).undo().with(|step| {
        step.timeout_ms = 600_000;
        step.on_timeout = bascule::plan::step::OnTimeout::Ask;
        change(step);
    });
    let plan = plans::Draft::new().add(made).add(cut("balance").exposes().effect(Effect::Idempotent).undo());
    Night::of(plan.seal()).on("sync", Act::hangs()).begin()
}

fn told(night: &Night, word: &str) -> Vec<i64> {
    let of_word = night.sim.log.iter().filter(|record| record.event.word() == word);
    of_word.map(|record| record.at - crate::support::sim::START).collect()
}

#[test]
fn a_timeout_that_asks_is_told_at_four_fifths_and_cancels_nothing() {
    let mut night = asking(|_| {});
    night.until(min(9));
    assert_eq!(told(&night, "timeShort"), [min(8)]);
    assert!(night.only(&["timeShort"]).contains("leftMs=120000") && asks(&night).is_empty());
    night.until(min(30));
    assert_eq!((told(&night, "timeShort").len(), asks(&night)), (1, vec!["OutOfTime".to_owned()]));
    assert_eq!(told(&night, "interrupted"), [] as [i64; 0]);
}

#[test]
fn more_time_moves_the_notice_too() {
    let mut night = asking(|_| {});
    night.until(min(5));
    night.say(Verb::Extend { step: "sync".into(), by_ms: 600_000 });
    night.until(min(16));
    assert_eq!(told(&night, "timeShort"), [] as [i64; 0], "four fifths of the fifteen minutes from there on");
    night.until(min(18));
    assert_eq!(told(&night, "timeShort"), [min(17)]);
    night.say(Verb::Extend { step: "sync".into(), by_ms: 480_000 });
    night.until(min(27));
    assert_eq!(told(&night, "timeShort"), [min(17), min(26)], "told again: it is another deadline");
    night.until(min(29));
    assert_eq!(asks(&night), ["OutOfTime"]);
    night.say(Verb::Extend { step: "sync".into(), by_ms: 300_000 });
    night.until(min(34));
    assert_eq!(told(&night, "timeShort").last(), Some(&min(33)));
}

#[test]
fn a_timeout_that_stops_the_step_needs_no_notice_and_neither_does_one_that_is_being_stopped() {
    let mut night = asking(|step| step.on_timeout = bascule::plan::step::OnTimeout::Fail);
    night.until(min(30));
    assert_eq!(told(&night, "timeShort"), [] as [i64; 0]);
    let mut night = asking(|_| {});
    night.until(min(7));
    night.say(Verb::Rollback);
    night.until_quiet();
    assert_eq!(told(&night, "timeShort"), [] as [i64; 0]);
}

#[test]
fn an_undo_that_brings_data_home_is_told_of_as_well() {
    let plan = plans::founding().body(|body| {
        let sync = body.steps.iter_mut().find(|step| step.id.as_str() == "sync").expect("it is there");
        std::sync::Arc::make_mut(sync).on_timeout = bascule::plan::step::OnTimeout::Ask;
    });
    let (mut night, _) = super::observing(plan);
    night.undo_always("sync", Act::hangs());
    night.say(Verb::Rollback);
    night.until_quiet();
    assert!(night.only(&["timeShort"]).contains("direction=undo"), "{}", night.only(&["timeShort"]));
    assert_eq!(asks(&night), ["OutOfTime"]);
}

#[test]
fn a_step_past_its_estimate_is_told_of_once_with_what_is_left() {
    let mut night = asking(|step| step.estimate_ms = Some(180_000));
    night.until(min(30));
    assert_eq!(told(&night, "overrun"), [min(3)]);
    assert!(night.only(&["overrun"]).contains("420000"), "{}", night.only(&["overrun"]));
}
