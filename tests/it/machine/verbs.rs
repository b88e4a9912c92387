//! SEMANTICS §3, §4: verbs that are not legal are refused, with what is legal instead.

use std::collections::BTreeMap;

use bascule::machine::fact::Left;
use bascule::machine::{Reply, RunState, Verb};
use bascule::plan::Section;
use bascule::plan::step::Effect;

use super::observing;
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, cut, step};

fn skip(step: &str) -> Verb {
    Verb::Skip { step: step.into() }
}

fn happened(step: &str) -> Verb {
    Verb::Happened { step: step.into(), outputs: BTreeMap::new(), role: None }
}

/// Says all of them, and what is answered.
fn all_refused(night: &mut Night, verbs: &[Verb]) -> String {
    let before = night.sim.log.len();
    let lines = verbs.iter().map(|verb| format!("{verb:?}\n    {}\n", night.refused(verb.clone()))).collect();
    assert_eq!(night.sim.log.len(), before, "a refused verb writes nothing");
    lines
}

#[test]
fn while_steps_run() {
    let mut night = Night::of(plans::founding().seal()).on("convert", Act::hangs()).begin();
    night.until(min(1));
    insta::assert_snapshot!(all_refused(
        &mut night,
        &[
            Verb::Go,
            Verb::Resume,
            Verb::Cancel,
            Verb::Commit,
            Verb::Accept,
            Verb::ForwardAgain,
            Verb::ContinueRollback,
            Verb::GoOn { question: 7 },
            Verb::ConfirmClock,
            Verb::SignOff { role: "operations".to_owned() },
            Verb::Disarm { criterion: "health".to_owned(), for_ms: 60_000 },
            Verb::WindowExtend { by_ms: 60_000 },
            Verb::Extend { step: "smoke".into(), by_ms: 60_000 },
            Verb::Extend { step: "quiesce".into(), by_ms: 60_000 },
            Verb::Retry { step: "convert".into() },
            Verb::Retry { step: "nowhere".into() },
            skip("convert"),
            skip("quiesce"),
            skip("balance"),
            skip("backup"),
            Verb::Waive { step: "convert".into(), role: None },
            Verb::Waive { step: "backup".into(), role: Some("lead".to_owned()) },
            happened("convert"),
            happened("quiesce"),
            happened("backup"),
            Verb::DidNotHappen { step: "convert".into() },
            Verb::ItFailed { step: "quiesce".into(), left: Left::Possible },
            Verb::ProbeAgain { step: "convert".into() },
            Verb::Approve { step: "convert".into(), role: None },
            Verb::Reject { step: "convert".into() },
            Verb::UndoRetry { step: "quiesce".into() },
            Verb::UndoWaive { step: "quiesce".into() },
            Verb::UndoDone { step: "quiesce".into() },
        ],
    ));
}

#[test]
fn while_the_window_is_open() {
    let (mut night, _) = observing(plans::founding());
    insta::assert_snapshot!(all_refused(
        &mut night,
        &[Verb::Go, Verb::Cancel, Verb::Commit, skip("smoke"), Verb::Retry { step: "smoke".into() }, happened("smoke")],
    ));
    night.say(Verb::Accept);
    assert_eq!(night.state(), RunState::Accepted);
}

#[test]
fn on_the_way_back() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("sync", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + 10_000);
    insta::assert_snapshot!(all_refused(
        &mut night,
        &[
            Verb::Rollback,
            Verb::Cancel,
            Verb::Accept,
            Verb::Commit,
            Verb::WindowExtend { by_ms: 60_000 },
            Verb::Retry { step: "smoke".into() },
            skip("smoke"),
            happened("sync"),
            Verb::UndoRetry { step: "sync".into() },
            Verb::UndoDone { step: "sync".into() },
            Verb::UndoRetry { step: "quiesce".into() },
            Verb::UndoWaive { step: "quiesce".into() },
            Verb::Disarm { criterion: "health".to_owned(), for_ms: 60_000 },
        ],
    ));
}

#[test]
fn after_the_end_only_notes_are_taken() {
    let mut night = Night::of(plans::founding().seal()).begin();
    night.until_it_is(RunState::Accepted);
    night.say(Verb::Close);
    insta::assert_snapshot!(all_refused(
        &mut night,
        &[Verb::Rollback, Verb::Commit, Verb::Close, Verb::Cancel, Verb::Resume]
    ));
    night.say(Verb::Note { text: "the bridge was closed at 4".to_owned(), attachments: vec![] });
    night.say(Verb::InCharge { who: Some("pia".to_owned()) });
}

#[test]
fn a_held_run_begins_nothing_and_commits_nothing() {
    let plan = plans::founding().add(step(Section::Commit, "release"));
    let mut night = Night::of(plan.seal()).on("convert", Act::ok().after(min(5))).begin();
    night.until(min(1));
    night.say(Verb::Pause);
    assert!(night.refused(Verb::Pause).contains("held already"));
    night.until(min(20));
    assert!(night.performed().ends_with("convert 1.1"), "{}", night.performed());
    night.say(Verb::Resume);
    night.until_it_is(RunState::Observing);
    night.say(Verb::Pause);
    night.until_it_is(RunState::Accepted);
    assert!(night.refused(Verb::Commit).contains("held"));
    night.say(Verb::Resume);
    night.say(Verb::Commit);
    night.until_it_is(RunState::Committed);
}

