//! `repair`, `audit` and `report` through the real program: journals that somebody damaged.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli_run::{Place, Seen, step};

const EXPOSES: &str = ", effect: idempotent, exposes: true";

/// A runbook that goes back: its run is over.
fn fails() -> String {
    let breaks = "  - { id: breaks, uses: command, with: { argv: [sh, -c, 'exit 7'] }, effect: once, undo: none, reason: test }\n";
    format!("rollbackWindow: 5s\ncutoverSteps:\n{breaks}{}", step("switch", None, EXPOSES))
}

/// A runbook that waits for a person: its run stays open when its engine dies.
fn waits() -> String {
    let first = step("first", None, ", effect: idempotent");
    format!(
        "rollbackWindow: 5s\ncutoverSteps:\n{first}  - approval: go_no_go\n    roles: [owner]\n{}",
        step("switch", None, EXPOSES)
    )
}

/// `done/1` is over, `victim/1` and `witness/1` are open, then `late/1` comes.
fn four_runs() -> Place {
    let place = Place::new();
    let book = place.runbook("done", &fails());
    place.call(&["run", &book]).exits(3);
    for name in ["victim", "witness", "late"] {
        let book = place.runbook(name, &waits());
        let mut run = place.start(&["run", &book]);
        run.until("go_no_go: waits for an approval");
        run.kill();
    }
    // Something of the witness stands behind everything else.
    place.call(&["note", "witness/1", "still here"]).exits(0);
    place
}

