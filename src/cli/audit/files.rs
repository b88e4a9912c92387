//! The files that the log names by their hash: plans, and the logs of attempts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::engine::{attempt_log, repetitions};
use crate::machine::event::Event;
use crate::machine::fact::{End, LogDigest};
use crate::plan::StepId;
use crate::store::disk::RealDisk;
use crate::store::{Blobs, Hash, RunName, Snapshot, StoreError, records};

/// How many transitions are read at a time.
const PAGE: usize = 512;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Files whose content is what the log says.
    pub(super) sound: u64,
    /// Files that are something else.
    pub(super) wrong: Vec<String>,
    /// Files that are not there: whoever removed them may have had a reason.
    pub(super) absent: Vec<String>,
}

/// Looks at every file that a believable event names.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn check(state: &Path, snapshot: &Snapshot) -> Result<Checked, StoreError> {
    let blobs = Blobs::reading(Arc::new(RealDisk), state);
    let mut checked = Checked::default();
    let mut plans = BTreeSet::new();
    for entry in snapshot.runs() {
        let name = &entry.head.run;
        let mut next = entry.first;
        loop {
            let page = snapshot.transitions(name, next, PAGE)?;
            let Some(last) = page.last() else { break };
            next = last.version + 1;
            for transition in &page {
                // What cannot be understood was counted where the chain was checked.
                let records = records(transition).unwrap_or_default();
                for record in &records {
                    if let Event::Created { plan, .. } | Event::Amended { plan, .. } = &record.event {
                        if plans.insert(plan.to_string()) {
                            plan_file(&blobs, plan.as_str(), name, &mut checked);
                        }
                    } else if let Event::AttemptEnded { step, attempt, direction, end, log: Some(log) } = &record.event
                    {
                        let label = attempt_log::label(*direction, *attempt);
                        let folder = attempt_log::folder(state, name, step);
                        // Of a check that is repeated only the last that passed are kept.
                        let may_be_gone =
                            matches!(end, End::Succeeded { .. }) && repetitions::may_have_gone(&folder, &label);
                        if !may_be_gone || attempt_log::path(state, name, step, &label).exists() {
                            attempt_file(state, (name, step), &label, log, &mut checked);
                        }
                    }
                }
            }
        }
    }
    Ok(checked)
}

fn plan_file(blobs: &Blobs, plan: &str, run: &RunName, checked: &mut Checked) {
    let found = Hash::from_hex(plan.as_bytes()).map(|hash| blobs.get(&hash));
    match found {
        Some(Ok(Some(_))) => checked.sound += 1,
        Some(Ok(None)) => checked.wrong.push(format!("the plan of run {run} is missing: blobs/{plan}")),
        Some(Err(error)) => checked.wrong.push(format!("the plan of run {run}: {error}")),
        None => checked.wrong.push(format!("run {run} names a plan that is no hash: {plan}")),
    }
}

fn attempt_file(state: &Path, (run, step): (&RunName, &StepId), label: &str, log: &LogDigest, checked: &mut Checked) {
    let path = attempt_log::path(state, run, step, label);
    match std::fs::read(&path) {
        Ok(bytes) if Hash::of(&bytes).to_string() == log.sha256 => checked.sound += 1,
        Ok(bytes) => checked.wrong.push(format!(
            "the log of `{step}` ({label}) of run {run} was changed: {} holds {} bytes, {} with another hash were recorded",
            path.display(),
            bytes.len(),
            log.bytes
        )),
        // The disk took nothing of it, and the record says so.
        Err(_) if log.bytes == 0 => checked.sound += 1,
        Err(_) => checked.absent.push(format!("the log of `{step}` ({label}) of run {run} is not there: {}", path.display())),
    }
}
