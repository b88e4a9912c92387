//! Other values in the middle of a night, through the real program.

use super::{EXPOSES, Place, SAFE, step};

/// A step that fails unless it is given the right network, and is tried again much later.
const ATTACH: &str = "  - { id: attach, uses: command, effect: idempotent, retry: { attempts: 3, backoff: 1h, maxBackoff: 1h }, \
     with: { argv: [sh, -c, 'echo $NET >> ledger; [ $NET = pg-42 ]'], env: { NET: pg-41 } }, \
     undo: { uses: command, with: { argv: [sh, -c, 'echo undo attach >> ledger'] } } }\n";

fn book(approval: &str) -> String {
    format!(
        "rollbackWindow: 1s\ncutoverSteps:\n{}{ATTACH}{approval}{}",
        step("first", None, SAFE),
        step("switch", None, EXPOSES)
    )
}

const RIGHT: [&str; 7] =
    ["amend", "shop/1", "attach", "--set", "with.env.NET=pg-42", "--reason", "wrong in the ticket"];

fn plan(place: &Place) -> String {
    place.status("shop/1")["plan"].as_str().expect("a view names its plan").to_owned()
}

#[test]
fn a_step_that_failed_because_of_a_wrong_value_is_amended_and_the_run_ends_accepted() {
    let place = Place::new();
    let mut run = place.start(&["run", &place.runbook("shop", &book(""))]);
    run.until("attach: will be tried again");
    let before = plan(&place);
    let seen = place.call(&RIGHT).exits(0);
    for said in
        ["with.env.NET: \"pg-41\" → \"pg-42\"", "revision 1", "wrong in the ticket", before.get(..12).expect("a hash")]
    {
        assert!(seen.out.contains(said), "`{said}` is missing in:\n{}", seen.out);
    }
    let after = plan(&place);
    assert_ne!(after, before);
    let stored = std::fs::read(place.state().join("blobs").join(&after)).expect("the new plan is stored");
    assert!(String::from_utf8_lossy(&stored).contains("pg-42"));
    place.call(&["retry", "shop/1", "attach"]).exits(0);
    run.end().exits(0);
    assert_eq!(place.ledger(), ["first", "pg-41", "pg-42", "switch"]);
    let status = place.call(&["status", "shop/1"]).exits(0);
    assert!(status.out.contains("(revision 1)"), "{}", status.out);
    place.call(&["audit", "verify"]).exits(0);
    let report = place.call(&["report", "shop/1", "-o", "-"]).exits(0);
    for said in ["was changed: with.env.NET", "wrong in the ticket", &after, &before] {
        assert!(report.out.contains(said), "`{said}` is missing in the report");
    }
    place.call(&["graph", "shop/1", "--format", "dot"]).exits(0);
}

#[test]
fn an_engine_that_is_killed_right_after_an_amendment_goes_on_with_it() {
    let place = Place::new();
    let mut run = place.start(&["run", &place.runbook("shop", &book(""))]);
    run.until("attach: will be tried again");
    place.call(&RIGHT).exits(0);
    let amended = plan(&place);
    run.kill();
    assert_eq!(plan(&place), amended, "read from the files");
    place.call(&["retry", "shop/1", "attach"]).exits(0);
    place.call(&["resume", "shop/1"]).exits(0);
    assert_eq!(place.ledger(), ["first", "pg-41", "pg-42", "switch"]);
}

#[test]
fn an_amendment_without_an_engine_is_taken_by_the_next_one() {
    let place = Place::new();
    let mut run = place.start(&["run", &place.runbook("shop", &book(""))]);
    run.until("attach: will be tried again");
    run.kill();
    let seen = place.call(&RIGHT).exits(0);
    assert!(seen.err.contains("no engine is running"), "{}", seen.err);
    assert!(place.state().join("blobs").join(plan(&place)).exists(), "stored before the event");
    place.call(&["retry", "shop/1", "attach"]).exits(0);
    place.call(&["resume", "shop/1"]).exits(0);
    assert_eq!(place.ledger(), ["first", "pg-41", "pg-42", "switch"]);
}

