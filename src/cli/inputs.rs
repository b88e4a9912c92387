//! The documents of a verb: found, read, compiled; their problems shown once.
//!
//! A runbook brings overlays (`-f`), settings (`--set`) and catalogs; a catalog is looked up in the
//! order `--catalog`, `catalogs:` of the runbook, `catalog/` beside the runbook, the ones in this
//! program. Nothing here contacts a system, and no problem is ever shown without its place. Start
//! with [`InputArgs`], then [`Desk::plan`].

mod files;
pub mod shipped;

use std::path::{Path, PathBuf};

use super::Ctx;
use super::error::CliError;
use super::exit::Exit;
use super::look;
use super::text::{columns, wrap};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::engine::registry;
use crate::plan::{CatalogRank, CatalogSource, Compiled, Executors, Explanation, History, Plan};
use crate::plan::{compile, explain, lint};
use crate::runbook::codes;
use crate::runbook::model::{CriterionEntry, Entry};
use crate::runbook::problem::nearest;
use crate::runbook::render::{self, Colour};
use crate::runbook::schema::Kind;
use crate::runbook::{Catalog, Documents, Overlay, Problem, Problems, Runbook, SourceMap, Span, Text};
use files::Taken;

/// The documents of one runbook, as the command line names them.
#[derive(Debug, Clone, clap::Args)]
pub struct InputArgs {
    /// The runbook; `-` reads it from standard input.
    #[arg(value_name = "RUNBOOK")]
    pub runbook: String,
    /// The rest.
    #[command(flatten)]
    pub extra: ExtraArgs,
}

/// What is laid over a runbook, and where names come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ExtraArgs {
    /// Lay an overlay over the runbook: inputs, times and single fields of one environment. Several: the last wins.
    #[arg(short = 'f', long = "overlay", value_name = "FILE")]
    pub overlays: Vec<String>,
    /// Replace one value, such as `inputs.vm=analytics-01`. Wins over overlays.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Look names up in this catalog first: a file, or the name of a shipped one.
    #[arg(long = "catalog", value_name = "FILE|NAME")]
    pub catalogs: Vec<String>,
}

/// A catalog that was found, and how far it could be read.
struct Shelved {
    name: String,
    path: Option<PathBuf>,
    catalog: Option<Catalog>,
}

/// Everything that the verb was given, on one desk: files are read once, problems are kept together.
pub struct Desk {
    documents: Documents,
    shelf: Vec<Shelved>,
    executors: Executors,
    history: History,
    stdin: Taken,
    /// `-f` and `--set` are the same for all runbooks of a call: they are read once.
    overlays: Option<Vec<Overlay>>,
    /// Where the change window was written.
    change: Option<Span>,
}

/// A runbook with all that belongs to it.
struct Bundle {
    runbook: Runbook,
    overlays: Vec<Overlay>,
    /// Places on the shelf, in the order of looking up.
    catalogs: Vec<(usize, CatalogRank)>,
    /// One that was named is missing or cannot be read: which names it would have known, nobody can say.
    lacks_catalog: bool,
}

/// A compiled runbook.
pub struct Planned {
    /// The plan; [`crate::plan::PlanBody::missing`] may name inputs that it lacks.
    pub plan: Plan,
    /// Warnings; there are no errors.
    pub problems: Problems,
    /// The text of all documents.
    pub sources: SourceMap,
}

