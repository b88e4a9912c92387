//! Broken documents and what is said about them.

use super::{shown, with};

#[test]
fn misspelt_keys_are_suggested() {
    insta::assert_snapshot!(shown(
        "application: billing\nrollbackWindowMinuts: 90\nrolbackWindow: 90m\ncutoverStep: [a]\nfrobnicate: 1\ntimeout: 5s\n"
    ));
}

#[test]
fn duplicate_keys_show_both_places() {
    insta::assert_snapshot!(shown(with(
        "cutoverSteps:\n  - id: a\n    uses: command\n    uses: command\n    with:\n      argv: [a]\n      argv: [b]\nrollbackWindow: 20m\n"
    )));
}

#[test]
fn wrong_types_say_what_was_expected_and_found() {
    insta::assert_snapshot!(shown(with(
        "sourcePlatform: 7\nwave: [2]\ncutoverSteps:\n  - a: 5\n  - [b]\n  - id: c\n    uses: {x: 1}\n    with: [x]\n    needs: a\n    \
         irreversible: maybe\n    exposes: yes\n    timeout: [1]\n    retry: {attempts: '3'}\n  - d:\n    maxTtl: 60\n  - {name: x, run: y}\n\
         preChecks: backup\ninputs: vm\npostChecks:\n"
    )));
}

#[test]
fn durations_need_units_and_sense() {
    insta::assert_snapshot!(shown(with(
        "keepSource: 14 days\nsettleWithin: 60\ndowntimeBudget: 0s\nautoContinueWithin: 10min\ncutoverSteps:\n  - id: a\n    uses: command\n    \
         timeout: 5m1h\n    estimate: soon\n    keepFresh: 1ms\n    retry: {backoff: 2m, maxBackoff: 10s}\n"
    )));
}

#[test]
fn windows_are_neither_zero_nor_absurd() {
    for window in [
        "rollbackWindowMinutes: 0",
        "rollbackWindowMinutes: 100000",
        "rollbackWindowMinutes: -5",
        "rollbackWindowMinutes: 1.5",
        "rollbackWindowMinutes: ninety",
        "rollbackWindow: 90",
        "rollbackWindow: 0m",
        "rollbackWindow: 400d",
        "rollbackWindow: 90m\nrollbackWindowMinutes: 90",
    ] {
        insta::assert_snapshot!(shown(format!("application: billing\n{window}\ncutoverSteps: [a]\n")));
    }
}

#[test]
fn expressions_are_marked_inside() {
    insta::assert_snapshot!(shown(with(
        "preChecks:\n  - id: a\n    uses: http.probe\n    pass: result.p95 > 3 &&\n  - id: b\n    uses: http.probe\n    \
         pass: \"result.p95 = 3\"\n  - id: c\n    uses: http.probe\n    when: inputs.x && reslt.y\n    with: {url: 'http://${{ inputs.vip + }}/'}\n  \
         - id: d\n    uses: http.probe\n    when: result.x == 1\n    pass: ${{ result.ok }}\n    baseline: {p95: result.p95.rond()}\n  \
         - id: e\n    uses: http.probe\n    pass: >\n      result.status == 200 &&\n      resul.p95 < 3\n    with: {a: \"tab\\there ${{ inputz.x }}\"}\n\
         cutoverSteps: [a]\n"
    )));
}

#[test]
fn placeholders_and_secrets_have_their_places() {
    insta::assert_snapshot!(shown(with(
        "inputs: {vm: '${{ inputs.other }}', ok: 1}\ncutoverSteps:\n  - id: a\n    uses: http.call\n    with:\n      url: http://${{ inputs.vip/\n      \
         empty: ${{ }}\n      header: Bearer ${{ secrets.TOKEN }}\n      good: ${{ secrets.TOKEN }}\n      ${{ inputs.k }}: 1\n    locks: ['vm:${{ secrets.V }}', esx]\n    \
         undo: {byHand: 'use ${{ secrets.P }}'}\n"
    )));
}

