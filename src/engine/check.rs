//! The dry-run level `check`: asks the real systems, changes nothing.
//!
//! Pre-checks, readiness checks and rollback checks are made; probes are asked; every executor validates its parameters for the
//! step and for its undo; criteria are sampled once, to see that they can be measured. What needs outputs of steps that have
//! not run cannot be verified, and says so. Start with [`check`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bascule_plugin::{CheckCx, Executor, Role, Validation};
use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Look, Standpoint};
use super::registry;
use super::secrets::SecretSources;
use crate::machine::Illegal;
use crate::machine::dry::Dry;
use crate::machine::fact::Resolved;
use crate::machine::input::Outcome;
use crate::plan::step::{Effect, Probe};
use crate::plan::{Call, Criterion, Plan, Section, StepIx, StepKind};
use crate::runbook::expr::Truth;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// A check was made.
    Check,
    /// The executor looked at the parameters of the step.
    Step,
    /// The executor looked at the parameters of the undo.
    Undo,
    /// The call that proves the step.
    Verify,
    /// The call that proves the undo.
    UndoVerify,
    /// The probe was asked whether it happened.
    Probe,
    /// A sample was taken.
    Criterion,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// As it must be.
    Verified,
    /// It would fail, and why.
    WouldFail {
        /// Why.
        why: String,
        /// What to do.
        hint: Option<String>,
    },
    /// It cannot be said, and why.
    NotVerified(String),
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The step or criterion.
    pub id: String,
    /// Its list; absent: a criterion.
    pub section: Option<Section>,
    /// What of it.
    pub aspect: Aspect,
    /// What came of it.
    pub seen: Seen,
}

/// How long an executor may take to look at its parameters.
const VALIDATION: Duration = Duration::from_secs(30);
/// How many look at the same time.
const AT_ONCE: usize = 8;

struct Checker<'a> {
    dry: Dry,
    plan: &'a Plan,
    secrets: &'a SecretSources,
    name: String,
    scratch: PathBuf,
}

/// Something to look at.
struct Task<'a> {
    id: &'a str,
    section: Option<Section>,
    aspect: Aspect,
    what: What<'a>,
}

