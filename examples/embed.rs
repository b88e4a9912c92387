//! Bascule inside of another program, with an executor of that program's own.
//!
//! A runbook is compiled from text, executed durably in a state directory, and its events are read as they become
//! durable. `cargo run --example embed` shows a cutover whose second step fails, and the way back that follows.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bascule::engine::registry::{self, Registry};
use bascule::engine::{Engine, EngineOptions, NewRun};
use bascule::machine::Event;
use bascule::machine::fact::Actor;
use bascule::plan::{History, Input, Plan, compile};
use bascule::runbook::Documents;
use bascule::runbook::render::{Colour, report};
use bascule_plugin::{CheckCx, Description, Effect, ExecCx, Executor, Failure, Outcome, Role, Validation};
use serde_json::{Value, json};

/// `flag.set` is the executor below; the second step fails on purpose.
const RUNBOOK: &str = "
application: shop
rollbackWindow: 1m
preChecks:
  - { id: we_are_here, uses: noop, effect: none }
cutoverSteps:
  - { id: close_the_shop, uses: flag.set, with: { name: closed }, undo: {} }
  - { id: copy_the_goods, uses: command, with: { argv: [\"false\"] }, effect: once, undo: none, reason: nothing to take back }
  - { id: move_users, uses: flag.set, with: { name: moved }, undo: {}, exposes: true }
";

/// What `flag.set` changes: a stand-in for the caller's world.
#[derive(Default)]
struct Flags(Mutex<BTreeMap<String, bool>>);

impl Flags {
    fn set(&self, name: &str, up: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), up);
    }
}

/// Raises a flag; its undo lowers it again.
struct SetFlag(Arc<Flags>);

impl SetFlag {
    fn name(with: &Value) -> Result<&str, Failure> {
        with["name"].as_str().ok_or_else(|| Failure::new("`name` is missing"))
    }

    fn put(&self, with: &Value, up: bool) -> Outcome {
        match Self::name(with) {
            Ok(name) => {
                self.0.set(name, up);
                Outcome::done(json!({ "up": up }))
            }
            Err(failure) => Outcome::untouched(failure),
        }
    }
}

#[async_trait]
impl Executor for SetFlag {
    fn describe(&self) -> Description {
        Description {
            name: "flag.set",
            summary: "Raises a flag of this program.",
            params: json!({
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": { "name": { "type": "string" } },
            }),
            outputs: &[("up", "Whether it is up now.")],
            // To raise it twice is to raise it once.
            effect: Effect::Idempotent,
            probes: false,
            undoes: true,
        }
    }

    async fn validate(&self, _cx: &CheckCx, with: &Value, _role: Role) -> Validation {
        Self::name(with).map_or_else(Validation::Refused, |_| Validation::Verified)
    }

    async fn execute(&self, _cx: &ExecCx, with: &Value) -> Outcome {
        self.put(with, true)
    }

    async fn undo(&self, _cx: &ExecCx, with: &Value, _outputs: Option<&Value>) -> Outcome {
        self.put(with, false)
    }
}

/// All problems at once, with their places, or a plan.
fn plan(executors: &Registry) -> Result<Plan, String> {
    let mut documents = Documents::new();
    let file = documents.add("shop.yaml", RUNBOOK.as_bytes());
    let compiled = documents.runbook(file).map(|runbook| {
        compile(&Input {
            files: documents.sources(),
            runbook: &runbook,
            overlays: &[],
            catalogs: &[],
            executors: &registry::known(executors),
            history: &History::default(),
        })
    });
    let plan = compiled.and_then(|compiled| {
        documents.report(compiled.problems);
        compiled.plan
    });
    let (sources, problems) = documents.finish();
    plan.filter(|_| !problems.has_errors()).ok_or_else(|| report(&problems, &sources, Colour::Plain))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let flags = Arc::new(Flags::default());
    let mut executors = registry::executors();
    executors.insert("flag.set", Arc::new(SetFlag(flags.clone())));
    let plan = match plan(&executors) {
        Ok(plan) => plan,
        Err(problems) => {
            // The text names file, line and column, and points.
            writeln!(std::io::stderr(), "{problems}")?;
            return Err("the runbook is not valid".into());
        }
    };

    let mut options = EngineOptions::new(folder.path().to_owned());
    options.executors = executors;
    let engine = Engine::start(options).await?;
    let mut stories = engine.stories();
    let by = Actor::named("embed");
    let run = engine
        .create(NewRun { plan: Arc::new(plan), by, reason: None, trust_claimed_names: false, go_at: None })
        .await?;

    let mut out = std::io::stdout().lock();
    loop {
        let told = stories.recv().await?;
        if told.run != *run.name() {
            continue;
        }
        if let Event::Moved { to, .. } = &told.record.event {
            writeln!(out, "{}: {to}", run.name())?;
            if to.is_final() {
                break;
            }
        }
    }
    engine.stop().await?;
    writeln!(out, "flags: {:?}", flags.0.lock().unwrap_or_else(PoisonError::into_inner))?;
    Ok(())
}
