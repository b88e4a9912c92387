//! A plan as a table that a person reads at 2 a.m. on 80 columns.

use super::super::style::{BAD, BOLD, CARE, DIM};
use super::super::text::{columns, cut, pad, wrap};
use super::back;
use crate::runbook::words::Section;
use crate::view::plan::{LengthView, PlanView, PlannedCriterionView, PlannedStepView};
use crate::view::words::span_u;

/// The columns behind the name.
const EXECUTOR: usize = 12;
const EFFECT: usize = 10;
const LENGTH: usize = 7;

/// All of a plan.
pub(super) fn plan(view: &PlanView) -> String {
    let mut text = head(view);
    let name = view.steps.iter().map(|step| step.id.len()).chain([20]).max().unwrap_or(0);
    let name = name.min(columns().saturating_sub(4 + 2 + EXECUTOR + 2 + EFFECT + 2 + LENGTH));
    text.push_str(&format!(
        "\n{DIM}  #  {}  {}  {}  {:>LENGTH$}{DIM:#}\n",
        pad("step", name),
        pad("executor", EXECUTOR),
        pad("effect", EFFECT),
        "estimate"
    ));
    for section in Section::ALL {
        let steps: Vec<&PlannedStepView> = view.steps.iter().filter(|step| step.section == section.key()).collect();
        if !steps.is_empty() {
            text.push_str(&band(section, view));
            steps.into_iter().for_each(|step| text.push_str(&row(step, name, view)));
        }
        if section == Section::PostCheck && !view.criteria.is_empty() {
            text.push_str(&criteria(&view.criteria));
        }
    }
    text.push_str(&back::way_back(view));
    text.push_str(&back::phases(view));
    text.push_str(&times(view));
    text.push_str(&missing(view));
    text
}

fn head(view: &PlanView) -> String {
    let wave = view.wave.map(|wave| format!(" · wave {wave}")).unwrap_or_default();
    let cluster = view.source_cluster.as_ref().map(|cluster| format!(" ({cluster})")).unwrap_or_default();
    let mut text = format!("{BOLD}{}{BOLD:#}{wave}\n", view.application);
    let way = match (view.source_platform.as_str(), view.target_platform.as_str()) {
        ("", "") => None,
        (from, "") => Some(format!("from {from}{cluster}")),
        ("", to) => Some(format!("to {to}")),
        (from, to) => Some(format!("{from}{cluster} → {to}")),
    };
    if let Some(way) = way {
        wrap(&way, columns()).iter().for_each(|line| text.push_str(&format!("{line}\n")));
    }
    text.push_str(&fact("plan", &view.hash));
    for catalog in &view.catalogs {
        let verified = catalog.verified.as_deref().unwrap_or("its catalog does not say how far it was tried");
        text.push_str(&fact("catalog", &format!("{}: {verified}", catalog.name)));
    }
    text.push_str(&fact("locks", &view.locks.join(", ")));
    if !view.requires.is_empty() {
        text.push_str(&fact("requires", &view.requires.join(", ")));
    }
    if !view.secrets.is_empty() {
        text.push_str(&fact("secrets", &view.secrets.join(", ")));
    }
    if let Some(change) = &view.window.change {
        let id = change.id.as_deref().unwrap_or("a change");
        let window =
            change.from_at.zip(change.until_at).map(|(from, until)| interval(from, until, change.zone.as_deref()));
        text.push_str(&fact("change", &format!("{id}{}", window.map(|w| format!(", {w}")).unwrap_or_default())));
    }
    text
}

/// A change window in the zone in which its people read it.
fn interval(from: i64, until: i64, zone: Option<&str>) -> String {
    let zoned = |at: i64| {
        let at = jiff::Timestamp::from_millisecond(at).ok()?;
        at.in_tz(zone.unwrap_or("UTC")).ok()
    };
    match zoned(from).zip(zoned(until)) {
        Some((from, until)) => format!("{} to {}", from.strftime("%a %F %R %:z"), until.strftime("%a %F %R %:z")),
        None => "at a time that cannot be shown".to_owned(),
    }
}

fn fact(name: &str, text: &str) -> String {
    let lines = wrap(text, columns().saturating_sub(10));
    format!("{DIM}{}{DIM:#}  {}\n", pad(name, 8), lines.join(&format!("\n{}", " ".repeat(10))))
}

/// A heading over a list.
pub(super) fn heading(title: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!("  {DIM}{more}{DIM:#}") };
    format!("\n{BOLD}{title}{BOLD:#}{more}\n")
}

