//! Tells one outlet what the runs' logs have for it: reads on, tells what is due, tries again.
//!
//! One task per outlet. Nothing waits for it, and what it holds is bounded: what is due stands in the log, how far it was
//! told in the outbox. Start at [`Notifier::tell`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

use super::loud::may_be_heard;
use super::notice::{Notice, OfEngine, Wording};
use super::outbox::{ACT_AGAIN_MS, Book, Ledger, Mark, Next, OLD_MS, Rules, Trouble, Want, pick};
use super::post::{Post, Refusal};
use super::shelf::{Shelf, Told};
use super::{Mood, OutletError, Outlets};
use crate::engine::secrets::SecretSources;
use crate::engine::{DISK, Engine, EngineError, Told as Story};
use crate::machine::fact::Millis;
use crate::machine::run::Run;
use crate::machine::{Now, Record};
use crate::store::{RunName, StoreError, records};
use crate::view::{Level, Place};

/// News that come within are read at once.
const PAUSE: Duration = Duration::from_millis(300);

/// How long a run that could not be read waits.
const AGAIN: Duration = Duration::from_secs(5);

/// How long a run's task may take to answer.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// Transitions that are read at once.
const PAGE: usize = 256;

/// A run whose clock may differ a little from this machine's is looked at all the same.
const SLACK_MS: Millis = 60 * 60 * 1000;

/// The first pause after a try that failed; each one is twice as long.
const FIRST_PAUSE_MS: Millis = 1_000;

/// The longest pause of an outlet, and of one notice.
const LONGEST_PAUSE_MS: Millis = 60_000;

/// Of whom something is told.
#[derive(Debug, Clone)]
enum Whom {
    Run(RunName),
    Engine(String),
}

/// What is wrong with the engine itself now.
struct Wrong {
    event: &'static str,
    run: Option<RunName>,
    words: String,
    commands: Vec<String>,
}

/// Tells one outlet.
pub(super) struct Notifier {
    engine: Arc<Engine>,
    post: Post,
    key: String,
    shelf: Arc<Shelf>,
    least: Level,
    host: String,
    /// The state directory.
    folder: String,
    ledger: Ledger,
    books: BTreeMap<RunName, Book>,
    /// Runs of which there is more to read.
    news: BTreeSet<RunName>,
    /// Whether it is known which runs there are.
    is_known: bool,
    wrong: BTreeMap<String, Wrong>,
    /// Tries in a row that failed, and until when it is left alone for that.
    failures: u32,
    not_before: Millis,
    /// Notices that nobody needs any more.
    skipped: usize,
    mood: Mood,
}

impl Notifier {
    pub(super) fn new(engine: Arc<Engine>, post: Post, shelf: Arc<Shelf>, least: Level) -> Self {
        let key = post.key();
        Self {
            mood: Mood::new(post.what().to_owned()),
            ledger: shelf.ledger(&key),
            host: host(),
            folder: engine.state_dir().display().to_string(),
            engine,
            post,
            key,
            shelf,
            least,
            books: BTreeMap::new(),
            news: BTreeSet::new(),
            is_known: false,
            wrong: BTreeMap::new(),
            failures: 0,
            not_before: 0,
            skipped: 0,
        }
    }

