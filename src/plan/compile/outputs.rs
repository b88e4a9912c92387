//! Uses of what other steps gave, and of baselines.
//!
//! A use is an edge that also blocks undos. It never makes an order by itself: the other step must
//! come before already, so that a reader of the list sees why.

use std::collections::{BTreeMap, HashMap};

use super::context::Context;
use super::criteria::Drawn;
use super::expand::Draft;
use super::uses::{Moment, Use, Uses};
use crate::plan::step::{Need, NeedKind, Section, Step, StepId};
use crate::runbook::codes;
use crate::runbook::problem::Problem;
use crate::runbook::source::Span;

/// Adds the edges, and refuses uses of what is not there yet.
pub(super) fn connect(cx: &mut Context<'_>, drafts: &[Draft<'_>], steps: &mut [Step], criteria: &[Drawn]) {
    let baselines = baselines(cx, drafts);
    for uses in drafts.iter().map(|draft| &draft.uses).chain(criteria.iter().map(|drawn| &drawn.uses)) {
        check_baselines(cx, uses, &baselines);
    }
    if !drafts.iter().any(|draft| has_steps(&draft.uses)) && !criteria.iter().any(|drawn| has_steps(&drawn.uses)) {
        return;
    }
    let order = Order::new(steps);
    let exposing = steps.iter().position(|step| step.exposes);
    let mut edges: Vec<(usize, usize)> = Vec::new();
    for (ix, draft) in drafts.iter().enumerate() {
        for (name, used) in draft.uses.under("steps") {
            match find(&order, steps, draft.section, name) {
                None => refuse_unknown(cx, drafts, name, used),
                Some(other) if is_there(&order, steps, exposing, (ix, other), used) => {
                    if steps[other].section == draft.section && other != ix {
                        edges.push((ix, other));
                    }
                }
                Some(other) => refuse(cx, draft, &drafts[other], used),
            }
            check_outputs(cx, name, used);
            if let Some(other) = find(&order, steps, draft.section, name) {
                check_field(cx, &drafts[other], &draft.uses, used);
            }
        }
    }
    for drawn in criteria {
        check_criterion(cx, drafts, steps, (&order, exposing), drawn);
    }
    for (ix, other) in edges {
        add_edge(&mut steps[ix], &order, drafts[other].id.clone());
    }
}

fn has_steps(uses: &Uses) -> bool {
    uses.values.iter().any(|used| used.path.root == "steps")
}

/// A use is a stronger reason than standing below; a written need stays what its author wrote.
fn add_edge(step: &mut Step, order: &Order, other: StepId) {
    match step.needs.iter_mut().find(|need| need.step == other) {
        Some(need) if need.kind == NeedKind::Written => {}
        Some(need) => need.kind = NeedKind::Outputs,
        None => {
            step.needs.push(Need { step: other, kind: NeedKind::Outputs });
            step.needs.sort_by_key(|need| order.index.get(&need.step).copied());
        }
    }
}

/// A step may be named as the author of its list names it, without the prefix of the list.
fn find(order: &Order, steps: &[Step], section: Section, name: &str) -> Option<usize> {
    let found = order.index.get(&StepId::from(name)).copied();
    found
        .or_else(|| order.index.get(&StepId::from(format!("{}{name}", section.id_prefix()))).copied())
        .filter(|ix| *ix < steps.len())
}

/// Whether the outputs of `other` exist when `ix` is evaluated.
fn is_there(order: &Order, steps: &[Step], exposing: Option<usize>, (ix, other): (usize, usize), used: &Use) -> bool {
    if ix == other {
        return used.moment == Moment::After;
    }
    let (this, that) = (steps[ix].section, steps[other].section);
    if this == that {
        return order.is_before(other, ix);
    }
    let before_exposure = this == Section::Fence
        && exposing.is_some_and(|exposing| other == exposing || order.is_before(other, exposing));
    // What runs at any moment of a rollback must ask first whether the value is there.
    let asks = used.path.guarded && matches!(this, Section::Fence | Section::Ready | Section::RollbackCheck);
    super::edges::is_earlier(that, this) || before_exposure || asks
}