fn band(section: Section, view: &PlanView) -> String {
    let (title, more) = match section {
        Section::PreCheck => ("PRE-CHECKS", "side by side; all pass before anything is touched"),
        Section::Prepare => ("PREPARATION", "before the change window; the source serves as before"),
        Section::Cutover => ("CUTOVER", "one after the other, unless a step says otherwise"),
        Section::PostCheck => ("POST-CHECKS", "side by side, repeated until they pass; the gate at the close"),
        Section::Fence => ("FENCE", "first of a rollback after exposure"),
        Section::Ready => ("WAY BACK OPEN?", ""),
        Section::RollbackCheck => ("ROLLBACK CHECKS", "between restore and clean-up"),
        Section::Commit => ("COMMIT", "the point of no return, on a person's word"),
    };
    let more = if section == Section::Ready {
        format!("looked at every {}, from the first effect on", span_u(view.window.ready_every_ms))
    } else if section == Section::Commit && view.window.on_close == "commit" {
        "the point of no return, by itself when the window closes".to_owned()
    } else {
        more.to_owned()
    };
    heading(title, &more)
}

fn row(step: &PlannedStepView, name: usize, view: &PlanView) -> String {
    let performer = match (&step.executor, &step.approval) {
        (Some(executor), _) => executor.as_str(),
        (None, Some(_)) => "approval",
        (None, None) => "by hand",
    };
    let effect = if step.approval.is_some() { "-" } else { step.effect.as_str() };
    let length = if step.approval.is_some() { "-".to_owned() } else { length(&step.length) };
    let mut text = format!(
        "{:>3}  {}  {}  {}  {:>LENGTH$}\n",
        step.number,
        pad(&cut(short(&step.id), name), name),
        pad(&cut(performer, EXECUTOR), EXECUTOR),
        pad(effect, EFFECT),
        length
    );
    for (mark, line) in marks(step, view) {
        let mut lines = wrap(&line, columns().saturating_sub(8)).into_iter();
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("     {mark} {first}\n"));
        lines.for_each(|line| text.push_str(&format!("       {line}\n")));
    }
    text
}

/// The prefix of its list says nothing that the heading did not.
pub(super) fn short(id: &str) -> &str {
    id.split_once(':').map_or(id, |(_, name)| name)
}

/// What a person must know of a step, one line each.
fn marks(step: &PlannedStepView, view: &PlanView) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut mark = |sign: String, line: String| lines.push((sign, line));
    if step.takes_source_down {
        mark(format!("{CARE}▼{CARE:#}"), "takes the source down: users are without service".to_owned());
    }
    if step.moves_data {
        mark("⇄".to_owned(), "moves the application's data".to_owned());
    }
    if step.exposes {
        let window = span_u(view.window.length_ms);
        let line = match view.window.from.as_str() {
            "cutoverEnd" => format!("EXPOSES: users reach the target; the window of {window} opens after the cutover"),
            _exposure => format!("EXPOSES: users reach the target; the window of {window} opens"),
        };
        mark(format!("{CARE}◆{CARE:#}"), line);
    }
    if step.irreversible {
        mark(format!("{BAD}✕{BAD:#}"), "IRREVERSIBLE: past it nothing goes back by itself".to_owned());
    }
    if let Some(who) = &step.approval {
        mark(format!("{CARE}?{CARE:#}"), format!("asks {who}; nothing below starts before"));
    }
    if let Some(instructions) = &step.manual {
        mark(format!("{CARE}?{CARE:#}"), format!("a person does it: {instructions}"));
    }
    if let Some(after) = &step.after {
        let names: Vec<&str> = after.iter().map(|id| short(id)).collect();
        let line =
            if names.is_empty() { "waits for no step".to_owned() } else { format!("after {}", names.join(", ")) };
        mark("·".to_owned(), line);
    }
    if let Some(when) = &step.when {
        mark("·".to_owned(), format!("only when {when}"));
    }
    if !step.locks.is_empty() {
        mark("·".to_owned(), format!("lock {}", step.locks.join(", ")));
    }
    if let Some(reason) = &step.no_undo_because {
        mark("·".to_owned(), format!("no undo: {reason}"));
    }
    lines
}

