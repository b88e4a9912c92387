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
