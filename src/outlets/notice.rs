//! A notice: what somebody who sees no screen is told of one event, in the words of the views.
//!
//! Pure. Nothing is worded here that a view says already, so that what stands on a pager and what stands on a terminal
//! never disagree. [`Notice`] is the JSON that leaves the process; `docs/notifications.md` promises its fields. Start at
//! [`Notice::of`].

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::loud::Matter;
use crate::machine::fact::Millis;
use crate::machine::run::Run;
use crate::machine::{Event, Now, Record};
use crate::view::{EventView, Level, Place, ProgressMap, QuestionView, RunView, StepView};

/// Fields are added to a notice, never changed; a change would be another format.
const FORMAT: u32 = 1;

/// A pager cuts what is longer.
const LONGEST_TITLE: usize = 140;

/// The most of a text that is sent: what programs said may be long.
const LONGEST_TEXT: usize = 16 << 10;

/// What is told of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Of these fields.
    pub format: u32,
    /// The same for every try and every repetition, over all engine lives: `application/number#sequence`.
    pub id: String,
    /// `application/number`; absent where it is about the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// `info`, `act`, `page`.
    pub level: Level,
    /// The event's name; `test`, `givenUp` and `disk` are no events of a run.
    pub event: String,
    /// When it happened, in UTC.
    pub at: String,
    /// The same in the zone of the change, or of the machine.
    pub at_local: String,
    /// That zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// One line, the application first.
    pub title: String,
    /// All that somebody needs to act.
    pub text: String,
    /// What can be typed.
    pub commands: Vec<String>,
    /// The question that was asked, or closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<u32>,
    /// The run's state now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How often it was told before.
    pub repeat: u32,
    /// When it was written, by the machine's clock, in UTC.
    pub told_at: String,
    /// The machine.
    pub host: String,
    /// The state directory there: `bascule --state DIR …` where it is not the usual one.
    pub folder: String,
}

/// Which event, and how it is told.
#[derive(Debug, Clone)]
pub struct Wording<'a> {
    /// Where the event stands.
    pub place: Place,
    /// How loud.
    pub level: Level,
    /// What waits for a person.
    pub matter: Option<&'a Matter>,
    /// How often it was told before.
    pub repeat: u32,
    /// The machine.
    pub host: &'a str,
    /// The state directory there.
    pub folder: &'a str,
}

/// What is wrong with the engine, not with what a run does.
#[derive(Debug, Clone, Copy)]
pub struct OfEngine<'a> {
    /// The part of the id after the `#`.
    pub id: &'a str,
    /// Its name.
    pub event: &'a str,
    /// The run that it is about.
    pub run: Option<&'a str>,
    /// What is wrong.
    pub words: &'a str,
    /// What can be typed.
    pub commands: &'a [String],
    /// Since when.
    pub since: Millis,
    /// How loud.
    pub level: Level,
    /// How often it was told before.
    pub repeat: u32,
    /// The machine.
    pub host: &'a str,
    /// The state directory there.
    pub folder: &'a str,
}

impl Notice {
    /// What is told of an event; the run is as it stands now.
    #[must_use]
    pub fn of(run: &Run, now: Now, record: &Record, wording: &Wording<'_>) -> Self {
        let view = RunView::of(run, now, &ProgressMap::new());
        let event = EventView::of(&run.name, wording.place, record);
        let zone = Zone::of(view.zone.as_deref());
        let question = question_of(&record.event);
        let asked = question.and_then(|id| view.questions.iter().find(|asked| asked.question == id));
        let mut page = Page { text: String::new(), commands: Vec::new(), view: &view, zone: &zone };
        match asked {
            Some(asked) => page.question(asked),
            None => page.event(&event, wording),
        }
        page.line(&format!("state directory {} on {}", wording.folder, wording.host));
        let what = asked.map_or(&event.text, |asked| &asked.what);
        Self {
            format: FORMAT,
            id: format!("{}#{}", run.name, wording.place.sequence),
            run: Some(run.name.to_string()),
            application: Some(view.summary.application.clone()),
            level: wording.level,
            event: event.event.clone(),
            at: utc(record.at),
            at_local: zone.local(record.at),
            title: title(&format!("{}: {what}", run.name)),
            text: cut(page.text, LONGEST_TEXT),
            commands: page.commands,
            question,
            state: Some(view.summary.state.clone()),
            repeat: wording.repeat,
            told_at: utc(now.wall),
            host: wording.host.to_owned(),
            folder: wording.folder.to_owned(),
            zone: zone.name,
        }
    }

    /// What is told of the engine itself.
    #[must_use]
    pub fn of_engine(what: &OfEngine<'_>, now: Now) -> Self {
        let zone = Zone::of(None);
        let head = what.run.unwrap_or("bascule");
        let (since, place) = (zone.full(what.since), format!("state directory {} on {}", what.folder, what.host));
        let mut text = format!("{head}: {}\nsince {since}\n{place}\n", what.words);
        for command in what.commands {
            text.push_str(&format!("   {command}\n"));
        }
        Self {
            format: FORMAT,
            id: format!("{}#{}", what.run.unwrap_or("engine"), what.id),
            run: what.run.map(str::to_owned),
            application: what.run.map(|run| run.rsplit_once('/').map_or(run, |(name, _)| name).to_owned()),
            level: what.level,
            event: what.event.to_owned(),
            at: utc(what.since),
            at_local: zone.local(what.since),
            title: title(&format!("{head}: {}", what.words)),
            text: cut(text, LONGEST_TEXT),
            commands: what.commands.to_vec(),
            question: None,
            state: None,
            repeat: what.repeat,
            told_at: utc(now.wall),
            host: what.host.to_owned(),
            folder: what.folder.to_owned(),
            zone: zone.name,
        }
    }
}