enum What<'a> {
    Make { call: &'a Call, timeout_ms: u64, expects: Expects<'a> },
    Validate { call: &'a Call, role: Role },
    Native { call: &'a Call },
    Person,
}

/// What a call that was made must have come to.
enum Expects<'a> {
    /// The check passes, with its verification.
    Pass(StepIx),
    /// The probe says that the step has not happened.
    NotDone(&'a crate::plan::step::Expr),
    /// It can be judged, whatever the verdict.
    Measured(&'a Criterion),
}

/// Looks at everything that can be looked at. `scratch` is a folder that calls may use.
///
/// # Errors
/// A bug of ours.
pub async fn check(plan: &Arc<Plan>, secrets: &SecretSources, scratch: PathBuf) -> Result<Vec<Item>, Illegal> {
    let dry = Dry::new(plan.clone())?;
    let name = format!("check-{}", uuid::Uuid::now_v7().simple());
    let checker = Checker { dry, plan, secrets, name, scratch };
    let tasks = tasks(plan);
    let items = futures_util::stream::iter(tasks.iter().enumerate().map(|(at, task)| checker.look(at, task)));
    Ok(items.buffered(AT_ONCE).collect().await)
}

fn tasks(plan: &Plan) -> Vec<Task<'_>> {
    let mut tasks = Vec::new();
    for (ix, step) in plan.steps.iter().enumerate() {
        let mut add = |aspect, what| {
            tasks.push(Task { id: step.id.as_str(), section: Some(step.section), aspect, what });
        };
        let call = match &step.kind {
            StepKind::Action(call) => call,
            StepKind::Manual(_) => {
                add(Aspect::Step, What::Person);
                continue;
            }
            // A decision of people is nothing that could be verified beforehand.
            StepKind::Approval(_) => continue,
        };
        let made = matches!(step.section, Section::PreCheck | Section::Ready | Section::RollbackCheck);
        if made && step.effect == Effect::None {
            add(Aspect::Check, What::Make { call, timeout_ms: step.timeout_ms, expects: Expects::Pass(ix) });
            continue;
        }
        add(Aspect::Step, What::Validate { call, role: Role::Step });
        if let Some(verify) = &step.verify {
            add(Aspect::Verify, What::Validate { call: &verify.call, role: Role::Step });
        }
        match &step.probe {
            Some(Probe::Call { call, done }) => {
                let what =
                    What::Make { call, timeout_ms: step.timeout_ms.min(60_000), expects: Expects::NotDone(done) };
                add(Aspect::Probe, what);
            }
            Some(Probe::Native) => add(Aspect::Probe, What::Native { call }),
            None => {}
        }
        if let Some(undo) = step.undo_action() {
            let what = match &undo.call {
                Some(call) => What::Validate { call, role: Role::Step },
                None => What::Validate { call, role: Role::Undo },
            };
            add(Aspect::Undo, what);
            if let Some(verify) = &undo.verify {
                add(Aspect::UndoVerify, What::Validate { call: &verify.call, role: Role::Step });
            }
        }
    }
    for criterion in &plan.criteria {
        let what = What::Make {
            call: &criterion.call,
            timeout_ms: criterion.timeout_ms,
            expects: Expects::Measured(criterion),
        };
        tasks.push(Task { id: &criterion.id, section: None, aspect: Aspect::Criterion, what });
    }
    tasks
}

impl Checker<'_> {
    async fn look(&self, at: usize, task: &Task<'_>) -> Item {
        let seen = match &task.what {
            What::Person => Seen::NotVerified("a person does it".to_owned()),
            What::Make { call, timeout_ms, expects } => {
                let timeout = Duration::from_millis(*timeout_ms);
                match self.make((at, task.id), call, timeout).await {
                    Err(seen) => seen,
                    Ok(outcome) => self.judge((at, task.id), call, outcome, expects).await,
                }
            }
            What::Validate { call, role } => self.validate(call, *role).await,
            What::Native { call } => self.native(call).await,
        };
        Item { id: task.id.to_owned(), section: task.section, aspect: task.aspect, seen }
    }

    fn executor(&self, call: &Call) -> Result<Arc<dyn Executor>, Seen> {
        registry::executors().get(&*call.uses).cloned().ok_or_else(|| Seen::WouldFail {
            why: format!("there is no executor `{}`", call.uses),
            hint: Some("`bascule executors` lists those that this program has".to_owned()),
        })
    }

    fn resolve(&self, call: &Call) -> Result<Resolved, Seen> {
        self.dry.resolve(call).map_err(|why| Seen::NotVerified(not_yet(&why)))
    }

    async fn make(&self, (at, id): (usize, &str), call: &Call, timeout: Duration) -> Result<Outcome, Seen> {
        let executor = self.executor(call)?;
        let look = Look::check(id, "check", self.resolve(call)?, timeout);
        let from = Standpoint {
            secrets: self.secrets,
            run: &self.name,
            attempt_id: format!("{}/{at}", self.name),
            scratch: self.scratch.join(at.to_string()),
            notes: None,
        };
        Ok(attempt::look_from(from, executor, &look).await)
    }

    async fn judge(&self, at: (usize, &str), call: &Call, outcome: Outcome, expects: &Expects<'_>) -> Seen {
        let failed = match expects {
            Expects::Pass(_) => |failure: crate::machine::fact::Failure| Seen::WouldFail {
                why: failure.to_string(),
                hint: failure.hint,
            },
            Expects::NotDone(_) | Expects::Measured(_) => {
                |failure: crate::machine::fact::Failure| Seen::NotVerified(failure.to_string())
            }
        };
        let outputs = match outcome {
            Outcome::Succeeded { outputs } => outputs,
            Outcome::Failed { failure, .. } => return failed(failure),
            Outcome::Unknown { failure, .. } => return Seen::NotVerified(failure.to_string()),
            Outcome::Cancelled { .. } => return Seen::NotVerified("it was stopped".to_owned()),
        };
        match expects {
            Expects::Pass(ix) => {
                let passed = match &self.plan.step(*ix).check.pass {
                    Some(pass) => holds(&self.dry.judge(pass, call, &outputs), pass.as_str()),
                    None => Seen::Verified,
                };
                if passed == Seen::Verified { self.verified(at, *ix).await } else { passed }
            }
            Expects::NotDone(done) => match self.dry.judge(done, call, &outputs) {
                Truth::False => Seen::Verified,
                Truth::True => Seen::WouldFail {
                    why: "its probe says that it has happened already".to_owned(),
                    hint: Some("take it back by hand, or look why the probe thinks so".to_owned()),
                },
                Truth::Unknown(why) => Seen::NotVerified(why),
            },
            Expects::Measured(criterion) => self.measured(criterion, call, &outputs),
        }
    }

    fn measured(&self, criterion: &Criterion, call: &Call, outputs: &Arc<serde_json::Value>) -> Seen {
        if let Some(valid) = &criterion.valid {
            match self.dry.judge(valid, call, outputs) {
                Truth::True => {}
                Truth::False => {
                    return Seen::NotVerified(format!("it measures nothing yet: `valid: {}` is false", valid.as_str()));
                }
                Truth::Unknown(why) => return Seen::NotVerified(why),
            }
        }
        match self.dry.judge(&criterion.trip, call, outputs) {
            Truth::True | Truth::False => Seen::Verified,
            Truth::Unknown(why) => Seen::NotVerified(not_yet(&why)),
        }
    }

    /// The verification of a check belongs to it.
    async fn verified(&self, at: (usize, &str), ix: StepIx) -> Seen {
        let step = self.plan.step(ix);
        let Some(verify) = &step.verify else { return Seen::Verified };
        match self.make(at, &verify.call, Duration::from_millis(step.timeout_ms)).await {
            Err(seen) => seen,
            Ok(Outcome::Succeeded { outputs }) => match &verify.pass {
                Some(pass) => holds(&self.dry.judge(pass, &verify.call, &outputs), pass.as_str()),
                None => Seen::Verified,
            },
            Ok(Outcome::Failed { failure, .. }) => Seen::WouldFail { why: failure.to_string(), hint: failure.hint },
            Ok(Outcome::Unknown { failure, .. }) => Seen::NotVerified(failure.to_string()),
            Ok(Outcome::Cancelled { .. }) => Seen::NotVerified("it was stopped".to_owned()),
        }
    }

    async fn validate(&self, call: &Call, role: Role) -> Seen {
        let (executor, resolved) = match (self.executor(call), self.resolve(call)) {
            (Ok(executor), Ok(resolved)) => (executor, resolved),
            (Err(seen), _) | (_, Err(seen)) => return seen,
        };
        let redacted = attempt::filled(self.secrets, resolved).await;
        let (with, redactor) = match redacted {
            Ok(filled) => filled,
            Err(failure) => return Seen::WouldFail { why: failure.to_string(), hint: failure.hint },
        };
        let cancel = CancellationToken::new();
        let (cx, mut inbox) = CheckCx::new(Some(std::time::Instant::now() + VALIDATION), cancel.clone());
        let drain = tokio::spawn(async move { while inbox.recv().await.is_some() {} });
        let looked = tokio::time::timeout(VALIDATION, executor.validate(&cx, &with, role)).await;
        cancel.cancel();
        drain.abort();
        match looked {
            Ok(Validation::Verified) => Seen::Verified,
            Ok(Validation::NotVerified(why)) => Seen::NotVerified(redactor.text(&why)),
            Ok(Validation::Refused(failure)) => Seen::WouldFail {
                why: redactor.text(&failure.to_string()),
                hint: failure.hint.map(|hint| redactor.text(&hint)),
            },
            Err(_late) => Seen::NotVerified(format!("no answer within {} s", VALIDATION.as_secs())),
        }
    }

    /// The executor's own probe: before the run nothing can have happened.
    async fn native(&self, call: &Call) -> Seen {
        use crate::machine::fact::Found;
        let (executor, resolved) = match (self.executor(call), self.resolve(call)) {
            (Ok(executor), Ok(resolved)) => (executor, resolved),
            (Err(seen), _) | (_, Err(seen)) => return seen,
        };
        match attempt::probe_from(self.secrets, executor, &resolved, None).await {
            Found::NotStarted => Seen::Verified,
            Found::Done { .. } => Seen::WouldFail {
                why: "its probe says that it has happened already".to_owned(),
                hint: Some("take it back by hand, or look why the probe thinks so".to_owned()),
            },
            Found::InProgress { .. } => {
                Seen::WouldFail { why: "its probe says that it is in progress".to_owned(), hint: None }
            }
            Found::Partial { found } => {
                Seen::WouldFail { why: format!("its probe says that a part has happened: {found}"), hint: None }
            }
            Found::CannotTell { failure } => Seen::NotVerified(failure.to_string()),
        }
    }
}

/// Outputs of a step do not exist before it ran, and then they will: nothing is wrong with the expression.
fn not_yet(why: &str) -> String {
    let is_later = ["`steps.", "`baseline."].iter().any(|root| why.contains(root));
    if is_later { why.replace("does not exist", "is not known before it ran") } else { why.to_owned() }
}

fn holds(truth: &Truth, condition: &str) -> Seen {
    match truth {
        Truth::True => Seen::Verified,
        Truth::False => Seen::WouldFail { why: format!("`{condition}` is false"), hint: None },
        Truth::Unknown(why) => Seen::NotVerified(why.clone()),
    }
}