/// What `lint` found in a file, beside its problems.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linted {
    /// As it was named.
    pub file: String,
    /// `runbook`, `catalog`, `overlay` or `site`.
    pub kind: String,
    /// How many steps and checks a runbook's plan has.
    pub steps: usize,
    /// How many criteria.
    pub criteria: usize,
    /// Inputs that must still be given before it can run.
    pub missing: Vec<String>,
    /// Conditions of a safe end that nothing in it proves.
    pub not_verified: Vec<String>,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// Nothing on it yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            documents: Documents::new(),
            shelf: Vec::new(),
            executors: registry::known(&registry::executors()),
            history: History::default(),
            stdin: Taken::default(),
            overlays: None,
            change: None,
        }
    }

    /// Reads and compiles a runbook; without a plan the problems hold an error.
    ///
    /// # Errors
    /// The command line itself is wrong. Problems of documents are kept, not returned.
    pub fn compile(&mut self, args: &InputArgs) -> Result<Option<Plan>, CliError> {
        let Some(bundle) = self.read(args)? else { return Ok(None) };
        let compiled = self.compiled(&bundle);
        self.change = compiled.places.change;
        self.documents.report(compiled.problems);
        Ok(compiled.plan)
    }

    /// Where each value of a step comes from. Absent: there is no such step; the names that are near it.
    ///
    /// # Errors
    /// The documents are invalid (shown), or there is no such step.
    pub fn explain(mut self, ctx: &Ctx, args: &InputArgs, step: &str) -> Result<(Explanation, SourceMap), CliError> {
        let bundle = self.read(args)?;
        let answer = bundle.and_then(|bundle| {
            let compiled = self.compiled(&bundle);
            let found = self.with_input(&bundle, |input| explain::explain(input, step));
            self.documents.report(compiled.problems);
            compiled.plan.map(|plan| (plan, found))
        });
        let (sources, problems) = self.documents.finish();
        let Some((plan, found)) = answer.filter(|_| !problems.has_errors()) else {
            return Err(refused(ctx, &sources, &problems));
        };
        match found {
            Some(found) => Ok((found, sources)),
            None => Err(no_step(&plan, step)),
        }
    }

    /// Takes one document of any kind, as `lint` does; a runbook is compiled.
    ///
    /// # Errors
    /// The command line itself is wrong.
    pub fn lint(&mut self, name: &str, extra: &ExtraArgs) -> Result<Linted, CliError> {
        let file = files::add(&mut self.documents, name, &mut self.stdin)?;
        let shape = crate::runbook::read::kind(self.documents.sources(), file);
        // What is no document at all is best explained as a runbook that it is not.
        let kind = Kind::ALL.into_iter().find(|kind| Some(kind.shape().schema) == shape.map(|shape| shape.schema));
        let kind = kind.unwrap_or(Kind::Runbook);
        let mut seen = Linted { file: name.to_owned(), kind: kind.name().to_owned(), ..Linted::default() };
        match kind {
            Kind::Catalog => drop(self.documents.catalog(file)),
            Kind::Overlay => drop(self.documents.overlay(file)),
            Kind::Site => {
                let place = self.documents.site(file).map(|site| site.span);
                let mut problems = Problems::new();
                problems.extend(place.map(unused_site));
                self.documents.report(problems);
            }
            Kind::Runbook => {
                let Some(runbook) = self.documents.runbook(file) else { return Ok(seen) };
                let bundle = self.bundle(runbook, name, extra)?;
                let mut compiled = self.compiled(&bundle);
                if let Some(plan) = compiled.plan {
                    // No mistake of who wrote it, and so none that `--strict` refuses.
                    compiled.problems.take(codes::UNVERIFIED_END);
                    seen.not_verified = lint::not_verified(&plan);
                    seen.steps = plan.steps.len();
                    seen.criteria = plan.criteria.len();
                    seen.missing = plan.missing.iter().map(|input| input.name.clone()).collect();
                }
                self.documents.report(compiled.problems);
            }
        }
        Ok(seen)
    }

    /// The plan with its warnings, and how long its steps took in earlier runs, which wins over estimates; errors
    /// are shown, and exit 9.
    ///
    /// # Errors
    /// The documents are invalid, or the command line is wrong.
    pub async fn plan(mut self, ctx: &Ctx, args: &InputArgs) -> Result<(Planned, History), CliError> {
        let mut plan = None;
        if let Some(bundle) = self.read(args)? {
            self.history = look::history(ctx, &bundle.runbook.application.value).await;
            let compiled = self.compiled(&bundle);
            self.documents.report(compiled.problems);
            plan = compiled.plan;
        }
        if let Some(plan) = &plan {
            let now = SystemClock::new().now().wall;
            self.documents.report(lint::against_clock(plan, &self.history, self.change, now));
        }
        let history = self.history;
        let (sources, problems) = self.documents.finish();
        match plan {
            Some(plan) if !problems.has_errors() => Ok((Planned { plan, problems, sources }, history)),
            Some(_) | None => Err(refused(ctx, &sources, &problems)),
        }
    }

    /// The files and all problems.
    #[must_use]
    pub fn finish(self) -> (SourceMap, Problems) {
        self.documents.finish()
    }

    fn read(&mut self, args: &InputArgs) -> Result<Option<Bundle>, CliError> {
        let file = files::add(&mut self.documents, &args.runbook, &mut self.stdin)?;
        match self.documents.runbook(file) {
            Some(runbook) => self.bundle(runbook, &args.runbook, &args.extra).map(Some),
            None => {
                // The other documents are looked at all the same: all problems are shown at once.
                self.overlays(&args.extra)?;
                Ok(None)
            }
        }
    }

    fn overlays(&mut self, extra: &ExtraArgs) -> Result<Vec<Overlay>, CliError> {
        if let Some(overlays) = &self.overlays {
            return Ok(overlays.clone());
        }
        let mut overlays = Vec::new();
        for name in &extra.overlays {
            let file = files::add(&mut self.documents, name, &mut self.stdin)?;
            overlays.extend(self.documents.overlay(file));
        }
        for setting in &extra.settings {
            overlays.extend(self.documents.set(setting));
        }
        self.overlays = Some(overlays.clone());
        Ok(overlays)
    }

    fn bundle(&mut self, runbook: Runbook, name: &str, extra: &ExtraArgs) -> Result<Bundle, CliError> {
        let overlays = self.overlays(extra)?;
        let folder = files::folder(name);
        let mut catalogs = Vec::new();
        for name in &extra.catalogs {
            catalogs.extend(self.named_catalog(name)?.map(|at| (at, CatalogRank::Flag)));
        }
        for name in &runbook.catalogs {
            catalogs.extend(self.own_catalog(&folder, name)?.map(|at| (at, CatalogRank::Runbook)));
        }
        let found = catalogs.iter().filter(|(at, _)| self.shelf[*at].catalog.is_some()).count();
        let lacks_catalog = found < extra.catalogs.len() + runbook.catalogs.len();
        // What is merely found counts only for names: a runbook without any needs no reading.
        if uses_names(&runbook) {
            for path in files::beside(name) {
                catalogs.push((self.catalog_file(&path.display().to_string())?, CatalogRank::Beside));
            }
            catalogs.extend(shipped::ALL.iter().map(|one| (self.shipped(one), CatalogRank::Shipped)));
        }
        let mut seen = std::collections::HashSet::new();
        catalogs.retain(|(at, _)| seen.insert(*at));
        Ok(Bundle { runbook, overlays, catalogs, lacks_catalog })
    }

    /// `--catalog`: a file, or else the name of a shipped one.
    fn named_catalog(&mut self, name: &str) -> Result<Option<usize>, CliError> {
        match shipped::find(name) {
            Some(one) if !Path::new(name).is_file() => Ok(Some(self.shipped(one))),
            // What looks like a file is one: its error says what is wrong with it.
            None if !Path::new(name).exists() && !name.contains(['/', '.']) => {
                self.documents.catalog_not_found(name, None, shipped::ALL.iter().map(|one| one.name));
                Ok(None)
            }
            Some(_) | None => self.catalog_file(name).map(Some),
        }
    }

    /// `catalogs:` of a runbook: a file, as seen from the runbook's folder.
    fn own_catalog(&mut self, folder: &Path, name: &Text) -> Result<Option<usize>, CliError> {
        let path = folder.join(&*name.value);
        if path.is_file() {
            return self.catalog_file(&path.display().to_string()).map(Some);
        }
        if let Some(one) = shipped::find(&name.value) {
            return Ok(Some(self.shipped(one)));
        }
        let shipped = shipped::ALL.iter().map(|one| one.name);
        self.documents.catalog_not_found(&name.value, Some((name.span, &path.display().to_string())), shipped);
        Ok(None)
    }

    fn catalog_file(&mut self, name: &str) -> Result<usize, CliError> {
        let path = std::fs::canonicalize(name).ok();
        let known = self.shelf.iter().position(|one| path.is_some() && one.path == path);
        if let Some(at) = known {
            return Ok(at);
        }
        let file = files::add(&mut self.documents, name, &mut self.stdin)?;
        let catalog = self.documents.catalog(file);
        self.shelf.push(Shelved { name: name.to_owned(), path, catalog });
        Ok(self.shelf.len() - 1)
    }

    fn shipped(&mut self, one: &shipped::Shipped) -> usize {
        let known = self.shelf.iter().position(|other| other.path.is_none() && other.name == one.name);
        known.unwrap_or_else(|| {
            let file = self.documents.add(&format!("<shipped>/{}.yaml", one.name), one.text.as_bytes());
            let catalog = self.documents.catalog(file);
            self.shelf.push(Shelved { name: one.name.to_owned(), path: None, catalog });
            self.shelf.len() - 1
        })
    }

    fn compiled(&self, bundle: &Bundle) -> Compiled {
        let mut compiled = self.with_input(bundle, compile);
        if bundle.lacks_catalog {
            // The one mistake is said; that names are not known only follows from it.
            compiled.problems.take(codes::UNKNOWN_STEP);
            compiled.problems.take(codes::UNKNOWN_CRITERION);
        }
        compiled
    }

    fn with_input<T>(&self, bundle: &Bundle, then: impl FnOnce(&crate::plan::Input<'_>) -> T) -> T {
        let source = |(at, rank): &(usize, CatalogRank)| {
            let Shelved { name, catalog, .. } = &self.shelf[*at];
            catalog.as_ref().map(|catalog| CatalogSource { name, rank: *rank, catalog })
        };
        let catalogs: Vec<CatalogSource<'_>> = bundle.catalogs.iter().filter_map(source).collect();
        then(&crate::plan::Input {
            files: self.documents.sources(),
            runbook: &bundle.runbook,
            overlays: &bundle.overlays,
            catalogs: &catalogs,
            executors: &self.executors,
            history: &self.history,
        })
    }
}