#[test]
fn a_hold_stops_neither_sampling_nor_undoing() {
    let plan = plans::founding().criterion(plans::criterion("health", bascule::plan::TripRule::Consecutive(2)));
    let (mut night, since) = observing(plan);
    night.say(Verb::Pause);
    night.bad_from("health", since + min(5));
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn accept_needs_exposure_and_every_cutover_step() {
    let plan = plans::founding().add(cut("tidy").effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).on("tidy", Act::hangs()).begin();
    night.until(min(1));
    assert!(night.refused(Verb::Accept).contains("`tidy` has neither succeeded nor been skipped"));
    let mut night = Night::of(plans::founding().seal()).on("convert", Act::hangs()).begin();
    night.until(min(1));
    assert!(night.refused(Verb::Accept).contains("no user can reach the target yet"));
}

#[test]
fn what_is_skipped_counts_as_done_and_the_exposing_step_never_is() {
    let plan = plans::founding().policies(|policies| policies.on_failure = bascule::plan::policy::OnFailure::Ask);
    let mut night = Night::of(plan.seal()).always("smoke", Act::fails(Left::Nothing)).begin();
    night.until(min(1));
    night.say(skip("smoke"));
    night.until_it_is(RunState::Accepted);
    let plan = plans::founding().policies(|policies| policies.on_failure = bascule::plan::policy::OnFailure::Ask);
    let mut night = Night::of(plan.seal()).always("balance", Act::fails(Left::Possible)).begin();
    night.until(min(5));
    assert!(night.refused(skip("balance")).contains("cannot be skipped"));
    night.say(happened("balance"));
    night.until_it_is(RunState::Observing);
    let window = night.sim.run.window.as_ref().expect("the window opens");
    assert_eq!(Some(window.deadline - min(90)), night.sim.run.exposed);
    assert!(night.sim.run.exposed.is_some_and(|at| at - crate::support::sim::START < min(5)), "with the intent's time");
}

#[test]
fn the_exposing_step_has_no_way_round_and_close_always_works() {
    let states: [fn() -> Night; 4] = [
        || Night::of(plans::founding().seal()).begin(),
        || {
            let mut night = Night::of(plans::founding().seal()).on("convert", Act::hangs()).begin();
            night.until(min(1));
            night
        },
        || observing(plans::founding()).0,
        || {
            let (mut night, _) = observing(plans::founding());
            night.say(Verb::Rollback);
            night
        },
    ];
    for state in states {
        let mut night = state();
        night.say(Verb::Close);
        assert_eq!(night.state(), RunState::ClosedWithResidue);
        assert!(night.only(&["residue", "moved"]).contains("omar: residue"), "who closed it, and what stays");
    }
}

#[test]
fn what_ends_or_loosens_something_needs_a_reason_and_a_blank_one_is_none() {
    let (mut night, _) =
        observing(plans::founding().criterion(plans::criterion("health", bascule::plan::TripRule::Consecutive(2))));
    let mut say = |verb: Verb, reason: Option<&str>| {
        let by = crate::support::sim::actor("omar");
        let told = bascule::machine::Input::Verb { verb, by, reason: reason.map(Into::into) };
        night.sim.input(told).expect("the machine holds its promises")
    };
    let verbs = [
        Verb::Close,
        Verb::WindowExtend { by_ms: 60_000 },
        Verb::Disarm { criterion: "health".to_owned(), for_ms: 60_000 },
        Verb::Extend { step: "sync".into(), by_ms: 60_000 },
        Verb::Waive { step: "latency".into(), role: None },
        Verb::UndoWaive { step: "sync".into() },
    ];
    for verb in verbs {
        for reason in [None, Some(""), Some(" \t\n")] {
            let reply = say(verb.clone(), reason);
            let Reply::Refused { why, hint } = reply else { panic!("{verb:?} is taken without a reason") };
            assert!(why.contains("needs a reason") && hint.contains("--reason"), "{verb:?}: {why}; {hint}");
        }
    }
    assert_eq!(say(Verb::WindowExtend { by_ms: 60_000 }, Some("month end")), Reply::Done);
    assert_eq!(say(Verb::Pause, None), Reply::Done, "what loosens nothing needs none");
    assert_eq!(say(Verb::Close, Some("repaired by hand")), Reply::Done);
}

#[test]
fn a_step_is_named_by_its_plain_name_where_only_one_bears_it() {
    let there = |check: &mut bascule::plan::step::CheckPolicy| check.waivable_by = vec!["lead".to_owned()];
    let plan = plans::founding()
        .add(step(Section::Ready, "source_serves").check(there))
        .add(step(Section::Fence, "sync").effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).always("ready:source_serves", Act::fails(Left::Nothing)).begin();
    night.until(min(1));
    assert!(night.refused(skip("quiece")).contains("did you mean `quiesce`?"));
    assert!(night.refused(skip("xyzzy")).contains("the plan has no step `xyzzy`"));
    assert!(night.refused(skip("serves")).contains("has no step"), "a part of a name is none");
    // Both lists have it: before the way back it is the one of the way forward.
    night.say(Verb::Waive { step: "source_serves".into(), role: Some("lead".to_owned()) });
    night.until_it_is(RunState::Observing);
    night.every_time("restored:source_serves", Act::fails(Left::Nothing));
    night.undo_always("sync", Act::fails(Left::Nothing));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    // An id is an id, whatever else ends like it.
    night.say(Verb::UndoDone { step: "sync".into() });
    assert!(night.only(&["undoDoneByHand"]).contains("sync"), "{}", night.only(&["undoDoneByHand"]));
    night.until_it_is(RunState::Stuck);
    night.say(Verb::UndoDone { step: "source_serves".into() });
    night.until_it_is(RunState::RolledBack);
}
