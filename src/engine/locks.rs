//! Who holds what, across the runs of one engine.
//!
//! All or none per request; undos stand before forward steps in every queue. A claim without a
//! declared capacity is exclusive. The table is rebuilt at start from the runs' states, before
//! anything is granted, so it needs no file of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use crate::machine::fact::{Direction, LockScope};
use crate::plan::policy::LockClaim;
use crate::store::RunName;

/// Stands where a step's name would, for the locks that a prepared run gives back and takes again.
const REST: &str = "*";

/// Somebody who holds locks or waits for them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// The run.
    pub run: RunName,
    /// The step; absent: the run itself.
    pub step: Option<String>,
}

impl Holder {
    /// A holder for a scope of a run.
    #[must_use]
    pub fn new(run: &RunName, scope: &LockScope) -> Self {
        let step = match scope {
            LockScope::Run => None,
            LockScope::Rest => Some(REST.to_owned()),
            LockScope::Step(step) => Some(step.as_str().to_owned()),
        };
        Self { run: run.clone(), step }
    }

    /// What it holds them for.
    #[must_use]
    pub fn scope(&self) -> LockScope {
        match self.step.as_deref() {
            None => LockScope::Run,
            Some(REST) => LockScope::Rest,
            Some(step) => LockScope::Step(step.into()),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.scope() {
            LockScope::Step(step) => write!(f, "{} ({step})", self.run.as_str()),
            LockScope::Run | LockScope::Rest => f.write_str(self.run.as_str()),
        }
    }
}

#[derive(Debug, Clone)]
struct Waiter {
    holder: Holder,
    claims: Vec<LockClaim>,
    undo: bool,
}

#[derive(Debug, Default)]
struct Table {
    held: BTreeMap<Holder, Vec<LockClaim>>,
    queue: VecDeque<Waiter>,
    capacities: BTreeMap<String, u64>,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All are held.
    Granted,
    /// These hold some of them; the request waits in line.
    Waits(Vec<String>),
}

/// The locks of one engine.
#[derive(Debug, Default)]
pub struct Locks {
    table: Mutex<Table>,
}

impl Locks {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Declares how much there is of something.
    pub fn set_capacity(&self, name: &str, capacity: u64) {
        self.table().capacities.insert(name.to_owned(), capacity);
    }

    /// What a run holds already, as its log says; asks nobody.
    pub fn restore(&self, holder: Holder, claims: Vec<LockClaim>) {
        self.table().held.insert(holder, claims);
    }

    /// Asks for all claims at once.
    #[must_use]
    pub fn acquire(&self, holder: Holder, claims: Vec<LockClaim>, direction: Direction) -> Answer {
        let mut table = self.table();
        table.queue.retain(|waiter| waiter.holder != holder);
        let waiter = Waiter { holder, claims, undo: direction == Direction::Undo };
        let before = table.queue.iter().filter(|other| other.undo || !waiter.undo);
        let is_next = !before.clone().any(|other| overlaps(&other.claims, &waiter.claims));
        let blocking = table.blocking(&waiter);
        if blocking.is_empty() && is_next {
            table.held.insert(waiter.holder, waiter.claims);
            return Answer::Granted;
        }
        let mut who: Vec<String> = blocking.iter().map(ToString::to_string).collect();
        if who.is_empty() {
            who = before
                .filter(|other| overlaps(&other.claims, &waiter.claims))
                .map(|other| format!("{} (waits before)", other.holder))
                .collect();
        }
        let at =
            if waiter.undo { table.queue.iter().take_while(|other| other.undo).count() } else { table.queue.len() };
        table.queue.insert(at, waiter);
        Answer::Waits(who)
    }

    /// Gives back what a holder has or waits for; answers who holds their locks now instead.
    #[must_use]
    pub fn release(&self, holder: &Holder) -> Vec<Holder> {
        let mut table = self.table();
        table.held.remove(holder);
        Self::grant(&mut table, holder)
    }

    /// Gives back what a run has or waits for, but its application's lock.
    #[must_use]
    pub fn release_rest(&self, run: &RunName) -> Vec<Holder> {
        let mut table = self.table();
        if let Some(held) = table.held.get_mut(&Holder::new(run, &LockScope::Run)) {
            held.retain(LockClaim::is_application);
        }
        let rest = Holder::new(run, &LockScope::Rest);
        table.held.remove(&rest);
        Self::grant(&mut table, &rest)
    }

    /// Serves the queue, in which one waits no longer.
    fn grant(table: &mut Table, gone: &Holder) -> Vec<Holder> {
        table.queue.retain(|waiter| waiter.holder != *gone);
        let mut granted = Vec::new();
        let waiting: Vec<Waiter> = table.queue.drain(..).collect();
        for waiter in waiting {
            let free = table.blocking(&waiter).is_empty();
            let is_next = !table.queue.iter().any(|other| overlaps(&other.claims, &waiter.claims));
            if free && is_next {
                table.held.insert(waiter.holder.clone(), waiter.claims);
                granted.push(waiter.holder);
            } else {
                table.queue.push_back(waiter);
            }
        }
        granted
    }

