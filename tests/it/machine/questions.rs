//! SEMANTICS §3: every question, with every answer that is offered and where each leads.
//!
//! Each answer gets a night of its own, which then runs on until nothing happens by itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bascule::machine::fact::{Direction, Found, Left};
use bascule::machine::input::Outcome;
use bascule::machine::question::QuestionKind;
use bascule::machine::{Input, RunState, Verb};
use bascule::plan::policy::OnFailure;
use bascule::plan::step::{Effect, OnTimeout, Undo};
use bascule::plan::{DataAnswer, Section, TripRule};
use bascule::view::{ProgressMap, RunView};

use super::{asks, observing, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, criterion, cut, expr, manual, step, undo_action};
use crate::support::sim::{START, first_word};

fn founding() -> plans::Draft {
    plans::founding().criterion(criterion("health", TripRule::Consecutive(2)))
}

fn late(night: &mut Night, step: &str) {
    let step = place(night, step);
    let outcome = Outcome::Succeeded { outputs: std::sync::Arc::new(serde_json::json!({})) };
    let direction = Direction::Forward;
    night
        .sim
        .input(Input::Ended { step, direction, attempt: 1, outcome, verify: None, log: None })
        .expect("news are taken");
}

fn unknown_outcome() -> Night {
    let mut night = Night::of(founding().seal()).on("power_on", Act::unknown()).begin();
    night.until(min(1));
    night
}

fn unknown_undo() -> Night {
    let plan = founding().body(|body| {
        let convert = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "convert").expect("it is there"),
        );
        if let Undo::Action(undo) = &mut convert.undo {
            undo.effect = Effect::Once;
        }
    });
    let (mut night, _) = observing(plan);
    night.undo_always("convert", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + min(1));
    night.undo_always("convert", Act::ok());
    night.crash(min(1));
    night.until_quiet();
    night
}

fn step_failed() -> Night {
    let plan = founding().policies(|policies| policies.on_failure = OnFailure::Ask);
    let mut night = Night::of(plan.seal()).always("smoke", Act::fails(Left::Nothing)).begin();
    night.until(min(1));
    night.every_time("smoke", Act::ok());
    night
}

fn partial_effect() -> Night {
    let half = Found::Partial { found: "half".to_owned() };
    let mut night =
        Night::of(founding().seal()).on("power_on", Act::unknown()).on_probe("power_on", Some(half)).begin();
    night.until(min(1));
    night
}

fn check_inconclusive() -> Night {
    let plan = founding()
        .body(|body| std::sync::Arc::make_mut(&mut body.steps[0]).check.waivable_by = vec!["lead".to_owned()]);
    let mut night = Night::of(plan.seal()).always("backup", Act::unknown()).begin();
    night.until_it_is(RunState::Deciding);
    night.every_time("backup", Act::ok());
    night
}

fn value_unknown() -> Night {
    let plan = founding().body(|body| {
        let smoke = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "smoke").expect("it is there"),
        );
        smoke.when = Some(expr("inputs.wanted"));
    });
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(1));
    night
}

fn out_of_time() -> Night {
    let plan = founding().body(|body| {
        let sync = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "sync").expect("it is there"),
        );
        sync.on_timeout = OnTimeout::Ask;
    });
    let mut night = Night::of(plan.seal()).on("sync", Act::ok().after(min(25))).begin();
    night.until(min(12));
    night
}

fn tripped() -> Night {
    let (mut night, since) = observing(founding().policies(|policies| policies.data = DataAnswer::Unanswered));
    night.bad_from("health", since + min(5));
    night.good_from("health", since + min(7));
    night.until(since + min(8));
    night
}

fn blind() -> Night {
    let (mut night, since) = observing(founding());
    night.blind_from("health", since + min(5));
    night.good_from("health", since + min(30));
    night.until(since + min(10));
    night
}

fn post_check_failed() -> Night {
    let plan = founding().policies(|policies| policies.data = DataAnswer::Unanswered).body(|body| {
        let latency = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "latency").expect("it is there"),
        );
        latency.check.by_ms = Some(600_000);
        latency.check.waivable_by = vec!["lead".to_owned()];
    });
    let mut night = Night::of(plan.seal()).always("latency", Act::fails(Left::Nothing)).begin();
    night.until(min(12));
    night.every_time("latency", Act::ok());
    night
}

fn gate_unmet() -> Night {
    let mut night = Night::of(founding().seal()).always("latency", Act::fails(Left::Nothing)).begin();
    night.until(min(95));
    night.every_time("latency", Act::ok());
    night
}

