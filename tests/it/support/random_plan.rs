//! Plans that no author would write in one piece, but each part of which somebody will.

use std::sync::Arc;

use bascule::plan::Plan;
use bascule::plan::criteria::{CriterionAction, TripRule};
use bascule::plan::policy::{Change, DataAnswer, OnFailure, OnWindowClose, Requirement, SignOff, WindowFrom};
use bascule::plan::sealed::ExecutorPin;
use bascule::plan::step::{Effect, Need, NeedKind, OnTimeout, Probe, Section, Step, StepKind, Undo, Verify};
use serde_json::json;

use super::choices::Choices;
use super::plans::{Draft, Made, approval, call, criterion, cut, expr, manual, step};
use super::sim::START;

/// A random plan.
pub(crate) fn random_plan(c: &mut Choices) -> Arc<Plan> {
    let mut draft = Draft::new().unchained();
    draft = pre_checks(c, draft);
    for at in 0..c.weighted(&[6, 3, 1]) {
        draft = draft.add(prepare(c, at));
    }
    draft = cutover(c, draft);
    for at in 0..c.weighted(&[3, 4, 2]) {
        draft = draft.add(post_check(c, at));
    }
    for at in 0..c.weighted(&[3, 4]) {
        let mut made = step(Section::Fence, &format!("fence{at}")).effect(Effect::Idempotent);
        odd(c, &mut made.step);
        draft = draft.add(made);
    }
    for at in 0..c.weighted(&[5, 2, 1]) {
        draft = draft.add(step(Section::Ready, &format!("ready{at}")).check(|check| {
            check.waivable_by = vec!["lead".to_owned()];
        }));
    }
    for at in 0..c.weighted(&[3, 4, 1]) {
        let mut made = step(Section::RollbackCheck, &format!("serves{at}"));
        if c.chance(10) {
            odd(c, &mut made.step);
        }
        draft = draft.add(made);
    }
    let commits = c.weighted(&[5, 3, 1]);
    for at in 0..commits {
        let mut made = step(Section::Commit, &format!("commit{at}")).effect(effect(c));
        if c.chance(15) {
            made = made.irreversible();
        }
        odd(c, &mut made.step);
        draft = draft.add(made);
    }
    for at in 0..c.weighted(&[3, 4, 1]) {
        draft = draft.criterion(random_criterion(c, at));
    }
    policies(c, draft).seal()
}

fn pre_checks(c: &mut Choices, mut draft: Draft) -> Draft {
    for at in 0..c.weighted(&[3, 4, 2]) {
        let mut made = step(Section::PreCheck, &format!("check{at}"));
        made.step.check.valid_for_ms = c.chance(30).then_some(120_000);
        made.step.check.recheck = c.chance(20);
        if c.chance(50) {
            made.step.check.waivable_by = vec!["lead".to_owned()];
        }
        if c.chance(10) {
            made.step.check.pass = Some(expr("result.good"));
        }
        if c.chance(5) {
            odd(c, &mut made.step);
        }
        draft = draft.add(made);
    }
    if c.chance(15) {
        draft = draft.add(random_approval(c, Section::PreCheck, "go_ahead"));
    }
    draft
}

fn random_approval(c: &mut Choices, section: Section, id: &str) -> Made {
    approval(section, id).approval(|approval| {
        approval.quorum = c.pick(&[1, 2]);
        approval.not_requester = c.chance(50);
        approval.expires_ms = c.chance(50).then(|| c.pick(&[1_800_000, 60_000]));
        if c.chance(30) {
            approval.roles = vec!["owner".to_owned()];
        }
    })
}

fn effect(c: &mut Choices) -> Effect {
    c.pick(&[Effect::Idempotent, Effect::Once, Effect::Probe, Effect::None])
}

fn prepare(c: &mut Choices, at: usize) -> Made {
    let mut made = step(Section::Prepare, &format!("prepare{at}")).effect(effect(c));
    made = random_undo(c, made);
    if made.step.effect == Effect::Idempotent {
        made.step.keep_fresh_ms = c.chance(30).then_some(300_000);
    }
    odd(c, &mut made.step);
    made
}