/// The question that an event asks or closes.
fn question_of(event: &Event) -> Option<u32> {
    if let Event::Asked { question, .. } | Event::Closed { question, .. } = event { Some(*question) } else { None }
}

/// The text while it is written.
struct Page<'a> {
    text: String,
    commands: Vec<String>,
    view: &'a RunView,
    zone: &'a Zone,
}

impl Page<'_> {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn command(&mut self, command: &str) {
        self.line(&format!("   {command}"));
        self.commands.push(command.to_owned());
    }

    /// Users first: is the service up, since when, what of their data is at stake.
    fn users(&mut self) {
        let view = self.view;
        let since = view.service.since_at.map(|at| format!(", since {}", self.zone.full(at)));
        self.line(&format!("{}{}", view.service.text, since.unwrap_or_default()));
        self.line(&format!("data at stake: {}", view.data.text));
        if let Some(deadline) = view.window.as_ref().filter(|window| window.open).and_then(|window| window.deadline_at)
        {
            self.line(&format!("window open until {}", self.zone.full(deadline)));
        }
        if let Some(at) = view.change.as_ref().and_then(|change| change.turn_back_at) {
            self.line(&format!("turn back by {}", self.zone.full(at)));
        }
    }

    fn question(&mut self, asked: &QuestionView) {
        self.line(&format!("{}: question {}: {}", self.view.summary.run, asked.question, asked.what));
        asked.details.iter().for_each(|detail| self.line(detail));
        self.line(&format!("asked {}", self.zone.full(asked.asked_at)));
        self.users();
        self.line(&format!("tried: {}", asked.tried));
        self.line("");
        for answer in &asked.answers {
            let last = answer.last_possible_at.map(|at| format!("; at the latest {}", self.zone.full(at)));
            let (last, takes) = (last.unwrap_or_default(), &answer.duration);
            self.line(&format!("{}. {}: {}; takes: {takes}{last}", answer.number, answer.label, answer.effect));
            self.command(&answer.command);
        }
        self.line("");
        self.line(&format!("if nobody answers: {}", asked.silence));
        self.line(&format!("who may answer: {}", asked.who));
    }

    fn event(&mut self, event: &EventView, wording: &Wording<'_>) {
        self.line(&format!("{}: {}", event.run, event.text));
        if let Some(who) = event.who() {
            let why = event.reason.as_ref().map(|reason| format!(": {reason}"));
            self.line(&format!("by {who}{}", why.unwrap_or_default()));
        }
        self.line(&format!("at {}", self.zone.full(event.at)));
        let view = self.view;
        let about = wording.matter.and_then(Matter::step);
        let step = about.and_then(|step| view.steps.iter().find(|known| known.step == step));
        if let Some(step) = step {
            self.step(step);
        }
        self.users();
        self.line(&format!("now: {}", view.summary.doing));
        let is_asked = wording.level > Level::Info;
        for next in view.next.iter().filter(|_| is_asked) {
            let is_about = |step: &str| next.command.split_whitespace().any(|word| word == step);
            if about.is_none_or(is_about) {
                self.line(&format!("{}:", next.effect));
                self.command(&next.command);
            }
        }
        if let Some(waiting) = step.and_then(|step| step.waiting.as_ref()).filter(|waiting| !waiting.silence.is_empty())
        {
            self.line(&format!("if nobody acts: {}", waiting.silence));
        }
    }

    fn step(&mut self, step: &StepView) {
        step.description.iter().for_each(|text| self.line(text));
        if let Some(failure) = &step.failure {
            self.line(&failure.message);
            failure.hint.iter().for_each(|hint| self.line(hint));
        }
    }
}

/// The zone in which people read a run's times.
struct Zone {
    zone: TimeZone,
    name: Option<String>,
}

impl Zone {
    fn of(name: Option<&str>) -> Self {
        let named = name.and_then(|name| TimeZone::get(name).ok());
        let zone = named.unwrap_or_else(|| TimeZone::try_system().unwrap_or(TimeZone::UTC));
        let name = zone.iana_name().map(str::to_owned);
        Self { zone, name }
    }

    fn zoned(&self, at: Millis) -> jiff::Zoned {
        Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone())
    }

    /// `2026-11-28T23:41:07.120+01:00`.
    fn local(&self, at: Millis) -> String {
        self.zoned(at).strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string()
    }

    /// `2026-11-28 23:41:07 +01:00`, as the terminal has it.
    fn full(&self, at: Millis) -> String {
        self.zoned(at).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }
}

/// `2026-11-28T22:41:07.120Z`.
fn utc(at: Millis) -> String {
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// One line: what programs said may hold anything, and a variable of an environment may not.
fn title(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(line.chars().filter(|c| !c.is_control()).collect(), LONGEST_TITLE)
}

/// At most so many bytes, with a sign that some are missing.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let room = most.saturating_sub('…'.len_utf8());
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
