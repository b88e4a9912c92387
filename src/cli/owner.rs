//! The process that owns a state directory: an engine, its socket, and when they end.
//!
//! An owner ends when no run has work for it. One that people started on a terminal also stays while a run waits for
//! a person, so that answers from other terminals just work; one in a script does not: there nobody answers.
//! Start with [`Owner::start`] and [`Owner::stay`].

mod found;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bascule_plugin::on_one_line;
use tokio::sync::broadcast;

use super::error::CliError;
use super::signals::Signals;
use super::voice::Voice;
use crate::engine::secrets::SecretSources;
use crate::engine::{Engine, EngineError, EngineOptions, RunHandle};
use crate::machine::fact::{Actor, Direction, Millis};
use crate::machine::{Event, RunState, Verb};
use crate::outlets::{OutletError, Outlets};
use crate::server::{Server, Site, peer};
use crate::store::{StoreError, TakeOver};
use crate::view;

/// How long a process of its own waits for another word before it ends.
const LINGER_MS: Millis = 2_000;
/// How soon it is looked whether anything is left to do, once a run came to another state.
const SOON: Duration = Duration::from_millis(5);
/// The same after other news.
const LOOK: Duration = Duration::from_millis(100);
/// The same with nothing new: a pause that ends or a client that goes away is no event of a run.
const SELDOM: Duration = Duration::from_secs(2);

/// How long a run's task may take to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Whom an owner serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// A process of its own: people come and go.
    People,
    /// In the foreground, with a person in front of it.
    Person,
    /// In the foreground of a script.
    Script,
}

/// Why an owner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing is left to do.
    Idle,
    /// It was told to.
    Interrupted,
    /// Its state directory may be somebody else's now.
    Lost,
}

/// What came of a word to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// It was the first one, and nothing spoke against it.
    First,
    /// It was said again, knowing what nobody will guard.
    Again,
    /// It was not said again.
    Withdrawn,
}

/// What an owner is told when it starts.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Whether a directory of another machine may be taken.
    pub take_over: TakeOver,
    /// The receiver of spans; the environment names it otherwise.
    pub otlp: Option<String>,
    /// What is told to whom outside.
    pub outlets: Outlets,
}

/// The standard variables: the one for traces is taken as it is, the general one names the base of all signals.
fn otlp_of_environment() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let base = || Some(format!("{}/v1/traces", set("OTEL_EXPORTER_OTLP_ENDPOINT")?.trim_end_matches('/')));
    set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(base)
}

/// A started owner.
pub struct Owner {
    site: Arc<Site>,
    server: Server,
    serves: Serves,
    outlets: Outlets,
    /// Why they are not kept for later engines.
    not_kept: Option<OutletError>,
}

/// Another process owns the directory: talk to it.
#[must_use]
pub fn is_held(error: &EngineError) -> bool {
    matches!(error, EngineError::Store(StoreError::Held { .. }))
}

impl Owner {
    /// Takes the directory, adopts its runs, listens.
    ///
    /// # Errors
    /// As [`Engine::start`]; or the socket cannot be made.
    pub async fn start(state: &Path, wishes: Wishes, serves: Serves) -> Result<Self, StartError> {
        let mut options = EngineOptions::new(state.to_owned());
        options.take_over = wishes.take_over;
        // Before the directory is taken: what was given wrongly is the giver's to mend.
        wishes.outlets.check().map_err(StartError::Outlets)?;
        options.otlp = wishes.otlp.or_else(otlp_of_environment);
        options.secrets = SecretSources::from_environment(std::env::vars_os());
        let engine = Arc::new(Engine::start(options).await?);
        // After the directory is owned: what is kept in it is its owner's.
        let (outlets, not_kept) = match wishes.outlets.keep(state) {
            Ok(kept) => kept,
            Err(error) => {
                drop(engine.stop().await);
                return Err(StartError::Outlets(error));
            }
        };
        let health = found::health(&engine, serves);
        let site = Site::new(engine.clone(), health);
        match Server::start(site.clone()) {
            Ok(server) => Ok(Self { site, server, serves, outlets, not_kept }),
            Err(error) => {
                // The directory is given back before anybody is told why.
                drop(engine.stop().await);
                Err(StartError::Socket(error))
            }
        }
    }

