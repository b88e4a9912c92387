//! `by-hand.html`: the page from which a person finishes a night without Bascule.
//!
//! It is written while there is an engine, for the time when there is none: what is done, what may still be going on, and
//! each action that is left of the way back, with its parameters filled in, as lines of shell or as words. It holds no
//! secret: where one is needed the line names a variable. Whoever makes the page says how an executor's work is written
//! as shell ([`Shell`]). Start with [`ByHand::of`].

use std::collections::BTreeMap;

use bascule_plugin as plugin;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::{Deserialize, Serialize};

use super::hours::Hours;
use super::{ReportError, page};
use crate::machine::by_hand::{
    Done, HandTurn, asked, for_people, instructions, left_of_way_back, unsettled, way_back_if_exposed_since,
};
use crate::machine::fact::{MASK, Millis, Resolved};
use crate::machine::run::Run;
use crate::machine::run_state::Ending;
use crate::machine::{Now, ends_at_the_source};
use crate::plan::{Section, StepIx, StepKind, Undo};
use crate::view::{ProgressMap, RunView, words};

const TEMPLATE: &str = include_str!("by_hand.html");
const STYLE: &str = include_str!("by_hand.css");

/// The lines of shell for the work of an executor, if it has any.
pub type Shell<'a> = dyn Fn(&str, plugin::ByHand<'_>) -> Option<String> + 'a;

/// One thing to do, or to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Counts the tasks of the page from 1.
    pub number: usize,
    /// The step.
    pub step: String,
    /// What it does.
    pub description: Option<String>,
    /// `fence`, `data`, `source up`, `traffic`.
    pub stage: Option<String>,
    /// `do`, `done`, `given up`, `look first`, `failed`, `not needed`.
    pub state: String,
    /// What the author of the plan tells a person to do.
    pub words: Option<String>,
    /// Lines of shell that do it.
    pub shell: Option<String>,
    /// The executor and its parameters, where there are no lines of shell.
    pub call: Option<String>,
    /// Why the parameters are not known.
    pub unknown: Option<String>,
    /// A value is a secret that was taken out of a step's outputs: [`MASK`] stands for it.
    pub masked: bool,
    /// Lines of shell that prove it.
    pub proof: Option<String>,
    /// What those must say.
    pub good: Option<String>,
    /// The values that it is compared with: `params.uuid = "…"`.
    pub good_with: Vec<String>,
    /// Which must have gone well before.
    pub only_after: Vec<String>,
    /// The numbers of secrets' variables that the lines need.
    pub secrets: Vec<String>,
    /// What the tool is told once it is back, where it knows of a way back already.
    pub then: Option<String>,
}

/// Somebody, or something, that may be at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// The step.
    pub step: String,
    /// What is not known of it.
    pub what: String,
}

/// The way back of users who were sent to the target after a page was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IfExposed {
    /// The step that sends them there.
    pub by: Option<String>,
    /// Brings them back, in order.
    pub restore: Vec<Task>,
    /// Removes what was built.
    pub cleanup: Vec<Task>,
}

/// The page.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ByHand {
    /// `application/number`.
    pub run: String,
    /// When it was written.
    pub made_at: Millis,
    /// The event up to which it knows the run.
    pub sequence: u64,
    /// What the run was doing.
    pub doing: String,
    /// The way back had begun.
    pub ordered: bool,
    /// Nothing has to be done by hand.
    pub idle: Option<String>,
    /// Service up or down.
    pub service: String,
    /// Since when.
    pub since_at: Option<Millis>,
    /// What users wrote on the target.
    pub data: String,
    /// The last moment to start back.
    pub turn_back_at: Option<Millis>,
    /// Whom to call.
    pub contacts: Vec<(String, String)>,
    /// Steps that are done.
    pub applied: Vec<String>,
    /// What must be found out before anything is taken back.
    pub doubts: Vec<Doubt>,
    /// Brings users back, in order.
    pub restore: Vec<Task>,
    /// Prove that the source serves.
    pub checks: Vec<Task>,
    /// Removes what was built.
    pub cleanup: Vec<Task>,
    /// Stays applied, and why.
    pub stays: Vec<(String, String)>,
    /// Whether users would be on the source in the end.
    pub ends_at_source: bool,
    /// What brings users back if they were sent to the target after this page was written.
    pub if_exposed: Option<IfExposed>,
    #[serde(skip)]
    hours: Hours,
}

