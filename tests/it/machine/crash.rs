//! SEMANTICS §5: what an interruption means, forwards and back.

use bascule::machine::fact::{Failure, Found, Left};
use bascule::machine::question::QuestionKind;
use bascule::machine::state::{Forward, Status};
use bascule::machine::{RunState, Verb};
use bascule::plan::step::Effect;
use bascule::plan::{Section, TripRule};
use serde_json::json;

use super::{asked, asks, observing, performed_back, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, criterion, cut, step};

fn one(effect: Effect) -> plans::Draft {
    plans::Draft::new().add(cut("work").effect(effect)).add(cut("switch").exposes().effect(Effect::Idempotent))
}

fn interrupted(effect: Effect, act: Act) -> Night {
    let mut night = Night::of(one(effect).seal()).on("work", act).begin();
    night.until(5_000);
    night
}

fn count(night: &Night, step: &str) -> usize {
    night.sim.hands.performed.iter().filter(|line| line.starts_with(&format!("{step} "))).count()
}

#[test]
fn an_idempotent_step_runs_again_with_the_same_key_after_a_word() {
    let mut night = interrupted(Effect::Idempotent, Act::hangs());
    night.crash(min(2));
    night.until_quiet();
    assert_eq!(count(&night, "work"), 1, "new forward effects wait for `resume`");
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    assert!(night.performed().contains("work 1.2"), "{}", night.performed());
}

#[test]
fn a_plan_may_let_forward_work_go_on_by_itself_for_a_while() {
    let resumes = |away| {
        let plan = one(Effect::Idempotent).policies(|policies| policies.resume_within_ms = Some(300_000));
        let mut night = Night::of(plan.seal()).on("work", Act::hangs()).begin();
        night.until(5_000);
        night.crash(away);
        night.until_quiet();
        night.state() == RunState::Accepted
    };
    assert!(resumes(min(4)));
    assert!(!resumes(min(6)));
}

#[test]
fn a_step_that_happens_once_is_a_question() {
    let mut night = interrupted(Effect::Once, Act::hangs());
    night.crash(min(2));
    let (kind, answers) = asked(&night);
    assert!(matches!(kind, QuestionKind::UnknownOutcome { .. }), "{kind:?}");
    assert!(!answers.contains(&Verb::Retry { step: "work".into() }), "again might do it twice: {answers:?}");
    assert!(night.refused(Verb::Retry { step: "work".into() }).contains("might do it twice"));
    night.say(Verb::DidNotHappen { step: "work".into() });
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    assert!(night.performed().contains("work 2.2"), "a new key: {}", night.performed());
}

#[test]
fn remote_work_with_a_handle_is_found_again_whatever_its_effect() {
    for effect in [Effect::Once, Effect::Idempotent] {
        let mut night = interrupted(effect, Act::hangs().handle(json!({ "job": 7 })));
        night.crash(min(2));
        assert!(night.questions().is_empty(), "{:?}", night.questions());
        night.say(Verb::Resume);
        assert_eq!(night.sim.hands.attached, ["work {\"job\":7}"], "{effect:?}");
        night.until_it_is(RunState::Accepted);
    }
}

#[test]
fn an_attempt_that_ended_unknown_keeps_its_handle() {
    let act = || Act::unknown().handle(json!({ "job": 7 }));
    let mut night = interrupted(Effect::Once, act());
    let (kind, answers) = asked(&night);
    assert!(matches!(kind, QuestionKind::UnknownOutcome { .. }), "{kind:?}");
    assert!(answers.contains(&Verb::Retry { step: "work".into() }), "it can be found again: {answers:?}");
    night.crash(min(2));
    assert_eq!(asks(&night), ["UnknownOutcome"], "the question stands");
    night.say(Verb::Resume);
    night.say(Verb::Retry { step: "work".into() });
    assert_eq!(night.sim.hands.attached, ["work {\"job\":7}"]);
    night.until_it_is(RunState::Accepted);
    let mut night = interrupted(Effect::Idempotent, act());
    night.until_it_is(RunState::Accepted);
    assert_eq!(night.sim.hands.attached, ["work {\"job\":7}"], "a retry finds it again, too");
}

