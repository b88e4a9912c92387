//! Open questions, complete and first of all.

use super::line::{Line, Look};
use super::{Canvas, command, paragraph};
use crate::cli::when;
use crate::view::{AnswerView, QuestionView, RunView};

/// How much of a question is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// What happened, and the commands.
    Short,
    /// With what is at stake and what each answer does.
    Middle,
    /// Everything.
    Full,
}

/// All questions.
pub(super) fn questions(view: &RunView, canvas: &Canvas, detail: Detail) -> Vec<Line> {
    let mut lines = Vec::new();
    for question in &view.questions {
        lines.extend(one(view, question, canvas, detail));
    }
    lines
}

/// One of them; nothing, if it is closed.
pub(super) fn question(view: &RunView, number: u64, canvas: &Canvas, detail: Detail) -> Vec<Line> {
    let found = view.questions.iter().find(|question| u64::from(question.question) == number);
    found.map(|question| one(view, question, canvas, detail)).unwrap_or_default()
}

fn one(view: &RunView, question: &QuestionView, canvas: &Canvas, detail: Detail) -> Vec<Line> {
    let asked = format!("asked {}", when::ago(question.asked_at, view.now_at));
    let head = format!("{} {}. {}", canvas.glyphs.ask, question.question, question.what);
    let mut lines = vec![Line::of(Look::Bad, head).right(Look::Dim, &asked, canvas.columns)];
    for text in &question.details {
        lines.extend(paragraph(Look::Plain, text, 4, canvas.columns));
    }
    match detail {
        Detail::Full => facts(view, question, canvas, &mut lines),
        Detail::Middle => lines.extend(paragraph(Look::Plain, &format!("data: {}", question.data), 4, canvas.columns)),
        Detail::Short => {}
    }
    let widest = question.answers.iter().map(|answer| crate::cli::text::width(&answer.label)).max().unwrap_or(0);
    for answer in &question.answers {
        let label = crate::cli::text::pad(&answer.label, widest);
        let head = Line::of(Look::Plain, format!("    {}  {label}  ", answer.number));
        lines.extend(command(head, &answer.command, 7, canvas.columns));
        if detail > Detail::Short {
            let takes = match answer.duration.as_str() {
                "unknown" => "nobody knows how long it takes".to_owned(),
                length => format!("takes {length}"),
            };
            let takes = if answer.duration == "at once" { answer.duration.clone() } else { takes };
            let text = format!("{}; {takes}{}", answer.effect, last(view, answer, canvas));
            lines.extend(paragraph(Look::Dim, &text, 7, canvas.columns));
        }
    }
    lines
}

fn last(view: &RunView, answer: &AnswerView, canvas: &Canvas) -> String {
    let at = answer.last_possible_at.map(|at| format!("; at the latest {}", canvas.zone.near(at, view.now_at)));
    let text = answer.last_possible.as_ref().map(|text| format!("; {text}"));
    format!("{}{}", at.unwrap_or_default(), text.unwrap_or_default())
}

fn facts(view: &RunView, question: &QuestionView, canvas: &Canvas, lines: &mut Vec<Line>) {
    let mut say = |name: &str, text: &str| {
        let text = format!("{name}: {text}");
        lines.extend(paragraph(Look::Plain, &text, 4, canvas.columns));
    };
    say("data at stake", &question.data);
    match (question.turn_back_at, &view.change) {
        (Some(at), _) => say("turn back by", &canvas.zone.near(at, view.now_at)),
        (None, Some(_)) => say("turn back by", "unknown: the plan does not say how long the way back takes"),
        (None, None) => {}
    }
    say("tried", &question.tried);
    say("if nobody answers", &question.silence);
    say("who may answer", &question.who);
}
