//! The engine's loop in virtual time: inputs in, records kept, commands handed to [`Hands`].
//!
//! It does what `engine::driver` does and nothing else: decide, keep the records, then act. What
//! acts is a parameter. After every transition the machine's invariants are checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use bascule::machine::command::{Action, Command, Sample};
use bascule::machine::event::Event;
use bascule::machine::fact::{Actor, Direction, LockScope, Millis};
use bascule::machine::input::NewOwner;
use bascule::machine::invariants::{self, Watch};
use bascule::machine::timers::Timer;
use bascule::machine::unended::AttemptKey;
use bascule::machine::{Draft, Input, Now, Record, Reply, Run, Verb, decide};
use bascule::plan::Plan;
use bascule::plan::StepIx;

/// When every night begins.
pub(crate) const START: Millis = 1_000_000_000_000;

/// News that will come, and of what.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub(crate) later: Vec<(Millis, Input)>,
    pub(crate) forget: Vec<(StepIx, Direction, u32)>,
}

impl Out {
    /// The engine will hear of this then.
    pub(crate) fn at(&mut self, at: Millis, input: Input) {
        self.later.push((at, input));
    }
}

/// What carries commands out.
pub(crate) trait Hands {
    /// Makes an attempt.
    fn perform(&mut self, now: Millis, action: &Action, out: &mut Out);
    /// Looks whether an attempt happened.
    fn probe(&mut self, now: Millis, action: &Action, out: &mut Out);
    /// Samples a criterion.
    fn sample(&mut self, now: Millis, sample: &Sample, out: &mut Out);
    /// Stops an attempt.
    fn cancel(&mut self, now: Millis, attempt: (StepIx, Direction, u32), out: &mut Out);
    /// Takes locks.
    fn acquire(&mut self, now: Millis, scope: &LockScope, out: &mut Out);
    /// Gives locks back, or withdraws the request.
    fn release(&mut self, now: Millis, scope: &LockScope, out: &mut Out);
    /// Time passes in the world.
    fn pass(&mut self, to: Millis);
    /// The engine dies with everything that ran in it.
    fn crash(&mut self, run: &Run);
}

/// How the engine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Everything was acted on; what was under way is lost.
    Idle,
    /// The transition of the next input is decided, never written.
    BeforeCommit,
    /// It is written; none of its commands is carried out.
    BeforeActing,
}

/// A run, its log, its time and its hands.
pub(crate) struct Sim<H> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) run: Run,
    pub(crate) log: Vec<Record>,
    pub(crate) now: Now,
    pub(crate) hands: H,
    /// The last input, for reports.
    pub(crate) last: Option<Input>,
    queue: BTreeMap<(Millis, u64), Input>,
    serial: u64,
    epoch: u64,
    watch: Watch,
    /// Attempts of which the next engine cannot see whether they ended.
    pub(crate) unseen: Vec<AttemptKey>,
    /// Whether all invariants are checked after each transition, or only those of its records.
    pub(crate) check: bool,
    /// Verbs that were legal when they were said, and crashes, by name: proves that nights go everywhere.
    pub(crate) done: BTreeMap<String, u64>,
}

impl<H: Hands> Sim<H> {
    /// A new run, not begun.
    pub(crate) fn new(plan: Arc<Plan>, hands: H) -> Self {
        Self::created(plan, hands, None)
    }

    /// A new run that goes by itself at a time.
    pub(crate) fn created(plan: Arc<Plan>, hands: H, go_at: Option<Millis>) -> Self {
        let created = Record {
            at: START,
            by: Some(actor("olga")),
            reason: None,
            event: Event::Created {
                application: plan.application.clone(),
                number: 1,
                plan: plan.hash().clone(),
                trust_claimed_names: true,
                go_at,
            },
        };
        let run = Run::begin(plan.clone(), &created).expect("the first record fits the plan");
        let mut watch = Watch::new(plan.clone());
        watch.transition(std::slice::from_ref(&created), &run).expect("the first record breaks nothing");
        Self {
            plan,
            run,
            log: vec![created],
            now: Now { wall: START, steady: START },
            hands,
            last: None,
            queue: BTreeMap::new(),
            serial: 0,
            epoch: 0,
            watch,
            unseen: Vec::new(),
            check: true,
            done: BTreeMap::new(),
        }
    }

