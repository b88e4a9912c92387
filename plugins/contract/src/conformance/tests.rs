//! Every check is shown an executor that breaks exactly its obligation, and a good one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Subject, World, violations};
use crate::{CheckCx, Description, Effect, ExecCx, Executor, Failure, Left, Outcome, ProbeAnswer, Role, Validation};

/// What is wrong with the executor under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LooseSchema,
    AcceptsUnknown,
    ValidateWrites,
    UndeclaredOutput,
    StartsThoughCancelled,
    LeaksAProcess,
    NeverEnds,
    LiesAboutWhatIsLeft,
    WritesTwice,
    ChokesOnItsOwnHalf,
    ProbeLies,
    UndoKeeps,
    SecondUndoFails,
    UndoTakesWhatWasThere,
    UndoLeavesTheHalf,
    UndoCannotResume,
    ForgetsGenerations,
}

type Things = Arc<Mutex<BTreeSet<String>>>;

/// Puts a thing into a set in two halves, with an await point between them.
struct Toy {
    fault: Fault,
    things: Things,
}

impl Toy {
    fn has(&self, thing: &str) -> bool {
        self.things.lock().expect("no test panics here").contains(thing)
    }

    fn put(&self, thing: impl Into<String>) {
        self.things.lock().expect("no test panics here").insert(thing.into());
    }

    fn take(&self, thing: &str) {
        self.things.lock().expect("no test panics here").remove(thing);
    }

    fn refusal(&self, with: &Value) -> Option<Failure> {
        let unknown = with.as_object()?.keys().find(|key| *key != "thing")?;
        (self.fault != Fault::AcceptsUnknown).then(|| Failure::new(format!("unknown parameter `{unknown}`")))
    }

    async fn stop(&self, cx: &ExecCx) -> Option<Outcome> {
        if self.fault == Fault::NeverEnds {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        let left = if self.fault == Fault::LiesAboutWhatIsLeft { Left::Nothing } else { Left::Possible };
        cx.is_cancelled().then_some(Outcome::Cancelled { left })
    }
}

#[async_trait]
impl Executor for Toy {
    fn describe(&self) -> Description {
        let probe = self.fault == Fault::ProbeLies;
        Description {
            name: "toy",
            summary: "Puts a thing into a set.",
            params: json!({
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "object",
                "additionalProperties": self.fault == Fault::LooseSchema,
                "properties": {"thing": {"type": "string", "description": "What to put."}},
            }),
            outputs: &[("thing", "What was put.")],
            effect: if probe { Effect::Probe } else { Effect::Idempotent },
            probes: probe,
            undoes: true,
        }
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        if self.fault == Fault::ValidateWrites {
            self.put("validated");
        }
        self.refusal(with).map_or(Validation::Verified, Validation::Refused)
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        if let Some(failure) = self.refusal(with) {
            return Outcome::untouched(failure);
        }
        if cx.is_cancelled() && self.fault != Fault::StartsThoughCancelled {
            return Outcome::Cancelled { left: Left::Nothing };
        }
        if self.fault == Fault::ChokesOnItsOwnHalf && self.has("half") {
            return Outcome::possible(Failure::new("there is half a thing already"));
        }
        if self.fault == Fault::ForgetsGenerations && cx.key().generation > 0 {
            return Outcome::untouched(Failure::new("only once"));
        }
        self.put("half");
        if self.fault == Fault::LeaksAProcess {
            let started = std::process::Command::new("sleep").arg("60").envs(cx.child_environment()).spawn();
            self.put(format!("{}", started.is_ok()));
        }
        if let Some(outcome) = self.stop(cx).await {
            return outcome;
        }
        self.take("half");
        self.put("thing");
        if self.fault == Fault::WritesTwice {
            self.put(format!("attempt {}", cx.attempt()));
        }
        let output = if self.fault == Fault::UndeclaredOutput { "other" } else { "thing" };
        Outcome::done(json!({ output: "thing" }))
    }

    async fn probe(&self, _cx: &CheckCx, _with: &Value, _handle: Option<&Value>) -> ProbeAnswer {
        ProbeAnswer::NotStarted
    }

