//! Pictures: complete, escaped, and left in the target directory to be looked at.

use std::path::Path;

use bascule::plan::draw::{self, Look, State};
use bascule::plan::step::StepId;

use super::support::{Bench, Made};
use super::{CATALOG, FIXTURE};

/// Leaves a picture where `cargo test` keeps its files, so that a person can open it.
fn keep(name: &str, picture: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(path, picture).expect("the target directory can be written");
}

fn fixture() -> Made {
    Bench::new(FIXTURE).shipped("pextra", CATALOG).compile()
}

/// Sixty steps: a preparation, branches for ten machines, approvals, work by hand, checks.
fn sixty() -> Made {
    let mut text = String::from(
        "application: warehouse-and-billing\nsourcePlatform: vmware-vsphere\ntargetPlatform: kvm-libvirt\nrollbackWindow: 2h\n\
         change: { id: CHG0042, window: 2026-11-28T22:00/04:00, zone: Europe/Paris }\n\
         keepSource: 14d\nsignOffs: [{ role: operations, what: ours }]\n\
         preChecks:\n",
    );
    for check in ["backups", "space", "network", "credentials", "monitoring", "ttl"] {
        text.push_str(&format!("  - {{ id: {check}_ready, uses: look, estimate: 20s }}\n"));
    }
    text.push_str("prepareSteps:\n  - { id: seed_copy_of_all_disks, uses: copy, with: { from: a, to: b }, estimate: 3h, undo: { cleanup: true, estimate: 5m } }\n  - { id: lower_dns_ttl, uses: noop, estimate: 1m, undo: { uses: noop, estimate: 1m } }\ncutoverSteps:\n");
    text.push_str("  - { approval: go_no_go, roles: [application-owner, duty-manager], quorum: 2 }\n");
    text.push_str(
        "  - { id: stop_users, uses: noop, takesSourceDown: true, estimate: 2m, undo: { uses: noop, estimate: 2m } }\n",
    );
    for vm in 1..=8 {
        text.push_str(&format!(
            "  - {{ id: sync_vm{vm:02}, uses: copy, movesData: true, needs: [stop_users], with: {{ from: a, to: b }}, estimate: {}m, undo: {{ estimate: {vm}m }} }}\n  - {{ id: convert_vm{vm:02}, uses: copy, needs: [sync_vm{vm:02}], with: {{ from: a, to: b }}, estimate: 9m, undo: {{ cleanup: true, estimate: 1m }} }}\n  - {{ id: start_vm{vm:02}_on_target_with_new_network, uses: noop, needs: [convert_vm{vm:02}], estimate: 2m, undo: {{ uses: noop, cleanup: true, estimate: 1m }} }}\n",
            5 + vm
        ));
    }
    let all: Vec<String> = (1..=8).map(|vm| format!("start_vm{vm:02}_on_target_with_new_network")).collect();
    text.push_str(&format!(
        "  - {{ id: smoke_test, uses: look, effect: none, needs: [{}], estimate: 2m }}\n",
        all.join(", ")
    ));
    text.push_str("  - { manual: recable the tape robot and label both ends, id: recable_tape_robot, roles: [data-centre], estimate: 15m, undo: { byHand: put the cable back } }\n");
    text.push_str("  - { approval: point_of_no_return, roles: [application-owner], names: [retire_licence] }\n");
    text.push_str("  - { id: retire_licence, uses: noop, irreversible: true, estimate: 1m }\n");
    text.push_str(
        "  - { id: shift_traffic, uses: noop, exposes: true, estimate: 1m, undo: { uses: noop, estimate: 1m } }\n",
    );
    text.push_str("  - { id: tell_customers, uses: noop, undo: none, reason: a mail cannot be called back }\n");
    text.push_str("postChecks:\n");
    for check in ["latency", "errors", "orders", "backup", "alerts", "licences", "reports"] {
        text.push_str(&format!("  - {{ id: {check}_as_before, uses: look, proves: health }}\n"));
    }
    text.push_str("rollbackFence: [{ id: stop_target_writes, uses: noop, estimate: 30s }]\nrollbackReady: [{ id: source_there, uses: look }]\nrollbackChecks: [{ id: source_serves, uses: look, estimate: 1m }]\n");
    text.push_str(
        "commitSteps: [{ id: release_source_snapshot, uses: noop, irreversible: true }]\nrollbackCriteria:\n",
    );
    for criterion in ["orders_lost", "latency_regression", "error_rate"] {
        text.push_str(&format!(
            "  - {{ id: {criterion}, uses: look, every: 10s, trip: result.bad, ratio: {{ fail: 3, of: 10 }} }}\n"
        ));
    }
    Bench::new(&text).compile()
}

