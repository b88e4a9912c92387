//! Spans of runs: what becomes of events, what a real collector gets, and that nobody waits for it.

mod receiver;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bascule::machine::fact::{Found, Left};
use bascule::machine::{Record, Run, RunState, Verb};
use bascule::plan::criteria::TripRule;
use bascule::plan::step::{Effect, Section};
use bascule::telemetry::Projector;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::cli_run::{Place, step};
use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, criterion};

/// The spans of a log, told by one engine.
fn spans(night: &Night) -> Vec<SpanData> {
    let mut projector = Projector::default();
    night.sim.log.iter().flat_map(|record| projector.take("shop/1", "7:abc", record)).collect()
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let found: Vec<&SpanData> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "there is one span `{name}`, not {}", found.len());
    found[0]
}

fn names(spans: &[SpanData]) -> Vec<String> {
    spans.iter().map(|span| span.name.to_string()).collect()
}

fn ids(spans: &[SpanData]) -> BTreeSet<String> {
    spans.iter().map(|span| format!("{} {}", span.span_context.span_id(), span.name)).collect()
}

/// A night that turns back: the engine dies in the middle of a step, a probe finds out, a criterion trips.
fn turning_back() -> Night {
    let plan = plans::founding().criterion(criterion("orders", TripRule::Consecutive(1))).seal();
    let mut night = Night::of(plan)
        .on("power_on", Act::hangs())
        .on_probe("power_on", Some(Found::NotStarted))
        .on("convert", Act::fails(Left::Possible))
        .begin();
    night.until(min(1));
    night
}

#[test]
fn a_run_is_one_trace_of_states_attempts_probes_and_undos() {
    let mut night = turning_back();
    night.crash(min(1));
    night.say(Verb::Resume);
    night.until(min(10));
    night.bad_from("orders", min(10));
    night.until_it_is(RunState::RolledBack);
    let spans = spans(&night);
    let root = named(&spans, "run shop/1");
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    assert_eq!(root.status, Status::error("rolled_back"));
    let known: HashSet<SpanId> = spans.iter().map(|span| span.span_context.span_id()).collect();
    assert_eq!(known.len(), spans.len(), "no two spans share an id: {:?}", names(&spans));
    for span in &spans {
        assert_eq!(span.span_context.trace_id(), root.span_context.trace_id(), "one trace");
        let is_root = span.name == root.name;
        assert!(is_root || known.contains(&span.parent_span_id), "`{}` hangs on a span that nobody sends", span.name);
        assert!(
            span.start_time <= span.end_time && root.start_time <= span.start_time && span.end_time <= root.end_time
        );
    }
    for name in ["checking", "rolling_back", "probe power_on", "undo balance", "undo quiesce", "fence:stop_writes"] {
        assert!(spans.iter().any(|span| span.name == name), "`{name}` is missing in {:?}", names(&spans));
    }
    // Two attempts of `convert`, the first one failed.
    let converts: Vec<&Status> = spans.iter().filter(|span| span.name == "convert").map(|span| &span.status).collect();
    assert!(matches!(converts.as_slice(), [Status::Error { .. }, Status::Ok]), "{converts:?}");
    let undo = named(&spans, "undo balance");
    assert_eq!(undo.parent_span_id, named(&spans, "rolling_back").span_context.span_id());
    let heads = root.attributes.iter().filter(|attribute| attribute.key.as_str() == "bascule.head");
    assert_eq!(
        heads.map(|head| head.value.to_string()).collect::<Vec<_>>(),
        ["shop/1:7:abc"],
        "the log's head leaves the machine"
    );
}

#[test]
fn an_engine_that_takes_over_goes_on_with_the_same_spans() {
    let mut night = turning_back();
    let lived = night.sim.log.len();
    night.crash(min(1));
    night.say(Verb::Resume);
    night.until_it_is(RunState::Accepted);
    let log: &[Record] = &night.sim.log;
    // The first engine's projector dies with it; the second one's knows only what the log said then.
    let mut first = Projector::default();
    let mut both: Vec<SpanData> = log[..lived].iter().flat_map(|record| first.take("shop/1", "", record)).collect();
    let mut run = Run::begin(night.sim.plan.clone(), &log[0]).expect("a run");
    for record in &log[1..lived] {
        run.apply(record).expect("the log can be followed");
    }
    let mut second = Projector::default();
    second.seed("shop/1", &run);
    both.extend(log[lived..].iter().flat_map(|record| second.take("shop/1", "", record)));
    let one = spans(&night);
    assert_eq!(ids(&both), ids(&one), "two lives send what one would have sent");
    assert!(
        one.iter().any(|span| span.name == "power_on" && span.status != Status::Ok),
        "the dead attempt has its span"
    );
}

