//! The plan as a whole: its body, its graph, its name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::criteria::Criterion;
use super::dag::{Cycle, Dag};
use super::policy::{Contacts, LockClaim, Policies, Requirement, SignOff};
use super::step::{Call, Probe, Section, Step, StepId, StepKind, Undo};

/// A step's place in [`PlanBody::steps`]. Never leaves the process: names do.
pub type StepIx = usize;

/// The SHA-256 of a plan's canonical JSON, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(Arc<str>);

impl PlanHash {
    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl From<String> for PlanHash {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A catalog that gave definitions, pinned by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogPin {
    /// As it was named.
    pub name: String,
    /// SHA-256 of its text.
    pub sha256: String,
    /// Its `verified` line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
}

/// The executor that a name stood for when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorPin {
    /// Contract version of a built-in; absent for a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<u32>,
    /// SHA-256 of a plugin's program; absent for a built-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether it can tell if an attempt happened.
    #[serde(default)]
    pub probes: bool,
    /// Whether it takes back its own steps.
    #[serde(default)]
    pub undoes: bool,
}

/// An input that the plan needs and nobody gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingInput {
    /// Its name.
    pub name: String,
    /// `string`, `url`, `integer`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The steps and criteria that wait for it.
    pub needed_by: Vec<String>,
}

/// What is hashed, stored and sent: everything that decides how a run behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanBody {
    /// Version of this shape.
    pub plan_version: u32,
    /// The application; the lock `app:<name>` is implied.
    pub application: String,
    /// The label of a wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u64>,
    /// Where it comes from.
    pub source_platform: String,
    /// The cluster that it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_cluster: Option<String>,
    /// Where it goes.
    pub target_platform: String,
    /// Window, data, failure, restart.
    pub policies: Policies,
    /// Values that are not secret.
    pub inputs: Arc<BTreeMap<String, Value>>,
    /// Inputs that are still missing: such a plan can be read, not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingInput>,
    /// Names of secrets that the engine will resolve; never values.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secrets: BTreeSet<String>,
    /// All steps, section by section, each in declaration order.
    pub steps: Vec<Arc<Step>>,
    /// The rollback criteria.
    pub criteria: Vec<Criterion>,
    /// Locks of the run, `app:` included.
    pub locks: Vec<LockClaim>,
    /// Applications that must stand first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// Who must say that it is theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sign_offs: Vec<SignOff>,
    /// Whom to call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contacts: Contacts,
    /// Where definitions came from.
    pub catalogs: Vec<CatalogPin>,
    /// What the executors' names stood for.
    pub executors: BTreeMap<String, ExecutorPin>,
}

/// Why a body is no plan. Documents are checked before; this guards stored plans.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Two steps with one name.
    #[error("two steps are named `{0}`")]
    DuplicateStep(StepId),
    /// An edge to nowhere.
    #[error("step `{step}` needs `{needs}`, which is not a step of the plan")]
    UnknownNeed {
        /// The later step.
        step: StepId,
        /// The name that nothing bears.
        needs: StepId,
    },
    /// No order exists.
    #[error("{0}")]
    Cycle(Cycle),
    /// A newer Bascule wrote it.
    #[error("the plan has version {found}; this program knows up to {known}")]
    TooNew {
        /// As written.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Not JSON of this shape.
    #[error("the stored plan cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// The content is not what its name says.
    #[error("the stored plan has hash {found}, not {expected}")]
    Altered {
        /// Computed.
        found: PlanHash,
        /// Its name.
        expected: PlanHash,
    },
}

/// The newest shape of [`PlanBody`] that this program reads.
pub const PLAN_VERSION: u32 = 1;

/// A compiled runbook. Immutable; shared by all that read it.
#[derive(Debug)]
pub struct Plan {
    body: PlanBody,
    hash: PlanHash,
    dag: Dag,
    index: HashMap<StepId, StepIx>,
    sections: BTreeMap<Section, std::ops::Range<StepIx>>,
    exposing: Option<StepIx>,
}

impl Deref for Plan {
    type Target = PlanBody;

    fn deref(&self) -> &PlanBody {
        &self.body
    }
}

impl Plan {
    /// Gives a body its graph and its name.
    ///
    /// # Errors
    /// Duplicate names, edges to nowhere, cycles.
    pub fn seal(body: PlanBody) -> Result<Self, PlanError> {
        Self::named(body, None)
    }

    /// The same for a body whose name is known from elsewhere.
    pub(super) fn seal_as(body: PlanBody, hash: PlanHash) -> Result<Self, PlanError> {
        Self::named(body, Some(hash))
    }

    /// As [`Plan::seal`]; the hash is computed unless it is known.
    fn named(mut body: PlanBody, hash: Option<PlanHash>) -> Result<Self, PlanError> {
        if body.plan_version > PLAN_VERSION {
            return Err(PlanError::TooNew { found: body.plan_version, known: PLAN_VERSION });
        }
        // A stable sort: sections become ranges, declaration order stays.
        body.steps.sort_by_key(|step| step.section);
        sort_maps(&mut body);
        let mut index = HashMap::with_capacity(body.steps.len());
        for (ix, step) in body.steps.iter().enumerate() {
            if index.insert(step.id.clone(), ix).is_some() {
                return Err(PlanError::DuplicateStep(step.id.clone()));
            }
        }
        let dag = Dag::build(&body.steps, &index)?;
        let mut sections = BTreeMap::new();
        for section in Section::ALL {
            let start = body.steps.partition_point(|step| step.section < section);
            let end = body.steps.partition_point(|step| step.section <= section);
            sections.insert(section, start..end);
        }
        let exposing = body.steps.iter().position(|step| step.exposes);
        let hash = hash.unwrap_or_else(|| hash_of(&canonical(&body)));
        Ok(Self { body, hash, dag, index, sections, exposing })
    }

