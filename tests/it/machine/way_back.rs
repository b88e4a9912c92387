//! SEMANTICS §8: who is undone, in which order, and what a failed undo holds up.

use bascule::machine::fact::Left;
use bascule::machine::input::Outcome;
use bascule::machine::state::UndoState;
use bascule::machine::{RunState, Verb};
use bascule::plan::Section;
use serde_json::json;

use super::{observing, performed_back, place};
use crate::plan::founding_in_the_lab;
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, cut, step};

/// Goes back by a person's word; what was performed on the way.
fn go_back(night: &mut Night, to: RunState) -> Vec<String> {
    let before = night.sim.hands.performed.clone();
    night.say(Verb::Rollback);
    night.until_it_is(to);
    performed_back(night, &before)
}

/// The founding runbook with the shipped catalog of the lab.
fn founding_night() -> Night {
    Night::of(plans::without_conditions(&founding_in_the_lab())).begin()
}

#[test]
fn the_founding_runbook_goes_back_in_the_documented_order() {
    let mut night = founding_night();
    night.until_it_is(RunState::Observing);
    let back = go_back(&mut night, RunState::RolledBack);
    let changes: Vec<&str> =
        back.iter().map(String::as_str).filter(|name| name.ends_with('!') || name.starts_with("fence:")).collect();
    assert_eq!(
        changes,
        [
            "fence:stop_target_writes",
            "final_data_sync!",
            "quiesce_application!",
            "update_load_balancer!",
            "power_on_target!",
            "attach_target_storage_profile!",
            "convert_image!",
        ]
    );
    let checks = back.iter().position(|name| name.starts_with("restored:")).expect("the source is verified");
    let off = back.iter().position(|name| name == "power_on_target!").expect("the target is powered off");
    let users = back.iter().position(|name| name == "update_load_balancer!").expect("users come back");
    assert!(users < checks && checks < off, "{back:?}");
}

#[test]
fn before_exposure_the_founding_runbook_never_overwrites_the_source() {
    let mut night = founding_night().always("smoke_test", Act::fails(Left::Nothing));
    night.until_it_is(RunState::RolledBack);
    let performed = night.performed();
    assert!(!performed.contains("final_data_sync!") && !performed.contains("fence:"), "{performed}");
    assert!(night.only(&["undoNotNeeded"]).contains("nothing to bring home"));
    assert!(performed.contains("quiesce_application!") && performed.contains("convert_image!"), "{performed}");
}

#[test]
fn after_exposure_the_stages_come_in_their_order_and_clean_up_comes_last() {
    let (mut night, _) = observing(plans::founding());
    let back = go_back(&mut night, RunState::RolledBack);
    let order =
        ["fence:stop_writes", "sync!", "quiesce!", "balance!", "restored:source_serves", "power_on!", "convert!"];
    assert_eq!(back, order);
    insta::assert_snapshot!(night.only(&["rollbackDecided", "rollbackOrdered", "serviceRestored", "moved"]));
}

#[test]
fn users_are_never_sent_to_a_source_without_their_data() {
    let plan = plans::founding().add(cut("dns").undo());
    let (mut night, _) = observing(plan);
    night.undo_always("sync", Act::fails(Left::Possible));
    let back = go_back(&mut night, RunState::Stuck);
    assert_eq!(back.iter().filter(|name| *name == "sync!").count(), 5, "five attempts: {back:?}");
    assert!(back.contains(&"dns!".to_owned()), "what does not depend on it still runs: {back:?}");
    for held in ["quiesce!", "balance!", "power_on!", "convert!"] {
        assert!(!back.contains(&held.to_owned()), "{held} ran: {back:?}");
    }
    night.undo_always("sync", Act::ok());
    let before = night.sim.hands.performed.clone();
    night.say(Verb::UndoRetry { step: "sync".into() });
    night.until_it_is(RunState::RolledBack);
    let rest = performed_back(&night, &before);
    assert_eq!(rest, ["sync!", "quiesce!", "balance!", "restored:source_serves", "power_on!", "convert!"]);
}

