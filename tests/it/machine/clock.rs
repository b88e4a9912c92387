//! SEMANTICS §9, clocks: what people agreed on by the wall clock waits; what counts elapsed time goes on.

use bascule::machine::fact::Left;
use bascule::machine::{RunState, Verb};
use bascule::plan::step::Effect;
use bascule::plan::{Section, TripRule};

use super::{asks, observing};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, criterion, cut, step};
use crate::support::sim::START;

fn jump(night: &mut Night, by: i64) {
    night.sim.jump(by).expect("the machine takes it");
}

fn guarded() -> plans::Draft {
    plans::founding().criterion(criterion("health", TripRule::Consecutive(2)))
}

#[test]
fn a_window_is_as_long_as_it_was_agreed_whatever_the_wall_clock_says() {
    for by in [min(180), -min(180)] {
        let (mut night, since) = observing(guarded());
        night.until(since + min(10));
        jump(&mut night, by);
        night.say(Verb::ConfirmClock);
        night.until(since + min(89));
        assert_eq!(night.state(), RunState::Observing, "after a jump by {by}");
        night.until_it_is(RunState::Accepted);
        assert!(night.now() >= since + min(90) && night.now() < since + min(91));
    }
}

#[test]
fn nothing_closes_while_the_clock_is_in_doubt() {
    let (mut night, since) = observing(guarded());
    night.until(since + min(80));
    jump(&mut night, min(60));
    night.until(since + min(120));
    assert_eq!(night.state(), RunState::Observing);
    night.say(Verb::ConfirmClock);
    night.until_it_is(RunState::Accepted);
    assert!(night.refused(Verb::ConfirmClock).contains("not in doubt"));
}

#[test]
fn criteria_and_rollback_go_on_while_the_clock_is_in_doubt() {
    let (mut night, since) = observing(guarded());
    night.until(since + min(10));
    jump(&mut night, -min(30));
    night.bad_from("health", since + min(11));
    night.until_it_is(RunState::RolledBack);
    assert!(night.now() < since + min(15));
}

#[test]
fn attempts_run_out_of_elapsed_time() {
    let plan = plans::Draft::new()
        .add(cut("work").effect(Effect::Idempotent).with(|step| step.timeout_ms = 600_000))
        .add(cut("switch").exposes().effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).on("work", Act::hangs()).begin();
    night.until(min(1));
    jump(&mut night, min(600));
    night.until(min(9));
    assert_eq!(night.only(&["interrupted"]), "");
    night.until(min(11));
    assert!(night.only(&["interrupted"]).starts_with("00:10:00"));
}

#[test]
fn approvals_do_not_expire_while_the_clock_is_in_doubt() {
    let yes = approval(Section::PreCheck, "yes").approval(|approval| approval.expires_ms = Some(600_000));
    let mut night = Night::of(plans::Draft::new().add(yes).add(cut("switch").exposes()).seal()).begin();
    night.until(min(5));
    jump(&mut night, min(60));
    night.until(min(30));
    assert_eq!(night.state(), RunState::Checking);
    night.say(Verb::Approve { step: "yes".into(), role: None });
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_start_window_ends_by_the_wall_clock_once_it_is_confirmed() {
    let plan = plans::Draft::new()
        .add(step(Section::PreCheck, "space"))
        .add(cut("switch").exposes())
        .policies(|policies| policies.start_by_ms = Some(START + min(60)))
        .seal();
    let mut night = Night::of(plan).always("space", Act::fails(Left::Nothing)).begin();
    night.until(min(5));
    jump(&mut night, min(50));
    night.until(min(8));
    assert_eq!(night.state(), RunState::Checking);
    night.say(Verb::ConfirmClock);
    night.until_it_is(RunState::Refused);
    assert_eq!(night.now(), min(10), "at 60 minutes by the wall clock");
}

#[test]
fn a_turn_back_time_waits_for_a_clock_that_somebody_believes() {
    let plan = super::change::in_a_change(120);
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs()).begin();
    night.until(min(5));
    jump(&mut night, min(200));
    night.until(min(10));
    assert!(night.questions().is_empty());
    night.say(Verb::ConfirmClock);
    night.until(min(10) + 1_000);
    assert_eq!(asks(&night), ["TurnBack"]);
}

#[test]
fn a_commit_by_itself_waits_for_the_clock() {
    let plan = guarded()
        .add(step(Section::Commit, "release"))
        .policies(|policies| policies.on_window_close = bascule::plan::policy::OnWindowClose::Commit);
    let (mut night, since) = observing(plan);
    night.until(since + min(80));
    jump(&mut night, -min(5));
    night.until(since + min(200));
    assert!(!night.performed().contains("release"));
    night.say(Verb::ConfirmClock);
    night.until_it_is(RunState::Committed);
}

#[test]
fn the_store_being_away_is_told_and_changes_nothing() {
    let (mut night, since) = observing(guarded());
    night.until(since + min(10));
    night.sim.input(bascule::machine::Input::StoreBack { gap_ms: 30_000 }).expect("it is taken");
    assert!(night.only(&["storeGap"]).contains("gapMs=30000"));
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_clock_that_was_set_while_no_engine_was_there_moves_nothing_that_counts_elapsed_time() {
    for by in [min(60), -min(60)] {
        let (mut night, since) = observing(guarded());
        night.until(since + min(10));
        // Nobody tells the run: the next engine finds out.
        night.sim.now.wall += by;
        night.crash(min(1));
        assert!(night.story().contains("clockJumped"), "by {by}:\n{}", night.story());
        night.bad_from("health", since + min(12));
        night.until_it_is(RunState::RolledBack);
        assert!(night.now() < since + min(15), "its criteria are sampled as before the clock was set by {by}");
    }
}

#[test]
fn a_jump_that_is_known_is_not_told_again_by_the_next_engine() {
    let (mut night, since) = observing(guarded());
    night.until(since + min(10));
    jump(&mut night, min(60));
    night.say(Verb::ConfirmClock);
    night.crash(min(1));
    assert_eq!(night.story().matches("clockJumped").count(), 1, "{}", night.story());
    night.until_it_is(RunState::Accepted);
}
