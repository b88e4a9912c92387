//! Plans in a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bascule::plan::Plan;
use bascule::plan::criteria::{Criterion, CriterionAction, TripRule};
use bascule::plan::defaults;
use bascule::plan::policy::{Approval, LockClaim, Manual, Policies};
use bascule::plan::sealed::{PLAN_VERSION, PlanBody};
use bascule::plan::step::{
    Call, CheckPolicy, Effect, Expr, Need, NeedKind, Origin, Probe, Retry, Section, Step, StepId, StepKind, Undo,
    UndoAction,
};
use serde_json::json;

/// A call of an executor that only tests know.
pub(crate) fn call(uses: &str) -> Call {
    Call { uses: uses.into(), with: Arc::new(json!({})), params: Arc::default() }
}

/// An expression.
pub(crate) fn expr(text: &str) -> Expr {
    Expr(text.into())
}

/// A plan in the making.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) body: PlanBody,
    /// Whether steps of the cutover come one after the other.
    chain: bool,
}

impl Draft {
    /// A plan without steps. Cutover steps that are added form a chain.
    pub(crate) fn new() -> Self {
        Self { body: empty(), chain: true }
    }

    /// Steps no longer come one after the other.
    pub(crate) fn unchained(mut self) -> Self {
        self.chain = false;
        self
    }

    /// Adds a step.
    pub(crate) fn add(mut self, mut made: Made) -> Self {
        let section = made.step.section;
        let chained = matches!(section, Section::Prepare | Section::Cutover | Section::Commit);
        if self.chain && chained && !made.has_needs {
            let above = self.body.steps.iter().rev().find(|step| step.section == section);
            made.step.needs =
                above.map(|above| Need { step: above.id.clone(), kind: NeedKind::Implied }).into_iter().collect();
        }
        self.body.steps.push(Arc::new(made.step));
        self
    }

    /// Adds a criterion.
    pub(crate) fn criterion(mut self, criterion: Criterion) -> Self {
        self.body.criteria.push(criterion);
        self
    }

    /// Changes times and answers.
    pub(crate) fn policies(mut self, change: impl FnOnce(&mut Policies)) -> Self {
        change(&mut self.body.policies);
        self
    }

    /// Changes anything.
    pub(crate) fn body(mut self, change: impl FnOnce(&mut PlanBody)) -> Self {
        change(&mut self.body);
        self
    }

    /// The plan.
    pub(crate) fn seal(self) -> Arc<Plan> {
        Arc::new(Plan::seal(self.body).expect("the test's plan is sound"))
    }
}

fn empty() -> PlanBody {
    PlanBody {
        plan_version: PLAN_VERSION,
        application: "shop".to_owned(),
        wave: None,
        source_platform: "old".to_owned(),
        source_cluster: None,
        target_platform: "new".to_owned(),
        policies: Policies::default(),
        inputs: Arc::default(),
        missing: Vec::new(),
        secrets: BTreeSet::new(),
        steps: Vec::new(),
        criteria: Vec::new(),
        locks: vec![LockClaim { name: "app:shop".to_owned(), take: None }],
        requires: Vec::new(),
        sign_offs: Vec::new(),
        contacts: BTreeMap::new(),
        catalogs: Vec::new(),
        executors: BTreeMap::new(),
    }
}

/// A step in the making.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) step: Step,
    has_needs: bool,
}

/// A step of a list. Effects are `once` unless the list only looks.
pub(crate) fn step(section: Section, id: &str) -> Made {
    let id = format!("{}{id}", section.id_prefix());
    let step = Step::bare(id.as_str().into(), section, StepKind::Action(call("test")));
    Made { step, has_needs: false }
}

/// A cutover step.
pub(crate) fn cut(id: &str) -> Made {
    step(Section::Cutover, id)
}

/// An approval in a list.
pub(crate) fn approval(section: Section, id: &str) -> Made {
    let approval = Approval {
        roles: vec![],
        quorum: 1,
        not_requester: false,
        expires_ms: None,
        remind_every_ms: None,
        escalate: vec![],
        relayed: false,
        names: vec![],
    };
    let mut step = Step::bare(id.into(), section, StepKind::Approval(approval));
    step.effect = Effect::None;
    Made { step, has_needs: false }
}

/// Work by hand.
pub(crate) fn manual(id: &str) -> Made {
    let manual = Manual {
        instructions: "do it".to_owned(),
        answer: BTreeMap::new(),
        roles: vec![],
        deadline_ms: None,
        default: None,
    };
    Made { step: Step::bare(id.into(), Section::Cutover, StepKind::Manual(manual)), has_needs: false }
}

