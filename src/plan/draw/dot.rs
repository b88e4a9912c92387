//! The plan as DOT, for Graphviz.

use std::fmt::Write as _;

use super::{Look, words};
use crate::plan::rollback;
use crate::plan::sealed::{Plan, StepIx};
use crate::plan::step::{Effect, Section, StepKind};

/// A digraph with a cluster for each phase; undos hang beside their steps, dashed.
#[must_use]
pub fn dot(plan: &Plan, look: &Look) -> String {
    let mut out = String::from(
        "digraph plan {\n  rankdir=LR;\n  node [shape=box, style=filled, fillcolor=white, fontname=\"sans-serif\"];\n",
    );
    writeln!(out, "  label={};", quoted(&words::title(plan))).expect("text can grow");
    for section in Section::ALL.into_iter().filter(|section| !plan.section(*section).is_empty()) {
        writeln!(out, "  subgraph cluster_{} {{\n    label={};", section.key(), quoted(words::heading(section)))
            .expect("text can grow");
        for ix in plan.section(section) {
            step(&mut out, plan, look, ix);
        }
        out.push_str("  }\n");
    }
    for to in 0..plan.steps.len() {
        for (from, kind) in plan.dag().parents(to) {
            let width = if kind.blocks() { " [penwidth=2]" } else { "" };
            writeln!(out, "  s{from} -> s{to}{width};").expect("text can grow");
        }
    }
    way_back(&mut out, plan, look);
    out.push_str("}\n");
    out
}

fn step(out: &mut String, plan: &Plan, look: &Look, ix: StepIx) {
    let step = plan.step(ix);
    let shape = match &step.kind {
        StepKind::Approval(_) => "octagon",
        StepKind::Action(_) | StepKind::Manual(_) if step.effect == Effect::None => "ellipse",
        StepKind::Action(_) | StepKind::Manual(_) => "box",
    };
    let mut label = words::name(step).to_owned();
    for mark in words::marks(step) {
        label.push('\n');
        label.push_str(mark);
    }
    let fill = look.steps.get(&step.id).map_or("#ffffff", |state| state.colour());
    let strong = if step.exposes || step.is_irreversible() { ", penwidth=3" } else { "" };
    writeln!(out, "    s{ix} [label={}, shape={shape}, fillcolor=\"{fill}\"{strong}];", quoted(&label))
        .expect("text can grow");
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
        writeln!(out, "  subgraph cluster_{id} {{\n    label={};\n    style=dashed;", quoted(title))
            .expect("text can grow");
        for undo in part {
            place += 1;
            let step = plan.step(undo.step);
            let verb = if step.section == Section::Fence { "" } else { "undo " };
            let fill = look.undos.get(&step.id).map_or("#ffffff", |state| state.colour());
            let label = quoted(&format!("{place}. {verb}{}", words::name(step)));
            writeln!(out, "    u{} [label={label}, style=\"filled,dashed\", fillcolor=\"{fill}\"];", undo.step)
                .expect("text can grow");
        }
        out.push_str("  }\n");
        for pair in part.windows(2) {
            let width = if pair[1].blocked_by.contains(&pair[0].step) { ", penwidth=2" } else { "" };
            writeln!(out, "  u{} -> u{} [style=dashed{width}];", pair[0].step, pair[1].step).expect("text can grow");
        }
    }
}

fn quoted(text: &str) -> String {
    let mut safe = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => safe.push_str("\\\""),
            '\\' => safe.push_str("\\\\"),
            '\n' => safe.push_str("\\n"),
            other if other.is_control() => {}
            other => safe.push(other),
        }
    }
    safe.push('"');
    safe
}
