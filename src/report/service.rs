//! Where users were served, as a sequence of spans: what downtime is measured from.

use serde::{Deserialize, Serialize};

use super::story::Story;
use crate::machine::fact::Millis;

/// Where users were served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Served {
    /// By the source, before the cutover touched it.
    AtSource,
    /// By nobody: the source was taken down.
    Nowhere,
    /// By the target.
    AtTarget,
    /// Being brought back: nobody has verified where they are.
    InDoubt,
    /// By the source again, verified.
    BackAtSource,
}

impl Served {
    /// In a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::AtSource => "source serves",
            Self::Nowhere => "no service",
            Self::AtTarget => "target serves",
            Self::InDoubt => "being brought back",
            Self::BackAtSource => "source serves again",
        }
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpan {
    /// Where.
    pub served: Served,
    /// Since when.
    pub from_at: Millis,
    /// Until when.
    pub to_at: Millis,
}

impl ServiceSpan {
    fn length(self) -> i64 {
        self.to_at.saturating_sub(self.from_at).max(0)
    }
}

/// All spans of a run, without gaps.
pub(super) fn spans(story: &Story) -> Vec<ServiceSpan> {
    let run = &story.run;
    let decided = run.rollback.as_ref().map(|rollback| rollback.decided);
    let restored = run.rollback.as_ref().and_then(|rollback| rollback.restored);
    let mut turns = vec![(story.begin, Served::AtSource)];
    turns.extend(run.down_since.map(|at| (at, Served::Nowhere)));
    turns.extend(run.exposed.map(|at| (at, Served::AtTarget)));
    // An exposing step that was intended and never confirmed: nobody knows where users are.
    let exposed_for_all_we_know = run.possibly_exposed.filter(|_| run.exposed.is_none() && decided.is_some());
    turns.extend(exposed_for_all_we_know.map(|at| (at, Served::InDoubt)));
    turns.extend(decided.filter(|_| run.exposed.is_some()).map(|at| (at, Served::InDoubt)));
    turns.extend(restored.filter(|_| turns.len() > 1).map(|at| (at, Served::BackAtSource)));
    turns.sort_by_key(|(at, _)| *at);
    let ends: Vec<Millis> = turns.iter().skip(1).map(|(at, _)| *at).chain([story.end]).collect();
    let spans = turns.into_iter().zip(ends);
    spans.map(|((from_at, served), to_at)| ServiceSpan { served, from_at, to_at: to_at.max(from_at) }).collect()
}

/// Measured without service: the source was down and nobody was on the target.
pub(super) fn downtime(spans: &[ServiceSpan]) -> Option<i64> {
    let mut down = spans.iter().filter(|span| span.served == Served::Nowhere).peekable();
    down.peek()?;
    Some(down.map(|span| span.length()).sum())
}
