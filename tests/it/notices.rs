//! What people elsewhere are told, how loud and how often: nights on a virtual clock, heard by an outlet that never fails
//! unless it is told to.

use bascule::machine::fact::Left;
use bascule::machine::{RunState, Verb};
use bascule::outlets::notice::{Notice, Wording};
use bascule::outlets::outbox::{ACT_AGAIN_MS, Book, Entry, Next, OLD_MS, PAGE_AGAIN_MS, Rules, Want, pick};
use bascule::plan::policy::{Change, OnFailure};
use bascule::plan::{Section, TripRule};
use bascule::view::{Level, Place, ProgressMap, RunView};
use serde_json::Value;

use crate::support::night::{Act, Night, min};
use crate::support::plans::{self, approval, criterion, cut};
use crate::support::sim::START;

/// An outlet.
struct Ear {
    book: Book,
    rules: Rules,
    /// Records that were read.
    read: usize,
    /// `page asked`, `page asked again 2`.
    heard: Vec<String>,
    skipped: usize,
}

impl Ear {
    fn new(least: Level) -> Self {
        Self::since(least, 0)
    }

    fn since(least: Level, since: i64) -> Self {
        let rules = Rules { least, since };
        Self { book: Book::default(), rules, read: 0, heard: Vec::new(), skipped: 0 }
    }

    /// A later engine's: it knows what was kept, and reads on from there.
    fn after(entry: Entry, least: Level) -> Self {
        let read = usize::try_from(entry.done.sequence).expect("a short night");
        Self { book: Book::new(entry), read, ..Self::new(least) }
    }

    /// Reads what is new, as one transition.
    fn read(&mut self, night: &Night) {
        let (run, now) = (&night.sim.run, night.sim.now);
        let news = &night.sim.log[self.read..];
        if !news.is_empty() {
            self.skipped += self.book.take(run, now, news, self.rules);
            self.read = night.sim.log.len();
        }
        self.skipped += self.book.refresh(run, now);
    }

    fn next(&self, now: i64) -> Option<Want> {
        match pick(self.book.wants().map(|want| ((), want)), now) {
            Next::Tell((), want) => Some(want),
            Next::Wait(_) | Next::Nothing => None,
        }
    }

    /// Reads what is new and hears all that is due; answers what it heard.
    fn hear(&mut self, night: &Night) -> Vec<String> {
        self.read(night);
        let before = self.heard.len();
        let now = night.sim.now.steady;
        while let Some(want) = self.next(now) {
            self.heard.push(words(night, &want));
            self.book.delivered(want.sequence, now);
        }
        self.heard[before..].to_vec()
    }

    /// Hears minute by minute until then; answers what it heard, with the minute.
    fn until(&mut self, night: &mut Night, minute: i64) -> Vec<String> {
        let mut all = Vec::new();
        let mut at = night.now() / min(1);
        while at < minute {
            at += 1;
            night.until(min(at));
            all.extend(self.hear(night).into_iter().map(|heard| format!("{at}: {heard}")));
        }
        all
    }
}

fn words(night: &Night, want: &Want) -> String {
    let record = &night.sim.log[usize::try_from(want.sequence).expect("a short night") - 1];
    let again = if want.repeat > 0 { format!(" again {}", want.repeat) } else { String::new() };
    format!("{} {}{again}", want.level.word(), record.event.word())
}

/// A run that asks while users are without the service.
fn asks_in_the_cut() -> Night {
    let plan = plans::founding().policies(|policies| {
        policies.on_failure = OnFailure::Ask;
        let (id, zone) = (Some("CHG0042".to_owned()), Some("Europe/Paris".to_owned()));
        policies.change = Some(Change { id, from_ms: Some(START), until_ms: None, zone });
    });
    let mut night = Night::of(plan.seal()).always("smoke", Act::fails(Left::Nothing)).begin();
    night.until(min(1));
    night
}

/// A run that waits for an approval before anything is touched.
fn waits_for_approval() -> Night {
    let plan = plans::founding().add(approval(Section::PreCheck, "go_no_go"));
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(1));
    night
}