#[test]
fn users_are_never_sent_to_a_source_that_is_down() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("quiesce", Act::fails(Left::Possible));
    let back = go_back(&mut night, RunState::Stuck);
    assert!(!back.contains(&"balance!".to_owned()), "{back:?}");
    let why = night.refused(Verb::UndoWaive { step: "quiesce".into() });
    assert!(why.contains("a source that is down"), "{why}");
    night.say(Verb::UndoDone { step: "quiesce".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn nothing_is_brought_home_while_the_target_still_writes() {
    let (mut night, _) = observing(plans::founding());
    night.every_time("fence:stop_writes", Act::fails(Left::Possible));
    let back = go_back(&mut night, RunState::Stuck);
    assert!(!back.contains(&"sync!".to_owned()), "{back:?}");
    assert!(night.refused(Verb::UndoWaive { step: "fence:stop_writes".into() }).contains("go on writing"));
    night.every_time("fence:stop_writes", Act::ok());
    night.say(Verb::UndoRetry { step: "fence:stop_writes".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn the_data_alone_may_be_waived_and_is_then_listed() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("sync", Act::fails(Left::Possible));
    go_back(&mut night, RunState::Stuck);
    night.say(Verb::UndoWaive { step: "sync".into() });
    night.until_it_is(RunState::RolledBack);
    assert!(night.only(&["residue"]).contains("its undo was waived"));
}

#[test]
fn a_failed_clean_up_is_residue_for_the_morning() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("power_on", Act::fails(Left::Possible));
    let back = go_back(&mut night, RunState::RolledBack);
    assert_eq!(back.iter().filter(|name| *name == "power_on!").count(), 5);
    assert!(back.contains(&"convert!".to_owned()), "implied order never blocks: {back:?}");
    assert!(night.only(&["residue"]).contains("its undo failed: it broke"));
    assert!(night.questions().is_empty());
}

#[test]
fn a_need_that_its_author_wrote_holds_up_what_stands_behind_it() {
    let plan = plans::founding().body(|body| {
        let power = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "power_on").expect("it is there"),
        );
        power.needs.iter_mut().for_each(|need| need.kind = bascule::plan::step::NeedKind::Written);
    });
    let (mut night, _) = observing(plan);
    night.undo_always("power_on", Act::fails(Left::Possible));
    let back = go_back(&mut night, RunState::RolledBack);
    assert!(!back.contains(&"convert!".to_owned()), "the image is still in use: {back:?}");
    assert!(night.only(&["residue"]).contains("\"convert\",\"its undo did not run\""), "{}", night.only(&["residue"]));
}

#[test]
fn a_source_that_does_not_serve_is_stuck_and_cleans_nothing_up() {
    let (mut night, _) = observing(plans::founding());
    night.every_time("restored:source_serves", Act::fails(Left::Nothing));
    let back = go_back(&mut night, RunState::Stuck);
    assert!(!back.iter().any(|name| name == "convert!" || name == "power_on!"), "{back:?}");
    night.every_time("restored:source_serves", Act::ok());
    night.say(Verb::UndoRetry { step: "restored:source_serves".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_stuck_rollback_may_be_closed_and_lists_what_stays() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("sync", Act::fails(Left::Possible));
    go_back(&mut night, RunState::Stuck);
    night.say(Verb::Close);
    assert_eq!(night.state(), RunState::ClosedWithResidue);
    insta::assert_snapshot!(night.only(&["residue"]));
}

#[test]
fn what_cannot_be_proved_stopped_is_not_undone_and_the_rest_is() {
    let plan = plans::founding().policies(|policies| policies.settle_within_ms = 30_000);
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs().never_stops()).begin();
    night.until(10_000);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    let convert = place(&night, "convert");
    assert!(matches!(night.sim.run.undo(convert), Some(UndoState::Unknown { .. })));
    assert!(!night.performed().contains("convert!"), "never beside a live forward action");
    assert!(night.performed().contains("quiesce!"));
    let ordered = night.sim.log.iter().find(|record| record.event.word() == "rollbackOrdered").expect("it was ordered");
    assert_eq!(ordered.at - crate::support::sim::START, 40_000, "an absolute deadline");
}

#[test]
fn what_stops_when_it_is_told_to_is_undone() {
    let act = Act::hangs().stopped(Outcome::Cancelled { left: Left::Possible });
    let mut night = Night::of(plans::founding().seal()).on("convert", act).begin();
    night.until(10_000);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("convert!"));
}

#[test]
fn what_never_began_and_what_left_nothing_is_not_undone() {
    let mut night = Night::of(plans::founding().seal()).always("convert", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::RolledBack);
    assert!(!night.performed().contains("convert!") && !night.performed().contains("power_on"));
}

#[test]
fn a_rollback_does_not_wait_for_what_only_looks() {
    let plan = plans::founding().add(step(Section::Ready, "snapshot_there"));
    let mut night = Night::of(plan.seal()).on("ready:snapshot_there", Act::ok()).begin();
    night.every_time("ready:snapshot_there", Act::hangs().never_stops());
    night.until(min(5) + 10_000);
    assert_eq!(night.state(), RunState::Observing);
    let at = night.now();
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert!(night.now() < at + min(1), "it waited until {}", night.now());
}

#[test]
fn an_irreversible_step_stops_the_way_back_which_then_asks() {
    let plan = plans::founding().add(cut("license").irreversible()).add(cut("notify").undo());
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Deciding);
    night.say(Verb::Approve { step: "license".into(), role: None });
    night.until_it_is(RunState::Observing);
    let back = go_back(&mut night, RunState::Deciding);
    assert!(back.contains(&"notify!".to_owned()) && !back.contains(&"balance!".to_owned()), "{back:?}");
    let (_, answers) = super::asked(&night);
    assert_eq!(answers, [Verb::ForwardAgain, Verb::Close]);
    night.say(Verb::ForwardAgain);
    night.until_it_is(RunState::Observing);
    assert!(night.performed().ends_with("latency 1.2"), "{}", night.performed());
    assert!(night.performed().contains("notify 2.2"), "a new key for what was undone: {}", night.performed());
}

