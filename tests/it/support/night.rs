//! A scripted night: what each step does, what people say, what the clock does.
//!
//! Everything succeeds after a second unless the script says otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bascule::machine::command::{Action, Sample};
use bascule::machine::fact::{Direction, Failure, Found, Left, LockScope, Millis};
use bascule::machine::input::{Outcome, ProbeOutcome};
use bascule::machine::run_state::RunState;
use bascule::machine::{Input, Reply, Run, Verb};
use bascule::plan::{Plan, StepIx};
use serde_json::{Value, json};

use super::sim::{Crash, Hands, Out, START, Sim};
use super::story;

/// What an attempt does.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    after_ms: i64,
    outcome: Option<Outcome>,
    verify: Option<Outcome>,
    handle: Option<Value>,
    /// What follows on being told to stop; `None`: nothing at all.
    stopped: Option<Outcome>,
}

impl Act {
    fn with(outcome: Option<Outcome>) -> Self {
        let stopped = Some(Outcome::Cancelled { left: Left::Possible });
        Self { after_ms: 1_000, outcome, verify: None, handle: None, stopped }
    }

    /// It succeeds.
    pub(crate) fn ok() -> Self {
        Self::gives(json!({}))
    }

    /// It succeeds with outputs.
    pub(crate) fn gives(outputs: Value) -> Self {
        Self::with(Some(Outcome::Succeeded { outputs: Arc::new(outputs) }))
    }

    /// It fails and leaves this.
    pub(crate) fn fails(left: Left) -> Self {
        Self::with(Some(Outcome::Failed { failure: Failure::new("it broke"), left }))
    }

    /// Nobody can say what it did.
    pub(crate) fn unknown() -> Self {
        Self::with(Some(Outcome::unknown(Failure::new("no answer"))))
    }

    /// Nobody can say what it did, nor that it ended.
    pub(crate) fn adrift() -> Self {
        Self::with(Some(Outcome::adrift(Failure::new("its processes survived KILL"))))
    }

    /// It goes on for ever, unless it is told to stop.
    pub(crate) fn hangs() -> Self {
        Self::with(None)
    }

    /// It does not even stop.
    pub(crate) fn never_stops(mut self) -> Self {
        self.stopped = None;
        self
    }

    /// On being told to stop it answers this.
    pub(crate) fn stopped(mut self, outcome: Outcome) -> Self {
        self.stopped = Some(outcome);
        self
    }

    /// It takes this long.
    pub(crate) fn after(mut self, ms: i64) -> Self {
        self.after_ms = ms;
        self
    }

    /// It reports remote work at once.
    pub(crate) fn handle(mut self, handle: Value) -> Self {
        self.handle = Some(handle);
        self
    }

    /// What its `verify` says.
    pub(crate) fn verify(mut self, outcome: Outcome) -> Self {
        self.verify = Some(outcome);
        self
    }
}

/// Hands that follow a script.
#[derive(Default)]
pub(crate) struct Script {
    acts: BTreeMap<(String, bool), VecDeque<Act>>,
    always: BTreeMap<(String, bool), Act>,
    probes: BTreeMap<String, VecDeque<Option<ProbeOutcome>>>,
    stops: BTreeMap<(StepIx, bool, u32), Option<Outcome>>,
    /// What a criterion's samples say: by name, from a time on, counted from the start.
    samples: Vec<(String, Millis, Outcome)>,
    /// Locks that others hold.
    pub(crate) held: Vec<LockScope>,
    /// Everything that was performed: `step`, `step!` for an undo, with attempt and generation.
    pub(crate) performed: Vec<String>,
    /// What was found again: `step handle`.
    pub(crate) attached: Vec<String>,
    /// What was let go of.
    pub(crate) released: Vec<String>,
}

fn back(direction: Direction) -> bool {
    direction == Direction::Undo
}

impl Hands for Script {
    fn perform(&mut self, now: Millis, action: &Action, out: &mut Out) {
        let key = (action.id.to_string(), back(action.direction));
        let act = self.acts.get_mut(&key).and_then(VecDeque::pop_front);
        let act = act.or_else(|| self.always.get(&key).cloned()).unwrap_or_else(Act::ok);
        let mark = if back(action.direction) { "!" } else { "" };
        self.performed.push(format!("{}{mark} {}.{}", action.id, action.generation, action.attempt));
        if let Some(handle) = &action.attached {
            self.attached.push(format!("{}{mark} {handle}", action.id));
        }
        let (step, direction, attempt) = (action.step, action.direction, action.attempt);
        self.stops.insert((step, back(direction), attempt), act.stopped.clone());
        if let Some(handle) = act.handle {
            out.at(now, Input::Handle { step, direction, attempt, handle });
        }
        let verify = act.verify.or_else(|| {
            let wanted = action.verify.is_some();
            wanted.then(|| Outcome::Succeeded { outputs: Arc::new(json!({})) })
        });
        if let Some(outcome) = act.outcome {
            out.at(now + act.after_ms, Input::Ended { step, direction, attempt, outcome, verify, log: None });
        }
    }