    /// Tells until it is told to stop; then once more what is due, unless nobody hears it.
    pub(super) async fn tell(mut self, stop: CancellationToken) {
        let (mut stories, mut sayings) = (self.engine.stories(), self.engine.sayings());
        // Whoever started the engine has a word to say that ends what a restart held.
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        loop {
            let is_last = stop.is_cancelled();
            self.drain(&mut stories);
            if !self.is_known {
                self.is_known = self.begin().await.is_ok();
            }
            self.read_on().await;
            self.look_at_the_engine();
            let now = self.engine.clock().now().steady;
            let until = match self.next(now) {
                Next::Tell(..) if is_last && self.failures > 0 => return,
                Next::Tell(whom, want) => {
                    self.one(whom, want).await;
                    continue;
                }
                Next::Wait(_) | Next::Nothing if is_last => return,
                Next::Wait(until) => Some(until),
                Next::Nothing => None,
            };
            let retry = if self.is_known && self.news.is_empty() { Duration::MAX } else { AGAIN };
            tokio::select! {
                () = stop.cancelled() => {}
                told = stories.recv() => {
                    self.note(told);
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
                // What is wrong with the engine is said when it begins and when it ends.
                _ = sayings.recv() => {}
                () = sleep_until(&self.engine, until) => {}
                () = tokio::time::sleep(retry) => {}
            }
        }
    }

    /// Which runs there may be something to tell of.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let now = self.engine.clock().now().wall;
        let runs = self.engine.log().runs().await?;
        let mut kept = BTreeSet::new();
        for entry in runs.into_iter().filter(|entry| entry.stopped.is_none()) {
            let (head, name) = (&entry.head, entry.head.run.as_str());
            let is_old = head.at_ms < now - OLD_MS;
            let is_told = self.ledger.runs.get(name).map(|known| known.done.version >= head.version);
            let is_news = match is_told {
                _ if !head.is_final => true,
                Some(is_told) => !is_told,
                None => !is_old && head.at_ms >= self.ledger.since - SLACK_MS,
            };
            if is_news || !is_old {
                kept.insert(name.to_owned());
            }
            if is_news {
                self.news.insert(entry.head.run);
            }
        }
        self.ledger.runs.retain(|name, _| kept.contains(name));
        Ok(())
    }

    fn note(&mut self, told: Result<Story, RecvError>) {
        match told {
            Ok(told) => drop(self.news.insert(told.run)),
            // Some news were missed: all runs may have some.
            Err(RecvError::Lagged(_)) => self.is_known = false,
            Err(RecvError::Closed) => {}
        }
    }