#[test]
fn a_late_answer_of_a_step_that_was_undone_repeats_the_undo() {
    let plan = plans::founding().policies(|policies| policies.settle_within_ms = 5_000);
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs().never_stops()).begin();
    night.until(10_000);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RollingBack);
    let convert = place(&night, "convert");
    night.until(15_100);
    let end = bascule::machine::Input::Ended {
        step: convert,
        direction: bascule::machine::fact::Direction::Forward,
        attempt: 1,
        outcome: Outcome::Succeeded { outputs: std::sync::Arc::new(json!({})) },
        verify: None,
        log: None,
    };
    night.sim.input(end).expect("news are taken");
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("convert!"), "its end is proved now: {}", night.performed());
}

#[test]
fn a_fence_is_tried_as_often_as_it_says_and_otherwise_as_an_undo() {
    let tries = |change: fn(&mut bascule::plan::Step)| {
        let plan = plans::founding().body(|body| {
            let fence = body.steps.iter_mut().find(|step| step.section == Section::Fence).expect("it is there");
            change(std::sync::Arc::make_mut(fence));
        });
        let (mut night, _) = super::observing(plan);
        night.every_time("fence:stop_writes", Act::fails(Left::Nothing));
        let back = go_back(&mut night, RunState::Stuck);
        assert!(
            night.refused(Verb::UndoDone { step: "stop_write".into() }).contains("did you mean `fence:stop_writes`?")
        );
        night.say(Verb::UndoDone { step: "stop_writes".into() });
        night.until_it_is(RunState::RolledBack);
        back.iter().filter(|name| *name == "fence:stop_writes").count()
    };
    assert_eq!(tries(|_| {}), 5);
    assert_eq!(tries(|fence| fence.retry.attempts = 2), 2);
    assert_eq!(tries(|fence| fence.retry.attempts = 1), 1);
}

/// A run whose way back is looked at.
fn watched_way_back() -> plans::Draft {
    plans::founding()
        .add(step(Section::Ready, "snapshot_there"))
        .body(|body| body.steps.sort_by_key(|step| step.section))
}

fn looks(night: &Night) -> usize {
    night.sim.hands.performed.iter().filter(|line| line.starts_with("ready:snapshot_there")).count()
}

#[test]
fn the_way_back_is_looked_at_every_five_minutes_until_the_commit() {
    let mut night = Night::of(watched_way_back().seal()).begin();
    night.until(min(61));
    assert_eq!(looks(&night), 13);
    night.until_it_is(RunState::Accepted);
    let looked = looks(&night);
    night.until(min(60 * 24));
    assert!(looks(&night) > looked + 200, "the source is kept, and rollback is still possible");
    night.say(Verb::Commit);
    let looked = looks(&night);
    night.until(min(60 * 25));
    assert_eq!(looks(&night), looked);
}