impl ByHand {
    /// Of a run as it stands.
    #[must_use]
    pub fn of(run: &Run, now: Now, shell: &Shell<'_>) -> Self {
        let view = RunView::of(run, now, &ProgressMap::new());
        let way = left_of_way_back(run);
        let mut number = 0;
        let mut tasks = |turns: &[HandTurn]| -> Vec<Task> {
            turns
                .iter()
                .map(|turn| {
                    number += 1;
                    task(run, turn, number, shell)
                })
                .collect()
        };
        let (restore, checks, cleanup) = (tasks(&way.restore), tasks(&way.checks), tasks(&way.cleanup));
        let since = way_back_if_exposed_since(run).map(|way| IfExposed {
            by: run.plan.exposing().map(|ix| run.plan.step(ix).id.to_string()),
            restore: tasks(&way.restore),
            cleanup: tasks(&way.cleanup),
        });
        let applied = [Section::Prepare, Section::Cutover].into_iter().flat_map(|section| run.plan.section(section));
        let applied = applied.filter(|ix| run.may_stand(*ix) && !asked(run, *ix));
        let applied = applied.map(|ix| run.plan.step(ix).id.to_string()).collect();
        Self {
            run: run.name.to_string(),
            made_at: now.steady,
            sequence: run.sequence,
            doing: view.summary.doing.clone(),
            ordered: run.rollback.as_ref().is_some_and(|rollback| rollback.ordered),
            idle: idle(run),
            service: view.service.text.clone(),
            since_at: view.service.since_at,
            data: view.data.text.clone(),
            turn_back_at: view.change.as_ref().and_then(|change| change.turn_back_at),
            contacts: contacts(run),
            applied,
            doubts: unsettled(run).into_iter().map(|ix| doubt(run, ix)).collect(),
            restore,
            checks,
            cleanup,
            stays: way.stays.iter().map(|(ix, why)| (run.plan.step(*ix).id.to_string(), why.clone())).collect(),
            ends_at_source: ends_at_the_source(run),
            if_exposed: since,
            hours: Hours::of(&run.plan, run.created, now.steady),
        }
    }

    /// As a page that needs nothing else.
    ///
    /// # Errors
    /// The template does not fit: a bug of ours.
    pub fn html(&self) -> Result<String, ReportError> {
        self.render().map_err(ReportError::Page)
    }

    fn render(&self) -> Result<String, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::SemiStrict);
        let hours = self.hours.clone();
        environment.add_filter("moment", move |at: i64| hours.moment(at));
        environment.add_filter("code", page::code);
        environment.add_template("by-hand.html", TEMPLATE)?;
        environment.get_template("by-hand.html")?.render(context! {
            page => Value::from(Serde(self)),
            style => Value::from_safe_string(STYLE.to_owned()),
            version => env!("CARGO_PKG_VERSION"),
        })
    }
}

/// Why nothing has to be done, if so.
fn idle(run: &Run) -> Option<String> {
    let why = match run.state.ending().filter(|_| run.state.is_final()) {
        Some(Ending::Back | Ending::Untouched) => "The run is over, and users are on the source.",
        Some(Ending::OnTarget) => "The run is over: the target stands, and the way back was given up.",
        Some(Ending::Residue) => "A person closed the run as it stood; see its report.",
        None if run.commit_intended => return Some(commit_has_begun(run)),
        None if run.first_effect.is_none() && !run.prepared_effect => {
            "Nothing was touched yet: there is nothing to take back."
        }
        None => return None,
    };
    Some(why.to_owned())
}