/// All segments, oldest first.
fn segments(place: &Place) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.state().join("journal")).expect("the journal is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn read(path: &PathBuf) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}

/// The whole journal, to be put back later.
fn copy(place: &Place) -> Vec<(PathBuf, Vec<u8>)> {
    segments(place).into_iter().map(|path| (path.clone(), read(&path))).collect()
}

fn put_back(place: &Place, journal: &[(PathBuf, Vec<u8>)]) {
    for path in segments(place) {
        std::fs::remove_file(path).expect("the file can be removed");
    }
    for (path, bytes) in journal {
        std::fs::write(path, bytes).expect("the file can be written");
    }
}

/// Flips a bit inside the events of the newest transition of a run.
fn damage(place: &Place, run: &str) {
    let line = format!("{{\"run\":\"{run}\",");
    for path in segments(place).iter().rev() {
        let mut bytes = read(path);
        let Some(at) = bytes.windows(line.len()).rposition(|window| window == line.as_bytes()) else { continue };
        let events = bytes[at..].windows(9).position(|window| window == b"\"events\":").expect("it has events");
        bytes[at + events + 14] ^= 1;
        return std::fs::write(path, bytes).expect("the file can be written");
    }
    panic!("run {run} is not in the journal");
}

fn json(seen: &Seen) -> Value {
    serde_json::from_str(&seen.out).expect("the answer is JSON")
}

/// `run:version:hash`, as `audit verify` lists it.
fn head_of(place: &Place, run: &str) -> String {
    let heads = json(&place.call(&["audit", "verify", "--json"]).exits(0));
    let heads = heads["heads"].as_array().expect("a list");
    let head = heads.iter().find(|head| head["run"] == run).expect("the run is there");
    format!("{run}:{}:{}", head["version"], head["hash"].as_str().expect("a hash"))
}

#[test]
fn a_sound_journal_needs_no_decision() {
    let place = four_runs();
    let seen = place.call(&["repair"]).exits(0);
    assert!(seen.out.contains("nothing is damaged, and no run stops"), "{}", seen.out);
    let seen = place.call(&["audit", "verify"]).exits(0);
    assert!(seen.out.contains("nothing was changed or put in"), "{}", seen.out);
    assert!(seen.out.contains("  done/1:"), "heads to be kept elsewhere are shown:\n{}", seen.out);
    place.call(&["audit", "verify", "--head", &head_of(&place, "late/1")]).exits(0);
}

#[test]
fn repair_says_what_stops_what_does_not_and_what_each_way_out_loses() {
    let place = four_runs();
    damage(&place, "victim/1");
    let seen = place.call(&["repair"]).exits(5);
    for text in [
        "DAMAGED",
        "changed after they were durable",
        "STOPPED",
        "victim/1",
        "it was open when the damage begins, and nothing intact of it follows",
        "--believe 0",
        "all of the run",
        "done/1: it was over before the damage begins",
        "late/1: it was created after the damage",
        "witness/1: a later transition of it is intact",
    ] {
        assert!(seen.out.contains(text), "`{text}` is missing in:\n{}", seen.out);
    }
    let found = json(&place.call(&["repair", "--json"]).exits(5));
    assert_eq!(found["sound"], false);
    let stopped = &found["stopped"][0];
    assert_eq!((stopped["run"].as_str(), found["stopped"].as_array().map(Vec::len)), (Some("victim/1"), Some(1)));
    assert!(stopped["then"].as_str().is_some_and(|then| then.contains("cutting over")), "{stopped}");
    assert_eq!(found["untouched"].as_array().map(Vec::len), Some(3));
    // The others go on; the stopped one says why it does not.
    place.call(&["approve", "witness/1", "go_no_go", "--role", "owner", "--yes"]).exits(0);
    let refused = place.call(&["status", "victim/1"]).exits(1);
    assert!(refused.err.contains("bascule repair"), "{}", refused.err);
}

#[test]
fn what_a_stopped_run_holds_is_not_taken_by_another() {
    let place = four_runs();
    damage(&place, "victim/1");
    let second = place.call(&["run", &place.runbook("victim", &waits())]).exits(4);
    assert!(second.out.contains("victim/1"), "it says who holds the lock: {}", second.out);
    assert!(!second.out.contains("first: started"), "nothing was repeated: {}", second.out);
}

#[test]
fn a_decision_is_asked_for_recorded_and_changes_no_line() {
    let place = four_runs();
    damage(&place, "victim/1");
    let intact = json(&place.call(&["repair", "--json"]).exits(5))["stopped"][0]["intact"].as_u64().expect("a version");
    let before = copy(&place);
    let version = intact.to_string();
    let believe = ["repair", "--run", "victim/1", "--believe", &version];
    let unasked = place.call(&[&believe[..], &["--reason", "compared"]].concat()).exits(2);
    assert!(unasked.err.contains("--yes"), "{}", unasked.err);
    let silent = place.call(&[&believe[..], &["--yes"]].concat()).exits(2);
    assert!(silent.err.contains("--reason"), "{}", silent.err);
    let beyond = (intact + 1).to_string();
    let beyond =
        place.call(&["repair", "--run", "victim/1", "--believe", &beyond, "--reason", "hope", "--yes"]).exits(1);
    assert!(beyond.err.contains("the last intact one is"), "{}", beyond.err);
    let sound = place.call(&["repair", "--run", "late/1", "--believe", "1", "--reason", "no", "--yes"]).exits(1);
    assert!(sound.err.contains("does not stop"), "{}", sound.err);
    assert_eq!(copy(&place), before, "nothing was decided, nothing was written");

    let told = [&believe[..], &["--reason", "compared with the report", "--as", "marta", "--yes"]].concat();
    let seen = place.call(&told).exits(0);
    assert!(seen.err.contains("lost: what stood in the damaged bytes"), "{}", seen.err);
    assert!(seen.out.contains(&format!("run victim/1 is believed up to version {version}")), "{}", seen.out);
    for (path, bytes) in &before {
        let after = read(path);
        // The line that closes the journal makes room for what is appended.
        let told = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().filter(|line| line.starts_with("{\"run\":")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(told(&after).starts_with(&told(bytes)), "a line of {} changed", path.display());
    }
    let after = place.call(&["repair"]).exits(0);
    assert!(after.out.contains("compared with the report (decided by marta"), "{}", after.out);
    assert_eq!(place.status("victim/1")["state"], "cutting_over");
    // The damage stays a finding for an auditor, and the decision a note.
    let verified = place.call(&["audit", "verify"]).exits(1);
    assert!(verified.out.contains("changed after they were durable"), "{}", verified.out);
    assert!(verified.out.contains("a repair in segment"), "{}", verified.out);
}

#[test]
fn a_forgotten_run_is_gone_and_the_others_stay() {
    let place = four_runs();
    damage(&place, "victim/1");
    let seen = place.call(&["repair", "--run", "victim/1", "--believe", "0", "--reason", "a test", "--yes", "--json"]);
    let answer = json(&seen.exits(0));
    assert_eq!(answer["believed"][0]["version"], 0);
    assert!(place.call(&["status", "victim/1"]).exits(1).err.contains("there is no run victim/1"));
    assert_eq!(place.status("witness/1")["state"], "cutting_over");
}

#[test]
fn nothing_is_repaired_beside_an_engine() {
    let place = four_runs();
    damage(&place, "victim/1");
    let book =
        place.runbook("busy", &format!("rollbackWindow: 1s\ncutoverSteps:\n{}", step("switch", Some("gate"), EXPOSES)));
    let mut run = place.start(&["run", &book]);
    run.until("switch: started");
    place.call(&["repair"]).exits(5);
    let refused = place.call(&["repair", "--run", "victim/1", "--believe", "1", "--reason", "x", "--yes"]).exits(1);
    assert!(refused.err.contains("in use by process"), "{}", refused.err);
    let so_far = place.call(&["report", "busy/1"]).exits(0);
    assert!(so_far.out.contains("so far, the run is not over"), "an open run is reported as far as it is");
    place.open("gate");
    run.end();
}

#[test]
fn a_cut_and_a_rewrite_show_against_a_head_that_was_kept_elsewhere() {
    let place = four_runs();
    let older = copy(&place);
    place.call(&["note", "late/1", "written before the cut"]).exits(0);
    let head = head_of(&place, "late/1");
    let newer = copy(&place);
    put_back(&place, &older);
    // The journal alone looks sound; the head knows better.
    place.call(&["audit", "verify"]).exits(0);
    let cut = place.call(&["audit", "verify", "--head", &head]).exits(1);
    assert!(cut.out.contains("run late/1 was cut"), "{}", cut.out);
    put_back(&place, &newer);
    let found = place.call(&["audit", "verify", "--head", &head, "--json"]).exits(0);
    assert_eq!(json(&found)["confirmed"], 1);
    let (rest, hash) = head.rsplit_once(':').expect("a head");
    let other = format!(
        "{rest}:{}",
        if hash.starts_with('0') { hash.replacen('0', "1", 1) } else { format!("0{}", &hash[1..]) }
    );
    let rewritten = place.call(&["audit", "verify", "--head", &other]).exits(1);
    assert!(rewritten.out.contains("run late/1 was rewritten"), "{}", rewritten.out);
    let wrong = place.call(&["audit", "verify", "--head", "late/1:7"]).exits(2);
    assert!(wrong.err.contains("RUN:VERSION:HASH"), "{}", wrong.err);
}

#[test]
fn an_export_is_verified_without_this_machine() {
    let place = four_runs();
    let seen = place.call(&["audit", "export", "late", "-o", "late.ndjson"]).exits(0);
    let head = head_of(&place, "late/1");
    assert!(seen.err.contains(&head), "the head is told: {}", seen.err);
    let file = place.path().join("late.ndjson");
    let good = std::fs::read_to_string(&file).expect("the export is there");
    assert_eq!(place.call(&["audit", "export", "late/1"]).exits(0).out, good, "standard output holds the same");
    let elsewhere = Place::new();
    let verify = |text: &str| {
        std::fs::write(elsewhere.path().join("copy.ndjson"), text).expect("the folder can be written");
        elsewhere.call(&["audit", "verify", "copy.ndjson", "--head", &head])
    };
    verify(&good).exits(0);
    let changed = good.replacen("late/1", "lame/1", 3);
    assert!(verify(&changed).exits(1).out.contains("WRONG"));
    let without_last = good.lines().take(good.lines().count() - 1).map(|line| format!("{line}\n")).collect::<String>();
    let cut = verify(&without_last).exits(1);
    assert!(cut.out.contains("it was cut"), "{}", cut.out);
    let without_second = good.lines().enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| format!("{line}\n"));
    assert!(verify(&without_second.collect::<String>()).exits(1).out.contains("does not follow"));
    let none = elsewhere.call(&["audit", "verify", "missing.ndjson"]).exits(1);
    assert!(none.err.contains("missing.ndjson"), "{}", none.err);
}

#[test]
fn plans_and_logs_of_attempts_are_part_of_what_is_verified() {
    let place = four_runs();
    let plan = json(&place.call(&["status", "done/1", "--json"]).exits(0))["plan"].as_str().expect("a hash").to_owned();
    let path = place.state().join("blobs").join(&plan);
    let good = read(&path);
    std::fs::write(&path, [&good[..], b" "].concat()).expect("the file can be written");
    let seen = place.call(&["audit", "verify"]).exits(1);
    assert!(seen.out.contains("does not hold what its name says"), "{}", seen.out);
    std::fs::write(&path, good).expect("the file can be written");
    place.call(&["audit", "verify"]).exits(0);
}

#[test]
fn a_report_stands_on_the_head_that_it_names() {
    let place = four_runs();
    place.call(&["report", "done", "-o", "done.html"]).exits(0);
    let html = std::fs::read_to_string(place.path().join("done.html")).expect("the report is there");
    assert!(html.contains("<p class=\"word\">Rolled back</p>"), "the outcome stands on top");
    let head = head_of(&place, "done/1");
    assert!(
        html.contains(&format!("bascule audit verify --head {}", head.replace('/', "&#x2f;"))),
        "{head} is on the page"
    );
    place.call(&["audit", "verify", "--head", &head]).exits(0);
    let data = json(&place.call(&["report", "done/1", "--json"]).exits(0));
    assert_eq!((data["outcome"]["kind"].as_str(), data["isOver"].as_bool()), (Some("back"), Some(true)));
    assert!(data["deviations"].as_array().is_some_and(|all| all.iter().any(|one| one["kind"] == "rollback")));
    let none = place.call(&["report", "nothing/1"]).exits(1);
    assert!(none.err.contains("there is no run nothing/1"), "{}", none.err);
}

#[test]
fn a_damaged_run_is_reported_as_far_as_it_can_be_believed() {
    let place = four_runs();
    damage(&place, "victim/1");
    let data = json(&place.call(&["report", "victim/1", "--json"]).exits(0));
    let damaged = data["facts"].as_array().expect("facts").iter().find(|fact| fact["name"] == "Damaged log");
    assert!(damaged.is_some_and(|fact| fact["value"].as_str().is_some_and(|text| text.contains("stopped"))));
}

#[test]
fn pruning_removes_nothing_that_may_still_be_needed() {
    let place = four_runs();
    let seen = place.call(&["repair", "--prune", "--older-than", "1s"]).exits(0);
    assert!(seen.out.contains("nothing was removed"), "{}", seen.out);
    let alone = place.call(&["repair", "--prune"]).exits(2);
    assert!(alone.err.contains("--older-than"), "{}", alone.err);
}
