//! A disk that is really full, a socket that somebody removed, a directory that somebody took away.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{EXPOSES, Place, Started, in_second, step, three};

/// A small ext4 file system, unmounted at the end. There a folder needs room, which on a tmpfs it does not.
struct Small {
    mount: PathBuf,
    _folder: tempfile::TempDir,
}

impl Small {
    /// `None` if this process may not mount, which must not pass unnoticed in CI.
    #[expect(clippy::print_stderr, reason = "a developer has to see that the test could not run")]
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, mount) = (folder.path().join("image"), folder.path().join("small"));
        std::fs::create_dir(&mount).expect("a folder");
        std::fs::File::create(&image).and_then(|file| file.set_len(24 << 20)).expect("an image");
        let run = |program: &str, args: &[&Path]| {
            let options: &[&str] = if program == "mount" { &["-o", "loop"] } else { &["-q", "-m", "0", "-N", "256"] };
            let done = Command::new(program).args(options).args(args).output();
            done.map_err(|error| error.to_string()).and_then(|done| {
                if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
            })
        };
        let mounted = run("mkfs.ext4", &[&image]).and_then(|()| run("mount", &[&image, &mount]));
        match mounted {
            Ok(()) => Some(Self { mount, _folder: folder }),
            Err(why) => {
                assert!(std::env::var_os("CI").is_none(), "CI has to be able to mount an ext4 image: {why}");
                eprintln!("skipped: this user may not mount an ext4 image ({})", why.trim());
                None
            }
        }
    }

    /// Takes all the room that there is.
    fn fill(&self, name: &str) {
        let mut file = std::fs::File::create(self.mount.join(name)).expect("a name needs no room");
        loop {
            let before = file.metadata().expect("it is there").len();
            while std::io::Write::write_all(&mut file, &[7; 1024]).is_ok() {}
            // Only what is on the disk takes its real room; what was set aside for it is free again then.
            file.sync_all().ok();
            if file.metadata().expect("it is there").len() == before {
                return;
            }
        }
    }
}

impl Small {
    /// Takes all the names that there are, so that no folder can be made.
    fn take_names(&self) {
        let more = |number: &u32| std::fs::File::create(self.mount.join(format!("name{number}"))).is_ok();
        assert!((0..10_000).take_while(more).count() < 10_000, "the file system has no end");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.mount).status().ok();
    }
}

/// A run whose second step waits at its gate, on a disk that is full by now.
fn filled_in_second(steps: &str) -> Option<(Small, Place, Started)> {
    let small = Small::mount()?;
    let state = small.mount.join("state");
    let place = Place::new().with("BASCULE_STATE", state.to_str().expect("a path of text"));
    let book = place.runbook("shop", steps);
    let run = place.start(&["run", &book]);
    place.until_written("second");
    small.fill("ballast");
    Some((small, place, run))
}

#[test]
fn on_a_full_disk_the_way_back_runs_and_a_killed_engine_is_followed_by_another() {
    let Some((small, place, run)) = filled_in_second(&three(Some("gate"), "1s")) else { return };
    let pid = run.pid();
    run.kill();
    // What the dead engine gave back is taken by others.
    small.fill("more");
    place.call(&["rollback", "--application", "shop", "--reason", "the disk"]).exits(0);
    let seen = place.call(&["resume"]).exits(3);
    assert!(!seen.err.contains("newer release"), "{}", seen.err);
    assert_eq!(place.ledger(), ["first", "second", "undo second", "undo first"]);
    let owner = std::fs::read_to_string(small.mount.join("state/owner.json")).expect("it is there");
    assert!(!owner.contains(&format!("\"pid\":{pid},")), "who owns it is written in place: {owner}");
}

#[test]
fn an_engine_starts_on_a_full_disk_in_the_middle_of_a_way_back() {
    // Its undo waits, so that the engine dies in the middle of it.
    let slow = three(Some("gate"), "1s")
        .replace("echo undo second >> ledger", "echo undo second >> ledger; until [ -e back ]; do sleep 0.02; done");
    let Some((small, place, run)) = filled_in_second(&slow) else { return };
    place.call(&["rollback", "--application", "shop", "--reason", "the disk"]).exits(0);
    place.until_written("undo second");
    run.kill();
    small.fill("more");
    place.open("back");
    let seen = place.call(&["resume"]).exits(3);
    assert!(!seen.err.contains("cannot start"), "{}", seen.err);
    assert!(seen.out.contains("taken over by the engine"), "{}\n{}", seen.out, seen.err);
}

