//! One walk through the log: when the run was in which state, which attempts there were, who was away.
//!
//! The same fold as everywhere, with what a single state forgets kept beside it. Start at [`Story::of`].

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::ReportError;
use super::account::Account;
use crate::machine::event::{Event, Record};
use crate::machine::fact::{Actor, CriterionState, Direction, End, Millis, Verdict, Wait};
use crate::machine::{Measured, Now, Run, RunState, measured};
use crate::plan::{StepId, StepIx};
use crate::view::{ProgressMap, QuestionView, RunView};

/// A length of time in one state.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) state: RunState,
    pub(super) from: Millis,
    pub(super) to: Millis,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    Stopped,
    Unknown,
    Open,
}

/// One attempt, forwards or backwards, or the wait for a person.
#[derive(Debug, Clone)]
pub(super) struct Try {
    pub(super) step: StepIx,
    pub(super) direction: Direction,
    pub(super) from: Millis,
    pub(super) to: Millis,
    pub(super) outcome: Outcome,
    /// Nobody worked: an approval, a person's hands.
    pub(super) is_wait: bool,
    pub(super) failure: Option<String>,
    pub(super) outputs: Option<Arc<Value>>,
}

/// A question and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) view: QuestionView,
    pub(super) closed: Option<Closed>,
}

/// The end of a question.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub(super) at: Millis,
    pub(super) answer: Option<String>,
    pub(super) by: Option<Actor>,
    pub(super) reason: Option<String>,
}

/// Nobody executed the run.
#[derive(Debug, Clone)]
pub(super) struct Absence {
    pub(super) from: Millis,
    pub(super) to: Millis,
    pub(super) state: RunState,
    pub(super) window_open: bool,
    pub(super) host: String,
}

/// Nothing new was started.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) from: Millis,
    pub(super) to: Option<Millis>,
    pub(super) restart: bool,
    pub(super) by: Option<Actor>,
    pub(super) reason: Option<String>,
    pub(super) ended_by: Option<Actor>,
}

/// A sample of a criterion.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) planned: Millis,
    pub(super) verdict: Verdict,
    pub(super) measured: Vec<Measured>,
}

/// Everything that one walk through the log finds.
#[derive(Debug)]
pub(super) struct Story {
    /// The run as it stands at the end.
    pub(super) run: Run,
    /// The first event.
    pub(super) begin: Millis,
    /// The last event that was no note; when it was accepted; of an open run: when it was read.
    pub(super) end: Millis,
    /// The last event of all.
    pub(super) last: Millis,
    pub(super) bands: Vec<Band>,
    pub(super) tries: Vec<Try>,
    pub(super) asked: Vec<Asked>,
    pub(super) absences: Vec<Absence>,
    pub(super) holds: Vec<Held>,
    /// Hosts and processes of its engines, in order.
    pub(super) engines: Vec<(Millis, String, u32)>,
    /// By criterion.
    pub(super) samples: Vec<Vec<Sample>>,
    /// By criterion.
    pub(super) moves: Vec<Vec<(Millis, CriterionState)>>,
}

impl Story {
    /// Walks through the log.
    pub(super) fn of(account: &Account) -> Result<Self, ReportError> {
        let mut events = account.events.iter();
        let Some((_, first)) = events.next() else { return Err(ReportError::Empty(account.head.run.clone())) };
        let run = Run::begin(account.plan.clone(), first).map_err(ReportError::Illegal)?;
        let criteria = run.plan.criteria.len();
        let mut walk = Walk {
            open: HashMap::new(),
            story: Self {
                begin: first.at,
                end: first.at,
                last: first.at,
                bands: vec![Band { state: run.state, from: first.at, to: first.at }],
                tries: Vec::new(),
                asked: Vec::new(),
                absences: Vec::new(),
                holds: Vec::new(),
                engines: Vec::new(),
                samples: vec![Vec::new(); criteria],
                moves: vec![Vec::new(); criteria],
                run,
            },
        };
        for (_, record) in events {
            walk.step(record)?;
        }
        Ok(walk.finish(account.now))
    }

