//! Attempts whose end is not proved: what a new engine may take for ended, and what keeps locks.

use bascule::machine::command::Command;
use bascule::machine::event::Event;
use bascule::machine::fact::{Direction, LockScope};
use bascule::machine::question::QuestionKind;
use bascule::machine::run::Locks;
use bascule::machine::state::UndoState;
use bascule::machine::{Draft, Input, RunState, Verb, decide};
use bascule::plan::StepIx;
use bascule::plan::policy::{OnFailure, Requirement};
use bascule::plan::step::Effect;

use super::{asked, asks, observing, place};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, cut};
use crate::support::sim::START;

fn plan(effect: Effect) -> plans::Draft {
    plans::Draft::new()
        .add(cut("work").effect(effect).undo())
        .add(cut("switch").exposes().effect(Effect::Idempotent).undo())
}

fn work(night: &Night) -> StepIx {
    place(night, "work")
}

/// The engine dies; the next one cannot see whether this attempt ended.
fn crash_unseen(night: &mut Night, direction: Direction) {
    night.sim.unseen = vec![(work(night), direction, 1)];
    night.crash(5_000);
}

#[test]
fn what_a_new_engine_cannot_see_is_neither_run_again_nor_looked_at_but_asked_about() {
    for effect in [Effect::Idempotent, Effect::Once, Effect::Probe] {
        let mut night = Night::of(plan(effect).seal()).on("work", Act::hangs()).begin();
        night.until(5_000);
        crash_unseen(&mut night, Direction::Forward);
        let (kind, _) = asked(&night);
        assert!(matches!(kind, QuestionKind::UnknownOutcome { direction: Direction::Forward, .. }), "{kind:?}");
        night.until_quiet();
        assert_eq!(night.performed().matches("work").count(), 1, "{effect:?}: {}", night.performed());
        // It is still out of sight of the engine after that one.
        crash_unseen(&mut night, Direction::Forward);
        assert!(night.sim.run.step(work(&night)).unsettled);
        night.say(Verb::DidNotHappen { step: "work".into() });
        assert!(night.sim.run.unended.is_empty(), "a person's word settles it");
    }
}

#[test]
fn what_could_not_be_stopped_in_time_is_settled_only_by_an_engine_that_ended_it() {
    let stuck = || {
        let plan = plan(Effect::Once).policies(|policies| policies.settle_within_ms = 5_000);
        let mut night = Night::of(plan.seal()).on("work", Act::hangs().never_stops()).begin();
        night.until(5_000);
        night.say(Verb::Rollback);
        night.until_it_is(RunState::Stuck);
        assert!(night.sim.run.live.is_empty());
        assert!(night.sim.run.is_unended(work(&night), Direction::Forward), "settling proves no end");
        night
    };
    let mut hunted = stuck();
    hunted.crash(5_000);
    hunted.say(Verb::UndoRetry { step: "work".into() });
    let mut unseen = stuck();
    crash_unseen(&mut unseen, Direction::Forward);
    assert!(unseen.refused(Verb::UndoRetry { step: "work".into() }).contains("resolved first"));
    assert!(!unseen.performed().contains("work!"));
}

#[test]
fn an_undo_that_a_new_engine_cannot_see_is_not_repeated_beside_itself() {
    let mut night =
        Night::of(plan(Effect::Once).seal()).on_undo("work", Act::hangs()).on("switch", Act::hangs()).begin();
    night.until(5_000);
    night.say(Verb::Rollback);
    let undoing = |night: &Night| matches!(night.sim.run.undo(work(night)), Some(UndoState::Undoing(_)));
    for _ in 0..600 {
        if undoing(&night) {
            break;
        }
        night.until(night.now() + 500);
    }
    assert!(undoing(&night), "{}", night.story());
    crash_unseen(&mut night, Direction::Undo);
    night.until_quiet();
    assert_eq!(night.performed().matches("work!").count(), 1, "{}", night.performed());
    assert!(matches!(night.sim.run.undo(work(&night)), Some(UndoState::Unknown { .. })));
    assert!(asks(&night).iter().any(|kind| kind == "UnknownOutcome"), "{:?}", asks(&night));
}

#[test]
fn the_locks_of_a_closed_run_move_when_its_attempts_have_ended() {
    let mut night = Night::of(plan(Effect::Once).seal()).on("work", Act::hangs().never_stops()).begin();
    night.until(5_000);
    night.say(Verb::Close);
    assert_eq!((night.state(), &night.sim.run.locks), (RunState::ClosedWithResidue, &Locks::Held));
    let ended = Input::Ended {
        step: work(&night),
        direction: Direction::Forward,
        attempt: 1,
        outcome: bascule::machine::input::Outcome::Cancelled { left: bascule::machine::fact::Left::Possible },
        verify: None,
        log: None,
    };
    let now = night.sim.now;
    let mut draft = Draft::new(&mut night.sim.run, now, 1);
    decide(&mut draft, ended).expect("it is taken in");
    let (_, commands) = draft.finish();
    assert!(
        commands.iter().any(|command| matches!(command, Command::ReleaseLocks { scope: LockScope::Run })),
        "{commands:?}"
    );
    assert_eq!(night.sim.run.locks, Locks::None);
}

#[test]
fn a_requirement_that_went_back_is_told_again_and_asked_about_once() {
    let needing = plans::founding().body(|body| {
        let (app, state) = ("bank".to_owned(), "accepted".to_owned());
        body.requires = vec![Requirement { app, state, on_its_rollback: OnFailure::Ask }];
    });
    let (mut night, _) = observing(needing);
    let asked_of = |night: &Night| {
        let is_it = |kind: &QuestionKind| matches!(kind, QuestionKind::RequirementRolledBack { .. });
        night.sim.log.iter().filter(|record| matches!(&record.event, Event::Asked { kind, .. } if is_it(kind))).count()
    };
    let tell = |night: &mut Night, decided| {
        let app = "bank".to_owned();
        night.sim.input(Input::RequirementRolledBack { app, decided }).expect("news are taken");
    };
    tell(&mut night, START);
    assert_eq!(asks(&night), ["RequirementRolledBack"]);
    let question = *night.sim.run.questions.keys().next().expect("it is asked");
    night.say(Verb::GoOn { question });
    night.crash(min(1));
    tell(&mut night, START);
    assert_eq!(asked_of(&night), 1, "it was answered");
    let later = night.sim.now.steady + 1;
    tell(&mut night, later);
    assert_eq!(asked_of(&night), 2, "it went back once more");
}