/// The way back is gone: what there is to know instead.
fn commit_has_begun(run: &Run) -> String {
    let of = |done: bool| {
        let steps = run.plan.section(Section::Commit).filter(|ix| run.forward(*ix).satisfies() == done);
        let names: Vec<String> = steps.map(|ix| run.plan.step(ix).id.to_string()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    format!(
        "The commit has begun, so the way back is gone: users stay on the target, and nothing may send them back. Commit \
         steps that are done: {}; not done, or not known: {}.",
        of(true),
        of(false)
    )
}

/// Whom to call, as the runbook says.
pub(super) fn contacts(run: &Run) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    run.plan
        .contacts
        .iter()
        .flat_map(|(name, value)| match value.as_object() {
            Some(map) => map.iter().map(|(inner, value)| (format!("{name}, {inner}"), text(value))).collect(),
            None => vec![(name.clone(), text(value))],
        })
        .collect()
}

fn doubt(run: &Run, ix: StepIx) -> Doubt {
    let what = if asked(run, ix) {
        "a person was asked to do it and has not answered: ask whether it was done"
    } else if run.step(ix).status.is_live() {
        "it was under way when this page was written: make sure that it has ended before anything is taken back"
    } else {
        "nobody knows whether it happened, or whether it still goes on: look first"
    };
    Doubt { step: run.plan.step(ix).id.to_string(), what: what.to_owned() }
}

fn task(run: &Run, turn: &HandTurn, number: usize, shell: &Shell<'_>) -> Task {
    let step = run.plan.step(turn.step);
    let is_undo = step.section.is_undone();
    let (direction, generation, role) = if is_undo {
        (plugin::Direction::Undo, run.step(turn.step).undo_generation, plugin::Role::Undo)
    } else {
        (plugin::Direction::Forward, run.step(turn.step).generation, plugin::Role::Step)
    };
    // The undo that a plan writes is performed; only an executor's own is an undo to it.
    let role = if turn.native { role } else { plugin::Role::Step };
    let key = plugin::IdempotencyKey { run: run.name.to_string(), step: step.id.to_string(), direction, generation };
    let lines = |call: &Resolved, role| {
        let with = for_people(call, plugin::by_hand::placeholder);
        let outputs = run.step(turn.step).outputs.as_deref();
        shell(&call.uses, plugin::ByHand { with: &with, role, outputs, key: &key })
    };
    let call = turn.call.as_ref().and_then(|call| call.as_ref().ok());
    let shell_lines = call.and_then(|call| lines(call, role));
    let verify = turn.verify.as_ref().and_then(|call| call.as_ref().ok());
    let secrets = call.into_iter().chain(verify).flat_map(|call| &call.secrets);
    let mut secrets: Vec<String> = secrets.map(|secret| plugin::by_hand::variable(&secret.name)).collect();
    secrets.sort();
    secrets.dedup();
    let id = &step.id;
    let (good, good_with) = good(run, turn.step).unzip();
    let good_with = good_with.unwrap_or_default();
    let proof = verify.and_then(|call| lines(call, plugin::Role::Step));
    let call_text = call.filter(|_| shell_lines.is_none());
    let call_text = call_text.map(|call| format!("{} {}", call.uses, for_people(call, plugin::by_hand::placeholder)));
    let words = instructions(run, turn.step);
    let masked = [&shell_lines, &call_text, &proof, &words]
        .iter()
        .any(|text| text.as_ref().is_some_and(|text| text.contains(MASK)));
    Task {
        number,
        step: id.to_string(),
        description: step.origin.description.clone(),
        stage: turn.stage.map(|stage| words::stage(stage).to_owned()),
        state: state(turn.done).to_owned(),
        words,
        call: call_text,
        shell: shell_lines,
        masked,
        unknown: turn.call.as_ref().and_then(|call| call.as_ref().err()).cloned(),
        proof,
        good,
        good_with,
        only_after: only_after(run, turn),
        secrets,
        then: run
            .rollback
            .as_ref()
            .filter(|rollback| rollback.ordered && step.section != Section::RollbackCheck)
            .map(|_| format!("bascule undo done {} {id}", run.name)),
    }
}

fn state(done: Done) -> &'static str {
    match done {
        Done::No => "do",
        Done::MayGoOn => "look first",
        Done::Badly => "failed",
        Done::Yes => "done",
        Done::Waived => "given up",
        Done::NotNeeded => "not needed",
    }
}

/// What an action's answer must say, with the values that it is compared with.
fn good(run: &Run, ix: StepIx) -> Option<(String, Vec<String>)> {
    let step = run.plan.step(ix);
    let is_undo = step.section.is_undone();
    let verify = if is_undo { step.undo_action().and_then(|undo| undo.verify.as_ref()) } else { step.verify.as_ref() };
    let own = match &step.kind {
        StepKind::Action(call) if !is_undo => step.check.pass.as_ref().map(|pass| (pass, call)),
        StepKind::Action(_) | StepKind::Approval(_) | StepKind::Manual(_) => None,
    };
    let verified = verify.and_then(|verify| Some((verify.pass.as_ref()?, &verify.call)));
    let (condition, call) = verified.or(own)?;
    let text = condition.as_str();
    let named = |root: &'static str, values: &BTreeMap<String, serde_json::Value>| -> Vec<String> {
        let mentioned = values.iter().filter(|(name, _)| text.contains(&format!("{root}.{name}")));
        mentioned.map(|(name, value)| format!("{root}.{name} = {value}")).collect()
    };
    let mut values = named("params", &call.params);
    values.extend(named("inputs", &run.plan.inputs));
    values.extend(named("baseline", &run.baseline));
    Some((text.to_owned(), values))
}

/// What must have gone well before an action.
fn only_after(run: &Run, turn: &HandTurn) -> Vec<String> {
    let mut names: Vec<String> = turn.blocked_by.iter().map(|before| run.plan.step(*before).id.to_string()).collect();
    let deletes = matches!(&run.plan.step(turn.step).undo, Undo::Action(undo) if undo.cleanup && !undo.keep);
    if deletes && run.possibly_exposed.is_some() {
        names.push("users' writes were brought home".to_owned());
    }
    names
}