    /// When the run was first in a state.
    pub(super) fn first(&self, state: RunState) -> Option<Millis> {
        self.bands.iter().find(|band| band.state == state).map(|band| band.from)
    }

    /// The tries of a step in one direction.
    pub(super) fn tries_of(&self, step: StepIx, direction: Direction) -> impl Iterator<Item = &Try> {
        self.tries.iter().filter(move |tried| tried.step == step && tried.direction == direction)
    }

    /// Whether nothing will change any more by itself: it is final, or the target was accepted.
    pub(super) fn is_over(&self) -> bool {
        self.run.state.ending().is_some()
    }
}

struct Walk {
    story: Story,
    open: HashMap<(StepIx, Direction), usize>,
}

impl Walk {
    fn step(&mut self, record: &Record) -> Result<(), ReportError> {
        self.before(record);
        self.story.run.apply(record).map_err(ReportError::Illegal)?;
        self.after(record);
        if !matches!(record.event, Event::Noted { .. } | Event::InCharge { .. }) || !self.story.run.state.is_final() {
            self.story.end = self.story.end.max(record.at);
        }
        self.story.last = self.story.last.max(record.at);
        Ok(())
    }

    /// What needs the run as it was.
    fn before(&mut self, record: &Record) {
        if let Event::Owned { away_ms, host, pid, .. } = &record.event {
            self.story.engines.push((record.at, host.clone(), *pid));
            self.absence(record.at, *away_ms, host);
        } else if let Event::Sampled { criterion, planned, verdict, result } = &record.event {
            let Some(ix) = self.criterion(criterion) else { return };
            let run = &self.story.run;
            let measured = result.as_ref().map(|result| measured(run, &run.plan.criteria[ix], result));
            let measured = measured.unwrap_or_default();
            self.story.samples[ix].push(Sample { planned: *planned, verdict: verdict.clone(), measured });
        } else if let Event::CriterionMoved { criterion, to } = &record.event
            && let Some(ix) = self.criterion(criterion)
        {
            self.story.moves[ix].push((record.at, *to));
        } else if let Event::Closed { question, answer } = &record.event
            && let Some(asked) = self.story.asked.iter_mut().find(|asked| asked.view.question == *question)
        {
            asked.closed = Some(Closed {
                at: record.at,
                answer: answer.clone(),
                by: record.by.clone(),
                reason: record.reason.as_deref().map(str::to_owned),
            });
        }
    }

    fn criterion(&self, name: &str) -> Option<usize> {
        self.story.run.plan.criteria.iter().position(|known| &*known.id == name)
    }

    fn absence(&mut self, at: Millis, away_ms: Option<u64>, host: &str) {
        let Some(away) = away_ms else { return };
        let from = at.saturating_sub(i64::try_from(away).unwrap_or(i64::MAX)).max(self.story.begin);
        let run = &self.story.run;
        let window_open = run.window_open(from) && run.exposed.is_some() && run.rollback.is_none();
        let state = run.state;
        self.story.absences.push(Absence { from, to: at, state, window_open, host: host.to_owned() });
    }

    /// What needs the run as it is now.
    fn after(&mut self, record: &Record) {
        let at = record.at;
        if let Event::Moved { to, .. } = &record.event {
            if let Some(band) = self.story.bands.last_mut() {
                band.to = at;
            }
            self.story.bands.push(Band { state: *to, from: at, to: at });
        } else if let Event::Asked { question, .. } = &record.event {
            let view = RunView::of(&self.story.run, Now { wall: at, steady: at }, &ProgressMap::new());
            if let Some(view) = view.questions.into_iter().find(|view| view.question == *question) {
                self.story.asked.push(Asked { view, closed: None });
            }
        } else if let Event::Held { restart } = &record.event {
            self.story.holds.push(Held {
                from: at,
                to: None,
                restart: *restart,
                by: record.by.clone(),
                reason: record.reason.as_deref().map(str::to_owned),
                ended_by: None,
            });
        } else if let (Event::Resumed, Some(held)) = (&record.event, self.story.holds.last_mut()) {
            held.to = Some(at);
            held.ended_by.clone_from(&record.by);
        } else {
            self.attempts(record);
        }
    }

