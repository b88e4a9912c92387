//! SEMANTICS §12: other values for a step that is not done.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule::machine::fact::{Direction, Left};
use bascule::machine::question::QuestionKind;
use bascule::machine::{Input, Reply, RunState, Verb};
use bascule::plan::policy::OnFailure;
use bascule::plan::step::{Call, Effect, StepKind, Undo};
use bascule::plan::{Section, StepId};
use serde_json::{Value, json};

use super::{asked, asks, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, cut, undo_action};
use crate::support::sim::actor;

/// Values for a step of the plan as it is now.
pub(super) fn sets(night: &Night, step: &str, values: &[(&str, Value)]) -> Verb {
    let set = values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Verb::Amend { step: step.into(), set, plan: night.sim.run.plan.hash().clone() }
}

fn retry(step: &str) -> Verb {
    Verb::Retry { step: step.into() }
}

/// A call with parameters.
fn gives(with: Value) -> StepKind {
    StepKind::Action(Call { uses: "test".into(), with: Arc::new(with), params: Arc::default() })
}

/// Three steps, of which the second may be tried again and asks when it fails.
fn three() -> plans::Draft {
    plans::Draft::new()
        .add(cut("first").takes_source_down().effect(Effect::Idempotent).undo())
        .add(
            cut("attach")
                .effect(Effect::Idempotent)
                .undo()
                .attempts(1)
                .with(|step| step.kind = gives(json!({ "network": "pg-41", "of": "${{ inputs.vm }}" }))),
        )
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo())
        .body(|body| body.inputs = Arc::new(BTreeMap::from([("vm".to_owned(), json!("db-1"))])))
        .policies(|policies| policies.on_failure = OnFailure::Ask)
}

