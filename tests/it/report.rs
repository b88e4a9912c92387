//! The report of a run: nights on a virtual clock, told as a page.

use std::sync::Arc;

use bascule::machine::fact::{Actor, Direction, Failure, Left};
use bascule::machine::input::Outcome;
use bascule::machine::{Input, RunState, Verb};
use bascule::plan::Plan;
use bascule::plan::criteria::TripRule;
use bascule::plan::policy::{Change, SignOff};
use bascule::plan::sealed::CatalogPin;
use bascule::plan::step::{Effect, Proof, Section};
use bascule::report::{Account, Kind, Report, Served};
use bascule::store::{Cursor, Hash, Head, RunName};
use bascule::view::Place;
use serde_json::json;

use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, criterion, cut, step};
use crate::support::sim::START;

const SECOND: i64 = 1_000;

/// A cutover as a customer would run it: a change, estimates, an approval, people who sign off.
fn evening() -> Arc<Plan> {
    let mut latency = criterion("latency", TripRule::Consecutive(3));
    latency.trip = plans::expr("result.p95 > inputs.slo * 1.2");
    latency.origin.description = Some("Users wait no longer than the objective allows.".to_owned());
    plans::founding()
        .add(approval(Section::PreCheck, "go_no_go").approval(|approval| approval.quorum = 1))
        .add(step(Section::Ready, "snapshot"))
        .criterion(latency)
        .criterion(criterion("orders", TripRule::SustainedForMs(120_000)))
        .policies(|policies| {
            policies.change = Some(Change {
                id: Some("CHG0042".to_owned()),
                from_ms: Some(START),
                until_ms: Some(START + min(240)),
                zone: Some("Europe/Paris".to_owned()),
            });
            policies.downtime_budget_ms = Some(min(20).unsigned_abs());
            policies.keep_source_ms = Some(min(14 * 24 * 60).unsigned_abs());
        })
        .body(|body| {
            body.inputs = Arc::new([("slo".to_owned(), json!(250))].into());
            body.sign_offs = vec![SignOff {
                role: "operations".to_owned(),
                what: "we own it from now on".to_owned(),
                proves: Proof::Ownership,
            }];
            body.catalogs = vec![CatalogPin {
                name: "kvm".to_owned(),
                sha256: "0".repeat(64),
                verified: Some("against published API only".to_owned()),
            }];
            for step in body.steps.iter_mut().map(Arc::make_mut) {
                let minutes = match step.id.as_str() {
                    "quiesce" => 1,
                    "sync" => 6,
                    "convert" => 4,
                    "power_on" | "smoke" => 2,
                    "balance" => 1,
                    _ => continue,
                };
                step.estimate_ms = Some(min(minutes).unsigned_abs());
                step.origin.description = Some(format!("What {} does, in one sentence of the catalog.", step.id));
                if let bascule::plan::Undo::Action(undo) = &mut step.undo {
                    undo.estimate_ms = Some(min(1).unsigned_abs());
                    undo.by_hand = Some(format!("undo `{}` on the console", step.id));
                }
            }
        })
        .seal()
}

fn slow(p95: i64) -> Outcome {
    Outcome::Succeeded { outputs: Arc::new(json!({ "p95": p95, "bad": false })) }
}

/// The approval is given, the steps take minutes, users wait a normal time.
fn begun() -> Night {
    let mut night = Night::of(evening())
        .on("quiesce", Act::ok().after(40 * SECOND))
        .on("sync", Act::ok().after(min(5)))
        .on("convert", Act::ok().after(min(7)))
        .on("power_on", Act::ok().after(90 * SECOND))
        .on("smoke", Act::ok().after(20 * SECOND))
        .on("balance", Act::ok().after(15 * SECOND))
        .begin();
    night.samples("latency", 0, slow(180));
    night.until(90 * SECOND);
    night.says("ada", Verb::Approve { step: "go_no_go".into(), role: None });
    night
}