    /// One transition.
    pub(crate) fn input(&mut self, input: Input) -> Result<Reply, String> {
        let (reply, commands) = self.transition(input)?;
        self.act(commands);
        Ok(reply)
    }

    /// A person's verb.
    pub(crate) fn say(&mut self, who: &str, verb: Verb) -> Result<Reply, String> {
        let name = first_word(&verb);
        let reply = self.input(Input::Verb { verb, by: actor(who), reason: Some("because".into()) })?;
        if reply == Reply::Done {
            *self.done.entry(format!("verb {name}")).or_default() += 1;
        }
        Ok(reply)
    }

    fn transition(&mut self, input: Input) -> Result<(Reply, Vec<Command>), String> {
        self.last = Some(input.clone());
        let late = input == Input::Tick && self.nobody_watched();
        self.serial += 1;
        let entropy = self.serial.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draft = Draft::new(&mut self.run, self.now, entropy);
        let reply = decide(&mut draft, input).map_err(|illegal| format!("decide: {illegal}"))?;
        let (records, commands) = draft.finish();
        if matches!(reply, Reply::Refused { .. }) && !records.is_empty() {
            return Err(format!("a refused verb wrote `{}`", records[0].event.word()));
        }
        let told = self.watch.transition(&records, &self.run);
        let told = told.and_then(|()| if late { self.watch.unwatched(&records) } else { Ok(()) });
        if let Err(broken) = told {
            self.log.extend(records);
            return Err(broken.to_string());
        }
        self.log.extend(records);
        if self.check {
            invariants::check(&self.run).map_err(|broken| broken.to_string())?;
        }
        Ok((reply, commands))
    }

    /// Whether no time that may end the run came within the last ten seconds.
    fn nobody_watched(&self) -> bool {
        let timers = &self.run.timers;
        let steps = 0..self.plan.steps.len();
        let of_steps = steps.flat_map(|ix| [timers.get(Timer::By(ix)), timers.get(Timer::Approval(ix))]);
        let start_by = timers.get(Timer::StartBy).map(|at| at - self.run.clock_offset);
        let times = of_steps.chain([timers.get(Timer::Window), start_by]).flatten();
        let mut due = times.filter(|at| *at <= self.now.steady).peekable();
        due.peek().is_some() && due.all(|at| self.now.steady - at > 10_000)
    }