impl Made {
    /// Changes anything.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Step)) -> Self {
        change(&mut self.step);
        self
    }

    /// What it does to the world; its retries follow.
    pub(crate) fn effect(mut self, effect: Effect) -> Self {
        self.step.effect = effect;
        self.step.retry = defaults::retry(self.step.section, effect);
        if effect == Effect::Probe {
            self.step.probe = Some(Probe::Native);
        }
        self
    }

    /// How often it is tried, with ten seconds between.
    pub(crate) fn attempts(mut self, attempts: u32) -> Self {
        self.step.retry = Retry { attempts, backoff_ms: 10_000, max_backoff_ms: 120_000 };
        self
    }

    /// Steps that its author wrote in `needs`.
    pub(crate) fn needs(mut self, needs: &[&str]) -> Self {
        self.step.needs = needs.iter().map(|id| Need { step: (*id).into(), kind: NeedKind::Written }).collect();
        self.has_needs = true;
        self
    }

    /// An undo that brings users back.
    pub(crate) fn undo(mut self) -> Self {
        self.step.undo = Undo::Action(undo_action(false));
        self
    }

    /// An undo that removes what was built.
    pub(crate) fn cleanup(mut self) -> Self {
        self.step.undo = Undo::Action(undo_action(true));
        self
    }

    /// It cannot be taken back.
    pub(crate) fn irreversible(mut self) -> Self {
        self.step.undo = Undo::Irreversible;
        self
    }

    /// Users reach the target with it.
    pub(crate) fn exposes(mut self) -> Self {
        self.step.exposes = true;
        self
    }

    /// It copies the data.
    pub(crate) fn moves_data(mut self) -> Self {
        self.step.moves_data = true;
        self
    }

    /// Users lose the source.
    pub(crate) fn takes_source_down(mut self) -> Self {
        self.step.takes_source_down = true;
        self
    }

    /// What only checks say.
    pub(crate) fn check(mut self, change: impl FnOnce(&mut CheckPolicy)) -> Self {
        change(&mut self.step.check);
        self
    }

    /// Who may approve, and how many.
    pub(crate) fn approval(mut self, change: impl FnOnce(&mut Approval)) -> Self {
        if let StepKind::Approval(approval) = &mut self.step.kind {
            change(approval);
        }
        self
    }

    /// What a person is asked who does it by hand.
    pub(crate) fn manual(mut self, change: impl FnOnce(&mut Manual)) -> Self {
        if let StepKind::Manual(manual) = &mut self.step.kind {
            change(manual);
        }
        self
    }

    /// A lock that each attempt takes.
    pub(crate) fn lock(mut self, name: &str) -> Self {
        self.step.locks.push(LockClaim { name: name.to_owned(), take: None });
        self
    }
}

/// An undo with a call of its own.
pub(crate) fn undo_action(cleanup: bool) -> UndoAction {
    UndoAction {
        call: Some(call("test.undo")),
        cleanup,
        keep: true,
        effect: Effect::Idempotent,
        needs: None,
        estimate_ms: None,
        timeout_ms: defaults::ACTION_TIMEOUT_MS,
        retry: defaults::UNDO_RETRY,
        verify: None,
        by_hand: None,
    }
}

/// A criterion that is sampled every 30 s and fails while `result.bad` is true.
pub(crate) fn criterion(id: &str, rule: TripRule) -> Criterion {
    Criterion {
        id: id.into(),
        origin: Origin::default(),
        call: call("test.sample"),
        every_ms: 30_000,
        warm_up_ms: 120_000,
        timeout_ms: 10_000,
        valid: None,
        trip: expr("result.bad"),
        rule,
        min_samples: 1,
        max_age_ms: 90_000,
        action: CriterionAction::Rollback,
        observe_only: false,
    }
}

/// The founding runbook in small: the source goes down, data moves, the target is built, users move.
pub(crate) fn founding() -> Draft {
    Draft::new()
        .add(step(Section::PreCheck, "backup"))
        .add(cut("quiesce").takes_source_down().effect(Effect::Idempotent).undo())
        .add(cut("sync").moves_data().effect(Effect::Idempotent).undo())
        .add(cut("convert").effect(Effect::Idempotent).cleanup())
        .add(cut("power_on").effect(Effect::Probe).cleanup())
        .add(cut("smoke").effect(Effect::None))
        .add(cut("balance").exposes().effect(Effect::Probe).undo())
        .add(step(Section::PostCheck, "latency"))
        .add(step(Section::Fence, "stop_writes").effect(Effect::Idempotent))
        .add(step(Section::RollbackCheck, "source_serves"))
        .policies(|policies| {
            policies.window_ms = 90 * 60_000;
            policies.data = bascule::plan::DataAnswer::ReverseSync;
        })
}

/// A name.
pub(crate) fn id(name: &str) -> StepId {
    name.into()
}

/// The same plan where no check looks at what it was given: scripted nights give nothing to look at.
pub(crate) fn without_conditions(plan: &Plan) -> Arc<Plan> {
    let mut body = plan.body().clone();
    for step in body.steps.iter_mut().map(std::sync::Arc::make_mut) {
        step.check.pass = None;
        step.check.baseline = BTreeMap::new();
        step.verify = None;
        if let Undo::Action(undo) = &mut step.undo {
            undo.verify = None;
        }
    }
    body.criteria.clear();
    Arc::new(Plan::seal(body).expect("the plan was sound"))
}
