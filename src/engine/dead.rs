//! What dead engines left: their attempts are ended before anything else, or named where nobody here can end them.
//!
//! The log says which attempts are not proved to have ended ([`Run::unended`](crate::machine::Run)), of open runs and of
//! those that ended without an engine. It must never end what a finished attempt left running on purpose. Start with
//! [`Engine::end_dead_attempts`].

use std::collections::{BTreeSet, HashMap};

use super::adopt::Engine;
use super::attempt_log;
use super::error::EngineError;
use super::place::{Former, Sight};
use super::processes::{self, Found, Hunt};
use super::pulse::Seen;
use crate::machine::Run;
use crate::machine::fact::{Direction, Millis};
use crate::machine::unended::AttemptKey;
use crate::store::{Head, RunName};

/// What an engine that starts knows of former ones.
pub(super) struct Dead<'a> {
    /// Runs to be adopted.
    pub(super) open: &'a [(Run, Head)],
    /// All other runs, with the time of their newest transition: over, or stopped by damage.
    pub(super) others: &'a HashMap<RunName, Millis>,
    /// When engines were last there.
    pub(super) seen: &'a Seen,
    /// Ids that the directory had elsewhere.
    pub(super) former: &'a [Former],
}

/// An attempt's id without the directory's.
struct Name<'a> {
    run: RunName,
    step: &'a str,
    label: &'a str,
}

impl<'a> Name<'a> {
    /// `application/number/step/forward-1`.
    fn parse(id: &'a str) -> Option<Self> {
        let (application, rest) = id.split_once('/')?;
        let (number, rest) = rest.split_once('/')?;
        let (step, label) = rest.rsplit_once('/')?;
        Some(Self { run: RunName::parse(&format!("{application}/{number}")).ok()?, step, label })
    }

    /// The attempt of a run that it names; nothing for a look.
    fn key(&self, run: &Run) -> Option<AttemptKey> {
        let (direction, number) = match self.label.split_once('-')? {
            ("forward", number) => (Direction::Forward, number),
            ("undo", number) => (Direction::Undo, number),
            _ => return None,
        };
        Some((run.plan.find(&self.step.into())?, direction, number.parse().ok()?))
    }
}

/// Whether an attempt is known to have ended: what it left running then was left on purpose.
fn has_ended(run: &Run, (ix, direction, number): AttemptKey) -> bool {
    let record = run.step(ix);
    let newest = match direction {
        Direction::Forward => record.attempts,
        Direction::Undo => record.undo_attempts,
    };
    // A log that was cut by hand may not know it at all.
    number <= newest && !run.unended.contains_key(&(ix, direction, number))
}

impl Engine {
    /// Before anything else happens to a run. What a finished attempt left running on purpose stays.
    pub(super) async fn end_dead_attempts(&self, dead: &Dead<'_>) -> Result<Vec<String>, EngineError> {
        let prefix = format!("{}/", self.cx.state_id);
        let mut over = HashMap::new();
        for (name, newest) in dead.others {
            if dead.seen.may_have_left(name, *newest) {
                over.extend(self.left_by(name).await.filter(|run| !run.unended.is_empty()).map(|run| (name, run)));
            }
        }
        let names = dead.open.iter().map(|(_, head)| &head.run).chain(over.keys().copied());
        let folders = names.map(|name| attempt_log::run_folder(&self.cx.state, name)).collect();
        let notes = Some(attempt_log::spare_notes(&self.cx.state));
        let hunt = Hunt { prefix: prefix.clone(), folders, notes };
        // Of runs that were over long ago only those are read of which something runs.
        let first = processes::look(&hunt).await?;
        for Found { attempt, .. } in &first {
            let name = attempt.strip_prefix(&prefix).and_then(Name::parse).map(|name| name.run);
            let Some((name, _)) = name.and_then(|name| dead.others.get_key_value(&name)) else { continue };
            if !over.contains_key(name) {
                over.extend(self.left_by(name).await.map(|run| (name, run)));
            }
        }
        if dead.open.is_empty() && over.is_empty() && first.is_empty() {
            // Nothing was under way when the last engine ended.
            return Ok(Vec::new());
        }
        let open: HashMap<&RunName, &Run> = dead.open.iter().map(|(run, head)| (&head.run, run)).collect();
        let is_spared = |id: &str| {
            let Some(name) = id.strip_prefix(&prefix).and_then(Name::parse) else { return false };
            if !name.label.starts_with("forward-") && !name.label.starts_with("undo-") {
                // Looks leave nothing on purpose.
                return false;
            }
            match open.get(&name.run).copied().or_else(|| over.get(&name.run)) {
                Some(run) => name.key(run).is_some_and(|key| has_ended(run, key)),
                // What its log says nobody can read: a person is told.
                None => dead.others.contains_key(&name.run) || self.given_up(&name.run).is_some(),
            }
        };
        Ok(processes::end(hunt, is_spared).await?)
    }

    /// A run that is not executed, if it can be read.
    async fn left_by(&self, name: &RunName) -> Option<Run> {
        match self.read(name).await {
            Ok((run, _)) => Some(run),
            Err(error) => {
                tracing::warn!(run = %name, %error, "a run cannot be read: nothing of it is ended");
                None
            }
        }
    }

    /// The attempts that were begun where this directory stood before, and that may still run there: an engine here may
    /// not end them, and must not act as if they had ended.
    pub(super) async fn out_of_sight(&self, dead: &Dead<'_>) -> Result<HashMap<RunName, Vec<AttemptKey>>, EngineError> {
        let mut found = HashMap::new();
        if dead.former.is_empty() {
            return Ok(found);
        }
        let folders: Vec<_> =
            dead.open.iter().map(|(_, head)| attempt_log::run_folder(&self.cx.state, &head.run)).collect();
        let notes = Some(attempt_log::spare_notes(&self.cx.state));
        let mut alive = Vec::new();
        for former in dead.former {
            let prefix = format!("{}/", former.id);
            let processes = match former.sight() {
                Sight::Clear => Some(
                    processes::look(&Hunt { prefix: prefix.clone(), folders: folders.clone(), notes: notes.clone() })
                        .await?,
                ),
                Sight::None => None,
            };
            let names = processes.map(|processes| -> BTreeSet<String> {
                processes.iter().filter_map(|found| found.attempt.strip_prefix(&prefix).map(str::to_owned)).collect()
            });
            alive.push((former.id.as_str(), names));
        }
        for (run, head) in dead.open {
            let may_run = |key: &AttemptKey, place: Option<&str>| {
                let id = super::attempt::label(key.1, key.2);
                let front = format!("{}/{}", head.run.as_str(), run.plan.step(key.0).id);
                alive.iter().filter(|(former, _)| place.is_none_or(|place| place == *former)).any(|(_, names)| {
                    // Also while it is verified it has not ended.
                    let is_among = |names: &BTreeSet<String>| {
                        names.contains(&format!("{front}/{id}")) || names.contains(&format!("{front}/verify-{id}"))
                    };
                    names.as_ref().is_none_or(is_among)
                })
            };
            let unended = run.unended.iter().filter(|(key, loose)| may_run(key, loose.place.as_deref()));
            let unended: Vec<AttemptKey> = unended.map(|(key, _)| *key).collect();
            if !unended.is_empty() {
                found.insert(head.run.clone(), unended);
            }
        }
        Ok(found)
    }
}
