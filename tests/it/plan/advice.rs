//! What the compiler says of conditions that can never hold, of keys that do nothing yet, and how often it says it.

use bascule::plan::{ExecutorInfo, Executors, History, draw, lint, phases, step::Effect};
use serde_json::json;

use super::support::{Bench, Made};

/// Executors as they describe themselves: what they give is known.
fn executors() -> Executors {
    let info = |effect, outputs: &[&str]| ExecutorInfo {
        contract: Some(1),
        sha256: None,
        params: json!({ "type": "object" }),
        effect,
        probes: false,
        undoes: false,
        progress: false,
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
    };
    Executors::from([
        ("noop".to_owned(), info(Effect::Idempotent, &["*"])),
        ("command".to_owned(), info(Effect::Once, &["exitCode", "result", "*"])),
        ("http.call".to_owned(), info(Effect::Once, &["status", "body"])),
        ("http.probe".to_owned(), info(Effect::None, &["status", "errorRate", "p95"])),
    ])
}

const HEAD: &str = "application: shop\nrollbackWindow: 30m\ndataOnRollback: stateless\n";
const EXPOSE: &str =
    "  - { id: expose, uses: noop, exposes: true, estimate: 1m, undo: { uses: noop, estimate: 1m } }\n";

fn bench(rest: &str) -> Bench {
    Bench::new(&format!("{HEAD}{rest}")).with_executors(executors())
}

/// The report without the warning that every short runbook earns.
fn report(rest: &str) -> String {
    let report = bench(rest).compile().report();
    report.split("\n\n").filter(|part| !part.contains("[B0074]")).collect::<Vec<_>>().join("\n\n")
}

fn codes(made: &Made) -> Vec<&'static str> {
    made.compiled.problems.iter().map(|problem| problem.code.id).collect()
}

#[test]
fn a_field_that_the_executor_never_gives_is_refused() {
    insta::assert_snapshot!(report(
        "preChecks:\n  - { id: look, uses: http.probe, pass: result.stauts == 200, baseline: { p95: result.P95 } }\n\
         cutoverSteps:\n\
         \x20 - id: move\n    uses: http.call\n    effect: probe\n    probe: { uses: http.probe, done: result.done }\n\
         \x20   verify: { uses: http.probe, pass: result.status == 200 && result.ok }\n\
         \x20   undo: { uses: http.call, verify: { uses: http.probe, pass: result.error_rate == 0 } }\n\
         \x20 - { id: expose, uses: noop, exposes: true, undo: { uses: noop } }\n\
         rollbackCriteria:\n\
         \x20 - { id: errors, uses: http.probe, valid: result.requests > 5, trip: \"result.errorrate > 0.2\", consecutive: 3 }\n"
    ));
}

#[test]
fn an_output_that_a_step_never_gives_is_refused() {
    let expose = |value: &str| {
        format!(
            "cutoverSteps:\n  - {{ id: look, uses: http.probe, effect: none }}\n\
             \x20 - {{ id: expose, uses: noop, exposes: true, undo: {{ uses: noop }}, with: {{ a: \"${{{{ {value} }}}}\" }} }}\n"
        )
    };
    insta::assert_snapshot!(report(&expose("steps.look.outputs.errorrate")));
    let guarded = "has(steps.look.outputs.late) ? steps.look.outputs.late : 0";
    assert!(!report(&expose(guarded)).contains("B0031"), "who asks first may name anything");
}

#[test]
fn a_field_is_let_through_where_it_is_asked_for_or_may_be_anything() {
    let made = bench(&format!(
        "cutoverSteps:\n{EXPOSE}rollbackCriteria:\n\
         \x20 - {{ id: guarded, uses: http.probe, trip: \"has(result.late) && result.late > 3\", consecutive: 1 }}\n\
         \x20 - {{ id: open, uses: command, with: {{ argv: [look] }}, trip: result.whatever > 1, consecutive: 1 }}\n\
         \x20 - {{ id: known, uses: http.probe, trip: 'result[\"errorRate\"] > 0.1', consecutive: 1 }}\n"
    ))
    .compile();
    assert_eq!(codes(&made), ["B0074"], "{}", made.report());
}

