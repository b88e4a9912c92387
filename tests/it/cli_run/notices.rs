//! People elsewhere are told of a run by a program and a webhook, whatever becomes of those.

mod hook;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{EXPOSES, Place, Started, in_second, step, three};
use hook::{Answer, Hook};

const PATIENCE: Duration = Duration::from_secs(60);

/// A program of the site, in the folder of the place.
fn program(place: &Place, name: &str, script: &str) -> String {
    let path = place.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("the folder can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    path.display().to_string()
}

/// One that writes down what it was told.
fn scribe(place: &Place) -> String {
    program(place, "tell", "cat >> told; echo >> told; env >> environment; echo \"$BASCULE_NOTICE_TITLE\" >> titles")
}

fn lines(place: &Place, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(place.path().join(file)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{what} never came");
        std::thread::yield_now();
    }
}

/// Whether a process works in the folder.
fn is_at_work(place: &Place) -> bool {
    let here = std::fs::canonicalize(place.path()).expect("the folder is there");
    let all = std::fs::read_dir("/proc").expect("processes can be seen").filter_map(Result::ok);
    all.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok()).any(|folder| folder == here)
}

fn with_approval() -> String {
    let approval = "  - approval: go_no_go\n    roles: [owner]\n";
    format!("rollbackWindow: 1s\ncutoverSteps:\n{approval}{}", step("switch", None, EXPOSES))
}

/// A run that waits for an approval, with these flags.
fn waiting(place: &Place, flags: &[&str]) -> Started {
    let book = place.runbook("shop", &with_approval());
    let mut run = place.start(&[&["run", book.as_str()], flags].concat());
    run.until("go_no_go: waits for an approval");
    run
}

fn approve(place: &Place) {
    place.call(&["approve", "shop/1", "go_no_go", "--role", "owner", "--as", "jonas"]).exits(0);
}

#[test]
fn a_program_and_a_signed_webhook_hear_all_that_a_night_has_to_say() {
    let place = Place::new().with("BASCULE_SECRET_HOOK", "s3cret").with("BASCULE_SECRET_OTHER", "not theirs");
    let hook = Hook::start(|_| Answer::Status(204));
    let tell = scribe(&place);
    let flags = ["--webhook", hook.url(), "--webhook-secret", "HOOK", "--notify-command", &tell];
    let run = waiting(&place, &[&flags[..], &["--notify-level", "info"]].concat());
    let asked = hook.until("waiting");
    assert_eq!((&asked.notice["level"], &asked.notice["run"]), (&Value::from("act"), &Value::from("shop/1")));
    let command = "bascule approve shop/1 go_no_go --role owner";
    let commands = asked.notice["commands"].as_array().expect("what can be typed");
    assert!(commands.contains(&Value::from(command)), "{commands:?}");
    let text = asked.notice["text"].as_str().expect("a text");
    assert!(text.contains("service up: the source serves") && text.contains(command), "{text}");
    approve(&place);
    run.end().exits(0);

    let heard = hook.all();
    for asked in &heard {
        assert!(asked.is_signed_with("s3cret"), "{asked:?}");
        assert!(!asked.is_signed_with("another"));
        let id = asked.notice["id"].as_str().expect("an id");
        assert_eq!(asked.header("x-bascule-notice"), id);
        assert_eq!(asked.header("idempotency-key"), format!("{id}/0"));
    }
    let ids: BTreeSet<&str> = heard.iter().filter_map(|asked| asked.notice["id"].as_str()).collect();
    assert_eq!(ids.len(), heard.len(), "each once");
    let titles: Vec<&str> = heard.iter().filter_map(|asked| asked.notice["title"].as_str()).collect();
    for title in ["shop/1: rollback window open", "shop/1: accepted: the gate is met", "shop/1: go_no_go: approved"] {
        assert!(titles.contains(&title), "`{title}` is missing in {titles:#?}");
    }
    // The program heard the same, whole.
    let told: Vec<Value> =
        lines(&place, "told").iter().map(|line| serde_json::from_str(line).expect("a notice is JSON")).collect();
    assert_eq!(told.iter().filter_map(|notice| notice["id"].as_str()).collect::<BTreeSet<_>>(), ids);
    assert_eq!(lines(&place, "titles").len(), told.len());
    let environment = lines(&place, "environment").join("\n");
    assert!(environment.contains("BASCULE_NOTICE_LEVEL=act") && environment.contains("PATH="), "{environment}");
    assert!(!environment.contains("SECRET"), "{environment}");
    for file in ["outlets.json", "outbox.json"] {
        let kept = std::fs::read_to_string(place.state().join(file)).expect("it is kept");
        assert!(!kept.contains("s3cret"), "{kept}");
    }
}

