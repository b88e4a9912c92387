//! What the compiler refuses, and what it warns of, as a person sees it.

use bascule::engine::registry;
use bascule::plan::CatalogRank;

use super::support::Bench;
use super::{CATALOG, FIXTURE};

/// A runbook of inline steps: the head, and what follows it.
fn inline(rest: &str) -> Bench {
    let head =
        "application: shop\nrollbackWindow: 30m\ndataOnRollback: stateless\nsignOffs: [{ role: ops, what: ours }]\n";
    Bench::new(&format!("{head}{rest}"))
}

const EXPOSE: &str =
    "  - { id: expose, uses: noop, exposes: true, effect: idempotent, undo: { uses: noop, estimate: 1m } }\n";

/// The report without the warning that every short runbook earns.
fn report(bench: Bench) -> String {
    let report = bench.compile().report();
    let kept: Vec<&str> =
        report.split("\n\n").filter(|part| !part.contains("[B0074]") && !part.contains("explain")).collect();
    kept.join("\n\n")
}

#[test]
fn unknown_names_are_suggested_and_the_catalogs_named() {
    let runbook =
        FIXTURE.replace("final_data_sync", "final_data_snyc").replace("target_backup_failure", "target_bakup_failure");
    let other = "kind: Catalog\nfor: { targetPlatform: hyper-v }\nsteps:\n  final_data_snyc: { uses: noop }\n";
    let seen = report(Bench::new(&runbook).shipped("pextra", CATALOG).shipped("hyperv", other));
    insta::assert_snapshot!(seen);
}

#[test]
fn without_any_catalog_the_way_out_is_told() {
    let runbook =
        "application: shop\nrollbackWindow: 30m\nsourcePlatform: a\ntargetPlatform: b\ncutoverSteps: [move_it]\n";
    let seen = report(Bench::new(runbook).shipped("pextra", CATALOG));
    insta::assert_snapshot!(seen);
}

#[test]
fn needs_name_steps_of_their_own_list() {
    let seen = report(inline(&format!(
        "preChecks:\n  - {{ id: look, uses: look }}\ncutoverSteps:\n\
         \x20 - {{ id: first, uses: noop, effect: none, needs: [look] }}\n\
         \x20 - {{ id: second, uses: noop, effect: none, needs: [frist] }}\n{EXPOSE}"
    )));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_cycle_is_shown_whole() {
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: export, uses: noop, effect: none, needs: [import] }\n\
         \x20 - { id: convert, uses: noop, effect: none }\n\
         \x20 - { id: import, uses: noop, effect: none, needs: [convert] }\n\
         \x20 - { id: expose, uses: noop, exposes: true, effect: none }\n",
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn an_approval_above_closes_a_cycle_too() {
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: early, uses: noop, effect: none, needs: [late] }\n\
         \x20 - { approval: go, roles: [owner] }\n\
         \x20 - { id: late, uses: noop, effect: none, exposes: true, needs: [] }\n",
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn an_effect_needs_a_way_back() {
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: bare, uses: command, with: { argv: [cut] } }\n\
         \x20 - { id: silent, uses: noop, undo: none }\n\
         \x20 - { id: native, uses: noop, undo: {} }\n\
         \x20 - { id: copied, uses: copy, with: { from: a, to: b } }\n\
         \x20 - { manual: recable the robot, id: cable, undo: {} }\n\
         \x20 - { id: expose, uses: noop, exposes: true, effect: idempotent, undo: { uses: noop, estimate: 1m } }\n",
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn names_are_used_once() {
    let seen = report(inline(&format!(
        "preChecks:\n  - {{ id: expose, uses: look }}\ncutoverSteps:\n{EXPOSE}rollbackCriteria:\n\
         \x20 - {{ id: bad, uses: look, trip: result.bad, consecutive: 1 }}\n\
         \x20 - {{ id: bad, uses: look, trip: result.bad, consecutive: 2 }}\n"
    )));
    insta::assert_snapshot!(seen);
}

#[test]
fn exactly_one_step_exposes() {
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: a, uses: noop, exposes: true, effect: none }\n\
         \x20 - { id: b, uses: noop, exposes: true, effect: none }\n",
    ));
    insta::assert_snapshot!("two", seen);
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: a, uses: noop, effect: none }\n\
         \x20 - { id: b, uses: noop, effect: none, needs: [] }\n",
    ));
    insta::assert_snapshot!("several ends", seen);
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: a, uses: noop, effect: none }\n\
         \x20 - { id: b, uses: noop, effect: idempotent, undo: { uses: noop, estimate: 1m } }\n",
    ));
    insta::assert_snapshot!("assumed", seen);
    let seen = report(inline(
        "inputs: { go: true }\ncutoverSteps:\n\
         \x20 - { id: a, uses: noop, effect: none, exposes: true, when: inputs.go }\n",
    ));
    insta::assert_snapshot!("skippable", seen);
    let seen = report(inline(&format!(
        "prepareSteps:\n  - {{ id: early, uses: noop, effect: none, exposes: true, takesSourceDown: true }}\ncutoverSteps:\n{EXPOSE}"
    )));
    insta::assert_snapshot!("elsewhere", seen);
}

