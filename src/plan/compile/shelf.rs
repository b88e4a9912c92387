//! The catalogs that may be used, best first, and what is found in them.
//!
//! A catalog that was named with `--catalog` counts for any platforms; all others by their `for`,
//! name by name: a definition of the source's side only from a catalog for the source's platform,
//! one of the target's side only from a catalog for the target's.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::{CatalogRank, CatalogSource};
use crate::plan::sealed::CatalogPin;
use crate::runbook::Runbook;
use crate::runbook::codes::{self, Code};
use crate::runbook::model::{CriterionDef, Names, StepDef};
use crate::runbook::problem::Problem;
use crate::runbook::source::{SourceMap, Spanned, Text};
use crate::runbook::words::Side;

/// The place of a catalog on the shelf.
pub(super) type ShelfIx = usize;

struct Open<'a> {
    source: CatalogSource<'a>,
    source_side: bool,
    target_side: bool,
    /// Written for other platforms, used all the same.
    overrides: bool,
}

/// All catalogs of one compilation.
pub(super) struct Shelf<'a> {
    open: Vec<Open<'a>>,
    closed: Vec<CatalogSource<'a>>,
    used: BTreeSet<ShelfIx>,
}

/// A definition, and whose it is.
pub(super) struct Found<'a, T> {
    pub(super) at: ShelfIx,
    pub(super) name: &'a Text,
    pub(super) def: &'a T,
}

impl<T> Clone for Found<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Found<'_, T> {}

impl<'a> Shelf<'a> {
    pub(super) fn new(runbook: &Runbook, catalogs: &[CatalogSource<'a>]) -> Self {
        let mut shelf = Self { open: Vec::new(), closed: Vec::new(), used: BTreeSet::new() };
        for source in catalogs {
            match open(runbook, *source) {
                Some(open) => shelf.open.push(open),
                None => shelf.closed.push(*source),
            }
        }
        // A stable sort: what people named keeps their order; of what was merely found, a catalog
        // for exactly this pair comes before one for either side.
        shelf.open.sort_by_key(|open| {
            let found = matches!(open.source.rank, CatalogRank::Beside | CatalogRank::Shipped);
            (open.source.rank, Reverse(found && open.source_side && open.target_side))
        });
        shelf
    }

    pub(super) fn step(&mut self, name: &str) -> Option<Found<'a, StepDef>> {
        let found = self.find(name, |source| &source.catalog.steps, |def| def.side.as_ref())?;
        self.used.insert(found.at);
        Some(found)
    }