fn random_undo(c: &mut Choices, made: Made) -> Made {
    if made.step.effect == Effect::None {
        return made;
    }
    let made = match c.weighted(&[5, 4, 2, 1]) {
        0 => made.undo(),
        1 => made.cleanup(),
        2 => made.with(|step| step.undo = Undo::Nothing { reason: Some("nothing to do".to_owned()) }),
        _ => made.irreversible(),
    };
    made.with(|step| {
        if let Undo::Action(undo) = &mut step.undo {
            if c.chance(15) {
                undo.effect = Effect::Once;
            }
            if c.chance(20) {
                undo.call = None;
            }
            if c.chance(10) {
                undo.needs = Some(vec![]);
            }
            undo.keep = !c.chance(10);
            if c.chance(3) {
                undo.call.get_or_insert_with(|| call("test")).with = Arc::new(json!({ "x": "${{ inputs.missing }}" }));
            }
            undo.retry.attempts = c.pick(&[5, 1, 2]);
            undo.timeout_ms = c.pick(&[600_000, 30_000]);
            undo.estimate_ms = Some(20_000);
            step.retry_partial = c.chance(25);
        }
    })
}

/// What any step may have that is seldom seen.
fn odd(c: &mut Choices, step: &mut Step) {
    if c.chance(15) {
        step.locks = vec![bascule::plan::policy::LockClaim { name: "host:a".to_owned(), take: None }];
    }
    if c.chance(8) {
        step.when = Some(expr(c.pick(&["true", "false", "inputs.missing"])));
    }
    if c.chance(4)
        && let StepKind::Action(call) = &mut step.kind
    {
        call.with = Arc::new(json!({ "x": "${{ inputs.missing }}" }));
    }
    if c.chance(15) {
        step.verify = Some(Verify { call: call("test.verify"), pass: None });
    }
    if step.effect == Effect::Probe && c.chance(40) {
        step.probe = Some(Probe::Call { call: call("test.probe"), done: expr("result.done") });
    }
    step.timeout_ms = c.pick(&[60_000, 20_000, 600_000]);
    if c.chance(20) {
        step.on_timeout = OnTimeout::Ask;
    }
    step.retry.attempts = c.pick(&[1, 2, 3]);
    step.estimate_ms = c.chance(70).then(|| c.pick(&[30_000, 5_000]));
}

fn cutover(c: &mut Choices, mut draft: Draft) -> Draft {
    let count = 1 + c.weighted(&[1, 3, 3, 2, 1]);
    let chained = !c.chance(50);
    let exposing = if c.chance(40) { c.below(count) } else { count - 1 };
    let (down, moves) = (c.below(count + 1), c.below(count + 1));
    let barrier = c.chance(20).then(|| c.below(count));
    let mut made: Vec<Made> = Vec::new();
    for at in 0..count {
        if barrier == Some(at) {
            made.push(random_approval(c, Section::Cutover, "go_no_go"));
        }
        let by_hand = at != exposing && c.chance(7);
        let mut next = if by_hand { random_manual(c, at) } else { cut(&format!("cut{at}")) };
        if !by_hand {
            next = next.effect(if at == exposing {
                c.pick(&[Effect::Idempotent, Effect::Once, Effect::Probe])
            } else {
                effect(c)
            });
            odd(c, &mut next.step);
        }
        next = random_undo(c, next);
        if at == exposing {
            next.step.exposes = true;
            next.step.when = None;
        }
        next.step.takes_source_down = at == down && next.step.effect != Effect::None;
        if next.step.takes_source_down && !next.step.is_irreversible() {
            // A plan that leaves the source down and sends users back is refused.
            next = next.undo();
        }
        next.step.moves_data = at == moves && next.step.effect != Effect::None;
        made.push(next);
    }
    let mut ids = Vec::new();
    for mut next in made {
        let is_approval = matches!(next.step.kind, StepKind::Approval(_));
        next.step.needs = needs(c, &ids, chained, is_approval);
        ids.push((next.step.id.clone(), is_approval));
        draft = draft.add(next);
    }
    draft
}

fn random_manual(c: &mut Choices, at: usize) -> Made {
    let slot = || ("slot".to_owned(), "integer".to_owned());
    let asks = c.chance(40);
    let mut made = manual(&format!("hand{at}")).manual(|manual| {
        manual.answer.extend(asks.then(slot));
        manual.deadline_ms = c.chance(60).then(|| c.pick(&[60_000, 600_000]));
        if manual.deadline_ms.is_some() && c.chance(40) {
            manual.default = Some(asks.then(|| ("slot".to_owned(), json!(7))).into_iter().collect());
        }
        if c.chance(30) {
            manual.roles = vec!["owner".to_owned()];
        }
    });
    made.step.on_timeout = c.pick(&[OnTimeout::Ask, OnTimeout::Fail]);
    if c.chance(30) {
        made.step.verify = Some(Verify { call: call("test.verify"), pass: None });
    }
    made
}

type Above = (bascule::plan::StepId, bool);

