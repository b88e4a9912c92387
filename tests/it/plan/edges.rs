//! What comes before what, and what that means for the way back.

use bascule::plan::step::NeedKind;
use bascule::plan::{phases, rollback};

use super::support::{Bench, Made};

fn compile(steps: &str) -> Made {
    Bench::new(&format!(
        "application: shop\nrollbackWindow: 30m\ndataOnRollback: stateless\ninputs: {{ vm: a-01 }}\ncutoverSteps:\n{steps}"
    ))
    .compile()
}

fn needs(made: &Made, step: &str) -> Vec<(String, NeedKind)> {
    let plan = made.plan();
    let ix = plan.find(&step.into()).expect("a step of the test");
    plan.step(ix).needs.iter().map(|need| (need.step.to_string(), need.kind)).collect()
}

#[test]
fn steps_stand_in_sequence_unless_they_say_needs() {
    let made = compile(
        "  - { id: a, uses: look, effect: none }\n  - { id: b, uses: look, effect: none }\n\
         \x20 - { id: c, uses: look, effect: none, needs: [a] }\n  - { id: d, uses: look, effect: none, needs: [] }\n\
         \x20 - { id: e, uses: look, effect: none, exposes: true, needs: [d, b, c, b] }\n",
    );
    assert_eq!(needs(&made, "a"), []);
    assert_eq!(needs(&made, "b"), [("a".to_owned(), NeedKind::Implied)]);
    assert_eq!(needs(&made, "c"), [("a".to_owned(), NeedKind::Written)]);
    assert_eq!(needs(&made, "d"), []);
    let all = ["b", "c", "d"].map(|id| (id.to_owned(), NeedKind::Written));
    assert_eq!(needs(&made, "e"), all, "in the order of the list, without duplicates");
}

#[test]
fn an_approval_is_a_barrier_both_ways() {
    let made = compile(
        "  - { id: a, uses: look, effect: none }\n  - { id: b, uses: look, effect: none, needs: [] }\n\
         \x20 - { approval: go, roles: [owner] }\n\
         \x20 - { id: c, uses: look, effect: none, needs: [] }\n  - { id: d, uses: look, effect: none, needs: [a] }\n\
         \x20 - { id: e, uses: look, effect: none, needs: [c] }\n  - { id: f, uses: look, effect: none, exposes: true }\n",
    );
    let barrier = |id: &str| (id.to_owned(), NeedKind::Barrier);
    assert_eq!(needs(&made, "go"), [barrier("a"), ("b".to_owned(), NeedKind::Implied)]);
    assert_eq!(needs(&made, "c"), [barrier("go")]);
    assert_eq!(needs(&made, "d"), [("a".to_owned(), NeedKind::Written), barrier("go")]);
    assert_eq!(needs(&made, "e"), [("c".to_owned(), NeedKind::Written)], "the barrier holds through c");
    assert_eq!(needs(&made, "f"), [("e".to_owned(), NeedKind::Implied)]);
}

#[test]
fn a_use_of_outputs_is_an_edge_that_blocks_the_way_back() {
    let undo = "effect: idempotent, undo: { uses: noop, estimate: 1m }";
    let made = compile(&format!(
        "  - {{ id: a, uses: noop, {undo} }}\n  - {{ id: b, uses: noop, {undo} }}\n\
         \x20 - {{ id: c, uses: noop, effect: idempotent, with: {{ x: \"${{{{ steps.a.outputs.x }}}}\" }},\n\
         \x20     undo: {{ uses: noop, with: {{ x: \"${{{{ steps.c.outputs.x }}}}\" }}, estimate: 1m }} }}\n\
         \x20 - {{ id: d, uses: noop, exposes: true, {undo}, with: {{ x: \"${{{{ steps.c.outputs.x }}}}\" }} }}\n",
    ));
    let outputs = |id: &str| (id.to_owned(), NeedKind::Outputs);
    assert_eq!(needs(&made, "c"), [outputs("a"), ("b".to_owned(), NeedKind::Implied)]);
    assert_eq!(needs(&made, "d"), [outputs("c")], "a use is the stronger reason");
    let back = rollback::complete(made.plan());
    let name = |ix: usize| made.plan().step(ix).id.to_string();
    let blocked: Vec<(String, Vec<String>)> = back
        .restore
        .iter()
        .map(|node| (name(node.step), node.blocked_by.iter().map(|ix| name(*ix)).collect()))
        .collect();
    let owned = |id: &str, by: &[&str]| (id.to_owned(), by.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    assert_eq!(blocked, [owned("d", &[]), owned("c", &["d"]), owned("b", &[]), owned("a", &["c"])]);
}

#[test]
fn checks_stand_side_by_side() {
    let made = Bench::new(
        "application: shop\nrollbackWindow: 30m\ndataOnRollback: stateless\npreChecks:\n\
         \x20 - { id: a, uses: look }\n  - { id: b, uses: look }\n  - { id: c, uses: look, needs: [a] }\n\
         cutoverSteps:\n  - { id: go, uses: look, effect: none, exposes: true, with: { x: \"${{ steps.c.outputs.x }}\" } }\n",
    )
    .compile();
    assert_eq!(needs(&made, "b"), []);
    assert_eq!(needs(&made, "c"), [("a".to_owned(), NeedKind::Written)]);
    assert_eq!(needs(&made, "go"), [], "lists run one after the other: that is no edge");
}

#[test]
fn a_failed_undo_keeps_what_rests_on_it() {
    let made = Bench::new(super::FIXTURE).shipped("pextra", super::CATALOG).compile();
    let plan = made.plan();
    let blocks = rollback::Blocks::of(&rollback::complete(plan));
    let held = |id: &str, most: usize| -> Vec<String> {
        let failed = plan.find(&id.into()).expect("a step of the fixture");
        blocks.held_back(failed, most).into_iter().map(|ix| plan.step(ix).id.to_string()).collect()
    };
    assert_eq!(held("final_data_sync", 9), ["quiesce_application", "update_load_balancer"]);
    assert_eq!(held("final_data_sync", 1), ["quiesce_application"]);
    assert_eq!(held("quiesce_application", 9), ["update_load_balancer"]);
    assert!(held("power_on_target", 9).is_empty(), "the implied sequence never blocks");
}

#[test]
fn each_phase_says_what_a_failure_does() {
    let told = |made: &Made| -> Vec<String> {
        let phases = phases::phases(made.plan()).into_iter();
        phases.map(|phase| format!("{}: {:?}", phase.from, phase.answer)).collect()
    };
    let fixture = Bench::new(super::FIXTURE).shipped("pextra", super::CATALOG).compile();
    let kept = compile(
        "  - { id: stop, uses: look, effect: none }\n  - { approval: go, roles: [owner], names: [wipe] }\n\
         \x20 - { id: shift, uses: noop, exposes: true, undo: { uses: noop } }\n  - { id: wipe, uses: noop, irreversible: true }\n",
    );
    insta::assert_snapshot!(format!("{}\n\n{}", told(&fixture).join("\n"), told(&kept).join("\n")));
}