#[test]
fn a_question_while_users_wait_is_told_every_five_minutes_until_somebody_takes_charge() {
    let mut night = asks_in_the_cut();
    let mut ear = Ear::new(Level::Act);
    assert_eq!(ear.hear(&night), ["page asked"]);
    assert_eq!(ear.until(&mut night, 12), ["6: page asked again 1", "11: page asked again 2"]);
    night.says("marta", Verb::InCharge { who: Some("marta".to_owned()) });
    assert!(ear.until(&mut night, 60).is_empty(), "she knows: {:?}", ear.heard);
    assert_eq!(night.state(), RunState::Deciding);
    // What is asked after that is news.
    night.say(Verb::Retry { step: "smoke".into() });
    assert_eq!(ear.until(&mut night, 62), ["61: page asked"]);
    assert_eq!(ear.until(&mut night, 67), ["66: page asked again 1"]);
}

#[test]
fn an_approval_is_told_every_quarter_of_an_hour_until_it_is_given() {
    let mut night = waits_for_approval();
    let mut ear = Ear::new(Level::Act);
    assert_eq!(ear.hear(&night), ["act waiting"]);
    assert_eq!(ear.until(&mut night, 40), ["16: act waiting again 1", "31: act waiting again 2"]);
    night.say(Verb::Approve { step: "go_no_go".into(), role: None });
    assert!(ear.until(&mut night, 80).iter().all(|heard| !heard.contains("waiting")), "{:?}", ear.heard);
    assert!(ear.book.is_idle());
}

#[test]
fn a_trip_pages_once_and_the_levels_choose_what_is_heard() {
    let plan = plans::founding().criterion(criterion("health", TripRule::Consecutive(2)));
    let mut night = Night::of(plan.seal()).begin();
    night.bad_from("health", min(10));
    let [mut info, mut act, mut page] = [Ear::new(Level::Info), Ear::new(Level::Act), Ear::new(Level::Page)];
    for minute in 1..60 {
        night.until(min(minute));
        for ear in [&mut info, &mut act, &mut page] {
            ear.hear(&night);
        }
    }
    assert_eq!(night.state(), RunState::RolledBack);
    assert_eq!(page.heard, ["page rollbackDecided"]);
    assert_eq!(act.heard, page.heard, "nothing else is to be done by anybody");
    let of_info = |word: &str| info.heard.iter().filter(|heard| heard.ends_with(word)).count();
    assert_eq!((of_info("windowOpened"), of_info("serviceRestored"), of_info("rollbackDecided")), (1, 1, 1));
    assert_eq!(of_info("sampled"), 0);
    assert_eq!(info.heard.last().map(String::as_str), Some("info moved"), "the end: {:?}", info.heard);
}

#[test]
fn a_way_back_that_is_stuck_pages_until_somebody_helps_it_on() {
    let mut night = Night::of(plans::founding().seal()).begin();
    night.until_it_is(RunState::Observing);
    night.undo_always("balance", Act::fails(Left::Possible));
    let mut ear = Ear::new(Level::Page);
    ear.hear(&night);
    night.say(Verb::Rollback);
    night.until_it_is(RunState::Stuck);
    ear.hear(&night);
    let since = night.now() / min(1);
    let again = ear.until(&mut night, since + 11);
    assert_eq!(
        ear.heard,
        ["page rollbackDecided", "page moved", "page moved again 1", "page moved again 2"],
        "{again:?}"
    );
    night.say(Verb::UndoDone { step: "balance".into() });
    let at = night.now() / min(1);
    assert!(ear.until(&mut night, at + 30).is_empty(), "{:?}", ear.heard);
}

#[test]
fn what_was_not_heard_before_a_crash_is_heard_after_it_and_nothing_else() {
    let mut night = asks_in_the_cut();
    let mut ear = Ear::new(Level::Info);
    ear.read(&night);
    let now = night.sim.now.steady;
    // The loudest is heard first; then the engine dies.
    let first = ear.next(now).expect("something is due");
    assert_eq!(words(&night, &first), "page asked");
    ear.book.delivered(first.sequence, now);
    let kept = ear.book.entry().clone();
    assert!(kept.told.contains(&first.sequence) && kept.open.contains_key(&first.sequence), "{kept:?}");
    let kept: Entry = serde_json::from_str(&serde_json::to_string(&kept).expect("JSON")).expect("the same");

    let rest = ear.hear(&night);
    assert!(rest.len() > 2, "{rest:?}");
    let mut next = Ear::after(kept, Level::Info);
    assert_eq!(
        next.hear(&night),
        rest,
        "what the first one told after it was kept comes once more, nothing is missing"
    );
    assert_eq!(next.until(&mut night, 7), ["6: page asked again 1"], "it goes on counting");
    // All of it was heard: one that comes after that hears nothing.
    let mut last = Ear::after(next.book.entry().clone(), Level::Info);
    assert!(last.hear(&night).is_empty());
}

