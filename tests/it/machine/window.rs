//! SEMANTICS §9 and §10: the window, its gate, criteria and post-checks.

use bascule::machine::fact::{Cause, CriterionState, Gap, Left};
use bascule::machine::question::QuestionKind;
use bascule::machine::{Event, RunState, Verb};
use bascule::plan::criteria::CriterionAction;
use bascule::plan::{Section, TripRule};

use super::{asked, asks, exposed, observing};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, criterion, cut, step};
use crate::support::sim::START;

const SECOND: i64 = 1_000;

fn guarded(rule: TripRule) -> plans::Draft {
    plans::founding().criterion(criterion("health", rule))
}

fn decided(night: &Night) -> Option<(Cause, i64)> {
    night.sim.log.iter().rev().find_map(|record| {
        let Event::RollbackDecided { because, .. } = &record.event else { return None };
        Some((because.clone(), record.at - START))
    })
}

#[test]
fn a_criterion_that_trips_in_the_89th_of_90_minutes_rolls_back_by_itself() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(3)));
    night.bad_from("health", since + min(88));
    night.until_it_is(RunState::RolledBack);
    let cause = Cause::Tripped { criterion: "health".into() };
    assert_eq!(decided(&night), Some((cause, since + min(89) + 200)), "the third bad sample, 200 ms after it was due");
    assert!(night.questions().is_empty());
}

#[test]
fn suspect_at_the_close_is_an_unmet_gate_and_a_trip_after_it_asks() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(3)));
    night.bad_from("health", since + min(90));
    night.until(since + min(90) + 5 * SECOND);
    assert_eq!(night.state(), RunState::Deciding);
    let (kind, _) = asked(&night);
    let suspect = Gap::Criterion { id: "health".into(), state: CriterionState::Suspect };
    assert_eq!(kind, QuestionKind::GateUnmet { gaps: vec![suspect], unwatched: false });
    night.until(since + min(91) + SECOND);
    assert_eq!(night.sim.run.criterion(0), CriterionState::Tripped, "criteria go on while people decide");
    assert_eq!(night.state(), RunState::Deciding, "a person is deciding already: the engine does not");
    assert_eq!(asks(&night), ["GateUnmet", "Tripped"]);
    assert!(night.questions()[1].contains("the rollback window is over"));
    night.say(Verb::Rollback);
    assert!(night.questions().is_empty(), "going back answers all questions");
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_deadline_that_passes_while_the_engine_is_down_closes_nothing() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(3)));
    night.until(since + min(80));
    night.crash(min(20));
    assert_eq!(night.state(), RunState::Deciding);
    let (kind, answers) = asked(&night);
    assert!(matches!(kind, QuestionKind::GateUnmet { unwatched: true, .. }), "{kind:?}");
    assert!(answers.contains(&Verb::Accept) && answers.contains(&Verb::Rollback), "{answers:?}");
    night.bad_from("health", since + min(101));
    night.until(since + min(105));
    assert_eq!(asks(&night), ["GateUnmet", "Tripped"], "it goes on looking, and no longer acts by itself");
    assert_eq!(night.state(), RunState::Deciding);
}

#[test]
fn an_extension_after_an_absence_opens_the_window_again() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(3)));
    night.until(since + min(80));
    night.crash(min(20));
    night.say(Verb::WindowExtend { by_ms: 30 * 60_000 });
    assert_eq!(night.state(), RunState::Observing);
    let deadline = night.sim.run.window.as_ref().map(|window| window.deadline - START);
    assert_eq!(deadline, Some(since + min(130)), "counted from now, not from a deadline that is long gone");
    night.bad_from("health", since + min(110));
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn an_extension_lets_a_tripped_criterion_act() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(3)));
    night.bad_from("health", since + min(89) + 30 * SECOND);
    night.until(since + min(92));
    assert_eq!(asks(&night), ["GateUnmet", "Tripped"]);
    night.say(Verb::WindowExtend { by_ms: 10 * 60_000 });
    night.until_it_is(RunState::RolledBack);
}

/// A criterion that the gate believes after ten samples.
fn guarded_by_ten() -> plans::Draft {
    let mut health = criterion("health", TripRule::Consecutive(3));
    health.min_samples = 10;
    plans::founding().criterion(health)
}

/// How many samples the gate lacks some of, if that is all it lacks.
fn have(night: &Night) -> u32 {
    let (kind, _) = asked(night);
    let QuestionKind::GateUnmet { gaps, .. } = kind else { panic!("{kind:?}") };
    let [Gap::Samples { have, need: 10, .. }] = gaps.as_slice() else { panic!("{gaps:?}") };
    *have
}

