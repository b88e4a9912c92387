//! Faults on request: what goes wrong, where, and how often.
//!
//! A [`Board`] holds the active faults of one process. Services ask it at the moment in which the fault would strike;
//! nothing else in the lab knows how a fault looks. It never changes state of a service itself. Start with [`Fault`].

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

/// One thing that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Given by the lab when the fault is accepted.
    #[serde(default)]
    pub id: u64,
    /// `source`, `target`, `lb` (`lb-data`, `lb-api`), `dns` (`dns-data`, `dns-api`), `backup` (`errors` and
    /// `disk-full` make its jobs fail, the rest strikes its API), `metrics`, or a machine: `vm:NAME`, `vm:source/NAME`, `vm:target/NAME`.
    pub target: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// Milliseconds for `latency`, a fraction from 0 to 1 for `errors` (1 if absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How many requests it strikes before it is over; until it is cleared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Answers come `value` milliseconds later.
    Latency,
    /// A fraction `value` of the requests is answered with 500 and not done.
    Errors,
    /// Accepts and never answers; nothing is done.
    Hang,
    /// Refuses connections.
    Refuse,
    /// Claims success and does nothing.
    Lie,
    /// Does the work and drops the connection before the answer.
    LoseAnswer,
    /// Writes to disk fail as on a full disk.
    DiskFull,
}

/// Why a fault was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// Nothing of that name.
    #[error(
        "nothing in the lab is called `{0}`: use source, target, lb, lb-data, lb-api, dns, dns-data, dns-api, backup, metrics or vm:NAME"
    )]
    Target(String),
    /// A value outside its range.
    #[error("{kind:?} needs {needs}")]
    Value {
        /// The kind of the fault.
        kind: FaultKind,
        /// What it needs.
        needs: &'static str,
    },
}

const PLACES: [&str; 10] =
    ["source", "target", "lb", "lb-data", "lb-api", "dns", "dns-data", "dns-api", "backup", "metrics"];

impl Fault {
    /// A fault without value or limit.
    pub fn new(target: impl Into<String>, kind: FaultKind) -> Self {
        Self { id: 0, target: target.into(), kind, value: None, count: None }
    }

    /// The same fault with a value.
    #[must_use]
    pub fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// The same fault, over after `count` strikes.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Whether the lab can do it.
    ///
    /// # Errors
    /// The target does not exist or the value makes no sense.
    pub fn check(&self) -> Result<(), FaultError> {
        if !PLACES.contains(&self.target.as_str()) && self.machine().is_none() {
            return Err(FaultError::Target(self.target.clone()));
        }
        let wrong = match self.kind {
            FaultKind::Latency => {
                (!self.value.is_some_and(|ms| ms > 0.0 && ms <= 600_000.0)).then_some("a value from 1 to 600000 ms")
            }
            FaultKind::Errors => {
                self.value.is_some_and(|share| !(0.0..=1.0).contains(&share)).then_some("a value from 0 to 1")
            }
            FaultKind::Hang | FaultKind::Refuse | FaultKind::Lie | FaultKind::LoseAnswer | FaultKind::DiskFull => {
                self.value.is_some().then_some("no value")
            }
        };
        wrong.map_or(Ok(()), |needs| Err(FaultError::Value { kind: self.kind, needs }))
    }

    /// The platform (if said) and name of the machine that this fault is for.
    pub(crate) fn machine(&self) -> Option<(Option<&str>, &str)> {
        let name = self.target.strip_prefix("vm:")?;
        let found = match name.split_once('/') {
            Some((platform @ ("source" | "target"), name)) => (Some(platform), name),
            Some(_) => return None,
            None => (None, name),
        };
        (!found.1.is_empty()).then_some(found)
    }

    /// Whether this fault is for the machine `name` of `platform`.
    pub(crate) fn is_for_machine(&self, platform: &str, name: &str) -> bool {
        self.machine().is_some_and(|(on, vm)| vm == name && on.is_none_or(|on| on == platform))
    }

