//! A night in which everything may go wrong, and people do what they are offered.

use std::collections::HashSet;
use std::sync::Arc;

use clap::Parser as _;

use bascule::machine::command::{Action, Sample};
use bascule::machine::fact::{Direction, Failure, Found, Left, LockScope, Millis};
use bascule::machine::input::{NewOwner, Outcome, ProbeOutcome};
use bascule::machine::{Draft, Input, Reply, Run, Verb, note_down};
use bascule::plan::policy::DataAnswer;
use bascule::plan::step::Effect;
use bascule::plan::{Plan, Section, StepIx, TripRule};
use bascule::view::{ProgressMap, RunView};

use super::{sample, waivable};
use crate::support::choices::Choices;
use crate::support::plans::{self, approval, criterion, cut, id, manual, step};
use crate::support::sim::{Crash, Hands, Out, Sim, actor};

/// Hands that nobody can rely on.
struct Clumsy {
    choices: Choices,
}

impl Clumsy {
    fn outcome(&mut self) -> Outcome {
        let failure = Failure::new("it went wrong");
        match self.choices.weighted(&[70, 8, 10, 6, 3]) {
            0 => Outcome::Succeeded { outputs: Arc::new(serde_json::json!({})) },
            1 => Outcome::Failed { failure, left: Left::Nothing },
            2 => Outcome::Failed { failure, left: Left::Possible },
            3 => Outcome::unknown(failure),
            _ => Outcome::Cancelled { left: Left::Possible },
        }
    }
}

impl Hands for Clumsy {
    fn perform(&mut self, now: Millis, action: &Action, out: &mut Out) {
        // Some attempts never end by themselves.
        if self.choices.chance(6) {
            return;
        }
        let after = 1_000 * Millis::try_from(self.choices.below(120)).expect("small");
        let (outcome, verify) = (self.outcome(), action.verify.is_some().then(|| self.outcome()));
        let (step, direction, attempt) = (action.step, action.direction, action.attempt);
        out.at(now + after, Input::Ended { step, direction, attempt, outcome, verify, log: None });
    }

    fn probe(&mut self, now: Millis, action: &Action, out: &mut Out) {
        let found = match self.choices.below(4) {
            0 => Found::Done { outputs: Arc::new(serde_json::json!({})) },
            1 => Found::NotStarted,
            2 => Found::Partial { found: "a half".to_owned() },
            _ => Found::CannotTell { failure: Failure::new("no idea") },
        };
        let outcome = ProbeOutcome::Native(found);
        out.at(now + 500, Input::Probed { step: action.step, direction: action.direction, outcome });
    }

    fn sample(&mut self, now: Millis, of: &Sample, out: &mut Out) {
        let outcome = match self.choices.weighted(&[80, 12, 8]) {
            0 => sample(false),
            1 => sample(true),
            _ => Outcome::unknown(Failure::new("no answer")),
        };
        out.at(now + 200, Input::Sampled { criterion: of.criterion, planned: of.planned, outcome });
    }

    fn cancel(&mut self, now: Millis, (step, direction, attempt): (StepIx, Direction, u32), out: &mut Out) {
        if self.choices.chance(80) {
            let outcome = Outcome::Cancelled { left: Left::Possible };
            out.at(now + 100, Input::Ended { step, direction, attempt, outcome, verify: None, log: None });
        }
    }

    fn acquire(&mut self, now: Millis, scope: &LockScope, out: &mut Out) {
        out.at(now, Input::LocksGranted { scope: scope.clone() });
    }

    fn release(&mut self, _now: Millis, _scope: &LockScope, _out: &mut Out) {}

    fn pass(&mut self, _to: Millis) {}

    fn crash(&mut self, _run: &Run) {}
}