#[test]
fn a_way_back_that_is_lost_before_exposure_stops_new_effects() {
    let plan = watched_way_back().seal();
    let mut night = Night::of(plan).on("convert", Act::ok().after(min(9))).begin();
    night.until(min(1));
    night.every_time("ready:snapshot_there", Act::fails(Left::Nothing));
    night.until(min(30));
    assert!(night.performed().lines().all(|line| !line.starts_with("power_on")), "{}", night.performed());
    assert!(night.only(&["wayBack"]).contains("open=false"));
    night.every_time("ready:snapshot_there", Act::ok());
    night.until_it_is(RunState::Observing);
}

#[test]
fn nothing_is_cut_over_before_the_way_back_was_seen_open_once() {
    let plan = || watched_way_back().seal();
    let mut night = Night::of(plan()).on("ready:snapshot_there", Act::ok().after(40_000)).begin();
    night.until(30_000);
    assert_eq!(night.state(), RunState::CuttingOver);
    assert_eq!(night.performed(), "backup 1.1\nready:snapshot_there 1.1");
    night.until_it_is(RunState::Observing);
    let mut night = Night::of(plan()).always("ready:snapshot_there", Act::fails(Left::Nothing)).begin();
    night.until(min(30));
    assert!(!night.performed().contains("quiesce"), "{}", night.performed());
    night.say(Verb::Cancel);
    assert_eq!(night.state(), RunState::Cancelled, "nothing was touched");
}

#[test]
fn a_person_may_have_the_way_back_looked_at_again_or_waive_the_look() {
    let waivable = |check: &mut bascule::plan::step::CheckPolicy| check.waivable_by = vec!["lead".to_owned()];
    let plan = || plans::founding().add(step(Section::Ready, "snapshot_there").check(waivable)).seal();
    let begun = |act| {
        let mut night = Night::of(plan()).on("ready:snapshot_there", act).begin();
        night.until(min(1));
        assert!(!night.performed().contains("quiesce"), "{}", night.performed());
        night
    };
    let mut night = begun(Act::fails(Left::Nothing));
    night.say(Verb::Retry { step: "snapshot_there".into() });
    night.until_it_is(RunState::Observing);
    let mut night = begun(Act::fails(Left::Nothing));
    night.say(Verb::Waive { step: "snapshot_there".into(), role: Some("lead".to_owned()) });
    night.until_it_is(RunState::Observing);
    let mut night = begun(Act::hangs());
    night.crash(min(1));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Observing);
}

#[test]
fn readiness_checks_that_all_skip_themselves_hold_nothing_up() {
    let skipped = step(Section::Ready, "snapshot_there").with(|step| step.when = Some(plans::expr("false")));
    let mut night = Night::of(plans::founding().add(skipped).seal()).begin();
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_way_back_that_is_lost_after_exposure_stops_nothing() {
    let mut night = Night::of(watched_way_back().seal()).begin();
    night.until(min(10));
    night.every_time("ready:snapshot_there", Act::fails(Left::Nothing));
    night.until_it_is(RunState::Accepted);
}

#[test]
fn data_on_its_way_home_is_not_stopped_when_its_time_is_up() {
    let plan = plans::founding().body(|body| {
        let sync = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "sync").expect("it is there"),
        );
        sync.on_timeout = bascule::plan::step::OnTimeout::Ask;
    });
    let on_its_way = |undo: Act| {
        let (mut night, _) = observing(plan.clone());
        night.undo_always("sync", undo);
        night.say(Verb::Rollback);
        let at = night.now();
        night.until(at + min(12));
        let asked: Vec<String> = super::asks(&night);
        assert_eq!((night.state(), asked), (RunState::RollingBack, vec!["OutOfTime".to_owned()]));
        night
    };
    let mut night = on_its_way(Act::ok().after(min(30)));
    night.say(Verb::Extend { step: "sync".into(), by_ms: 60 * 60_000 });
    night.until_it_is(RunState::RolledBack);
    assert!(!night.only(&["interrupted"]).contains("step=sync"), "{}", night.only(&["interrupted"]));
    let mut night = on_its_way(Act::hangs());
    night.undo_always("sync", Act::ok());
    night.say(Verb::UndoRetry { step: "sync".into() });
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("sync! 1.2"), "{}", night.performed());
}
