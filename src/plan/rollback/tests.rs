//! The order of a rollback: the documented one, and what holds for every plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::plan::defaults;
use crate::plan::policy::Policies;
use crate::plan::sealed::{PLAN_VERSION, PlanBody};
use crate::plan::step::{Call, Effect, Need, NeedKind, Step, StepId, StepKind, Undo, UndoAction};

fn call() -> Call {
    Call { uses: "command".into(), with: Arc::new(json!({})), params: Arc::default() }
}

fn undo(cleanup: bool, needs: Option<Vec<&str>>) -> Undo {
    Undo::Action(UndoAction {
        call: Some(call()),
        cleanup,
        keep: true,
        effect: Effect::Idempotent,
        needs: needs.map(|needs| needs.into_iter().map(StepId::from).collect()),
        estimate_ms: None,
        timeout_ms: defaults::ACTION_TIMEOUT_MS,
        retry: defaults::UNDO_RETRY,
        verify: None,
        by_hand: None,
    })
}

fn step(id: &str, section: Section, needs: &[(&str, NeedKind)]) -> Step {
    let mut step = Step::bare(id.into(), section, StepKind::Action(call()));
    step.needs = needs.iter().map(|(id, kind)| Need { step: (*id).into(), kind: *kind }).collect();
    step
}

fn seal(steps: Vec<Step>) -> Plan {
    Plan::seal(PlanBody {
        plan_version: PLAN_VERSION,
        application: "shop".to_owned(),
        wave: None,
        source_platform: "a".to_owned(),
        source_cluster: None,
        target_platform: "b".to_owned(),
        policies: Policies::default(),
        inputs: Arc::default(),
        missing: Vec::new(),
        secrets: BTreeSet::new(),
        steps: steps.into_iter().map(std::sync::Arc::new).collect(),
        criteria: Vec::new(),
        locks: Vec::new(),
        requires: Vec::new(),
        sign_offs: Vec::new(),
        contacts: BTreeMap::new(),
        catalogs: Vec::new(),
        executors: BTreeMap::new(),
    })
    .expect("the test's plan is sound")
}

fn names(plan: &Plan, nodes: &[UndoNode]) -> Vec<String> {
    nodes.iter().map(|node| plan.step(node.step).id.to_string()).collect()
}

/// The founding runbook, with the undos that its catalog gives it.
fn founding() -> Vec<Step> {
    let chain = [
        "quiesce_application",
        "final_data_sync",
        "convert_image",
        "attach_target_storage_profile",
        "validate_guest_tools_and_drivers",
        "power_on_target",
        "smoke_test",
        "update_load_balancer",
    ];
    let mut steps = Vec::new();
    for (at, id) in chain.iter().enumerate() {
        let above = at.checked_sub(1).map(|above| (chain[above], NeedKind::Implied));
        let mut made = step(id, Section::Cutover, above.as_slice());
        match *id {
            "quiesce_application" => made.takes_source_down = true,
            "final_data_sync" => made.moves_data = true,
            "update_load_balancer" => made.exposes = true,
            _ => {}
        }
        made.undo = match *id {
            "smoke_test" | "validate_guest_tools_and_drivers" => Undo::Nothing { reason: None },
            "convert_image" | "attach_target_storage_profile" | "power_on_target" => undo(true, None),
            _ => undo(false, None),
        };
        steps.push(made);
    }
    steps.push(step("fence:stop_target_writes", Section::Fence, &[]));
    steps
}

#[test]
fn founding_runbook_goes_back_in_the_documented_order() {
    let plan = seal(founding());
    let back = complete(&plan);
    assert_eq!(
        names(&plan, &back.restore),
        ["fence:stop_target_writes", "final_data_sync", "quiesce_application", "update_load_balancer"]
    );
    assert_eq!(names(&plan, &back.cleanup), ["power_on_target", "attach_target_storage_profile", "convert_image"]);
    // Every stage waits for the one before it; nothing else blocks, because nothing else was written.
    for pair in back.restore.windows(2) {
        assert_eq!(pair[1].blocked_by, [pair[0].step]);
    }
    assert!(back.cleanup.iter().all(|node| node.blocked_by.is_empty()));
    let dropped: Vec<(String, String)> = back
        .dropped
        .iter()
        .map(|edge| (plan.step(edge.undo).id.to_string(), plan.step(edge.after).id.to_string()))
        .collect();
    assert!(dropped.contains(&("final_data_sync".to_owned(), "convert_image".to_owned())));
    assert!(dropped.contains(&("final_data_sync".to_owned(), "update_load_balancer".to_owned())));
}

