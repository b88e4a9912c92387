//! How an attempt ended: what may go on is left alone, what is large is judged as a whole.

use std::sync::Arc;

use bascule::machine::event::{Event, Record};
use bascule::machine::fact::{End, Failure, Found, Left, Verdict, Work};
use bascule::machine::input::Outcome;
use bascule::machine::question::QuestionKind;
use bascule::machine::{RunState, Verb};
use bascule::plan::TripRule;
use bascule::plan::step::{Effect, Section, StepKind};
use serde_json::{Value, json};

use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, criterion, cut, expr, step};

fn plan(effect: Effect) -> plans::Draft {
    let switch = cut("switch").exposes().effect(Effect::Idempotent);
    plans::Draft::new()
        .add(cut("work").effect(effect).undo())
        .add(switch)
        .policies(|policies| policies.data = bascule::plan::DataAnswer::Stateless)
}

fn times(night: &Night, what: &str) -> usize {
    night.sim.hands.performed.iter().filter(|line| line.starts_with(&format!("{what} "))).count()
}

fn is_asked_about_work(night: &Night) -> bool {
    let mut open = night.sim.run.questions.values();
    open.any(|question| matches!(&question.kind, QuestionKind::UnknownOutcome { step, .. } if step.as_str() == "work"))
}

#[test]
fn what_may_go_on_is_not_run_again_whatever_its_effect() {
    for effect in [Effect::Idempotent, Effect::Probe, Effect::Once] {
        let mut night = Night::of(plan(effect).seal()).on("work", Act::adrift()).begin();
        night.until(min(30));
        assert!(is_asked_about_work(&night), "{effect:?}:\n{}", night.story());
        assert_eq!(times(&night, "work"), 1, "{effect:?}");
        night.say(Verb::DidNotHappen { step: "work".into() });
        night.until_it_is(RunState::Accepted);
        assert_eq!(times(&night, "work"), 2, "{effect:?}");
    }
    // One that ended is run again, as ever.
    let mut night = Night::of(plan(Effect::Idempotent).seal()).on("work", Act::unknown()).begin();
    night.until_it_is(RunState::Accepted);
    assert_eq!(times(&night, "work"), 2);
}

#[test]
fn what_may_go_on_is_not_undone_before_somebody_says_what_is_the_case() {
    let mut night = Night::of(plan(Effect::Once).seal()).on("work", Act::adrift()).begin();
    night.until(5_000);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    assert_eq!(times(&night, "work!"), 0);
    assert!(night.refused(Verb::UndoRetry { step: "work".into() }).contains("resolved first"));
    night.say(Verb::ItFailed { step: "work".into(), left: Left::Possible });
    night.until_it_is(RunState::RolledBack);
    assert_eq!(times(&night, "work!"), 1);
}

#[test]
fn an_attempt_that_goes_on_after_it_was_told_to_stop_is_not_undone() {
    let act = Act::hangs().stopped(Outcome::adrift(Failure::new("state D")));
    let mut night = Night::of(plan(Effect::Idempotent).seal()).on("work", act).begin();
    night.until(5_000);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    assert_eq!(times(&night, "work!"), 0);
}

