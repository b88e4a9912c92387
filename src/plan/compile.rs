//! Documents become a plan, or problems with places.
//!
//! PURE: the caller has read every file; here names meet definitions, values meet parameters, and
//! everything that can be known before the night is checked. It never stops at the first problem.
//! Start with [`compile`]; the order of its calls is the order of the work.

mod amended;
mod approvals;
mod bind;
mod build;
mod calls;
mod context;
mod criteria;
mod edges;
mod executors;
mod expand;
pub mod explain;
mod exposure;
mod outputs;
mod results;
mod settings;
mod shelf;
mod unbuilt;
mod undo;
mod uses;
mod wayback;

use std::collections::BTreeMap;

use serde_json::Value;

use super::estimate::History;
use super::lint::{self, Places};
use super::rollback;
use super::sealed::{PLAN_VERSION, Plan, PlanBody, PlanError};
use super::step::Effect;
use crate::runbook::problem::Problems;
use crate::runbook::source::{SourceMap, Text};
use crate::runbook::{Catalog, Overlay, Runbook};
pub use amended::not_taken;
use context::Context;
use expand::Draft;

/// Where a catalog was found. A name is looked up in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CatalogRank {
    /// Named with `--catalog`: used for any platforms.
    Flag,
    /// Named by `catalogs:` of the runbook.
    Runbook,
    /// Found in `catalog/` beside the runbook.
    Beside,
    /// Shipped inside the binary.
    Shipped,
}

/// A catalog that was read, and where it was found.
#[derive(Debug, Clone, Copy)]
pub struct CatalogSource<'a> {
    /// As people name it: a path, or the name of a shipped one.
    pub name: &'a str,
    /// Where it was found.
    pub rank: CatalogRank,
    /// What it says.
    pub catalog: &'a Catalog,
}

/// What the compiler must know of an executor.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutorInfo {
    /// Contract version of a built-in; absent for a plugin.
    pub contract: Option<u32>,
    /// SHA-256 of a plugin's program; absent for a built-in.
    pub sha256: Option<String>,
    /// JSON Schema (draft 7) of `with`.
    pub params: Value,
    /// The effect of a step that declares none.
    pub effect: Effect,
    /// Whether it can tell if an attempt happened.
    pub probes: bool,
    /// Whether it takes back its own steps.
    pub undoes: bool,
    /// Whether its attempts tell how far they are.
    pub progress: bool,
    /// The names of its outputs; with `*` among them, or none at all, the step chooses their names.
    pub outputs: Vec<String>,
}

impl ExecutorInfo {
    /// Whether a result of it may have this field.
    #[must_use]
    pub fn gives(&self, field: &str) -> bool {
        self.outputs.is_empty() || self.outputs.iter().any(|output| output == field || output == "*")
    }
}

/// The executors that a plan may use, by name.
pub type Executors = BTreeMap<String, ExecutorInfo>;

/// Everything that a plan is made of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The text of all documents, for places inside of strings.
    pub files: &'a SourceMap,
    /// The runbook.
    pub runbook: &'a Runbook,
    /// `-f` and `--set`, in the order of the command line: the last wins.
    pub overlays: &'a [Overlay],
    /// Every catalog that could give a definition, in the order of the command line, the runbook's
    /// list, the folder, the binary.
    pub catalogs: &'a [CatalogSource<'a>],
    /// What `uses` may name.
    pub executors: &'a Executors,
    /// What earlier runs took, for the warnings about time.
    pub history: &'a History,
}

/// What became of the documents.
#[derive(Debug)]
pub struct Compiled {
    /// The plan; absent if a problem is an error. A plan with [`PlanBody::missing`] can be read, not run.
    pub plan: Option<Plan>,
    /// Errors and warnings, by file and place.
    pub problems: Problems,
    /// Where the steps of the plan were written.
    pub places: Places,
}

/// Compiles.
#[must_use]
pub fn compile(input: &Input<'_>) -> Compiled {
    let mut cx = Context::new(input);
    let drafts = expand::drafts(&mut cx);
    let mut steps = build::steps(&mut cx, &drafts);
    let criteria = criteria::criteria(&mut cx);
    cx.check_overlay_targets(&drafts);
    edges::connect(&mut cx, &drafts, &mut steps);
    exposure::settle(&mut cx, &drafts, &mut steps);
    outputs::connect(&mut cx, &drafts, &mut steps, &criteria);
    let policies = settings::policies(&mut cx, &steps);
    let body = PlanBody {
        plan_version: PLAN_VERSION,
        application: input.runbook.application.value.to_string(),
        wave: input.runbook.wave.as_ref().and_then(|wave| wave.value.parse().ok()),
        source_platform: text_of(input.runbook.source_platform.as_ref()),
        source_cluster: input.runbook.source_cluster.as_ref().map(|text| text.value.to_string()),
        target_platform: text_of(input.runbook.target_platform.as_ref()),
        policies,
        inputs: cx.inputs_of_plan(),
        steps: steps.into_iter().map(std::sync::Arc::new).collect(),
        criteria: criteria.into_iter().map(|drawn| drawn.criterion).collect(),
        locks: settings::locks(&mut cx),
        requires: settings::requires(&cx),
        sign_offs: settings::sign_offs(&cx),
        contacts: settings::contacts(&cx),
        missing: cx.take_missing(),
        secrets: std::mem::take(&mut cx.secrets),
        catalogs: cx.shelf.pins(input.files),
        executors: cx.executor_pins(),
    };
    finish(cx, &drafts, body)
}

fn text_of(text: Option<&Text>) -> String {
    text.map(|text| text.value.to_string()).unwrap_or_default()
}

/// Seals the body, and checks what only a graph can tell.
fn finish(mut cx: Context<'_>, drafts: &[Draft<'_>], body: PlanBody) -> Compiled {
    let places = cx.places(drafts);
    let is_flawed = cx.is_flawed(drafts);
    let plan = match Plan::seal(body) {
        Ok(plan) => Some(plan),
        Err(PlanError::Cycle(cycle)) => {
            edges::report_cycle(&mut cx, drafts, &cycle);
            None
        }
        // Names twice and needs without a step were reported where they were found.
        Err(
            PlanError::DuplicateStep(_)
            | PlanError::UnknownNeed { .. }
            | PlanError::TooNew { .. }
            | PlanError::Malformed(_)
            | PlanError::Altered { .. },
        ) => None,
    };
    let mut warnings = Problems::new();
    if let Some(plan) = &plan {
        let back = rollback::complete(plan);
        approvals::check(&mut cx, drafts, plan);
        wayback::check(&mut cx, drafts, plan, &back);
        unbuilt::check(&mut cx, drafts);
        if !cx.problems.has_errors() && !is_flawed {
            warnings = lint::lint_with(plan, cx.input.history, &places, &back);
        }
    }
    let mut problems = cx.problems;
    problems.append(warnings);
    problems.sort();
    Compiled { plan: plan.filter(|_| !problems.has_errors() && !is_flawed), problems, places }
}