fn away_too_long() -> Night {
    let (mut night, _) = observing(founding());
    night.undo_always("sync", Act::hangs());
    night.say(Verb::Rollback);
    let at = night.now();
    night.until(at + 10_000);
    night.undo_always("sync", Act::ok());
    night.crash(min(30));
    night
}

fn stale_check() -> Night {
    let plan = founding().body(|body| {
        std::sync::Arc::make_mut(&mut body.steps[0]).check.valid_for_ms = Some(600_000);
        std::sync::Arc::make_mut(&mut body.steps[0]).check.waivable_by = vec!["lead".to_owned()];
    });
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs()).begin();
    night.until(min(1));
    night.every_time("backup", Act::fails(Left::Nothing));
    night.crash(min(20));
    night.until(min(22));
    night.every_time("backup", Act::ok());
    night.say(Verb::Resume);
    night
}

fn denied() -> Night {
    let plan = founding().add(approval(Section::Cutover, "go_no_go")).add(cut("tidy").effect(Effect::Idempotent));
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(1));
    night.say(Verb::Reject { step: "go_no_go".into() });
    night
}

fn irreversible() -> Night {
    let mut night = Night::of(founding().add(cut("license").irreversible()).seal()).begin();
    night.until(min(1));
    night
}

fn past_irreversible() -> Night {
    let plan = founding().add(cut("license").irreversible()).add(cut("notify").undo());
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(1));
    night.say(Verb::Approve { step: "license".into(), role: None });
    night.until_it_is(RunState::Observing);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Deciding);
    night
}

fn late_step_failed() -> Night {
    let plan = founding().add(step(Section::Commit, "release"));
    let mut night = Night::of(plan.seal()).on("release", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::Accepted);
    night.say(Verb::Commit);
    night.until_it_is(RunState::Deciding);
    night
}

fn late_effect() -> Night {
    let plan = founding().body(|body| {
        let convert = std::sync::Arc::make_mut(
            body.steps.iter_mut().find(|step| step.id.as_str() == "convert").expect("it is there"),
        );
        convert.timeout_ms = 60_000;
    });
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs().never_stops()).begin();
    night.until(min(5));
    night.say(Verb::DidNotHappen { step: "convert".into() });
    night.until_it_is(RunState::Observing);
    late(&mut night, "convert");
    night
}

fn start_window_ended() -> Night {
    let plan = founding().policies(|policies| policies.start_by_ms = Some(START + min(10)));
    let mut night = Night::of(plan.seal()).always("backup", Act::fails(Left::Nothing)).begin();
    night.until(min(5));
    night.crash(min(20));
    night.until(min(26));
    night.every_time("backup", Act::ok());
    night.say(Verb::Resume);
    night
}

fn turn_back() -> Night {
    let plan = super::change::in_a_change(60);
    let mut night = Night::of(plan.seal()).on("convert", Act::ok().after(min(59))).begin();
    night.until(min(58));
    night
}

fn requirement_rolled_back() -> Night {
    let plan = founding().body(|body| {
        let (app, state) = ("billing".to_owned(), "accepted".to_owned());
        body.requires = vec![bascule::plan::policy::Requirement { app, state, on_its_rollback: OnFailure::Ask }];
    });
    let (mut night, _) = observing(plan);
    night
        .sim
        .input(Input::RequirementRolledBack { app: "billing".to_owned(), decided: START })
        .expect("news are taken");
    night
}

fn plugin_changed() -> Night {
    let mut night = Night::of(founding().seal()).on("convert", Act::hangs()).begin();
    night.until(min(1));
    night.crash(min(1));
    night.sim.input(Input::PluginChanged { executor: "test".to_owned() }).expect("news are taken");
    night.say(Verb::Resume);
    night
}

fn undo_by_hand() -> Night {
    let by_hand = Some("put the tape back".to_owned());
    let undo = bascule::plan::step::UndoAction { call: None, by_hand, ..undo_action(false) };
    let tape = manual("tape").with(|step| step.undo = Undo::Action(undo));
    let mut night = Night::of(founding().add(tape).seal()).begin();
    night.until(min(1));
    night.say(Verb::Rollback);
    night.until(min(3));
    night
}

fn amendment() -> Night {
    let plan = founding().add(approval(Section::PreCheck, "yes"));
    let mut night = Night::of(plan.seal()).on("convert", Act::hangs()).begin();
    night.until(1_000);
    night.say(Verb::Approve { step: "yes".into(), role: None });
    night.until(min(1));
    night.says("pia", super::amend::sets(&night, "power_on", &[("timeout", serde_json::json!("1h"))]));
    night
}