fn account(night: &Night) -> Account {
    let sim = &night.sim;
    let head = Head {
        run: RunName::new("shop", 1).expect("a name"),
        version: sim.log.len() as u64,
        epoch: 1,
        hash: Hash::of(b"the newest transition"),
        at_ms: sim.now.wall,
        is_final: sim.run.state.is_final(),
        cursor: Cursor::START,
    };
    let mut account = Account::new(head, sim.plan.clone(), sim.now.wall);
    let places = (1..).map(|sequence| Place { sequence, version: sequence, epoch: 1 });
    account.events = places.zip(sim.log.iter().cloned()).collect();
    account
}

fn report(night: &Night) -> Report {
    Report::of(&account(night)).expect("a report")
}

/// What did not go as planned, one line each, counted from the start.
fn deviations(report: &Report) -> String {
    let line = |deviation: &bascule::report::Deviation| {
        let lasted = deviation.lasted_ms.map(|ms| format!(" [{}s]", ms / SECOND)).unwrap_or_default();
        let who = deviation.who.as_ref().map(|who| format!(" <{who}>")).unwrap_or_default();
        let why = deviation.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let at = crate::support::story::clock(deviation.at);
        format!("{at} {}: {}{lasted}{who}{why}\n", deviation.kind, deviation.what)
    };
    report.deviations.iter().map(line).collect()
}

fn left(report: &Report) -> String {
    let line = |left: &bascule::report::LeftToDo| {
        let part = |name: &str, text: &Option<String>| {
            text.as_ref().map(|text| format!(" | {name}: {text}")).unwrap_or_default()
        };
        let parts = [part("where", &left.place), part("why", &left.why), part("how", &left.how)].concat();
        format!("{}: {}{parts}\n", left.kind, left.what)
    };
    report.left_to_do.iter().map(line).collect()
}

fn not_verified(report: &Report) -> String {
    report.not_verified.iter().map(|item| format!("{}: {}\n", item.what, item.why)).collect()
}

#[test]
fn an_accepted_run_tells_the_downtime_and_what_is_left() {
    let mut night = begun();
    night.until(min(60));
    night.says("olga", Verb::SignOff { role: "operations".to_owned() });
    night.until_it_is(RunState::Accepted);
    // Days later: what happened that night does not change.
    night.until(min(5 * 24 * 60));
    let report = report(&night);
    assert_eq!(report.outcome.kind, Kind::Good);
    insta::assert_snapshot!(report.outcome.sentence, @"Users of shop have been on new since 9 Sep 04:02:56, after 14m 45s without service; the gate was met, and the source is kept.");
    let figures: Vec<String> = report.figures.iter().map(|f| format!("{}: {} ({})", f.name, f.value, f.note)).collect();
    insta::assert_snapshot!(figures.join("\n"));
    insta::assert_snapshot!(deviations(&report));
    insta::assert_snapshot!(left(&report));
    insta::assert_snapshot!(not_verified(&report));
    let served: Vec<Served> = report.service.iter().map(|span| span.served).collect();
    assert_eq!(served, [Served::AtSource, Served::Nowhere, Served::AtTarget]);
}

#[test]
fn a_rollback_tells_its_cause_and_when_users_had_service_again() {
    let mut night = begun();
    night.samples("latency", min(30), slow(460));
    night.until_it_is(RunState::RolledBack);
    let report = report(&night);
    assert_eq!(report.outcome.kind, Kind::Back);
    insta::assert_snapshot!(report.outcome.sentence);
    insta::assert_snapshot!(deviations(&report));
    insta::assert_snapshot!(not_verified(&report));
    let latency = report.criteria.iter().find(|criterion| criterion.view.criterion == "latency").expect("sampled");
    assert_eq!((latency.failed, latency.inconclusive), (3, 0));
    let back: Vec<&str> = report
        .steps
        .iter()
        .filter(|list| list.title.starts_with("Way back"))
        .flat_map(|list| list.rows.iter().map(|row| row.step.as_str()))
        .collect();
    assert_eq!(
        back,
        ["fence:stop_writes", "sync", "quiesce", "balance", "restored:source_serves", "power_on", "convert"]
    );
}