    /// Serves until nothing is left to do, or until it is told to leave. `voice` is where people read what happens.
    pub async fn stay(&self, voice: &Voice) -> Left {
        // Who listens comes before who speaks: what an outlet says at once is heard, too.
        let sayings = self.site.engine.sayings();
        // What was said while nobody could listen yet is still the case.
        self.site.engine.complaints().iter().for_each(|complaint| voice.say(complaint));
        if let Some(error) = &self.not_kept {
            self.site.engine.complain("what is told outside", on_one_line(error));
        }
        let telling = self.outlets.start(&self.site.engine);
        if let Err(error) = &telling {
            voice.say(&format!("nothing is told outside: {error}"));
        }
        let left = self.serve(voice, sayings).await;
        match (telling, left) {
            // Nothing goes on while the last pages are written.
            (Ok(telling), Left::Idle) => telling.end().await,
            // What would begin meanwhile would be cut off; pages are current, and a monitor should notice.
            (Ok(telling), Left::Interrupted | Left::Lost) => telling.cut().await,
            (Err(_), Left::Idle | Left::Interrupted | Left::Lost) => {}
        }
        left
    }

    async fn serve(&self, voice: &Voice, mut sayings: broadcast::Receiver<String>) -> Left {
        let mut stories = self.site.engine.stories();
        let mut wants_to_leave = Signals::new();
        // It was told to leave, and stays because of what began since: until that is over, or it is told again.
        let mut leaves_later = false;
        let look = tokio::time::sleep(LOOK);
        tokio::pin!(look);
        loop {
            tokio::select! {
                () = &mut look => {
                    if self.is_idle().await && !self.site.engine.is_lost() {
                        return Left::Idle;
                    }
                    if leaves_later && self.guarded().await.is_empty() {
                        return Left::Interrupted;
                    }
                    look.as_mut().reset(tokio::time::Instant::now() + SELDOM);
                }
                story = stories.recv() => {
                    let moved = matches!(&story, Ok(told) if matches!(told.record.event, Event::Moved { .. }));
                    let closed = matches!(story, Err(broadcast::error::RecvError::Closed));
                    let by = tokio::time::Instant::now() + if moved { SOON } else if closed { SELDOM } else { LOOK };
                    // News bring the next look nearer; they never put it off.
                    if by < look.deadline() {
                        look.as_mut().reset(by);
                    }
                }
                saying = sayings.recv() => {
                    if let Ok(saying) = saying {
                        voice.say(&saying);
                    }
                }
                () = self.site.engine.lost() => {
                    while let Ok(saying) = sayings.try_recv() {
                        voice.say(&saying);
                    }
                    return Left::Lost;
                }
                () = wants_to_leave.next() => {
                    let word = if leaves_later { Word::Again } else { self.heard(voice, &mut wants_to_leave).await };
                    let leaves = match word {
                        Word::First => self.hold(voice, &mut wants_to_leave).await || self.may_go(voice).await,
                        Word::Again => {
                            self.hold(voice, &mut wants_to_leave).await;
                            true
                        }
                        Word::Withdrawn => continue,
                    };
                    if leaves {
                        return Left::Interrupted;
                    }
                    leaves_later = true;
                }
            }
        }
    }

    /// Whether nothing is left to do.
    async fn is_idle(&self) -> bool {
        let (busy, touched) = self.site.traffic();
        let quiet_since = self.site.engine.clock().now().steady.saturating_sub(touched);
        if busy > 0 || self.serves == Serves::People && quiet_since < LINGER_MS {
            return false;
        }
        if self.has_work().await {
            return false;
        }
        // What came in since is seen by a second look, and nothing comes in after it.
        let Some(shut) = self.site.gate.try_shut() else { return false };
        if self.has_work().await {
            return false;
        }
        shut.for_good();
        true
    }