    async fn undo(&self, cx: &ExecCx, with: &Value, _outputs: Option<&Value>) -> Outcome {
        if let Some(failure) = self.refusal(with) {
            return Outcome::untouched(failure);
        }
        if self.fault == Fault::SecondUndoFails && !self.has("thing") && !self.has("half") {
            return Outcome::untouched(Failure::new("nothing to take"));
        }
        if self.fault == Fault::UndoTakesWhatWasThere {
            self.take("bystander");
        }
        if self.fault == Fault::UndoCannotResume && self.has("undoing") {
            return Outcome::possible(Failure::new("somebody is undoing"));
        }
        self.put("undoing");
        if let Some(outcome) = self.stop(cx).await {
            return outcome;
        }
        self.take("undoing");
        if self.fault != Fault::UndoLeavesTheHalf {
            self.take("half");
        }
        if self.fault != Fault::UndoKeeps {
            self.take("thing");
        }
        Outcome::done(json!({}))
    }
}

struct Set(Things);

#[async_trait]
impl World for Set {
    fn with(&self) -> Value {
        json!({"thing": "thing"})
    }

    async fn fingerprint(&self) -> String {
        format!("{:?}", self.0.lock().expect("no test panics here"))
    }
}

struct ToySubject {
    fault: Fault,
    things: Things,
}

#[async_trait]
impl Subject for ToySubject {
    fn name(&self) -> String {
        "toy".to_owned()
    }

    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(Toy { fault: self.fault, things: Arc::clone(&self.things) })
    }

    async fn fresh(&self) -> Box<dyn World> {
        *self.things.lock().expect("no test panics here") = BTreeSet::from(["bystander".to_owned()]);
        Box::new(Set(Arc::clone(&self.things)))
    }

    fn prompt(&self) -> std::time::Duration {
        std::time::Duration::from_millis(50)
    }
}

async fn broken_checks(fault: Fault) -> Vec<&'static str> {
    let subject = ToySubject { fault, things: Arc::default() };
    // An executor that never ends would hold up the checks that wait for an end.
    let checks = tokio::time::timeout(std::time::Duration::from_secs(60), violations(&subject)).await;
    checks.expect("the checks end").into_iter().map(|violation| violation.check).collect()
}

#[tokio::test]
async fn a_good_executor_conforms() {
    assert_eq!(broken_checks(Fault::None).await, Vec::<&str>::new());
}

#[tokio::test]
async fn every_fault_is_found_by_its_check() {
    let faults = [
        (Fault::LooseSchema, "describes itself"),
        (Fault::AcceptsUnknown, "refuses unknown parameters"),
        (Fault::ValidateWrites, "validates without a trace"),
        (Fault::UndeclaredOutput, "succeeds and says what it declares"),
        (Fault::StartsThoughCancelled, "does nothing when it is already cancelled"),
        (Fault::LiesAboutWhatIsLeft, "leaves nothing running when interrupted or cancelled"),
        (Fault::WritesTwice, "repeats under the same key"),
        (Fault::ChokesOnItsOwnHalf, "reaches the same end after an interruption or a cancel"),
        (Fault::ProbeLies, "probes"),
        (Fault::UndoKeeps, "undoes, also twice"),
        (Fault::SecondUndoFails, "undoes, also twice"),
        (Fault::UndoTakesWhatWasThere, "undoes what never ran without a trace"),
        (Fault::UndoLeavesTheHalf, "undoes what was interrupted"),
        (Fault::UndoCannotResume, "undoes after an interrupted undo"),
        (Fault::ForgetsGenerations, "performs again after an undo"),
    ];
    for (fault, check) in faults {
        let broken = broken_checks(fault).await;
        assert!(broken.contains(&check), "{fault:?} was not found by `{check}`, only by {broken:?}");
    }
}

#[tokio::test]
async fn an_attempt_that_ignores_its_cancel_is_found() {
    let subject = ToySubject { fault: Fault::NeverEnds, things: Arc::default() };
    let trial = super::trial::Trial::fresh(&subject).await;
    let ended = trial.run(super::trial::Action::Step, super::trial::Disturb::Cancel(1)).await;
    assert!(!ended.prompt, "the attempt never ends, so it cannot have ended in time");
}

#[tokio::test]
async fn a_process_that_an_attempt_leaves_is_found() {
    let subject = ToySubject { fault: Fault::LeaksAProcess, things: Arc::default() };
    let trial = super::trial::Trial::fresh(&subject).await;
    trial.run(super::trial::Action::Step, super::trial::Disturb::Drop(1)).await;
    let running = trial.left_running().await;
    assert_eq!(running.len(), 1, "one process sleeps");
    for pid in running {
        let killed = std::process::Command::new("kill").arg("-KILL").arg(pid.to_string()).status();
        assert!(killed.expect("kill can be started").success(), "the process {pid} was there to be ended");
    }
}