#[test]
fn after_a_gap_the_gate_counts_samples_anew() {
    let (mut night, since) = observing(guarded_by_ten());
    night.blind_from("health", since + min(60));
    night.good_from("health", since + min(88));
    night.until(since + min(88) + 5 * SECOND);
    assert!(asks(&night).is_empty(), "it was blind, and sees again: {:?}", asks(&night));
    night.until(since + min(90) + 5 * SECOND);
    assert_eq!(have(&night), 5, "one every thirty seconds since the gap");
    night.say(Verb::WindowExtend { by_ms: 10 * 60_000 });
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_window_that_is_extended_after_an_absence_is_not_accepted_by_one_sample() {
    let (mut night, since) = observing(guarded_by_ten());
    night.until(since + min(80));
    night.crash(min(20));
    night.say(Verb::WindowExtend { by_ms: 60_000 });
    night.until(since + min(101) + 5 * SECOND);
    assert!(have(&night) <= 3, "{}", have(&night));
    night.say(Verb::WindowExtend { by_ms: 10 * 60_000 });
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_deadline_that_nobody_watched_is_judged_when_there_are_samples_enough() {
    let plan = guarded_by_ten().add(cut("tidy").with(|step| step.timeout_ms = 3 * 3_600_000));
    let mut night = Night::of(plan.seal()).on("tidy", Act::ok().after(min(100))).begin();
    night.blind_from("health", min(80));
    night.good_from("health", min(99));
    night.until(min(99));
    night.until_it_is(RunState::Accepted);
    assert!(night.now() >= min(103), "ten samples after the gap: {}", night.now());
}

#[test]
fn a_pause_within_the_age_that_a_sample_may_have_is_no_gap() {
    let (mut night, since) = observing(guarded_by_ten());
    night.blind_from("health", since + min(60));
    night.good_from("health", since + min(61));
    night.until(since + min(62));
    let samples = &night.sim.run.criteria[0];
    assert_eq!(samples.since_gap, samples.measured);
    night.until_it_is(RunState::Accepted);
}

#[test]
fn the_window_moves_only_by_a_person_and_only_while_there_is_one() {
    let mut night = Night::of(guarded(TripRule::Consecutive(3)).seal()).begin();
    assert!(night.refused(Verb::WindowExtend { by_ms: 60_000 }).contains("no window is open"));
    night.until_it_is(RunState::Observing);
    let since = exposed(&night);
    night.say(Verb::WindowExtend { by_ms: 15 * 60_000 });
    night.until_it_is(RunState::Accepted);
    assert!(night.now() >= since + min(105), "accepted at {}", night.now());
    assert!(night.refused(Verb::WindowExtend { by_ms: 60_000 }).contains("no window to extend"));
}

#[test]
fn a_deadline_that_passes_before_the_cutover_ends_is_judged_in_observing() {
    let plan = guarded(TripRule::Consecutive(3)).add(cut("tidy").with(|step| step.timeout_ms = 3 * 3_600_000));
    let mut night = Night::of(plan.seal()).on("tidy", Act::ok().after(min(95))).begin();
    night.until(min(94));
    assert_eq!(night.state(), RunState::CuttingOver);
    assert!(!night.sim.run.window_open(night.sim.now.steady), "automatic rollback ended with the window");
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_window_that_counts_from_the_end_of_the_cutover_is_open_before_it() {
    let plan = guarded(TripRule::Consecutive(2))
        .add(cut("tidy"))
        .policies(|policies| policies.window_from = bascule::plan::policy::WindowFrom::CutoverEnd);
    let mut night = Night::of(plan.seal()).on("tidy", Act::hangs()).begin();
    night.bad_from("health", 0);
    night.until_it_is(RunState::RolledBack);
    assert!(night.sim.run.window.is_none(), "it went back before the cutover ended");
}

#[test]
fn a_criterion_that_asks_asks_and_one_that_only_observes_does_nothing() {
    let mut ask = criterion("health", TripRule::Consecutive(2));
    ask.action = CriterionAction::Ask;
    let mut look = criterion("noise", TripRule::Consecutive(2));
    look.observe_only = true;
    let (mut night, since) = observing(plans::founding().criterion(ask).criterion(look));
    night.bad_from("noise", since);
    night.until(since + min(10));
    assert_eq!(night.state(), RunState::Observing);
    night.bad_from("health", since + min(11));
    night.until(since + min(13));
    let (kind, _) = asked(&night);
    assert!(matches!(kind, QuestionKind::Tripped { .. }), "{kind:?}");
    let question = *night.sim.run.questions.keys().next().expect("one is open");
    night.say(Verb::GoOn { question });
    assert_eq!(night.state(), RunState::Observing);
}

#[test]
fn a_disarmed_criterion_asks_and_acts_again_when_the_time_is_up() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(2)));
    night.until(since + min(10));
    night.say(Verb::Disarm { criterion: "health".to_owned(), for_ms: 15 * 60_000 });
    assert!(bascule::machine::gaps(&night.sim.run, night.sim.now.steady).contains(&Gap::Disarmed("health".into())));
    night.bad_from("health", since + min(12));
    night.until(since + min(14));
    assert_eq!(asks(&night), ["Tripped"]);
    assert!(night.questions()[0].contains("it is disarmed"));
    night.until(since + min(25) + SECOND);
    assert!(
        matches!(night.state(), RunState::RollingBack | RunState::RolledBack),
        "it ends by itself, and what is tripped then acts: {}",
        night.state()
    );
}

