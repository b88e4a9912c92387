//! What an engine tells the world around it: notices for people, a page to finish by hand from, a sign of life.
//!
//! Nothing here can hurt a run: each outlet is a task of its own that is bounded in time and memory, sees runs only as
//! they stand, and whose failures are told and forgotten. Where they go is kept in the state directory, so that an engine
//! that takes over tells the same places. Start with [`Outlets`], then [`notify`], [`handout`] and [`heartbeat`].

pub mod handout;
pub mod heartbeat;
pub mod loud;
pub mod notice;
pub mod notify;
pub mod outbox;
mod post;
mod program;
mod shelf;
mod webhook;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::notify::Notifier;
use self::post::Post;
use self::shelf::Shelf;
use crate::engine::{Engine, place_of};
use crate::view::Level;

/// How long an answer from elsewhere is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last of it may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where an engine tells what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outlets {
    /// A folder or an address for the pages to finish by hand from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handout: Option<String>,
    /// An address that hears that the engine lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
    /// A program that is started with each notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_command: Option<String>,
    /// An address that hears each notice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The name of the secret that signs what the webhook hears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
    /// The least level of a notice; `act` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_level: Option<Level>,
    /// Where the directory stood for which they were named; absent: an older release kept them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// Why outlets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OutletError {
    /// No folder and no address.
    #[error("`{0}` is neither an absolute folder nor an address with http:// or https://")]
    Place(String),
    /// No place of a program.
    #[error("`{0}` is not the absolute path of a program")]
    Program(String),
    /// Their file.
    #[error(
        "{path} cannot be read: neither this engine nor a later one uses what stood there, until the places are \
         named anew with `run` or `resume`"
    )]
    Unread {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The same.
    #[error("{path} cannot be written: a later engine will not know what this one tells outside")]
    Unwritten {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// They belong to the directory that this one is a copy of.
    #[error(
        "this state directory was copied or moved: {0} of the directory it comes from hears nothing from here; if this \
         one takes its place, name them again (`--handout`, `--heartbeat`, `--notify-command`, `--webhook`); '' takes one away"
    )]
    Elsewhere(String),
}

/// Where pages go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Web(Url),
}

impl Place {
    fn read(text: &str) -> Result<Self, OutletError> {
        if is_address(text) {
            return web(text).map(Self::Web);
        }
        let path = PathBuf::from(text);
        // The next engine may be started from another folder.
        if path.is_absolute() { Ok(Self::Folder(path)) } else { Err(OutletError::Place(text.to_owned())) }
    }
}

/// Whether a text is meant as an address, of whatever kind, and not as a folder.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let is_scheme = |front: &str| {
        front.starts_with(|c: char| c.is_ascii_alphabetic())
            && front.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    text.split_once("://").is_some_and(|(front, _)| is_scheme(front))
}

fn web(text: &str) -> Result<Url, OutletError> {
    let url = Url::parse(text).ok().filter(|url| url.host().is_some() && matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| OutletError::Place(text.to_owned()))
}

impl Outlets {
    fn path(state: &Path) -> PathBuf {
        state.join("outlets.json")
    }