    fn act(&mut self, commands: Vec<Command>) {
        let mut out = Out::default();
        let now = self.now.steady;
        for command in commands {
            match command {
                Command::Perform(action) => self.hands.perform(now, &action, &mut out),
                Command::Probe(action) => self.hands.probe(now, &action, &mut out),
                Command::Sample(sample) => self.hands.sample(now, &sample, &mut out),
                Command::Cancel { step, direction, attempt } => {
                    self.hands.cancel(now, (step, direction, attempt), &mut out);
                }
                Command::AcquireLocks { scope, .. } => self.hands.acquire(now, &scope, &mut out),
                Command::ReleaseLocks { scope } => self.hands.release(now, &scope, &mut out),
            }
            self.take(&mut out);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the world holds back few commands")]
    fn take(&mut self, out: &mut Out) {
        for gone in out.forget.drain(..) {
            self.queue.retain(|_, input| match input {
                Input::Ended { step, direction, attempt, .. } => (*step, *direction, *attempt) != gone,
                _ => true,
            });
        }
        for (at, input) in out.later.drain(..) {
            self.serial += 1;
            self.queue.insert((at.max(self.now.steady), self.serial), input);
        }
    }

    /// When something happens next: news, or a time that the run waits for.
    pub(crate) fn next_at(&self) -> Option<Millis> {
        let news = self.queue.keys().next().map(|(at, _)| *at);
        match (news, self.run.wakes_at()) {
            (Some(news), Some(wake)) => Some(news.min(wake)),
            (news, wake) => news.or(wake),
        }
    }

    /// Whether news are on their way.
    pub(crate) fn expects_news(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Lets time pass without anybody looking.
    pub(crate) fn sleep_until(&mut self, at: Millis) {
        let by = (at - self.now.steady).max(0);
        self.now.steady += by;
        self.now.wall += by;
        self.hands.pass(self.now.steady);
    }

    /// The next thing happens; false: nothing ever will by itself.
    pub(crate) fn step(&mut self) -> Result<bool, String> {
        let Some(at) = self.next_at() else { return Ok(false) };
        self.sleep_until(at);
        self.due()?;
        Ok(true)
    }

    /// Everything that is due now: news first, then the time.
    pub(crate) fn due(&mut self) -> Result<(), String> {
        let now = self.now.steady;
        if let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= now
        {
            let input = entry.remove();
            self.input(input)?;
            return Ok(());
        }
        if self.run.wakes_at().is_some_and(|wake| wake <= now) {
            self.input(Input::Tick)?;
            if let Some(wake) = self.run.wakes_at().filter(|wake| *wake <= now) {
                return Err(format!("busy: after a tick at {now} the run wants to be woken at {wake}"));
            }
        }
        Ok(())
    }

    /// The wall clock jumps, and the engine notices.
    pub(crate) fn jump(&mut self, by_ms: i64) -> Result<(), String> {
        self.now.wall += by_ms;
        self.input(Input::ClockJumped { by_ms })?;
        Ok(())
    }

    /// The engine dies; `next` is what it was about to decide. Another one comes after `away_ms`.
    pub(crate) fn crash(&mut self, how: Crash, next: Option<Input>, away_ms: u64) -> Result<(), String> {
        match (how, next) {
            (Crash::Idle, _) | (_, None) => self.replays()?,
            (Crash::BeforeCommit, Some(input)) => {
                let mut draft = Draft::new(&mut self.run, self.now, 7);
                decide(&mut draft, input).map_err(|illegal| format!("decide before a crash: {illegal}"))?;
            }
            (Crash::BeforeActing, Some(input)) => {
                let (_reply, _never_done) = self.transition(input)?;
                self.replays()?;
            }
        }
        *self.done.entry(format!("crash {how:?}")).or_default() += 1;
        self.run = self.replay()?;
        self.queue.clear();
        self.hands.crash(&self.run);
        let at = self.now.steady + i64::try_from(away_ms).expect("nobody is away that long");
        self.sleep_until(at);
        self.hands.pass(self.now.steady);
        self.epoch += 1;
        let (epoch, host) = (self.epoch, "host".to_owned());
        let owner = NewOwner { epoch, host, pid: 1, place: None };
        let unended = std::mem::take(&mut self.unseen);
        self.input(Input::Recovered { owner, away_ms: Some(away_ms), unended })?;
        Ok(())
    }

    /// The engine dies at the next thing that happens.
    pub(crate) fn crash_at_next(&mut self, how: Crash, away_ms: u64) -> Result<(), String> {
        let next = match self.queue.pop_first() {
            Some(((at, _), input)) => {
                self.sleep_until(at);
                Some(input)
            }
            None => None,
        };
        self.crash(how, next, away_ms)
    }

    /// The run as its log says.
    pub(crate) fn replay(&self) -> Result<Run, String> {
        let mut run = Run::begin(self.plan.clone(), &self.log[0]).map_err(|illegal| format!("replay: {illegal}"))?;
        for record in &self.log[1..] {
            run.apply(record).map_err(|illegal| format!("replay of `{}`: {illegal}", record.event.word()))?;
        }
        Ok(run)
    }

    /// Compares the run with its log.
    pub(crate) fn replays(&self) -> Result<(), String> {
        invariants::same(&self.run, &self.replay()?).map_err(|broken| broken.to_string())
    }
}

/// The name of a variant.
pub(crate) fn first_word(of: &impl std::fmt::Debug) -> String {
    let words = format!("{of:?}");
    words.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// Somebody.
pub(crate) fn actor(name: &str) -> Actor {
    Actor::named(name)
}
