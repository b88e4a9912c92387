//! Random histories: what holds in every night.
//!
//! A hundred thousand of them by seed, fast; some hundreds more by numbers that shrink, so that what
//! breaks is told in its shortest form. `BASCULE_SEED` and `BASCULE_HISTORIES` choose others.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use crate::support::choices::Choices;
use crate::support::history::{self, Broke, Seen};
use crate::support::random_plan::random_plan;

/// How many histories live through one plan: making a plan costs more than a night.
const NIGHTS_PER_PLAN: u64 = 8;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn live(seeds: impl Iterator<Item = u64>, seen: &mut Seen, stop: &AtomicBool) -> Result<(), (u64, Broke)> {
    let mut plan = None;
    for seed in seeds {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let of_plan = seed / NIGHTS_PER_PLAN;
        let plan = match &mut plan {
            Some((of, plan)) if *of == of_plan => plan,
            other => &mut other.insert((of_plan, random_plan(&mut Choices::seeded(of_plan)))).1,
        };
        history::live(plan, Choices::seeded(seed), seen).map_err(|broke| (seed, broke))?;
    }
    Ok(())
}

/// A failing history in the shortest form that simple shortening finds.
fn shorten(seed: u64, broke: Broke) -> Broke {
    let plan = random_plan(&mut Choices::seeded(seed / NIGHTS_PER_PLAN));
    let mut best = broke;
    let mut size = best.choices.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < best.choices.len() {
            let end = (at + size).min(best.choices.len());
            let mut fewer = best.choices.clone();
            fewer.drain(at..end);
            let mut duller = best.choices.clone();
            duller[at..end].fill(0);
            let shorter = [fewer, duller].into_iter().find_map(|numbers| {
                let changed = numbers != best.choices;
                let lived = history::live(&plan, Choices::given(numbers), &mut Seen::default());
                lived.err().filter(|next| changed && next.choices.len() <= best.choices.len())
            });
            match shorter {
                Some(next) if next.choices != best.choices => best = next,
                Some(_) | None => at += size,
            }
        }
        size /= 2;
    }
    best
}

#[test]
fn one_hundred_thousand_random_histories_break_nothing() {
    let (first, count) = (number("BASCULE_SEED", 1), number("BASCULE_HISTORIES", 100_000));
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
    let stop = AtomicBool::new(false);
    let share = count.div_ceil(threads).next_multiple_of(NIGHTS_PER_PLAN);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let part = |thread: u64| {
            let seeds = first + thread * share..first + ((thread + 1) * share).min(count);
            let stop = &stop;
            scope.spawn(move || {
                let mut seen = Seen::default();
                let lived = live(seeds, &mut seen, stop);
                stop.fetch_or(lived.is_err(), Ordering::Relaxed);
                (lived, seen)
            })
        };
        let running: Vec<_> = (0..threads).map(part).collect();
        running.into_iter().map(|thread| thread.join().expect("a history does not panic")).collect()
    });
    let mut seen = Seen::default();
    for (lived, part) in parts {
        if let Err((seed, broke)) = lived {
            let short = shorten(seed, broke);
            panic!("seed {seed}: {}\n{}\nseed {seed}: {}", short.why, short.story, short.why);
        }
        seen.merge(part);
    }
    if count >= 100_000 {
        went_everywhere(&seen);
    }
}

/// Histories that never reach something prove nothing of it.
fn went_everywhere(seen: &Seen) {
    let states = "checking preparing prepared cutting_over observing accepted committing deciding rolling_back stuck";
    let ends = "refused cancelled committed rolled_back closed_with_residue";
    let questions = "UnknownOutcome StepFailed PartialEffect CheckInconclusive ValueUnknown OutOfTime Tripped Blind \
                     PostCheckFailed GateUnmet AwayTooLong StaleCheck Denied Irreversible PastIrreversible \
                     LateStepFailed LateEffect StartWindowEnded TurnBack UndoByHand RequirementRolledBack \
                     PluginChanged Amendment";
    let verbs = "Go Resume Pause Extend Retry Skip Waive Happened DidNotHappen ItFailed ProbeAgain Approve Reject \
                 Cancel Rollback ContinueRollback UndoRetry UndoWaive UndoDone WindowExtend Commit Accept Close \
                 ForwardAgain GoOn Note InCharge Disarm SignOff ConfirmClock Amend GoAt";
    let events = "amended goPlanned goMissed";
    let crashes = "Idle BeforeCommit BeforeActing";
    let kinds = [
        ("state", states),
        ("state", ends),
        ("question", questions),
        ("verb", verbs),
        ("crash", crashes),
        ("event", events),
    ];
    let backs = ["StepFailed", "PostCheckFailed", "Tripped", "RequirementRolledBack"]
        .map(|cause| format!("back the engine's {cause}"));
    let named =
        kinds.iter().flat_map(|(kind, names)| names.split_whitespace().map(move |name| format!("{kind} {name}")));
    let never: Vec<String> = named.chain(backs).filter(|word| !seen.words.contains_key(word)).collect();
    assert!(never.is_empty(), "no history reached {never:?}; seen were\n{:#?}", seen.words);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_shrink_to_their_cause(
        of_plan in proptest::collection::vec(0_u32..1 << 24, 0..150),
        of_night in proptest::collection::vec(0_u32..1 << 24, 0..600),
    ) {
        let plan = random_plan(&mut Choices::given(of_plan));
        if let Err(broke) = history::live(&plan, Choices::given(of_night), &mut Seen::default()) {
            prop_assert!(false, "{}\n{}", broke.why, broke.story);
        }
    }
}