    /// Those of a state directory; none where nobody named any.
    ///
    /// # Errors
    /// Their file cannot be read.
    pub fn of(state: &Path) -> Result<Self, OutletError> {
        let path = Self::path(state);
        let failed = |source| OutletError::Unread { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether they can be used at all; an empty text takes one away.
    ///
    /// # Errors
    /// One of them names no place.
    pub fn check(&self) -> Result<(), OutletError> {
        let given = |place: &Option<String>| place.clone().filter(|place| !place.is_empty());
        given(&self.handout).map_or(Ok(()), |place| Place::read(&place).map(drop))?;
        given(&self.heartbeat).map_or(Ok(()), |url| web(&url).map(drop))?;
        given(&self.webhook).map_or(Ok(()), |url| web(&url).map(drop))?;
        given(&self.notify_command).map_or(Ok(()), |path| post::program(&path).map(drop))
    }

    /// Those of a state directory with these in place of theirs; an empty text takes one away. Kept for later engines; a
    /// file that cannot be read or written never keeps an engine from starting: it is told.
    ///
    /// # Errors
    /// One of them names no place.
    pub fn keep(self, state: &Path) -> Result<(Self, Option<OutletError>), OutletError> {
        self.check()?;
        let here = place_of(state).ok();
        let (known, unread) = match Self::of(state) {
            Ok(known) if known.is_elsewhere(here.as_deref()) => {
                let lost = known.named().into_iter().zip(self.named()).filter(|(old, new)| old.1 && !new.1);
                // Not where they lie: an address may hold a password.
                let lost: Vec<&str> = lost.map(|((name, _), _)| name).collect();
                let told = (!lost.is_empty()).then(|| OutletError::Elsewhere(lost.join(" and ")));
                if self == Self::default() {
                    return Ok((Self::default(), told));
                }
                (Self::default(), told)
            }
            Ok(known) => (known, None),
            Err(error) => (Self::default(), Some(error)),
        };
        let before = Self { of: None, ..known.clone() };
        let mut all = self.over(before.clone());
        let is_new = all != before;
        let is_unmarked = known.of.is_none() && all != Self::default();
        all.of = here;
        let path = Self::path(state);
        let text = serde_json::to_string_pretty(&all).expect("texts can be written");
        let unwritten = (is_new || is_unmarked).then(|| write_whole(&path, text.as_bytes()).err()).flatten();
        Ok((all, unwritten.map(|source| OutletError::Unwritten { path, source }).or(unread)))
    }

    /// Whether they were named for another directory.
    fn is_elsewhere(&self, here: Option<&str>) -> bool {
        let is_named = self.named().iter().any(|(_, is_named)| *is_named);
        is_named && self.of.as_deref().zip(here).is_some_and(|(of, here)| of != here)
    }

    /// The places, and whether each is named.
    fn named(&self) -> [(&'static str, bool); 4] {
        [
            ("the handout", self.handout.is_some()),
            ("the heartbeat", self.heartbeat.is_some()),
            ("the program of notices", self.notify_command.is_some()),
            ("the webhook", self.webhook.is_some()),
        ]
    }

    /// These in place of others; an empty text takes one away.
    #[must_use]
    pub fn over(self, others: Self) -> Self {
        let pick = |new: Option<String>, old: Option<String>| new.or(old).filter(|place| !place.is_empty());
        Self {
            handout: pick(self.handout, others.handout),
            heartbeat: pick(self.heartbeat, others.heartbeat),
            notify_command: pick(self.notify_command, others.notify_command),
            webhook: pick(self.webhook, others.webhook),
            webhook_secret: pick(self.webhook_secret, others.webhook_secret),
            notify_level: self.notify_level.or(others.notify_level),
            of: None,
        }
    }

    /// Begins to tell. What goes wrong is said once, and once more when it is well again.
    ///
    /// # Errors
    /// One of them names no place.
    pub fn start(&self, engine: &Arc<Engine>) -> Result<Telling, OutletError> {
        let sources = Arc::new(engine.secrets().clone());
        let posts = Post::all(self, &sources)?;
        let shelf = (!posts.is_empty()).then(|| Shelf::open(engine, &posts));
        let mut telling = Telling { tasks: JoinSet::new(), stop: CancellationToken::new(), shelf: shelf.clone() };
        for (post, shelf) in posts.into_iter().zip(shelf.iter().cycle()) {
            let least = self.notify_level.unwrap_or(Level::Act);
            let notifier = Notifier::new(engine.clone(), post, shelf.clone(), least);
            telling.tasks.spawn(notifier.tell(telling.stop.clone()));
        }
        if let Some(shelf) = shelf {
            telling.tasks.spawn(shelf.keep(telling.stop.clone()));
        }
        if let Some(place) = &self.handout {
            telling.tasks.spawn(handout::keep(engine.clone(), Place::read(place)?, telling.stop.clone()));
        }
        if let Some(url) = &self.heartbeat {
            telling.tasks.spawn(heartbeat::beat(engine.clone(), web(url)?, telling.stop.clone()));
        }
        Ok(telling)
    }
}

/// The outlets of an engine at work.
pub struct Telling {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    /// Where it is kept what was told.
    shelf: Option<Arc<Shelf>>,
}

impl Telling {
    /// Tells what is left to tell, for a moment: whoever wants the state directory waits for it.
    pub async fn end(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::warn!("not everything was told outside before the engine ended");
        }
        self.cut().await;
    }

    /// Tells nothing more, and keeps what was told: the next engine goes on from there.
    pub async fn cut(mut self) {
        self.tasks.shutdown().await;
        if let Some(shelf) = self.shelf.take() {
            shelf.close().await;
        }
    }
}

/// A file as a whole: who reads it never sees half of it, also after a power loss.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = std::fs::File::create(&fresh).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&fresh, path)).inspect_err(|_| drop(std::fs::remove_file(&fresh)))
}

/// Says the first failure of an outlet, and its end.
struct Mood {
    what: String,
    failing: bool,
}

impl Mood {
    fn new(what: String) -> Self {
        Self { what, failing: false }
    }