#[test]
fn on_a_full_disk_a_step_that_cannot_have_its_folder_does_not_begin() {
    // Whoever gives a name back at the wrong moment lets it have its folder: that is no full disk, and tried again.
    for tries_left in (0..3).rev() {
        let Some((out, ledger)) = without_a_folder() else { return };
        if tries_left == 0 || out.contains("cannot use the attempt's folder") {
            assert!(out.contains("cannot use the attempt's folder"), "{out}");
            assert_eq!(ledger, ["first", "undo first"], "`switch` never began");
            return;
        }
    }
}

/// What a run says, and what it did, whose second step finds a disk without room for its folder.
fn without_a_folder() -> Option<(String, Vec<String>)> {
    let small = Small::mount()?;
    let state = small.mount.join("state");
    let place = Place::new().with("BASCULE_STATE", state.to_str().expect("a path of text"));
    let last = step("switch", None, ", effect: idempotent, exposes: true, retry: { attempts: 1 }");
    let first = step("first", Some("gate"), ", effect: idempotent, takesSourceDown: true");
    let book = place.runbook("shop", &format!("rollbackWindow: 1s\ncutoverSteps:\n{first}{last}"));
    let mut run = place.start(&["run", &book]);
    place.until_written("first");
    // A step that ends gives its folder back, so the disk fills up between two steps.
    place.call(&["pause", "--reason", "look at the disk"]).exits(0);
    place.open("gate");
    run.until("first: done");
    // The engine gives a name back now and then, which must not become a folder: all are taken until it has ended.
    let ended = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                small.take_names();
            }
        });
        small.take_names();
        place.call(&["resume", "shop/1"]);
        let seen = run.end();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        seen
    });
    Some((seen.out, place.ledger()))
}

/// A run that waits at a gate, its engine in this terminal.
fn waiting(place: &Place) -> Started {
    let run = in_second(place);
    place.until_written("second");
    run
}

#[test]
fn an_engine_whose_socket_was_removed_listens_again() {
    let place = Place::new();
    let run = waiting(&place);
    std::fs::remove_file(place.state().join("engine.sock")).expect("it is there");
    let since = std::time::Instant::now();
    while !place.state().join("engine.sock").exists() {
        assert!(since.elapsed().as_secs() < 30, "nobody listens again");
        std::thread::yield_now();
    }
    let seen = place.call(&["note", "shop/1", "first\n23:00:00  shop/1  accepted"]).exits(0);
    assert_eq!(seen.out.lines().count(), 1, "one note is one line:\n{}", seen.out);
    assert!(!seen.err.contains("no engine"), "{}", seen.err);
    place.open("gate");
    run.end().exits(0);
}

#[test]
fn an_engine_that_is_stopped_is_named_with_what_to_do() {
    let place = Place::new();
    let run = waiting(&place);
    let pid = run.pid();
    run.signal("STOP");
    std::fs::remove_file(place.state().join("engine.sock")).expect("it is there");
    let seen = place.call(&["note", "shop/1", "anybody?"]);
    run.signal("CONT");
    assert_ne!(seen.code, Some(0));
    assert!(seen.err.contains(&format!("kill -CONT {pid}")), "{}", seen.err);
    place.open("gate");
    run.end().exits(0);
}

#[test]
fn an_engine_whose_lock_was_removed_stops_acting_and_no_other_one_joins_it() {
    let place = Place::new();
    let run = waiting(&place);
    run.signal("STOP");
    std::fs::remove_file(place.state().join("lock")).expect("it is there");
    std::fs::remove_file(place.state().join("engine.sock")).expect("it is there");
    let refused = place.call(&["note", "shop/1", "is anybody there?"]);
    assert_ne!(refused.code, Some(0), "two processes would write one journal: {}", refused.out);
    run.signal("CONT");
    let seen = run.end().exits(6);
    assert!(seen.err.contains("LOST ITS STATE DIRECTORY"), "{}", seen.err);
    place.open("gate");
    place.call(&["resume"]).exits(0);
    assert_eq!(place.ledger(), ["first", "second", "second", "switch"]);
}

#[test]
fn an_engine_whose_directory_was_removed_executes_nothing_more() {
    let place = Place::new();
    let run = waiting(&place);
    std::fs::rename(place.state(), place.path().join("elsewhere")).expect("it can be moved");
    let seen = run.end().exits(6);
    assert!(seen.err.contains("LOST ITS STATE DIRECTORY"), "{}", seen.err);
    place.open("gate");
    assert_eq!(place.ledger(), ["first", "second"]);
}