#[test]
fn work_elsewhere_whose_end_nobody_knows_is_not_undone_beside_itself() {
    let plan = plans::Draft::new()
        .add(cut("work").effect(Effect::Once).undo())
        .add(cut("switch").exposes().effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).on("work", Act::adrift().handle(json!({ "job": 7 }))).begin();
    night.until(5_000);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    assert!(!night.performed().contains("work!"));
    assert!(night.refused(Verb::UndoRetry { step: "work".into() }).contains("resolved first"));
    night.say(Verb::ItFailed { step: "work".into(), left: Left::Possible });
    night.until_it_is(RunState::RolledBack);
    assert!(night.performed().contains("work!"));
}

#[test]
fn a_probe_says_what_became_of_an_interrupted_step() {
    let probed = |found| {
        let mut night =
            Night::of(one(Effect::Probe).seal()).on("work", Act::hangs()).on_probe("work", Some(found)).begin();
        night.until(5_000);
        night.crash(min(2));
        night.say(Verb::Resume);
        night.until_quiet();
        night
    };
    let done = probed(Found::Done { outputs: std::sync::Arc::new(json!({})) });
    assert_eq!((done.state(), count(&done, "work")), (RunState::Accepted, 1));
    let not_started = probed(Found::NotStarted);
    assert_eq!((not_started.state(), count(&not_started, "work")), (RunState::Accepted, 2));
    let goes_on = probed(Found::InProgress { handle: json!("job") });
    assert_eq!(goes_on.sim.hands.attached, ["work \"job\""]);
    let cannot_tell = probed(Found::CannotTell { failure: Failure::new("no answer") });
    assert_eq!(asks(&cannot_tell), ["UnknownOutcome"]);
    let partial = probed(Found::Partial { found: "half".to_owned() });
    assert_eq!(asks(&partial), ["PartialEffect"]);
}

#[test]
fn a_part_is_taken_back_and_tried_again_where_the_step_allows_it() {
    let plan = plans::Draft::new()
        .add(cut("work").effect(Effect::Probe).undo().with(|step| step.retry_partial = true))
        .add(cut("switch").exposes().effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal())
        .on("work", Act::unknown())
        .on_probe("work", Some(Found::Partial { found: "half".to_owned() }))
        .begin();
    night.until_it_is(RunState::Accepted);
    let work: Vec<&str> =
        night.sim.hands.performed.iter().map(String::as_str).filter(|l| l.starts_with("work")).collect();
    assert_eq!(work, ["work 1.1", "work! 1.1", "work 2.2"]);
}

#[test]
fn a_check_just_runs_again() {
    let plan = plans::founding();
    let mut night = Night::of(plan.seal()).on("backup", Act::hangs()).begin();
    night.until(5_000);
    night.crash(min(2));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    assert_eq!(count(&night, "backup"), 2);
}

#[test]
fn checks_that_are_too_old_after_an_interruption_run_again_first() {
    let plan = || {
        plans::Draft::new()
            .add(step(Section::PreCheck, "space").check(|check| check.valid_for_ms = Some(3_600_000)))
            .add(cut("work").effect(Effect::Idempotent).undo())
            .add(cut("switch").exposes().effect(Effect::Idempotent))
    };
    let mut night = Night::of(plan().seal()).on("work", Act::hangs()).begin();
    night.until(5_000);
    night.crash(min(70));
    night.until_quiet();
    assert_eq!((count(&night, "space"), count(&night, "work")), (2, 1));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    let mut night = Night::of(plan().seal()).on("work", Act::hangs()).begin();
    night.until(5_000);
    night.every_time("space", Act::fails(Left::Nothing));
    night.crash(min(70));
    night.until_quiet();
    assert_eq!(asks(&night), ["StaleCheck"], "after the first effect it is a question");
    night.every_time("space", Act::ok());
    night.say(Verb::Retry { step: "space".into() });
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_stale_check_that_fails_before_the_first_effect_refuses() {
    let plan = plans::Draft::new()
        .add(step(Section::PreCheck, "space").check(|check| check.valid_for_ms = Some(600_000)))
        .add(plans::approval(Section::Cutover, "go_no_go"))
        .add(cut("switch").exposes().effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).begin();
    night.until(5_000);
    night.say(Verb::Pause);
    night.until(min(20));
    night.every_time("space", Act::fails(Left::Nothing));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Refused);
}