    fn note(&mut self, engine: &Engine, result: &Result<(), String>) {
        match result {
            Ok(()) if self.failing => engine.settle(&self.what, format!("{} works again", self.what)),
            Err(why) if !self.failing => {
                engine.complain(&self.what, format!("{} fails: {why}; runs go on, it is tried again", self.what));
            }
            Ok(()) | Err(_) => {}
        }
        self.failing = result.is_err();
    }

    /// One thing is not wanted there, and is not tried again.
    fn refused(&mut self, engine: &Engine, what: &str, why: &str) {
        engine.complain(&self.what, format!("{} does not take {what}: {why}; it is not tried again", self.what));
        self.failing = true;
    }
}

fn client() -> reqwest::Client {
    let built = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
    built.expect("a client without special wishes can be made")
}

/// An answer that is no success, in words.
async fn sent(request: reqwest::RequestBuilder) -> Result<(), String> {
    let answer = request.send().await.map_err(|error| {
        // An address may hold a password.
        error.without_url().to_string()
    })?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("the answer is {}", answer.status())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handout(place: &str) -> Outlets {
        Outlets { handout: Some(place.to_owned()), ..Outlets::default() }
    }

    #[test]
    fn an_address_of_another_kind_is_no_folder() {
        for wrong in ["file:///mnt/share", "s3://bucket/x", "FTP://host/x", "httpx://host", "http://"] {
            assert!(handout(wrong).check().is_err(), "{wrong}");
        }
        for right in ["/mnt/share", "/mnt/a://b", "HTTP://host/x", "https://host/x"] {
            assert!(handout(right).check().is_ok(), "{right}");
        }
        assert_eq!(
            Place::read("HTTP://Host/x").expect("an address"),
            Place::Web(Url::parse("http://host/x").expect("a URL"))
        );
    }

    #[test]
    fn a_copy_of_a_state_directory_does_not_tell_the_places_of_the_original() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, copy) = (folder.path().join("first"), folder.path().join("copy"));
        for path in [&first, &copy] {
            std::fs::create_dir(path).expect("a folder");
        }
        let (kept, _) = handout("/mnt/share").keep(&first).expect("a place");
        std::fs::copy(first.join("outlets.json"), copy.join("outlets.json")).expect("a copy");
        for _engine in 0..2 {
            let (used, told) = Outlets::default().keep(&copy).expect("nothing new");
            assert_eq!((used.handout, used.heartbeat), (None, None));
            let told = told.expect("people must know").to_string();
            assert!(told.contains("the handout of the directory it comes from"), "{told}");
        }
        let (named, told) = handout("/mnt/share").keep(&copy).expect("a place");
        assert_eq!((named.handout, told.is_none()), (kept.handout.clone(), true));
        let (again, _) = Outlets::default().keep(&copy).expect("nothing new");
        assert_eq!(again.handout, kept.handout, "it is this one's now");
        assert_eq!(Outlets::default().keep(&first).expect("nothing new").0, kept);
    }
}
