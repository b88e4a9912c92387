//! Writes golden journals with the real program. Runs only when it is asked for.

use std::path::Path;

use crate::cli_run::{Place, step};

const SAFE: &str = ", effect: idempotent";
const DOWN: &str = ", effect: idempotent, takesSourceDown: true";
const EXPOSES: &str = ", effect: idempotent, exposes: true";

/// A criterion that is bad while a file is there.
const CRITERION: &str = "rollbackCriteria:\n  - { id: health, uses: command, every: 200ms, warmUp: 0s, trip: result.bad, consecutive: 2, \
     with: { argv: [sh, -c, 'if [ -e bad ]; then b=true; else b=false; fi; echo \"{\\\"bad\\\": $b}\" > $BASCULE_OUTPUTS'] } }\n";

/// A step whose undo fails until a file is there.
const OBSTINATE: &str = "  - { id: second, uses: command, effect: idempotent, movesData: true, with: { argv: [sh, -c, 'echo second >> ledger'] }, \
     undo: { uses: command, with: { argv: [sh, -c, '[ -e mended ]'] }, retry: { attempts: 2, backoff: 50ms } } }\n";

/// A step by hand that a person takes back.
const BY_HAND: &str = "  - { manual: put the tape into slot 7, id: tape, answer: { slot: integer }, undo: { byHand: take the tape out } }\n";

fn book(window: &str, middle: &str, more: &str) -> String {
    let (first, switch) = (step("first", None, DOWN), step("switch", None, EXPOSES));
    let looks = "preChecks:\n  - { id: look, uses: noop, effect: none }\npostChecks:\n  - { id: fine, uses: noop, effect: none, every: 1s }\n";
    let fence = "rollbackFence:\n  - { id: stop_writes, uses: noop, effect: idempotent }\nrollbackChecks:\n  - { id: serves, uses: noop, effect: none }\n";
    format!("rollbackWindow: {window}\n{looks}{fence}{more}cutoverSteps:\n{first}{middle}{switch}")
}

fn accepted(place: &Place) {
    let book = place.runbook("shop", &book("1s", &step("second", None, SAFE), CRITERION));
    place.call(&["run", &book, "--reason", "CHG0042"]).exits(0);
}

fn rolled_back_by_itself(place: &Place) {
    let book = place.runbook("shop", &book("60s", &step("second", None, SAFE), CRITERION));
    place.open("bad");
    place.call(&["run", &book]).exits(3);
}

fn resumed_after_a_kill(place: &Place) {
    let book = place.runbook("shop", &book("1s", &step("second", Some("gate"), SAFE), ""));
    let mut run = place.start(&["run", &book]);
    run.until("second: started");
    place.until_written("second");
    run.kill();
    place.open("gate");
    place.call(&["resume"]).exits(0);
}

fn deciding(place: &Place) {
    let book = place.runbook("shop", &book("1s", &step("second", Some("gate"), ", effect: once"), ""));
    let mut run = place.start(&["run", &book]);
    run.until("second: started");
    place.until_written("second");
    run.kill();
    place.call(&["resume"]).exits(5);
}

fn stuck_then_undone(place: &Place) {
    let book = place.runbook("shop", &book("60s", OBSTINATE, CRITERION));
    place.open("bad");
    place.call(&["run", &book]).exits(5);
    place.open("mended");
    place.call(&["undo", "retry", "shop", "second", "--reason", "the disk was full"]).exits(0);
    place.call(&["resume"]).exits(3);
}

fn closed_with_residue(place: &Place) {
    let book = place.runbook("shop", &book("60s", OBSTINATE, CRITERION));
    place.open("bad");
    place.call(&["run", &book]).exits(5);
    place.call(&["close", "shop", "--application", "shop", "--reason", "the source is rebuilt by hand"]).exits(0);
}

fn taken_back_by_hand(place: &Place) {
    let book = place.runbook("shop", &book("60s", BY_HAND, CRITERION));
    place.open("bad");
    let mut run = place.start(&["run", &book]);
    run.until("waits for work by hand");
    place.call(&["resolve", "shop", "tape", "--happened", "--output", "slot=7"]).exits(0);
    run.until("takes it back by hand");
    place.call(&["undo", "done", "shop", "tape", "--reason", "it is on the shelf"]).exits(0);
    run.end().exits(3);
}