#[test]
fn an_open_window_is_guarded_at_once_after_a_restart() {
    let plan = plans::founding().criterion(criterion("health", TripRule::Consecutive(2)));
    let (mut night, since) = observing(plan);
    night.until(since + min(10));
    night.crash(min(5));
    assert_eq!(night.state(), RunState::Observing);
    assert!(night.sim.run.hold.is_none(), "nothing forward is left to hold");
    night.bad_from("health", since + min(15));
    night.until_it_is(RunState::RolledBack);
    assert!(night.now() < since + min(18));
}

#[test]
fn a_rollback_goes_on_by_itself_after_a_short_absence() {
    let (mut night, _) = observing(plans::founding());
    let before = night.sim.hands.performed.clone();
    night.undo_always("sync", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + 5_000);
    night.undo_always("sync", Act::ok());
    night.crash(min(9));
    night.until_it_is(RunState::RolledBack);
    let back = performed_back(&night, &before);
    let order = [
        "fence:stop_writes",
        "sync!",
        "sync!",
        "quiesce!",
        "balance!",
        "restored:source_serves",
        "power_on!",
        "convert!",
    ];
    assert_eq!(back, order);
    assert!(night.performed().contains("sync! 1.2"), "the same key: {}", night.performed());
    assert!(night.sim.log.iter().all(|record| record.event.word() != "asked"));
}

#[test]
fn a_rollback_asks_after_a_long_absence() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("sync", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + 5_000);
    night.undo_always("sync", Act::ok());
    night.crash(min(11));
    night.until_quiet();
    assert_eq!(night.state(), RunState::Deciding);
    assert_eq!(asks(&night), ["AwayTooLong"]);
    let performed = night.sim.hands.performed.len();
    night.say(Verb::ContinueRollback);
    night.until_it_is(RunState::RolledBack);
    assert!(night.sim.hands.performed.len() > performed);
}

#[test]
fn resume_ends_every_kind_of_stop() {
    let (mut night, _) = observing(plans::founding());
    night.undo_always("sync", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + 5_000);
    night.undo_always("sync", Act::ok());
    night.crash(min(30));
    night.say(Verb::Resume);
    night.until_it_is(RunState::RolledBack);
    assert!(night.refused(Verb::Resume).contains("the run is over"));
}

#[test]
fn an_undo_that_may_happen_once_is_asked_about_at_the_end() {
    let plan = plans::founding().body(|body| {
        let convert = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "convert").expect("it is there"),
        );
        if let bascule::plan::step::Undo::Action(undo) = &mut convert.undo {
            undo.effect = Effect::Once;
        }
    });
    let (mut night, _) = observing(plan);
    night.undo_always("convert", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + min(1));
    night.crash(min(2));
    night.until_quiet();
    let (kind, answers) = asked(&night);
    assert!(matches!(kind, QuestionKind::UnknownOutcome { .. }), "{kind:?}");
    assert_eq!(answers[..2], [Verb::UndoRetry { step: "convert".into() }, Verb::UndoDone { step: "convert".into() }]);
    night.say(Verb::UndoDone { step: "convert".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn settling_keeps_its_deadline_over_a_crash() {
    let plan = plans::founding().policies(|policies| policies.settle_within_ms = 30_000);
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs().never_stops()).begin();
    night.until(10_000);
    night.say(Verb::Rollback);
    night.crash(10_000);
    night.until_it_is(RunState::RolledBack);
    let ordered = night.sim.log.iter().find(|record| record.event.word() == "rollbackOrdered").expect("it was ordered");
    assert!(ordered.at - crate::support::sim::START <= 40_000);
    assert!(night.performed().contains("convert!"), "its process was ended at the start: it can be undone");
}

#[test]
fn a_stop_in_preparation_or_before_it_is_held_after_a_restart() {
    let plan =
        plans::Draft::new().add(step(Section::PreCheck, "space")).add(cut("work")).add(cut("switch").exposes()).seal();
    let mut night = Night::of(plan).on("space", Act::hangs()).begin();
    night.until(500);
    night.crash(min(1));
    night.until_quiet();
    assert_eq!(night.state(), RunState::CuttingOver, "looking goes on");
    let work = place(&night, "work");
    assert!(matches!(night.sim.run.step(work).status, Status::Forward(Forward::Ready)), "effects wait");
    assert!(night.sim.run.hold.as_ref().is_some_and(|hold| hold.restart));
}
