//! What an owner decided before its answer was lost.
//!
//! A verb that is given twice may count twice: an extension, a note. So the log is asked first: each request has a name
//! of its own, which stands in the events that it led to. Nothing here writes. Start at [`find`].

use std::path::Path;
use std::sync::Arc;

use super::error::CliError;
use super::look::{plan, read_failed};
use crate::server::wire::VerbAnswer;
use crate::store::disk::RealDisk;
use crate::store::{Blobs, ReadError, Replay, RunLog, RunName, records};
use crate::view::{EventView, Place, unended};

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// The answer that was lost, if the request with this name was decided.
///
/// # Errors
/// The run cannot be read.
pub(super) async fn find(
    state: &Path,
    log: &dyn RunLog,
    name: &RunName,
    request: &str,
) -> Result<Option<VerbAnswer>, CliError> {
    let blobs = Blobs::reading(Arc::new(RealDisk), state);
    let mut replay = Replay::new(name, |hash| plan(&blobs, hash));
    let (mut written, mut version) = (Vec::new(), 0);
    let (mut next, mut sequence) = (1, 0);
    loop {
        let page = log.read(name, next, PAGE).await.map_err(|error| read_failed(ReadError::Store(error)))?;
        replay.take(&page).map_err(read_failed)?;
        for transition in &page {
            for record in records(transition).map_err(read_failed)? {
                sequence += 1;
                if record.by.as_ref().is_some_and(|by| by.request.as_deref() == Some(request)) {
                    let place = Place { sequence, version: transition.version, epoch: transition.epoch };
                    version = transition.version;
                    written.push(EventView::of(name.as_str(), place, &record));
                }
            }
        }
        if page.len() < PAGE {
            break;
        }
        next += page.len() as u64;
    }
    if written.is_empty() {
        return Ok(None);
    }
    let run = replay.finish().map_err(read_failed)?;
    Ok(Some(VerbAnswer {
        run: name.to_string(),
        state: run.state.word().to_owned(),
        preview: false,
        no_engine: !run.state.is_final(),
        may_run: unended(&run),
        version,
        events: written,
    }))
}
