//! An engine in this process, on a disk that fails on demand, with an executor that writes down what it does.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bascule::engine::clock::Clock;
use bascule::engine::registry;
use bascule::engine::{Engine, EngineOptions, NewRun, RunHandle};
use bascule::machine::fact::Actor;
use bascule::machine::{Event, Record, Reply, Run, RunState, Verb};
use bascule::plan::{History, Input, Plan, compile};
use bascule::runbook::Documents;
use bascule::store::RunName;
use bascule_plugin::{CheckCx, Description, Effect, ExecCx, Executor, Failure, Outcome, Role, Validation};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::stores_disk::{Call, Fail, SimDisk};

/// A machine under load is slow; a test that waits longer has found something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What was done, and which gates are open.
#[derive(Clone)]
struct World {
    ledger: Arc<Mutex<Vec<String>>>,
    gates: watch::Sender<BTreeSet<String>>,
}

/// Writes its name down, then waits at its gate if it has one.
struct Deed(World);

impl Deed {
    fn write(&self, what: String) {
        self.0.ledger.lock().expect("no test panics while it holds the ledger").push(what);
    }
}

fn word<'a>(with: &'a Value, key: &str) -> Option<&'a str> {
    with.get(key).and_then(Value::as_str)
}

#[async_trait]
impl Executor for Deed {
    fn describe(&self) -> Description {
        Description {
            name: "deed",
            summary: "Writes its name down.",
            params: json!({
                "type": "object",
                "required": ["name"],
                "additionalProperties": false,
                "properties": {
                    "name": { "type": "string" },
                    "gate": { "type": "string" },
                    "laments": { "type": "integer", "description": "It fails, in so many bytes." },
                },
            }),
            outputs: &[],
            effect: Effect::Idempotent,
            probes: false,
            undoes: true,
        }
    }

    async fn validate(&self, _cx: &CheckCx, _with: &Value, _role: Role) -> Validation {
        Validation::Verified
    }

    async fn execute(&self, cx: &ExecCx, with: &Value) -> Outcome {
        self.write(word(with, "name").unwrap_or("nobody").to_owned());
        if let Some(gate) = word(with, "gate") {
            let mut gates = self.0.gates.subscribe();
            tokio::select! {
                _open = gates.wait_for(|open| open.contains(gate)) => {}
                () = cx.cancelled() => {}
            }
        }
        match with.get("laments").and_then(Value::as_u64) {
            Some(bytes) => {
                Outcome::untouched(Failure::new("woe ".repeat(usize::try_from(bytes).unwrap_or(usize::MAX) / 4)))
            }
            None => Outcome::done(json!({})),
        }
    }

    async fn undo(&self, _cx: &ExecCx, with: &Value, _outputs: Option<&Value>) -> Outcome {
        self.write(format!("undo {}", word(with, "name").unwrap_or("nobody")));
        Outcome::done(json!({}))
    }
}

/// A state directory, its disk, and what steps do.
pub(crate) struct Rig {
    folder: tempfile::TempDir,
    pub(crate) disk: SimDisk,
    world: World,
    clock: Option<Arc<dyn Clock>>,
    largest: Option<usize>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = SimDisk::with_dir(folder.path());
        let world = World { ledger: Arc::default(), gates: watch::Sender::new(BTreeSet::new()) };
        Self { folder, disk, world, clock: None, largest: None }
    }

    /// With a clock that the test turns.
    pub(crate) fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..Self::new() }
    }

    /// With a log that takes no more bytes at once.
    pub(crate) fn with_largest(largest: usize) -> Self {
        Self { largest: Some(largest), ..Self::new() }
    }

    pub(crate) fn state(&self) -> &Path {
        self.folder.path()
    }

    fn executors(&self) -> registry::Registry {
        let mut executors = registry::executors();
        executors.insert("deed", Arc::new(Deed(self.world.clone())));
        executors
    }

    /// An engine of the directory.
    pub(crate) async fn start(&self) -> Engine {
        let mut options = EngineOptions::new(self.state().to_owned());
        options.executors = self.executors();
        options.journal.disk = Arc::new(self.disk.clone());
        options.journal.largest = self.largest.unwrap_or(options.journal.largest);
        options.clock.clone_from(&self.clock);
        Engine::start(options).await.expect("the engine starts")
    }

    /// A plan from what follows the head of its runbook.
    pub(crate) fn plan(&self, application: &str, rest: &str) -> Arc<Plan> {
        let head = "sourcePlatform: a\ntargetPlatform: b\ndataOnRollback: stateless\n";
        let text = format!("application: {application}\n{head}{rest}");
        let mut documents = Documents::new();
        let file = documents.add("it.yaml", text.as_bytes());
        let runbook = documents.runbook(file).expect("a runbook");
        let compiled = compile(&Input {
            files: documents.sources(),
            runbook: &runbook,
            overlays: &[],
            catalogs: &[],
            executors: &registry::known(&self.executors()),
            history: &History::default(),
        });
        let problems = format!("{:?}", compiled.problems);
        Arc::new(compiled.plan.unwrap_or_else(|| panic!("{problems}")))
    }

    /// Creates a run.
    pub(crate) async fn create(&self, engine: &Engine, application: &str, rest: &str) -> RunHandle {
        let new = NewRun {
            plan: self.plan(application, rest),
            by: olga(),
            reason: None,
            trust_claimed_names: false,
            go_at: None,
        };
        engine.create(new).await.expect("the run is created")
    }

    pub(crate) fn open(&self, gate: &str) {
        self.world.gates.send_modify(|gates| {
            gates.insert(gate.to_owned());
        });
    }

    /// What steps did so far.
    pub(crate) fn ledger(&self) -> Vec<String> {
        self.world.ledger.lock().expect("no test panics while it holds the ledger").clone()
    }

    /// Fails the next call on the journal that `wanted` picks, once.
    pub(crate) fn fail_once(&self, fail: Fail, wanted: impl Fn(&Call) -> bool + Send + 'static) {
        let mut is_armed = true;
        self.disk.fail_by(move |call| {
            let hit = is_armed && is_of_journal(call) && wanted(call);
            is_armed &= !hit;
            hit.then_some(fail)
        });
    }
}