/// The same where the second step failed because of what it was given.
fn failed() -> Night {
    let mut night = Night::of(three().seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    night
}

/// What attempts were given, in order: those of the log, or else the plan's own text.
fn given(night: &Night, step: &str, direction: Direction) -> Vec<Option<Value>> {
    use bascule::machine::Event;
    let mut all = Vec::new();
    for record in &night.sim.log {
        if let Event::AttemptIntended { step: of, direction: way, call, .. } = &record.event
            && of.as_str() == step
            && *way == direction
        {
            all.push(call.as_ref().map(|call| (*call.with).clone()));
        }
    }
    all
}

#[test]
fn a_step_that_failed_because_of_a_wrong_value_is_amended_and_tried_again_with_the_same_key() {
    let mut night = failed();
    let before = night.sim.run.plan.hash().clone();
    night.say(sets(&night, "attach", &[("with.network", json!("pg-42")), ("timeout", json!("20m"))]));
    assert_eq!(asks(&night), ["StepFailed"], "values alone start nothing");
    assert_ne!(*night.sim.run.plan.hash(), before);
    assert_eq!((night.sim.run.revision, night.sim.run.first_plan.hash()), (1, &before));
    night.say(retry("attach"));
    night.until_it_is(RunState::Accepted);
    assert_eq!(
        given(&night, "attach", Direction::Forward),
        [Some(json!({ "network": "pg-41", "of": "db-1" })), Some(json!({ "network": "pg-42", "of": "db-1" })),]
    );
    assert!(night.performed().contains("attach 1.2"), "the same generation:\n{}", night.performed());
    assert_eq!(night.sim.run.plan.step(place(&night, "attach")).timeout_ms, 20 * 60_000);
    night.sim.replays().expect("the log alone gives the same run");
}

#[test]
fn a_crash_right_after_an_amendment_loses_nothing_of_it() {
    let mut night = failed();
    night.say(sets(&night, "attach", &[("with.network", json!("pg-42"))]));
    let plan = night.sim.run.plan.hash().clone();
    night.crash(min(1));
    assert_eq!(*night.sim.run.plan.hash(), plan);
    night.say(retry("attach"));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    assert_eq!(given(&night, "attach", Direction::Forward).len(), 2);
}

#[test]
fn only_what_is_not_done_can_be_amended() {
    let mut night = Night::of(three().seal()).on("attach", Act::hangs()).begin();
    night.until(min(1));
    let network = [("with.network", json!("pg-42"))];
    assert!(night.refused(sets(&night, "attach", &network)).contains("`attach` is running"));
    assert!(night.refused(sets(&night, "first", &network)).contains("`first` is done"));
    night.say(sets(&night, "first", &[("undo.timeout", json!("7m"))]));
    night.say(sets(&night, "switch", &network));
    assert!(night.refused(sets(&night, "swich", &network)).contains("did you mean `switch`?"));
    assert!(night.refused(sets(&night, "switch", &network)).contains("nothing would change"));

    let mut night = Night::of(
        three()
            .body(|body| {
                Arc::make_mut(&mut body.steps[1]).effect = Effect::Once;
            })
            .seal(),
    )
    .on("attach", Act::unknown())
    .begin();
    night.until_it_is(RunState::Deciding);
    assert!(night.refused(sets(&night, "attach", &network)).contains("nobody knows whether `attach` happened"));
    night.say(Verb::DidNotHappen { step: "attach".into() });
    assert_eq!(night.sim.run.step(place(&night, "attach")).attempts, 2, "it runs again at once: {}", night.story());
}

#[test]
fn shape_is_never_amended_and_what_can_be_is_said() {
    let mut night = failed();
    for (key, value, said) in [
        ("needs", json!([]), "cannot be changed while the plan is executed"),
        ("effect", json!("none"), "cannot be changed while the plan is executed"),
        ("timeot", json!("3m"), "did you mean `timeout`?"),
        ("timeout", json!("90"), "has no unit"),
        ("retry.attempts", json!(0), "must be a whole number from 1"),
        ("with.network", json!("${{ inputs.vmm }}"), "did you mean `vm`?"),
        ("with.network", json!("${{ steps.switch.outputs.x }}"), "does not come before `attach`"),
        ("with.network", json!("${{ nonsense }}"), "nonsense"),
        ("with.of.deep", json!(1), "there is nothing inside of text"),
        ("undo.with", json!(1), "names no value of a step"),
    ] {
        let refused = night.refused(sets(&night, "attach", &[(key, value)]));
        assert!(refused.contains(said), "{key}: {refused}");
    }
    night.say(sets(&night, "attach", &[("with.network", json!("${{ steps.first.outputs.net }}"))]));
    night.say(sets(&night, "attach", &[("with.password", json!("${{ secrets.vcenter }}"))]));
    assert!(night.sim.run.plan.secrets.contains("vcenter"), "the engine must know which secrets it needs");
}

#[test]
fn parameters_of_a_definition_change_wherever_the_step_uses_them() {
    let plan = three().body(|body| {
        let step = Arc::make_mut(&mut body.steps[1]);
        let params =
            Arc::new(BTreeMap::from([("network".to_owned(), json!("pg-41")), ("slot".to_owned(), json!("7"))]));
        let call = |with: Value| Call { uses: "test".into(), with: Arc::new(with), params: params.clone() };
        step.kind = StepKind::Action(call(json!({ "to": "${{ params.network }}" })));
        let mut undo = undo_action(false);
        undo.call = Some(call(json!({ "from": "${{ params.network }}" })));
        step.undo = Undo::Action(undo);
    });
    let mut night = Night::of(plan.seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    assert!(night.refused(sets(&night, "attach", &[("with.netwrk", json!("x"))])).contains("did you mean `network`?"));
    assert!(
        night.refused(sets(&night, "attach", &[("with.slot", json!(8))])).contains("must be text, and is a number")
    );
    night.say(sets(&night, "attach", &[("with.network", json!("pg-42"))]));
    night.say(retry("attach"));
    night.until_it_is(RunState::Observing);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
    assert_eq!(given(&night, "attach", Direction::Forward)[1], Some(json!({ "to": "pg-42" })));
    assert_eq!(given(&night, "attach", Direction::Undo), [Some(json!({ "from": "pg-42" }))]);
}

#[test]
fn an_executors_own_undo_takes_back_what_the_last_attempt_was_given() {
    let plan = three().body(|body| {
        let step = Arc::make_mut(&mut body.steps[1]);
        step.kind = gives(json!({ "network": "pg-41" }));
        let mut undo = undo_action(false);
        undo.call = None;
        step.undo = Undo::Action(undo);
    });
    let mut night = Night::of(plan.seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    night.say(sets(&night, "attach", &[("with.network", json!("pg-42"))]));
    // Nobody tries again: what may stand was done with the old value.
    let kept = night.sim.run.step(place(&night, "attach")).call.clone().expect("it is kept");
    assert_eq!(*kept.with, json!({ "network": "pg-41" }));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::RolledBack);
}

#[test]
fn an_undo_is_amended_until_it_is_done() {
    let mut night = Night::of(three().seal()).begin();
    night.undo_always("attach", Act::fails(Left::Nothing));
    night.until_it_is(RunState::Observing);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    let network = [("undo.with.network", json!("pg-41"))];
    assert!(night.refused(sets(&night, "attach", &[("with.network", json!("x"))])).contains("is on its way back"));
    night.say(sets(&night, "attach", &network));
    night.undo_always("attach", Act::ok());
    night.say(Verb::UndoRetry { step: "attach".into() });
    night.until_it_is(RunState::RolledBack);
    assert!(night.refused(sets(&night, "attach", &network)).contains("the run is over"));
}

/// The same plan with an approval before the last step.
fn approved() -> plans::Draft {
    three().body(|body| {
        let mut barrier = approval(Section::Cutover, "go_no_go").step;
        barrier.needs = body.steps[2].needs.clone();
        body.steps.insert(2, barrier.into());
        let need = bascule::plan::step::Need { step: "go_no_go".into(), kind: bascule::plan::step::NeedKind::Barrier };
        Arc::make_mut(&mut body.steps[3]).needs = vec![need];
    })
}

#[test]
fn where_people_approve_a_second_person_must_agree() {
    let mut night = Night::of(approved().seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    let before = night.sim.run.plan.hash().clone();
    let network = [("with.network", json!("pg-42"))];
    night.says("pia", sets(&night, "attach", &network));
    assert_eq!(*night.sim.run.plan.hash(), before, "a proposal changes nothing");
    assert_eq!(asks(&night), ["StepFailed", "Amendment"]);
    assert!(night.refuses("omar", sets(&night, "attach", &network)).contains("proposed already"));
    let yes = Verb::Approve { step: "attach".into(), role: None };
    assert!(night.refuses("pia", yes.clone()).contains("`pia` proposed it"));
    night.crash(min(1));
    night.says("omar", yes);
    assert_eq!(night.sim.run.revision, 1);
    let told = night.only(&["amended"]);
    assert!(told.contains("pia") && told.contains("omar"), "{told}");
    night.say(retry("attach"));
    night.say(Verb::Resume);
    night.until(min(30));
    night.say(Verb::Approve { step: "go_no_go".into(), role: None });
    night.until_it_is(RunState::Accepted);
}

#[test]
fn a_claimed_name_is_a_second_person_only_where_names_are_trusted() {
    let mut night = Night::of(approved().seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    let by = |claimed: &str| bascule::machine::fact::Actor { claimed: Some(claimed.to_owned()), ..actor("root") };
    let say = |night: &mut Night, verb: Verb, who: &str| {
        night.sim.input(Input::Verb { verb, by: by(who), reason: Some("because".into()) }).expect("it is taken")
    };
    let verb = sets(&night, "attach", &[("with.network", json!("pg-42"))]);
    assert_eq!(say(&mut night, verb, "jonas"), Reply::Done);
    let yes = Verb::Approve { step: "attach".into(), role: None };
    night.sim.run.trust_claimed_names = false;
    let mut copy = night.sim.run.clone();
    let mut draft = bascule::machine::Draft::new(&mut copy, night.sim.now, 1);
    let input = Input::Verb { verb: yes.clone(), by: by("marta"), reason: None };
    let reply = bascule::machine::note_down(&mut draft, input).expect("it is decided");
    assert!(matches!(reply, Reply::Refused { ref why, .. } if why.contains("`root` proposed it")), "{reply:?}");
    night.sim.run.trust_claimed_names = true;
    assert_eq!(say(&mut night, yes, "marta"), Reply::Done);
}

#[test]
fn a_no_leaves_everything_as_it_was() {
    let mut night = Night::of(approved().seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    let before = night.sim.run.plan.hash().clone();
    night.says("pia", sets(&night, "attach", &[("with.network", json!("pg-42"))]));
    night.says("pia", Verb::Reject { step: "attach".into() });
    assert_eq!((night.sim.run.plan.hash(), asks(&night)), (&before, vec!["StepFailed".to_owned()]));
}

#[test]
fn of_two_amendments_at_once_one_wins_and_the_other_is_told() {
    let mut night = failed();
    let first = sets(&night, "attach", &[("with.network", json!("pg-42"))]);
    let second = sets(&night, "attach", &[("with.network", json!("pg-43"))]);
    night.says("pia", first);
    assert!(night.refuses("omar", second).contains("the plan was amended meanwhile"));

    let mut night = Night::of(approved().seal()).on("attach", Act::fails(Left::Possible)).begin();
    night.until_it_is(RunState::Deciding);
    night.says("pia", sets(&night, "attach", &[("with.network", json!("pg-42"))]));
    night.says("pia", sets(&night, "switch", &[("timeout", json!("2m"))]));
    night.says("omar", Verb::Approve { step: "switch".into(), role: None });
    assert_eq!(asks(&night), ["StepFailed"], "what was proposed for the plan before is overtaken");
}

#[test]
fn approvals_that_nothing_has_passed_are_asked_for_anew_and_others_stand() {
    let plan = plans::Draft::new()
        .unchained()
        .add(approval(Section::Cutover, "early"))
        .add(cut("first").takes_source_down().effect(Effect::Idempotent).undo().needs(&["early"]))
        .add(approval(Section::Cutover, "late"))
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo().needs(&["first", "late"]));
    let mut night = Night::of(plan.seal()).on("first", Act::ok().after(min(5))).begin();
    night.until(1_000);
    for step in ["early", "late"] {
        night.says("pia", Verb::Approve { step: step.into(), role: None });
    }
    night.until(min(1));
    night.says("pia", sets(&night, "switch", &[("timeout", json!("2m"))]));
    let (kind, _) = asked(&night);
    assert!(
        matches!(kind, QuestionKind::Amendment { ref of, .. } if of.asked_anew == [StepId::from("late")]),
        "{kind:?}"
    );
    night.says("omar", Verb::Approve { step: "switch".into(), role: None });
    night.until(min(20));
    assert!(!night.performed().contains("switch"), "`late` was a yes to another plan:\n{}", night.story());
    night.says("pia", Verb::Approve { step: "late".into(), role: None });
    night.until_it_is(RunState::Accepted);
}

#[test]
fn an_approval_among_the_pre_checks_is_asked_for_anew_while_the_run_waits_for_the_word() {
    let plan = plans::Draft::new()
        .add(approval(Section::PreCheck, "yes"))
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo());
    let mut night = Night::that_goes_at(plan.seal(), min(60)).begin();
    night.until(1_000);
    night.says("pia", Verb::Approve { step: "yes".into(), role: None });
    night.until_it_is(RunState::Prepared);
    night.says("pia", sets(&night, "switch", &[("timeout", json!("2m"))]));
    night.says("omar", Verb::Approve { step: "switch".into(), role: None });
    night.say(Verb::Go);
    night.until(min(30));
    assert!(!night.performed().contains("switch"), "the yes was to another plan:\n{}", night.story());
    night.says("pia", Verb::Approve { step: "yes".into(), role: None });
    night.until_it_is(RunState::Observing);
}
