//! A person's verb: looked at, or decided.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};

use super::Site;
use super::events::Reader;
use super::peer::Peer;
use super::problem::Problem;
use super::runs;
use super::wire::{VerbAnswer, VerbRequest};
use crate::machine::fact::Actor;
use crate::machine::{Input, Now, Reply, Run, Verb, note_down};
use crate::store::RunName;
use crate::view::{Engine, EventView, Place};

/// Decides, or previews.
pub(super) async fn decide(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((application, number)): Path<(String, String)>,
    body: Result<Json<VerbRequest>, JsonRejection>,
) -> Result<Json<VerbAnswer>, Problem> {
    let name = runs::name(&application, &number)?;
    let Json(request) = body.map_err(|error| runs::rejected(&error))?;
    let by = peer.actor(request.claimed, request.id);
    let verb = request.verb.into_verb();
    let reason: Option<Arc<str>> = request.reason.map(Into::into);
    if let Verb::Amend { step, set, .. } = &verb {
        let (run, _) = runs::run_now(&site, &name).await?;
        super::amend::check(&run, step, set)?;
    }
    if request.preview {
        let (run, now) = runs::run_now(&site, &name).await?;
        return preview(run, now, verb, Told { by, reason, engine: Engine::There }).map(Json);
    }
    let decided = {
        let (engine, name) = (site.engine.clone(), name.clone());
        site.gate.inside(async move { engine.decide(&name, verb, by, reason).await }).await?
    };
    if let Reply::Refused { why, hint } = decided.reply {
        return Err(Problem::refused(why).hint(hint));
    }
    let events = match decided.events {
        Some((first, last)) => written(&site, &name, first, last).await?,
        None => Vec::new(),
    };
    let (run, _) = runs::run_now(&site, &name).await?;
    Ok(Json(VerbAnswer {
        run: name.to_string(),
        state: run.state.word().to_owned(),
        preview: false,
        no_engine: false,
        may_run: vec![],
        version: decided.version,
        events,
    }))
}

/// Who says it, and why.
pub struct Told {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: Option<Arc<str>>,
    /// Who executes the run.
    pub engine: Engine,
}

/// What a verb would write first, without writing it.
///
/// # Errors
/// The verb would be refused.
pub fn preview(mut run: Run, now: Now, verb: Verb, told: Told) -> Result<VerbAnswer, Problem> {
    let (name, state, before) = (run.name.clone(), run.state, run.sequence);
    let epoch = run.epoch;
    let mut draft = told.engine.draft(&mut run, now);
    let reply = note_down(&mut draft, Input::Verb { verb, by: told.by, reason: told.reason });
    let reply = reply.map_err(|illegal| Problem::internal(format!("a bug in bascule: {illegal}")))?;
    if let Reply::Refused { why, hint } = reply {
        return Err(Problem::refused(why).hint(hint));
    }
    let place = |at: usize| Place { sequence: before + 1 + at as u64, version: 0, epoch };
    let events = draft.records().iter().enumerate().map(|(at, record)| EventView::of(&name, place(at), record));
    Ok(VerbAnswer {
        run: name.to_string(),
        state: state.word().to_owned(),
        preview: true,
        no_engine: false,
        may_run: vec![],
        version: 0,
        events: events.collect(),
    })
}

/// The events from `first` to `last`, as they stand in the log.
async fn written(site: &Site, name: &RunName, first: u64, last: u64) -> Result<Vec<EventView>, Problem> {
    let mut reader = Reader::new(site, name.clone(), first - 1);
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &EventView| event.sequence < last) {
        let page = reader.next().await?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    events.retain(|event| event.sequence <= last);
    Ok(events)
}
