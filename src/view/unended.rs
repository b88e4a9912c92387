//! Attempts that may still run, by the names that people know them by.

use crate::machine::fact::Direction;
use crate::machine::run::Run;
use crate::machine::unended::AttemptKey;

/// Attempts of which nobody proved that they ended, as `step (forward-1)`.
#[must_use]
pub fn unended(run: &Run) -> Vec<String> {
    let label = |(ix, direction, number): &AttemptKey| {
        let direction = match direction {
            Direction::Forward => "forward",
            Direction::Undo => "undo",
        };
        format!("{} ({direction}-{number})", run.plan.step(*ix).id)
    };
    run.unended.keys().map(label).collect()
}