#[test]
fn the_fixture_is_drawn_with_its_way_back() {
    let made = fixture();
    let picture = draw::svg(made.plan(), &Look::default());
    keep("fixture.svg", &picture);
    for step in &made.plan().steps {
        assert!(picture.contains(&format!("<title>{}", step.id)), "{} is missing", step.id);
    }
    for word in ["Way back: users return", "Way back: clean-up", "exposes", "source down", "moves data", "40m", "15m"] {
        assert!(picture.contains(word), "{word}");
    }
    let mermaid = draw::mermaid(made.plan(), &Look::default());
    insta::assert_snapshot!(mermaid);
    let dot = draw::dot(made.plan(), &Look::default());
    insta::assert_snapshot!(dot);
}

#[test]
fn sixty_steps_are_drawn_on_pages_of_a4() {
    let made = sixty();
    assert!(made.plan().steps.len() >= 50);
    keep("sixty.svg", &draw::svg(made.plan(), &Look::default()));
    let pages = draw::pages(made.plan(), &Look::default());
    assert_eq!(pages.len(), 3);
    for (at, page) in pages.iter().enumerate() {
        keep(&format!("sixty-{at}.svg"), page);
        let height = page.split("height=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::parse::<f64>);
        assert!(height.expect("a height").expect("a number") <= 1412.0);
    }
    let everything = pages.concat();
    assert!(made.plan().steps.iter().all(|step| everything.contains(&format!("<title>{}", step.id))));
}

#[test]
fn a_run_is_drawn_with_words_for_its_states() {
    let made = fixture();
    let mut look = Look::default();
    let done = ["quiesce_application", "final_data_sync", "convert_image"];
    look.steps.extend(done.map(|id| (StepId::from(id), State::Succeeded)));
    look.steps.insert("attach_target_storage_profile".into(), State::Failed);
    look.steps.insert("power_on_target".into(), State::NotRun);
    look.steps.insert("validate_guest_tools_and_drivers".into(), State::Skipped);
    look.undos.insert("final_data_sync".into(), State::Running);
    look.undos.insert("quiesce_application".into(), State::Waiting);
    look.criteria.insert("app_health_check_failure".to_owned(), State::Failed);
    let picture = draw::svg(made.plan(), &look);
    keep("run.svg", &picture);
    for word in ["succeeded", "failed", "skipped", "running", "waiting", "not run"] {
        assert!(picture.contains(&format!(">{word}</text>")), "{word}");
    }
}

#[test]
fn names_cannot_break_out_of_a_picture() {
    let runbook = "application: \"<script>alert(1)</script>&\"\nrollbackWindow: 30m\ndataOnRollback: stateless\ncutoverSteps:\n\
         \x20 - { manual: \"say \\\"hi\\\" ]] --> <b>\\n\", id: shout, exposes: true, effect: none }\n";
    let made = Bench::new(runbook).compile();
    let plan = made.plan();
    let svg = draw::svg(plan, &Look::default());
    assert!(!svg.contains("<script>") && !svg.contains("<b>"), "{svg}");
    let dot = draw::dot(plan, &Look::default());
    assert!(!dot.contains("\n]]"), "{dot}");
    let mermaid = draw::mermaid(plan, &Look::default());
    assert!(!mermaid.contains("<script>"), "{mermaid}");
}
