//! Keeps the pages from which people finish runs by hand, in a folder or at an address elsewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Mood, PATIENCE, Place, client, sent, write_whole};
use crate::engine::Engine;
use crate::engine::registry::{self, Registry};
use crate::machine::Now;
use crate::machine::run::Run;
use crate::report::by_hand::ByHand;
use crate::store::RunName;

/// News that come within are one page.
const PAUSE: Duration = Duration::from_millis(300);

/// How long a page that could not be written waits.
const AGAIN: Duration = Duration::from_secs(15);

/// The page of a run, with the lines of this program's own executors.
#[must_use]
pub fn page(run: &Run, now: Now) -> ByHand {
    page_with(&registry::executors(), run, now)
}

fn page_with(registry: &Registry, run: &Run, now: Now) -> ByHand {
    ByHand::of(run, now, &|uses, task| registry.get(uses).and_then(|executor| executor.by_hand(task)))
}

/// Writes the page of each run that there is news of; once more what is due when it is told to stop.
pub(super) async fn keep(engine: Arc<Engine>, place: Place, stop: CancellationToken) {
    let mut stories = engine.stories();
    let mut mood = Mood::new("the handout".to_owned());
    let mut hand = Hand { place, hangs: None };
    let all = || engine.live_runs().iter().map(|handle| handle.name().clone()).collect::<BTreeSet<RunName>>();
    let mut due = all();
    loop {
        if due.is_empty()
            && let Some(news) = stop.run_until_cancelled(stories.recv()).await
        {
            match news {
                Ok(told) => drop(due.insert(told.run)),
                // Some news were missed: all runs may have some.
                Err(RecvError::Lagged(_)) => due = all(),
                Err(RecvError::Closed) => return,
            }
            stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
        }
        let is_last = stop.is_cancelled();
        loop {
            match stories.try_recv() {
                Ok(told) => drop(due.insert(told.run)),
                Err(TryRecvError::Lagged(_)) => due.append(&mut all()),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let mut failed = BTreeSet::new();
        for name in std::mem::take(&mut due) {
            let written = hand.one(&engine, &name).await;
            mood.note(&engine, &written);
            if written.is_err() {
                failed.insert(name);
            }
        }
        if is_last {
            return;
        }
        if !failed.is_empty() {
            stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
            due = failed;
        }
    }
}

/// Where pages go, and what of them is under way.
struct Hand {
    place: Place,
    /// A page that its folder has not taken yet. No second one is begun beside it: they would pile up.
    hangs: Option<JoinHandle<std::io::Result<()>>>,
}

impl Hand {
    async fn one(&mut self, engine: &Engine, name: &RunName) -> Result<(), String> {
        let (run, now) = match engine.live(name) {
            Some(handle) => match handle.look(|run, now| (run.clone(), now)).await {
                Ok(seen) => seen,
                Err(_gone) => read(engine, name).await?,
            },
            None => read(engine, name).await?,
        };
        let html = page_with(engine.registry(), &run, now).html().map_err(|error| error.to_string())?;
        match &self.place {
            Place::Folder(folder) => {
                let folder = folder.clone();
                self.put(&folder, name, html).await.map_err(|why| format!("{}: {why}", folder.display()))
            }
            Place::Web(base) => {
                let mut url = base.clone();
                if let Ok(mut path) = url.path_segments_mut() {
                    path.pop_if_empty().extend(name.as_str().split('/')).push("by-hand.html");
                }
                sent(client().put(url).header(CONTENT_TYPE, "text/html; charset=utf-8").body(html)).await
            }
        }
    }

    /// Into the folder, unless that does not answer, as a share of the network may not.
    async fn put(&mut self, folder: &Path, name: &RunName, html: String) -> Result<(), String> {
        if self.hangs.as_ref().is_some_and(|hangs| !hangs.is_finished()) {
            return Err("a page that was begun before is still not written".to_owned());
        }
        let path = folder.join(name.as_str()).join("by-hand.html");
        let writing = self.hangs.insert(tokio::task::spawn_blocking(move || put(&path, &html)));
        match tokio::time::timeout(PATIENCE, &mut *writing).await {
            Ok(written) => {
                self.hangs = None;
                written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
            }
            Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
        }
    }
}

async fn read(engine: &Engine, name: &RunName) -> Result<(Run, Now), String> {
    let (run, _) = engine.read(name).await.map_err(|error| error.to_string())?;
    Ok((run, engine.clock().now()))
}

fn put(path: &Path, html: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write_whole(path, html.as_bytes())
}