/// Reads and compiles a runbook for a verb that starts it: one that lacks inputs is refused, exit 8.
///
/// # Errors
/// The documents are invalid, inputs are missing, or the command line is wrong. Problems are shown.
pub async fn runnable(ctx: &Ctx, args: &InputArgs) -> Result<Planned, CliError> {
    let (planned, _) = Desk::new().plan(ctx, args).await?;
    if planned.plan.missing.is_empty() {
        return Ok(planned);
    }
    let missing = lint::missing_inputs(&planned.plan);
    show(ctx, &planned.sources, &missing);
    Err(CliError::shown(Exit::NotVerified))
}

/// The same for the verb that starts it now: a change window that is over is refused too.
///
/// # Errors
/// As [`runnable`], or the change window has ended.
pub async fn startable(ctx: &Ctx, args: &InputArgs) -> Result<Planned, CliError> {
    let mut planned = runnable(ctx, args).await?;
    planned.problems.refuse(codes::CHANGE_WINDOW_OVER);
    if planned.problems.has_errors() {
        return Err(refused(ctx, &planned.sources, &planned.problems));
    }
    show_short(ctx, &planned.sources, &planned.problems);
    Ok(planned)
}

/// A site document is checked, and that is all that happens to it.
fn unused_site(span: Span) -> Problem {
    Problem::warning(codes::NOT_BUILT_YET, "a site document is read, and not acted upon yet: no verb takes one")
        .at(span, "without effect in this version")
}

