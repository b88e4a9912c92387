//! The plan as Mermaid, for wikis and issue trackers.

use std::fmt::Write as _;

use super::{Look, words};
use crate::plan::rollback;
use crate::plan::sealed::{Plan, StepIx};
use crate::plan::step::{Effect, Section, StepKind};

/// A flowchart with a subgraph for each phase, and one for the way back.
#[must_use]
pub fn mermaid(plan: &Plan, look: &Look) -> String {
    let mut out = String::from("flowchart TB\n");
    let lists =
        Section::ALL.into_iter().filter(|section| *section != Section::Fence && !plan.section(*section).is_empty());
    let mut before: Option<Section> = None;
    for section in lists {
        writeln!(out, "  subgraph {}[\"{}\"]", section.key(), words::heading(section)).expect("text can grow");
        out.push_str("    direction LR\n");
        for ix in plan.section(section) {
            step(&mut out, plan, look, ix);
        }
        for to in plan.section(section) {
            for (from, kind) in plan.dag().parents(to).filter(|(from, _)| plan.section(section).contains(from)) {
                let arrow = if kind.blocks() { "==>" } else { "-->" };
                writeln!(out, "    s{from} {arrow} s{to}").expect("text can grow");
            }
        }
        out.push_str("  end\n");
        let runs_on = !matches!(section, Section::Ready | Section::RollbackCheck);
        if let Some(before) = before.filter(|_| runs_on) {
            writeln!(out, "  {} --> {}", before.key(), section.key()).expect("text can grow");
        }
        if runs_on {
            before = Some(section);
        }
    }
    way_back(&mut out, plan, look);
    out
}

fn step(out: &mut String, plan: &Plan, look: &Look, ix: StepIx) {
    let step = plan.step(ix);
    let (open, close) = match &step.kind {
        StepKind::Approval(_) => ("{{", "}}"),
        StepKind::Action(_) | StepKind::Manual(_) if step.effect == Effect::None => ("([", "])"),
        StepKind::Action(_) | StepKind::Manual(_) => ("[", "]"),
    };
    let marks = words::marks(step);
    let marks = if marks.is_empty() { String::new() } else { format!("<br/>{}", marks.join(", ")) };
    writeln!(out, "    s{ix}{open}\"{}{marks}\"{close}", quoted(words::name(step))).expect("text can grow");
    if let Some(state) = look.steps.get(&step.id) {
        writeln!(out, "    style s{ix} fill:{}", state.colour()).expect("text can grow");
    } else if step.exposes {
        writeln!(out, "    style s{ix} stroke-width:4px").expect("text can grow");
    }
}

fn way_back(out: &mut String, plan: &Plan, look: &Look) {
    let back = rollback::complete(plan);
    let mut place = 0;
    for (id, title, part) in
        [("restore", "Way back: users return", &back.restore), ("cleanup", "Way back: clean-up", &back.cleanup)]
    {
        if part.is_empty() {
            continue;
        }
        writeln!(out, "  subgraph {id}[\"{title}\"]\n    direction LR").expect("text can grow");
        for (at, undo) in part.iter().enumerate() {
            place += 1;
            let step = plan.step(undo.step);
            let verb = if step.section == Section::Fence { "" } else { "undo " };
            let stage = undo.stage.map(|stage| format!("<br/>{}", words::stage(stage))).unwrap_or_default();
            writeln!(out, "    u{}[\"{place}. {verb}{}{stage}\"]", undo.step, quoted(words::name(step)))
                .expect("text can grow");
            if let Some(state) = look.undos.get(&step.id) {
                writeln!(out, "    style u{} fill:{}", undo.step, state.colour()).expect("text can grow");
            }
            if let Some(last) = at.checked_sub(1).and_then(|last| part.get(last)) {
                let arrow = if undo.blocked_by.contains(&last.step) { "==>" } else { "-->" };
                writeln!(out, "    u{} {arrow} u{}", last.step, undo.step).expect("text can grow");
            }
        }
        out.push_str("  end\n");
    }
    if !back.restore.is_empty() && !plan.section(Section::Cutover).is_empty() {
        writeln!(out, "  {} -. \"trip, failure, a person\" .-> restore", Section::Cutover.key())
            .expect("text can grow");
    }
    if !back.restore.is_empty() && !back.cleanup.is_empty() {
        out.push_str("  restore --> cleanup\n");
    }
}

/// Mermaid knows entities with `#`; quotes and markup would end the label.
fn quoted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => safe.push_str("#quot;"),
            '#' => safe.push_str("#35;"),
            '<' => safe.push_str("#lt;"),
            '>' => safe.push_str("#gt;"),
            '&' => safe.push_str("#amp;"),
            '`' => safe.push_str("#96;"),
            '\n' => safe.push(' '),
            other if other.is_control() => {}
            other => safe.push(other),
        }
    }
    safe
}