#[test]
fn what_was_answered_with_500_is_told_once_more_with_the_same_id() {
    let place = Place::new();
    let hook = Hook::start(|before| if before == 0 { Answer::Status(500) } else { Answer::Status(200) });
    let run = waiting(&place, &["--webhook", hook.url()]);
    let all = until("the second try", || Some(hook.all()).filter(|all| all.len() == 2));
    assert_eq!(all[0].notice["id"], all[1].notice["id"]);
    assert_eq!(all[0].header("idempotency-key"), all[1].header("idempotency-key"));
    place.until_status("shop", |told| told.get("complaints").is_none());
    approve(&place);
    run.end().exits(0);
    assert_eq!(hook.all().len(), 2, "what was heard is not told again, and nothing else is for anybody");
}

#[test]
fn what_is_refused_is_not_tried_again_and_complained_about() {
    let place = Place::new();
    let hook = Hook::with(|notice| Answer::Status(if notice["event"] == "waiting" { 400 } else { 200 }));
    let run = waiting(&place, &["--webhook", hook.url(), "--notify-level", "info"]);
    hook.until("waiting");
    hook.until("created");
    approve(&place);
    let seen = run.end().exits(0);
    assert!(seen.err.contains("the webhook does not take notice shop/1#"), "{}", seen.err);
    assert!(seen.err.contains("400 Bad Request; it is not tried again"), "{}", seen.err);
    let all = hook.all();
    assert_eq!(all.iter().filter(|asked| asked.notice["event"] == "waiting").count(), 1);
    assert!(all.iter().any(|asked| asked.notice["event"] == "approved"), "the others are heard");
}

#[test]
fn outlets_that_hang_hold_up_neither_a_run_nor_its_end() {
    let place = Place::new();
    let hook = Hook::start(|_| Answer::Nothing);
    let hangs = program(&place, "hangs", "echo $$ > pid; exec sleep 1000");
    let flags = ["--webhook", hook.url(), "--notify-command", &hangs, "--notify-level", "info"];
    let run = waiting(&place, &flags);
    let pid = until("the program", || lines(&place, "pid").first().cloned());
    until("the webhook", || (!hook.all().is_empty()).then_some(()));
    approve(&place);
    run.end().exits(0);
    assert_eq!(place.ledger(), ["switch"]);
    until("the end of the program", || (!std::path::Path::new("/proc").join(&pid).exists()).then_some(()));
}

#[test]
fn what_an_engine_could_not_tell_before_it_was_killed_the_next_one_tells() {
    let place = Place::new();
    let hook = Hook::start(|_| Answer::Nothing);
    let run = waiting(&place, &["--webhook", hook.url()]);
    let tried = hook.until("waiting");
    run.kill();
    hook.answers(|_| Answer::Status(200));
    let (before, of_it) = (hook.all().len(), |asked: &hook::Asked| asked.notice["id"] == tried.notice["id"]);
    // The next engine knows the address from the state directory.
    let next = place.start(&["resume", "shop"]);
    let again = until("the notice", || hook.all().into_iter().skip(before).find(of_it));
    assert_eq!((&again.notice["event"], &again.notice["repeat"]), (&Value::from("waiting"), &Value::from(0)));
    assert_eq!(again.notice["title"], tried.notice["title"]);
    // Once it is kept that it was heard, engines that follow know.
    let kept = || std::fs::read_to_string(place.state().join("outbox.json")).unwrap_or_default();
    until("what was told", || kept().contains("toldAt").then_some(()));
    next.kill();
    let heard = hook.all().len();
    let mut last = place.start(&["resume", "shop"]);
    last.until("forward work goes on");
    approve(&place);
    last.end().exits(0);
    let more = hook.all().split_off(heard);
    assert!(!more.iter().any(of_it), "{more:?}");
}

