//! SEMANTICS §3, §12: from the first check to the word, with everything that may refuse or delay it.

use bascule::machine::fact::{Actor, Left, LockScope};
use bascule::machine::question::QuestionKind;
use bascule::machine::{Input, Reply, RunState, Verb};
use bascule::plan::Section;
use bascule::plan::step::Effect;

use super::{asked, asks};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, cut, step};
use crate::support::sim::START;

fn prepared_plan() -> plans::Draft {
    plans::Draft::new()
        .add(step(Section::PreCheck, "space").check(|check| check.recheck = true))
        .add(step(Section::Prepare, "seed").effect(Effect::Idempotent).undo().with(|s| s.keep_fresh_ms = Some(900_000)))
        .add(cut("quiesce").takes_source_down().effect(Effect::Idempotent).undo())
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo())
        .policies(|policies| policies.data = bascule::plan::DataAnswer::Stateless)
}

fn small() -> plans::Draft {
    plans::Draft::new()
        .add(step(Section::PreCheck, "space").check(|check| check.waivable_by = vec!["storage-lead".to_owned()]))
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo())
}

fn times(night: &Night, step: &str) -> usize {
    night.sim.hands.performed.iter().filter(|line| line.starts_with(&format!("{step} "))).count()
}

#[test]
fn preparation_ends_in_waiting_for_the_word() {
    let mut night = Night::of(prepared_plan().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night.until(min(10));
    assert_eq!(night.performed(), "space 1.1\nseed 1.1");
    assert!(night.sim.run.first_effect.is_none(), "the cutover has not begun");
    assert!(night.refused(Verb::Rollback).contains("`cancel`"));
    night.say(Verb::Go);
    night.until_it_is(RunState::Observing);
    assert_eq!(
        night.performed(),
        "space 1.1\nseed 1.1\nspace 1.2\nquiesce 1.1\nswitch 1.1",
        "checks are repeated at `go`"
    );
}

/// The same with a lock beside the application's.
fn with_a_machine() -> plans::Draft {
    prepared_plan().body(|body| {
        body.locks.push(bascule::plan::policy::LockClaim { name: "vm:shop-01".to_owned(), take: None });
    })
}

fn lock_words(night: &Night) -> Vec<String> {
    let locks = night.sim.log.iter().filter(|record| record.event.word().starts_with("locks"));
    locks.map(|record| record.event.word().to_owned()).collect()
}

#[test]
fn a_prepared_run_keeps_only_its_application_and_takes_the_rest_again_at_the_word() {
    let mut night = Night::of(with_a_machine().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night.until(min(10));
    assert_eq!(lock_words(&night), ["locksRequested", "locksGranted", "locksNarrowed"]);
    assert_eq!(night.sim.hands.released, ["Rest"]);
    night.sim.hands.held.push(LockScope::Rest);
    night.say(Verb::Go);
    night.until(min(20));
    assert_eq!(night.state(), RunState::Prepared, "others hold one of them");
    assert_eq!(times(&night, "space"), 1, "what is checked again is checked under the locks");
    night.sim.input(Input::LocksGranted { scope: LockScope::Rest }).expect("it is taken");
    night.until_it_is(RunState::Observing);
    assert_eq!(times(&night, "space"), 2);
}

#[test]
fn locks_are_given_back_again_when_the_word_comes_to_nothing_and_asked_for_anew_by_another_engine() {
    let mut night = Night::of(with_a_machine().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night.until(min(1));
    night.then("space", Act::fails(Left::Nothing));
    night.say(Verb::Go);
    night.until(min(1) + 30_000);
    assert_eq!(night.sim.hands.released, ["Rest", "Rest"], "it waits for another word");
    night.sim.hands.held.push(LockScope::Rest);
    night.until(min(5));
    night.say(Verb::Go);
    night.sim.hands.held.clear();
    night.crash(min(1));
    night.say(Verb::Resume);
    night.until(min(8));
    assert_eq!(night.state(), RunState::Observing, "{}", night.story());
    let mut night = Night::of(with_a_machine().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night.sim.hands.held.push(LockScope::Rest);
    night.say(Verb::Go);
    night.say(Verb::Cancel);
    night.until_it_is(RunState::Cancelled);
    assert_eq!(night.sim.hands.released.last().map(String::as_str), Some("Run"));
}

#[test]
fn what_is_kept_fresh_is_repeated_until_the_word_and_not_after() {
    let mut night = Night::of(prepared_plan().seal()).begin();
    night.until(min(61));
    assert_eq!(times(&night, "seed"), 5, "every 15 minutes: {}", night.performed());
    night.say(Verb::Go);
    night.until(min(150));
    assert_eq!(times(&night, "seed"), 5);
    assert!(night.performed().contains("seed 1.5"), "the same key");
}

#[test]
fn a_refresh_that_runs_when_the_word_comes_is_waited_for() {
    let mut night = Night::of(prepared_plan().seal()).on("seed", Act::ok()).on("seed", Act::ok().after(min(3))).begin();
    night.until(min(16));
    night.say(Verb::Go);
    night.until(min(17));
    assert_eq!(night.state(), RunState::Prepared);
    night.until_it_is(RunState::Observing);
    assert!(night.now() > min(18));
}

#[test]
fn a_check_that_fails_at_the_word_leaves_it_prepared_and_the_word_must_come_again() {
    let mut night = Night::of(prepared_plan().seal()).begin();
    night.until(min(5));
    night.every_time("space", Act::fails(Left::Nothing));
    night.say(Verb::Go);
    night.until(min(8));
    assert_eq!(night.state(), RunState::Prepared);
    assert!(!night.sim.run.go && night.questions().is_empty());
    night.every_time("space", Act::ok());
    night.until(min(12));
    assert_eq!(night.state(), RunState::Prepared, "passing is not the word");
    night.say(Verb::Go);
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_run_may_go_by_itself_at_a_time() {
    let mut night = Night::that_goes_at(small().seal(), min(30)).begin();
    night.until(min(29));
    assert_eq!(night.state(), RunState::Prepared);
    night.until(min(31));
    assert_eq!(night.state(), RunState::Observing);
    assert!(night.only(&["goGiven"]).starts_with("00:30:00"));
}

#[test]
fn cancelling_a_prepared_run_undoes_its_preparation() {
    let mut night = Night::of(prepared_plan().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night.say(Verb::Cancel);
    night.until_it_is(RunState::Cancelled);
    assert!(night.performed().ends_with("seed! 1.1"), "{}", night.performed());
}

#[test]
fn what_cancelling_cannot_undo_is_listed() {
    let mut night = Night::of(prepared_plan().seal()).begin();
    night.until_it_is(RunState::Prepared);
    night.undo_always("seed", Act::fails(Left::Possible));
    night.say(Verb::Cancel);
    night.until_it_is(RunState::Stuck);
    night.say(Verb::UndoWaive { step: "seed".into() });
    night.until_it_is(RunState::Cancelled);
    assert!(night.only(&["residue"]).contains("its undo was waived"));
}

#[test]
fn cancel_is_refused_once_an_effect_was_intended_and_names_rollback() {
    let mut night = Night::of(small().seal()).on("switch", Act::hangs()).begin();
    night.until(2_000);
    assert!(night.refused(Verb::Cancel).contains("`rollback`"));
}

#[test]
fn a_preparation_step_that_fails_asks() {
    let mut night = Night::of(prepared_plan().seal()).always("seed", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    assert_eq!(asks(&night), ["LateStepFailed"]);
    night.every_time("seed", Act::ok());
    night.say(Verb::Retry { step: "seed".into() });
    night.until_it_is(RunState::Prepared);
}

#[test]
fn a_failed_check_is_tried_every_minute_until_it_passes() {
    let mut night = Night::of(small().seal()).always("space", Act::fails(Left::Nothing)).begin();
    night.until(min(5));
    assert_eq!((night.state(), times(&night, "space")), (RunState::Checking, 5));
    assert!(night.questions().is_empty(), "it stays in `checking`");
    night.every_time("space", Act::ok());
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_failed_check_is_waived_only_in_a_role_that_it_names() {
    let mut night = Night::of(small().seal()).always("space", Act::fails(Left::Nothing)).begin();
    night.until(min(2));
    let waive = |role: Option<&str>| Verb::Waive { step: "space".into(), role: role.map(str::to_owned) };
    assert!(night.refused(waive(None)).contains("storage-lead"));
    assert!(night.refused(waive(Some("intern"))).contains("storage-lead"));
    assert!(night.refused(Verb::Skip { step: "space".into() }).contains("waived, not skipped"));
    night.say(waive(Some("storage-lead")));
    night.until_it_is(RunState::Observing);
}

#[test]
fn a_check_that_stays_inconclusive_asks() {
    let mut night = Night::of(small().seal()).always("space", Act::unknown()).begin();
    night.until_it_is(RunState::Deciding);
    assert_eq!((asks(&night), times(&night, "space")), (vec!["CheckInconclusive".to_owned()], 3));
    night.every_time("space", Act::ok());
    let question = *night.sim.run.questions.keys().next().expect("one is open");
    night.say(Verb::GoOn { question });
    night.until_it_is(RunState::Observing);
}

#[test]
fn the_end_of_the_start_window_refuses_unless_nobody_looked() {
    let plan = || small().policies(|policies| policies.start_by_ms = Some(START + min(10))).seal();
    let mut night = Night::of(plan()).always("space", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::Refused);
    assert_eq!(night.now(), min(10));
    let mut night = Night::of(plan()).always("space", Act::fails(Left::Nothing)).begin();
    night.until(min(5));
    night.crash(min(20));
    night.until(min(26));
    assert_eq!(asks(&night), ["StartWindowEnded"]);
    night.say(Verb::Cancel);
    assert_eq!(night.state(), RunState::Cancelled);
}

#[test]
fn something_missing_refuses() {
    let mut night = Night::of(small().seal());
    night.sim.input(Input::Begin { missing: vec!["no executor `tape`".to_owned()] }).expect("it is taken");
    assert_eq!(night.state(), RunState::Refused);
    assert!(night.performed().is_empty());
}

#[test]
fn locks_come_before_the_first_check_and_are_given_back_at_the_end() {
    let mut night = Night::of(small().seal()).begin();
    let words: Vec<&str> = night.sim.log.iter().map(|record| record.event.word()).collect();
    assert_eq!(words, ["created", "locksRequested"]);
    night.until_it_is(RunState::Accepted);
    assert!(night.sim.hands.released.is_empty(), "kept until a final state");
    night.say(Verb::Commit);
    assert_eq!(night.sim.hands.released, ["Run"]);
}

#[test]
fn a_lock_that_another_run_holds_refuses_or_waits_for_the_start_window() {
    let held = |plan: plans::Draft| {
        let mut night = Night::of(plan.seal());
        night.sim.hands.held.push(LockScope::Run);
        let mut night = night.begin();
        night.until(min(1));
        night
    };
    let night = held(small());
    assert_eq!(night.state(), RunState::Refused);
    assert!(night.only(&["moved"]).contains("billing/7"), "who holds it is named");
    let mut night = held(small().policies(|policies| policies.start_by_ms = Some(START + min(10))));
    assert_eq!(night.state(), RunState::Created);
    night.sim.input(Input::LocksGranted { scope: LockScope::Run }).expect("it is taken");
    night.until_it_is(RunState::Observing);
}

#[test]
fn an_approval_is_a_barrier_whatever_stands_below_it() {
    let plan = plans::founding().body(|body| {
        let at = body.steps.iter().position(|step| step.id.as_str() == "convert").expect("it is there");
        let mut barrier = approval(Section::Cutover, "go_no_go").step;
        barrier.needs = body.steps[at].needs.clone();
        body.steps.insert(at, barrier.into());
        let need = bascule::plan::step::Need { step: "go_no_go".into(), kind: bascule::plan::step::NeedKind::Barrier };
        std::sync::Arc::make_mut(&mut body.steps[at + 1]).needs = vec![need];
    });
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(30));
    assert!(night.performed().ends_with("sync 1.1"), "{}", night.performed());
    assert!(night.questions().is_empty(), "an approval is waited for, not asked about");
    night.say(Verb::Approve { step: "go_no_go".into(), role: None });
    night.until_it_is(RunState::Observing);
}

fn four_eyes(section: Section) -> plans::Draft {
    let yes = approval(section, "yes").approval(|approval| {
        approval.quorum = 2;
        approval.not_requester = true;
        approval.roles = vec!["owner".to_owned(), "duty".to_owned()];
        approval.expires_ms = Some(1_800_000);
    });
    plans::Draft::new().add(yes).add(cut("switch").exposes().effect(Effect::Idempotent).undo())
}

fn yes(role: Option<&str>) -> Verb {
    Verb::Approve { step: "yes".into(), role: role.map(str::to_owned) }
}

#[test]
fn an_approval_needs_its_roles_its_quorum_and_other_people() {
    let mut night = Night::of(four_eyes(Section::PreCheck).seal()).begin();
    night.until(1_000);
    assert!(night.refuses("pia", yes(None)).contains("say in which role"));
    assert!(night.refuses("pia", yes(Some("intern"))).contains("`intern` may not"));
    assert!(night.refuses("olga", yes(Some("owner"))).contains("started the run"));
    night.says("pia", yes(Some("owner")));
    assert!(night.refuses("pia", yes(Some("duty"))).contains("has approved already"));
    assert_eq!(night.state(), RunState::Checking);
    night.says("omar", yes(Some("duty")));
    night.until_it_is(RunState::Observing);
    assert!(night.refuses("quinn", yes(Some("duty"))).contains("does not wait"));
}

#[test]
fn an_approval_by_telephone_counts_only_where_the_step_allows_it() {
    let by = Actor { claimed: Some("jonas".to_owned()), channel: Some("telephone".to_owned()), ..Actor::named("pia") };
    let relay = |relayed: bool| {
        let made = approval(Section::PreCheck, "yes").approval(|approval| approval.relayed = relayed);
        let mut night = Night::of(plans::Draft::new().add(made).add(cut("switch").exposes()).seal()).begin();
        night.until(1_000);
        night.sim.input(Input::Verb { verb: yes(None), by: by.clone(), reason: None }).expect("it is taken")
    };
    assert!(matches!(relay(false), Reply::Refused { .. }));
    assert_eq!(relay(true), Reply::Done);
}

#[test]
fn no_and_silence_refuse_before_the_first_effect() {
    let mut night = Night::of(four_eyes(Section::PreCheck).seal()).begin();
    night.until(1_000);
    night.say(Verb::Reject { step: "yes".into() });
    assert_eq!(night.state(), RunState::Refused);
    let mut night = Night::of(four_eyes(Section::Cutover).seal()).begin();
    night.until_it_is(RunState::Refused);
    assert_eq!(night.now(), min(30));
}

#[test]
fn no_and_silence_ask_after_the_first_effect() {
    let plan = || {
        let late = approval(Section::Cutover, "yes").approval(|approval| approval.expires_ms = Some(600_000));
        plans::Draft::new()
            .add(cut("work").effect(Effect::Idempotent).undo())
            .add(late)
            .add(cut("switch").exposes().effect(Effect::Idempotent).undo())
            .seal()
    };
    let mut night = Night::of(plan()).begin();
    night.until(5_000);
    night.say(Verb::Reject { step: "yes".into() });
    let (kind, answers) = asked(&night);
    assert_eq!(kind, QuestionKind::Denied { step: "yes".into(), expired: false });
    assert_eq!(answers, [Verb::Retry { step: "yes".into() }, Verb::Rollback, Verb::Close]);
    let mut night = Night::of(plan()).begin();
    night.until_it_is(RunState::Deciding);
    assert_eq!(asked(&night).0, QuestionKind::Denied { step: "yes".into(), expired: true });
    night.say(Verb::Retry { step: "yes".into() });
    night.say(yes(None));
    night.until_it_is(RunState::Observing);
}

#[test]
fn an_approval_that_expires_while_nobody_looks_asks() {
    let mut night = Night::of(four_eyes(Section::PreCheck).seal()).begin();
    night.until(min(20));
    night.crash(min(20));
    night.until(min(41));
    assert_eq!(asks(&night), ["Denied"], "no final state because a clock ran out while nobody looked");
}

#[test]
fn an_application_that_is_needed_and_goes_back_asks_or_takes_this_one_along() {
    let needing = |on_its_rollback| {
        plans::founding().body(|body| {
            let (app, state) = ("billing-db".to_owned(), "accepted".to_owned());
            body.requires = vec![bascule::plan::policy::Requirement { app, state, on_its_rollback }];
        })
    };
    let back = |app: &str, decided| Input::RequirementRolledBack { app: app.to_owned(), decided };
    let news = || back("billing-db", START);
    let (mut night, _) = super::observing(needing(bascule::plan::policy::OnFailure::Ask));
    night.sim.input(news()).expect("news are taken");
    assert_eq!(asks(&night), ["RequirementRolledBack"]);
    let (mut night, _) = super::observing(needing(bascule::plan::policy::OnFailure::Rollback));
    night.sim.input(back("another", START)).expect("news are taken");
    assert_eq!(night.state(), RunState::Observing, "what is not needed changes nothing");
    night.sim.input(news()).expect("news are taken");
    night.until_it_is(RunState::RolledBack);
    let mut night =
        Night::of(needing(bascule::plan::policy::OnFailure::Rollback).seal()).on("backup", Act::hangs()).begin();
    night.until(500);
    night.sim.input(news()).expect("news are taken");
    assert_eq!(night.state(), RunState::Refused, "nothing was touched yet");
}
