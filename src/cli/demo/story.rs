//! Tells a run to somebody who never saw one: phases in words, one line per step, the way back in its order.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bascule_lab::UsersSummary;

use crate::cli::Ctx;
use crate::cli::style::{BAD, BOLD, CARE, DIM, GOOD};
use crate::cli::text::{columns, cut, wrap};
use crate::machine::RunState;
use crate::machine::event::{Event, Record};
use crate::machine::fact::{CriterionState, Direction, End, Millis};
use crate::plan::{Plan, Section, StepId};
use crate::view::words::span;

/// Takes a passing line away, on terminals without colours, too.
fn wipe() -> String {
    format!("\r{}\r", " ".repeat(columns().saturating_sub(1)))
}

/// What was told so far.
pub(super) struct Story {
    ctx: Ctx,
    /// `application/number`.
    pub(super) run: String,
    plan: Arc<Plan>,
    /// The state of the run.
    pub(super) state: RunState,
    began: Option<Millis>,
    started: HashMap<(StepId, Direction), Millis>,
    passed: HashSet<StepId>,
    /// Moments for the summary.
    pub(super) moments: Vec<(Millis, String)>,
    exposed: bool,
    /// When the window closes.
    deadline: Option<Millis>,
    /// A passing line stands on the terminal.
    passing: Cell<bool>,
}

impl Story {
    /// Nothing was told yet.
    pub(super) fn new(ctx: &Ctx, run: String, plan: Arc<Plan>) -> Self {
        Self {
            ctx: ctx.clone(),
            run,
            plan,
            state: RunState::Created,
            began: None,
            started: HashMap::new(),
            passed: HashSet::new(),
            moments: Vec::new(),
            exposed: false,
            deadline: None,
            passing: Cell::new(false),
        }
    }

    /// Users are on the target.
    pub(super) fn is_exposed(&self) -> bool {
        self.exposed
    }

    /// Nothing happens any more by itself.
    pub(super) fn rests(&self) -> bool {
        self.state.ending().is_some()
    }

    /// A person must act.
    pub(super) fn asks(&self) -> bool {
        matches!(self.state, RunState::Deciding | RunState::Stuck)
    }

    fn line(&self, at: Millis, text: &str) {
        let seconds = at.saturating_sub(self.began.unwrap_or(at));
        let (whole, tenth) = (seconds / 1000, seconds % 1000 / 100);
        self.print(&format!("{DIM}{whole:>4}.{tenth}s{DIM:#}  {text}"));
    }

    fn print(&self, text: &str) {
        if self.passing.replace(false) {
            self.ctx.ui.data(&wipe());
        }
        self.ctx.ui.line(text);
    }

    /// On a terminal: a line that the next one replaces, so that a quiet minute is seen to be alive.
    pub(super) fn pass(&self, now: Millis, seen: &UsersSummary) {
        let Some(deadline) = self.deadline.filter(|_| self.state == RunState::Observing) else { return };
        if !self.ctx.ui.is_terminal() {
            return;
        }
        let left = span(deadline.saturating_sub(now).max(0) / 1000 * 1000);
        let text = format!("         … {left} left; {} orders taken, {} tries failed", seen.acked, seen.failed_tries);
        self.ctx.ui.data(&format!("{}{DIM}{}{DIM:#}", wipe(), cut(&text, columns().saturating_sub(1))));
        self.passing.set(true);
    }

    /// Something that the demo does, not the run.
    pub(super) fn aside(&self, text: &str) {
        self.print(&format!("         {CARE}!! {text}{CARE:#}"));
    }

    fn moment(&mut self, at: Millis, text: impl Into<String>) {
        self.moments.push((at.saturating_sub(self.began.unwrap_or(at)), text.into()));
    }

    fn heading(&self, at: Millis, title: &str, text: &str) {
        self.print("");
        let margin = " ".repeat(9 + title.len() + 2);
        let lines = wrap(text, columns().saturating_sub(margin.len())).join(&format!("\n{margin}"));
        self.line(at, &format!("{BOLD}{title}{BOLD:#}  {lines}"));
    }

    /// Tells an event, if it is worth a line.
    pub(super) fn tell(&mut self, record: &Record) {
        let at = record.at;
        self.began.get_or_insert(at);
        if let Event::Moved { to, because } = &record.event {
            self.moved(at, *to, &crate::view::words::cause(because));
        } else if let Event::AttemptIntended { step, direction, .. } = &record.event {
            self.started.insert((step.clone(), *direction), at);
        } else if let Event::AttemptEnded { step, direction, end, .. } = &record.event {
            self.ended(at, step, *direction, end);
        } else if let Event::WindowOpened { deadline } = &record.event {
            self.exposed = true;
            self.deadline = Some(*deadline);
            let left = span(deadline.saturating_sub(at));
            self.line(at, &format!("  {CARE}◆ users are on the target; the way back stays open for {left}{CARE:#}"));
            self.moment(at, "users are on the target");
        } else if let Event::CriterionMoved { criterion, to } = &record.event {
            self.criterion(at, criterion, *to);
        } else if let Event::GateJudged { gaps } = &record.event {
            if gaps.is_empty() {
                self.line(
                    at,
                    &format!("  {GOOD}✓{GOOD:#} the gate is met: every check passed, every criterion is clear"),
                );
            } else {
                let gaps: Vec<String> = gaps.iter().map(crate::view::words::gap).collect();
                self.line(at, &format!("  {BAD}✗{BAD:#} the gate is not met: {}", gaps.join("; ")));
            }
        } else if let Event::UndoNotNeeded { step, why } = &record.event {
            self.line(at, &format!("  {GOOD}✓{GOOD:#} undo {step}: {why}"));
        } else if matches!(record.event, Event::ServiceRestored) {
            self.line(at, &format!("  {GOOD}✓ the source serves again, verified{GOOD:#}; now the clean-up"));
            self.moment(at, "the source serves again, verified");
        } else if let Event::Asked { kind, .. } = &record.event {
            self.line(at, &format!("  {CARE}? a person must decide: {}{CARE:#}", crate::view::sentence(kind)));
        }
    }