/// Shows warnings to who has seen them in full already: a line each, and where the rest is.
pub fn show_short(ctx: &Ctx, sources: &SourceMap, problems: &Problems) {
    if ctx.ui.json || problems.is_empty() {
        return;
    }
    for line in render::lines(problems, sources) {
        let mut parts = wrap(&line, columns().saturating_sub(2)).into_iter();
        ctx.ui.say(&parts.next().unwrap_or_default());
        parts.for_each(|part| ctx.ui.say(&format!("  {part}")));
    }
    ctx.ui.say("`bascule lint` shows them with their places and what to do");
}

/// Shows problems: as text to the person, with `--json` as data.
pub fn show(ctx: &Ctx, sources: &SourceMap, problems: &Problems) {
    if ctx.ui.json {
        // JSON values have string keys: writing them cannot fail, and a closed pipe is no error.
        drop(ctx.ui.json_data(&render::to_json(problems, sources)));
    } else if !problems.is_empty() {
        ctx.ui.say(render::report(problems, sources, Colour::Terminal).trim_end());
    }
}

/// Shows the problems of documents that cannot be used.
/// Shows what is wrong with documents or arguments.
pub(super) fn refused(ctx: &Ctx, sources: &SourceMap, problems: &Problems) -> CliError {
    show(ctx, sources, problems);
    CliError::shown(Exit::InvalidDocument)
}

fn no_step(plan: &Plan, step: &str) -> CliError {
    let names: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    let error = CliError::usage(format!("the plan of {} has no step `{step}`", plan.application));
    match nearest(step, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("its steps are {}", names.join(", "))),
    }
}

/// Whether a step or a criterion is named and not defined.
fn uses_names(runbook: &Runbook) -> bool {
    let steps = runbook.sections.values().flat_map(|list| &list.entries);
    let criteria = runbook.rollback_criteria.iter().flat_map(|list| &list.entries);
    steps.into_iter().any(|entry| match entry {
        Entry::Named { .. } => true,
        Entry::Inline(def) => def.step.is_some(),
        Entry::Manual(manual) => manual.def.step.is_some(),
        Entry::Approval(_) => false,
    }) || criteria.into_iter().any(|entry| match entry {
        CriterionEntry::Named { .. } => true,
        CriterionEntry::Inline(def) => def.criterion.is_some(),
    })
}