#[test]
fn a_word_that_was_given_without_an_engine_ends_repetitions_too() {
    let mut night = asks_in_the_cut();
    let mut ear = Ear::new(Level::Act);
    ear.hear(&night);
    let kept = ear.book.entry().clone();
    night.says("marta", Verb::Note { text: "I look at it".to_owned(), attachments: vec![] });
    let mut next = Ear::after(kept, Level::Act);
    assert!(next.until(&mut night, 30).is_empty(), "{:?}", next.heard);
}

#[test]
fn a_new_outlet_hears_what_waits_and_nothing_of_before() {
    let night = asks_in_the_cut();
    let now = night.sim.now.steady;
    assert_eq!(Ear::since(Level::Info, now + 1).hear(&night), ["page asked"]);
    assert!(Ear::since(Level::Info, 0).hear(&night).len() > 3);
}

#[test]
fn after_a_day_only_what_still_waits_is_told() {
    let mut night = asks_in_the_cut();
    night.until(OLD_MS + min(5));
    let mut ear = Ear::new(Level::Info);
    let heard = ear.hear(&night);
    assert_eq!(heard.first().map(String::as_str), Some("page asked"), "{heard:?}");
    assert!(ear.skipped > 2, "it is said how many are not sent: {}", ear.skipped);
    assert!(!heard.iter().any(|heard| heard.ends_with("created")), "{heard:?}");
}

#[test]
fn a_question_that_was_answered_before_it_could_be_told_wakes_nobody() {
    let mut night = asks_in_the_cut();
    night.say(Verb::Skip { step: "smoke".into() });
    night.until(min(3));
    let mut ear = Ear::new(Level::Info);
    let heard = ear.hear(&night);
    assert!(!heard.iter().any(|heard| heard.contains("asked")), "{heard:?}");
    assert!(heard.iter().any(|heard| heard == "info closed"), "that it was answered is told: {heard:?}");
}

#[test]
fn a_notice_that_is_not_taken_holds_up_no_other_and_waits_its_time() {
    let night = asks_in_the_cut();
    let now = night.sim.now.steady;
    let mut ear = Ear::new(Level::Info);
    ear.read(&night);
    let loud = ear.next(now).expect("something is due");
    ear.book.failed(loud.sequence, now + 2_000);
    let rest = ear.hear(&night);
    assert!(!rest.contains(&"page asked".to_owned()) && !rest.is_empty(), "{rest:?}");
    assert_eq!(pick(ear.book.wants().map(|want| ((), want)), now), Next::Wait(now + 2_000));
    let later = ear.next(now + 2_000).expect("its time came");
    assert_eq!((later.sequence, later.repeat, later.tries), (loud.sequence, 0, 1), "the same one");
    // What is refused for good is not told again either.
    ear.book.given_up(loud.sequence);
    assert!(ear.book.is_idle());
}

#[test]
fn a_lost_way_back_pages_only_once_users_may_be_on_the_target() {
    let plan = || plans::founding().add(plans::step(Section::Ready, "snapshot")).add(cut("tidy"));
    let mut night = Night::of(plan().seal()).on("convert", Act::ok().after(min(30))).begin();
    night.until(min(1));
    night.every_time("ready:snapshot", Act::fails(Left::Nothing));
    let mut ear = Ear::new(Level::Act);
    let heard = ear.until(&mut night, 12);
    assert!(heard.iter().any(|heard| heard.ends_with("act wayBack")), "{heard:?}\n{}", night.story());

    let mut night = Night::of(plan().seal()).begin();
    night.until_it_is(RunState::Observing);
    night.every_time("ready:snapshot", Act::fails(Left::Nothing));
    let since = night.now() / min(1);
    let mut ear = Ear::new(Level::Act);
    let heard = ear.until(&mut night, since + 12);
    let first = heard.iter().position(|heard| heard.ends_with("page wayBack")).expect("it is told");
    assert!(heard[first + 1..].iter().all(|heard| heard.contains("page wayBack again ")), "{heard:?}");
    // It is looked at every five minutes: somebody who took charge knows that already.
    night.says("marta", Verb::InCharge { who: Some("marta".to_owned()) });
    assert!(ear.until(&mut night, since + 40).is_empty(), "{:?}", ear.heard);
    night.every_time("ready:snapshot", Act::ok());
    night.until(min(since + 50));
    night.every_time("ready:snapshot", Act::fails(Left::Nothing));
    let heard = ear.until(&mut night, since + 57);
    assert!(heard[0].ends_with("page wayBack"), "lost once more, it is news: {heard:?}");
}