    fn is_at(&self, place: &str) -> bool {
        self.target == place
            || (self.target == "lb" && place.starts_with("lb-"))
            || (self.target == "dns" && place.starts_with("dns-"))
            || (self.target == "backup" && place == self.kind.place_of_backup())
            || (place == "vm" && self.target.starts_with("vm:"))
    }
}

impl FaultKind {
    /// A backup service that is told to fail still answers: its jobs fail.
    fn place_of_backup(self) -> &'static str {
        match self {
            Self::Errors | Self::DiskFull => "backup-jobs",
            Self::Latency | Self::Hang | Self::Refuse | Self::Lie | Self::LoseAnswer => "backup-api",
        }
    }
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    /// How often it was asked, to spread a fraction evenly and the same way every time.
    asked: u64,
    struck: u64,
}

impl Active {
    fn is_over(&self) -> bool {
        self.fault.count.is_some_and(|count| self.struck >= count)
    }
}

/// The active faults of this process.
#[derive(Debug)]
pub(crate) struct Board {
    active: Mutex<Vec<Active>>,
    changed: watch::Sender<u64>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { active: Mutex::new(Vec::new()), changed: watch::Sender::new(0) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<Active>) -> T) -> T {
        // A panic elsewhere leaves a list of faults that is still a list of faults.
        work(&mut self.active.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a checked fault; answers it with its id.
    pub(crate) fn add(&self, mut fault: Fault) -> Fault {
        let mut id = 0;
        self.changed.send_modify(|version| {
            *version += 1;
            id = *version;
        });
        fault.id = id;
        self.with(|active| active.push(Active { fault: fault.clone(), asked: 0, struck: 0 }));
        self.changed.send_modify(|version| *version += 1);
        fault
    }

    /// Makes the list equal to `faults`, keeping the counts of those that stay.
    pub(crate) fn replace(&self, faults: Vec<Fault>) {
        self.with(|active| {
            let mut before = std::mem::take(active);
            for fault in faults {
                let known = before.iter().position(|one| one.fault.id == fault.id);
                active.push(known.map_or(Active { fault, asked: 0, struck: 0 }, |at| before.swap_remove(at)));
            }
        });
        self.changed.send_modify(|version| *version += 1);
    }

    /// Removes the faults of a target, of a kind, or all; answers how many.
    pub(crate) fn clear(&self, target: Option<&str>, kind: Option<FaultKind>) -> usize {
        let gone = self.with(|active| {
            let before = active.len();
            active.retain(|one| {
                target.is_some_and(|target| target != one.fault.target)
                    || kind.is_some_and(|kind| kind != one.fault.kind)
            });
            before - active.len()
        });
        self.changed.send_modify(|version| *version += 1);
        gone
    }

    /// The faults that are not over.
    pub(crate) fn list(&self) -> Vec<Fault> {
        self.with(|active| active.iter().filter(|one| !one.is_over()).map(|one| one.fault.clone()).collect())
    }

    /// The faults with how often each has struck; a machine counts its own, and nobody here knows.
    pub(crate) fn view(&self) -> Vec<Value> {
        self.with(|active| {
            let shown = active.iter().map(|one| {
                let struck = one.fault.machine().is_none().then_some(one.struck);
                json!({ "fault": one.fault, "struck": struck, "over": one.is_over() })
            });
            shown.collect()
        })
    }

    /// Whether a fault strikes this request.
    pub(crate) fn strike(&self, place: &str, kind: FaultKind) -> Option<Strike> {
        self.with(|active| {
            let one =
                active.iter_mut().find(|one| one.fault.kind == kind && !one.is_over() && one.fault.is_at(place))?;
            one.asked += 1;
            let value = one.fault.value.unwrap_or(1.0);
            if kind == FaultKind::Errors && !falls_on(one.asked, value) {
                return None;
            }
            one.struck += 1;
            Some(Strike { id: one.fault.id, value })
        })
    }

    /// Whether a fault that strikes everybody strikes the lab's own request as well. It is not counted.
    pub(crate) fn strike_background(&self, place: &str, kind: FaultKind) -> Option<Strike> {
        let for_all = |one: &&Active| {
            let fault = &one.fault;
            let every_time = kind != FaultKind::Errors || fault.value.is_none_or(|share| share >= 1.0);
            fault.kind == kind && fault.count.is_none() && every_time && fault.is_at(place)
        };
        self.with(|active| {
            let one = active.iter().find(for_all)?;
            Some(Strike { id: one.fault.id, value: one.fault.value.unwrap_or(1.0) })
        })
    }

    /// Whether `kind` is on at `place`, without counting it.
    pub(crate) fn is_on(&self, place: &str, kind: FaultKind) -> bool {
        self.with(|active| active.iter().any(|one| one.fault.kind == kind && !one.is_over() && one.fault.is_at(place)))
    }

    /// Whether no connection at all is to be accepted. A counted refusal is struck per request instead.
    pub(crate) fn is_closed(&self, place: &str) -> bool {
        self.with(|active| {
            active
                .iter()
                .any(|one| one.fault.kind == FaultKind::Refuse && one.fault.count.is_none() && one.fault.is_at(place))
        })
    }

    /// Signals every change of the list.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Resolves when the fault is cleared. One that is over by its count stays until then.
    pub(crate) async fn cleared(&self, id: u64) {
        let mut changes = self.changes();
        // The sender lives in `self`, so the wait ends only by a change.
        while self.with(|active| active.iter().any(|one| one.fault.id == id)) && changes.changed().await.is_ok() {}
    }
}

/// A fault that struck.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strike {
    /// Which fault.
    pub id: u64,
    /// Its value, 1 if it has none.
    pub value: f64,
}

