//! What is wrong with a document, as data.
//!
//! A [`Problem`] names its code, its place and the way to mend it; nothing here prints. The reader of the
//! documents and the plan's compiler collect [`Problems`] and never stop at the first one.

use super::codes::Code;
use super::source::{Span, boundary_after, boundary_before};

/// Whether a document can be used in spite of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document cannot be used.
    Error,
    /// It can, and somebody should look.
    Warning,
}

/// A place and what to say there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// Lower-case, short.
    pub text: String,
}

/// Something wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its code; `bascule explain` knows more.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// What happened: lower-case, names the thing.
    pub message: String,
    /// Where; absent if no file is to blame.
    pub primary: Option<Label>,
    /// Other places that take part.
    pub secondary: Vec<Label>,
    /// What to do next.
    pub help: Vec<String>,
    /// Why it is so.
    pub notes: Vec<String>,
}

impl Problem {
    /// An error.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: short(message.into()),
            primary: None,
            secondary: Vec::new(),
            help: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(code, message) }
    }

    /// With its place.
    #[must_use]
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: short(label.into()) });
        self
    }

    /// With another place.
    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: short(label.into()) });
        self
    }

    /// With a next step.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(short(text.into()));
        self
    }

    /// With a reason.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(short(text.into()));
        self
    }

    /// With help `did you mean …?` if a candidate is near.
    #[must_use]
    pub fn suggest<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }
}

/// Values are quoted in messages, and a value may be as long as its author likes.
fn short(text: String) -> String {
    const MOST: usize = 400;
    if text.len() <= MOST {
        return text;
    }
    let head = text.get(..boundary_before(&text, MOST / 2)).unwrap_or("");
    let tail = text.get(boundary_after(&text, text.len() - MOST / 4)..).unwrap_or("");
    format!("{head}…{tail}")
}

/// The candidate that a misspelt word most likely stands for.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Words of snake_case and camelCase are compared alike, so that `power_on` finds `powerOn`.
    let plain =
        |text: &str| text.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).collect::<String>();
    let wanted = plain(word);
    if wanted.is_empty() || wanted.len() > 200 {
        return None;
    }
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let there = plain(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &there);
            let allowed = (wanted.chars().count().max(there.chars().count()) / 3).max(1);
            let contains =
                wanted.len() >= 4 && (there.contains(&wanted) || wanted.contains(&there) && there.len() >= 4);
            (distance <= allowed || contains).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Problems in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    beyond: usize,
}

impl Problems {
    /// How many are kept; more are counted, not kept, so that a broken 10 MB file stays readable.
    pub const KEPT: usize = 200;

    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < Self::KEPT {
            self.list.push(problem);
        } else {
            self.beyond += 1;
            // A warning must never hide the only error.
            if problem.severity == Severity::Error
                && !self.has_errors()
                && let Some(last) = self.list.last_mut()
            {
                *last = problem;
            }
        }
    }

    /// Whether more would only be counted; then nobody needs to look for suggestions.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.list.len() >= Self::KEPT
    }

    /// Adds all of another list.
    pub fn append(&mut self, other: Self) {
        for problem in other.list {
            self.push(problem);
        }
        self.beyond += other.beyond;
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Makes those of one code errors: for verbs that would act on it.
    pub fn refuse(&mut self, code: Code) {
        self.list.iter_mut().filter(|problem| problem.code == code).for_each(|it| it.severity = Severity::Error);
    }

    /// Takes those of one code out: for who says the same in words of its own.
    pub fn take(&mut self, code: Code) -> Vec<Problem> {
        self.list.extract_if(.., |problem| problem.code == code).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were found, those beyond the limit included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len() + self.beyond
    }

    /// How many were found and not kept.
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.beyond
    }

    /// Those that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Sorts by file and place, so that a reader goes through each file once; problems without a place
    /// come first. Two problems with the same code at the same place are one.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|problem| problem.primary.as_ref().map(|label| (label.span, problem.severity)));
        self.list.dedup_by(|later, earlier| {
            later.code == earlier.code && later.message == earlier.message && later.primary == earlier.primary
        });
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        for problem in problems {
            self.push(problem);
        }
    }
}