#[test]
fn a_disarmed_criterion_that_is_clear_again_lets_the_gate_be_met() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(2)));
    night.say(Verb::Disarm { criterion: "health".to_owned(), for_ms: 15 * 60_000 });
    night.bad_from("health", since + min(3));
    night.good_from("health", since + min(8));
    night.until(since + min(9));
    let question = *night.sim.run.questions.keys().next().expect("the trip was asked about");
    night.say(Verb::GoOn { question });
    night.until_it_is(RunState::Accepted);
    assert!(night.now() >= since + min(90));
}

#[test]
fn a_blind_criterion_asks_and_neither_rolls_back_nor_passes() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(2)));
    night.blind_from("health", since + min(10));
    night.until(since + min(12));
    assert_eq!(asks(&night), ["Blind"]);
    night.good_from("health", since + min(20));
    night.until(since + min(21));
    assert!(night.questions().is_empty(), "what it asked is overtaken by a sample");
    assert_eq!(night.state(), RunState::Observing);
    night.blind_from("health", since + min(80));
    night.until(since + min(92));
    assert!(asks(&night).contains(&"GateUnmet".to_owned()) || asks(&night).contains(&"Blind".to_owned()));
    assert_eq!(night.state(), RunState::Deciding, "blind never passes the gate");
}

#[test]
fn sustained_needs_an_unbroken_run_of_fails() {
    let (mut night, since) = observing(guarded(TripRule::SustainedForMs(300_000)));
    night.bad_from("health", since + min(10));
    night.good_from("health", since + min(14));
    night.bad_from("health", since + min(15));
    night.until(since + min(19) + 31 * SECOND);
    assert_eq!(night.state(), RunState::Observing, "a pass resets it");
    night.until(since + min(20) + SECOND);
    assert_ne!(night.state(), RunState::Observing, "five minutes after the reset");
}

#[test]
fn inconclusive_samples_neither_reset_nor_extend_a_run_of_fails() {
    let (mut night, since) = observing(guarded(TripRule::Consecutive(3)));
    night.bad_from("health", since + min(10));
    night.blind_from("health", since + min(10) + 45 * SECOND);
    night.bad_from("health", since + min(11) + 20 * SECOND);
    night.until(since + min(11) + 29 * SECOND);
    assert_eq!(night.state(), RunState::Observing);
    night.until(since + min(11) + 31 * SECOND);
    assert_ne!(night.state(), RunState::Observing, "two, one that could not be measured, and a third");
}

#[test]
fn a_post_check_that_has_not_passed_by_its_time_rolls_back() {
    let plan = plans::founding().body(|body| {
        let check = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "latency").expect("it is there"),
        );
        check.check.by_ms = Some(600_000);
        check.check.every_ms = Some(30_000);
    });
    let mut night = Night::of(plan.seal()).always("latency", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::RolledBack);
    let (cause, at) = decided(&night).expect("it went back");
    assert_eq!(cause, Cause::PostCheckFailed { step: "latency".into() });
    assert_eq!(at, exposed(&night) + min(10));
}

#[test]
fn a_post_check_without_a_time_is_an_unmet_gate() {
    let plan = plans::founding().add(step(Section::PostCheck, "backup_ran"));
    let mut night = Night::of(plan.seal()).always("backup_ran", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::Deciding);
    let (kind, _) = asked(&night);
    let gap = Gap::PostCheck("backup_ran".into());
    assert_eq!(kind, QuestionKind::GateUnmet { gaps: vec![gap], unwatched: false });
    assert!(night.now() >= exposed(&night) + min(90));
    night.say(Verb::Accept);
    assert_eq!(night.state(), RunState::Accepted);
}

#[test]
fn a_sign_off_that_is_missing_is_an_unmet_gate() {
    let plan = plans::founding().body(|body| {
        body.sign_offs = vec![bascule::plan::policy::SignOff {
            role: "operations".to_owned(),
            what: "we own it".to_owned(),
            proves: bascule::plan::step::Proof::Ownership,
        }];
    });
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Deciding);
    assert!(night.questions()[0].contains("SignOff"), "{:?}", night.questions());
    assert!(night.refused(Verb::SignOff { role: "sales".to_owned() }).contains("asked of: operations"));
    night.say(Verb::SignOff { role: "operations".to_owned() });
    night.say(Verb::WindowExtend { by_ms: 60_000 });
    night.until_it_is(RunState::Accepted);
}

#[test]
fn rollback_by_hand_stays_possible_from_accepted_until_the_commit() {
    let plan = plans::founding().add(step(Section::Commit, "release"));
    let mut night = Night::of(plan.clone().seal()).begin();
    night.until_it_is(RunState::Accepted);
    night.until(min(9 * 60));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Accepted);
    night.say(Verb::Commit);
    assert!(night.refused(Verb::Rollback).contains("the way back is gone"));
    night.until_it_is(RunState::Committed);
}

#[test]
fn a_plan_may_commit_by_itself_where_the_gate_was_met() {
    let plan = plans::founding()
        .add(step(Section::Commit, "release"))
        .policies(|policies| policies.on_window_close = bascule::plan::policy::OnWindowClose::Commit);
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Committed);
    assert!(night.performed().ends_with("release 1.1"));
}