    fn probe(&mut self, now: Millis, action: &Action, out: &mut Out) {
        let answers = self.probes.get_mut(action.id.as_str());
        let cannot = || ProbeOutcome::Native(Found::CannotTell { failure: Failure::new("no idea") });
        let outcome = match answers.and_then(VecDeque::pop_front) {
            Some(None) => return,
            Some(Some(outcome)) => outcome,
            None => cannot(),
        };
        out.at(now + 500, Input::Probed { step: action.step, direction: action.direction, outcome });
    }

    fn sample(&mut self, now: Millis, sample: &Sample, out: &mut Out) {
        let says = self.samples.iter().rev().find(|(id, from, _)| **id == *sample.id && START + from <= sample.planned);
        let good = Outcome::Succeeded { outputs: Arc::new(json!({ "bad": false })) };
        let outcome = says.map_or(good, |(_, _, outcome)| outcome.clone());
        out.at(now + 200, Input::Sampled { criterion: sample.criterion, planned: sample.planned, outcome });
    }

    fn cancel(&mut self, now: Millis, (step, direction, attempt): (StepIx, Direction, u32), out: &mut Out) {
        out.forget.push((step, direction, attempt));
        if let Some(Some(outcome)) = self.stops.get(&(step, back(direction), attempt)).cloned() {
            out.at(now + 100, Input::Ended { step, direction, attempt, outcome, verify: None, log: None });
        }
    }

    fn acquire(&mut self, now: Millis, scope: &LockScope, out: &mut Out) {
        let scope = scope.clone();
        if self.held.contains(&scope) {
            out.at(now, Input::LocksAwaited { scope, held_by: vec!["billing/7".to_owned()] });
        } else {
            out.at(now, Input::LocksGranted { scope });
        }
    }

    fn release(&mut self, _now: Millis, scope: &LockScope, _out: &mut Out) {
        self.released.push(format!("{scope:?}"));
    }

    fn pass(&mut self, _to: Millis) {}

    fn crash(&mut self, _run: &Run) {
        self.stops.clear();
    }
}

/// A run in the middle of the night.
pub(crate) struct Night {
    pub(crate) sim: Sim<Script>,
}

/// Milliseconds of minutes.
pub(crate) const fn min(minutes: i64) -> i64 {
    minutes * 60_000
}

impl Night {
    /// A run of a plan; nothing happened yet.
    pub(crate) fn of(plan: Arc<Plan>) -> Self {
        Self { sim: Sim::new(plan, Script::default()) }
    }

    /// A run that goes by itself at a time, counted from the start.
    pub(crate) fn that_goes_at(plan: Arc<Plan>, at: Millis) -> Self {
        Self { sim: Sim::created(plan, Script::default(), Some(START + at)) }
    }

    /// What the next attempt of a step does.
    pub(crate) fn on(mut self, step: &str, act: Act) -> Self {
        self.then(step, act);
        self
    }

    /// What the next attempt of a step does.
    pub(crate) fn then(&mut self, step: &str, act: Act) {
        self.sim.hands.acts.entry((step.to_owned(), false)).or_default().push_back(act);
    }

    /// What every attempt of a step does that is not told otherwise.
    pub(crate) fn always(mut self, step: &str, act: Act) -> Self {
        self.sim.hands.always.insert((step.to_owned(), false), act);
        self
    }

    /// What every attempt of a step does from now on.
    pub(crate) fn every_time(&mut self, step: &str, act: Act) {
        self.sim.hands.always.insert((step.to_owned(), false), act);
    }

    /// What the next undo of a step does.
    pub(crate) fn on_undo(mut self, step: &str, act: Act) -> Self {
        self.sim.hands.acts.entry((step.to_owned(), true)).or_default().push_back(act);
        self
    }

    /// What every undo of a step does from now on.
    pub(crate) fn undo_always(&mut self, step: &str, act: Act) {
        self.sim.hands.always.insert((step.to_owned(), true), act);
    }