#[test]
fn words_are_suggested() {
    insta::assert_snapshot!(shown(with(
        "windowFrom: exposur\nonFailure: retry\ndataOnRollback: stateles\ncutoverSteps:\n  - id: a\n    uses: command\n    effect: idempotant\n    \
         undo: nothing\n    probe: natve\n  - approval: go\n    relayed: yes\n  - aproval: go\n"
    )));
}

#[test]
fn contradictions_are_found() {
    insta::assert_snapshot!(shown(with(
        "cutoverSteps:\n  - id: a\n    uses: command\n    irreversible: true\n    undo: {uses: command}\nrollbackCriteria:\n  - id: c\n    uses: http.probe\n    \
         trip: result.bad\n    consecutive: 3\n    sustainedFor: 5m\n    every: 1m\n    maxAge: 30s\n  - id: d\n    ratio: {fail: 5, of: 3}\n"
    )));
}

#[test]
fn times_need_a_zone_and_must_exist() {
    insta::assert_snapshot!(shown(with(
        "change: {id: 4711, window: 2026-11-28T22:00/04:00, zone: Europe/Pariss}\nstartBy: tomorrow\ncutoverSteps: [a]\n"
    )));
    insta::assert_snapshot!(shown(with(
        "change: {window: 2026-03-29T02:30/04:00, zone: Europe/Paris}\nstartBy: 2026-11-28T23:00\ncutoverSteps: [a]\n"
    )));
    insta::assert_snapshot!(shown(with(
        "change: {window: 2026-10-25T01:30/02:30, zone: Europe/Paris}\ncutoverSteps: [a]\n"
    )));
}

#[test]
fn names_locks_and_quantities_are_checked() {
    insta::assert_snapshot!(shown(with(
        "locks: [analytics, {name: 'host:esx-07', take: 800 GiB}, {take: 1}]\ncutoverSteps:\n  - smoke test\n  - a/b\n  - id: -x\n  - approval: go now\n"
    )));
}

#[test]
fn documents_of_another_kind_are_told_apart() {
    insta::assert_snapshot!(shown("kind: Catalog\nsteps: {}\n"));
    insta::assert_snapshot!(shown("kind: Runbok\n"));
    insta::assert_snapshot!(shown("- a\n- b\n"));
}

#[test]
fn broken_syntax_is_explained() {
    for text in [
        "application: billing\n\trollbackWindow: 3m\n",
        "application: \"billing\n",
        "application: billing\n  wave: 2\n",
        "a: b: c\n",
        "a: [1, 2\nb: 3\n",
        "a: }\n",
        "a: @b\n",
        "a: *b\n",
        "- a\nb: c\n",
        "just text\nmore\nkey: x\n",
        "a: \"\\q\"\n",
        "%YAML 1.2\n---\na: b\n",
        "a: 1\n---\nb: 2\n",
        "a: !custom b\n",
        "application: a\nrollbackWindow: 1m\ncutoverSteps: [a]\ncontacts:\n  base: &b {x: 1}\n  copy:\n    <<: *b\n",
        "a: &a [*a]\n",
        "? [x]\n: y\n",
    ] {
        insta::assert_snapshot!(shown(text));
    }
}

#[test]
fn empty_files_and_empty_documents_say_so() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "null\n"] {
        insta::assert_snapshot!(shown(text));
    }
}

#[test]
fn numbers_that_lose_digits_are_warned_of() {
    insta::assert_snapshot!(shown(with(
        "inputs: { version: 1.10, exact: 0.5, count: 7, phone: 0049123, id: 123456789012345678901234567890, tiny: 1e-3 }\ncutoverSteps: [a]\n"
    )));
}

#[test]
fn a_default_answer_is_a_whole_answer_with_a_time() {
    insta::assert_snapshot!(shown(with(
        "cutoverSteps:\n  - manual: recable the tape robot\n    answer: { slot: integer, seen: string }\n    \
         default: { slto: 7, seen: 3 }\n  - manual: look at it\n    timeout: 10m\n    default: {}\n"
    )));
}