fn is_of_journal(call: &Call) -> bool {
    let (Call::Create(path)
    | Call::Reserve(path)
    | Call::Write(path, _)
    | Call::Sync(path)
    | Call::Rename(path)
    | Call::SyncDir(path)) = call;
    path.components().any(|part| part.as_os_str() == "journal")
}

pub(crate) fn is_flush(call: &Call) -> bool {
    matches!(call, Call::Sync(_))
}

pub(crate) fn is_write(call: &Call) -> bool {
    matches!(call, Call::Write(..))
}

/// A step that writes its name down, and waits at a gate if it has one.
pub(crate) fn step(id: &str, gate: Option<&str>, more: &str) -> String {
    let gate = gate.map(|gate| format!(", gate: {gate}")).unwrap_or_default();
    format!("  - {{ id: {id}, uses: deed, with: {{ name: {id}{gate} }}, undo: {{ estimate: 1s }}{more} }}\n")
}

pub(crate) fn olga() -> Actor {
    Actor::named("olga")
}

/// A person's verb, which must be legal.
pub(crate) async fn say(engine: &Engine, run: &RunName, verb: Verb) {
    let decided = engine.decide(run, verb.clone(), olga(), Some("because".into())).await.expect("the engine decides");
    assert_eq!(decided.reply, Reply::Done, "{verb:?}");
}

/// A run as it is now, from its task or from the log.
pub(crate) async fn now(engine: &Engine, run: &RunName) -> Run {
    if let Some(handle) = engine.live(run)
        && let Ok(found) = handle.look(|run, _| run.clone()).await
    {
        return found;
    }
    engine.read(run).await.expect("the run can be read").0
}

/// Waits until a run is as it is wanted.
pub(crate) async fn until(engine: &Engine, run: &RunName, wanted: impl Fn(&Run) -> bool) {
    let mut stories = engine.stories();
    let reached = async {
        loop {
            if wanted(&now(engine, run).await) {
                return;
            }
            // News wake it; the limit is for what is told to nobody.
            drop(tokio::time::timeout(Duration::from_millis(200), stories.recv()).await);
        }
    };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        let found = engine.read(run).await.expect("the run can be read").0;
        panic!("{run} is {} and waits: {:?}", found.state, events(engine, run).await);
    }
}

pub(crate) async fn until_it_is(engine: &Engine, run: &RunName, state: RunState) {
    until(engine, run, |run| run.state == state).await;
}

/// The words of a run's events, as they stand in the log.
pub(crate) async fn events(engine: &Engine, run: &RunName) -> Vec<&'static str> {
    records(engine, run).await.iter().map(|record| record.event.word()).collect()
}

pub(crate) async fn records(engine: &Engine, run: &RunName) -> Vec<Record> {
    let transitions = engine.log().read(run, 1, usize::MAX).await.expect("the log can be read");
    let records = |text: &str| serde_json::from_str::<Vec<Record>>(text).expect("records");
    transitions.iter().flat_map(|transition| records(transition.payload.as_str())).collect()
}

/// How often something was written.
pub(crate) async fn count(engine: &Engine, run: &RunName, wanted: impl Fn(&Event) -> bool) -> usize {
    records(engine, run).await.iter().filter(|record| wanted(&record.event)).count()
}
