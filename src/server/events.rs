//! Events of a run: a page, or as they come.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bascule_plugin::on_one_line;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;

use super::Site;
use super::problem::Problem;
use super::runs;
use crate::store::{Cursor, RunLog, RunName, Transition, records};
use crate::view::{EventView, Place};

/// Events in a page unless asked otherwise.
const PAGE: usize = 1000;
/// Events in a page at most.
const LONGEST_PAGE: usize = 20_000;
/// Transitions read at a time.
const READ: usize = 256;

/// What the route takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Events after this sequence number.
    #[serde(default)]
    after: u64,
    /// At most so many.
    limit: Option<usize>,
    /// As they come.
    #[serde(default)]
    follow: bool,
}

/// A page as NDJSON, or a stream of server-sent events whose ids are sequence numbers.
pub(super) async fn events(
    State(site): State<Arc<Site>>,
    Path((application, number)): Path<(String, String)>,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad(error.body_text()))?;
    let name = runs::name(&application, &number)?;
    let head = site.engine.log().head(&name).await?;
    if head.version == 0 {
        return Err(Problem::not_found(format!("there is no run {name}")));
    }
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).and_then(|id| id.parse().ok());
    let reader = Reader::new(&site, name, last.unwrap_or(query.after));
    let wants_stream = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    if query.follow || wants_stream {
        return Ok(follow(&site, reader).into_response());
    }
    let mut reader = reader;
    let limit = query.limit.unwrap_or(PAGE).min(LONGEST_PAGE);
    let mut text = String::new();
    let mut count = 0;
    'pages: loop {
        let page = reader.next().await?;
        if page.is_empty() {
            break;
        }
        for event in page {
            if count == limit {
                break 'pages;
            }
            count += 1;
            text.push_str(&serde_json::to_string(&event).map_err(|error| Problem::internal(error.to_string()))?);
            text.push('\n');
        }
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response())
}

/// Where transitions begin: so many events come before such a version. A page that is asked for is read from the last
/// mark before it, not from the run's beginning. What is durable never changes, so neither does a mark.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<HashMap<RunName, BTreeMap<u64, u64>>>);

impl Marks {
    fn of(&self) -> MutexGuard<'_, HashMap<RunName, BTreeMap<u64, u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last mark at or before a sequence number: how many events come before which version.
    fn before(&self, run: &RunName, after: u64) -> (u64, u64) {
        let marks = self.of();
        let found = marks.get(run).and_then(|marks| marks.range(..=after).next_back());
        found.map_or((0, 1), |(sequence, version)| (*sequence, *version))
    }

    /// Keeps one in so many transitions.
    fn set(&self, run: &RunName, sequence: u64, version: u64) {
        let mut marks = self.of();
        let known = marks.entry(run.clone()).or_default();
        let last = known.range(..=sequence).next_back().map_or(1, |(_, version)| *version);
        if version >= last + READ as u64 {
            known.insert(sequence, version);
        }
    }
}

/// Reads a run's events in order, from a sequence number on. It reads the log again rather than queueing: a slow
/// reader misses nothing and holds nobody up.
pub(super) struct Reader {
    log: Arc<dyn RunLog>,
    marks: Arc<Marks>,
    run: RunName,
    /// Events up to here were given.
    after: u64,
    /// The sequence number of the last event read.
    sequence: u64,
    /// The next transition.
    next: u64,
    is_final: bool,
}

impl Reader {
    pub(super) fn new(site: &Site, run: RunName, after: u64) -> Self {
        let (log, marks) = (site.engine.log().clone(), site.marks.clone());
        let (sequence, next) = marks.before(&run, after);
        Self { log, marks, run, after, sequence, next, is_final: false }
    }

    /// Events that are there and were not given yet; empty: none now.
    pub(super) async fn next(&mut self) -> Result<Vec<EventView>, Problem> {
        loop {
            let page = self.log.read(&self.run, self.next, READ).await?;
            let mut events = Vec::new();
            for transition in &page {
                self.take(transition, &mut events)?;
            }
            self.marks.set(&self.run, self.sequence, self.next);
            if page.is_empty() || !events.is_empty() {
                return Ok(events);
            }
        }
    }

    fn take(&mut self, transition: &Transition, events: &mut Vec<EventView>) -> Result<(), Problem> {
        let records = records(transition).map_err(|error| Problem::internal(on_one_line(&error)))?;
        self.next = transition.version + 1;
        self.is_final = transition.is_final;
        for record in records {
            self.sequence += 1;
            if self.sequence > self.after {
                let place = Place { sequence: self.sequence, version: transition.version, epoch: transition.epoch };
                events.push(EventView::of(self.run.as_str(), place, &record));
                self.after = self.sequence;
            }
        }
        Ok(())
    }
}

/// Where a stream stands.
struct Following {
    site: Arc<Site>,
    reader: Reader,
    news: watch::Receiver<Cursor>,
    ready: std::collections::VecDeque<EventView>,
    is_over: bool,
}

fn follow(site: &Arc<Site>, reader: Reader) -> Sse<impl stream::Stream<Item = Result<Sent, Infallible>> + use<>> {
    let news = site.engine.log().news();
    let following =
        Following { site: site.clone(), reader, news, ready: std::collections::VecDeque::new(), is_over: false };
    let stream = stream::unfold(following, |mut following| async move {
        let sent = following.next().await?;
        Some((Ok(sent), following))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

impl Following {
    /// The next event; `None` once the run is over and all was told, or the owner goes down.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(sent(&event));
            }
            if self.is_over {
                return None;
            }
            // Marked as seen before reading: what arrives during the read wakes the wait below.
            self.news.mark_unchanged();
            match self.reader.next().await {
                Ok(events) => self.ready.extend(events),
                Err(problem) => {
                    self.is_over = true;
                    return Some(Sent::default().event("problem").data(json(&problem)));
                }
            }
            if !self.ready.is_empty() {
                continue;
            }
            if self.reader.is_final && self.site.engine.live(&self.reader.run).is_none() {
                self.is_over = true;
                return Some(Sent::default().event("end").data("the run is over"));
            }
            let closing = self.site.closing.clone();
            // A finished run's task takes itself off the list a moment after its last event.
            let soon =
                tokio::time::sleep(std::time::Duration::from_millis(if self.reader.is_final { 20 } else { 5000 }));
            tokio::select! {
                () = closing.cancelled() => {
                    self.is_over = true;
                    return Some(Sent::default().event("leaving").data("the engine is going down"));
                }
                changed = self.news.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = soon => {}
            }
        }
    }
}

fn sent(event: &EventView) -> Sent {
    Sent::default().id(event.sequence.to_string()).event(event.event.clone()).data(json(event))
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("views have string keys and finite numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_from_the_last_mark_before_it() {
        let marks = Marks::default();
        let run = RunName::parse("shop/1").expect("a run's name");
        assert_eq!(marks.before(&run, 9_999), (0, 1));
        marks.set(&run, 300, 100);
        assert_eq!(marks.before(&run, 9_999), (0, 1), "too near to be worth a mark");
        marks.set(&run, 900, 257);
        marks.set(&run, 903, 258);
        marks.set(&run, 2_000, 513);
        assert_eq!(marks.before(&run, 899), (0, 1));
        assert_eq!(marks.before(&run, 1_999), (900, 257));
        assert_eq!(marks.before(&run, 2_000), (2_000, 513));
    }
}
