//! One random history: a random plan in a random world with random people and an engine that dies,
//! then a fair stretch in which every run has to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule::machine::fact::{Actor, LockScope};
use bascule::machine::{Draft, Event, Input, Reply, Run, Verb, decide};
use bascule::plan::Plan;

use super::choices::Choices;
use super::people;
use super::sim::{Crash, START, Sim, first_word};
use super::story;
use super::world::World;

/// How many inputs of the fair stretch may pass before a run counts as never ending.
const FAIR_LIMIT: u32 = 1_500;

/// What was seen in histories: proves that they go everywhere.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) words: BTreeMap<String, u64>,
    pub(crate) events: u64,
}

impl Seen {
    fn count(&mut self, word: String) {
        *self.words.entry(word).or_default() += 1;
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the counts are of few events")]
    fn take(&mut self, sim: &Sim<World>) {
        self.events += sim.log.len() as u64;
        for record in &sim.log {
            match &record.event {
                Event::Moved { to, .. } => self.count(format!("state {}", to.word())),
                Event::Asked { kind, .. } => self.count(format!("question {}", first_word(kind))),
                Event::RollbackDecided { because, .. } => {
                    let whose = if record.by.is_some() { "a person's" } else { "the engine's" };
                    self.count(format!("back {whose} {}", first_word(because)));
                }
                _ => {}
            }
            self.count(format!("event {}", record.event.word()));
        }
        for (word, count) in &sim.done {
            *self.words.entry(word.clone()).or_default() += count;
        }
    }

    /// Adds what another thread saw.
    pub(crate) fn merge(&mut self, other: Self) {
        self.events += other.events;
        for (word, count) in other.words {
            *self.words.entry(word).or_default() += count;
        }
    }
}

/// A history that broke something.
pub(crate) struct Broke {
    pub(crate) why: String,
    pub(crate) choices: Vec<u32>,
    pub(crate) story: String,
}

/// Lives one history of a plan through.
pub(crate) fn live(plan: &Arc<Plan>, mut c: Choices, seen: &mut Seen) -> Result<(), Broke> {
    let go_at = c.chance(10).then_some(START + 240_000);
    let world = World::new(plan.clone(), c);
    let mut sim = Sim::created(plan.clone(), world, go_at);
    let mut told = 0;
    let lived = wild(&mut sim, &mut told).and_then(|()| fair(&mut sim, &mut told)).and_then(|()| sim.replays());
    seen.take(&sim);
    lived.map_err(|why| Broke {
        why: format!("{why}\nlast input: {:?}", sim.last),
        choices: sim.hands.c.taken().to_vec(),
        story: format!("{:#?}\n{}", sim.plan.steps, story::tell(&sim.log)),
    })
}

fn world_holds(sim: &Sim<World>) -> Result<(), String> {
    match &sim.hands.broken {
        Some(what) => Err(what.clone()),
        None => Ok(()),
    }
}

/// Every question that was not there before has answers, and every one of them is legal.
fn answers_are_legal(sim: &mut Sim<World>, told: &mut u32) -> Result<(), String> {
    if sim.run.asked == *told {
        return Ok(());
    }
    let new: Vec<_> = sim.run.questions.values().filter(|question| question.id > *told).cloned().collect();
    *told = sim.run.asked;
    for question in new {
        let answers = sim.run.answers(&question);
        if answers.len() < 2 {
            return Err(format!("{:?} has no answer but {answers:?}", question.kind));
        }
        for verb in answers {
            let mut copy: Run = sim.run.clone();
            let mut draft = Draft::new(&mut copy, sim.now, 1);
            let by = Actor::named(if people::proposer(&question) == Some("quinn") { "pia" } else { "quinn" });
            let reply = decide(&mut draft, Input::Verb { verb: verb.clone(), by, reason: Some("because".into()) });
            match reply {
                Ok(Reply::Done) => {}
                Ok(Reply::Refused { why, .. }) => {
                    return Err(format!("{verb:?} is offered for {:?}, and refused: {why}", question.kind));
                }
                Err(illegal) => return Err(format!("{verb:?} for {:?}: {illegal}", question.kind)),
            }
        }
    }
    Ok(())
}

fn say(sim: &mut Sim<World>, who: &str, verb: Verb) -> Result<Reply, String> {
    if let Some(ix) = people::tells(&verb).and_then(|step| sim.plan.find(step)) {
        sim.hands.told.insert(ix);
    }
    sim.say(who, verb)
}

fn wild(sim: &mut Sim<World>, told: &mut u32) -> Result<(), String> {
    let missing = if sim.hands.c.chance(2) { vec!["the executor `x`".to_owned()] } else { vec![] };
    sim.input(Input::Begin { missing })?;
    let inputs = 10 + sim.hands.c.below(70);
    for _ in 0..inputs {
        if sim.run.state.is_final() && !sim.expects_news() {
            break;
        }
        wild_step(sim)?;
        world_holds(sim)?;
        answers_are_legal(sim, told)?;
    }
    Ok(())
}

fn wild_step(sim: &mut Sim<World>) -> Result<(), String> {
    match sim.hands.c.weighted(&[80, 6, 8, 1, 3, 2, 1, 1, 1]) {
        0 => drop(sim.step()?),
        1 => {
            let who = sim.hands.c.pick(&people::NAMES);
            let verb = people::any_verb(&mut sim.hands.c, &sim.run);
            say(sim, who, verb)?;
        }
        2 => answer_something(sim)?,
        3 => {
            let by_ms = sim.hands.c.pick(&[3_600_000, -3_600_000, 20_000, -20_000]);
            sim.jump(by_ms)?;
        }
        4 => crash(sim)?,
        5 => {
            // The engine's machine sleeps, and wakes late.
            let by = sim.hands.c.pick(&[30_000, 5_000, 1_200_000]);
            let until = sim.now.steady + by;
            sim.sleep_until(until);
            sim.due()?;
        }
        6 => drop(sim.input(Input::StoreBack { gap_ms: 3_000 })?),
        7 => {
            let news = [
                Input::RequirementRolledBack { app: "billing".to_owned(), decided: sim.now.steady },
                Input::PluginChanged { executor: "test".to_owned() },
            ];
            let news = sim.hands.c.pick(&news);
            drop(sim.input(news)?);
        }
        _ => {
            let steps = sim.plan.steps.len();
            let ix = sim.hands.c.below(steps);
            let scope = sim.hands.c.pick(&[LockScope::Run, LockScope::Step(sim.plan.step(ix).id.clone())]);
            sim.input(Input::LocksGranted { scope })?;
        }
    }
    Ok(())
}

fn answer_something(sim: &mut Sim<World>) -> Result<(), String> {
    let Some(question) = sim.run.questions.values().next().cloned() else {
        let Some((who, verb)) = people::helper(&sim.run, &sim.hands, 1) else { return sim.step().map(drop) };
        return say(sim, who, verb).map(drop);
    };
    let answers = sim.run.answers(&question);
    // Not `close`, which would end most histories early.
    let verb = sim.hands.c.pick(&answers[..answers.len() - 1]);
    say(sim, "pia", verb).map(drop)
}

fn crash(sim: &mut Sim<World>) -> Result<(), String> {
    let how = sim.hands.c.pick(&[Crash::Idle, Crash::BeforeCommit, Crash::BeforeActing]);
    let away = sim.hands.c.pick(&[2_000, 120_000, 1_200_000, 30]);
    sim.crash_at_next(how, away)
}

fn fair(sim: &mut Sim<World>, told: &mut u32) -> Result<(), String> {
    sim.hands.calm();
    let mut patience = 2;
    for _ in 0..FAIR_LIMIT {
        if sim.run.state.is_final() {
            sim.hands.ended(&sim.run);
            return world_holds(sim);
        }
        if let Some((who, verb)) = people::helper(&sim.run, &sim.hands, patience) {
            if matches!(verb, Verb::WindowExtend { .. } | Verb::Retry { .. } | Verb::UndoRetry { .. }) {
                patience = u32::saturating_sub(patience, 1);
            }
            let words = format!("{verb:?}");
            // A helper does not lie, so the world still counts; but another try is their word.
            if let Verb::Retry { step } = &verb {
                sim.hands.told.extend(sim.plan.find(step));
            }
            if let Verb::Happened { step, .. } = &verb
                && let Some(ix) = sim.plan.find(step)
            {
                sim.hands.by_hand(ix, true);
            }
            if let Verb::UndoDone { step } = &verb
                && let Some(ix) = sim.plan.find(step)
            {
                sim.hands.by_hand(ix, false);
            }
            match sim.say(who, verb)? {
                Reply::Done => {}
                Reply::Refused { why, .. } => return Err(format!("{words} was the way out, and was refused: {why}")),
            }
        } else if !sim.step()? {
            return Err(format!("a run that is {} never ends", sim.run.state));
        }
        world_holds(sim)?;
        answers_are_legal(sim, told)?;
    }
    Err(format!("a run that is {} did not end", sim.run.state))
}