type Question = (&'static str, fn() -> Night);

const QUESTIONS: [Question; 24] = [
    ("UnknownOutcome", unknown_outcome),
    ("UnknownOutcome", unknown_undo),
    ("StepFailed", step_failed),
    ("PartialEffect", partial_effect),
    ("CheckInconclusive", check_inconclusive),
    ("ValueUnknown", value_unknown),
    ("OutOfTime", out_of_time),
    ("Tripped", tripped),
    ("Blind", blind),
    ("PostCheckFailed", post_check_failed),
    ("GateUnmet", gate_unmet),
    ("AwayTooLong", away_too_long),
    ("StaleCheck", stale_check),
    ("Denied", denied),
    ("Irreversible", irreversible),
    ("PastIrreversible", past_irreversible),
    ("LateStepFailed", late_step_failed),
    ("LateEffect", late_effect),
    ("StartWindowEnded", start_window_ended),
    ("TurnBack", turn_back),
    ("RequirementRolledBack", requirement_rolled_back),
    ("PluginChanged", plugin_changed),
    ("UndoByHand", undo_by_hand),
    ("Amendment", amendment),
];

/// What an answer leads to: at once, and when nothing happens by itself any more.
fn led(kind: &str, ask: fn() -> Night, answer: usize) -> Option<String> {
    let mut night = ask();
    let open: Vec<_> = night.sim.run.questions.values().cloned().collect();
    assert_eq!(asks(&night), [kind], "{}", night.story());
    let verb = night.sim.run.answers(&open[0]).get(answer)?.clone();
    night.say(verb.clone());
    let now = night.state();
    let still = if night.sim.run.questions.contains_key(&open[0].id) { ", still asked" } else { "" };
    night.until_quiet();
    let asked = asks(&night).join(", ");
    let asked = if asked.is_empty() { String::new() } else { format!(" asking {asked}") };
    let ends = night.state();
    let step = open[0].kind.step().map(|step| {
        let status = format!("{:?}", night.sim.run.step(place(&night, step.as_str())).status);
        format!("; {step}: {}", status.split(['{', ',']).next().unwrap_or_default().trim())
    });
    Some(format!("  {verb:?}: {now}{still}, then {ends}{asked}{}\n", step.unwrap_or_default()))
}

#[test]
fn every_question_is_raised_and_every_answer_leads_somewhere() {
    let mut text = String::new();
    for (kind, ask) in QUESTIONS {
        let night = ask();
        let state = night.state();
        writeln!(text, "{kind} ({state}): {}", night.questions().join(" ")).expect("text can grow");
        text.extend((0..).map_while(|answer| led(kind, ask, answer)));
    }
    insta::assert_snapshot!(text);
}

/// A kind that is new does not compile here: it needs a line in the table, and the next number.
fn place_in_the_table(kind: &QuestionKind) -> usize {
    match kind {
        QuestionKind::UnknownOutcome { direction: Direction::Forward, .. } => 0,
        QuestionKind::UnknownOutcome { direction: Direction::Undo, .. } => 1,
        QuestionKind::StepFailed { .. } => 2,
        QuestionKind::PartialEffect { .. } => 3,
        QuestionKind::CheckInconclusive { .. } => 4,
        QuestionKind::ValueUnknown { .. } => 5,
        QuestionKind::OutOfTime { .. } => 6,
        QuestionKind::Tripped { .. } => 7,
        QuestionKind::Blind { .. } => 8,
        QuestionKind::PostCheckFailed { .. } => 9,
        QuestionKind::GateUnmet { .. } => 10,
        QuestionKind::AwayTooLong { .. } => 11,
        QuestionKind::StaleCheck { .. } => 12,
        QuestionKind::Denied { .. } => 13,
        QuestionKind::Irreversible { .. } => 14,
        QuestionKind::PastIrreversible { .. } => 15,
        QuestionKind::LateStepFailed { .. } => 16,
        QuestionKind::LateEffect { .. } => 17,
        QuestionKind::StartWindowEnded { .. } => 18,
        QuestionKind::TurnBack { .. } => 19,
        QuestionKind::RequirementRolledBack { .. } => 20,
        QuestionKind::PluginChanged { .. } => 21,
        QuestionKind::UndoByHand { .. } => 22,
        QuestionKind::Amendment { .. } => 23,
    }
}

#[test]
fn a_question_of_every_kind_is_in_the_table() {
    let table: Vec<&str> = QUESTIONS.into_iter().map(|(kind, _)| kind).collect();
    let raised: BTreeSet<usize> = QUESTIONS
        .into_iter()
        .map(|(name, ask)| {
            let place = place_in_the_table(&super::asked(&ask()).0);
            assert_eq!(table[place], name);
            place
        })
        .collect();
    assert_eq!(raised.len(), table.len(), "every kind stands once");
}

#[test]
fn people_see_every_answer_of_the_machine_and_none_beside() {
    for (kind, ask) in QUESTIONS {
        let night = ask();
        let (_, answers) = super::asked(&night);
        let view = RunView::of(&night.sim.run, night.sim.now, &ProgressMap::new());
        let shown: Vec<&str> = view.questions[0].answers.iter().map(|answer| answer.command.as_str()).collect();
        assert_eq!(shown.len(), answers.len(), "{kind}: {shown:?} of {answers:?}");
        assert!(shown.last().is_some_and(|command| command.starts_with("bascule close ")), "{kind}: {shown:?}");
    }
}

#[test]
fn one_question_of_several_is_answered_and_the_others_stay() {
    let plan = founding().unchained().body(|body| {
        body.steps.retain(|step| step.section != Section::Cutover);
        for id in ["left", "right"] {
            body.steps.push(cut(id).undo().step.into());
        }
        let mut switch = cut("switch").exposes().undo().needs(&["left", "right"]).step;
        switch.effect = Effect::Idempotent;
        body.steps.push(switch.into());
        body.steps.sort_by_key(|step| step.section);
    });
    let mut night = Night::of(plan.seal()).on("left", Act::unknown()).on("right", Act::unknown()).begin();
    night.until(min(1));
    assert_eq!(asks(&night), ["UnknownOutcome", "UnknownOutcome"]);
    night.say(Verb::Happened { step: "left".into(), outputs: std::collections::BTreeMap::new(), role: None });
    assert_eq!((night.state(), asks(&night).len()), (RunState::Deciding, 1));
    night.say(Verb::Happened { step: "right".into(), outputs: std::collections::BTreeMap::new(), role: None });
    night.until_it_is(RunState::Observing);
}

#[test]
fn going_back_answers_all_questions() {
    let mut night = unknown_outcome();
    night.say(Verb::Rollback);
    assert!(night.questions().is_empty());
    assert!(night.only(&["closed"]).contains("roll back"));
    assert_eq!(first_word(&night.state()), "RollingBack");
}

/// A commit step that cannot be taken back, named by an approval among the post-checks that nobody gave.
fn letting_go(rules: fn(&mut bascule::plan::Approval)) -> Night {
    let named = plans::approval(Section::PostCheck, "let_go").approval(|approval| {
        approval.names = vec!["release".into()];
        rules(approval);
    });
    let release = plans::step(Section::Commit, "release").irreversible();
    let mut night = Night::of(plans::founding().add(named).add(release).seal()).begin();
    night.until_it_is(RunState::Deciding);
    night.say(Verb::Accept);
    night.say(Verb::Commit);
    assert_eq!(super::asks(&night), ["Irreversible"]);
    night
}

fn let_it_go(role: Option<&str>) -> Verb {
    Verb::Approve { step: "release".into(), role: role.map(str::to_owned) }
}

#[test]
fn the_question_before_an_irreversible_step_has_the_rules_of_the_approval_that_names_it() {
    let mut night = letting_go(|approval| {
        approval.roles = vec!["owner".to_owned(), "duty".to_owned()];
        approval.quorum = 2;
        approval.not_requester = true;
    });
    let (_, answers) = super::asked(&night);
    assert_eq!(answers[0], let_it_go(Some("owner")), "the answer that is offered says in which role");
    assert!(night.refuses("pia", let_it_go(None)).contains("say in which role"));
    assert!(night.refuses("pia", let_it_go(Some("intern"))).contains("`intern` may not give `release`"));
    assert!(night.refuses("olga", let_it_go(Some("owner"))).contains("started the run"));
    night.says("pia", let_it_go(Some("owner")));
    assert!(night.refuses("pia", let_it_go(Some("duty"))).contains("has approved already"));
    assert_eq!(super::asks(&night), ["Irreversible"], "one of two");
    assert!(!night.performed().contains("release"));
    night.says("omar", let_it_go(Some("duty")));
    night.until_it_is(RunState::Committed);
    let release = super::place(&night, "release");
    assert_eq!(night.sim.run.step(release).approvals.len(), 2);
}

#[test]
fn where_nobody_is_named_anybody_may_let_an_irreversible_step_pass() {
    let mut night = letting_go(|_| {});
    night.says("olga", let_it_go(None));
    night.until_it_is(RunState::Committed);
    let plan = plans::founding().add(plans::step(Section::Commit, "release").irreversible());
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Accepted);
    night.say(Verb::Commit);
    night.says("olga", let_it_go(None));
    night.until_it_is(RunState::Committed);
}