fn needs(c: &mut Choices, above: &[Above], chained: bool, is_approval: bool) -> Vec<Need> {
    if chained || is_approval {
        return above
            .last()
            .map(|(id, barrier)| Need {
                step: id.clone(),
                kind: if *barrier { NeedKind::Barrier } else { NeedKind::Implied },
            })
            .into_iter()
            .collect();
    }
    let mut needs: Vec<Need> = Vec::new();
    for (id, barrier) in above {
        if *barrier {
            needs.push(Need { step: id.clone(), kind: NeedKind::Barrier });
        } else if c.chance(40) {
            let kind = c.pick(&[NeedKind::Implied, NeedKind::Written, NeedKind::Outputs]);
            needs.push(Need { step: id.clone(), kind });
        }
    }
    needs
}

fn post_check(c: &mut Choices, at: usize) -> Made {
    step(Section::PostCheck, &format!("post{at}")).check(|check| {
        check.every_ms = Some(20_000);
        check.by_ms = c.chance(25).then(|| c.pick(&[120_000, 40_000]));
        if c.chance(30) {
            check.waivable_by = vec!["lead".to_owned()];
        }
    })
}

fn random_criterion(c: &mut Choices, at: usize) -> bascule::plan::Criterion {
    let rule = match c.below(3) {
        0 => TripRule::Consecutive(u32::try_from(1 + c.below(3)).expect("small")),
        1 => TripRule::SustainedForMs(c.pick(&[60_000, 1, 90_000])),
        _ => TripRule::Ratio { fail: 2, of: 4 },
    };
    let mut made = criterion(&format!("crit{at}"), rule);
    made.every_ms = c.pick(&[30_000, 20_000, 60_000]);
    made.warm_up_ms = c.pick(&[30_000, 0, 120_000]);
    made.max_age_ms = made.every_ms * c.pick(&[3, 2]);
    made.min_samples = c.pick(&[1, 3]);
    if c.chance(30) {
        made.valid = Some(expr("result.valid"));
    }
    if c.chance(25) {
        made.action = CriterionAction::Ask;
    }
    made.observe_only = c.chance(10);
    if c.chance(3) {
        made.call.with = Arc::new(json!({ "x": "${{ inputs.missing }}" }));
    }
    made
}

fn policies(c: &mut Choices, draft: Draft) -> Draft {
    let irreversible = draft.body.steps.iter().any(|step| step.section == Section::Commit && step.is_irreversible());
    let draft = draft.policies(|policies| {
        policies.window_ms = c.pick(&[180_000, 60_000, 400_000]);
        policies.window_from = c.pick(&[WindowFrom::Exposure, WindowFrom::CutoverEnd]);
        if !irreversible && c.chance(20) {
            policies.on_window_close = OnWindowClose::Commit;
        }
        policies.data = match c.weighted(&[4, 2, 2, 2]) {
            0 => DataAnswer::ReverseSync,
            1 => DataAnswer::Stateless,
            2 => DataAnswer::AcceptLoss { up_to_ms: 60_000, reason: "agreed".to_owned() },
            _ => DataAnswer::Unanswered,
        };
        if c.chance(20) {
            policies.on_failure = OnFailure::Ask;
        }
        policies.resume_within_ms = c.chance(40).then_some(300_000);
        policies.settle_within_ms = c.pick(&[60_000, 5_000, 0]);
        policies.start_by_ms = c.chance(20).then(|| START + c.pick(&[3_600_000, 60_000]));
        policies.ready_every_ms = c.pick(&[300_000, 60_000]);
        if c.chance(20) {
            let until_ms = Some(START + c.pick(&[600_000, 120_000]));
            policies.change = Some(Change { id: Some("CHG42".to_owned()), from_ms: None, until_ms, zone: None });
        }
    });
    draft.body(|body| {
        let pin = ExecutorPin { contract: Some(1), sha256: None, probes: true, undoes: true };
        body.executors.insert("test.undo".to_owned(), pin);
        if c.chance(40) {
            body.locks.push(bascule::plan::policy::LockClaim { name: "vm:a".to_owned(), take: None });
        }
        if c.chance(25) {
            let on_its_rollback = c.pick(&[OnFailure::Ask, OnFailure::Rollback]);
            let (app, state) = ("billing".to_owned(), "accepted".to_owned());
            body.requires = vec![Requirement { app, state, on_its_rollback }];
        }
        if c.chance(20) {
            body.sign_offs = vec![SignOff {
                role: "operations".to_owned(),
                what: "ours".to_owned(),
                proves: bascule::plan::step::Proof::Ownership,
            }];
        }
        if c.chance(60) {
            for step in body.steps.iter_mut().map(Arc::make_mut) {
                // Without an estimate of everything no turn-back time is named.
                step.estimate_ms.get_or_insert(10_000);
            }
        }
    })
}