#[test]
fn what_an_input_makes_of_a_parameter_is_checked_before_anything_is_touched() {
    let place = Place::new();
    let with = |with: &str| {
        let step =
            format!("  - {{ id: work, uses: command, with: {with}{EXPOSES}, undo: {{ uses: noop, estimate: 1s }} }}\n");
        place.runbook("shop", &format!("inputs: {{ n: 3 }}\nrollbackWindow: 1s\ncutoverSteps:\n{step}"))
    };
    let book = with("{ shell: '${{ inputs.n }}' }");
    let seen = place.call(&["lint", &book]).exits(9);
    assert!(seen.err.contains("`shell` must be text") || seen.out.contains("`shell` must be text"), "{seen:?}");
    place.call(&["run", &book]).exits(9);
    let book = with("{ argv: [sh, -c, 'echo $N $0 >> ledger', 5], env: { N: '${{ inputs.n }}' } }");
    place.call(&["run", &book]).exits(0);
    assert_eq!(place.ledger(), ["3 5"], "a process knows only text");
}

#[test]
fn a_tilde_that_no_shell_expanded_is_refused() {
    let place = Place::new().with("BASCULE_STATE", "~/state");
    let seen = place.call(&["status"]).exits(2);
    assert!(seen.err.contains("no shell has expanded"), "{}", seen.err);
    assert!(!place.path().join("~").exists());
}

#[test]
fn commands_that_are_offered_name_the_directory_that_the_command_line_names() {
    let place = Place::new();
    let rest = format!(
        "rollbackWindow: 1s\ncutoverSteps:\n  - approval: go_no_go\n    roles: [owner]\n{}",
        step("switch", None, EXPOSES)
    );
    let elsewhere = place.path().join("else where").display().to_string();
    let mut run = place.start(&["--state", &elsewhere, "run", &place.runbook("shop", &rest)]);
    run.until("go_no_go: waits for an approval");
    let seen = place.call(&["--state", "else where", "status"]).exits(0);
    let offered = format!("bascule --state '{elsewhere}' approve shop/1 go_no_go --role owner");
    assert!(seen.out.contains(&offered), "`{offered}` is missing in:\n{}", seen.out);
    let approved = std::process::Command::new("sh")
        .arg("-c")
        .arg(offered.replace("bascule", env!("CARGO_BIN_EXE_bascule")))
        .status();
    assert!(approved.expect("a shell").success(), "what is offered works");
    run.end().exits(0);
}

#[test]
fn what_a_full_disk_takes_from_a_log_is_told_and_counted() {
    let Some(small) = Small::mount() else { return };
    let state = small.mount.join("state");
    let place = Place::new().with("BASCULE_STATE", state.to_str().expect("a path of text"));
    let talks = "echo first >> ledger; until [ -e gate ]; do sleep 0.02; done; head -c 300000 /dev/zero | tr '\\\\0' x";
    let first = format!(
        "  - {{ id: first, uses: command, with: {{ argv: [sh, -c, \"{talks}\"] }}, undo: {{ uses: noop, estimate: 1s }}, \
         effect: idempotent }}\n"
    );
    let book =
        place.runbook("shop", &format!("rollbackWindow: 1s\ncutoverSteps:\n{first}{}", step("switch", None, EXPOSES)));
    let mut run = place.start(&["run", &book]);
    place.until_written("first");
    small.fill("ballast");
    place.open("gate");
    run.until("first: done");
    run.signal("KILL");
    let seen = run.end();
    assert!(seen.err.contains("the log of `first` cannot be written (No space left"), "{}", seen.err);
    let log = place.call(&["logs", "shop", "first"]).exits(0);
    assert!(log.err.contains("bytes are missing"), "{}", log.err);
    let data = place.call(&["logs", "shop", "first", "--json"]).exits(0);
    let data: serde_json::Value = serde_json::from_str(&data.out).expect("JSON");
    assert_eq!((data["step"].as_str(), data["attempt"].as_u64()), (Some("first"), Some(1)), "{data}");
    let (text, missing) = (data["text"].as_str().expect("a text"), data["missingBytes"].as_u64().expect("a number"));
    let kept = text.chars().filter(|c| *c == 'x').count() as u64;
    assert_eq!(kept + missing, 300_000, "what is not there is counted");
}

#[test]
fn on_a_nearly_full_disk_a_run_goes_on_or_says_why_it_does_not() {
    let Some(small) = Small::mount() else { return };
    let state = small.mount.join("state");
    let place = Place::new().with("BASCULE_STATE", state.to_str().expect("a path of text"));
    small.fill("ballast");
    // Enough for a journal, and not for all that it sets aside.
    let ballast = std::fs::File::options().write(true).open(small.mount.join("ballast")).expect("it is there");
    let full = ballast.metadata().expect("it is there").len();
    ballast.set_len(full - (400 << 10)).and_then(|()| ballast.sync_all()).expect("it can be made shorter");
    let book = place.runbook("shop", &three(None, "1s"));
    let mut run = place.start(&["run", &book]);
    run.until("cutting over");
    place.until_status("shop", |view| {
        view["cutoverDone"].as_u64() == Some(3) || view["complaints"].as_array().is_some_and(|all| !all.is_empty())
    });
    run.kill();
}