#[test]
fn a_new_outlet_hears_what_waits_and_nothing_of_before() {
    let place = Place::new();
    waiting(&place, &[]).kill();
    let hook = Hook::start(|_| Answer::Status(200));
    let run = place.start(&["resume", "shop", "--webhook", hook.url(), "--notify-level", "info"]);
    hook.until("waiting");
    hook.until("owned");
    approve(&place);
    run.end().exits(0);
    let all = hook.all();
    assert!(!all.iter().any(|asked| asked.notice["event"] == "created"), "{all:?}");
    // An empty text takes it away, for good.
    let book = place.runbook("other", &three(None, "1s"));
    place.call(&["run", &book, "--webhook", ""]).exits(0);
    let book = place.runbook("third", &three(None, "1s"));
    place.call(&["run", &book, "--notify-level", "info"]).exits(0);
    assert_eq!(hook.all().len(), all.len());
}

#[test]
fn a_run_that_an_engine_gave_up_pages() {
    let place = Place::new();
    in_second(&place).kill();
    let blobs = std::fs::read_dir(place.state().join("blobs")).expect("plans are kept there");
    for blob in blobs.filter_map(Result::ok) {
        let path = blob.path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.expect("it is ours");
    }
    let hook = Hook::start(|_| Answer::Status(200));
    let book = place.runbook("other", &three(None, "1s"));
    place.call(&["run", &book, "--webhook", hook.url(), "--notify-level", "page"]).exits(0);
    let told = hook.until("givenUp");
    assert_eq!((&told.notice["run"], &told.notice["level"]), (&Value::from("shop/1"), &Value::from("page")));
    assert!(told.notice["id"].as_str().is_some_and(|id| id.starts_with("shop/1#givenUp-")), "{told:?}");
    // What the killed engine left behind ends, too, while its folder is still there.
    place.open("gate");
    until("the end of the step", || (!is_at_work(&place)).then_some(()));
}

#[test]
fn a_test_tells_whether_everybody_would_hear() {
    let place = Place::new();
    let nobody = place.call(&["notify", "test"]).exits(1);
    assert!(nobody.err.contains("--notify-command PROG"), "{}", nobody.err);
    let hook = Hook::start(|_| Answer::Status(200));
    let tell = scribe(&place);
    drop(tell);
    let seen = place.call(&["notify", "test", "--webhook", hook.url(), "--notify-command", "./tell"]).exits(0);
    assert_eq!(seen.out.lines().filter(|line| line.ends_with(": heard")).count(), 6, "{}", seen.out);
    let levels: Vec<Value> = hook.all().iter().map(|asked| asked.notice["level"].clone()).collect();
    assert_eq!(levels, ["info", "act", "page"]);
    assert!(hook.all().iter().all(|asked| asked.notice["event"] == "test" && asked.notice.get("run").is_none()));
    assert_eq!(lines(&place, "told").len(), 3);

    hook.answers(|_| Answer::Status(503));
    program(&place, "fails", "echo 'no line to the exchange' >&2; exit 7");
    let seen = place.call(&["notify", "test", "--webhook", hook.url(), "--notify-command", "./fails"]).exits(1);
    assert!(seen.out.contains("the webhook: page: NOT HEARD: the answer is 503"), "{}", seen.out);
    assert!(seen.out.contains("NOT HEARD: it ended with exit status: 7: no line to the exchange"), "{}", seen.out);
    let seen = place.call(&["notify", "test", "--webhook", hook.url(), "--webhook-secret", "HOOK"]).exits(1);
    assert!(seen.out.contains("secret `HOOK` is not known"), "{}", seen.out);
    place.call(&["notify", "test", "--notify-command", "./missing"]).exits(2);
    place.call(&["notify", "test", "--notify-command", "no-such-program"]).exits(2);
    place.call(&["notify", "test", "--webhook", "ftp://x"]).exits(2);
}
