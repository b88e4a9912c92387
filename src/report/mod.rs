//! The report of a run: one HTML file that tells a change board what happened, and admits what nobody knows.
//!
//! A pure function from a run's log and its plan to a value ([`Report::of`]), and from that to a page
//! ([`Report::html`]). The page holds everything it needs: no script, no font, no address. Every text is escaped,
//! because outputs may contain anything. Nothing here reads a file or judges a run.
//!
//! Start with [`account`] (what goes in), `story` (one walk through the log), then the part that interests you.

pub mod account;
pub mod by_hand;
mod deviations;
mod draw;
mod facts;
mod hours;
mod left;
mod outcome;
mod page;
mod people;
mod service;
mod steps;
mod story;
mod unverified;

use serde::Serialize;

pub use account::Account;
pub use deviations::Deviation;
pub use facts::Fact;
pub use left::LeftToDo;
pub use outcome::{Figure, Kind, OutcomeView};
pub use people::{Answered, Decision, Person};
pub use service::{Served, ServiceSpan};
pub use steps::{StepList, StepRow};
pub use unverified::Unverified;

use crate::machine::fact::Millis;
use crate::machine::{Illegal, Now, Record};
use crate::plan::estimate::{History, estimate};
use crate::store::RunName;
use crate::view::{CriterionView, EventView, ProgressMap, RunView};
use hours::Hours;
use story::Story;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The account holds no event.
    #[error("there is no event of run {0} to report")]
    Empty(RunName),
    /// The events do not follow each other.
    #[error("the log of the run cannot be followed")]
    Illegal(#[source] Illegal),
    /// The template does not fit the report: a bug of ours.
    #[error("the report page cannot be made: please report this bug")]
    Page(#[source] minijinja::Error),
}

/// A criterion with its picture.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CriterionReport {
    /// As everywhere.
    #[serde(flatten)]
    pub view: CriterionView,
    /// Samples that passed.
    pub passed: usize,
    /// Samples that failed.
    pub failed: usize,
    /// Samples that could not be measured.
    pub inconclusive: usize,
    /// Samples against limits.
    #[serde(skip)]
    chart: Option<String>,
}

/// Everything that a report says.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `application/number`.
    pub run: String,
    /// The application.
    pub application: String,
    /// No event changes the run any more.
    pub is_over: bool,
    /// When the log was read.
    pub read_at: Millis,
    /// The zone of all times on the page.
    pub zone: String,
    /// The run lasted into another day: times bear their date.
    pub several_days: bool,
    /// What became of it.
    pub outcome: OutcomeView,
    /// A few figures.
    pub figures: Vec<Figure>,
    /// What, who, which log.
    pub facts: Vec<Fact>,
    /// Where users were served.
    pub service: Vec<ServiceSpan>,
    /// What did not go as planned.
    pub deviations: Vec<Deviation>,
    /// Questions and their answers.
    pub questions: Vec<Answered>,
    /// What nobody has proved.
    pub not_verified: Vec<Unverified>,
    /// What is left to do.
    pub left_to_do: Vec<LeftToDo>,
    /// Planned against actual.
    pub steps: Vec<StepList>,
    /// Samples against limits.
    pub criteria: Vec<CriterionReport>,
    /// Who decided what.
    pub decisions: Vec<Decision>,
    /// Every event.
    pub events: Vec<EventView>,
    #[serde(skip)]
    timelines: Vec<draw::timeline::Timeline>,
    #[serde(skip)]
    picture: Option<String>,
    #[serde(skip)]
    hours: Hours,
}

/// What became of each step, undo and criterion of a run, for a picture of its plan.
///
/// # Errors
/// The account is empty, or its events do not follow each other.
pub fn look(account: &Account) -> Result<crate::plan::draw::Look, ReportError> {
    Story::of(account).map(|story| draw::plan::look(&story))
}

impl Report {
    /// The report of a run.
    ///
    /// # Errors
    /// The account is empty, or its events do not follow each other.
    pub fn of(account: &Account) -> Result<Self, ReportError> {
        let story = Story::of(account)?;
        let end = Now { wall: story.end, steady: story.end };
        let view = RunView::of(&story.run, end, &ProgressMap::new());
        let planned = estimate(&story.run.plan, &History::default());
        let spans = service::spans(&story);
        let hours = Hours::of(&story.run.plan, story.begin, story.last.max(story.end));
        let records: Vec<&Record> = account.events.iter().map(|(_, record)| record).collect();
        let run = account.head.run.as_str();
        Ok(Self {
            run: run.to_owned(),
            application: story.run.plan.application.clone(),
            is_over: story.is_over(),
            read_at: account.now,
            zone: hours.name.clone(),
            several_days: !hours.one_day,
            outcome: outcome::outcome(&story, &view, &spans, &hours),
            figures: outcome::figures(&story, &spans, &planned, &hours),
            facts: facts::facts(account, &story, &view, &hours),
            deviations: deviations::deviations(account, &story, &spans, &hours),
            questions: people::questions(&story),
            not_verified: unverified::unverified(&story, &records),
            left_to_do: left::left_to_do(&story, &view, &hours),
            steps: steps::lists(&story, &view, &planned),
            criteria: criteria(&story, &view, &hours),
            decisions: people::decisions(account),
            events: account.events.iter().map(|(place, record)| EventView::of(run, *place, record)).collect(),
            timelines: draw::timeline::timelines(&story, &spans, &hours),
            picture: draw::plan::picture(&story),
            service: spans,
            hours,
        })
    }

    /// The page.
    ///
    /// # Errors
    /// The template does not fit: a bug of ours.
    pub fn html(&self) -> Result<String, ReportError> {
        page::render(self).map_err(ReportError::Page)
    }
}

fn criteria(story: &Story, view: &RunView, hours: &Hours) -> Vec<CriterionReport> {
    use crate::machine::fact::Verdict;
    let count = |ix: usize, is: &dyn Fn(&Verdict) -> bool| {
        story.samples.get(ix).map_or(0, |samples| samples.iter().filter(|sample| is(&sample.verdict)).count())
    };
    let reports = view.criteria.iter().enumerate().map(|(ix, view)| CriterionReport {
        view: view.clone(),
        passed: count(ix, &|verdict| *verdict == Verdict::Pass),
        failed: count(ix, &|verdict| *verdict == Verdict::Fail),
        inconclusive: count(ix, &|verdict| matches!(verdict, Verdict::Inconclusive { .. })),
        chart: draw::charts::chart(story, ix, hours),
    });
    reports.collect()
}