    fn attempts(&mut self, record: &Record) {
        let at = record.at;
        if let Event::AttemptIntended { step, direction, .. } = &record.event {
            self.begin(step, *direction, at, false);
        } else if let Event::Waiting { step, on: Wait::Approval { .. } | Wait::Person } = &record.event {
            self.begin(step, Direction::Forward, at, true);
        } else if let Event::UndoLeftToPerson { step } = &record.event {
            self.begin(step, Direction::Undo, at, true);
        } else if let Event::UndoDoneByHand { step } = &record.event {
            self.close((step, Direction::Undo), at, Outcome::Done, None);
        } else if let Event::UndoWaived { step } = &record.event {
            self.close((step, Direction::Undo), at, Outcome::Stopped, None);
        } else if let Event::UndoFailed { step, failure } = &record.event {
            self.close((step, Direction::Undo), at, Outcome::Failed, Some(failure.to_string()));
        } else if let Event::AttemptEnded { step, direction, end, .. } = &record.event {
            self.end(step, *direction, at, end);
        } else if let Event::OutcomeUnknown { step, direction, failure } = &record.event {
            self.close((step, *direction), at, Outcome::Unknown, Some(failure.to_string()));
        } else if let Event::Approved { step, complete: true, .. } | Event::Resolved { step, .. } = &record.event {
            self.close((step, Direction::Forward), at, Outcome::Done, None);
        } else if let Event::Denied { step, expired } = &record.event {
            let why = if *expired { "nobody answered in time" } else { "denied" };
            self.close((step, Direction::Forward), at, Outcome::Failed, Some(why.to_owned()));
        }
    }

    fn begin(&mut self, step: &StepId, direction: Direction, at: Millis, is_wait: bool) {
        let Some(ix) = self.story.run.plan.find(step) else { return };
        let key = (ix, direction);
        if is_wait && self.open.contains_key(&key) {
            return;
        }
        self.close((step, direction), at, Outcome::Stopped, None);
        self.open.insert(key, self.story.tries.len());
        self.story.tries.push(Try {
            step: ix,
            direction,
            from: at,
            to: at,
            outcome: Outcome::Open,
            is_wait,
            failure: None,
            outputs: None,
        });
    }

    fn end(&mut self, step: &StepId, direction: Direction, at: Millis, end: &End) {
        let (outcome, failure, outputs) = match end {
            End::Succeeded { outputs } => (Outcome::Done, None, Some(outputs.clone())),
            End::Failed { failure, .. } => (Outcome::Failed, Some(failure.to_string()), None),
            End::Cancelled { .. } => (Outcome::Stopped, None, None),
            End::Unknown { failure, .. } => (Outcome::Unknown, Some(failure.to_string()), None),
        };
        let index = self.close((step, direction), at, outcome, failure);
        if let Some(tried) = index.and_then(|index| self.story.tries.get_mut(index)) {
            tried.outputs = outputs;
        }
    }

    fn close(
        &mut self,
        (step, direction): (&StepId, Direction),
        at: Millis,
        outcome: Outcome,
        failure: Option<String>,
    ) -> Option<usize> {
        let ix = self.story.run.plan.find(step)?;
        let index = self.open.remove(&(ix, direction))?;
        let tried = self.story.tries.get_mut(index)?;
        (tried.to, tried.outcome, tried.failure) = (at, outcome, failure);
        Some(index)
    }

    fn finish(mut self, now: Millis) -> Story {
        let story = &mut self.story;
        if story.run.state == RunState::Accepted {
            // What follows is kept and checked for days: no part of the night.
            story.end = story.run.since;
        } else if !story.run.state.is_final() {
            story.end = story.end.max(now);
        }
        // The last engine may have died: what it left open lasts until nobody knows when.
        for index in self.open.into_values() {
            if let Some(tried) = story.tries.get_mut(index) {
                tried.to = story.end.max(tried.from);
            }
        }
        let end = story.end;
        if let Some(band) = story.bands.last_mut() {
            band.to = end.max(band.from);
        }
        self.story
    }
}