#[test]
fn an_exit_code_that_is_never_seen_is_told() {
    insta::assert_snapshot!(report(&format!(
        "preChecks:\n\
         \x20 - {{ id: never, uses: command, with: {{ argv: [look] }}, pass: result.exitCode != 0 }}\n\
         \x20 - {{ id: needless, uses: command, with: {{ argv: [look] }}, pass: result.exitCode == 0 }}\n\
         cutoverSteps:\n\
         \x20 - {{ id: move, uses: command, with: {{ argv: [move] }}, effect: probe, undo: none, reason: harmless,\n\
         \x20     probe: {{ uses: command, with: {{ argv: [look] }}, done: result.exitCode == 0 }} }}\n{EXPOSE}\
         rollbackCriteria:\n\
         \x20 - {{ id: blind, uses: command, with: {{ argv: [look] }}, trip: result.exitCode != 0, consecutive: 3 }}\n\
         \x20 - {{ id: sees, uses: command, with: {{ argv: [look], successCodes: [0, 1] }}, trip: result.exitCode != 0, consecutive: 3 }}\n"
    )));
}

#[test]
fn keys_that_do_nothing_yet_are_told_once_each() {
    insta::assert_snapshot!(report(&format!(
        "contacts: {{ owner: Ada }}\ntargetCluster: east\nlocks: [{{ name: \"vm:a\", take: 3 }}]\ncutoverSteps:\n\
         \x20 - {{ approval: go, roles: [owner], remindEvery: 5m, escalate: [{{ after: 10m, to: manager }}] }}\n\
         \x20 - {{ approval: again, roles: [owner], remindEvery: 5m }}\n{}",
        EXPOSE.replace("estimate: 1m, undo", "rehearsal: { with: { a: 1 } }, estimate: 1m, undo")
    )));
}

#[test]
fn four_eyes_over_claimed_names_are_told_with_the_service_down() {
    insta::assert_snapshot!(report(&format!(
        "cutoverSteps:\n\
         \x20 - {{ approval: early, roles: [owner], quorum: 2 }}\n\
         \x20 - {{ id: stop, uses: noop, takesSourceDown: true, estimate: 1m, undo: {{ uses: noop, estimate: 1m }} }}\n\
         \x20 - {{ approval: go, roles: [owner], notRequester: true }}\n{EXPOSE}"
    )));
}

#[test]
fn one_cause_is_one_problem() {
    let stop = "  - { id: stop, uses: noop, takesSourceDown: true, UNDO }\n";
    let of = |undo: &str| report(&format!("cutoverSteps:\n{}{EXPOSE}", stop.replace("UNDO", undo)));
    let seen = [
        ("a misspelt key", of("undoo: { uses: noop }")),
        ("an unknown executor of the undo", of("undo: { uses: ssh }")),
        (
            "an unknown executor of the step",
            report(&format!(
                "cutoverSteps:\n  - {{ id: stop, uses: shell, takesSourceDown: true, effect: probe, undo: {{ uses: noop }} }}\n{EXPOSE}"
            )),
        ),
        (
            "a word for a boolean",
            report("cutoverSteps:\n  - { id: expose, uses: noop, exposes: yes, undo: { uses: noop } }\n"),
        ),
        (
            "a bad trip",
            report(&format!(
                "cutoverSteps:\n{EXPOSE}rollbackCriteria:\n  - {{ id: errors, uses: http.probe, trip: errorRate >> 3, consecutive: 3 }}\n\
                 \x20 - {{ id: bare, uses: http.probe, trip: errorRate > 0.2, consecutive: 3 }}\n"
            )),
        ),
        (
            "an unknown step",
            report(&format!(
                "cutoverSteps:\n  - gone\n  - {{ id: next, uses: noop, effect: none, needs: [gone], with: {{ a: \"${{{{ steps.gone.outputs.a }}}}\" }} }}\n{EXPOSE}"
            )),
        ),
    ];
    let text: Vec<String> = seen.into_iter().map(|(title, report)| format!("# {title}\n{report}")).collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn the_footer_names_the_cause() {
    let seen = report(
        "cutoverSteps:\n  - { id: expose, uses: noop, exposes: true }\n  - { id: late, uses: noop, undoo: {} }\n",
    );
    assert!(seen.contains("`bascule explain B0013` says more"), "{seen}");
}

/// `criteria` of a plan as every table and picture names them.
fn on_trip(head: &str, rest: &str) -> Vec<&'static str> {
    let text = format!(
        "application: shop\nrollbackWindow: 30m\n{head}cutoverSteps:\n{rest}{EXPOSE}rollbackCriteria:\n\
         \x20 - {{ id: a, uses: http.probe, trip: result.p95 > 1, consecutive: 1 }}\n\
         \x20 - {{ id: b, uses: http.probe, trip: result.p95 > 1, consecutive: 1, action: ask }}\n\
         \x20 - {{ id: c, uses: http.probe, trip: result.p95 > 1, consecutive: 1, observeOnly: true }}\n"
    );
    let made = Bench::new(&text).with_executors(executors()).compile();
    let plan = made.plan();
    let picture = draw::svg(plan, &draw::Look::default());
    let said: Vec<&str> = plan.criteria.iter().map(|criterion| phases::on_trip(plan, criterion)).collect();
    assert!(said.iter().all(|word| picture.contains(&format!(">{word}<"))), "the picture says the same: {said:?}");
    said
}

