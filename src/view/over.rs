//! A run that is over, told without reading its history.

use super::{RunSummary, words};
use crate::machine::fact::Millis;
use crate::machine::{Ending, RunState};
use crate::plan::{Plan, Section};

/// What is known of a run that is over, without reading its history.
#[derive(Debug, Clone)]
pub struct Over<'a> {
    /// `application/number`.
    pub run: &'a str,
    /// Its final state.
    pub state: RunState,
    /// Since when.
    pub since: Millis,
    /// When it was created.
    pub created: Millis,
    /// Its newest event.
    pub updated: Millis,
    /// What it executed.
    pub plan: &'a Plan,
}

impl RunSummary {
    /// A run that is over. `None` for a state that is not final, and for one closed with residue: only its history
    /// tells how far it came.
    #[must_use]
    pub fn over(over: &Over<'_>) -> Option<Self> {
        let ending = over.state.ending().filter(|ending| over.state.is_final() && *ending != Ending::Residue)?;
        let (application, number) = over.run.rsplit_once('/').unwrap_or((over.run, "0"));
        let cutover_steps = over.plan.section(Section::Cutover).len();
        Some(Self {
            run: over.run.to_owned(),
            application: application.to_owned(),
            number: number.parse().unwrap_or(0),
            wave: over.plan.wave,
            state: over.state.word().to_owned(),
            doing: words::doing_in(over.state, false),
            since_at: over.since,
            created_at: over.created,
            updated_at: over.updated,
            is_final: true,
            needs_person: false,
            executed: false,
            working: false,
            held: false,
            open_questions: 0,
            cutover_done: if over.state == RunState::Committed { cutover_steps } else { 0 },
            cutover_steps,
            window_deadline_at: None,
            exit: Some(super::exit_of(ending)),
            damaged: None,
        })
    }
}
