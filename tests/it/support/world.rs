//! A data centre in memory, and hands that do anything in it: succeed, fail, lie about nothing, keep
//! silent, go on behind the engine's back.
//!
//! The world keeps its own account of what happened. What it holds the machine to stands at
//! [`World::ended`] and at `W1` to `W4`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bascule::machine::command::{Action, Sample};
use bascule::machine::fact::{Direction, Failure, Found, Left, LockScope, Millis};
use bascule::machine::input::{Outcome, ProbeOutcome};
use bascule::machine::run_state::Ending;
use bascule::machine::state::{Forward, Status, UndoState};
use bascule::machine::{Input, Run};
use bascule::plan::step::{Effect, Section, Undo};
use bascule::plan::{Plan, StepIx, StepKind};
use serde_json::{Value, json};

use super::choices::Choices;
use super::sim::{Hands, Out};

/// An attempt as the world sees it.
#[derive(Debug, Clone)]
struct Doing {
    step: StepIx,
    direction: Direction,
    attempt: u32,
    generation: u32,
    /// When its effect comes about, if it does.
    effect_at: Option<Millis>,
    /// It runs elsewhere and survives the engine.
    remote: bool,
}

/// The world and the hands.
pub(crate) struct World {
    plan: Arc<Plan>,
    pub(crate) c: Choices,
    /// From now on everything goes well.
    pub(crate) fair: bool,
    /// Whose effect stands.
    applied: Vec<bool>,
    doing: Vec<Doing>,
    /// How often the effect of a key came about.
    happened: BTreeMap<(StepIx, bool, u32), u32>,
    /// Steps about which people said something, true or not: the world holds nothing against them.
    pub(crate) told: BTreeSet<StepIx>,
    /// What the machine must not have done.
    pub(crate) broken: Option<String>,
    bad: bool,
}

fn done() -> Outcome {
    Outcome::Succeeded { outputs: Arc::new(json!({ "good": true, "done": true })) }
}

fn failed(left: Left) -> Outcome {
    Outcome::Failed { failure: Failure::new("it broke"), left }
}

fn unknown() -> Outcome {
    Outcome::unknown(Failure::new("no answer"))
}

fn adrift() -> Outcome {
    Outcome::adrift(Failure::new("its processes survived KILL"))
}

impl World {
    pub(crate) fn new(plan: Arc<Plan>, c: Choices) -> Self {
        let applied = vec![false; plan.steps.len()];
        // What counts as done because nobody answered is the runbook's word, true or not.
        let by_default = |ix: &StepIx| match &plan.step(*ix).kind {
            StepKind::Manual(manual) => manual.default.is_some(),
            StepKind::Action(_) | StepKind::Approval(_) => false,
        };
        let told = (0..plan.steps.len()).filter(by_default).collect();
        Self { plan, c, fair: false, applied, doing: vec![], happened: BTreeMap::new(), told, broken: None, bad: false }
    }

    /// Whether the effect of a step stands: what an honest person answers.
    pub(crate) fn stands(&self, ix: StepIx) -> bool {
        self.applied[ix]
    }

    /// Somebody did a step by hand, or took it back, and says so.
    pub(crate) fn by_hand(&mut self, ix: StepIx, stands: bool) {
        self.applied[ix] = stands;
    }

    /// Nothing goes on behind the engine's back any longer.
    pub(crate) fn calm(&mut self) {
        self.fair = true;
        self.pass(Millis::MAX);
        self.doing.clear();
    }

    fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn is_going_on(&self, ix: StepIx, direction: Direction) -> bool {
        self.doing.iter().any(|doing| doing.step == ix && doing.direction == direction && doing.effect_at.is_some())
    }

    fn takes_effect(&mut self, doing: &Doing) {
        let plan = self.plan.clone();
        let step = plan.step(doing.step);
        let forward = doing.direction == Direction::Forward;
        self.applied[doing.step] = forward;
        let times = self.happened.entry((doing.step, forward, doing.generation)).or_insert(0);
        *times += 1;
        let times = *times;
        // W1: what may happen once happens once per key.
        if forward && times > 1 && step.effect == Effect::Once && !self.told.contains(&doing.step) {
            self.breaks(format!("W1: `{}` happened {times} times in generation {}", step.id, doing.generation));
        }
        // W2: users are not sent to a source that is down.
        let down = |ix: &StepIx| plan.step(*ix).takes_source_down && self.applied[*ix] && !self.told.contains(ix);
        if !forward
            && step.exposes
            && let Some(ix) = (0..plan.steps.len()).find(down)
        {
            self.breaks(format!("W2: users were sent back while `{}` keeps the source down", plan.step(ix).id));
        }
    }