#[test]
fn what_cannot_be_amended_is_refused_with_what_can() {
    let place = Place::new();
    let mut run = place.start(&["run", &place.runbook("shop", &book(""))]);
    run.until("attach: will be tried again");
    let refused = |args: &[&str], code: i32| {
        let all = [&["amend", "shop/1"], args, &["--reason", "x"]].concat();
        place.call(&all).exits(code).err
    };
    for (args, code, said) in [
        (&["attach", "--set", "timeot=3m"][..], 9, "did you mean `timeout`?"),
        (&["attach", "--set", "timeout=90"], 1, "has no unit"),
        (&["attach", "--set", "needs=[]"], 9, "cannot be changed while the plan is executed"),
        (&["attach", "--set", "with.argw=[true]"], 1, "did you mean `argv`?"),
        (&["attach", "--set", "with.argv=7"], 1, "must be a list or nothing, and is a number"),
        (&["attach", "--set", "with.env.NET=${{ inputs.x }}"], 1, "the plan has no input `x`"),
        (&["atach", "--set", "timeout=3m"], 1, "did you mean `attach`?"),
        (&["first", "--set", "timeout=3m"], 1, "`first` is done"),
        (&["attach", "--set", "timeout=3m", "--set", "timeout=4m"], 9, "is set twice"),
    ] {
        let err = refused(args, code);
        assert!(err.contains(said), "{args:?}: `{said}` is missing in:\n{err}");
    }
    let silent = place.call(&["amend", "shop/1", "attach", "--set", "timeout=3m"]).exits(2);
    assert!(silent.err.contains("this needs a reason"), "{}", silent.err);
    let undo = place.call(&["amend", "shop/1", "first", "--undo", "--set", "timeout=3m", "--reason", "slow"]).exits(0);
    assert!(undo.out.contains("undo.timeout: \"10m\" → \"3m\""), "{}", undo.out);
    run.kill();
}

#[test]
fn where_the_plan_has_approvals_somebody_else_must_agree() {
    let place = Place::new();
    let approval = "  - { approval: go_no_go, roles: [owner] }\n";
    let book = place.runbook("shop", &book(approval));
    let mut run = place.start(&["run", &book, "--trust-claimed-names", "--as", "olga"]);
    run.until("attach: will be tried again");
    let before = plan(&place);
    let proposed = place.call(&[&RIGHT[..], &["--as", "pia"]].concat()).exits(0);
    assert!(proposed.out.contains("question 1: other values for `attach`"), "{}", proposed.out);
    assert!(proposed.err.contains("this is a proposal"), "{}", proposed.err);
    run.end().exits(5);
    assert_eq!(plan(&place), before, "a proposal changes nothing");
    let asked = place.call(&["status", "shop/1"]).exits(0).out;
    for said in [
        "other values are proposed for `attach`",
        "\"pg-41\" → \"pg-42\"",
        "bascule approve shop/1 attach",
        "bascule reject shop/1 attach",
    ] {
        assert!(asked.contains(said), "`{said}` is missing in:\n{asked}");
    }
    let alone = place.call(&["approve", "shop/1", "attach", "--as", "pia"]).exits(1);
    assert!(alone.err.contains("`pia` proposed it"), "{}", alone.err);
    let agreed = place.call(&["approve", "shop/1", "attach", "--as", "jonas"]).exits(0);
    assert!(agreed.out.contains("proposed by pia"), "{}", agreed.out);
    place.call(&["retry", "shop/1", "attach"]).exits(0);
    let mut run = place.start(&["resume", "shop/1"]);
    run.until("go_no_go: waits for an approval");
    place.call(&["approve", "shop/1", "go_no_go", "--role", "owner", "--as", "jonas"]).exits(0);
    run.end().exits(0);
    assert_eq!(place.ledger(), ["first", "pg-41", "pg-42", "switch"]);
}

#[test]
fn of_two_who_amend_at_once_one_wins_and_the_other_is_told() {
    let place = Place::new();
    let mut run = place.start(&["run", &place.runbook("shop", &book(""))]);
    run.until("attach: will be tried again");
    let others: Vec<_> = ["pg-42", "pg-43"]
        .map(|network| {
            let set = format!("with.env.NET={network}");
            place.start(&["amend", "shop/1", "attach", "--set", &set, "--reason", "x"])
        })
        .into_iter()
        .map(super::Started::end)
        .collect();
    let revision = place.status("shop/1")["revision"].as_u64();
    let won = others.iter().filter(|seen| seen.code == Some(0)).count();
    assert!(others.iter().all(|seen| seen.code == Some(0) || seen.err.contains("amended meanwhile")), "{others:?}");
    // The second may have looked after the first had written: then both were told what they changed.
    assert_eq!(revision, Some(won as u64));
    run.kill();
}