    fn moved(&mut self, at: Millis, to: RunState, because: &str) {
        let before = std::mem::replace(&mut self.state, to);
        let (title, text) = match to {
            RunState::Checking => ("PRE-CHECKS", "all pass before anything is touched".to_owned()),
            RunState::Preparing => ("PREPARATION", "the source serves as before".to_owned()),
            RunState::CuttingOver => ("CUTOVER", "users cannot order until they are on the target".to_owned()),
            RunState::Observing => {
                ("WATCHING", "post-checks and criteria are sampled; users order on the target".to_owned())
            }
            RunState::RollingBack => ("GOING BACK", format!("by itself, because {because}")),
            RunState::Accepted => ("ACCEPTED", "the window is over, all was well; the source is kept".to_owned()),
            RunState::RolledBack => ("ROLLED BACK", "the source serves, what was built is taken down".to_owned()),
            RunState::Deciding => ("DECIDING", because.to_owned()),
            RunState::Stuck => ("STUCK", because.to_owned()),
            RunState::Refused => ("REFUSED", because.to_owned()),
            RunState::Created
            | RunState::Prepared
            | RunState::Committing
            | RunState::Cancelled
            | RunState::Committed
            | RunState::ClosedWithResidue => ("", String::new()),
        };
        if !title.is_empty() && before != to {
            self.heading(at, title, &text);
            self.moment(at, format!("{}: {text}", title.to_lowercase()));
        }
    }

    fn ended(&mut self, at: Millis, step: &StepId, direction: Direction, end: &End) {
        let took = self.started.remove(&(step.clone(), direction)).map_or(0, |started| at.saturating_sub(started));
        let took = if took < 100 { String::new() } else { format!(" {DIM}{}{DIM:#}", span(took)) };
        let section = self.plan.find(step).map(|ix| self.plan.step(ix).section);
        let is_sample = matches!(section, Some(Section::Ready | Section::PostCheck));
        let what = match (direction, section) {
            (Direction::Undo, _) => format!("undo {step}"),
            (Direction::Forward, Some(Section::Fence)) => format!("fence: {}", bare(step)),
            (Direction::Forward, Some(Section::RollbackCheck)) => format!("check: {}", bare(step)),
            (Direction::Forward, _) => bare(step).to_owned(),
        };
        match end {
            // What is looked at again and again is told once.
            End::Succeeded { .. } if is_sample && !self.passed.insert(step.clone()) => {}
            End::Succeeded { .. } => {
                let told = self.plan.find(step).and_then(|ix| self.sentence(ix, direction)).unwrap_or_default();
                self.line(at, &format!("  {GOOD}✓{GOOD:#} {what}{took}{told}"));
            }
            End::Failed { .. } if is_sample => {}
            End::Failed { failure, .. } | End::Unknown { failure, .. } => {
                let margin = " ".repeat(13);
                let why = wrap(&failure.to_string(), columns().saturating_sub(margin.len()));
                self.line(at, &format!("  {BAD}✗{BAD:#} {what}{took}\n{margin}{}", why.join(&format!("\n{margin}"))));
            }
            End::Cancelled { .. } => self.line(at, &format!("  {CARE}-{CARE:#} {what}: stopped")),
        }
    }

    /// A few words where the name of a step does not say what it means for users.
    fn sentence(&self, ix: usize, direction: Direction) -> Option<String> {
        let step = self.plan.step(ix);
        let text = match direction {
            Direction::Forward if step.takes_source_down => "users can read and no longer order",
            Direction::Forward if step.section == Section::Fence => "no more writes on the target",
            Direction::Undo if step.moves_data => "what users wrote on the target is home",
            Direction::Undo if step.takes_source_down => "the source takes orders again",
            Direction::Undo if step.exposes => "users are back on the source",
            Direction::Forward | Direction::Undo => return None,
        };
        Some(format!("  {DIM}{text}{DIM:#}"))
    }

    fn criterion(&mut self, at: Millis, criterion: &str, to: CriterionState) {
        let text = match to {
            CriterionState::Suspect => format!("  {CARE}~ {criterion}: suspect, bad samples{CARE:#}"),
            CriterionState::Tripped => {
                self.moment(at, format!("criterion {criterion} tripped"));
                format!("  {BAD}✗ {criterion}: TRIPPED{BAD:#}")
            }
            CriterionState::Blind => format!("  {CARE}? {criterion}: blind, nothing can be measured{CARE:#}"),
            CriterionState::Clear => format!("  {GOOD}✓{GOOD:#} {criterion}: clear"),
            CriterionState::Waiting => return,
        };
        self.line(at, &text);
    }
}

/// Without the prefix of its list.
fn bare(step: &StepId) -> &str {
    let name = step.as_str();
    name.split_once(':').map_or(name, |(_, name)| name)
}
