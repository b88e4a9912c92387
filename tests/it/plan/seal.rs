//! A plan's name says what it holds, and nothing else.

use bascule::plan::{Plan, PlanError, PlanHash};

use super::support::{Bench, Made};
use super::{CATALOG, FIXTURE};

fn fixture(text: &str) -> Made {
    Bench::new(text).shipped("pextra", CATALOG).compile()
}

#[test]
fn the_hash_does_not_know_how_the_runbook_was_typed() {
    let first = fixture(&format!(
        "{FIXTURE}inputs: {{ b: {{ y: 1, x: 2 }}, a: 1 }}\ncontacts: {{ owner: {{ z: 1, a: 2 }} }}\n"
    ));
    let again = fixture(&format!(
        "{FIXTURE}inputs: {{ b: {{ y: 1, x: 2 }}, a: 1 }}\ncontacts: {{ owner: {{ z: 1, a: 2 }} }}\n"
    ));
    assert_eq!(first.plan().hash(), again.plan().hash());
    let mut blocks: Vec<&str> = Vec::new();
    let mut rest = FIXTURE;
    while let Some(at) = rest[1..].find("\npreChecks").or_else(|| rest[1..].find("\npostChecks")) {
        let (head, tail) = rest.split_at(at + 2);
        blocks.push(head);
        rest = tail;
    }
    let typed = format!(
        "# another comment\ncontacts:\n  owner: {{ a: 2,   z: 1 }}\ninputs:\n  a: 1\n  b: {{ x: 2, y: 1 }}\n\n{}{}",
        blocks.concat(),
        rest.replace("  - smoke_test", "\n  - \"smoke_test\"   # quoted")
    );
    assert_eq!(fixture(&typed).plan().hash(), first.plan().hash(), "{typed}");
    let other = fixture(&FIXTURE.replace("Minutes: 90", "Minutes: 91"));
    assert_ne!(other.plan().hash(), first.plan().hash());
}

#[test]
fn a_stored_plan_reads_back_and_an_altered_one_is_refused() {
    let made = fixture(FIXTURE);
    let plan = made.plan();
    let stored = plan.canonical();
    let read = Plan::read(&stored, plan.hash()).expect("what was written can be read");
    assert_eq!(read.body(), plan.body());
    assert_eq!(read.canonical(), stored);
    let text = String::from_utf8(stored).expect("JSON is text").replace("quiesce_application", "quiesce_applicatiom");
    assert!(matches!(Plan::read(text.as_bytes(), plan.hash()), Err(PlanError::Altered { .. })));
    let newer = text.replacen("\"planVersion\":1", "\"planVersion\":2", 1);
    assert!(matches!(Plan::read(newer.as_bytes(), plan.hash()), Err(PlanError::TooNew { found: 2, .. })));
    assert!(matches!(Plan::read(b"{", &PlanHash::from(String::new())), Err(PlanError::Malformed(_))));
}

#[test]
fn secrets_are_named_and_never_held() {
    let runbook = "application: shop\nrollbackWindow: 30m\ncutoverSteps:\n\
         \x20 - { id: go, uses: http.call, effect: none, exposes: true, with: { token: \"${{ secrets.TOKEN }}\" } }\n";
    let made = Bench::new(runbook).compile();
    assert_eq!(made.plan().secrets.iter().collect::<Vec<_>>(), ["TOKEN"]);
}

#[test]
fn ten_thousand_steps_compile() {
    let mut runbook = String::from(
        "application: shop\nrollbackWindow: 30m\ndataOnRollback: stateless\ninputs: { vm: a }\ncutoverSteps:\n",
    );
    for at in 0..10_000 {
        let mark = if at == 9_999 { ", exposes: true" } else { "" };
        let uses = if at > 0 { format!(", y: \"${{{{ steps.s{}.outputs.y }}}}\"", at - 1) } else { String::new() };
        runbook.push_str(&format!(
            "  - {{ id: s{at}, uses: noop, with: {{ x: \"${{{{ inputs.vm }}}}-{at}\"{uses} }}, effect: idempotent, undo: {{ uses: noop, estimate: 1s }}, estimate: 1s{mark} }}\n"
        ));
    }
    let made = Bench::new(&runbook).compile();
    let plan = made.plan();
    assert_eq!(plan.steps.len(), 10_000);
    let times = bascule::plan::estimate::estimate(plan, &bascule::plan::History::default());
    assert_eq!(times.critical_path.len(), 10_000);
    assert_eq!(times.until_source_serves.known_ms(), Some(10_000_000));
}