    /// What must be true of the world once a run has ended.
    pub(crate) fn ended(&mut self, run: &Run) {
        let plan = self.plan.clone();
        match run.state.ending() {
            // W3: rolled back means that everything that brings users back was undone.
            Some(Ending::Back | Ending::Untouched) => {
                for ix in 0..plan.steps.len() {
                    let restores = matches!(&plan.step(ix).undo, Undo::Action(undo) if !undo.cleanup);
                    let waived = matches!(run.undo(ix), Some(UndoState::Waived));
                    let data = plan.step(ix).moves_data && run.possibly_exposed.is_none();
                    let not_needed = data && matches!(run.undo(ix), Some(UndoState::Undone { note: Some(_) }));
                    let stays = run.residue.iter().any(|(left, _)| *left == ix);
                    if self.applied[ix] && restores && !waived && !not_needed && !stays && !self.told.contains(&ix) {
                        let (id, forward) = (&plan.step(ix).id, run.forward(ix));
                        self.breaks(format!("W3: {} although `{id}` ({forward:?}) still stands", run.state));
                    }
                }
            }
            // W4: accepted means that every step of the cutover happened, or was skipped.
            Some(Ending::OnTarget) => {
                for ix in plan.section(Section::Cutover) {
                    let effect = plan.step(ix).effect != Effect::None;
                    let ran = matches!(run.forward(ix), Forward::Succeeded);
                    if effect && ran && !self.applied[ix] && !self.told.contains(&ix) {
                        self.breaks(format!("W4: {} although `{}` never happened", run.state, plan.step(ix).id));
                    }
                }
            }
            Some(Ending::Residue) | None => {}
        }
    }

    fn pause(&mut self) -> i64 {
        if self.fair { 1_000 } else { self.c.pick(&[1_000, 0, 100, 10_000, 45_000, 200_000]) }
    }

    fn acts(&mut self, now: Millis, action: &Action) -> (Doing, Option<(Millis, Outcome)>) {
        let took = self.pause();
        let way = if self.fair { 0 } else { self.c.weighted(&[60, 10, 10, 7, 7, 3]) };
        let maybe = !self.fair && self.c.chance(50);
        let (effect, outcome) = match way {
            0 => (true, Some(done())),
            1 => (false, Some(failed(Left::Nothing))),
            2 => (maybe, Some(failed(Left::Possible))),
            3 => (maybe, Some(unknown())),
            5 => (maybe, Some(adrift())),
            _ => (maybe, None),
        };
        let planned = self.plan.step(action.step);
        // What a person did by hand is only verified.
        let performs = planned.effect != Effect::None && matches!(planned.kind, StepKind::Action(_));
        let looks = !performs && action.direction == Direction::Forward;
        let doing = Doing {
            step: action.step,
            direction: action.direction,
            attempt: action.attempt,
            generation: action.generation,
            // What survived its end acts when it can.
            effect_at: (effect && !looks).then_some(if way == 5 { now + took + 90_000 } else { now + took / 2 }),
            remote: performs && !self.fair && self.c.chance(15),
        };
        (doing, outcome.map(|outcome| (now + took, outcome)))
    }

    fn probe_answer(&mut self, action: &Action) -> ProbeOutcome {
        let undo = action.direction == Direction::Undo;
        let native_undo = undo && self.plan.step(action.step).undo_action().is_some_and(|undo| undo.call.is_none());
        let done_means = !undo || native_undo;
        let here = self.applied[action.step] == done_means;
        if !action.native {
            // Such a call knows done and not done; while it still goes on it cannot tell.
            let cannot = self.is_going_on(action.step, action.direction) || !self.fair && self.c.chance(20);
            if cannot {
                return ProbeOutcome::Call(unknown());
            }
            return ProbeOutcome::Call(Outcome::Succeeded { outputs: Arc::new(json!({ "done": here })) });
        }
        if !self.fair && self.c.chance(20) {
            let failure = Failure::new("no idea");
            return ProbeOutcome::Native(Found::CannotTell { failure });
        }
        if self.is_going_on(action.step, action.direction) {
            return ProbeOutcome::Native(Found::InProgress { handle: json!("job") });
        }
        if here && !undo && !self.fair && self.c.chance(15) {
            return ProbeOutcome::Native(Found::Partial { found: "half of it".to_owned() });
        }
        let outputs: Arc<Value> = Arc::new(json!({}));
        ProbeOutcome::Native(if here { Found::Done { outputs } } else { Found::NotStarted })
    }
}

