//! What people are shown: never a command that would be refused, never a line that does not fit.

mod chaos;

use bascule::cli::screen::frame::frame;
use bascule::cli::screen::line::{Colour, Line, Look};
use bascule::cli::screen::{Canvas, whole};
use bascule::machine::fact::Left;
use bascule::machine::input::Outcome;
use bascule::machine::{RunState, Verb};
use bascule::plan::{Section, TripRule};
use bascule::report::by_hand::ByHand;
use bascule::view::{ProgressMap, ProgressView, RunView};

use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, criterion, cut, step};
use chaos::Chaos;

fn view(night: &Night) -> RunView {
    let mut view = RunView::of(&night.sim.run, night.sim.now, &ProgressMap::new());
    view.summary.executed = true;
    view
}

fn utc(view: &RunView, columns: usize) -> Canvas {
    let mut view = view.clone();
    // Times of day must not depend on the machine that tests.
    view.zone = Some("UTC".to_owned());
    Canvas::new(&view, columns)
}

fn drawn(view: &RunView, columns: usize, rows: usize) -> String {
    let footer = vec![Line::of(Look::Dim, "Ctrl-C leaves this view, the run goes on")];
    let lines = frame(view, &utc(view, columns), rows, footer);
    lines.iter().map(|line| line.render(Colour::Off)).collect::<Vec<_>>().join("\n")
}

fn full(view: &RunView) -> String {
    let lines = whole::whole(view, &utc(view, 80));
    lines.iter().map(|line| line.render(Colour::Off)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_command_that_is_offered_is_accepted() {
    let seeds = std::env::var("BASCULE_VIEW_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(200);
    for seed in 0..seeds {
        Chaos::new(seed).play(60);
    }
}

#[test]
fn past_an_irreversible_step_nobody_is_promised_that_users_come_back() {
    let plan = plans::founding().add(cut("license").irreversible()).add(cut("notify").undo());
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(1));
    night.say(Verb::Approve { step: "license".into(), role: None });
    night.until_it_is(RunState::Observing);
    let seen = full(&view(&night));
    assert!(seen.contains("going back does not bring users to the source"), "{seen}");
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Deciding);
    let seen = view(&night);
    assert_eq!((seen.service.at.as_str(), seen.service.doubt_ms), ("atTarget", None), "{:?}", seen.service);
    let page = ByHand::of(&night.sim.run, night.sim.now, &|_, _| None).html().expect("a page");
    assert!(page.contains("users are not brought back to the source"), "{page}");
    assert!(!page.contains("Bring users back"), "{page}");
}

#[test]
fn once_the_commit_has_begun_no_page_sends_users_back() {
    let plan = plans::founding().add(step(Section::Commit, "release")).add(step(Section::Commit, "tidy"));
    let mut night = Night::of(plan.seal()).on("tidy", Act::fails(Left::Nothing)).begin();
    night.until_it_is(RunState::Accepted);
    night.say(Verb::Commit);
    night.until_it_is(RunState::Deciding);
    let page = ByHand::of(&night.sim.run, night.sim.now, &|_, _| None).html().expect("a page");
    assert!(page.contains("the way back is gone"), "{page}");
    assert!(page.contains("done: release; not done, or not known: tidy"), "{page}");
    assert!(!page.contains("take back"), "{page}");
}

#[test]
fn a_cutover_fits_a_small_terminal() {
    let mut night = Night::of(plans::founding().seal()).on("convert", Act::hangs()).begin();
    night.until(min(3));
    let mut view = view(&night);
    let convert = view.steps.iter_mut().find(|step| step.step == "convert").expect("the plan has it");
    convert.progress = Some(ProgressView {
        done: Some(17 << 30),
        total: Some(40 << 30),
        unit: "bytes".to_owned(),
        last_line: Some("\u{1b}[32m42 %\u{1b}[0m of 東京.vmdk, 812 MiB/s".to_owned()),
    });
    insta::assert_snapshot!(drawn(&view, 80, 24));
    insta::assert_snapshot!("a_cutover_in_a_corner", drawn(&view, 40, 10));
}

#[test]
fn a_question_comes_first_with_what_to_type() {
    let mut night = Night::of(plans::founding().seal()).on("convert", Act::hangs()).begin();
    night.until(min(3));
    night.crash(min(2));
    night.until_quiet();
    let mut night = Night::of(plans::founding().add(cut("license").irreversible()).seal()).begin();
    night.until_quiet();
    assert_eq!(night.state(), RunState::Deciding);
    let view = view(&night);
    insta::assert_snapshot!(drawn(&view, 80, 24));
    insta::assert_snapshot!("a_question_in_full", full(&view));
}

#[test]
fn a_suspect_criterion_says_when_it_trips() {
    let plan = plans::founding().criterion(criterion("health", TripRule::SustainedForMs(600_000)));
    let mut night = Night::of(plan.seal()).begin();
    night.until_it_is(RunState::Observing);
    let since = night.now();
    night.bad_from("health", since + min(6));
    night.until(since + min(9));
    insta::assert_snapshot!(drawn(&view(&night), 80, 24));
}

#[test]
fn a_way_back_shows_both_parts_and_what_is_stuck() {
    let mut night = Night::of(plans::founding().seal()).begin();
    night.until_it_is(RunState::Observing);
    night.undo_always("sync", Act::fails(Left::Possible));
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    let view = view(&night);
    insta::assert_snapshot!(drawn(&view, 80, 24));
    insta::assert_snapshot!("a_stuck_way_back_read_aloud", whole::brief(&view, &utc(&view, 80)).join("\n"));
}

#[test]
fn many_steps_are_folded_around_what_runs() {
    let mut plan = plans::Draft::new();
    for at in 0..60 {
        plan = plan.add(cut(&format!("step_{at:02}")));
    }
    let plan = plan.add(approval(Section::Cutover, "go_no_go")).add(cut("switch").exposes()).seal();
    let mut night = Night::of(plan).on("step_30", Act::hangs()).begin();
    night.until(min(5));
    insta::assert_snapshot!(drawn(&view(&night), 80, 20));
}

#[test]
fn no_frame_is_wider_or_higher_than_its_terminal() {
    for seed in 0..60 {
        let mut chaos = Chaos::new(seed);
        chaos.play_and(30, |view| {
            for (columns, rows) in [(20, 5), (40, 12), (80, 24), (119, 40)] {
                let lines = frame(view, &utc(view, columns), rows, vec![Line::of(Look::Dim, "footer")]);
                assert!(lines.len() <= rows, "{} lines for {rows} rows", lines.len());
                for line in lines {
                    assert!(line.width() <= columns, "{} cells: {}", line.width(), line.render(Colour::Off));
                }
            }
            assert_eq!(whole::brief(view, &utc(view, 80)).len(), 5);
        });
    }
}

#[test]
fn a_view_survives_the_wire() {
    let mut chaos = Chaos::new(11);
    chaos.play_and(60, |view| {
        let text = serde_json::to_string(view).expect("a view is JSON");
        let back: RunView = serde_json::from_str(&text).expect("a view is read back");
        assert_eq!(&back, view);
    });
}

/// Kept for the plans of this file: a check that somebody may waive.
fn waivable(id: &str) -> plans::Made {
    step(Section::PreCheck, id).check(|check| check.waivable_by = vec!["lead".to_owned()])
}

/// What a sample says.
fn sample(bad: bool) -> Outcome {
    Outcome::Succeeded { outputs: std::sync::Arc::new(serde_json::json!({ "bad": bad })) }
}