    /// Reads a stored plan and checks that it is the one that its name says.
    ///
    /// # Errors
    /// Unreadable, altered, or from a newer program.
    pub fn read(bytes: &[u8], expected: &PlanHash) -> Result<Self, PlanError> {
        let body: PlanBody = serde_json::from_slice(bytes).map_err(PlanError::Malformed)?;
        // What is stored is canonical: its bytes prove themselves, without being written once more.
        let known = Some(hash_of(bytes)).filter(|found| found == expected);
        let plan = Self::named(body, known)?;
        if plan.hash != *expected {
            return Err(PlanError::Altered { found: plan.hash, expected: expected.clone() });
        }
        Ok(plan)
    }

    /// Puts steps that equal those of other plans in their place: runbooks of one catalog share most of their steps,
    /// and thousands of their plans are in memory at once.
    pub fn share(&mut self, mut known: impl FnMut(&Arc<Step>) -> Arc<Step>) {
        for step in &mut self.body.steps {
            let shared = known(step);
            debug_assert_eq!(shared, *step, "a plan never changes");
            *step = shared;
        }
    }

    /// The SHA-256 of the canonical JSON.
    #[must_use]
    pub fn hash(&self) -> &PlanHash {
        &self.hash
    }

    /// The canonical JSON: fields in the order of their declaration, maps sorted, no space. What is
    /// stored and hashed, so that `sha256sum` of the stored file is the plan's name.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        canonical(&self.body)
    }

    /// The graph.
    #[must_use]
    pub fn dag(&self) -> &Dag {
        &self.dag
    }

    /// The place of a step.
    #[must_use]
    pub fn find(&self, id: &StepId) -> Option<StepIx> {
        self.index.get(id).copied()
    }

    /// The step at a place.
    ///
    /// # Panics
    /// For a place of another plan, which is a bug of ours.
    #[must_use]
    pub fn step(&self, ix: StepIx) -> &Step {
        self.body.steps.get(ix).expect("a step's place belongs to its plan")
    }

    /// The places of a section's steps.
    #[must_use]
    pub fn section(&self, section: Section) -> std::ops::Range<StepIx> {
        self.sections.get(&section).cloned().unwrap_or(0..0)
    }

    /// The step with which users first can reach the target.
    #[must_use]
    pub fn exposing(&self) -> Option<StepIx> {
        self.exposing
    }

    /// The body, for a change that makes another plan.
    #[must_use]
    pub fn body(&self) -> &PlanBody {
        &self.body
    }
}

/// Sorts the maps that people wrote: the order in which keys were typed is no part of a plan.
fn sort_maps(body: &mut PlanBody) {
    for step in &mut body.steps {
        // Nobody else has it yet, so nothing is copied.
        let step = Arc::make_mut(step);
        if let StepKind::Action(call) = &mut step.kind {
            sort_call(call);
        }
        if let Some(Probe::Call { call, .. }) = &mut step.probe {
            sort_call(call);
        }
        let undo = match &mut step.undo {
            Undo::Action(action) => Some(action),
            Undo::Nothing { .. } | Undo::Irreversible => None,
        };
        let undo_verify = undo.map(|action| (&mut action.call, &mut action.verify));
        let (undo_call, undo_verify) = undo_verify.unzip();
        undo_call.into_iter().flatten().for_each(sort_call);
        let proofs = [step.verify.as_mut(), undo_verify.and_then(Option::as_mut)];
        proofs.into_iter().flatten().for_each(|verify| sort_call(&mut verify.call));
        step.rehearsal.iter_mut().for_each(Value::sort_all_objects);
    }
    body.criteria.iter_mut().for_each(|criterion| sort_call(&mut criterion.call));
    body.contacts.values_mut().for_each(Value::sort_all_objects);
    if body.inputs.values().any(|value| !is_sorted(value)) {
        Arc::make_mut(&mut body.inputs).values_mut().for_each(Value::sort_all_objects);
    }
}

fn sort_call(call: &mut Call) {
    // Definitions are shared by many steps: only what is out of order is copied.
    if !is_sorted(&call.with) {
        Arc::make_mut(&mut call.with).sort_all_objects();
    }
    if call.params.values().any(|value| !is_sorted(value)) {
        Arc::make_mut(&mut call.params).values_mut().for_each(Value::sort_all_objects);
    }
}

fn is_sorted(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.keys().is_sorted() && map.values().all(is_sorted),
        Value::Array(items) => items.iter().all(is_sorted),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// One shape for one plan: structs serialize in declared order and every map of a body is sorted.
fn canonical(body: &PlanBody) -> Vec<u8> {
    serde_json::to_vec(body).expect("a plan has only string keys and finite numbers")
}

fn hash_of(bytes: &[u8]) -> PlanHash {
    let digest = Sha256::digest(bytes);
    let mut text = String::with_capacity(64);
    for byte in digest {
        use fmt::Write as _;
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    PlanHash(text.into())
}