/// The night.
pub(super) struct Chaos {
    sim: Sim<Clumsy>,
    choices: Choices,
    said: Vec<String>,
    parsed: HashSet<String>,
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Self {
        let mut choices = Choices::seeded(seed.wrapping_mul(7919) + 1);
        let plan = plan(&mut choices);
        let hands = Clumsy { choices: Choices::seeded(seed + 31) };
        let mut sim = Sim::new(plan, hands);
        // What the machine promises is tested elsewhere.
        sim.check = false;
        let recovered = {
            let owner = NewOwner { epoch: 1, host: "host".to_owned(), pid: 1, place: None };
            Input::Recovered { owner, away_ms: None, unended: vec![] }
        };
        sim.input(recovered).expect("a new run is taken");
        sim.input(Input::Begin { missing: vec![] }).expect("a new run begins");
        Self { sim, choices, said: Vec::new(), parsed: HashSet::new() }
    }

    pub(super) fn play(&mut self, turns: usize) {
        self.play_and(turns, |_| {});
    }

    /// Plays so many turns; looks at each view.
    pub(super) fn play_and(&mut self, turns: usize, mut look: impl FnMut(&RunView)) {
        for _ in 0..turns {
            let view = RunView::of(&self.sim.run, self.sim.now, &ProgressMap::new());
            look(&view);
            let offered = offered(&view);
            for question in &view.questions {
                assert!(!question.answers.is_empty(), "a question without an answer: {question:#?}");
            }
            if view.summary.needs_person {
                let deciding = offered.iter().filter(|(_, verb)| !matches!(verb, Verb::Note { .. })).count();
                assert!(deciding > 0, "a person is needed and can do nothing: {}", view.summary.state);
            }
            for (command, verb) in &offered {
                self.must_be_accepted(command, verb);
            }
            if self.sim.run.state.is_final() {
                return;
            }
            self.turn(&offered);
        }
    }

    fn turn(&mut self, offered: &[(String, Verb)]) {
        match self.choices.weighted(&[70, 24, 6]) {
            1 if !offered.is_empty() => {
                // `close` is there with every question, and would end most plays early: seldom it is.
                let close = self.choices.chance(20);
                let mut offered = offered.to_vec();
                offered.retain(|(_, verb)| close || !matches!(verb, Verb::Close));
                let Some((command, verb)) = (!offered.is_empty()).then(|| self.choices.pick(&offered)) else { return };
                self.said.push(command);
                let reply = self.sim.say("paul", verb);
                reply.unwrap_or_else(|why| panic!("after {:?}: {why}", self.said));
            }
            2 => {
                let away_ms = 1_000 * self.choices.below(1_200) as u64;
                self.said.push(format!("crash, away {away_ms}"));
                self.sim.crash(Crash::Idle, None, away_ms).expect("a crash is survived");
            }
            _ => {
                self.sim.step().expect("time passes");
            }
        }
    }

    fn must_be_accepted(&mut self, command: &str, verb: &Verb) {
        if self.parsed.insert(command.to_owned())
            && let Err(error) = bascule::cli::Cli::try_parse_from(command.split_whitespace())
        {
            panic!("`{command}` is no command line: {error}");
        }
        let mut run = self.sim.run.clone();
        let state = run.state;
        let mut draft = Draft::new(&mut run, self.sim.now, 1);
        let reason = command.contains("--reason").then(|| "because".into());
        let input = Input::Verb { verb: verb.clone(), by: actor("paul"), reason };
        let reply = note_down(&mut draft, input).unwrap_or_else(|illegal| panic!("`{command}`: {illegal}"));
        let events: Vec<&str> = self.sim.log.iter().rev().take(12).map(|record| record.event.word()).collect();
        assert_eq!(reply, Reply::Done, "`{command}` is offered in {state}, after {events:?} and {:?}", self.said);
    }
}

/// Every command of a view that decides something.
fn offered(view: &RunView) -> Vec<(String, Verb)> {
    let next = view.next.iter().map(|next| &next.command);
    let answers = view.questions.iter().flat_map(|question| &question.answers).map(|answer| &answer.command);
    next.chain(answers).filter_map(|command| verb(command).map(|verb| (command.clone(), verb))).collect()
}