#[test]
fn before_exposure_there_is_no_fence_and_the_empty_stage_is_bridged() {
    let plan = seal(founding());
    let done: Vec<Applied> = (0..3).map(|ix| Applied { step: ix, completed: ix as u64 }).collect();
    let back = order(&plan, &done, false);
    assert_eq!(names(&plan, &back.restore), ["final_data_sync", "quiesce_application"]);
    assert_eq!(names(&plan, &back.cleanup), ["convert_image"]);
    let only_ends = [Applied { step: 0, completed: 1 }, Applied { step: 7, completed: 2 }];
    let back = order(&plan, &only_ends, true);
    assert_eq!(
        names(&plan, &back.restore),
        ["fence:stop_target_writes", "quiesce_application", "update_load_balancer"]
    );
    assert_eq!(back.restore[1].blocked_by, [back.restore[0].step]);
}

#[test]
fn written_needs_and_outputs_block_across_a_step_without_undo() {
    let mut steps = vec![
        step("disk", Section::Cutover, &[]),
        step("look", Section::Cutover, &[("disk", NeedKind::Outputs)]),
        step("boot", Section::Cutover, &[("look", NeedKind::Written)]),
        step("name", Section::Cutover, &[("boot", NeedKind::Implied)]),
        step("expose", Section::Cutover, &[("name", NeedKind::Implied)]),
    ];
    for ix in [0, 2, 3] {
        steps[ix].undo = undo(true, None);
    }
    steps[4].exposes = true;
    steps[4].undo = undo(false, None);
    let plan = seal(steps);
    let back = complete(&plan);
    assert_eq!(names(&plan, &back.cleanup), ["name", "boot", "disk"]);
    assert_eq!(back.cleanup[2].blocked_by, [2], "the disk stays while the machine may run on it");
    assert!(back.cleanup[1].blocked_by.is_empty(), "the implied sequence never blocks");
}

#[test]
fn undo_needs_replaces_the_reverse_edges_and_blocks() {
    let mut steps = vec![
        step("first", Section::Cutover, &[]),
        step("second", Section::Cutover, &[("first", NeedKind::Written)]),
        step("third", Section::Cutover, &[("second", NeedKind::Written)]),
    ];
    steps[0].undo = undo(false, Some(vec![]));
    steps[1].undo = undo(false, Some(vec!["first"]));
    steps[2].undo = undo(false, None);
    let plan = seal(steps);
    let back = complete(&plan);
    assert_eq!(names(&plan, &back.restore), ["third", "first", "second"]);
    assert!(back.restore[1].after.is_empty());
    assert_eq!(back.restore[2].blocked_by, [0]);
}

#[test]
fn undo_needs_that_repeats_the_stages_is_kept() {
    let mut steps = founding();
    steps[7].undo = undo(false, Some(vec!["quiesce_application"]));
    let plan = seal(steps);
    let back = complete(&plan);
    assert_eq!(back.restore.last().map(|node| node.step), Some(7));
    assert!(back.dropped.iter().all(|edge| edge.undo != 7), "{:?}", back.dropped);
}

#[test]
fn circle_of_undo_needs_is_cut_and_reported() {
    let mut steps =
        vec![step("first", Section::Cutover, &[]), step("second", Section::Cutover, &[("first", NeedKind::Implied)])];
    steps[0].undo = undo(false, Some(vec!["second"]));
    steps[1].undo = undo(false, Some(vec!["first"]));
    let plan = seal(steps);
    let back = complete(&plan);
    assert_eq!(back.restore.len(), 2);
    assert_eq!(back.dropped.len(), 1);
}

