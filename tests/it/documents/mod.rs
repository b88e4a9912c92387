//! Documents as people write them: what is read, and what a person sees when something is wrong.

mod broken;
mod hostile;
mod layers;
mod pages;
mod schemas;

use bascule::runbook::render::{self, Colour};
use bascule::runbook::{Documents, Problems, Runbook, SourceMap};

/// The founding runbook, unchanged.
pub(crate) const FIXTURE: &str = include_str!("../../../runbooks/customer-analytics-api.yaml");

/// A runbook and everything that is wrong with it.
pub(crate) fn read(bytes: &[u8]) -> (Option<Runbook>, SourceMap, Problems) {
    let mut documents = Documents::new();
    let file = documents.add("runbook.yaml", bytes);
    let runbook = documents.runbook(file);
    let (sources, problems) = documents.finish();
    (runbook, sources, problems)
}

/// What a person sees.
pub(crate) fn shown(bytes: impl AsRef<[u8]>) -> String {
    let (_, sources, problems) = read(bytes.as_ref());
    render::report(&problems, &sources, Colour::Plain)
}

/// A small runbook with lines of the test's own.
pub(crate) fn with(lines: &str) -> String {
    format!("application: billing\nrollbackWindow: 30m\n{lines}")
}

#[test]
fn the_founding_runbook_has_no_problems() {
    let (runbook, _, problems) = read(FIXTURE.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    let runbook = runbook.expect("a runbook");
    assert_eq!(&*runbook.application.value, "customer-analytics-api");
    assert_eq!(runbook.sections.len(), 3);
}

/// Every key that a runbook can have.
pub(crate) const EVERYTHING: &str = include_str!("everything.yaml");

#[test]
fn a_runbook_with_every_key_has_no_problems() {
    let text = shown(EVERYTHING);
    assert!(text.is_empty(), "{text}");
}
