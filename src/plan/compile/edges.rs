//! What comes before what: written needs, the implied sequence, barriers.
//!
//! A list of steps is a sequence unless a step says `needs`; a list of checks is parallel. An
//! approval is a barrier: it waits for all that stands above it unless it says `needs`, and nothing
//! below it starts before it, whatever its `needs`.

use std::collections::HashMap;
use std::ops::Range;

use super::context::Context;
use super::expand::Draft;
use crate::plan::dag::Cycle;
use crate::plan::step::{Need, NeedKind, Section, Step, StepId};
use crate::runbook::codes;
use crate::runbook::problem::{Label, Problem};
use crate::runbook::source::Text;

/// Fills [`Step::needs`] of all steps with everything but uses of outputs.
pub(super) fn connect(cx: &mut Context<'_>, drafts: &[Draft<'_>], steps: &mut [Step]) {
    let mut start = 0;
    while let Some(first) = drafts.get(start) {
        let end = start + drafts[start..].iter().take_while(|draft| draft.section == first.section).count();
        List::new(drafts, start..end).connect(cx, steps);
        start = end;
    }
}

/// One list of the runbook.
struct List<'d, 'a> {
    drafts: &'d [Draft<'a>],
    range: Range<usize>,
    names: HashMap<&'d str, usize>,
    is_parallel: bool,
    /// The last approval above.
    barrier: Option<usize>,
    /// Whether a step above, below the barrier, is needed by another one.
    is_needed: Vec<bool>,
}

impl<'d, 'a> List<'d, 'a> {
    fn new(drafts: &'d [Draft<'a>], range: Range<usize>) -> Self {
        let names = range.clone().map(|ix| (&*drafts[ix].name.value, ix)).collect();
        let is_parallel = drafts[range.start].section.is_check();
        let is_needed = vec![false; range.len()];
        Self { drafts, range, names, is_parallel, barrier: None, is_needed }
    }

    fn connect(mut self, cx: &mut Context<'_>, steps: &mut [Step]) {
        for ix in self.range.clone() {
            let mut needs: Vec<(usize, NeedKind)> = match self.drafts[ix].needs() {
                Some(written) => self.written(cx, ix, written),
                None => self.implied(ix),
            };
            if let Some(barrier) = self.barrier
                && !needs.iter().any(|(need, _)| *need >= barrier)
            {
                needs.push((barrier, NeedKind::Barrier));
            }
            needs.sort_by_key(|(need, _)| *need);
            for (need, _) in &needs {
                self.is_needed[need - self.range.start] = true;
            }
            let need = |(need, kind): (usize, NeedKind)| Need { step: self.drafts[need].id.clone(), kind };
            steps[ix].needs = needs.into_iter().map(need).collect();
            if self.drafts[ix].is_approval() {
                self.barrier = Some(ix);
            }
        }
    }

    fn written(&self, cx: &mut Context<'_>, ix: usize, written: &[Text]) -> Vec<(usize, NeedKind)> {
        let mut needs: Vec<(usize, NeedKind)> = Vec::with_capacity(written.len());
        for name in written {
            match self.names.get(&*name.value) {
                Some(need) if needs.iter().any(|(there, _)| there == need) => {}
                Some(need) => needs.push((*need, NeedKind::Written)),
                None => self.refuse(cx, ix, name),
            }
        }
        needs
    }

    fn refuse(&self, cx: &mut Context<'_>, ix: usize, name: &Text) {
        if cx.lost.contains(&name.value) {
            return;
        }
        let key = self.drafts[ix].section.key();
        let elsewhere = self.drafts.iter().find(|draft| draft.name.value == name.value);
        let problem = match elsewhere {
            Some(other) => {
                let message = format!("`{}` stands in `{}`, not in `{key}`", name.value, other.section.key());
                Problem::new(codes::NEED_ELSEWHERE, message)
                    .at(name.span, "of another list")
                    .also(other.span(), "stands here")
                    .help("the lists run one after the other anyway; `needs` orders the steps of one list")
            }
            None => Problem::new(codes::UNKNOWN_NEED, format!("no step is called `{}`", name.value))
                .at(name.span, "not known")
                .suggest(&name.value, self.names.keys().copied()),
        };
        cx.problem(problem);
    }

    /// Without `needs`: after the step above; checks side by side; an approval after all above.
    fn implied(&self, ix: usize) -> Vec<(usize, NeedKind)> {
        let Some(above) = ix.checked_sub(1).filter(|above| self.range.contains(above)) else {
            return Vec::new();
        };
        let kind = |need: usize| if need == above && !self.is_parallel { NeedKind::Implied } else { NeedKind::Barrier };
        if self.drafts[ix].is_approval() {
            let first = self.barrier.map_or(self.range.start, |barrier| barrier + 1);
            let ends = (first..ix).filter(|need| !self.is_needed[need - self.range.start]);
            return ends.map(|need| (need, kind(need))).collect();
        }
        match (self.is_parallel, Some(above) == self.barrier) {
            (true, _) => Vec::new(),
            (false, true) => vec![(above, NeedKind::Barrier)],
            (false, false) => vec![(above, NeedKind::Implied)],
        }
    }
}