    /// What the next probe of a step finds; `None`: it never answers.
    pub(crate) fn on_probe(mut self, step: &str, found: Option<Found>) -> Self {
        let answer = found.map(ProbeOutcome::Native);
        self.sim.hands.probes.entry(step.to_owned()).or_default().push_back(answer);
        self
    }

    /// What samples of a criterion say from a time on, counted from the start.
    pub(crate) fn samples(&mut self, criterion: &str, from: Millis, outcome: Outcome) {
        self.sim.hands.samples.push((criterion.to_owned(), from, outcome));
    }

    /// A criterion measures badly from a time on.
    pub(crate) fn bad_from(&mut self, criterion: &str, from: Millis) {
        self.samples(criterion, from, Outcome::Succeeded { outputs: Arc::new(json!({ "bad": true })) });
    }

    /// A criterion measures well from a time on.
    pub(crate) fn good_from(&mut self, criterion: &str, from: Millis) {
        self.samples(criterion, from, Outcome::Succeeded { outputs: Arc::new(json!({ "bad": false })) });
    }

    /// A criterion cannot be measured from a time on.
    pub(crate) fn blind_from(&mut self, criterion: &str, from: Millis) {
        self.samples(criterion, from, Outcome::unknown(Failure::new("no data")));
    }

    /// It begins, with nothing missing.
    pub(crate) fn begin(mut self) -> Self {
        self.sim.input(Input::Begin { missing: vec![] }).expect("the run begins");
        self
    }

    /// Time passes, to a time counted from the start; everything that is due happens.
    pub(crate) fn until(&mut self, at: Millis) {
        let until = START + at;
        while self.sim.next_at().is_some_and(|next| next <= until) {
            self.sim.step().expect("the machine holds its promises");
        }
        self.sim.sleep_until(until);
    }

    /// Time passes until the run is in a state, for at most a day.
    pub(crate) fn until_it_is(&mut self, state: RunState) {
        let limit = self.sim.now.steady + min(24 * 60);
        while self.sim.run.state != state {
            let next = self.sim.next_at().filter(|next| *next <= limit);
            assert!(next.is_some(), "the run never becomes {state}; it is\n{}", self.story());
            self.sim.step().expect("the machine holds its promises");
        }
    }

    /// Time passes until nothing happens by itself any more, for at most a day.
    pub(crate) fn until_quiet(&mut self) {
        let limit = self.sim.now.steady + min(24 * 60);
        while self.sim.next_at().is_some_and(|next| next <= limit) {
            self.sim.step().expect("the machine holds its promises");
        }
    }

    /// What the run is.
    pub(crate) fn state(&self) -> RunState {
        self.sim.run.state
    }

    /// Minutes since the start, for scripts that go on from here.
    pub(crate) fn now(&self) -> Millis {
        self.sim.now.steady - START
    }

    /// Somebody says something, which must be legal.
    pub(crate) fn say(&mut self, verb: Verb) {
        self.says("omar", verb);
    }

    /// A certain person says something, which must be legal.
    pub(crate) fn says(&mut self, who: &str, verb: Verb) {
        let words = format!("{verb:?}");
        let reply = self.sim.say(who, verb).expect("the machine holds its promises");
        assert_eq!(reply, Reply::Done, "{words} in\n{}", self.story());
    }

    /// Somebody says something that is not legal: why not.
    pub(crate) fn refused(&mut self, verb: Verb) -> String {
        self.refuses("omar", verb)
    }

    /// A certain person says something that is not legal: why not.
    pub(crate) fn refuses(&mut self, who: &str, verb: Verb) -> String {
        let words = format!("{verb:?}");
        match self.sim.say(who, verb).expect("the machine holds its promises") {
            Reply::Refused { why, hint } => format!("{why}; {hint}"),
            Reply::Done => panic!("{words} is legal in\n{}", self.story()),
        }
    }

    /// The engine dies and comes back.
    pub(crate) fn crash(&mut self, away_ms: i64) {
        let away = u64::try_from(away_ms).expect("a while");
        self.sim.crash(Crash::Idle, None, away).expect("the machine holds its promises");
    }

    /// What is asked, in the words of the log.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.sim.run.questions.values().map(|question| format!("{:?}", question.kind)).collect()
    }

    /// The whole log.
    pub(crate) fn story(&self) -> String {
        story::tell(&self.sim.log)
    }

    /// The records whose event bears one of these words.
    pub(crate) fn only(&self, words: &[&str]) -> String {
        story::tell_only(&self.sim.log, words)
    }

    /// What was performed, in order.
    pub(crate) fn performed(&self) -> String {
        self.sim.hands.performed.join("\n")
    }
}