fn criteria(criteria: &[PlannedCriterionView]) -> String {
    let mut text = heading("ROLLBACK CRITERIA", "sampled from exposure until the run is accepted");
    for one in criteria {
        let does =
            if one.on_trip.contains("asks") { format!("{CARE}{}{CARE:#}", one.on_trip) } else { one.on_trip.clone() };
        text.push_str(&format!("  -  {}  {does}\n", one.id));
        let line = format!(
            "{} every {}, from {} on; trips {} on {}",
            one.executor,
            span_u(one.every_ms),
            span_u(one.warm_up_ms),
            one.rule,
            one.trip
        );
        wrap(&line, columns().saturating_sub(8)).iter().for_each(|line| text.push_str(&format!("       {line}\n")));
    }
    text
}

/// `45s`, `unknown`, `45s or more`.
pub(super) fn length(length: &LengthView) -> String {
    match (length.open, length.at_least_ms) {
        (true, 0) => "unknown".to_owned(),
        (true, known) => format!(">{}", span_u(known)),
        (false, known) => span_u(known),
    }
}

fn times(view: &PlanView) -> String {
    let times = &view.times;
    let mut text = heading("TIMES", "estimates, if nothing goes wrong and nothing has to wait");
    let mut line = |name: &str, value: String, more: &str| {
        let more = if more.is_empty() { String::new() } else { format!("  {DIM}{more}{DIM:#}") };
        text.push_str(&format!("  {}  {:>LENGTH$}{more}\n", pad(name, 34), value));
    };
    if times.prepare.at_least_ms > 0 || times.prepare.open {
        line("preparation", length(&times.prepare), "");
    }
    if let Some(exposure) = &times.until_exposure {
        line("until users reach the target", length(exposure), "from the start of the cutover");
    }
    if let Some(downtime) = &times.downtime {
        let budget = view.window.downtime_budget_ms.map(|budget| format!("the budget is {}", span_u(budget)));
        line("users without service", length(downtime), &budget.unwrap_or_default());
    }
    line("back: until the source serves", length(&times.until_source_serves), "from the decision");
    line("back: until everything is clean", length(&times.until_clean), "");
    let close = if view.window.on_close == "commit" { "then commits" } else { "then accepted" };
    let from = if view.window.from == "cutoverEnd" { "after the cutover" } else { "from exposure" };
    line("rollback window", span_u(view.window.length_ms), &format!("{from}, {close}"));
    if let Some(keep) = view.window.keep_source_ms {
        line("the source is kept", span_u(keep), "a reminder, never an action");
    }
    // In a plain sequence every step counts: naming them all says nothing.
    let cutover = view.steps.iter().filter(|step| step.section == Section::Cutover.key()).count();
    if times.critical_path.len() < cutover {
        let path = format!("longest path: {}", times.critical_path.join(", "));
        wrap(&path, columns().saturating_sub(4)).iter().for_each(|path| text.push_str(&format!("  {path}\n")));
    }
    if !times.unknown.is_empty() {
        let names = wrap(&format!("no estimate: {}", times.unknown.join(", ")), columns().saturating_sub(4));
        names.iter().for_each(|names| text.push_str(&format!("  {CARE}{names}{CARE:#}\n")));
    }
    if !view.not_proved.is_empty() {
        text.push_str(&format!("  not verified at the end: {}\n", view.not_proved.join(", ")));
    }
    let sign_offs =
        view.sign_offs.iter().flat_map(|one| wrap(&format!("sign-off by {one}"), columns().saturating_sub(4)));
    sign_offs.for_each(|line| text.push_str(&format!("  {line}\n")));
    text
}

fn missing(view: &PlanView) -> String {
    if view.missing.is_empty() {
        return String::new();
    }
    let mut text = heading("MISSING INPUTS", "this plan can be read, not run");
    for input in &view.missing {
        let names: Vec<&str> = input.needed_by.iter().map(|id| short(id)).collect();
        let shown = names.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let more = names.len().checked_sub(4).map(|more| format!(" and {} more", more + 1)).unwrap_or_default();
        let line = format!("{} ({}) for {shown}{more}", input.name, input.kind);
        wrap(&line, columns().saturating_sub(4)).iter().enumerate().for_each(|(at, line)| {
            let indent = if at == 0 { "  " } else { "    " };
            text.push_str(&format!("{indent}{line}\n"));
        });
    }
    let first = &view.missing[0].name;
    text.push_str(&format!(
        "  Give them under `inputs:` of the runbook, in an overlay (`-f FILE`),\n  or one by one: --set inputs.{first}=…\n"
    ));
    text
}