#[test]
fn of_two_jumps_of_the_clock_only_the_newer_is_told_again() {
    let mut night = Night::of(plans::founding().seal()).begin();
    night.until_it_is(RunState::Observing);
    let mut ear = Ear::new(Level::Page);
    for _ in 0..2 {
        night.sim.jump(min(30)).expect("the machine takes it");
        ear.hear(&night);
    }
    assert_eq!(ear.heard, ["page clockJumped", "page clockJumped"]);
    let at = night.now() / min(1);
    let again = ear.until(&mut night, at + 6);
    assert!(again.len() == 1 && again[0].ends_with("page clockJumped again 1"), "{again:?}");
    night.says("marta", Verb::ConfirmClock);
    assert!(ear.until(&mut night, at + 20).is_empty());
}

/// The notice of the first event with this name.
fn notice(night: &Night, event: &str, level: Level) -> Notice {
    let (run, now) = (&night.sim.run, night.sim.now);
    let at = night.sim.log.iter().position(|record| record.event.word() == event).expect("it happened");
    let place = Place { sequence: at as u64 + 1, version: 7, epoch: 1 };
    let wording = Wording { place, level, matter: None, repeat: 1, host: "ops-7", folder: "/var/lib/bascule" };
    Notice::of(run, now, &night.sim.log[at], &wording)
}

#[test]
fn a_notice_of_a_question_says_what_the_screen_says() {
    let night = asks_in_the_cut();
    let told = notice(&night, "asked", Level::Page);
    insta::assert_snapshot!(told.text);
    let view = RunView::of(&night.sim.run, night.sim.now, &ProgressMap::new());
    let commands: Vec<&String> = view.questions[0].answers.iter().map(|answer| &answer.command).collect();
    assert_eq!(told.commands.iter().collect::<Vec<_>>(), commands);
    assert!(told.title.starts_with("shop/1: "), "{}", told.title);
    assert_eq!(told.at_local.len(), "2001-09-09T03:47:00.000+02:00".len());
    assert!(told.at_local.ends_with("+02:00") && told.at.ends_with('Z'), "{} {}", told.at_local, told.at);
}

/// The page promises the fields of a notice: the example on it has them all, and of the same kind.
#[test]
fn the_example_in_the_documentation_has_the_fields_of_a_real_notice() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/notifications.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let example: Value = serde_json::from_str(example).expect("the example is JSON");
    let real = serde_json::to_value(notice(&asks_in_the_cut(), "asked", Level::Page)).expect("a notice is JSON");
    let kinds = |value: &Value| -> Vec<(String, std::mem::Discriminant<Value>)> {
        let fields = value.as_object().expect("an object").iter();
        fields.map(|(name, value)| (name.clone(), std::mem::discriminant(value))).collect()
    };
    assert_eq!(kinds(&example), kinds(&real));
    for ms in [PAGE_AGAIN_MS, ACT_AGAIN_MS] {
        assert!(page.contains(&format!("{} minutes", ms / min(1))), "the page says how often: {ms} ms");
    }
}

#[test]
fn what_programs_say_cannot_leave_the_title() {
    let plan = plans::founding().policies(|policies| policies.on_failure = OnFailure::Ask);
    let mut night = Night::of(plan.seal()).begin();
    night.until(min(1));
    night.says("marta", Verb::InCharge { who: Some(format!("mar\0ta\n\u{1b}[2J{}", "ä".repeat(300))) });
    let told = notice(&night, "inCharge", Level::Info);
    assert!(!told.title.chars().any(char::is_control) && told.title.len() <= 140, "{:?}", told.title);
    assert!(told.commands.is_empty(), "nobody has to do anything");
}