#[test]
fn users_are_never_sent_to_a_dead_source() {
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: stop, uses: noop, takesSourceDown: true, undo: none, reason: it starts by itself }\n\
         \x20 - { id: halt, uses: noop, takesSourceDown: true, undo: { uses: noop, cleanup: true } }\n\
         \x20 - { id: expose, uses: noop, exposes: true, undo: { uses: noop, estimate: 1m } }\n",
    ));
    insta::assert_snapshot!(seen);
    let seen = report(inline(
        "cutoverSteps:\n  - { id: expose, uses: noop, exposes: true, undo: { uses: noop, cleanup: true } }\n",
    ));
    insta::assert_snapshot!("late", seen);
}

#[test]
fn irreversible_steps_need_an_approval_that_names_them() {
    let seen = report(inline(&format!(
        "cutoverSteps:\n\
         \x20 - {{ id: wipe, uses: noop, irreversible: true }}\n\
         \x20 - {{ approval: go, roles: [owner], names: [wipe, burn, expose, nothing] }}\n\
         \x20 - {{ id: burn, uses: noop, irreversible: true }}\n\
         \x20 - {{ id: drop, uses: noop, irreversible: true }}\n{EXPOSE}"
    )));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_window_commits_nothing_irreversible() {
    let seen = report(inline(&format!(
        "onWindowClose: commit\ncutoverSteps:\n{EXPOSE}commitSteps:\n  - {{ id: release, uses: noop, irreversible: true }}\n"
    )));
    insta::assert_snapshot!(seen);
}

#[test]
fn expressions_use_what_is_there() {
    let seen = report(inline(
        "inputs: { vm: a-01 }\npreChecks:\n\
         \x20 - { id: base, uses: look, baseline: { p95: result.p95 } }\n\
         cutoverSteps:\n\
         \x20 - { id: first, uses: command, effect: none, with: { argv: [\"${{ inputs.vmm }}\", \"${{ inputs.colour }}\"] } }\n\
         \x20 - { id: second, uses: noop, effect: none, with: { a: \"${{ steps.third.outputs.x }}\", b: \"${{ steps.second.outputs.x }}\" } }\n\
         \x20 - { id: third, uses: noop, effect: none, with: { a: \"${{ steps.frist.outputs.x }}\", b: \"${{ steps.first.result }}\", c: \"${{ params.x }}\" } }\n\
         \x20 - { id: expose, uses: noop, exposes: true, effect: none, with: { a: \"${{ steps.first.outputs.x }}\" } }\n\
         \x20 - { id: after, uses: noop, effect: none }\n\
         rollbackChecks:\n\
         \x20 - { id: serves, uses: look, with: { a: \"${{ steps.first.outputs.x }}\" } }\n\
         rollbackCriteria:\n\
         \x20 - { id: slow, uses: look, trip: result.p95 > baseline.p59, consecutive: 3 }\n\
         \x20 - { id: late, uses: look, with: { a: \"${{ steps.after.outputs.x }}\" }, trip: result.bad, consecutive: 3 }\n",
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn what_people_are_told_uses_what_is_there() {
    let seen = report(inline(
        "inputs: { dir: /tmp }\ncutoverSteps:\n\
         \x20 - { manual: \"look into ${{ inputs.dri }}\", id: looks, undo: { byHand: \"rm ${{ params.dirr }}\" } }\n\
         \x20 - { id: expose, uses: noop, exposes: true, effect: none, undo: { uses: noop, byHand: \"see ${{ steps.lokos.outputs.x }}\" } }\n",
    ));
    for wrong in
        ["the input `dri` is used and nobody gives it", "the parameter `dirr` is used", "no step is called `lokos`"]
    {
        assert!(seen.contains(wrong), "`{wrong}` is missing in:\n{seen}");
    }
}

#[test]
fn executors_are_known_and_take_their_parameters() {
    let seen = report(inline(&format!(
        "inputs: {{ dir: /tmp }}\npreChecks:\n\
         \x20 - {{ id: check, uses: comand, with: {{ argv: [x] }} }}\n\
         \x20 - {{ id: writes, uses: copy, effect: idempotent, with: {{ from: a, to: b }} }}\n\
         \x20 - {{ id: nothing }}\n\
         cutoverSteps:\n\
         \x20 - {{ id: a, uses: copy, effect: none, with: {{ from: 7, too: b, mode: hole, parallel: 99 }} }}\n\
         \x20 - {{ id: b, uses: copy, effect: none, with: {{ from: \"${{{{ inputs.dir }}}}\", to: b, options: {{ x: 1 }} }} }}\n\
         \x20 - {{ id: c, uses: command, effect: none, with: {{ cmd: x }} }}\n\
         \x20 - {{ id: d, uses: noop, effect: probe, undo: {{ uses: noop }} }}\n{EXPOSE}"
    )));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_time_to_stop_that_nobody_would_wait_for_is_refused() {
    let with = |time: &str| {
        let step = format!(
            "cutoverSteps:\n  - {{ id: a, uses: command, effect: none, with: {{ argv: [x], terminateAfter: {time} }} }}\n{EXPOSE}"
        );
        report(inline(&step).with_executors(registry::known(&registry::executors())))
    };
    assert!(with("46s").contains("`terminateAfter` must be at most 45s"), "{}", with("46s"));
    assert!(!with("45s").contains("terminateAfter"), "{}", with("45s"));
}

#[test]
fn parameters_are_typed_and_known() {
    let runbook = FIXTURE.replace("  - dns_ttl_lowered\n", "  - dns_ttl_lowered: { maxTtl: soon, color: red }\n")
        + "inputs: { targetApi: pextra.example }\n";
    let seen = report(Bench::new(&runbook).shipped("pextra", CATALOG));
    insta::assert_snapshot!(seen);
}

#[test]
fn overlays_name_what_is_there() {
    let overlay = "kind: Overlay\nsteps: { convert_imag: { timeout: 5h } }\ncriteria: { app_health: { every: 5s } }\n";
    let seen = report(Bench::new(FIXTURE).shipped("pextra", CATALOG).overlay(overlay));
    insta::assert_snapshot!(seen);
}

#[test]
fn undo_needs_name_undos_and_close_no_circle() {
    let seen = report(inline(
        "cutoverSteps:\n\
         \x20 - { id: a, uses: noop, undo: { uses: noop, needs: [b], estimate: 1m } }\n\
         \x20 - { id: b, uses: noop, undo: { uses: noop, needs: [a, look, nothing], estimate: 1m } }\n\
         \x20 - { id: look, uses: noop, effect: none }\n\
         \x20 - { id: expose, uses: noop, exposes: true, undo: { uses: noop, estimate: 1m } }\n",
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn what_takes_too_long_is_told() {
    let seen = report(Bench::new(
        "application: shop\nrollbackWindow: 30m\ndowntimeBudget: 10m\nchange: { window: 2026-11-28T22:00/23:00, zone: Europe/Paris }\n\
         signOffs: [{ role: ops, what: ours }]\n\
         cutoverSteps:\n\
         \x20 - { id: stop, uses: noop, takesSourceDown: true, estimate: 5m, undo: { uses: noop, estimate: 35m } }\n\
         \x20 - { id: script, uses: command, with: { argv: [./move.sh] }, effect: idempotent, estimate: 20m, undo: { uses: noop, effect: once } }\n\
         \x20 - { id: expose, uses: noop, exposes: true, estimate: 1m, undo: { uses: noop, estimate: 1m } }\n\
         rollbackCriteria:\n\
         \x20 - { id: slow, uses: look, every: 5m, trip: result.bad, sustainedFor: 40m, minSamples: 20 }\n",
    ));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_catalog_for_other_platforms_is_used_with_a_warning() {
    let other = CATALOG.replace("vmware-vsphere", "kvm");
    let seen = report(Bench::new(FIXTURE).catalog("other.yaml", CatalogRank::Flag, &other));
    insta::assert_snapshot!(seen);
}

#[test]
fn an_empty_cutover_is_refused() {
    let seen = report(inline("cutoverSteps: []\n"));
    insta::assert_snapshot!(seen);
}

#[test]
fn an_approval_that_names_a_commit_step_stands_above_it_or_in_an_earlier_list() {
    let release = "  - { id: release, uses: noop, irreversible: true }\n";
    let approval = "  - { approval: let_go, roles: [owner], names: [release] }\n";
    let with =
        |post: &str, commit: &str| report(inline(&format!("cutoverSteps:\n{EXPOSE}{post}commitSteps:\n{commit}")));
    assert!(!with("", release).contains("nobody lets it pass"), "the question before it is enough");
    assert!(!with("", &format!("{approval}{release}")).contains("nobody lets it pass"));
    assert!(!with(&format!("postChecks:\n{approval}"), release).contains("nobody lets it pass"));
    let below = with("", &format!("{release}{approval}"));
    assert!(below.contains("nobody lets it pass") && below.contains("move the approval above it"), "{below}");
}

#[test]
fn what_takes_long_asks_unless_its_author_says_otherwise() {
    let made = inline(&format!(
        "cutoverSteps:\n\
         \x20 - {{ manual: recable it, id: cable, undo: none, reason: none needed, timeout: 30m, answer: {{ slot: integer }}, default: {{ slot: 7 }} }}\n\
         \x20 - {{ manual: look at it, id: look_at, effect: none }}\n\
         \x20 - {{ id: seed, uses: files.copy, with: {{ from: /a, to: /b }}, undo: none, reason: kept }}\n\
         \x20 - {{ id: other, uses: files.copy, with: {{ from: /a, to: /c }}, undo: none, reason: kept, onTimeout: fail }}\n\
         {EXPOSE}rollbackFence:\n  - {{ id: stop, uses: noop }}\n  - {{ id: once, uses: noop, retry: {{ attempts: 1 }} }}\n"
    ))
    .with_executors(registry::known(&registry::executors()))
    .compile();
    let plan = made.plan();
    let step = |id: &str| plan.step(plan.find(&id.into()).expect("it is there"));
    let asks =
        ["cable", "look_at", "seed", "other"].map(|id| step(id).on_timeout == bascule::plan::step::OnTimeout::Ask);
    assert_eq!(asks, [true, true, true, false]);
    let bascule::plan::StepKind::Manual(manual) = &step("cable").kind else { panic!("it is by hand") };
    assert_eq!((manual.deadline_ms, manual.refuses(&manual.example())), (Some(1_800_000), None));
    let bascule::plan::StepKind::Manual(manual) = &step("look_at").kind else { panic!("it is by hand") };
    assert_eq!((manual.deadline_ms, &manual.default), (None, &None));
    let tries = ["fence:stop", "fence:once"].map(|id| step(id).retry.attempts);
    assert_eq!(tries, [5, 1]);
}
