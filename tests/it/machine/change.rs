//! SEMANTICS §9: the change window, the turn-back time, the time without service.

use bascule::machine::question::QuestionKind;
use bascule::machine::{RunState, Verb};
use bascule::plan::policy::Change;
use bascule::plan::step::{Effect, Undo};

use super::{asked, asks, exposed, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, cut};
use crate::support::sim::START;

/// The founding runbook with estimates of a minute each, in a change window that ends at a minute.
pub(super) fn in_a_change(until: i64) -> plans::Draft {
    plans::founding()
        .body(|body| {
            for step in body.steps.iter_mut().map(std::sync::Arc::make_mut) {
                step.estimate_ms = Some(60_000);
                step.timeout_ms = 6 * 3_600_000;
                if let Undo::Action(undo) = &mut step.undo {
                    undo.estimate_ms = Some(60_000);
                }
            }
        })
        .policies(|policies| {
            let id = Some("CHG0042".to_owned());
            policies.change = Some(Change { id, from_ms: Some(START), until_ms: Some(START + min(until)), zone: None });
        })
}

fn turn_back(night: &Night) -> Option<i64> {
    night.sim.run.turn_back.map(|at| at - START)
}

#[test]
fn the_turn_back_time_leaves_room_to_be_back_before_the_window_ends() {
    let mut night = Night::of(in_a_change(120).seal()).on("convert", Act::hangs()).begin();
    night.until(min(1));
    // Fence, reverse sync, source up, load balancer and the check that it serves: five minutes.
    assert_eq!(turn_back(&night), Some(min(115)));
    night.until(min(104));
    assert_eq!(night.only(&["turnBackNear"]), "");
    night.until(min(106));
    assert!(night.only(&["turnBackNear"]).starts_with("01:45:00"), "ten minutes before somebody is woken");
    night.until(min(116));
    let (kind, answers) = asked(&night);
    assert_eq!(kind, QuestionKind::TurnBack { until: START + min(120) });
    assert_eq!(answers, [Verb::Rollback, Verb::GoOn { question: 1 }, Verb::Close]);
}

#[test]
fn at_the_turn_back_time_nothing_new_begins_and_nothing_that_runs_is_stopped() {
    let plan = in_a_change(120).seal();
    let mut night = Night::of(plan).on("convert", Act::ok().after(min(118))).begin();
    night.until(min(125));
    assert_eq!(asks(&night), ["TurnBack"]);
    assert!(night.performed().ends_with("convert 1.1"), "{}", night.performed());
    let convert = place(&night, "convert");
    assert!(night.sim.run.forward(convert).satisfies(), "what ran has ended well");
    night.say(Verb::GoOn { question: 1 });
    night.until_it_is(RunState::Accepted);
    assert!(night.only(&["turnBackWaived", "closed"]).contains("omar: turnBackWaived"), "it is on record who went on");
}

#[test]
fn a_run_that_turns_back_in_time_serves_before_the_window_ends() {
    let mut night = Night::of(in_a_change(120).seal()).on("convert", Act::hangs()).begin();
    night.until(min(116));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert!(night.now() < min(120));
    assert!(night.questions().is_empty());
}

#[test]
fn a_cutover_that_cannot_end_in_time_asks_before_its_first_effect() {
    let mut night = Night::of(in_a_change(3).seal()).begin();
    night.until_it_is(RunState::Deciding);
    assert!(night.sim.run.first_effect.is_none());
    let (kind, answers) = asked(&night);
    assert!(matches!(kind, QuestionKind::TurnBack { .. }), "{kind:?}");
    assert!(answers.contains(&Verb::Cancel), "{answers:?}");
    night.say(Verb::Cancel);
    assert_eq!(night.state(), RunState::Cancelled);
}

#[test]
fn the_end_of_a_change_window_stops_neither_a_rollback_nor_the_observation() {
    let mut night = Night::of(in_a_change(60).seal()).begin();
    night.until_it_is(RunState::Accepted);
    assert!(night.now() >= exposed(&night) + min(90), "observed to the end");
    assert_eq!(night.only(&["turnBackReached", "turnBackNear", "asked"]), "");
    let mut night = Night::of(in_a_change(60).seal()).on("convert", Act::hangs()).begin();
    night.undo_always("quiesce", Act::ok().after(min(9)));
    night.until(min(54));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert!(night.now() > min(60));
    assert_eq!(night.only(&["turnBackReached", "asked"]), "");
}

#[test]
fn an_unknown_estimate_names_no_turn_back_time() {
    let plan = in_a_change(120).body(|body| {
        let sync = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "sync").expect("it is there"),
        );
        sync.estimate_ms = None;
        if let Undo::Action(undo) = &mut sync.undo {
            undo.estimate_ms = None;
        }
    });
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs()).begin();
    night.until(min(1));
    assert_eq!(turn_back(&night), None, "unknown is never nothing");
}

#[test]
fn an_overrun_is_told_once_and_a_deadline_may_be_moved() {
    let plan = plans::Draft::new()
        .add(cut("work").with(|step| {
            step.estimate_ms = Some(60_000);
            step.timeout_ms = 600_000;
        }))
        .add(cut("switch").exposes().effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).on("work", Act::ok().after(min(25))).begin();
    night.until(min(5));
    assert_eq!(night.only(&["overrun"]), "00:01:00 overrun step=work leftMs=540000\n");
    night.say(Verb::Extend { step: "work".into(), by_ms: 20 * 60_000 });
    night.until_it_is(RunState::Observing);
    assert_eq!(night.only(&["overrun", "interrupted"]), "00:01:00 overrun step=work leftMs=540000\n");
}

#[test]
fn downtime_is_measured_from_the_first_step_that_takes_the_source_down_to_exposure() {
    let mut night = Night::of(plans::founding().seal()).on("convert", Act::ok().after(min(9))).begin();
    night.until_it_is(RunState::Observing);
    let run = &night.sim.run;
    let (down, up) = (run.down_since.expect("it went down"), run.up_since.expect("it is up again"));
    assert_eq!((down - START, up - START), (1_000, exposed(&night)));
    assert_eq!(up - down, min(9) + 5_000);
    let mut night =
        Night::of(plans::founding().seal()).on("smoke", Act::unknown()).always("smoke", Act::unknown()).begin();
    night.until_it_is(RunState::Deciding);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    let restored = night.sim.run.rollback.as_ref().and_then(|back| back.restored);
    assert_eq!(night.sim.run.up_since, restored, "users have service again when the source is verified");
}