/// Whether the `n`th request (from 1) is one of the fraction `share`, spread as evenly as can be.
fn falls_on(n: u64, share: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a lab answers fewer than 2^52 requests")]
    let (now, before) = (n as f64 * share, (n - 1) as f64 * share);
    now.floor() > before.floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_errors_is_spread_evenly() {
        let board = Board::new();
        board.add(Fault::new("vm:app", FaultKind::Errors).value(0.25));
        let struck: Vec<bool> = (0..8).map(|_| board.strike("vm", FaultKind::Errors).is_some()).collect();
        assert_eq!(struck, [false, false, false, true, false, false, false, true]);
    }

    #[test]
    fn a_counted_fault_ends_by_itself_and_leaves_the_list() {
        let board = Board::new();
        board.add(Fault::new("target", FaultKind::Lie).times(1));
        assert!(board.strike("source", FaultKind::Lie).is_none());
        assert!(board.strike("target", FaultKind::Lie).is_some());
        assert!(board.strike("target", FaultKind::Lie).is_none());
        assert!(board.list().is_empty());
    }

    #[test]
    fn replacing_the_list_keeps_the_counts_of_what_stays() {
        let board = Board::new();
        let kept = board.add(Fault::new("vm:app", FaultKind::Errors).times(2));
        assert!(board.strike("vm", FaultKind::Errors).is_some());
        board.replace(vec![kept, Fault { id: 77, ..Fault::new("vm:app", FaultKind::Hang) }]);
        assert!(board.strike("vm", FaultKind::Errors).is_some());
        assert!(board.strike("vm", FaultKind::Errors).is_none());
        assert!(board.is_on("vm", FaultKind::Hang));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(Fault::new("moon", FaultKind::Hang).check().is_err());
        assert!(Fault::new("vm:moon/app", FaultKind::Hang).check().is_err());
        assert!(Fault::new("target", FaultKind::Latency).check().is_err());
        assert!(Fault::new("target", FaultKind::Errors).value(1.5).check().is_err());
        assert!(Fault::new("vm:target/app", FaultKind::Latency).value(400.0).check().is_ok());
    }

    #[test]
    fn a_name_covers_both_doors_of_the_balancer() {
        let board = Board::new();
        board.add(Fault::new("lb", FaultKind::Hang));
        assert!(board.is_on("lb-data", FaultKind::Hang) && board.is_on("lb-api", FaultKind::Hang));
        assert_eq!(board.clear(Some("lb"), None), 1);
        assert!(!board.is_on("lb-api", FaultKind::Hang));
    }
}