    /// Gives back everything of a run.
    #[must_use]
    pub fn release_run(&self, run: &RunName) -> Vec<Holder> {
        let mine: Vec<Holder> = {
            let table = self.table();
            let waiting = table.queue.iter().map(|waiter| &waiter.holder);
            table.held.keys().chain(waiting).filter(|holder| holder.run == *run).cloned().collect()
        };
        mine.iter().flat_map(|holder| self.release(holder)).filter(|holder| holder.run != *run).collect()
    }
}

impl Table {
    /// The holders because of whom a waiter cannot be served.
    fn blocking(&self, waiter: &Waiter) -> Vec<&Holder> {
        let mut found = Vec::new();
        for claim in &waiter.claims {
            let others = self.held.iter().filter(|(holder, _)| !is_same_run_lock(holder, &waiter.holder));
            let of_name: Vec<(&Holder, Option<u64>)> = others
                .flat_map(|(holder, held)| held.iter().filter(|h| h.name == claim.name).map(move |h| (holder, h.take)))
                .collect();
            let fits = match (self.capacities.get(&claim.name), claim.take) {
                (Some(capacity), Some(take)) => {
                    let used: u64 = of_name.iter().map(|(_, take)| take.unwrap_or(*capacity)).sum();
                    used.saturating_add(take) <= *capacity
                }
                (Some(_), None) | (None, _) => of_name.is_empty(),
            };
            if !fits {
                found.extend(of_name.iter().map(|(holder, _)| *holder));
            }
        }
        found.dedup();
        found
    }
}

/// A step may claim what its own run holds.
fn is_same_run_lock(holder: &Holder, waiter: &Holder) -> bool {
    let of_run = matches!(holder.step.as_deref(), None | Some(REST));
    holder.run == waiter.run && (of_run || waiter.step == holder.step)
}

fn overlaps(a: &[LockClaim], b: &[LockClaim]) -> bool {
    a.iter().any(|claim| b.iter().any(|other| other.name == claim.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(run: &str) -> Holder {
        Holder { run: RunName::parse(run).expect("a run's name"), step: None }
    }

    fn claims(names: &[&str]) -> Vec<LockClaim> {
        names.iter().map(|name| LockClaim { name: (*name).to_owned(), take: None }).collect()
    }

    #[test]
    fn a_lock_goes_to_the_one_who_waits_longest() {
        let locks = Locks::default();
        assert_eq!(locks.acquire(holder("a/1"), claims(&["vm:x"]), Direction::Forward), Answer::Granted);
        let waits = Answer::Waits(vec!["a/1".to_owned()]);
        assert_eq!(locks.acquire(holder("b/1"), claims(&["vm:x"]), Direction::Forward), waits);
        assert_eq!(locks.acquire(holder("c/1"), claims(&["vm:x"]), Direction::Forward), waits);
        assert_eq!(locks.release(&holder("a/1")), [holder("b/1")]);
    }

    #[test]
    fn an_undo_is_served_before_forward_steps() {
        let locks = Locks::default();
        assert_eq!(locks.acquire(holder("a/1"), claims(&["host:x"]), Direction::Forward), Answer::Granted);
        drop(locks.acquire(holder("b/1"), claims(&["host:x"]), Direction::Forward));
        drop(locks.acquire(holder("c/1"), claims(&["host:x"]), Direction::Undo));
        assert_eq!(locks.release(&holder("a/1")), [holder("c/1")]);
    }

    #[test]
    fn nothing_is_held_while_one_of_several_is_missing() {
        let locks = Locks::default();
        assert_eq!(locks.acquire(holder("a/1"), claims(&["vm:x"]), Direction::Forward), Answer::Granted);
        drop(locks.acquire(holder("b/1"), claims(&["vm:y", "vm:x"]), Direction::Forward));
        assert_eq!(locks.acquire(holder("c/1"), claims(&["vm:z"]), Direction::Forward), Answer::Granted);
        assert_eq!(locks.release(&holder("a/1")), [holder("b/1")]);
    }

    #[test]
    fn a_prepared_run_keeps_its_application_and_takes_the_rest_again() {
        let locks = Locks::default();
        let all = || claims(&["app:a", "vm:x", "vm:y"]);
        let rest = |run: &str| Holder::new(&RunName::parse(run).expect("a run's name"), &LockScope::Rest);
        assert_eq!(locks.acquire(holder("a/1"), all(), Direction::Forward), Answer::Granted);
        drop(locks.acquire(holder("b/1"), claims(&["vm:x"]), Direction::Forward));
        drop(locks.acquire(holder("a/2"), claims(&["app:a"]), Direction::Forward));
        assert_eq!(locks.release_rest(&holder("a/1").run), [holder("b/1")]);
        let waits = Answer::Waits(vec!["b/1".to_owned()]);
        assert_eq!(locks.acquire(rest("a/1"), claims(&["vm:x", "vm:y"]), Direction::Forward), waits);
        assert_eq!(locks.acquire(holder("c/1"), claims(&["vm:z"]), Direction::Forward), Answer::Granted);
        assert_eq!(locks.release(&holder("b/1")), [rest("a/1")]);
        let step = Holder { step: Some("work".to_owned()), ..holder("a/1") };
        assert_eq!(locks.acquire(step, claims(&["vm:y"]), Direction::Forward), Answer::Granted, "it is its own run's");
        assert_eq!(locks.release_run(&holder("a/1").run), [holder("a/2")]);
    }

    #[test]
    fn a_declared_capacity_is_shared() {
        let locks = Locks::default();
        locks.set_capacity("link:dc", 10);
        let take = |n| vec![LockClaim { name: "link:dc".to_owned(), take: Some(n) }];
        assert_eq!(locks.acquire(holder("a/1"), take(6), Direction::Forward), Answer::Granted);
        assert_eq!(locks.acquire(holder("b/1"), take(4), Direction::Forward), Answer::Granted);
        assert_eq!(
            locks.acquire(holder("c/1"), take(1), Direction::Forward),
            Answer::Waits(vec!["a/1".to_owned(), "b/1".to_owned()])
        );
    }
}