impl Hands for World {
    fn perform(&mut self, now: Millis, action: &Action, out: &mut Out) {
        if action.attached.is_some() {
            // It finds its remote work again: whatever that does is not done anew.
            self.doing.retain(|doing| (doing.step, doing.direction) != (action.step, action.direction));
            self.applied[action.step] = action.direction == Direction::Forward;
            let outcome = done();
            let (step, direction, attempt) = (action.step, action.direction, action.attempt);
            let verify = action.verify.is_some().then(done);
            out.at(now + 1_000, Input::Ended { step, direction, attempt, outcome, verify, log: None });
            return;
        }
        // An undo beside its own step, as the world sees it.
        if action.direction == Direction::Undo
            && self.is_going_on(action.step, Direction::Forward)
            && !self.told.contains(&action.step)
        {
            self.breaks(format!("W5: `{}` was undone while it still goes on", action.id));
        }
        let (doing, end) = self.acts(now, action);
        let (step, direction, attempt) = (action.step, action.direction, action.attempt);
        if doing.remote {
            out.at(now, Input::Handle { step, direction, attempt, handle: json!("job") });
        }
        if let Some((at, outcome)) = end {
            let verify = action.verify.is_some().then(|| match self.fair || self.c.chance(80) {
                true => done(),
                false => self.c.pick(&[unknown(), failed(Left::Nothing)]),
            });
            out.at(at, Input::Ended { step, direction, attempt, outcome, verify, log: None });
        }
        self.doing.push(doing);
        self.pass(now);
    }

    fn probe(&mut self, now: Millis, action: &Action, out: &mut Out) {
        let outcome = self.probe_answer(action);
        let at = now + self.pause();
        out.at(at, Input::Probed { step: action.step, direction: action.direction, outcome });
    }

    fn sample(&mut self, now: Millis, sample: &Sample, out: &mut Out) {
        if self.fair {
            self.bad = false;
        } else if self.c.chance(20) {
            self.bad = !self.bad;
        }
        let outcome = match if self.fair { 0 } else { self.c.weighted(&[85, 10, 5]) } {
            0 => Outcome::Succeeded { outputs: Arc::new(json!({ "bad": self.bad, "valid": true })) },
            1 => Outcome::Succeeded { outputs: Arc::new(json!({ "bad": true, "valid": false })) },
            _ => unknown(),
        };
        let took = if self.fair { 200 } else { self.c.pick(&[200, 5_000, 70_000]) };
        out.at(now + took, Input::Sampled { criterion: sample.criterion, planned: sample.planned, outcome });
    }

    fn cancel(&mut self, now: Millis, attempt: (StepIx, Direction, u32), out: &mut Out) {
        let (step, direction, number) = attempt;
        let input = |outcome| Input::Ended { step, direction, attempt: number, outcome, verify: None, log: None };
        let place = self
            .doing
            .iter()
            .position(|doing| (doing.step, doing.direction, doing.attempt) == attempt && doing.effect_at.is_some());
        let way = if self.fair { 0 } else { self.c.weighted(&[5, 3, 2, 1, 1, 1]) };
        match (way, place) {
            // It stops before anything happened.
            (0, Some(at)) => {
                self.doing.remove(at);
                out.forget.push(attempt);
                out.at(now + 100, input(Outcome::Cancelled { left: Left::Nothing }));
            }
            // It stops, and says honestly that it does not know.
            (0 | 1, _) => {
                if let Some(at) = place {
                    self.doing.remove(at);
                }
                out.forget.push(attempt);
                out.at(now + 100, input(Outcome::Cancelled { left: Left::Possible }));
            }
            // It is ended by force.
            (2, _) => {
                if let Some(at) = place {
                    self.doing.remove(at);
                }
                out.forget.push(attempt);
                out.at(now + 500, input(unknown()));
            }
            // It goes on, and answers in its own time, or never.
            (3, _) => {}
            // It survives what ends it, and that is known.
            (5, _) => {
                out.forget.push(attempt);
                out.at(now + 500, input(adrift()));
            }
            (_, _) => out.forget.push(attempt),
        }
    }

    fn acquire(&mut self, now: Millis, scope: &LockScope, out: &mut Out) {
        let scope = scope.clone();
        if !self.fair && self.c.chance(if scope == LockScope::Run { 5 } else { 30 }) {
            out.at(now, Input::LocksAwaited { scope: scope.clone(), held_by: vec!["billing/7".to_owned()] });
            out.at(now + 30_000, Input::LocksGranted { scope });
        } else {
            out.at(now, Input::LocksGranted { scope });
        }
    }

    fn release(&mut self, _now: Millis, _scope: &LockScope, _out: &mut Out) {}

    fn pass(&mut self, to: Millis) {
        let mut due: Vec<Doing> = Vec::new();
        self.doing.retain_mut(|doing| match doing.effect_at {
            Some(at) if at <= to => {
                due.push(doing.clone());
                doing.effect_at = None;
                true
            }
            Some(_) | None => true,
        });
        due.sort_by_key(|doing| doing.effect_at);
        for doing in due {
            self.takes_effect(&doing);
        }
    }

    fn crash(&mut self, run: &Run) {
        // Work elsewhere begins once its handle is written; what had none dies with the engine.
        self.doing.retain(|doing| {
            let record = run.step(doing.step);
            let attempt = match &record.status {
                Status::Forward(forward) => forward.attempt(),
                Status::Undo { state, .. } => state.attempt(),
            };
            doing.remote && (record.attached.is_some() || attempt.is_some_and(|attempt| attempt.handle.is_some()))
        });
    }
}
