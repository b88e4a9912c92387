//! Who decided what: every event that a person caused, and every question with its answer.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::story::Story;
use crate::machine::fact::{Actor, Millis};
use crate::view::EventView;
use crate::view::words;

/// A person, as the log knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The account that was authenticated.
    pub account: String,
    /// The name that was given with `--as`; nobody verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
    /// How they came: `socket`, `telephone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

impl From<&Actor> for Person {
    fn from(actor: &Actor) -> Self {
        Self { account: actor.name.clone(), claimed: actor.claimed.clone(), channel: actor.channel.clone() }
    }
}

/// A decision of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When.
    pub at: Millis,
    /// Who.
    pub who: Person,
    /// What.
    pub what: String,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its event.
    pub sequence: u64,
}

/// A question and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Counts the run's questions from 1.
    pub question: u32,
    /// When it was asked.
    pub asked_at: Millis,
    /// What.
    pub what: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Where users were served then.
    pub service: String,
    /// What was at stake then.
    pub data: String,
    /// When it was closed; absent: it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Millis>,
    /// The answer; `overtaken by events` where nobody had to give one.
    pub answer: String,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Everything that people caused, by time.
pub(super) fn decisions(account: &Account) -> Vec<Decision> {
    let run = account.head.run.as_str();
    let mut all: Vec<Decision> = Vec::new();
    for (place, record) in &account.events {
        let Some(by) = &record.by else { continue };
        let view = EventView::of(run, *place, record);
        let (what, why) = (view.text, view.reason);
        // One word of a person may write several events of one transition: they stand together.
        match all.last_mut() {
            Some(last) if last.at == record.at && last.who == Person::from(by) && last.why == why => {
                last.what = format!("{}; {what}", last.what);
            }
            Some(_) | None => {
                all.push(Decision { at: record.at, who: by.into(), what, why, sequence: place.sequence });
            }
        }
    }
    all
}

/// All questions, by time.
pub(super) fn questions(story: &Story) -> Vec<Answered> {
    let one = |asked: &super::story::Asked| {
        let view = &asked.view;
        let closed = asked.closed.as_ref();
        let answer = match closed {
            None => "open".to_owned(),
            Some(closed) => closed.answer.clone().unwrap_or_else(|| "overtaken by events".to_owned()),
        };
        Answered {
            question: view.question,
            asked_at: view.asked_at,
            what: view.what.clone(),
            details: view.details.clone(),
            service: view.service.text.clone(),
            data: view.data.clone(),
            closed_at: closed.map(|closed| closed.at),
            answer,
            who: closed.and_then(|closed| closed.by.as_ref()).map(words::actor),
            why: closed.and_then(|closed| closed.reason.clone()),
        }
    };
    story.asked.iter().map(one).collect()
}