    /// Whether a run has something to do, or waits for somebody who will come.
    async fn has_work(&self) -> bool {
        for handle in self.site.engine.live_runs() {
            let people = self.serves != Serves::Script;
            match look(&handle, move |run| view::has_work(run) || people && waits_for_people(run)).await {
                Looked::At(true) | Looked::NoAnswer => return true,
                // A run whose task has just ended needs nobody.
                Looked::At(false) | Looked::Gone => {}
            }
        }
        false
    }

    /// While users may be in danger, the first word only warns.
    async fn heard(&self, voice: &Voice, again: &mut Signals) -> Word {
        let guarded = self.guarded().await;
        if guarded.is_empty() {
            return Word::First;
        }
        warn(voice, &guarded);
        voice.say("interrupt once more within 10 s to stop all the same");
        tokio::select! {
            () = again.next() => Word::Again,
            // A person's silence has no event; only the next word counts as a first one again.
            () = tokio::time::sleep(Duration::from_secs(10)) => {
                voice.say("not stopped: the engine goes on");
                Word::Withdrawn
            }
        }
    }

    /// After the first word: what began while steps settled, a rollback or a window, was not there to be warned of.
    async fn may_go(&self, voice: &Voice) -> bool {
        let guarded = self.guarded().await;
        if guarded.is_empty() {
            return true;
        }
        warn(voice, &guarded);
        voice.say("not stopped: the engine ends when that is over; interrupt once more to stop all the same");
        false
    }

    /// Runs with an open window, or with something that is being taken back.
    async fn guarded(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        for handle in self.site.engine.live_runs() {
            let why = look(&handle, |run| {
                if run.state == RunState::RollingBack {
                    Some("a rollback is under way")
                } else if run.live.iter().any(|(_, way)| *way == Direction::Undo) {
                    Some("a step is being taken back")
                } else {
                    view::is_guarded(run).then_some("users may be on the target and its criteria guard it")
                }
            });
            match why.await {
                Looked::At(Some(why)) => found.push((handle.name().to_string(), why)),
                Looked::NoAnswer => {
                    found.push((handle.name().to_string(), "its log hangs, so nobody knows how it stands"))
                }
                Looked::At(None) | Looked::Gone => {}
            }
        }
        found
    }

    /// Nothing new starts; what runs may end, within the plan's time to settle. Whether it was told again meanwhile.
    async fn hold(&self, voice: &Voice, again: &mut Signals) -> bool {
        let mut settling = Vec::new();
        for handle in self.site.engine.live_runs() {
            let by = Actor { channel: Some("signal".to_owned()), ..peer::this_process(None) };
            let forward = look(&handle, |run| (goes_forward(run), run.plan.policies.settle_within_ms)).await;
            let Looked::At((true, settle_ms)) = forward else { continue };
            let held = handle.decide(Verb::Pause, by, Some("interrupted in the foreground".into()));
            match tokio::time::timeout(LOOK_LIMIT, held).await {
                Ok(Ok(_)) => settling.push((handle, settle_ms)),
                Ok(Err(_)) => {}
                Err(_) => voice.say(&format!("run {}: its log does not write, so it is not held", handle.name())),
            }
        }
        let longest = settling.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
        if running(&settling).await > 0 {
            let limit = view::words::span_u(longest);
            voice.say(&format!("held; waiting up to {limit} for running steps; interrupt again to stop them"));
        }
        let deadline = tokio::time::sleep(Duration::from_millis(longest));
        tokio::pin!(deadline);
        while running(&settling).await > 0 {
            tokio::select! {
                () = again.next() => return true,
                () = &mut deadline => break,
                () = tokio::time::sleep(LOOK) => {
                    if !self.guarded().await.is_empty() {
                        // That is not waited for like a step: people are told, and the engine goes on.
                        break;
                    }
                }
            }
        }
        false
    }