/// The verb that a command line gives; `None`: it only looks.
fn verb(command: &str) -> Option<Verb> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let after = |flag: &str| words.iter().position(|word| *word == flag).map(|at| words[at + 1]);
    let role = after("--role").map(str::to_owned);
    let step = |at: usize| id(words[at]);
    Some(match words[1..] {
        ["report" | "events" | "watch", ..] => return None,
        ["note", ..] => Verb::Note { text: "x".to_owned(), attachments: vec![] },
        ["go", _, "--not-by-itself"] => Verb::GoAt { at: None },
        ["go", ..] => Verb::Go,
        ["resume", ..] => Verb::Resume,
        ["pause", ..] => Verb::Pause,
        ["cancel", ..] => Verb::Cancel,
        ["accept", ..] => Verb::Accept,
        ["commit", ..] => Verb::Commit,
        ["close", ..] => Verb::Close,
        ["confirm-clock", ..] => Verb::ConfirmClock,
        ["rollback", _] => Verb::Rollback,
        ["rollback", _, "--continue"] => Verb::ContinueRollback,
        ["window", "extend", _, "--by", "30m", ..] => Verb::WindowExtend { by_ms: 1_800_000 },
        ["sign-off", _, "--role", role] => Verb::SignOff { role: role.to_owned() },
        ["approve", ..] => Verb::Approve { step: step(3), role },
        ["reject", ..] => Verb::Reject { step: step(3) },
        ["retry", ..] => Verb::Retry { step: step(3) },
        ["skip", ..] => Verb::Skip { step: step(3) },
        ["waive", ..] => Verb::Waive { step: step(3), role },
        ["extend", ..] => Verb::Extend { step: step(3), by_ms: 1_800_000 },
        ["undo", "retry", ..] => Verb::UndoRetry { step: step(4) },
        ["undo", "waive", ..] => Verb::UndoWaive { step: step(4) },
        ["undo", "done", ..] => Verb::UndoDone { step: step(4) },
        ["resolve", _, "--forward-again"] => Verb::ForwardAgain,
        ["resolve", _, "--go-on", question] => Verb::GoOn { question: question.parse().expect("a number") },
        ["resolve", _, step, "--happened", ..] => Verb::Happened { step: id(step), outputs: Default::default(), role },
        ["resolve", _, step, "--did-not-happen"] => Verb::DidNotHappen { step: id(step) },
        ["resolve", _, step, "--failed"] => Verb::ItFailed { step: id(step), left: Left::Possible },
        ["resolve", _, step, "--probe"] => Verb::ProbeAgain { step: id(step) },
        _ => panic!("`{command}` is no command of this program"),
    })
}

/// A plan with a little of everything.
fn plan(choices: &mut Choices) -> Arc<Plan> {
    let mut draft = plans::Draft::new().add(waivable("lowered")).add(step(Section::PreCheck, "backup"));
    if choices.chance(40) {
        draft = draft.add(approval(Section::PreCheck, "may_begin"));
    }
    if choices.chance(40) {
        draft = draft.add(step(Section::Prepare, "seed").effect(Effect::Idempotent).undo());
    }
    draft = draft.add(cut("quiesce").takes_source_down().effect(Effect::Idempotent).undo());
    draft = draft.add(cut("sync").moves_data().effect(Effect::Once).undo());
    if choices.chance(40) {
        draft =
            draft.add(approval(Section::Cutover, "go_no_go").approval(|approval| approval.expires_ms = Some(60_000)));
    }
    if choices.chance(30) {
        draft = draft.add(manual("recable"));
    }
    draft = draft.add(cut("build").effect(Effect::Probe).cleanup());
    if choices.chance(25) {
        draft = draft.add(cut("license").irreversible());
    }
    draft = draft.add(cut("balance").exposes().effect(Effect::Probe).undo());
    draft = draft.add(step(Section::PostCheck, "latency"));
    if choices.chance(50) {
        draft = draft.add(step(Section::Fence, "fence:stop_writes").effect(Effect::Idempotent));
        draft = draft.add(step(Section::RollbackCheck, "restored:serves"));
    }
    if choices.chance(30) {
        draft = draft.add(step(Section::Commit, "release").effect(Effect::Once));
    }
    draft = draft.criterion(criterion("health", TripRule::Consecutive(2)));
    let data = choices.pick(&[DataAnswer::ReverseSync, DataAnswer::Stateless, DataAnswer::Unanswered]);
    draft
        .policies(|policies| {
            policies.window_ms = 600_000;
            policies.data = data;
        })
        .seal()
}