/// The undo of `quiesce` never works: users stay without the source until a person helps.
fn stuck() -> Night {
    let mut night = begun();
    night.undo_always("quiesce", Act::fails(Left::Possible));
    night.undo_always("convert", Act::fails(Left::Possible));
    night.until(min(8));
    night.says("omar", Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    night
}

#[test]
fn a_stuck_run_says_what_to_do_by_hand() {
    let mut night = stuck();
    let open = report(&night);
    assert_eq!((open.outcome.kind, open.is_over), (Kind::Bad, false));
    insta::assert_snapshot!(open.outcome.sentence);
    insta::assert_snapshot!(left(&open));
    night.says("ada", Verb::UndoDone { step: "quiesce".into() });
    night.until_it_is(RunState::RolledBack);
    let over = report(&night);
    insta::assert_snapshot!(over.outcome.sentence);
    insta::assert_snapshot!(deviations(&over));
    insta::assert_snapshot!(left(&over));
}

/// Everything that can go wrong in one night and still end well.
fn long_night() -> Night {
    let mut night = Night::of(evening())
        .on("backup", Act::fails(Left::Nothing))
        .on("sync", Act::fails(Left::Possible).after(min(1)))
        .on("sync", Act::ok().after(min(2)))
        .on("power_on", Act::unknown())
        .begin();
    night.samples("latency", 0, slow(180));
    night.until(min(2));
    night.says("ada", Verb::Approve { step: "go_no_go".into(), role: None });
    night.until(min(3));
    night.says("ada", Verb::Pause);
    night.until(min(4));
    night.says("omar", Verb::Resume);
    night.until(min(5));
    night.crash(min(6));
    if night.sim.run.hold.is_some() {
        night.says("omar", Verb::Resume);
    }
    night.until(min(20));
    if !night.sim.run.questions.is_empty() {
        night.says("ada", Verb::Happened { step: "power_on".into(), outputs: [].into(), role: None });
    }
    night.until(min(40));
    night.sim.jump(min(3)).expect("the clock jumps");
    night.says("olga", Verb::ConfirmClock);
    night.says("olga", Verb::SignOff { role: "operations".to_owned() });
    night.says("omar", Verb::WindowExtend { by_ms: min(10).unsigned_abs() });
    night.crash(min(2));
    night.blind_from("orders", min(70));
    night.until(min(75));
    night.says("omar", Verb::Note { text: "bridge: all calm".to_owned(), attachments: vec![] });
    night.until(min(200));
    night
}

#[test]
fn a_long_night_lists_everything_that_was_not_planned() {
    let night = long_night();
    let report = report(&night);
    insta::assert_snapshot!(deviations(&report));
    insta::assert_snapshot!(not_verified(&report));
    let asked: Vec<String> =
        report.questions.iter().map(|q| format!("{}: {} / {} / {:?}", q.question, q.what, q.answer, q.who)).collect();
    insta::assert_snapshot!(asked.join("\n"));
    let decided: Vec<String> = report.decisions.iter().map(|d| format!("{}: {}", d.who.account, d.what)).collect();
    insta::assert_snapshot!(decided.join("\n"));
}

/// The log of a night, cut after events of it: of the beginning all, of the long watch some.
fn every_moment(night: &Night) {
    let whole = account(night);
    for events in (1..=whole.events.len()).filter(|events| *events < 60 || events % 23 == 0) {
        let mut cut = whole.clone();
        cut.events.truncate(events);
        cut.now = cut.events[events - 1].1.at;
        let page = Report::of(&cut).and_then(|report| report.html());
        assert!(page.is_ok(), "no page after event {events}: {:?}", page.err());
    }
}

#[test]
fn there_is_a_page_at_every_moment_of_a_night() {
    every_moment(&long_night());
    every_moment(&stuck());
}

/// Tags that are opened and not closed, or closed and not opened.
fn unbalanced(html: &str) -> Vec<String> {
    const VOID: [&str; 6] = ["meta", "br", "!doctype", "rect", "path", "circle"];
    let mut open: Vec<String> = Vec::new();
    let mut wrong = Vec::new();
    for tag in html.split('<').skip(1).filter_map(|rest| rest.split_once('>').map(|(tag, _)| tag)) {
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or("").to_lowercase();
        if tag.starts_with('/') {
            if open.last() == Some(&name) {
                open.pop();
            } else if !VOID.contains(&&*name) {
                wrong.push(format!("</{name}> inside {open:?}"));
            }
        } else if !tag.ends_with('/') && !VOID.contains(&&*name) {
            open.push(name);
        }
    }
    wrong.extend(open);
    wrong
}

#[test]
fn nothing_that_a_step_or_a_person_says_becomes_markup() {
    let evil = "</script></title></svg><img src=x onerror=alert(1)>`\"'&{{ 7*7 }}{% raw %}";
    let failure = Failure { message: evil.into(), causes: vec![evil.to_owned()], hint: Some(evil.to_owned()) };
    let mut night = begun();
    night.then("smoke", Act::ok());
    night.until(min(10));
    night
        .sim
        .input(Input::Verb {
            verb: Verb::Note { text: evil.to_owned(), attachments: vec![] },
            by: Actor { claimed: Some(evil.to_owned()), channel: Some(evil.to_owned()), ..Actor::named(evil) },
            reason: Some(evil.into()),
        })
        .expect("a note");
    night.samples("orders", min(18), Outcome::unknown(failure.clone()));
    let ix = night.sim.plan.find(&"power_on".into()).expect("a step");
    night.until(min(15));
    night
        .sim
        .input(Input::Ended {
            step: ix,
            direction: Direction::Forward,
            attempt: 9,
            outcome: Outcome::Failed { failure, left: Left::Possible },
            verify: None,
            log: None,
        })
        .expect("late");
    night.until(min(40));
    let html = report(&night).html().expect("a page");
    assert!(!html.contains("<img"), "markup of a note got through");
    assert!(!html.to_lowercase().contains("<script"), "a page has no script");
    assert!(!html.contains("onerror=alert(1)>"), "a tag of a note got through");
    assert!(html.contains("{{ 7*7 }}"), "text is no template");
    assert_eq!(unbalanced(&html), Vec::<String>::new());
}

#[test]
fn the_page_needs_nothing_else_and_says_how_to_check_it() {
    let night = begun();
    let html = report(&night).html().expect("a page");
    for outside in ["src=", "href=", "@import", "url(http", "<script", "<link", "<iframe"] {
        assert!(!html.contains(outside), "the page asks for something outside of it: {outside}");
    }
    assert!(html.contains("Content-Security-Policy"));
    let head = account(&night).head;
    let check = format!("bascule audit verify --head {}:{}:{}", head.run, head.version, head.hash);
    assert!(
        html.contains(&check.replace('/', "&#x2f;")) || html.contains(&check),
        "the head of the log is on the page"
    );
    assert!(html.contains(night.sim.plan.hash().as_str()));
}

#[test]
fn times_are_those_of_the_change_and_an_unknown_zone_is_admitted() {
    let night = begun();
    let page = report(&night);
    assert_eq!(page.zone, "Europe/Paris");
    let began = page.facts.iter().find(|fact| fact.name.starts_with("Began")).expect("a fact");
    assert!(began.value.contains("2001-09-09 03:46:40 +02:00"), "{}", began.value);
    let plan = plans::founding()
        .policies(|policies| {
            policies.change =
                Some(Change { id: None, from_ms: None, until_ms: None, zone: Some("Mars/Olympus".to_owned()) });
        })
        .seal();
    assert_eq!(report(&Night::of(plan).begin()).zone, "UTC (Mars/Olympus is not known on this machine)");
}

#[test]
fn a_refused_run_says_that_nothing_was_touched() {
    let mut night = Night::of(evening());
    night.sim.input(Input::Begin { missing: vec!["the executor `ssh.command`".to_owned()] }).expect("it begins");
    let report = report(&night);
    assert_eq!((report.outcome.kind, night.state()), (Kind::Untouched, RunState::Refused));
    insta::assert_snapshot!(report.outcome.sentence, @"Nothing was touched. The cutover was refused: missing: the executor `ssh.command`.");
}

#[test]
fn a_plan_without_a_change_and_a_step_without_an_estimate_are_no_reason_to_fail() {
    let plan = plans::Draft::new().add(cut("only").exposes().effect(Effect::Idempotent).undo()).seal();
    let mut night = Night::of(plan).begin();
    night.until(min(1));
    let report = report(&night);
    let only = report.steps.iter().flat_map(|list| &list.rows).find(|row| row.step == "only").expect("a row");
    assert_eq!((only.estimate.as_str(), only.attempts), ("unknown", 1));
    assert!(report.html().is_ok());
}