fn prepared_then_by_hand(place: &Place) {
    let (first, switch) = (step("first", None, DOWN), step("switch", None, EXPOSES));
    let tape = "  - { manual: put the tape into the robot, id: tape, roles: [storage], answer: { slot: integer }, undo: none, \
                reason: it stays, verify: { uses: noop } }\n";
    let prepare = "prepareSteps:\n  - { id: seed, uses: noop, effect: idempotent, undo: none, reason: it stays }\n";
    let rest = format!("rollbackWindow: 1s\nlocks: [vm:shop]\n{prepare}cutoverSteps:\n{first}{tape}{switch}");
    let book = place.runbook("shop", &rest);
    place.call(&["run", &book]).exits(5);
    let mut go = place.start(&["go", "shop"]);
    go.until("waits for work by hand");
    place.call(&["resolve", "shop", "tape", "--happened", "--output", "slot=7", "--role", "storage"]).exits(0);
    go.end().exits(0);
}

/// A step that fails for its value until that is amended, in a plan with an approval.
fn amended(place: &Place) {
    let (first, switch) = (step("first", None, DOWN), step("switch", None, EXPOSES));
    let attach = "  - { id: attach, uses: command, effect: idempotent, retry: { attempts: 1 }, \
                  with: { argv: [sh, -c, '[ $NET = pg-42 ]'], env: { NET: pg-41 } }, undo: none, reason: it stays }\n";
    let yes = "  - { approval: go_no_go, roles: [owner] }\n";
    let rest = format!("rollbackWindow: 1s\nonFailure: ask\ncutoverSteps:\n{first}{attach}{yes}{switch}");
    let book = place.runbook("shop", &rest);
    place.call(&["run", &book, "--trust-claimed-names", "--as", "olga"]).exits(5);
    let set =
        ["amend", "shop", "attach", "--set", "with.env.NET=pg-42", "--set", "timeout=3m", "--reason", "typed wrong"];
    place.call(&[&set[..], &["--as", "pia"]].concat()).exits(0);
    place.call(&["approve", "shop", "attach", "--as", "jonas", "--reason", "seen"]).exits(0);
    place.call(&["retry", "shop", "attach"]).exits(0);
    let mut resumed = place.start(&["resume", "shop"]);
    resumed.until("go_no_go: waits for an approval");
    place.call(&["approve", "shop", "go_no_go", "--role", "owner"]).exits(0);
    resumed.end().exits(0);
}

/// A time that is named, taken back, and named again.
fn gone_by_itself(place: &Place) {
    let prepare = "prepareSteps:\n  - { id: seed, uses: noop, effect: idempotent, undo: none, reason: it stays }\n";
    let rest = format!("rollbackWindow: 1s\n{prepare}cutoverSteps:\n{}", step("switch", None, EXPOSES));
    let book = place.runbook("shop", &rest);
    let mut run = place.start(&["run", &book, "--go-at", &crate::cli_run::in_seconds(3600)]);
    run.until("prepared: ");
    run.kill();
    place.call(&["go", "shop", "--not-by-itself"]).exits(0);
    place.call(&["go", "shop", "--at", &crate::cli_run::in_seconds(4)]).exits(0);
}

type Golden = (&'static str, fn(&Place));

const GOLDEN: [Golden; 10] = [
    ("accepted", accepted),
    ("rolled-back-by-itself", rolled_back_by_itself),
    ("resumed-after-a-kill", resumed_after_a_kill),
    ("deciding", deciding),
    ("stuck-then-undone", stuck_then_undone),
    ("closed-with-residue", closed_with_residue),
    ("taken-back-by-hand", taken_back_by_hand),
    ("prepared-then-by-hand", prepared_then_by_hand),
    ("amended", amended),
    ("gone-by-itself", gone_by_itself),
];

#[tokio::test]
#[ignore = "writes golden journals of the present format to $BASCULE_GOLDEN"]
async fn golden_journals_are_written() {
    let into = std::env::var_os("BASCULE_GOLDEN").expect("BASCULE_GOLDEN names a folder");
    for (name, happens) in GOLDEN {
        let (place, folder) = (Place::new(), Path::new(&into).join(name));
        if folder.exists() {
            // What a former release wrote is never changed.
            continue;
        }
        happens(&place);
        std::fs::create_dir_all(&folder).expect("the folder can be written");
        for segment in super::segments(&place.state().join("journal")) {
            let name = segment.file_name().expect("a segment has a name");
            std::fs::copy(&segment, folder.join(name)).expect("a copy");
        }
        let text = super::text(&super::segments(&folder)[0]);
        let hash = text.split("\"plan\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it names its plan");
        std::fs::copy(place.state().join("blobs").join(hash), folder.join("plan.json")).expect("a copy");
        let (run, head) = super::read(super::copied(&folder).path(), &folder.join("plan.json")).await;
        std::fs::write(folder.join("end.txt"), super::end(&run, &head)).expect("the folder can be written");
    }
}
