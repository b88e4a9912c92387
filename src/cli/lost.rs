//! Whether an owner decided what it was asked before its answer was lost.
//!
//! A verb that is given twice may count twice: an extension, a note. So the log is asked first. What the verb would have
//! written is decided once more for the run as it was, and the events that the same person wrote since are compared with
//! it. Nothing here writes. Start at [`find`].

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::error::CliError;
use super::look::{plan, read_failed};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::machine::{Draft, Event, Input, Record, Reply, Run, note_down};
use crate::server::peer;
use crate::server::wire::{VerbAnswer, VerbRequest};
use crate::store::disk::RealDisk;
use crate::store::{Blobs, ReadError, Replay, RunLog, RunName, Transition};
use crate::view::{EventView, Place};

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// Fields that depend on when a verb was decided, not on what was said.
const TIMES: [&str; 3] = ["until", "settleBy", "deadline"];

/// The answer that was lost, if the verb was decided after the event with sequence number `since`.
///
/// # Errors
/// The run cannot be read.
pub(super) async fn find(
    state: &Path,
    log: &dyn RunLog,
    name: &RunName,
    request: &VerbRequest,
    since: u64,
) -> Result<Option<VerbAnswer>, CliError> {
    let blobs = Blobs::reading(Arc::new(RealDisk), state);
    let mut replay = Replay::new(name, |hash| plan(&blobs, hash));
    let mut later: Vec<(Place, Record)> = Vec::new();
    let (mut next, mut sequence) = (1, 0);
    loop {
        let page = log.read(name, next, PAGE).await.map_err(|error| read_failed(ReadError::Store(error)))?;
        for transition in &page {
            let records = records(name, transition)?;
            if sequence < since {
                replay.take(std::slice::from_ref(transition)).map_err(read_failed)?;
                sequence += records.len() as u64;
                continue;
            }
            for record in records {
                sequence += 1;
                let place = Place { sequence, version: transition.version, epoch: transition.epoch };
                later.push((place, record));
            }
        }
        if page.len() < PAGE {
            break;
        }
        next += page.len() as u64;
    }
    let run = replay.finish().map_err(read_failed)?;
    let mut now = run.clone();
    for (place, record) in &later {
        let (run, version) = (name.clone(), place.version);
        now.apply(record).map_err(|source| read_failed(ReadError::Illegal { run, version, source }))?;
    }
    let Some(first) = would_write(run, request) else { return Ok(None) };
    let mine = |record: &Record| record.by == first.by && record.reason == first.reason;
    let Some(at) = later.iter().position(|(_, record)| mine(record) && is_same(&record.event, &first.event)) else {
        return Ok(None);
    };
    let written: Vec<&(Place, Record)> = later[at..].iter().take_while(|(_, record)| mine(record)).collect();
    Ok(Some(VerbAnswer {
        run: name.to_string(),
        state: now.state.word().to_owned(),
        preview: false,
        no_engine: !now.state.is_final(),
        version: written.last().map_or(0, |(place, _)| place.version),
        events: written.iter().map(|(place, record)| EventView::of(name.as_str(), *place, record)).collect(),
    }))
}

fn records(name: &RunName, transition: &Transition) -> Result<Vec<Record>, CliError> {
    serde_json::from_str(transition.payload.as_str()).map_err(|error| {
        let (run, version, why) = (name.clone(), transition.version, error.to_string());
        read_failed(ReadError::Record { run, version, why })
    })
}

/// The first event that the verb writes to a run, as an owner would have written it.
fn would_write(mut run: Run, request: &VerbRequest) -> Option<Record> {
    let by = crate::machine::fact::Actor {
        channel: Some("socket".to_owned()),
        ..peer::this_process(request.claimed.clone())
    };
    let mut draft = Draft::new(&mut run, SystemClock::new().now(), 1);
    let (verb, reason) = (request.verb.clone().into_verb(), request.reason.clone().map(Into::into));
    let reply = note_down(&mut draft, Input::Verb { verb, by, reason }).ok()?;
    let (records, _) = draft.finish();
    records.into_iter().next().filter(|_| reply == Reply::Done)
}

fn is_same(a: &Event, b: &Event) -> bool {
    fn without_times(event: &Event) -> Option<Value> {
        let mut value = serde_json::to_value(event).ok()?;
        strip(&mut value);
        Some(value)
    }
    a.word() == b.word() && without_times(a) == without_times(b)
}

fn strip(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|key, _| !TIMES.contains(&key.as_str()));
        map.values_mut().for_each(strip);
    }
}
