//! Plans for the figures, made without documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bascule::plan::policy::{DataAnswer, Manual, OnFailure, OnWindowClose, WindowFrom};
use bascule::plan::sealed::PLAN_VERSION;
use bascule::plan::step::{Effect, Need, NeedKind};
use bascule::plan::{Call, Plan, PlanBody, Policies, Section, Step, StepId, StepKind};
use serde_json::{Value, json};

/// A step that calls an executor.
pub(crate) fn step(id: &str, uses: &str, with: Value, needs: &[&str]) -> Step {
    let call = Call { uses: uses.into(), with: Arc::new(with), params: Arc::default() };
    let mut step = Step::bare(StepId::from(id), Section::Cutover, StepKind::Action(call));
    step.effect = Effect::Idempotent;
    step.needs = needs.iter().map(|need| Need { step: StepId::from(*need), kind: NeedKind::Implied }).collect();
    step
}

/// A plan of these cutover steps; the last one exposes, the window is as short as it can be.
pub(crate) fn plan(application: &str, mut steps: Vec<Step>, exposes: bool) -> Arc<Plan> {
    if let Some(last) = steps.last_mut() {
        last.exposes = exposes;
    }
    let executors = steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Action(call) => Some(call.uses.to_string()),
            StepKind::Approval(_) | StepKind::Manual(_) => None,
        })
        .map(|name| {
            let pin =
                bascule::plan::sealed::ExecutorPin { contract: Some(1), sha256: None, probes: false, undoes: false };
            (name, pin)
        })
        .collect();
    let body = PlanBody {
        plan_version: PLAN_VERSION,
        application: application.to_owned(),
        wave: None,
        source_platform: "a".to_owned(),
        source_cluster: None,
        target_platform: "b".to_owned(),
        policies: Policies {
            window_ms: 1,
            window_from: WindowFrom::Exposure,
            on_window_close: OnWindowClose::Accept,
            keep_source_ms: None,
            change: None,
            downtime_budget_ms: None,
            data: DataAnswer::Stateless,
            on_failure: OnFailure::Rollback,
            resume_within_ms: Some(3_600_000),
            auto_continue_within_ms: 600_000,
            settle_within_ms: 60_000,
            start_by_ms: None,
            ready_every_ms: 300_000,
        },
        inputs: Arc::default(),
        missing: Vec::new(),
        secrets: BTreeSet::new(),
        steps: steps.into_iter().map(Arc::new).collect(),
        criteria: Vec::new(),
        locks: vec![bascule::plan::policy::LockClaim { name: format!("app:{application}"), take: None }],
        requires: Vec::new(),
        sign_offs: Vec::new(),
        contacts: BTreeMap::new(),
        catalogs: Vec::new(),
        executors,
    };
    Arc::new(Plan::seal(body).expect("a plan of the bench is a plan"))
}

/// n no-op steps, one after the other.
pub(crate) fn chain(application: &str, n: usize) -> Arc<Plan> {
    let names: Vec<String> = (0..n).map(|at| format!("s{at}")).collect();
    let steps = (0..n)
        .map(|at| {
            let needs: Vec<&str> = if at == 0 { vec![] } else { vec![names[at - 1].as_str()] };
            step(&names[at], "noop", json!({}), &needs)
        })
        .collect();
    plan(application, steps, true)
}

/// n no-op steps side by side, and one after them all.
pub(crate) fn fan(application: &str, n: usize) -> Arc<Plan> {
    let names: Vec<String> = (0..n).map(|at| format!("s{at}")).collect();
    let mut steps: Vec<Step> = names.iter().map(|name| step(name, "noop", json!({}), &[])).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    steps.push(step("last", "noop", json!({}), &all));
    plan(application, steps, true)
}

/// n times `/bin/true`, one after the other.
pub(crate) fn spawns(application: &str, n: usize) -> Arc<Plan> {
    let names: Vec<String> = (0..n).map(|at| format!("t{at}")).collect();
    let steps = (0..n)
        .map(|at| {
            let needs: Vec<&str> = if at == 0 { vec![] } else { vec![names[at - 1].as_str()] };
            step(&names[at], "command", json!({ "argv": ["/bin/true"] }), &needs)
        })
        .collect();
    plan(application, steps, true)
}

/// n no-op steps, one after the other, and a person's step after them: its run stays open.
pub(crate) fn open(application: &str, n: usize) -> Arc<Plan> {
    let names: Vec<String> = (0..n).map(|at| format!("s{at}")).collect();
    let mut steps: Vec<Step> = (0..n)
        .map(|at| {
            let needs: Vec<&str> = if at == 0 { vec![] } else { vec![names[at - 1].as_str()] };
            step(&names[at], "noop", json!({}), &needs)
        })
        .collect();
    let manual = Manual {
        instructions: "say that it is done".to_owned(),
        answer: BTreeMap::new(),
        roles: Vec::new(),
        deadline_ms: None,
        default: None,
    };
    let mut last = Step::bare(StepId::from("person"), Section::Cutover, StepKind::Manual(manual));
    last.needs = vec![Need { step: StepId::from(names[n - 1].as_str()), kind: NeedKind::Implied }];
    steps.push(last);
    plan(application, steps, true)
}