    /// The engine's runs and all that belongs to it.
    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Ends the server, then the engine. What still runs is ended and told to the next engine.
    ///
    /// # Errors
    /// What the log said.
    pub async fn stop(self) -> Result<(), EngineError> {
        self.server.stop().await;
        self.site.engine.stop().await
    }
}

/// Says what nobody will guard.
fn warn(voice: &Voice, guarded: &[(String, &'static str)]) {
    for (run, why) in guarded {
        voice.say(&format!("run {run}: {why}; without an engine nothing will guard it"));
    }
}

/// What came of a look at a run.
enum Looked<T> {
    At(T),
    /// Its task ended.
    Gone,
    /// Its task hangs, which the disk can do to it.
    NoAnswer,
}

/// Looks at a run, but not for ever: an owner whose disk hangs must still hear people.
async fn look<T: Send + 'static>(
    handle: &RunHandle,
    look: impl FnOnce(&crate::machine::Run) -> T + Send + 'static,
) -> Looked<T> {
    match tokio::time::timeout(LOOK_LIMIT, handle.look(|run, _| look(run))).await {
        Ok(Ok(found)) => Looked::At(found),
        Ok(Err(_)) => Looked::Gone,
        Err(_) => Looked::NoAnswer,
    }
}

async fn running(handles: &[(RunHandle, u64)]) -> usize {
    let mut count = 0;
    for (handle, _) in handles {
        if let Looked::At(live) = look(handle, |run| run.live.len()).await {
            count += live;
        }
    }
    count
}

/// Whether a run starts steps on its way forward.
fn goes_forward(run: &crate::machine::Run) -> bool {
    run.state.starts_steps() && run.hold.is_none()
}

/// Whether a person will say something soon. A prepared run may wait for days: `go` starts an engine.
fn waits_for_people(run: &crate::machine::Run) -> bool {
    view::needs_person(run) && run.state != RunState::Prepared
}

/// Why there is no owner.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its socket.
    #[error(transparent)]
    Socket(#[from] crate::server::socket::SocketError),
    /// Where it tells what.
    #[error(transparent)]
    Outlets(#[from] OutletError),
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Engine(EngineError::Store(store)) => {
                let hint = match &store {
                    StoreError::OtherMachine { .. } | StoreError::NetworkFileSystem { .. } => {
                        Some("`--take-over` says that no other machine uses it")
                    }
                    StoreError::Held { .. } => Some("it does not listen yet, or not any more: try again in a moment"),
                    StoreError::NotPrivate { .. }
                    | StoreError::Claimed { .. }
                    | StoreError::LeaseLost { .. }
                    | StoreError::Corrupt(_)
                    | StoreError::Pruned { .. }
                    | StoreError::Closed { .. }
                    | StoreError::FlushFailed { .. }
                    | StoreError::DiskFull { .. }
                    | StoreError::TooLarge { .. }
                    | StoreError::Io { .. }
                    | StoreError::Format { .. }
                    | StoreError::Record(_)
                    | StoreError::BlobDamaged { .. }
                    | StoreError::BadDecision { .. }
                    | StoreError::Injected(_) => None,
                };
                let failed = Self::new("the engine cannot start").because(store);
                match hint {
                    Some(hint) => failed.hint(hint),
                    None => failed,
                }
            }
            StartError::Engine(error) => Self::new("the engine cannot start").because(error),
            StartError::Socket(error) => Self::new("the engine cannot listen").because(error),
            StartError::Outlets(error) => Self::new("the engine cannot tell what it was asked to tell")
                .because(error)
                .hint("an empty text takes a place away: `--handout ''`, `--webhook ''`"),
        }
    }
}
