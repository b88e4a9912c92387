//! What waits for a person and is no question of the run: an approval, work by hand, a check that fails, an undo that
//! does not work. Told as questions are: what it is, in full, and the commands to type.

use super::line::{Line, Look};
use super::{Canvas, command, paragraph};
use crate::cli::{call, text};
use crate::view::{NextCommand, RunView, StepView, UndoView};

/// Everything that waits, oldest step first. `room` is how many lines each may take beside its commands.
pub(super) fn needs(view: &RunView, canvas: &Canvas, room: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if view.summary.is_final {
        return lines;
    }
    for step in &view.steps {
        // A question says it already.
        if view.questions.iter().any(|question| question.step.as_deref() == Some(&step.step)) {
            continue;
        }
        if let Some(texts) = waits(step) {
            one(&mut lines, view, canvas, (&step.step, &texts, room));
        }
    }
    let undos = view.rollback.iter().flat_map(|rollback| rollback.restore.iter().chain(&rollback.cleanup));
    for undo in undos.filter(|undo| matches!(undo.state.as_str(), "failed" | "unknown" | "backoff")) {
        one(&mut lines, view, canvas, (&undo.step, &failed_undo(undo), room));
    }
    lines
}

/// What is said of a step that waits for a person; the first text stands in the heading.
fn waits(step: &StepView) -> Option<Vec<String>> {
    let on = step.waiting.as_ref().map_or("", |waiting| waiting.on.as_str());
    let mut texts = match on {
        "approval" | "person" => {
            let mut texts = vec![step.waiting.as_ref()?.text.clone()];
            texts.extend(step.description.clone());
            texts
        }
        "retry" if matches!(step.section.as_str(), "preChecks" | "commitSteps") => {
            let failure = step.failure.as_ref()?;
            let mut texts = vec!["fails, and is tried again".to_owned(), failure.message.clone()];
            texts.extend(failure.hint.clone());
            texts
        }
        _ => return None,
    };
    texts.retain(|text| !text.is_empty());
    Some(texts)
}

fn failed_undo(undo: &UndoView) -> Vec<String> {
    let what = match undo.state.as_str() {
        "failed" => "the undo failed",
        "backoff" => "the undo fails, and is tried again",
        _ => "whether the undo happened is unknown",
    };
    let mut texts = vec![what.to_owned()];
    match &undo.failure {
        Some(failure) => {
            texts.push(failure.message.clone());
            texts.extend(failure.hint.clone());
        }
        None => texts.push(undo.detail.clone()),
    }
    texts.extend(undo.by_hand.as_ref().map(|text| format!("by hand: {text}")));
    texts.retain(|text| !text.is_empty());
    texts
}

fn one(lines: &mut Vec<Line>, view: &RunView, canvas: &Canvas, (step, texts, room): (&str, &[String], usize)) {
    let mut texts = texts.iter();
    let head = format!("{} {step}: {}", canvas.glyphs.ask, texts.next().map_or("", String::as_str));
    let mut said = paragraph(Look::Bad, &head, 0, canvas.columns);
    for text in texts {
        said.extend(paragraph(Look::Plain, text, 4, canvas.columns));
    }
    said.truncate(room);
    lines.extend(said);
    let mine: Vec<&NextCommand> =
        view.next.iter().filter(|next| next.command.split_whitespace().any(|word| word == step)).collect();
    let widest = mine.iter().map(|next| text::width(&call::typed(&next.command))).max().unwrap_or(0);
    for next in mine {
        let with_effect = Line::of(Look::Plain, "    ")
            .add(Look::Command, text::pad(&call::typed(&next.command), widest))
            .add(Look::Dim, format!("  {}", next.effect));
        if with_effect.width() <= canvas.columns {
            lines.push(with_effect);
        } else {
            lines.extend(command(Line::of(Look::Plain, "    "), &next.command, 4, canvas.columns));
        }
    }
}
