//! A transition that is larger than the run log takes. The same would be refused for ever, so something smaller is decided.
//!
//! It must never lose what happened: news are decided one by one, and words of a failure are cut. Only a person's word is
//! given back, and a handle is left out. Start at [`Driver::decide_less`].

use super::driver::{Driver, Waiting};
use super::handle::Decided;
use super::trouble::After;
use crate::machine::fact::Failure;
use crate::machine::input::{Outcome, ProbeOutcome};
use crate::machine::{Input, Reply};
use crate::store::StoreError;

/// What is left of each text of a failure that is too long, in bytes.
const WORDS: usize = 4 << 10;
/// How many of its causes are left.
const CAUSES: usize = 8;

impl Driver {
    /// Reads the run again, and makes what is decided next smaller.
    pub(super) async fn decide_less(&mut self, error: &StoreError, batch: &mut Vec<Waiting>) -> After {
        match self.read_again().await {
            Some(After::Again) => {}
            Some(other) => return other,
            None => return self.stand_by(error, None, batch).await,
        }
        if batch.len() > 1 {
            let rest = batch.split_off(batch.len() / 2);
            rest.into_iter().rev().for_each(|news| self.waiting.push_front(news));
            return After::Again;
        }
        let Some((input, done)) = batch.first_mut() else { return After::Leave(error.to_string()) };
        let is_smaller = match input {
            Input::Verb { .. } => {
                if let Some(done) = done.take() {
                    let why = format!("{error}: this was not decided");
                    let hint = "say it with less; what is large belongs into a file".to_owned();
                    let version = self.journal.head().version;
                    drop(done.send(Decided { reply: Reply::Refused { why, hint }, version, events: None }));
                }
                batch.clear();
                true
            }
            Input::Handle { .. } => {
                let run = &self.hands.run;
                self.cx
                    .say(format!("run {run}: {error}: work that is under way will not be found again after a restart"));
                batch.clear();
                true
            }
            Input::Ended { outcome, verify, .. } => {
                let verify = verify.as_mut().is_some_and(shorten);
                shorten(outcome) || verify
            }
            Input::Sampled { outcome, .. } | Input::Probed { outcome: ProbeOutcome::Call(outcome), .. } => {
                shorten(outcome)
            }
            Input::Probed { outcome: ProbeOutcome::Native(_), .. }
            | Input::Begin { .. }
            | Input::Recovered { .. }
            | Input::Tick
            | Input::LocksGranted { .. }
            | Input::LocksAwaited { .. }
            | Input::RequirementRolledBack { .. }
            | Input::PluginChanged { .. }
            | Input::ClockJumped { .. }
            | Input::StoreBack { .. } => false,
        };
        if is_smaller { After::Again } else { After::Leave(error.to_string()) }
    }
}

/// Cuts the words of a failure. Whether there was anything to cut.
fn shorten(outcome: &mut Outcome) -> bool {
    match outcome {
        Outcome::Failed { failure, .. } | Outcome::Unknown { failure, .. } => {
            let short = shortened(failure);
            let is_shorter = short != *failure;
            *failure = short;
            is_shorter
        }
        Outcome::Succeeded { .. } | Outcome::Cancelled { .. } => false,
    }
}

fn shortened(failure: &Failure) -> Failure {
    Failure {
        message: cut(&failure.message).into(),
        causes: failure.causes.iter().take(CAUSES).map(|cause| cut(cause)).collect(),
        hint: failure.hint.as_deref().map(cut),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= WORDS {
        return text.to_owned();
    }
    let end = (0..=WORDS).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept} … ({} bytes more: too long for the run log)", text.len() - kept.len())
}