/// A random plan, what of it was applied, and whether users may have seen the target.
fn world() -> impl Strategy<Value = (Plan, Vec<Applied>, bool)> {
    let one = (0..12_u8, proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..4), any::<bool>());
    let needs = proptest::option::weighted(0.2, proptest::collection::vec(any::<prop::sample::Index>(), 0..3));
    let steps = proptest::collection::vec((one, needs), 1..24);
    (steps, 0..3_usize, any::<u32>(), any::<bool>()).prop_map(|(drawn, fences, seed, exposed)| {
        let count = drawn.len();
        let mut steps: Vec<Step> = Vec::new();
        for (at, ((role, parents, applied), undo_needs)) in drawn.iter().enumerate() {
            let mut made = Step::bare(format!("s{at}").into(), Section::Cutover, StepKind::Action(call()));
            if at > 0 {
                let mut seen = BTreeSet::new();
                for (parent, kind) in parents {
                    let kinds = [NeedKind::Written, NeedKind::Implied, NeedKind::Outputs, NeedKind::Barrier];
                    let parent = parent.index(at);
                    if seen.insert(parent) {
                        made.needs.push(Need { step: format!("s{parent}").into(), kind: kinds[usize::from(*kind)] });
                    }
                }
            }
            let named = undo_needs.as_ref().map(|all| all.iter().map(|ix| format!("s{}", ix.index(count))).collect());
            made.moves_data = *role == 1;
            made.takes_source_down = *role == 2;
            made.exposes = *role == 3;
            let named: Option<Vec<String>> = named;
            let named = named.as_ref().map(|all: &Vec<String>| all.iter().map(String::as_str).collect());
            made.undo = if *role < 4 {
                undo(false, named)
            } else if *role < 7 {
                undo(true, named)
            } else if *role < 9 {
                undo(false, named)
            } else {
                Undo::Nothing { reason: None }
            };
            made.keep_fresh_ms = applied.then_some(1);
            steps.push(made);
        }
        for fence in 0..fences {
            let above =
                fence.checked_sub(1).map(|above| Need { step: format!("f{above}").into(), kind: NeedKind::Implied });
            let mut made = step(&format!("f{fence}"), Section::Fence, &[]);
            made.needs.extend(above);
            steps.push(made);
        }
        let plan = seal(steps);
        let applied = (0..count)
            .filter(|ix| plan.step(*ix).keep_fresh_ms.is_some())
            .map(|ix| Applied { step: ix, completed: u64::from(seed.rotate_left(u32::try_from(ix % 31).unwrap_or(0))) })
            .collect();
        (plan, applied, exposed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_order_keeps_the_promises_of_a_rollback((plan, applied, exposed) in world()) {
        let back = order(&plan, &applied, exposed);
        let mut expected: BTreeSet<StepIx> =
            applied.iter().map(|done| done.step).filter(|ix| plan.step(*ix).undo_action().is_some()).collect();
        if exposed {
            expected.extend(plan.section(Section::Fence));
        }
        let found: Vec<StepIx> = back.restore.iter().chain(&back.cleanup).map(|node| node.step).collect();
        prop_assert_eq!(found.len(), expected.len(), "each exactly once");
        prop_assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), expected);
        let stages: Vec<Stage> = back.restore.iter().filter_map(|node| node.stage).collect();
        prop_assert!(stages.is_sorted(), "{:?}", stages);
        for part in [&back.restore, &back.cleanup] {
            let mut ended = BTreeSet::new();
            for node in part {
                prop_assert!(node.after.iter().all(|before| ended.contains(before)), "waits only for what ran before");
                prop_assert!(node.blocked_by.iter().all(|before| node.after.contains(before)));
                ended.insert(node.step);
            }
        }
        for node in &back.restore {
            prop_assert!(plan.step(node.step).undo_action().is_none_or(|undo| !undo.cleanup));
            if let Some(stage) = node.stage {
                let earlier = back.restore.iter().filter(|other| other.stage.is_some_and(|other| other < stage));
                if let Some(nearest) = earlier.clone().filter_map(|other| other.stage).max() {
                    for other in earlier.filter(|other| other.stage == Some(nearest)) {
                        prop_assert!(node.blocked_by.contains(&other.step), "a stage blocks the next");
                    }
                }
            }
        }
        for node in &back.cleanup {
            prop_assert!(node.stage.is_none());
        }
        prop_assert_eq!(order(&plan, &applied, exposed), back);
    }

    #[test]
    fn reverse_edges_hold_unless_dropped_or_replaced((plan, applied, exposed) in world()) {
        let back = order(&plan, &applied, exposed);
        for part in [&back.restore, &back.cleanup] {
            let place = |ix| part.iter().position(|node| node.step == ix);
            for node in part.iter().filter(|node| plan.step(node.step).section != Section::Fence) {
                if plan.step(node.step).undo_action().is_some_and(|undo| undo.needs.is_some()) {
                    continue;
                }
                for (child, kind) in plan.dag().children(node.step) {
                    let Some(at) = place(child) else { continue };
                    let dropped = back.dropped.iter().any(|edge| edge.undo == node.step && edge.after == child);
                    if dropped {
                        continue;
                    }
                    prop_assert!(Some(at) < place(node.step));
                    prop_assert!(node.after.contains(&child));
                    prop_assert!(!kind.blocks() || node.blocked_by.contains(&child));
                }
            }
        }
    }
}

/// Two crowds around one step without an undo, and a long chain: edges must not multiply.
#[test]
fn ten_thousand_steps_stay_linear() {
    let mut steps = Vec::new();
    for at in 0..4_000 {
        let mut made = step(&format!("a{at}"), Section::Cutover, &[]);
        made.undo = undo(at % 2 == 0, None);
        steps.push(made);
    }
    let mut gate = Step::bare("gate".into(), Section::Cutover, StepKind::Action(call()));
    gate.needs = (0..4_000).map(|at| Need { step: format!("a{at}").into(), kind: NeedKind::Written }).collect();
    steps.push(gate);
    for at in 0..4_000 {
        let mut made = step(&format!("b{at}"), Section::Cutover, &[("gate", NeedKind::Barrier)]);
        made.undo = undo(at % 2 == 0, None);
        steps.push(made);
    }
    for at in 0..2_000 {
        let above = if at == 0 { "b0".to_owned() } else { format!("c{}", at - 1) };
        let mut made = step(&format!("c{at}"), Section::Cutover, &[(&above, NeedKind::Implied)]);
        made.undo = undo(false, None);
        steps.push(made);
    }
    let plan = seal(steps);
    let back = complete(&plan);
    assert_eq!(back.restore.len() + back.cleanup.len(), 10_000);
    let edges: usize = back.restore.iter().chain(&back.cleanup).map(|node| node.after.len()).sum();
    assert!(edges < 50_000, "{edges} edges");
}
