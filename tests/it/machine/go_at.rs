//! SEMANTICS §3 and §12: a prepared run that begins by itself at a time.

use bascule::machine::fact::Left;
use bascule::machine::{RunState, Verb};
use bascule::plan::Section;
use bascule::plan::step::Effect;

use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, cut, step};
use crate::support::sim::START;

fn plan() -> plans::Draft {
    let mut seed = step(Section::Prepare, "seed").effect(Effect::Idempotent).cleanup();
    seed.step.keep_fresh_ms = None;
    plans::Draft::new()
        .add(step(Section::PreCheck, "space").check(|check| check.recheck = true))
        .add(seed)
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo())
}

fn prepared() -> Night {
    let mut night = Night::of(plan().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night
}

fn at(minute: i64) -> Verb {
    Verb::GoAt { at: Some(START + min(minute)) }
}

#[test]
fn the_time_may_be_named_later_moved_and_taken_back() {
    let mut night = prepared();
    night.say(at(60));
    night.say(at(30));
    night.until(min(29));
    assert_eq!(night.state(), RunState::Prepared);
    night.until(min(31));
    assert_eq!(night.state(), RunState::Observing);
    assert!(night.performed().contains("space 1.2"), "checks are repeated first: {}", night.performed());
    assert!(night.refused(at(90)).contains("does not wait for the word"));

    let mut night = prepared();
    night.say(at(30));
    night.say(Verb::GoAt { at: None });
    assert!(night.refused(Verb::GoAt { at: None }).contains("no time was named"));
    night.until(min(600));
    assert_eq!(night.state(), RunState::Prepared);
    assert!(night.refused(at(599)).contains("has passed"));
}

#[test]
fn a_run_whose_time_was_taken_back_goes_on_waiting_also_where_nothing_is_prepared() {
    let plan = plans::Draft::new().add(step(Section::PreCheck, "space")).add(cut("switch").exposes());
    let mut night = Night::that_goes_at(plan.seal(), min(30)).always("space", Act::fails(Left::Nothing)).begin();
    night.until(min(2));
    night.say(Verb::GoAt { at: None });
    night.every_time("space", Act::ok());
    night.until(min(60));
    assert_eq!(night.state(), RunState::Prepared, "nobody gave the word");
    night.say(Verb::Go);
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_restart_before_the_time_is_no_hindrance_and_one_over_it_is() {
    let mut night = prepared();
    night.say(at(30));
    night.crash(min(5));
    night.until_it_is(RunState::Observing);
    assert!(night.only(&["goGiven"]).starts_with("00:30:00"), "{}", night.story());

    let mut night = prepared();
    night.say(at(30));
    night.crash(min(60));
    night.until(min(120));
    assert_eq!(night.state(), RunState::Prepared);
    assert_eq!(night.sim.run.go_missed, Some(START + min(30)), "{}", night.story());
    night.say(Verb::Go);
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_pause_by_a_person_is_a_hindrance() {
    let mut night = prepared();
    night.say(at(30));
    night.say(Verb::Pause);
    night.until(min(60));
    assert!(!night.performed().contains("switch"), "{}", night.story());
    night.say(Verb::Resume);
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_clock_in_doubt_suspends_it_until_somebody_confirms() {
    let mut night = prepared();
    night.say(at(30));
    night.sim.jump(min(60)).expect("it is told");
    night.until(min(20));
    assert_eq!(night.state(), RunState::Prepared);
    night.say(Verb::ConfirmClock);
    night.until(min(40));
    assert_eq!(night.state(), RunState::Prepared, "by the wall clock it was long ago: {}", night.story());
    assert!(night.sim.run.go_missed.is_some());

    let mut night = prepared();
    night.say(at(30));
    night.sim.jump(min(10)).expect("it is told");
    night.say(Verb::ConfirmClock);
    night.until_it_is(RunState::Observing);
    assert!(night.only(&["goGiven"]).starts_with("00:20:00"), "at 30 minutes by the wall clock: {}", night.story());
}

#[test]
fn a_preparation_that_is_not_done_in_time_misses_it() {
    let mut night = Night::that_goes_at(plan().seal(), min(5)).on("seed", Act::ok().after(min(9))).begin();
    night.until(min(30));
    assert_eq!(night.state(), RunState::Prepared);
    assert_eq!(night.sim.run.go_missed, Some(START + min(5)));
}