#[test]
fn an_undo_that_may_go_on_is_not_repeated_beside_itself() {
    let mut night =
        Night::of(plan(Effect::Idempotent).seal()).on("switch", Act::hangs()).on_undo("work", Act::adrift()).begin();
    night.until(5_000);
    night.say(Verb::Rollback);
    night.until(min(60));
    assert_eq!(times(&night, "work!"), 1, "{}", night.story());
    night.say(Verb::UndoDone { step: "work".into() });
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn a_job_that_a_probe_finds_failed_is_undone() {
    let mut night = Night::of(plan(Effect::Probe).seal())
        .on("work", Act::hangs().handle(json!({ "job": 7 })))
        .on_probe("work", Some(Found::Partial { found: "the job failed".to_owned() }))
        .begin();
    night.until(5_000);
    night.crash(min(2));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert_eq!(times(&night, "work!"), 1);
}

#[test]
fn what_a_probe_finds_going_on_is_not_undone_before_it_is_attached_to() {
    let mut night = Night::of(plan(Effect::Probe).seal())
        .on("work", Act::hangs())
        .on_probe("work", Some(Found::InProgress { handle: json!({ "job": 7 }) }))
        .begin();
    night.until(5_000);
    night.crash(min(2));
    night.until(min(3));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    assert_eq!(times(&night, "work!"), 0, "{}", night.story());
}

#[test]
fn an_old_record_says_nothing_of_work_that_goes_on() {
    let old = r#"{"unknown":{"failure":{"message":"no answer"}}}"#;
    let end: End = serde_json::from_str(old).expect("it is read");
    assert!(matches!(end, End::Unknown { work: Work::Over, .. }), "{end:?}");
    assert_eq!(serde_json::to_string(&end).expect("it is written"), old);
}

/// A page as `http.call` returns it.
fn page(bytes: usize) -> Value {
    json!({ "status": 200, "count": 7, "body": "x".repeat(bytes) })
}

/// Whether the page stands there without its body, which is in a file.
fn is_a_file(value: &Value) -> bool {
    let is_small = value["status"] == 200 && value["count"] == 7;
    let value = &value["body"];
    is_small
        && value["file"].as_str().is_some_and(|name| name.len() == 64)
        && value["bytes"].as_u64().is_some_and(|n| n > 65_536)
}

fn events(night: &Night) -> impl Iterator<Item = &Event> {
    night.sim.log.iter().map(|Record { event, .. }| event)
}

#[test]
fn a_large_result_is_judged_as_a_whole_and_recorded_as_a_file() {
    let plan = plans::Draft::new()
        .add(step(Section::PreCheck, "page").check(|check| {
            check.pass = Some(expr("result.status == 200"));
            check.baseline = [("count".to_owned(), expr("result.count"))].into();
        }))
        .add(cut("switch").exposes().effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).on("page", Act::gives(page(100_000))).begin();
    night.until_it_is(RunState::Accepted);
    assert_eq!(night.sim.run.baseline.get("count"), Some(&json!(7)), "{}", night.story());
    let mut ends = Vec::new();
    for event in events(&night) {
        if let Event::AttemptEnded { step, end: End::Succeeded { outputs }, .. } = event
            && step.as_str() == "page"
        {
            ends.push(outputs);
        }
    }
    assert!(matches!(ends[..], [outputs] if is_a_file(outputs)), "{ends:?}");
    night.sim.replays().expect("the record is enough");
}

#[test]
fn a_large_sample_is_judged_as_a_whole_and_recorded_as_a_file() {
    let plan = plan(Effect::Idempotent).criterion(criterion("errors", TripRule::Consecutive(2)));
    let mut night = Night::of(plan.seal()).begin();
    let mut bad = page(100_000);
    bad["bad"] = json!(true);
    night.samples("errors", 0, Outcome::Succeeded { outputs: Arc::new(bad) });
    night.until_it_is(RunState::RolledBack);
    let fails = events(&night).filter(
        |event| matches!(event, Event::Sampled { verdict: Verdict::Fail, result: Some(result), .. } if is_a_file(result)),
    );
    assert!(fails.count() >= 2, "{}", night.story());
}

#[test]
fn a_large_answer_of_a_probe_is_recorded_as_a_file() {
    let mut night = Night::of(plan(Effect::Probe).seal())
        .on("work", Act::hangs())
        .on_probe("work", Some(Found::Done { outputs: Arc::new(page(100_000)) }))
        .begin();
    night.until(5_000);
    night.crash(min(2));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    let found = events(&night).find_map(|event| {
        if let Event::Probed { found: Found::Done { outputs }, .. } = event { Some(outputs) } else { None }
    });
    assert!(found.is_some_and(|outputs| is_a_file(outputs)), "{}", night.story());
}

/// A step that returns a page, and one that uses a field of it.
fn using(field: &str) -> plans::Draft {
    let mut call = plans::call("switch");
    call.with = Arc::new(json!({ "text": format!("${{{{ steps.page.outputs.{field} }}}}") }));
    plans::Draft::new()
        .add(cut("page").effect(Effect::Idempotent))
        .add(cut("switch").exposes().effect(Effect::Idempotent).with(|step| step.kind = StepKind::Action(call)))
}

#[test]
fn later_steps_use_the_small_fields_of_a_large_result_and_a_large_one_says_why_it_has_no_value() {
    let mut night = Night::of(using("count").seal()).on("page", Act::gives(page(100_000))).begin();
    night.until_it_is(RunState::Accepted);
    night.sim.replays().expect("the record is enough");
    let mut night = Night::of(using("body").seal()).on("page", Act::gives(page(100_000))).begin();
    night.until_it_is(RunState::Deciding);
    let asked = night.story();
    assert!(asked.contains("steps.page.outputs.body") && asked.contains("100002 bytes"), "{asked}");
    night.sim.replays().expect("the record is enough");
}