fn refuse(cx: &mut Context<'_>, draft: &Draft<'_>, other: &Draft<'_>, used: &Use) {
    let (this, that) = (&draft.name.value, &other.name.value);
    let problem = if draft.id == other.id {
        Problem::new(codes::OUTPUTS_BEFORE_STEP, format!("`{this}` uses its own outputs before it has any"))
            .at(used.span, "not there yet")
            .help("its `verify`, `probe` and `undo` can use them")
    } else if draft.section == other.section {
        Problem::new(
            codes::OUTPUTS_BEFORE_STEP,
            format!("`{this}` uses outputs of `{that}`, which does not come before it"),
        )
        .at(used.span, "not there yet")
        .also(other.span(), "gives them")
        .help(format!("add `needs: [{that}]` to `{this}`, beside its other needs"))
    } else {
        let (here, there) = (draft.section.key(), other.section.key());
        Problem::new(codes::OUTPUTS_BEFORE_STEP, format!("`{this}` of `{here}` uses outputs of `{that}` of `{there}`"))
            .at(used.span, "may not be there")
            .also(other.span(), "gives them")
            .help("ask first whether they are there: `has(steps.…)`, or use a value that is known before")
    };
    cx.problem(problem);
}

fn refuse_unknown(cx: &mut Context<'_>, drafts: &[Draft<'_>], name: &str, used: &Use) {
    if cx.lost.contains(name) {
        return;
    }
    let names = drafts.iter().map(|draft| &*draft.name.value);
    let problem = Problem::new(codes::OUTPUTS_BEFORE_STEP, format!("no step is called `{name}`"))
        .at(used.span, "not known")
        .suggest(name, names);
    cx.problem(problem);
}

/// `steps.name` alone, or another word than `outputs`, never gives anything.
fn check_outputs(cx: &mut Context<'_>, name: &str, used: &Use) {
    let second = used.path.segments.get(1).map(|segment| segment.name.as_str());
    if second == Some("outputs") {
        return;
    }
    let message = match second {
        Some(word) => format!("a step has `outputs`, not `{word}`"),
        None => format!("`steps.{name}` alone is nothing"),
    };
    let problem = Problem::new(codes::OUTPUTS_BEFORE_STEP, message)
        .at(used.span, "has no value")
        .help(format!("write `steps.{name}.outputs.…`"));
    cx.problem(problem);
}

/// An output that the step's executor never gives.
fn check_field(cx: &mut Context<'_>, of: &Draft<'_>, uses: &Uses, used: &Use) {
    let input = cx.input;
    let executor = of.def().and_then(|def| def.uses.as_ref());
    let known = executor.and_then(|name| input.executors.get(&*name.value).map(|info| (name, info)));
    let (Some((executor, info)), Some(field)) = (known, used.path.segments.get(2)) else { return };
    let names = |used: &Use| used.path.segments.iter().map(|segment| segment.name.clone()).collect::<Vec<_>>();
    let is_guarded = || uses.values.iter().any(|other| other.path.guarded && names(other) == names(used));
    if info.gives(&field.name) || is_guarded() {
        return;
    }
    let message = format!("`{}` of `{}` gives no `{}`", executor.value, of.name.value, field.name);
    let given: Vec<String> = info.outputs.iter().map(|output| format!("`{output}`")).collect();
    let problem = Problem::new(codes::UNKNOWN_ROOT, message)
        .at(used.span, "never has a value")
        .also(of.span(), "gives outputs")
        .suggest(&field.name, info.outputs.iter().map(String::as_str))
        .note(format!("it gives {}", given.join(", ")));
    cx.problem(problem);
}