    /// The definition that a catalog's own defaults mean: its own first.
    pub(super) fn step_of(&mut self, at: ShelfIx, name: &str) -> Option<Found<'a, StepDef>> {
        let own = self.open[at].source.catalog.steps.entry(name);
        match own {
            Some((name, def)) => Some(Found { at, name, def }),
            None => self.step(name),
        }
    }

    pub(super) fn criterion(&mut self, name: &str) -> Option<Found<'a, CriterionDef>> {
        let found = self.find(name, |source| &source.catalog.criteria, |def| def.side.as_ref())?;
        self.used.insert(found.at);
        Some(found)
    }

    pub(super) fn criterion_of(&mut self, at: ShelfIx, name: &str) -> Option<Found<'a, CriterionDef>> {
        let own = self.open[at].source.catalog.criteria.entry(name);
        match own {
            Some((name, def)) => Some(Found { at, name, def }),
            None => self.criterion(name),
        }
    }

    fn find<T>(
        &self,
        name: &str,
        names: impl Fn(&CatalogSource<'a>) -> &'a Names<T>,
        side: impl Fn(&T) -> Option<&Spanned<Side>>,
    ) -> Option<Found<'a, T>> {
        self.open.iter().enumerate().find_map(|(at, open)| {
            let (name, def) = names(&open.source).entry(name)?;
            let reaches = match side(def).map(|side| side.value) {
                Some(Side::Source) => open.source_side,
                Some(Side::Target) => open.target_side,
                Some(Side::Neutral) | None => true,
            };
            reaches.then_some(Found { at, name, def })
        })
    }

    /// What to say of a name that no catalog knows.
    pub(super) fn unknown_step(&self, name: &Text) -> Problem {
        self.unknown(codes::UNKNOWN_STEP, "step", name, |source| &source.catalog.steps)
    }

    /// What to say of a criterion that no catalog knows.
    pub(super) fn unknown_criterion(&self, name: &Text) -> Problem {
        self.unknown(codes::UNKNOWN_CRITERION, "criterion", name, |source| &source.catalog.criteria)
    }

    fn unknown<T: 'a>(
        &self,
        code: Code,
        what: &str,
        name: &Text,
        names: impl Fn(&CatalogSource<'a>) -> &'a Names<T>,
    ) -> Problem {
        let known = self.open.iter().flat_map(|open| names(&open.source).names());
        let mut problem = Problem::new(code, format!("no catalog knows the {what} `{}`", name.value))
            .at(name.span, "not known")
            .suggest(&name.value, known);
        let elsewhere = self.closed.iter().chain(self.open.iter().map(|open| &open.source));
        for source in elsewhere.filter(|source| names(source).get(&name.value).is_some()) {
            problem = problem.note(format!("{} defines it, but {}", source.name, written_for(source)));
        }
        let searched: Vec<&str> = self.open.iter().map(|open| open.source.name).collect();
        if searched.is_empty() {
            problem.note("no catalog is written for these platforms").help(format!(
                "name a catalog with `catalogs:` or `--catalog`, or define the {what} here with `id:` and `uses:`"
            ))
        } else {
            problem.note(format!("searched: {}", searched.join(", ")))
        }
    }

    /// Whether a catalog's defaults count: it was named, or it gave a definition.
    pub(super) fn default_givers(&self) -> impl Iterator<Item = (ShelfIx, CatalogSource<'a>)> + '_ {
        let named = |at: &ShelfIx, open: &Open<'_>| match open.source.rank {
            CatalogRank::Flag | CatalogRank::Runbook => true,
            CatalogRank::Beside | CatalogRank::Shipped => self.used.contains(at),
        };
        self.open.iter().enumerate().filter(move |(at, open)| named(at, open)).map(|(at, open)| (at, open.source))
    }

    pub(super) fn at(&self, at: ShelfIx) -> CatalogSource<'a> {
        self.open[at].source
    }

    /// The catalogs that gave something, by the hash of their text.
    pub(super) fn pins(&self, files: &SourceMap) -> Vec<CatalogPin> {
        let pin = |at: &ShelfIx| {
            let source = self.open[*at].source;
            CatalogPin {
                name: source.name.to_owned(),
                sha256: sha256(files.file(source.catalog.file).text()),
                verified: source.catalog.verified.as_ref().map(|text| text.value.to_string()),
            }
        };
        self.used.iter().map(pin).collect()
    }

    /// Notes that a catalog's defaults were used.
    pub(super) fn mark_used(&mut self, at: ShelfIx) {
        self.used.insert(at);
    }

    /// Catalogs that gave a definition although they are written for other platforms.
    pub(super) fn overriding(&self) -> Vec<Problem> {
        let used = self.open.iter().enumerate().filter(|(at, open)| open.overrides && self.used.contains(at));
        used.map(|(_, open)| {
            let place = open.source.catalog.platforms.as_ref().map(|platforms| platforms.span);
            let message = format!("{} is used although it {}", open.source.name, written_for(&open.source));
            let problem = Problem::warning(codes::CATALOG_OVERRIDES_FOR, message)
                .note("`--catalog` overrides `for`; the catalog is pinned in the plan");
            match place {
                Some(span) => problem.at(span, "written for these"),
                None => problem,
            }
        })
        .collect()
    }
}

fn open<'a>(runbook: &Runbook, source: CatalogSource<'a>) -> Option<Open<'a>> {
    let all = |overrides| Some(Open { source, source_side: true, target_side: true, overrides });
    let named = matches!(source.rank, CatalogRank::Flag | CatalogRank::Runbook);
    let Some(platforms) = &source.catalog.platforms else {
        return if named { all(false) } else { None };
    };
    let fits = |wanted: Option<&Text>, given: Option<&Text>| match (wanted, given) {
        (None, _) => true,
        (Some(wanted), Some(given)) => wanted.value == given.value,
        (Some(_), None) => false,
    };
    let fits = fits(platforms.source_platform.as_ref(), runbook.source_platform.as_ref())
        && fits(platforms.target_platform.as_ref(), runbook.target_platform.as_ref());
    if fits {
        let source_side = platforms.source_platform.is_some();
        let target_side = platforms.target_platform.is_some();
        return Some(Open { source, source_side, target_side, overrides: false });
    }
    if source.rank == CatalogRank::Flag { all(true) } else { None }
}

fn written_for(source: &CatalogSource<'_>) -> String {
    let Some(platforms) = &source.catalog.platforms else {
        return "names no platforms: it counts only where it is named with `catalogs:` or `--catalog`".to_owned();
    };
    match (&platforms.source_platform, &platforms.target_platform) {
        (Some(from), Some(to)) => format!("is written for {} → {}", from.value, to.value),
        (Some(from), None) => format!("is written for the source {}", from.value),
        (None, Some(to)) => format!("is written for the target {}", to.value),
        (None, None) => "names no platforms".to_owned(),
    }
}

/// Lower-case hex.
fn sha256(text: &str) -> String {
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}
