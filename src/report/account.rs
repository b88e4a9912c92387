//! What a report is made from: a run's transitions, its plan, and where its log stood when it was read.

use std::sync::Arc;

use crate::machine::Record;
use crate::machine::fact::Millis;
use crate::plan::Plan;
use crate::store::{Head, ReadError, Transition, records};
use crate::view::Place;

/// A run as its log tells it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Where the log stood.
    pub head: Head,
    /// The plan with which it began; amendments follow from its events.
    pub plan: Arc<Plan>,
    /// All events, in order.
    pub events: Vec<(Place, Record)>,
    /// When it was read; counts for a run that is not over.
    pub now: Millis,
    /// Why the log ends early, if it is damaged.
    pub damaged: Option<String>,
}

impl Account {
    /// An account of nothing yet. Transitions come with [`Account::take`], up to the head.
    #[must_use]
    pub fn new(head: Head, plan: Arc<Plan>, now: Millis) -> Self {
        Self { head, plan, events: Vec::new(), now, damaged: None }
    }

    /// Takes the next transitions in. What was appended after the head was read is left out, so that the page says
    /// exactly what its head stands for.
    ///
    /// # Errors
    /// A record that this program does not understand.
    pub fn take(&mut self, page: &[Transition]) -> Result<(), ReadError> {
        for transition in page.iter().filter(|transition| transition.version <= self.head.version) {
            for record in records(transition)? {
                let sequence = self.events.len() as u64 + 1;
                let place = Place { sequence, version: transition.version, epoch: transition.epoch };
                self.events.push((place, record));
            }
        }
        Ok(())
    }
}