fn check_criterion(
    cx: &mut Context<'_>,
    drafts: &[Draft<'_>],
    steps: &[Step],
    (order, exposing): (&Order, Option<usize>),
    drawn: &Drawn,
) {
    for (name, used) in drawn.uses.under("steps") {
        check_outputs(cx, name, used);
        let Some(other) = find(order, steps, Section::Cutover, name) else {
            refuse_unknown(cx, drafts, name, used);
            continue;
        };
        check_field(cx, &drafts[other], &drawn.uses, used);
        let early = matches!(steps[other].section, Section::PreCheck | Section::Prepare);
        let exposed = exposing.is_some_and(|exposing| other == exposing || order.is_before(other, exposing));
        if !early && !exposed && !used.path.guarded {
            let message = format!("`{}` uses outputs of `{name}`, which may run after exposure", drawn.criterion.id);
            let problem = Problem::new(codes::OUTPUTS_BEFORE_STEP, message)
                .at(used.span, "may not be there")
                .also(drafts[other].span(), "gives them")
                .note("criteria are sampled from the exposing step on");
            cx.problem(problem);
        }
    }
}

/// Names of baselines, with the place where each is captured.
fn baselines(cx: &mut Context<'_>, drafts: &[Draft<'_>]) -> BTreeMap<String, Span> {
    let mut found: BTreeMap<String, Span> = BTreeMap::new();
    for draft in drafts {
        for (name, _) in draft.def().and_then(|def| def.baseline.as_ref()).into_iter().flatten() {
            if !matches!(draft.section, Section::PreCheck | Section::Prepare | Section::Cutover) {
                let problem = Problem::new(
                    codes::MISSING_BASELINE,
                    format!("the baseline `{}` is captured too late", name.value),
                )
                .at(name.span, "after the cut")
                .help("capture it in a check of `preChecks`");
                cx.problem(problem);
            }
            if let Some(before) = found.insert(name.value.to_string(), name.span).filter(|before| *before != name.span)
            {
                let problem =
                    Problem::new(codes::DUPLICATE_ID, format!("two checks capture a baseline called `{}`", name.value))
                        .at(name.span, "the second one")
                        .also(before, "the first one");
                cx.problem(problem);
            }
        }
    }
    found
}

fn check_baselines(cx: &mut Context<'_>, uses: &Uses, baselines: &BTreeMap<String, Span>) {
    for (name, used) in uses.under("baseline").filter(|(name, _)| !baselines.contains_key(*name)) {
        let problem = Problem::new(codes::MISSING_BASELINE, format!("no check captures the baseline `{name}`"))
            .at(used.span, "never captured")
            .suggest(name, baselines.keys().map(String::as_str))
            .help(format!("capture it before the cut: `baseline: {{ {name}: result.… }}` in a check of `preChecks`"));
        cx.problem(problem);
    }
}

/// Which step comes before which, before there is a plan.
struct Order {
    index: HashMap<StepId, usize>,
    parents: Vec<Vec<usize>>,
    /// The first step of the unbroken sequence in which a step stands: all of it comes before.
    run_start: Vec<usize>,
}

impl Order {
    fn new(steps: &[Step]) -> Self {
        let index: HashMap<StepId, usize> = steps.iter().enumerate().map(|(ix, step)| (step.id.clone(), ix)).collect();
        let parents: Vec<Vec<usize>> = steps
            .iter()
            .map(|step| step.needs.iter().filter_map(|need| index.get(&need.step).copied()).collect())
            .collect();
        let mut run_start: Vec<usize> = Vec::with_capacity(steps.len());
        for (ix, needs) in parents.iter().enumerate() {
            let above = ix.checked_sub(1).filter(|above| needs.contains(above));
            run_start.push(above.map_or(ix, |above| run_start[above]));
        }
        Self { index, parents, run_start }
    }

    fn is_before(&self, earlier: usize, later: usize) -> bool {
        let mut seen = std::collections::HashSet::new();
        let mut open = vec![later];
        while let Some(ix) = open.pop() {
            if earlier < ix && earlier >= self.run_start[ix] {
                return true;
            }
            // The whole run is passed at once: what comes before it are the needs of its steps.
            for step in self.run_start[ix]..=ix {
                for parent in
                    self.parents[step].iter().filter(|parent| **parent + 1 != step || **parent < self.run_start[ix])
                {
                    if *parent == earlier {
                        return true;
                    }
                    if seen.insert(*parent) {
                        open.push(*parent);
                    }
                }
            }
        }
        false
    }
}
