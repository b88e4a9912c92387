//! Compiles texts, and prints what came out so that a person can compare it.

use std::fmt::Write as _;

use bascule::plan::{
    CatalogRank, CatalogSource, Compiled, ExecutorInfo, Executors, Explanation, History, Input, Plan, StepIx, compile,
    estimate, explain::explain, lint, rollback, step::Effect,
};
use bascule::runbook::render::{self, Colour};
use bascule::runbook::{Catalog, Documents, Overlay, Runbook};
use serde_json::{Value, json};

/// Documents on their way to a plan.
pub(crate) struct Bench {
    documents: Documents,
    runbook: String,
    catalogs: Vec<(String, CatalogRank, Catalog)>,
    overlays: Vec<Overlay>,
    executors: Executors,
    history: History,
}

/// What came out.
pub(crate) struct Made {
    pub(crate) compiled: Compiled,
    report: String,
}

fn info(effect: Effect, params: Value) -> ExecutorInfo {
    ExecutorInfo {
        contract: Some(1),
        sha256: None,
        params,
        effect,
        probes: false,
        undoes: false,
        progress: false,
        outputs: Vec::new(),
    }
}

fn executors() -> Executors {
    let any = json!({ "type": "object" });
    let mut table = Executors::new();
    for name in ["noop", "http.call", "http.probe", "look"] {
        let effect = if name == "noop" || name == "http.call" { Effect::Once } else { Effect::None };
        table.insert(name.to_owned(), info(effect, any.clone()));
    }
    let copy = json!({
        "type": "object",
        "required": ["from", "to"],
        "additionalProperties": false,
        "properties": {
            "from": { "type": "string", "minLength": 1 },
            "to": { "type": "string" },
            "mode": { "enum": ["whole", "changed"] },
            "parallel": { "type": "integer", "minimum": 1, "maximum": 64 },
            "options": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    table.insert("copy".to_owned(), ExecutorInfo { probes: true, undoes: true, ..info(Effect::Probe, copy) });
    let command = json!({
        "type": "object",
        "properties": { "argv": { "type": "array", "items": { "type": "string" } }, "shell": { "type": "string" } },
        "oneOf": [{ "required": ["argv"] }, { "required": ["shell"] }],
    });
    table.insert("command".to_owned(), info(Effect::Once, command));
    table
}

impl Bench {
    pub(crate) fn new(runbook: &str) -> Self {
        Self {
            documents: Documents::new(),
            runbook: runbook.to_owned(),
            catalogs: Vec::new(),
            overlays: Vec::new(),
            executors: executors(),
            history: History::default(),
        }
    }

    pub(crate) fn catalog(mut self, name: &str, rank: CatalogRank, text: &str) -> Self {
        let file = self.documents.add(name, text.as_bytes());
        if let Some(catalog) = self.documents.catalog(file) {
            self.catalogs.push((name.to_owned(), rank, catalog));
        }
        self
    }

    pub(crate) fn shipped(self, name: &str, text: &str) -> Self {
        self.catalog(name, CatalogRank::Shipped, text)
    }

    pub(crate) fn overlay(mut self, text: &str) -> Self {
        let file = self.documents.add("overlay.yaml", text.as_bytes());
        self.overlays.extend(self.documents.overlay(file));
        self
    }

    pub(crate) fn set(mut self, argument: &str) -> Self {
        self.overlays.extend(self.documents.set(argument));
        self
    }

    pub(crate) fn with_executors(mut self, executors: Executors) -> Self {
        self.executors = executors;
        self
    }

    /// Where the values of a step come from.
    pub(crate) fn explain(mut self, step: &str) -> Option<Explanation> {
        let runbook = self.runbook();
        let catalogs = self.sources();
        explain(&self.input(&runbook, &catalogs), step)
    }

    pub(crate) fn compile(mut self) -> Made {
        let runbook = self.runbook();
        let catalogs = self.sources();
        let compiled = compile(&self.input(&runbook, &catalogs));
        drop(catalogs);
        self.documents.report(compiled.problems.clone());
        let (sources, problems) = self.documents.finish();
        Made { compiled, report: render::report(&problems, &sources, Colour::Plain) }
    }

    fn runbook(&mut self) -> Runbook {
        let file = self.documents.add("runbook.yaml", self.runbook.as_bytes());
        self.documents.runbook(file).expect("the test's runbook can be read")
    }

    fn sources(&self) -> Vec<CatalogSource<'_>> {
        self.catalogs.iter().map(|(name, rank, catalog)| CatalogSource { name, rank: *rank, catalog }).collect()
    }

    fn input<'a>(&'a self, runbook: &'a Runbook, catalogs: &'a [CatalogSource<'a>]) -> Input<'a> {
        Input {
            files: self.documents.sources(),
            runbook,
            overlays: &self.overlays,
            catalogs,
            executors: &self.executors,
            history: &self.history,
        }
    }
}

impl Made {
    /// All problems as a person sees them.
    pub(crate) fn report(&self) -> String {
        self.report.clone()
    }

    pub(crate) fn plan(&self) -> &Plan {
        match &self.compiled.plan {
            Some(plan) => plan,
            None => panic!("no plan:\n{}", self.report),
        }
    }

    /// The plan in lines: lists, needs, marks, the way back, times.
    pub(crate) fn outline(&self) -> String {
        outline(self.plan())
    }
}

fn outline(plan: &Plan) -> String {
    let mut text = String::new();
    let mut last = None;
    for (ix, step) in plan.steps.iter().enumerate() {
        if last != Some(step.section) {
            last = Some(step.section);
            text.push_str(&format!("{}:\n", step.section.key()));
        }
        let needs: Vec<String> = step.needs.iter().map(|need| format!("{} ({:?})", need.step, need.kind)).collect();
        let marks = [
            (step.takes_source_down, "takes the source down"),
            (step.moves_data, "moves data"),
            (step.exposes, "exposes"),
            (step.is_irreversible(), "irreversible"),
        ];
        let marks: Vec<&str> = marks.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark).collect();
        writeln!(text, "  {} [{:?}] {} {}", step.id, plan.step(ix).effect, needs.join(", "), marks.join(", "))
            .expect("text can grow");
    }
    let back = rollback::complete(plan);
    let name = |ix: &StepIx| plan.step(*ix).id.to_string();
    for (title, part) in [("restore", &back.restore), ("clean-up", &back.cleanup)] {
        let nodes: Vec<String> = part
            .iter()
            .map(|node| match node.blocked_by.as_slice() {
                [] => name(&node.step),
                blocked => format!(
                    "{} (blocked by {})",
                    name(&node.step),
                    blocked.iter().map(name).collect::<Vec<_>>().join(", ")
                ),
            })
            .collect();
        writeln!(text, "{title}: {}", nodes.join(" → ")).expect("text can grow");
    }
    let times = estimate::estimate(plan, &History::default());
    writeln!(
        text,
        "data: {:?}\nexposed after {}, cutover {}, source serves after {}, clean after {}",
        plan.policies.data,
        times.until_exposure.map(|length| length.to_string()).unwrap_or_default(),
        times.cutover,
        times.until_source_serves,
        times.until_clean
    )
    .expect("text can grow");
    let missing: Vec<&str> = plan.missing.iter().map(|missing| missing.name.as_str()).collect();
    writeln!(text, "missing: {missing:?}, not proved: {:?}", lint::unproved(plan)).expect("text can grow");
    text
}
