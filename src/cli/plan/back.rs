//! The way back, and what a trip does in each phase, for people.

use std::collections::HashMap;

use super::super::style::{BAD, CARE, DIM, GOOD};
use super::super::text::{columns, cut, pad, wrap};
use super::table::{heading, length, short};
use crate::view::plan::{Does, PlanView, PlannedUndoView};

const STAGE: usize = 9;
const EXECUTOR: usize = 10;
const LENGTH: usize = 7;
const HOLDS: usize = 8;

/// Both parts of the rollback.
pub(super) fn way_back(view: &PlanView) -> String {
    let back = &view.rollback;
    if back.restore.is_empty() && back.cleanup.is_empty() {
        let mut text = heading("THE WAY BACK", "");
        text.push_str("  Nothing is undone: no step has an undo.\n");
        text.push_str(&stays(view));
        return text;
    }
    let room = columns().saturating_sub(5 + STAGE + 2 + 2 + EXECUTOR + 2 + LENGTH + 2 + HOLDS);
    let longest = back.restore.iter().chain(&back.cleanup).map(|undo| short(&undo.step).len()).max().unwrap_or(0);
    let name = longest.min(room).max(16);
    let mut text = heading("THE WAY BACK", "after a complete cutover; before exposure: no fence, no sync");
    text.push_str(&format!(
        "{DIM}  #  {}  {}  {}  {:>LENGTH$}  holds{DIM:#}\n",
        pad("stage", STAGE),
        pad("undo of", name),
        pad("executor", EXECUTOR),
        "estimate"
    ));
    text.push_str("     restore: brings users back\n");
    let actions = || back.restore.iter().chain(&back.cleanup);
    let numbers: HashMap<&str, usize> = actions().map(|undo| (undo.step.as_str(), undo.number)).collect();
    back.restore.iter().for_each(|undo| text.push_str(&row(undo, name, &numbers)));
    if !back.checks.is_empty() {
        let checks: Vec<&str> = back.checks.iter().map(|check| short(check)).collect();
        text.push_str(&format!("     {}  check {}\n", pad("verify", STAGE), checks.join(", ")));
    }
    if !back.cleanup.is_empty() {
        text.push_str("     clean-up: starts when users are back and the checks pass\n");
        back.cleanup.iter().for_each(|undo| text.push_str(&row(undo, name, &numbers)));
    }
    let fenced = back.restore.iter().any(|undo| undo.stage.as_deref() == Some("fence"));
    let legend = format!(
        "{}What fails for good, and what it holds back, stays applied; the rest goes on. In the restore that is `stuck`, and the run waits \
         for a person; in the clean-up it is left for the morning, in the report.",
        if fenced { "The fence is performed, the rest undone. " } else { "" }
    );
    wrap(&legend, columns().saturating_sub(4))
        .iter()
        .for_each(|line| text.push_str(&format!("  {DIM}{line}{DIM:#}\n")));
    text.push_str(&stays(view));
    text
}

fn row(undo: &PlannedUndoView, name: usize, numbers: &HashMap<&str, usize>) -> String {
    let mut held: Vec<usize> = undo.holds_back.iter().filter_map(|step| numbers.get(step.as_str()).copied()).collect();
    held.sort_unstable();
    let mut text = format!(
        "{:>3}  {}  {}  {}  {:>LENGTH$}  {}\n",
        undo.number,
        pad(undo.stage.as_deref().unwrap_or(""), STAGE),
        pad(&cut(short(&undo.step), name), name),
        pad(&cut(undo.executor.as_deref().unwrap_or("by hand"), EXECUTOR), EXECUTOR),
        length(&undo.length),
        cut(&ranges(&held), HOLDS),
    );
    if undo.once {
        text.push_str(&format!("     {CARE}not repeated after an interruption: asks{CARE:#}\n"));
    }
    text
}

/// `2-4 7`; a dash where there is nothing.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            Some(_) | None => runs.push((*number, *number)),
        }
    }
    let words: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    if words.is_empty() { "-".to_owned() } else { words.join(" ") }
}

fn stays(view: &PlanView) -> String {
    let mut text = String::new();
    let back = &view.rollback;
    if !back.stays.is_empty() {
        text.push_str("  Stays even if all goes well:\n");
        for one in &back.stays {
            let line = format!("{}: {}", one.step, one.why);
            wrap(&line, columns().saturating_sub(6)).iter().for_each(|line| text.push_str(&format!("    {line}\n")));
        }
    }
    text
}

/// What a trip or a failure will do.
pub(super) fn phases(view: &PlanView) -> String {
    let mut text = heading("IF IT FAILS OR A CRITERION TRIPS", "");
    let name = view.phases.iter().map(|phase| phase.phase.len()).max().unwrap_or(0).max(16);
    for phase in &view.phases {
        let (style, word) = match phase.does {
            Does::Automatic => (GOOD, "automatic"),
            Does::Asks => (CARE, "asks"),
            Does::OnlyAPerson => (CARE, "a person"),
            Does::NoWayBack => (BAD, "no way back"),
        };
        let room = columns().saturating_sub(2 + name + 2 + 11 + 2);
        let indent = " ".repeat(2 + name + 2 + 11 + 2);
        let lines = wrap(&phase.text, room).join(&format!("\n{indent}"));
        text.push_str(&format!("  {}  {style}{}{style:#}  {lines}\n", pad(&phase.phase, name), pad(word, 11)));
    }
    let line = format!("users' writes: {}", view.data_text);
    wrap(&line, columns().saturating_sub(4)).iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    text
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn neighbours_are_written_as_a_range() {
        assert_eq!(ranges(&[2, 3, 4, 7]), "2-4 7");
        assert_eq!(ranges(&[5]), "5");
        assert_eq!(ranges(&[]), "-");
    }
}