#[test]
fn what_follows_acceptance_is_a_span_of_its_own() {
    let mut night =
        Night::of(plans::founding().add(plans::step(Section::Commit, "release").effect(Effect::Idempotent)).seal())
            .begin();
    night.until_it_is(RunState::Accepted);
    let accepted = spans(&night);
    assert_eq!(named(&accepted, "run shop/1").status, Status::Ok);
    night.say(Verb::Commit);
    night.until_it_is(RunState::Committed);
    let all = spans(&night);
    let root = named(&all, "run shop/1").span_context.span_id();
    assert_eq!(named(&all, "run shop/1, after acceptance").parent_span_id, root);
}

/// A step that copies and can be asked whether it did; it waits at a gate in the middle.
fn book(place: &Place, end: &str) -> String {
    let copy = "  - { id: copy, uses: command, with: { argv: [sh, -c, \"until [ -e gate ]; do sleep 0.02; done; touch copied\"] }, \
                effect: probe, probe: { uses: command, with: { argv: [\"true\"] }, done: \"result.exitCode == 1\" }, undo: { uses: command, with: { argv: [rm, -f, copied] }, cleanup: true } }\n";
    let first = step("first", None, ", effect: idempotent");
    place.runbook("shop", &format!("rollbackWindow: 1s\npreChecks:\n  - {{ id: look, uses: noop, effect: none }}\ncutoverSteps:\n{first}{copy}{end}"))
}

const BREAKS: &str = "  - { id: breaks, uses: command, with: { argv: [sh, -c, 'exit 7'] }, effect: once, exposes: true, undo: none, reason: test }\n";

#[test]
fn a_real_collector_gets_one_trace_of_two_engine_lives() {
    let mut collector = receiver::Collector::start();
    let place = Place::new();
    let book = book(&place, BREAKS);
    let mut run = place.start(&["run", &book, "--otlp", &collector.url]);
    run.until("copy: started");
    collector.until("first");
    run.kill();
    place.open("gate");
    place.call(&["resume", "shop/1", "--otlp", &collector.url]).exits(3);
    collector.until("run shop/1");
    let spans = collector.spans();
    let traces: BTreeSet<&str> = spans.iter().map(|span| span.trace.as_str()).collect();
    assert_eq!(traces.len(), 1, "one trace over both lives: {spans:#?}");
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let orphans: Vec<&str> = spans
        .iter()
        .filter(|span| !span.parent.is_empty() && !ids.contains(span.parent.as_str()))
        .map(|span| span.name.as_str())
        .collect();
    assert!(orphans.is_empty(), "spans hang on others that never came: {orphans:?}");
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    spans.iter().for_each(|span| *count.entry(span.name.as_str()).or_default() += 1);
    for name in [
        "run shop/1",
        "checking",
        "cutting_over",
        "rolling_back",
        "look",
        "first",
        "probe copy",
        "breaks",
        "undo first",
        "undo copy",
    ] {
        assert_eq!(count.get(name), Some(&1), "spans named `{name}` in {count:?}");
    }
    assert_eq!(count.get("copy"), Some(&2), "the attempt that died, and the one after it: {count:?}");
    let root = spans.iter().find(|span| span.name == "run shop/1").expect("the run's span");
    let head = root.attributes.iter().find_map(|text| text.strip_prefix("bascule.head: Str(")).expect("the log's head");
    place.call(&["audit", "verify", "--head", head.trim_end_matches(')')]).exits(0);
}

/// What a run wrote: its events by name, without times.
fn told(place: &Place) -> Vec<String> {
    let seen = place.call(&["events", "shop/1", "--json"]).exits(0);
    let events =
        seen.out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an event is JSON"));
    events.map(|event| format!("{} {}", event["event"], event["step"])).collect()
}

fn runs_to_its_end(otlp: Option<&str>) -> Vec<String> {
    let place = Place::new();
    place.open("gate");
    let book = book(&place, BREAKS);
    let mut args = vec!["run", &book];
    args.extend(otlp.map(|url| ["--otlp", url]).into_iter().flatten());
    place.call(&args).exits(3);
    told(&place)
}

#[test]
fn a_receiver_that_refuses_hangs_or_fails_changes_nothing_for_a_run() {
    let alone = runs_to_its_end(None);
    assert_eq!(runs_to_its_end(Some(&receiver::refuses())), alone, "refused");
    let (url, listening) = receiver::hangs();
    assert_eq!(runs_to_its_end(Some(&url)), alone, "no answer");
    drop(listening);
    let (url, asked) = receiver::fails();
    assert_eq!(runs_to_its_end(Some(&url)), alone, "answered 500");
    assert!(asked.try_recv().is_ok(), "it was asked, and its answer did not matter");
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_begins() {
    let place = Place::new();
    let book = book(&place, BREAKS);
    let seen = place.call(&["run", &book, "--otlp", "127.0.0.1:4318"]).exits(2);
    assert!(seen.err.contains("it is no http URL"), "{}", seen.err);
    assert!(!place.state().join("journal").exists(), "nothing was created");
}