#[test]
fn a_trip_is_promised_only_what_the_plan_allows() {
    assert_eq!(on_trip("dataOnRollback: stateless\n", ""), ["goes back", "asks", "only shown"]);
    assert_eq!(on_trip("", ""), ["asks", "asks", "only shown"], "nobody answers for users' writes");
    let loss = |up_to| format!("dataOnRollback: {{ acceptLoss: {{ upTo: {up_to}, reason: agreed }} }}\n");
    assert_eq!(on_trip(&loss("10m"), "")[0], "goes back, later asks");
    assert_eq!(on_trip(&loss("30m"), "")[0], "goes back");
    let burn =
        "  - { approval: go, roles: [owner], names: [burn] }\n  - { id: burn, uses: noop, irreversible: true }\n";
    assert_eq!(on_trip("dataOnRollback: stateless\n", burn)[0], "asks", "past an irreversible step");
}

#[test]
fn the_clock_is_held_against_the_change_window() {
    let made = bench(
        "change: { window: 2026-11-28T22:00/23:00, zone: UTC }\ncutoverSteps:\n\
         \x20 - { id: expose, uses: noop, exposes: true, estimate: 20m, undo: { uses: noop, estimate: 10m30s } }\n",
    )
    .compile();
    let at = |time: &str| -> Vec<String> {
        let now: jiff::Timestamp = time.parse().expect("a time");
        let found = lint::against_clock(made.plan(), &History::default(), None, now.as_millisecond());
        found.iter().map(|problem| format!("{}: {}", problem.code, problem.message)).collect()
    };
    assert!(at("2026-11-28T20:00:00Z").is_empty(), "before the window its length counts, and that is enough");
    assert!(at("2026-11-28T22:29:00Z").is_empty(), "30m 30s fit into 31 minutes");
    assert_eq!(
        at("2026-11-28T22:40:00Z"),
        ["B0082: there and back takes an estimated 30m 30s, and the change window ends in 20 min"]
    );
    assert_eq!(at("2026-11-28T23:05:00Z"), ["B0088: the change window ended 5 min ago"]);
}

#[test]
fn pictures_leave_out_what_nobody_said() {
    let made = bench(
        "preChecks:\n  - { id: look, uses: http.probe }\ncutoverSteps:\n\
         \x20 - { id: stop, uses: noop, takesSourceDown: true, undo: { uses: noop } }\n\
         \x20 - { id: expose, uses: noop, exposes: true, undo: { uses: noop } }\n",
    )
    .compile();
    let svg = draw::svg(made.plan(), &draw::Look::default());
    assert!(svg.contains("<title>shop</title>"), "no platforms, no arrow");
    assert!(!svg.contains('→') && !svg.contains("after unknown") && !svg.contains("takes nobody"), "{svg}");
    assert!(svg.contains("nobody knows how long it takes") && svg.contains("nobody knows when the source serves"));
    let dot = draw::dot(made.plan(), &draw::Look::default());
    assert!(dot.contains("label=\"shop\";"), "{dot}");
}
