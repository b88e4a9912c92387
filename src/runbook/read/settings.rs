//! The single values that a runbook and an overlay share: times, answers, people.

use super::Reader;
use super::conditions::Placeholders;
use super::map::{Field, Fields};
use super::values::Bounds;
use crate::runbook::codes;
use crate::runbook::instant::{self, LocalInterval, LocalTime, TimeError};
use crate::runbook::keys;
use crate::runbook::model::{Change, DataOnRollback, Millis, OnRestart, Settings};
use crate::runbook::problem::{Problem, nearest};
use crate::runbook::source::{Spanned, Text};
use crate::runbook::yaml::Content;

impl Reader<'_> {
    pub(super) fn settings(&mut self, fields: &mut Fields) -> Settings {
        Settings {
            rollback_window: self.window(fields),
            window_from: fields.take("windowFrom").and_then(|field| self.word(&field)),
            on_window_close: fields.take("onWindowClose").and_then(|field| self.word(&field)),
            keep_source: fields.take("keepSource").and_then(|field| self.duration(&field, Bounds::LONG)),
            change: fields.take("change").and_then(|field| self.change(field)),
            downtime_budget: fields.take("downtimeBudget").and_then(|field| self.duration(&field, Bounds::POSITIVE)),
            data_on_rollback: fields.take("dataOnRollback").and_then(|field| self.data_on_rollback(field)),
            contacts: fields.take("contacts").and_then(|field| self.data_map(field, Placeholders::None)),
            on_failure: fields.take("onFailure").and_then(|field| self.word(&field)),
            on_restart: fields.take("onRestart").and_then(|field| self.on_restart(field)),
            auto_continue_within: fields
                .take("autoContinueWithin")
                .and_then(|field| self.duration(&field, Bounds::ANY)),
            settle_within: fields.take("settleWithin").and_then(|field| self.duration(&field, Bounds::SHORT)),
            start_by: fields.take("startBy").and_then(|field| self.time(&field)),
            rollback_ready_every: fields
                .take("rollbackReadyEvery")
                .and_then(|field| self.duration(&field, Bounds::PERIOD)),
        }
    }

    fn window(&mut self, fields: &mut Fields) -> Option<Spanned<Millis>> {
        let (minutes, window) = (fields.take("rollbackWindowMinutes"), fields.take("rollbackWindow"));
        if let (Some(minutes), Some(window)) = (&minutes, &window) {
            let problem = Problem::new(codes::EXCLUSIVE_KEYS, "the rollback window is written twice")
                .at(window.key, "as a duration")
                .also(minutes.key, "in minutes")
                .help("keep one of them");
            self.report(problem);
        }
        let from_minutes = minutes.and_then(|field| self.minutes(&field));
        let from_window = window.and_then(|field| self.duration(&field, Bounds::WINDOW));
        from_window.or(from_minutes)
    }

    /// `rollbackWindowMinutes`: a whole number, kept for runbooks that were written before durations.
    fn minutes(&mut self, field: &Field) -> Option<Spanned<Millis>> {
        let number = match &field.node.content {
            Content::Scalar(scalar) => scalar.as_number(),
            Content::Null | Content::Seq(_) | Content::Map(_) => None,
        };
        let Some(number) = number else {
            self.expected(
                &field.node,
                "a whole number of minutes",
                &format!("`{}` must be a whole number", field.name),
            );
            return None;
        };
        let Some(minutes) = number.as_u64() else {
            let problem = Problem::new(codes::NUMBER_OUT_OF_RANGE, format!("`{}` must be a whole number", field.name))
                .at(field.node.span, "expected a whole number from 1 to 10080")
                .help("write `rollbackWindow: 90s` for less than a minute");
            self.report(problem);
            return None;
        };
        self.bounded(field, Millis(minutes.saturating_mul(60_000)), Bounds::WINDOW)
    }

    fn on_restart(&mut self, field: Field) -> Option<OnRestart> {
        let mut fields = self.fields(field.node, keys::ON_RESTART)?;
        let resume_within = fields.take("resumeWithin").and_then(|field| self.duration(&field, Bounds::ANY));
        Some(OnRestart { span: fields.span, resume_within })
    }

    fn data_on_rollback(&mut self, field: Field) -> Option<Spanned<DataOnRollback>> {
        let span = field.node.span;
        if let Content::Scalar(scalar) = &field.node.content {
            if &*scalar.text == "stateless" {
                return Some(Spanned::new(DataOnRollback::Stateless, span));
            }
            let problem =
                Problem::new(codes::UNKNOWN_WORD, format!("`{}` is not a value of `dataOnRollback`", scalar.text))
                    .at(span, "expected `stateless` or `acceptLoss: { upTo, reason }`")
                    .suggest(&scalar.text, ["stateless", "acceptLoss"]);
            self.report(problem);
            return None;
        }
        let mut fields = self.fields(field.node, keys::DATA_ON_ROLLBACK)?;
        let accept = fields.take("acceptLoss")?;
        let mut fields = self.fields(accept.node, keys::ACCEPT_LOSS)?;
        if let Some(key) = ["upTo", "reason"].into_iter().find(|key| !fields.has(key)) {
            let help = "write `acceptLoss: { upTo: 10m, reason: \"who accepted it, and why\" }`";
            self.missing(keys::ACCEPT_LOSS, fields.span, key, help);
        }
        let up_to = fields.take("upTo").and_then(|field| self.duration(&field, Bounds::POSITIVE));
        let reason = fields.take("reason").and_then(|field| self.text(&field));
        Some(Spanned::new(DataOnRollback::AcceptLoss { up_to: up_to?, reason: reason? }, span))
    }

    fn change(&mut self, field: Field) -> Option<Change> {
        let mut fields = self.fields(field.node, keys::CHANGE)?;
        let change = Change {
            span: fields.span,
            id: fields.take("id").and_then(|field| self.label(&field)),
            window: fields.take("window").and_then(|field| self.interval(&field)),
            zone: fields.take("zone").and_then(|field| self.zone(&field)),
        };
        if let (Some(window), Some(zone)) = (&change.window, &change.zone)
            && let Err(error) = window.resolve(Some(&zone.value))
        {
            let problem = bad_time("change.window", &error).at(window.span, "in this interval");
            self.report(problem);
        }
        Some(change)
    }

    fn time(&mut self, field: &Field) -> Option<Spanned<LocalTime>> {
        let text = self.text(field)?;
        self.timed(LocalTime::parse(&text.value), field.name, &text)
    }

    fn interval(&mut self, field: &Field) -> Option<Spanned<LocalInterval>> {
        let text = self.text(field)?;
        self.timed(LocalInterval::parse(&text.value), "change.window", &text)
    }

    fn timed<T>(&mut self, parsed: Result<T, TimeError>, name: &str, text: &Text) -> Option<Spanned<T>> {
        match parsed {
            Ok(value) => Some(Spanned::new(value, text.span)),
            Err(error) => {
                let problem = bad_time(name, &error).at(text.span, "cannot be read");
                self.report(problem);
                None
            }
        }
    }

    fn zone(&mut self, field: &Field) -> Option<Text> {
        let text = self.text(field)?;
        match instant::check_zone(&text.value) {
            Ok(()) => Some(text),
            Err(error) => {
                let mut problem = bad_time("change.zone", &error).at(text.span, "unknown zone");
                if let Some(near) = nearest(&text.value, instant::zone_names().iter().map(String::as_str)) {
                    problem = problem.help(format!("did you mean `{near}`?"));
                }
                self.report(problem);
                None
            }
        }
    }
}

fn bad_time(name: &str, error: &TimeError) -> Problem {
    let problem = Problem::new(codes::BAD_TIME, format!("`{name}`: {error}"));
    match error {
        TimeError::NotATime(_) => {
            problem.help("write `2026-11-28T22:00`, local to `change.zone`, or with an offset: `…+01:00`")
        }
        TimeError::NotAnInterval(_) => problem.help("write start and end: `2026-11-28T22:00/04:00`"),
        TimeError::NoZone(_) => problem.help("write `zone: Europe/Paris` beside it"),
        TimeError::UnknownZone(_) => problem.help("zones are named like `Europe/Paris` or `UTC`"),
        TimeError::InGap { .. } => problem.help("write another time"),
        TimeError::Twice { .. } => problem.help("say which one with an offset: `2026-10-25T02:30+02:00`"),
        TimeError::Backwards | TimeError::OutOfRange => problem,
    }
}