/// Shows a circle whole, each of its edges at its place.
pub(super) fn report_cycle(cx: &mut Context<'_>, drafts: &[Draft<'_>], cycle: &Cycle) {
    let index: HashMap<&StepId, &Draft<'_>> = drafts.iter().map(|draft| (&draft.id, draft)).collect();
    let circle: Vec<&&Draft<'_>> = cycle.0.iter().filter_map(|id| index.get(id)).collect();
    let mut names: Vec<&str> = circle.iter().map(|draft| &*draft.name.value).collect();
    names.extend(names.first().copied());
    let next = circle.iter().skip(1).chain(circle.first());
    let labels: Vec<(bool, Label)> = circle.iter().zip(next).map(|(draft, next)| edge(draft, next)).collect();
    let mut problem = Problem::new(codes::CYCLE, format!("steps wait for each other: {}", names.join(" → ")))
        .help("remove one of these needs, or move a step");
    // The caret goes to an edge that somebody wrote; the implied ones are shown beside it.
    let written = labels.iter().position(|(written, _)| *written).unwrap_or(0);
    for (at, (_, label)) in labels.into_iter().enumerate() {
        if at == written {
            problem.primary = Some(label);
        } else {
            problem.secondary.push(label);
        }
    }
    cx.problem(problem);
}

fn edge(draft: &Draft<'_>, next: &Draft<'_>) -> (bool, Label) {
    let (this, other) = (&draft.name.value, &next.name.value);
    let written = draft.needs().and_then(|needs| needs.iter().find(|need| need.value == *other));
    match written {
        Some(need) => (true, Label { span: need.span, text: format!("`{this}` needs `{other}`") }),
        None if next.is_approval() => {
            (false, Label { span: draft.span(), text: format!("`{this}` stands below the approval `{other}`") })
        }
        None => (
            false,
            Label { span: draft.span(), text: format!("`{this}` comes after `{other}`, which stands above it") },
        ),
    }
}

/// Whether the steps of a list run side by side unless they say otherwise.
pub(super) fn is_earlier(section: Section, than: Section) -> bool {
    use Section::{Commit, Cutover, Fence, PostCheck, PreCheck, Prepare, Ready, RollbackCheck};
    match than {
        PreCheck => false,
        Ready | RollbackCheck | Prepare => section == PreCheck,
        Cutover | Fence => matches!(section, PreCheck | Prepare),
        PostCheck => matches!(section, PreCheck | Prepare | Cutover),
        Commit => matches!(section, PreCheck | Prepare | Cutover | PostCheck),
    }
}
