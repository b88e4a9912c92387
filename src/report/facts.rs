//! The head of a report: what was executed, who started it, which log tells it.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::by_hand;
use super::hours::Hours;
use super::story::Story;
use crate::machine::fact::Actor;
use crate::machine::{Event, RunState};
use crate::plan::draw;
use crate::view::RunView;
use crate::view::words::{self, span, span_u};

/// A line of the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// A hash or a command, to be read letter by letter.
    pub exact: bool,
}

/// The lines of the head.
pub(super) fn facts(account: &Account, story: &Story, view: &RunView, hours: &Hours) -> Vec<Fact> {
    let run = &story.run;
    let plan = &run.plan;
    let mut all = Vec::new();
    let mut add = |name: &str, value: String| all.push(Fact { name: name.to_owned(), value, exact: false });
    add("Application", format!("{}, run {}", plan.application, view.summary.number));
    if let Some(route) = draw::route(plan, "→") {
        add("From, to", route);
    }
    if let Some(wave) = plan.wave {
        add("Wave", wave.to_string());
    }
    if let Some(change) = &plan.policies.change {
        add("Change", change_text(change, hours));
    }
    add("Started by", started_by(account, run.requester.as_ref()));
    let reason = account.events.first().and_then(|(_, record)| record.reason.as_deref());
    if let Some(reason) = reason {
        add("Reason", reason.to_owned());
    }
    if let Some(who) = &run.in_charge {
        add("In charge", who.clone());
    }
    for (what, who) in by_hand::contacts(run) {
        add(&format!("Contact, {what}"), who);
    }
    let ended = match (story.run.state, story.is_over()) {
        (RunState::Accepted, _) => "accepted",
        (_, true) => "ended",
        (_, false) => "log read",
    };
    add("Began, ended", format!("{}, {ended} {}", hours.moment(story.begin), hours.moment(story.end)));
    add("Executed by", engines(story));
    if let Some(window) = window(story, hours) {
        add("Rollback window", window);
    }
    if view.data.written_since_at.is_some() {
        add("Users' writes", view.data.text.clone());
    }
    if let Some(at) = run.rollback.as_ref().and_then(|rollback| rollback.restored) {
        add("Service restored", hours.moment(at));
    }
    all.extend(pins(account, story));
    if let Some(why) = &account.damaged {
        all.push(Fact { name: "Damaged log".to_owned(), value: why.clone(), exact: false });
    }
    all
}

fn change_text(change: &crate::plan::policy::Change, hours: &Hours) -> String {
    let window = match (change.from_ms, change.until_ms) {
        (Some(from), Some(until)) => format!("window {} to {}", hours.moment(from), hours.moment(until)),
        (None, Some(until)) => format!("window until {}", hours.moment(until)),
        (Some(from), None) => format!("window from {}", hours.moment(from)),
        (None, None) => "no window".to_owned(),
    };
    match &change.id {
        Some(id) => format!("{id}, {window}"),
        None => window,
    }
}

fn started_by(account: &Account, requester: Option<&Actor>) -> String {
    let who = requester.map_or_else(|| "nobody knows".to_owned(), words::actor);
    let trusted = account
        .events
        .first()
        .is_some_and(|(_, record)| matches!(record.event, Event::Created { trust_claimed_names: true, .. }));
    if trusted { format!("{who}, with --trust-claimed-names") } else { who }
}

fn engines(story: &Story) -> String {
    let mut hosts: Vec<&str> = story.engines.iter().map(|(_, host, _)| host.as_str()).collect();
    hosts.dedup();
    let lives = match story.engines.len() {
        0 => return "no engine yet".to_owned(),
        1 => "one engine life".to_owned(),
        n => format!("{n} engine lives"),
    };
    let away: i64 = story.absences.iter().map(|absence| absence.to.saturating_sub(absence.from)).sum();
    let gaps =
        if story.absences.is_empty() { String::new() } else { format!(", {} without one in between", span(away)) };
    format!("bascule {} on {}; {lives}{gaps}", env!("CARGO_PKG_VERSION"), hosts.join(", then "))
}

fn window(story: &Story, hours: &Hours) -> Option<String> {
    let window = story.run.window.as_ref()?;
    let planned = span_u(story.run.plan.policies.window_ms);
    Some(format!("{} to {}, planned {planned}", hours.time(window.opened), hours.time(window.deadline)))
}

/// What lets a reader check this page against the log.
fn pins(account: &Account, story: &Story) -> Vec<Fact> {
    let head = &account.head;
    let exact = |name: &str, value: String| Fact { name: name.to_owned(), value, exact: true };
    let amended = story.run.revision > 0;
    let first = amended.then(|| exact("Plan at the start (SHA-256)", account.plan.hash().to_string()));
    let mut pins = vec![
        exact("Plan (SHA-256)", story.run.plan.hash().to_string()),
        exact("Head of the run log", format!("version {}, {}", head.version, head.hash)),
        exact("To check this page", format!("bascule audit verify --head {}:{}:{}", head.run, head.version, head.hash)),
    ];
    pins.splice(1..1, first);
    pins
}