    fn drain(&mut self, stories: &mut Receiver<Story>) {
        loop {
            match stories.try_recv() {
                Ok(told) => drop(self.news.insert(told.run)),
                Err(TryRecvError::Lagged(_)) => self.is_known = false,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    async fn read_on(&mut self) {
        for name in std::mem::take(&mut self.news) {
            let known = self.ledger.runs.get(name.as_str()).cloned().unwrap_or_default();
            let mut book = self.books.remove(&name).unwrap_or_else(|| Book::new(known));
            let before = book.entry().clone();
            let is_read = self.read(&name, &mut book).await;
            let entry = book.entry();
            let is_told = if entry.open == before.open && self.skipped == 0 { Told::No } else { Told::Yes };
            if *entry != before {
                self.put(&name, &book, is_told);
            }
            if !is_read {
                self.news.insert(name.clone());
            }
            if !(is_read && book.is_idle() && self.engine.live(&name).is_none()) {
                self.books.insert(name, book);
            }
        }
        if self.skipped > 0 {
            let (count, what) = (std::mem::take(&mut self.skipped), self.post.what());
            self.engine.say(format!("{what}: {count} notices of more than a day ago are not sent any more"));
        }
    }

    /// Reads what the log has of a run after what was read. Answers whether that is all.
    async fn read(&mut self, name: &RunName, book: &mut Book) -> bool {
        let rules = Rules { least: self.least, since: self.ledger.since };
        while !book.is_full() {
            let page = match self.engine.log().read(name, book.read().version + 1, PAGE).await {
                Ok(page) if page.is_empty() => return true,
                Ok(page) => page,
                // A person has to repair it first, or it is history.
                Err(StoreError::Corrupt(_) | StoreError::Pruned { .. }) => return true,
                Err(_) => return false,
            };
            let Ok(page) = page.iter().map(records).collect::<Result<Vec<_>, _>>() else { return true };
            if book.is_idle() && !page.iter().flatten().any(|record| may_be_heard(&record.event)) {
                page.iter().for_each(|records| book.pass(records.len()));
                continue;
            }
            // After the page was read: what the run is must not be older than what is told of it.
            let Some((run, now)) = self.look(name).await else { return false };
            for records in &page {
                self.skipped += book.take(&run, now, records, rules);
            }
            self.skipped += book.refresh(&run, now);
        }
        true
    }

    async fn look(&self, name: &RunName) -> Option<(Run, Now)> {
        if let Some(handle) = self.engine.live(name) {
            match tokio::time::timeout(LOOK_LIMIT, handle.look(|run, now| (run.clone(), now))).await {
                Ok(Ok(seen)) => return Some(seen),
                // Its task has just ended.
                Ok(Err(_)) => {}
                Err(_) => return None,
            }
        }
        let (run, _) = self.engine.read(name).await.ok()?;
        Some((run, self.engine.clock().now()))
    }

    /// What is wrong with the engine itself: no event of a run says so.
    fn look_at_the_engine(&mut self) {
        let given_up = self.engine.all_given_up().into_iter().map(|(run, why)| {
            let commands = vec![format!("bascule status {run}")];
            let words = EngineError::GivenUp { run: run.clone(), why }.to_string();
            (format!("givenUp {run}"), Wrong { event: "givenUp", run: Some(run), words, commands })
        });
        let disk = self.engine.complaint(DISK).map(|words| {
            let commands = vec!["bascule status".to_owned()];
            ("disk".to_owned(), Wrong { event: "disk", run: None, words, commands })
        });
        self.wrong = given_up.chain(disk).collect();
        let now = self.engine.clock().now().steady;
        self.ledger.troubles.retain(|what, _| self.wrong.contains_key(what));
        for what in self.wrong.keys() {
            let new = || Trouble { since: now, told: 0, next_at: 0, tries: 0 };
            self.ledger.troubles.entry(what.clone()).or_insert_with(new);
        }
    }

    fn next(&self, now: Millis) -> Next<Whom> {
        let of_runs =
            self.books.iter().flat_map(|(name, book)| book.wants().map(|want| (Whom::Run(name.clone()), want)));
        let of_engine = self.ledger.troubles.iter().map(|(what, trouble)| {
            let (before, sequence) = (Mark::default(), 0);
            let (repeat, when, tries) = (trouble.told, trouble.next_at, trouble.tries);
            (Whom::Engine(what.clone()), Want { sequence, before, repeat, level: Level::Page, when, tries })
        });
        let next = pick(of_runs.chain(of_engine), now);
        let is_left_alone = matches!(next, Next::Tell(..)) && now < self.not_before;
        if is_left_alone { Next::Wait(self.not_before) } else { next }
    }

    async fn one(&mut self, whom: Whom, want: Want) {
        match whom {
            Whom::Run(name) => {
                if let Some(mut book) = self.books.remove(&name) {
                    self.one_of(&name, &mut book, want).await;
                    self.put(&name, &book, Told::Yes);
                    self.books.insert(name.clone(), book);
                    // There may be room for more of it, or nothing left of it.
                    self.news.insert(name);
                }
            }
            Whom::Engine(what) => self.one_of_engine(&what, want).await,
        }
    }

    async fn one_of(&mut self, name: &RunName, book: &mut Book, want: Want) {
        let later = |now: Millis| now + pause_ms(want.tries);
        let (seen, record) = (self.look(name).await, self.record(name, want).await);
        let (Some((run, now)), Some((record, place))) = (seen, record) else {
            return book.failed(want.sequence, later(self.engine.clock().now().steady));
        };
        self.skipped += book.refresh(&run, now);
        if !book.has(want.sequence) {
            return;
        }
        let matter = book.matter(want.sequence);
        let wording =
            Wording { place, level: want.level, matter, repeat: want.repeat, host: &self.host, folder: &self.folder };
        let notice = Notice::of(&run, now, &record, &wording);
        let heard = self.post.tell(&notice, now.wall).await;
        let now = self.engine.clock().now().steady;
        match &heard {
            Ok(()) => book.delivered(want.sequence, now),
            Err(refusal) if refusal.is_final => book.given_up(want.sequence),
            Err(_) => book.failed(want.sequence, later(now)),
        }
        self.came_of(&notice.id, &heard, now);
    }

    async fn one_of_engine(&mut self, what: &str, want: Want) {
        let Some((wrong, trouble)) = self.wrong.get(what).zip(self.ledger.troubles.get(what)) else { return };
        let id = format!("{}-{}", wrong.event, trouble.since);
        let notice = Notice::of_engine(
            &OfEngine {
                id: &id,
                event: wrong.event,
                run: wrong.run.as_ref().map(RunName::as_str),
                words: &wrong.words,
                commands: &wrong.commands,
                since: trouble.since,
                level: want.level,
                repeat: want.repeat,
                host: &self.host,
                folder: &self.folder,
            },
            self.engine.clock().now(),
        );
        let heard = self.post.tell(&notice, self.engine.clock().now().wall).await;
        let now = self.engine.clock().now().steady;
        if let Some(trouble) = self.ledger.troubles.get_mut(what) {
            match &heard {
                // Nobody can say that they saw it where a run does not go on: it is told less often.
                Ok(()) => {
                    let told = trouble.told + 1;
                    *trouble = Trouble { told, next_at: now + ACT_AGAIN_MS, tries: 0, ..trouble.clone() };
                }
                Err(refusal) if refusal.is_final => trouble.next_at = now + OLD_MS,
                Err(_) => {
                    trouble.next_at = now + pause_ms(trouble.tries);
                    trouble.tries += 1;
                }
            }
        }
        self.shelf.put(&self.key, self.ledger.clone(), Told::Yes);
        self.came_of(&notice.id, &heard, now);
    }

    /// The event that is told, with its place.
    async fn record(&self, name: &RunName, want: Want) -> Option<(Record, Place)> {
        let page = self.engine.log().read(name, want.before.version + 1, 1).await.ok()?;
        let transition = page.first()?;
        let at = usize::try_from(want.sequence - want.before.sequence - 1).ok()?;
        let record = records(transition).ok()?.into_iter().nth(at)?;
        let place = Place { sequence: want.sequence, version: transition.version, epoch: transition.epoch };
        Some((record, place))
    }

    /// Says the first failure, and its end; leaves an outlet alone for a while that does not hear.
    fn came_of(&mut self, id: &str, heard: &Result<(), Refusal>, now: Millis) {
        match heard {
            Err(refusal) if refusal.is_final => {
                self.mood.refused(&self.engine, &format!("notice {id}"), &refusal.why);
                self.failures = 0;
            }
            Err(refusal) => {
                self.mood.note(&self.engine, &Err(refusal.why.clone()));
                self.not_before = now + pause_ms(self.failures);
                self.failures += 1;
            }
            Ok(()) => {
                self.mood.note(&self.engine, &Ok(()));
                self.failures = 0;
            }
        }
    }

    fn put(&mut self, name: &RunName, book: &Book, is_told: Told) {
        self.ledger.runs.insert(name.as_str().to_owned(), book.entry().clone());
        self.shelf.put(&self.key, self.ledger.clone(), is_told);
    }
}

/// Longer each time, and never the same for two that began to wait together.
fn pause_ms(tries: u32) -> Millis {
    let pause = FIRST_PAUSE_MS.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE_MS);
    pause * 3 / 4 + fastrand::i64(0..=pause / 2)
}

async fn sleep_until(engine: &Engine, until: Option<Millis>) {
    match until {
        Some(until) => engine.clock().sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What came of a test notice.
#[derive(Debug)]
pub struct Tested {
    /// The outlet.
    pub what: &'static str,
    /// Of the notice.
    pub level: Level,
    /// Why it was not heard.
    pub failed: Option<String>,
}

/// Sends a notice of each level to all outlets that hear notices, one after the other, whatever level they ask for.
///
/// # Errors
/// One of them names no place.
pub async fn test(
    outlets: &Outlets,
    sources: SecretSources,
    state: &Path,
    now: Now,
) -> Result<Vec<Tested>, OutletError> {
    let mut came_of = Vec::new();
    let (host, folder) = (host(), state.display().to_string());
    for post in Post::all(outlets, &Arc::new(sources))? {
        for level in [Level::Info, Level::Act, Level::Page] {
            let id = format!("test-{}-{}", level.word(), now.wall);
            let words = format!("a test notice of level `{}`: nothing happened", level.word());
            let test = OfEngine {
                id: &id,
                event: "test",
                run: None,
                words: &words,
                commands: &[],
                since: now.wall,
                level,
                repeat: 0,
                host: &host,
                folder: &folder,
            };
            let heard = post.tell(&Notice::of_engine(&test, now), now.wall).await;
            came_of.push(Tested { what: post.what(), level, failed: heard.err().map(|refusal| refusal.why) });
        }
    }
    Ok(came_of)
}
